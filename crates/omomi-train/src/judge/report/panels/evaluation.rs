//! Plots of the evaluation.

use super::{Absent, Figure, Key, Panel, Table, model_keys, or_dash};
use crate::judge::evaluate::{Calibration, FieldWeights, ModelEvaluation, Slice};
use crate::judge::gate::GateSettings;
use crate::judge::report::ReportError;
use crate::judge::report::plot::{self, FieldSize, FieldSizeRow, HourPoint, Ratio, RatioRow, ReliabilityBin};
use crate::judge::report::subject::{Subject, utc_hour};
use crate::readable::{bytes, grouped};

/// Most rows of a plot: more are found in the table.
const MAX_PLOT_ROWS: usize = 24;
/// Observed CTR against probability.
pub(in crate::judge::report) fn reliability(subject: &Subject<'_>) -> Result<Panel, ReportError> {
    let title = "Reliability";
    if subject.model.reliability.is_empty() {
        return Ok(Panel::Absent(Absent { title, how: "logs with rows, for omomi evaluate" }));
    }
    let bins = |model: &ModelEvaluation| -> Vec<ReliabilityBin> {
        let bins = model.reliability.iter();
        bins.map(|bin| ReliabilityBin {
            predicted: bin.mean_probability,
            observed: bin.observed_ctr,
            interval: [bin.observed_ctr_low, bin.observed_ctr_high],
        })
        .collect()
    };
    let svg = plot::reliability(title, &bins(subject.model), &subject.baseline.map(bins).unwrap_or_default())?;
    let files = [Some((&subject.name, subject.model)), subject.baseline.map(|model| (&subject.baseline_name, model))];
    let rows = files.into_iter().flatten().flat_map(|(name, model)| {
        model.reliability.iter().map(move |bin| {
            [
                name.clone(),
                format!("{:.5}", bin.mean_probability),
                format!("{:.5}", bin.observed_ctr),
                format!("{:.5} to {:.5}", bin.observed_ctr_low, bin.observed_ctr_high),
                grouped(bin.clicks),
                grouped(bin.impressions),
            ]
        })
    });
    Ok(Panel::Figure(Figure {
        id: "reliability",
        title,
        caption: format!(
            "{} bins of equally many rows. On the diagonal, probabilities are right; below it, they promise too much. Lines: \
             intervals of 95 %.",
            subject.model.reliability.len()
        ),
        legend: legend(subject),
        svg,
        table: Table::new(["file", "probability", "observed CTR", "interval", "clicks", "impressions"], rows),
    }))
}

/// Normalized entropy of each hour.
pub(in crate::judge::report) fn entropy_by_hour(subject: &Subject<'_>) -> Result<Panel, ReportError> {
    let title = "Normalized entropy by hour";
    let points = |model: &ModelEvaluation| -> Vec<HourPoint> {
        let hours = model.hours.iter();
        hours
            .filter_map(|hour| {
                let normalized_entropy = hour.metrics.normalized_entropy?;
                Some(HourPoint { time_us: hour.start_us, normalized_entropy })
            })
            .collect()
    };
    let model = points(subject.model);
    if model.is_empty() {
        return Ok(Panel::Absent(Absent { title, how: "omomi evaluate --time-column COLUMN" }));
    }
    let svg = plot::entropy_by_hour(title, &model, &subject.baseline.map(points).unwrap_or_default())?;
    let rows = subject.model.hours.iter().map(|hour| {
        let of_baseline = |baseline: &ModelEvaluation| {
            let hours = baseline.hours.iter();
            hours.filter(|other| other.start_us == hour.start_us).find_map(|other| other.metrics.normalized_entropy)
        };
        [
            utc_hour(hour.start_us),
            or_dash(hour.metrics.normalized_entropy, |entropy| format!("{entropy:.5}")),
            or_dash(subject.baseline.and_then(of_baseline), |entropy| format!("{entropy:.5}")),
            or_dash(hour.metrics.calibration, |calibration| format!("{:.3}", calibration.ratio)),
            grouped(hour.metrics.clicks),
            grouped(hour.metrics.impressions),
        ]
    });
    Ok(Panel::Figure(Figure {
        id: "entropy-by-hour",
        title,
        caption:
            "Log loss over the entropy of the hour's own observed CTR: lower is better, 1 is no better than a constant."
                .to_owned(),
        legend: legend(subject),
        svg,
        table: Table::new(["hour (UTC)", "model", "baseline", "calibration", "clicks", "impressions"], rows),
    }))
}

