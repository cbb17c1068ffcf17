//! Tests `omomi predict` as a user runs it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int64Array,
    RecordBatch, StringArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const CONTRACT: &str = r#"
name = "small"
label = "clicked"

[[field]]
name = "site"
side = "context"
type = "id"
meaning = "where the slot is"

[[field]]
name = "ad"
side = "candidate"
type = "text"
many = true
meaning = "what is shown"
"#;

const WEIGHTS: &str = r#"
bias = -2.0

[[weight]]
of = { site = 3 }
value = 0.5

[[weight]]
of = { ad = "旅行" }
value = 0.25
"#;

/// No label; a missing site, an unseen ad, a row without any value.
const LOG: &str = "row,site,ad\n7,3,旅行|other\n8,,旅行\n\"a,b\",4,\n10,,\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("contract.toml"), CONTRACT).unwrap();
    fs::write(folder.path().join("weights.toml"), WEIGHTS).unwrap();
    fs::write(folder.path().join("log.csv"), LOG).unwrap();
    let made = omomi(
        folder.path(),
        "fixture --contract contract.toml --weights weights.toml --logic-id a --generation 7 --out 7.omomi",
    );
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

fn omomi(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.args(words.split(' ')).current_dir(folder).output().unwrap()
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// The expected rows: the chosen column, logit, unseen and missing counts.
const EXPECTED: [(&str, f64, u32, u32); 4] =
    [("7", -1.25, 1, 0), ("8", -1.75, 0, 1), ("a,b", -2.0, 1, 1), ("10", -2.0, 0, 2)];

#[test]
fn each_row_gets_the_answer_of_the_server_in_parquet() {
    let folder = folder();
    let done = omomi(folder.path(), "predict 7.omomi --logs log.csv --out out.parquet --column row");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let file = File::open(folder.path().join("out.parquet")).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batch = reader.next().unwrap().unwrap();
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["row", "probability", "logit", "unseen_count", "missing_count"]);
    let rows: Vec<(&str, f64, u32, u32)> = (0..batch.num_rows())
        .map(|row| {
            let count = |column: usize| batch.column(column).as_primitive::<UInt32Type>().value(row);
            let logit = batch.column(2).as_primitive::<Float64Type>().value(row);
            (batch.column(0).as_string::<i32>().value(row), logit, count(3), count(4))
        })
        .collect();
    assert_eq!(rows, EXPECTED);
    for (row, (_, logit, ..)) in EXPECTED.into_iter().enumerate() {
        let probability = f64::from(batch.column(1).as_primitive::<Float32Type>().value(row));
        assert!((probability - sigmoid(logit)).abs() < 1e-7, "{probability}");
    }
}

#[test]
fn csv_has_the_same_rows_in_a_file_and_on_standard_output() {
    let folder = folder();
    let printed = omomi(folder.path(), "predict 7.omomi --logs log.csv --out - --column row");
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(text.starts_with("row,probability,logit,unseen_count,missing_count\n7,0.2227"), "{text}");
    assert!(text.ends_with(",-2,0,2\n") && text.contains("\n\"a,b\",0.1192"), "{text}");
    let written = omomi(folder.path(), "predict 7.omomi --logs log.csv --out out.csv --column row");
    assert!(written.status.success());
    assert_eq!(fs::read_to_string(folder.path().join("out.csv")).unwrap(), text);
    // A name is not taken twice, unless the user says so.
    let again = omomi(folder.path(), "predict 7.omomi --logs log.csv --out out.csv");
    assert_eq!(again.status.code(), Some(1));
    assert!(omomi(folder.path(), "predict 7.omomi --logs log.csv --out out.csv --force").status.success());
}

