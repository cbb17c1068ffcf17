#![doc = include_str!("LIVE.md")]

mod census;
mod counters;
mod decide;
mod exit;
mod field_names;
mod health;
pub(crate) mod jitter;
mod latency;
mod ledger;
mod listener;
mod load;
mod metrics;
mod options;
mod prometheus;
mod quarantined;
mod reason;
mod sample;
mod scorer;
mod seat;
pub(crate) mod signals_of_disks;
pub(crate) mod slot;
mod state;
mod status;
mod watcher;
mod worker;

/// Atomic types that the slot uses. Its model-checking test replaces them with instrumented ones.
mod atomics {
    pub(super) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
}

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use counters::TrafficCounts;
pub use health::Health;
pub use latency::{LATENCY_BOUND_COUNT, Latency};
pub use ledger::{CodeCounts, LastLoad, SampledField, SwapCounts};
pub use metrics::{LiveMetrics, ServedMetrics};
pub use options::LiveOptions;
pub(crate) use prometheus::Escaping;
pub use quarantined::Quarantined;
pub use reason::Reason;
pub use scorer::LiveScorer;
pub(crate) use scorer::{Generations, LiveShadow};
pub use status::{Attempt, LiveStatus, Outcome, Served, ServingState, Stage};
pub use watcher::{LiveChange, LiveWatcher};

use crate::error::Error;
use crate::request::{RequestLayout, Schema};
use crate::score::{CandidateSet, Model, ModelIdentity};
use crate::store::Store;
use counters::CounterSums;
use decide::Orders;
use field_names::FieldNames;
use ledger::Ledger;
use listener::Listener;
use seat::Seat;
use state::{Desk, Writer};
use worker::Worker;

/// How long the end of the process's live model may take, whatever hangs.
const CLOSE_PATIENCE: Duration = Duration::from_millis(1_500);
/// How long the end waits for the disk.
const SAVE_PATIENCE: Duration = Duration::from_secs(1);

/// Serves the model that a store names as current, and every later one: background threads follow the store, and every
/// [`LiveScorer`] answers with the generation that passed its checks.
#[derive(Debug)]
pub struct LiveModel {
    shared: Arc<Shared>,
    /// Loads, swaps and frees.
    worker: Option<JoinHandle<()>>,
    /// Hears orders.
    listener: Option<JoinHandle<()>>,
    /// Keeps the state folder.
    writer: Option<JoinHandle<()>>,
}

/// State shared by the background thread, its owner and the live scorers.
#[derive(Debug)]
struct Shared {
    /// The process that has the background thread. A fork has none.
    process_id: u32,
    schema: Schema,
    options: LiveOptions,
    /// Answers when the server asks for it, whatever the store says; and what a log says about it.
    fallback: Option<(Arc<Model>, Arc<ModelIdentity>)>,
    is_off: AtomicBool,
    /// How long the process has run with scoring switched on.
    ran_ms: AtomicU64,
    orders: Mutex<Orders>,
    desk: Mutex<Desk>,
    desk_changed: Condvar,
    seats: Mutex<Seats>,
    status: Mutex<LiveStatus>,
    /// Wakes the watchers when the status, or whether the live model is closed, has changed.
    status_changed: Condvar,
    is_closed: AtomicBool,
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
    /// Recent generations, newest last.
    recent: Vec<Arc<ModelIdentity>>,
}

/// Signals between the owner and the background thread.
#[derive(Debug, Default)]
struct Signals {
    is_stopped: bool,
    is_look_requested: bool,
    is_in_pass: bool,
    done_passes: u64,
    is_listen_requested: bool,
    done_listens: u64,
    /// When `control` was last looked at.
    heard_at: Option<Instant>,
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

    /// Changes the status, and wakes the watchers.
    fn update_status(&self, change: impl FnOnce(&mut LiveStatus)) {
        change(&mut self.status());
        self.status_changed.notify_all();
    }

