//! The calibration of slices: which of them have enough clicks to say something, and which are surely wrong.
//!
//! With thousands of slices, some are far off by chance. The intervals are therefore widened so that all of them hold
//! together in 95 % of all cases. A slice without any click has an interval too: many expected clicks and none found
//! says a lot.
//!
//! # Which slices hold a file back
//!
//! That a slice is surely off says something about its rows, and nothing about a fault: where campaigns are born every
//! day, every file is far off in some of them, and the next file in others. So three things have to be true together:
//!
//! 1. The slice is off by more than its clicks and its *column* explain. How far the slices of a column are off on a
//!    healthy day, the served file shows on the same rows: it is a file that was healthy, a day older. The number of
//!    clicks of a slice that expects `e` of them then has the variance `e + e^2 v`, and `v` is the one at which the
//!    slices of the served file are as far off as such numbers are (Paule and Mandel 1982):
//!    `sum of (clicks - e)^2 / (e + e^2 v) = slices - 1`. Their whole is left out: it has a check of its own.
//! 2. It is clearly worse than in the served file, which is the alternative.
//! 3. Both hold at a level that suits a gate that runs every day. With 99 % for all slices of a day together, 27 % of
//!    healthy months had a day held back by chance (`1 - 0.99^31`), and with 99.9 %, 3 % have.

use serde::{Deserialize, Serialize};

use super::GateSettings;
use super::interval::{daily_quantile_of, poisson_interval, quantile_of};
use crate::evaluate::{ModelEvaluation, Slice};

/// Added to clicks and expected clicks, so that a slice without clicks has a finite ratio.
const PRIOR_CLICKS: f64 = 0.5;

/// Largest variance of the logarithm of ratios that is looked for: with it, no slice says anything.
const MAX_VARIANCE: f64 = 1e6;

/// The factor by which a slice of a file without a baseline has to be surely off to hold the file back.
const FIRST_FACTOR: f64 = 2.0;

/// The calibration ratio of a slice, with its interval corrected for the number of slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceFigure {
    /// The column.
    pub column: String,
    /// Its value; `None` for the rows without one.
    pub value: Option<String>,
    /// Number of clicks, or the sum of their importance.
    pub clicks: u64,
    /// Sum of the probabilities, each times its importance.
    pub expected_clicks: f64,
    /// Calibration ratio: expected clicks divided by clicks, both plus a half.
    pub ratio: f64,
    /// Lower end of the corrected interval.
    pub low: f64,
    /// Upper end of the corrected interval; `None` if it has none, because the clicks may all be chance.
    pub high: Option<f64>,
    /// Calibration ratio of the baseline on the same rows.
    pub baseline_ratio: Option<f64>,
    /// How far slices of the column are off in the baseline, beyond chance: the standard deviation of the logarithm of
    /// their ratios. 0 without a baseline.
    #[serde(default)]
    pub column_deviation: f64,
    /// Whether the whole interval is outside the limits.
    pub is_outside: bool,
    /// Whether the slice holds the file back: it is outside even with intervals that have the deviation of the column
    /// and hold together on 99.9 % of all days, and further from 1 than the baseline by more than the limits are wide
    /// and half of the baseline's own distance, even when the change of the whole calibration is left out.
    pub is_held_back: bool,
}

impl SliceFigure {
    /// Returns the name of the slice, such as `device = tv`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} = {}", self.column, self.value.as_deref().unwrap_or("(none)"))
    }

    /// Returns the figures in words.
    #[must_use]
    pub fn words(&self) -> String {
        let high = self.high.map_or_else(|| "any".to_owned(), |high| format!("{high:.2}"));
        let before = self.baseline_ratio.map_or_else(String::new, |ratio| format!("; what is served has {ratio:.2}"));
        let percent = 100.0 * self.column_deviation;
        let usual = match percent.round() >= 1.0 {
            true => format!(", and is off by {percent:.0} % in slices of {}", self.column),
            false => String::new(),
        };
        format!("{:.2} ({:.2} to {high}) with {} clicks{before}{usual}", self.ratio, self.low, self.clicks)
    }

    /// How far the nearer end of the interval is from 1, on the scale of logarithms; 0 or below if 1 is inside.
    fn sure_distance(&self) -> f64 {
        self.low.max(f64::MIN_POSITIVE).ln().max(self.high.map_or(f64::NEG_INFINITY, |high| -high.ln()))
    }
}

