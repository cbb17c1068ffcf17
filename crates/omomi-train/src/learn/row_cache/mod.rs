#![doc = include_str!("FORMAT.md")]

mod reader;
mod row_block;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::log::{FileMissing, LogFile, ReadOptions};
use omomi::contract::Contract;
use omomi::error::Owner;
use omomi::store::Digest;

use super::Sampling;
use super::row_indexer::LabelSums;

pub(super) use reader::{Found, RowCache};
#[cfg(test)]
pub(super) use writer::cache_of_batches;
pub(super) use writer::{build, build_of_batches};

// Offsets and sizes in a row cache, as specified in `FORMAT.md`.

const MAGIC: &[u8; 8] = b"omomirow";
const END_MAGIC: &[u8; 8] = b"omomiend";
/// Version that this library writes, and the only one that it reads.
const FORMAT_VERSION: u32 = 3;

const VERSION_OFFSET: usize = MAGIC.len();
const ZERO_OFFSET: usize = VERSION_OFFSET + size_of::<u32>();
const DIGEST_OFFSET: usize = ZERO_OFFSET + size_of::<u32>();
const DIGEST_LEN: usize = 32;
const HEADER_CHECKSUM_OFFSET: usize = DIGEST_OFFSET + DIGEST_LEN + size_of::<u64>();
const HEADER_LEN: usize = HEADER_CHECKSUM_OFFSET + size_of::<u64>();

const BLOCK_CHECKSUM_OFFSET: usize = 4 * size_of::<u32>();
const BLOCK_HEADER_LEN: usize = BLOCK_CHECKSUM_OFFSET + size_of::<u64>();

/// Index of the first block of features.
const FIRST_FEATURES_INDEX: u32 = 1 << 31;

const FLAG_CLICKED: u8 = 1;
const FLAG_REPEATS: u8 = 2;

/// What a block of rows has besides flags, lengths and numbers.
const HAS_IMPORTANCE: u32 = 1;
const HAS_HOURS: u32 = 2;

const END_MAGIC_OFFSET: usize = 5 * size_of::<u64>();
const TRAILER_CHECKSUM_OFFSET: usize = END_MAGIC_OFFSET + END_MAGIC.len();
const TRAILER_LEN: usize = TRAILER_CHECKSUM_OFFSET + size_of::<u64>();

const _: () = assert!(HEADER_LEN == 64 && BLOCK_HEADER_LEN == 24 && TRAILER_LEN == 56);

/// Bytes of a row in a block, without its features, its importance and its hour.
const ROW_LEN: u64 = (size_of::<u8>() + size_of::<u32>()) as u64;
const IMPORTANCE_LEN: u64 = size_of::<f64>() as u64;
const HOUR_LEN: u64 = size_of::<i32>() as u64;
const NUMBER_LEN: u64 = size_of::<u32>() as u64;
/// Bytes of a feature in a block, without its category.
const FEATURE_LEN: u64 = (4 * size_of::<u64>() + size_of::<u16>() + size_of::<u32>()) as u64;

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
    /// Missing values of each log, in order.
    pub(super) missing_by_log: Vec<FileMissing>,
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
    let read = ReadOptions { extra_columns: Vec::new(), as_trained: Vec::new(), trained: None, ..read.clone() };
    let mut text = format!("{}\n{}\n{read:?}\n{sampling:?}\n", FORMAT_VERSION, contract.canonical_json());
    text += &contract.reading_json().unwrap_or_default();
    for log in logs {
        // Folders can name columns, such as `dt=2026-01-01`.
        let folders = log.path.parent().into_iter().flat_map(Path::components).filter_map(|folder| {
            let folder = folder.as_os_str().to_string_lossy();
            folder.contains('=').then(|| format!("{folder:?} "))
        });
        text += &format!("{}{}\n", folders.collect::<String>(), crate::bucket::digest_of(&log.path)?);
    }
    Ok(Digest::of(text.as_bytes()))
}

/// Why a row cache cannot be built or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RowCacheError {
    /// The file cannot be read or written.
    #[error("cannot {action} the row cache {}", .path.display())]
    Io {
        /// The failed action: `write` or `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The file is not a row cache.
    #[error("{} is not a row cache: expected a file that begins with `omomirow`; choose another name", .path.display())]
    NotACache {
        /// The file.
        path: PathBuf,
    },
    /// The content of the cache is damaged.
    #[error("the row cache {} is damaged: {problem}; delete it, and the next run rebuilds it", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
}

impl RowCacheError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::NotACache { .. } => Owner::Ml,
            Self::Io { .. } | Self::Damaged { .. } => Owner::Infra,
        }
    }
}

impl RowCacheError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(in crate::learn) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }
}

#[cfg(test)]
mod tests;
