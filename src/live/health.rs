//! Health of a live model: whether it hears orders, whether requests may be sent, and what is wrong.

use std::time::Duration;

use super::reason::Reason;
use super::status::ServingState;
use super::{LiveModel, unix_seconds};
use crate::error::Error;
use crate::score::Model;

/// Poll intervals without a look at `control` after which the process counts as deaf.
const MAX_MISSED_LOOKS: u32 = 5;
/// Minimum time without a look at `control` after which the process counts as deaf. A busy machine is no reason to
/// restart a process.
const MIN_PATIENCE: Duration = Duration::from_secs(10);

/// The result of a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether orders reach the requests: `control` was looked at recently. If not, requests are still answered, but no
    /// `off` reaches them: restart the process.
    pub is_live: bool,
    /// Whether requests may be sent here. True if a generation answers, if scoring is switched off (the server answers
    /// by its own means), or if there is no generation and
    /// [`LiveOptions::has_fallback`](super::LiveOptions::has_fallback) or
    /// [`LiveOptions::fallback_file`](super::LiveOptions::fallback_file) is set.
    pub is_ready: bool,
    /// Problems, each with its code and owner. A server with problems can still be ready.
    pub reasons: Vec<Reason>,
}

impl LiveModel {
    /// Returns whether orders are heard, whether requests may be sent, and what is wrong. Does not wait for a load. A
    /// fork of the process that opened the live model is neither live nor ready.
    #[must_use]
    pub fn health(&self) -> Health {
        if self.check_process().is_err() {
            return Health { is_live: false, is_ready: false, reasons: self.status().reasons };
        }
        let is_live = self.is_live();
        let status = self.shared.status();
        Health { is_live, is_ready: self.is_ready(status.state), reasons: status.reasons.clone() }
    }

    pub(super) fn is_live(&self) -> bool {
        let signals = self.shared.signals();
        let since = signals.heard_at.map(|heard_at| heard_at.elapsed());
        !self.is_deaf() && is_looking(since, self.shared.options.poll_interval)
    }

    pub(super) fn is_ready(&self, state: ServingState) -> bool {
        match state {
            ServingState::Serving | ServingState::Off => true,
            ServingState::NoModel => self.shared.options.has_fallback || self.shared.fallback.is_some(),
        }
    }
}

/// Whether `control` is looked at often enough.
fn is_looking(since: Option<Duration>, poll_interval: Duration) -> bool {
    let patience = poll_interval.saturating_mul(MAX_MISSED_LOOKS).max(MIN_PATIENCE);
    since.is_some_and(|since| since <= patience)
}

/// How far in the future training data may end, in seconds, because clocks differ.
const CLOCK_TOLERANCE_SECONDS: i64 = 86_400;

/// Refuses a model whose training data ended in the future. With a limit, also refuses one whose data ended longer ago,
/// or whose provenance does not say when.
pub(super) fn check_training_age(model: &Model, limit: Option<Duration>) -> Result<(), Error> {
    let max_seconds = limit.map_or(u64::MAX, |limit| limit.as_secs());
    let found = match model.training_end_unix_seconds() {
        None if limit.is_none() => return Ok(()),
        None => "none in its provenance".to_owned(),
        Some(end) => {
            let age = unix_seconds().cast_signed().saturating_sub(end);
            if age < -CLOCK_TOLERANCE_SECONDS {
                format!("one {} seconds in the future; check the times of the logs and this clock", age.unsigned_abs())
            } else if u64::try_from(age).is_ok_and(|age| age > max_seconds) {
                format!("one {age} seconds ago")
            } else {
                return Ok(());
            }
        }
    };
    let expected =
        limit.map_or_else(|| "in the past".to_owned(), |limit| format!("at most {} seconds ago", limit.as_secs()));
    Err(Error::StaleTrainingData { generation: model.generation(), expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_looks_is_live_and_one_that_missed_several_looks_is_not() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let minute = Duration::from_secs(60);
        assert!(is_looking(seconds(1), minute));
        assert!(is_looking(seconds(300), minute));
        assert!(!is_looking(seconds(301), minute));
        assert!(!is_looking(None, minute), "no look ever ended well");
        // Short poll intervals must not restart a process on a busy machine.
        assert!(is_looking(seconds(9), Duration::from_millis(10)));
        assert!(!is_looking(seconds(11), Duration::from_millis(10)));
    }
}
