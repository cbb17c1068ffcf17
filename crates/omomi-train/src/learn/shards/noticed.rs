//! What the processes of all shards together noticed about the logs: missing and unseen values by field and file, and
//! warnings. Each process writes it into the copy of its provenance. The parent process takes it from there when it
//! accepts the state, and keeps it in the marker of the shard. With `--split file`, each process sees only some of the
//! files, so that only the parent process can tell that a field has vanished from one file to the next, or that it has
//! no value at all.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use omomi::contract::Contract;
use serde_json::{Map, Value};

use crate::learn::{FileUnseen, provenance_path, unseen_warnings};
use crate::lineage::content_digest;
use crate::log::{FileMissing, LogFile, missing_jump};

use super::Split;

/// What was noticed in the first round, in which all rows of all files are read.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    /// The missing values of each log. A log that no process reported has no rows.
    pub(super) missing_by_log: Vec<FileMissing>,
    /// Numbers out of range, by field of the contract.
    pub(super) invalid_numbers: Vec<u64>,
    /// The values that the start state has not seen, of each log.
    pub(super) unseen_by_log: Vec<FileUnseen>,
    /// Each text once.
    pub(super) warnings: Vec<String>,
}

/// Keys of the provenance that say what a process noticed.
const KEYS: [&str; 6] =
    ["invalid_numbers", "logs", "missing_values_by_log", "rows_by_log", "unseen_values_by_log", "warnings"];

/// Returns what the process that has just written `state` noticed, as JSON.
pub(super) fn read_noticed(state: &Path) -> Result<Value, String> {
    let beside = provenance_path(state);
    let error = |problem: &dyn std::fmt::Display| format!("cannot read {}: {problem}", beside.display());
    let text = fs::read(&beside).map_err(|problem| error(&problem))?;
    let mut provenance: Map<String, Value> = serde_json::from_slice(&text).map_err(|problem| error(&problem))?;
    let (expected, found) =
        (content_digest(state).map_err(|problem| error(&problem))?, &provenance["state"]["content"]);
    if found.as_str() != Some(expected.as_str()) {
        return Err(error(&format!("expected that of the state with the digest {expected}, found {found}")));
    }
    provenance.retain(|key, _| KEYS.contains(&key.as_str()));
    Ok(Value::Object(provenance))
}

/// What one process noticed.
struct ShardNoticed {
    logs: Vec<PathBuf>,
    missing: Vec<FileMissing>,
    /// Each process counts them in its own rows only.
    invalid_numbers: Vec<u64>,
    unseen: Vec<FileUnseen>,
    warnings: Vec<String>,
}

impl Noticed {
    /// Merges what the process of each shard noticed about `logs`, the logs of all shards.
    pub(super) fn of(contract: &Contract, by_shard: &[Value], split: &Split, logs: &[LogFile]) -> Self {
        let shards = by_shard.iter().map(|noticed| ShardNoticed::of(contract, noticed));
        Self::merged(contract, &shards.collect::<Vec<_>>(), *split == Split::File, logs)
    }

    fn merged(contract: &Contract, shards: &[ShardNoticed], is_by_file: bool, logs: &[LogFile]) -> Self {
        let places: HashMap<_, usize> = logs.iter().map(|log| log.path.as_path()).zip(0..).collect();
        let mut missing_by_log = vec![FileMissing::default(); logs.len()];
        let mut unseen_by_log = vec![FileUnseen::default(); logs.len()];
        let mut invalid_numbers = vec![0_u64; contract.fields().len()];
        let mut warnings: Vec<String> = Vec::new();
        for (number, shard) in shards.iter().enumerate() {
            // Unless the split is by file, each process reads and counts all rows.
            let counts_missing = is_by_file || number == 0;
            for (index, path) in shard.logs.iter().enumerate() {
                let Some(&place) = places.get(path.as_path()) else { continue };
                if let Some(missing) = shard.missing.get(index).filter(|_| counts_missing) {
                    missing_by_log[place].add(missing);
                }
                if let Some(unseen) = shard.unseen.get(index) {
                    unseen_by_log[place].add(unseen);
                }
            }
            for (sum, count) in invalid_numbers.iter_mut().zip(&shard.invalid_numbers) {
                *sum = sum.saturating_add(*count);
            }
            // Those about rates are judged again below, with all files.
            let own_logs: Vec<LogFile> =
                shard.logs.iter().filter_map(|path| logs.get(*places.get(path.as_path())?).cloned()).collect();
            let own = rate_warnings(contract, &own_logs, &shard.missing, &shard.unseen);
            for warning in &shard.warnings {
                if !own.contains(warning) && !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
        }
        warnings.extend(rate_warnings(contract, logs, &missing_by_log, &unseen_by_log));
        if unseen_by_log.iter().all(|unseen| unseen.value_counts.is_empty()) {
            unseen_by_log.clear();
        }
        Self { missing_by_log, invalid_numbers, unseen_by_log, warnings }
    }
}

/// The warnings about missing and unseen values.
fn rate_warnings(contract: &Contract, logs: &[LogFile], missing: &[FileMissing], unseen: &[FileUnseen]) -> Vec<String> {
    let path = |file: usize| logs.get(file).map(|log| log.path.clone()).unwrap_or_default();
    let jump = |field: usize| missing_jump(contract.field_column(field), field, missing, path);
    let jumps = (0..contract.fields().len()).filter_map(jump).map(|warning| warning.to_string());
    jumps.chain(unseen_warnings(contract, logs, unseen)).collect()
}

impl ShardNoticed {
    fn of(contract: &Contract, noticed: &Value) -> Self {
        let list = |key: &str| noticed[key].as_array().map_or(&[][..], Vec::as_slice).iter();
        let by_field = |count: &dyn Fn(&str) -> Option<u64>| -> Vec<u64> {
            contract.fields().iter().map(|field| count(&field.name).unwrap_or(0)).collect()
        };
        let missing = list("rows_by_log").zip(list("missing_values_by_log")).map(|(rows, missing)| {
            FileMissing::of_counts(rows.as_u64().unwrap_or(0), by_field(&|field| missing[field].as_u64()))
        });
        let unseen = list("unseen_values_by_log").map(|unseen| FileUnseen {
            value_counts: by_field(&|field| unseen[field]["values"].as_u64()),
            unseen_counts: by_field(&|field| unseen[field]["unseen"].as_u64()),
        });
        Self {
            logs: list("logs").filter_map(|log| Some(log["path"].as_str()?.into())).collect(),
            missing: missing.collect(),
            invalid_numbers: by_field(&|field| noticed["invalid_numbers"][field].as_u64()),
            unseen: unseen.collect(),
            warnings: list("warnings").filter_map(|text| Some(text.as_str()?.to_owned())).collect(),
        }
    }
}
