#![doc = include_str!("LIVE.md")]

mod census;
mod choice;
mod counters;
mod field_names;
mod health;
mod journal;
mod latency;
mod ledger;
mod load;
mod metrics;
mod options;
mod prometheus;
mod sample;
mod scorer;
mod seat;
mod slot;
mod status;
mod worker;

/// Atomic types that the slot uses. Its model-checking test replaces them with instrumented ones.
mod atomics {
    pub(super) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
}

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use counters::TrafficCounts;
pub use health::Health;
pub use journal::Quarantined;
pub use latency::{LATENCY_BOUND_COUNT, Latency};
pub use ledger::{CodeCounts, LastLoad, SampledField, SwapCounts};
pub use metrics::{LiveMetrics, ServedMetrics};
pub use options::LiveOptions;
pub use scorer::LiveScorer;
pub use status::{Attempt, LiveStatus, Outcome, Reason, Served, ServingState, Stage};

use crate::error::Error;
use crate::request::{RequestLayout, Schema};
use crate::score::{CandidateSet, Model};
use crate::store::Store;
use counters::CounterSums;
use field_names::FieldNames;
use ledger::Ledger;
use seat::Seat;
use worker::Worker;

/// Serves the model that a store names as current, and every later one: a background thread follows the store, and
/// every [`LiveScorer`] answers with the generation that passed its checks.
#[derive(Debug)]
pub struct LiveModel {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by the background thread, its owner and the live scorers.
#[derive(Debug)]
struct Shared {
    /// The process that has the background thread. A fork has none.
    process_id: u32,
    schema: Schema,
    options: LiveOptions,
    is_off: AtomicBool,
    seats: Mutex<Seats>,
    status: Mutex<LiveStatus>,
    ledger: Mutex<Ledger>,
    /// Names of the schema's fields.
    field_names: Arc<FieldNames>,
    /// Name of the store's directory.
    store_name: Arc<str>,
    signals: Mutex<Signals>,
    signals_changed: Condvar,
}

/// The seats of all live scorers. A predict never locks this.
#[derive(Debug, Default)]
struct Seats {
    all: Vec<Arc<Seat>>,
    /// Counts of scorers that have been closed.
    closed_scorers: CounterSums,
    served: Option<Arc<Model>>,
    /// Logic ids of recent generations, newest last.
    logic_ids: Vec<(u64, Arc<str>)>,
}

/// Signals between the owner and the background thread.
#[derive(Debug, Default)]
struct Signals {
    is_stopped: bool,
    is_look_requested: bool,
    is_in_pass: bool,
    done_passes: u64,
    /// When the last successful pass ended.
    passed_at: Option<Instant>,
}

impl Shared {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signals(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, LiveStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails in a fork of the process that opened the live model.
    fn check_process(&self) -> Result<(), Error> {
        let (expected, found) = (self.process_id, std::process::id());
        if expected == found { Ok(()) } else { Err(Error::Forked { expected, found }) }
    }

    /// Locks a part of the state. In a fork, returns `None` instead of waiting: the thread that holds the lock may not
    /// be in this process.
    fn lock<'a, T>(&self, part: &'a Mutex<T>) -> Option<MutexGuard<'a, T>> {
        if self.check_process().is_ok() {
            return Some(part.lock().unwrap_or_else(PoisonError::into_inner));
        }
        match part.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn logic_id(&self, generation: u64) -> Option<Arc<str>> {
        let seats = self.lock(&self.seats)?;
        seats.logic_ids.iter().rev().find(|(known, _)| *known == generation).map(|(_, logic_id)| Arc::clone(logic_id))
    }
}

impl LiveModel {
    /// Opens the store in `dir` for a server that declares `schema`. Returns after the first look at the store, so a
    /// good generation, if there is one, already answers. Never fails because of the contents of the store:
    /// [`LiveModel::status`] gives the reasons if nothing is served.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the options can never work, and [`Error::File`] if the operating system
    /// cannot start a thread.
    pub fn open(dir: &Path, schema: &Schema, options: LiveOptions) -> Result<Self, Error> {
        options.check()?;
        let shared = Arc::new(Shared {
            process_id: std::process::id(),
            schema: schema.clone(),
            options,
            is_off: AtomicBool::new(false),
            seats: Mutex::default(),
            status: Mutex::new(LiveStatus::before_the_first_look()),
            ledger: Mutex::default(),
            field_names: Arc::new(FieldNames::of(schema)),
            store_name: name_of(dir),
            signals: Mutex::default(),
            signals_changed: Condvar::new(),
        });
        let store = Store::new(dir);
        let worker = Worker::new(Arc::clone(&shared), store);
        let thread = std::thread::Builder::new().name("omomi-live".to_owned()).spawn(move || worker.run());
        let failed = |source| Error::File { action: "start a thread to follow", path: dir.to_owned(), source };
        let live = Self { thread: Some(thread.map_err(failed)?), shared };
        live.wait_for_pass(1);
        Ok(live)
    }

