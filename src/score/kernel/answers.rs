//! Turns sums into answers.

use std::sync::atomic::AtomicU64;

use super::super::block::store;
use super::{CHUNK, Sums};
use crate::math::{exp_of_rest, reduce, sigmoid_of};
use crate::request::CandidateStatus;
use crate::weight_file::Calibrator;

/// The status of a candidate that was scored.
const SCORED: u64 = CandidateStatus::Scored.number() as u64;

/// Writes the logit, the probability and the status "scored" of each candidate of a chunk. Returns whether any sum is
/// NaN. Without crosses with the context, their sum of 0 is not added, which changes no bit.
#[inline(always)]
pub(super) fn write(
    start: f64,
    sums: &mut Sums,
    is_crossed: bool,
    calibrator: Calibrator,
    answers: &[AtomicU64],
) -> bool {
    let (answers, _) = answers.as_chunks::<2>();
    let count = answers.len().min(CHUNK);
    let Sums { own: logits, crossed, shifted, exps, others } = sums;
    // Arrays: their length is known, so that the loops below check no index.
    let (crossed, shifted, exps) = (&***crossed, &mut ***shifted, &mut ***exps);
    let (logits, others) = (&mut logits[..count], &mut others[..count]);
    let mut has_nan = false;
    let lanes = logits.iter_mut().zip(crossed).zip(shifted.iter_mut().zip(exps.iter_mut()));
    for ((logit, crossed), (shifted, rest)) in lanes {
        // The own sums become logits in place.
        *logit += start;
        if is_crossed {
            *logit += crossed;
        }
        has_nan |= logit.is_nan();
        let reduced = reduce(*logit);
        (*shifted, *rest) = (reduced.shifted, reduced.rest);
    }
    for exp in &mut exps[..count] {
        *exp = exp_of_rest(*exp);
    }
    // Status and probability are put together here, where the compiler makes vector code: stores of atomics stay
    // scalar.
    for ((other, &logit), (&shifted, &exp)) in others.iter_mut().zip(&*logits).zip(shifted.iter().zip(&*exps)) {
        let probability = calibrator.probability(sigmoid_of(logit, shifted, exp));
        *other = SCORED << 32 | u64::from(probability.to_bits());
    }
    for ([logit_word, other_word], (logit, &other)) in answers.iter().zip(logits.iter().zip(&*others)) {
        store(logit_word, logit.to_bits());
        store(other_word, other);
    }
    has_nan
}
