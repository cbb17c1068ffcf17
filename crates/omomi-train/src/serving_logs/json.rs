//! Records as JSON, for people and for other tools.
//!
//! Numbers are exact: a float has as many digits as it takes to read the same bits again. Keys, digests and the like
//! have hexadecimal digits, because JSON readers round large integers. What was not given is absent; a probability or a
//! logit that no model gave is null.

use omomi::serving_log::{
    Block, LoggedFeature, LoggedModel, LoggedPrediction, LoggedValue, Money, Record, RecordBody, RowState,
    SegmentHeader,
};
use serde_json::{Map, Value, json};

use crate::learn::utc;

/// Returns a record as a JSON object. `time` is in RFC 3339.
#[must_use]
pub fn record_json(header: &SegmentHeader, block: &Block<'_>, record: &Record<'_>) -> Value {
    let head = record.head;
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    set("record", json!(kind(&record.body)));
    set("time", json!(time(head.at_unix_ms)));
    set("time_unix_ms", json!(head.at_unix_ms));
    set("server", json!(header.name));
    set("writer", json!(format!("{:016x}", header.writer_id)));
    set("ring", json!(block.ring));
    set("sequence", json!(head.sequence));
    let model = head.model.map(|model| &block.models[model]);
    if let Some(model) = model {
        set("logic_id", json!(model.logic_id));
        set("generation", json!(model.generation));
        set("digest", json!(hex(&model.digest)));
        set("contract_fingerprint", json!(format!("{:016x}", model.contract_fingerprint)));
    }
    match &record.body {
        RecordBody::Prediction(prediction) | RecordBody::Shadow(prediction) => {
            if matches!(record.body, RecordBody::Shadow(_)) {
                set("shadow", json!(true));
            }
            set("model", json!(head.answer));
            object.append(&mut prediction_json(prediction, model));
        }
        RecordBody::Detail(detail) => {
            set("request_id", json!(detail.request_id));
            set("bias", json!(detail.bias));
            set("context", features(&detail.context, model));
            let candidates = detail.candidates.iter().map(|candidate| {
                json!({
                    "logit": number(candidate.logit),
                    "probability": number(f64::from(candidate.probability)),
                    "status": format!("{:?}", candidate.status).to_lowercase(),
                    "features": features(&candidate.features, model),
                })
            });
            set("candidates", candidates.collect());
        }
        RecordBody::Event(event) => {
            set("prediction_id", json!(event.prediction_id.to_string()));
            set("event", json!(event.kind.word()));
            if let Some(money) = event.money {
                set("price", money_json(money));
            }
        }
        RecordBody::Unknown(kind) => set("kind", json!(kind)),
    }
    Value::Object(object)
}

