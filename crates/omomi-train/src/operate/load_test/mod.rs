//! Measures request latency: a weight file under load, on this machine, through the calls that a server makes.
//!
//! A [`Rotation`] is the load: requests whose rows come from a log, or are invented to resemble the file's golden
//! requests. A [`Run`] is how the load is driven: the number of threads, the number of candidates per request, and
//! either back to back or at a given rate. [`measure`] drives the load and returns distributions of the latencies.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use omomi_train::operate::load_test::{Rotation, RotationSpec, Run, measure};
//! use omomi::{LoadMode, Model};
//!
//! let model = Model::load("feed-ctr/000042.omomi", LoadMode::Map)?;
//! let spec = RotationSpec { requests: 4_096, candidates: 500, seed: 1, hashed_texts: false };
//! let rotation = Rotation::synthetic(&model, spec)?;
//! rotation.check(&model, 500, false)?;
//! let run = Run { rate_per_second: Some(2_000.0), ..Run::new(2, 500, Duration::from_secs(10)) };
//! let measurement = measure(&model, &rotation, &run)?;
//! println!("p99.9: {} ns", measurement.latency.quantile_ns(0.999));
//! # Ok::<(), omomi_train::operate::load_test::LatencyError>(())
//! ```
//!
//! # Back to back, or at a rate
//!
//! Back to back, each thread starts a request as soon as its last one is done. This shows how much a machine can do,
//! but it hides stalls. While a thread is stalled for 50 ms, it sends nothing, so those 50 ms become *one* slow
//! request, although hundreds of users would have waited.
//!
//! At a rate, request `k` is due `k / rate` seconds after the start, regardless of the requests before it. The first
//! free thread takes the next request, as in a server's pool. Its latency is measured **from when it was due**, so a
//! stall shows in every request that fell due during it. Due requests are never dropped from the results. If the
//! machine cannot keep up, requests that have not started one second after the end are counted as unserved, with the
//! time that they have waited by then.
//!
//! # What a latency includes
//!
//! One request is: fill the rows (values set by slot), predict, read every answer. The clock is read between these
//! steps, which costs [`clock_cost_ns`] each time. The rows are laid out in memory as in a server, so filling fetches
//! most of them from beyond the near caches; this is often more than half of the time. Nothing is recorded during
//! warm-up. Distributions keep three significant digits.
//!
//! # Limits
//!
//! Requests fall due at even intervals; real ones come in bursts. The load comes from the process itself: no network,
//! no JVM.

mod durations;
mod rotation;
mod rows;
mod schedule;

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub use durations::{Durations, clock_cost_ns, processor_name};
pub use rotation::Coverage;
pub use rotation::{Rotation, RotationSpec, RowSource};
pub use rows::{MAX_LOG_CANDIDATES, MAX_LOG_ROWS};

use durations::{Stamps, Times, preemption_count};
use schedule::{Clock, Schedule, SystemClock};

use crate::log::LogError;
use omomi::error::Error;
use omomi::request::RequestLayout;
use omomi::score::{CandidateSet, Model, Request, Scorer};

/// Maximum number of threads of a run.
pub const MAX_THREADS: usize = 1_024;
/// Maximum rate of a run, in requests per second over all threads.
pub const MAX_RATE_PER_SECOND: f64 = 1e7;

/// How to drive a rotation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Number of threads, each with its own scorer and request: 1 to [`MAX_THREADS`].
    pub threads: usize,
    /// Candidates per request: 1 to [`RotationSpec::candidates`].
    pub candidates: usize,
    /// Whether all candidates of the rotation are prepared beforehand, so that requests name them by index.
    pub prepared: bool,
    /// Requests that fall due per second over all threads, up to [`MAX_RATE_PER_SECOND`]; `None` means back to back.
    pub rate_per_second: Option<f64>,
    /// How long requests are sent and recorded.
    pub duration: Duration,
    /// How long requests are sent before `duration` starts, back to back and unrecorded.
    pub warm_up: Duration,
}

impl Run {
    /// A run with rows in the requests, back to back, after one second of warm-up.
    #[must_use]
    pub const fn new(threads: usize, candidates: usize, duration: Duration) -> Self {
        Self { threads, candidates, prepared: false, rate_per_second: None, duration, warm_up: Duration::from_secs(1) }
    }

