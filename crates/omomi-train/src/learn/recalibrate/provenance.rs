//! The provenance of a recalibrated state: the provenance of the old state, plus the recalibration.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::learn::{files_json, metrics_json, provenance_path};
use crate::log::LogFile;

use super::{RecalibrateOptions, RecalibrateReport};

/// Reads the provenance beside the state. Returns an empty map if there is no valid one.
pub(super) fn read(state: &Path) -> Map<String, Value> {
    let text = fs::read(provenance_path(state)).unwrap_or_default();
    match serde_json::from_slice(&text) {
        Ok(Value::Object(provenance)) => provenance,
        _ => Map::new(),
    }
}

/// Returns the first of `files` that the model has learned, according to its provenance. For an average, also checks
/// the provenance of its shards.
pub(super) fn learned(provenance: &Map<String, Value>, files: &[LogFile]) -> Option<PathBuf> {
    // A file can have several names. If the system cannot resolve one, compare the name as given.
    let place = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let shards = provenance.get("shards").and_then(Value::as_array).into_iter().flatten();
    let logs = shards.map(|shard| &shard["provenance"]["logs"]).chain(provenance.get("logs"));
    let logs = logs.filter_map(Value::as_array).flatten().filter_map(|log| log["path"].as_str());
    let learned: Vec<PathBuf> = logs.map(|path| place(path.as_ref())).collect();
    files.iter().find(|file| learned.contains(&place(&file.path))).map(|file| file.path.clone())
}

pub(super) fn to_json(
    mut provenance: Map<String, Value>,
    options: &RecalibrateOptions,
    report: &RecalibrateReport,
) -> Value {
    let scaling = report.scaling;
    let recalibration = json!({
        "logs": files_json(&report.logs),
        "scale": scaling.scale,
        "shift": scaling.shift,
        "scale_error": scaling.scale_error,
        "shift_error": scaling.shift_error,
        "before": metrics_json(&report.before),
        "after": metrics_json(&report.after),
    });
    let recalibrations = provenance.entry("recalibrations").or_insert_with(|| json!([]));
    match recalibrations {
        Value::Array(recalibrations) => recalibrations.push(recalibration),
        other => *other = json!([recalibration]),
    }
    let state = json!({ "path": options.out.display().to_string(), "len_bytes": report.state_len_bytes });
    provenance.insert("state".to_owned(), state);
    provenance.insert("arguments".to_owned(), json!(options.arguments));
    provenance.insert("seconds".to_owned(), json!(report.seconds));
    Value::Object(provenance)
}
