//! CSV that its dialect does not allow is a bad row, never another row. What was reported: an unclosed quote silently
//! swallowed the rest of a file, a stray quote the rows up to the next one, and quotes that Spark escaped by a
//! backslash became part of the category. Each of these trained a model with exit code 0.

use std::fs;
use std::path::PathBuf;

use omomi_train::log::{CsvDialect, LogError, LogReader, LogWarning, ReadOptions};

use crate::rows::{Row, contract, expected, name, read, read_one, write_text};

const HEADER: &str = "clicked,media_id,floor_price,tags,segments,title\n";

fn file(folder: &tempfile::TempDir, file: &str, text: impl AsRef<[u8]>) -> PathBuf {
    write_text(folder.path().join(file), text.as_ref())
}

fn row(media_id: i64, title: &str) -> Row {
    let title = (!title.is_empty()).then(|| title.to_owned());
    Row { media_id: Some(media_id), title, ..Row::default() }
}

/// Rows 1 to 3, a row with `bad` in it, and `more` rows after it.
fn log(bad: &str, more: usize) -> String {
    let rows = |range: std::ops::Range<usize>| range.map(|id| format!("0,{id},,,,a\n")).collect::<String>();
    format!("{HEADER}{}{bad}{}", rows(1..4), rows(5..5 + more))
}

/// The message about the first bad row, the number of bad rows when all may be skipped, and the ids that were read.
fn outcome(text: &str) -> (String, u64, Vec<i64>) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "log.csv", text);
    let error = read_one(&path).unwrap_err().to_string();
    let start = format!("{}: ", path.display());
    let message = error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}")).to_owned();
    let options = ReadOptions::default().with(|it| it.max_bad_rows = 1_000);
    let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
    let mut ids = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        ids.extend(batch.columns[0].values.iter().map(|id| id.cast_signed()));
    }
    let total = reader.total_row_count().unwrap();
    assert_eq!(total, reader.rows_read() + reader.bad_row_count());
    (message, reader.bad_row_count(), ids)
}

#[test]
fn unclosed_quote_in_any_column_is_reported_where_it_began_and_costs_as_many_rows_as_it_has_lines() {
    for bad in ["0,4,,,,\"shop\n", "0,4,,,\"7,shop\n", "0,\"4,,,,shop\n"] {
        let (message, bad_row_count, ids) = outcome(&log(bad, 4));
        assert!(message.starts_with("row 4, column `"), "{message}");
        assert!(message.contains("expected a closing quote, found the end of the file"), "{message}");
        assert!(message.contains("(line 5; its 5 lines count as 5 bad rows)"), "{message}");
        assert_eq!((bad_row_count, ids), (5, vec![1, 2, 3]), "{bad}");
    }
    // The last line, without and with an end.
    for end in ["", "\n"] {
        let (message, bad_row_count, ids) = outcome(&log(&format!("0,4,,,,\"shop{end}"), 0));
        assert!(message.contains("(line 5)"), "{message}");
        assert_eq!((bad_row_count, ids), (1, vec![1, 2, 3]));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "log.csv", log("0,4,,,,\"shop\n", 30));
    let options = ReadOptions::default().with(|it| it.max_bad_rows = 1);
    let error = read(&[name(&path)], options).unwrap_err();
    assert!(matches!(error, LogError::TooManyBadRows { .. }), "one stray quote does not hide 31 rows: {error}");
}

#[test]
fn quote_that_is_closed_many_rows_later_is_a_bad_row_where_it_began() {
    let closed_later = |line_count: usize| {
        let mut text = log("0,4,,,,\"shop\n", line_count);
        text.push_str("0,77,,,,shop\"\n0,78,,,,b\n");
        text
    };
    let (message, bad_row_count, ids) = outcome(&closed_later(20));
    assert!(message.starts_with("row 4, column `title`: expected a closing quote, found too many lines"), "{message}");
    assert!(message.contains("raise --csv-cell-lines"), "{message}");
    // The cell is given up after 10 lines. The line with the closing quote is another bad row.
    assert_eq!(bad_row_count, 11);
    assert_eq!(ids, [1, 2, 3].into_iter().chain(14..25).chain([78]).collect::<Vec<_>>());
    // Text with a few lines is RFC 4180.
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "log.csv", format!("{HEADER}0,1,,,,\"a\nb\r\nc, \"\"d\"\"\"\n0,2,,,,e\n"));
    let rows = [row(1, "a\nb\r\nc, \"d\""), row(2, "e")];
    assert_eq!(read_one(&path).unwrap(), expected(&rows, false));
    let path = file(&folder, "long.csv", closed_later(20));
    let csv = CsvDialect { max_cell_lines: 22, ..CsvDialect::default() };
    let (read, _) = read(&[name(&path)], ReadOptions::default().with(|it| it.csv = csv)).unwrap();
    assert_eq!(read.len(), 5);
}

