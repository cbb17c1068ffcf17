//! The key-value metadata of a training state, and the difference between two states. States with a difference can
//! neither be averaged nor continue each other.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use parquet::file::metadata::KeyValue;
use serde_json::{Map, Value};

use crate::learn::{Settings, WeightRule};
use crate::lineage::LearnedLog;
use crate::log::LogDialect;
use omomi::contract::Contract;
use omomi::store::Digest;

use super::{FORMAT_VERSION, MAX_COUNT, MAX_PROVENANCE_LEN, StateError};

/// Metadata of a training state: what was trained, on what, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// The contract, with how its logs are read.
    pub contract: Contract,
    /// Settings of the optimizer.
    pub settings: Settings,
    /// How the weights to serve are computed from `z` and `d`.
    pub weight_rule: WeightRule,
    /// Whether [pruning](crate::prune) has removed features. Such a state is for packing only, because part of what was
    /// learned is missing.
    pub pruned: bool,
    /// Whether the weights were [imported](crate::adopt::import) without the evidence that they were learned from. Such
    /// a state can be packed, pruned and recalibrated, but training cannot continue from it.
    pub without_evidence: bool,
    /// Share of the rows without a click that were learned, each with an importance of 1 divided by this share; 1 if
    /// all of them were learned.
    pub negative_rate: f64,
    /// Name of the column with the importance of the rows, also of those of the start state; `None` if every row
    /// counted once. Later steps that read rows must [say](crate::log::ReadOptions::check_importance) how much theirs
    /// count.
    pub importance_column: Option<String>,
    /// How the CSV logs were written, or those of the start state; `None` if no log was CSV. Later steps
    /// [take it over](crate::log::ReadOptions::as_trained).
    pub log_dialect: Option<LogDialect>,
    /// Number of training runs in this average; 1 for a single run.
    pub shards: u32,
    /// Times of the first and the last row, including those of the start state, in microseconds since 1970-01-01 UTC;
    /// `None` if the logs had no times.
    pub window_us: Option<(i64, i64)>,
    /// Number of rows of one pass, plus those of the start state.
    pub rows: u64,
    /// Number of rows as far as decay leaves them: those of the start state count as much as their evidence.
    pub effective_rows: u64,
    /// Number of the rows that were clicked.
    pub clicks: u64,
    /// Number of passes over the rows.
    pub passes: u32,
    /// The state that training continued from; `None` if it was trained from scratch.
    pub start: Option<Start>,
    /// The logs that the model has learned from, including those of its start state, and the steps that used them.
    pub lineage: Vec<LearnedLog>,
    /// Version of the library that wrote the state.
    pub tool_version: String,
    /// What else is known of how the state was made, such as metrics, the spread of an average, or what pruning did. It
    /// is the same whenever the same rows are learned, so it has no path, time of day or duration. At most
    /// [`MAX_PROVENANCE_LEN`](super::MAX_PROVENANCE_LEN) bytes as JSON.
    pub provenance: Map<String, Value>,
}

/// A state that training continued from. The new state contains it, so when states with a common start state are
/// averaged, this part [counts once](crate::learn::average).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// Digest of the file of the start state.
    pub digest: Digest,
    /// Factor by which its `z` and `d` were multiplied before the first row: above 0, at most 1.
    pub decay: f64,
    /// Number of runs that then took a [share](crate::learn::StartOptions#shares) of its evidence: at least 1.
    pub shares: u32,
}

/// Returns the smallest window that contains both.
pub(crate) fn widest(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some((first, last)), Some((other_first, other_last))) => Some((first.min(other_first), last.max(other_last))),
        _ => one.or(other),
    }
}

