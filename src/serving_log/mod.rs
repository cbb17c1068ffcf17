#![doc = include_str!("SERVING_LOG.md")]

mod account;
mod clock;
mod decide;
mod encode;
mod exit;
mod folder;
mod forks;
mod format;
mod ids;
mod log_ring;
mod metrics;
mod models;
mod options;
mod raw;
mod read;
mod report;
mod ring;
mod segment;
mod served;
mod shared;
mod writer;

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use account::{Account, RingAccount, RingKey, WriterAccount};
pub use format::{
    MAX_IMPRESSION_LEN_BYTES, MAX_LABEL_LEN_BYTES, MAX_PAYLOAD_LEN_BYTES, MAX_REQUEST_ID_LEN_BYTES, OLDEST_READER,
    SealReason, VERSION,
};
pub use ids::{MILLION, PredictionId, sample_place};
pub use log_ring::LogRing;
pub use metrics::LogMetrics;
pub use options::LogOptions;
pub use read::{
    Block, LoggedCandidate, LoggedDetail, LoggedEvent, LoggedFeature, LoggedField, LoggedKind, LoggedModel,
    LoggedPrediction, LoggedValue, Record, RecordBody, RecordHead, RowState, SegmentFooter, SegmentHeader,
    SegmentProblem, SegmentReader,
};
pub use segment::{FooterRing, RingCounts};
pub use served::{Basis, Currency, DROP_REASON_COUNT, DropReason, Event, EventKind, Money, Recorded, Served, Source};

use crate::error::Error;
use crate::experiment::ExperimentScorer;
use crate::live::LiveScorer;
use crate::request::RequestLayout;
use crate::score::{CandidateSet, RowCopier, Scorer};
use encode::Encoder;
use models::Answering;
use ring::Ring;
use shared::Shared;
use writer::Writer;

