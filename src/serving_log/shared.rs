//! What the threads of a log share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::encode::Encoder;
use super::folder::Deleted;
use super::forks::fork_count;
use super::options::LogOptions;
use super::ring::Ring;
use super::segment::RingCounts;
use super::served::DropReason;
use crate::digest::Digest;
use crate::error::Error;
use crate::experiment::{Registry, Watch};
use crate::score::{Model, ModelIdentity};

/// State shared by a log, its rings and its writer.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) options: LogOptions,
    pub(super) writer_id: u64,
    process_id: u32,
    /// Forks before the log was opened. A fork has one more, and no writer.
    fork_count: u64,
    is_closed: AtomicBool,
    pub(super) gauges: Gauges,
    next_ring: AtomicU32,
    rings: Mutex<Rings>,
    /// Models whose files were digested.
    identities: Mutex<Vec<(Weak<Model>, Arc<ModelIdentity>)>>,
    orders: Mutex<Orders>,
    orders_changed: Condvar,
    problem: Mutex<Option<Problem>>,
    /// The experiments whose guards may wait for events, in order of their first ring.
    experiments: [OnceLock<Arc<Registry>>; MAX_WATCHED_EXPERIMENTS],
}

/// Most experiments of a log whose guards see its events.
const MAX_WATCHED_EXPERIMENTS: usize = 8;

/// A problem of the writer.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) at: Instant,
}

#[derive(Debug, Default)]
struct Rings {
    new: Vec<NewRing>,
    all: Vec<Arc<Ring>>,
    /// Totals of rings that are closed and empty.
    past: RingCounts,
}

/// A ring that the writer does not know yet.
#[derive(Debug)]
pub(super) struct NewRing {
    pub(super) ring: Arc<Ring>,
    pub(super) encoder: Encoder,
}

/// What the writer is asked to do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    pub(super) is_stopped: bool,
    pub(super) flushes_asked: u64,
    pub(super) flushes_done: u64,
    is_finished: bool,
}

/// Numbers of the writer. Any thread may read them.
#[derive(Debug)]
pub(super) struct Gauges {
    pub(super) bytes_written: AtomicU64,
    pub(super) sealed: AtomicU64,
    pub(super) recovered: AtomicU64,
    pub(super) deleted_segments: AtomicU64,
    pub(super) deleted_records: AtomicU64,
    pub(super) folder_len_bytes: AtomicU64,
    opened: Instant,
    /// Milliseconds from opening, plus 1, to when the oldest record that waits was found; 0 if none waits.
    waits_since: AtomicU64,
}

impl Gauges {
    /// Notes that records wait that were found in a pass that began then.
    pub(super) fn began_to_wait(&self, began: Instant) {
        if self.waits_since.load(Ordering::Relaxed) == 0 {
            let since = began.saturating_duration_since(self.opened).as_millis();
            self.waits_since.store(u64::try_from(since).unwrap_or(u64::MAX - 1) + 1, Ordering::Relaxed);
        }
    }

    pub(super) fn nothing_waits(&self) {
        self.waits_since.store(0, Ordering::Relaxed);
    }

    /// How long the oldest record has waited for the disk.
    pub(super) fn waited(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.waits_since.load(Ordering::Relaxed).checked_sub(1)?);
        Some(self.opened.elapsed().saturating_sub(since))
    }

    pub(super) fn deleted(&self, deleted: Deleted) {
        self.deleted_segments.fetch_add(deleted.segments, Ordering::Relaxed);
        self.deleted_records.fetch_add(deleted.records, Ordering::Relaxed);
    }
}

