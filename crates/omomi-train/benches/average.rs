//! Averages 8 states. Each has half of 400,000 features: `cargo bench --bench average`.
//!
//! The baseline is reading the states (decompressing, decoding and checking each row), which no merge can beat. The
//! rest of the time goes to the merge, the digests of the inputs, and writing the average, which is also timed
//! separately.

#[path = "../../../benches/support"]
#[allow(dead_code, reason = "each bench uses its part")]
mod support {
    pub mod contest;
    pub mod core_time;
    pub mod ratios;
}

use std::path::{Path, PathBuf};

use omomi::contract::Contract;
use omomi::feature::{feature_key, field_seed, id_value};
use omomi_train::learn::average::{AverageOptions, Rule, average};
use omomi_train::learn::state::{BIAS_FIELD, BIAS_KEY, Metadata, StateReader, StateRow, StateWriter};
use omomi_train::learn::{Settings, WeightRule};

use support::contest::{Bench, Contest};

const CONTRACT: &str = r#"{"name":"bench","label":"clicked","field":[
    {"name":"media_id","side":"context","type":"id","meaning":"m"},
    {"name":"creative_id","side":"candidate","type":"id","meaning":"m"}],"cross":[{"fields":["media_id","creative_id"]}]}"#;
const FIELDS: [&str; 3] = ["media_id", "creative_id", "media_id*creative_id"];
const SETTINGS: Settings = Settings { alpha: 0.05, beta: 1.0, l1: 1.0, l2: 0.0 };
const SHARD_COUNT: u64 = 8;

/// A feature. Each shard sees some of all features.
struct Feature {
    field: &'static str,
    category: String,
    key: u64,
}

