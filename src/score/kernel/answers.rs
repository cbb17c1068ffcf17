//! From sums to answers.

use std::sync::atomic::AtomicU64;

use super::super::block::store;
use super::{CHUNK, Sums};
use crate::math::sigmoid;
use crate::weight_file::Calibrator;

/// Writes logit and probability of each candidate of a chunk, with the status of one that was scored.
#[inline(always)]
pub(super) fn write(start: f64, sums: &Sums, calibrator: Calibrator, answers: &[AtomicU64]) {
    let (answers, _) = answers.as_chunks::<2>();
    let count = answers.len().min(CHUNK);
    let mut logits = [0.0; CHUNK];
    let mut probabilities = [0.0_f32; CHUNK];
    let sums = sums.own[..count].iter().zip(&sums.crossed[..count]);
    for (logit, (own, crossed)) in logits.iter_mut().zip(sums) {
        *logit = (start + own) + crossed;
    }
    for (probability, &logit) in probabilities.iter_mut().zip(&logits[..count]) {
        *probability = calibrator.probability(sigmoid(logit));
    }
    for ([logit_word, other_word], (logit, probability)) in answers.iter().zip(logits.iter().zip(&probabilities)) {
        store(logit_word, logit.to_bits());
        // The status of a candidate that was scored is 0.
        store(other_word, u64::from(probability.to_bits()));
    }
}
