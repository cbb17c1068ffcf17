//! Scoring: a verified model, bound to the fields that a server supplies, answers requests without allocating or
//! locking.
//!
//! [`Model`] is immutable and shared; [`Scorer`] is one or several models bound to one request layout, with the scratch memory of one
//! thread; [`Request`] owns a request block and fills it. A [`CandidateSet`] holds candidates that were prepared beforehand, so that
//! requests name them by index. The kernel scores in batches; a plain twin stands beside it, and one property suite runs over both.
//!
//! # Limits
//!
//! A scorer serves one thread at a time: a second caller gets [`Error::ScorerBusy`] and no wait.

mod block;
mod candidate_set;
mod explain;
mod kernel;
mod model;
mod plain;
mod plan;
mod request;
mod text;
#[cfg(test)]
mod work_tests;

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use candidate_set::{CandidateSet, MAX_PREPARED_CANDIDATES};
pub use explain::{Contribution, Explanation};
#[doc(hidden)]
pub use model::tail_len_bytes;
pub use model::{GoldenReport, Model};
pub use request::{Answer, Counts, Request, RowMut};

use block::{Block, RowView};
use kernel::{Job, Part, Scratch, TimeLimit};
use plain::Reader;
use plan::KeyPlan;

use crate::error::{Error, RowProblem};
use crate::instructions::Instructions;
use crate::request::{Candidates, RequestLayout, Schema};

/// One or several models bound to a request layout, with the scratch memory of one thread.
///
/// It keeps its own references to the models: dropping or replacing them elsewhere never touches a scorer at work.
#[derive(Debug)]
pub struct Scorer {
    layout: RequestLayout,
    keys: KeyPlan,
    parts: Vec<Part>,
    /// Where the layout's indices point.
    candidates: Option<Arc<CandidateSet>>,
    chunk: usize,
    instructions: Instructions,
    busy: AtomicBool,
    scratch: UnsafeCell<Scratch>,
}

// SAFETY: `scratch` is the only field that is not `Sync`, and it is only reached through `Claim`, of which `busy` lets one
// exist at a time.
unsafe impl Sync for Scorer {}

/// Refuses a model that needs a field which `schema` does not declare, or declares otherwise.
pub(crate) fn check_bind(model: &Model, schema: &Schema) -> Result<(), Error> {
    KeyPlan::bind(std::iter::once(model.contract()), schema).map(|_| ())
}

/// Refuses a set where `layout` wants none, none where it wants one, and one of another schema.
pub(crate) fn check_candidates(layout: &RequestLayout, set: Option<&CandidateSet>) -> Result<(), Error> {
    let problem = match (layout.candidates(), set) {
        (Candidates::Inline, None) => return Ok(()),
        (Candidates::Prepared, Some(set)) if set.layout().schema() == layout.schema() => return Ok(()),
        (Candidates::Inline, Some(_)) => "its candidates are rows, but a candidate set was given",
        (Candidates::Prepared, None) => "its candidates are indices, but no candidate set was given",
        (Candidates::Prepared, Some(_)) => "its schema is not that of the candidate set",
    };
    Err(Error::InvalidArgument { argument: "layout", problem: problem.to_owned() })
}

