//! Why a serving log cannot be worked with.

use std::io;
use std::path::PathBuf;

use omomi::error::Owner;
use omomi::serving_log::SegmentProblem;

use crate::log::LogError;

/// Why a serving log cannot be worked with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServingLogError {
    /// A path names nothing.
    #[error("{}: no such file or folder; pass the folder that the server logs to", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// A folder has no segments.
    #[error(
        "{}: the folder has no segments: expected files that end in `.omomilog`, found none; pass the folder that the \
         server logs to",
        path.display()
    )]
    NoSegments {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is longer than any segment.
    #[error(
        "{}: the file is too long: expected at most {max} bytes, found {found}; pass segments of a serving log",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Length of the longest segment, in bytes.
        max: u64,
        /// Length of the file, in bytes.
        found: u64,
    },
    /// Some files are no segments that this version can read. The others were read.
    #[error("{count} of the files cannot be read; the first is {}", path.display())]
    Unreadable {
        /// How many files there are.
        count: usize,
        /// The first of them.
        path: PathBuf,
        /// Why it cannot be read.
        source: SegmentProblem,
    },
    /// A file that must not exist does.
    #[error("{}: the file exists; name another one, or remove it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file is no weight file that can be used.
    #[error("{}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// The error of the weight file.
        source: omomi::Error,
    },
    /// Events from elsewhere, or the output of an earlier run, cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A row of other events cannot be used.
    #[error("row {row} of the events: column `{column}`: expected {expected}, found `{}`", found.escape_debug())]
    BadEvent {
        /// Number of the row over all files, counted from 1.
        row: u64,
        /// The column.
        column: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
}

impl ServingLogError {
    /// Returns who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::NotFound { .. } | Self::NoSegments { .. } | Self::TooLong { .. } | Self::BadEvent { .. } => {
                Owner::Delivery
            }
            Self::Exists { .. } | Self::WeightFile { .. } => Owner::Ml,
            Self::Log(error) => error.owner(),
            Self::File { .. } | Self::Unreadable { .. } => Owner::Infra,
        }
    }
}
