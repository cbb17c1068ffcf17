//! The provenance of a training state: how it was made.
//!
//! The state itself carries it, so both are replaced at once and always belong to one run. The JSON beside it is a copy
//! for people, which adds what is not the same in every run, such as paths and seconds. It is written after the state,
//! and nothing reads it: it may be missing, or that of another run.

use std::io::Write;
use std::path::Path;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;
use serde_json::{Map, Value, json};

use crate::bucket::{NewFile, refuse_to_replace};
use crate::evaluate::Metrics;
use crate::log::LogFile;

use super::state::{FinishedState, MAX_PROVENANCE_LEN, Metadata, StateError, StateReader};
use super::{StartAccount, days_of, provenance_path};

/// Keys of a provenance that only the file beside the state has: what is not the same whenever the same rows are
/// learned, and what was noticed about single logs.
const RUN_KEYS: &[&str] = &[
    "arguments",
    "held_out_logs",
    "learn_seconds",
    "logs",
    "missing_values_by_log",
    "peak_memory_bytes",
    "rows_by_log",
    "rows_per_second",
    "seconds",
    "state",
    "unseen_values_by_log",
    "warnings",
];
/// Such keys of the values in `recalibrations`, `shards` and `start`.
const INNER_RUN_KEYS: &[&str] = &["logs", "path"];
/// Parts that are left out of a state, in this order, while its provenance is too long: those that grow with the number
/// of shards.
const LONG_KEYS: &[&str] = &["shards", "spread"];

/// Returns an error if there is a state at `path` that may not be replaced. A provenance without a state was left
/// behind by a run that died, and is replaced.
pub(crate) fn refuse_existing_state(path: &Path, replace: bool) -> Result<(), StateError> {
    refuse_to_replace(path, replace).map_err(|error| StateError::io("write", path, error))
}

/// Returns the part of a provenance that the state itself carries.
pub(crate) fn lasting(provenance: &Value) -> Map<String, Value> {
    let mut lasting = provenance.as_object().cloned().unwrap_or_default();
    lasting.retain(|key, _| !RUN_KEYS.contains(&key.as_str()));
    for key in ["recalibrations", "shards", "start"] {
        match lasting.get_mut(key) {
            Some(Value::Array(values)) => values.iter_mut().for_each(drop_inner_run_keys),
            Some(value) => drop_inner_run_keys(value),
            None => {}
        }
    }
    let mut left_out = Vec::new();
    for &key in LONG_KEYS {
        if json_len(&lasting) > MAX_PROVENANCE_LEN && lasting.remove(key).is_some() {
            left_out.push(key);
            lasting.insert("left_out".to_owned(), json!(left_out));
        }
    }
    lasting
}

fn drop_inner_run_keys(value: &mut Value) {
    if let Value::Object(value) = value {
        value.retain(|key, _| !INNER_RUN_KEYS.contains(&key.as_str()));
    }
}

fn json_len(value: &Map<String, Value>) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |text| text.len())
}

/// Writes the copy of the provenance beside the state that was just finished at `state`. Replaces an earlier one, which
/// belonged to another state.
pub(crate) fn write_provenance(
    state: &Path,
    finished: &FinishedState,
    mut provenance: Value,
) -> Result<(), StateError> {
    let beside = provenance_path(state);
    provenance["state"] = json!({
        "path": state.display().to_string(),
        "len_bytes": finished.len_bytes,
        "content": finished.content,
    });
    let written = NewFile::create(&beside, true).and_then(|new_file| {
        new_file.file().write_all(format!("{provenance:#}\n").as_bytes())?;
        new_file.commit()
    });
    written.map_err(|error| StateError::io("write", &beside, error))
}

/// Reads the provenance of a state from the state.
pub(crate) fn read_provenance(state: &Path) -> Result<Map<String, Value>, StateError> {
    Ok(whole_provenance(StateReader::open(state)?.metadata()))
}

