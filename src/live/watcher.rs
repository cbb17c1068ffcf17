//! Watcher: tells a thread of the server what changes in a live model.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::reason::Reason;
use super::status::{LiveStatus, Served, ServingState};
use crate::error::Error;
use crate::store::Digest;

/// A change in a live model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LiveChange {
    /// Another generation, or the first one, answers.
    Swap(Served),
    /// Requests begin or cease to get answers.
    State(ServingState),
    /// There is a new problem.
    Reason(Reason),
    /// A problem is over.
    ReasonGone(Reason),
}

/// Waits for changes in a [`LiveModel`](super::LiveModel), which makes it with
/// [`watcher`](super::LiveModel::watcher). Starts no thread: use it on one of yours. Requests do not notice it.
///
/// The first changes are the state, the generation that answers, and all current problems. What happens and is over
/// between two calls may not be told; [`LiveMetrics`](super::LiveMetrics) counts it.
#[derive(Debug)]
pub struct LiveWatcher {
    shared: Arc<Shared>,
    state: Option<ServingState>,
    /// What answered: generation and content.
    served: Option<(u64, Digest)>,
    reasons: Vec<Reason>,
    /// Changes that were seen and not yet told.
    seen: VecDeque<LiveChange>,
}

impl LiveWatcher {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, state: None, served: None, reasons: Vec::new(), seen: VecDeque::new() }
    }

    /// Returns the next change, and waits for it up to `timeout`. Returns `None` if there is none by then.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Closed`] once the live model is closed and all changes are told, and [`Error::Forked`] in a
    /// fork of the process that opened the live model.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<LiveChange>, Error> {
        self.shared.check_process()?;
        let deadline = Instant::now().checked_add(timeout);
        let shared = Arc::clone(&self.shared);
        let mut status = shared.status();
        loop {
            if self.seen.is_empty() {
                self.look(&status);
            }
            if let Some(change) = self.seen.pop_front() {
                return Ok(Some(change));
            }
            if shared.is_closed.load(Ordering::Relaxed) {
                return Err(Error::Closed { what: "live model" });
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let woken = shared.status_changed.wait_timeout(status, left.unwrap_or(Duration::MAX));
            status = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Compares a status with the one before, and notes what has changed.
    fn look(&mut self, now: &LiveStatus) {
        let served = now.served.as_ref().map(|served| (served.generation, served.digest));
        if served != self.served {
            self.seen.extend(now.served.clone().map(LiveChange::Swap));
        }
        if self.state != Some(now.state) {
            self.seen.push_back(LiveChange::State(now.state));
        }
        let is_new = |reason: &&Reason| !self.reasons.contains(reason);
        self.seen.extend(now.reasons.iter().filter(is_new).cloned().map(LiveChange::Reason));
        let is_gone = |reason: &&Reason| !now.reasons.contains(reason);
        self.seen.extend(self.reasons.iter().filter(is_gone).cloned().map(LiveChange::ReasonGone));
        (self.served, self.state) = (served, Some(now.state));
        self.reasons.clone_from(&now.reasons);
    }
}
