//! The calibration of slices: which of them have enough clicks to say something, and which are surely wrong.
//!
//! With thousands of slices, some are far off by chance. The intervals are therefore widened so that all of them hold
//! together in 95 % of all cases. A slice without any click has an interval too: many expected clicks and none found
//! says a lot.

use serde::{Deserialize, Serialize};

use super::GateSettings;
use super::interval::{poisson_interval, quantile_of, sure_quantile_of};
use crate::evaluate::{ModelEvaluation, Slice};

/// Added to clicks and expected clicks, so that a slice without clicks has a finite ratio.
const PRIOR_CLICKS: f64 = 0.5;

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
    /// Whether the whole interval is outside the limits.
    pub is_outside: bool,
    /// Whether the slice holds the file back: it is outside even with intervals that hold together in 99 % of all
    /// cases, and further from 1 than the baseline by more than the limits are wide and half of the baseline's own
    /// distance, even when the change of the whole calibration is left out.
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
        format!("{:.2} ({:.2} to {high}) with {} clicks{before}", self.ratio, self.low, self.clicks)
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
    let [quantile, sure_quantile] = [quantile_of(count), sure_quantile_of(count)];
    let [min_ratio, max_ratio] = settings.slice_calibration_ratio;
    let whole = |model: Option<&ModelEvaluation>| Some(model?.overall.calibration?.ratio.ln());
    let mut figures = Vec::with_capacity(count);
    for by in &model.by {
        let others = baseline.and_then(|baseline| baseline.by.iter().find(|other| other.column == by.column));
        let others: std::collections::HashMap<_, _> =
            others.iter().flat_map(|by| &by.slices).map(|slice| (slice.value.as_deref(), slice)).collect();
        for slice in by.slices.iter().filter(has_enough) {
            let [fewest, most] = poisson_interval(clicks(slice), quantile);
            let (low, high) = (expected(slice) / most, (fewest > 0.0).then(|| expected(slice) / fewest));
            let baseline_ratio = others.get(&slice.value.as_deref()).map(|slice| ratio(slice));
            let is_outside = low > max_ratio || high.is_some_and(|high| high < min_ratio);
            let [sure_fewest, sure_most] = poisson_interval(clicks(slice), sure_quantile);
            let is_surely_outside = expected(slice) / sure_most > max_ratio
                || (sure_fewest > 0.0 && expected(slice) / sure_fewest < min_ratio);
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
