//! How long requests take: a weight file under load, on this machine, through the same calls that a server makes.
//!
//! A [`Rotation`] is the load: requests whose rows come from a log, or are invented after the file's golden requests. A [`Run`] says
//! how it is driven: how many threads, how many candidates a request, back to back or at a given rate. [`measure`] drives it and
//! returns the distributions of what it saw.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use omomi_train::operate::load_test::{Rotation, RotationSpec, Run, measure};
//! use omomi::{LoadMode, Model};
//!
//! let model = Model::load("feed-ctr/000042.omomi".as_ref(), LoadMode::Map)?;
//! let rotation = Rotation::synthetic(&model, RotationSpec { requests: 4_096, candidates: 500, seed: 1, hashed_texts: false })?;
//! rotation.check(&model, 500, false)?;
//! let run = Run { rate_per_second: Some(2_000.0), ..Run::new(2, 500, Duration::from_secs(10)) };
//! let measurement = measure(&model, &rotation, &run)?;
//! println!("p99.9: {} ns", measurement.latency.quantile_ns(0.999));
//! # Ok::<(), omomi_train::operate::load_test::LatencyError>(())
//! ```
//!
//! # Back to back, or at a rate
//!
//! Back to back, each thread starts a request when its last one is done. That shows how much a machine can do. It hides stalls: while
//! a thread stands still for 50 ms it sends nothing, so 50 ms become *one* slow request, though hundreds of users would have waited.
//!
//! At a rate, request `k` is due `k / rate` seconds after the start, whatever became of the ones before it. Whichever thread is free
//! takes the next one, as in a server's pool, and its latency counts **from when it was due**. A stall then shows in every request that
//! fell due in it. Requests that fall due are never dropped from the figures: where the machine cannot keep up, those that have not
//! been started one second after the end are counted as unserved, with the time that they have waited by then.
//!
//! # What is in a figure
//!
//! One request is: fill the rows (values set by slot), predict, read every answer. Between those the clock is read, [`clock_cost_ns`] each time.
//! The rows lie in memory as they do in a server, so filling fetches most of them from beyond the near caches; that is often more than half of the
//! time. Nothing is recorded while the run warms up. Distributions keep three digits.
//!
//! # Limits
//!
//! Requests fall due at even distances; real ones come in bursts. Load comes from the process itself: no network, no JVM.

mod coverage;
mod durations;
mod rotation;
mod rows;
mod schedule;

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub use coverage::Coverage;
pub use durations::{Durations, clock_cost_ns, processor_name};
pub use rotation::{Rotation, RotationSpec, RowSource};
pub use rows::{MAX_LOG_CANDIDATES, MAX_LOG_ROWS};

use durations::{Stamps, Times, preemption_count};
use schedule::{Clock, Schedule, SystemClock};

use crate::log::LogError;
use omomi::error::Error;
use omomi::request::RequestLayout;
use omomi::score::{CandidateSet, Model, Request, Scorer};

/// Most threads of a run.
pub const MAX_THREADS: usize = 1_024;
/// Most requests a second that can be asked for, all threads together.
pub const MAX_RATE_PER_SECOND: f64 = 1e7;

/// How a rotation is driven.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Threads, each with a scorer and a request of its own: 1 to [`MAX_THREADS`].
    pub threads: usize,
    /// Candidates of each request: 1 to what the rotation was made for.
    pub candidates: usize,
    /// Whether the candidates are prepared beforehand, all of the rotation's, and requests name them by index.
    pub prepared: bool,
    /// Requests that fall due each second, all threads together, up to [`MAX_RATE_PER_SECOND`]; nothing for back to back.
    pub rate_per_second: Option<f64>,
    /// How long requests are sent and recorded.
    pub duration: Duration,
    /// How long requests are sent before that, back to back and unrecorded.
    pub warm_up: Duration,
}

impl Run {
    /// Rows in the requests, back to back, after a second of warming up.
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
            return invalid(format!("the rotation has 1 to {max} candidates a request, found {}", self.candidates));
        }
        // False for NaN as well.
        if let Some(rate) = self.rate_per_second
            && !(rate > 0.0 && rate <= MAX_RATE_PER_SECOND)
        {
            return invalid(format!("expected a rate up to {MAX_RATE_PER_SECOND} requests a second, found {rate}"));
        }
        if self.duration.is_zero() {
            return invalid("expected a duration above 0 seconds".to_owned());
        }
        Ok(())
    }
}

