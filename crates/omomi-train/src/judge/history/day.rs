//! The figures of a day: what the served file saw on its rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::evaluate::{EvaluatedRows, ModelEvaluation, Overall, ReliabilityBin};

/// Most days that bands are learned from.
pub(super) const MAX_DAYS: usize = 28;

/// What the served file saw on the rows of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// Version of this format: [`Day::FORMAT_VERSION`].
    pub format_version: u32,
    /// Times of the first and last row, in microseconds since 1970-01-01 UTC; `None` without a time column.
    pub window_us: Option<[i64; 2]>,
    /// Digests of the contents of the logs.
    pub log_digests: Vec<Option<String>>,
    /// SHA-256 of the served file.
    pub served_digest: String,
    /// Column by which rows were counted; `None` if each counted once. Figures of days that were counted otherwise
    /// cannot be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_column: Option<String>,
    /// Number of clicks.
    pub clicks: u64,
    /// Standard deviation of the logarithm of the normalized entropy, as far as it moves by chance. `None` if unknown.
    #[serde(default)]
    pub entropy_deviation: Option<f64>,
    /// Standard deviation of the logarithm of the slope, as far as it moves by chance. `None` if unknown.
    #[serde(default)]
    pub slope_deviation: Option<f64>,
    /// The figures by name, such as `calibration` or `unseen of creative_id`.
    pub figures: BTreeMap<String, f64>,
    /// Shares of the values of each field, by hash.
    pub distributions: BTreeMap<String, Vec<f64>>,
    /// Whether a figure jumped.
    pub jumped: bool,
    /// Why people accepted the day, although a figure jumped.
    pub accepted: Option<String>,
    /// The figures that had jumped when people accepted the day: they begin again with it, and all others keep their
    /// history. `None` in files of earlier versions, of which all begin again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_figures: Option<BTreeSet<String>>,
}

impl Day {
    /// The format version that this library writes and reads.
    pub const FORMAT_VERSION: u32 = 1;

    /// Returns what `served` saw on `rows`. `before` are the earlier days, for the distances of distributions.
    #[must_use]
    pub fn of(rows: &EvaluatedRows, served: &ModelEvaluation, before: &[Self]) -> Self {
        let mut figures = BTreeMap::new();
        let impressions = rows.impressions.max(1) as f64;
        let clicks = rows.clicks as f64;
        figures.insert("rows".to_owned(), rows.impressions as f64);
        // Counted by importance, if there is one: a change of how rows are thinned is no change of the click rate.
        let Overall { impressions: counted, clicks: counted_clicks, .. } = served.overall;
        figures.insert("ctr".to_owned(), counted_clicks as f64 / counted.max(1) as f64);
        if rows.adjacent_clicks > 0 {
            figures.insert("clicks after a click".to_owned(), rows.adjacent_clicks as f64 / clicks);
        }
        let calibration = served.overall.calibration.map(|calibration| calibration.ratio);
        figures.extend(calibration.map(|ratio| ("calibration".to_owned(), ratio)));
        figures.extend(served.overall.normalized_entropy.map(|it| ("normalized_entropy".to_owned(), it)));
        let slope = Slope::of(&served.reliability);
        figures.extend(slope.map(|slope| ("slope".to_owned(), slope.ratio)));
        let mut distributions = BTreeMap::new();
        for field in &served.fields {
            let name = &field.field;
            figures.insert(format!("missing of {name}"), field.missing_rate);
            figures.insert(format!("unseen of {name}"), field.unseen_rate);
            figures.insert(format!("out of range of {name}"), field.invalid_numbers as f64 / impressions);
            if field.distinct > 0 {
                figures.insert(format!("distinct of {name}"), field.distinct as f64);
            }
            let sum: u64 = field.distribution.iter().sum();
            // Six digits are enough, and keep the files of the history short.
            let share = |&count: &u64| (count as f64 / sum.max(1) as f64 * 1e6).round() / 1e6;
            let shares: Vec<f64> = field.distribution.iter().map(share).collect();
            let chance = distance_by_chance(&shares, sum);
            let distances = learned_from(before, &format!("distance of {name}"))
                .filter_map(|day| distance(day.distributions.get(name)?, &shares));
            let nearest = distances.fold(f64::INFINITY, f64::min);
            if nearest.is_finite() && sum > 0 {
                figures.insert(format!("distance of {name}"), (nearest - chance).max(0.0));
            }
            distributions.insert(name.clone(), shares);
        }
        Self {
            format_version: Self::FORMAT_VERSION,
            window_us: rows.window_us,
            log_digests: rows.log_digests.clone(),
            served_digest: served.file.digest.clone(),
            importance_column: rows.importance_column.clone(),
            clicks: rows.clicks,
            entropy_deviation: entropy_deviation(&served.overall),
            slope_deviation: slope.map(|slope| slope.deviation),
            figures,
            distributions,
            jumped: false,
            accepted: None,
            accepted_figures: None,
        }
    }

