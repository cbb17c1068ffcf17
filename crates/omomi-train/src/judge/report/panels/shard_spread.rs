//! The panel of the spread of the shards of an averaged training state, by field.

use std::path::Path;

use serde::Deserialize;

use super::{Absent, Figure, Key, Panel, Table, or_dash};
use crate::judge::report::plot::{Axis, Ink, PlotError, Rows};
use crate::judge::report::subject::Subject;
use crate::judge::report::{ReportError, read_json};
use crate::learn::state::BIAS_FIELD;
use crate::readable::{grouped, with_decimals_of};

/// The parts of a training state's provenance that are drawn. [`crate::learn::average`] documents all of it.
#[derive(Debug, Deserialize)]
struct Provenance {
    contract: Contract,
    spread: Option<Vec<Spread>>,
}

#[derive(Debug, Deserialize)]
struct Contract {
    fingerprint: String,
}

#[derive(Debug, Deserialize)]
struct Spread {
    field: String,
    features: u64,
    seen_by: Vec<u64>,
    standard_deviation: Option<f64>,
    magnitude: Option<f64>,
}

/// Returns the panel of how much the shards differ.
pub(in crate::judge::report) fn shard_spread(
    subject: &Subject<'_>,
    provenance: Option<&Path>,
) -> Result<Panel, ReportError> {
    let title = "Spread of the shards";
    let absent = |how| Ok(Panel::Absent(Absent { title, how }));
    let Some(path) = provenance else {
        return absent("--state STATE.parquet of omomi average with its provenance beside it, or --provenance FILE");
    };
    let provenance: Provenance = read_json(path, "the provenance of a training state", "omomi average")?;
    subject.check_contract(path, &provenance.contract.fingerprint)?;
    let Some(fields) = provenance.spread else {
        return absent("a state of omomi average; this one is from a single training run");
    };
    let rows: Vec<SpreadRow> = fields.iter().filter_map(row).collect();
    if rows.is_empty() {
        return absent("shards that saw common features; no two of these did");
    }
    let shard_count = fields.iter().map(|field| field.seen_by.len()).max().unwrap_or(0);
    let svg = draw_shard_spread(title, &rows)?;
    let table_rows = fields.iter().map(|field| {
        [
            field.field.clone(),
            or_dash(field.standard_deviation, |deviation| format!("{deviation:.4}")),
            or_dash(field.magnitude, |magnitude| format!("{magnitude:.4}")),
            grouped(field.features),
            or_dash(field.seen_by.first(), |&count| grouped(count)),
            or_dash(field.seen_by.last(), |&count| grouped(count)),
        ]
    });
    let header = ["field", "standard deviation", "mean weight", "features", "seen by one shard", "seen by all"];
    Ok(Panel::Figure(Figure {
        id: "shard-spread",
        title,
        caption: format!(
            "How much the weights of {shard_count} shards differ, next to the magnitude of the averaged weights, over the \
             features that at least two shards saw. If shards differ by more than the weights, their average means little."
        ),
        legend: vec![
            Key::new("model", "standard deviation between shards"),
            Key::new("area step-3", "mean magnitude of the weights"),
        ],
        svg,
        table: Table::new(header, table_rows),
    }))
}

/// Returns the row of a field; `None` if no two shards saw a common feature, and for the bias, which is so large that
/// all other rows would vanish.
fn row(field: &Spread) -> Option<SpreadRow> {
    if field.field == BIAS_FIELD {
        return None;
    }
    let seen: u64 = field.seen_by.iter().sum();
    let by_all = *field.seen_by.last()?;
    Some(SpreadRow {
        name: field.field.clone(),
        figure: format!("{:.0} % seen by all shards", 100.0 * by_all as f64 / seen.max(1) as f64),
        spread: field.standard_deviation?,
        magnitude: field.magnitude?,
    })
}

/// A field or cross.
#[derive(Debug, Clone, PartialEq)]
struct SpreadRow {
    /// Name of the field or cross.
    name: String,
    /// The text beside its name.
    figure: String,
    /// Standard deviation of the shards' weights of a feature, averaged over the features, on the logit scale.
    spread: f64,
    /// Magnitude of the averaged weights, averaged over the features, on the logit scale.
    magnitude: f64,
}

/// Draws two bars per field: spread and magnitude.
fn draw_shard_spread(title: &str, rows: &[SpreadRow]) -> Result<String, PlotError> {
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
