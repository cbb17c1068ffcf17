//! Tests `omomi amend` as a user runs it: the emergency repair of a file that is served.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use omomi::request::RequestRows;
use omomi::{LoadMode, Model};
use omomi_train::judge::explain::{Account, explain, request_of_json, request_of_row};
use omomi_train::log::{LogReader, ReadOptions, contract_of};

const CONTRACT: &str = r#"
name = "small"
label = "clicked"

[[field]]
name = "site"
side = "context"
type = "id"
meaning = "where the slot is"

[[field]]
name = "price"
side = "context"
type = "number"
unit = "JPY"
range = [0.0, 100.0]
buckets = [10.0, 50.0]
meaning = "lowest bid"

[[field]]
name = "ad"
side = "candidate"
type = "text"
meaning = "what is shown"

[[cross]]
fields = ["site", "ad"]
"#;

const WEIGHTS: &str = "bias\t-2\nsite=3\t0.5\nsite=4\t0.25\nprice=5\t1\nprice=20\t2\nad=x\t0.125\nad=y:z\t4\n\
                       site*ad=3*x\t8\n(unseen)=site\t-0.75\n(missing)=price\t0.0625\n";

struct Folder(tempfile::TempDir);

impl Folder {
    /// A file of generation 41.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("contract.toml"), CONTRACT).unwrap();
        fs::write(folder.path("weights.tsv"), WEIGHTS).unwrap();
        folder.run("import --contract contract.toml --weights weights.tsv --out state.parquet");
        folder.run("pack --contract contract.toml --state state.parquet --logic-id ctr --generation 41 --out 41.omomi");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn omomi(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.env("USER", "akira").args(words.split(' ')).current_dir(self.0.path()).output().unwrap()
    }

