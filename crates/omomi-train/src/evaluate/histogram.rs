//! Counts rows by predicted probability in bounded memory, for all metrics that need rows in the order of their
//! probabilities.

use super::auc::Pairs;
use super::evaluation::ReliabilityBin;
use super::metrics::whole;

/// Bins per unit of the logit. Rows in the same bin have equal rank, so an AUC is off by at most half the probability
/// that a clicked and an unclicked row share a bin.
const BINS_PER_LOGIT: f64 = 4_096.0;
/// Logits beyond this have equal rank: probabilities below 2e-7 and above 1 - 2e-7.
const MAX_LOGIT: f64 = 16.0;
const BIN_COUNT: usize = 2 * 16 * 4_096;

/// 1.96 standard deviations to both sides contain 95 % of a normal distribution.
pub(super) const NORMAL_95: f64 = 1.959_963_984_540_054;

/// Counts of rows per bin of the logit: 5 MiB, for any number of rows.
#[derive(Debug, Clone)]
pub(super) struct Histogram(Vec<Bin>);

/// Sums over the rows of a bin. Numbers of rows are sums of their importance: whole numbers if each row counts once.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    unclicked: f64,
    clicked: f64,
    /// Sums of the squared importance.
    unclicked_squares: f64,
    clicked_squares: f64,
    probability_sum: f64,
}

impl Bin {
    fn rows(&self) -> f64 {
        self.unclicked + self.clicked
    }

    /// Returns the number of rows of importance 1 that would tell as much about the observed CTR.
    ///
    /// The variance of the CTR `p` is the sum of the squared importance times the squared distance of each row's label
    /// from `p`, divided by the squared sum of the importance. Of `n` rows of importance 1, it is `p (1 - p) / n`.
    fn effective_rows(&self) -> f64 {
        let observed = self.clicked / self.rows();
        let squares = self.clicked_squares * (1.0 - observed).powi(2) + self.unclicked_squares * observed.powi(2);
        if observed > 0.0 && observed < 1.0 && squares > 0.0 {
            observed * (1.0 - observed) * self.rows() * self.rows() / squares
        } else {
            self.rows() * self.rows() / (self.unclicked_squares + self.clicked_squares)
        }
    }

