//! The provenance of an average, as JSON beside it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::learn::{days_of, provenance_path, start_json, window_json};

use super::{AverageOptions, AverageReport, FieldSpread, Shard};

/// Keys of a shard's own provenance that the provenance of the average repeats.
const KEPT: [&str; 6] = ["bad_rows", "held_out_logs", "logs", "metrics", "start", "tool_version"];

pub(super) fn to_json(options: &AverageOptions, report: &AverageReport) -> Value {
    let metadata = &report.metadata;
    let settings = metadata.settings;
    let fields =
        report.fields.iter().skip(1).map(
            |field| json!({ "field": field.field, "features": field.feature_count, "nonzero": field.nonzero_count }),
        );
    json!({
        "tool_version": metadata.tool_version,
        "arguments": options.arguments,
        "contract": {
            "name": metadata.contract.name(),
            "fingerprint": format!("{:016x}", metadata.contract.fingerprint()),
        },
        "settings": {
            "alpha": settings.alpha,
            "beta": settings.beta,
            "l1": settings.l1,
            "l2": settings.l2,
            "passes": metadata.passes,
        },
        "rule": options.rule.name(),
        "rows": metadata.rows,
        "clicks": metadata.clicks,
        "training_window": metadata.window_us.map(window_json),
        "start": report.start.as_ref().map(start_json),
        "lineage_days": metadata.window_us.map(days_of),
        "shards": report.shards.iter().map(shard).collect::<Vec<_>>(),
        "spread": report.fields.iter().map(FieldSpread::to_json).collect::<Vec<_>>(),
        "features": report.feature_count(),
        "nonzero": report.nonzero_count(),
        "fields": fields.collect::<Vec<_>>(),
        "name_collisions": report.name_collision_count,
        "state": { "path": options.state.display().to_string(), "len_bytes": report.state_len_bytes },
        "seconds": report.seconds,
    })
}

fn shard(shard: &Shard) -> Value {
    json!({
        "path": shard.path.display().to_string(),
        "digest": shard.digest.to_string(),
        "len_bytes": shard.len_bytes,
        "rows": shard.rows,
        "clicks": shard.clicks,
        "features": shard.feature_count,
        "training_window": shard.metadata.window_us.map(window_json),
        "provenance": summary(&shard.path),
    })
}

/// Returns the kept part of the shard's provenance, or null if it cannot be read. A state from another engine may have
/// none.
fn summary(state: &Path) -> Value {
    let text = fs::read(provenance_path(state)).unwrap_or_default();
    let Ok(Value::Object(mut provenance)) = serde_json::from_slice(&text) else {
        return Value::Null;
    };
    provenance.retain(|key, _| KEPT.contains(&key.as_str()));
    Value::Object(provenance)
}
