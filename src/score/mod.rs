//! Scores requests: a verified model, bound to the fields that a server supplies, answers requests without allocating
//! or locking.
//!
//! [`Model`] is immutable and shared. [`Scorer`] is one or several models bound to one request layout, with the working
//! memory of one thread. [`Request`] owns a request block and fills it. A [`CandidateSet`] holds candidates that were
//! prepared in advance, so that requests name them by index. The kernel scores in batches; it has a plain twin, and one
//! suite of property tests runs over both.
//!
//! # Limits
//!
//! A scorer serves one thread at a time: a second caller gets [`Error::ScorerBusy`] without waiting.

mod armed;
mod block;
mod candidate_set;
mod copied;
mod counts;
mod explain;
mod given;
mod identity;
mod kernel;
mod model;
mod plain;
mod plan;
mod request;
mod row_scorer;
mod text;
#[cfg(test)]
mod work_tests;

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) use armed::{Armed, ArmedRequest};
pub use candidate_set::{CandidateSet, MAX_PREPARED_CANDIDATES};
pub(crate) use copied::{CopiedAnswer, CopiedRows, LoggedRequest, ROW_HEAD_WORDS, RowCopier, Uncopied};
pub use counts::RequestCounts;
pub use explain::{Contribution, Explanation};
pub use model::{GoldenReport, Model};
pub use request::{Answer, Request, RowMut};
pub use row_scorer::WeightSource;

use block::{Block, RowView};
pub(crate) use block::{forget_answers, note_fallback};
pub(crate) use given::GivenScorer;
pub(crate) use identity::ModelIdentity;
use kernel::{Job, Part, Scratch};
pub(crate) use kernel::{Shadow, TimeLimit};
use plan::KeyPlan;
use row_scorer::{Reader, Term};

use crate::error::{Error, RowProblem};
use crate::instructions::Instructions;
use crate::request::layout::GAP_INDEX;
use crate::request::{Candidates, RequestLayout, Schema};
use crate::rounding::in_standard_mode;

/// One or several models bound to a request layout, with the working memory of one thread.
///
/// A scorer keeps its own references to the models: dropping or replacing them elsewhere does not affect it.
#[derive(Debug)]
pub struct Scorer {
    layout: RequestLayout,
    keys: Arc<KeyPlan>,
    parts: Vec<Part>,
    /// The set to which the indices of the layout refer.
    candidates: Option<Arc<CandidateSet>>,
    chunk: usize,
    instructions: Instructions,
    busy: AtomicBool,
    scratch: UnsafeCell<Scratch>,
}

// SAFETY: `scratch` is the only field that is not `Sync`. It is accessed only through `Claim`, and `busy` lets only one
// claim exist at a time.
unsafe impl Sync for Scorer {}

/// Rejects a model that needs a field that `schema` does not declare, or declares differently.
pub(crate) fn check_bind(model: &Model, schema: &Schema) -> Result<(), Error> {
    KeyPlan::bind(std::iter::once(model.contract()), schema).map(|_| ())
}

/// Rejects a set if `layout` needs none, a missing set if it needs one, and a set of another schema.
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

/// Rejects a request that no model could score, for a call without a model. Also makes it forget its answers.
///
/// # Safety
///
/// The promises of [`Scorer::predict_block`].
pub(crate) unsafe fn check_request(block: *mut u8, layout: &RequestLayout, count: usize) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { forget_answers(block, layout.offsets().len_bytes) };
    // SAFETY: the caller's promise.
    unsafe { Block::new(block, layout) }?;
    check_count(layout, if count == ALL_FILLED { 0 } else { count })
}

fn check_count(layout: &RequestLayout, candidate_count: usize) -> Result<(), Error> {
    let capacity = layout.capacity().candidates;
    if candidate_count > capacity {
        return Err(Error::TooManyCandidates { expected: capacity as u64, found: candidate_count as u64 });
    }
    Ok(())
}

