//! The plot of a pruning's bill.

use super::{Absent, Figure, Key, Panel, Table, or_dash};
use crate::judge::report::ReportError;
use crate::judge::report::plot::{self, SizeCurve, SizePoint, SizeSeries};
use crate::prune::{Bill, CurvePoint};
use crate::readable::{bytes, grouped};

/// How weights may stand in a file, in the order of the steps of colour.
const ENCODINGS: [&str; 3] = ["f32", "f16", "i8"];

/// Bytes against normalized entropy.
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
    let svg = plot::size_curve(title, &curve)?;
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
        "What each further byte is worth, on {} held-out rows.{chosen} Before pruning: {} in {}.",
        grouped(bill.held_out_rows),
        bytes(before.bytes),
        if before.weights == after.weights {
            "as many weights".to_owned()
        } else {
            format!("{} weights", grouped(before.weights))
        },
    )
}

fn legend(points: &[&CurvePoint], chosen: Option<&CurvePoint>) -> Vec<Key> {
    let chosen = chosen.map(|chosen| Key::new("model", format!("chosen way: {}, {}", chosen.cut, chosen.encoding)));
    let others = ENCODINGS.iter().filter(|encoding| points.iter().any(|point| point.encoding == **encoding));
    let others =
        others.map(|encoding| Key::new(&format!("step-{}", step(encoding)), format!("other ways, {encoding}")));
    chosen.into_iter().chain(others).collect()
}