/// Returns a record as a `CloudEvent` (1.0, JSON format), whose `data` is [`record_json`]. Source and id together name
/// the record for ever.
#[must_use]
pub fn cloud_event(header: &SegmentHeader, block: &Block<'_>, record: &Record<'_>) -> Value {
    let data = record_json(header, block, record);
    let subject = ["prediction_id", "request_id"].iter().find_map(|key| data.get(*key).cloned());
    let mut event = json!({
        "specversion": "1.0",
        "id": format!("{}-{}", block.ring, record.head.sequence),
        "source": format!("/omomi/serving-log/{:016x}", header.writer_id),
        "type": format!("io.omomi.{}", kind(&record.body)),
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(time) = time(record.head.at_unix_ms) {
        event["time"] = json!(time);
    }
    if let Some(subject) = subject {
        event["subject"] = subject;
    }
    event
}

const fn kind(body: &RecordBody<'_>) -> &'static str {
    match body {
        RecordBody::Prediction(_) => "prediction",
        RecordBody::Shadow(_) => "shadow",
        RecordBody::Detail(_) => "detail",
        RecordBody::Event(_) => "event",
        RecordBody::Unknown(_) => "unknown",
    }
}

fn prediction_json(prediction: &LoggedPrediction<'_>, model: Option<&LoggedModel<'_>>) -> Map<String, Value> {
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    set("prediction_id", json!(prediction.id.to_string()));
    set("request_id", json!(prediction.request_id));
    for (key, text) in
        [("impression", prediction.impression), ("experiment", prediction.experiment), ("arm", prediction.arm)]
    {
        if !text.is_empty() {
            set(key, json!(text));
        }
    }
    for (key, number) in [("bucket", prediction.bucket), ("position", prediction.position)] {
        if let Some(number) = number {
            set(key, json!(number));
        }
    }
    set("candidate", json!(prediction.candidate));
    set("candidate_count", json!(prediction.candidate_count));
    set("probability", number(f64::from(prediction.probability)));
    set("logit", number(prediction.logit));
    set("source", json!(prediction.source.word()));
    set("status", json!(format!("{:?}", prediction.status).to_lowercase()));
    set("clamped", json!(prediction.is_clamped));
    set("unseen_count", json!(prediction.unseen_count));
    set("missing_count", json!(prediction.missing_count));
    if prediction.latency_ns > 0 {
        set("latency_ns", json!(prediction.latency_ns));
    }
    if let Some(propensity) = prediction.propensity {
        set("propensity", number(propensity));
    }
    if let Some(bid) = prediction.bid {
        set("bid", money_json(bid));
    }
    match &prediction.row {
        RowState::Here(values) => {
            let fields = model.map_or(&[][..], |model| &model.fields);
            let named = fields.iter().zip(values);
            let values = named.filter_map(|(field, value)| Some((field.name.to_owned(), value_json(value.as_ref()?))));
            set("row", Value::Object(values.collect()));
        }
        RowState::Unknown => set("row_missing", json!("no contract says what may be logged")),
        RowState::Changed => set("row_missing", json!("the prepared candidate was changed meanwhile")),
        RowState::Unreadable => set("row_missing", json!("the row cannot be read")),
    }
    object
}

/// Hashes and feature keys are objects, so that nobody takes them for the value.
fn value_json(value: &LoggedValue<'_>) -> Value {
    let hash = |value: &u64| format!("{value:016x}");
    match value {
        LoggedValue::Id(id) => json!(id),
        LoggedValue::Number(value) => number(*value),
        LoggedValue::Text(text) => json!(text),
        LoggedValue::Ids(ids) => json!(ids),
        LoggedValue::Texts(texts) => json!(texts),
        LoggedValue::TextValue(value) => json!({ "xxh3": hash(value) }),
        LoggedValue::TextValues(values) => json!({ "xxh3": values.iter().map(hash).collect::<Vec<_>>() }),
        LoggedValue::Key(key) => json!({ "key": hash(key) }),
        LoggedValue::Keys(keys) => json!({ "key": keys.iter().map(hash).collect::<Vec<_>>() }),
    }
}

fn features(features: &[LoggedFeature], model: Option<&LoggedModel<'_>>) -> Value {
    let features = features.iter().map(|feature| {
        json!({
            "field": model.map_or_else(String::new, |model| group_name(model, feature.group)),
            "key": format!("{:016x}", feature.key),
            "weight": number(f64::from(feature.weight)),
            "source": feature.source.word(),
        })
    });
    features.collect()
}

/// Returns the name of a field, or of a cross, by its index among both.
pub(super) fn group_name(model: &LoggedModel<'_>, group: u16) -> String {
    let group = usize::from(group);
    if let Some(field) = model.fields.get(group) {
        return field.name.to_owned();
    }
    let members = model.crosses.get(group - model.fields.len()).map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = members.iter().map(|member| model.fields[usize::from(*member)].name).collect();
    names.join(omomi::feature::CROSS_JOINER)
}

fn money_json(money: Money) -> Value {
    json!({ "micros": money.micros, "currency": money.currency.code(), "basis": money.basis.word() })
}

/// JSON has no NaN and no infinity: NaN becomes null, and infinities become texts.
fn number(number: f64) -> Value {
    match number {
        f64::INFINITY => json!("inf"),
        f64::NEG_INFINITY => json!("-inf"),
        number => json!(number),
    }
}

fn time(unix_ms: i64) -> Option<String> {
    utc(unix_ms.checked_mul(1_000)?)
}

/// Returns bytes as hexadecimal digits. A join writes two of these for each row, so nothing is formatted.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
    text
}
