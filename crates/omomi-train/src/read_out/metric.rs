//! The metrics: functions of the mean sums per unit, with their gradients.

use crate::evaluate::entropy;

/// Places of the sums of a unit. The sums of named columns follow: for each, the sum of its values and their number.
pub(super) const PREDICTIONS: usize = 0;
pub(super) const WINS: usize = 1;
pub(super) const IMPRESSIONS: usize = 2;
pub(super) const CLICKS: usize = 3;
/// Revenue in units of the currency.
pub(super) const REVENUE: usize = 4;
/// Impressions with a probability of a model, the clicks of those, their log losses and their probabilities.
pub(super) const SCORED: usize = 5;
pub(super) const SCORED_CLICKS: usize = 6;
pub(super) const LOSS: usize = 7;
pub(super) const PROBABILITY: usize = 8;
/// How many sums there are before those of named columns.
pub(super) const FIXED_COUNT: usize = 9;

/// What is compared between arms.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// Clicks divided by impressions.
    Ctr,
    /// Revenue per 1,000 impressions, in units of the currency.
    Revenue,
    /// Won predictions divided by predictions.
    WinRate,
    /// Impressions divided by units: a metric by impressions means little where this one differs.
    ImpressionsPerUnit,
    /// Log loss divided by the entropy of the observed CTR.
    NormalizedLogLoss,
    /// Sum of the probabilities divided by the clicks.
    Calibration,
    /// The mean of a numeric column over the rows that have a value: its place among the named columns, and its name.
    Column(usize, String),
}

impl Metric {
    /// The metrics that are there without being named, in the order of the output.
    #[must_use]
    pub const fn standard() -> [Self; 6] {
        [Self::Ctr, Self::Revenue, Self::WinRate, Self::ImpressionsPerUnit, Self::NormalizedLogLoss, Self::Calibration]
    }

    /// Returns the name in JSON and in flags.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Ctr => "ctr",
            Self::Revenue => "revenue_per_1000_impressions",
            Self::WinRate => "win_rate",
            Self::ImpressionsPerUnit => "impressions_per_unit",
            Self::NormalizedLogLoss => "normalized_log_loss",
            Self::Calibration => "calibration_ratio",
            Self::Column(_, name) => name,
        }
    }

    /// Whether it says something only after some clicks.
    pub(super) const fn needs_clicks(&self) -> bool {
        matches!(self, Self::Ctr | Self::Revenue | Self::NormalizedLogLoss | Self::Calibration)
    }

    /// Returns the value at the mean sums per unit, and its gradient there. `None` where it is not defined: a
    /// denominator is 0, or no or every row was clicked.
    pub(super) fn at(&self, means: &[f64]) -> Option<(f64, Vec<f64>)> {
        let ratio = |numerator: usize, denominator: usize, factor: f64| {
            let below = means[denominator];
            let value = factor * means[numerator] / below;
            let mut gradient = vec![0.0; means.len()];
            gradient[numerator] += factor / below;
            gradient[denominator] -= value / below;
            (below > 0.0).then_some((value, gradient))
        };
        match self {
            Self::Ctr => ratio(CLICKS, IMPRESSIONS, 1.0),
            Self::Revenue => ratio(REVENUE, IMPRESSIONS, 1_000.0),
            Self::WinRate => ratio(WINS, PREDICTIONS, 1.0),
            Self::ImpressionsPerUnit => {
                let mut gradient = vec![0.0; means.len()];
                gradient[IMPRESSIONS] = 1.0;
                Some((means[IMPRESSIONS], gradient))
            }
            Self::NormalizedLogLoss => {
                let (rows, clicks, loss) = (means[SCORED], means[SCORED_CLICKS], means[LOSS]);
                let rate = clicks / rows;
                if !(rows > 0.0 && rate > 0.0 && rate < 1.0) {
                    return None;
                }
                let below = entropy(rate);
                let value = loss / rows / below;
                // The entropy changes by ln((1 - rate) / rate) for each change of the rate.
                let by_rate = -value / below * ((1.0 - rate) / rate).ln();
                let mut gradient = vec![0.0; means.len()];
                gradient[LOSS] = 1.0 / rows / below;
                gradient[SCORED_CLICKS] = by_rate / rows;
                gradient[SCORED] = -value / rows - by_rate * rate / rows;
                Some((value, gradient))
            }
            Self::Calibration => ratio(PROBABILITY, SCORED_CLICKS, 1.0),
            Self::Column(index, _) => ratio(FIXED_COUNT + 2 * index, FIXED_COUNT + 2 * index + 1, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_small_steps() {
        let means = [3.0, 1.0, 2.5, 0.2, 0.04, 2.0, 0.15, 0.6, 0.16, 7.0, 1.5];
        for metric in Metric::standard().into_iter().chain([Metric::Column(0, "x".to_owned())]) {
            let (_, gradient) = metric.at(&means).unwrap();
            for index in 0..means.len() {
                let shifted = |step: f64| {
                    let mut shifted = means;
                    shifted[index] += step;
                    metric.at(&shifted).unwrap().0
                };
                let slope = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
                let error = (slope - gradient[index]).abs();
                assert!(error < 1e-5 * slope.abs().max(1.0), "{metric:?} {index}: {slope} {}", gradient[index]);
            }
        }
    }

    #[test]
    fn what_has_no_denominator_or_no_entropy_is_not_defined() {
        let none = [0.0; FIXED_COUNT + 2];
        for metric in Metric::standard().into_iter().chain([Metric::Column(0, "x".to_owned())]) {
            assert_eq!(metric.at(&none).is_none(), metric != Metric::ImpressionsPerUnit, "{metric:?}");
        }
    }
}
