//! The panels of sizes: the published files of a store, with the limits that applied to each of them; and bytes of the
//! weight file against normalized entropy, from the bill of a pruning, which shows what each further weight is worth.

use std::path::Path;

use super::{Absent, Figure, Key, Panel, Table, or_dash};
use crate::judge::report::ReportError;
use crate::judge::report::plot::{Axis, Frame, Ink, Plane, PlotError, Side};
use crate::judge::report::subject::Subject;
use crate::operate::publish::limits::{Limits, USUAL_COUNT, median};
use crate::prune::{Bill, CurvePoint};
use crate::readable::{bytes, bytes_by, grouped, with_decimals_of};
use omomi::store::Store;

/// Maximum number of files to draw; the newest ones are drawn.
const MAX_FILES: usize = 60;

/// Returns the panel of the sizes of the published files, with the ranges of the limits.
pub(in crate::judge::report) fn file_sizes(subject: &Subject<'_>, dir: Option<&Path>) -> Result<Panel, ReportError> {
    let title = "Sizes of the published files";
    let Some(dir) = dir else { return Ok(Panel::Absent(Absent { title, how: "--store DIR" })) };
    let store = Store::new(dir);
    let limits = Limits::of_store(&store)?;
    let sizes = read(subject, &store, &limits)?;
    if sizes.files.is_empty() {
        return Ok(Panel::Absent(Absent { title, how: "a store with published files" }));
    }
    let svg = draw_file_sizes(title, &sizes)?;
    let rows = sizes.files.iter().rev().map(|file| {
        let band = |[low, high]: [f64; 2]| format!("{} to {}", rounded_bytes(low), rounded_bytes(high));
        [file.generation.to_string(), bytes(file.bytes), or_dash(file.usual, band), or_dash(file.tolerated, band)]
    });
    let [low, high] = limits.warn_size_ratio;
    let [min, max] = limits.fail_size_ratio;
    Ok(Panel::Figure(Figure {
        id: "file-sizes",
        title,
        caption: format!(
            "The size of a new file is compared with the median of the last {USUAL_COUNT} files. Outside {low} to {high} \
             times the median is a warning; outside {min} to {max} times, the file is rejected."
        ),
        legend: vec![
            Key::new("model", "file"),
            Key::new("chosen", "file outside the usual range"),
            Key::new("area usual", "usual"),
            Key::new("area tolerated", "warning"),
        ],
        svg,
        table: Table::new(["generation", "bytes", "usual", "accepted"], rows),
    }))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size for people")]
fn rounded_bytes(size: f64) -> String {
    bytes(size.round() as u64)
}

fn read(subject: &Subject<'_>, store: &Store, limits: &Limits) -> Result<FileSizes, ReportError> {
    let generations = store.generations().map_err(crate::operate::publish::PublishError::from)?;
    let current = store.read_current().map_err(crate::operate::publish::PublishError::from)?;
    let mut lens = Vec::with_capacity(generations.len());
    for &generation in &generations {
        let path = store.generation_path(generation);
        let metadata = path.metadata().map_err(|error| ReportError::io("read the metadata of", &path, error))?;
        lens.push(metadata.len());
    }
    let files = generations.iter().zip(&lens).enumerate().map(|(index, (&generation, &bytes))| {
        let median = median(&lens[index.saturating_sub(USUAL_COUNT)..index]);
        let band = |ratios: [f64; 2]| median.map(|median| ratios.map(|ratio| ratio * median as f64));
        FileSize { generation, bytes, tolerated: band(limits.fail_size_ratio), usual: band(limits.warn_size_ratio) }
    });
    let file = &subject.model.file;
    let is_evaluated = |generation: &u64| *generation == file.generation;
    let evaluated = generations.iter().copied().find(is_evaluated);
    let skipped = generations.len().saturating_sub(MAX_FILES);
    Ok(FileSizes {
        files: files.skip(skipped).collect(),
        current: current.map(|current| current.generation),
        evaluated,
    })
}

/// A published file.
#[derive(Debug, Clone, Copy, PartialEq)]
struct FileSize {
    /// Generation of the file.
    generation: u64,
    /// Length of the file, in bytes.
    bytes: u64,
    /// A file outside this range was rejected; `None` for the first file of a store.
    tolerated: Option<[f64; 2]>,
    /// A file outside this range caused a warning; `None` for the first file of a store.
    usual: Option<[f64; 2]>,
}

/// The published files by generation, the newest last.
#[derive(Debug, Clone, PartialEq)]
struct FileSizes {
    /// The published files.
    files: Vec<FileSize>,
    /// The current generation.
    current: Option<u64>,
    /// The generation that the report is about, if it is among the files.
    evaluated: Option<u64>,
}

/// Draws the plot. Files are evenly spaced, regardless of the gaps between their generations.
fn draw_file_sizes(title: &str, sizes: &FileSizes) -> Result<String, PlotError> {
    let files = &sizes.files;
    let ends = files.iter().flat_map(|file| file.tolerated.into_iter().flatten().chain([file.bytes as f64]));
    let y = Axis::linear(ends, true, bytes_by);
    let x = Axis::ordinal(files.iter().map(|file| file.generation.to_string()));
    let frame = Frame { title, x: (&x, "generation"), y: (&y, "weight file"), height: 300 };
    frame.draw(
        |plane| {
            draw_band(plane, &y, files, |file| file.tolerated, Ink::Tolerated)?;
            draw_band(plane, &y, files, |file| file.usual, Ink::Usual)
        },
        |plane| {
            let place = |(index, file): (usize, &FileSize)| (index as f64, y.place(file.bytes as f64));
            let places: Vec<_> = files.iter().enumerate().map(place).collect();
            plane.line(&places, Ink::Model, 1.2)?;
            for (index, (file, &at)) in files.iter().zip(&places).enumerate() {
                if Some(file.generation) == sizes.evaluated {
                    plane.ring(at, 6.5, Ink::Model)?;
                }
                let is_outside = |[low, high]: [f64; 2]| !(low..=high).contains(&(file.bytes as f64));
                plane.dot(at, 3.2, if file.usual.is_some_and(is_outside) { Ink::Chosen } else { Ink::Model })?;
                if Some(file.generation) == sizes.current {
                    let is_right = at.0 > (plane.x.start + plane.x.end) / 2.0;
                    let (side, right) = if is_right { (Side::Left, -10.0) } else { (Side::Right, 10.0) };
                    // If the line comes from above, there is room below it.
                    let comes_from_above = index > 0 && files[index - 1].bytes > file.bytes;
                    let down = if comes_from_above { 14.0 } else { -14.0 };
                    let text = format!("current: {}", bytes(file.bytes));
                    plane.text(at, [right, down], side, &text, Ink::Label)?;
                }
            }
            Ok(())
        },
    )
}

/// Draws a step for each file.
fn draw_band(
    plane: &Plane<'_>,
    y: &Axis,
    files: &[FileSize],
    band: impl Fn(&FileSize) -> Option<[f64; 2]>,
    ink: Ink,
) -> Result<(), PlotError> {
    for (index, file) in files.iter().enumerate() {
        let Some([low, high]) = band(file).map(|band| band.map(|end| y.place(end))) else { continue };
        let [left, right] = [-0.5, 0.5].map(|half| index as f64 + half);
        plane.area(&[(left, low), (right, low), (right, high), (left, high)], ink)?;
    }
    Ok(())
}

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
