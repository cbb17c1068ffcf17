//! The provenance of a training state, as JSON beside it: for people, and for the tools that pack and gate.

use std::io::{self, Write};
use std::path::Path;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;
use serde_json::{Value, json};

use crate::evaluate::Metrics;
use crate::log::LogFile;
use omomi::new_file::NewFile;

use super::StartAccount;

/// Writes a provenance file atomically.
pub(crate) fn write_provenance(path: &Path, replace: bool, provenance: &Value) -> io::Result<()> {
    let new_file = NewFile::create(path, replace)?;
    let text = format!("{provenance:#}\n");
    new_file.file().write_all(text.as_bytes())?;
    new_file.commit()
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
        "decay": start.decay,
        "shares": start.shares,
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
