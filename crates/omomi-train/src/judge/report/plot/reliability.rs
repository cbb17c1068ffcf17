//! Observed CTR against the mean probability of bins: on the diagonal the probabilities are right.

use super::PlotError;
use super::axis::Axis;
use super::canvas::{Ink, Plane};
use super::frame::Frame;
use crate::readable::significant;

/// Rows of about the same probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::judge::report) struct ReliabilityBin {
    /// Mean of their probabilities.
    pub predicted: f64,
    /// Clicks over impressions.
    pub observed: f64,
    /// Between these the observed CTR lies in 95 of 100 such samples.
    pub interval: [f64; 2],
}

/// The plot of the model's bins, and of the baseline's where there is one.
pub(in crate::judge::report) fn reliability(
    title: &str,
    model: &[ReliabilityBin],
    baseline: &[ReliabilityBin],
) -> Result<String, PlotError> {
    let both = || model.iter().chain(baseline);
    let points = both().flat_map(|bin| [bin.predicted, bin.observed]);
    let axis = Axis::of_ratios(points, |value| significant(value, 2));
    let frame = Frame { title, x: (&axis, "mean probability"), y: (&axis, "observed CTR"), height: 370 };
    let diagonal = |plane: &Plane<'_>| {
        plane.line(&[(plane.x.start, plane.y.start), (plane.x.end, plane.y.end)], Ink::Reference, 1.5)
    };
    frame.draw(
        |_| Ok(()),
        |plane| {
            diagonal(plane)?;
            draw_bins(plane, &axis, baseline, Ink::Baseline)?;
            draw_bins(plane, &axis, model, Ink::Model)
        },
    )
}

fn draw_bins(plane: &Plane<'_>, axis: &Axis, bins: &[ReliabilityBin], ink: Ink) -> Result<(), PlotError> {
    for bin in bins {
        let x = axis.place(bin.predicted);
        let [low, high] = bin.interval.map(|end| axis.place(end));
        plane.line(&[(x, low), (x, high)], ink, 1.2)?;
        let at = (x, axis.place(bin.observed));
        // Told apart by their form too, for those who do not see the colours.
        if ink == Ink::Baseline { plane.ring(at, 3.2, ink)? } else { plane.dot(at, 3.2, ink)? }
    }
    Ok(())
}