    /// Checks that this process opened the live model. A fork has no background thread, so a live model never changes
    /// in it: no publication and no `off` reaches it, and [`LiveModel::health`] is neither live nor ready. Scorers
    /// continue with the generation that they have. Open a live model in each process, after the fork.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Forked`] in a fork.
    pub fn check_process(&self) -> Result<(), Error> {
        self.shared.check_process()
    }

    /// Creates a scorer for requests of `layout`. It answers with the generation that is served now, and with each
    /// later one after its swap. Allocates, so do not call it on the request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the layout belongs to another schema, is for several models, or is for
    /// prepared candidates, and [`Error::Forked`] in a fork of the process that opened the live model.
    pub fn scorer(&self, layout: &RequestLayout) -> Result<LiveScorer, Error> {
        self.scorer_on(layout, None)
    }

    /// Creates a scorer for requests that name candidates of `set` by index. The candidates are prepared for each later
    /// generation before it is swapped in. Allocates, so do not call it on the request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the layout is not for prepared candidates, belongs to another schema than
    /// the set or the live model, or is for several models, and [`Error::Forked`] in a fork of the process that opened
    /// the live model.
    pub fn scorer_with_candidates(&self, layout: &RequestLayout, set: &Arc<CandidateSet>) -> Result<LiveScorer, Error> {
        self.scorer_on(layout, Some(Arc::clone(set)))
    }

    fn scorer_on(&self, layout: &RequestLayout, set: Option<Arc<CandidateSet>>) -> Result<LiveScorer, Error> {
        self.check_process()?;
        let invalid = |problem: &str| Err(Error::InvalidArgument { argument: "layout", problem: problem.to_owned() });
        if layout.schema() != &self.shared.schema {
            return invalid("expected the schema of the live model, found another one");
        }
        if layout.model_count() != 1 {
            return invalid("expected a layout for one model, found one for several");
        }
        crate::score::check_candidates(layout, set.as_deref())?;
        // Under the lock, so that no generation is swapped in meanwhile.
        let mut seats = self.shared.seats();
        let seat = Arc::new(Seat::new(layout, set, seats.served.as_ref())?);
        seats.all.push(Arc::clone(&seat));
        drop(seats);
        Ok(LiveScorer::new(Arc::clone(&self.shared), seat))
    }

    /// Returns the generation that answers, or `None` if there is none.
    #[must_use]
    pub fn model(&self) -> Option<Arc<Model>> {
        self.shared.lock(&self.shared.seats)?.served.clone()
    }

    /// Returns the logic id of a generation that answers, or answered recently: the id that is logged with its scores.
    #[must_use]
    pub fn logic_id(&self, generation: u64) -> Option<Arc<str>> {
        self.shared.logic_id(generation)
    }

    /// Returns what is served and why, what was refused and who must act, and how long each step took. In a fork, this
    /// is the status at the fork, with the reason `forked`.
    #[must_use]
    pub fn status(&self) -> LiveStatus {
        let status = self.shared.lock(&self.shared.status).map(|status| status.clone());
        let mut status = status.unwrap_or_else(LiveStatus::before_the_first_look);
        if let Err(error) = self.check_process() {
            status.reasons.push(Reason::of(&error));
        }
        status
    }

    /// Looks at the store now instead of at the next poll, and returns after that look. Takes seconds if there is a
    /// large file to load. In a fork, returns immediately and does nothing: see [`LiveModel::check_process`].
    pub fn look_now(&self) {
        if self.check_process().is_err() {
            return;
        }
        let mut signals = self.shared.signals();
        signals.is_look_requested = true;
        // A pass that is already running may have looked before the caller's change.
        let wanted = signals.done_passes + 1 + u64::from(signals.is_in_pass);
        drop(signals);
        self.shared.signals_changed.notify_all();
        self.wait_for_pass(wanted);
    }

    fn wait_for_pass(&self, number: u64) {
        let mut signals = self.shared.signals();
        while signals.done_passes < number && !self.is_dead() {
            // The time limit covers a thread that died without a signal.
            let woken = self.shared.signals_changed.wait_timeout(signals, Duration::from_secs(1));
            signals = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for LiveModel {
    /// Stops the background thread. Live scorers continue with the generation that they have.
    fn drop(&mut self) {
        if self.check_process().is_err() {
            // The thread is in another process. Its handle must not even be dropped: that would detach a thread whose
            // memory this process may have reused.
            std::mem::forget(self.thread.take());
            return;
        }
        self.shared.signals().is_stopped = true;
        self.shared.signals_changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics. If it could not catch one, there is nothing to report here.
            let _ = thread.join();
        }
    }
}

/// The last component of a path, with invalid UTF-8 replaced.
fn name_of(dir: &Path) -> Arc<str> {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into()
}

fn unix_seconds() -> u64 {
    seconds_of(SystemTime::now())
}

/// Seconds since 1970, or 0 for an earlier time.
fn seconds_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
