//! The calls of a request thread. They never lock, allocate or wait, whatever the background threads do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buckets::{Purpose, bucket_of, draw};
use super::explore::{Choice, Exploration, choose};
use super::registry::Registry;
use super::seat::{Seat, SeatedArm, UnitPlace, count};
use super::shadows::{Asked, Shadows, Time};
use super::shared::Shared;
use crate::error::Error;
use crate::feature::text_value;
use crate::request::RequestLayout;
use crate::score::{
    ALL_FILLED, Armed, ArmedRequest, CandidateSet, Explanation, Request, check_request, forget_answers,
};

/// Longest request id, in bytes: that of the serving log.
const MAX_REQUEST_ID_LEN_BYTES: usize = 128;

/// Scores requests with the arm of their unit. One generation of one arm, under one version of the file, answers a
/// whole request. For one thread at a time.
///
/// When its experiment is dropped, the scorer continues with the arms and generations that it has.
#[derive(Debug)]
pub struct ExperimentScorer {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Answered {
    /// The generation that answered.
    pub generation: u64,
    /// The number of the arm that answered, in this process: see [`ExperimentScorer::arm`].
    pub arm: u16,
    /// The bucket of the request's unit; `None` if the unit has no value. Such a request belongs to no arm.
    pub bucket: Option<u32>,
    /// Whether the control arm answered.
    pub is_control: bool,
    /// Whether the control arm answered because the arm of the unit could not.
    pub fell_back: bool,
    /// Number of shadows that scored the request.
    pub shadow_count: u32,
    /// The version of the file.
    pub version: u64,
    /// Salt of the experiment.
    pub salt: u64,
    /// How requests explore; `None` if they always take the best candidate.
    pub exploration: Option<Exploration>,
}

impl Answered {
    /// Chooses one of the candidates by the policy under which the request was answered: see [`choose`].
    ///
    /// # Errors
    ///
    /// Fails like [`choose`].
    pub fn choose(&self, request_id: &str, utilities: &[f64]) -> Result<Option<Choice>, Error> {
        choose(self.exploration.as_ref(), self.salt, request_id, utilities)
    }
}

impl ExperimentScorer {
    pub(super) const fn new(shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
        Self { shared, seat }
    }

    /// Returns the arms that may have answered, for a log that may outlive the scorer.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    /// Returns the set that its layout's indices refer to.
    pub(crate) fn candidate_set(&self) -> Option<&Arc<CandidateSet>> {
        self.seat.candidates.as_ref()
    }

    /// Returns the layout of its requests.
    #[must_use]
    pub fn layout(&self) -> &RequestLayout {
        &self.seat.layout
    }

    /// Creates an empty request of this scorer's layout.
    #[must_use]
    pub fn new_request(&self) -> Request {
        Request::new(&self.seat.layout)
    }

    /// Returns the names of the experiment and of the arm that answered. Does not wait.
    #[must_use]
    pub fn names(&self, answered: &Answered) -> (&str, &str) {
        self.names_of(u32::from(answered.arm)).unwrap_or_default()
    }

    /// Returns the names of an experiment and of its arm, by the number of the arm.
    pub(crate) fn names_of(&self, arm: u32) -> Option<(&str, &str)> {
        self.shared.registry.get(u16::try_from(arm).ok()?).map(|arm| (&*arm.experiment, &*arm.name))
    }

    /// Returns the logic id of a generation of an arm, by the number of the arm.
    pub(crate) fn logic_id_of(&self, arm: u32, generation: u64) -> Option<Arc<str>> {
        let arm = self.shared.registry.get(u16::try_from(arm).ok()?)?;
        arm.generations.identity(generation).map(|identity| Arc::clone(&identity.logic_id))
    }

    /// Returns the name of the arm that answered. Does not wait.
    #[must_use]
    pub fn arm(&self, answered: &Answered) -> &str {
        self.names(answered).1
    }

    /// Returns the logic id of the generation that answered. May wait for the background thread while that swaps
    /// generations: cache the id by arm and generation.
    #[must_use]
    pub fn logic_id(&self, answered: &Answered) -> Option<Arc<str>> {
        self.logic_id_of(u32::from(answered.arm), answered.generation)
    }

