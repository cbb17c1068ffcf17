//! The metrics, summed one predicted row at a time.

use omomi::math;

use super::auc::Ranks;

/// Metrics of some predicted rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Rows, each as many as it counts for, rounded to a whole number.
    pub impressions: u64,
    /// Those of them that were clicked.
    pub clicks: u64,
    /// Mean negative log likelihood, natural log, per impression; 0 without rows.
    pub log_loss: f64,
    /// Log loss over the entropy of the observed CTR, which is the log loss of the best constant: below 1 is better than
    /// that. Nothing where no row or every row was clicked.
    pub normalized_entropy: Option<f64>,
    /// Probability that a clicked row has a greater prediction than an unclicked one, ties counting half. Nothing where
    /// no row or every row was clicked.
    pub auc: Option<f64>,
    /// Sum of the probabilities over clicks: 1 is right, above 1 promises too much. Nothing without clicks.
    pub calibration_ratio: Option<f64>,
}

impl Metrics {
    /// Clicks over impressions; 0 without rows.
    #[must_use]
    pub fn observed_ctr(&self) -> f64 {
        if self.impressions == 0 { 0.0 } else { self.clicks as f64 / self.impressions as f64 }
    }

    /// Log loss of the best constant prediction: the entropy of the observed CTR.
    #[must_use]
    pub fn constant_log_loss(&self) -> f64 {
        entropy(self.observed_ctr())
    }
}

/// Sums up predicted rows and says their [`Metrics`] at any time.
#[derive(Debug, Clone)]
pub struct Evaluator {
    totals: Totals,
    ranks: Ranks,
}

/// Sums over predicted rows, of which every metric but the AUC is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Importance of all rows, and of those that were clicked: whole numbers where rows count alike.
    impressions: f64,
    clicks: f64,
    log_loss_sum: f64,
    probability_sum: f64,
}

impl Totals {
    /// Takes in a row: its log loss and its probability.
    #[inline]
    pub(super) fn add(&mut self, log_loss: f64, probability: f64, clicked: bool) {
        self.add_important(log_loss, probability, clicked, 1.0);
    }

    /// Takes in a row that counts as `importance` rows.
    #[inline]
    fn add_important(&mut self, log_loss: f64, probability: f64, clicked: bool, importance: f64) {
        self.impressions += importance;
        self.clicks += if clicked { importance } else { 0.0 };
        self.log_loss_sum += importance * log_loss;
        self.probability_sum += importance * probability;
    }

    /// Mean of the probabilities; 0 without rows.
    pub(super) fn mean_probability(&self) -> f64 {
        self.probability_sum / self.impressions.max(1.0)
    }

    /// Metrics of the rows that came after `earlier` was taken from the same evaluator, without the AUC.
    #[must_use]
    pub fn since(self, earlier: Self) -> Metrics {
        Self {
            impressions: self.impressions - earlier.impressions,
            clicks: self.clicks - earlier.clicks,
            log_loss_sum: self.log_loss_sum - earlier.log_loss_sum,
            probability_sum: self.probability_sum - earlier.probability_sum,
        }
        .metrics(None)
    }

    /// The metrics of the rows, with an AUC that was found otherwise.
    pub(super) fn metrics(self, auc: Option<f64>) -> Metrics {
        let mut metrics = Metrics {
            impressions: whole(self.impressions),
            clicks: whole(self.clicks),
            log_loss: 0.0,
            normalized_entropy: None,
            auc,
            calibration_ratio: (self.clicks > 0.0).then(|| self.probability_sum / self.clicks),
        };
        if self.impressions > 0.0 {
            metrics.log_loss = self.log_loss_sum / self.impressions;
        }
        if self.clicks > 0.0 && self.clicks < self.impressions {
            metrics.normalized_entropy = Some(metrics.log_loss / metrics.constant_log_loss());
        }
        metrics
    }
}

impl Evaluator {
    /// An evaluator of bounded memory (128 KiB): its AUC takes logits in the same
    /// 1/[`HISTOGRAM_BINS_PER_LOGIT`](super::HISTOGRAM_BINS_PER_LOGIT) as equal, and all beyond ±16.
    #[must_use]
    pub fn bounded() -> Self {
        Self::with(Ranks::histogram())
    }

    /// An evaluator with an exact AUC, for 8 bytes a row.
    #[must_use]
    pub fn exact() -> Self {
        Self::with(Ranks::exact())
    }

    fn with(ranks: Ranks) -> Self {
        Self { totals: Totals::default(), ranks }
    }

    /// Takes in a row that was predicted as the logit `logit`, which must not be NaN.
    #[inline]
    pub fn add_logit(&mut self, logit: f64, clicked: bool) {
        self.add_important_logit(logit, clicked, 1.0);
    }

    /// As [`add_logit`](Self::add_logit), for a row that counts as `importance` rows. An exact AUC takes rows to count
    /// alike all the same; where they do not, ask a [bounded](Self::bounded) evaluator.
    #[inline]
    pub fn add_important_logit(&mut self, logit: f64, clicked: bool, importance: f64) {
        debug_assert!(!logit.is_nan());
        self.totals.add_important(log_loss(logit, clicked), math::sigmoid(logit), clicked, importance);
        self.ranks.add(logit, clicked, importance);
    }

    /// Takes in a row that was predicted as `probability`. A probability of 0 for a clicked row, or of 1 for one that was
    /// not clicked, makes the log loss infinite: neither is a probability in (0, 1).
    #[inline]
    pub fn add_probability(&mut self, probability: f64, clicked: bool) {
        self.totals.add(probability_log_loss(probability, clicked), probability, clicked);
        self.ranks.add(logit_of(probability), clicked, 1.0);
    }

