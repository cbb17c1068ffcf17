//! Writes what was recorded at the end of a process that does not close its log, such as a JVM after SIGTERM.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use super::forks::fork_count;
use super::shared::Shared;

/// How long the end of the process may be delayed for each log.
const PATIENCE: Duration = Duration::from_millis(500);

static REGISTERED: Once = Once::new();
/// The open logs, each with the forks before it was opened.
static OPEN: Mutex<Vec<(u64, Weak<Shared>)>> = Mutex::new(Vec::new());

/// Has what was recorded written at the end of the process, if the log is open then.
pub(super) fn watch(shared: &Arc<Shared>) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, shared)| shared.strong_count() > 0);
    open.push((fork_count(), Arc::downgrade(shared)));
    drop(open);
    REGISTERED.call_once(|| {
        // SAFETY: the function takes nothing, and catches its panics. If it cannot be registered, an exit without a
        // close loses what the rings have.
        let _ = unsafe { libc::atexit(at_exit) };
    });
}

extern "C" fn at_exit() {
    let _ = catch_unwind(|| {
        // Another thread may hold it, and may have ended.
        let Ok(open) = OPEN.try_lock() else { return };
        let own = open.iter().filter(|(forks, _)| *forks == fork_count());
        let logs: Vec<Arc<Shared>> = own.filter_map(|(_, shared)| shared.upgrade()).collect();
        drop(open);
        logs.iter().for_each(|shared| shared.stop());
        logs.iter().for_each(|shared| {
            shared.wait_for_end(PATIENCE);
        });
    });
}
