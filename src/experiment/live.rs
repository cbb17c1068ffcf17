//! An experiment that follows its file, and opens the stores of its arms.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::memory::Memory;
use super::scorer::ExperimentScorer;
use super::shared::{Shared, Signals};
use super::status::ExperimentStatus;
use super::worker::Worker;
use crate::error::Error;
use crate::live::{LiveOptions, Reason};
use crate::request::{RequestLayout, Schema};
use crate::score::{CandidateSet, check_candidates};

/// Serves the arms of an experiment file: follows the file, and the store of each arm with a
/// [`LiveModel`](crate::live::LiveModel) of its own.
///
/// ```no_run
/// use omomi::experiment::LiveExperiment;
/// use omomi::live::LiveOptions;
/// use omomi::serving_log::{LogOptions, Served, ServingLog};
/// # use omomi::{Capacity, RequestLayout, Schema, SchemaField, contract::Side};
/// # let schema = Schema::new(vec![SchemaField::id("creative_id", Side::Candidate)])?;
/// # let layout = RequestLayout::new(&schema, Capacity { candidates: 500, tail_len_bytes: 0 })?;
///
/// // Once, and for each thread. A layout for two models has room for the answers of one shadow.
/// let experiment = LiveExperiment::open("models/wide-model.experiment", &schema, LiveOptions::default())?;
/// let log = ServingLog::open("served", LogOptions::default())?;
/// let scorer = experiment.scorer(&layout.for_models(2)?)?;
/// let mut ring = log.experiment_ring(&scorer)?;
/// let mut request = scorer.new_request();
///
/// // For each request: who answered, and which candidate to take.
/// let answered = scorer.predict(&mut request, 2, "5f0c7d5e")?;
/// let utilities = [0, 1].map(|candidate| f64::from(request.answer(candidate).probability));
/// if let Some(choice) = answered.choose("5f0c7d5e", &utilities)? {
///     // The ring adds experiment, arm and bucket, and the answers of shadows.
///     let served = Served::of("5f0c7d5e").with(|it| it.propensity = choice.propensity);
///     ring.record(&mut request, choice.candidate, &served)?;
/// }
/// # Ok::<(), omomi::Error>(())
/// ```
#[derive(Debug)]
pub struct LiveExperiment {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl LiveExperiment {
    /// Opens the experiment file at `path` for a server that declares `schema`. Each arm's store is opened with
    /// `options`, whose name and poll interval are also those of the experiment. Returns after the first look at the
    /// file and at the stores. Never fails because of their contents: [`status`](Self::status) gives the reasons.
    ///
    /// The limits of the options, such as the memory budget, are those of each store, not of all together.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the options can never work, and [`Error::File`] if the operating system
    /// cannot start a thread.
    pub fn open(path: impl AsRef<Path>, schema: &Schema, options: LiveOptions) -> Result<Self, Error> {
        options.check()?;
        let path = path.as_ref();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let memory = Memory::new(&path, &options.name);
        let shared = Arc::new(Shared::new(path.clone(), schema.clone(), options));
        let worker = Worker::new(Arc::clone(&shared), memory);
        let thread = std::thread::Builder::new().name("omomi-arms".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(|source| Error::File { action: "start a thread to follow", path, source })?;
        let experiment = Self { shared, worker: Some(thread) };
        experiment.wait(|shared, signals| signals.done_passes > 0 && !shared.is_opening());
        Ok(experiment)
    }

    /// Creates a scorer for requests of `layout`, whose candidates are rows. A layout for several models has room for
    /// the answers of shadows: one for `1 + n` models lets the first `n` shadows of the file score. Allocates, so do
    /// not call it on the request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the layout belongs to another schema or is for prepared candidates, and
    /// [`Error::Forked`] in a fork of the process that opened the experiment.
    pub fn scorer(&self, layout: &RequestLayout) -> Result<ExperimentScorer, Error> {
        self.scorer_on(layout, None)
    }

    /// Creates a scorer for requests that name candidates of `set` by index. Allocates, so do not call it on the
    /// request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the layout is not for prepared candidates, or belongs to another schema
    /// than the set or the experiment, and [`Error::Forked`] in a fork of the process that opened the experiment.
    pub fn scorer_with_candidates(
        &self,
        layout: &RequestLayout,
        set: &Arc<CandidateSet>,
    ) -> Result<ExperimentScorer, Error> {
        self.scorer_on(layout, Some(Arc::clone(set)))
    }

    fn scorer_on(&self, layout: &RequestLayout, set: Option<Arc<CandidateSet>>) -> Result<ExperimentScorer, Error> {
        self.check_process()?;
        if layout.schema() != self.shared.schema() {
            let problem = "expected the schema of the experiment, found another one".to_owned();
            return Err(Error::InvalidArgument { argument: "layout", problem });
        }
        check_candidates(layout, set.as_deref())?;
        let seat = self.shared.seat(layout, set)?;
        Ok(ExperimentScorer::new(Arc::clone(&self.shared), seat))
    }

    /// Returns what is in force, which arms can answer, and what is wrong.
    #[must_use]
    pub fn status(&self) -> ExperimentStatus {
        if let Err(error) = self.check_process() {
            return ExperimentStatus { problem: Some(Reason::of(&error)), ..ExperimentStatus::default() };
        }
        self.shared.status()
    }

    /// Returns the status as JSON, with the name of this process and the time.
    #[must_use]
    pub fn status_json(&self) -> serde_json::Value {
        self.status().to_json(self.process_name())
    }

    /// Returns the name of this process in the options.
    pub(crate) fn process_name(&self) -> &str {
        &self.shared.options.name
    }

    /// Looks at the file now instead of at the next poll, and returns after that look and after the stores of new arms
    /// were opened. Takes seconds if there are large files to load. Also has the stores looked at. In a fork, does
    /// nothing.
    pub fn look_now(&self) {
        if self.check_process().is_err() {
            return;
        }
        let passes = {
            let mut signals = self.shared.signals();
            signals.is_look_requested = true;
            // A look that is already running may have read the file before the caller's change.
            signals.done_passes + 2
        };
        self.shared.changed.notify_all();
        self.wait(|shared, signals| {
            let is_done = signals.done_passes >= passes;
            signals.is_look_requested |= !is_done;
            is_done && !shared.is_opening()
        });
        let lives = self.shared.lives();
        lives.iter().for_each(|live| live.look_now());
    }

    /// Checks that this process opened the experiment: see
    /// [`LiveModel::check_process`](crate::live::LiveModel::check_process).
    ///
    /// # Errors
    ///
    /// Returns [`Error::Forked`] in a fork.
    pub fn check_process(&self) -> Result<(), Error> {
        self.shared.check_process()
    }

    fn wait(&self, mut is_done: impl FnMut(&Shared, &mut Signals) -> bool) {
        const PAUSE: Duration = Duration::from_millis(100);
        let mut signals = self.shared.signals();
        while !is_done(&self.shared, &mut signals) && self.worker.as_ref().is_some_and(|thread| !thread.is_finished()) {
            self.shared.changed.notify_all();
            let woken = self.shared.changed.wait_timeout(signals, PAUSE);
            signals = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for LiveExperiment {
    /// Stops the background threads of the experiment and of its stores. Scorers continue with what they have.
    fn drop(&mut self) {
        if self.check_process().is_err() {
            // The thread is in another process. Its handle must not even be dropped.
            std::mem::forget(self.worker.take());
            return;
        }
        self.shared.signals().is_stopped = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // The thread catches its panics. If it could not catch one, there is nothing to report here.
            let _ = worker.join();
        }
        let stores = std::mem::take(&mut self.shared.state().stores);
        drop(stores);
    }
}
