//! State machines, as Amazon States Language defines them, and what is wrong with a definition.

mod fields;
mod read;
mod services;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use super::choice::Rule;
use super::path::Path;
use super::payload::Template;
pub(super) use read::ways;

/// A definition that was read and has no fault.
#[derive(Debug, Clone, PartialEq)]
pub struct StateMachine {
    pub(super) top: Arc<States>,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) definition: Value,
}

/// One fault of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The place, such as `Train.Retry[0].ErrorEquals`.
    pub place: String,
    /// What was expected, and what was found.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.problem)
    }
}

/// Everything that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the flow has {} faults: {}", faults.len(), listed(faults))]
pub struct DefinitionError {
    /// At least one.
    pub faults: Vec<Fault>,
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

/// The states of a machine, of a branch, or of the items of a Map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct States {
    pub(super) start_at: String,
    pub(super) states: BTreeMap<String, State>,
}

/// A state. Fields that its kind does not have keep their defaults.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    pub(super) kind: Kind,
    /// Where to go on; nothing at the end.
    pub(super) next: Option<String>,
    pub(super) input_path: Filter,
    pub(super) output_path: Filter,
    /// `Parameters`, or `ItemSelector` of a Map.
    pub(super) parameters: Option<Template>,
    pub(super) result_selector: Option<Template>,
    pub(super) result_path: Filter,
    pub(super) retriers: Vec<Retrier>,
    pub(super) catchers: Vec<Catcher>,
}

/// A path, or `null`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    Path(Path),
    Null,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Pass {
        result: Option<Value>,
    },
    Task {
        resource: String,
        timeout: Option<Number>,
    },
    Choice {
        rules: Vec<(Rule, String)>,
        default: Option<String>,
    },
    Wait(Until),
    Succeed,
    Fail {
        error: Option<Words>,
        cause: Option<Words>,
    },
    Parallel {
        branches: Vec<Arc<States>>,
    },
    /// `most` items at the same time; 0 is all.
    Map {
        items: Path,
        most: Number,
        states: Arc<States>,
    },
}

/// A whole number that is fixed, or named by a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Number {
    Fixed(u64),
    Path(Path),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Until {
    Seconds(Number),
    /// Unix time in milliseconds.
    Timestamp(i64),
    TimestampPath(Path),
}

/// A text that is fixed or computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Words {
    Fixed(String),
    Computed(Template),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Retrier {
    pub(super) errors: Vec<String>,
    pub(super) interval_seconds: u64,
    pub(super) max_attempts: u32,
    pub(super) backoff_rate: f64,
    pub(super) max_delay_seconds: Option<u64>,
    pub(super) has_jitter: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Catcher {
    pub(super) errors: Vec<String>,
    pub(super) result_path: Filter,
    pub(super) next: String,
}

impl StateMachine {
    /// Reads a definition, and checks all of it: a run never meets a state that it cannot do.
    ///
    /// # Errors
    ///
    /// All faults at once: what the language does not allow, and what this interpreter does not support.
    pub fn parse(text: &str) -> Result<Self, DefinitionError> {
        let definition = serde_json::from_str(text).map_err(|error| {
            let problem = format!("the definition is not JSON: {error}");
            DefinitionError { faults: vec![Fault { place: "the file".to_owned(), problem }] }
        })?;
        read::machine(definition)
    }

    /// The definition as it was read.
    #[must_use]
    pub const fn definition(&self) -> &Value {
        &self.definition
    }
}

impl Kind {
    /// The name of the kind in definitions and in events.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "Pass",
            Self::Task { .. } => "Task",
            Self::Choice { .. } => "Choice",
            Self::Wait(_) => "Wait",
            Self::Succeed => "Succeed",
            Self::Fail { .. } => "Fail",
            Self::Parallel { .. } => "Parallel",
            Self::Map { .. } => "Map",
        }
    }
}
