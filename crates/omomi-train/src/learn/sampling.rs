//! Down-samples the rows without a click: only a share of them is learned, and each kept row also counts for those left
//! out.

use crate::log::RowBatch;
use omomi::feature;

use super::TrainError;

/// How many of the rows without a click are learned.
///
/// Clicks are rare, and their number limits what a model can learn. Most rows without a click add nothing new. A kept
/// row without a click has an importance of 1 divided by the rate. So the sums of gradients, the counts and the
/// predictions are those of all rows, apart from chance.
///
/// Whether a row is kept depends only on the seed and on the row's number in the log, so every pass keeps the same
/// rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Probability that a row without a click is kept: above 0, at most 1.
    pub negative_rate: f64,
    /// Seed of the choice: another seed keeps other rows.
    pub seed: u64,
}

impl Default for Sampling {
    /// Returns the sampling that keeps every row.
    fn default() -> Self {
        Self { negative_rate: 1.0, seed: 0 }
    }
}

impl Sampling {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        let found = self.negative_rate;
        if found > 0.0 && found <= 1.0 {
            return Ok(());
        }
        Err(TrainError::Setting { name: "negative_rate", expected: "above 0 and at most 1", found })
    }

    /// Returns whether row `row` of the log, counted from 0, is kept.
    #[inline]
    fn keeps(&self, row: u64, clicked: bool) -> bool {
        clicked || uniform(feature::feature_key(self.seed, row)) < self.negative_rate
    }
}

/// Maps uniform bits to a uniform number in [0, 1).
#[inline]
fn uniform(bits: u64) -> f64 {
    // A double holds 53 bits exactly.
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Down-samples the batches of a log, one after the other.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    /// Number of rows of the log before the next batch.
    row_count: u64,
    importance: Vec<f64>,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        Self { sampling, row_count: 0, importance: Vec::new() }
    }

    pub(super) const fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// Prepares for another pass: the next batch is the first of the log.
    pub(super) fn rewind(&mut self) {
        self.row_count = 0;
    }

    /// Returns the kept rows of `batch`, or `None` if sampling keeps every row.
    pub(super) fn thin_out(&mut self, batch: &RowBatch) -> Option<RowBatch> {
        let first = self.row_count;
        self.row_count += batch.row_count() as u64;
        if self.sampling.negative_rate >= 1.0 {
            return None;
        }
        let rows = (first..).zip(&batch.clicked);
        let keep: Vec<bool> = rows.map(|(row, &clicked)| self.sampling.keeps(row, clicked)).collect();
        let mut kept = batch.clone();
        kept.keep_rows(&keep);
        Some(kept)
    }

    /// Returns the importance of each row of `batch`, which holds only kept rows: the importance in the log, divided by
    /// the rate for rows without a click.
    pub(super) fn importance(&mut self, batch: &RowBatch) -> &[f64] {
        let unclicked = 1.0 / self.sampling.negative_rate;
        self.importance.clear();
        self.importance.extend(batch.clicked.iter().map(|&clicked| if clicked { 1.0 } else { unclicked }));
        for (importance, &factor) in self.importance.iter_mut().zip(batch.importance.iter().flatten()) {
            *importance *= factor;
        }
        &self.importance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(row_count: usize) -> RowBatch {
        let times = (0..).take(row_count).collect();
        RowBatch {
            clicked: (0..row_count).map(|row| row % 10 == 0).collect(),
            time_us: Some(times),
            ..RowBatch::default()
        }
    }

    #[test]
    fn all_clicks_and_the_requested_share_of_other_rows_are_kept() {
        let mut sampler = Sampler::new(Sampling { negative_rate: 0.1, seed: 7 });
        let kept = sampler.thin_out(&batch(100_000)).unwrap();
        let clicks = kept.clicked.iter().filter(|&&clicked| clicked).count();
        assert_eq!(clicks, 10_000);
        // 90,000 rows at 0.1: five standard deviations are 450.
        let others = kept.row_count() - clicks;
        assert!((8_550..9_450).contains(&others), "{others}");
        let importance: f64 = sampler.importance(&kept).iter().sum();
        assert_eq!(importance, (clicks + 10 * others) as f64);
        let doubled = RowBatch { importance: Some(vec![2.0; kept.row_count()]), ..kept };
        assert_eq!(sampler.importance(&doubled).iter().sum::<f64>(), 2.0 * importance);
    }

    #[test]
    fn which_rows_are_kept_depends_only_on_seed_and_row_number() {
        let rows = batch(2_000);
        let mut once = Sampler::new(Sampling { negative_rate: 0.3, seed: 1 });
        let whole = once.thin_out(&rows).unwrap().time_us;
        let mut parts = Vec::new();
        once.rewind();
        for start in [0, 700] {
            let mut part = batch(2_000);
            let keep: Vec<bool> = (0..2_000).map(|row| (row < 700) == (start == 0)).collect();
            part.keep_rows(&keep);
            parts.extend(once.thin_out(&part).unwrap().time_us.unwrap());
        }
        assert_eq!(whole, Some(parts));
        let mut other = Sampler::new(Sampling { negative_rate: 0.3, seed: 2 });
        assert_ne!(other.thin_out(&rows).unwrap().time_us, whole);
        assert!(Sampler::new(Sampling::default()).thin_out(&rows).is_none());
    }

    #[test]
    fn a_rate_out_of_bounds_is_rejected() {
        for negative_rate in [0.0, -0.5, 1.5, f64::NAN] {
            let message = Sampling { negative_rate, seed: 0 }.check().unwrap_err().to_string();
            assert!(message.starts_with("negative_rate must be a number above 0 and at most 1, found"), "{message}");
        }
        assert!(Sampling { negative_rate: 1.0, seed: 0 }.check().is_ok());
    }
}
