//! A server that logs: a small model, requests, and the command.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use omomi::contract::Contract;
use omomi::request::{FieldValue, Row};
use omomi::serving_log::{
    Basis, Currency, Event, EventKind, LogOptions, LogRing, Money, PredictionId, Recorded, Served, ServingLog,
};
use omomi::{Capacity, Model, Request, RequestLayout, Schema, Scorer};
use omomi_train::pack::write_fixture;
use tempfile::TempDir;

/// Every type of field, on both sides, and a cross of two sides.
pub const CONTRACT: &str = r#"
name = "small"
label = "clicked"

[[field]]
name = "site"
side = "context"
type = "id"
meaning = "where the slot is"

[[field]]
name = "segment"
side = "context"
type = "text"
many = true
meaning = "interests of the user"

[[field]]
name = "floor"
side = "context"
type = "number"
unit = "JPY per 1,000 impressions"
range = [0.0, 1000.0]
buckets = [10.0, 50.0, 100.0]
meaning = "lowest bid"

[[field]]
name = "creative"
side = "candidate"
type = "id"
meaning = "what is shown"

[[field]]
name = "title"
side = "candidate"
type = "text"
meaning = "what it says"

[[field]]
name = "tag"
side = "candidate"
type = "id"
many = true
meaning = "what it is about"

[[cross]]
fields = ["site", "creative"]
"#;

pub const WEIGHTS: &str = r#"
bias = -2.0

[[weight]]
of = { site = 3 }
value = 0.5

[[weight]]
of = { segment = "旅行" }
value = 0.25

[[weight]]
of = { creative = 1 }
value = -0.125

[[weight]]
of = { title = "タイトル 0" }
value = 0.375

[[weight]]
of = { floor = 60.0 }
value = 0.75

[[weight]]
of = { site = 3, creative = 1 }
value = 0.0625

[unseen]
creative = -0.5

[missing]
floor = 0.03125
"#;

/// Returns the contract with the policies of some fields changed.
pub fn contract_with(policies: &[(&str, &str)]) -> String {
    let mut text = CONTRACT.to_owned();
    for (field, policy) in policies {
        let name = format!("name = \"{field}\"\n");
        assert!(text.contains(&name));
        text = text.replace(&name, &format!("{name}log = \"{policy}\"\n"));
    }
    text
}

pub const CANDIDATE_COUNT: usize = 4;
/// 2026-10-01 00:00:00 UTC.
pub const START_UNIX_MS: i64 = 1_790_812_800_000;
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a contract, a weight file `7.omomi` and a log `served`.
pub struct World {
    pub folder: TempDir,
    pub contract: Contract,
    pub model: Arc<Model>,
}

/// A log that is open, with a ring and a filled request.
pub struct Server {
    pub log: ServingLog,
    pub ring: LogRing,
    pub scorer: Scorer,
    pub request: Request,
}