const FORMAT_VERSION_KEY: &str = "omomi.state_format_version";
const CONTRACT_KEY: &str = "omomi.contract";
const FINGERPRINT_KEY: &str = "omomi.contract_fingerprint";
const READING_KEY: &str = "omomi.contract_reading";
const ALPHA_KEY: &str = "omomi.alpha";
const BETA_KEY: &str = "omomi.beta";
const L1_KEY: &str = "omomi.l1";
const L2_KEY: &str = "omomi.l2";
const WEIGHT_L1_KEY: &str = "omomi.weight_rule.l1";
const WEIGHT_L2_KEY: &str = "omomi.weight_rule.l2";
const WEIGHT_MIN_MAGNITUDE_KEY: &str = "omomi.weight_rule.min_magnitude";
const WEIGHT_SCALE_KEY: &str = "omomi.weight_rule.scale";
const WEIGHT_SHIFT_KEY: &str = "omomi.weight_rule.shift";
const PRUNED_KEY: &str = "omomi.pruned";
const WITHOUT_EVIDENCE_KEY: &str = "omomi.without_evidence";
const NEGATIVE_RATE_KEY: &str = "omomi.negative_rate";
const IMPORTANCE_COLUMN_KEY: &str = "omomi.importance_column";
const LOG_DIALECT_KEY: &str = "omomi.log_dialect";
const SHARDS_KEY: &str = "omomi.shards";
const FIRST_SEEN_KEY: &str = "omomi.first_seen_us";
const LAST_SEEN_KEY: &str = "omomi.last_seen_us";
const ROWS_KEY: &str = "omomi.rows";
const EFFECTIVE_ROWS_KEY: &str = "omomi.effective_rows";
const LINEAGE_KEY: &str = "omomi.lineage";
const CLICKS_KEY: &str = "omomi.clicks";
const PASSES_KEY: &str = "omomi.passes";
const START_DIGEST_KEY: &str = "omomi.start_digest";
const START_DECAY_KEY: &str = "omomi.start_decay";
const START_SHARES_KEY: &str = "omomi.start_shares";
const TOOL_VERSION_KEY: &str = "omomi.tool_version";
const PROVENANCE_KEY: &str = "omomi.provenance";

impl Metadata {
    /// Returns what is wrong with the counts. A sum of rows that is not finite was cut to the largest integer.
    pub(super) fn fault(&self) -> Option<String> {
        let Self { rows, clicks, .. } = self;
        if *rows > MAX_COUNT {
            return Some(format!(
                "expected at most {MAX_COUNT} rows, found {rows}; correct the importance of the rows"
            ));
        }
        (clicks > rows).then(|| format!("expected at most {rows} clicks, found {clicks}"))
    }

    /// Returns the pair of a provenance, or what is wrong with it.
    pub(super) fn provenance_pair(provenance: &Map<String, Value>) -> Result<KeyValue, String> {
        let text = serde_json::to_string(provenance).unwrap_or_else(|_| unreachable!("a plain structure"));
        match provenance_fault(&text) {
            None => Ok(KeyValue::new(PROVENANCE_KEY.to_owned(), text)),
            Some(problem) => Err(problem),
        }
    }