#[test]
fn what_cannot_be_written_is_said_before_a_row_is_scored() {
    let folder = folder();
    for (words, expected) in [
        ("--out out.txt", "expected a name that ends in .parquet or .csv"),
        ("--out out.csv --column logit", "found `logit` twice"),
        ("--out out.csv --column row --column row", "found `row` twice"),
        ("--out out.csv --column clicked", "clicked"),
        ("--out missing/out.csv", "cannot be written"),
    ] {
        let failed = omomi(folder.path(), &format!("predict 7.omomi --logs log.csv {words}"));
        let message = String::from_utf8(failed.stderr).unwrap();
        assert_eq!(failed.status.code(), Some(1), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    fs::write(folder.path().join("bad.csv"), "row,site,ad\n1,3,x\n2,no id,x\n").unwrap();
    let failed = omomi(folder.path(), "predict 7.omomi --logs bad.csv --out bad.parquet");
    assert_eq!(failed.status.code(), Some(1));
    assert!(!folder.path().join("bad.parquet").exists());
    let skipped = omomi(folder.path(), "predict 7.omomi --logs bad.csv --out bad.parquet --max-bad-rows 1");
    assert!(skipped.status.success(), "{}", String::from_utf8_lossy(&skipped.stderr));
    assert!(String::from_utf8_lossy(&skipped.stdout).contains(": 1 rows"));
}

/// A list of one text in each row.
fn ads(count: usize) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for _ in 0..count {
        lists.values().append_value("x");
        lists.append(true);
    }
    Arc::new(lists.finish())
}

#[test]
fn numbers_booleans_and_dates_of_a_parquet_log_keep_their_type() {
    let folder = folder();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("site", Arc::new(Int64Array::from(vec![Some(3), None]))),
        ("ad", ads(2)),
        ("small", Arc::new(Int8Array::from(vec![Some(-7), None]))),
        ("large", Arc::new(UInt64Array::from(vec![u64::MAX, 1 << 63]))),
        ("single", Arc::new(Float32Array::from(vec![0.1, f32::INFINITY]))),
        ("double", Arc::new(Float64Array::from(vec![0.1 + 0.2, f64::NAN]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("day", Arc::new(Date32Array::from(vec![20_484, -1]))),
        ("price", Arc::new(Decimal128Array::from(vec![150, -5]).with_precision_and_scale(9, 2).unwrap())),
        ("name", Arc::new(StringArray::from(vec![Some("7"), None]))),
    ];
    let chosen: Vec<&str> = columns[2..].iter().map(|(name, _)| *name).collect();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let write = |name: &str, batch: &RecordBatch| {
        let file = File::create(folder.path().join(name)).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    };
    write("log.parquet", &batch);
    let words: String = chosen.iter().map(|name| format!(" --column {name}")).collect();
    let predicted = |logs: &str| {
        let done = omomi(folder.path(), &format!("predict 7.omomi --logs {logs} --out out.parquet --force{words}"));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let file = File::open(folder.path().join("out.parquet")).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap()
    };
    let found = predicted("log.parquet");
    for name in &chosen {
        // A NaN is not equal to itself, but its text is.
        assert_eq!(format!("{:?}", found.column_by_name(name)), format!("{:?}", batch.column_by_name(name)), "{name}");
    }
    // Where files differ, texts are what all of them have.
    let mut other: Vec<(&str, ArrayRef)> = vec![
        ("site", Arc::new(Int64Array::from(vec![3]))),
        ("ad", ads(1)),
        ("small", Arc::new(Int64Array::from(vec![300]))),
    ];
    other.extend(chosen[1..].iter().map(|name| (*name, batch.column_by_name(name).unwrap().slice(0, 1))));
    write("other.parquet", &RecordBatch::try_from_iter(other).unwrap());
    let found = predicted("log.parquet other.parquet");
    let small = found.column_by_name("small").unwrap().as_string::<i32>();
    assert_eq!((small.value(0), small.is_null(1), small.value(2)), ("-7", true, "300"));
    assert_eq!(found.column_by_name("large").unwrap().as_primitive::<UInt64Type>().value(2), u64::MAX);
}
