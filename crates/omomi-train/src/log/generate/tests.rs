//! Writes generated logs, reads them back, and checks them against the documentation of the module.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use omomi::contract::FieldKind;

const SPEC: LogSpec = LogSpec { rows: 200_000, seed: 1, click_rate: 0.1 };
const DAY_US: i64 = 24 * clock::HOUR_US;

/// Writes a log as `file_count` files with `threads` threads, and returns the bytes of the files.
fn written(spec: LogSpec, file_count: usize, threads: usize) -> (Summary, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths = part_paths(folder.path(), file_count).expect("an empty folder");
    let summary = write(&spec, &paths, WriteOptions { overwrite: false, threads }, &mut |_| ()).expect("a log");
    (summary, paths.iter().map(|path| fs::read(path).expect("a part")).collect())
}

fn read(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).expect("the log");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file").build().expect("a reader");
    reader.map(|batch| batch.expect("a batch")).collect()
}

/// One log for the tests that only read it.
static LOG: LazyLock<Log> = LazyLock::new(Log::new);

/// A log of [`SPEC`], read back.
struct Log {
    summary: Summary,
    batches: Vec<RecordBatch>,
}

impl Log {
    fn new() -> Log {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log.parquet");
        Log { summary: write_parquet(&SPEC, &path).expect("a log"), batches: read(&path) }
    }

    fn columns(&self, name: &str) -> impl Iterator<Item = &dyn Array> {
        self.batches.iter().map(move |batch| batch.column_by_name(name).expect(name).as_ref())
    }

    fn ids(&self, name: &str) -> Vec<Option<i64>> {
        self.columns(name).flat_map(|column| column.as_primitive::<Int64Type>()).collect()
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.columns(name).flat_map(|column| column.as_primitive::<Float64Type>()).flatten().collect()
    }

    fn missing_share(&self, name: &str) -> f64 {
        self.columns(name).map(|column| column.null_count()).sum::<usize>() as f64 / SPEC.rows as f64
    }

    /// The shares of the ids, in descending order.
    fn shares(&self, name: &str) -> Vec<f64> {
        let mut counts = BTreeMap::new();
        for id in self.ids(name).into_iter().flatten() {
            *counts.entry(id).or_insert(0u32) += 1;
        }
        let mut shares: Vec<f64> = counts.into_values().map(|count| f64::from(count) / SPEC.rows as f64).collect();
        shares.sort_by(|a, b| b.total_cmp(a));
        shares
    }
}

#[track_caller]
fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: expected {expected} ± {tolerance}, found {found}");
}

#[test]
fn same_spec_gives_the_same_bytes_on_any_number_of_threads() {
    // The log has two full row groups and a short one.
    let spec = LogSpec { rows: 270_000, ..SPEC };
    let (one_summary, one) = written(spec, 1, 1);
    let (three_summary, three) = written(spec, 1, 3);
    assert!(one == three, "the files of one and of three threads differ");
    assert_eq!(one_summary.bayes_log_loss.to_bits(), three_summary.bayes_log_loss.to_bits());
}

#[test]
fn another_seed_gives_another_log() {
    let spec = LogSpec { rows: 1000, ..SPEC };
    let (_, one) = written(spec, 1, 1);
    let (_, other) = written(LogSpec { seed: 2, ..spec }, 1, 1);
    assert!(one != other);
}

#[test]
fn splitting_into_files_changes_no_row() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let spec = LogSpec { rows: 10_001, ..SPEC };
    let whole = folder.path().join("whole.parquet");
    write_parquet(&spec, &whole).expect("one file");
    let parts = part_paths(folder.path().join("parts"), 4).expect("a new folder");
    let summary = write(&spec, &parts, WriteOptions::default(), &mut |_| ()).expect("four files");
    let rows: Vec<usize> =
        parts.iter().map(|part| read(part).iter().map(RecordBatch::num_rows).sum::<usize>()).collect();
    assert_eq!(rows, [2500, 2500, 2500, 2501]);
    assert_eq!(summary.files.len(), 4);
    let one_batch = |batches: Vec<RecordBatch>| {
        arrow_select::concat::concat_batches(&batches[0].schema(), &batches).expect("one schema")
    };
    assert_eq!(one_batch(read(&whole)), one_batch(parts.iter().flat_map(|part| read(part)).collect()));
}