    /// Ends the waiting of all watchers.
    fn close_watchers(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        // A watcher holds the lock from its look until it waits, so it sees the end, or hears of it.
        self.update_status(|_| ());
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

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the worker.
    fn request_look(&self) {
        self.signals().is_look_requested = true;
        self.signals_changed.notify_all();
    }

    fn logic_id(&self, generation: u64) -> Option<Arc<str>> {
        Some(Arc::clone(&self.identity(generation)?.logic_id))
    }

    /// Forgets the model and the scorers, after the end of the background threads: what answers keeps its own.
    fn let_go(&self) {
        let left = self.lock(&self.seats).map(|mut seats| (seats.served.take(), std::mem::take(&mut seats.all)));
        drop(left);
    }

    /// Returns what a log says about a generation that answers or answered recently.
    fn identity(&self, generation: u64) -> Option<Arc<ModelIdentity>> {
        let seats = self.lock(&self.seats)?;
        seats.recent.iter().rev().find(|known| known.generation == generation).map(Arc::clone)
    }
}

impl LiveModel {
    /// Opens the store in `dir` for a server that declares `schema`. Returns after the first look at the store, so a
    /// good generation, if there is one, already answers. Never fails because of the contents of the store, and creates
    /// nothing where there is no store: [`LiveModel::status`] gives the reasons if nothing is served. A later change of
    /// the process's working directory does not matter.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the options can never work, and [`Error::File`] if the operating system
    /// cannot start a thread. Fails like [`Model::load_signed`] if the [fallback file](LiveOptions::fallback_file) is
    /// not valid, and with [`Error::FieldMissing`] or [`Error::FieldMismatch`] if it needs a field that `schema` does
    /// not declare: a fallback that is found missing when it is needed would be worse.
    pub fn open(dir: impl AsRef<Path>, schema: &Schema, options: LiveOptions) -> Result<Self, Error> {
        let dir = dir.as_ref();
        options.check()?;
        // Only an empty path cannot be made absolute; nothing is found there.
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let fallback = load::fallback(&options, schema)?;
        let shared = Arc::new(Shared {
            process_id: std::process::id(),
            schema: schema.clone(),
            fallback,
            options,
            is_off: AtomicBool::new(false),
            ran_ms: AtomicU64::new(0),
            orders: Mutex::default(),
            desk: Mutex::default(),
            desk_changed: Condvar::new(),
            seats: Mutex::default(),
            status: Mutex::new(LiveStatus::before_the_first_look()),
            status_changed: Condvar::new(),
            is_closed: AtomicBool::new(false),
            ledger: Mutex::default(),
            field_names: Arc::new(FieldNames::of(schema)),
            store_name: name_of(&dir),
            signals: Mutex::default(),
            signals_changed: Condvar::new(),
        });
        let store = Store::new(&dir);
        let mut live = Self { shared: Arc::clone(&shared), worker: None, listener: None, writer: None };
        let writer = Writer::new(Arc::clone(&shared), store.clone());
        let listener = Listener::new(Arc::clone(&shared), store.clone());
        let worker = Worker::new(Arc::clone(&shared), store);
        // If one of them cannot be started, dropping the live model stops the others.
        live.writer = Some(start("omomi-state", &dir, move || writer.run())?);
        live.listener = Some(start("omomi-orders", &dir, move || listener.run())?);
        live.worker = Some(start("omomi-live", &dir, move || worker.run())?);
        exit::watch(&shared);
        live.wait_for_pass(1);
        live.shared.wait_for_all_saved(SAVE_PATIENCE);
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
        let seat = Arc::new(Seat::new(layout, set, seats.served.as_ref(), self.fallback())?);
        seats.all.push(Arc::clone(&seat));
        drop(seats);
        Ok(LiveScorer::new(Arc::clone(&self.shared), seat))
    }

    /// Returns the generations that answer and answered, for a log that may outlive it.
    pub(crate) fn generations(&self) -> Generations {
        Generations::of(Arc::clone(&self.shared))
    }

    /// Returns the generation that answers, or `None` if there is none.
    #[must_use]
    pub fn model(&self) -> Option<Arc<Model>> {
        self.shared.lock(&self.shared.seats)?.served.clone()
    }