fn main() {
    let mut bench = Bench::from_args("average");
    let feature_count = if bench.is_smoke() { 2_000 } else { 400_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let features = features(feature_count);
    let states: Vec<PathBuf> = (0..SHARD_COUNT).map(|shard| write_shard(folder.path(), shard, &features)).collect();
    let out = folder.path().join("merged.parquet");
    let options = |rule| {
        AverageOptions::new(&states, &out).with(|it| {
            it.rule = rule;
            it.replace = true;
        })
    };

    let report = average(&options(Rule::Curvature), &mut |_| ()).expect("an average");
    let row_count = assert_average(&out, &features);
    assert_eq!(report.feature_count() + 1, row_count);
    let read_count: u64 = states.iter().map(|state| read(state)).sum();
    println!("{read_count} rows of {SHARD_COUNT} states become {row_count}");

    let mut contest = Contest::new("8 states", "row", read_count);
    contest.rounds(11);
    contest.enter("read the states", || states.iter().map(|state| read(state)).sum::<u64>());
    contest.enter("write the average, read from a file", || copy(&out, &folder.path().join("copy.parquet")));
    for rule in [Rule::Curvature, Rule::Count] {
        let options = options(rule);
        contest.enter(&format!("average, {rule}"), move || average(&options, &mut |_| ()).expect("an average"));
    }
    bench.run(contest);
}

fn features(count: u64) -> Vec<Feature> {
    let mut features: Vec<Feature> = (0..count)
        .map(|index| {
            let field = FIELDS[(index % 3) as usize];
            let id = index.cast_signed();
            let category = if field == FIELDS[2] { format!("{}*{id}", id % 1_000) } else { id.to_string() };
            Feature { field, category, key: feature_key(field_seed(field), id_value(id)) }
        })
        .collect();
    features.sort_unstable_by_key(|feature| feature.key);
    features
}

/// Returns whether a shard sees the feature: a different half of all features for each shard.
fn is_seen(shard: u64, key: u64) -> bool {
    key >> (shard + 8) & 1 == 0
}

fn z_and_d(shard: u64, key: u64) -> (f64, f64) {
    let bits = key.rotate_left(u32::try_from(7 * shard % 64).expect("less than 64"));
    ((bits % 1_001) as f64 / 100.0 - 5.0, SETTINGS.curvature((bits % 77) as f64))
}

fn write_shard(folder: &Path, shard: u64, features: &[Feature]) -> PathBuf {
    let path = folder.join(format!("{shard}.parquet"));
    let metadata = Metadata {
        contract: Contract::from_json(CONTRACT.as_bytes()).expect("a contract"),
        settings: SETTINGS,
        weight_rule: WeightRule::of(&SETTINGS),
        pruned: false,
        without_evidence: false,
        negative_rate: 1.0,
        shards: 1,
        window_us: None,
        rows: 1_000_000 + shard,
        effective_rows: 1_000_000 + shard,
        importance_column: None,
        log_dialect: None,
        lineage: Vec::new(),
        clicks: 100_000,
        passes: 1,
        start: None,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        provenance: serde_json::Map::new(),
    };
    let mut writer = StateWriter::create(&path, &metadata, false).expect("a new state");
    let (z, d) = (40.0, 20.0);
    let counts = |impressions| (impressions, impressions / 10);
    let mut push = |field, category: &str, key, (z, d): (f64, f64), (impressions, clicks), weight| {
        let last_seen_us = Some(1_700_000_000_000_000 + (key >> 30) as i64);
        let row = StateRow { field, category, key, z, d, impressions, clicks, last_seen_us, weight };
        writer.push(&row).expect("a row");
    };
    push(BIAS_FIELD, "", BIAS_KEY, (z, d), counts(metadata.rows), SETTINGS.bias_weight(z, d));
    for feature in features.iter().filter(|feature| is_seen(shard, feature.key)) {
        let (z, d) = z_and_d(shard, feature.key);
        let weight = SETTINGS.feature_weight(z, d);
        push(feature.field, &feature.category, feature.key, (z, d), counts(1 + feature.key % 500), weight);
    }
    writer.finish().expect("a whole state");
    path
}

/// Checks that the average has every feature that a shard has, with the sums over all shards. Returns the number of
/// rows.
fn assert_average(path: &Path, features: &[Feature]) -> u64 {
    let mut reader = StateReader::open(path).expect("a state");
    let seen_by = |key| (0..SHARD_COUNT).filter(move |&shard| is_seen(shard, key));
    let mut expected = features.iter().filter(|feature| seen_by(feature.key).next().is_some());
    let mut row_count = 0;
    while let Some(batch) = reader.next_batch().expect("a batch") {
        for row in batch.rows() {
            row_count += 1;
            if row.is_bias() {
                continue;
            }
            let feature = expected.next().expect("a known feature");
            let nothing = SETTINGS.curvature(0.0);
            let parts = seen_by(feature.key).map(|shard| z_and_d(shard, feature.key));
            let (z, d) = parts.fold((0.0, nothing), |(z, d), part| (z + part.0, d + part.1 - nothing));
            assert_eq!((row.key, row.field, row.category), (feature.key, feature.field, feature.category.as_str()));
            assert!((row.z - z).abs() < 1e-9 && (row.d - d).abs() < 1e-9, "{row:?}, {z}, {d}");
        }
    }
    assert!(expected.next().is_none(), "features are missing");
    row_count
}

/// Reads a state and returns the number of rows.
fn read(path: &Path) -> u64 {
    let mut reader = StateReader::open(path).expect("a state");
    let mut row_count = 0;
    while let Some(batch) = reader.next_batch().expect("a batch") {
        row_count += batch.row_count() as u64;
    }
    row_count
}

/// Copies a state and returns its size in bytes.
fn copy(from: &Path, to: &Path) -> u64 {
    let mut reader = StateReader::open(from).expect("a state");
    let mut writer = StateWriter::create(to, reader.metadata(), true).expect("a new state");
    while let Some(batch) = reader.next_batch().expect("a batch") {
        batch.rows().for_each(|row| writer.push(&row).expect("a row"));
    }
    writer.finish().expect("a whole state")
}
