//! What a serving process says of itself: to whoever asks in the process, and in `state/<name>/report.json` to whoever looks at the
//! store from outside (`omomi status`).

use std::time::Duration;

use serde_json::{Value, json};

use super::journal::Quarantined;
use crate::error::{Code, Error, Owner};
use crate::store::{Control, Digest};
use crate::weight_file::map::LoadMode;

/// Whether requests get answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServingState {
    /// A generation answers.
    Serving,
    /// There is none that could be served yet: predict says [`Error::NoModel`].
    NoModel,
    /// People switched scoring off: predict says [`Error::SwitchedOff`].
    Off,
}

impl ServingState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Serving, Self::NoModel, Self::Off];

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
    /// Its number.
    pub generation: u64,
    /// Digest of its file.
    pub digest: Digest,
    /// Name of the serving logic.
    pub logic_id: String,
    /// Fingerprint of its contract.
    pub contract_fingerprint: u64,
    /// Number of its weights.
    pub weight_count: u64,
    /// Length of its file.
    pub file_len_bytes: u64,
    /// How its bytes are in memory; a mapped file that was changed in place becomes a copy.
    pub load_mode: LoadMode,
    /// Whether it is still on trial.
    pub is_on_trial: bool,
    /// Since when it answers, in seconds since 1970.
    pub since_unix_seconds: u64,
    /// The end of the data that it was trained on, in seconds since 1970; nothing where its provenance does not say.
    pub training_end_unix_seconds: Option<i64>,
}

/// Something that is not as it should be, and who must act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What it is.
    pub code: Code,
    /// What was expected, what was found, what to do.
    pub text: String,
}

impl Reason {
    pub(super) fn of(error: &Error) -> Self {
        Self { code: error.code(), text: error.full_message() }
    }

    /// Who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.code.owner()
    }
}

/// A step on a generation's way into service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Opened, its permissions and length looked at.
    Open,
    /// Brought into memory: all of it in the mode `copy`.
    Read,
    /// All bytes read for the digest; in the mode `map` this brings them into memory.
    Digest,
    /// Checksums and sections, and the signature where one is asked for.
    Verify,
    /// Golden requests recomputed.
    Golden,
    /// Contract and declaration compared.
    Bind,
    /// Pages kept in memory, where that is asked for.
    Lock,
    /// A scorer made for every live scorer, candidates prepared.
    Prepare,
    /// Recent requests scored.
    Warm,
    /// The trial noted in the journal.
    Journal,
    /// Every live scorer switched.
    Swap,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Read,
        Self::Digest,
        Self::Verify,
        Self::Golden,
        Self::Bind,
        Self::Lock,
        Self::Prepare,
        Self::Warm,
        Self::Journal,
        Self::Swap,
    ];

    /// Its name in reports.
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
    /// People decided otherwise, or the process was about to end.
    Interrupted,
}

/// An attempt to serve a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The generation.
    pub generation: u64,
    /// Digest of its bytes, where they were read.
    pub digest: Option<Digest>,
    /// When it began, in seconds since 1970.
    pub unix_seconds: u64,
    /// What each stage took; the last one is where it ended.
    pub stages: Vec<(Stage, Duration)>,
    /// How it ended.
    pub outcome: Outcome,
}

/// All that a serving process says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveStatus {
    /// Whether requests get answers.
    pub state: ServingState,
    /// What people decided, as this process understood it last.
    pub control: Control,
    /// The generation that answers, or would if scoring were not switched off.
    pub served: Option<Served>,
    /// Generations that are no longer served and still in memory, because a reader is not gone or a trial not over.
    pub retired_count: usize,
    /// Bytes of all models in memory.
    pub mapped_bytes: u64,
    /// Of these, the bytes that lie in memory now, where the system says.
    pub resident_bytes: Option<u64>,
    /// What is not as it should be.
    pub reasons: Vec<Reason>,
    /// The last attempts, the newest last.
    pub attempts: Vec<Attempt>,
    /// What is not tried again.
    pub quarantined: Vec<Quarantined>,
    /// When this was written, in seconds since 1970.
    pub heartbeat_unix_seconds: u64,
}

impl LiveStatus {
    pub(super) const fn before_the_first_look() -> Self {
        Self {
            state: ServingState::NoModel,
            control: Control::Follow,
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

    /// The same as a JSON object: what `report.json` holds.
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
            "quarantined": self.quarantined.iter().map(quarantined_json).collect::<Vec<_>>(),
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
            "is_on_trial": self.is_on_trial,
            "since_unix_seconds": self.since_unix_seconds,
            "training_end_unix_seconds": self.training_end_unix_seconds,
        })
    }
}

impl Reason {
    fn to_json(&self) -> Value {
        json!({ "code": self.code.name(), "owner": self.owner().word(), "text": self.text, "action": self.code.action() })
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

fn quarantined_json(quarantined: &Quarantined) -> Value {
    json!({
        "digest": quarantined.digest.to_string(),
        "generation": quarantined.generation,
        "code": quarantined.code.name(),
        "owner": quarantined.code.owner().word(),
        "reason": quarantined.reason,
        "unix_seconds": quarantined.unix_seconds,
        "is_lasting": quarantined.is_lasting,
    })
}
