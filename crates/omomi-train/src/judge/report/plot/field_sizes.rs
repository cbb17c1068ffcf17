//! Bytes and weights of each field, in the file and in the baseline.

use super::PlotError;
use super::axis::Axis;
use super::canvas::Ink;
use super::frame::Rows;
use crate::readable::{bytes, bytes_by, grouped};

/// What one file has of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge::report) struct FieldSize {
    /// Weights.
    pub weights: u64,
    /// Its part of the table's bytes.
    pub bytes: u64,
}

/// A field or cross.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::judge::report) struct FieldSizeRow {
    /// Its name.
    pub name: String,
    /// In the file.
    pub model: FieldSize,
    /// In what it is compared with.
    pub baseline: Option<FieldSize>,
}

/// The plot.
pub(in crate::judge::report) fn field_sizes(title: &str, rows: &[FieldSizeRow]) -> Result<String, PlotError> {
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
