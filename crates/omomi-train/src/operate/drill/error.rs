//! What can keep an incident from being rehearsed.

use std::path::PathBuf;

use crate::operate::publish::PublishError;
use crate::pack::writer::WriteError;
use omomi::error::Error;

/// Why a rehearsal could not take place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// Nothing is published that could be served.
    #[error("{dir} has no published weight file to drill with: expected one that `current` names, found none")]
    NothingPublished {
        /// The store.
        dir: PathBuf,
    },
    /// The published file is none that a server would take.
    #[error(transparent)]
    Serving(#[from] Error),
    /// A new generation of it could not be published in the copy.
    #[error("could not publish in the copy of the store")]
    Publish(#[from] PublishError),
    /// A new generation of it could not be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The system refused something.
    #[error("could not {action} {path}")]
    System {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Between two incidents, the server did not come to rest.
    #[error(
        "before the incident `{incident}` the server has to serve generation {expected} without any complaint, but it says: {found}"
    )]
    Restless {
        /// The incident that was to follow.
        incident: &'static str,
        /// The generation that was to be served.
        expected: u64,
        /// What the server says of itself.
        found: String,
    },
}

impl DrillError {
    pub(super) fn system(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::System { action, path, source }
    }
}
