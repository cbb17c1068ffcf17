//! Fits the Beta prior of click rates: the most likely one, if each category draws its rate from the prior and its
//! clicks from the rate (the beta-binomial distribution).

use std::collections::BTreeMap;

/// A Beta distribution of click rates, as clicks and impressions that every category has in addition to its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Clicks that are added: above 0.
    pub clicks: f64,
    /// Impressions that are added: above the clicks.
    pub impressions: f64,
}

impl Prior {
    /// The mean of the prior: the rate of a category of which nothing is known.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.clicks / self.impressions
    }

    /// The smoothed click rate of a category.
    #[must_use]
    pub fn smoothed(&self, clicks: f64, impressions: f64) -> f64 {
        (clicks + self.clicks) / (impressions + self.impressions)
    }
}

/// Fewest and most impressions of a fitted prior. With the most, categories do not differ as far as the data can tell.
const MIN_IMPRESSIONS: f64 = 1e-2;
const MAX_IMPRESSIONS: f64 = 1e7;
/// Steps of the search, each of which leaves 0.62 of the range of the logarithm.
const SEARCH_STEPS: usize = 48;
/// Halvings of the range of the logit of the mean.
const MEAN_STEPS: usize = 40;
/// Above this many impressions, counts are rounded to about a thousandth of themselves, so that few different counts
/// are left.
const EXACT_COUNTS: f64 = 1_000.0;

/// Fits the prior to the clicks and impressions of categories. `None` if there are no clicks, or nothing else: then no
/// prior is the most likely one.
#[must_use]
pub fn fit_prior(categories: impl Iterator<Item = (f64, f64)>) -> Option<Prior> {
    let mut counts: BTreeMap<(u64, u64), f64> = BTreeMap::new();
    let (mut all_clicks, mut all_others) = (0.0, 0.0);
    for (clicks, impressions) in categories {
        let others = (impressions - clicks).max(0.0);
        (all_clicks, all_others) = (all_clicks + clicks, all_others + others);
        *counts.entry((rounded(clicks).to_bits(), rounded(others).to_bits())).or_default() += 1.0;
    }
    if all_clicks <= 0.0 || all_others <= 0.0 {
        return None;
    }
    let counts: Vec<[f64; 3]> = counts
        .into_iter()
        .map(|((clicks, others), count)| [f64::from_bits(clicks), f64::from_bits(others), count])
        .collect();
    let at = |log_impressions: f64| {
        let impressions = log_impressions.exp();
        let mean = most_likely_mean(&counts, impressions);
        (log_likelihood(&counts, mean * impressions, (1.0 - mean) * impressions), mean)
    };
    let (mut low, mut high) = (MIN_IMPRESSIONS.ln(), MAX_IMPRESSIONS.ln());
    let golden = (5_f64.sqrt() - 1.0) / 2.0;
    let inner = |low: f64, high: f64| [high - golden * (high - low), low + golden * (high - low)];
    let [mut one, mut other] = inner(low, high);
    let (mut of_one, mut of_other) = (at(one), at(other));
    for _ in 0..SEARCH_STEPS {
        if of_one.0 >= of_other.0 {
            (high, other, of_other) = (other, one, of_one);
            [one, _] = inner(low, high);
            of_one = at(one);
        } else {
            (low, one, of_one) = (one, other, of_other);
            [_, other] = inner(low, high);
            of_other = at(other);
        }
    }
    let (log_impressions, (_, mean)) = if of_one.0 >= of_other.0 { (one, of_one) } else { (other, of_other) };
    let impressions = log_impressions.exp();
    Some(Prior { clicks: mean * impressions, impressions })
}

/// Rounds a count to a number with 10 significant bits, if it is large.
fn rounded(count: f64) -> f64 {
    if count <= EXACT_COUNTS {
        return count;
    }
    let unit = (count.log2().floor() - 10.0).exp2();
    (count / unit).round() * unit
}

/// Returns the mean with the largest likelihood for so many impressions. Its derivative falls with the mean.
fn most_likely_mean(counts: &[[f64; 3]], impressions: f64) -> f64 {
    let slope = |mean: f64| {
        let (clicks, others) = (mean * impressions, (1.0 - mean) * impressions);
        let (of_clicks, of_others) = (digamma(clicks), digamma(others));
        let terms = counts.iter().map(|[own_clicks, own_others, count]| {
            let clicked = if *own_clicks > 0.0 { digamma(own_clicks + clicks) - of_clicks } else { 0.0 };
            let other = if *own_others > 0.0 { digamma(own_others + others) - of_others } else { 0.0 };
            count * (clicked - other)
        });
        terms.sum::<f64>()
    };
    let mean_of = |logit: f64| 1.0 / (1.0 + (-logit).exp());
    let (mut low, mut high) = (-16.0, 16.0);
    for _ in 0..MEAN_STEPS {
        let middle = f64::midpoint(low, high);
        if slope(mean_of(middle)) > 0.0 { low = middle } else { high = middle }
    }
    mean_of(f64::midpoint(low, high))
}