    /// The metrics of the rows so far. The exact form sorts them, so ask seldom.
    pub fn metrics(&mut self) -> Metrics {
        let auc = self.ranks.auc();
        self.totals.metrics(auc)
    }

    /// The sums of the rows so far.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }
}

/// The nearest whole number of rows to a sum of their importance.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and importance is never negative"
)]
pub(crate) fn whole(importance: f64) -> u64 {
    importance.round() as u64
}

/// Log loss of one row that was predicted as `logit`: finite for every finite logit.
#[inline]
#[must_use]
pub fn log_loss(logit: f64, clicked: bool) -> f64 {
    // ln(1 + e^x) with the sign turned so that e^x is at most 1.
    let against = if clicked { -logit } else { logit };
    against.max(0.0) + (-against.abs()).exp().ln_1p()
}

/// Log loss of one row that was predicted as `probability`.
#[inline]
pub(super) fn probability_log_loss(probability: f64, clicked: bool) -> f64 {
    if clicked { -probability.ln() } else { -(-probability).ln_1p() }
}

/// The logit whose sigmoid is `probability`.
#[inline]
pub(super) fn logit_of(probability: f64) -> f64 {
    probability.ln() - (-probability).ln_1p()
}

/// Entropy of an event of this probability, in nats; 0 at 0 and 1.
#[must_use]
pub fn entropy(probability: f64) -> f64 {
    let part = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
    part(probability) + part(1.0 - probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "expected {expected}, found {found}");
    }

    #[test]
    fn metrics_agree_with_those_done_by_hand() {
        // Logits ln 3, 0, -ln 3 are the probabilities 3/4, 1/2, 1/4.
        let rows = [(3.0_f64.ln(), true), (0.0, false), (-(3.0_f64.ln()), false), (0.0, true)];
        let mut by_logit = Evaluator::exact();
        let mut by_probability = Evaluator::bounded();
        for (logit, clicked) in rows {
            by_logit.add_logit(logit, clicked);
            by_probability.add_probability(1.0 / (1.0 + (-logit).exp()), clicked);
        }
        for metrics in [by_logit.metrics(), by_probability.metrics()] {
            assert_eq!((metrics.impressions, metrics.clicks), (4, 2));
            let log_loss = -(0.75_f64.ln() + 0.5_f64.ln() + 0.75_f64.ln() + 0.5_f64.ln()) / 4.0;
            assert_near(metrics.log_loss, log_loss);
            assert_near(metrics.normalized_entropy.unwrap(), log_loss / 2.0_f64.ln());
            // Clicked 3/4 beats both; clicked 1/2 ties with one and beats one: 3.5 of 4.
            assert_near(metrics.auc.unwrap(), 3.5 / 4.0);
            assert_near(metrics.calibration_ratio.unwrap(), 1.0);
        }
    }

    #[test]
    fn metrics_that_are_undefined_are_absent() {
        let empty = Evaluator::bounded().metrics();
        assert_eq!((empty.log_loss, empty.auc, empty.calibration_ratio), (0.0, None, None));
        let mut unclicked = Evaluator::exact();
        unclicked.add_logit(0.0, false);
        let metrics = unclicked.metrics();
        assert_near(metrics.log_loss, 2.0_f64.ln());
        assert_eq!((metrics.normalized_entropy, metrics.auc, metrics.calibration_ratio), (None, None, None));
    }

    #[test]
    fn the_best_constant_has_a_normalized_entropy_of_one() {
        let mut evaluator = Evaluator::bounded();
        for row in 0..10 {
            evaluator.add_probability(0.3, row < 3);
        }
        let metrics = evaluator.metrics();
        assert_near(metrics.normalized_entropy.unwrap(), 1.0);
        assert_eq!(metrics.auc, Some(0.5));
        assert_near(metrics.calibration_ratio.unwrap(), 1.0);
    }

    #[test]
    fn a_window_has_the_metrics_of_its_rows_alone() {
        let (mut all, mut window) = (Evaluator::bounded(), Evaluator::bounded());
        all.add_logit(2.0, false);
        let earlier = all.totals();
        for evaluator in [&mut all, &mut window] {
            evaluator.add_logit(-1.0, false);
            evaluator.add_logit(0.5, true);
        }
        let (found, expected) = (all.totals().since(earlier), window.metrics());
        assert_eq!((found.impressions, found.clicks, found.auc), (2, 1, None));
        assert_near(found.log_loss, expected.log_loss);
        assert_near(found.calibration_ratio.unwrap(), expected.calibration_ratio.unwrap());
    }

    #[test]
    fn a_row_of_importance_two_and_a_half_counts_as_so_many() {
        let (mut halves, mut evaluator) = (Evaluator::bounded(), Evaluator::bounded());
        // As many copies as make the importance whole leave every ratio as it is.
        for (logit, clicked, importance, copies) in [(-1.0, false, 2.5, 5), (0.5, true, 1.0, 2), (-3.0, true, 1.0, 2)] {
            evaluator.add_important_logit(logit, clicked, importance);
            (0..copies).for_each(|_| halves.add_logit(logit, clicked));
        }
        let (found, expected) = (evaluator.metrics(), halves.metrics());
        assert_eq!((found.impressions, found.clicks, found.auc), (5, 2, expected.auc));
        assert_near(found.log_loss, expected.log_loss);
        assert_near(found.calibration_ratio.unwrap(), expected.calibration_ratio.unwrap());
    }

    #[test]
    fn log_loss_of_an_extreme_logit_is_finite() {
        assert_eq!(log_loss(1e9, false), 1e9);
        assert_eq!(log_loss(1e9, true), 0.0);
        assert_near(log_loss(0.0, true), 2.0_f64.ln());
    }
}