/// Returns the counts of a ring now.
pub(super) fn counts_of(ring: &Ring) -> RingCounts {
    let mut counts = RingCounts {
        written: ring.done.written.load(Ordering::Relaxed),
        sampled_out: ring.asked.sampled_out.load(Ordering::Relaxed),
        ..RingCounts::default()
    };
    for reason in DropReason::ALL {
        counts.dropped[*reason as usize] = ring.dropped(*reason);
    }
    counts
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(folder: PathBuf, options: LogOptions, writer_id: u64) -> Self {
        Self {
            folder,
            options,
            writer_id,
            process_id: std::process::id(),
            fork_count: fork_count(),
            is_closed: AtomicBool::new(false),
            gauges: Gauges {
                bytes_written: AtomicU64::new(0),
                sealed: AtomicU64::new(0),
                recovered: AtomicU64::new(0),
                deleted_segments: AtomicU64::new(0),
                deleted_records: AtomicU64::new(0),
                folder_len_bytes: AtomicU64::new(0),
                opened: Instant::now(),
                waits_since: AtomicU64::new(0),
            },
            next_ring: AtomicU32::new(0),
            rings: Mutex::default(),
            identities: Mutex::default(),
            orders: Mutex::default(),
            experiments: [const { OnceLock::new() }; MAX_WATCHED_EXPERIMENTS],
            orders_changed: Condvar::new(),
            problem: Mutex::default(),
        }
    }

    /// Whether records are still written: the log is not closed, and this is not a fork. Reads two words.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Relaxed) && self.fork_count == fork_count()
    }

    /// Fails in a fork of the process that opened the log.
    pub(super) fn check_process(&self) -> Result<(), Error> {
        if self.fork_count == fork_count() {
            return Ok(());
        }
        Err(Error::LogForked { expected: self.process_id, found: std::process::id() })
    }

    pub(super) fn next_ring_number(&self) -> u32 {
        self.next_ring.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn add_ring(&self, ring: &Arc<Ring>, encoder: Encoder) {
        let mut rings = lock(&self.rings);
        rings.all.push(Arc::clone(ring));
        rings.new.push(NewRing { ring: Arc::clone(ring), encoder });
    }

    pub(super) fn take_new_rings(&self) -> Vec<NewRing> {
        std::mem::take(&mut lock(&self.rings).new)
    }

    /// Adds a ring that is closed and empty to the past.
    pub(super) fn forget(&self, ring: &Arc<Ring>) {
        let mut rings = lock(&self.rings);
        rings.all.retain(|known| !Arc::ptr_eq(known, ring));
        rings.past.add(&counts_of(ring));
    }

    /// Turns records of closed rings that were written into records that were lost.
    pub(super) fn lost_in_past(&self, reason: DropReason, count: u64) {
        lock(&self.rings).past.lose(reason, count);
    }

    /// Returns the totals of all rings, the number of open ones, and the records that the rings were asked to take.
    pub(super) fn totals(&self) -> (RingCounts, usize) {
        let rings = lock(&self.rings);
        let mut sum = rings.past;
        rings.all.iter().for_each(|ring| sum.add(&counts_of(ring)));
        (sum, rings.all.iter().filter(|ring| !ring.is_closed()).count())
    }

    /// Returns what the log says about a model that was not loaded from a store: digests its file once.
    pub(super) fn identity_of(&self, model: &Arc<Model>) -> Arc<ModelIdentity> {
        let mut identities = lock(&self.identities);
        identities.retain(|(model, _)| model.strong_count() > 0);
        let known = identities.iter().find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(model)));
        if let Some((_, identity)) = known {
            return Arc::clone(identity);
        }
        let digest = Digest::of(model.file().bytes());
        let identity = Arc::new(ModelIdentity::new(model, digest.as_bytes()));
        identities.push((Arc::downgrade(model), Arc::clone(&identity)));
        identity
    }

    pub(super) fn order(&self) -> Orders {
        *lock(&self.orders)
    }

    pub(super) fn flushed(&self, number: u64) {
        lock(&self.orders).flushes_done = number;
        self.orders_changed.notify_all();
    }

    pub(super) fn finished(&self) {
        lock(&self.orders).is_finished = true;
        self.orders_changed.notify_all();
    }

    /// Lets the writer sleep until there is an order, or the time is over.
    pub(super) fn wait_for_order(&self, timeout: Duration) {
        let orders = lock(&self.orders);
        if orders.is_stopped || orders.flushes_asked > orders.flushes_done {
            return;
        }
        drop(self.orders_changed.wait_timeout(orders, timeout));
    }

    /// Closes the log, and tells the writer to end.
    pub(super) fn stop(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        lock(&self.orders).is_stopped = true;
        self.orders_changed.notify_all();
    }

    /// Waits for the end of the writer. Returns whether it has ended.
    pub(super) fn wait_for_end(&self, timeout: Duration) -> bool {
        self.wait(timeout, |orders| orders.is_finished)
    }

    /// Asks the writer to write everything, and waits for it. Returns whether it has done so.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let number = {
            let mut orders = lock(&self.orders);
            orders.flushes_asked += 1;
            orders.flushes_asked
        };
        self.orders_changed.notify_all();
        self.wait(timeout, |orders| orders.flushes_done >= number || orders.is_finished)
    }

    fn wait(&self, timeout: Duration, is_done: impl Fn(&Orders) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut orders = lock(&self.orders);
        while !is_done(&orders) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            orders = self.orders_changed.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Lets the guard of an experiment see the events of this log.
    pub(super) fn watch(&self, registry: &Arc<Registry>) {
        for place in &self.experiments {
            if Arc::ptr_eq(place.get_or_init(|| Arc::clone(registry)), registry) {
                return;
            }
        }
    }

    /// Returns where predictions wait for their events. Never waits.
    pub(super) fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.experiments.iter().map_while(OnceLock::get).filter_map(|registry| registry.watch())
    }

    pub(super) fn note_problem(&self, reason: DropReason, error: &std::io::Error) {
        let text = format!("{}: cannot write to {}: {error}", reason.word(), self.folder.display());
        *lock(&self.problem) = Some(Problem { text, at: Instant::now() });
    }

    pub(super) fn problem(&self) -> Option<Problem> {
        lock(&self.problem).clone()
    }
}
