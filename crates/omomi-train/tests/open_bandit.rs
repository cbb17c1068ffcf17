//! The real log in the repository matches its README, and its contract fits it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use omomi::contract::FieldKind;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/open-bandit")
}

/// Reads all batches, in the order of the days.
fn batches() -> Vec<RecordBatch> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    paths.sort();
    assert_eq!(paths.len(), 7, "one file per day");
    let open = |path| ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("a file")).expect("Parquet");
    paths.iter().flat_map(|path| open(path).build().expect("a reader")).map(|batch| batch.expect("a batch")).collect()
}

#[test]
fn each_source_log_keeps_its_rows_and_clicks() {
    let mut found = BTreeMap::new();
    for batch in batches() {
        let column = |name| batch.column_by_name(name).expect(name);
        let (policies, campaigns) = (column("policy").as_string::<i32>(), column("campaign").as_string::<i32>());
        let clicks = column("click").as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let log = format!("{}/{}", policies.value(row), campaigns.value(row));
            let (rows, clicked) = found.entry(log).or_insert((0, 0));
            *rows += 1;
            *clicked += clicks.value(row);
        }
    }
    let expected = [
        ("bts/all", 42),
        ("bts/men", 69),
        ("bts/women", 46),
        ("random/all", 38),
        ("random/men", 46),
        ("random/women", 46),
    ];
    assert_eq!(found, expected.map(|(log, clicks)| (log.to_owned(), (10_000, clicks))).into());
}

#[test]
fn rows_are_in_order_of_time_and_no_value_is_missing() {
    let mut last = i64::MIN;
    for batch in batches() {
        let times = batch.column_by_name("timestamp").expect("a time").as_primitive::<TimestampMicrosecondType>();
        for &time in times.values() {
            assert!(time >= last);
            last = time;
        }
        assert!(batch.columns().iter().all(|column| column.null_count() == 0));
    }
}

#[test]
fn contract_is_valid_and_each_of_its_fields_is_a_column_of_its_type() {
    let text = fs::read_to_string(folder().join("contract.toml")).expect("the contract");
    let contract = omomi_train::toml::parse_contract(&text).expect("a valid contract");
    let batches = batches();
    let schema = batches[0].schema();
    assert!(schema.field_with_name(contract.label()).is_ok());
    for field in contract.fields() {
        let column = schema.field_with_name(&field.name).expect("a column");
        let expected = match field.kind {
            FieldKind::Id => DataType::Int64,
            FieldKind::Text => DataType::Utf8,
            FieldKind::Number { .. } => DataType::Float64,
        };
        assert_eq!(column.data_type(), &expected, "{}", field.name);
    }
}
