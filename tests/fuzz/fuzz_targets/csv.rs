//! Passes arbitrary bytes to the reader of CSV, in arbitrary dialects. It never panics, reads every line at most once,
//! and gives the same records wherever its buffer ends. What it accepts, it reads again from its RFC 4180 form.

#![no_main]

// The file itself instead of the trainer, which would take minutes to build with a sanitizer.
#[path = "../../../crates/omomi-train/src/log/csv_records.rs"]
#[allow(dead_code, reason = "the reader of logs uses more of it")]
mod csv_records;

use csv_records::{CsvDialect, CsvRecord, CsvRecords};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (options, buffer_len, text) = input;
    let dialect = CsvDialect {
        delimiter: [None, Some(';'), Some('\t'), Some('|')][usize::from(options & 3)],
        quote: (options & 4 == 0).then_some('"'),
        escape: (options & 8 != 0).then_some('\\'),
        max_cell_lines: u32::from(options >> 4) + 1,
    };
    dialect.check().expect("three different characters");
    let records = read(text, &dialect, 1 << 16);
    assert_eq!(records, read(text, &dialect, usize::from(buffer_len)));
    let mut line = 1;
    for (record, _) in &records {
        assert!(record.line >= line && record.line_count > 0);
        line = record.line + record.line_count;
    }
    let good: Vec<_> = records.into_iter().filter(|(record, _)| record.fault.is_none()).map(|(_, cells)| cells).collect();
    let dialect = CsvDialect { max_cell_lines: u32::MAX, ..CsvDialect::default() };
    let again = read(&written(&good), &dialect, usize::from(buffer_len));
    assert!(again.iter().all(|(record, _)| record.fault.is_none()));
    assert_eq!(again.into_iter().map(|(_, cells)| cells).collect::<Vec<_>>(), good);
});

fn read(text: &[u8], dialect: &CsvDialect, buffer_len: usize) -> Vec<(CsvRecord, Vec<Vec<u8>>)> {
    let mut records = CsvRecords::new(text, dialect, ',').with_buffer_len(buffer_len);
    let mut all = Vec::new();
    while let Some(record) = records.read().expect("memory can be read") {
        all.push((record, (0..records.cell_count()).map(|index| records.cell(index).to_vec()).collect()));
    }
    all
}

fn written(rows: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut text = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            text.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            for &byte in cell {
                text.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
            }
            text.push(b'"');
        }
        text.push(b'\n');
    }
    text
}