    /// Returns all pairs except that of the provenance, part of which is known only after the last row.
    pub(super) fn to_pairs(&self) -> Vec<KeyValue> {
        let Settings { alpha, beta, l1, l2 } = self.settings;
        let rule = self.weight_rule;
        let window = self.window_us.map_or([None, None], |(first, last)| [Some(first), Some(last)]);
        let window = [FIRST_SEEN_KEY, LAST_SEEN_KEY].into_iter().zip(window);
        let window = window.filter_map(|(key, time_us)| Some((key, time_us?.to_string())));
        let start = self.start.map(|start| {
            [
                (START_DIGEST_KEY, start.digest.to_string()),
                (START_DECAY_KEY, format!("{:?}", start.decay)),
                (START_SHARES_KEY, start.shares.to_string()),
            ]
        });
        let effective =
            (self.effective_rows != self.rows).then(|| (EFFECTIVE_ROWS_KEY, self.effective_rows.to_string()));
        let lineage = serde_json::to_string(&self.lineage).unwrap_or_else(|_| unreachable!("a plain structure"));
        let log_dialect = self.log_dialect.map(|dialect| {
            let text = serde_json::to_string(&dialect).unwrap_or_else(|_| unreachable!("a plain structure"));
            (LOG_DIALECT_KEY, text)
        });
        let lineage = (!self.lineage.is_empty()).then_some((LINEAGE_KEY, lineage));
        [
            (FORMAT_VERSION_KEY, FORMAT_VERSION.to_string()),
            (CONTRACT_KEY, self.contract.canonical_json()),
            (FINGERPRINT_KEY, format!("{:016x}", self.contract.fingerprint())),
            // `{:?}` is the shortest text that reads back to the same double.
            (ALPHA_KEY, format!("{alpha:?}")),
            (BETA_KEY, format!("{beta:?}")),
            (L1_KEY, format!("{l1:?}")),
            (L2_KEY, format!("{l2:?}")),
            (WEIGHT_L1_KEY, format!("{:?}", rule.l1)),
            (WEIGHT_L2_KEY, format!("{:?}", rule.l2)),
            (WEIGHT_MIN_MAGNITUDE_KEY, format!("{:?}", rule.min_magnitude)),
            (WEIGHT_SCALE_KEY, format!("{:?}", rule.scale)),
            (WEIGHT_SHIFT_KEY, format!("{:?}", rule.shift)),
            (PRUNED_KEY, self.pruned.to_string()),
            (NEGATIVE_RATE_KEY, format!("{:?}", self.negative_rate)),
            (SHARDS_KEY, self.shards.to_string()),
            (ROWS_KEY, self.rows.to_string()),
            (CLICKS_KEY, self.clicks.to_string()),
            (PASSES_KEY, self.passes.to_string()),
            (TOOL_VERSION_KEY, self.tool_version.clone()),
        ]
        .into_iter()
        .chain(window)
        .chain(self.importance_column.clone().map(|column| (IMPORTANCE_COLUMN_KEY, column)))
        .chain(log_dialect)
        .chain(self.contract.reading_json().map(|reading| (READING_KEY, reading)))
        .chain(self.without_evidence.then(|| (WITHOUT_EVIDENCE_KEY, true.to_string())))
        .chain(start.into_iter().flatten())
        .chain(effective)
        .chain(lineage)
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .collect()
    }

