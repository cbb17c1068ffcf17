//! The panel of file sizes: the published files of a store, and the limits that applied to each of them.

use std::path::Path;

use super::{Absent, Figure, Key, Panel, Table, or_dash};
use crate::judge::report::ReportError;
use crate::judge::report::plot::{Axis, Frame, Ink, Plane, PlotError, Side};
use crate::judge::report::subject::Subject;
use crate::operate::publish::limits::{Limits, USUAL_COUNT, median};
use crate::readable::{bytes, bytes_by};
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
