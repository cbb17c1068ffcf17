//! The calls of a request thread. They allocate nothing, lock nothing, make no system call and never wait.

use std::sync::Arc;
use std::time::Instant;

use super::clock::now_unix_ms;
use super::decide::Allowance;
use super::format::NOT_GIVEN;
use super::ids::{PredictionId, short_sample_place};
use super::raw::{Facts, Texts, put_detail, put_event, put_prediction};
use super::ring::{NotPushed, Producer, Ring};
use super::served::{DropReason, Event, EventKind, Recorded, Served, Source};
use super::shared::Shared;
use crate::error::Error;
use crate::experiment::{RegisteredArm, Registry};
use crate::request::{CandidateStatus, RequestLayout};
use crate::score::{CopiedAnswer, LoggedRequest, Request, RowCopier};

/// Records the predictions of one scorer, or events, for a [`ServingLog`](super::ServingLog). For one thread at a time.
///
/// When it is dropped, what it recorded is still written. When its log is dropped, it records nothing any more.
#[derive(Debug)]
pub struct LogRing {
    /// Copies the requests of the scorer; nothing for events.
    copier: Option<Arc<RowCopier>>,
    recorder: Recorder,
}

/// What all records of a ring go through.
#[derive(Debug)]
struct Recorder {
    queue: Queue,
    /// Whether the scorer follows a store.
    is_live: bool,
    /// The arms of the scorer's experiment.
    registry: Option<Arc<Registry>>,
    /// The hash of the request whose details were recorded last.
    detailed: Option<PredictionId>,
}

/// Gives records to the writer.
#[derive(Debug)]
struct Queue {
    shared: Arc<Shared>,
    producer: Producer,
    allowance: Allowance,
    opened: Instant,
}

impl LogRing {
    pub(super) fn new(
        shared: Arc<Shared>,
        producer: Producer,
        copier: Option<Arc<RowCopier>>,
        (is_live, registry): (bool, Option<Arc<Registry>>),
    ) -> Self {
        let allowance = Allowance::new(shared.options.fallbacks_per_second);
        let queue = Queue { shared, producer, allowance, opened: Instant::now() };
        let recorder = Recorder { queue, is_live, registry, detailed: None };
        Self { copier, recorder }
    }

    /// Records that candidate `candidate` of `request` was used, after the predict that scored it and before the
    /// request is cleared. If the request is in the sample of details, the first such call also records its details.
    ///
    /// # Errors
    ///
    /// Returns [`Error::RecordInvalid`] for what cannot be recorded, such as a candidate without an answer, and
    /// [`Error::InvalidArgument`] for a request of another layout. Such a record is counted as dropped. A record that
    /// is dropped for another reason is no error: see [`Recorded`].
    pub fn record(&mut self, request: &mut Request, candidate: usize, served: &Served<'_>) -> Result<Recorded, Error> {
        let checked = match &self.copier {
            Some(copier) => request.check_layout(copier.layout()),
            None => Err(Error::RecordInvalid { what: "the ring of a scorer: this one is for events" }),
        };
        if let Err(error) = checked {
            self.recorder.queue.invalid();
            return Err(error);
        }
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed
        // mutably.
        unsafe { self.record_block(request.block_address(), candidate, served) }
    }

    /// Records a prediction like [`LogRing::record`], from a request in raw memory. C and the JVM use this call.
    ///
    /// # Errors
    ///
    /// Fails like [`LogRing::record`], and for a block like [`Scorer::predict_block`](crate::Scorer::predict_block).
    ///
    /// # Safety
    ///
    /// The caller must keep the promises of [`Scorer::predict_block`](crate::Scorer::predict_block), for the layout of
    /// the ring's scorer.
    pub unsafe fn record_block(
        &mut self,
        block: *mut u8,
        candidate: usize,
        served: &Served<'_>,
    ) -> Result<Recorded, Error> {
        let outcome = match &self.copier {
            Some(copier) => {
                // SAFETY: the caller's promise.
                let request = unsafe { copier.request(block) };
                self.recorder.record(copier.layout(), request, candidate, served)
            }
            None => Err(Error::RecordInvalid { what: "the ring of a scorer: this one is for events" }),
        };
        if outcome.is_err() {
            self.recorder.queue.invalid();
        }
        outcome
    }