#[test]
fn every_other_malformed_record_is_a_bad_row_with_its_column() {
    let cases = [
        ("0,4,,,,\"say \\\"hi\\\" now\"\n", "column `title`", "a backslash escapes quotes, say so with --csv-escape"),
        ("0,4,,,,\"a\"b\n", "column `title`", "found other text; write a quote inside a quoted cell twice"),
        ("0,4,,,,\"a\" \n", "column `title`", "expected a delimiter or a line end after a closing quote"),
        ("0,4,,,,5\" screen\n", "column `title`", "expected quotes around the whole cell, found one inside"),
        ("0,4, \"1\",,,a\n", "column `floor_price`", "expected quotes around the whole cell"),
        ("0,4,,,,a\rb\n", "column `title`", "expected a line feed after a carriage return"),
        ("0,4,,,,\"a\"\rb\n", "column `title`", "expected a line feed after a carriage return"),
    ];
    for (bad, column, words) in cases {
        let (message, bad_row_count, ids) = outcome(&log(bad, 2));
        assert!(message.starts_with(&format!("row 4, {column}: ")) && message.contains(words), "{bad:?}: {message}");
        assert!(message.contains("(line 5)"), "{message}");
        assert_eq!((bad_row_count, ids), (1, vec![1, 2, 3, 5, 6]), "{bad:?}");
    }
    // A stray quote that swallows the start of the next quoted cell: all lines up to there are bad.
    let (message, bad_row_count, ids) = outcome(&log("0,4,,,,\"shop\n0,40,,,,a\n0,41,,,,\"b\"\n", 2));
    assert!(message.starts_with("row 4, column `title`: expected a delimiter or a line end after"), "{message}");
    assert_eq!((bad_row_count, ids), (3, vec![1, 2, 3, 5, 6]));
    // A quote in a middle column, closed in a later row: too few cells, and every line counts.
    let (message, bad_row_count, ids) = outcome(&log("0,4,\"1,,,shop\n0,40,1\",,,a,,\n", 2));
    assert!(message.starts_with("row 4: expected 6 cells as in the header, found"), "{message}");
    assert_eq!((bad_row_count, ids), (2, vec![1, 2, 3, 5, 6]));
}

#[test]
fn a_row_above_16_mib_costs_only_that_row_in_every_text_format() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a".repeat((16 << 20) + 1);
    let csv = file(&folder, "log.csv.zst", format!("{HEADER}0,1,,,,a\n0,2,,,,{long}\n0,3,,,,\"{long}\"\n0,4,,,,a\n"));
    let key = |id: i64, title: &str| {
        format!(
            "{{\"clicked\":0,\"media_id\":{id},\"title\":\"{title}\",\"floor_price\":null,\"tags\":[],\"segments\":[]}}\n"
        )
    };
    let json = file(&folder, "log.jsonl.zst", [key(1, "a"), key(2, &long), key(4, "a")].concat());
    for (path, bad_row_count) in [(csv, 2), (json, 1)] {
        let error = read_one(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: row 2", path.display())) && error.contains("16 MiB"), "{error}");
        let options = ReadOptions::default().with(|it| it.max_bad_rows = bad_row_count);
        assert_eq!(read(&[name(&path)], options).unwrap(), expected(&[row(1, "a"), row(4, "a")], false));
    }
    let commas = file(&folder, "commas.csv", format!("{HEADER}{}\n", ",".repeat(1 << 17)));
    assert!(read_one(&commas).unwrap_err().to_string().contains("row 1: expected a row of at most 65536 cells"));
}

