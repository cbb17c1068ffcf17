//! The panel of the size curve: bytes of the weight file against normalized entropy, from the bill of a pruning. It
//! shows what each further weight is worth.

use super::{Absent, Figure, Key, Panel, Table, or_dash};
use crate::judge::report::ReportError;
use crate::judge::report::plot::{Axis, Frame, Ink, Plane, PlotError, Side};
use crate::prune::{Bill, CurvePoint};
use crate::readable::{bytes, bytes_by, grouped, with_decimals_of};

/// The encodings of weights, in the order of their color steps.
const ENCODINGS: [&str; 3] = ["f32", "f16", "i8"];

/// Returns the panel of bytes against normalized entropy.
pub(in crate::judge::report) fn size_curve(bill: Option<&Bill>) -> Result<Panel, ReportError> {
    let title = "Bytes against normalized entropy";
    let Some(bill) = bill else {
        return Ok(Panel::Absent(Absent { title, how: "--bill PRUNED.bill.json of omomi prune --max-bytes" }));
    };
    let budget = bill.budget.as_ref().filter(|budget| !budget.curve.is_empty());
    let Some(budget) = budget else {
        return Ok(Panel::Absent(Absent {
            title,
            how: "a bill of omomi prune with --max-bytes; this one has no curve",
        }));
    };
    let chosen = budget.chosen_point();
    let point = |point: &CurvePoint| {
        let normalized_entropy = point.quality.normalized_entropy?;
        Some(SizePoint { bytes: point.bytes, normalized_entropy })
    };
    let is_of_chosen = |point: &CurvePoint| {
        chosen.is_some_and(|chosen| (&point.cut, &point.encoding) == (&chosen.cut, &chosen.encoding))
    };
    let mut points: Vec<&CurvePoint> = budget.curve.iter().collect();
    points.sort_by_key(|point| (&point.cut, &point.encoding, point.bytes));
    let series = points.chunk_by(|one, next| (&one.cut, &one.encoding) == (&next.cut, &next.encoding));
    let series = series.map(|series| SizeSeries {
        step: step(&series[0].encoding),
        is_chosen: is_of_chosen(series[0]),
        points: series.iter().copied().filter_map(point).collect(),
    });
    let curve = SizeCurve { series: series.collect(), chosen: chosen.and_then(point), max_bytes: budget.max_bytes };
    let svg = draw_size_curve(title, &curve)?;
    let rows = points.iter().map(|point| {
        [
            point.cut.clone(),
            point.encoding.clone(),
            bytes(point.bytes),
            or_dash(point.quality.normalized_entropy, |entropy| format!("{entropy:.5}")),
            grouped(point.weights),
            format!("{:.4}", point.threshold),
        ]
    });
    let table = Table::new(["cut by", "encoding", "bytes", "normalized entropy", "weights", "from"], rows);
    Ok(Panel::Figure(Figure {
        id: "size-curve",
        title,
        caption: caption(bill, chosen),
        legend: legend(&points, chosen),
        svg,
        table,
    }))
}

fn step(encoding: &str) -> u8 {
    ENCODINGS.iter().zip(0..).find(|(name, _)| **name == encoding).map_or(3, |(_, step)| step)
}

fn caption(bill: &Bill, chosen: Option<&CurvePoint>) -> String {
    let chosen = chosen.map_or_else(String::new, |chosen| {
        format!(" Chosen: cut by {}, {}, {} weights.", chosen.cut, chosen.encoding, grouped(chosen.weights))
    });
    let (before, after) = (bill.total.before, bill.total.after);
    format!(
        "The value of each further byte, on {} held-out rows.{chosen} Before pruning: {} in {}.",
        grouped(bill.held_out_rows),
        bytes(before.bytes),
        if before.weights == after.weights {
            "equally many weights".to_owned()
        } else {
            format!("{} weights", grouped(before.weights))
        },
    )
}

fn legend(points: &[&CurvePoint], chosen: Option<&CurvePoint>) -> Vec<Key> {
    let chosen = chosen.map(|chosen| Key::new("model", format!("chosen: {}, {}", chosen.cut, chosen.encoding)));
    let others = ENCODINGS.iter().filter(|encoding| points.iter().any(|point| point.encoding == **encoding));
    let others = others.map(|encoding| Key::new(&format!("step-{}", step(encoding)), format!("others, {encoding}")));
    chosen.into_iter().chain(others).collect()
}

/// A file that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
struct SizePoint {
    /// Length of the file, in bytes.
    bytes: u64,
    /// Normalized entropy of the held-out rows.
    normalized_entropy: f64,
}

/// The files of one way of pruning and one encoding, by size.
#[derive(Debug, Clone, PartialEq)]
struct SizeSeries {
    /// The color [step](Ink::Step) of the encoding.
    step: u8,
    /// Whether the chosen file belongs to the series.
    is_chosen: bool,
    /// The files of the series.
    points: Vec<SizePoint>,
}

/// All files that were tried.
#[derive(Debug, Clone, PartialEq)]
struct SizeCurve {
    /// One series per way of pruning and encoding.
    series: Vec<SizeSeries>,
    /// The chosen file.
    chosen: Option<SizePoint>,
    /// The maximum number of bytes.
    max_bytes: u64,
}

/// Draws the curves, the budget and the chosen file.
fn draw_size_curve(title: &str, curve: &SizeCurve) -> Result<String, PlotError> {
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
            // Draw the chosen series last, over the others.
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
            // Place the text on the side with room.
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
