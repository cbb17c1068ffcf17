//! Rehearses incidents: a server in a process of its own follows a copy of a store and scores golden requests without pause, while
//! one thing after the other happens to it that happens to stores and servers in real life. For each the report says what was
//! expected, what was seen, how long it took, and how many requests failed meanwhile.
//!
//! Nothing is done to the store that is drilled: the one weight file that is needed is copied out of it, never linked, because some
//! incidents damage files in place.

mod copy;
mod error;
mod files;
mod incidents;
mod report;
mod server;
mod watched;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::DrillError;
pub use incidents::INCIDENT_COUNT;
pub use report::{DrillReport, IncidentReport};
pub use server::{ServerOptions, serve};

use copy::Copy;

/// How to rehearse.
#[derive(Debug, Clone)]
pub struct DrillOptions {
    /// The program `omomi`, which serves and verifies in processes of its own.
    pub program: PathBuf,
    /// How often the server looks at its store: an incident takes as long to be noticed.
    pub poll_interval: Duration,
    /// How long to wait for what is expected.
    pub time_limit: Duration,
    /// The folder in which the copy is made, and removed again.
    pub scratch: PathBuf,
}

/// Rehearses every incident with a copy of the weight file that is published in `dir`, and calls `watch` after each.
///
/// # Errors
///
/// [`DrillError`] where a rehearsal could not take place. That one has shown something unexpected is no error: the report says so.
pub fn drill(
    dir: &Path,
    options: &DrillOptions,
    watch: &mut dyn FnMut(&IncidentReport),
) -> Result<DrillReport, DrillError> {
    let copy = Copy::of(dir, options)?;
    incidents::rehearse(copy, options, watch)
}