fn log_likelihood(counts: &[[f64; 3]], clicks: f64, others: f64) -> f64 {
    let prior = log_gamma(clicks + others) - log_gamma(clicks) - log_gamma(others);
    let terms = counts.iter().map(|[own_clicks, own_others, count]| {
        let (clicks, others) = (own_clicks + clicks, own_others + others);
        count * (log_gamma(clicks) + log_gamma(others) - log_gamma(clicks + others) + prior)
    });
    terms.sum()
}

/// Above this, the series are exact to the last digits.
const SERIES_FROM: f64 = 10.0;

/// The logarithm of the gamma function of a number above 0, by Stirling's series.
fn log_gamma(mut x: f64) -> f64 {
    let mut product = 1.0;
    while x < SERIES_FROM {
        product *= x;
        x += 1.0;
    }
    let square = x * x;
    let series = (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1_260.0 - 1.0 / (1_680.0 * square)) / square) / square) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - product.ln()
}

/// The derivative of [`log_gamma`].
fn digamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < SERIES_FROM {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let square = x * x;
    let series = (1.0 / 12.0 - (1.0 / 120.0 - (1.0 / 252.0 - 1.0 / (240.0 * square)) / square) / square) / square;
    sum + x.ln() - 0.5 / x - series
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn gamma_and_its_derivative_are_known_at_some_places() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-11, "{found}, {expected}");
        near(log_gamma(0.5), std::f64::consts::PI.sqrt().ln());
        near(log_gamma(1.0), 0.0);
        near(log_gamma(7.0), 720_f64.ln());
        near(log_gamma(0.001), 6.907_178_885_383_853);
        near(digamma(1.0), -0.577_215_664_901_532_9);
        near(digamma(0.5), -1.963_510_026_021_423_5);
        near(digamma(30.5), 3.401_243_668_961_661);
    }

    /// Draws of a gamma distribution with a whole shape are sums of exponential draws, and two of them give a beta one.
    #[test]
    fn the_prior_that_categories_were_drawn_from_is_found() {
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(5);
        for (clicks, others) in [(2, 38), (1, 9), (30, 170)] {
            let mut gamma = |shape: usize| -> f64 { (0..shape).map(|_| -(1.0 - random.random::<f64>()).ln()).sum() };
            let rates: Vec<f64> = (0..4_000)
                .map(|_| {
                    let (one, other) = (gamma(clicks), gamma(others));
                    one / (one + other)
                })
                .collect();
            let drawn: Vec<(f64, f64)> = rates
                .iter()
                .enumerate()
                .map(|(index, &rate)| {
                    let impressions = 1 + index % 400;
                    let clicked = (0..impressions).filter(|_| random.random::<f64>() < rate).count();
                    (clicked as f64, impressions as f64)
                })
                .collect();
            let prior = fit_prior(drawn.iter().copied()).unwrap();
            let (expected_mean, expected) = (clicks as f64 / (clicks + others) as f64, (clicks + others) as f64);
            assert!((prior.mean() / expected_mean - 1.0).abs() < 0.05, "{prior:?}");
            assert!((prior.impressions / expected - 1.0).abs() < 0.15, "{prior:?}, {expected}");
            // No neighbor is more likely.
            let likelihood = |prior: Prior| {
                let counts: Vec<[f64; 3]> = drawn.iter().map(|(clicks, all)| [*clicks, all - clicks, 1.0]).collect();
                log_likelihood(&counts, prior.clicks, prior.impressions - prior.clicks)
            };
            let found = likelihood(prior);
            for (clicks, impressions) in
                [(1.01, 1.0), (0.99, 1.0), (1.0, 1.02), (1.0, 0.98), (1.02, 1.02), (0.98, 0.98)]
            {
                let other = Prior { clicks: prior.clicks * clicks, impressions: prior.impressions * impressions };
                assert!(likelihood(other) <= found, "{prior:?}, {other:?}");
            }
        }
    }

    #[test]
    fn categories_without_a_difference_get_a_strong_prior_and_one_sided_ones_none() {
        let alike = fit_prior((0..200).map(|_| (10.0, 100.0))).unwrap();
        assert!((alike.mean() - 0.1).abs() < 1e-6 && alike.impressions > 1e5, "{alike:?}");
        assert_eq!(fit_prior([(0.0, 5.0)].into_iter()), None);
        assert_eq!(fit_prior([(5.0, 5.0)].into_iter()), None);
        assert_eq!(fit_prior(std::iter::empty()), None);
    }
}
