//! The loop closes: what a live model served, joined with clicks, trains the model that the original rows train.

use std::fs;

use omomi::live::{LiveModel, LiveOptions};
use omomi::request::FieldValue;
use omomi::serving_log::{Event, EventKind, LogOptions, PredictionId, Recorded, Served, ServingLog};
use omomi::weight_file::layout::SectionKind;
use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema};

use crate::world::{CANDIDATE_COUNT, PATIENCE, World, at, candidate, chosen, context, request_id};

const REQUEST_COUNT: i64 = 2_000;

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

#[test]
fn the_model_from_the_served_log_equals_the_model_from_the_original_rows() {
    let world = World::new(&[]);
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
    let mut original = String::new();
    for number in 0..REQUEST_COUNT {
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
        original.push_str(&line(number));
        if number % 500 == 499 {
            assert!(log.flush(PATIENCE));
        }
    }
    drop((ring, events, log));
    fs::write(world.path("original.jsonl"), original).unwrap();
    let held_out: String = (REQUEST_COUNT..REQUEST_COUNT + 300).map(line).collect();
    fs::write(world.path("held-out.jsonl"), held_out).unwrap();
    world.done("log check served --contract contract.toml");
    let join = "log join served --contract contract.toml --window 1h --until 2026-10-02T00:00:00Z --out joined.parquet";
    assert!(world.done(join).contains("2,000"));

    let files = [("original.jsonl", "original"), ("joined.parquet", "joined")].map(|(rows, name)| {
        world.done(&format!(
            "train --contract contract.toml --logs {rows} --time-column timestamp --state {name}.state.parquet --alpha \
             0.1 --passes 1 --quiet"
        ));
        world.done(&format!(
            "pack --contract contract.toml --state {name}.state.parquet --held-out held-out.jsonl --logic-id ctr-a \
             --generation 8 --out {name}.omomi"
        ));
        Model::load(world.path(&format!("{name}.omomi")), LoadMode::Copy).unwrap()
    });
    assert!(files[0].weight_count() > 30, "{}", files[0].weight_count());
    for kind in SectionKind::ALL {
        // The provenance names the files that were read.
        if kind != SectionKind::Provenance {
            assert!(files[0].file().section(kind) == files[1].file().section(kind), "{}", kind.name());
        }
    }
    assert_eq!(files[0].bias().to_bits(), files[1].bias().to_bits());

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
