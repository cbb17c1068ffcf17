//! The metrics, computed from one predicted row at a time.

use omomi::math;

use super::auc::Ranks;

/// Metrics of a set of predicted rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Sum of the importance of the rows, rounded to a whole number.
    pub impressions: u64,
    /// The clicked part of the impressions.
    pub clicks: u64,
    /// Mean negative log likelihood, natural log, per impression; 0 without rows.
    pub log_loss: f64,
    /// Log loss divided by the entropy of the observed CTR, which is the log loss of the best constant. Below 1 is
    /// better than that constant. `None` if no row or every row was clicked.
    pub normalized_entropy: Option<f64>,
    /// Probability that a clicked row has a higher prediction than an unclicked one; ties count half. `None` if no row
    /// or every row was clicked.
    pub auc: Option<f64>,
    /// Sum of the probabilities divided by the clicks: 1 is right; above 1, probabilities are too high. `None` without
    /// clicks.
    pub calibration_ratio: Option<f64>,
}

impl Metrics {
    /// Clicks divided by impressions; 0 without rows.
    #[must_use]
    pub fn observed_ctr(&self) -> f64 {
        if self.impressions == 0 { 0.0 } else { self.clicks as f64 / self.impressions as f64 }
    }

    /// The log loss of the best constant prediction, which is the entropy of the observed CTR.
    #[must_use]
    pub fn constant_log_loss(&self) -> f64 {
        entropy(self.observed_ctr())
    }
}

/// Adds up predicted rows and returns their [`Metrics`] at any time.
#[derive(Debug, Clone)]
pub struct Evaluator {
    totals: Totals,
    ranks: Ranks,
}

/// Sums over predicted rows, from which every metric except the AUC is computed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Importance of all rows, and of the clicked rows: whole numbers if all rows are equally important.
    impressions: f64,
    clicks: f64,
    log_loss_sum: f64,
    probability_sum: f64,
    /// Number of clicked rows, and the sum of their squared importance.
    clicked_rows: f64,
    clicked_squares: f64,
    /// Over the unclicked rows, the squared probability times the importance, and times its square.
    unclicked_parts: f64,
    unclicked_squares: f64,
}

impl Totals {
    /// Adds a row with its log loss and its probability, which counts as `importance` rows.
    #[inline]
    pub(super) fn add(&mut self, log_loss: f64, probability: f64, clicked: bool, importance: f64) {
        self.impressions += importance;
        self.log_loss_sum += importance * log_loss;
        self.probability_sum += importance * probability;
        if clicked {
            self.clicks += importance;
            self.clicked_rows += 1.0;
            self.clicked_squares += importance * importance;
        } else {
            let part = importance * probability * probability;
            self.unclicked_parts += part;
            self.unclicked_squares += importance * part;
        }
    }

    /// Returns the mean of the probabilities; 0 without rows.
    pub(super) fn mean_probability(&self) -> f64 {
        if self.impressions > 0.0 { self.probability_sum / self.impressions } else { 0.0 }
    }

    /// Whether any row was added.
    pub(super) fn has_rows(&self) -> bool {
        self.impressions > 0.0
    }

    /// Returns how many clicks, each of importance 1 in a log that leaves no row out, would tell as much about the
    /// calibration ratio; 0 without clicks. That is the number of clicked rows if they are equally important and no
    /// less than the others.
    ///
    /// The variance of the logarithm of the ratio has two parts. That of the clicks is the sum of their squared
    /// importance divided by the squared sum (one divided by the clicks, if all are 1). That of the predictions comes
    /// from rows that represent others that were left out: a row of importance `w` adds `w (w - 1)` times its squared
    /// probability, if a clicked row has importance 1.
    pub(super) fn effective_clicks(&self) -> f64 {
        if self.clicks <= 0.0 {
            return 0.0;
        }
        let mean_importance = self.clicks / self.clicked_rows;
        let excess = (self.unclicked_squares - mean_importance * self.unclicked_parts).max(0.0);
        let of_predictions = if excess > 0.0 { excess * (self.clicks / self.probability_sum).powi(2) } else { 0.0 };
        self.clicks * self.clicks / (self.clicked_squares + of_predictions)
    }

    /// Returns the metrics of the rows that were added after `earlier` was copied from the evaluator, without the AUC.
    #[must_use]
    pub fn since(self, earlier: Self) -> Metrics {
        Self {
            impressions: self.impressions - earlier.impressions,
            clicks: self.clicks - earlier.clicks,
            log_loss_sum: self.log_loss_sum - earlier.log_loss_sum,
            probability_sum: self.probability_sum - earlier.probability_sum,
            // The metrics of a window have no intervals.
            ..Self::default()
        }
        .metrics(None)
    }

