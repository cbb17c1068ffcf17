//! Scoring: a verified model, bound to the fields that a server supplies, answers requests without allocating or
//! locking.
//!
//! [`Model`] is immutable and shared; [`Scorer`] is a model bound to one request layout, with the scratch memory of one
//! thread; [`Request`] owns a request block and fills it. The kernel scores in batches; a plain twin stands beside it, and
//! one property suite runs over both.
//!
//! # Limits
//!
//! A scorer serves one thread at a time: a second caller gets [`Error::ScorerBusy`] and no wait.

mod block;
mod explain;
mod kernel;
mod model;
mod plain;
mod plan;
mod request;

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use explain::{Contribution, Explanation};
#[cfg(feature = "train")]
pub(crate) use model::tail_len_bytes;
pub use model::{GoldenReport, Model};
pub use request::{Answer, Counts, Request, RowMut};

use block::Block;
use kernel::Scratch;
use plan::Plan;

use crate::error::Error;
use crate::instructions::Instructions;
use crate::schema::RequestLayout;

/// A model bound to a request layout, with the scratch memory of one thread.
///
/// It keeps its own reference to the model: dropping or replacing the model elsewhere never touches a scorer at work.
#[derive(Debug)]
pub struct Scorer {
    model: Arc<Model>,
    layout: RequestLayout,
    plan: Plan,
    instructions: Instructions,
    busy: AtomicBool,
    scratch: UnsafeCell<Scratch>,
}

// SAFETY: `scratch` is the only field that is not `Sync`, and it is only reached through `Claim`, of which `busy` lets one
// exist at a time.
unsafe impl Sync for Scorer {}

/// Exclusive use of a scorer's scratch memory; given back on drop, also when a panic unwinds.
struct Claim<'a>(&'a Scorer);

impl<'a> Claim<'a> {
    fn take(scorer: &'a Scorer) -> Result<Self, Error> {
        if scorer.busy.swap(true, Ordering::Acquire) {
            return Err(Error::ScorerBusy);
        }
        Ok(Self(scorer))
    }

    fn scratch(&mut self) -> &mut Scratch {
        // SAFETY: `busy` was false when this claim was taken and stays true until it is dropped, so no other reference
        // to the scratch memory exists; `&mut self` keeps this one unique.
        unsafe { &mut *self.0.scratch.get() }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

impl Scorer {
    /// Binds `model` to requests of `layout`.
    ///
    /// # Errors
    ///
    /// [`Error::FieldMissing`] or [`Error::FieldMismatch`], naming the field, if the model needs what the layout's schema does not
    /// declare, or declares otherwise.
    pub fn new(model: Arc<Model>, layout: &RequestLayout) -> Result<Self, Error> {
        Self::with_instructions(model, layout, Instructions::detect())
    }

    /// The same with a chosen set of instructions, for tests and benchmarks.
    ///
    /// # Errors
    ///
    /// As [`Scorer::new`].
    pub fn with_instructions(
        model: Arc<Model>,
        layout: &RequestLayout,
        instructions: Instructions,
    ) -> Result<Self, Error> {
        let plan = Plan::bind(model.contract(), layout.schema())?;
        let scratch = UnsafeCell::new(Scratch::new(&plan));
        Ok(Self { model, layout: layout.clone(), plan, instructions, busy: AtomicBool::new(false), scratch })
    }

    /// The model that answers.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The layout of the requests.
    #[must_use]
    pub const fn layout(&self) -> &RequestLayout {
        &self.layout
    }

    /// An empty request of this scorer's layout.
    #[must_use]
    pub fn new_request(&self) -> Request {
        Request::new(&self.layout)
    }

    /// Scores the first `candidate_count` candidates of `request` and writes an answer for each of them, and the counts.
    /// Allocates nothing and waits for nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCandidates`], [`Error::ScorerBusy`], [`Error::ContextMalformed`], or [`Error::InvalidArgument`] for a
    /// request of another layout. No answer has been written then. A malformed candidate is no error: its answer says so.
    pub fn predict(&self, request: &mut Request, candidate_count: usize) -> Result<(), Error> {
        request.check_layout(&self.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed mutably.
        unsafe { self.predict_block(block, candidate_count) }
    }

    /// The same over a block of raw memory: the call behind C and the JVM.
    ///
    /// # Errors
    ///
    /// As [`Scorer::predict`], and [`Error::NullArgument`], [`Error::Misaligned`], [`Error::LayoutVersion`] or [`Error::TailFull`]
    /// for a block that is null, misaligned, of another layout version, or that claims more tail than it has. None of
    /// them allocates.
    ///
    /// # Safety
    ///
    /// `block` is null, or points to memory that can be read and written for `layout().offsets().len_bytes` bytes during the call.
    /// Other threads may write it meanwhile without harm to the process, but the answers are meaningless then.
    pub unsafe fn predict_block(&self, block: *mut u8, candidate_count: usize) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(block, &self.layout) }?;
        self.check_count(candidate_count)?;
        let mut claim = Claim::take(self)?;
        kernel::predict(&self.model, &self.plan, self.instructions, &block, candidate_count, claim.scratch())
    }

    /// The same by the plain twin: one candidate at a time, allocating, obviously right. For tests.
    ///
    /// # Errors
    ///
    /// As [`Scorer::predict`].
    pub fn predict_plain(&self, request: &mut Request, candidate_count: usize) -> Result<(), Error> {
        request.check_layout(&self.layout)?;
        self.check_count(candidate_count)?;
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed mutably.
        let block = unsafe { Block::new(request.block_address(), &self.layout) }?;
        plain::predict(&self.model, &self.plan, &block, candidate_count)
    }

    /// Why candidate `candidate` of `request` gets its probability: the weight of each of its features. Allocates; not for the
    /// serving path.
    ///
    /// # Errors
    ///
    /// As [`Scorer::predict`]; [`Error::InvalidArgument`] if the candidate's row is malformed.
    pub fn explain(&self, request: &mut Request, candidate: usize) -> Result<Explanation, Error> {
        request.check_layout(&self.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed mutably.
        unsafe { self.explain_block(block, candidate) }
    }

    /// The same over a block of raw memory.
    ///
    /// # Errors
    ///
    /// As [`Scorer::explain`] and [`Scorer::predict_block`].
    ///
    /// # Safety
    ///
    /// As [`Scorer::predict_block`].
    pub unsafe fn explain_block(&self, block: *mut u8, candidate: usize) -> Result<Explanation, Error> {
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(block, &self.layout) }?;
        self.check_count(candidate.saturating_add(1))?;
        explain::explain(&self.model, &self.plan, &block, candidate)
    }

    fn check_count(&self, candidate_count: usize) -> Result<(), Error> {
        let capacity = self.layout.capacity().candidates;
        if candidate_count > capacity {
            return Err(Error::TooManyCandidates { expected: capacity as u64, found: candidate_count as u64 });
        }
        Ok(())
    }
}
