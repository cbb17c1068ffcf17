//! The calls of a request thread. They never lock, allocate or wait, no matter what the background thread does.

use std::array;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use super::seat::{Seat, Serving};
use crate::error::Error;
use crate::request::{MAX_MODELS, RequestLayout};
use crate::score::{
    ALL_FILLED, CandidateSet, Explanation, Model, ModelIdentity, Request, RequestCounts, Scorer, Shadow, TimeLimit,
    check_request, forget_answers, note_fallback,
};

/// Scores requests with the generation that a [`LiveModel`](super::LiveModel) serves. One generation scores the whole
/// request; the first request after a swap is scored by the new one. For one thread at a time.
///
/// When its live model is dropped, the scorer continues with the generation that it has.
#[derive(Debug)]
pub struct LiveScorer {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
}

/// A live scorer whose generation may score a request together with that of another one, from the same feature keys.
pub(crate) struct LiveShadow<'a> {
    pub(crate) scorer: &'a LiveScorer,
    /// Which result of the request it gives.
    pub(crate) result: usize,
    pub(crate) time_limit: Option<TimeLimit>,
    /// How long it took, if it scored the request.
    pub(crate) took: Cell<Option<Duration>>,
}

/// The generations of a live model: the one that answers, and those that answered recently.
#[derive(Debug, Clone)]
pub(crate) struct Generations(Arc<Shared>);

impl Generations {
    pub(super) const fn of(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Returns what a log says about a generation.
    pub(crate) fn identity(&self, generation: u64) -> Option<Arc<ModelIdentity>> {
        self.0.identity(generation)
    }

    /// Returns what a log says about the latest generation.
    pub(crate) fn latest(&self) -> Option<Arc<ModelIdentity>> {
        self.0.lock(&self.0.seats)?.recent.last().map(Arc::clone)
    }

    /// Returns the fallback, and what a log says about it.
    pub(crate) fn fallback(&self) -> Option<&(Arc<Model>, Arc<ModelIdentity>)> {
        self.0.fallback.as_ref()
    }

    /// Forgets the models of a live model that was dropped. What a log says about them stays.
    pub(crate) fn let_go(&self) {
        self.0.let_go();
    }

    /// Returns the generation that answers.
    pub(crate) fn served(&self) -> Option<Arc<Model>> {
        self.0.lock(&self.0.seats)?.served.clone()
    }
}

impl LiveScorer {
    pub(super) const fn new(shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
        Self { shared, seat }
    }

