//! Whether a live model lives, whether it may be asked, and what is not as it should be.

use std::time::Duration;

use super::report::{Reason, ServingState};
use super::{LiveModel, unix_seconds};
use crate::error::Error;
use crate::score::Model;

/// Poll intervals without a look at the store after which the background thread counts as dead.
const MAX_MISSED_LOOKS: u32 = 5;
/// Least time without a look at the store after which it does: a busy machine is no reason to restart a process.
const MIN_PATIENCE: Duration = Duration::from_secs(10);

/// What a health check answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether the background thread has looked at the store lately, or is loading a generation. Requests are answered without it, too,
    /// but no publication and no `off` reaches them: a reason to restart the process.
    pub is_live: bool,
    /// Whether requests may be sent here: a generation answers, or scoring was switched off and the server answers by its own means, or
    /// there is no generation and [`LiveOptions::has_fallback`](super::LiveOptions::has_fallback) says that the server does without.
    pub is_ready: bool,
    /// What is not as it should be, each with who must act. The server may well be ready all the same.
    pub reasons: Vec<Reason>,
}

impl LiveModel {
    /// Whether the live model lives, whether it may be asked, and what is not as it should be. Waits for no load.
    #[must_use]
    pub fn health(&self) -> Health {
        let is_live = self.is_live();
        let status = self.shared.status();
        Health { is_live, is_ready: self.is_ready(status.state), reasons: status.reasons.clone() }
    }

    pub(super) fn is_live(&self) -> bool {
        let bell = self.shared.bell();
        let since = bell.passed_at.map(|passed_at| passed_at.elapsed());
        !self.is_dead() && is_looking(bell.is_passing, since, self.shared.options.poll_interval)
    }

    pub(super) fn is_ready(&self, state: ServingState) -> bool {
        match state {
            ServingState::Serving | ServingState::Off => true,
            ServingState::NoModel => self.shared.options.has_fallback,
        }
    }
}

/// Whether a thread that is at work, or last looked at the store `since` ago, looks at it as often as it should.
fn is_looking(is_passing: bool, since: Option<Duration>, poll_interval: Duration) -> bool {
    let patience = poll_interval.saturating_mul(MAX_MISSED_LOOKS).max(MIN_PATIENCE);
    is_passing || since.is_some_and(|since| since <= patience)
}

/// Refuses a model that learned from data whose end is longer ago than `limit`, or does not say when its data ends.
pub(super) fn check_training_age(model: &Model, limit: Duration) -> Result<(), Error> {
    let found = match model.training_end_unix_seconds() {
        None => "none in its provenance".to_owned(),
        Some(end) => {
            let age = unix_seconds().cast_signed().saturating_sub(end);
            if u64::try_from(age).is_ok_and(|age| age > limit.as_secs()) {
                format!("one {age} seconds ago")
            } else {
                return Ok(());
            }
        }
    };
    Err(Error::StaleTrainingData { generation: model.generation(), expected: limit.as_secs(), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_looks_or_loads_lives_and_one_that_missed_several_looks_does_not() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let minute = Duration::from_secs(60);
        assert!(is_looking(false, seconds(1), minute));
        assert!(is_looking(false, seconds(300), minute));
        assert!(!is_looking(false, seconds(301), minute));
        assert!(is_looking(true, seconds(301), minute), "loading takes as long as it takes");
        assert!(is_looking(true, None, minute), "and the first look may");
        assert!(!is_looking(false, None, minute), "no look ever ended well");
        // Milliseconds between looks are no reason to restart a process on a busy machine.
        assert!(is_looking(false, seconds(9), Duration::from_millis(10)));
        assert!(!is_looking(false, seconds(11), Duration::from_millis(10)));
    }
}
