//! The call that servers make for each request, where a store says which model answers.

use std::ffi::c_void;
use std::time::Duration;

use super::boundary::{check_block_len, close, into_handle, output, reference, status};
use super::candidate_set::OmomiCandidateSet;
use super::layout::OmomiLayout;
use super::live::OmomiLive;
use super::scorer::{OmomiContribution, OmomiExplanation, write_explanation};
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::live::LiveScorer;

/// Scores with whatever generation a live model serves: the next request after a swap is scored by the new one, and each request by one
/// throughout. Open one for each thread; a second thread that calls meanwhile gets `OMOMI_STATUS_SCORER_BUSY` at once.
#[derive(Debug)]
pub struct OmomiLiveScorer(LiveScorer);

/// A scorer for requests of `layout`, which is for one model, with the generation that is served and every later one. `set` is null unless
/// the layout is for prepared candidates; a later generation is prepared before it is swapped in. The scorer keeps what it needs:
/// closing layout, set or live model never touches it, but without its live model it sees no later generation. Close it with
/// `omomi_live_scorer_close`.
///
/// `OMOMI_STATUS_INVALID_ARGUMENT` for a layout of another schema than the live model's, of several models, or for other candidates
/// than `set` says. That there is no model yet is no error.
///
/// # Safety
///
/// `live`, `layout` and `set` are null or open; `out_scorer` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_scorer_open(
    live: *const OmomiLive,
    layout: *const OmomiLayout,
    set: *const OmomiCandidateSet,
    out_scorer: *mut *mut OmomiLiveScorer,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let live = &unsafe { reference(live, "live") }?.0;
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_scorer = output(out_scorer, "out_scorer")?;
        // SAFETY: the caller's promise.
        let scorer = match unsafe { set.as_ref() } {
            Some(set) => live.scorer_with_candidates(layout, &set.0),
            None => live.scorer(layout),
        };
        let scorer = OmomiLiveScorer(scorer?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Gives a live scorer back. Null is left alone.
///
/// # Safety
///
/// `scorer` is null, or is open and used by nobody from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_scorer_close(scorer: *mut OmomiLiveScorer) {
    // SAFETY: the caller's promise.
    unsafe { close(scorer) };
}

/// Scores the first `candidate_count` candidates of the request in `block`, as `omomi_scorer_predict` does; the outcome says which
/// generation answered. Allocates nothing and waits for nothing, whatever happens in the store meanwhile.
///
/// Two statuses are no failures but part of a server's days, and it answers by its own logic then: `OMOMI_STATUS_NO_MODEL` while
/// there is no generation that could be served, and `OMOMI_STATUS_SWITCHED_OFF` while people have switched scoring off. The call has
/// written no answers, and costs less than one that has.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_scorer_predict(
    scorer: *const OmomiLiveScorer,
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

/// The same within a time: see `omomi_scorer_predict_within`.
///
/// # Safety
///
/// As `omomi_live_scorer_predict`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_scorer_predict_within(
    scorer: *const OmomiLiveScorer,
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
/// As [`omomi_live_scorer_predict`].
unsafe fn predict(
    scorer: *const OmomiLiveScorer,
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

/// Why candidate `candidate` of the request in `block` gets its probability from the generation that answers now, which may be a later one
/// than in the last predict: see `omomi_scorer_explain`. `OMOMI_STATUS_NO_MODEL` if there is none.
///
/// # Safety
///
/// As `omomi_live_scorer_predict`; `out_explanation` is null or writable, `out_contributions` is null or has room for
/// `contribution_capacity` structs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_scorer_explain(
    scorer: *const OmomiLiveScorer,
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
