//! The loop closes: what a live model served, joined with clicks, trains the model that the original rows train.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::sync::Arc;

use omomi::live::{LiveModel, LiveOptions};
use omomi::request::FieldValue;
use omomi::serving_log::{Event, EventKind, LogOptions, PredictionId, Recorded, Served, ServingLog};
use omomi::weight_file::layout::SectionKind;
use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema};

use crate::world::{
    CANDIDATE_COUNT, PATIENCE, World, at, candidate, chosen, context, contract_with, counts, request_id,
};

const REQUEST_COUNT: i64 = 2_000;
/// Every field, as its key.
const HASHED: [(&str, &str); 6] = [
    ("site", "hashed"),
    ("segment", "hashed"),
    ("floor", "hashed"),
    ("creative", "hashed"),
    ("title", "hashed"),
    ("tag", "hashed"),
];

/// Whether request `number` is clicked: some sites more often than others.
fn is_clicked(number: i64) -> bool {
    (number * 7_919 + number / 3) % 11 <= number % 5
}

fn json(value: &FieldValue) -> serde_json::Value {
    match value {
        FieldValue::Id(id) => (*id).into(),
        FieldValue::Text(text) => text.clone().into(),
        FieldValue::Number(number) => (*number).into(),
        FieldValue::Ids(ids) => ids.clone().into(),
        FieldValue::Texts(texts) => texts.clone().into(),
    }
}

/// Request `number` with its chosen candidate, as a line of JSON.
fn line(number: i64) -> String {
    let row = context(number).into_iter().chain(candidate(number, i64::try_from(chosen(number)).unwrap()));
    let mut row: serde_json::Map<_, _> = row.map(|(name, value)| (name, json(&value))).collect();
    row.insert("clicked".to_owned(), u8::from(is_clicked(number)).into());
    row.insert("timestamp".to_owned(), (at(number) * 1_000).into());
    format!("{}\n", serde_json::Value::Object(row))
}

/// Serves requests with a live model and logs them, with details of one in a thousand. Writes the rows to
/// `original.jsonl`, some others to `held-out.jsonl`, and joins the log to `joined.parquet`.
pub fn served(policies: &[(&str, &str)], request_count: i64) -> World {
    let world = World::new(policies);
    world.done("publish 7.omomi --to store --unblessed");
    let schema = Schema::of_contract(&world.contract);
    let live =
        LiveModel::open(world.path("store"), &schema, LiveOptions::default().with(|it| it.name = "a".to_owned()))
            .unwrap();
    let capacity = Capacity { candidates: CANDIDATE_COUNT, tail_len_bytes: 4_096 };
    let scorer = live.scorer(&RequestLayout::new(&schema, capacity).unwrap()).unwrap();
    let mut request = scorer.new_request();
    let log = ServingLog::open(world.path("served"), LogOptions::default()).unwrap();
    let mut ring = log.live_ring(&scorer).unwrap();
    let mut events = log.event_ring().unwrap();
    let mut original = BufWriter::new(File::create(world.path("original.jsonl")).unwrap());
    for number in 0..request_count {
        request.clear();
        request.context().set_all(&context(number)).unwrap();
        for index in 0..CANDIDATE_COUNT {
            request.candidate(index).unwrap().set_all(&candidate(number, i64::try_from(index).unwrap())).unwrap();
        }
        scorer.predict_filled(&mut request).unwrap();
        let (id, served) = (request_id(number), chosen(number));
        let served_at = Served::of(&id).with(|it| it.at_unix_ms = Some(at(number)));
        assert_eq!(ring.record(&mut request, served, &served_at).unwrap(), Recorded::Queued);
        if is_clicked(number) {
            let prediction_id = PredictionId::of(&id, "", u32::try_from(served).unwrap()).unwrap();
            let at_unix_ms = Some(at(number) + number % 1_000);
            let event = Event { prediction_id, kind: EventKind::Click, at_unix_ms, money: None };
            assert_eq!(events.event(&event).unwrap(), Recorded::Queued);
        }
        original.write_all(line(number).as_bytes()).unwrap();
        if number % 500 == 499 {
            assert!(log.flush(PATIENCE));
        }
    }
    drop((ring, events, log));
    original.flush().unwrap();
    let held_out: String = (request_count..request_count + 300).map(line).collect();
    fs::write(world.path("held-out.jsonl"), held_out).unwrap();
    world.done("log check served --contract contract.toml");
    let join = "log join served --contract contract.toml --window 1h --until 2026-12-01T00:00:00Z --out joined.parquet";
    assert_eq!(counts(&world.done(join))["rows"], u64::try_from(request_count).unwrap());
    world
}

