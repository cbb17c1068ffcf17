#![doc = include_str!("FORMAT.md")]

mod build;
mod error;
mod layout;
mod reader;
mod row_block;
#[cfg(test)]
mod tests;
mod writer;

use std::io;

use serde::{Deserialize, Serialize};

use crate::log::{LogFile, ReadOptions};
use omomi::contract::Contract;
use omomi::store::Digest;

use super::Sampling;
use super::row_indexer::LabelSums;

pub(super) use build::build;
#[cfg(test)]
pub(super) use build::cache_of_batches;
pub use error::RowCacheError;
pub(super) use reader::{Found, RowCache};
pub(super) use row_block::CachedFeature;

/// Counts from reading the logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// Number of rows of each log, in order.
    pub(super) log_row_counts: Vec<Option<u64>>,
    /// Number of rows that were read, including those that sampling left out.
    pub(super) rows: u64,
    pub(super) bad_rows: u64,
    /// Numbers out of range, by field of the contract.
    pub(super) invalid_numbers: Vec<u64>,
    pub(super) window_us: Option<(i64, i64)>,
    /// Total importance of the kept rows.
    pub(super) impressions: f64,
    /// Total importance of the kept rows with a click.
    pub(super) clicks: f64,
    /// Sums of the first batch, from which the bias starts.
    pub(super) first_sums: LabelSums,
}

/// Returns the digest of everything that the cache depends on. Reads all logs once.
pub(super) fn digest_of(
    contract: &Contract,
    read: &ReadOptions,
    sampling: Sampling,
    logs: &[LogFile],
) -> io::Result<Digest> {
    let read = ReadOptions { extra_columns: Vec::new(), ..read.clone() };
    let mut text = format!("{}\n{}\n{read:?}\n{sampling:?}\n", layout::FORMAT_VERSION, contract.canonical_json());
    text += &contract.reading_json().unwrap_or_default();
    for log in logs {
        text += &format!("{}\n", Digest::of_file(&log.path)?);
    }
    Ok(Digest::of(text.as_bytes()))
}
