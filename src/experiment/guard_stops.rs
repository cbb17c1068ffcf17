//! Stops by the guard: how long they hold, what they do, and how they are kept.

use std::sync::Arc;

use serde_json::json;

use super::file::{Arm, ArmState, Experiment};
use crate::bounded_json::{self, JsonLimits};
use crate::error::Error;
use crate::live::unix_seconds;

/// A stop by the guard, which holds until the file says that the arm is stopped or has another store, or has no guard.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GuardStop {
    pub(super) experiment: String,
    pub(super) salt: u64,
    pub(super) arm: String,
    pub(super) store: String,
    pub(super) unix_seconds: u64,
    pub(super) expected: String,
    pub(super) found: String,
}

impl GuardStop {
    /// Returns a stop of an arm, which begins now.
    pub(super) fn new(experiment: &Experiment, arm: &Arm, (expected, found): (String, String)) -> Self {
        Self {
            experiment: experiment.name.clone(),
            salt: experiment.salt,
            arm: arm.name.clone(),
            store: arm.store.to_string_lossy().into_owned(),
            unix_seconds: unix_seconds(),
            expected,
            found,
        }
    }

    fn is_of(&self, arm: &Arm) -> bool {
        arm.name == self.arm && arm.store.to_str() == Some(&self.store) && arm.state == ArmState::Serve
    }

    /// Whether the stop holds while a file is in force.
    pub(super) fn holds(&self, experiment: &Experiment) -> bool {
        let is_same = experiment.name == self.experiment && experiment.salt == self.salt && experiment.guard.is_some();
        let arms = experiment.arms.iter().enumerate();
        is_same && arms.filter(|(index, _)| *index != experiment.control).any(|(_, arm)| self.is_of(arm))
    }

    /// Returns the experiment without the arms that are stopped.
    pub(super) fn applied_to(experiment: &Arc<Experiment>, stops: &[Self]) -> Arc<Experiment> {
        let mut applied = Arc::clone(experiment);
        for stop in stops.iter().filter(|stop| stop.holds(experiment)) {
            for arm in Arc::make_mut(&mut applied).arms.iter_mut().filter(|arm| stop.is_of(arm)) {
                arm.state = ArmState::Stopped;
            }
        }
        applied
    }

    /// Writes a list of stops as JSON.
    pub(super) fn text_of(stops: &[Self]) -> String {
        let stops = stops.iter().map(|stop| {
            json!({
                "experiment": stop.experiment, "salt": format!("{:016x}", stop.salt), "arm": stop.arm,
                "store": stop.store, "unix_seconds": stop.unix_seconds, "expected": stop.expected, "found": stop.found,
            })
        });
        format!("{:#}\n", json!({ "format": 1, "stops": stops.collect::<Vec<_>>() }))
    }

    /// Reads what [`text_of`](Self::text_of) wrote. An error says what was found instead.
    pub(super) fn list_of(text: &str) -> Result<Vec<Self>, String> {
        let limits = JsonLimits {
            max_depth: 4,
            max_values: 4_096,
            max_objects: 512,
            max_text_len_bytes: 4_096,
            known_keys: Some(&[
                "format",
                "stops",
                "experiment",
                "salt",
                "arm",
                "store",
                "unix_seconds",
                "expected",
                "found",
            ]),
            max_items: &[("stops", 256, "stops")],
        };
        let value = bounded_json::read(text.as_bytes(), &limits).map_err(|problem| problem.to_string())?;
        if value["format"] != 1 {
            return Err(format!("format {}", value["format"]));
        }
        let stops = value["stops"].as_array().ok_or("no list")?;
        let read = stops.iter().map(|stop| {
            let text = |key: &str| Some(stop[key].as_str()?.to_owned());
            Some(Self {
                experiment: text("experiment")?,
                salt: u64::from_str_radix(&text("salt")?, 16).ok()?,
                arm: text("arm")?,
                store: text("store")?,
                unix_seconds: stop["unix_seconds"].as_u64()?,
                expected: text("expected")?,
                found: text("found")?,
            })
        });
        read.collect::<Option<_>>().ok_or_else(|| "a stop without one of its members".to_owned())
    }

    pub(super) fn error(&self) -> Error {
        let Self { arm, expected, found, .. } = self.clone();
        Error::GuardStopped { arm, expected, found }
    }
}
