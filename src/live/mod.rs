#![doc = include_str!("LIVE.md")]

mod census;
mod choice;
mod counters;
mod health;
mod journal;
mod latency;
mod ledger;
mod load;
mod metrics;
mod options;
mod prometheus;
mod report;
mod sample;
mod scorer;
mod seat;
mod slot;
mod worker;

/// What the slot is made of; its model check takes other ones.
mod atomics {
    pub(super) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
}

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use counters::RequestCounts;
pub use health::Health;
pub use journal::Quarantined;
pub use latency::{LATENCY_BOUND_COUNT, Latency};
pub use ledger::{CodeCounts, LastLoad, SampledField, SwapCounts};
pub use metrics::{LiveMetrics, ServedMetrics};
pub use options::LiveOptions;
pub use report::{Attempt, LiveStatus, Outcome, Reason, Served, ServingState, Stage};
pub use scorer::LiveScorer;

use crate::error::Error;
use crate::request::{RequestLayout, Schema};
use crate::score::{CandidateSet, Model};
use crate::store::Store;
use counters::CounterSums;
use ledger::{FieldNames, Ledger};
use seat::Seat;
use worker::Worker;

/// The model that a store says is to be served, now and later: a background thread follows the store, and every
/// [`LiveScorer`] answers with what was found good.
#[derive(Debug)]
pub struct LiveModel {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the background thread, its owner and the live scorers share.
#[derive(Debug)]
struct Shared {
    schema: Schema,
    options: LiveOptions,
    is_off: AtomicBool,
    seats: Mutex<Seats>,
    status: Mutex<LiveStatus>,
    ledger: Mutex<Ledger>,
    /// Of the schema.
    field_names: Arc<FieldNames>,
    /// Name of the store's directory.
    store_name: Arc<str>,
    bell: Mutex<Bell>,
    rung: Condvar,
}

/// The places of all live scorers. Never locked by a predict.
#[derive(Debug, Default)]
struct Seats {
    all: Vec<Arc<Seat>>,
    /// What scorers have counted that are gone.
    departed: CounterSums,
    served: Option<Arc<Model>>,
    /// Logic ids of the last generations, the newest last.
    logic_ids: Vec<(u64, Arc<str>)>,
}

/// How the owner and the background thread wake each other.
#[derive(Debug, Default)]
struct Bell {
    is_stopped: bool,
    is_asked: bool,
    is_passing: bool,
    done_passes: u64,
    /// When a pass was done that went well.
    passed_at: Option<Instant>,
}

impl Shared {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bell(&self) -> MutexGuard<'_, Bell> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, LiveStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logic_id(&self, generation: u64) -> Option<Arc<str>> {
        let seats = self.seats();
        seats.logic_ids.iter().rev().find(|(known, _)| *known == generation).map(|(_, logic_id)| Arc::clone(logic_id))
    }
}

impl LiveModel {
    /// Follows the store in `dir` for a server that declares `schema`, and returns when it has looked at it once: then a good
    /// generation is served already, if there is one. Never fails because of what is in the store: the reasons are in
    /// [`LiveModel::status`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for options that would never work; [`Error::File`] if the system gives no thread.
    pub fn open(dir: &Path, schema: &Schema, options: LiveOptions) -> Result<Self, Error> {
        options.check()?;
        let shared = Arc::new(Shared {
            schema: schema.clone(),
            options,
            is_off: AtomicBool::new(false),
            seats: Mutex::default(),
            status: Mutex::new(LiveStatus::before_the_first_look()),
            ledger: Mutex::default(),
            field_names: Arc::new(FieldNames::of(schema)),
            store_name: name_of(dir),
            bell: Mutex::default(),
            rung: Condvar::new(),
        });
        let store = Store::new(dir);
        let worker = Worker::new(Arc::clone(&shared), store);
        let thread = std::thread::Builder::new().name("omomi-live".to_owned()).spawn(move || worker.run());
        let failed = |source| Error::File { action: "start a thread to follow", path: dir.to_owned(), source };
        let live = Self { thread: Some(thread.map_err(failed)?), shared };
        live.wait_for_pass(1);
        Ok(live)
    }

    /// A scorer for requests of `layout`, with the generation that is served and every later one. Allocates: not for a request.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a layout of another schema, of several models, or of prepared candidates.
    pub fn scorer(&self, layout: &RequestLayout) -> Result<LiveScorer, Error> {
        self.scorer_on(layout, None)
    }

    /// The same for requests that name candidates of `set` by index. Later generations are prepared before they are swapped in.
    ///
    /// # Errors
    ///
    /// As [`LiveModel::scorer`]; [`Error::InvalidArgument`] for a layout that is not of prepared candidates, or of another schema than
    /// the set's.
    pub fn scorer_with_candidates(&self, layout: &RequestLayout, set: &Arc<CandidateSet>) -> Result<LiveScorer, Error> {
        self.scorer_on(layout, Some(Arc::clone(set)))
    }

    fn scorer_on(&self, layout: &RequestLayout, set: Option<Arc<CandidateSet>>) -> Result<LiveScorer, Error> {
        let invalid = |problem: &str| Err(Error::InvalidArgument { argument: "layout", problem: problem.to_owned() });
        if layout.schema() != &self.shared.schema {
            return invalid("its schema is not that of the live model");
        }
        if layout.model_count() != 1 {
            return invalid("it is for several models, a live scorer has one");
        }
        crate::score::check_candidates(layout, set.as_deref())?;
        // Under the lock, so that no generation is swapped in between.
        let mut seats = self.shared.seats();
        let seat = Arc::new(Seat::new(layout, set, seats.served.as_ref())?);
        seats.all.push(Arc::clone(&seat));
        drop(seats);
        Ok(LiveScorer::new(Arc::clone(&self.shared), seat))
    }

    /// The generation that answers, if there is one.
    #[must_use]
    pub fn model(&self) -> Option<Arc<Model>> {
        self.shared.seats().served.clone()
    }

    /// Name of the serving logic of a generation that answers, or did lately: what is logged with its scores.
    #[must_use]
    pub fn logic_id(&self, generation: u64) -> Option<Arc<str>> {
        self.shared.logic_id(generation)
    }

    /// What is served and why, what was refused and by whose fault, and how long each step took.
    #[must_use]
    pub fn status(&self) -> LiveStatus {
        self.shared.status().clone()
    }

    /// Looks at the store now instead of at the next poll, and returns when that is done: seconds, if there is a large file to load.
    pub fn look_now(&self) {
        let mut bell = self.shared.bell();
        bell.is_asked = true;
        // A pass that is under way may have looked before the caller's change.
        let wanted = bell.done_passes + 1 + u64::from(bell.is_passing);
        drop(bell);
        self.shared.rung.notify_all();
        self.wait_for_pass(wanted);
    }

    fn wait_for_pass(&self, number: u64) {
        let mut bell = self.shared.bell();
        while bell.done_passes < number && !self.is_dead() {
            // The time limit is for a thread that died without a word.
            let woken = self.shared.rung.wait_timeout(bell, Duration::from_secs(1));
            bell = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for LiveModel {
    /// Ends the background thread. Live scorers go on with the generation that they have.
    fn drop(&mut self) {
        self.shared.bell().is_stopped = true;
        self.shared.rung.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics; there is nothing to tell of one that it could not catch.
            let _ = thread.join();
        }
    }
}

/// The last part of a path, as far as it is text.
fn name_of(dir: &Path) -> Arc<str> {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into()
}

fn unix_seconds() -> u64 {
    seconds_of(SystemTime::now())
}

/// Seconds since 1970; 0 for times before.
fn seconds_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
