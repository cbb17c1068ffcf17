//! Bytes of the weight file against normalized entropy: what each further weight is worth.

use super::PlotError;
use super::axis::Axis;
use super::canvas::{Ink, Plane, Side};
use super::frame::Frame;
use crate::readable::{bytes, bytes_by, with_decimals_of};

/// A file that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::judge::report) struct SizePoint {
    /// Its length.
    pub bytes: u64,
    /// Of held-out rows.
    pub normalized_entropy: f64,
}

/// Files of one way of cutting and one encoding, by size.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::judge::report) struct SizeSeries {
    /// Which [step](super::canvas::Ink::Step) of colour the encoding has.
    pub step: u8,
    /// Whether the chosen file is of it.
    pub is_chosen: bool,
    /// The files.
    pub points: Vec<SizePoint>,
}

/// All files that were tried.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::judge::report) struct SizeCurve {
    /// By way of cutting and encoding.
    pub series: Vec<SizeSeries>,
    /// Which was chosen.
    pub chosen: Option<SizePoint>,
    /// Most bytes that were allowed.
    pub max_bytes: u64,
}

/// The plot.
pub(in crate::judge::report) fn size_curve(title: &str, curve: &SizeCurve) -> Result<String, PlotError> {
    let points = || curve.series.iter().flat_map(|series| &series.points).chain(&curve.chosen);
    let sizes = points().map(|point| point.bytes).chain([curve.max_bytes]);
    let x = Axis::of_ratios(sizes.map(|size| size as f64), |size| bytes_by(size, size));
    let y = Axis::linear(points().map(|point| point.normalized_entropy), false, with_decimals_of);
    let place = |point: &SizePoint| (x.place(point.bytes as f64), y.place(point.normalized_entropy));
    let frame = Frame { title, x: (&x, "weight file"), y: (&y, "normalized entropy"), height: 320 };
    frame.draw(
        |_| Ok(()),
        |plane| {
            let mut series: Vec<&SizeSeries> = curve.series.iter().collect();
            // The chosen one lies over the others.
            series.sort_by_key(|series| series.is_chosen);
            for series in series {
                let (ink, width) = if series.is_chosen { (Ink::Model, 2.5) } else { (Ink::Step(series.step), 1.2) };
                let places: Vec<_> = series.points.iter().map(place).collect();
                plane.line(&places, ink, width)?;
                for at in places {
                    plane.dot(at, if series.is_chosen { 2.8 } else { 1.8 }, ink)?;
                }
            }
            draw_budget(plane, &x, curve.max_bytes)?;
            let Some(chosen) = &curve.chosen else { return Ok(()) };
            let at = place(chosen);
            plane.ring(at, 6.5, Ink::Chosen)?;
            plane.dot(at, 2.8, Ink::Chosen)?;
            // To the side on which there is room.
            let is_right = at.0 > (plane.x.start + plane.x.end) / 2.0;
            let (side, away) = if is_right { (Side::Left, -12.0) } else { (Side::Right, 12.0) };
            let text = format!("chosen: {}", bytes(chosen.bytes));
            plane.text(at, [away, -14.0], side, &text, Ink::Label)
        },
    )
}

fn draw_budget(plane: &Plane<'_>, x: &Axis, max_bytes: u64) -> Result<(), PlotError> {
    let at = x.place(max_bytes as f64);
    plane.line(&[(at, plane.y.start), (at, plane.y.end)], Ink::Reference, 1.5)?;
    let is_right = at > (plane.x.start + plane.x.end) / 2.0;
    let (side, away) = if is_right { (Side::Left, -6.0) } else { (Side::Right, 6.0) };
    plane.text((at, plane.y.end), [away, 8.0], side, &format!("budget: {}", bytes(max_bytes)), Ink::Label)
}
