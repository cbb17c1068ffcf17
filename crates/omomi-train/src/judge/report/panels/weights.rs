//! The panel of the weights that differ most between two training states.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Absent, Figure, Key, Panel, Table, model_keys, or_dash};
use crate::judge::report::ReportError;
use crate::judge::report::plot::{Axis, Ink, PlotError, Rows};
use crate::judge::report::subject::Subject;
use crate::learn::state::{BIAS_FIELD, StateBatch, StateReader};
use crate::readable::{grouped, with_decimals_of};

/// How many weights are drawn, and how many are listed in the table.
const DRAWN_COUNT: usize = 20;
const LISTED_COUNT: usize = 100;

/// Returns the panel of the largest changes of weights.
pub(in crate::judge::report) fn weight_changes(
    subject: &Subject<'_>,
    state: Option<&Path>,
    baseline_state: Option<&Path>,
) -> Result<Panel, ReportError> {
    let title = "Largest changes of weights";
    let (Some(state), Some(baseline_state)) = (state, baseline_state) else {
        return Ok(Panel::Absent(Absent { title, how: "--state STATE.parquet and --baseline-state BASELINE.parquet" }));
    };
    let changes = Changes::between(subject, state, baseline_state)?;
    if changes.largest.is_empty() {
        return Ok(Panel::Absent(Absent { title, how: "two states that differ; all weights of these two are equal" }));
    }
    let svg = draw_weight_changes(title, &changes.largest[..changes.largest.len().min(DRAWN_COUNT)])?;
    let rows = changes.largest.iter().map(|change| {
        [
            change.name.clone(),
            format!("{:+.4}", change.baseline),
            format!("{:+.4}", change.model),
            format!("{:+.4}", change.model - change.baseline),
            grouped(change.impressions),
        ]
    });
    Ok(Panel::Figure(Figure {
        id: "weight-changes",
        title,
        caption: format!(
            "From the baseline's weight to the model's; a feature that a state lacks has weight 0. {} of {} weights \
             changed: {} are new, {} are gone.",
            grouped(changes.changed),
            grouped(changes.weights),
            grouped(changes.new),
            grouped(changes.gone)
        ),
        legend: model_keys("state of the model", Some("its state")),
        svg,
        table: Table::new(["feature", "baseline", "model", "change", "impressions"], rows),
    }))
}

/// The differences between two states.
#[derive(Debug, Default)]
struct Changes {
    /// Number of features that have a weight in either state.
    weights: u64,
    /// Number of features whose weight differs.
    changed: u64,
    /// Number of features that have a weight only in the model.
    new: u64,
    /// Number of features that have a weight only in the baseline.
    gone: u64,
    /// The features with the largest changes, the largest first.
    largest: Vec<WeightChange>,
}

impl Changes {
    /// Merges both states by key, with one batch of each in memory.
    fn between(subject: &Subject<'_>, state: &Path, baseline_state: &Path) -> Result<Self, ReportError> {
        let reader = StateReader::open(state)?;
        subject.check_contract(state, &format!("{:016x}", reader.metadata().contract.fingerprint()))?;
        let mut model = StateRows::new(reader)?;
        let mut baseline = StateRows::new(StateReader::open(baseline_state)?)?;
        let mut changes = Self::default();
        loop {
            // The bias is the first row of every state. It is not a feature, but its key may equal a feature's key.
            let order = match (model.place(), baseline.place()) {
                (None, None) => return Ok(changes),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(one), Some(other)) => one.cmp(&other),
            };
            match order {
                std::cmp::Ordering::Less => changes.add(&model, model.weight(), 0.0),
                std::cmp::Ordering::Equal => changes.add(&model, model.weight(), baseline.weight()),
                std::cmp::Ordering::Greater => changes.add(&baseline, 0.0, baseline.weight()),
            }
            if order.is_le() {
                model.advance()?;
            }
            if order.is_ge() {
                baseline.advance()?;
            }
        }
    }

    fn add(&mut self, named: &StateRows, model: f64, baseline: f64) {
        self.weights += u64::from(model != 0.0 || baseline != 0.0);
        if model == baseline {
            return;
        }
        self.changed += 1;
        self.new += u64::from(baseline == 0.0);
        self.gone += u64::from(model == 0.0);
        let size = (model - baseline).abs();
        let at = self.largest.partition_point(|other| (other.model - other.baseline).abs() >= size);
        if at < LISTED_COUNT {
            self.largest.truncate(LISTED_COUNT - 1);
            self.largest.insert(at, named.change(model, baseline));
        }
    }
}

