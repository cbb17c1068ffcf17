//! Learns generated logs from Parquet and from CSV, beside decoding the same rows without learning and beside the training
//! loop that everybody writes first: `taskset -c 1 cargo bench --bench train [-- FILTER]`.

mod support;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;

use omomi::contract::{Contract, Side};
use omomi::evaluate::log_loss;
use omomi::feature::{cross_step, feature_key, field_seed};
use omomi::generate_log::{CONTRACT, LogSpec, write_parquet};
use omomi::log_reader::{LogReader, ReadOptions, RowBatch};
use omomi::math::sigmoid;
use omomi::train::{Coordinate, Settings, Trainer};
use omomi::value::FieldValue;

use support::contest::{Bench, Contest};

fn main() {
    let mut bench = Bench::from_args("train");
    let rows = if bench.is_smoke() { 1_000 } else { 200_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (parquet, csv) = (folder.path().join("log.parquet"), folder.path().join("log.csv"));
    let contract = Contract::from_toml(CONTRACT).expect("the contract of generated logs");
    write_parquet(&LogSpec { rows, seed: 11, click_rate: 0.05 }, &parquet).expect("a log");
    write_csv(&contract, &parquet, &csv);
    let batches: Vec<RowBatch> = each_batch(&contract, &parquet).collect();

    let expected = Learned::by_trainer(&contract, each_batch(&contract, &parquet));
    assert_eq!(Learned::by_trainer(&contract, each_batch(&contract, &csv)), expected, "both formats teach the same");
    assert_eq!(Learned::by_map(&contract, each_batch(&contract, &parquet)), expected, "the plain loop learns the same");

    let mut contest = Contest::new("rows", "row", rows);
    contest.rounds(11);
    contest.enter("omomi, Parquet", || Learned::by_trainer(&contract, each_batch(&contract, &parquet)));
    contest.enter("omomi, CSV", || Learned::by_trainer(&contract, each_batch(&contract, &csv)));
    contest.enter("omomi, rows in memory", || Learned::by_trainer(&contract, &batches));
    contest.enter("decode Parquet", || each_batch(&contract, &parquet).for_each(|batch| drop(black_box(batch))));
    contest.enter("decode CSV", || each_batch(&contract, &csv).for_each(|batch| drop(black_box(batch))));
    contest.enter("HashMap<u64, (f64, f64)>, rows in memory", || Learned::by_map(&contract, &batches));
    bench.run(contest);
    bench.finish();
}

/// What a training run shows of itself: equal for equal models.
#[derive(Debug, PartialEq)]
struct Learned {
    feature_count: usize,
    /// Mean log loss of the rows, each predicted before it was learned.
    log_loss: f64,
}

impl Learned {
    fn by_trainer(contract: &Contract, batches: impl IntoIterator<Item = impl Borrow<RowBatch>>) -> Self {
        let mut trainer = Trainer::new(contract, Settings::default()).expect("good settings");
        for batch in batches {
            trainer.learn(batch.borrow()).expect("room for the features");
        }
        Self { feature_count: trainer.feature_count(), log_loss: trainer.progressive_metrics().log_loss }
    }

    /// FTRL-Proximal as the paper has it, with a map from feature key to z and n. It keeps none of the counts and categories
    /// that a training state has.
    fn by_map(contract: &Contract, batches: impl IntoIterator<Item = impl Borrow<RowBatch>>) -> Self {
        let settings = Settings::default();
        let seeds: Vec<u64> = contract.fields().iter().map(|field| field_seed(&field.name)).collect();
        let crosses = contract.crosses().iter();
        let crosses: Vec<_> =
            crosses.map(|cross| (field_seed(&contract.cross_name(cross)), cross.members.as_slice())).collect();
        let mut map: HashMap<u64, (f64, f64)> = HashMap::new();
        let mut bias: Option<Coordinate> = None;
        let (mut loss_sum, mut row_count) = (0.0, 0_u32);
        let mut features = Vec::new();
        for batch in batches {
            let batch = batch.borrow();
            let bias = bias.get_or_insert_with(|| first_bias(&settings, &batch.clicked));
            for (row, &clicked) in batch.clicked.iter().enumerate() {
                let bias_weight = settings.bias_weight(bias.z, settings.curvature(bias.n));
                let mut logit = bias_weight;
                features.clear();
                let mut add = |key| {
                    let (z, n) = *map.entry(key).or_default();
                    let weight = settings.feature_weight(z, settings.curvature(n));
                    logit += weight;
                    features.push((key, weight));
                };
                for (&seed, column) in seeds.iter().zip(&batch.columns) {
                    column.values[column.range(row)].iter().for_each(|&value| add(feature_key(seed, value)));
                }
                for &(seed, members) in &crosses {
                    let step = |state, &member: &usize| {
                        let column = &batch.columns[member];
                        let value = *column.values[column.range(row)].first()?;
                        Some(cross_step(state, feature_key(seeds[member], value)))
                    };
                    if let Some(key) = members.iter().try_fold(seed, step) {
                        add(key);
                    }
                }
                loss_sum += log_loss(logit, clicked);
                row_count += 1;
                let gradient = sigmoid(logit) - f64::from(u8::from(clicked));
                *bias = bias.updated(bias_weight, gradient, settings.alpha);
                for &(key, weight) in &features {
                    let (z, n) = map[&key];
                    let Coordinate { z, n } = Coordinate { z, n }.updated(weight, gradient, settings.alpha);
                    map.insert(key, (z, n));
                }
            }
        }
        Self { feature_count: map.len(), log_loss: loss_sum / f64::from(row_count) }
    }
}

/// The logit of the observed CTR of the first batch, a click and an impression without one added.
fn first_bias(settings: &Settings, clicked: &[bool]) -> Coordinate {
    let clicks = clicked.iter().filter(|&&clicked| clicked).count() + 1;
    let others = clicked.len() + 2 - clicks;
    let logit = (clicks as f64 / others as f64).ln();
    Coordinate { z: -logit * settings.curvature(0.0), n: 0.0 }
}

fn each_batch(contract: &Contract, path: &Path) -> impl Iterator<Item = RowBatch> {
    let path = path.to_str().expect("UTF-8");
    let mut reader = LogReader::open(contract, &[path], ReadOptions::default()).expect("a log");
    std::iter::from_fn(move || reader.next_batch().expect("good rows"))
}

/// The rows of a Parquet log as CSV.
fn write_csv(contract: &Contract, parquet: &Path, csv: &Path) {
    let mut file = BufWriter::new(File::create(csv).expect("room for the log"));
    let names: Vec<&str> = contract.fields().iter().map(|field| field.name.as_str()).collect();
    writeln!(file, "{},{}", contract.label(), names.join(",")).expect("room for the log");
    for batch in each_batch(contract, parquet) {
        for (index, &clicked) in batch.clicked.iter().enumerate() {
            let mut row = batch.row(contract, Side::Context, index);
            row.extend(batch.row(contract, Side::Candidate, index));
            let cells: Vec<String> = names.iter().map(|&name| row.get(name).map_or_else(String::new, cell)).collect();
            writeln!(file, "{},{}", u8::from(clicked), cells.join(",")).expect("room for the log");
        }
    }
    file.flush().expect("room for the log");
}

/// Generated categories have nothing in them that CSV would need quotes for.
fn cell(value: &FieldValue) -> String {
    match value {
        FieldValue::Id(id) => id.to_string(),
        FieldValue::Text(text) => text.clone(),
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Ids(ids) => ids.iter().map(i64::to_string).collect::<Vec<_>>().join("|"),
        FieldValue::Texts(texts) => texts.join("|"),
    }
}