    pub(super) fn from_pairs(path: &Path, pairs: &[KeyValue]) -> Result<Self, StateError> {
        let pairs = Pairs { path, pairs };
        let version: u32 = pairs.parsed(FORMAT_VERSION_KEY)?;
        if version != FORMAT_VERSION {
            let action = if version > FORMAT_VERSION { "read it with a newer omomi" } else { "train again" };
            let problem = format!("expected format version {FORMAT_VERSION}, found {version}; {action}");
            return Err(StateError::not_a_state(path, problem));
        }
        let contract = Contract::from_json(pairs.text(CONTRACT_KEY)?.as_bytes())
            .map_err(|faults| StateError::not_a_state(path, faults.to_string()))?;
        let expected = format!("{:016x}", contract.fingerprint());
        let found = pairs.text(FINGERPRINT_KEY)?;
        if found != expected {
            let problem = format!("expected the fingerprint {expected} of its contract, found {found}");
            return Err(StateError::not_a_state(path, problem));
        }
        let contract = match pairs.find(READING_KEY) {
            None => contract,
            Some(reading) => contract
                .with_reading_json(reading)
                .map_err(|faults| StateError::not_a_state(path, faults.to_string()))?,
        };
        let settings = Settings {
            alpha: pairs.parsed(ALPHA_KEY)?,
            beta: pairs.parsed(BETA_KEY)?,
            l1: pairs.parsed(L1_KEY)?,
            l2: pairs.parsed(L2_KEY)?,
        };
        settings.check().map_err(|error| StateError::not_a_state(path, error.to_string()))?;
        let weight_rule = WeightRule {
            l1: pairs.parsed(WEIGHT_L1_KEY)?,
            l2: pairs.parsed(WEIGHT_L2_KEY)?,
            min_magnitude: pairs.parsed(WEIGHT_MIN_MAGNITUDE_KEY)?,
            scale: pairs.parsed(WEIGHT_SCALE_KEY)?,
            shift: pairs.parsed(WEIGHT_SHIFT_KEY)?,
        };
        if let Some((name, expected, found)) = weight_rule.fault() {
            let problem = format!("the weight rule's {name} must be a number {expected}, found {found:?}");
            return Err(StateError::not_a_state(path, problem));
        }
        let negative_rate: f64 = pairs.parsed(NEGATIVE_RATE_KEY)?;
        if negative_rate <= 0.0 || negative_rate > 1.0 || negative_rate.is_nan() {
            let problem = format!("expected a negative_rate above 0 and at most 1, found {negative_rate:?}");
            return Err(StateError::not_a_state(path, problem));
        }
        let window_us = match (pairs.find(FIRST_SEEN_KEY), pairs.find(LAST_SEEN_KEY)) {
            (None, None) => None,
            _ => Some((pairs.parsed(FIRST_SEEN_KEY)?, pairs.parsed(LAST_SEEN_KEY)?)),
        };
        let start = match (pairs.find(START_DIGEST_KEY), pairs.find(START_DECAY_KEY)) {
            (None, None) => None,
            _ => Some(pairs.start()?),
        };
        let metadata = Self {
            contract,
            settings,
            weight_rule,
            pruned: pairs.parsed(PRUNED_KEY)?,
            without_evidence: match pairs.find(WITHOUT_EVIDENCE_KEY) {
                None => false,
                Some(_) => pairs.parsed(WITHOUT_EVIDENCE_KEY)?,
            },
            negative_rate,
            importance_column: pairs.find(IMPORTANCE_COLUMN_KEY).map(str::to_owned),
            log_dialect: pairs.log_dialect()?,
            shards: pairs.parsed(SHARDS_KEY)?,
            window_us,
            rows: pairs.parsed(ROWS_KEY)?,
            effective_rows: match pairs.find(EFFECTIVE_ROWS_KEY) {
                None => pairs.parsed(ROWS_KEY)?,
                Some(_) => pairs.parsed(EFFECTIVE_ROWS_KEY)?,
            },
            clicks: pairs.parsed(CLICKS_KEY)?,
            passes: pairs.parsed(PASSES_KEY)?,
            start,
            lineage: pairs.lineage()?,
            tool_version: pairs.text(TOOL_VERSION_KEY)?.to_owned(),
            provenance: pairs.provenance()?,
        };
        match metadata.fault() {
            None => Ok(metadata),
            Some(problem) => Err(StateError::not_a_state(path, problem)),
        }
    }
}

/// Returns what is wrong with the length of a provenance, which is checked before it is parsed.
fn provenance_fault(text: &str) -> Option<String> {
    let found = text.len();
    let problem = || format!("expected a provenance of at most {MAX_PROVENANCE_LEN} bytes, found {found}");
    (found > MAX_PROVENANCE_LEN).then(problem)
}

struct Pairs<'a> {
    path: &'a Path,
    pairs: &'a [KeyValue],
}

impl<'a> Pairs<'a> {
    fn find(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    fn text(&self, key: &str) -> Result<&'a str, StateError> {
        self.find(key).ok_or_else(|| {
            let problem = format!("the metadata key `{key}` is missing; tools that rewrite Parquet may drop it");
            StateError::not_a_state(self.path, problem)
        })
    }