    fn check(&self, rotation: &Rotation) -> Result<(), LatencyError> {
        let invalid = |problem: String| Err(LatencyError::InvalidRun { problem });
        if self.threads == 0 || self.threads > MAX_THREADS {
            return invalid(format!("expected 1 to {MAX_THREADS} threads, found {}", self.threads));
        }
        let max = rotation.spec().candidates;
        if self.candidates == 0 || self.candidates > max {
            return invalid(format!("the rotation has 1 to {max} candidates per request, found {}", self.candidates));
        }
        // Also catches NaN.
        if let Some(rate) = self.rate_per_second
            && !(rate > 0.0 && rate <= MAX_RATE_PER_SECOND)
        {
            return invalid(format!(
                "expected a rate above 0 and up to {MAX_RATE_PER_SECOND} requests per second, found {rate}"
            ));
        }
        if self.duration.is_zero() {
            return invalid("expected a duration above 0 seconds, found 0".to_owned());
        }
        Ok(())
    }
}

/// The results of a run.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The run that was measured.
    pub run: Run,
    /// Number of requests that were served and recorded.
    pub request_count: u64,
    /// Number of requests that fell due but were not started one second after the end. It is 0 unless the machine
    /// cannot keep up with the rate. These requests are in `latency` and `wait`, with the time that they had waited by
    /// then, and in no other distribution.
    pub unserved_count: u64,
    /// From the start of the run to its end or to the end of its last request, whichever is later.
    pub elapsed: Duration,
    /// From when a request was due (back to back: from its start) until its last answer was read.
    pub latency: Durations,
    /// From when a request was due to its start; empty back to back.
    pub wait: Durations,
    /// From the start of a request until its last answer was read.
    pub request: Durations,
    /// Time to fill the rows.
    pub fill: Durations,
    /// Time of the `predict` call.
    pub predict: Durations,
    /// Time to read the answers.
    pub read: Durations,
    /// How long it took to prepare all candidates for the model before the run; `None` if they are not prepared. Each
    /// new model costs a server this much, off the request path.
    pub preparation: Option<Duration>,
    /// How often the operating system preempted a thread of the run; `None` if it does not report this. Preemption is
    /// often why requests are slow on a shared machine.
    pub preemption_count: Option<u64>,
}

#[expect(clippy::cast_precision_loss, reason = "results for people")]
impl Measurement {
    /// Requests served per second over all threads.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        self.request_count as f64 / self.elapsed.as_secs_f64()
    }

    /// Candidates scored per second over all threads.
    #[must_use]
    pub fn predictions_per_second(&self) -> f64 {
        self.requests_per_second() * self.run.candidates as f64
    }

    /// The median `predict` call divided by the number of candidates.
    #[must_use]
    pub fn predict_ns_per_candidate(&self) -> f64 {
        self.predict.quantile_ns(0.5) as f64 / self.run.candidates as f64
    }

    /// Whether the machine could not keep up with the rate. If so, the latencies mostly show how long the run was.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        // The last requests end slightly after the run, which does not count as falling behind.
        let fell_behind = |rate| self.requests_per_second() < 0.98 * rate;
        self.unserved_count > 0 || self.run.rate_per_second.is_some_and(fell_behind)
    }
}