    /// Returns the generations that its answers come from, for a log that may outlive it.
    pub(crate) fn generations(&self) -> Generations {
        Generations::of(Arc::clone(&self.shared))
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

    /// Scores the first `candidate_count` candidates of `request`, like [`Scorer::predict`]. The outcome in the request
    /// names the generation that answered.
    ///
    /// # Errors
    ///
    /// Returns [`Error::SwitchedOff`] or [`Error::NoModel`] if the caller must answer by its own means, and
    /// [`Error::ScorerBusy`] if another thread uses this scorer. Otherwise fails like [`Scorer::predict`].
    pub fn predict(&self, request: &mut Request, candidate_count: usize) -> Result<(), Error> {
        self.predict_within(request, candidate_count, None)
    }

    /// Scores the candidates that `request` was given since it was cleared, like [`Scorer::predict_filled`].
    ///
    /// # Errors
    ///
    /// Fails like [`LiveScorer::predict`].
    pub fn predict_filled(&self, request: &mut Request) -> Result<(), Error> {
        self.predict_within(request, ALL_FILLED, None)
    }

    /// Scores the first `candidate_count` candidates of `request` within the time `budget`, like
    /// [`Scorer::predict_within`].
    ///
    /// # Errors
    ///
    /// Fails like [`LiveScorer::predict`].
    pub fn predict_within(
        &self,
        request: &mut Request,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        request.forget_answers();
        request.check_layout(&self.seat.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns an aligned block of this layout, of the layout's length, and is borrowed mutably.
        unsafe { self.predict_block(block, candidate_count, budget) }
    }

    /// Scores the first `candidate_count` candidates of a request in raw memory. C and the JVM use this call.
    ///
    /// # Errors
    ///
    /// Fails like [`LiveScorer::predict`] and [`Scorer::predict_block`]. Returns [`Error::Panic`] for a defect in the
    /// library; the panic is caught here, so that the generation on trial is blamed for it.
    ///
    /// # Safety
    ///
    /// The caller must keep the promises of [`Scorer::predict_block`].
    pub unsafe fn predict_block(
        &self,
        block: *mut u8,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.predict_with_shadows(block, candidate_count, budget, &[]) }
    }

    /// Scores like [`predict_block`](Self::predict_block), together with those of `shadows` whose generations make the
    /// same feature keys. The layouts are of the same blocks. Each shadow counts what it does; what it took is noted in
    /// it, and is not counted as time of this scorer.
    ///
    /// # Errors
    ///
    /// Fails like [`predict_block`](Self::predict_block).
    ///
    /// # Safety
    ///
    /// The caller must keep the promises of [`Scorer::predict_block`].
    pub(crate) unsafe fn predict_with_shadows(
        &self,
        block: *mut u8,
        candidate_count: usize,
        budget: Option<Duration>,
        shadows: &[Option<LiveShadow<'_>>],
    ) -> Result<(), Error> {
        if self.shared.is_off.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise.
            unsafe { check_request(block, &self.seat.layout, candidate_count) }?;
            self.seat.counters.off();
            return Err(Error::SwitchedOff);
        }
        let started = Instant::now();
        let Some(serving) = self.seat.slot.claim() else {
            self.seat.counters.busy();
            // SAFETY: the caller's promise.
            unsafe { forget_answers(block, self.seat.layout.offsets().len_bytes) };
            return Err(Error::ScorerBusy);
        };
        let predict = || match &*serving {
            Serving::Nothing => {
                // SAFETY: the caller's promise.
                unsafe { check_request(block, &self.seat.layout, candidate_count) }?;
                Err(Error::NoModel)
            }
            Serving::Model(scorer) => {
                // SAFETY: the caller's promise.
                let score = |shadows: &[Option<Shadow<'_>>]| unsafe {
                    scorer.predict_counting(block, candidate_count, budget, shadows)
                };
                let counts = if shadows.is_empty() { score(&[]) } else { with_shadows(scorer, shadows, score) }?;
                let scored = shadows.iter().flatten().filter(|shadow| shadow.took.get().is_some());
                let scored = scored.map(|shadow| shadow.scorer);
                for LiveScorer { seat, .. } in std::iter::once(self).chain(scored) {
                    // SAFETY: as above.
                    unsafe { seat.sample.offer(block, &seat.layout, candidate_count) };
                }
                Ok(counts)
            }
        };
        // Each request initializes the scratch memory of its scorer again, so a panic leaves nothing behind in it.
        let outcome = catch_unwind(AssertUnwindSafe(predict));
        if outcome.is_err() && !shadows.is_empty() {
            // Which of the models is to blame shows when each scores the request alone.
            shadows.iter().flatten().for_each(|shadow| shadow.took.set(None));
            drop(serving);
            // SAFETY: the caller's promise.
            return unsafe { self.predict_block(block, candidate_count, budget) };
        }
        let shadows_took: Duration = shadows.iter().flatten().filter_map(|shadow| shadow.took.get()).sum();
        match outcome.unwrap_or_else(|panic| Err(Error::from_panic(panic.as_ref()))) {
            Ok(counts) => {
                self.seat.counters.scored(counts, started.elapsed().saturating_sub(shadows_took));
                Ok(())
            }
            Err(error) => {
                self.seat.counters.failed(error.code());
                Err(error)
            }
        }
    }

    /// Scores the first `candidate_count` candidates of `request` with the [fallback
    /// file](super::LiveOptions::fallback_file): a second call, for a server that got [`Error::SwitchedOff`] or
    /// [`Error::NoModel`] from [`predict`](Self::predict) and has no answer of its own. The outcome in the request names
    /// the generation of the fallback file, whose logic id is that of [`fallback`](Self::fallback): log it, so that
    /// these answers are never taken for those of the served model. A
    /// [`LogRing`](crate::serving_log::LogRing) does so. With [`ALL_FILLED`] as the count, scores the
    /// candidates that the request was given.
    ///
    /// It answers independently of the store and its orders, even when scoring is on. It never waits or allocates.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoModel`] if the options have no fallback file. Otherwise fails like [`Scorer::predict`].
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
    /// Fails like [`LiveScorer::predict_fallback`] and [`Scorer::predict_block`]. Returns [`Error::Panic`] for a defect
    /// in the library; the panic is caught here.
    ///
    /// # Safety
    ///
    /// The caller must keep the promises of [`Scorer::predict_block`].
    pub unsafe fn predict_fallback_block(&self, block: *mut u8, candidate_count: usize) -> Result<(), Error> {
        let Some(scorer) = &self.seat.fallback else {
            // SAFETY: the caller's promise.
            unsafe { check_request(block, &self.seat.layout, candidate_count) }?;
            return Err(Error::NoModel);
        };
        let predict = || {
            // SAFETY: the caller's promise.
            unsafe { scorer.predict_block(block, candidate_count, None) }?;
            // SAFETY: as above.
            unsafe { note_fallback(block, &self.seat.layout) }
        };
        let outcome = catch_unwind(AssertUnwindSafe(predict));
        outcome.unwrap_or_else(|panic| Err(Error::from_panic(panic.as_ref())))?;
        self.seat.counters.fallback();
        Ok(())
    }

    /// Returns the model of the fallback file, or `None` if the options have none.
    #[must_use]
    pub fn fallback(&self) -> Option<&Arc<Model>> {
        self.shared.fallback.as_ref().map(|(model, _)| model)
    }

    /// Returns the logic id of a generation that answers or answered recently, even after the live model is dropped.
    /// May wait for the background thread while that swaps generations: cache the id, and ask again only when the
    /// generation changes.
    #[must_use]
    pub fn logic_id(&self, generation: u64) -> Option<Arc<str>> {
        self.shared.logic_id(generation)
    }

    /// Explains the probability of candidate `candidate` of `request`, like [`Scorer::explain`]. Allocates, so do not
    /// call it on the request path.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoModel`] if no generation is served. Otherwise fails like [`Scorer::explain`].
    pub fn explain(&self, request: &mut Request, candidate: usize) -> Result<Explanation, Error> {
        self.with_scorer(|scorer| scorer.explain(request, candidate))
    }

    /// Explains the probability of a candidate of a request in raw memory, like [`Scorer::explain_block`].
    ///
    /// # Errors
    ///
    /// Fails like [`LiveScorer::explain`] and [`Scorer::explain_block`].
    ///
    /// # Safety
    ///
    /// The caller must keep the promises of [`Scorer::predict_block`].
    pub unsafe fn explain_block(&self, block: *mut u8, candidate: usize) -> Result<Explanation, Error> {
        // SAFETY: the caller's promise.
        self.with_scorer(|scorer| unsafe { scorer.explain_block(block, candidate) })
    }

    fn with_scorer<T>(&self, body: impl FnOnce(&Scorer) -> Result<T, Error>) -> Result<T, Error> {
        let serving = self.seat.slot.claim().ok_or(Error::ScorerBusy)?;
        match &*serving {
            Serving::Nothing => Err(Error::NoModel),
            Serving::Model(scorer) => body(scorer),
        }
    }
}

/// Lets `score` run with the generations of those shadows that can join `scorer`, and notes what each of them did.
fn with_shadows(
    scorer: &Scorer,
    shadows: &[Option<LiveShadow<'_>>],
    score: impl FnOnce(&[Option<Shadow<'_>>]) -> Result<RequestCounts, Error>,
) -> Result<RequestCounts, Error> {
    // No more than the results of a request, of which the first is that of `scorer`.
    let claims: [_; MAX_MODELS - 1] = array::from_fn(|place| {
        let LiveScorer { shared, seat } = shadows.get(place)?.as_ref()?.scorer;
        if shared.is_off.load(Ordering::Relaxed) { None } else { seat.slot.claim() }
    });
    let joined: [_; MAX_MODELS - 1] = array::from_fn(|place| {
        let Serving::Model(model) = &**claims[place].as_ref()? else { return None };
        let LiveShadow { result, time_limit, .. } = shadows[place].as_ref()?;
        model.shadow_of(scorer, *result, *time_limit)
    });
    let counts = score(&joined)?;
    for (shadow, joined) in shadows.iter().zip(&joined) {
        if let (Some(shadow), Some(joined)) = (shadow, joined) {
            shadow.scorer.seat.counters.scored(joined.counts(), joined.took());
            shadow.took.set(Some(joined.took()));
        }
    }
    Ok(counts)
}