    fn lineage(&self) -> Result<Vec<LearnedLog>, StateError> {
        let Some(text) = self.find(LINEAGE_KEY) else { return Ok(Vec::new()) };
        serde_json::from_str(text).map_err(|error| {
            let problem = format!("expected a list of logs under the metadata key `{LINEAGE_KEY}`: {error}");
            StateError::not_a_state(self.path, problem)
        })
    }

    fn log_dialect(&self) -> Result<Option<LogDialect>, StateError> {
        let Some(text) = self.find(LOG_DIALECT_KEY) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| {
            let problem = format!("expected a dialect of CSV under the metadata key `{LOG_DIALECT_KEY}`: {error}");
            StateError::not_a_state(self.path, problem)
        })
    }

    fn provenance(&self) -> Result<Map<String, Value>, StateError> {
        let text = self.text(PROVENANCE_KEY)?;
        if let Some(problem) = provenance_fault(text) {
            return Err(StateError::not_a_state(self.path, problem));
        }
        serde_json::from_str(text).map_err(|error| {
            let problem = format!("expected a JSON object under the metadata key `{PROVENANCE_KEY}`: {error}");
            StateError::not_a_state(self.path, problem)
        })
    }

    fn start(&self) -> Result<Start, StateError> {
        let text = self.text(START_DIGEST_KEY)?;
        let digest = text.parse().map_err(|_| {
            let problem = format!("expected a digest under the metadata key `{START_DIGEST_KEY}`, found `{text}`");
            StateError::not_a_state(self.path, problem)
        })?;
        let decay: f64 = self.parsed(START_DECAY_KEY)?;
        if decay <= 0.0 || decay > 1.0 || decay.is_nan() {
            let problem = format!("expected a decay of the start above 0 and at most 1, found {decay:?}");
            return Err(StateError::not_a_state(self.path, problem));
        }
        let shares: u32 = self.parsed(START_SHARES_KEY)?;
        if shares == 0 {
            return Err(StateError::not_a_state(
                self.path,
                "expected at least 1 share of the start, found 0".to_owned(),
            ));
        }
        Ok(Start { digest, decay, shares })
    }

    fn parsed<T: std::str::FromStr>(&self, key: &str) -> Result<T, StateError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| {
            let problem = format!("expected a valid value under the metadata key `{key}`, found `{text}`");
            StateError::not_a_state(self.path, problem)
        })
    }
}

/// The first difference between a state and what is expected. Displayed as `alpha is 0.1, expected 0.05`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs: `contract`, `alpha`, `beta`, `l1`, `l2`, `negative_rate` or `importance_column`.
    pub name: &'static str,
    /// The expected value.
    pub expected: String,
    /// The value in the state.
    pub found: String,
}

impl Difference {
    /// Returns the first difference of `found` from `expected`, or `None` if both have the same contract and settings.
    /// Feature keys are computed from the names of fields, so equal contracts give equal keys.
    #[must_use]
    pub fn between(expected: &Metadata, found: &Metadata) -> Option<Self> {
        if expected.contract != found.contract {
            return Some(Self::of_contracts(&expected.contract, &found.contract));
        }
        let numbers = |metadata: &Metadata| {
            let settings = metadata.settings;
            [settings.alpha, settings.beta, settings.l1, settings.l2, metadata.negative_rate]
        };
        let names = ["alpha", "beta", "l1", "l2", "negative_rate"];
        let pairs = numbers(expected).into_iter().zip(numbers(found));
        let (name, (expected, found)) =
            names.into_iter().zip(pairs).find(|(_, (expected, found))| expected != found)?;
        Some(Self { name, expected: format!("{expected:?}"), found: format!("{found:?}") })
    }

    /// Returns the difference of two contracts: the first key that differs, with the value of each.
    pub(crate) fn of_contracts(expected: &Contract, found: &Contract) -> Self {
        let (of_expected, of_found) = first_other_key(expected, found);
        let name = |contract: &Contract, key: String| match key.is_empty() {
            true => format!("`{}` with the fingerprint {:016x}", contract.name(), contract.fingerprint()),
            false => format!("that with {key}"),
        };
        Self { name: "contract", expected: name(expected, of_expected), found: name(found, of_found) }
    }

