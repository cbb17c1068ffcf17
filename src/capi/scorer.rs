//! Scores requests and explains answers, for C.

use std::ffi::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::boundary::{
    Growing, Output, check_block, close, copy_with_null, growing, into_handle, output, reference, slice, status, text,
};
use super::candidate_set::OmomiCandidateSet;
use super::layout::OmomiLayout;
use super::model::OmomiModel;
use super::owner::Owner;
use super::request::OmomiRequest;
use super::schema::{OmomiSlot, slot_of};
use super::test_scorer::{explains_nothing, logs_nothing};
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::contract::{MAX_CROSS_MEMBERS, MAX_NAME_LEN_BYTES};
use crate::error::Error;
use crate::request::{Capacity, MAX_TAIL_LEN_BYTES, RequestLayout, Schema};
use crate::score::{Contribution, Explanation, GivenScorer, Scorer, forget_answers};

/// One or several models bound to a layout, with the memory that one thread needs for scoring. Open one for each
/// thread. It belongs to the first thread that uses it, until `omomi_scorer_hand_over`; another thread immediately gets
/// `OMOMI_STATUS_SCORER_BUSY`, without any harm.
#[derive(Debug)]
pub struct OmomiScorer {
    answers: Answers,
    owner: Owner,
}

/// Who gives a scorer's answers.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a test scorer may be large; a server's takes no other step")]
enum Answers {
    Models(Scorer),
    Test(GivenScorer),
}

impl OmomiScorer {
    const fn new(scorer: Scorer) -> Self {
        Self { answers: Answers::Models(scorer), owner: Owner::new() }
    }

    pub(super) const fn of_given(scorer: GivenScorer) -> Self {
        Self { answers: Answers::Test(scorer), owner: Owner::new() }
    }

    /// Returns what a log records for.
    pub(super) fn for_log(&self) -> Result<&Scorer, Error> {
        match &self.answers {
            Answers::Models(scorer) => Ok(scorer),
            Answers::Test(_) => Err(logs_nothing()),
        }
    }

    const fn layout(&self) -> &RequestLayout {
        match &self.answers {
            Answers::Models(scorer) => scorer.layout(),
            Answers::Test(scorer) => scorer.layout(),
        }
    }
}

/// Maximum length of the name of a field or of a cross, including its null byte.
pub const OMOMI_NAME_CAPACITY_BYTES: usize = 264;

const _: () = assert!(MAX_CROSS_MEMBERS * (MAX_NAME_LEN_BYTES + 1) <= OMOMI_NAME_CAPACITY_BYTES);

/// The explanation of one candidate's probability.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiExplanation {
    /// `sizeof(OmomiExplanation)`, set by the caller.
    pub size_bytes: usize,
    /// Number of features, with or without a weight in the file.
    pub contribution_count: usize,
    /// The bias of the model, on the logit scale.
    pub bias: f64,
    /// The logit, bit for bit as predict computes it.
    pub logit: f64,
    /// The probability, bit for bit as predict computes it.
    pub probability: f32,
}

growing!(OmomiExplanation from bias);

/// The contribution of one feature to the logit.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiContribution {
    /// Its feature key; 0 for a field without a value.
    pub key: u64,
    /// What it adds, on the logit scale. An unseen category adds 0, unless the file has default weights.
    pub weight: f32,
    /// 1 if the file has a weight for the category, 0 for an unseen category, 2 for a field without a value (only if
    /// the file has default weights).
    pub source: u32,
    /// Name of the field, or of the cross ("media_id*creative_id"), with a null byte at its end.
    pub name: [c_char; OMOMI_NAME_CAPACITY_BYTES],
}

