//! The reader under `tests/reference` was written in Python from `SERVING_LOG.md` alone. It must agree with the crate
//! about every record, and compute every logged prediction again, bit for bit.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use omomi::serving_log::{
    Account, Basis, Block, Currency, DropReason, Event, EventKind, LoggedFeature, LoggedModel, LoggedValue, Money,
    PredictionId, Record, RecordBody, RowState, Served, ServingLog, Source,
};
use omomi::weight_file::table::Encoding;
use omomi::{CandidateSet, Model, RequestLayout, Scorer};
use serde_json::{Value, json};

use crate::small_model;
use crate::world::{CANDIDATE_COUNT, Thread, layout, mixed_contract, model_of, options, rows, segments_in};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference");

/// Runs the reference reader. Without Python, prints a message and returns nothing.
fn read(segments: &[PathBuf], replay: Option<&Path>) -> Option<Result<String, String>> {
    let mut command = Command::new("python3");
    command.arg(Path::new(REFERENCE).join("serving_log.py")).args(segments).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(file) = replay {
        command.arg("--replay").arg(file);
    }
    let Ok(output) = command.output() else {
        eprintln!("SKIPPED: there is no python3 on the path to run the reference reader with");
        return None;
    };
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    match output.status.code() {
        Some(0) => Some(Ok(stdout)),
        Some(1) if !stderr.contains("Traceback") => Some(Err(stderr)),
        _ => panic!("{}\n{stdout}\n{stderr}", output.status),
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bits(number: f64) -> Value {
    json!(format!("{:016x}", number.to_bits()))
}

fn short_bits(number: f32) -> Value {
    json!(format!("{:08x}", number.to_bits()))
}

fn money(money: Option<Money>) -> Value {
    money.map_or(Value::Null, |money| json!([money.micros, money.currency.code(), money.basis.word()]))
}

fn features(model: &LoggedModel<'_>, features: &[LoggedFeature]) -> Value {
    let name = |group: usize| match model.fields.get(group) {
        Some(field) => field.name.to_owned(),
        None => {
            let members = &model.crosses[group - model.fields.len()];
            members.iter().map(|member| model.fields[usize::from(*member)].name).collect::<Vec<_>>().join("*")
        }
    };
    features
        .iter()
        .map(|it| json!([name(it.group.into()), format!("{:016x}", it.key), short_bits(it.weight), it.source.word()]))
        .collect()
}

/// The line of the reference reader for a record.
fn line_of(writer_id: u64, block: &Block<'_>, record: &Record<'_>) -> Value {
    let model = record.head.model.map(|model| &block.models[model]);
    let mut line = json!({
        "answer": record.head.answer,
        "at": record.head.at_unix_ms,
        "model": model.map(|it| {
            format!("{} {} {} {:016x}", it.logic_id, it.generation, hex_of(&it.digest), it.contract_fingerprint)
        }),
        "ring": block.ring,
        "sequence": record.head.sequence,
        "writer": format!("{writer_id:016x}"),
    });
    let more = match &record.body {
        RecordBody::Prediction(it) | RecordBody::Shadow(it) => {
            let (state, row) = match &it.row {
                RowState::Unknown => ("unknown", Value::Null),
                RowState::Changed => ("changed", Value::Null),
                RowState::Unreadable => ("unreadable", Value::Null),
                RowState::Here(row) => ("here", row.iter().map(|value| value.as_ref().map(value_of)).collect()),
            };
            json!({
                "kind": if matches!(record.body, RecordBody::Shadow(_)) { "shadow" } else { "prediction" },
                "id": it.id.to_string(),
                "logit": bits(it.logit),
                "probability": short_bits(it.probability),
                "candidate": it.candidate,
                "candidates": it.candidate_count,
                "unseen": it.unseen_count,
                "missing": it.missing_count,
                "latency_ns": it.latency_ns,
                "propensity": bits(it.propensity.unwrap_or(f64::NAN)),
                "bid": money(it.bid),
                "source": it.source.word(),
                "clamped": it.is_clamped,
                "status": it.status.number(),
                "position": it.position,
                "bucket": it.bucket,
                "request": it.request_id,
                "impression": it.impression,
                "experiment": it.experiment,
                "arm": it.arm,
                "row_state": state,
                "row": row,
            })
        }
        RecordBody::Detail(it) => {
            let model = model.unwrap();
            let candidates = it.candidates.iter().map(|candidate| {
                json!([
                    bits(candidate.logit),
                    short_bits(candidate.probability),
                    candidate.status.number(),
                    features(model, &candidate.features)
                ])
            });
            json!({
                "kind": "detail",
                "request": it.request_id,
                "bias": bits(it.bias),
                "context": features(model, &it.context),
                "candidates": candidates.collect::<Vec<_>>(),
            })
        }
        RecordBody::Event(it) => {
            json!({
                "kind": "event",
                "id": it.prediction_id.to_string(),
                "money": money(it.money),
                "event": it.kind.word(),
            })
        }
        RecordBody::Unknown(kind) => panic!("a record of kind {kind}"),
    };
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn value_of(value: &LoggedValue<'_>) -> Value {
    match value {
        LoggedValue::Id(it) => json!(["id", it]),
        LoggedValue::Number(it) => json!(["number", bits(*it)]),
        LoggedValue::Text(it) => json!(["text", it]),
        LoggedValue::TextValue(it) => json!(["text_value", it]),
        LoggedValue::Key(it) => json!(["key", it]),
        LoggedValue::Ids(it) => json!(["ids", it]),
        LoggedValue::Texts(it) => json!(["texts", it]),
        LoggedValue::TextValues(it) => json!(["text_values", it]),
        LoggedValue::Keys(it) => json!(["keys", it]),
    }
}

/// What the crate reads, in the lines of the reference reader.
fn lines_of(segments: &[PathBuf]) -> Vec<Value> {
    let (mut lines, mut account) = (Vec::new(), Account::new());
    for path in segments {
        let bytes = std::fs::read(path).unwrap();
        let visit = &mut |header: &omomi::serving_log::SegmentHeader, block: &Block<'_>, record: &Record<'_>| {
            lines.push(line_of(header.writer_id, block, record));
        };
        account.read(&bytes, visit).unwrap();
    }
    for ring in account.rings() {
        let dropped = DropReason::ALL.iter().filter(|reason| ring.counts.dropped_for(**reason) > 0);
        let dropped = dropped.map(|reason| (reason.word().to_owned(), json!(ring.counts.dropped_for(*reason))));
        lines.push(json!({
            "kind": "ring",
            "writer": format!("{:016x}", ring.key.writer_id),
            "ring": ring.key.ring,
            "read": ring.read,
            "next": ring.next_sequence,
            "missing": ring.missing,
            "unexplained": ring.unexplained,
            "written": ring.counts.written,
            "sampled_out": ring.counts.sampled_out,
            "dropped": dropped.collect::<serde_json::Map<_, _>>(),
        }));
    }
    lines
}

/// Records odd values of every kind with `model`.
fn record_odd_rows(thread: &mut Thread) {
    let slot = |name: &str| thread.request.layout().schema().slot(name).unwrap();
    let [region, interest, floor_price, title, tag, age] =
        ["region", "interest", "floor_price", "title", "tag", "age_seconds"].map(slot);
    let request = &mut thread.request;
    request.clear();
    request.context().set_text_value(region, 77).unwrap();
    request.context().set_number(floor_price, f64::NAN).unwrap();
    request.context().set_texts(interest, &["旅行", "旅行", ""]).unwrap();
    request.candidate(0).unwrap().set_text(title, &"長".repeat(200)).unwrap();
    request.candidate(1).unwrap().set_ids(tag, &[]).unwrap();
    request.candidate(1).unwrap().set_number(age, 1e18).unwrap();
    request.candidate(2).unwrap().set_number(age, -0.0).unwrap();
    request.candidate(2).unwrap().set_ids(tag, &[i64::MIN, -1, i64::MAX]).unwrap();
    thread.scorer.predict_filled(request).unwrap();
    for candidate in 0..3 {
        thread.record("odd", candidate);
    }
    let own = Served::of("late").with(|it| (it.source, it.own_probability) = (Source::Refused, Some(0.25)));
    let mut empty = thread.scorer.new_request();
    thread.ring.record(&mut empty, 3, &own).unwrap();
    assert!(thread.ring.record(&mut thread.request, 3, &Served::of("nothing")).is_err());
}

/// Records with inline and with prepared candidates; returns the number of predictions with whole rows.
fn record_everything(log: &ServingLog, model: &Arc<Model>) -> usize {
    let mut thread = Thread::new(log, model);
    let bid = Money { micros: 77, currency: Currency::new("EUR").unwrap(), basis: Basis::Click };
    for index in 0..60 {
        let id = format!("リクエスト-{index}");
        let served = Served::of(&id).with(|it| {
            it.impression = "imp";
            it.position = (index % 3 == 0).then_some(u32::try_from(index).unwrap());
            it.bid = (index % 2 == 0).then_some(bid);
            it.propensity = Some(0.125);
            it.experiment = "bids";
        });
        thread.ring.record(&mut thread.request, index % CANDIDATE_COUNT, &served).unwrap();
        let event = Event {
            prediction_id: PredictionId::of(&id, "imp", 0).unwrap(),
            kind: EventKind::ALL[index % 4],
            at_unix_ms: Some(-1),
            money: Some(bid),
        };
        thread.ring.event(&event).unwrap();
    }
    record_odd_rows(&mut thread);
    let set = Arc::new(CandidateSet::new(&layout(), 100, 8).unwrap());
    let mut carrier = omomi::Request::new(&layout());
    carrier.fill(&rows()).unwrap();
    let names: Vec<u32> = (0..CANDIDATE_COUNT).map(|index| set.add(&mut carrier, index).unwrap()).collect();
    let prepared = RequestLayout::prepared(layout().schema(), layout().capacity()).unwrap();
    let scorer = Scorer::with_candidates(vec![Arc::clone(model)], &prepared, &set).unwrap();
    let mut request = scorer.new_request();
    request.context().set_all(&rows().context).unwrap();
    request.set_candidates(&names).unwrap();
    scorer.predict_filled(&mut request).unwrap();
    let mut ring = log.ring(&scorer).unwrap();
    for candidate in 0..CANDIDATE_COUNT {
        ring.record(&mut request, candidate, &Served::of("prepared")).unwrap();
    }
    60 + 3 + CANDIDATE_COUNT
}

#[test]
fn the_reference_reader_agrees_on_every_record_and_computes_every_prediction_again() {
    let folder = tempfile::tempdir().unwrap();
    let changed = options().with(|it| (it.max_segment_len_bytes, it.details_per_million) = (1 << 14, 60_000));
    let log = ServingLog::open(folder.path(), changed).unwrap();
    let contract = small_model::contract();
    let hashed = {
        let text = small_model::CONTRACT.replace("meaning =", "log = \"hashed\"\nmeaning =");
        omomi_train::toml::parse_contract(&text).unwrap()
    };
    let models = [
        model_of(&contract),
        small_model::model_with_defaults(Encoding::I8, &contract, &rows()),
        model_of(&hashed),
        model_of(&mixed_contract()),
    ];
    let whole_counts = models.each_ref().map(|model| record_everything(&log, model));
    drop(log);
    let segments = segments_in(folder.path(), false);
    let expected = lines_of(&segments);
    let Some(found) = read(&segments, None) else { return };
    let found: Vec<Value> = found.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    let count = |kind: &str| found.iter().filter(|line| line["kind"] == kind).count();
    assert!(count("prediction") > 300 && count("event") == 240 && count("detail") > 8 && count("ring") == 8);
    // The last contract has a field that is never logged.
    for (model, whole_count) in models.iter().zip(whole_counts).take(3) {
        let file = folder.path().join("model.omomi");
        std::fs::write(&file, model.file().bytes()).unwrap();
        let said = read(&segments, Some(&file)).unwrap().unwrap();
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(last, json!({ "kind": "replay", "equal": whole_count }));
    }
}

#[test]
fn the_reference_reader_finds_a_prediction_that_does_not_follow_from_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let model = model_of(&small_model::contract());
    let mut thread = Thread::new(&log, &model);
    // The row is changed between the answer and the record, which a careless server might do.
    let age = thread.request.layout().schema().slot("age_seconds").unwrap();
    thread.request.candidate(3).unwrap().set_number(age, 1e8).unwrap();
    for candidate in 0..CANDIDATE_COUNT {
        thread.record("1", candidate);
    }
    drop((thread, log));
    let file = folder.path().join("model.omomi");
    std::fs::write(&file, model.file().bytes()).unwrap();
    let Some(said) = read(&segments_in(folder.path(), false), Some(&file)) else { return };
    let id = PredictionId::of("1", "", 3).unwrap();
    assert!(said.unwrap_err().contains(&format!("prediction {id}: logged ")));
}
