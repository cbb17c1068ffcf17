//! Live scorers: score requests with the served generation, for C.

use std::ffi::c_void;
use std::time::Duration;

use super::boundary::{check_block, close, into_handle, output, reference, status};
use super::candidate_set::OmomiCandidateSet;
use super::layout::OmomiLayout;
use super::live::{OmomiLive, own_live};
use super::owner::Owner;
use super::scorer::{OmomiContribution, OmomiExplanation, write_explanation};
use super::test_scorer::{explains_nothing, logs_nothing};
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::live::LiveScorer;
use crate::request::RequestLayout;
use crate::score::{GivenScorer, forget_answers};

/// Scores requests with the generation that a live model serves. One generation scores the whole request; the first
/// request after a swap is scored by the new one. Open one for each thread. It belongs to the first thread that uses
/// it, until `omomi_live_scorer_hand_over`; another thread immediately gets `OMOMI_STATUS_SCORER_BUSY`.
#[derive(Debug)]
pub struct OmomiLiveScorer {
    answers: Answers,
    owner: Owner,
}

/// Who gives a live scorer's answers.
#[derive(Debug)]
enum Answers {
    Live(LiveScorer),
    Test(GivenScorer),
}

impl OmomiLiveScorer {
    pub(super) const fn of_given(scorer: GivenScorer) -> Self {
        Self { answers: Answers::Test(scorer), owner: Owner::new() }
    }

    /// Returns what a log records for.
    pub(super) fn for_log(&self) -> Result<&LiveScorer, Error> {
        match &self.answers {
            Answers::Live(scorer) => Ok(scorer),
            Answers::Test(_) => Err(logs_nothing()),
        }
    }

    fn layout(&self) -> &RequestLayout {
        match &self.answers {
            Answers::Live(scorer) => scorer.layout(),
            Answers::Test(scorer) => scorer.layout(),
        }
    }
}

/// Creates a scorer for requests of `layout`, which is for one model. It answers with the served generation, and with
/// each later one after its swap. `set` is null unless the layout is for prepared candidates, which are prepared for a
/// later generation before it is swapped in. The scorer keeps what it needs, so closing the layout, the set or the live
/// model never affects it; but after the live model is closed, it gets no later generation. Close it with
/// `omomi_live_scorer_close`.
///
/// Returns `OMOMI_STATUS_INVALID_ARGUMENT` if the layout belongs to another schema than the live model, is for several
/// models, or does not fit `set`. Having no model yet is not an error.
///
/// # Safety
///
/// `live`, `layout` and `set` are null or open; `out_scorer` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
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
        let live = unsafe { own_live(live, "live") }?;
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_scorer = output(out_scorer, "out_scorer")?;
        // SAFETY: the caller's promise.
        let scorer = match unsafe { set.as_ref() } {
            Some(set) => live.scorer_with_candidates(layout, &set.0),
            None => live.scorer(layout),
        };
        let scorer = OmomiLiveScorer { answers: Answers::Live(scorer?), owner: Owner::new() };
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_scorer.write(into_handle(scorer)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a live scorer. Ignores null.
///
/// # Safety
///
/// `scorer` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_scorer_close(scorer: *mut OmomiLiveScorer) {
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
pub unsafe extern "C" fn omomi_live_scorer_hand_over(scorer: *const OmomiLiveScorer) {
    // SAFETY: the caller's promise.
    if let Some(handle) = unsafe { scorer.as_ref() } {
        handle.owner.hand_over();
    }
}

/// Scores the first `candidate_count` candidates of the request in `block`, like `omomi_scorer_predict`. The outcome
/// names the generation that answered. Allocates nothing and waits for nothing, no matter what happens in the store.
///
/// Two statuses are part of normal operation, and the server answers by its own logic: `OMOMI_STATUS_NO_MODEL` while no
/// generation can be served, and `OMOMI_STATUS_SWITCHED_OFF` while scoring is switched off. Such a call leaves no
/// answers, and costs less than one that does.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is
/// null or writable.
#[must_use = "without the status, the outputs mean nothing"]
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

/// Scores a request like `omomi_live_scorer_predict`, within the time limit of `budget_us` microseconds, which works as
/// in `omomi_scorer_predict_within`.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is
/// null or writable.
#[must_use = "without the status, the outputs mean nothing"]
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
/// The promises of [`omomi_live_scorer_predict`].
unsafe fn predict(
    scorer: *const OmomiLiveScorer,
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
        Answers::Live(scorer) => unsafe { scorer.predict_block(block.cast(), candidate_count, budget) },
        // SAFETY: as above.
        Answers::Test(scorer) => unsafe { scorer.predict_block(block.cast(), candidate_count) },
    }
}

/// Scores the first `candidate_count` candidates of the request in `block` with the fallback file of the options: a
/// second call, for a server that got `OMOMI_STATUS_NO_MODEL` or `OMOMI_STATUS_SWITCHED_OFF` and has no answer of its
/// own. The outcome names the generation of the fallback file; `omomi_live_fallback_logic_id` has its logic id. Answers
/// whatever the store and its orders say. Allocates nothing and waits for nothing.
///
/// Returns `OMOMI_STATUS_NO_MODEL` if the options have no fallback file. A scorer of test answers has none.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is
/// null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_scorer_predict_fallback(
    scorer: *const OmomiLiveScorer,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate_count: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        unsafe { forget_answers(block.cast(), block_len_bytes) };
        // SAFETY: the caller's promise.
        let handle = unsafe { reference(scorer, "scorer") }?;
        check_block(handle.layout(), block, block_len_bytes)?;
        handle.owner.check()?;
        match &handle.answers {
            // SAFETY: the block is null or, by the caller's promise, has the length that was just checked.
            Answers::Live(scorer) => unsafe { scorer.predict_fallback_block(block.cast(), candidate_count) },
            Answers::Test(_) => Err(Error::NoModel),
        }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Explains the probability that the generation which answers now gives to candidate `candidate` of the request in
/// `block`, like `omomi_scorer_explain`. That generation may be a later one than in the last predict. Returns
/// `OMOMI_STATUS_NO_MODEL` if there is none.
///
/// # Safety
///
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable bytes;
/// `out_explanation` is null or writable, `out_contributions` is null or has room for `contribution_capacity` structs;
/// `error` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_scorer_explain(
    scorer: *const OmomiLiveScorer,
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
        let Answers::Live(scorer) = &handle.answers else { return Err(explains_nothing()) };
        // SAFETY: the block has, by the caller's promise, the length that was just checked, and is only read.
        let explain = || unsafe { scorer.explain_block(block.cast_mut().cast(), candidate) };
        // SAFETY: the caller's promise.
        unsafe { write_explanation(explain, out_explanation, out_contributions, contribution_capacity) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}
