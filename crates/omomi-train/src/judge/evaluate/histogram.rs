//! Counts rows by predicted probability in bounded memory, for all metrics that need rows in the order of their
//! probabilities.

use super::auc::Pairs;
use super::evaluation::ReliabilityBin;

/// Bins per unit of the logit. Rows in the same bin have equal rank, so an AUC is off by at most half the probability
/// that a clicked and an unclicked row share a bin.
const BINS_PER_LOGIT: f64 = 4_096.0;
/// Logits beyond this have equal rank: probabilities below 2e-7 and above 1 - 2e-7.
const MAX_LOGIT: f64 = 16.0;
const BIN_COUNT: usize = 2 * 16 * 4_096;

/// 1.96 standard deviations to both sides contain 95 % of a normal distribution.
pub(super) const NORMAL_95: f64 = 1.959_963_984_540_054;

/// Counts of rows per bin of the logit: 3 MiB, for any number of rows.
#[derive(Debug, Clone)]
pub(super) struct Histogram(Vec<Bin>);

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    unclicked: u64,
    clicked: u64,
    probability_sum: f64,
}

impl Bin {
    const fn rows(&self) -> u64 {
        self.unclicked + self.clicked
    }

    fn add(&mut self, other: &Self) {
        self.unclicked += other.unclicked;
        self.clicked += other.clicked;
        self.probability_sum += other.probability_sum;
    }
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self(vec![Bin::default(); BIN_COUNT])
    }

    #[inline]
    pub(super) fn add(&mut self, logit: f64, probability: f64, clicked: bool) {
        let shifted = (logit + MAX_LOGIT) * BINS_PER_LOGIT;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at 0")]
        let index = (shifted as usize).min(BIN_COUNT - 1);
        let bin = &mut self.0[index];
        bin.unclicked += u64::from(!clicked);
        bin.clicked += u64::from(clicked);
        bin.probability_sum += probability;
    }

    pub(super) fn auc(&self) -> Option<f64> {
        let mut pairs = Pairs::default();
        for bin in &self.0 {
            pairs.add(bin.unclicked as f64, bin.clicked as f64);
        }
        pairs.auc()
    }

    /// Returns the average precision: over falling thresholds, the sum of the precision times the gain in recall.
    /// `None` if no row or every row was clicked.
    pub(super) fn pr_auc(&self) -> Option<f64> {
        let all = self.sum();
        if all.clicked == 0 || all.unclicked == 0 {
            return None;
        }
        let (mut above, mut area) = (Bin::default(), 0.0);
        for bin in self.0.iter().rev().filter(|bin| bin.rows() > 0) {
            above.add(bin);
            area += bin.clicked as f64 * (above.clicked as f64 / above.rows() as f64);
        }
        Some(area / all.clicked as f64)
    }

    /// Returns at most `count` bins with equal numbers of rows, as far as rows of equal rank allow.
    pub(super) fn equal_mass(&self, count: u64) -> Vec<ReliabilityBin> {
        let groups = self.group(&self.equal_mass_ends(count));
        groups.iter().filter(|group| group.rows() > 0).map(reliability_bin).collect()
    }

    /// Returns the population stability index of the rows against those of `baseline`, over `count` bins with equal
    /// numbers of baseline rows. A bin without rows counts as half a row. The index is 0 if either has no rows.
    pub(super) fn population_stability_index(&self, baseline: &Self, count: u64) -> f64 {
        let ends = baseline.equal_mass_ends(count);
        let (own, theirs) = (self.group(&ends), baseline.group(&ends));
        let (own_rows, their_rows) = (self.sum().rows(), baseline.sum().rows());
        if own_rows == 0 || their_rows == 0 {
            return 0.0;
        }
        let share = |rows: u64, of: u64| (rows as f64).max(0.5) / of as f64;
        own.iter()
            .zip(&theirs)
            .map(|(own, theirs)| {
                let (own, theirs) = (share(own.rows(), own_rows), share(theirs.rows(), their_rows));
                (own - theirs) * (own / theirs).ln()
            })
            .sum()
    }

    fn sum(&self) -> Bin {
        let mut sum = Bin::default();
        self.0.iter().for_each(|bin| sum.add(bin));
        sum
    }

    /// Returns the bins after which to cut, so that `count` parts have equal numbers of rows. Rows of equal rank stay
    /// together, so there may be fewer parts. There is always a cut after the last bin.
    fn equal_mass_ends(&self, count: u64) -> Vec<usize> {
        let rows = u128::from(self.sum().rows());
        let (mut ends, mut below) = (Vec::new(), 0_u128);
        for (index, bin) in self.0.iter().enumerate() {
            let before = below * u128::from(count);
            below += u128::from(bin.rows());
            // Whether this bin reaches a multiple of rows / count.
            if bin.rows() > 0 && below * u128::from(count) / rows > before / rows {
                ends.push(index + 1);
            }
        }
        // The last multiple has been reached, so all bins above belong to the last part.
        ends.pop();
        ends.push(BIN_COUNT);
        ends
    }

    /// Returns the sums of the bins between the cuts.
    fn group(&self, ends: &[usize]) -> Vec<Bin> {
        let mut start = 0;
        let group = |&end: &usize| {
            let mut sum = Bin::default();
            self.0[start..end].iter().for_each(|bin| sum.add(bin));
            start = end;
            sum
        };
        ends.iter().map(group).collect()
    }
}

fn reliability_bin(bin: &Bin) -> ReliabilityBin {
    let (rows, clicks) = (bin.rows() as f64, bin.clicked as f64);
    let observed = clicks / rows;
    let z2 = NORMAL_95 * NORMAL_95;
    let middle = (clicks + z2 / 2.0) / (rows + z2);
    let reach = NORMAL_95 / (rows + z2) * (observed * (1.0 - observed) * rows + z2 / 4.0).sqrt();
    ReliabilityBin {
        impressions: bin.rows(),
        clicks: bin.clicked,
        mean_probability: bin.probability_sum / rows,
        observed_ctr: observed,
        observed_ctr_low: (middle - reach).max(0.0),
        observed_ctr_high: (middle + reach).min(1.0),
    }
}

#[cfg(test)]
mod tests;
