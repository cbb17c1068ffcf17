//! The thread that hears orders. It reads `control` and does nothing else that could hang, whatever loads, disks and
//! the number of open files are like.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::decide::ControlSeen;
use super::reason::Reason;
use super::status::ServingState;
use super::{Shared, Signals, jitter, signals_of_disks};
use crate::error::Error;
use crate::store::Store;

/// How long the first look waits for the orders that the last process heard.
const MEMORY_PATIENCE: Duration = Duration::from_secs(1);

/// Hears orders.
#[derive(Debug)]
pub(super) struct Listener {
    shared: Arc<Shared>,
    store: Store,
    /// A descriptor to give up when the process has no other left.
    spare: Option<File>,
    jitter: u64,
}

impl Listener {
    pub(super) fn new(shared: Arc<Shared>, store: Store) -> Self {
        Self { shared, store, spare: None, jitter: jitter::seed() }
    }

    /// Looks until the owner stops the thread.
    pub(super) fn run(mut self) {
        signals_of_disks::block();
        own_descriptors();
        self.spare = spare();
        self.shared.wait_for_state(MEMORY_PATIENCE);
        let mut last = Instant::now();
        loop {
            self.shared.signals().is_listen_requested = false;
            let (seen, has_looked) = self.look();
            self.hear(seen);
            self.account(last.elapsed());
            last = Instant::now();
            // Never longer than the poll interval.
            let pause = jitter::up_to(self.shared.options.poll_interval, &mut self.jitter);
            let mut signals = self.shared.signals();
            if has_looked {
                signals.heard_at = Some(Instant::now());
            }
            signals.done_listens += 1;
            self.shared.signals_changed.notify_all();
            let is_quiet = |signals: &mut Signals| !signals.is_listen_requested && !signals.is_stopped;
            let woken = self.shared.signals_changed.wait_timeout_while(signals, pause, is_quiet);
            if woken.unwrap_or_else(PoisonError::into_inner).0.is_stopped {
                return;
            }
        }
    }

    /// Reads `control`. Also returns whether an order could have been heard.
    fn look(&mut self) -> (ControlSeen, bool) {
        let mut read = self.store.read_control();
        if matches!(&read, Err(Error::File { source, .. }) if is_out_of_descriptors(source)) {
            self.spare = None;
            read = self.store.read_control();
        }
        if self.spare.is_none() {
            self.spare = spare();
        }
        match read {
            Ok(Some(text)) => (ControlSeen::Text(text), true),
            Ok(None) => (ControlSeen::Absent(self.absent()), true),
            Err(error) => {
                let is_read = error.code() == crate::error::Code::StoreMalformed;
                (ControlSeen::Unreadable(Reason::of(&error)), is_read)
            }
        }
    }

    fn absent(&self) -> Reason {
        let path = self.store.control_path();
        let expected = "the orders in force".to_owned();
        Reason::of(&Error::StoreMalformed { path, expected, found: "no file".to_owned() })
    }

    /// Obeys at once, and wakes the others if something changed.
    fn hear(&self, seen: ControlSeen) {
        let (before, control) = {
            let mut orders = self.shared.orders();
            let before = (orders.last_heard(), orders.in_force(), orders.problem().cloned());
            orders.hear(seen);
            let after = (orders.last_heard(), orders.in_force(), orders.problem().cloned());
            if before == after {
                self.shared.is_off.store(after.1.is_off(), Ordering::Relaxed);
                return;
            }
            (before, after)
        };
        self.shared.is_off.store(control.1.is_off(), Ordering::Relaxed);
        self.shared.update_status(|status| {
            status.control = control.1;
            status.state = ServingState::of(control.1, status.served.is_some());
        });
        if before.0 != control.0 {
            self.shared.post_orders();
        }
        self.shared.post_report();
        self.shared.request_look();
    }

    /// Adds the time since the last look to the time for which the process ran, unless scoring was off. A process that
    /// was stopped did not run.
    fn account(&self, since: Duration) {
        if self.shared.is_off.load(Ordering::Relaxed) {
            return;
        }
        let longest = self.shared.options.poll_interval.saturating_mul(2).saturating_add(Duration::from_secs(1));
        let ran_ms = u64::try_from(since.min(longest).as_millis()).unwrap_or(u64::MAX);
        self.shared.ran_ms.fetch_add(ran_ms, Ordering::Relaxed);
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Gives this thread a table of descriptors of its own, without those of the process: what the process opens can then
/// not use it up. Where the system cannot do that, the spare descriptor helps.
fn own_descriptors() {
    #[cfg(target_os = "linux")]
    {
        const CLOSE_RANGE_UNSHARE: libc::c_uint = 2;
        // After the standard streams, to which a panic is written.
        let (first, last): (libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX);
        // SAFETY: takes numbers only. The new table is this thread's own, and this thread uses none of the descriptors.
        // The process keeps its own table.
        let _ = unsafe { libc::syscall(libc::SYS_close_range, first, last, CLOSE_RANGE_UNSHARE) };
    }
}
