//! The plot of a store.

use std::path::Path;

use super::{Absent, Figure, Key, Panel, Table, or_dash};
use crate::judge::report::ReportError;
use crate::judge::report::plot::{self, FileSize, FileSizes};
use crate::judge::report::subject::Subject;
use crate::operate::publish::limits::{Limits, USUAL_COUNT, median};
use crate::readable::bytes;
use omomi::store::Store;

/// Most files that are drawn: the newest.
const MAX_FILES: usize = 60;

/// Sizes of the published files with the alarm band.
pub(in crate::judge::report) fn file_sizes(subject: &Subject<'_>, dir: Option<&Path>) -> Result<Panel, ReportError> {
    let title = "Sizes of the published files";
    let Some(dir) = dir else { return Ok(Panel::Absent(Absent { title, how: "--store DIR" })) };
    let store = Store::new(dir);
    let limits = Limits::of_store(&store)?;
    let sizes = read(subject, &store, &limits)?;
    if sizes.files.is_empty() {
        return Ok(Panel::Absent(Absent { title, how: "a store to which something was published" }));
    }
    let svg = plot::file_sizes(title, &sizes)?;
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
            "A new file is held against the median of the {USUAL_COUNT} before it: outside {low} to {high} times it is a warning, \
             outside {min} to {max} times a refusal."
        ),
        legend: vec![
            Key::new("model", "file"),
            Key::new("chosen", "file outside what is usual"),
            Key::new("area usual", "usual"),
            Key::new("area tolerated", "warning"),
        ],
        svg,
        table: Table::new(["generation", "bytes", "usual", "accepted"], rows),
    }))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size to read")]
fn rounded_bytes(size: f64) -> String {
    bytes(size.round() as u64)
}

fn read(subject: &Subject<'_>, store: &Store, limits: &Limits) -> Result<FileSizes, ReportError> {
    let generations = store.generations().map_err(crate::operate::publish::PublishError::from)?;
    let current = store.read_current().map_err(crate::operate::publish::PublishError::from)?;
    let mut lens = Vec::with_capacity(generations.len());
    for &generation in &generations {
        let path = store.generation_path(generation);
        let metadata = path.metadata().map_err(|error| ReportError::io("look at", &path, error))?;
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
