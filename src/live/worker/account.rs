//! Account: updates the status that the process reports.

use std::time::Instant;

use super::super::reason::Reason;
use super::super::state::check_store;
use super::super::status::{LiveStatus, Served, ServingState};
use super::super::{seconds_of, unix_seconds};
use super::{COUNT_INTERVAL, Holding, Worker};

impl Worker {
    pub(super) fn report(&mut self) {
        // Counting the resident pages takes milliseconds per gigabyte.
        if self.counted.is_none_or(|counted| counted.elapsed() >= COUNT_INTERVAL) {
            self.resident_bytes = self.models().map(|model| model.resident_bytes()).sum();
            self.counted = Some(Instant::now());
        }
        let (reasons, control) = (self.all_reasons(), self.shared.orders().in_force());
        let status = LiveStatus {
            state: ServingState::of(control, self.served.is_some()),
            control,
            served: self.served.as_ref().map(|served| self.describe(served)),
            retired_count: self.retired.len() + usize::from(self.fallback.is_some()),
            mapped_bytes: self.held_bytes(),
            resident_bytes: self.resident_bytes,
            reasons,
            attempts: self.attempts.iter().cloned().collect(),
            quarantined: self.known.quarantined(),
            heartbeat_unix_seconds: unix_seconds(),
        };
        self.shared.update_status(|before| *before = status);
        self.shared.post_report();
    }

    /// Everything that is wrong, each reason once: what concerns the served generation first.
    fn all_reasons(&self) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = Vec::new();
        // Looked at here, because the thread that keeps the state looks at its own pace.
        let missing = check_store(&self.store).err().map(|error| Reason::of(&error));
        let has_store = missing.is_none();
        let mut state: Vec<Reason> = self.shared.desk().problems().iter().map(Reason::of).collect();
        state.retain(|reason| reason.code != crate::error::Code::StoreMissing);
        state.extend(missing);
        let mut decided = self.known.reasons();
        if !has_store {
            // There is nothing to publish to.
            decided.retain(|reason| reason.code != crate::error::Code::NoModel);
        }
        let orders = self.shared.orders();
        // Before the first publication, there are no orders.
        let is_used = self.known.has_served() || self.known.has_current() || orders.last_heard().is_some();
        let unheard = orders.problem().filter(|_| is_used && has_store).cloned();
        for reason in self.reasons.iter().cloned().chain(decided).chain(unheard).chain(state) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        reasons
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
            load_mode: served.load_mode.mode,
            load_mode_reason: served.load_mode.reason.clone(),
            is_on_trial: self.known.is_on_trial(),
            since_unix_seconds: seconds_of(served.since),
            training_end_unix_seconds: model.training_end_unix_seconds(),
        }
    }
}