/// How long closing a log may take, whatever hangs.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Writes what a server served to a folder. Request threads record through a [`LogRing`] each; a background thread
/// writes.
///
/// ```no_run
/// use omomi::serving_log::{LogOptions, Served, ServingLog};
/// # use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema, SchemaField, Scorer, contract::Side};
/// # let schema = Schema::new(vec![SchemaField::id("creative_id", Side::Candidate)])?;
/// # let layout = RequestLayout::new(&schema, Capacity { candidates: 500, tail_len_bytes: 0 })?;
/// # let scorer = Scorer::new(Model::load("000001.omomi", LoadMode::Map)?, &layout)?;
/// # let mut request = scorer.new_request();
///
/// // Once, and for each thread.
/// let log = ServingLog::open("served", LogOptions::default())?;
/// let mut ring = log.ring(&scorer)?;
///
/// // For each request, after predict: what was bid with.
/// ring.record(&mut request, 0, &Served::of("5f0c7d5e").with(|it| it.position = Some(0)))?;
/// # Ok::<(), omomi::Error>(())
/// ```
#[derive(Debug)]
pub struct ServingLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl ServingLog {
    /// Opens a log in `folder`, which is created if only its last part does not exist. Starts one thread, `omomi-log`.
    /// It also seals what a killed process left there. A later change of the working directory does not matter. Several
    /// processes may share a folder.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the options can never work, and [`Error::File`] if the folder cannot be
    /// created or the thread cannot be started. Problems that arise later are counted, and never fail a request.
    pub fn open(folder: impl AsRef<Path>, options: LogOptions) -> Result<Self, Error> {
        options.check()?;
        let folder = folder.as_ref();
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let failed = |action| {
            let path = folder.clone();
            move |source| Error::File { action, path, source }
        };
        if !folder.is_dir() {
            fs::create_dir(&folder).map_err(failed("create the folder"))?;
        }
        forks::register();
        // Each state of the standard library's hasher is drawn at random.
        let writer_id = RandomState::new().hash_one(std::process::id());
        let shared = Arc::new(Shared::new(folder.clone(), options, writer_id));
        let writer = Writer::new(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("omomi-log".to_owned()).spawn(move || writer.run());
        let writer = Some(thread.map_err(failed("start a thread to write to"))?);
        exit::watch(&shared);
        Ok(Self { shared, writer })
    }

    /// Creates the ring of a scorer. Reads the files of its models once, to digest them. Allocates, so do not call it
    /// on the request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::OutOfMemory`], and [`Error::LogForked`] in a fork of the process that opened the log.
    pub fn ring(&self, scorer: &Scorer) -> Result<LogRing, Error> {
        self.shared.check_process()?;
        let models = scorer.models().map(|model| (Arc::clone(model), self.shared.identity_of(model)));
        self.new_ring(Answering::Fixed(models.collect()), Some(scorer.layout()), scorer.candidate_set())
    }

    /// Creates the ring of a live scorer. It also records the answers of its fallback file. Allocates, so do not call
    /// it on the request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::OutOfMemory`], and [`Error::LogForked`] in a fork of the process that opened the log.
    pub fn live_ring(&self, scorer: &LiveScorer) -> Result<LogRing, Error> {
        self.shared.check_process()?;
        let generations = scorer.generations();
        let fallback = generations.fallback().cloned();
        let answering = Answering::Live(generations, fallback);
        self.new_ring(answering, Some(scorer.layout()), scorer.candidate_set())
    }

    /// Creates the ring of a scorer of an experiment. It adds to each record the names of the experiment and of the arm
    /// that answered, and the bucket; what [`Served`] says of them then does not count. After the record of a
    /// prediction, it records what each shadow that scored the request said of the same candidate. Allocates, so do not
    /// call it on the request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::OutOfMemory`], and [`Error::LogForked`] in a fork of the process that opened the log.
    pub fn experiment_ring(&self, scorer: &ExperimentScorer) -> Result<LogRing, Error> {
        self.shared.check_process()?;
        self.shared.watch(scorer.registry());
        let answering = Answering::Experiment(Arc::clone(scorer.registry()));
        self.new_ring(answering, Some(scorer.layout()), scorer.candidate_set())
    }

    /// Creates a ring for events, on a thread that scores nothing.
    ///
    /// # Errors
    ///
    /// Returns [`Error::OutOfMemory`], and [`Error::LogForked`] in a fork of the process that opened the log.
    pub fn event_ring(&self) -> Result<LogRing, Error> {
        self.new_ring(Answering::Nothing, None, None)
    }

    fn new_ring(
        &self,
        answering: Answering,
        layout: Option<&RequestLayout>,
        set: Option<&Arc<CandidateSet>>,
    ) -> Result<LogRing, Error> {
        self.shared.check_process()?;
        let is_live = matches!(answering, Answering::Live(..) | Answering::Experiment(_));
        let registry = match &answering {
            Answering::Experiment(registry) => Some(Arc::clone(registry)),
            Answering::Fixed(_) | Answering::Live(..) | Answering::Nothing => None,
        };
        let copier = layout.map(|layout| Arc::new(RowCopier::new(layout)));
        let (ring, producer) = Ring::create(self.shared.next_ring_number(), self.shared.options.ring_len_bytes)?;
        self.shared.add_ring(&ring, Encoder::new(answering, copier.clone(), set.map(Arc::clone)));
        Ok(LogRing::new(Arc::clone(&self.shared), producer, copier, (is_live, registry)))
    }

    /// Has everything written that was recorded before this call, and waits up to `timeout` for it. Returns whether it
    /// is written, or counted as dropped. For tests, and before a planned end.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.check_process().is_ok() && self.shared.flush(timeout)
    }

    /// Checks that this process opened the log. A fork has no thread that writes, and drops what is recorded. Open a
    /// log in each process, after the fork.
    ///
    /// # Errors
    ///
    /// Returns [`Error::LogForked`] in a fork.
    pub fn check_process(&self) -> Result<(), Error> {
        self.shared.check_process()
    }

    /// Returns what was written and what was dropped.
    #[must_use]
    pub fn metrics(&self) -> LogMetrics {
        let is_writing =
            self.shared.check_process().is_ok() && self.writer.as_ref().is_some_and(|it| !it.is_finished());
        LogMetrics::of(&self.shared, is_writing)
    }

    /// Returns the id of this writer, which is in the name of each of its segments.
    #[must_use]
    pub fn writer_id(&self) -> u64 {
        self.shared.writer_id
    }
}

impl Drop for ServingLog {
    /// Writes what was recorded, seals the last segment and stops the thread, within 2 seconds. Rings that are still
    /// open drop what they are given from now on.
    fn drop(&mut self) {
        if self.shared.check_process().is_err() {
            // The thread is in another process, and so are the files.
            std::mem::forget(self.writer.take());
            return;
        }
        self.shared.stop();
        if self.shared.wait_for_end(CLOSE_PATIENCE)
            && let Some(writer) = self.writer.take()
        {
            // The thread catches its panics. If it could not catch one, there is nothing to report here.
            let _ = writer.join();
        }
    }
}
