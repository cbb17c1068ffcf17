//! The call that servers make for each request, and the account of one answer.

use std::ffi::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::boundary::{
    check_block_len, check_size, close, copy_with_null, into_handle, output, reference, slice, status,
};
use super::candidate_set::OmomiCandidateSet;
use super::layout::OmomiLayout;
use super::model::OmomiModel;
use super::{OmomiError, OmomiStatus};
use crate::contract::{MAX_CROSS_MEMBERS, MAX_NAME_LEN_BYTES};
use crate::error::Error;
use crate::score::{Contribution, Explanation, Scorer};

/// One or several models bound to a layout, with the memory that one thread needs for scoring. Open one for each thread; a second
/// thread that calls meanwhile gets `OMOMI_STATUS_SCORER_BUSY` at once, and no harm is done.
#[derive(Debug)]
pub struct OmomiScorer(Scorer);

/// Room for the name of a field or of a cross, its null byte included.
pub const OMOMI_NAME_CAPACITY_BYTES: usize = 264;

const _: () = assert!(MAX_CROSS_MEMBERS * (MAX_NAME_LEN_BYTES + 1) <= OMOMI_NAME_CAPACITY_BYTES);

/// The account of one candidate's probability.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiExplanation {
    /// `sizeof(OmomiExplanation)`, set by the caller.
    pub size_bytes: usize,
    /// Number of features, present in the file or unseen.
    pub contribution_count: usize,
    /// The weight that is always on.
    pub bias: f64,
    /// The logit, the same bits as predict gives.
    pub logit: f64,
    /// The probability, the same bits as predict gives.
    pub probability: f32,
}

/// What one feature adds to the logit.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiContribution {
    /// Its feature key.
    pub key: u64,
    /// Its weight on the logit scale; 0 for an unseen category.
    pub weight: f32,
    /// 1 where the file has a weight for it, 0 for an unseen category.
    pub has_weight: u32,
    /// Name of the field, or of the cross ("media_id*creative_id"), with a null byte at its end.
    pub name: [c_char; OMOMI_NAME_CAPACITY_BYTES],
}