/// In place of a number of candidates: up to the last one that was filled since the request was cleared.
pub const ALL_FILLED: usize = usize::MAX;

/// A function that returns the row of a candidate.
type RowOf<'f, 'r> = &'f dyn Fn(usize) -> Result<RowView<'r>, RowProblem>;

/// Exclusive use of a scorer's working memory. It is released on drop, even when a panic unwinds.
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
    /// Returns [`Error::FieldMissing`] or [`Error::FieldMismatch`], which name the field, if the model needs a field
    /// that the layout's schema does not declare, or declares differently. Returns [`Error::InvalidArgument`] for a
    /// layout of several models or of prepared candidates.
    pub fn new(model: Arc<Model>, layout: &RequestLayout) -> Result<Self, Error> {
        Self::bind(vec![model], layout, None)
    }

    /// Binds several models to requests of `layout`, which must be [for that many models](RequestLayout::for_models).
    /// One call then scores a request for all of them (such as the arms of a test, or a shadow model) and makes its
    /// feature keys once. Each model answers as it would alone, but a context row that one of them cannot read fails
    /// the whole call.
    ///
    /// # Errors
    ///
    /// Returns [`Error::FieldMissing`] or [`Error::FieldMismatch`], which name the field, if a model needs a field that
    /// the layout's schema does not declare, or declares differently. Returns [`Error::InvalidArgument`] for a layout
    /// of another number of models, or of prepared candidates.
    pub fn for_models(models: Vec<Arc<Model>>, layout: &RequestLayout) -> Result<Self, Error> {
        Self::bind(models, layout, None)
    }

    /// Binds models to requests that name candidates of `set` by index. For each model that is new to the set, this
    /// prepares the candidates, which takes the time of some look-ups for each of them. The answers are bit for bit
    /// those for the same rows inside the request.
    ///
    /// # Errors
    ///
    /// Returns [`Error::FieldMissing`] or [`Error::FieldMismatch`], which name the field, if a model needs a field that
    /// the layout's schema does not declare, or declares differently. Returns [`Error::InvalidArgument`] for a layout
    /// of another number of models, a layout whose candidates are not [prepared](RequestLayout::prepared), or a layout
    /// whose schema is not that of the set.
    pub fn with_candidates(
        models: Vec<Arc<Model>>,
        layout: &RequestLayout,
        set: &Arc<CandidateSet>,
    ) -> Result<Self, Error> {
        Self::bind(models, layout, Some(Arc::clone(set)))
    }

    /// Binds models to requests of a layout of any kind.
    pub(crate) fn bind(
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
        let scratch = UnsafeCell::new(Scratch::new(&keys)?);
        let chunk = kernel::chunk(&keys, candidates.as_deref());
        Ok(Self {
            layout: layout.clone(),
            keys: keys.shared(),
            parts,
            candidates,
            chunk,
            instructions: Instructions::detect(),
            busy: AtomicBool::new(false),
            scratch,
        })
    }

    /// Returns this scorer with the given set of instructions. For tests and benchmarks.
    #[doc(hidden)]
    #[must_use]
    pub fn using(self, instructions: Instructions) -> Self {
        Self { instructions, ..self }
    }

    /// Returns the model, or the first of several.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.parts[0].model
    }

    /// Returns the models, in the order given.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &Arc<Model>> {
        self.parts.iter().map(|part| &part.model)
    }

    /// Returns the layout of the requests.
    #[must_use]
    pub const fn layout(&self) -> &RequestLayout {
        &self.layout
    }

    /// Returns the set that its layout's indices refer to.
    pub(crate) const fn candidate_set(&self) -> Option<&Arc<CandidateSet>> {
        self.candidates.as_ref()
    }

    /// Creates an empty request of this scorer's layout.
    #[must_use]
    pub fn new_request(&self) -> Request {
        Request::new(&self.layout)
    }

    /// Scores the candidates that `request` was given since it was cleared, up to the last one. Otherwise like
    /// [`Scorer::predict`].
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict`].
    pub fn predict_filled(&self, request: &mut Request) -> Result<(), Error> {
        self.predict_within(request, ALL_FILLED, None)
    }

    /// Scores the first `candidate_count` candidates of `request`, and writes an answer for each of them and the
    /// counts. Does not allocate or wait. With [`ALL_FILLED`], scores up to the last candidate that was filled.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TooManyCandidates`], [`Error::ScorerBusy`], [`Error::ContextMalformed`], or
    /// [`Error::InvalidArgument`] for a request of another layout. After an error, the request has no answers, not even
    /// those of an earlier call. A malformed candidate is no error, and neither is one that was not filled: the status
    /// in its answer says what is wrong.
    pub fn predict(&self, request: &mut Request, candidate_count: usize) -> Result<(), Error> {
        self.predict_within(request, candidate_count, None)
    }

    /// Scores like [`Scorer::predict`], but does not begin another chunk of 256 candidates once `budget` has passed
    /// since the call. Candidates that were not reached have the status
    /// [`CandidateStatus::Late`](crate::CandidateStatus::Late) and are counted. With several models, the same
    /// candidates are late for all of them.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict`]. Exceeding the time limit is no error.
    pub fn predict_within(
        &self,
        request: &mut Request,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        request.forget_answers();
        request.check_layout(&self.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed
        // mutably.
        unsafe { self.predict_block(block, candidate_count, budget) }
    }

    /// Scores like [`Scorer::predict_within`], over a block of raw memory. C and the JVM use this call.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict`]. Also returns [`Error::NullArgument`], [`Error::Misaligned`],
    /// [`Error::LayoutVersion`] or [`Error::TailFull`] for a block that is null, misaligned, of another layout version,
    /// or that claims more tail than it has. These errors do not allocate.
    ///
    /// # Safety
    ///
    /// `block` is null, or points to memory that can be read and written for `layout().offsets().len_bytes` bytes
    /// during the call. Other threads may write it in the meantime without harm to the process, but the answers are
    /// then meaningless.
    pub unsafe fn predict_block(
        &self,
        block: *mut u8,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.predict_counting(block, candidate_count, budget, &[]) }.map(|_| ())
    }

    /// Returns this scorer's model as a shadow of `scorer`, which writes result `result`, if both make the same keys.
    pub(crate) fn shadow_of<'a>(
        &'a self,
        scorer: &Self,
        result: usize,
        time_limit: Option<TimeLimit>,
    ) -> Option<Shadow<'a>> {
        let sets = (self.candidates.as_ref(), scorer.candidates.as_ref());
        let same_set = match sets {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let [part] = &self.parts[..] else { return None };
        let is_of = same_set && Arc::ptr_eq(&self.keys, &scorer.keys);
        is_of.then(|| Shadow::new(part, result, time_limit))
    }

    /// Scores a block, also with shadows, and returns the counts of the first model. The results of shadows must differ
    /// from each other and from those of the scorer's own models.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict_block`].
    ///
    /// # Safety
    ///
    /// The promises of [`Scorer::predict_block`].
    pub(crate) unsafe fn predict_counting(
        &self,
        block: *mut u8,
        candidate_count: usize,
        budget: Option<Duration>,
        shadows: &[Option<Shadow<'_>>],
    ) -> Result<RequestCounts, Error> {
        let time_limit = budget.map(TimeLimit::starting_now);
        // SAFETY: the caller's promise.
        unsafe { forget_answers(block, self.layout.offsets().len_bytes) };
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(block, &self.layout) }?;
        let asked_count = if candidate_count == ALL_FILLED { block.filled_count() } else { candidate_count };
        self.check_count(asked_count)?;
        let job = Job {
            keys: &self.keys,
            parts: &self.parts,
            shadows,
            instructions: self.instructions,
            block: &block,
            candidates: self.layout.candidates(),
            asked_count,
            candidate_count: asked_count.min(block.filled_count()),
            chunk: self.chunk,
            time_limit,
        };
        let mut claim = Claim::take(self)?;
        in_standard_mode(|| kernel::predict(&job, claim.scratch()))
    }

    /// Scores like [`Scorer::predict`], with the plain twin: one candidate at a time, allocating, and simple enough to
    /// be obviously right. For tests.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict`].
    #[doc(hidden)]
    pub fn predict_plain(&self, request: &mut Request, candidate_count: usize) -> Result<(), Error> {
        request.forget_answers();
        request.check_layout(&self.layout)?;
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed
        // mutably.
        let block = unsafe { Block::new(request.block_address(), &self.layout) }?;
        let candidate_count = if candidate_count == ALL_FILLED { block.filled_count() } else { candidate_count };
        self.check_count(candidate_count)?;
        self.with_rows(&block, |row_of| {
            let mut parts = self.parts.iter().enumerate();
            in_standard_mode(|| {
                parts.try_for_each(|part| plain::predict(&self.keys, part, &block, candidate_count, row_of))
            })
        })
    }

    /// Explains why candidate `candidate` of `request` gets its probability from the first model: returns the weight of
    /// each of its features. Allocates; not for the serving path.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict`]. Also returns [`Error::InvalidArgument`] if the candidate's row is malformed.
    pub fn explain(&self, request: &mut Request, candidate: usize) -> Result<Explanation, Error> {
        request.check_layout(&self.layout)?;
        let block = request.block_address();
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed
        // mutably.
        unsafe { self.explain_block(block, candidate) }
    }

    /// Explains like [`Scorer::explain`], over a block of raw memory.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::explain`] and [`Scorer::predict_block`].
    ///
    /// # Safety
    ///
    /// The caller promises what [`Scorer::predict_block`] requires.
    pub unsafe fn explain_block(&self, block: *mut u8, candidate: usize) -> Result<Explanation, Error> {
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(block, &self.layout) }?;
        self.check_count(candidate.saturating_add(1))?;
        let reader = Reader { model: self.model(), keys: &self.keys, plan: &self.parts[0].plan };
        self.with_rows(&block, |row_of| {
            in_standard_mode(|| explain::explain(reader, &block, candidate, row_of(candidate)))
        })
    }

    /// Calls `observer` for each category of the request in `block`, with the name of its field and whether the first
    /// model has a weight for it: first those of the context, once, then those of the first `candidate_count`
    /// candidates. Crosses of the context, or of one candidate, are observed under their own names. Rows that cannot be
    /// read are skipped. Allocates; not for the serving path.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict_block`].
    ///
    /// # Safety
    ///
    /// The caller promises what [`Scorer::predict_block`] requires.
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
        let mut note = |term: &Term<'_>| {
            if term.source != WeightSource::Missing {
                observer(term.name, term.source == WeightSource::Found);
            }
        };
        reader.context_sum(&reader.context_keys(&block)?, &mut note);
        self.with_rows(&block, |row_of| {
            let keys = (0..candidate_count).filter_map(|index| reader.candidate_keys(row_of(index).ok()?).ok());
            for keys in keys {
                let _ = reader.own_sum(&keys, &mut note);
            }
        });
        Ok(())
    }

    /// Calls `body` with a function that returns the row of a candidate, from the request or from the set. The set does
    /// not change meanwhile.
    fn with_rows<T>(&self, block: &Block<'_>, body: impl FnOnce(RowOf<'_, '_>) -> T) -> T {
        let Some(set) = &self.candidates else {
            return body(&|index| block.filled_candidate(index));
        };
        let rows = set.rows();
        body(&|index| {
            let named = if index < block.filled_count() { block.name(index) } else { GAP_INDEX };
            if named == GAP_INDEX { Err(RowProblem::NotFilled) } else { rows.get(named) }
        })
    }

    fn check_count(&self, candidate_count: usize) -> Result<(), Error> {
        check_count(&self.layout, candidate_count)
    }
}
