//! The panel of calibration ratios: one ratio per slice of the rows, with its interval. At 1, the probabilities are
//! right.

use super::{Absent, Figure, Key, MAX_PLOT_ROWS, Panel, Table, models_legend, or_dash};
use crate::judge::evaluate::{Calibration, ModelEvaluation, Slice};
use crate::judge::gate::GateSettings;
use crate::judge::report::ReportError;
use crate::judge::report::plot::{Axis, Ink, Plane, PlotError, Rows};
use crate::judge::report::subject::Subject;
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
    let rows: Vec<RatioRow> = slices.iter().map(|(column, slice)| ratio_row(subject, column, slice)).collect();
    let shown: Vec<RatioRow> = chosen(&slices, gate).into_iter().map(|index| rows[index].clone()).collect();
    let svg = draw_calibration(title, &shown, gate.slice_calibration_ratio)?;
    let outside = slices.iter().filter(|(_, slice)| is_judged_outside(slice, gate)).count();
    let [low, high] = gate.slice_calibration_ratio;
    let verdict = match outside {
        0 => "none is".to_owned(),
        1 => "1 is".to_owned(),
        count => format!("{count} are"),
    };
    let left_out = match rows.len() - shown.len() {
        0 => String::new(),
        count => format!(" {} slices with fewer clicks are not drawn.", grouped(count as u64)),
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
            "Above 1, probabilities are too high. Lines are 95 % intervals. Of the slices with at least {} clicks: \
             {verdict} outside {low} to {high}.{left_out}",
            grouped(gate.slice_min_clicks)
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
        name: slice.value.as_ref().map_or_else(|| format!("{column}: none"), |value| format!("{column} = {value}")),
        figure: format!("{} clicks", grouped(slice.metrics.clicks)),
        model: slice.metrics.calibration.map(ratio),
        baseline: subject.baseline.and_then(of_baseline).map(ratio),
    }
}

/// Returns whether the gate rejects this slice.
fn is_judged_outside(slice: &Slice, gate: &GateSettings) -> bool {
    let [low, high] = gate.slice_calibration_ratio;
    let is_outside = |calibration: Calibration| !(low..=high).contains(&calibration.ratio);
    slice.metrics.clicks >= gate.slice_min_clicks && slice.metrics.calibration.is_some_and(is_outside)
}

/// Returns the indices of the slices to draw, in order: first those that the gate rejects, then those with the most
/// clicks, equally many of each column.
fn chosen(slices: &[(&str, &Slice)], gate: &GateSettings) -> Vec<usize> {
    // Within a column, slices are sorted by falling clicks, so the number of slices before a slice is its rank.
    let mut before = 0;
    let mut last_column = None;
    let ranks = slices.iter().map(|&(column, slice)| {
        before = if last_column == Some(column) { before + 1 } else { 0 };
        last_column = Some(column);
        if is_judged_outside(slice, gate) { 0 } else { before + 1 }
    });
    let mut ranked: Vec<(usize, usize)> = ranks.zip(0..).collect();
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.into_iter().map(|(_, index)| index).take(MAX_PLOT_ROWS).collect();
    chosen.sort_unstable();
    chosen
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
