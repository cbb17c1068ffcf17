//! The provenance of a training run.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::{Account, TrainOptions};
use crate::learn::{files_json, metrics_json, start_json, window_json, write_provenance};
use crate::log::FileMissing;
use omomi::contract::Contract;

pub(super) fn write(path: &Path, contract: &Contract, options: &TrainOptions, account: &Account) -> io::Result<()> {
    write_provenance(path, options.replace, &to_json(contract, options, account))
}

fn to_json(contract: &Contract, options: &TrainOptions, account: &Account) -> Value {
    let settings = options.settings;
    let fields: Vec<Value> = account
        .fields
        .iter()
        .map(|field| json!({ "field": field.field, "features": field.feature_count, "nonzero": field.nonzero_count }))
        .collect();
    let invalid_numbers: serde_json::Map<String, Value> =
        account.invalid_numbers.iter().map(|(field, count)| (field.clone(), json!(count))).collect();
    let by_field = |missing: &FileMissing| -> serde_json::Map<String, Value> {
        let counts = contract.fields().iter().zip(&missing.missing_counts).filter(|(_, count)| **count > 0);
        counts.map(|(field, count)| (field.name.clone(), json!(count))).collect()
    };
    let missing_by_log: Vec<Value> = account.missing_by_log.iter().map(|log| Value::Object(by_field(log))).collect();
    let warnings: Vec<String> = account.warnings.iter().map(ToString::to_string).collect();
    json!({
        "tool_version": env!("CARGO_PKG_VERSION"),
        "arguments": options.arguments,
        "contract": { "name": contract.name(), "fingerprint": format!("{:016x}", contract.fingerprint()) },
        "settings": {
            "alpha": settings.alpha,
            "beta": settings.beta,
            "l1": settings.l1,
            "l2": settings.l2,
            "passes": options.passes,
        },
        "sampling": { "negative_rate": options.sampling.negative_rate, "seed": options.sampling.seed },
        "importance_column": options.read.importance_column,
        "logs": files_json(&account.logs),
        "held_out_logs": files_json(&account.held_out_logs),
        "rows": account.rows,
        "bad_rows": account.bad_rows,
        "clicks": account.progressive.clicks,
        "invalid_numbers": invalid_numbers,
        "missing_values": by_field(&account.missing),
        "missing_values_by_log": missing_by_log,
        "warnings": warnings,
        "training_window": account.window_us.map(window_json),
        "start": account.start.as_ref().map(start_json),
        "lineage_days": account.lineage_days,
        "metrics": {
            "progressive": metrics_json(&account.progressive),
            "held_out": account.held_out.as_ref().map(metrics_json),
        },
        "features": account.feature_count(),
        "nonzero": account.nonzero_count(),
        "fields": fields,
        "state": { "path": options.state.display().to_string(), "len_bytes": account.state_len_bytes },
        "seconds": account.seconds,
        "learn_seconds": account.learn_seconds,
        "rows_per_second": account.rows_per_second,
        "peak_memory_bytes": account.peak_memory_bytes,
    })
}