/// What finds the row of a candidate.
type RowOf<'f, 'r> = &'f dyn Fn(usize) -> Result<RowView<'r>, RowProblem>;

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
    /// declare, or declares otherwise; [`Error::InvalidArgument`] for a layout of several models or of prepared candidates.
    pub fn new(model: Arc<Model>, layout: &RequestLayout) -> Result<Self, Error> {
        Self::bind(vec![model], layout, None)
    }

    /// Binds several models to requests of `layout`, which was made [for as many](RequestLayout::for_models): one call then scores
    /// a request for all of them (the arms of a test, a shadow), and makes its feature keys once. Each answers as it would alone,
    /// but a context row that one of them cannot read fails the call.
    ///
    /// # Errors
    ///
    /// As [`Scorer::new`].
    pub fn for_models(models: Vec<Arc<Model>>, layout: &RequestLayout) -> Result<Self, Error> {
        Self::bind(models, layout, None)
    }

    /// The same for requests that name candidates of `set` by index. Prepares them for each model that is new to the set, which takes
    /// the time of some look-ups for each candidate. The answers are, bit for bit, those for the same rows in the request.
    ///
    /// # Errors
    ///
    /// As [`Scorer::new`]; [`Error::InvalidArgument`] for a layout that is not of [prepared candidates](RequestLayout::prepared) or
    /// whose schema is not the set's.
    pub fn with_candidates(
        models: Vec<Arc<Model>>,
        layout: &RequestLayout,
        set: &Arc<CandidateSet>,
    ) -> Result<Self, Error> {
        Self::bind(models, layout, Some(Arc::clone(set)))
    }

    fn bind(
        models: Vec<Arc<Model>>,
        layout: &RequestLayout,
        candidates: Option<Arc<CandidateSet>>,
    ) -> Result<Self, Error> {
        let invalid = |problem| Err(Error::InvalidArgument { argument: "layout", problem });
        if models.len() != layout.model_count() {
            return invalid(format!("it is for {} models, found {}", layout.model_count(), models.len()));
        }
        check_candidates(layout, candidates.as_deref())?;
        let (keys, plans) = KeyPlan::bind(models.iter().map(|model| model.contract()), layout.schema())?;
        let parts = models.into_iter().zip(plans).map(|(model, plan)| {
            let prepared = candidates.as_ref().map(|set| set.prepare(&model)).transpose()?;
            Ok(Part::new(&keys, model, plan, prepared))
        });
        let parts = parts.collect::<Result<Vec<_>, Error>>()?;
        let scratch = UnsafeCell::new(Scratch::new(&keys, &parts));
        let chunk = kernel::chunk(&keys, candidates.as_deref());
        Ok(Self {
            layout: layout.clone(),
            keys,
            parts,
            candidates,
            chunk,
            instructions: Instructions::detect(),
            busy: AtomicBool::new(false),
            scratch,
        })
    }

    /// The same scorer with a chosen set of instructions, for tests and benchmarks.
    #[must_use]
    pub fn using(self, instructions: Instructions) -> Self {
        Self { instructions, ..self }
    }

    /// The model that answers; the first, if there are several.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.parts[0].model
    }

    /// The models that answer, in the order given.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &Arc<Model>> {
        self.parts.iter().map(|part| &part.model)
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
        self.predict_within(request, candidate_count, None)
    }

    /// The same, but begins no further chunk of 256 candidates once `budget` has passed since the call. Candidates that were not
    /// reached have the status [`CandidateStatus::Late`](crate::CandidateStatus::Late) and are counted; for several models they are
    /// the same ones.
    ///
    /// # Errors
    ///
    /// As [`Scorer::predict`]. That the time was up is no error.
    pub fn predict_within(
        &self,
        request: &mut Request,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        request.check_layout(&self.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed mutably.
        unsafe { self.predict_block(block, candidate_count, budget) }
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
    pub unsafe fn predict_block(
        &self,
        block: *mut u8,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        let time_limit = budget.map(TimeLimit::starting_now);
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(block, &self.layout) }?;
        self.check_count(candidate_count)?;
        let job = Job {
            keys: &self.keys,
            parts: &self.parts,
            instructions: self.instructions,
            block: &block,
            candidates: self.layout.candidates(),
            candidate_count,
            chunk: self.chunk,
            time_limit,
        };
        kernel::predict(&job, Claim::take(self)?.scratch())
    }

    /// What happened in the last predict over `block`, by the first model.
    ///
    /// # Errors
    ///
    /// As [`Scorer::predict_block`] for a block that is null, misaligned or of another layout version.
    ///
    /// # Safety
    ///
    /// As [`Scorer::predict_block`].
    pub(crate) unsafe fn counts_in_block(&self, block: *mut u8) -> Result<Counts, Error> {
        // SAFETY: the caller's promise.
        Ok(unsafe { Block::new(block, &self.layout) }?.counts(0))
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
        self.with_rows(&block, |row_of| {
            let mut parts = self.parts.iter().enumerate();
            parts.try_for_each(|part| plain::predict(&self.keys, part, &block, candidate_count, row_of))
        })
    }

    /// Why candidate `candidate` of `request` gets its probability from the first model: the weight of each of its features.
    /// Allocates; not for the serving path.
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
        let reader = Reader { model: self.model(), keys: &self.keys, plan: &self.parts[0].plan };
        self.with_rows(&block, |row_of| explain::explain(reader, &block, candidate, row_of(candidate)))
    }

    /// Shows `observer` each category of the request in `block`, by the name of its field, and whether the first model has a weight
    /// for it: those of the context once, then those of the first `candidate_count` candidates. Crosses are shown under their own
    /// names. Rows that cannot be read are passed over. Allocates; not for the serving path.
    ///
    /// # Errors
    ///
    /// As [`Scorer::predict_block`].
    ///
    /// # Safety
    ///
    /// As [`Scorer::predict_block`].
    pub(crate) unsafe fn observe_block(
        &self,
        block: *mut u8,
        candidate_count: usize,
        observer: &mut dyn FnMut(&str, bool),
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(block, &self.layout) }?;
        self.check_count(candidate_count)?;
        let reader = Reader { model: self.model(), keys: &self.keys, plan: &self.parts[0].plan };
        let mut note = |name: &str, _: u64, weight: Option<f32>| observer(name, weight.is_some());
        reader.context_sum(&reader.context_keys(&block)?, &mut note);
        self.with_rows(&block, |row_of| {
            let keys = (0..candidate_count).filter_map(|index| reader.candidate_keys(row_of(index).ok()?).ok());
            for keys in keys {
                let _ = reader.own_sum(&keys, &mut note);
            }
        });
        Ok(())
    }

    /// Calls `body` with what finds the row of a candidate, in the request or in the set. The set stays as it is meanwhile.
    fn with_rows<T>(&self, block: &Block<'_>, body: impl FnOnce(RowOf<'_, '_>) -> T) -> T {
        let Some(set) = &self.candidates else {
            return body(&|index| Ok(block.candidate(index)));
        };
        let rows = set.rows();
        let indices = block.candidate_indices(0, self.layout.capacity().candidates);
        body(&|index| rows.get(u32::from_le(indices[index].load(Ordering::Relaxed))))
    }

    fn check_count(&self, candidate_count: usize) -> Result<(), Error> {
        let capacity = self.layout.capacity().candidates;
        if candidate_count > capacity {
            return Err(Error::TooManyCandidates { expected: capacity as u64, found: candidate_count as u64 });
        }
        Ok(())
    }
}