/// Trains and packs a model from `rows`.
fn trained(world: &World, rows: &str, name: &str) -> Arc<Model> {
    world.done(&format!(
        "train --contract contract.toml --logs {rows} --time-column timestamp --state {name}.state.parquet --alpha 0.1 \
         --passes 1 --quiet"
    ));
    world.done(&format!(
        "pack --contract contract.toml --state {name}.state.parquet --held-out held-out.jsonl --logic-id ctr-a \
         --generation 8 --out {name}.omomi"
    ));
    Model::load(world.path(&format!("{name}.omomi")), LoadMode::Copy).unwrap()
}

/// Trains from the original and from the joined rows, and checks that the weight files are equal byte for byte.
pub fn check_equal(world: &World) {
    let files = [("original.jsonl", "original"), ("joined.parquet", "joined")];
    let files = files.map(|(rows, name)| trained(world, rows, name));
    assert!(files[0].weight_count() > 30, "{}", files[0].weight_count());
    for kind in SectionKind::ALL {
        // The provenance names the files that were read.
        if kind != SectionKind::Provenance {
            assert!(files[0].file().section(kind) == files[1].file().section(kind), "{}", kind.name());
        }
    }
    assert_eq!(files[0].bias().to_bits(), files[1].bias().to_bits());
}

#[test]
fn the_model_from_the_served_log_equals_the_model_from_the_original_rows() {
    let world = served(&[], REQUEST_COUNT);
    check_equal(&world);

    // The served log is like the learned one; without a field, it is not.
    let compare = |served: &str| {
        world.omomi(&format!("log drift --model joined.omomi --learned original.jsonl --logs {served} --quiet"))
    };
    let same = compare("joined.parquet");
    assert!(
        same.status.success(),
        "{}{}",
        String::from_utf8_lossy(&same.stdout),
        String::from_utf8_lossy(&same.stderr)
    );
    let rows = fs::read_to_string(world.path("original.jsonl")).unwrap().replace("\"site\"", "\"sight\"");
    let rows = rows.replacen("\"sight\"", "\"site\"", 20);
    fs::write(world.path("other.jsonl"), rows).unwrap();
    let other = compare("other.jsonl");
    let said = String::from_utf8(other.stdout).unwrap();
    assert_eq!(other.status.code(), Some(3), "{said}");
    let worst = said.split("\n\n").nth(1).unwrap();
    assert!(worst.starts_with("missing of site"), "{said}");
}

