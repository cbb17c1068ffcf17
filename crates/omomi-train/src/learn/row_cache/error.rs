//! The errors of a row cache.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

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
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(in crate::learn) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }
}
