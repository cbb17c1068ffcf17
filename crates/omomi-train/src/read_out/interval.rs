//! Intervals: always valid, or valid at one moment that was planned beforehand.
//!
//! The always-valid ones are the asymptotic confidence sequences of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
//! "Time-uniform central limit theory and asymptotic confidence sequences" (Annals of Statistics 52, 2024), equation
//! (12): with `t` units and an estimated variance `s^2` of the contribution of a unit, the interval is
//!
//! ```text
//! mean +- s sqrt( 2 (t rho^2 + 1) / (t^2 rho^2) ln( sqrt(t rho^2 + 1) / alpha ) )
//! ```
//!
//! `rho` decides at how many units `t'` the interval is narrowest, compared with what is possible there:
//! `rho^2 = (-2 ln(alpha) + ln(-2 ln(alpha) + 1)) / t'`. It must not depend on the data.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// At which moments intervals hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// At all moments together, so that anyone may look at any time.
    Always {
        /// At how many units the intervals are narrowest, compared with what is possible there.
        narrowest_at_units: u64,
    },
    /// At one moment: when this many units, of all arms together, are in the log.
    Once {
        /// The planned number of units.
        horizon_units: u64,
    },
}

impl Validity {
    /// How many units [`Validity::Always`] assumes if nothing is said.
    pub const NARROWEST_AT_UNITS: u64 = 100_000;
}

/// An estimate with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval; none where the data cannot give one.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
}

impl Estimate {
    pub(super) const fn without_interval(value: f64) -> Self {
        Self { value, low: None, high: None }
    }

    pub(super) fn around(value: f64, reach: f64) -> Self {
        Self { value, low: Some(value - reach), high: Some(value + reach) }
    }

    /// Whether the interval lies on one side of `value`.
    #[must_use]
    pub fn excludes(&self, value: f64) -> bool {
        self.low.is_some_and(|low| low > value) || self.high.is_some_and(|high| high < value)
    }
}

/// How wide intervals are, in standard errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Width {
    validity: Validity,
    alpha: f64,
    /// `rho^2` of the confidence sequences.
    rho_squared: f64,
}

impl Width {
    pub(super) fn new(validity: Validity, alpha: f64) -> Self {
        let narrowest = match validity {
            Validity::Always { narrowest_at_units } => narrowest_at_units,
            Validity::Once { horizon_units } => horizon_units,
        };
        let twice = -2.0 * alpha.ln();
        Self { validity, alpha, rho_squared: (twice + twice.ln_1p()) / narrowest.max(1) as f64 }
    }

    /// Returns these widths for each of `count` intervals that hold together (Bonferroni). `rho` stays.
    pub(super) fn shared_by(self, count: usize) -> Self {
        Self { alpha: self.alpha / count.max(1) as f64, ..self }
    }

    /// Returns the reach of an interval in standard errors, for an estimate from `unit_count` units.
    pub(super) fn standard_errors(&self, unit_count: u64) -> f64 {
        match self.validity {
            Validity::Once { .. } => normal_quantile(1.0 - self.alpha / 2.0),
            Validity::Always { .. } => {
                let information = unit_count as f64 * self.rho_squared;
                let log = 0.5 * information.ln_1p() - self.alpha.ln();
                (2.0 * (information + 1.0) / information * log).sqrt()
            }
        }
    }

    /// Returns the p-value of an estimate that is `distance` standard errors from the null hypothesis: the smallest
    /// alpha whose interval excludes it.
    pub(super) fn p_value(&self, distance: f64, unit_count: u64) -> f64 {
        match self.validity {
            Validity::Once { .. } => (2.0 * standard_normal().sf(distance.abs())).min(1.0),
            Validity::Always { .. } => {
                let information = unit_count as f64 * self.rho_squared;
                let exponent = distance * distance * information / (2.0 * (information + 1.0));
                (0.5 * information.ln_1p() - exponent).exp().min(1.0)
            }
        }
    }
}

/// Returns the quantile of the standard normal distribution.
pub(super) fn normal_quantile(probability: f64) -> f64 {
    standard_normal().inverse_cdf(probability)
}

fn standard_normal() -> Normal {
    Normal::standard()
}

/// Returns the p-values of Holm's step-down procedure, which holds the share of experiments with any false finding
/// below alpha, for any dependence.
pub(super) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&one, &other| p_values[one].total_cmp(&p_values[other]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(p_values[index] * (p_values.len() - rank) as f64);
        adjusted[index] = largest.min(1.0);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Validity = Validity::Always { narrowest_at_units: 10_000 };

    #[test]
    fn widths_are_those_of_the_formulas() {
        let once = Width::new(Validity::Once { horizon_units: 1 }, 0.05);
        assert!((once.standard_errors(7) - 1.959_964).abs() < 1e-6);
        assert!((once.shared_by(10).standard_errors(7) - 2.807_034).abs() < 1e-6);
        // Computed by hand: rho^2 = (5.991465 + ln(6.991465)) / 10,000 = 7.936171e-4, at 10,000 units:
        // sqrt(2 (8.936171 / 7.936171) (0.5 ln(8.936171) + 2.995732)) = 3.0353.
        let always = Width::new(ALWAYS, 0.05);
        assert!((always.standard_errors(10_000) - 3.0353).abs() < 1e-4, "{}", always.standard_errors(10_000));
        let reaches = [100, 1_000, 10_000, 100_000, 10_000_000].map(|units| always.standard_errors(units));
        assert!(reaches.iter().all(|&reach| reach >= reaches[2]), "narrowest where it was said: {reaches:?}");
    }

    #[test]
    fn a_p_value_is_the_alpha_whose_interval_just_excludes_zero() {
        for validity in [ALWAYS, Validity::Once { horizon_units: 10_000 }] {
            for alpha in [0.2, 0.05, 0.001] {
                for unit_count in [50, 10_000, 5_000_000] {
                    // `rho` is that of 0.05 for every alpha, as it is for slices.
                    let width = Width { alpha, ..Width::new(validity, 0.05) };
                    let p = width.p_value(width.standard_errors(unit_count), unit_count);
                    assert!((p / alpha - 1.0).abs() < 1e-6, "{validity:?} {alpha} {unit_count}: {p}");
                }
            }
            assert_eq!(Width::new(validity, 0.05).p_value(0.0, 100), 1.0);
        }
    }

    #[test]
    fn holm_steps_down() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.5]);
        let expected = [0.04, 0.09, 0.09, 0.5];
        for (found, expected) in adjusted.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
    }
}