#[test]
fn other_dialects_are_named_and_tsv_has_tabs() {
    let folder = tempfile::tempdir().unwrap();
    let with = |delimiter, quote, escape| CsvDialect { delimiter, quote, escape, ..CsvDialect::default() };
    let header = |delimiter: &str| HEADER.replace(',', delimiter);
    let cases = [
        ("a.tsv", CsvDialect::default(), format!("{}0\t1\t\t\t\t\"a\tb\"\n", header("\t")), "a\tb"),
        ("b.tsv.gz", with(None, None, None), format!("{}0\t1\t\t\t\t\"a\n", header("\t")), "\"a"),
        ("c.csv", with(Some(';'), Some('"'), None), format!("{}0;1;;;;a,b\n", header(";")), "a,b"),
        ("d.csv", with(Some('|'), Some('\''), None), format!("{}0|1||||'a''\"|'\n", header("|")), "a'\"|"),
        (
            "e.csv",
            with(None, Some('"'), Some('\\')),
            format!("{HEADER}0,1,,,,\"say \\\"hi\\\" \\\\ c:\\temp\"\n"),
            "say \"hi\" \\ c:\\temp",
        ),
        ("f.tsv", with(None, None, Some('\\')), format!("{}0\t1\t\t\t\ta\\\tb\\\\\n", header("\t")), "a\tb\\"),
        ("g.csv", CsvDialect::default(), format!("{}0,1,,,,a\r", HEADER.replace('\n', "\r")), "a"),
        ("h.csv", CsvDialect::default(), format!("\u{feff}{}0,1,,,,a\r\n", HEADER.replace('\n', "\r\n")), "a"),
    ];
    for (file_name, csv, text, title) in cases {
        let path = file(&folder, file_name, text);
        let options = ReadOptions::default().with(|it| it.csv = csv);
        assert_eq!(read(&[name(&path)], options).unwrap(), expected(&[row(1, title)], false), "{file_name}");
    }
    for (csv, words) in [
        (with(Some('"'), Some('"'), None), "three different characters"),
        (with(Some('a'), Some('"'), None), "a delimiter that is an ASCII punctuation mark or a tab, found 'a'"),
        (with(None, Some('\n'), None), "a quote that is an ASCII"),
        (CsvDialect { max_cell_lines: 0, ..CsvDialect::default() }, "at least 1 line"),
    ] {
        let path = file(&folder, "a.csv", HEADER);
        let error = read(&[name(&path)], ReadOptions::default().with(|it| it.csv = csv)).unwrap_err().to_string();
        assert!(error.starts_with("the CSV dialect cannot be used: expected") && error.contains(words), "{error}");
    }
}

