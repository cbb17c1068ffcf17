//! Held-out rows in memory. Each row is a list of feature numbers, resolved once, so that many models of one state can
//! be tried on the rows.

use xxhash_rust::xxh3::xxh3_64;

use super::{PruneError, Quality};
use crate::evaluate::Evaluator;
use crate::learn::StateModel;
use crate::learn::recalibrate::{Rows, is_beyond_error};
use crate::log::RowBatch;
use omomi::math;

/// Largest change of the bias in one step of the fit, on the logit scale.
const MAX_STEP: f64 = 2.0;
/// Most steps of the fit. It converges long before.
const MAX_STEPS: usize = 50;
/// The fit ends after a step smaller than this.
const MIN_STEP: f64 = 1e-10;

/// Held-out rows, or a sample of them: the rows whose numbers have the lowest hashes. The sample depends only on the
/// row numbers.
///
/// Memory: 17 bytes per row, 8 more with an importance, and 8 bytes per feature of a row.
#[derive(Debug)]
pub(super) struct HeldOut {
    max_rows: usize,
    row_count: u64,
    /// Rows whose number has a larger hash are not in the sample.
    max_hash: u64,
    hashes: Vec<u64>,
    clicked: Vec<bool>,
    /// How much each row counts; empty if each counts once.
    importance: Vec<f64>,
    /// For each field and cross, pairs of a row and the number of a feature in that row.
    columns: Vec<Vec<(u32, u32)>>,
}

/// A fitted bias and the quality of predictions with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fitted {
    /// Number to add to the bias.
    pub(super) shift: f64,
    pub(super) quality: Quality,
}

impl HeldOut {
    /// Creates an empty sample of at most `max_rows` rows.
    pub(super) fn new(group_count: usize, max_rows: usize) -> Self {
        let columns = vec![Vec::new(); group_count];
        // Row numbers have 32 bits.
        let max_rows = max_rows.clamp(1, u32::MAX as usize - 1);
        Self {
            max_rows,
            row_count: 0,
            max_hash: u64::MAX,
            hashes: Vec::new(),
            clicked: Vec::new(),
            importance: Vec::new(),
            columns,
        }
    }

    /// Adds more rows.
    pub(super) fn add(&mut self, model: &StateModel, batch: &RowBatch) {
        let group_of = |number: u32| usize::from(model.group_of(number));
        let mut importance = batch.importance.iter().flatten().copied();
        model.each_row(batch, |numbers, clicked| self.push(numbers, group_of, clicked, importance.next()));
    }

    /// Either each row has an importance, or none.
    fn push(&mut self, numbers: &[u32], group_of: impl Fn(u32) -> usize, clicked: bool, importance: Option<f64>) {
        let hash = xxh3_64(&self.row_count.to_le_bytes());
        self.row_count += 1;
        if hash > self.max_hash {
            return;
        }
        let row = u32::try_from(self.clicked.len()).expect("the sample is thinned before it has so many rows");
        self.hashes.push(hash);
        self.clicked.push(clicked);
        self.importance.extend(importance);
        for &number in numbers {
            self.columns[group_of(number)].push((row, number));
        }
        if self.clicked.len() > self.max_rows {
            self.thin();
        }
    }

    /// Removes about half of the rows.
    fn thin(&mut self) {
        self.max_hash /= 2;
        let max_hash = self.max_hash;
        let (mut count, mut places) = (0, Vec::with_capacity(self.hashes.len()));
        for &hash in &self.hashes {
            places.push((hash <= max_hash).then_some(count));
            count += u32::from(hash <= max_hash);
        }
        for column in &mut self.columns {
            column.retain_mut(|(row, _)| match places[*row as usize] {
                Some(place) => {
                    *row = place;
                    true
                }
                None => false,
            });
        }
        let mut stays = places.iter().map(Option::is_some);
        self.clicked.retain(|_| stays.next().unwrap_or(false));
        let mut stays = places.iter().map(Option::is_some);
        self.importance.retain(|_| stays.next().unwrap_or(false));
        self.hashes.retain(|&hash| hash <= max_hash);
    }

    /// Returns [`PruneError::OneSided`] if no row or every row was clicked, because then no bias is the best.
    pub(super) fn refuse_one_sided(&self) -> Result<(), PruneError> {
        let (rows, clicks) = (self.sampled_row_count(), self.clicked.iter().filter(|&&clicked| clicked).count() as u64);
        if clicks == 0 || clicks == rows { Err(PruneError::OneSided { rows, clicks }) } else { Ok(()) }
    }

    #[inline]
    fn importance_of(&self, row: usize) -> f64 {
        self.importance.get(row).copied().unwrap_or(1.0)
    }

