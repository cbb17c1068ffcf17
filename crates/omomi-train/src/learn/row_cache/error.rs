//! What can be wrong with a row cache.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a row cache cannot be made or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RowCacheError {
    /// The system refused.
    #[error("cannot {action} the row cache {}", .path.display())]
    Io {
        /// What was tried: `write`, `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no row cache: expected a file that begins with `omomirow`; choose another name", .path.display())]
    NotACache {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are not those that were written.
    #[error("the row cache {} is damaged: {problem}; delete it, and it is made anew", .path.display())]
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
