//! Tests `omomi import` as a user runs it: weights that were trained elsewhere become a state and a weight file.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use omomi::{LoadMode, Model};
use omomi_train::judge::explain::{explain, request_of_json};
use omomi_train::learn::state::StateReader;
use parquet::arrow::ArrowWriter;

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
many = true
meaning = "what is shown"

[[cross]]
fields = ["site", "ad"]
"#;

const MAP: &str = "# made by hand\nbias\t-2.0\nsite=3\t0.5\nsite=-4\t1.0E-1\nad=旅行\t0.25\nad=a*b=c\t0.125\n\
                   price=[10.0, 50.0)\t-1.5\nprice=99\t2\nsite*ad=3*旅行\t1.0\nad=旅行*site=-4\t4.0\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("contract.toml", CONTRACT);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn omomi(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.args(words.split_whitespace()).current_dir(self.0.path()).output().unwrap()
    }

    fn run(&self, words: &str) -> String {
        let output = self.omomi(words);
        assert!(output.status.success(), "{words}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command. Returns how many seconds it took, and its peak memory in KiB; 0 where there is no /proc.
    fn measured(&self, words: &str) -> (f64, u64) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.args(words.split_whitespace()).current_dir(self.0.path()).stdout(std::process::Stdio::null());
        let started = std::time::Instant::now();
        let mut child = command.spawn().unwrap();
        let mut peak_kib = 0;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with("VmHWM:"));
            let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
            peak_kib = peak_kib.max(number.unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        assert!(status.success(), "{words}");
        (started.elapsed().as_secs_f64(), peak_kib)
    }

    /// Imports a file and packs the state without rows. Returns the model.
    fn packed(&self, weights: &str) -> Arc<Model> {
        self.run(&format!("import --contract contract.toml --weights {weights} --out state.parquet --force"));
        let _ = fs::remove_file(self.path("1.omomi"));
        self.run("pack --contract contract.toml --state state.parquet --logic-id old --generation 1 --out 1.omomi");
        Model::load(self.path("1.omomi"), LoadMode::Copy).unwrap()
    }

    /// Imports a file that must be refused, and returns what was said.
    fn refused(&self, weights: &str, flags: &str) -> String {
        let words = format!("import --contract contract.toml --weights {weights} --out refused.parquet {flags}");
        let output = self.omomi(&words);
        assert_eq!(output.status.code(), Some(1), "{weights}: {}", said(&output));
        assert!(!self.path("refused.parquet").exists());
        said(&output)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The logit of a request with one candidate.
fn logit(model: &Arc<Model>, context: &str, candidate: &str) -> f64 {
    let request = format!(r#"{{"context":{{{context}}},"candidates":[{{{candidate}}}]}}"#);
    let rows = request_of_json(model, &request).unwrap();
    explain(model, &rows, 0, None).unwrap().logit
}

#[test]
fn a_map_of_weights_answers_like_the_sums_over_the_map() {
    let folder = Folder::new();
    folder.write("weights.tsv", MAP);
    let model = folder.packed("weights.tsv");
    assert_eq!((model.weight_count(), model.logic_id()), (8, "old"));
    for (context, candidate, expected) in [
        ("", "", -2.0),
        (r#""site":3"#, r#""ad":["旅行"]"#, -2.0 + 0.5 + 0.25 + 1.0),
        (r#""site":-4,"price":10.0"#, r#""ad":["旅行","a*b=c"]"#, -2.0 + 0.1_f32 as f64 - 1.5 + 0.25 + 0.125 + 4.0),
        (r#""site":5,"price":50.0"#, r#""ad":["unseen"]"#, -2.0 + 2.0),
        (r#""price":9.9"#, "", -2.0),
    ] {
        assert!((logit(&model, context, candidate) - expected).abs() < 1e-12, "{context} {candidate}");
    }
    // Without rows, golden requests are made of the weights: of each field and cross, some are found.
    let golden = model.golden_requests().unwrap();
    let found = |field: &str| {
        golden.iter().flat_map(|request| (0..request.rows.candidates.len()).map(move |index| (request, index))).any(
            |(request, index)| {
                let account = explain(&model, &request.rows, index, None).unwrap();
                account.features.iter().any(|feature| feature.field == field && feature.source == "found")
            },
        )
    };
    assert!(["site", "price", "ad", "site*ad"].into_iter().all(found));
}

#[test]
fn every_format_gives_the_same_state() {
    let folder = Folder::new();
    let rows = [
        ("(bias)", "", -2.0),
        ("site", "3", 0.5),
        ("ad", "旅行", 0.25),
        ("price", "[10.0, 50.0)", -1.5),
        ("site*ad", r"3*a\*b", 1.0),
    ];
    let (mut csv, mut tsv, mut jsonl) =
        ("weight,extra,category,field\n".to_owned(), "field\tcategory\tweight\n".to_owned(), String::new());
    for (field, category, weight) in rows {
        writeln!(csv, "{weight:?},x,\"{category}\",{field}").unwrap();
        writeln!(tsv, "{field}\t{category}\t{weight:?}").unwrap();
        let value = serde_json::json!({ "field": field, "category": category, "weight": weight });
        writeln!(jsonl, "{value}").unwrap();
    }
    folder.write("a.csv", &csv);
    folder.write("a.tsv", &tsv);
    folder.write("a.jsonl", &jsonl.replace("\"3\"", "3"));
    folder.write("map.txt", "(bias)\t-2\nsite=3\t0.5\nad=旅行\t0.25\nprice=[10.0, 50.0)\t-1.5\nsite*ad=3*a\\*b\t1\n");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("field", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)))),
        ("category", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
        ("weight", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2)))),
        ("rank", Arc::new(Int64Array::from(vec![1; rows.len()]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(folder.path("a.parquet")).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let gzip = Command::new("gzip").arg("-k").arg(folder.path("a.csv")).status().unwrap();
    assert!(gzip.success());
    let vw = "Version 9.10.0\nId \nMin label:-50\nMax label:50\nbits:18\nlda:0\n0 ngram:\n0 skip:\noptions:\n:0\n\
              s^site=3:1:0.5\na^ad=旅行:2:0.25\nprice^[10.0,50.0):3:-1.5\nConstant:116060:-2\n";
    folder.write("model.vw", vw);

    let mut states = Vec::new();
    for weights in ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "map.txt", "a.parquet"] {
        let output =
            folder.run(&format!("import --contract contract.toml --weights {weights} --out s.parquet --force"));
        assert!(output.contains("train --start will refuse the state"), "{output}");
        states.push(weights_of(&folder.path("s.parquet")));
    }
    assert_eq!(states[0].len(), 5);
    assert!(states.iter().all(|state| *state == states[0]), "{states:?}");
    // This bucket has a space, which no name of Vowpal Wabbit can have.
    let problem = folder.refused("model.vw", "");
    assert!(problem.contains("line 13: expected a bucket of `price`, such as `[0.0, 10.0)`"), "{problem}");
    folder.write("model.vw", &vw.replace("[10.0,50.0)", "20"));
    folder.run("import --contract contract.toml --weights model.vw --out s.parquet --force");
    let expected: Vec<_> = states[0].iter().filter(|(name, _)| !name.contains('*')).cloned().collect();
    assert_eq!(weights_of(&folder.path("s.parquet")), expected);
}

fn weights_of(state: &Path) -> Vec<(String, f64)> {
    let mut reader = StateReader::open(state).unwrap();
    let mut weights = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        weights.extend(batch.rows().map(|row| (format!("{}={}", row.field, row.category), row.weight)));
    }
    weights
}

/// The file was written by Vowpal Wabbit 9.11.9, with an interaction of the two namespaces. The expected probability is
/// what it predicted itself.
#[test]
fn a_model_that_vowpal_wabbit_wrote_answers_like_it() {
    let folder = Folder::new();
    folder.write("model.vw", include_str!("data/vowpal_wabbit_9.11.txt"));
    let model = folder.packed("model.vw");
    assert_eq!(model.weight_count(), 15);
    let logit = logit(&model, r#""site":3"#, r#""ad":["x"]"#);
    assert!((1.0 / (1.0 + (-logit).exp()) - 0.157_891_690_731_048_58).abs() < 1e-6, "{logit}");
}

#[test]
fn names_of_vowpal_wabbit_are_read_in_each_of_its_notations() {
    let folder = Folder::new();
    let head = "Version 9.10.0\nId \nMin label:-50\nMax label:50\nbits:18\nlda:0\n0 ngram:\n0 skip:\noptions:\n";
    // With --save_resume there are counters, and more numbers after each weight.
    let model = format!(
        "{head}Checksum: 1\n:0\ninitial_t 0\nnorm normalizer 12\nt 5\nsum_loss 0.5\ns^site=3:1:0.5 0.1 1\n\
         site^-4:2:0.75 0.1 1\nad=x:3:0.25\nad^b=c:4:9\na^ad^y:5:0.125\ns^site=3*a^ad=x:6:1\nsite^-4*ad^x:7:2\n\
         a^ad=x*s^site=9:8:3\nConstant:116060:-2.5 1 1\n"
    );
    // `ad^b=c` names the field b, which the contract does not have.
    folder.write("model.vw", &model);
    let problem = folder.refused("model.vw", "");
    assert!(problem.contains("line 19: the contract `small` has no field `b`"), "{problem}");
    folder.write("model.vw", &model.replace("ad^b=c:4:9\n", ""));
    folder.run("import --contract contract.toml --weights model.vw --out s.parquet");
    let mut found = weights_of(&folder.path("s.parquet"));
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("(bias)=", -2.5),
        ("ad=x", 0.25),
        ("ad=y", 0.125),
        ("site*ad=-4*x", 2.0),
        ("site*ad=3*x", 1.0),
        ("site*ad=9*x", 3.0),
        ("site=-4", 0.75),
        ("site=3", 0.5),
    ];
    assert_eq!(found, expected.map(|(name, weight)| (name.to_owned(), weight)));

    folder.write("model.vw", &format!("{head}:0\n1234:0.5\n99:0.25\n"));
    let problem = folder.refused("model.vw", "");
    assert!(
        problem.contains("line 11") && problem.contains("--invert_hash") && problem.contains("1 fault\n"),
        "{problem}"
    );
    folder.write("model.vw", &format!("{}:0\nConstant:1:0.5\n", head.replace(":50", ":1")));
    let output = folder.omomi("import --contract contract.toml --weights model.vw --out squared.parquet");
    assert!(said(&output).contains("--loss_function logistic"), "{}", said(&output));
}

#[test]
fn every_fault_is_counted_and_named_with_its_line() {
    let folder = Folder::new();
    let cases = [
        ("page=3\t1", "line 2: the contract `small` has no field `page`"),
        ("site*price=3*4\t1", "line 2: the contract `small` has no cross `site*price`"),
        ("site=3\t1\nad=x\t1\nsite=3.0\t2", "line 4: `site` = `3` is in line 2 already"),
        ("site=3\tNaN", "line 2: `site=3`: expected a finite weight, found `NaN`"),
        ("site=3\t-Infinity", "line 2: `site=3`: expected a finite weight, found `-Infinity`"),
        ("site=3\t1e400", "line 2: `site=3`: expected a finite weight, found `1e400`"),
        ("site=3\t0,5", "line 2: `site=3`: expected a weight such as -0.125, found `0,5`"),
        ("site=3\t", "line 2: `site=3`: expected a weight, found nothing"),
        ("site=3\t701", "line 2: expected a weight from -700 to 700"),
        ("site=three\t1", "line 2: expected a whole number of 64 bits, because `site` is an id, found `three`"),
        ("site=\t1", "because `site` is an id, found ``"),
        ("site=18446744073709551616\t1", "because `site` is an id"),
        ("price=cheap\t1", "line 2: expected a bucket of `price`, such as `[0.0, 10.0)`, or a number from 0 to 100"),
        ("price=100.5\t1", "line 2: expected a bucket of `price`"),
        ("price=12\t1\nprice=13\t1", "line 3: `price` = `[10.0, 50.0)` is in line 2 already"),
        ("site*ad=3\t1", "line 2: expected 2 categories joined by `*` for `site*ad`"),
        ("site*ad=3*x\t1\nad*site=x*3\t1", "line 3: `site*ad` = `3*x` is in line 2 already"),
        ("site 3 1", "line 2: expected `field=category`, a tab, and a weight, found `site 3 1`"),
        ("site\t1", "line 2: expected `field=category` before the tab, found `site`"),
        ("bias\t1", "line 2: the bias is in line 1 already"),
        ("(unseen)=page\t1", "line 2: expected the name of a field after `(unseen)`, found `page`"),
        ("\u{1b}[31m=3\t1", r"no field `\u{1b}[31m`"),
    ];
    for (rows, expected) in cases {
        folder.write("map.tsv", &format!("bias\t-2\n{rows}\n"));
        let problem = folder.refused("map.tsv", "");
        assert!(problem.contains(expected) && problem.contains("has 1 fault\n"), "{rows}\n{problem}");
        assert!(problem.contains("who must act: ml"), "{problem}");
    }
    folder.write("map.tsv", "site=3\t1\n");
    assert!(folder.refused("map.tsv", "").contains("the bias is missing: expected a row of the field `(bias)`"));
    folder.write("map.tsv", "bias\t-2\nsite=3\t1\n");
    assert!(folder.refused("map.tsv", "--bias 1").contains("the bias is in line 1: expected it there or by --bias"));
    folder.write("map.tsv", "hello\n");
    assert!(folder.refused("map.tsv", "").contains("cannot tell how the weights are written"));
    folder.write("map.tsv", "");
    assert!(folder.refused("map.tsv", "").contains("cannot tell how the weights are written"));
    assert!(folder.refused("missing.tsv", "").contains("missing.tsv: cannot be read"));
    for (table, expected) in [
        ("field,category,value\nsite,3,1\n", "line 1: expected the columns field, category and weight, found field"),
        ("field,category,weight\nsite,3\n", "line 2: expected 3 cells, as in the header, found 2"),
        ("field,category,weight\nsite,\"3,1\n", "line 2: in column 2"),
        ("field,category,weight,impressions\nsite,3,1,-1\n", "expected a whole number of impressions, found `-1`"),
        ("field,category,weight,impressions,clicks\nsite,3,1,2,3\n", "expected at most 2 clicks, found 3"),
    ] {
        folder.write("table.csv", table);
        let problem = folder.refused("table.csv", "--bias 0 --format csv");
        assert!(problem.contains(expected), "{table}\n{problem}");
    }
    folder.write("rows.jsonl", "{\"field\":\"site\",\"category\":[3],\"weight\":1}\n{\"field\":1}\n{\"category\":1}\n");
    let problem = folder.refused("rows.jsonl", "--bias 0");
    for expected in ["3 faults", "line 1: expected texts", "line 2: expected an object", "line 3: ``"] {
        assert!(problem.contains(expected), "{problem}");
    }
    // A million faults are no book.
    folder.write("map.tsv", &"page=1\t1\n".repeat(100_000));
    let problem = folder.refused("map.tsv", "");
    assert!(problem.contains("has 100000 faults") && problem.contains("and 99980 more"), "{problem}");
    assert!(problem.len() < 4_000);
    let output =
        folder.run("import --contract contract.toml --weights map.tsv --bias 0 --leave-out page --out s.parquet");
    assert!(output.contains("100,000"), "{output}");
}

/// A map returns 0 for what it has as 0, and also for what it does not have; the contract may say something else of the
/// latter.
#[test]
fn a_weight_of_0_is_kept_where_unseen_categories_add_something_else() {
    let folder = Folder::new();
    for flags in ["", "--impressions 1000", "--impressions 1000 --l1 0", "--impressions 0 --l1 3 --l2 2"] {
        folder.write(
            "map.tsv",
            "bias\t-2\nsite=3\t0\nsite=4\t0.5\n(unseen)=site\t-0.75\n(missing)=site\t-1.5\nad=x\t0\n",
        );
        folder.run(&format!("import --contract contract.toml --weights map.tsv --out s.parquet --force {flags}"));
        let _ = fs::remove_file(folder.path("1.omomi"));
        folder.run("pack --contract contract.toml --state s.parquet --logic-id old --generation 1 --out 1.omomi");
        let model = Model::load(folder.path("1.omomi"), LoadMode::Copy).unwrap();
        for (context, expected) in [(r#""site":3"#, -2.0), (r#""site":4"#, -1.5), (r#""site":5"#, -2.75), ("", -3.5)] {
            let found = logit(&model, context, r#""ad":["x"]"#);
            assert!((found - expected).abs() < 1e-12, "{flags} {context}: {found}");
        }
        assert_eq!(model.weight_count(), 2, "a weight of 0 needs no place where unseen categories add 0");
    }
}

#[test]
fn training_goes_on_from_impressions_and_is_refused_without_them() {
    let folder = Folder::new();
    let mut log = "clicked,site,price,ad\n".to_owned();
    for row in 0..400 {
        writeln!(log, "{},{},20,x", u8::from(row % 10 == 0), 3 + row % 2).unwrap();
    }
    folder.write("log.csv", &log);
    folder.write("map.tsv", "bias\t-2\nsite=3\t0.5\nsite=4\t0.25\n");
    folder.run("import --contract contract.toml --weights map.tsv --out bare.parquet");
    let train = "train --contract contract.toml --logs log.csv --state next.parquet --force --start";
    let output = folder.omomi(&format!("{train} bare.parquet"));
    assert_eq!(output.status.code(), Some(1));
    let problem = said(&output);
    assert!(problem.contains("imported without the evidence") && problem.contains("who must act: ml"), "{problem}");
    let output = folder.omomi("average bare.parquet bare.parquet --out average.parquet");
    assert!(!output.status.success());
    // The mark stays through later steps.
    folder.run("prune bare.parquet --l1 0.3 --out pruned.parquet");
    assert!(StateReader::open(folder.path("pruned.parquet")).unwrap().metadata().without_evidence);

    let moved = |state: &str| {
        let weight = |name: &str, state: &str| {
            weights_of(&folder.path(state)).into_iter().find(|(found, _)| found == name).unwrap().1
        };
        folder.run(&format!("{train} {state}"));
        (weight("site=3", state) - 0.5).abs().max((weight("site=3", "next.parquet") - 0.5).abs())
    };
    folder.run("import --contract contract.toml --weights map.tsv --out much.parquet --impressions 1000000");
    folder.run("import --contract contract.toml --weights map.tsv --out little.parquet --impressions 10");
    let (much, little) = (moved("much.parquet"), moved("little.parquet"));
    assert!(much < 0.01 && little > 5.0 * much, "{much}, {little}");

    // The table's own counts, which later steps see as well.
    folder.write(
        "table.csv",
        "field,category,weight,impressions,clicks\n(bias),,-2,5000,500\nsite,3,0.5,3000,400\nsite,4,0.25,2000,100\n",
    );
    folder.run("import --contract contract.toml --weights table.csv --out counted.parquet --click-rate 0.1");
    let metadata = StateReader::open(folder.path("counted.parquet")).unwrap().metadata().clone();
    assert_eq!((metadata.rows, metadata.clicks, metadata.without_evidence), (5_000, 500, false));
    assert!(moved("counted.parquet") > 0.0);
    // n = 3000 * 0.1 * 0.9 = 270, and z gives the weight back although there is a threshold.
    let mut reader = StateReader::open(folder.path("counted.parquet")).unwrap();
    let batch = reader.next_batch().unwrap().unwrap();
    let row = batch.rows().find(|row| row.category == "3").unwrap();
    assert!((row.d - (1.0 + 270_f64.sqrt()) / 0.2).abs() < 1e-9 && (row.z + 0.5 * row.d + 1.0).abs() < 1e-9);
    assert!((row.weight - 0.5).abs() < 1e-12 && (row.impressions, row.clicks) == (3_000, 400));
}

/// The weights of a trained model go through a table into a file that answers like the trained one, bit for bit.
#[test]
fn a_trained_model_survives_a_round_trip_through_a_table() {
    let folder = Folder::new();
    folder.run("generate-log --rows 20000 --click-rate 0.1 --seed 5 --out log");
    folder.run("train --contract log/contract.toml --logs log/*.parquet --state trained.parquet --no-search");
    let mut reader = StateReader::open(folder.path("trained.parquet")).unwrap();
    let mut table = csv_of(&mut reader);
    folder.write("weights.csv", &table);
    folder.run("import --contract log/contract.toml --weights weights.csv --out imported.parquet");
    let pack = "pack --contract log/contract.toml --held-out log/part-000.parquet --logic-id a --generation 1";
    folder.run(&format!("{pack} --state trained.parquet --out trained.omomi"));
    folder.run(&format!("{pack} --state imported.parquet --out imported.omomi"));
    let predict = |file: &str| folder.run(&format!("predict {file} --logs log/part-000.parquet --out -"));
    let (trained, imported) = (predict("trained.omomi"), predict("imported.omomi"));
    assert!(trained.lines().count() > 1_000 && trained == imported);

    // One changed weight is noticed.
    table = table.replacen("\n(bias),\"\",-", "\n(bias),\"\",-1", 1);
    folder.write("weights.csv", &table);
    folder.run("import --contract log/contract.toml --weights weights.csv --out other.parquet");
    folder.run(&format!("{pack} --state other.parquet --out other.omomi"));
    assert!(predict("other.omomi") != trained);
}

fn csv_of(reader: &mut StateReader) -> String {
    let mut table = "field,category,weight\n".to_owned();
    while let Some(batch) = reader.next_batch().unwrap() {
        // A weight of 0 in a state is one that is left out of the file.
        for row in batch.rows().filter(|row| row.weight != 0.0 || row.is_default()) {
            let category = row.category.replace('"', "\"\"");
            writeln!(table, "{},\"{category}\",{:?}", row.field, row.weight).unwrap();
        }
    }
    table
}

/// The script is the one of docs/adopting.md. Needs a `python3` with scikit-learn; without it, says so and passes.
#[test]
fn the_script_of_the_docs_writes_what_scikit_learn_learned() {
    let python = std::env::var("OMOMI_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import sklearn"]).output().is_ok_and(|it| it.status.success());
    if !has {
        eprintln!("skipped: {python} has no scikit-learn (pip install scikit-learn, or set OMOMI_PYTHON)");
        return;
    }
    let folder = Folder::new();
    let page = include_str!("../../../docs/adopting.md");
    let script = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let program = format!(
        "from sklearn.linear_model import LogisticRegression\n\
         from sklearn.preprocessing import OneHotEncoder\n{script}\n\
         rows = [[3, '旅行'], [3, 'b'], [4, '旅行'], [5, 'b']] * 20\n\
         clicked = [1, 0, 0, 1] * 10 + [0, 0, 1, 1] * 10\n\
         encoder = OneHotEncoder(handle_unknown='ignore').fit(rows)\n\
         model = LogisticRegression().fit(encoder.transform(rows), clicked)\n\
         write_weights(model, encoder, ['site', 'ad'], 'weights.csv')\n\
         print(*model.decision_function(encoder.transform([[3, '旅行'], [5, 'b'], [6, '旅行']])))\n"
    );
    folder.write("program.py", &program);
    let output = Command::new(&python).arg("program.py").current_dir(folder.0.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let expected = String::from_utf8(output.stdout).unwrap();
    let model = folder.packed("weights.csv");
    let found = [("3", "旅行"), ("5", "b"), ("6", "旅行")]
        .map(|(site, ad)| logit(&model, &format!(r#""site":{site}"#), &format!(r#""ad":["{ad}"]"#)));
    for (expected, found) in expected.split_whitespace().zip(found) {
        assert!((expected.parse::<f64>().unwrap() - found).abs() < 1e-6, "{expected}, {found}");
    }
    assert_eq!(expected.split_whitespace().count(), 3);
}

/// Number of weights of the long test.
const LONG_COUNT: u64 = 4_000_000;

/// A map of 4 million weights, as a server would load it: imported, packed and scored, with the time and the peak
/// memory of each step, and the largest difference from the sums over the map.
///
/// `cargo test --release -p omomi-cli --test import -- --ignored --nocapture` prints the figures of docs/adopting.md.
#[test]
#[ignore = "takes a minute and 200 MB of disk; it is for the figures"]
fn a_map_of_4_million_weights_is_adopted_in_seconds() {
    let folder = Folder::new();
    let weight = |number: u64| {
        // A weight with all digits of a double, between -1 and 1.
        let hash = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash ^ hash >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64 / 9.3e18 - 1.0
    };
    // Half of them are of sites, a quarter of texts, and a quarter of their cross.
    let (sites, ads) = (LONG_COUNT / 2, LONG_COUNT / 4);
    let cross_of = |number: u64| (number % sites, (number * 7) % ads);
    let mut map = std::collections::HashMap::new();
    let mut text = "bias\t-3.25\n".to_owned();
    let mut add = |key: String, number: u64| {
        writeln!(text, "{key}\t{:?}", weight(number)).unwrap();
        map.insert(key, weight(number));
    };
    for number in 0..sites {
        add(format!("site={}", number * 977), number);
    }
    for number in 0..ads {
        add(format!("ad=単語{number}"), sites + number);
    }
    for number in 0..ads {
        let (site, ad) = cross_of(number);
        add(format!("site*ad={}*単語{ad}", site * 977), sites + ads + number);
    }
    folder.write("map.tsv", &text);
    drop(text);
    let mut log = "site,price,ad\n".to_owned();
    let rows: Vec<(u64, u64)> = (0..200_000_u64)
        .map(|row| if row % 2 == 0 { cross_of(row * 5 % ads) } else { (row * 31 % (sites + 1_000), row * 17 % ads) })
        .collect();
    for (site, ad) in &rows {
        writeln!(log, "{},,単語{ad}", site * 977).unwrap();
    }
    folder.write("log.csv", &log);
    for words in [
        "import --contract contract.toml --weights map.tsv --out map.parquet --quiet",
        "pack --contract contract.toml --state map.parquet --logic-id map --generation 1 --out map.omomi --quiet",
        "predict map.omomi --logs log.csv --out predictions.csv --quiet",
    ] {
        let (seconds, peak_kib) = folder.measured(words);
        println!("{seconds:.1} s, peak {} MiB: {words}", peak_kib / 1024);
        assert!(peak_kib < 300 << 10, "memory is bounded: {peak_kib} KiB");
    }
    let file = fs::metadata(folder.path("map.omomi")).unwrap().len();
    let predictions = fs::read_to_string(folder.path("predictions.csv")).unwrap();
    let mut largest = 0.0_f64;
    for ((site, ad), line) in rows.iter().zip(predictions.lines().skip(1)) {
        let of = |key: String| map.get(&key).copied().unwrap_or(0.0);
        let (site, ad) = (format!("site={}", site * 977), format!("ad=単語{ad}"));
        let cross = format!("site*ad={}*{}", &site[5..], &ad[3..]);
        let expected = -3.25 + of(site) + of(ad) + of(cross);
        let found: f64 = line.split(',').nth(1).unwrap().parse().unwrap();
        largest = largest.max((found - expected).abs());
    }
    println!("{file} bytes; largest difference of a logit from the sum over the map: {largest:.2e}");
    assert!(largest < 3e-7, "three weights, each rounded to f32: {largest}");
    assert_eq!(predictions.lines().count(), rows.len() + 1);
}