    /// Scores the first `candidate_count` candidates of `request` with the arm of its unit. Then the shadows that the
    /// request id selects score it, too; nothing of that is returned. With [`ALL_FILLED`], scores up to the last
    /// candidate that was filled.
    ///
    /// # Errors
    ///
    /// Returns [`Error::RecordInvalid`] for a request id that does not have 1 to 128 bytes. Otherwise fails like
    /// [`LiveScorer::predict`](crate::live::LiveScorer::predict): with [`Error::NoModel`] or [`Error::SwitchedOff`] if
    /// not even the control arm can answer.
    pub fn predict(&self, request: &mut Request, candidate_count: usize, request_id: &str) -> Result<Answered, Error> {
        self.predict_within(request, candidate_count, request_id, None)
    }

    /// Scores the candidates that `request` was given since it was cleared, like [`predict`](Self::predict).
    ///
    /// # Errors
    ///
    /// Fails like [`predict`](Self::predict).
    pub fn predict_filled(&self, request: &mut Request, request_id: &str) -> Result<Answered, Error> {
        self.predict_within(request, ALL_FILLED, request_id, None)
    }

    /// Scores like [`predict`](Self::predict), within the time `budget`, like
    /// [`Scorer::predict_within`](crate::Scorer::predict_within). A shadow that would probably take longer than the
    /// rest of the budget is skipped, and one that takes longer than expected stops at the next chunk of 256
    /// candidates.
    ///
    /// # Errors
    ///
    /// Fails like [`predict`](Self::predict).
    pub fn predict_within(
        &self,
        request: &mut Request,
        candidate_count: usize,
        request_id: &str,
        budget: Option<Duration>,
    ) -> Result<Answered, Error> {
        request.forget_answers();
        request.check_layout(&self.seat.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns an aligned block of this layout, of the layout's length, and is borrowed mutably.
        unsafe { self.predict_block(block, candidate_count, request_id, budget) }
    }

    /// Scores a request in raw memory, like [`predict_within`](Self::predict_within). C and the JVM use this call.
    ///
    /// # Errors
    ///
    /// Fails like [`predict`](Self::predict) and [`Scorer::predict_block`](crate::Scorer::predict_block).
    ///
    /// # Safety
    ///
    /// The caller must keep the promises of [`Scorer::predict_block`](crate::Scorer::predict_block).
    pub unsafe fn predict_block(
        &self,
        block: *mut u8,
        candidate_count: usize,
        request_id: &str,
        budget: Option<Duration>,
    ) -> Result<Answered, Error> {
        let started = Instant::now();
        let layout = &self.seat.layout;
        // SAFETY: the caller's promise.
        unsafe { forget_answers(block, layout.offsets().len_bytes) };
        if !(1..=MAX_REQUEST_ID_LEN_BYTES).contains(&request_id.len()) {
            // The log could not record it.
            return Err(Error::RecordInvalid { what: "a request id of 1 to 128 bytes" });
        }
        let Some(plan) = self.seat.plan.claim() else {
            return Err(Error::ScorerBusy);
        };
        // SAFETY: the caller's promise.
        let request = unsafe { ArmedRequest::new(block, layout) }?;
        let Some(experiment) = plan.experiment.as_deref() else {
            // SAFETY: the caller's promise.
            unsafe { check_request(block, layout, candidate_count) }?;
            return Err(Error::NoModel);
        };
        let id_value = text_value(request_id.as_bytes());
        let unit = match plan.unit {
            UnitPlace::RequestId => Some(id_value),
            UnitPlace::Field { slot, is_text } => request.context_value(slot, is_text),
        };
        let bucket = unit.map(|unit| bucket_of(draw(experiment.salt, Purpose::Bucket, unit)));
        if bucket.is_none() {
            count(&self.seat.without_unit_count);
        }
        let assigned = bucket.map_or(experiment.control, |bucket| experiment.arm_of(bucket));
        let shadows = Shadows::new(&plan, bucket_of(draw(experiment.salt, Purpose::Shadow, id_value)));
        let asked = Asked { request: &request, block, candidate_count, time: Time { started, budget } };
        // SAFETY: the caller's promise.
        let score = |arm: &SeatedArm| unsafe { shadows.score_with(arm, asked) };
        let (arm, outcome) = match plan.arms.get(assigned).and_then(Option::as_deref) {
            Some(arm) => (Some(arm), score(arm)),
            None => (None, Err(Error::NoModel)),
        };
        if let (Some(arm), Err(Error::NoModel | Error::Panic { .. })) = (arm, &outcome) {
            count(&arm.counts.failed);
        }
        let mut answered_by = (assigned, arm);
        let mut outcome = outcome;
        if assigned != experiment.control && matches!(outcome, Err(Error::NoModel | Error::SwitchedOff)) {
            count(arm.map_or(&self.seat.unready_count, |arm| &arm.counts.fell_back));
            let control = plan.arms.get(experiment.control).and_then(Option::as_deref);
            answered_by = (experiment.control, control);
            outcome = control.map_or(Err(Error::NoModel), score);
        }
        let (index, Some(arm)) = answered_by else {
            // SAFETY: the caller's promise.
            unsafe { check_request(block, layout, candidate_count) }?;
            return Err(Error::NoModel);
        };
        let served = outcome?;
        count(&arm.counts.answered);
        request.note(0, Some(Armed { arm: arm.number, bucket }));
        let generation = request.generation(0);
        // SAFETY: the caller's promise.
        let shadow_count = unsafe { shadows.score_rest(asked, served, bucket, layout.model_count()) };
        Ok(Answered {
            generation,
            arm: arm.number,
            bucket,
            is_control: index == experiment.control,
            fell_back: index != assigned,
            shadow_count,
            version: experiment.version,
            salt: experiment.salt,
            exploration: experiment.exploration,
        })
    }

    /// Scores a request with the fallback file of the options, like
    /// [`LiveScorer::predict_fallback`](crate::live::LiveScorer::predict_fallback). Such an answer belongs to no arm.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoModel`] if the options have no fallback file, or the store of the control arm was never
    /// opened. Otherwise fails like [`Scorer::predict`](crate::Scorer::predict).
    pub fn predict_fallback(&self, request: &mut Request, candidate_count: usize) -> Result<(), Error> {
        request.forget_answers();
        request.check_layout(&self.seat.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns an aligned block of this layout, of the layout's length, and is borrowed mutably.
        unsafe { self.predict_fallback_block(block, candidate_count) }
    }

    /// Scores a request in raw memory with the fallback file, like [`predict_fallback`](Self::predict_fallback).
    ///
    /// # Errors
    ///
    /// Fails like [`predict_fallback`](Self::predict_fallback).
    ///
    /// # Safety
    ///
    /// The caller must keep the promises of [`Scorer::predict_block`](crate::Scorer::predict_block).
    pub unsafe fn predict_fallback_block(&self, block: *mut u8, candidate_count: usize) -> Result<(), Error> {
        let plan = self.seat.plan.claim().ok_or(Error::ScorerBusy)?;
        let control = plan.experiment.as_ref().and_then(|experiment| plan.arms.get(experiment.control)?.as_deref());
        let Some(control) = control else {
            // SAFETY: the caller's promise.
            unsafe { check_request(block, &self.seat.layout, candidate_count) }?;
            return Err(Error::NoModel);
        };
        // SAFETY: the caller's promise.
        unsafe { control.scorer.predict_fallback_block(block, candidate_count) }
    }

    /// Explains the logit that an arm, by its number, gives to a candidate of a request in raw memory, with its current
    /// generation. Allocates, so do not call it on the request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoModel`] if the arm no longer answers. Otherwise fails like
    /// [`LiveScorer::explain_block`](crate::live::LiveScorer::explain_block).
    ///
    /// # Safety
    ///
    /// The caller must keep the promises of [`Scorer::predict_block`](crate::Scorer::predict_block).
    pub(crate) unsafe fn explain_block(
        &self,
        block: *mut u8,
        candidate: usize,
        arm: u16,
    ) -> Result<Explanation, Error> {
        let plan = self.seat.plan.claim().ok_or(Error::ScorerBusy)?;
        let arm = plan.arms.iter().flatten().find(|seated| seated.number == arm).ok_or(Error::NoModel)?;
        // SAFETY: the caller's promise.
        unsafe { arm.scorer.explain_block(block, candidate) }
    }
}
