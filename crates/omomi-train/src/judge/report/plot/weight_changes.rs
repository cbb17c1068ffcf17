//! The weights that changed most, from the baseline's to the model's.

use super::PlotError;
use super::axis::Axis;
use super::canvas::Ink;
use super::frame::Rows;
use crate::readable::{grouped, with_decimals_of};

/// A weight of two training states.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::judge::report) struct WeightChange {
    /// Its feature: `creative_id = 4001`.
    pub name: String,
    /// Rows that had the feature, in the training of the model.
    pub impressions: u64,
    /// Weight in the model, 0 where it has none.
    pub model: f64,
    /// Weight in what it is compared with, 0 where it has none.
    pub baseline: f64,
}

/// The plot.
pub(in crate::judge::report) fn weight_changes(title: &str, changes: &[WeightChange]) -> Result<String, PlotError> {
    let weights = changes.iter().flat_map(|change| [change.model, change.baseline]).chain([0.0]);
    let x = Axis::linear(weights, false, with_decimals_of);
    let figure = |change: &WeightChange| format!("{} impressions", grouped(change.impressions));
    let names: Vec<_> = changes.iter().map(|change| (change.name.clone(), figure(change))).collect();
    Rows { title, x: (&x, "weight (logit)"), reference: Some(0.0), names: &names }.draw(
        |_| Ok(()),
        |plane, index, y| {
            let change = &changes[index];
            let (from, to) = ((x.place(change.baseline), y), (x.place(change.model), y));
            plane.line(&[from, to], Ink::Quiet, 1.5)?;
            plane.ring(from, 3.4, Ink::Baseline)?;
            plane.dot(to, 4.0, Ink::Model)
        },
    )
}
