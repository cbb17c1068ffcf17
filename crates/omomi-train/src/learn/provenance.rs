//! The provenance of a training state, as JSON beside it: for people, and for the tools that pack and gate.
//!
//! The state itself is the only file that counts: it carries its lineage, rows and window. The file beside it adds what
//! is not the same in every run, such as paths and seconds. It names the content of its state, so that the provenance
//! of another run is recognized and ignored.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;
use serde_json::{Map, Value, json};

use crate::evaluate::Metrics;
use crate::lineage::content_digest;
use crate::log::LogFile;
use omomi::new_file::{NewFile, refuse_to_replace};

use super::state::{StateError, StateReader};
use super::{StartAccount, days_of, provenance_path};

/// Returns an error if there is a state at `path` that may not be replaced. A provenance without a state was left
/// behind by a run that died, and is replaced.
pub(crate) fn refuse_existing_state(path: &Path, replace: bool) -> Result<(), StateError> {
    refuse_to_replace(path, replace).map_err(|error| StateError::io("write", path, error))
}

/// Writes the provenance beside `state` atomically. Replaces an earlier one, which belonged to another state.
pub(crate) fn write_provenance(state: &Path, mut provenance: Value) -> io::Result<()> {
    if !provenance["state"].is_object() {
        provenance["state"] = json!({});
    }
    provenance["state"]["content"] = Value::from(content_digest(state)?);
    let new_file = NewFile::create(&provenance_path(state), true)?;
    let text = format!("{provenance:#}\n");
    new_file.file().write_all(text.as_bytes())?;
    new_file.commit()
}

/// Reads the provenance of a state: from the file beside it, completed by what the state itself says. If there is no
/// such file, or it belongs to another state, the state alone says it.
///
/// # Errors
///
/// Returns an error if the file beside the state is not JSON, or if the state cannot be read.
pub(crate) fn read_provenance(state: &Path) -> io::Result<Map<String, Value>> {
    let reader = StateReader::open(state).map_err(io::Error::other)?;
    let metadata = reader.metadata();
    let mut provenance = match fs::read_to_string(provenance_path(state)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
        text => match serde_json::from_str(&text?)? {
            Value::Object(provenance) => provenance,
            _ => return Err(io::Error::other("it is not a JSON object")),
        },
    };
    if !is_of_state(&provenance, state) {
        provenance.clear();
    }
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
    Ok(provenance)
}

/// Returns whether a provenance belongs to a state. One that does not say so is taken.
pub(crate) fn is_of_state(provenance: &Map<String, Value>, state: &Path) -> bool {
    let content = provenance.get("state").and_then(|state| state["content"].as_str());
    content.is_none_or(|content| content_digest(state).is_ok_and(|found| found == content))
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
    fn times_are_written_in_rfc_3339() {
        assert_eq!(utc(1_574_553_617_004_101).unwrap(), "2019-11-24T00:00:17.004101Z");
        assert_eq!(utc(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(utc(i64::MAX), None);
    }
}