    /// Whether bands learn from the day: no figure jumped, or people accepted it.
    pub(super) fn is_known(&self) -> bool {
        !self.jumped || self.accepted.is_some()
    }

    /// Whether a figure begins again with this day.
    pub(super) fn begins_again(&self, figure: &str) -> bool {
        self.accepted.is_some() && self.accepted_figures.as_ref().is_none_or(|figures| figures.contains(figure))
    }

    pub(super) fn file_name(&self) -> String {
        let end_us = self.window_us.map_or(0, |[_, end_us]| end_us.max(0));
        format!(
            "{end_us:020}-{:016x}.json",
            xxh3_64(self.log_digests.iter().flatten().cloned().collect::<String>().as_bytes())
        )
    }
}

/// Returns the standard deviation of the logarithm of the normalized entropy, from its interval.
fn entropy_deviation(overall: &Overall) -> Option<f64> {
    let [low, high] = overall.normalized_entropy_interval?;
    // An interval of 95 % has 1.96 deviations on both sides.
    (low > 0.0).then(|| (high / low).ln() / 3.92)
}

/// How the clicks follow the predictions: by how much their logit rises where that of the predictions rises by 1.
/// Clicks without a cause, as those of machines, lower it, for they are most of the clicks where few are expected.
#[derive(Debug, Clone, Copy)]
struct Slope {
    ratio: f64,
    /// Standard deviation of the logarithm of the ratio by chance.
    deviation: f64,
}

impl Slope {
    /// Fits a line to the logits of a reliability curve, by maximum likelihood. `None` if the predictions or the clicks
    /// do not say it.
    fn of(bins: &[ReliabilityBin]) -> Option<Self> {
        let points = bins.iter().filter(|bin| bin.mean_probability > 0.0 && bin.mean_probability < 1.0);
        let points = points.map(|bin| {
            let logit = (bin.mean_probability / (1.0 - bin.mean_probability)).ln();
            (logit, bin.impressions as f64, bin.clicks as f64)
        });
        let points: Vec<(f64, f64, f64)> = points.collect();
        let (mut offset, mut ratio) = (0.0, 1.0);
        // Steps of Newton, from the predictions as they are. Without clicks, or with nothing else, they do not end.
        for _ in 0..20 {
            let (mut errors, mut moments) = ([0.0; 2], [0.0; 3]);
            for &(logit, rows, clicks) in &points {
                let probability = 1.0 / (1.0 + (-offset - ratio * logit).exp());
                let (error, weight) = (clicks - rows * probability, rows * probability * (1.0 - probability));
                errors = [errors[0] + error, errors[1] + error * logit];
                moments = [moments[0] + weight, moments[1] + weight * logit, moments[2] + weight * logit * logit];
            }
            let information = moments[2] - moments[1] * moments[1] / moments[0];
            if !information.is_finite() || information <= 1e-6 * moments[2] {
                return None;
            }
            let step = (errors[1] - errors[0] * moments[1] / moments[0]) / information;
            let offset_step = (errors[0] - step * moments[1]) / moments[0];
            offset += offset_step;
            ratio += step;
            if step.abs().max(offset_step.abs()) < 1e-6 {
                return (ratio > 0.0).then(|| Self { ratio, deviation: 1.0 / (ratio * information.sqrt()) });
            }
        }
        None
    }
}

