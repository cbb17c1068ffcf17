//! Records the orderly end of a process that does not close its live models, such as a JVM after SIGTERM.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use super::Shared;

/// How long the end of the process may be delayed for each live model, in order not to hang with its disk.
const PATIENCE: Duration = Duration::from_millis(500);

/// The live models of this process, and its id. A forked child has no threads that could record anything.
static OPEN: Mutex<Vec<(u32, Weak<Shared>)>> = Mutex::new(Vec::new());
static REGISTERED: Once = Once::new();

/// Has the end of the process recorded, if the live model is open then.
pub(super) fn watch(shared: &Arc<Shared>) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, shared)| shared.strong_count() > 0);
    open.push((std::process::id(), Arc::downgrade(shared)));
    drop(open);
    REGISTERED.call_once(|| {
        // SAFETY: the function takes nothing, and catches its panics. If it cannot be registered, an exit without a
        // close looks like a death.
        let _ = unsafe { libc::atexit(at_exit) };
    });
}

extern "C" fn at_exit() {
    let _ = catch_unwind(|| {
        // Another thread may hold it, and may have ended.
        let Ok(open) = OPEN.try_lock() else { return };
        let pid = std::process::id();
        let live: Vec<Arc<Shared>> =
            open.iter().filter(|(owner, _)| *owner == pid).filter_map(|(_, shared)| shared.upgrade()).collect();
        drop(open);
        for shared in live {
            shared.post_end("exit", PATIENCE);
        }
    });
}
