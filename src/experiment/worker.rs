//! The background thread: reads the file, opens and closes stores, and makes plans. Nothing that takes long happens on
//! it: stores are opened and closed by threads of their own, so a stopped arm is stopped within one poll.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::file::{ArmState, Experiment};
use super::guard_stops::GuardStop;
use super::guardian::Guardian;
use super::memory::Memory;
use super::seat::UnitPlace;
use super::shared::{Shared, Signals, Store, StoreContent};
use super::status::ExperimentStatus;
use crate::error::Error;
use crate::live::{Reason, jitter, signals_of_disks};

/// How often the report is written when nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a store that could not be opened is left alone.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Pause between looks at plans that may still be in use.
const FREE_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Worker {
    shared: Arc<Shared>,
    memory: Memory,
    guardian: Guardian,
    is_first: bool,
    /// What is kept for the next process.
    kept: Option<Arc<Experiment>>,
    reported: Option<(Instant, ExperimentStatus)>,
    failed_at: Option<Instant>,
    jitter: u64,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, memory: Memory) -> Self {
        Self {
            shared,
            memory,
            guardian: Guardian::default(),
            is_first: true,
            kept: None,
            reported: None,
            failed_at: None,
            jitter: jitter::seed(),
        }
    }

    /// Runs passes until the owner stops the thread.
    pub(super) fn run(mut self) {
        signals_of_disks::block();
        loop {
            self.shared.signals().is_look_requested = false;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.pass())) {
                self.shared.state().problem = Some(Reason::of(&Error::from_panic(panic.as_ref())));
            }
            let mut pause = jitter::up_to(self.shared.options.poll_interval, &mut self.jitter);
            if self.shared.state().is_replacing() {
                pause = pause.min(FREE_PAUSE);
            }
            let mut signals = self.shared.signals();
            signals.done_passes += 1;
            self.shared.changed.notify_all();
            let is_quiet = |signals: &mut Signals| !signals.is_look_requested && !signals.is_stopped;
            let woken = self.shared.changed.wait_timeout_while(signals, pause, is_quiet);
            if woken.unwrap_or_else(PoisonError::into_inner).0.is_stopped {
                break;
            }
        }
        self.finish();
    }

    fn pass(&mut self) {
        // A file whose unit this server does not know would send every request to the control arm.
        let is_known = |it: &Experiment| UnitPlace::of(&it.unit, self.shared.schema()).map(|_| ());
        let read = Experiment::read(&self.shared.path).and_then(|read| {
            read.as_ref().map_or(Ok(()), is_known)?;
            Ok(read)
        });
        let (heard, problem) = match read {
            Ok(Some(experiment)) => (Some(experiment), None),
            Ok(None) => {
                let path = self.shared.path.clone();
                let (expected, found) = ("an experiment file".to_owned(), "no file".to_owned());
                (None, Some(Error::ExperimentMalformed { path, expected, found }))
            }
            Err(error) => (None, Some(error)),
        };
        // What the process before this one read last stays in force until another good file is read.
        let (heard, memory_problem) = match heard {
            None if self.is_first => match self.memory.heard() {
                Ok(kept) => (kept.filter(|kept| is_known(kept).is_ok()), None),
                Err(error) => (None, Some(error)),
            },
            heard => (heard, None),
        };
        let memory_problem = memory_problem.or(self.guard(heard));
        self.is_first = false;
        self.obey(problem.as_ref().map(Reason::of));
        self.keep(memory_problem);
        let free = self.shared.state().take_away();
        drop(free);
        self.report();
    }

    /// Takes a new file, and lets its guard judge the arms. Returns why a stop could not be kept, if so.
    fn guard(&mut self, heard: Option<Experiment>) -> Option<Error> {
        let mut problem = None;
        if self.is_first {
            match self.memory.guard_stops() {
                Ok(stops) => self.shared.state().guard_stops = stops,
                Err(error) => problem = Some(error),
            }
        }
        let mut state = self.shared.state();
        if let Some(heard) = heard
            && state.heard.as_deref() != Some(&heard)
        {
            state.heard = Some(Arc::new(heard));
        }
        let experiment = state.heard.clone()?;
        let before = state.guard_stops.clone();
        state.guard_stops.retain(|stop| stop.holds(&experiment));
        self.guardian.look(&self.shared, &mut state, &experiment);
        let stops = state.guard_stops.clone();
        drop(state);
        if stops != before {
            problem = self.memory.keep_guard_stops(&stops).err().or(problem);
        }
        problem
    }

    /// Puts a file in force, opens the stores that it needs, and closes the others.
    fn obey(&mut self, problem: Option<Reason>) {
        let mut state = self.shared.state();
        state.problem = problem;
        let Some(heard) = state.heard.clone() else { return };
        let experiment = GuardStop::applied_to(&heard, &state.guard_stops);
        let is_new = state.in_force.as_deref() != Some(&*experiment);
        if is_new {
            state.in_force = Some(Arc::clone(&experiment));
        }
        let active = experiment.arms.iter().filter(|arm| arm.state != ArmState::Stopped);
        let mut needed: Vec<PathBuf> = active.map(|arm| self.shared.store_dir(&arm.store)).collect();
        needed.sort();
        needed.dedup();
        let is_retry = is_new || self.failed_at.is_some_and(|at| at.elapsed() >= RETRY_INTERVAL);
        if is_retry {
            state.stores.retain(|store| !matches!(store.content, StoreContent::Failed(_)));
            self.failed_at = None;
        }
        let (to_open, left) = state.match_stores(&needed);
        if state.stores.iter().any(|store| matches!(store.content, StoreContent::Failed(_))) {
            self.failed_at.get_or_insert_with(Instant::now);
        }
        if is_new || !left.is_empty() {
            self.shared.replan(&mut state);
        }
        drop(state);
        for (dir, opening) in to_open {
            self.open(dir, opening);
        }
        close(left);
    }

    /// Opens a store on a thread of its own.
    fn open(&self, dir: PathBuf, opening: u64) {
        let shared = Arc::clone(&self.shared);
        let path = dir.clone();
        let body = move || {
            let content = shared.open_store(&dir);
            let mut state = shared.state();
            let content = match state.stores.iter_mut().find(|store| store.opening == opening) {
                Some(store) => {
                    store.content = content;
                    shared.replan(&mut state);
                    None
                }
                // The file has changed meanwhile, and no arm needs it any more.
                None => Some(content),
            };
            drop(state);
            drop(content);
            shared.request_look();
        };
        if let Err(source) = std::thread::Builder::new().name("omomi-arm".to_owned()).spawn(body) {
            let error = Error::File { action: "start a thread to open", path, source };
            let mut state = self.shared.state();
            if let Some(store) = state.stores.iter_mut().find(|store| store.opening == opening) {
                store.content = StoreContent::Failed(Reason::of(&error));
            }
        }
    }

    /// Keeps what is in force for the next process.
    fn keep(&mut self, problem: Option<Error>) {
        let heard = self.shared.state().heard.clone();
        let mut problem = problem;
        if let Some(experiment) = heard
            && self.kept.as_ref() != Some(&experiment)
        {
            match self.memory.keep(&experiment) {
                Ok(()) => self.kept = Some(experiment),
                Err(error) => problem = Some(error),
            }
        } else if problem.is_none() {
            return;
        }
        self.shared.state().memory_problem = problem.as_ref().map(Reason::of);
    }

    /// Writes the report, if something but the counts has changed, and otherwise from time to time.
    fn report(&mut self) {
        let status = self.shared.status();
        let is_due = match &self.reported {
            Some((at, before)) => at.elapsed() >= HEARTBEAT || !is_alike(before, &status),
            None => true,
        };
        if is_due && !status.experiment.is_empty() {
            if let Err(error) = self.memory.report(&status) {
                self.shared.state().memory_problem = Some(Reason::of(&error));
            }
            self.reported = Some((Instant::now(), status));
        }
    }

    /// Frees the plans that were replaced. A request takes microseconds; what is still in use after all of these
    /// attempts is leaked rather than freed under its user.
    fn finish(&self) {
        for _ in 0..100 {
            let free = self.shared.state().take_away();
            drop(free);
            if !self.shared.state().is_replacing() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let status = self.shared.status();
        if !status.experiment.is_empty() {
            // The process ends; there is no report in which a problem could be.
            let _ = self.memory.report(&status);
        }
    }
}

/// Whether two reports differ in their counts only.
fn is_alike(one: &ExperimentStatus, two: &ExperimentStatus) -> bool {
    let without_counts = |status: &ExperimentStatus| {
        let mut status = status.clone();
        (status.without_unit_count, status.unready_count) = (0, 0);
        for arm in &mut status.arms {
            (arm.answered_count, arm.fell_back_count, arm.failed_count) = (0, 0, 0);
            (arm.shadow_count, arm.shadow_skipped_count, arm.shadow_failed_count) = (0, 0, 0);
        }
        status
    };
    without_counts(one) == without_counts(two)
}

/// Closes stores on a thread, which may take seconds. Then only their names and contracts stay, for the log.
fn close(left: Vec<Store>) {
    if left.is_empty() {
        return;
    }
    let body = move || {
        for store in left {
            if let StoreContent::Open(live) = store.content {
                let generations = live.generations();
                drop(live);
                generations.let_go();
            }
        }
    };
    // Without a thread, they are closed here.
    let _ = std::thread::Builder::new().name("omomi-arm".to_owned()).spawn(body);
}
