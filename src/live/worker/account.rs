//! Account: updates the status that the process reports, in memory and in `report.json`.

use std::time::Instant;

use super::super::status::{LiveStatus, Reason, Served, ServingState};
use super::super::{seconds_of, unix_seconds};
use super::{HEARTBEAT, Holding, Worker};
use crate::store::Control;

impl Worker {
    pub(super) fn report(&mut self) {
        if let Some(problem) = &self.memory.problem {
            self.reasons.push(Reason::of(problem));
        }
        let state = if self.control == Control::Off {
            ServingState::Off
        } else if self.served.is_some() {
            ServingState::Serving
        } else {
            ServingState::NoModel
        };
        // Counting the resident pages takes milliseconds per gigabyte.
        if self.reported.as_ref().is_none_or(|(_, written)| written.elapsed() >= HEARTBEAT) {
            self.resident_bytes = self.models().map(|model| model.resident_bytes()).sum();
        }
        let status = LiveStatus {
            state,
            control: self.control,
            served: self.served.as_ref().map(|served| self.describe(served)),
            retired_count: self.retired.len() + usize::from(self.fallback.is_some()),
            mapped_bytes: self.held_bytes(),
            resident_bytes: self.resident_bytes,
            reasons: self.reasons.clone(),
            attempts: self.attempts.iter().cloned().collect(),
            quarantined: self.memory.quarantined.clone(),
            heartbeat_unix_seconds: unix_seconds(),
        };
        self.write_report(&status);
        *self.shared.status() = status;
    }

    /// Writes the report if it changed, or if the last one is older than the heartbeat interval.
    fn write_report(&mut self, status: &LiveStatus) {
        let is_known = self.reported.as_ref().is_some_and(|(known, written)| {
            let known = (&known.state, &known.served, &known.reasons, &known.attempts, &known.control);
            let new = (&status.state, &status.served, &status.reasons, &status.attempts, &status.control);
            known == new && written.elapsed() < HEARTBEAT
        });
        if is_known {
            return;
        }
        if self.memory.is_on_disk() {
            self.memory.write_report(&status.to_json());
        }
        self.reported = Some((status.clone(), Instant::now()));
    }

    fn describe(&self, served: &Holding) -> Served {
        let model = &served.model;
        Served {
            generation: served.current.generation,
            digest: served.current.digest,
            logic_id: model.logic_id().to_owned(),
            contract_fingerprint: model.contract().fingerprint(),
            weight_count: model.weight_count(),
            file_len_bytes: model.header().total_len_bytes,
            load_mode: served.load_mode,
            is_on_trial: self.trial.is_some(),
            since_unix_seconds: seconds_of(served.since),
            training_end_unix_seconds: model.training_end_unix_seconds(),
        }
    }
}