/// Returns the days that the band of a figure is learned from: the last ones that did not jump, from the last one on
/// with which the figure began again.
pub(super) fn learned_from<'a>(before: &'a [Day], figure: &str) -> impl Iterator<Item = &'a Day> + use<'a> {
    let first = before.iter().rposition(|day| day.begins_again(figure)).unwrap_or(0);
    let days: Vec<&Day> = before[first..].iter().filter(|day| day.is_known()).collect();
    let skipped = days.len().saturating_sub(MAX_DAYS);
    days.into_iter().skip(skipped)
}

/// Returns the logarithms of a figure, on the days that have it.
pub(super) fn logs_of<'a>(name: &str, days: impl Iterator<Item = &'a Day>) -> Vec<f64> {
    days.filter_map(|day| day.figures.get(name)).map(|value| value.max(1e-9).ln()).collect()
}

/// Returns half of the sum of the differences of two distributions: 0 for equal ones, 1 for ones without a common
/// value. `None` if their sketches have different numbers of parts, as those of another version.
fn distance(one: &[f64], other: &[f64]) -> Option<f64> {
    let differences = || one.iter().zip(other).map(|(one, other)| (one - other).abs());
    (one.len() == other.len()).then(|| differences().sum::<f64>() / 2.0)
}

/// Returns how distant two samples of a distribution are on average, only because they are samples of `count` values.
fn distance_by_chance(shares: &[f64], count: u64) -> f64 {
    // The difference of two shares is normal, and a normal number is sqrt(2 / pi) of its deviation from 0 on average.
    let deviation = |share: &f64| (2.0 * share / count.max(1) as f64).sqrt();
    shares.iter().map(deviation).sum::<f64>() * std::f64::consts::FRAC_2_SQRT_PI / std::f64::consts::SQRT_2 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_reliability_curve_falls_where_machines_click() {
        let bins = |clicks: &dyn Fn(f64) -> f64| -> Vec<ReliabilityBin> {
            let bin = |mean_probability: f64| ReliabilityBin {
                impressions: 100_000,
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of clicks")]
                clicks: (100_000.0 * clicks(mean_probability)) as u64,
                mean_probability,
                observed_ctr: 0.0,
                observed_ctr_low: 0.0,
                observed_ctr_high: 0.0,
            };
            [0.03, 0.06, 0.1, 0.2, 0.35, 0.6].map(bin).into()
        };
        let right = Slope::of(&bins(&|it| it)).unwrap();
        assert!((right.ratio - 1.0).abs() < 1e-3 && (0.002..0.005).contains(&right.deviation), "{right:?}");
        let level = Slope::of(&bins(&|it| 1.3 * it / (1.0 + 0.3 * it))).unwrap();
        assert!((level.ratio - 1.0).abs() < 1e-3, "another level has the same slope: {level:?}");
        let machines = Slope::of(&bins(&|it| it + 0.02 * (1.0 - it))).unwrap();
        assert!((0.85..0.92).contains(&machines.ratio), "{machines:?}");
        assert!(
            Slope::of(&[]).is_none()
                && Slope::of(&bins(&|it| it)[..1]).is_none()
                && Slope::of(&bins(&|_| 0.0)).is_none()
        );
    }

    #[test]
    fn samples_of_one_distribution_are_as_distant_as_chance_explains() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(5);
        for count in [1_000_u32, 40_000] {
            let mut sample = || {
                let mut shares = vec![0.0; 256];
                for _ in 0..count {
                    shares[random.random_range(0..256)] += 1.0 / f64::from(count);
                }
                shares
            };
            let (one, other) = (sample(), sample());
            let (found, expected) = (distance(&one, &other).unwrap(), distance_by_chance(&other, u64::from(count)));
            assert!((found / expected - 1.0).abs() < 0.15, "{count}: {found} of {expected}");
        }
    }

    #[test]
    fn distances_are_from_0_to_1() {
        assert_eq!(distance(&[0.5, 0.5], &[0.5, 0.5]), Some(0.0));
        assert_eq!(distance(&[1.0, 0.0], &[0.0, 1.0]), Some(1.0));
        assert_eq!(distance(&[1.0, 0.0], &[0.5, 0.25, 0.25]), None, "a sketch of another version");
    }
}