    fn run(&self, words: &str) -> String {
        let output = self.omomi(words);
        assert!(output.status.success(), "{words}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, words: &str) -> String {
        let output = self.omomi(words);
        assert_eq!(output.status.code(), Some(1), "{words}: {}", said(&output));
        said(&output)
    }

    fn model(&self, name: &str) -> Arc<Model> {
        Model::load(self.path(name), LoadMode::Copy).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn logit(model: &Arc<Model>, context: &str, candidate: &str) -> f64 {
    let request = format!(r#"{{"context":{{{context}}},"candidates":[{{{candidate}}}]}}"#);
    explain(model, &request_of_json(model, &request).unwrap(), 0, None).unwrap().logit
}

/// The requests that the tests ask: of each category, unseen ones and missing ones.
const REQUESTS: [(&str, &str); 8] = [
    (r#""site":3,"price":5"#, r#""ad":"x""#),
    (r#""site":4,"price":20"#, r#""ad":"y:z""#),
    (r#""site":9,"price":99"#, r#""ad":"x""#),
    (r#""site":9"#, r#""ad":"new""#),
    ("", ""),
    (r#""price":20"#, r#""ad":"new""#),
    (r#""site":3"#, r#""ad":"y:z""#),
    (r#""site":4,"price":5"#, r#""ad":"x""#),
];

fn logits(model: &Arc<Model>) -> Vec<f64> {
    REQUESTS.iter().map(|(context, candidate)| logit(model, context, candidate)).collect()
}

fn sum(weights: &[f64]) -> f64 {
    weights.iter().sum()
}

#[test]
fn named_weights_change_and_everything_else_stays() {
    let folder = Folder::new();
    let old = folder.model("41.omomi");
    let before = [
        sum(&[-2.0, 0.5, 1.0, 0.125, 8.0]),
        sum(&[-2.0, 0.25, 2.0, 4.0]),
        sum(&[-2.0, -0.75, 0.125]),
        sum(&[-2.0, -0.75, 0.0625]),
        sum(&[-2.0, 0.0625]),
        sum(&[-2.0, 2.0]),
        sum(&[-2.0, 0.5, 0.0625, 4.0]),
        sum(&[-2.0, 0.25, 1.0, 0.125]),
    ];
    assert_eq!(logits(&old), before);
    let output = folder.run(
        "amend 41.omomi --set site=9:0 --set ad=y:z:-1 --set ad*site=x*4:16 --set-bias -3 --generation 42 --reason \
         broken-page --out 42.omomi",
    );
    for expected in ["unseen before", "+4.000000", "-1.000000", "site*ad", "4*x", "42.blessing.json"] {
        assert!(output.contains(expected), "{output}");
    }
    let new = folder.model("42.omomi");
    let after = [
        before[0] - 1.0,
        before[1] - 1.0 - 5.0,
        // A weight of 0 is not what unseen categories add.
        before[2] - 1.0 + 0.75,
        before[3] - 1.0 + 0.75,
        before[4] - 1.0,
        before[5] - 1.0,
        before[6] - 1.0 - 5.0,
        before[7] - 1.0 + 16.0,
    ];
    assert_eq!(logits(&new), after);
    assert_eq!((new.generation(), new.logic_id(), new.weight_count()), (42, "ctr", old.weight_count() + 2));
    let provenance = new.provenance();
    assert_eq!(provenance["training"], old.provenance()["training"]);
    let amended = &provenance["amended"][0];
    assert_eq!((&amended["by"], &amended["reason"]), (&"akira".into(), &"broken-page".into()));
    assert_eq!((&amended["weights"][1]["old"], &amended["weights"][1]["new"]), (&4.0.into(), &(-1.0).into()));
    assert_eq!(amended["generation"], 41);
    let sizes = new.file().field_sizes().unwrap().unwrap();
    assert_eq!((&sizes["site"], &sizes["site*ad"]), (&3.into(), &2.into()));
    // The golden requests have the changed categories, so a reader that does not see the changes refuses the file.
    let changed = |rows: &RequestRows| explain(&new, rows, 0, None).unwrap().logit;
    let of_old = |rows: &RequestRows| explain(&old, rows, 0, None).unwrap().logit;
    let golden = new.golden_requests().unwrap();
    assert!(golden.len() == old.golden_requests().unwrap().len() + 3);
    assert!(golden.iter().rev().take(3).all(|request| changed(&request.rows) != of_old(&request.rows)));
    folder.run("verify 42.omomi");

    // Amended again, both changes hold, and the same weight may change again.
    folder.run("amend 42.omomi --set site=9:1 --by kei --generation 43 --reason again --out 43.omomi");
    let again = folder.model("43.omomi");
    assert_eq!(logits(&again)[3], after[3] + 1.0);
    assert_eq!((again.weight_count(), &again.provenance()["amended"][1]["by"]), (new.weight_count(), &"kei".into()));
    let json = folder.run("amend 43.omomi --set site=9:2 --generation 44 --reason again --out 44.omomi --json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["amended"]["weights"][0]["old"], 1.0);
}

#[test]
fn a_whole_field_adds_nothing_if_it_is_known_which_weights_are_its() {
    let folder = Folder::new();
    let amend = "amend 41.omomi --generation 42 --reason broken --out 42.omomi";
    folder.run(&format!("{amend} --zero-field price"));
    let before = logits(&folder.model("41.omomi"));
    let after = logits(&folder.model("42.omomi"));
    let price = [1.0, 2.0, 0.0, 0.0625, 0.0625, 2.0, 0.0625, 1.0];
    let expected: Vec<f64> = before.iter().zip(price).map(|(before, price)| before - price).collect();
    assert_eq!(after, expected);
    fs::remove_file(folder.path("42.omomi")).unwrap();

    let problem = folder.refused(&format!("{amend} --zero-field site"));
    assert!(problem.contains("name the state that it was packed from with --state"), "{problem}");
    folder.run(&format!("{amend} --zero-field site --zero-field ad*site --state state.parquet"));
    let after = logits(&folder.model("42.omomi"));
    let site = [8.5, 0.25, -0.75, -0.75, 0.0, 0.0, 0.5, 0.25];
    let expected: Vec<f64> = before.iter().zip(site).map(|(before, site)| before - site).collect();
    assert_eq!(after, expected);

    // A category that an amendment added belongs to the field as well.
    folder.run("amend 41.omomi --set site=77:3 --generation 50 --reason more --out 50.omomi");
    folder.run("amend 50.omomi --zero-field site --state state.parquet --generation 51 --reason less --out 51.omomi");
    assert_eq!(logit(&folder.model("50.omomi"), r#""site":77"#, ""), -2.0 + 3.0 + 0.0625);
    assert_eq!(logit(&folder.model("51.omomi"), r#""site":77"#, ""), -2.0 + 0.0625);

    // Another state is noticed.
    fs::write(folder.path("weights.tsv"), WEIGHTS.replace("site=4\t0.25\n", "")).unwrap();
    folder.run("import --contract contract.toml --weights weights.tsv --out other.parquet");
    let amend = "amend 41.omomi --generation 52 --reason broken --out 52.omomi --zero-field site --state";
    let problem = folder.refused(&format!("{amend} other.parquet"));
    assert!(problem.contains("the file has 2 weights of `site`, and other.parquet names 1 of them"), "{problem}");
    fs::write(folder.path("other.toml"), CONTRACT.replace("\"small\"", "\"other\"")).unwrap();
    folder.run("import --contract other.toml --weights weights.tsv --out other.parquet --force");
    assert!(folder.refused(&format!("{amend} other.parquet")).contains("expected a state of the file's contract"));
}

/// With every encoding, on a model that was learned: only what was named changes, in any row of the log.
#[test]
fn learned_files_of_every_encoding_can_be_amended() {
    let folder = Folder::new();
    folder.run("generate-log --rows 20000 --click-rate 0.1 --seed 5 --out log");
    let common = "--contract log/contract.toml";
    folder.run(&format!("train {common} --logs log/*.parquet --state trained.parquet --no-search"));
    for (index, encoding) in ["f32", "f16", "i8"].into_iter().enumerate() {
        let generation = 10 * (index + 1);
        folder.run(&format!(
            "pack {common} --state trained.parquet --held-out log/part-000.parquet --logic-id a --encoding {encoding} \
             --generation {generation} --out {encoding}.omomi"
        ));
        let amend = format!("amend {encoding}.omomi --generation {} --reason test", generation + 1);
        folder.run(&format!("{amend} --set site_id=1:0.125 --set category=never-seen:0.25 --out {encoding}-set.omomi"));
        folder.run(&format!(
            "{amend} --zero-field site_id --zero-field creative_age --state trained.parquet --out {encoding}-zero.omomi"
        ));
        let models = ["", "-set", "-zero"].map(|name| folder.model(&format!("{encoding}{name}.omomi")));
        let mut changed_rows = [0, 0];
        let log = folder.path("log/part-000.parquet");
        for row in (1..300).step_by(7) {
            let mut reader = LogReader::open(
                &contract_of(&models[0]),
                &[log.to_str().unwrap()],
                ReadOptions::default().with(|it| it.batch_row_count = 512),
            )
            .unwrap();
            let (rows, _) = request_of_row(&models[0], &mut reader, row).unwrap();
            let [old, set, zero] = models.each_ref().map(|model| explain(model, &rows, 0, None).unwrap());
            let weights = |account: &Account| {
                let mut features: Vec<_> = account
                    .features
                    .iter()
                    .map(|it| (it.key.clone(), it.field.clone(), it.category.clone(), it.weight))
                    .collect();
                features.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
                features
            };
            let accounts = [&set, &zero].map(&weights);
            for (kind, new) in accounts.iter().enumerate() {
                let mut is_changed = false;
                for ((_, field, category, before), (.., after)) in weights(&old).iter().zip(new) {
                    let is_named = match kind {
                        0 => field == "site_id" && category == "1",
                        _ => field == "site_id" || field == "creative_age",
                    };
                    let expected = match (is_named, kind) {
                        (true, 0) => 0.125,
                        (true, _) => 0.0,
                        (false, _) => *before,
                    };
                    is_changed |= is_named;
                    // The scale of an i8 makes the number of a weight another one, but hardly.
                    assert!((after - expected).abs() < 1e-6, "{encoding} {kind} {field} {category}: {before} {after}");
                }
                changed_rows[kind] += usize::from(is_changed);
            }
        }
        assert!(changed_rows[1] > 40, "{changed_rows:?}");
    }
    // What i8 cannot store is refused, and f16 stores it exactly.
    let problem = folder.refused("amend i8.omomi --generation 99 --reason x --out 99.omomi --set site_id=1:600");
    assert!(problem.contains("as the encoding i8 of this file can store for the field, found 600"), "{problem}");
    folder.run("amend f16.omomi --generation 99 --reason x --out 99.omomi --set site_id=1:0.1");
    let rows = request_of_json(&folder.model("99.omomi"), r#"{"context":{"site_id":1},"candidates":[{}]}"#).unwrap();
    let account = explain(&folder.model("99.omomi"), &rows, 0, None).unwrap();
    assert!(account.features.iter().any(|feature| feature.field == "site_id" && feature.weight == 0.1));
}

#[test]
fn what_cannot_be_changed_is_refused_and_leaves_no_file() {
    let folder = Folder::new();
    let mut many = String::new();
    for site in 100..229 {
        many.push_str(&format!(" --set site={site}:0"));
    }
    for (changes, expected) in [
        ("--set page=3:0", "the contract `small` has no field `page`"),
        ("--set site=three:0", "because `site` is an id, found `three`"),
        ("--set price=1000:0", "expected a bucket of `price`"),
        ("--set site*ad=3:0", "expected 2 categories joined by `*`"),
        ("--set site=3:701", "`site` = `3`: expected a weight from -700 to 700, found 701.0"),
        ("--set site=3:nan", "expected a weight from -700 to 700, found NaN"),
        ("--set-bias inf", "bias: expected a weight from -700 to 700, found inf"),
        ("--set site=3:0 --set site=3.0:1", "`site` = `3` is set twice"),
        ("--zero-field page", "the contract has no field or cross `page` to zero"),
        ("--zero-field price --zero-field price", "`price` is zeroed twice"),
        ("--zero-field price --set price=5:1", "of a field that is zeroed: expected one or the other"),
        (&many, "expected at most 128 weights that were changed in a file, found 129"),
    ] {
        let changes = changes.trim_start();
        let problem = folder.refused(&format!("amend 41.omomi --generation 42 --reason x --out 42.omomi {changes}"));
        assert!(problem.contains(expected) && problem.contains("who must act: ml"), "{changes}: {problem}");
        assert!(!folder.path("42.omomi").exists() && !folder.path("42.blessing.json").exists());
    }
    let amend = "amend 41.omomi --set site=3:0 --out";
    let problem = folder.refused(&format!("{amend} 42.omomi --generation 41 --reason x"));
    assert!(problem.contains("expected a generation above 41, that of the file, found 41"), "{problem}");
    let problem = folder.refused(&format!("{amend} 41.omomi --generation 42 --reason x"));
    assert!(problem.contains("41.omomi"), "{problem}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.args("amend 41.omomi --set site=3:0 --generation 42 --out 42.omomi --reason".split(' ')).arg(" ");
    let output = command.env("USER", "akira").current_dir(folder.0.path()).output().unwrap();
    assert!(said(&output).contains("expected a reason, found an empty text"), "{}", said(&output));
    for (misuse, expected) in [
        ("amend 41.omomi --generation 42 --reason x --out 42.omomi", "--set"),
        ("amend 41.omomi --set site=3 --generation 42 --reason x --out 42.omomi", "FIELD=CATEGORY:WEIGHT"),
        ("amend 41.omomi --set site=3:0 --generation 42 --out 42.omomi", "--reason"),
    ] {
        let output = folder.omomi(misuse);
        assert_eq!(output.status.code(), Some(2), "{misuse}");
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
    let bytes = fs::read(folder.path("41.omomi")).unwrap();
    fs::write(folder.path("damaged.omomi"), &bytes[..bytes.len() - 100]).unwrap();
    let problem = folder.refused("amend damaged.omomi --set site=3:0 --generation 42 --reason x --out 42.omomi");
    assert!(problem.contains("damaged.omomi"), "{problem}");
    // 128 changes are possible.
    let changes = many.rsplit_once(" --set").unwrap().0;
    folder.run(&format!("amend 41.omomi --generation 42 --reason x --out 42.omomi{changes}"));
    let problem = folder.refused("amend 42.omomi --set site=3:0 --generation 43 --reason x --out 43.omomi");
    assert!(problem.contains("found 129, with those that were changed before"), "{problem}");
    folder.run("amend 42.omomi --set site=100:5 --generation 43 --reason x --out 43.omomi");
}

fn publish(folder: &Folder, file: &str) -> Output {
    folder.omomi(&format!("publish {file} --to store"))
}

#[test]
fn a_store_takes_only_an_amendment_of_what_it_serves() {
    let folder = Folder::new();
    assert!(!publish(&folder, "41.omomi").status.success(), "a file without a blessing");
    folder.run("publish 41.omomi --to store --unblessed");
    let served = "store/generations/00000000000000000041.omomi";
    let served = if folder.path(served).exists() { served.to_owned() } else { served_path(&folder.path("store")) };
    folder.run(&format!("amend {served} --set site=3:0 --generation 42 --reason x --out 42.omomi --store store"));
    folder.run("amend 41.omomi --set site=3:1 --generation 43 --reason x --out 43.omomi");
    let output = publish(&folder, "42.omomi");
    assert!(output.status.success(), "{}", said(&output));

    // Now the store serves 42, and 43 would undo its change.
    let problem = said(&publish(&folder, "43.omomi"));
    for expected in
        ["is an amendment of another file", "who must act: ml", "omomi amend on the file that the store serves"]
    {
        assert!(problem.contains(expected), "{problem}");
    }
    let problem =
        folder.refused("amend 41.omomi --set site=3:1 --generation 44 --reason x --out 44.omomi --store store");
    assert!(problem.contains("expected the file that the store store serves"), "{problem}");
    assert!(problem.contains("who must act: ml"), "{problem}");
    let problem =
        folder.refused("amend 41.omomi --set site=3:1 --generation 44 --reason x --out 44.omomi --store none");
    assert!(problem.contains("none") && problem.contains("who must act"), "{problem}");
    // After a rollback, the old file is what is served.
    folder.run("rollback store");
    let output = publish(&folder, "43.omomi");
    assert!(output.status.success(), "{}", said(&output));
    // Bytes that were changed after the blessing are noticed.
    folder.run("follow store");
    folder.run("amend 43.omomi --set site=3:2 --generation 45 --reason x --out 45.omomi");
    folder.run("amend 43.omomi --set site=3:3 --generation 46 --reason x --out 46.omomi");
    fs::rename(folder.path("45.blessing.json"), folder.path("46.blessing.json")).unwrap();
    assert!(!publish(&folder, "46.omomi").status.success());
}

/// The only file of generation 41.
fn served_path(store: &Path) -> String {
    let folder = store.join("generations");
    let entry = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    entry.path().to_str().unwrap().to_owned()
}

#[test]
fn an_amended_file_is_signed_with_its_own_key() {
    let folder = Folder::new();
    folder.run("keygen --out key");
    folder.run("sign 41.omomi --key key --out signed.omomi");
    folder.run("amend signed.omomi --set site=3:0 --generation 42 --reason x --out 42.omomi");
    assert!(!folder.omomi("verify 42.omomi --signature require --keys key.pub").status.success());
    folder.run("amend signed.omomi --set site=3:0 --generation 42 --reason x --out 43.omomi --key key");
    folder.run("verify 43.omomi --signature require --keys key.pub");
    folder.run("publish signed.omomi --to store --unblessed");
    folder.run("publish 43.omomi --to store --signature require --keys key.pub");
}
