//! A column has the importance of each row. A row without an importance is a bad row.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use omomi_train::log::{LogReader, ReadOptions};

use crate::rows::{contract, name, parquet_columns, rows, write_parquet, write_text};

fn options(max_bad_rows: u64) -> ReadOptions {
    ReadOptions::default().with(|it| {
        it.importance_column = Some("stands_for".to_owned());
        it.max_bad_rows = max_bad_rows;
    })
}

/// Writes one file of each format. `importances` are the texts for CSV and JSON, `array` the column for Parquet.
fn files(folder: &tempfile::TempDir, importances: [&str; 3], array: ArrayRef) -> [PathBuf; 3] {
    let mut csv = "clicked,media_id,title,floor_price,tags,segments,stands_for\n".to_owned();
    let mut jsonl = String::new();
    for importance in importances {
        csv += &format!("0,1,a,1,,,{importance}\n");
        let importance = if importance.is_empty() { "null" } else { importance };
        jsonl += r#"{"media_id":1,"title":"a","floor_price":1,"tags":[],"segments":[],"clicked":0,"stands_for":"#;
        jsonl += &format!("{importance}}}\n");
    }
    let mut columns = parquet_columns(&rows()[..3]);
    columns.push(("stands_for", array));
    [
        write_text(folder.path().join("log.csv"), csv.as_bytes()),
        write_text(folder.path().join("log.jsonl"), jsonl.as_bytes()),
        write_parquet(folder.path().join("log.parquet"), &columns),
    ]
}

#[test]
fn every_format_can_have_an_importance_column() {
    let folder = tempfile::tempdir().unwrap();
    for path in files(&folder, ["10", "0.5", "1e3"], Arc::new(Float64Array::from(vec![10.0, 0.5, 1e3]))) {
        let mut reader = LogReader::open(&contract(), &[name(&path)], options(0)).unwrap();
        let batch = reader.next_batch().unwrap().unwrap();
        assert_eq!(batch.importance, Some(vec![10.0, 0.5, 1e3]), "{}", path.display());
    }
    let whole: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let [.., path] = files(&folder, ["1", "2", "3"], whole);
    let mut reader = LogReader::open(&contract(), &[name(&path)], options(0)).unwrap();
    assert_eq!(reader.next_batch().unwrap().unwrap().importance, Some(vec![1.0, 2.0, 3.0]));
    // No column was named, so all rows count the same.
    let mut reader = LogReader::open(&contract(), &[name(&path)], ReadOptions::default()).unwrap();
    assert_eq!(reader.next_batch().unwrap().unwrap().importance, None);
}

#[test]
fn row_with_an_invalid_or_missing_importance_is_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("0", Some(0.0), "expected how much the row counts: a number from 1e-9 to 1e9, found "),
        ("-1.5", Some(-1.5), "expected how much the row counts: a number from 1e-9 to 1e9, found "),
        ("1e308", Some(1e308), "expected how much the row counts: a number from 1e-9 to 1e9, found "),
        ("1e-10", Some(1e-10), "expected how much the row counts: a number from 1e-9 to 1e9, found "),
        ("", None, "expected how much the row counts: a number from 1e-9 to 1e9, found nothing"),
    ];
    for (text, number, expected) in cases {
        let array = Arc::new(Float64Array::from(vec![Some(1.0), number, Some(2.0)]));
        for path in files(&folder, ["1", text, "2"], array) {
            let read = |max_bad_rows| {
                let mut reader = LogReader::open(&contract(), &[name(&path)], options(max_bad_rows)).unwrap();
                reader.next_batch().map(|batch| batch.unwrap().importance)
            };
            let error = read(0).unwrap_err().to_string();
            let words = format!("{}: row 2, column `stands_for`: {expected}", path.display());
            assert!(error.starts_with(&words), "{error}");
            assert_eq!(read(1).unwrap(), Some(vec![1.0, 2.0]), "{}", path.display());
        }
    }
    let [csv, ..] = files(&folder, ["1", "inf", "2"], Arc::new(Float64Array::from(vec![1.0; 3])));
    let mut reader = LogReader::open(&contract(), &[name(&csv)], options(0)).unwrap();
    assert!(reader.next_batch().is_err());
}

#[test]
fn importance_column_that_is_already_the_label_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let [.., path] = files(&folder, ["1", "1", "1"], Arc::new(Float64Array::from(vec![1.0; 3])));
    let options = ReadOptions::default().with(|it| it.importance_column = Some("clicked".to_owned()));
    let error = LogReader::open(&contract(), &[name(&path)], options).unwrap_err().to_string();
    assert!(error.starts_with("the importance column `clicked` is also in the contract"), "{error}");
}