/// Reads a state row by row.
struct StateRows {
    reader: StateReader,
    batch: Option<StateBatch>,
    index: usize,
}

impl StateRows {
    fn new(mut reader: StateReader) -> Result<Self, ReportError> {
        let batch = reader.next_batch()?;
        Ok(Self { reader, batch, index: 0 })
    }

    /// The position of the row in the order of states: the bias comes before all features.
    fn place(&self) -> Option<(bool, u64)> {
        let row = self.batch.as_ref()?.row(self.index);
        Some((!row.is_bias(), row.key))
    }

    fn weight(&self) -> f64 {
        self.batch.as_ref().map_or(0.0, |batch| batch.row(self.index).weight)
    }

    fn change(&self, model: f64, baseline: f64) -> WeightChange {
        let row = self.batch.as_ref().map(|batch| batch.row(self.index));
        let name = row.map_or_else(String::new, |row| {
            if row.is_bias() { "bias".to_owned() } else { format!("{} = {}", row.field, row.category) }
        });
        WeightChange { name, impressions: row.map_or(0, |row| row.impressions), model, baseline }
    }

    fn advance(&mut self) -> Result<(), ReportError> {
        self.index += 1;
        if self.batch.as_ref().is_some_and(|batch| self.index == batch.row_count()) {
            self.batch = self.reader.next_batch()?;
            self.index = 0;
        }
        Ok(())
    }
}

/// A weight in two training states.
#[derive(Debug, Clone, PartialEq)]
struct WeightChange {
    /// Name of the feature, such as `creative_id = 4001`.
    name: String,
    /// Number of rows with the feature in the training of the model.
    impressions: u64,
    /// Weight in the model; 0 if it has none.
    model: f64,
    /// Weight in the baseline; 0 if it has none.
    baseline: f64,
}

/// Draws each weight as a line from the baseline's value to the model's.
fn draw_weight_changes(title: &str, changes: &[WeightChange]) -> Result<String, PlotError> {
    let weights = changes.iter().flat_map(|change| [change.model, change.baseline]).chain([0.0]);
    let x = Axis::linear(weights, false, with_decimals_of);
    let figure = |change: &WeightChange| format!("{} impressions", grouped(change.impressions));
    let names: Vec<_> = changes.iter().map(|change| (change.name.clone(), figure(change))).collect();
    Rows { title, x: (&x, "weight (logit)"), reference: Some(0.0), names: &names }.draw(
        |_| Ok(()),
        |plane, index, y| {
            let change = &changes[index];
            let (from, to) = ((x.place(change.baseline), y), (x.place(change.model), y));
            plane.line(&[from, to], Ink::Quiet, 1.5)?;
            plane.ring(from, 3.4, Ink::Baseline)?;
            plane.dot(to, 4.0, Ink::Model)
        },
    )
}

/// The parts of a training state's provenance that are drawn. [`crate::learn::average`] documents all of it.
#[derive(Debug, Deserialize)]
pub(in crate::judge::report) struct Provenance {
    contract: Contract,
    spread: Option<Vec<Spread>>,
    pruned: Option<Pruned>,
}

#[derive(Debug, Deserialize)]
struct Pruned {
    bill_digest: Option<String>,
}

impl Provenance {
    /// Returns the digest of the bill that was written with the state; `None` if it was not pruned, or by a version
    /// that did not record it.
    pub(in crate::judge::report) fn bill_digest(&self) -> Option<&str> {
        self.pruned.as_ref()?.bill_digest.as_deref()
    }
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
    provenance: Option<(PathBuf, Provenance)>,
) -> Result<Panel, ReportError> {
    let title = "Spread of the shards";
    let absent = |how| Ok(Panel::Absent(Absent { title, how }));
    let Some((path, provenance)) = provenance else {
        return absent("--state STATE.parquet of omomi average, or --provenance FILE");
    };
    subject.check_contract(&path, &provenance.contract.fingerprint)?;
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