/// Returns the slices with enough clicks, found or expected, to say something: worst first.
#[must_use]
pub fn slice_figures(
    model: &ModelEvaluation,
    baseline: Option<&ModelEvaluation>,
    settings: &GateSettings,
) -> Vec<SliceFigure> {
    // Where rows have an importance, clicks are those of importance 1 that would tell as much. A slice without clicks
    // takes that from all rows.
    let share_of_all = {
        let clicks = model.overall.clicks.max(1) as f64;
        model.overall.effective_clicks.map_or(1.0, |effective| effective / clicks)
    };
    let share = |slice: &Slice| if slice.metrics.clicks == 0 { share_of_all } else { slice.metrics.telling_share() };
    let clicks = |slice: &Slice| slice.metrics.clicks as f64 * share(slice);
    let expected = |slice: &Slice| slice.metrics.mean_probability * slice.metrics.impressions as f64 * share(slice);
    let ratio = |slice: &Slice| (expected(slice) + PRIOR_CLICKS) / (clicks(slice) + PRIOR_CLICKS);
    let min = settings.slice_min_clicks as f64;
    let has_enough = |slice: &&Slice| clicks(slice) >= min || expected(slice) >= min;
    let count = model.by.iter().flat_map(|by| &by.slices).filter(has_enough).count();
    let [quantile, daily_quantile] = [quantile_of(count), daily_quantile_of(count)];
    let [min_ratio, max_ratio] = settings.slice_calibration_ratio;
    let whole = |model: Option<&ModelEvaluation>| Some(model?.overall.calibration?.ratio.ln());
    let mut figures = Vec::with_capacity(count);
    for by in &model.by {
        let others = baseline.and_then(|baseline| baseline.by.iter().find(|other| other.column == by.column));
        let others: std::collections::HashMap<_, _> =
            others.iter().flat_map(|by| &by.slices).map(|slice| (slice.value.as_deref(), slice)).collect();
        let of_others = others.values().filter(|slice| has_enough(slice)).map(|slice| [clicks(slice), expected(slice)]);
        let column_deviation = deviation_beyond_chance(&of_others.collect::<Vec<_>>());
        for slice in by.slices.iter().filter(has_enough) {
            let [fewest, most] = poisson_interval(clicks(slice), quantile);
            let (low, high) = (expected(slice) / most, (fewest > 0.0).then(|| expected(slice) / fewest));
            let baseline_ratio = others.get(&slice.value.as_deref()).map(|slice| ratio(slice));
            let is_outside = low > max_ratio || high.is_some_and(|high| high < min_ratio);
            let is_surely_outside = {
                let [fewest, most] = poisson_interval(clicks(slice), daily_quantile);
                // The deviations of independent causes add as squares.
                let of_column = daily_quantile * column_deviation;
                let [low, high] = [expected(slice) / most, expected(slice) / fewest]
                    .map(|end| (end.max(f64::MIN_POSITIVE) / ratio(slice)).ln().hypot(of_column));
                ratio(slice).ln() - low > max_ratio.ln() || ratio(slice).ln() + high < min_ratio.ln()
            };
            let worsening = match baseline_ratio {
                // Nothing is served that could be better: only a slice that is surely off by this factor counts.
                None if low > FIRST_FACTOR || high.is_some_and(|high| high < 1.0 / FIRST_FACTOR) => f64::INFINITY,
                None => 0.0,
                Some(before) => {
                    let of_whole = whole(baseline).zip(whole(Some(model))).map_or(0.0, |(before, now)| now - before);
                    let (now, before) = (ratio(slice).ln(), before.ln());
                    // Of two files that are both far off, the worse one has to be worse by more.
                    (now.abs() - before.abs()).min((now - of_whole).abs() - before.abs()) - before.abs() / 2.0
                }
            };
            figures.push(SliceFigure {
                column: by.column.clone(),
                value: slice.value.clone(),
                clicks: slice.metrics.clicks,
                expected_clicks: expected(slice) / share(slice),
                ratio: ratio(slice),
                low,
                high,
                baseline_ratio,
                column_deviation,
                is_outside,
                is_held_back: is_surely_outside && worsening > max_ratio.ln().min(-min_ratio.ln()),
            });
        }
    }
    figures.sort_by(|one, other| {
        let by_distance = other.sure_distance().total_cmp(&one.sure_distance());
        other.is_held_back.cmp(&one.is_held_back).then(by_distance).then_with(|| one.name().cmp(&other.name()))
    });
    figures
}

