//! The panel of calibration ratios: one ratio per slice of the rows, with its interval. At 1, the probabilities are
//! right.

use std::collections::HashMap;

use super::{Absent, Figure, Key, MAX_PLOT_ROWS, Panel, Table, models_legend, or_dash};
use crate::evaluate::{Calibration, ModelEvaluation, Slice};
use crate::judge::gate::{GateSettings, SliceFigure, slice_figures};
use crate::judge::report::plot::{Axis, Ink, Plane, PlotError, Rows};
use crate::judge::report::subject::Subject;
use crate::judge::report::{ReportError, visible};
use crate::readable::{grouped, with_decimals_of};

/// Returns the panel of the calibration ratios of slices.
pub(in crate::judge::report) fn calibration(subject: &Subject<'_>, gate: &GateSettings) -> Result<Panel, ReportError> {
    let title = "Calibration by slice";
    let slices: Vec<(&str, &Slice)> = subject
        .model
        .by
        .iter()
        .flat_map(|by| by.slices.iter().map(|slice| (by.column.as_str(), slice)))
        .filter(|(_, slice)| slice.metrics.calibration.is_some())
        .collect();
    if slices.is_empty() {
        return Ok(Panel::Absent(Absent { title, how: "omomi evaluate --by COLUMN" }));
    }
    let figures = slice_figures(subject.model, subject.baseline, gate);
    let slices = worst_first(slices, &figures);
    let rows: Vec<RatioRow> = slices.iter().map(|(column, slice)| ratio_row(subject, column, slice)).collect();
    let shown: Vec<RatioRow> = rows.iter().take(MAX_PLOT_ROWS).cloned().collect();
    let svg = draw_calibration(title, &shown, gate.slice_calibration_ratio)?;
    let outside = figures.iter().filter(|figure| figure.is_outside).count();
    let [low, high] = gate.slice_calibration_ratio;
    let verdict = match outside {
        0 => "none is".to_owned(),
        1 => "1 is".to_owned(),
        count => format!("{count} are"),
    };
    let left_out = match rows.len() - shown.len() {
        0 => String::new(),
        count => format!(" {} further slices are not drawn.", grouped(count as u64)),
    };
    let table_rows = slices.iter().zip(&rows).map(|((_, slice), row)| {
        let ratio = |ratio: Ratio| format!("{:.3} ({:.3} to {:.3})", ratio.ratio, ratio.interval[0], ratio.interval[1]);
        [
            row.name.clone(),
            or_dash(row.model, ratio),
            or_dash(row.baseline, ratio),
            or_dash(slice.metrics.normalized_entropy, |entropy| format!("{entropy:.4}")),
            grouped(slice.metrics.clicks),
            grouped(slice.metrics.impressions),
        ]
    });
    let table = Table::new(
        ["slice", "model (interval)", "baseline (interval)", "normalized entropy", "clicks", "impressions"],
        table_rows,
    );
    let mut legend = models_legend(subject);
    legend.push(Key::new("area usual", format!("{low} to {high}")));
    Ok(Panel::Figure(Figure {
        id: "calibration-by-slice",
        title,
        caption: format!(
            "Above 1, probabilities are too high. Lines are 95 % intervals. The worst slices come first. {} slices have \
             enough clicks to say something: {verdict} surely outside {low} to {high}, by intervals that hold for all \
             of them together.{left_out}",
            grouped(figures.len() as u64)
        ),
        legend,
        svg,
        table,
    }))
}

fn ratio_row(subject: &Subject<'_>, column: &str, slice: &Slice) -> RatioRow {
    let of_baseline = |baseline: &ModelEvaluation| {
        let by = baseline.by.iter().find(|by| by.column == column)?;
        by.slices.iter().find(|other| other.value == slice.value)?.metrics.calibration
    };
    let ratio =
        |calibration: Calibration| Ratio { ratio: calibration.ratio, interval: [calibration.low, calibration.high] };
    RatioRow {
        // Escaped before a long name is shortened, because an escape is longer than its character.
        name: visible(
            slice.value.as_ref().map_or_else(|| format!("{column}: none"), |value| format!("{column} = {value}")),
        ),
        figure: format!("{} clicks", grouped(slice.metrics.clicks)),
        model: slice.metrics.calibration.map(ratio),
        baseline: subject.baseline.and_then(of_baseline).map(ratio),
    }
}

/// Sorts slices: first those with enough clicks to say something, in the order of their figures, then all others as
/// they were.
fn worst_first<'a>(slices: Vec<(&'a str, &'a Slice)>, figures: &[SliceFigure]) -> Vec<(&'a str, &'a Slice)> {
    let ranks: HashMap<_, _> = figures
        .iter()
        .zip(0_usize..)
        .map(|(figure, rank)| ((&*figure.column, figure.value.as_deref()), rank))
        .collect();
    let mut slices = slices;
    // A stable sort.
    slices.sort_by_key(|(column, slice)| ranks.get(&(*column, slice.value.as_deref())).copied().unwrap_or(usize::MAX));
    slices
}

/// A calibration ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ratio {
    /// Sum of the probabilities, divided by the number of clicks.
    ratio: f64,
    /// The interval of 95 %.
    interval: [f64; 2],
}

/// A slice of the rows.
#[derive(Debug, Clone, PartialEq)]
struct RatioRow {
    /// Its name, such as `media_id = 17`.
    name: String,
    /// The text beside its name, such as `12,345 clicks`.
    figure: String,
    /// Ratio of the model.
    model: Option<Ratio>,
    /// Ratio of the baseline.
    baseline: Option<Ratio>,
}

/// Limits of the axis, so that a slice with few clicks does not squeeze all others.
const SHOWN: [f64; 2] = [0.5, 2.0];

/// Draws the plot. `tolerated` is the range that slices have to be in.
fn draw_calibration(title: &str, rows: &[RatioRow], tolerated: [f64; 2]) -> Result<String, PlotError> {
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