/// What a run saw.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// What was run.
    pub run: Run,
    /// Requests that were served and recorded.
    pub request_count: u64,
    /// Requests that fell due and were not started one second after the end: 0 unless the rate is more than the machine can do.
    /// They are in `latency` and `wait`, with the time they have waited by then, and in nothing else.
    pub unserved_count: u64,
    /// From the start to the end of the run or of its last request, whichever is later.
    pub elapsed: Duration,
    /// From when a request was due (back to back: from its start) until its last answer was read.
    pub latency: Durations,
    /// From when a request was due to its start; empty back to back.
    pub wait: Durations,
    /// From the start of a request until its last answer was read.
    pub request: Durations,
    /// Filling the rows.
    pub fill: Durations,
    /// The `predict` call.
    pub predict: Durations,
    /// Reading the answers.
    pub read: Durations,
    /// How long it took to prepare all candidates for the model before the run, where they are prepared: what each new model costs a server,
    /// off the request path.
    pub preparation: Option<Duration>,
    /// How often the system took the processor away from a thread of the run, where the system says so: what long requests on a shared
    /// machine are often due to.
    pub preemption_count: Option<u64>,
}

#[expect(clippy::cast_precision_loss, reason = "figures to read")]
impl Measurement {
    /// Requests served each second, all threads together.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        self.request_count as f64 / self.elapsed.as_secs_f64()
    }

    /// Candidates scored each second, all threads together.
    #[must_use]
    pub fn predictions_per_second(&self) -> f64 {
        self.requests_per_second() * self.run.candidates as f64
    }

    /// The median `predict` call divided by the number of candidates.
    #[must_use]
    pub fn predict_ns_per_candidate(&self) -> f64 {
        self.predict.quantile_ns(0.5) as f64 / self.run.candidates as f64
    }

    /// Whether the rate was more than the machine could do, so that latencies say how long the run was and little else.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        // The last requests end a little after the run, and that is not falling behind.
        let fell_behind = |rate| self.requests_per_second() < 0.98 * rate;
        self.unserved_count > 0 || self.run.rate_per_second.is_some_and(fell_behind)
    }
}

/// Drives `rotation` against `model` as `run` says.
///
/// The answers are not looked at: [`Rotation::check`] does that before anything is timed.
///
/// # Errors
///
/// [`LatencyError::InvalidRun`]; [`LatencyError::Score`] if a request cannot be filled or scored; [`LatencyError::Thread`] if the system
/// gives no more threads.
pub fn measure(model: &Arc<Model>, rotation: &Rotation, run: &Run) -> Result<Measurement, LatencyError> {
    run.check(rotation)?;
    let setup = Setup::new(rotation, run.candidates, run.prepared)?;
    let (scorers, preparation) = setup.scorers(model, run.threads)?;
    // Threads start apart in the rotation, so that they do not warm each other's caches.
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

/// A layout for the requests of a rotation, and the set that their candidates lie in where they are prepared.
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

    /// Scorers for `count` threads, and how long it took to prepare the candidates for the model, which the first of them does.
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
    /// The next request of the rotation.
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
        // What a server does with the answers, at the least.
        let answers = self.request.answers(self.candidate_count);
        black_box(answers.fold(0.0_f32, |highest, answer| highest.max(answer.probability)));
        Ok(Stamps { start_ns, filled_ns, predicted_ns, end_ns: clock.now_ns() })
    }
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LatencyError {
    /// The log that requests are drawn from cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log has no rows.
    #[error("the logs have no rows to make requests of")]
    NoRows,
    /// A request cannot be filled or scored.
    #[error(transparent)]
    Score(#[from] Error),
    /// The kernel and its plain twin disagree, so that no time of the kernel means anything.
    #[error(
        "wrong answer: for candidate {candidate} of request {request} the kernel gives the logit {kernel}, its plain twin {plain}; \
         nothing was timed, please report it with the weight file"
    )]
    AnswersDiffer {
        /// Index of the request in the rotation.
        request: usize,
        /// Index of the candidate.
        candidate: usize,
        /// The kernel's logit.
        kernel: f64,
        /// The plain twin's.
        plain: f64,
    },
    /// The rotation or the run is outside its limits.
    #[error("{problem}")]
    InvalidRun {
        /// Expected and found.
        problem: String,
    },
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;