/// Returns the provenance in the metadata of a state, completed by what the other metadata say.
pub(crate) fn whole_provenance(metadata: &Metadata) -> Map<String, Value> {
    let mut provenance = metadata.provenance.clone();
    let own = json!({
        "tool_version": metadata.tool_version,
        "contract": {
            "name": metadata.contract.name(),
            "fingerprint": format!("{:016x}", metadata.contract.fingerprint()),
        },
        "rows": metadata.rows,
        "clicks": metadata.clicks,
        "training_window": metadata.window_us.map(window_json),
        "lineage_days": metadata.window_us.map(days_of),
    });
    if let Value::Object(own) = own {
        for (key, value) in own {
            provenance.entry(key).or_insert(value);
        }
    }
    provenance.insert("lineage_rows".to_owned(), Value::from(metadata.effective_rows));
    provenance.insert("lineage_window".to_owned(), json!(metadata.window_us.map(window_json)));
    provenance.insert("lineage".to_owned(), json!(metadata.lineage));
    provenance
}

pub(crate) fn files_json(files: &[LogFile]) -> Vec<Value> {
    let file = |file: &LogFile| {
        json!({
            "path": file.path.display().to_string(),
            "len_bytes": file.len_bytes,
            "rows": file.row_count,
        })
    };
    files.iter().map(file).collect()
}

pub(crate) fn metrics_json(metrics: &Metrics) -> Value {
    json!({
        "impressions": metrics.impressions,
        "clicks": metrics.clicks,
        "log_loss": metrics.log_loss,
        "constant_log_loss": metrics.constant_log_loss(),
        "normalized_entropy": metrics.normalized_entropy,
        "auc": metrics.auc,
        "calibration_ratio": metrics.calibration_ratio,
    })
}

pub(crate) fn start_json(start: &StartAccount) -> Value {
    json!({
        "path": start.path.display().to_string(),
        "digest": start.digest.to_string(),
        "training_window": start.window_us.map(window_json),
        "rows": start.rows,
        "lineage_rows": start.effective_rows,
        "decay": start.decay,
        "shares": start.shares,
        "forgotten_features": start.forgotten,
    })
}

/// Returns the times of the first and the last row as JSON.
pub(crate) fn window_json((first_us, last_us): (i64, i64)) -> Value {
    json!({ "first": utc(first_us), "last": utc(last_us), "first_us": first_us, "last_us": last_us })
}

/// Formats a time in RFC 3339, UTC. Returns `None` if the year is out of range.
#[must_use]
pub fn utc(time_us: i64) -> Option<String> {
    timestamp_us_to_datetime(time_us).map(|time| format!("{time:?}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_gets_what_is_the_same_in_every_run_and_never_more_than_it_can_hold() {
        let shard = json!({ "digest": "a", "path": "/tmp/1.parquet", "provenance": {} });
        let mut provenance = json!({
            "arguments": ["--x"], "seconds": 1.5, "logs": [{ "path": "/tmp/a" }], "warnings": ["w"], "clicks": 3,
            "start": { "path": "/tmp/s", "decay": 1.0 }, "recalibrations": [{ "logs": ["/tmp/b"], "scale": 1.0 }],
            "shards": [shard], "invalid_numbers": { "path": 1, "logs": 2 },
        });
        let expected = json!({
            "clicks": 3, "start": { "decay": 1.0 }, "recalibrations": [{ "scale": 1.0 }],
            "shards": [{ "digest": "a", "provenance": {} }], "invalid_numbers": { "path": 1, "logs": 2 },
        });
        assert_eq!(Value::Object(lasting(&provenance)), expected);
        provenance["shards"] = json!(vec!["x".repeat(1_000); 3_000]);
        let found = lasting(&provenance);
        assert_eq!((found.get("shards"), &found["left_out"]), (None, &json!(["shards"])));
        assert!(json_len(&found) < MAX_PROVENANCE_LEN);
    }

    #[test]
    fn times_are_written_in_rfc_3339() {
        assert_eq!(utc(1_574_553_617_004_101).unwrap(), "2019-11-24T00:00:17.004101Z");
        assert_eq!(utc(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(utc(i64::MAX), None);
    }
}
