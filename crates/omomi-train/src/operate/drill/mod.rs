//! Rehearses incidents. A server in its own process follows a copy of a store and scores golden requests without pause,
//! while the things that go wrong with stores and servers in production happen to it, one by one. For each incident,
//! the report has what was expected, what was seen, how long it took, and how many requests failed in the meantime.
//!
//! The original store is never changed. The one weight file that the drill needs is copied out of it, never linked,
//! because some incidents damage files in place.

mod copy;
mod files;
mod incidents;
mod server;
mod watched;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::operate::publish::PublishError;
use crate::pack::writer::WriteError;
use omomi::error::Error;

pub use incidents::INCIDENT_COUNT;
pub use server::{ServerOptions, serve};

use copy::Copy;

/// Settings of a drill.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DrillOptions {
    /// Path of the program `omomi`, which serves and verifies in its own processes.
    pub program: PathBuf,
    /// How often the server polls its store. Noticing an incident takes about this long.
    pub poll_interval: Duration,
    /// How long to wait for the expected outcome of an incident.
    pub time_limit: Duration,
    /// The folder for the copy of the store, which is removed afterwards.
    pub scratch: PathBuf,
}

impl DrillOptions {
    /// Returns options that poll every 200 ms, wait at most 60 seconds, and copy to the temporary folder.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            poll_interval: Duration::from_millis(200),
            time_limit: Duration::from_secs(60),
            scratch: std::env::temp_dir(),
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Rehearses every incident with a copy of the weight file that is published in `dir`, and calls `watch` after each
/// incident.
///
/// # Errors
///
/// Returns [`DrillError`] if an incident could not be rehearsed. An unexpected outcome is not an error: it is in the
/// report.
pub fn drill(
    dir: impl AsRef<Path>,
    options: &DrillOptions,
    watch: &mut dyn FnMut(&IncidentReport),
) -> Result<DrillReport, DrillError> {
    let dir = dir.as_ref();
    let copy = Copy::of(dir, options)?;
    incidents::rehearse(copy, options, watch)
}

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
    fn system(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::System { action, path, source }
    }
}

/// The outcome of all incidents, in order.
#[derive(Debug, Clone)]
pub struct DrillReport {
    /// One report per incident.
    pub incidents: Vec<IncidentReport>,
    /// Number of requests that were scored during all incidents.
    pub request_count: u64,
    /// How often the server polled its store.
    pub poll_interval: Duration,
}

/// The outcome of one incident.
#[derive(Debug, Clone)]
pub struct IncidentReport {
    /// Name of the incident.
    pub name: &'static str,
    /// What the server should do.
    pub expected: String,
    /// What the server did.
    pub seen: String,
    /// Time from the incident until the server did and reported what was expected; `None` if it did not.
    pub took: Option<Duration>,
    /// Number of requests in the meantime that got no answer or a wrong one.
    pub failed_count: u64,
    /// Whether requests may fail, because scoring is switched off.
    pub may_fail: bool,
}

impl DrillReport {
    /// Whether every incident went as expected.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.incidents.iter().all(IncidentReport::is_as_expected)
    }

    /// Returns the report as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "is_as_expected": self.is_as_expected(),
            "poll_interval_seconds": self.poll_interval.as_secs_f64(),
            "request_count": self.request_count,
            "incidents": self.incidents.iter().map(IncidentReport::to_json).collect::<Vec<_>>(),
        })
    }
}

impl IncidentReport {
    /// Whether the incident went as expected, without failed requests unless they were allowed.
    #[must_use]
    pub const fn is_as_expected(&self) -> bool {
        self.took.is_some() && (self.may_fail || self.failed_count == 0)
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "expected": self.expected,
            "seen": self.seen,
            "seconds": self.took.map(|took| took.as_secs_f64()),
            "failed_count": self.failed_count,
            "is_as_expected": self.is_as_expected(),
        })
    }
}
