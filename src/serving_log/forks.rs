//! Counts forks: a fork of the process that opened a log has no thread that writes, and must not touch its files.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Forks on the way from the process that first opened a log to this one.
static FORKS: AtomicU64 = AtomicU64::new(0);
static REGISTERED: Once = Once::new();

/// Returns a number that is another one in each fork. Costs a load, while asking for the process id is a system call.
#[inline]
pub(super) fn fork_count() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Begins to count forks. Call it before a log is opened.
pub(super) fn register() {
    REGISTERED.call_once(|| {
        // SAFETY: the function takes nothing, and only adds to a number. If it cannot be registered, a fork's records
        // stay in its rings, which nobody empties.
        #[cfg(unix)]
        let _ = unsafe { libc::pthread_atfork(None, None, Some(in_fork)) };
    });
}

#[cfg(unix)]
unsafe extern "C" fn in_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
