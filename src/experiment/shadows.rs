//! Shadows: arms that score a request for the log alone.
//!
//! A shadow whose generation makes the same feature keys as the arm's scores the request together with it, chunk by
//! chunk. Another one scores the request when the arm has answered. Neither may cost the request its time budget: the
//! first only joins if the arm and all that join are expected to take less than half of the budget, and it stops at
//! half of it; the second is skipped unless the rest is expected to be enough.

use std::array;
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::seat::{Plan, SeatedArm, count};
use crate::error::Error;
use crate::live::LiveShadow;
use crate::request::MAX_MODELS;
use crate::score::{ALL_FILLED, Armed, ArmedRequest, TimeLimit};

/// The time of a request.
#[derive(Clone, Copy)]
pub(super) struct Time {
    pub(super) started: Instant,
    pub(super) budget: Option<Duration>,
}

/// A request in raw memory.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a ArmedRequest<'a>,
    pub(super) block: *mut u8,
    pub(super) candidate_count: usize,
    pub(super) time: Time,
}

/// What scored a request so far.
#[derive(Clone, Copy)]
pub(super) struct Served {
    /// What the arm took.
    took: Duration,
    /// One bit for each result of a shadow that is there.
    results: u32,
}

const _: () = assert!(MAX_MODELS <= 32);

/// The shadows of a plan for one request.
pub(super) struct Shadows<'a> {
    plan: &'a Plan,
    /// Where the request is among the shares of shadows.
    place: u32,
}

impl<'a> Shadows<'a> {
    pub(super) const fn new(plan: &'a Plan, place: u32) -> Self {
        Self { plan, place }
    }

    /// Returns the shadow that gives a result, if it scores this request.
    fn of_result(&self, result: usize) -> Option<&'a SeatedArm> {
        let (share, shadow) = self.plan.shadows.get(result.checked_sub(1)?)?;
        (self.place < *share).then_some(&**shadow)
    }

    /// Scores a request with `arm`, and with the shadows that join it.
    ///
    /// # Errors
    ///
    /// Fails like [`LiveScorer::predict_block`](crate::live::LiveScorer::predict_block).
    ///
    /// # Safety
    ///
    /// The promises of [`Scorer::predict_block`](crate::Scorer::predict_block).
    pub(super) unsafe fn score_with(&self, arm: &SeatedArm, asked: Asked<'_>) -> Result<Served, Error> {
        let Asked { request, block, candidate_count, time } = asked;
        let began = Instant::now();
        let rest = time.budget.map(|budget| budget.saturating_sub(began - time.started));
        if (1..=self.plan.shadows.len()).all(|result| self.of_result(result).is_none()) {
            // SAFETY: the caller's promise.
            unsafe { arm.scorer.predict_block(block, candidate_count, rest) }?;
            return Ok(Served { took: began.elapsed(), results: 0 });
        }
        let candidate_count_at_most =
            if candidate_count == ALL_FILLED { request.filled_count() } else { candidate_count };
        let expected = |arm: &SeatedArm| match arm.per_candidate_ps.load(Ordering::Relaxed) {
            0 => None,
            lately => Some(Duration::from_nanos(lately.saturating_mul(candidate_count_at_most as u64) / 1_000)),
        };
        let mut total = expected(arm);
        let joining: [_; MAX_MODELS - 1] = array::from_fn(|place| {
            let shadow = self.of_result(place + 1)?;
            let time_limit = match rest {
                None => None,
                Some(rest) => {
                    let with_it = total?.saturating_add(expected(shadow)?);
                    if with_it >= rest / 2 {
                        return None;
                    }
                    total = Some(with_it);
                    Some(TimeLimit { started: began, budget: rest / 2 })
                }
            };
            Some(LiveShadow { scorer: &shadow.scorer, result: place + 1, time_limit, took: Cell::new(None) })
        });
        // SAFETY: the caller's promise.
        unsafe { arm.scorer.predict_with_shadows(block, candidate_count, rest, &joining) }?;
        let mut served = Served { took: began.elapsed(), results: 0 };
        let answered_count = request.answered_count();
        for LiveShadow { result, took, .. } in joining.iter().flatten() {
            let (Some(took), Some(shadow)) = (took.get(), self.of_result(*result)) else { continue };
            note_time(shadow, took, answered_count);
            count(&shadow.counts.shadow);
            served.took = served.took.saturating_sub(took);
            served.results |= 1 << result;
        }
        note_time(arm, served.took, answered_count);
        Ok(served)
    }

    /// Lets the other shadows score a request that an arm has answered, and notes which results are there. Returns how
    /// many are.
    ///
    /// # Safety
    ///
    /// The promises of [`Scorer::predict_block`](crate::Scorer::predict_block).
    pub(super) unsafe fn score_rest(
        &self,
        asked: Asked<'_>,
        served: Served,
        bucket: Option<u32>,
        result_count: usize,
    ) -> u32 {
        let Asked { request, block, candidate_count, time } = asked;
        let mut scored_count = 0;
        for result in 1..result_count {
            let shadow = self.of_result(result);
            let is_scored = shadow.is_some_and(|shadow| {
                if served.results >> result & 1 == 1 {
                    return true;
                }
                let answered_count = request.answered_count();
                let Some(rest) = time.rest_for(shadow, served.took, answered_count) else {
                    count(&shadow.counts.shadow_skipped);
                    return false;
                };
                let began = Instant::now();
                // SAFETY: the caller's promise. The layout of the shadow's scorer is that of the same blocks.
                let score = || unsafe { shadow.scorer.predict_block(block, candidate_count, rest) };
                let outcome = request.beside(score);
                note_time(shadow, began.elapsed(), answered_count);
                count(if outcome.is_ok() { &shadow.counts.shadow } else { &shadow.counts.shadow_failed });
                outcome.is_ok()
            });
            match shadow {
                Some(shadow) if is_scored => {
                    request.note(result, Some(Armed { arm: shadow.number, bucket }));
                    scored_count += 1;
                }
                _ => request.forget(result),
            }
        }
        scored_count
    }
}

impl Time {
    /// Returns the budget of a shadow, which may be none; or nothing if it must be skipped. It is expected to take as
    /// long for each candidate as lately, and before that as the arm that answered.
    fn rest_for(&self, shadow: &SeatedArm, served: Duration, candidate_count: usize) -> Option<Option<Duration>> {
        let Some(budget) = self.budget else { return Some(None) };
        let rest = budget.saturating_sub(self.started.elapsed());
        let lately = shadow.per_candidate_ps.load(Ordering::Relaxed);
        let expected = match lately {
            0 => served,
            _ => Duration::from_nanos(lately.saturating_mul(candidate_count as u64) / 1_000),
        };
        (expected < rest).then_some(Some(rest))
    }
}

/// Averages the time that an arm takes for a candidate: the latest request counts for an eighth.
fn note_time(arm: &SeatedArm, took: Duration, candidate_count: usize) {
    let took_ps = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).saturating_mul(1_000);
    let this = took_ps / (candidate_count.max(1) as u64);
    let before = arm.per_candidate_ps.load(Ordering::Relaxed);
    let average = if before == 0 { this } else { before - before / 8 + this / 8 };
    arm.per_candidate_ps.store(average.max(1), Ordering::Relaxed);
}