    fn add(&mut self, other: &Self) {
        self.unclicked += other.unclicked;
        self.clicked += other.clicked;
        self.unclicked_squares += other.unclicked_squares;
        self.clicked_squares += other.clicked_squares;
        self.probability_sum += other.probability_sum;
    }
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self(vec![Bin::default(); BIN_COUNT])
    }

    #[inline]
    pub(super) fn add(&mut self, logit: f64, probability: f64, clicked: bool, importance: f64) {
        let shifted = (logit + MAX_LOGIT) * BINS_PER_LOGIT;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at 0")]
        let index = (shifted as usize).min(BIN_COUNT - 1);
        let bin = &mut self.0[index];
        let (rows, squares) = match clicked {
            true => (&mut bin.clicked, &mut bin.clicked_squares),
            false => (&mut bin.unclicked, &mut bin.unclicked_squares),
        };
        *rows += importance;
        *squares += importance * importance;
        bin.probability_sum += importance * probability;
    }

    pub(super) fn auc(&self) -> Option<f64> {
        let mut pairs = Pairs::default();
        for bin in &self.0 {
            pairs.add(bin.unclicked, bin.clicked);
        }
        pairs.auc()
    }

    /// Returns the average precision: over falling thresholds, the sum of the precision times the gain in recall.
    /// `None` if no row or every row was clicked.
    pub(super) fn pr_auc(&self) -> Option<f64> {
        let all = self.sum();
        if all.clicked <= 0.0 || all.unclicked <= 0.0 {
            return None;
        }
        let (mut above, mut area) = (Bin::default(), 0.0);
        for bin in self.0.iter().rev().filter(|bin| bin.rows() > 0.0) {
            above.add(bin);
            area += bin.clicked * (above.clicked / above.rows());
        }
        Some(area / all.clicked)
    }

    /// Returns at most `count` bins with equal numbers of rows, as far as rows of equal rank allow.
    pub(super) fn equal_mass(&self, count: u64) -> Vec<ReliabilityBin> {
        let groups = self.group(&self.equal_mass_ends(count));
        groups.iter().filter(|group| group.rows() > 0.0).map(reliability_bin).collect()
    }

    /// Returns the mean distance between observed CTR and mean probability over these bins; 0 without rows.
    pub(super) fn calibration_error(&self, count: u64) -> f64 {
        let groups = self.group(&self.equal_mass_ends(count));
        let distance = |group: &Bin| (group.clicked - group.probability_sum).abs();
        let (distance, rows) =
            groups.iter().fold((0.0, 0.0), |sums, group| (sums.0 + distance(group), sums.1 + group.rows()));
        if rows > 0.0 { distance / rows } else { 0.0 }
    }

    /// Returns the population stability index of the rows against those of `baseline`, over `count` bins with equal
    /// numbers of baseline rows. A bin without rows counts as half a row. The index is 0 if either has no rows.
    pub(super) fn population_stability_index(&self, baseline: &Self, count: u64) -> f64 {
        let ends = baseline.equal_mass_ends(count);
        let (own, theirs) = (self.group(&ends), baseline.group(&ends));
        let (all, their_all) = (self.sum(), baseline.sum());
        if all.rows() <= 0.0 || their_all.rows() <= 0.0 {
            return 0.0;
        }
        // Half a row, as important as the rows are.
        let half_row = |all: &Bin| 0.5 * (all.unclicked_squares + all.clicked_squares) / all.rows();
        let (least, their_least) = (half_row(&all), half_row(&their_all));
        own.iter()
            .zip(&theirs)
            .map(|(own, theirs)| {
                let own = own.rows().max(least) / all.rows();
                let theirs = theirs.rows().max(their_least) / their_all.rows();
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
        // The same sum as below, so that the last bin reaches it exactly.
        let (rows, count) = (self.0.iter().map(Bin::rows).sum::<f64>(), count as f64);
        let (mut ends, mut below) = (Vec::new(), 0.0);
        for (index, bin) in self.0.iter().enumerate() {
            let before = below * count;
            below += bin.rows();
            // Whether this bin reaches a multiple of rows / count. Exact for whole numbers below 2^53.
            let is_before_the_end = bin.rows() > 0.0 && below < rows;
            if is_before_the_end && (below * count / rows).floor() > (before / rows).floor() {
                ends.push(index + 1);
            }
        }
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
    let observed = bin.clicked / bin.rows();
    let rows = bin.effective_rows();
    let clicks = observed * rows;
    let z2 = NORMAL_95 * NORMAL_95;
    let middle = (clicks + z2 / 2.0) / (rows + z2);
    let reach = NORMAL_95 / (rows + z2) * (observed * (1.0 - observed) * rows + z2 / 4.0).sqrt();
    ReliabilityBin {
        impressions: whole(bin.rows()),
        clicks: whole(bin.clicked),
        mean_probability: bin.probability_sum / bin.rows(),
        observed_ctr: observed,
        observed_ctr_low: (middle - reach).max(0.0),
        observed_ctr_high: (middle + reach).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::metrics::logit_of;
    use super::*;

    fn histogram(rows: &[(f64, bool)]) -> Histogram {
        let mut histogram = Histogram::new();
        for &(probability, clicked) in rows {
            histogram.add(logit_of(probability), probability, clicked, 1.0);
        }
        histogram
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12, "expected {expected}, found {found}");
    }

    /// Computes the AUC by looking at every pair.
    fn plain_auc(rows: &[(f64, bool)]) -> Option<f64> {
        let (mut wins, mut pairs) = (0.0, 0.0);
        for (clicked, _) in rows.iter().filter(|(_, clicked)| *clicked) {
            for (unclicked, _) in rows.iter().filter(|(_, clicked)| !*clicked) {
                pairs += 1.0;
                wins += if clicked > unclicked { 1.0 } else { 0.0 } + if clicked == unclicked { 0.5 } else { 0.0 };
            }
        }
        (pairs > 0.0).then(|| wins / pairs)
    }

    /// Computes the average precision by counting all rows again for every threshold.
    fn plain_pr_auc(rows: &[(f64, bool)]) -> Option<f64> {
        let mut thresholds: Vec<f64> = rows.iter().map(|(probability, _)| *probability).collect();
        thresholds.sort_by(|one, other| other.total_cmp(one));
        thresholds.dedup();
        let clicks = rows.iter().filter(|(_, clicked)| *clicked).count() as f64;
        if clicks == 0.0 || clicks == rows.len() as f64 {
            return None;
        }
        let (mut area, mut recall_before) = (0.0, 0.0);
        for threshold in thresholds {
            let above: Vec<_> = rows.iter().filter(|(probability, _)| *probability >= threshold).collect();
            let hits = above.iter().filter(|(_, clicked)| *clicked).count() as f64;
            area += (hits / clicks - recall_before) * (hits / above.len() as f64);
            recall_before = hits / clicks;
        }
        Some(area)
    }

    #[test]
    fn areas_agree_with_results_computed_by_hand() {
        // From the top: clicked; unclicked and clicked together; unclicked.
        let rows = [(0.9, true), (0.5, false), (0.5, true), (0.1, false)];
        // Pairs: 0.9 wins two; 0.5 ties one and wins one.
        assert_near(histogram(&rows).auc().unwrap(), 3.5 / 4.0);
        // Precision 1 for the first half of the recall, 2/3 for the second.
        assert_near(histogram(&rows).pr_auc().unwrap(), 0.5 + 0.5 * 2.0 / 3.0);
        assert_eq!(histogram(&[(0.5, true)]).pr_auc(), None);
        assert_eq!(histogram(&[(0.5, false)]).auc(), None);
    }

    #[test]
    fn bins_hold_equally_many_rows_with_their_means_and_wilson_intervals() {
        let rows: Vec<(f64, bool)> = (1..=40).map(|step| (f64::from(step) / 100.0, step % 4 == 0)).collect();
        let bins = histogram(&rows).equal_mass(4);
        assert_eq!(bins.iter().map(|bin| bin.impressions).collect::<Vec<_>>(), [10; 4]);
        assert_eq!(bins.iter().map(|bin| bin.clicks).collect::<Vec<_>>(), [2, 3, 2, 3]);
        assert_near(bins[0].mean_probability, 0.055);
        assert_near(bins[0].observed_ctr, 0.2);
        // Wilson's interval for 2 of 10.
        assert!((bins[0].observed_ctr_low - 0.056_682).abs() < 1e-6, "{}", bins[0].observed_ctr_low);
        assert!((bins[0].observed_ctr_high - 0.509_838).abs() < 1e-6, "{}", bins[0].observed_ctr_high);
    }

    #[test]
    fn rows_of_equal_rank_stay_together() {
        let mut rows = vec![(0.5, false); 90];
        rows.extend([(0.2, false); 5]);
        rows.extend([(0.7, true); 5]);
        let bins = histogram(&rows).equal_mass(20);
        assert_eq!(bins.iter().map(|bin| bin.impressions).collect::<Vec<_>>(), [5, 90, 5]);
        assert!(histogram(&[]).equal_mass(20).is_empty());
    }

    #[test]
    fn a_shift_is_measured_over_the_bins_of_the_baseline() {
        let baseline = histogram(&[(0.1, false), (0.2, false), (0.3, false), (0.4, false)]);
        assert_near(baseline.population_stability_index(&baseline, 10), 0.0);
        // The baseline is cut in half after 0.2: from 2 and 2 rows to 1 and 3.
        let shifted = histogram(&[(0.1, false), (0.35, false), (0.36, false), (0.37, false)]);
        let expected = (0.25 - 0.5) * (0.25_f64 / 0.5).ln() + (0.75 - 0.5) * (0.75_f64 / 0.5).ln();
        assert_near(shifted.population_stability_index(&baseline, 2), expected);
        // All rows are above the cut: the empty half counts as half a row of four.
        let gone = histogram(&[(0.9, false); 4]);
        let expected = (0.125 - 0.5) * (0.125_f64 / 0.5).ln() + (1.0 - 0.5) * (1.0_f64 / 0.5).ln();
        assert_near(gone.population_stability_index(&baseline, 2), expected);
        assert_near(histogram(&[]).population_stability_index(&baseline, 2), 0.0);
    }

    #[test]
    fn probabilities_beyond_the_bins_are_counted_in_the_last_ones() {
        let rows = [(1e-12, false), (1.0 - 1e-12, true), (1e-9, false)];
        let histogram = histogram(&rows);
        assert_eq!(histogram.auc(), Some(1.0));
        assert_eq!(histogram.equal_mass(2).iter().map(|bin| bin.impressions).sum::<u64>(), 3);
    }

    proptest! {
        /// Probabilities on a coarse grid, so that ties are common and distinct values are in distinct bins.
        #[test]
        fn areas_agree_with_those_of_every_pair_and_every_threshold(
            rows in prop::collection::vec((1_u32..50, any::<bool>()), 0..60)
        ) {
            let rows: Vec<(f64, bool)> = rows.iter().map(|&(step, clicked)| (f64::from(step) / 50.0, clicked)).collect();
            let found = histogram(&rows);
            match (found.auc(), plain_auc(&rows)) {
                (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-12),
                (found, expected) => prop_assert_eq!(found, expected),
            }
            match (found.pr_auc(), plain_pr_auc(&rows)) {
                (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-12),
                (found, expected) => prop_assert_eq!(found, expected),
            }
        }

        #[test]
        fn bins_lose_no_row_and_none_is_too_large_for_its_ties(
            rows in prop::collection::vec((1_u32..10_000, any::<bool>()), 1..500), count in 1_u64..30
        ) {
            let rows: Vec<(f64, bool)> =
                rows.iter().map(|&(step, clicked)| (f64::from(step) / 10_000.0, clicked)).collect();
            let bins = histogram(&rows).equal_mass(count);
            prop_assert!(bins.len() as u64 <= count);
            prop_assert_eq!(bins.iter().map(|bin| bin.impressions).sum::<u64>(), rows.len() as u64);
            prop_assert_eq!(bins.iter().map(|bin| bin.clicks).sum::<u64>(), rows.iter().filter(|row| row.1).count() as u64);
            prop_assert!(bins.windows(2).all(|pair| pair[0].mean_probability < pair[1].mean_probability));
            let mut ties = std::collections::BTreeMap::new();
            rows.iter().for_each(|(probability, _)| *ties.entry(probability.to_bits()).or_insert(0_u64) += 1);
            let max_ties = ties.values().max().copied().unwrap_or(0);
            // Neighboring steps near 1/2 may share a fine bin of the logit.
            let max = (rows.len() as u64).div_ceil(count) + 3 * max_ties;
            prop_assert!(bins.iter().all(|bin| bin.impressions <= max));
        }
    }
}
