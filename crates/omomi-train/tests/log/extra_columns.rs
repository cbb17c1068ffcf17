//! Extra columns that a caller names are returned as text, and are the same for every format.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use omomi_train::log::{LogError, LogReader, ReadOptions};

use crate::rows::{contract, name, parquet_columns, rows, write, write_parquet, write_text};

/// Reads the texts of `columns` in all files that match `pattern`, row by row, in batches of two rows.
fn read(pattern: &str, columns: &[&str]) -> Result<Vec<Vec<Option<String>>>, LogError> {
    let options = ReadOptions::default().with(|it| {
        it.batch_row_count = 2;
        it.extra_columns = columns.iter().map(|&column| column.to_owned()).collect();
    });
    let mut reader = LogReader::open(&contract(), &[pattern], options)?;
    let mut texts = Vec::new();
    while let Some(batch) = reader.next_batch()? {
        assert_eq!(batch.extra.len(), columns.len());
        for row in 0..batch.row_count() {
            texts.push(batch.extra.iter().map(|column| column.text(row).map(str::to_owned)).collect());
        }
    }
    Ok(texts)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn every_format_returns_extra_columns_as_text_even_columns_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let columns = ["shown_at", "title", "clicked", "media_id", "title"];
    for file in ["log.csv.gz", "log.jsonl"] {
        let path = name(&write(folder.path(), file, &rows()));
        let texts = read(&path, &columns).unwrap();
        let expected: Vec<Vec<Option<String>>> = rows()
            .iter()
            .map(|row| {
                let id = row.media_id.map(|id| id.to_string());
                let clicked = some(if row.clicked { "1" } else { "0" });
                vec![some(&row.time_us.to_string()), row.title.clone(), clicked, id, row.title.clone()]
            })
            .collect();
        assert_eq!(texts, expected, "{file}");
    }
    let path = name(&write(folder.path(), "log.parquet", &rows()));
    let texts = read(&path, &columns).unwrap();
    let first = rows()[0].title.clone();
    let id = some("9223372036854775807");
    assert_eq!(texts[0], [some("2019-11-24T00:00:17.004101"), first.clone(), some("true"), id, first]);
    assert_eq!(texts[1], [some("1970-01-01T00:00:00"), None, some("false"), None, None]);
    assert_eq!(texts.len(), rows().len());
}

#[test]
fn parquet_values_of_any_single_type_become_text_and_text_can_be_read_as_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary: DictionaryArray<arrow_array::types::Int8Type> =
        [Some("tokyo"), None, Some("")].into_iter().collect();
    let zoned = TimestampMicrosecondArray::from(vec![0, 1, 2]).with_timezone("Asia/Tokyo");
    let arrays: [(ArrayRef, [Option<&str>; 3]); 6] = [
        (Arc::new(dictionary), [Some("tokyo"), None, Some("")]),
        (Arc::new(Float64Array::from(vec![Some(0.1), None, Some(-2.0)])), [Some("0.1"), None, Some("-2.0")]),
        (Arc::new(Int64Array::from(vec![1, -5, 7])), [Some("1"), Some("-5"), Some("7")]),
        (Arc::new(BooleanArray::from(vec![true, false, true])), [Some("true"), Some("false"), Some("true")]),
        (Arc::new(Date32Array::from(vec![0, 1, 2])), [Some("1970-01-01"), Some("1970-01-02"), Some("1970-01-03")]),
        (
            Arc::new(zoned),
            [Some("1970-01-01T00:00:00Z"), Some("1970-01-01T00:00:00.000001Z"), Some("1970-01-01T00:00:00.000002Z")],
        ),
    ];
    for (array, expected) in arrays {
        let data_type = array.data_type().clone();
        let mut columns = parquet_columns(&rows()[..3]);
        columns.push(("site", array));
        let path = write_parquet(folder.path().join("log.parquet"), &columns);
        let texts = read(&name(&path), &["site"]).unwrap();
        let expected: Vec<_> = expected.iter().map(|text| vec![text.map(str::to_owned)]).collect();
        assert_eq!(texts, expected, "{data_type}");
    }

    let lines = "clicked,media_id,title,floor_price,tags,segments,importance\n\
                 0,1,a,1,,,2.5\n1,2,b,2,,,\n0,3,c,3,,,much\n";
    let path = write_text(folder.path().join("log.csv"), lines.as_bytes());
    let options = ReadOptions::default().with(|it| it.extra_columns = vec!["importance".to_owned()]);
    let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
    let batch = reader.next_batch().unwrap().unwrap();
    let numbers: Vec<_> = (0..3).map(|row| batch.extra[0].number(row)).collect();
    assert_eq!(numbers, [Some(2.5), None, None]);
}

#[test]
fn extra_texts_of_a_bad_row_are_removed_with_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "site,clicked,media_id,title,floor_price,tags,segments\nx,0,1,a,1,,\ny,7,1,a,1,,\nz,1,1,a,1,,\n";
    let row = |site: &str, clicked: u8| {
        format!(
            r#"{{"site":"{site}","media_id":1,"title":"a","floor_price":1,"tags":[],"segments":[],"clicked":{clicked}}}"#
        )
    };
    let jsonl = [row("x", 0), row("y", 7), row("z", 1)].join("\n");
    let mut columns = parquet_columns(&rows()[..3]);
    columns.push(("site", Arc::new(StringArray::from(vec!["x", "y", "z"]))));
    let clicked = columns.iter_mut().find(|(name, _)| *name == "clicked").unwrap();
    clicked.1 = Arc::new(Int64Array::from(vec![0, 7, 1]));
    let paths = [
        write_text(folder.path().join("log.csv"), csv.as_bytes()),
        write_text(folder.path().join("log.jsonl"), jsonl.as_bytes()),
        write_parquet(folder.path().join("log.parquet"), &columns),
    ];
    for path in paths {
        let extra_columns = vec!["site".to_owned()];
        let options = ReadOptions::default().with(|it| {
            it.max_bad_rows = 1;
            it.extra_columns = extra_columns;
        });
        let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
        let batch = reader.next_batch().unwrap().unwrap();
        let sites: Vec<_> = (0..batch.row_count()).map(|row| batch.extra[0].text(row)).collect();
        assert_eq!(sites, [Some("x"), Some("z")], "{}", path.display());
    }
}

#[test]
fn extra_column_that_is_missing_or_has_lists_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["log.parquet", "log.csv"] {
        let path = name(&write(folder.path(), file, &rows()));
        let options = ReadOptions::default().with(|it| it.extra_columns = vec!["site".to_owned()]);
        let error = LogReader::open(&contract(), &[&path], options).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{path}: the column `site` is missing: the file has ")), "{error}");
    }
    let path = name(&write(folder.path(), "log.jsonl", &rows()));
    let error = read(&path, &["site"]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{path}: the column `site` is missing: the file has ")), "{error}");

    let error = read(&path, &["tags"]).unwrap_err().to_string();
    let words = "row 1, column `tags`: expected text, a number, a boolean or a time, found a list";
    assert!(error.starts_with(&format!("{path}: {words}")), "{error}");
    let path = name(&write(folder.path(), "lists.parquet", &rows()));
    let error = read(&path, &["tags"]).unwrap_err().to_string();
    let words = "column `tags`: expected text, numbers, booleans or times, found ";
    assert!(error.starts_with(&format!("{path}: {words}")), "{error}");
}
