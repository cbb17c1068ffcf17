//! The status of a serving process: for callers in the process, and in `state/<name>/report.json` for readers of the
//! store such as `omomi status`.

use std::time::Duration;

use serde_json::{Value, json};

use super::quarantined::Quarantined;
use super::reason::Reason;
use crate::store::{Control, Digest, Scoring, Target};
use crate::weight_file::map::LoadMode;

/// Whether requests get answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServingState {
    /// A generation answers.
    Serving,
    /// No generation has been served yet: predict returns [`Error::NoModel`](crate::Error::NoModel).
    NoModel,
    /// Scoring is switched off in `control`: predict returns [`Error::SwitchedOff`](crate::Error::SwitchedOff).
    Off,
}

impl ServingState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Serving, Self::NoModel, Self::Off];

    pub(super) const fn of(control: Control, is_served: bool) -> Self {
        match (control.is_off(), is_served) {
            (true, _) => Self::Off,
            (false, true) => Self::Serving,
            (false, false) => Self::NoModel,
        }
    }

    /// `serving`, `no_model` or `off`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::NoModel => "no_model",
            Self::Off => "off",
        }
    }
}

/// The generation that answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// The generation number.
    pub generation: u64,
    /// Digest of its weight file.
    pub digest: Digest,
    /// Its logic id.
    pub logic_id: String,
    /// Fingerprint of its contract.
    pub contract_fingerprint: u64,
    /// Number of weights, the bias excluded.
    pub weight_count: u64,
    /// Length of its weight file in bytes.
    pub file_len_bytes: u64,
    /// How its bytes are in memory. A mapped file that was changed in place becomes a copy.
    pub load_mode: LoadMode,
    /// Why this mode was chosen.
    pub load_mode_reason: String,
    /// Whether it is still on trial.
    pub is_on_trial: bool,
    /// When it began to answer, in seconds since 1970.
    pub since_unix_seconds: u64,
    /// End of its training data, in seconds since 1970; `None` if its provenance does not say.
    pub training_end_unix_seconds: Option<i64>,
}

/// A stage of bringing a generation into service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Open the file and check its permissions and length.
    Open,
    /// Record in the journal that it is being tried.
    Journal,
    /// Bring it into memory: map it, or read all of it in the mode `copy`.
    Read,
    /// Read all bytes for the digest. In the mode `map`, this brings them into memory.
    Digest,
    /// Check checksums and sections, and the signature if the options ask for it.
    Verify,
    /// Recompute the golden requests.
    Golden,
    /// Compare the contract with the server's declaration.
    Bind,
    /// Lock the pages in memory, if the options ask for it.
    Lock,
    /// Create a scorer for every live scorer, and prepare its candidates.
    Prepare,
    /// Score recent requests.
    Warm,
    /// Switch every live scorer.
    Swap,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Journal,
        Self::Read,
        Self::Digest,
        Self::Verify,
        Self::Golden,
        Self::Bind,
        Self::Lock,
        Self::Prepare,
        Self::Warm,
        Self::Swap,
    ];

    /// Returns its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Digest => "digest",
            Self::Verify => "verify",
            Self::Golden => "golden",
            Self::Bind => "bind",
            Self::Lock => "lock",
            Self::Prepare => "prepare",
            Self::Warm => "warm",
            Self::Journal => "journal",
            Self::Swap => "swap",
        }
    }
}

/// How an attempt to serve a generation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answers, or answered until it was replaced.
    Served,
    /// It was refused.
    Refused(Reason),
    /// A new decision in `control` ended the attempt, or the process was about to end.
    Interrupted,
}

/// An attempt to serve a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The generation number.
    pub generation: u64,
    /// Digest of its bytes, if they were read.
    pub digest: Option<Digest>,
    /// When it began, in seconds since 1970.
    pub unix_seconds: u64,
    /// Duration of each stage. The last one is where the attempt ended.
    pub stages: Vec<(Stage, Duration)>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The full status of a serving process.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveStatus {
    /// Whether requests get answers.
    pub state: ServingState,
    /// The orders in force: the last ones that this process, or the one before it, heard.
    pub control: Control,
    /// The generation that answers, or that would answer if scoring were not switched off.
    pub served: Option<Served>,
    /// Generations that are no longer served but still in memory, because a reader still uses them or a trial is not
    /// over.
    pub retired_count: usize,
    /// Total size in bytes of all models in memory.
    pub mapped_bytes: u64,
    /// Resident bytes of all models, if the operating system reports them.
    pub resident_bytes: Option<u64>,
    /// Current problems.
    pub reasons: Vec<Reason>,
    /// Recent attempts, newest last.
    pub attempts: Vec<Attempt>,
    /// Contents that are not tried again.
    pub quarantined: Vec<Quarantined>,
    /// When this status was written, in seconds since 1970.
    pub heartbeat_unix_seconds: u64,
}

impl LiveStatus {
    pub(super) const fn before_the_first_look() -> Self {
        Self {
            state: ServingState::NoModel,
            control: Control { scoring: Scoring::On, target: Target::Follow },
            served: None,
            retired_count: 0,
            mapped_bytes: 0,
            resident_bytes: None,
            reasons: Vec::new(),
            attempts: Vec::new(),
            quarantined: Vec::new(),
            heartbeat_unix_seconds: 0,
        }
    }

    /// Returns the status as a JSON object, in the form of `report.json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "pid": std::process::id(),
            "library": env!("CARGO_PKG_VERSION"),
            "state": self.state.name(),
            "control": self.control.to_string(),
            "served": self.served.as_ref().map(Served::to_json),
            "retired_count": self.retired_count,
            "mapped_bytes": self.mapped_bytes,
            "resident_bytes": self.resident_bytes,
            "reasons": self.reasons.iter().map(Reason::to_json).collect::<Vec<_>>(),
            "attempts": self.attempts.iter().map(Attempt::to_json).collect::<Vec<_>>(),
            "quarantined": self.quarantined.iter().map(Quarantined::to_json).collect::<Vec<_>>(),
            "heartbeat_unix_seconds": self.heartbeat_unix_seconds,
        })
    }
}

impl Served {
    fn to_json(&self) -> Value {
        json!({
            "generation": self.generation,
            "digest": self.digest.to_string(),
            "logic_id": self.logic_id,
            "contract_fingerprint": format!("{:016x}", self.contract_fingerprint),
            "weight_count": self.weight_count,
            "file_len_bytes": self.file_len_bytes,
            "load_mode": self.load_mode.name(),
            "load_mode_reason": self.load_mode_reason,
            "is_on_trial": self.is_on_trial,
            "since_unix_seconds": self.since_unix_seconds,
            "training_end_unix_seconds": self.training_end_unix_seconds,
        })
    }
}

impl Attempt {
    fn to_json(&self) -> Value {
        let stages =
            self.stages.iter().map(|(stage, took)| json!({ "stage": stage.name(), "seconds": took.as_secs_f64() }));
        let (outcome, reason) = match &self.outcome {
            Outcome::Served => ("served", None),
            Outcome::Refused(reason) => ("refused", Some(reason.to_json())),
            Outcome::Interrupted => ("interrupted", None),
        };
        json!({
            "generation": self.generation,
            "digest": self.digest.map(|digest| digest.to_string()),
            "unix_seconds": self.unix_seconds,
            "stages": stages.collect::<Vec<_>>(),
            "outcome": outcome,
            "reason": reason,
        })
    }
}