    /// Counts a record that a caller of another language described in a way that cannot be meant.
    pub(crate) fn count_invalid(&self) {
        self.recorder.queue.invalid();
    }

    /// Records something that happened to a prediction. Any ring takes events.
    ///
    /// # Errors
    ///
    /// None now; later versions may refuse what cannot be meant.
    pub fn event(&mut self, event: &Event) -> Result<Recorded, Error> {
        let at_unix_ms = event.at_unix_ms.unwrap_or_else(now_unix_ms);
        if matches!(event.kind, EventKind::Impression | EventKind::Click) {
            let id = event.prediction_id.half();
            self.recorder.queue.shared.watches().for_each(|it| it.happened(id, event.kind == EventKind::Click));
        }
        Ok(self.recorder.queue.put(false, |words, sequence| {
            put_event(words, (sequence, at_unix_ms), &event.prediction_id, event.kind as u8, event.money)
        }))
    }
}

impl Recorder {
    fn record(
        &mut self,
        layout: &RequestLayout,
        request: Result<LoggedRequest<'_>, Error>,
        candidate: usize,
        served: &Served<'_>,
    ) -> Result<Recorded, Error> {
        let invalid = |what| Err(Error::RecordInvalid { what });
        served.check()?;
        if served.model >= layout.model_count() {
            return invalid("one of the models of the scorer");
        }
        if served.model > 0 && self.registry.is_some() {
            return invalid("model 0 of an experiment: the ring itself records what shadows said");
        }
        // A request that predict refuses cannot be read here either, but the server has served something.
        let request = match request {
            Err(error) if served.source != Source::Refused => return Err(error),
            request => request.ok(),
        };
        let request = request.as_ref();
        let is_answered = request.is_some_and(LoggedRequest::is_answered);
        let count = request.map_or(0, LoggedRequest::candidate_count);
        let is_unscored = served.source != Source::Model && !is_answered;
        if candidate >= count && !(is_unscored && candidate < layout.capacity().candidates) {
            return invalid("a candidate of the request");
        }
        let answer = request.and_then(|request| request.answer(served.model, candidate));
        let is_scored = answer.is_some_and(|answer| answer.status == CandidateStatus::Scored.number());
        if served.source == Source::Model && !is_scored {
            return invalid("a candidate that the model scored, or another source");
        }
        if is_scored && matches!(served.source, Source::Late | Source::Refused) {
            return invalid("the model as the source of a candidate that it scored");
        }
        let is_fallback = answer.is_some_and(|answer| answer.is_fallback);
        if is_scored && is_fallback && served.source == Source::Model {
            return invalid("the source off or no_model for an answer of the fallback file");
        }
        // The model of any other scorer may well be the server's fallback.
        if is_scored && self.is_live && !is_fallback && served.source != Source::Model {
            return invalid("the model as the source of a candidate that it scored");
        }
        if is_scored && served.own_probability.is_some() {
            return invalid("no probability of the server's own for a candidate that was scored");
        }
        let options = &self.queue.shared.options;
        let place = short_sample_place(options.salt, served.request_id.as_bytes());
        let is_detailed = place < options.details_per_million && is_answered;
        if place >= options.predictions_per_million && !is_detailed {
            self.queue.ring().asked.sampled_out();
            return Ok(Recorded::SampledOut);
        }
        // Texts and counts were checked; no request has more candidates than a u32 holds.
        let [candidate, count] = [candidate, count].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let at_unix_ms = served.at_unix_ms.unwrap_or_else(now_unix_ms);
        let mut facts = Facts::new(served, 0, at_unix_ms, candidate, count);
        if let Some(answer) = &answer {
            facts.answered(answer);
        }
        let request_id = served.request_id.as_bytes();
        let mut recorded = Recorded::SampledOut;
        if place < options.predictions_per_million {
            let (experiment, arm) = match &self.registry {
                Some(registry) => names(registry, answer.as_ref(), &mut facts),
                None => (served.experiment, served.arm),
            };
            let texts = [served.request_id, served.impression, experiment, arm].map(str::as_bytes);
            let is_limited = served.source != Source::Model;
            recorded = self.queue.put(is_limited, |words, sequence| {
                facts.sequence = sequence;
                put_prediction(words, &facts, texts, request)
            });
            if let (Some(registry), Some(request)) = (&self.registry, request)
                && is_scored
            {
                if recorded == Recorded::Queued {
                    watch(registry, answer.as_ref(), || {
                        PredictionId::of_checked(request_id, served.impression.as_bytes(), candidate)
                    });
                }
                record_shadows(&mut self.queue, registry, &facts, texts, request);
            }
        } else {
            self.queue.ring().asked.sampled_out();
        }
        if let Some(request) = request.filter(|_| is_detailed) {
            // Two requests with one id in a row are two predictions of one request.
            let this = PredictionId::of_checked(request_id, &[], 0);
            if self.detailed.replace(this) != Some(this) {
                self.queue.put(false, |words, sequence| {
                    facts.sequence = sequence;
                    put_detail(words, &facts, request_id, request)
                });
            }
        }
        Ok(recorded)
    }
}

