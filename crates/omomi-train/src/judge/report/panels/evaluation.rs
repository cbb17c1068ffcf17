//! The panels of an evaluation as a whole: reliability, normalized entropy by hour, and field sizes.

use super::{Absent, Figure, MAX_PLOT_ROWS, Panel, Table, models_legend, or_dash};
use crate::judge::evaluate::{FieldWeights, ModelEvaluation};
use crate::judge::report::ReportError;
use crate::judge::report::plot::{Axis, Frame, Ink, Plane, PlotError, Rows};
use crate::judge::report::subject::{Subject, utc_hour};
use crate::readable::{bytes, bytes_by, grouped, significant, with_decimals_of};

/// Returns the panel of observed CTR against probability.
pub(in crate::judge::report) fn reliability(subject: &Subject<'_>) -> Result<Panel, ReportError> {
    let title = "Reliability";
    if subject.model.reliability.is_empty() {
        return Ok(Panel::Absent(Absent { title, how: "omomi evaluate with logs that have rows" }));
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
    let svg = draw_reliability(title, &bins(subject.model), &subject.baseline.map(bins).unwrap_or_default())?;
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
            "{} bins with equal numbers of rows. On the diagonal, probabilities are right; below it, they are too \
             high. Lines are 95 % intervals.",
            subject.model.reliability.len()
        ),
        legend: models_legend(subject),
        svg,
        table: Table::new(["file", "probability", "observed CTR", "interval", "clicks", "impressions"], rows),
    }))
}

/// A bin of rows with similar probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ReliabilityBin {
    /// Mean of the probabilities.
    predicted: f64,
    /// Clicks divided by impressions.
    observed: f64,
    /// The 95 % interval of the observed CTR.
    interval: [f64; 2],
}

/// Draws the bins of the model, and those of the baseline if there is one. On the diagonal, the probabilities are
/// right.
fn draw_reliability(title: &str, model: &[ReliabilityBin], baseline: &[ReliabilityBin]) -> Result<String, PlotError> {
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
        // The marks also differ in shape, for people who cannot see the colors.
        if ink == Ink::Baseline { plane.ring(at, 3.2, ink)? } else { plane.dot(at, 3.2, ink)? }
    }
    Ok(())
}

/// Returns the panel of the normalized entropy of each hour.
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
    let svg = draw_entropy_by_hour(title, &model, &subject.baseline.map(points).unwrap_or_default())?;
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
        legend: models_legend(subject),
        svg,
        table: Table::new(["hour (UTC)", "model", "baseline", "calibration", "clicks", "impressions"], rows),
    }))
}

/// One hour of the rows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct HourPoint {
    /// When the hour begins, in microseconds since 1970-01-01 UTC.
    time_us: i64,
    /// Normalized entropy of the rows in the hour.
    normalized_entropy: f64,
}

const HOUR_US: i64 = 3_600_000_000;
/// With more hours than this, lines have no points.
const MAX_MARKED_HOURS: usize = 72;

/// Draws the hours of the model, and those of the baseline if there is one.
fn draw_entropy_by_hour(title: &str, model: &[HourPoint], baseline: &[HourPoint]) -> Result<String, PlotError> {
    let both = || model.iter().chain(baseline);
    let x = Axis::times(both().map(|hour| hour.time_us));
    let y = Axis::linear(both().map(|hour| hour.normalized_entropy), false, with_decimals_of);
    let frame = Frame { title, x: (&x, "hour (UTC)"), y: (&y, "normalized entropy"), height: 300 };
    frame.draw(
        |_| Ok(()),
        |plane| {
            draw_hours(plane, &x, &y, baseline, Ink::Baseline)?;
            draw_hours(plane, &x, &y, model, Ink::Model)
        },
    )
}

/// Draws points joined by a line, with a gap where hours are missing.
fn draw_hours(plane: &Plane<'_>, x: &Axis, y: &Axis, hours: &[HourPoint], ink: Ink) -> Result<(), PlotError> {
    let place = |hour: &HourPoint| (x.place(hour.time_us as f64), y.place(hour.normalized_entropy));
    for run in hours.chunk_by(|one, next| next.time_us.saturating_sub(one.time_us) <= HOUR_US) {
        plane.line(&run.iter().map(place).collect::<Vec<_>>(), ink, 2.0)?;
    }
    if hours.len() > MAX_MARKED_HOURS {
        return Ok(());
    }
    for hour in hours {
        if ink == Ink::Baseline { plane.ring(place(hour), 2.4, ink)? } else { plane.dot(place(hour), 2.6, ink)? }
    }
    Ok(())
}

/// Returns the panel of the bytes and weights of each field.
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
    let svg = draw_field_sizes(title, &rows[..rows.len().min(MAX_PLOT_ROWS)])?;
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
        caption: "Fields share the lines of the table, so the bytes of a field are its share of the weights."
            .to_owned(),
        legend: models_legend(subject),
        svg,
        table: Table::new(["field", "bytes", "baseline's bytes", "weights", "baseline's weights"], table_rows),
    }))
}

/// The size of a field in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FieldSize {
    /// Number of weights.
    weights: u64,
    /// Its share of the table's bytes.
    bytes: u64,
}

/// A field or cross.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldSizeRow {
    /// Name of the field or cross.
    name: String,
    /// Its size in the model.
    model: FieldSize,
    /// Its size in the baseline.
    baseline: Option<FieldSize>,
}

/// Draws two bars per field: model and baseline.
fn draw_field_sizes(title: &str, rows: &[FieldSizeRow]) -> Result<String, PlotError> {
    let sizes = rows.iter().flat_map(|row| [Some(row.model), row.baseline]).flatten();
    let x = Axis::linear(sizes.map(|size| size.bytes as f64), true, bytes_by);
    let figure = |row: &FieldSizeRow| format!("{}, {} weights", bytes(row.model.bytes), grouped(row.model.weights));
    let names: Vec<_> = rows.iter().map(|row| (row.name.clone(), figure(row))).collect();
    Rows { title, x: (&x, "bytes of its weights"), reference: None, names: &names }.draw(
        |_| Ok(()),
        |plane, index, y| {
            let row = &rows[index];
            plane.bar(x.place(0.0), x.place(row.model.bytes as f64), y, [7.0, 0.0], Ink::Model)?;
            let Some(baseline) = row.baseline else { return Ok(()) };
            plane.bar(x.place(0.0), x.place(baseline.bytes as f64), y, [-1.0, 5.0], Ink::Baseline)
        },
    )
}