impl World {
    pub fn new(policies: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = contract_with(policies);
        fs::write(folder.path().join("contract.toml"), &text).unwrap();
        let contract = omomi_train::toml::parse_contract(&text).unwrap();
        let model = write_fixture(&contract, WEIGHTS, 7, "ctr-a", folder.path().join("7.omomi")).unwrap();
        Self { folder, contract, model }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn serve(&self, change: impl FnOnce(&mut LogOptions)) -> Server {
        self.serve_to("served", change)
    }

    pub fn serve_to(&self, name: &str, change: impl FnOnce(&mut LogOptions)) -> Server {
        let options = LogOptions::default().with(|it| {
            it.name = "test".to_owned();
            it.details_per_million = 0;
            change(it);
        });
        let log = ServingLog::open(self.path(name), options).unwrap();
        let capacity = Capacity { candidates: CANDIDATE_COUNT, tail_len_bytes: 4_096 };
        let layout = RequestLayout::new(&Schema::of_contract(&self.contract), capacity).unwrap();
        let scorer = Scorer::new(Arc::clone(&self.model), &layout).unwrap();
        let request = scorer.new_request();
        let ring = log.ring(&scorer).unwrap();
        Server { log, ring, scorer, request }
    }

    pub fn omomi(&self, words: &str) -> Output {
        omomi(self.folder.path(), words)
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn done(&self, words: &str) -> String {
        let output = self.omomi(words);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with exit code 1, and returns its errors.
    pub fn failed(&self, words: &str) -> String {
        let output = self.omomi(words);
        assert_eq!(output.status.code(), Some(1), "{words}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// The segments of a log, also the one that is still written. A writer's report is not one of them.
    pub fn segments(&self, name: &str) -> Vec<PathBuf> {
        let mut paths = self.files(name);
        paths.retain(|path| path.extension() != Some("status".as_ref()));
        paths
    }

    /// The files in the folder of a log.
    pub fn files(&self, name: &str) -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

pub fn omomi(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_omomi")).args(words.split(' ')).current_dir(folder).output().unwrap()
}

/// The context of request `number`: every third has no floor price.
pub fn context(number: i64) -> Row {
    let segments = if number % 2 == 0 { vec!["旅行".to_owned(), String::new()] } else { vec!["news".to_owned()] };
    let mut row = Row::from([
        ("site".to_owned(), FieldValue::Id(number % 5)),
        ("segment".to_owned(), FieldValue::Texts(segments)),
    ]);
    if number % 3 != 0 {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        row.insert("floor".to_owned(), FieldValue::Number(number as f64 * 7.5));
    }
    row
}

pub fn candidate(number: i64, index: i64) -> Row {
    Row::from([
        ("creative".to_owned(), FieldValue::Id((number + index) % 7)),
        ("title".to_owned(), FieldValue::Text(format!("タイトル {}", (number + index) % 3))),
        ("tag".to_owned(), FieldValue::Ids(vec![index, 100 + number % 4])),
    ])
}

impl Server {
    /// Fills and scores request `number`.
    pub fn predict(&mut self, number: i64) {
        self.request.clear();
        self.request.context().set_all(&context(number)).unwrap();
        for index in 0..CANDIDATE_COUNT {
            let row = candidate(number, i64::try_from(index).unwrap());
            self.request.candidate(index).unwrap().set_all(&row).unwrap();
        }
        self.scorer.predict_filled(&mut self.request).unwrap();
    }

    /// Scores request `number`, and records its candidate `number % 4`, a second after the one before. Returns the
    /// prediction id.
    pub fn serve(&mut self, number: i64) -> PredictionId {
        self.predict(number);
        let request_id = request_id(number);
        let served = Served::of(&request_id).with(|it| {
            it.at_unix_ms = Some(at(number));
            it.position = Some(2);
            it.bid = Some(money(1_500_000 + number));
            it.latency_ns = 12_000;
        });
        let candidate = chosen(number);
        let recorded = self.ring.record(&mut self.request, candidate, &served).unwrap();
        assert_eq!(recorded, Recorded::Queued);
        id_of(number)
    }

    pub fn serve_all(&mut self, numbers: std::ops::Range<i64>) {
        for number in numbers {
            self.serve(number);
        }
    }

    pub fn event(&mut self, number: i64, kind: EventKind, after_ms: i64) {
        let money = (kind == EventKind::Win).then(|| money(900_000 + number));
        let event = Event { prediction_id: id_of(number), kind, at_unix_ms: Some(at(number) + after_ms), money };
        assert_eq!(self.ring.event(&event).unwrap(), Recorded::Queued);
    }

    /// Closes the log.
    pub fn close(self) {
        drop(self.ring);
        assert!(self.log.flush(PATIENCE));
    }
}

pub fn request_id(number: i64) -> String {
    format!("request-{number}")
}

pub fn chosen(number: i64) -> usize {
    usize::try_from(number).unwrap() % CANDIDATE_COUNT
}

pub fn id_of(number: i64) -> PredictionId {
    PredictionId::of(&request_id(number), "", u32::try_from(chosen(number)).unwrap()).unwrap()
}

pub fn at(number: i64) -> i64 {
    START_UNIX_MS + number * 1_000
}

pub fn money(micros: i64) -> Money {
    Money { micros, currency: Currency::new("JPY").unwrap(), basis: Basis::ThousandImpressions }
}

/// The counts that the command printed.
pub fn counts(said: &str) -> BTreeMap<String, u64> {
    let lines = said.lines().filter_map(|line| line.trim().rsplit_once("  "));
    lines.map(|(name, count)| (name.trim().to_owned(), count.trim().replace(',', "").parse().unwrap())).collect()
}
