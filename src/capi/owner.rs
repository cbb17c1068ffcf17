//! The thread that a scorer belongs to. Requests of two threads that share a scorer and its block would be mixed, and
//! the answers would look right.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;

/// No thread has this number.
const NOBODY: usize = 0;

/// The owner of a scorer: the first thread that uses it, until that hands it over.
#[derive(Debug)]
pub(super) struct Owner(AtomicUsize);

impl Owner {
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(NOBODY))
    }

    /// Rejects every thread but the owner. If there is none, the caller becomes the owner.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Error> {
        let caller = current_thread();
        // Only the owner ever reads its own number here, so the order of other memory does not matter.
        if self.0.load(Ordering::Relaxed) == caller { Ok(()) } else { self.take(caller) }
    }

    #[cold]
    fn take(&self, caller: usize) -> Result<(), Error> {
        match self.0.compare_exchange(NOBODY, caller, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::ScorerOwned),
        }
    }

    /// Leaves the scorer to the next thread that uses it.
    pub(super) fn hand_over(&self) {
        self.0.store(NOBODY, Ordering::Release);
    }
}

/// Returns a number that no other running thread has.
fn current_thread() -> usize {
    // SAFETY: takes nothing and always succeeds.
    let thread = unsafe { libc::pthread_self() };
    #[allow(clippy::cast_possible_truncation, reason = "as wide as a pointer on every supported platform")]
    #[allow(clippy::unnecessary_cast, reason = "the type differs between platforms")]
    let number = thread as usize;
    number
}