    /// Returns the difference of the importance columns of two states that are to be averaged. Training may go on with
    /// another column, because it says so.
    pub(crate) fn of_importance(expected: &Metadata, found: &Metadata) -> Option<Self> {
        let words = |metadata: &Metadata| metadata.importance_column.clone().unwrap_or_else(|| "none".to_owned());
        (expected.importance_column != found.importance_column).then(|| Self {
            name: "importance_column",
            expected: words(expected),
            found: words(found),
        })
    }
}

/// Returns a warning if logs are read by `contract` otherwise than in the training by `trained`. Equal contracts may
/// differ in that.
pub(crate) fn other_reading(trained: &Contract, contract: &Contract) -> Option<String> {
    let json = |contract: &Contract| {
        let reading = contract.reading_json();
        reading.and_then(|reading| serde_json::from_str(&reading).ok()).unwrap_or_else(|| Value::Object(Map::new()))
    };
    let (trained, found) = (json(trained), json(contract));
    let path = first_other_path(&trained, &found)?;
    let words = |reading: &Value| {
        let value = path.iter().fold(reading, |value, key| value_at(value, key));
        if value.is_null() { "none".to_owned() } else { value.to_string() }
    };
    let (key, trained, found) = (path.join("."), words(&trained), words(&found));
    Some(format!(
        "the contract says how logs are read (`[reading]` and keys of fields) otherwise than in the training: {key} is \
         {found}, in the training {trained}; other pieces of text become categories unless these logs are written in \
         another way"
    ))
}

/// Returns the first key in which two contracts differ, with the value of each, as `field.price.unit = "JPY"`.
/// Returns empty texts if only how logs are read differs.
fn first_other_key(expected: &Contract, found: &Contract) -> (String, String) {
    let json = |contract: &Contract| serde_json::from_str::<Value>(&contract.canonical_json()).unwrap_or(Value::Null);
    let (expected, found) = (json(expected), json(found));
    let Some(path) = first_other_path(&expected, &found) else { return Default::default() };
    let words = |contract: &Value| {
        let mut value = contract;
        let mut name = String::new();
        for step in &path {
            // A field is known by its name, not by its place.
            let label = value.as_array().and_then(|list| list.get(step.parse::<usize>().ok()?)?["name"].as_str());
            name.push_str(if name.is_empty() { "" } else { "." });
            name.push_str(label.unwrap_or(step));
            value = value_at(value, step);
        }
        format!("{name} = {}", if value.is_null() { "none".to_owned() } else { value.to_string() })
    };
    (words(&expected), words(&found))
}

/// Returns the keys that lead to the first difference of two values.
fn first_other_path(one: &Value, other: &Value) -> Option<Vec<String>> {
    let keys: BTreeSet<String> = match (one, other) {
        (Value::Object(one), Value::Object(other)) => one.keys().chain(other.keys()).cloned().collect(),
        (Value::Array(one), Value::Array(other)) => (0..one.len().max(other.len())).map(|at| at.to_string()).collect(),
        _ => return (one != other).then(Vec::new),
    };
    keys.into_iter().find_map(|key| {
        let mut path = first_other_path(value_at(one, &key), value_at(other, &key))?;
        path.insert(0, key);
        Some(path)
    })
}

/// Returns the value under a key of an object, or at an index of a list; null if there is none.
fn value_at<'a>(value: &'a Value, key: &str) -> &'a Value {
    let found = match value {
        Value::Array(list) => key.parse().ok().and_then(|index: usize| list.get(index)),
        value => value.get(key),
    };
    found.unwrap_or(&Value::Null)
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is {}, expected {}", self.name, self.found, self.expected)
    }
}