    /// How many rows are in the sample.
    pub(super) fn sampled_row_count(&self) -> u64 {
        self.clicked.len() as u64
    }

    /// How many rows the logs have.
    pub(super) fn row_count(&self) -> u64 {
        self.row_count
    }

    /// Computes the logit of each row in the sample with these weights.
    pub(super) fn logits(&self, bias: f64, weights: &[f64]) -> Vec<f64> {
        let mut logits = vec![bias; self.clicked.len()];
        for column in &self.columns {
            for &(row, number) in column {
                logits[row as usize] += weights[number as usize];
            }
        }
        logits
    }

    /// Updates the logits for a change of the weights of one field or cross, `group`, from `before` to `after`.
    pub(super) fn add_gain(&self, group: usize, before: &[f64], after: &[f64], logits: &mut [f64]) {
        for &(row, number) in &self.columns[group] {
            logits[row as usize] += after[number as usize] - before[number as usize];
        }
    }

    /// Computes the quality of predictions with the logits `logits` plus `shift`.
    pub(super) fn quality(&self, logits: &[f64], shift: f64) -> Quality {
        let mut evaluator = Evaluator::bounded();
        for (row, (logit, &clicked)) in logits.iter().zip(&self.clicked).enumerate() {
            evaluator.add_important_logit(logit + shift, clicked, self.importance_of(row));
        }
        evaluator.metrics().into()
    }

    /// Finds the shift of the bias with the lowest log loss, by Newton's method. With it, the mean prediction is the
    /// observed CTR.
    pub(super) fn fit(&self, logits: &[f64]) -> Fitted {
        let shift = self.shift_to(logits, |row| f64::from(u8::from(self.clicked[row])));
        Fitted { shift, quality: self.quality(logits, shift) }
    }

    /// Returns how to shift the bias of a pruned model: to the observed CTR of these rows if the fit is beyond its own
    /// error, and otherwise only as far as pruning moved the mean prediction. Also returns whether it is the former.
    pub(super) fn served_shift(&self, before: &[f64], after: &[f64], fitted: Fitted) -> (f64, bool) {
        let importance = (!self.importance.is_empty()).then_some(self.importance.as_slice());
        let is_beyond = |logits, shift| is_beyond_error(shift, Rows { logits, clicked: &self.clicked, importance });
        let as_before = self.shift_to(after, |row| math::sigmoid(before[row]));
        let level: Vec<f64> = after.iter().map(|logit| logit + as_before).collect();
        if is_beyond(&level, fitted.shift - as_before) { (fitted.shift, true) } else { (as_before, false) }
    }