/// Binds a model to a layout. The scorer keeps what it needs of both: closing or replacing them never touches it. Close it
/// with `omomi_scorer_close`.
///
/// `OMOMI_STATUS_FIELD_MISSING` or `OMOMI_STATUS_FIELD_MISMATCH`, with the field's name in the message, if the model needs
/// what the layout's schema does not declare, or declares otherwise.
///
/// # Safety
///
/// `model` and `layout` are null or open; `out_scorer` and `error` are null or writable.
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
        let scorer = OmomiScorer(Scorer::new(Arc::clone(model), layout)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Binds several models, prepared candidates, or both, to a layout that was made for as many models and for such candidates. One call
/// then scores a request for all of the models (the arms of a test, a shadow), which costs less than a call for each. Each answers as it
/// would alone, but a context row that one of them cannot read fails the call. `set` is null unless the layout is for prepared
/// candidates; a model that is new to the set is prepared now, which takes the time of some look-ups for each candidate.
///
/// As `omomi_scorer_open` otherwise; `OMOMI_STATUS_INVALID_ARGUMENT` if `model_count` or `set` is not what the layout is for, or if the
/// set is of another schema.
///
/// # Safety
///
/// `models` is null or points to `model_count` pointers, each of them null or an open model; `layout` and `set` are null or open;
/// `out_scorer` and `error` are null or writable.
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
            let problem = format!("the layout is for {}, found {model_count}", layout.model_count());
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
        let scorer = OmomiScorer(scorer?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Gives a scorer back. Null is left alone.
///
/// # Safety
///
/// `scorer` is null, or is open and used by nobody from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_close(scorer: *mut OmomiScorer) {
    // SAFETY: the caller's promise.
    unsafe { close(scorer) };
}

/// Scores the first `candidate_count` candidates of the request in `block` and writes an answer for each of them, and the
/// counts. Allocates nothing and waits for nothing, also when it fails.
///
/// A candidate whose row cannot be read costs itself only: its answer has a status and no probability. A context row
/// that cannot be read fails the call with `OMOMI_STATUS_CONTEXT_MALFORMED`. A call that fails writes no answer.
///
/// `block` must be aligned to 8 bytes and `block_len_bytes` long, exactly as long as the scorer's layout says.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is null or
/// writable.
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

/// The same, but begins no further chunk of up to 256 candidates once `budget_us` microseconds have passed since the call. Candidates
/// that were not reached have the status `OMOMI_CANDIDATE_LATE` and no probability, and are counted; for several models they are the
/// same ones. That the time was up is no error.
///
/// # Safety
///
/// As `omomi_scorer_predict`.
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
/// As [`omomi_scorer_predict`].
unsafe fn predict(
    scorer: *const OmomiScorer,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate_count: usize,
    budget: Option<Duration>,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let scorer = &unsafe { reference(scorer, "scorer") }?.0;
    check_block_len(scorer.layout(), block_len_bytes)?;
    // SAFETY: the block is null, or by the caller's promise as long as was just checked.
    unsafe { scorer.predict_block(block.cast(), candidate_count, budget) }
}

/// Why candidate `candidate` (counted from 0) of the request in `block` gets its probability from the first model: the account, and what each
/// feature adds, in the order in which they add. Allocates; not for the serving path.
///
/// `out_contributions` may be null with a capacity of 0: then only the account is written, with the number of
/// contributions to make room for. `OMOMI_STATUS_WRONG_SIZE` if the capacity is too small otherwise. The caller sets
/// `out_explanation->size_bytes`.
///
/// # Safety
///
/// As `omomi_scorer_predict`; `out_explanation` is null or writable, `out_contributions` is null or has room for
/// `contribution_capacity` structs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_scorer_explain(
    scorer: *const OmomiScorer,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate: usize,
    out_explanation: *mut OmomiExplanation,
    out_contributions: *mut OmomiContribution,
    contribution_capacity: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let scorer = &unsafe { reference(scorer, "scorer") }?.0;
        check_block_len(scorer.layout(), block_len_bytes)?;
        // SAFETY: the block is null, or by the caller's promise as long as was just checked.
        let explain = || unsafe { scorer.explain_block(block.cast(), candidate) };
        // SAFETY: the caller's promise.
        unsafe { write_explanation(explain, out_explanation, out_contributions, contribution_capacity) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Writes what `explain` answers, once it is known that there is a place for it.
///
/// # Safety
///
/// `out_explanation` is null or writable, `out_contributions` is null or has room for `contribution_capacity` structs.
pub(super) unsafe fn write_explanation(
    explain: impl FnOnce() -> Result<Explanation, Error>,
    out_explanation: *mut OmomiExplanation,
    out_contributions: *mut OmomiContribution,
    contribution_capacity: usize,
) -> Result<(), Error> {
    let out_explanation = output(out_explanation, "out_explanation")?;
    // SAFETY: not null, and the caller promises the struct.
    unsafe { check_size(out_explanation, "out_explanation") }?;
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
                // SAFETY: the caller promises room for as many as `contribution_capacity` says, which is enough.
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
    // SAFETY: as above.
    unsafe { out_explanation.write(explanation) };
    Ok(())
}

/// # Safety
///
/// `place` has room for the struct.
unsafe fn write_contribution(contribution: &Contribution, place: NonNull<OmomiContribution>) {
    let place = place.as_ptr();
    let name = contribution.field.as_str();
    assert!(name.len() < OMOMI_NAME_CAPACITY_BYTES);
    // SAFETY: the caller's promise, and the name fits. The memory may be uninitialized, so it is reached by pointer only.
    unsafe {
        (&raw mut (*place).key).write(contribution.key);
        (&raw mut (*place).weight).write(contribution.weight.unwrap_or(0.0));
        (&raw mut (*place).has_weight).write(u32::from(contribution.weight.is_some()));
        copy_with_null(name, NonNull::new_unchecked((&raw mut (*place).name).cast()));
    }
}
