//! A log of a small model, and what can be read of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use omomi::contract::Contract;
use omomi::request::{FieldValue, RequestRows};
use omomi::serving_log::{
    Account, Event, LogOptions, LogRing, LoggedDetail, LoggedPrediction, LoggedValue, RecordBody, RecordHead, Recorded,
    RingAccount, RowState, Served, ServingLog,
};
use omomi::weight_file::table::Encoding;
use omomi::{Capacity, Model, Request, RequestLayout, Schema, Scorer};

use crate::small_model;

pub const CANDIDATE_COUNT: usize = 20;
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The contract of the small model, with each policy for fields of several types.
pub fn mixed_contract() -> Contract {
    let mut text = small_model::CONTRACT.to_owned();
    for (field, policy) in [
        ("interest", "hashed"),
        ("floor_price", "hashed"),
        ("title", "hashed"),
        ("creative_id", "hashed"),
        ("region", "never"),
    ] {
        let name = format!("name = \"{field}\"\n");
        text = text.replace(&name, &format!("{name}log = \"{policy}\"\n"));
    }
    omomi_train::toml::parse_contract(&text).unwrap()
}

pub fn model_of(contract: &Contract) -> Arc<Model> {
    small_model::model_in(Encoding::F32, contract, &rows())
}

pub fn rows() -> RequestRows {
    small_model::full_rows(CANDIDATE_COUNT as i64)
}

pub fn layout() -> RequestLayout {
    let capacity = Capacity { candidates: CANDIDATE_COUNT, tail_len_bytes: 8_192 };
    RequestLayout::new(&Schema::of_contract(&small_model::contract()), capacity).unwrap()
}

/// A scorer, a filled request with answers, and a ring.
pub struct Thread {
    pub scorer: Scorer,
    pub request: Request,
    pub ring: LogRing,
}

impl Thread {
    pub fn new(log: &ServingLog, model: &Arc<Model>) -> Self {
        let scorer = Scorer::new(Arc::clone(model), &layout()).unwrap();
        let mut request = scorer.new_request();
        request.fill(&rows()).unwrap();
        scorer.predict_filled(&mut request).unwrap();
        let ring = log.ring(&scorer).unwrap();
        Self { scorer, request, ring }
    }

    /// Records a candidate of the request under an id.
    pub fn record(&mut self, request_id: &str, candidate: usize) -> Recorded {
        self.ring.record(&mut self.request, candidate, &Served::of(request_id)).unwrap()
    }
}

pub fn options() -> LogOptions {
    LogOptions::default().with(|it| {
        it.name = "test".to_owned();
        it.flush_interval = Duration::from_millis(5);
        it.details_per_million = 0;
    })
}

/// What was read of a prediction, without references.
#[derive(Debug, Clone)]
pub struct Prediction {
    pub ring: u32,
    pub head: RecordHead,
    pub request_id: String,
    pub candidate: u32,
    pub logit: f64,
    pub probability: f32,
    /// Fields with their values, in the notation of Rust, or why there are none.
    pub row: Vec<(String, String)>,
    pub row_state: &'static str,
    pub text: String,
}

/// What was read of a folder.
#[derive(Default)]
pub struct Read {
    pub account: Account,
    pub predictions: Vec<Prediction>,
    pub details: Vec<String>,
    pub events: Vec<String>,
}

impl Read {
    pub fn ring(&self) -> RingAccount {
        let mut rings: Vec<_> = self.account.rings().collect();
        assert_eq!(rings.len(), 1, "{rings:?}");
        rings.remove(0)
    }
}

/// Returns the segments of a folder: those that are sealed, or those that are not.
pub fn segments_in(folder: &Path, is_partial: bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let ending = if is_partial { ".omomilog.partial" } else { ".omomilog" };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    paths.sort();
    paths
}

/// Reads all segments of a folder, also partial ones. What is damaged or malformed must be none.
pub fn read(folder: &Path) -> Read {
    let mut read = Read::default();
    for path in segments_in(folder, false).into_iter().chain(segments_in(folder, true)) {
        read_bytes(&fs::read(path).unwrap(), &mut read);
    }
    assert!(read.account.writers().all(|(_, writer)| writer.malformed_count == 0));
    read
}

pub fn read_bytes(bytes: &[u8], read: &mut Read) {
    let Read { account, predictions, details, events } = read;
    let _ = account.read(bytes, &mut |_, block, record| match &record.body {
        RecordBody::Prediction(prediction) | RecordBody::Shadow(prediction) => {
            let LoggedPrediction { request_id, candidate, logit, probability, row, .. } = &**prediction;
            let names = record.head.model.map(|model| &block.models[model].fields);
            let values = match row {
                RowState::Here(values) => {
                    let named = names.unwrap().iter().zip(values);
                    named.filter_map(|(field, value)| Some((field.name.to_owned(), shown(value.as_ref()?)))).collect()
                }
                _ => Vec::new(),
            };
            predictions.push(Prediction {
                ring: block.ring,
                head: record.head,
                request_id: (*request_id).to_owned(),
                candidate: *candidate,
                logit: *logit,
                probability: *probability,
                row: values,
                row_state: match row {
                    RowState::Unknown => "unknown",
                    RowState::Here(_) => "here",
                    RowState::Changed => "changed",
                    RowState::Unreadable => "unreadable",
                },
                text: format!("{prediction:?}"),
            });
        }
        RecordBody::Detail(detail) => {
            let LoggedDetail { request_id, .. } = detail;
            details.push((*request_id).to_owned());
        }
        RecordBody::Event(event) => events.push(format!("{event:?}")),
        RecordBody::Unknown(kind) => panic!("a record of kind {kind}"),
    });
}

fn shown(value: &LoggedValue<'_>) -> String {
    format!("{value:?}")
}

/// The notation of a value of a row that is logged as it is.
pub fn plain(value: &FieldValue) -> String {
    match value {
        FieldValue::Id(id) => format!("Id({id})"),
        FieldValue::Text(text) => format!("Text({text:?})"),
        FieldValue::Number(number) => format!("Number({number:?})"),
        FieldValue::Ids(ids) => format!("Ids({ids:?})"),
        FieldValue::Texts(texts) => format!("Texts({texts:?})"),
    }
}

pub fn click(id: omomi::serving_log::PredictionId) -> Event {
    Event { prediction_id: id, kind: omomi::serving_log::EventKind::Click, at_unix_ms: Some(17), money: None }
}