    /// Finds the shift with which the predictions of all rows sum to those of `target`, by Newton's method.
    fn shift_to(&self, logits: &[f64], target: impl Fn(usize) -> f64) -> f64 {
        let mut shift = 0.0;
        for _ in 0..MAX_STEPS {
            let (mut slope, mut curvature) = (0.0, 0.0);
            for (row, logit) in logits.iter().enumerate() {
                let (probability, importance) = (math::sigmoid(logit + shift), self.importance_of(row));
                slope += importance * (probability - target(row));
                curvature += importance * probability * (1.0 - probability);
            }
            let step = (-slope / curvature.max(f64::MIN_POSITIVE)).clamp(-MAX_STEP, MAX_STEP);
            shift += step;
            if step.abs() < MIN_STEP {
                break;
            }
        }
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row `i` has feature `i % 7` of group 0. In group 1, bits 0 to 2 of `i` say which of the features 7 to 9 it has.
    /// Every third row was clicked.
    fn rows(row_count: u32, max_rows: usize) -> HeldOut {
        let mut rows = HeldOut::new(2, max_rows);
        for row in 0..row_count {
            let mut numbers = vec![row % 7];
            numbers.extend((0..3).filter(|bit| row >> bit & 1 == 1).map(|bit| 7 + bit));
            rows.push(&numbers, |number| usize::from(number >= 7), row % 3 == 0, None);
        }
        rows
    }

    /// Powers of two, so that each sum shows which features are in it.
    const WEIGHTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

    #[test]
    fn sample_has_the_rows_with_the_lowest_hashes_and_their_features() {
        let (all, sample) = (rows(10_000, 10_000), rows(10_000, 1_000));
        assert_eq!((all.sampled_row_count(), sample.row_count()), (10_000, 10_000));
        assert!((400..=1_000).contains(&sample.sampled_row_count()), "{}", sample.sampled_row_count());
        let logits = all.logits(0.0, &WEIGHTS);
        let expected = logits.iter().zip(&all.clicked).zip(&all.hashes);
        let expected = expected.filter(|(_, hash)| **hash <= sample.max_hash).map(|(row, _)| row);
        let found = sample.logits(0.0, &WEIGHTS);
        assert!(found.iter().zip(&sample.clicked).eq(expected));
    }

    #[test]
    fn fitted_bias_makes_the_mean_prediction_equal_to_the_observed_ctr() {
        let rows = rows(3_000, 3_000);
        for far in [0.0, 30.0, -30.0] {
            let fitted = rows.fit(&rows.logits(far, &[0.01; 10]));
            assert!((fitted.quality.calibration_ratio.unwrap() - 1.0).abs() < 1e-9, "{fitted:?}");
            let beside =
                [-0.01, 0.01].map(|step| rows.quality(&rows.logits(far + fitted.shift + step, &[0.01; 10]), 0.0));
            assert!(beside.iter().all(|beside| beside.log_loss > fitted.quality.log_loss));
        }
    }

    #[test]
    fn the_level_of_a_model_stays_unless_the_rows_say_beyond_chance_that_it_is_wrong() {
        let rows = rows(3_000, 3_000);
        let before = rows.logits(0.0, &[0.01; 10]);
        let level = rows.fit(&before).shift;
        let mean = |logits: &[f64], shift| {
            let probabilities = logits.iter().map(|logit| math::sigmoid(logit + shift));
            probabilities.sum::<f64>() / logits.len() as f64
        };
        // The error of the shift is 0.04, so that 0.03 is within it, and 0.3 is not. The cut moves the logits by 0.5.
        for (off, is_fitted) in [(0.03, false), (-0.03, false), (0.3, true), (-0.3, true)] {
            let before: Vec<f64> = before.iter().map(|logit| logit + level + off).collect();
            let after: Vec<f64> = before.iter().map(|logit| logit - 0.5).collect();
            let (shift, found) = rows.served_shift(&before, &after, rows.fit(&after));
            assert_eq!(found, is_fitted, "{off}");
            let expected = if is_fitted { 1.0 / 3.0 } else { mean(&before, 0.0) };
            assert!((mean(&after, shift) - expected).abs() < 1e-9, "{off}: {shift}");
        }
        let same: Vec<f64> = before.iter().map(|logit| logit + level).collect();
        assert_eq!(rows.served_shift(&same, &same, rows.fit(&same)), (0.0, false), "nothing was pruned");
    }

    #[test]
    fn change_of_one_group_changes_the_logits_by_the_change_of_its_weights() {
        let rows = rows(100, 100);
        let mut after = WEIGHTS;
        after[7..].fill(0.0);
        let mut logits = rows.logits(-1.0, &WEIGHTS);
        rows.add_gain(0, &WEIGHTS, &after, &mut logits);
        assert_eq!(logits, rows.logits(-1.0, &WEIGHTS), "nothing of the group changed");
        rows.add_gain(1, &WEIGHTS, &after, &mut logits);
        assert_eq!(logits, rows.logits(-1.0, &after));
    }

    #[test]
    fn rows_that_are_all_clicked_or_all_not_clicked_are_rejected() {
        assert!(rows(100, 100).refuse_one_sided().is_ok());
        let refusal = rows(1, 1).refuse_one_sided().unwrap_err().to_string();
        assert!(refusal.ends_with("found 1 clicks in 1 rows"), "{refusal}");
        assert!(HeldOut::new(1, 1).refuse_one_sided().is_err());
    }

    #[test]
    fn a_row_of_importance_three_counts_as_three_rows_even_in_a_sample() {
        let push = |rows: &mut HeldOut, row: u32, importance| {
            rows.push(&[row % 7], |_| 0, row.is_multiple_of(3), importance);
        };
        let (mut once, mut thrice) = (HeldOut::new(1, 1_000), HeldOut::new(1, 10_000));
        for row in 0..1_000 {
            push(&mut once, row, Some(if row % 2 == 0 { 3.0 } else { 1.0 }));
            (0..if row % 2 == 0 { 3 } else { 1 }).for_each(|_| push(&mut thrice, row, None));
        }
        let weights = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7];
        let [once_fit, thrice_fit] = [&once, &thrice].map(|rows| rows.fit(&rows.logits(-1.0, &weights)));
        assert!((once_fit.shift - thrice_fit.shift).abs() < 1e-9, "{once_fit:?} {thrice_fit:?}");
        assert!((once_fit.quality.log_loss - thrice_fit.quality.log_loss).abs() < 1e-9);
        let mut sample = HeldOut::new(1, 100);
        (0..1_000).for_each(|row| push(&mut sample, row, Some(f64::from(row))));
        assert_eq!(sample.importance.len(), sample.clicked.len());
    }
}
