//! Down-sampling: of the rows that were not clicked only a share is learned from, each counting for those left out.

use crate::log::RowBatch;
use omomi::feature;

use super::TrainError;

/// How many of the rows that were not clicked are learned from.
///
/// Clicks are rare, and what a model knows is bounded by how many it has seen; most of the other rows tell it nothing
/// new. A row that is kept has an importance of 1 over the rate, so that the sums of the gradients, the counts and the
/// predictions are those of all rows, but for chance.
///
/// Whether a row is kept hangs on the seed and on its number in the log alone, so every pass keeps the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Probability with which a row that was not clicked is kept. Above 0, at most 1.
    pub negative_rate: f64,
    /// Another seed keeps other rows.
    pub seed: u64,
}

impl Default for Sampling {
    /// Every row is kept.
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

    /// Whether row `row` of the log, counted from 0, is learned from.
    #[inline]
    fn keeps(&self, row: u64, clicked: bool) -> bool {
        clicked || uniform(feature::feature_key(self.seed, row)) < self.negative_rate
    }
}

/// From evenly spread bits to an evenly spread number in [0, 1).
#[inline]
fn uniform(bits: u64) -> f64 {
    // 53 bits: as many as a double holds.
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Thins out the batches of a log, one after the other.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    /// Rows of the log before the next batch.
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

    /// The log begins again.
    pub(super) fn rewind(&mut self) {
        self.row_count = 0;
    }

    /// The rows of `batch` that are kept; nothing where all of them are.
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

    /// How much each row of `batch`, of which only kept rows are left, counts: as the log says, and if it was not clicked
    /// for those left out too.
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
    fn all_clicks_and_the_asked_share_of_the_others_are_kept() {
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
    fn which_rows_are_kept_hangs_on_seed_and_row_number_alone() {
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
    fn a_rate_out_of_bounds_is_refused() {
        for negative_rate in [0.0, -0.5, 1.5, f64::NAN] {
            let message = Sampling { negative_rate, seed: 0 }.check().unwrap_err().to_string();
            assert!(message.starts_with("negative_rate must be a number above 0 and at most 1, found"), "{message}");
        }
        assert!(Sampling { negative_rate: 1.0, seed: 0 }.check().is_ok());
    }
}