/// Binds a model to a layout. The scorer keeps what it needs of both, so closing or replacing them never affects it.
/// Close it with `omomi_scorer_close`.
///
/// Returns `OMOMI_STATUS_FIELD_MISSING` if the layout's schema does not declare a field that the model needs, or
/// `OMOMI_STATUS_FIELD_MISMATCH` if it declares the field differently. The message names the field.
///
/// # Safety
///
/// `model` and `layout` are null or open; `out_scorer` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_open(
    model: *const OmomiModel,
    layout: *const OmomiLayout,
    out_scorer: *mut *mut OmomiScorer,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let model = &unsafe { reference(model, "model") }?.0;
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_scorer = output(out_scorer, "out_scorer")?;
        let scorer = OmomiScorer::new(Scorer::new(Arc::clone(model), layout)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Binds several models, prepared candidates, or both, to a layout that was created for that many models and for such
/// candidates. One call then scores a request with all models (the arms of a test, a shadow), which costs less than one
/// call for each. Each model gives the same answers as alone, but a context row that one of them cannot read fails the
/// call. `set` is null unless the layout is for prepared candidates. The candidates of the set are prepared now for
/// each model that is new to it, which takes a few look-ups per candidate.
///
/// Fails like `omomi_scorer_open`. Returns `OMOMI_STATUS_INVALID_ARGUMENT` if `model_count` or `set` does not fit the
/// layout, or if the set belongs to another schema.
///
/// # Safety
///
/// `models` is null or points to `model_count` pointers, each of them null or an open model; `layout` and `set` are
/// null or open; `out_scorer` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_open_with(
    models: *const *const OmomiModel,
    model_count: usize,
    layout: *const OmomiLayout,
    set: *const OmomiCandidateSet,
    out_scorer: *mut *mut OmomiScorer,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        if model_count != layout.model_count() {
            let problem = format!("the layout expects {}, found {model_count}", layout.model_count());
            return Err(Error::InvalidArgument { argument: "model_count", problem });
        }
        // SAFETY: the caller's promise.
        let models = unsafe { slice(models, model_count, "models") }?;
        let out_scorer = output(out_scorer, "out_scorer")?;
        // SAFETY: the caller's promise.
        let model = |&model| Ok(Arc::clone(&unsafe { reference::<OmomiModel>(model, "an element of models") }?.0));
        let models = models.iter().map(model).collect::<Result<Vec<_>, Error>>()?;
        // SAFETY: the caller's promise.
        let scorer = match unsafe { set.as_ref() } {
            Some(set) => Scorer::with_candidates(models, layout, &set.0),
            None => Scorer::for_models(models, layout),
        };
        let scorer = OmomiScorer::new(scorer?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Binds a model to a layout of its own: exactly the fields that the model needs, and up to `candidate_capacity` inline
/// candidates, with 1 KiB of the tail for each. For tools and tests: a server that declares its own fields notices when
/// the other team changes them. `omomi_request_of_scorer` makes a request for it, `omomi_scorer_slot` finds the fields.
/// Close it with `omomi_scorer_close`.
///
/// # Safety
///
/// `model` is null or open; `out_scorer` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_of_model(
    model: *const OmomiModel,
    candidate_capacity: usize,
    out_scorer: *mut *mut OmomiScorer,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let model = &unsafe { reference(model, "model") }?.0;
        let out_scorer = output(out_scorer, "out_scorer")?;
        // The context has texts, too.
        let tail_len_bytes = candidate_capacity.saturating_add(1).saturating_mul(1024).min(MAX_TAIL_LEN_BYTES);
        let capacity = Capacity { candidates: candidate_capacity, tail_len_bytes };
        let layout = RequestLayout::new(&Schema::of_contract(model.contract()), capacity)?;
        let scorer = OmomiScorer::new(Scorer::new(Arc::clone(model), &layout)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Creates an empty request for a scorer, like `omomi_request_open` for its layout. Close it with
/// `omomi_request_close`.
///
/// # Safety
///
/// `scorer` is null or open; `out_request` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_of_scorer(
    scorer: *const OmomiScorer,
    out_request: *mut OmomiRequest,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let scorer = unsafe { reference(scorer, "scorer") }?;
        // SAFETY: the caller's promise.
        unsafe { super::request::open(scorer.layout(), out_request) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Writes the slot of the field called `name` in a scorer's requests, like `omomi_schema_slot`.
///
/// # Safety
///
/// `scorer` is null or open; `name` is as long as it says; `out_slot` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_slot(
    scorer: *const OmomiScorer,
    name: OmomiText,
    out_slot: *mut OmomiSlot,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let scorer = unsafe { reference(scorer, "scorer") }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name") }?;
        let out_slot = output(out_slot, "out_slot")?;
        let slot = slot_of(scorer.layout().schema(), name)?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_slot.write(slot) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a scorer. Ignores null.
///
/// # Safety
///
/// `scorer` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_close(scorer: *mut OmomiScorer) {
    // SAFETY: the caller's promise.
    unsafe { close(scorer) };
}

/// Leaves a scorer to the next thread that uses it. A scorer belongs to the first thread that calls predict or explain
/// with it: another one gets `OMOMI_STATUS_SCORER_BUSY`, because the requests of two threads would be mixed in one
/// block, and the answers would look right. A pool that lends scorers calls this when one comes back. Ignores null.
///
/// # Safety
///
/// `scorer` is null or open, and no thread is in a call with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_hand_over(scorer: *const OmomiScorer) {
    // SAFETY: the caller's promise.
    if let Some(handle) = unsafe { scorer.as_ref() } {
        handle.owner.hand_over();
    }
}

/// Scores the first `candidate_count` candidates of the request in `block`, or with `OMOMI_ALL_FILLED` those up to the
/// last one that was filled. Writes an answer for each of them, and the counts. Allocates nothing and waits for
/// nothing, even when it fails.
///
/// A candidate whose row cannot be read, or that was not filled since the request was cleared, fails alone: its answer
/// has a status and no probability. A context row that cannot be read fails the call with
/// `OMOMI_STATUS_CONTEXT_MALFORMED`. If a setter failed since the request was cleared, the call returns its status. A
/// call that fails leaves no answers, not even those of an earlier call.
///
/// `block` must be aligned to 8 bytes, and `block_len_bytes` must be exactly the length that the scorer's layout gives.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is
/// null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_predict(
    scorer: *const OmomiScorer,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate_count: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        unsafe { predict(scorer, block, block_len_bytes, candidate_count, None) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Scores a request like `omomi_scorer_predict`, within a time limit: starts no further chunk of up to 256 candidates
/// once `budget_us` microseconds have passed since the call. Candidates that were not reached have the status
/// `OMOMI_CANDIDATE_LATE` and no probability, and are counted; with several models, they are the same for all. Reaching
/// the limit is not an error.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is
/// null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_predict_within(
    scorer: *const OmomiScorer,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate_count: usize,
    budget_us: u64,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        let budget = Duration::from_micros(budget_us);
        // SAFETY: the caller's promise.
        unsafe { predict(scorer, block, block_len_bytes, candidate_count, Some(budget)) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// # Safety
///
/// The promises of [`omomi_scorer_predict`].
unsafe fn predict(
    scorer: *const OmomiScorer,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate_count: usize,
    budget: Option<Duration>,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { forget_answers(block.cast(), block_len_bytes) };
    // SAFETY: the caller's promise.
    let handle = unsafe { reference(scorer, "scorer") }?;
    check_block(handle.layout(), block, block_len_bytes)?;
    handle.owner.check()?;
    match &handle.answers {
        // SAFETY: the block is null or, by the caller's promise, has the length that was just checked.
        Answers::Models(scorer) => unsafe { scorer.predict_block(block.cast(), candidate_count, budget) },
        // SAFETY: as above.
        Answers::Test(scorer) => unsafe { scorer.predict_block(block.cast(), candidate_count) },
    }
}

/// Explains the probability that the first model gives to candidate `candidate` (counted from 0) of the request in
/// `block`. Writes a summary, and the contribution of each feature in the order of summation. Allocates, so do not call
/// it on the serving path.
///
/// `out_contributions` may be null with a capacity of 0: then only the summary is written, with the number of
/// contributions to make room for. Otherwise returns `OMOMI_STATUS_WRONG_SIZE` if the capacity is too small. The caller
/// sets `out_explanation->size_bytes` first.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable bytes;
/// `out_explanation` is null or writable, `out_contributions` is null or has room for `contribution_capacity` structs;
/// `error` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_explain(
    scorer: *const OmomiScorer,
    block: *const c_void,
    block_len_bytes: usize,
    candidate: usize,
    out_explanation: *mut OmomiExplanation,
    out_contributions: *mut OmomiContribution,
    contribution_capacity: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let handle = unsafe { reference(scorer, "scorer") }?;
        check_block(handle.layout(), block, block_len_bytes)?;
        handle.owner.check()?;
        let Answers::Models(scorer) = &handle.answers else { return Err(explains_nothing()) };
        // SAFETY: the block has, by the caller's promise, the length that was just checked, and is only read.
        let explain = || unsafe { scorer.explain_block(block.cast_mut().cast(), candidate) };
        // SAFETY: the caller's promise.
        unsafe { write_explanation(explain, out_explanation, out_contributions, contribution_capacity) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Checks that the outputs have room, and writes the explanation that `explain` returns.
///
/// # Safety
///
/// `out_explanation` must be null or writable, `out_contributions` must be null or have room for
/// `contribution_capacity` structs.
pub(super) unsafe fn write_explanation(
    explain: impl FnOnce() -> Result<Explanation, Error>,
    out_explanation: *mut OmomiExplanation,
    out_contributions: *mut OmomiContribution,
    contribution_capacity: usize,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let out_explanation = unsafe { Output::new(out_explanation, "out_explanation") }?;
    let explanation = explain()?;
    let contributions = &explanation.contributions;
    match NonNull::new(out_contributions) {
        None if contribution_capacity != 0 => return Err(Error::NullArgument { argument: "out_contributions" }),
        None => {}
        Some(_) if contribution_capacity < contributions.len() => {
            let len_bytes = |count: usize| (count as u64).saturating_mul(size_of::<OmomiContribution>() as u64);
            let (expected, found) = (len_bytes(contributions.len()), len_bytes(contribution_capacity));
            return Err(Error::WrongSize { what: "out_contributions", expected, found });
        }
        Some(first) => {
            for (index, contribution) in contributions.iter().enumerate() {
                // SAFETY: the caller promises room for `contribution_capacity` structs, which is enough.
                unsafe { write_contribution(contribution, first.add(index)) };
            }
        }
    }
    let explanation = OmomiExplanation {
        size_bytes: size_of::<OmomiExplanation>(),
        contribution_count: contributions.len(),
        bias: explanation.bias,
        logit: explanation.logit,
        probability: explanation.probability,
    };
    out_explanation.write(explanation);
    Ok(())
}

/// # Safety
///
/// `place` must have room for the struct.
unsafe fn write_contribution(contribution: &Contribution, place: NonNull<OmomiContribution>) {
    let place = place.as_ptr();
    let name = contribution.field.as_str();
    assert!(name.len() < OMOMI_NAME_CAPACITY_BYTES);
    // SAFETY: the caller's promise, and the name fits. The memory may be uninitialized, so only pointers reach it.
    unsafe {
        (&raw mut (*place).key).write(contribution.key);
        (&raw mut (*place).weight).write(contribution.weight);
        (&raw mut (*place).source).write(contribution.source as u32);
        copy_with_null(name, NonNull::new_unchecked((&raw mut (*place).name).cast()));
    }
}
