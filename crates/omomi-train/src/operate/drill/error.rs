//! Errors that prevent a rehearsal.

use std::path::PathBuf;

use crate::operate::publish::PublishError;
use crate::pack::writer::WriteError;
use omomi::error::Error;

/// Why an incident could not be rehearsed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// The store has no published weight file.
    #[error("{dir} has no published weight file to drill with: `current` is missing; publish a weight file first")]
    NothingPublished {
        /// The store.
        dir: PathBuf,
    },
    /// The published file cannot be loaded by a server.
    #[error(transparent)]
    Serving(#[from] Error),
    /// A new generation of the file could not be published in the copy of the store.
    #[error("could not publish in the copy of the store")]
    Publish(#[from] PublishError),
    /// A new generation of the file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The operating system returned an error.
    #[error("could not {action} {path}")]
    System {
        /// The attempted action.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The server did not return to normal between two incidents.
    #[error(
        "before the incident `{incident}`: expected generation {expected} to be served without problems, found: {found}"
    )]
    Restless {
        /// The incident that was about to start.
        incident: &'static str,
        /// The generation that the server should be serving.
        expected: u64,
        /// The status of the server.
        found: String,
    },
}

impl DrillError {
    pub(super) fn system(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::System { action, path, source }
    }
}