    /// Returns the model of the [fallback file](LiveOptions::fallback_file): its logic id and generation are what is
    /// logged with the answers of [`LiveScorer::predict_fallback`]. `None` if the options have no such file.
    #[must_use]
    pub fn fallback(&self) -> Option<&Arc<Model>> {
        self.shared.fallback.as_ref().map(|(model, _)| model)
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

    /// Creates a watcher, with which a thread of the server waits for changes: swaps, the state, and problems.
    #[must_use]
    pub fn watcher(&self) -> LiveWatcher {
        LiveWatcher::new(Arc::clone(&self.shared))
    }

    /// Looks at the store now instead of at the next poll, and returns after that look. Takes seconds if there is a
    /// large file to load. In a fork, returns immediately and does nothing: see [`LiveModel::check_process`].
    pub fn look_now(&self) {
        if self.check_process().is_err() {
            return;
        }
        let listens = {
            let mut signals = self.shared.signals();
            signals.is_listen_requested = true;
            // A look that is already running may have read `control` before the caller's change.
            signals.done_listens + 2
        };
        self.shared.signals_changed.notify_all();
        self.wait(&self.listener, |signals| {
            let is_done = signals.done_listens >= listens;
            signals.is_listen_requested |= !is_done;
            is_done
        });
        let passes = {
            let mut signals = self.shared.signals();
            signals.is_look_requested = true;
            signals.done_passes + 1 + u64::from(signals.is_in_pass)
        };
        self.shared.signals_changed.notify_all();
        self.wait_for_pass(passes);
        self.shared.wait_for_all_saved(SAVE_PATIENCE);
    }

    fn wait_for_pass(&self, number: u64) {
        self.wait(&self.worker, |signals| signals.done_passes >= number);
    }

    /// Waits until something is done by a thread, or the thread is dead.
    fn wait(&self, thread: &Option<JoinHandle<()>>, mut is_done: impl FnMut(&mut Signals) -> bool) {
        let mut signals = self.shared.signals();
        while !is_done(&mut signals) && !is_dead(thread) {
            self.shared.signals_changed.notify_all();
            // The time limit covers a thread that died without a signal.
            let woken = self.shared.signals_changed.wait_timeout(signals, Duration::from_secs(1));
            signals = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the thread that hears orders is dead.
    fn is_deaf(&self) -> bool {
        is_dead(&self.listener)
    }
}

fn start(name: &str, dir: &Path, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let failed = |source| Error::File { action: "start a thread to follow", path: dir.to_owned(), source };
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(failed)
}

fn is_dead(thread: &Option<JoinHandle<()>>) -> bool {
    thread.as_ref().is_none_or(JoinHandle::is_finished)
}

impl Drop for LiveModel {
    /// Stops the background threads, within 2 seconds: a thread that hangs is left behind, and ends when it can. Live
    /// scorers continue with the generation that they have.
    fn drop(&mut self) {
        if self.check_process().is_err() {
            // The threads are in another process. Their handles must not even be dropped: that would detach threads
            // whose memory this process may have reused.
            std::mem::forget([self.worker.take(), self.listener.take(), self.writer.take()]);
            return;
        }
        let began = Instant::now();
        self.shared.close_watchers();
        self.shared.signals().is_stopped = true;
        self.shared.signals_changed.notify_all();
        for thread in [self.listener.take(), self.worker.take()] {
            join(thread, began + CLOSE_PATIENCE / 2);
        }
        self.shared.post_end("close", CLOSE_PATIENCE.saturating_sub(began.elapsed()));
        self.shared.stop_writer();
        join(self.writer.take(), began + CLOSE_PATIENCE);
    }
}

/// Waits for the end of a thread until `deadline`.
fn join(thread: Option<JoinHandle<()>>, deadline: Instant) {
    const PAUSE: Duration = Duration::from_millis(1);
    let Some(thread) = thread else { return };
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    // The thread catches its panics. If it could not catch one, there is nothing to report here.
    let _ = thread.join();
}

/// The last component of a path, with invalid UTF-8 replaced.
fn name_of(dir: &Path) -> Arc<str> {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into()
}

pub(crate) fn unix_seconds() -> u64 {
    seconds_of(SystemTime::now())
}

/// Seconds since 1970, or 0 for an earlier time.
fn seconds_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
