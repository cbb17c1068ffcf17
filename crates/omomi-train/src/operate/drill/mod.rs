//! Rehearses incidents. A server in its own process follows a copy of a store and scores golden requests without pause,
//! while the things that go wrong with stores and servers in production happen to it, one by one. For each incident,
//! the report has what was expected, what was seen, how long it took, and how many requests failed in the meantime.
//!
//! The original store is never changed. The one weight file that the drill needs is copied out of it, never linked,
//! because some incidents damage files in place.

mod copy;
mod error;
mod files;
mod incidents;
mod outcome;
mod server;
mod watched;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::DrillError;
pub use incidents::INCIDENT_COUNT;
pub use outcome::{DrillReport, IncidentReport};
pub use server::{ServerOptions, serve};

use copy::Copy;

/// Settings of a drill.
#[derive(Debug, Clone)]
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

/// Rehearses every incident with a copy of the weight file that is published in `dir`, and calls `watch` after each
/// incident.
///
/// # Errors
///
/// Returns [`DrillError`] if an incident could not be rehearsed. An unexpected outcome is not an error: it is in the
/// report.
pub fn drill(
    dir: &Path,
    options: &DrillOptions,
    watch: &mut dyn FnMut(&IncidentReport),
) -> Result<DrillReport, DrillError> {
    let copy = Copy::of(dir, options)?;
    incidents::rehearse(copy, options, watch)
}