/// Calibration ratios of slices.
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
    let svg = plot::calibration(title, &shown, gate.slice_calibration_ratio)?;
    let outside = slices.iter().filter(|(_, slice)| is_judged_outside(slice, gate)).count();
    let [low, high] = gate.slice_calibration_ratio;
    let verdict = match outside {
        0 => "No slice".to_owned(),
        1 => "1 slice".to_owned(),
        count => format!("{count} slices"),
    };
    let left_out = match rows.len() - shown.len() {
        0 => String::new(),
        count => format!(" {} slices of fewer clicks are not drawn.", grouped(count as u64)),
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
    let mut legend = legend(subject);
    legend.push(Key::new("area usual", format!("{low} to {high}")));
    Ok(Panel::Figure(Figure {
        id: "calibration-by-slice",
        title,
        caption: format!(
            "Above 1, probabilities promise too much. Lines: intervals of 95 %. {verdict} of {} clicks or more outside {low} to \
             {high}.{left_out}",
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

/// Whether the gate stops at this slice.
fn is_judged_outside(slice: &Slice, gate: &GateSettings) -> bool {
    let [low, high] = gate.slice_calibration_ratio;
    let is_outside = |calibration: Calibration| !(low..=high).contains(&calibration.ratio);
    slice.metrics.clicks >= gate.slice_min_clicks && slice.metrics.calibration.is_some_and(is_outside)
}

/// Indices of the slices to draw, in their order: those that a gate would stop at, and then those of the most clicks, as many of
/// each column.
fn chosen(slices: &[(&str, &Slice)], gate: &GateSettings) -> Vec<usize> {
    // Within a column, slices come by falling clicks: how many of its slices come before says how much one matters.
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

/// Bytes and weights of each field.
pub(in crate::judge::report) fn field_sizes(subject: &Subject<'_>) -> Result<Panel, ReportError> {
    let title = "Bytes and weights by field";
    let size = |field: &FieldWeights| FieldSize { weights: field.weight_count, bytes: field.len_bytes };
    let none = FieldSize { weights: 0, bytes: 0 };
    let fields = &subject.model.file.fields;
    let baseline_fields = subject.baseline.map(|baseline| &baseline.file.fields);
    let of_baseline = |name: &str| {
        let fields = baseline_fields?;
        Some(fields.iter().find(|field| field.field == name).map_or(none, size))
    };
    let mut rows: Vec<FieldSizeRow> = fields
        .iter()
        .map(|field| FieldSizeRow {
            name: field.field.clone(),
            model: size(field),
            baseline: of_baseline(&field.field),
        })
        .collect();
    let gone = baseline_fields.into_iter().flatten();
    let gone = gone.filter(|field| fields.iter().all(|kept| kept.field != field.field));
    rows.extend(gone.map(|field| FieldSizeRow { name: field.field.clone(), model: none, baseline: Some(size(field)) }));
    if rows.is_empty() {
        return Ok(Panel::Absent(Absent { title, how: "a weight file with weights" }));
    }
    rows.sort_by_key(|row| std::cmp::Reverse((row.model.bytes, row.baseline.map_or(0, |baseline| baseline.bytes))));
    let svg = plot::field_sizes(title, &rows[..rows.len().min(MAX_PLOT_ROWS)])?;
    let table_rows = rows.iter().map(|row| {
        [
            row.name.clone(),
            bytes(row.model.bytes),
            or_dash(row.baseline, |size| bytes(size.bytes)),
            grouped(row.model.weights),
            or_dash(row.baseline, |size| grouped(size.weights)),
        ]
    });
    Ok(Panel::Figure(Figure {
        id: "field-sizes",
        title,
        caption: "Fields share lines of the table: a field's bytes are its part of the weights.".to_owned(),
        legend: legend(subject),
        svg,
        table: Table::new(["field", "bytes", "baseline's bytes", "weights", "baseline's weights"], table_rows),
    }))
}

fn legend(subject: &Subject<'_>) -> Vec<Key> {
    model_keys(&subject.name, subject.baseline.map(|_| subject.baseline_name.as_str()))
}
