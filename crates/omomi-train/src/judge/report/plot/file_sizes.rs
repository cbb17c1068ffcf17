//! Sizes of the published files, and between which sizes the next one had to lie.

use super::PlotError;
use super::axis::Axis;
use super::canvas::{Ink, Plane, Side};
use super::frame::Frame;
use crate::readable::{bytes, bytes_by};

/// A published file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::judge::report) struct FileSize {
    /// Its generation.
    pub generation: u64,
    /// Its length.
    pub bytes: u64,
    /// Outside of these a file in its place was refused; nothing for the first file of a store.
    pub tolerated: Option<[f64; 2]>,
    /// Outside of these there was a warning.
    pub usual: Option<[f64; 2]>,
}

/// The published files by generation, the newest last.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::judge::report) struct FileSizes {
    /// The files.
    pub files: Vec<FileSize>,
    /// The generation that is published.
    pub current: Option<u64>,
    /// The generation that the report is about, where it is one of these.
    pub evaluated: Option<u64>,
}

/// The plot. Files stand side by side, however far apart their generations are.
pub(in crate::judge::report) fn file_sizes(title: &str, sizes: &FileSizes) -> Result<String, PlotError> {
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
                    // Where the line comes from above, there is room below it.
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

/// A step for each file.
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