#[test]
fn rows_are_in_order_of_time_and_cover_seven_days() {
    let log = &*LOG;
    let times: Vec<i64> = log
        .columns("timestamp")
        .flat_map(|column| column.as_primitive::<TimestampMicrosecondType>())
        .flatten()
        .collect();
    assert!(times.is_sorted());
    let mut rows_of_day = [0u64; 7];
    for (time, hour) in times.iter().zip(log.ids("hour")) {
        let elapsed_us = time - clock::START_US;
        rows_of_day[usize::try_from(elapsed_us / DAY_US).expect("not before the start")] += 1;
        assert_eq!(hour, Some(elapsed_us % DAY_US / clock::HOUR_US));
    }
    for (day, rows) in rows_of_day.into_iter().enumerate() {
        assert!(rows > SPEC.rows / 10, "day {day} has {rows} rows");
    }
}

#[test]
fn clicks_follow_the_true_probabilities_and_their_mean_is_the_click_rate() {
    let log = &*LOG;
    let probabilities = log.numbers("true_probability");
    let labels = log.ids("clicked");
    assert_eq!((probabilities.len(), labels.len()), (200_000, 200_000));
    assert!(labels.iter().all(|label| matches!(label, Some(0 | 1))));

    let clicks: i64 = labels.iter().flatten().sum();
    let expected: f64 = probabilities.iter().sum();
    let variance: f64 = probabilities.iter().map(|p| p * (1.0 - p)).sum();
    assert_near("clicks", clicks as f64, expected, 4.0 * variance.sqrt());
    // All 200,000 rows are in the pilot, so the only error is the rounding of the probabilities.
    assert_near("mean true probability", expected / 200_000.0, SPEC.click_rate, 1e-7);

    // Check each tenth of the rows by probability, so that probabilities are right not only on average.
    let mut rows: Vec<(f64, i64)> = probabilities.into_iter().zip(labels.into_iter().flatten()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    for tenth in rows.chunks(20_000) {
        let expected: f64 = tenth.iter().map(|(p, _)| p).sum();
        let variance: f64 = tenth.iter().map(|(p, _)| p * (1.0 - p)).sum();
        let clicks: i64 = tenth.iter().map(|(_, label)| label).sum();
        assert_near("clicks of a tenth", clicks as f64, expected, 4.0 * variance.sqrt());
    }

    let summary = &log.summary;
    assert_eq!((summary.rows, summary.clicks), (200_000, clicks.cast_unsigned()));
    assert_near("normalized entropy of the truth", summary.bayes_normalized_entropy().expect("clicks"), 0.82, 0.08);
}

#[test]
fn click_rates_from_0_002_to_0_36_are_reached() {
    for click_rate in [0.002, 0.01, 0.36] {
        let (summary, _) = written(LogSpec { rows: 50_000, seed: 3, click_rate }, 1, 0);
        assert_near("mean true probability", summary.mean_true_probability, click_rate, 1e-6);
        let deviation = (click_rate / 50_000.0).sqrt();
        assert_near("observed CTR", summary.observed_ctr(), click_rate, 4.0 * deviation);
    }
}

#[test]
fn missing_shares_are_as_documented() {
    let log = &*LOG;
    // A theme belongs to the creative and a landing to the campaign, so a few popular ones change the share of rows.
    let documented = [
        ("user_id", 0.09, 0.004),
        ("os", 0.015, 0.002),
        ("region", 0.06, 0.003),
        ("segment", 0.25, 0.006),
        ("interest", 0.09, 0.004),
        ("exchange", 0.02, 0.002),
        ("floor_price", 0.12, 0.004),
        ("theme", 0.45, 0.05),
        ("landing", 0.08, 0.03),
    ];
    for (name, share, tolerance) in documented {
        assert_near(name, log.missing_share(name), share, tolerance);
    }
    let present = ["device", "hour", "site_id", "slot", "size", "creative_id", "category", "format", "clicked"];
    assert!(present.into_iter().all(|name| log.missing_share(name) == 0.0));
}

#[test]
fn largest_entities_have_the_documented_shares() {
    let log = &*LOG;
    assert_near("largest advertiser", log.shares("advertiser_id")[0], 0.20, 0.05);
    // 1 / sum of k^-1.36 over the 2,533 sites.
    assert_near("largest site", log.shares("site_id")[0], 0.31, 0.01);
    // 91 % of the rows have a known user, and the first of 220,000 users has a share of 0.38 * 220,000^-0.38 of them.
    assert_near("largest user", log.shares("user_id")[0], 0.0032, 0.0008);
    let creatives = log.shares("creative_id").len();
    assert!((7000..=9857).contains(&creatives), "{creatives} creatives");
    for (creative, campaign) in log.ids("creative_id").iter().zip(log.ids("campaign_id")) {
        assert_eq!(creative.map(|creative| creative / 3), campaign);
    }
}

#[test]
fn interests_have_mean_5_median_2_and_reach_42_without_repeats() {
    let log = &*LOG;
    let mut counts = Vec::new();
    for column in log.columns("interest") {
        for interests in column.as_list::<i32>().iter().flatten() {
            let texts = interests.as_string::<i32>();
            let distinct: std::collections::BTreeSet<_> = texts.iter().collect();
            assert_eq!(distinct.len(), texts.len());
            counts.push(texts.len());
        }
    }
    counts.sort_unstable();
    assert_near("mean", counts.iter().sum::<usize>() as f64 / counts.len() as f64, 5.0, 0.4);
    assert_eq!((counts[counts.len() / 2], counts[counts.len() - 1]), (2, 42));
}

#[test]
fn contract_is_valid_and_each_of_its_fields_is_a_column_of_its_type() {
    let contract = crate::toml::parse_contract(CONTRACT).expect("a valid contract");
    let schema = columns::schema();
    assert!(schema.field_with_name(contract.label()).is_ok());
    for field in contract.fields() {
        let column = schema.field_with_name(&field.name).expect("a column");
        let is_text = |data_type: &DataType| matches!(data_type, DataType::Dictionary(_, _));
        let fits = match (&field.kind, column.data_type()) {
            (FieldKind::Id, DataType::Int64) | (FieldKind::Number { .. }, DataType::Float64) => !field.many,
            (FieldKind::Text, DataType::List(element)) => field.many && is_text(element.data_type()),
            (FieldKind::Text, data_type) => !field.many && is_text(data_type),
            _ => false,
        };
        assert!(fits, "{} is {}", field.name, column.data_type());
    }
    // Time, true probability and label are not fields.
    assert_eq!(contract.fields().len() + 3, schema.fields().len());
}

#[test]
fn impossible_specs_are_rejected() {
    let refused = |spec: LogSpec, file_count: usize| {
        let paths = vec![PathBuf::from("never-written.parquet"); file_count];
        write(&spec, &paths, WriteOptions::default(), &mut |_| ()).expect_err("an impossible log").to_string()
    };
    assert!(refused(LogSpec { rows: 0, ..SPEC }, 1).contains("found 0"));
    assert!(refused(LogSpec { rows: MAX_ROWS + 1, ..SPEC }, 1).contains("10000000001"));
    for click_rate in [0.0, 0.37, 10.0, -0.1, f64::NAN] {
        assert!(refused(LogSpec { click_rate, ..SPEC }, 1).contains("not a percentage"));
    }
    assert!(refused(SPEC, MAX_FILES + 1).contains("expected 1 to 1000 files"));
    assert!(part_paths(Path::new("never-made"), MAX_FILES + 1).is_err());
    assert!(refused(LogSpec { rows: 3, ..SPEC }, 4).contains("expected 1 to 3 files"));
    assert!(refused(SPEC, 0).contains("found 0"));
}

#[test]
fn log_of_one_row_can_be_generated() {
    let (summary, _) = written(LogSpec { rows: 1, ..SPEC }, 1, 0);
    assert_eq!(summary.rows, 1);
    assert!(summary.bayes_normalized_entropy().is_none());
}

#[test]
fn existing_files_stay_unless_overwritten_and_no_other_file_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.parquet");
    fs::write(&path, "precious").expect("a file");
    let spec = LogSpec { rows: 10, ..SPEC };
    assert!(matches!(write_parquet(&spec, &path), Err(Error::Exists { .. })));
    assert_eq!(fs::read(&path).expect("the file"), b"precious");
    let overwrite = WriteOptions { overwrite: true, ..WriteOptions::default() };
    write(&spec, std::slice::from_ref(&path), overwrite, &mut |_| ()).expect("a log");
    assert_eq!(read(&path)[0].num_rows(), 10);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
}

#[test]
fn parts_of_a_longer_log_beside_a_shorter_one_are_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("part-002.parquet"), "old").expect("a file");
    assert!(matches!(part_paths(folder.path(), 2), Err(Error::ForeignPart { .. })));
    assert_eq!(part_paths(folder.path(), 3).expect("all are ours").len(), 3);
}

#[test]
fn missing_folder_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("absent").join("log.parquet");
    let error = write_parquet(&LogSpec { rows: 10, ..SPEC }, &path).expect_err("no folder");
    assert!(error.to_string().contains("absent"), "{error}");
}