/// Drives `rotation` against `model` as specified by `run`.
///
/// The answers are not verified here: call [`Rotation::check`] first.
///
/// # Errors
///
/// Returns [`LatencyError::InvalidRun`] if `run` is outside its limits, [`LatencyError::Score`] if a request cannot be
/// filled or scored, and [`LatencyError::Thread`] if the operating system cannot start another thread.
pub fn measure(model: &Arc<Model>, rotation: &Rotation, run: &Run) -> Result<Measurement, LatencyError> {
    run.check(rotation)?;
    let setup = Setup::new(rotation, run.candidates, run.prepared)?;
    let (scorers, preparation) = setup.scorers(model, run.threads)?;
    // Threads start at different requests, so that they do not warm each other's caches.
    let first = |thread| thread * rotation.spec().requests / run.threads;
    let workers =
        scorers.into_iter().enumerate().map(|(thread, scorer)| Worker::new(scorer, &setup, run, first(thread)));
    let workers: Vec<Worker<'_>> = workers.collect();
    let clock = SystemClock::start();
    let schedule = Schedule::new(clock.now_ns(), run.warm_up, run.duration, run.rate_per_second);
    let outcomes: Vec<Result<WorkerReport, LatencyError>> = thread::scope(|scope| {
        let (clock, schedule) = (&clock, &schedule);
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                let thread = thread::Builder::new().name("omomi-latency".to_owned());
                thread.spawn_scoped(scope, move || worker.work(clock, schedule)).map_err(LatencyError::Thread)
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut times = Times::new();
    let mut preemption_count = Some(0);
    for outcome in outcomes {
        let report = outcome?;
        times.add(&report.times);
        preemption_count = preemption_count.zip(report.preemption_count).map(|(sum, count)| sum + count);
    }
    Ok(Measurement {
        run: *run,
        request_count: times.request.count(),
        unserved_count: times.unserved_count,
        elapsed: Duration::from_nanos(times.last_end_ns.max(schedule.end_ns()) - schedule.start_ns()),
        latency: times.latency,
        wait: times.wait,
        request: times.request,
        fill: times.fill,
        predict: times.predict,
        read: times.read,
        preparation,
        preemption_count,
    })
}

/// The layout for the requests of a rotation, and the set of its candidates if they are prepared.
struct Setup<'a> {
    rotation: &'a Rotation,
    candidate_count: usize,
    layout: RequestLayout,
    set: Option<Arc<CandidateSet>>,
}

impl<'a> Setup<'a> {
    fn new(rotation: &'a Rotation, candidate_count: usize, prepared: bool) -> Result<Self, Error> {
        let (layout, set) = if prepared {
            (rotation.prepared_layout(candidate_count)?, Some(Arc::new(rotation.candidate_set()?)))
        } else {
            (rotation.layout(candidate_count)?, None)
        };
        Ok(Self { rotation, candidate_count, layout, set })
    }

    /// Scorers for `count` threads, and how long preparing the candidates took. The first scorer prepares them for all.
    fn scorers(&self, model: &Arc<Model>, count: usize) -> Result<(Vec<Scorer>, Option<Duration>), Error> {
        let start = Instant::now();
        let first = self.scorer(model)?;
        let preparation = self.set.is_some().then(|| start.elapsed());
        let others = (1..count).map(|_| self.scorer(model));
        Ok((std::iter::once(Ok(first)).chain(others).collect::<Result<_, Error>>()?, preparation))
    }

    fn scorer(&self, model: &Arc<Model>) -> Result<Scorer, Error> {
        match &self.set {
            Some(set) => Scorer::with_candidates(vec![Arc::clone(model)], &self.layout, set),
            None => Scorer::new(Arc::clone(model), &self.layout),
        }
    }

    /// Fills `request` with request `index` of the rotation.
    #[inline]
    fn fill(&self, index: usize, request: &mut Request) -> Result<(), Error> {
        match &self.set {
            Some(_) => self.rotation.fill_prepared(index, self.candidate_count, request),
            None => self.rotation.fill(index, self.candidate_count, request),
        }
    }
}

/// One thread of a run.
struct Worker<'a> {
    setup: &'a Setup<'a>,
    scorer: Scorer,
    request: Request,
    candidate_count: usize,
    /// Index of the next request of the rotation.
    next: usize,
}

struct WorkerReport {
    times: Times,
    preemption_count: Option<u64>,
}

impl<'a> Worker<'a> {
    fn new(scorer: Scorer, setup: &'a Setup<'a>, run: &Run, next: usize) -> Self {
        let request = scorer.new_request();
        Self { setup, scorer, request, candidate_count: run.candidates, next }
    }

    fn work(mut self, clock: &SystemClock, schedule: &Schedule) -> Result<WorkerReport, LatencyError> {
        schedule.warm_up(clock, || self.serve(clock))?;
        let before = preemption_count();
        let times = schedule.drive(clock, || self.serve(clock))?;
        let preemption_count = preemption_count().zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(WorkerReport { times, preemption_count })
    }

    /// Serves the next request of the rotation.
    fn serve(&mut self, clock: &impl Clock) -> Result<Stamps, Error> {
        let index = self.next;
        self.next += 1;
        let start_ns = clock.now_ns();
        self.setup.fill(index, &mut self.request)?;
        let filled_ns = clock.now_ns();
        self.scorer.predict(&mut self.request, self.candidate_count)?;
        let predicted_ns = clock.now_ns();
        // The least that a server does with the answers.
        let answers = self.request.answers(self.candidate_count);
        black_box(answers.fold(0.0_f32, |highest, answer| highest.max(answer.probability)));
        Ok(Stamps { start_ns, filled_ns, predicted_ns, end_ns: clock.now_ns() })
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LatencyError {
    /// The log that requests are drawn from cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log has no rows.
    #[error("the logs have no rows to build requests from")]
    NoRows,
    /// A request cannot be filled or scored.
    #[error(transparent)]
    Score(#[from] Error),
    /// The kernel and its plain twin disagree, so the kernel's times would be meaningless.
    #[error(
        "wrong answer: for candidate {candidate} of request {request} the kernel gives the logit {kernel}, its plain twin \
         {plain}; nothing was timed; report it with the weight file"
    )]
    AnswersDiffer {
        /// Index of the request in the rotation.
        request: usize,
        /// Index of the candidate.
        candidate: usize,
        /// The kernel's logit.
        kernel: f64,
        /// The plain twin's logit.
        plain: f64,
    },
    /// The rotation or the run is outside its limits.
    #[error("{problem}")]
    InvalidRun {
        /// What was expected and what was found.
        problem: String,
    },
    /// The operating system could not start a thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;
