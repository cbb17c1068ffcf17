//! What an experiment reports: to callers in the process, and in a file for `omomi experiment status`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::file::ArmState;
use crate::live::{Reason, unix_seconds};

/// What a process knows of its experiment.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ExperimentStatus {
    /// Name of the experiment; empty if no good file was ever read.
    pub experiment: String,
    /// Number of the version in force.
    pub version: u64,
    /// Why the last look at the file found none that can be used. The last good one stays in force.
    pub problem: Option<Reason>,
    /// Why what was read is not kept for the next start, if it is not.
    pub memory_problem: Option<Reason>,
    /// Requests without a unit, which the control arm answered.
    pub without_unit_count: u64,
    /// Requests of arms whose store is not open, which the control arm answered.
    pub unready_count: u64,
    /// The arms, in the order of the file.
    pub arms: Vec<ArmStatus>,
}

/// What a process knows of an arm. Counts are those of all scorers since the experiment was opened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ArmStatus {
    /// Name.
    pub name: String,
    /// Directory of its store.
    pub store: PathBuf,
    /// What the file says that it does.
    pub state: ArmState,
    /// Number of buckets that it owns, or of 10,000 requests that it scores as a shadow.
    pub share: u32,
    /// Whether it is the control arm.
    pub is_control: bool,
    /// Whether it can answer now. The units of an arm that cannot get the control arm.
    pub is_ready: bool,
    /// Generation that it answers with.
    pub generation: Option<u64>,
    /// Logic id of that generation.
    pub logic_id: Option<String>,
    /// Why the guard has stopped it in this process, if it has.
    pub guard_stop: Option<Reason>,
    /// Why it is not ready, and what its live model reports.
    pub reasons: Vec<Reason>,
    /// Requests that it answered.
    pub answered_count: u64,
    /// Requests of its units that the control arm answered, because this arm could not.
    pub fell_back_count: u64,
    /// Requests of its units that it failed to answer: it had no model, or a defect of the library stopped it.
    pub failed_count: u64,
    /// Requests that it scored as a shadow.
    pub shadow_count: u64,
    /// Requests that it would have scored as a shadow, if the time budget had been long enough.
    pub shadow_skipped_count: u64,
    /// Requests that it could not score as a shadow, because it had no model or refused the request.
    pub shadow_failed_count: u64,
}

impl ExperimentStatus {
    /// Returns the status as JSON, with the time.
    #[must_use]
    pub fn to_json(&self, name: &str) -> Value {
        json!({
            "format": 1,
            "name": name,
            "process_id": std::process::id(),
            "unix_seconds": unix_seconds(),
            "experiment": self.experiment,
            "version": self.version,
            "problem": self.problem.as_ref().map(Reason::to_json),
            "memory_problem": self.memory_problem.as_ref().map(Reason::to_json),
            "without_unit_count": self.without_unit_count,
            "unready_count": self.unready_count,
            "arms": self.arms.iter().map(ArmStatus::to_json).collect::<Vec<_>>(),
        })
    }
}

impl ArmStatus {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "store": self.store.to_string_lossy(),
            "state": self.state.word(),
            "share": self.share,
            "is_control": self.is_control,
            "is_ready": self.is_ready,
            "generation": self.generation,
            "logic_id": self.logic_id,
            "guard_stop": self.guard_stop.as_ref().map(Reason::to_json),
            "reasons": self.reasons.iter().map(Reason::to_json).collect::<Vec<_>>(),
            "answered_count": self.answered_count,
            "fell_back_count": self.fell_back_count,
            "failed_count": self.failed_count,
            "shadow_count": self.shadow_count,
            "shadow_skipped_count": self.shadow_skipped_count,
            "shadow_failed_count": self.shadow_failed_count,
        })
    }
}
