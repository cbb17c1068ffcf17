//! Calibration ratios of slices with their intervals: at 1 the probabilities are right.

use super::PlotError;
use super::axis::Axis;
use super::canvas::{Ink, Plane};
use super::frame::Rows;
use crate::readable::with_decimals_of;

/// A calibration ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::judge::report) struct Ratio {
    /// Sum of the probabilities over clicks.
    pub ratio: f64,
    /// Between these it lies in 95 of 100 such samples.
    pub interval: [f64; 2],
}

/// A slice of the rows.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::judge::report) struct RatioRow {
    /// Which: `media_id = 17`.
    pub name: String,
    /// What stands beside it: `12,345 clicks`.
    pub figure: String,
    /// Of the model.
    pub model: Option<Ratio>,
    /// Of what it is compared with.
    pub baseline: Option<Ratio>,
}

/// The axis ends here, so that a slice of few clicks does not press all others together.
const SHOWN: [f64; 2] = [0.5, 2.0];

/// The plot; `tolerated` is the band in which slices have to lie.
pub(in crate::judge::report) fn calibration(
    title: &str,
    rows: &[RatioRow],
    tolerated: [f64; 2],
) -> Result<String, PlotError> {
    let ratios = rows.iter().flat_map(|row| [row.model, row.baseline]).flatten();
    let ends = ratios.flat_map(|ratio| [ratio.interval[0], ratio.ratio, ratio.interval[1]]);
    let ends = ends.chain(tolerated).map(|end| end.clamp(SHOWN[0], SHOWN[1]));
    let x = Axis::linear(ends, false, with_decimals_of);
    let names: Vec<_> = rows.iter().map(|row| (row.name.clone(), row.figure.clone())).collect();
    let under = |plane: &Plane<'_>| {
        let [low, high] = tolerated.map(|end| x.place(end));
        let (top, bottom) = (plane.y.end, plane.y.start);
        plane.area(&[(low, bottom), (high, bottom), (high, top), (low, top)], Ink::Usual)
    };
    let axis = (&x, "calibration ratio (probabilities over clicks)");
    Rows { title, x: axis, reference: Some(1.0), names: &names }.draw(under, |plane, index, y| {
        let inks = [(&rows[index].baseline, Ink::Baseline, y + 4.0), (&rows[index].model, Ink::Model, y - 3.0)];
        for (ratio, ink, y) in inks {
            let Some(ratio) = ratio else { continue };
            let [low, high] = ratio.interval.map(|end| x.place(end));
            plane.line(&[(low, y), (high, y)], ink, 1.5)?;
            let at = (x.place(ratio.ratio), y);
            if ink == Ink::Baseline { plane.ring(at, 3.0, ink)? } else { plane.dot(at, 3.6, ink)? }
        }
        Ok(())
    })
}