/// Returns the standard deviation of the logarithm of ratios that explains, beyond chance, how far the clicks of slices
/// are from those that a file expects. Each slice is its clicks and its expected clicks. 0 if chance explains it, or if
/// there is a single slice.
fn deviation_beyond_chance(slices: &[[f64; 2]]) -> f64 {
    let [clicks, expected] = [0, 1].map(|index| slices.iter().map(|slice| slice[index]).sum::<f64>());
    let degrees = slices.len() as f64 - 1.0;
    if degrees < 1.0 || clicks <= 0.0 || expected <= 0.0 {
        return 0.0;
    }
    let whole = clicks / expected;
    // Falls as the variance rises.
    let excess = |variance: f64| {
        let of = |&[clicks, expected]: &[f64; 2]| {
            let expected = (expected * whole).max(f64::MIN_POSITIVE);
            (clicks - expected).powi(2) / (expected + expected * expected * variance)
        };
        slices.iter().map(of).sum::<f64>() - degrees
    };
    let (mut low, mut high) = (0.0, 1e-4);
    if excess(low) <= 0.0 {
        return 0.0;
    }
    while excess(high) > 0.0 && high < MAX_VARIANCE {
        high *= 4.0;
    }
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if excess(middle) > 0.0 { low = middle } else { high = middle }
    }
    high.sqrt()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    fn normal(random: &mut Pcg64Mcg) -> f64 {
        (0..12).map(|_| random.random_range(0.0..1.0)).sum::<f64>() - 6.0
    }

    /// Slices whose clicks have the expected number, but for a deviation of its logarithm and chance.
    fn slices(count: usize, deviation: f64, random: &mut Pcg64Mcg) -> Vec<[f64; 2]> {
        let mut slice = |index: usize| {
            let expected = 40.0 + 10.0 * index as f64;
            let mean = expected * (deviation * normal(random)).exp();
            [(mean + mean.sqrt() * normal(random)).round().max(0.0), 1.1 * expected]
        };
        (0..count).map(&mut slice).collect()
    }

    #[test]
    fn the_deviation_of_a_column_is_found_beside_chance() {
        let mut random = Pcg64Mcg::seed_from_u64(3);
        for deviation in [0.0, 0.1, 0.3] {
            let found: Vec<f64> =
                (0..50).map(|_| deviation_beyond_chance(&slices(60, deviation, &mut random))).collect();
            let mean = found.iter().sum::<f64>() / 50.0;
            assert!((mean - deviation).abs() < 0.03, "{deviation}: {mean}");
        }
        assert_eq!(deviation_beyond_chance(&[]), 0.0);
        assert_eq!(deviation_beyond_chance(&[[100.0, 300.0]]), 0.0, "a single slice is the whole");
        assert_eq!(deviation_beyond_chance(&[[0.0, 30.0], [0.0, 40.0]]), 0.0, "without clicks");
        assert!(deviation_beyond_chance(&[[0.0, 1e5], [1e5, 1.0]]).is_finite());
    }
}
