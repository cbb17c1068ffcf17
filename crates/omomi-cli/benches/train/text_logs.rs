//! Writes the rows of a Parquet log for other programs: as CSV, and in the format of Vowpal Wabbit.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use omomi::contract::{Contract, Side};
use omomi::request::{FieldValue, Row};
use omomi_train::log::{LogReader, ReadOptions, RowBatch};

pub fn each_batch(contract: &Contract, path: &Path) -> impl Iterator<Item = RowBatch> {
    let path = path.to_str().expect("UTF-8");
    let mut reader = LogReader::open(contract, &[path], ReadOptions::default()).expect("a log");
    std::iter::from_fn(move || reader.next_batch().expect("good rows"))
}

/// Writes the rows of a Parquet log as CSV.
pub fn write_csv(contract: &Contract, parquet: &Path, csv: &Path) {
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

/// Formats a value as a CSV cell. Generated categories contain nothing that needs quotes.
fn cell(value: &FieldValue) -> String {
    match value {
        FieldValue::Id(id) => id.to_string(),
        FieldValue::Text(text) => text.clone(),
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Ids(ids) => ids.iter().map(i64::to_string).collect::<Vec<_>>().join("|"),
        FieldValue::Texts(texts) => texts.join("|"),
    }
}

/// Writes the rows of a Parquet log in the format of Vowpal Wabbit: the label, and a token for each feature, including
/// crosses.
pub fn write_vowpal_wabbit(contract: &Contract, parquet: &Path, text: &Path) {
    let mut file = BufWriter::new(File::create(text).expect("room for the log"));
    for batch in each_batch(contract, parquet) {
        for (index, &clicked) in batch.clicked.iter().enumerate() {
            let mut row = batch.row(contract, Side::Context, index);
            row.extend(batch.row(contract, Side::Candidate, index));
            write!(file, "{} |f", if clicked { 1 } else { -1 }).expect("room for the log");
            for (column, field) in batch.columns.iter().zip(contract.fields()) {
                for category in categories(&row, column.range(index).map(|at| column.values[at]), &field.name) {
                    write!(file, " {}={category}", field.name).expect("room for the log");
                }
            }
            for cross in contract.crosses() {
                let members = cross.members.iter().map(|&member| &contract.fields()[member].name);
                let cells: Option<Vec<String>> = members.map(|name| row.get(name).map(cell)).collect();
                if let Some(cells) = cells {
                    let token = format!("{}={}", contract.cross_name(cross), cells.join("*"));
                    write!(file, " {}", token_of(&token)).expect("room for the log");
                }
            }
            writeln!(file).expect("room for the log");
        }
    }
    file.flush().expect("room for the log");
}

/// Returns the categories of a field as tokens. The category of a number is its bucket, as in this library.
fn categories(row: &Row, buckets: impl Iterator<Item = u64>, name: &str) -> Vec<String> {
    match row.get(name) {
        None => Vec::new(),
        Some(FieldValue::Number(_)) => buckets.map(|bucket| bucket.to_string()).collect(),
        Some(FieldValue::Texts(texts)) => texts.iter().map(|text| token_of(text)).collect(),
        Some(value) => vec![token_of(&cell(value))],
    }
}

/// Replaces blanks, colons and bars, which have a meaning in that format.
fn token_of(text: &str) -> String {
    text.replace([' ', ':', '|'], "_")
}
