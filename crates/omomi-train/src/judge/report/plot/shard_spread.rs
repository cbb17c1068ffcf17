//! How far the shards of an averaged state lie apart, by field.

use super::PlotError;
use super::axis::Axis;
use super::canvas::Ink;
use super::frame::Rows;
use crate::readable::with_decimals_of;

/// A field or cross.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::judge::report) struct SpreadRow {
    /// Its name.
    pub name: String,
    /// What stands beside it.
    pub figure: String,
    /// Standard deviation of the shards' weights of one feature, on average, on the logit scale.
    pub spread: f64,
    /// Magnitude of the averaged weights, on average, on the logit scale.
    pub magnitude: f64,
}

/// The plot.
pub(in crate::judge::report) fn shard_spread(title: &str, rows: &[SpreadRow]) -> Result<String, PlotError> {
    let x = Axis::linear(rows.iter().flat_map(|row| [row.spread, row.magnitude]), true, with_decimals_of);
    let names: Vec<_> = rows.iter().map(|row| (row.name.clone(), row.figure.clone())).collect();
    Rows { title, x: (&x, "weight (logit)"), reference: None, names: &names }.draw(
        |_| Ok(()),
        |plane, index, y| {
            let row = &rows[index];
            plane.bar(x.place(0.0), x.place(row.spread), y, [7.0, 0.0], Ink::Model)?;
            plane.bar(x.place(0.0), x.place(row.magnitude), y, [-1.0, 5.0], Ink::Step(3))
        },
    )
}