#[test]
fn header_that_cannot_be_read_says_why_in_few_words_without_control_characters() {
    let folder = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = format!("\u{feff}{HEADER}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gzip = fs::read(file(&folder, "real.csv.gz", HEADER)).unwrap();
    let wide = (0..3_000).map(|column| format!("column_number_{column}")).collect::<Vec<_>>().join(",");
    let cases = [
        (utf16.clone(), "expected CSV, found UTF-16; convert it to UTF-8"),
        (utf16[2..].to_vec(), "expected CSV, found bytes that are not text"),
        (gzip, "expected CSV, found gzip; end its name in .gz"),
        (b"PAR1....PAR1".to_vec(), "expected CSV, found Parquet; end its name in .parquet"),
        (wide.into_bytes(), "column_number_19 and 2980 more"),
        (b"clicked,  media_id,x\n".to_vec(), "`  media_id` differs only in spaces, case or Unicode form"),
        (b"clicked,media\xef\xbc\xbfid\n".to_vec(), "differs only in spaces, case or Unicode form"),
        (b"clicked;media_id\n".to_vec(), "is the delimiter ';'? name it with --csv-delimiter"),
        (b"clicked,\x1b[31mred\n".to_vec(), "\\u{1b}[31mred"),
        (b"clicked,\"media_id\n".to_vec(), "the header is malformed: in column 2: expected a closing quote"),
        (b"clicked,\xff\n".to_vec(), "the header is malformed: expected UTF-8"),
    ];
    for (bytes, words) in cases {
        let path = file(&folder, "log.csv", bytes);
        let error = read_one(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(error.len() < 1_000 && !error.chars().any(char::is_control), "{error:?}");
    }
}

/// `cat` of two files with a byte order mark made an invisible category of the first cell.
#[test]
fn a_byte_order_mark_in_the_middle_of_a_file_is_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let header = "title,media_id,clicked,floor_price,tags,segments\n";
    let mark = "\u{feff}";
    for text in [
        format!("{mark}{header}a,1,0,,,\n{mark}b,2,1,,,\nc,3,0,,,\n"),
        format!("{mark}{header}a,1,0,,,\n{mark}\"b\",2,1,,,\nc,3,0,,,\n"),
        format!("{mark}{header}a,1,0,,,\n{mark},2,1,,,\nc,3,0,,,\n"),
    ] {
        let path = file(&folder, "log.csv", &text);
        let options = ReadOptions::default().with(|it| it.max_bad_rows = 1);
        let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
        assert_eq!(reader.next_batch().unwrap().unwrap().columns[0].values, [1, 3], "{text:?}");
        assert_eq!((reader.bad_row_count(), reader.bad_rows()[0].row), (1, 2), "{text:?}");
    }
    let path = file(&folder, "log.csv", format!("{header}{mark}b,2,1,,,\n"));
    let error = read_one(&path).unwrap_err().to_string();
    assert!(error.contains("row 1, column `title`: expected a byte order mark only at the start of a file"), "{error}");
    assert!(error.contains("found one before `b`"), "{error}");
}

/// All of them were "damaged", and nothing is gained by copying them again.
#[test]
fn another_format_under_the_name_of_parquet_is_named_and_a_damaged_file_stays_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let gzip = fs::read(file(&folder, "real.csv.gz", HEADER)).unwrap();
    let cases: [(Vec<u8>, &str); 11] = [
        (HEADER.into(), "expected Parquet, found text; end its name in .csv"),
        (b"<html>Forbidden</html>".to_vec(), "expected Parquet, found text"),
        ("\u{feff}見出し\n".into(), "expected Parquet, found text"),
        (gzip, "expected Parquet, found compressed bytes"),
        (b"ARROW1\0\0\xff\xff\xff\xff".to_vec(), "expected Parquet, found Arrow (Feather); convert it to Parquet"),
        (b"\xff\xff\xff\xff\x10\0\0\0".to_vec(), "expected Parquet, found an Arrow stream"),
        (b"ORC\x0a\x03\0".to_vec(), "expected Parquet, found ORC"),
        (b"Obj\x01\x04".to_vec(), "expected Parquet, found Avro"),
        (b"PK\x03\x04\x14\0".to_vec(), "expected Parquet, found a zip archive; unpack it"),
        (b"PAR1\x15\x04\x15".to_vec(), "damaged after row 0"),
        ([0; 4_096].to_vec(), "damaged after row 0"),
    ];
    for (bytes, words) in cases {
        let path = file(&folder, "log.parquet", bytes);
        let error = read_one(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    for (bytes, words) in
        [(&b"ARROW1\0\0"[..], "expected CSV, found Arrow (Feather)"), (b"Obj\x01\x04", "expected CSV, found Avro")]
    {
        let path = file(&folder, "log.csv", bytes);
        let error = read_one(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn rows_with_line_ends_in_a_cell_are_reported_because_stray_quotes_make_such_rows_too() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "1,\"1\",\"a\n0,2,b\n0,3,c\"\n0,4,d\n0,5,\"e\nf\"\n";
    let text = format!("clicked,media_id,title\n{rows}");
    let path = file(&folder, "log.csv", text);
    let title = "name = \"log\"\nlabel = \"clicked\"\n[[field]]\nname = \"title\"\nside = \"context\"\n\
                 type = \"text\"\nmeaning = \"m\"\n";
    let contract = omomi_train::toml::parse_contract(title).unwrap();
    let open = |csv| {
        let options = ReadOptions::default().with(|it| {
            it.csv = csv;
            it.max_bad_rows = 9;
        });
        LogReader::open(&contract, &[name(&path)], options).unwrap()
    };
    let mut reader = open(CsvDialect::default());
    while reader.next_batch().unwrap().is_some() {}
    assert_eq!(reader.warnings(), [LogWarning::RowsOfLines { file: path.clone(), row: 1, count: 2 }]);
    let text = reader.warnings()[0].to_string();
    assert!(text.contains("log.csv: row 1 and 1 more rows have a quoted cell with line ends"), "{text}");
    // The remedy that the warning names. The lines that follow within a quoted cell are faults of their own.
    let mut reader = open(CsvDialect { max_cell_lines: 1, ..CsvDialect::default() });
    while reader.next_batch().unwrap().is_some() {}
    assert_eq!((reader.warnings(), reader.rows_read(), reader.bad_row_count()), (vec![], 2, 4));
}
