//! The CSV reader agrees with Python's `csv` module in strict mode, on generated texts that are mostly malformed.
//!
//! Python allows more: a quote inside an unquoted cell, and a carriage return alone. There the comparison of a text
//! ends.

use std::fs;
use std::process::Command;

use omomi_train::log::{CsvDialect, CsvFault, CsvRecords};
use rand::{RngExt, SeedableRng};
use serde_json::Value;

const TEXT_COUNT: usize = 4_000;

/// Reads each text until the first error, and writes the rows and whether there was an error.
const READ: &str = "
import csv, io, json, sys
for text in json.load(open(sys.argv[1], encoding='utf-8')):
    rows, failed = [], False
    try:
        lines = io.StringIO(text['text'], newline='')
        for row in csv.reader(lines, delimiter=text['delimiter'], strict=True):
            if row: rows.append(row)
    except csv.Error:
        failed = True
    print(json.dumps([rows, failed]))
";

/// Writes rows with a backslash before quotes.
const WRITE: &str = r"
import csv, io, json, sys
rows = json.load(open(sys.argv[1], encoding='utf-8'))
with open(sys.argv[2], 'w', encoding='utf-8', newline='') as out:
    csv.writer(out, doublequote=False, escapechar='\\', quoting=csv.QUOTE_ALL).writerows(rows)
";

fn has_python() -> bool {
    let has_python = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_python {
        eprintln!("skipped: python3 is not installed, so the CSV reader is not compared with Python's");
    }
    has_python
}

fn python(script: &str, arguments: &[&std::path::Path]) -> String {
    let output = Command::new("python3").args(["-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn generated(random: &mut impl rand::Rng, pieces: &[&str], max_len: usize) -> String {
    (0..random.random_range(0..max_len)).map(|_| pieces[random.random_range(0..pieces.len())]).collect()
}

#[test]
fn rows_are_those_of_python_up_to_the_first_fault_and_what_python_refuses_is_a_fault() {
    if !has_python() {
        return;
    }
    let pieces =
        ["a", "猫", ",", ",", ";", "\t", "\"", "\"", "\"\"", "\",\"", "\n", "\r\n", "\"\n", "\n\"", " ", "\\", "\r"];
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);
    let texts: Vec<(String, char)> = (0..TEXT_COUNT)
        .map(|_| {
            // Some texts without lone carriage returns, and some that are mostly well formed.
            let pieces = if random.random_bool(0.7) { &pieces[..16] } else { &pieces[..] };
            let pieces = if random.random_bool(0.3) { &pieces[..6] } else { pieces };
            let text = format!("x{}", generated(&mut random, pieces, 40));
            (text, [',', ';', '\t'][random.random_range(0..3)])
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("texts.json");
    let json = texts.iter().map(|(text, delimiter)| serde_json::json!({ "text": text, "delimiter": delimiter }));
    fs::write(&path, Value::from_iter(json).to_string()).unwrap();

    let (mut fault_count, mut row_count) = (0, 0);
    for ((text, delimiter), line) in texts.iter().zip(python(READ, &[&path]).lines()) {
        let (expected, failed): (Vec<Vec<String>>, bool) = serde_json::from_str(line).unwrap();
        let dialect = CsvDialect { delimiter: Some(*delimiter), max_cell_lines: 1_000, ..CsvDialect::default() };
        let mut records = CsvRecords::new(text.as_bytes(), &dialect, ',');
        let mut rows = Vec::new();
        let mut fault = None;
        while let Some(record) = records.read().unwrap() {
            fault = record.fault.map(|(_, fault)| fault);
            if fault.is_some() {
                break;
            }
            let cell = |index| String::from_utf8(records.cell(index).to_vec()).unwrap();
            rows.push((0..records.cell_count()).map(cell).collect::<Vec<_>>());
        }
        assert!(expected.starts_with(&rows), "{text:?} {fault:?}: {rows:?}, Python: {expected:?}");
        match fault {
            Some(CsvFault::StrayQuote | CsvFault::StrayCarriageReturn) => {}
            _ => {
                assert_eq!((fault.is_some(), rows.len()), (failed, expected.len()), "{text:?}: {fault:?}");
                row_count += rows.len();
            }
        }
        fault_count += usize::from(fault.is_some());
    }
    assert!(fault_count > TEXT_COUNT / 4 && row_count > TEXT_COUNT / 2, "{fault_count} faults, {row_count} rows");
}

#[test]
fn cells_that_python_writes_with_a_backslash_before_quotes_are_read_unchanged() {
    if !has_python() {
        return;
    }
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(8);
    // Python before 3.11 does not escape a backslash, so none is before a quote or at the end of a cell.
    let pieces = ["a", "猫", ",", "\"", "\\b", "\n", "\r\n", "\"\"", " "];
    let rows: Vec<Vec<String>> =
        (0..500).map(|_| (0..3).map(|_| generated(&mut random, &pieces, 12)).collect()).collect();
    let folder = tempfile::tempdir().unwrap();
    let (json, csv) = (folder.path().join("rows.json"), folder.path().join("rows.csv"));
    fs::write(&json, serde_json::to_string(&rows).unwrap()).unwrap();
    python(WRITE, &[&json, &csv]);
    let bytes = fs::read(csv).unwrap();
    let dialect = CsvDialect { escape: Some('\\'), max_cell_lines: 100, ..CsvDialect::default() };
    let mut records = CsvRecords::new(&bytes[..], &dialect, ',');
    for row in rows {
        let record = records.read().unwrap().unwrap();
        assert_eq!(record.fault, None, "{row:?}");
        let cells: Vec<_> = (0..3).map(|index| String::from_utf8_lossy(records.cell(index))).collect();
        assert_eq!(cells, row);
    }
}