    /// Returns the metrics of the rows, with an AUC that was computed elsewhere.
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
            // Not from the rounded numbers: rows of small importance would have none.
            metrics.normalized_entropy = Some(metrics.log_loss / entropy(self.clicks / self.impressions));
        }
        metrics
    }
}

impl Evaluator {
    /// Creates an evaluator with bounded memory (128 KiB). Its AUC treats logits in the same interval of
    /// 1/[`HISTOGRAM_BINS_PER_LOGIT`](super::HISTOGRAM_BINS_PER_LOGIT) as equal, and also all logits beyond ±16.
    #[must_use]
    pub fn bounded() -> Self {
        Self::with(Ranks::histogram())
    }

    /// Creates an evaluator with an exact AUC, which takes 8 bytes per row.
    #[must_use]
    pub fn exact() -> Self {
        Self::with(Ranks::exact())
    }

    /// Creates an evaluator for the rows of a log: exact, or bounded if rows have an importance.
    pub(crate) fn of_rows(has_importance: bool) -> Self {
        if has_importance { Self::bounded() } else { Self::exact() }
    }

    fn with(ranks: Ranks) -> Self {
        Self { totals: Totals::default(), ranks }
    }

    /// Adds a row with the predicted `logit`, which must not be NaN.
    #[inline]
    pub fn add_logit(&mut self, logit: f64, clicked: bool) {
        self.add_important_logit(logit, clicked, 1.0);
    }

    /// Adds a row with the predicted `logit` that counts as `importance` rows. An exact AUC ignores the importance; if
    /// it varies, use a [bounded](Self::bounded) evaluator.
    #[inline]
    pub fn add_important_logit(&mut self, logit: f64, clicked: bool, importance: f64) {
        debug_assert!(!logit.is_nan());
        self.totals.add(log_loss(logit, clicked), math::sigmoid(logit), clicked, importance);
        self.ranks.add(logit, clicked, importance);
    }

    /// Adds a row with the predicted `probability`. A probability of 0 for a clicked row, or of 1 for an unclicked one,
    /// makes the log loss infinite, because neither is in (0, 1).
    #[inline]
    pub fn add_probability(&mut self, probability: f64, clicked: bool) {
        self.add_important_probability(probability, clicked, 1.0);
    }

    /// Adds a row with the predicted `probability` that counts as `importance` rows. An exact AUC ignores the
    /// importance, like that of [`add_important_logit`](Self::add_important_logit).
    #[inline]
    pub fn add_important_probability(&mut self, probability: f64, clicked: bool, importance: f64) {
        self.totals.add(probability_log_loss(probability, clicked), probability, clicked, importance);
        self.ranks.add(logit_of(probability), clicked, importance);
    }

    /// Returns the metrics of the rows so far. The exact form sorts them, so call this rarely.
    pub fn metrics(&mut self) -> Metrics {
        let auc = self.ranks.auc();
        self.totals.metrics(auc)
    }

    /// Returns the sums of the rows so far.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }
}

/// Rounds a sum of importance to a whole number of rows.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and importance is never negative"
)]
pub(crate) fn whole(importance: f64) -> u64 {
    importance.round() as u64
}

/// Returns the log loss of a row with the predicted `logit`. It is finite for every finite logit.
#[inline]
#[must_use]
pub fn log_loss(logit: f64, clicked: bool) -> f64 {
    // ln(1 + e^x), with the sign chosen so that e^x is at most 1.
    let against = if clicked { -logit } else { logit };
    against.max(0.0) + (-against.abs()).exp().ln_1p()
}

/// Returns the log loss of a row with the predicted `probability`.
#[inline]
pub(crate) fn probability_log_loss(probability: f64, clicked: bool) -> f64 {
    if clicked { -probability.ln() } else { -(-probability).ln_1p() }
}

/// Returns the logit whose sigmoid is `probability`.
#[inline]
pub(super) fn logit_of(probability: f64) -> f64 {
    probability.ln() - (-probability).ln_1p()
}

/// Returns the entropy of an event with this probability, in nats; 0 at 0 and 1.
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
    fn metrics_agree_with_results_computed_by_hand() {
        // The logits ln 3, 0 and -ln 3 are the probabilities 3/4, 1/2 and 1/4.
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
            // Clicked 3/4 beats both; clicked 1/2 ties one and beats one: 3.5 of 4.
            assert_near(metrics.auc.unwrap(), 3.5 / 4.0);
            assert_near(metrics.calibration_ratio.unwrap(), 1.0);
        }
    }

    #[test]
    fn undefined_metrics_are_absent() {
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
    fn a_row_of_importance_two_and_a_half_counts_as_two_and_a_half_rows() {
        let (mut halves, mut evaluator) = (Evaluator::bounded(), Evaluator::bounded());
        // Copies that make the total importance a whole number do not change any ratio.
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