#[test]
fn the_model_from_logged_keys_equals_the_model_from_plain_rows() {
    let world = served(&HASHED, REQUEST_COUNT);
    check_equal(&world);
    let replayed = counts(&world.done("log replay served --files 7.omomi"));
    assert_eq!(replayed["equal, bit for bit"], u64::try_from(REQUEST_COUNT).unwrap());

    // The state names categories by their keys, and nothing by its plain value.
    let state = fs::read(world.path("joined.state.parquet")).unwrap();
    assert!(!state.windows("タイトル".len()).any(|bytes| bytes == "タイトル".as_bytes()));
    let metrics = |rows: &str, file: &str| {
        world.done(&format!("evaluate {file} --logs {rows} --json {rows}.json --quiet"));
        let said = fs::read(world.path(&format!("{rows}.json"))).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        said["models"][0]["overall"].clone()
    };
    let of_plain = metrics("original.jsonl", "joined.omomi");
    assert!(of_plain["log_loss"].is_number(), "{of_plain}");
    assert_eq!(of_plain, metrics("joined.parquet", "joined.omomi"));
    for rows in ["original.jsonl", "joined.parquet"] {
        let words = format!("predict joined.omomi --logs {rows} --out {rows}.csv --quiet");
        world.done(&words);
    }
    let predictions = ["original.jsonl.csv", "joined.parquet.csv"].map(|name| fs::read(world.path(name)).unwrap());
    assert!(predictions[0].len() > 10_000 && predictions[0] == predictions[1]);
    let same = world.omomi("log drift --model joined.omomi --learned original.jsonl --logs joined.parquet --quiet");
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    let explained = world.failed("explain joined.omomi --logs joined.parquet --row 3");
    assert!(explained.contains("has only feature keys of `site`"), "{explained}");

    // A file without held-out rows has golden requests of the categories that have plain values, so of none here.
    world.done(
        "pack --contract contract.toml --state joined.state.parquet --logic-id ctr-a --generation 9 --out 9.omomi",
    );
    world.done("verify 9.omomi");
    let output = world.omomi(
        "pack --contract contract.toml --state joined.state.parquet --held-out joined.parquet --logic-id ctr-a \
         --generation 10 --out 10.omomi",
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("`site`, so no golden request covers that field"), "{said}");
    // A live list has plain values, and the state the keys of them.
    fs::write(world.path("live.csv"), "creative\n0\n1\n2\n3\n4\n").unwrap();
    for name in ["original", "joined"] {
        world.done(&format!(
            "prune {name}.state.parquet --out {name}.live.parquet --live live.csv --field creative --allow --quiet"
        ));
    }
    let pruned = ["original", "joined"]
        .map(|name| omomi_train::learn::state::feature_keys(world.path(&format!("{name}.live.parquet"))).unwrap());
    assert!(pruned[0] == pruned[1]);
    world.done("report --evaluation joined.parquet.json --state joined.state.parquet --out report.html");
    world.done(
        "baseline --contract contract.toml --logs joined.parquet --by creative --out simple.parquet --prior-clicks 1 \
         --prior-impressions 10 --quiet",
    );
}

#[test]
fn plain_rows_and_rows_of_keys_train_one_model_in_any_mixture() {
    let world = served(&HASHED, REQUEST_COUNT);
    let rows = fs::read_to_string(world.path("original.jsonl")).unwrap();
    let lines: Vec<&str> = rows.lines().collect();
    // More rows than a batch has: the first one sets the bias with which training begins.
    fs::write(world.path("more.jsonl"), vec![lines[..700].join("\n"); 12].join("\n")).unwrap();
    fs::write(world.path("last.jsonl"), lines[900..1_300].join("\n")).unwrap();
    let plain = trained(&world, "more.jsonl original.jsonl last.jsonl", "plain");
    let mixed = trained(&world, "more.jsonl joined.parquet last.jsonl", "mixed");
    assert!(plain.file().section(SectionKind::Weights) == mixed.file().section(SectionKind::Weights));
    assert_eq!(plain.bias().to_bits(), mixed.bias().to_bits());

    // A state of keys is continued with plain rows, and the reverse.
    let on = |start: &str, rows: &str, name: &str| {
        world.done(&format!(
            "train --contract contract.toml --start {start}.state.parquet --logs {rows} --time-column timestamp --state \
             {name}.state.parquet --passes 1 --quiet"
        ));
        world.done(&format!(
            "pack --contract contract.toml --state {name}.state.parquet --held-out held-out.jsonl --logic-id ctr-a \
             --generation 9 --out {name}.omomi"
        ));
        Model::load(world.path(&format!("{name}.omomi")), LoadMode::Copy).unwrap()
    };
    trained(&world, "original.jsonl", "of-plain");
    trained(&world, "joined.parquet", "of-keys");
    let first = on("of-plain", "more.jsonl", "plain-plain");
    let second = on("of-keys", "more.jsonl", "keys-plain");
    assert!(first.file().section(SectionKind::Weights) == second.file().section(SectionKind::Weights));
}

#[test]
fn training_says_which_field_a_served_log_never_has() {
    let world = served(&[("segment", "never")], 100);
    let train =
        "train --contract contract.toml --logs joined.parquet --state state.parquet --alpha 0.1 --passes 1 --quiet";
    let said = world.failed(train);
    let expected = "the field `segment` has no value in any of 100 rows: the contract says that it is never logged";
    assert!(said.contains(expected) && said.contains("who must act: ml"), "{said}");

    let text =
        contract_with(&[("segment", "never")]).replace("log = \"never\"", "log = \"never\"\nmay_be_empty = true");
    fs::write(world.path("contract.toml"), text).unwrap();
    let output = world.omomi(train);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("warning: `segment` has no value in any of 100 rows"), "{said}");
}