impl Queue {
    /// Gives a record its sequence number, and lets `put` write it into the ring.
    fn put(&mut self, is_limited: bool, mut put: impl FnMut(&mut [u64], u64) -> Result<usize, usize>) -> Recorded {
        let sequence = self.ring().asked.take_sequence();
        let reason = if !self.shared.is_open() {
            DropReason::Closed
        } else if is_limited && !self.allowance.take(self.opened.elapsed()) {
            DropReason::RateLimited
        } else {
            match self.producer.push(|words| put(words, sequence)) {
                Ok(()) => return Recorded::Queued,
                Err(NotPushed::Full) => DropReason::RingFull,
                Err(NotPushed::TooLarge) => DropReason::TooLarge,
            }
        };
        self.ring().asked.dropped(reason);
        Recorded::Dropped(reason)
    }

    /// Counts a record that cannot be made.
    #[cold]
    fn invalid(&self) {
        self.ring().asked.take_sequence();
        self.ring().asked.dropped(DropReason::Invalid);
    }

    fn ring(&self) -> &Ring {
        self.producer.ring()
    }
}

/// Lets the guard of an experiment wait for the events of a prediction.
fn watch(registry: &Registry, answer: Option<&CopiedAnswer>, id: impl FnOnce() -> PredictionId) {
    let (Some(watch), Some(answer)) = (registry.watch(), answer.filter(|answer| !answer.is_fallback)) else { return };
    if let Some(arm) = answer.armed.filter(|armed| armed.bucket.is_some()) {
        watch.predicted(id().half(), arm.arm, answer.generation, answer.probability);
    }
}

/// Records what shadows said of the candidate of a prediction.
fn record_shadows(
    queue: &mut Queue,
    registry: &Registry,
    facts: &Facts,
    texts: Texts<'_>,
    request: &LoggedRequest<'_>,
) {
    for result in 1..request.result_count() {
        let answer = request.answer(result, facts.candidate as usize);
        let is_scored = |it: &CopiedAnswer| it.armed.is_some() && it.status == CandidateStatus::Scored.number();
        let Some(answer) = answer.filter(|answer| is_scored(answer) && !answer.is_fallback) else { continue };
        let mut facts = facts.of_shadow(result);
        facts.answered(&answer);
        let (experiment, arm) = names(registry, Some(&answer), &mut facts);
        let texts = [texts[0], texts[1], experiment.as_bytes(), arm.as_bytes()];
        queue.put(false, |words, sequence| {
            facts.sequence = sequence;
            put_prediction(words, &facts, texts, Some(request))
        });
    }
}

/// Returns the names of the experiment and of the arm that gave an answer, and sets its bucket. A request that belongs
/// to no arm has neither.
fn names<'a>(registry: &'a Registry, answer: Option<&CopiedAnswer>, facts: &mut Facts) -> (&'a str, &'a str) {
    facts.bucket = NOT_GIVEN;
    let armed = answer.filter(|answer| !answer.is_fallback).and_then(|answer| answer.armed);
    let Some((bucket, arm)) = armed.and_then(|armed| Some((armed.bucket?, registry.get(armed.arm)?))) else {
        return ("", "");
    };
    facts.bucket = bucket;
    let RegisteredArm { experiment, name, .. } = arm;
    (experiment, name)
}
