//! The sample-ratio test: whether the arms have as many units as was planned. If they have not, units are lost or added
//! in one arm, and no difference between arms means anything.
//!
//! It is the chi-square test of goodness of fit (Fabijan et al., "Diagnosing sample ratio mismatch in online controlled
//! experiments", KDD 2019).

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Below this p-value, the read-out is blocked: one false alarm in a thousand sound experiments, at one look.
pub const SAMPLE_RATIO_ALPHA: f64 = 0.001;

/// The outcome of the sample-ratio test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampleRatio {
    /// Pearson's statistic.
    pub chi_square: f64,
    /// Probability of a statistic as large, if the shares are as planned.
    pub p_value: f64,
}

impl SampleRatio {
    /// Whether the units are split as planned, as far as the test can tell.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.p_value >= SAMPLE_RATIO_ALPHA
    }
}

/// Tests numbers of units against planned shares, which need not sum to 1. `None` with fewer than two planned arms.
/// Units in an arm that has no share fail the test.
pub(super) fn sample_ratio(unit_counts: &[u64], shares: &[f64]) -> Option<SampleRatio> {
    let (total, all_shares) = (unit_counts.iter().sum::<u64>() as f64, shares.iter().sum::<f64>());
    let planned = shares.iter().filter(|share| **share > 0.0).count();
    if planned < 2 || total == 0.0 {
        return None;
    }
    let mut chi_square = 0.0;
    for (&found, share) in unit_counts.iter().zip(shares) {
        let expected = total * share / all_shares;
        if expected > 0.0 {
            chi_square += (found as f64 - expected).powi(2) / expected;
        } else if found > 0 {
            return Some(SampleRatio { chi_square: f64::MAX, p_value: 0.0 });
        }
    }
    let p_value = ChiSquared::new((planned - 1) as f64).map_or(f64::NAN, |distribution| distribution.sf(chi_square));
    Some(SampleRatio { chi_square, p_value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_tables() {
        let of = |counts: &[u64], shares: &[f64]| sample_ratio(counts, shares).unwrap();
        // 3.841459 is the 95 % quantile for one degree of freedom: a distance of sqrt(3.841459 * 2500) = 98 from 5,000.
        let test = of(&[5_098, 4_902], &[0.5, 0.5]);
        assert!((test.p_value - 0.05).abs() < 1e-4, "{test:?}");
        let test = of(&[10, 20, 30], &[1.0, 1.0, 1.0]);
        assert!((test.chi_square - 10.0).abs() < 1e-12 && (test.p_value - (-5.0_f64).exp()).abs() < 1e-9, "{test:?}");
        assert!(of(&[9_000, 1_000], &[9_000.0, 1_000.0]).passes());
        assert!(!of(&[9_200, 800], &[9_000.0, 1_000.0]).passes());
        assert!(!of(&[10, 10, 1], &[0.5, 0.5, 0.0]).passes(), "an arm without a share has units");
        assert!(sample_ratio(&[5, 0], &[1.0, 0.0]).is_none());
        assert!(sample_ratio(&[0, 0], &[1.0, 1.0]).is_none());
    }
}
