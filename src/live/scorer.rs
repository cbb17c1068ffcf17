//! The calls of a request's thread: no lock, no allocation, no wait, whatever the background thread does meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use super::seat::{Seat, Serving};
use crate::error::Error;
use crate::request::RequestLayout;
use crate::score::{Explanation, Request, Scorer};

/// Scores requests with whatever generation a [`LiveModel`](super::LiveModel) serves: the next request after a swap is scored by
/// the new one, and each request by one throughout. For one thread at a time.
///
/// It goes on with the generation that it has when its live model is dropped.
#[derive(Debug)]
pub struct LiveScorer {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
}

impl LiveScorer {
    pub(super) const fn new(shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
        Self { shared, seat }
    }

    /// The layout of the requests.
    #[must_use]
    pub fn layout(&self) -> &RequestLayout {
        &self.seat.layout
    }

    /// An empty request of this scorer's layout.
    #[must_use]
    pub fn new_request(&self) -> Request {
        Request::new(&self.seat.layout)
    }

    /// Scores the first `candidate_count` candidates of `request`, as [`Scorer::predict`] does. The outcome in the request says which
    /// generation answered.
    ///
    /// # Errors
    ///
    /// [`Error::SwitchedOff`] or [`Error::NoModel`]: the caller answers by its own means; and as [`Scorer::predict`].
    pub fn predict(&self, request: &mut Request, candidate_count: usize) -> Result<(), Error> {
        self.predict_within(request, candidate_count, None)
    }

    /// The same with a time limit: see [`Scorer::predict_within`].
    ///
    /// # Errors
    ///
    /// As [`LiveScorer::predict`].
    pub fn predict_within(
        &self,
        request: &mut Request,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        request.check_layout(&self.seat.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed mutably.
        unsafe { self.predict_block(block, candidate_count, budget) }
    }

    /// The same over a block of raw memory: the call behind C and the JVM.
    ///
    /// # Errors
    ///
    /// As [`LiveScorer::predict`] and [`Scorer::predict_block`]; [`Error::Panic`] for a defect in the library, which is caught here
    /// so that a generation on trial can be blamed for it.
    ///
    /// # Safety
    ///
    /// As [`Scorer::predict_block`].
    pub unsafe fn predict_block(
        &self,
        block: *mut u8,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        if self.shared.is_off.load(Ordering::Relaxed) {
            self.seat.counters.off();
            return Err(Error::SwitchedOff);
        }
        let started = Instant::now();
        let Some(serving) = self.seat.slot.claim() else {
            self.seat.counters.busy();
            return Err(Error::ScorerBusy);
        };
        let predict = || match &*serving {
            Serving::Nothing => Err(Error::NoModel),
            Serving::Model(scorer) => {
                // SAFETY: the caller's promise.
                unsafe { scorer.predict_block(block, candidate_count, budget) }?;
                // SAFETY: as above, and the predict has checked the block.
                let counts = unsafe { scorer.counts_in_block(block) }?;
                // SAFETY: as above.
                unsafe { self.seat.sample.offer(block, &self.seat.layout, candidate_count) };
                Ok(counts)
            }
        };
        // The scratch memory of a scorer is made anew with each request, so that a panic leaves nothing behind in it.
        let outcome = catch_unwind(AssertUnwindSafe(predict));
        match outcome.unwrap_or_else(|panic| Err(Error::from_panic(panic.as_ref()))) {
            Ok(counts) => {
                self.seat.counters.scored(counts, started.elapsed());
                Ok(())
            }
            Err(error) => {
                self.seat.counters.failed(error.code());
                Err(error)
            }
        }
    }

    /// Name of the serving logic of a generation that answers, or did lately, also once the live model is gone. Waits for the
    /// background thread where that changes generations just then: keep the name, and ask again when the generation is another one.
    #[must_use]
    pub fn logic_id(&self, generation: u64) -> Option<Arc<str>> {
        self.shared.logic_id(generation)
    }

    /// Why candidate `candidate` of `request` gets its probability: see [`Scorer::explain`]. Allocates; not for the request path.
    ///
    /// # Errors
    ///
    /// As [`Scorer::explain`], and [`Error::NoModel`].
    pub fn explain(&self, request: &mut Request, candidate: usize) -> Result<Explanation, Error> {
        self.with_scorer(|scorer| scorer.explain(request, candidate))
    }

    /// The same over a block of raw memory.
    ///
    /// # Errors
    ///
    /// As [`LiveScorer::explain`] and [`Scorer::explain_block`].
    ///
    /// # Safety
    ///
    /// As [`Scorer::predict_block`].
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
