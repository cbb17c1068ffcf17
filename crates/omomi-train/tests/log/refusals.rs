//! Unreadable files and bad rows are rejected, or skipped and counted, with file, row and column.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, StringArray};
use arrow_schema::DataType;
use omomi_train::log::{BadRow, LogError, LogReader, ReadOptions, RowFault};
use parquet::basic::Compression;

use crate::rows::{
    Row, contract, expected, json_lines, name, parquet_columns, read, read_one, rows, write, write_parquet,
    write_parquet_with, write_text,
};

const HEADER: &str = "clicked,media_id,title,floor_price,tags,segments\n";

fn refusal(path: &Path) -> String {
    read_one(path).unwrap_err().to_string()
}

fn file(folder: &tempfile::TempDir, file: &str, text: impl AsRef<[u8]>) -> PathBuf {
    write_text(folder.path().join(file), text.as_ref())
}

#[test]
fn patterns_without_files_and_names_without_a_known_format_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let at = |pattern: &str| format!("{}/{pattern}", name(folder.path()));
    let open = |patterns: &[String]| LogReader::open(&contract(), patterns, ReadOptions::default()).unwrap_err();
    assert!(matches!(open(&[]), LogError::NoPattern));
    for pattern in [at("*.csv"), at("absent.csv")] {
        let error = open(std::slice::from_ref(&pattern)).to_string();
        assert!(error.starts_with(&format!("no file matches `{pattern}`: expected the path")), "{error}");
    }
    assert!(matches!(open(&[name(folder.path())]), LogError::NoLogs { .. }));
    assert!(matches!(open(&[at("***.csv")]), LogError::BadPattern { .. }));
    let path = file(&folder, "log.txt", "");
    let error = open(&[name(&path)]).to_string();
    assert!(
        error.starts_with(&format!("{}: expected a name that ends in .parquet, .parq, .csv,", path.display())),
        "{error}"
    );
    let options = ReadOptions::default().with(|it| it.time_column = Some("title".to_owned()));
    let error = LogReader::open(&contract(), &[name(&path)], options).unwrap_err();
    assert!(error.to_string().starts_with("the time column `title` is also in the contract"), "{error}");
}

#[test]
fn missing_column_is_reported_with_the_columns_of_the_file_before_any_row_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "a.csv", &rows());
    let csv = file(&folder, "b.csv", "clicked,media_id,titel,floor_price,tags,segments\n");
    let mut columns = parquet_columns(&rows());
    columns.remove(3);
    let parquet = write_parquet(folder.path().join("c.parquet"), &columns);
    for (path, found) in [
        (csv, "clicked, media_id, titel, floor_price, tags, segments"),
        (parquet, "segments, unused, clicked, tags, shown_at, media_id, floor_price"),
    ] {
        let error = LogReader::open(&contract(), &[name(&good), name(&path)], ReadOptions::default()).unwrap_err();
        let start = format!("{}: the column `title` is missing: the file has {found}; correct the", path.display());
        assert!(error.to_string().starts_with(&start), "{error}");
    }
    let twice = file(&folder, "d.csv", "clicked,title,media_id,title,floor_price,tags,segments\n");
    assert!(refusal(&twice).starts_with(&format!("{}: two columns are named `title`", twice.display())));
    let options = ReadOptions::default().with(|it| it.time_column = Some("at".to_owned()));
    let error = read(&[name(&good)], options).unwrap_err().to_string();
    assert!(error.contains("a.csv: the column `at` is missing: the file has unused, tags,"), "{error}");
}

#[test]
fn key_that_no_json_line_has_is_a_missing_column_and_key_that_some_lines_have_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let full = r#"{"clicked":0,"media_id":1,"title":"a","floor_price":1,"tags":[],"segments":[]}"#;
    let bare = file(&folder, "a.jsonl", "{\"clicked\":0,\"titel\":\"a\"}\n");
    let error = refusal(&bare);
    let start = format!("{}: the column `media_id` is missing: the file has clicked, titel; ", bare.display());
    assert!(error.starts_with(&start), "{error}");
    let full = file(&folder, "b.jsonl", full);
    assert_eq!(read(&[name(&bare), name(&full)], ReadOptions::default()).unwrap().0.len(), 2);
    let empty = file(&folder, "c.jsonl", "\n");
    assert_eq!(read_one(&empty).unwrap().0.len(), 0);
}

#[test]
fn each_fault_of_a_csv_row_is_reported_with_file_row_and_column() {
    let cases: [(&[u8], &str); 12] = [
        (b"2,,,,,", "row 3, column `clicked`: expected a label of 0 or 1, found `2`"),
        (b"yes,,,,,", "row 3, column `clicked`: expected a label of 0 or 1, found `yes`"),
        (b",1,,,,", "row 3, column `clicked`: expected a label of 0 or 1, found nothing"),
        (b"0,1.5,,,,", "row 3, column `media_id`: expected an integer from -2^63 to 2^64 - 1, found `1.5`"),
        (
            b"0,18446744073709551616,,,,",
            "row 3, column `media_id`: expected an integer from -2^63 to 2^64 - 1, found `18446744073709551616`",
        ),
        (b"0, 1,,,,", "row 3, column `media_id`: expected an integer from -2^63 to 2^64 - 1, found ` 1`"),
        (b"0,,,1 JPY,,", "row 3, column `floor_price`: expected a number, found `1 JPY`"),
        (b"0,,,,,1|x", "row 3, column `segments`: expected an integer from -2^63 to 2^64 - 1, found `x`"),
        (b"0,,\xff\xfe,,,", "row 3, column `title`: expected UTF-8 text, found other bytes"),
        (b"0,,,,", "row 3: expected 6 cells as in the header, found 5"),
        (b"0,,,,,,", "row 3: expected 6 cells as in the header, found 7"),
        (
            "0,広告クリエイティブの番号広告クリエイティブの番号広告クリエイティブの番号\n広告クリエイティブ,,,,"
                .as_bytes(),
            "row 4: expected 6 cells",
        ),
    ];
    for (row, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut text = HEADER.as_bytes().to_vec();
        text.extend_from_slice(b"0,1,a,,,\n\n1,2,\"b\nc\",,,\n");
        text.extend_from_slice(row);
        text.extend_from_slice(b"\n0,,,,,\n");
        let path = file(&folder, "log.csv", text);
        let error = refusal(&path);
        if message.starts_with("row 4") {
            assert!(error.starts_with(&format!("{}: row 3: expected 6 cells", path.display())), "{error}");
            continue;
        }
        let end = "; correct the row, or allow some bad rows with --max-bad-rows";
        assert_eq!(error, format!("{}: {message}{end}", path.display()));
    }
}

#[test]
fn each_fault_of_a_json_line_is_reported_with_file_row_and_column() {
    let id = "expected an integer from -2^63 to 2^64 - 1";
    let cases: [(&[u8], &str); 17] = [
        (br#"{"clicked":2}"#, "row 2, column `clicked`: expected a label of 0 or 1, found 2"),
        (br#"{"clicked":"2"}"#, "row 2, column `clicked`: expected a label of 0 or 1, found the text `2`"),
        (br#"{"clicked":0.5}"#, "row 2, column `clicked`: expected a label of 0 or 1, found 0.5"),
        (br#"{"clicked":null}"#, "row 2, column `clicked`: expected a label of 0 or 1, found nothing"),
        (br#"{}"#, "row 2, column `clicked`: expected a label of 0 or 1, found nothing"),
        (br#"{"clicked":0,"media_id":"1x"}"#, &format!("row 2, column `media_id`: {id}, found the text `1x`")),
        (br#"{"clicked":0,"media_id":1.5}"#, &format!("row 2, column `media_id`: {id}, found 1.5")),
        (
            br#"{"clicked":0,"media_id":18446744073709551616}"#,
            &format!("row 2, column `media_id`: {id}, found 1.8446744073709552e19"),
        ),
        (br#"{"clicked":0,"media_id":[1]}"#, &format!("row 2, column `media_id`: {id}, found a list")),
        (br#"{"clicked":0,"title":{"a":[]}}"#, "row 2, column `title`: expected text, found an object"),
        (br#"{"clicked":0,"floor_price":true}"#, "row 2, column `floor_price`: expected a number, found true"),
        (br#"{"clicked":0,"tags":"a"}"#, "row 2, column `tags`: expected a list of texts, found the text `a`"),
        (br#"{"clicked":0,"segments":[1,"a"]}"#, &format!("row 2, column `segments`: {id}, found the text `a`")),
        (br#"{"clicked":0,"title":"a","title":"b"}"#, "row 2, column `title`: expected the key once, found it twice"),
        (br#"{"clicked":0,"title":"#, "row 2: expected a JSON object on one line, found a truncated or malformed one"),
        (
            br#"{"clicked":0}{"clicked":1}"#,
            "row 2: expected a JSON object on one line, found a truncated or malformed one",
        ),
        (b"{\"clicked\":0,\"title\":\"\xff\"}", "row 2: expected UTF-8 text, found other bytes"),
    ];
    for (line, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        let text = [b"\n{\"clicked\":0}\n".as_slice(), line, b"\n{\"clicked\":1}\n"].concat();
        let path = file(&folder, "log.jsonl.gz", text);
        let error = refusal(&path);
        assert!(error.starts_with(&format!("{}: {message}", path.display())), "{error}");
    }
}

#[test]
fn bad_rows_are_skipped_counted_and_listed_and_do_not_change_the_good_rows() {
    let folder = tempfile::tempdir().unwrap();
    let good = rows();
    let lines: Vec<String> = json_lines(&good).lines().map(str::to_owned).collect();
    let bad = [r#"{"title":"lost","segments":[1,2],"floor_price":5000,"clicked":0,"media_id":"x"}"#, "{", "[1]"];
    let text = [&lines[0], bad[0], &lines[1], &lines[2], bad[1], bad[2], &lines[3], &lines[4]].join("\n");
    let json = file(&folder, "a.jsonl", text);
    let mut columns = parquet_columns(&good);
    let labels = [Some(1), Some(7), Some(0), None, Some(0)];
    columns[2].1 = Arc::new(Int64Array::from(labels.to_vec())) as ArrayRef;
    let parquet = write_parquet(folder.path().join("b.parquet"), &columns);
    let csv = file(&folder, "c.csv", format!("{HEADER}0,1,a,5000,x,1|x\n1,1,a\n1,5,,,,\n"));
    let patterns = [name(&json), name(&parquet), name(&csv)];

    let left = [good[0].clone(), good[2].clone(), good[4].clone()];
    let last = Row { clicked: true, media_id: Some(5), ..Row::default() };
    let all = [good, left.to_vec(), vec![last]].concat();
    for batch_row_count in [1, 2, 100] {
        let options = ReadOptions::default().with(|it| {
            it.max_bad_rows = 7;
            it.batch_row_count = batch_row_count;
        });
        assert_eq!(read(&patterns, options).unwrap(), expected(&all, false));
    }

    let options = ReadOptions::default().with(|it| it.max_bad_rows = 7);
    let mut reader = LogReader::open(&contract(), &patterns, options).unwrap();
    while reader.next_batch().unwrap().is_some() {}
    assert_eq!(reader.bad_row_count(), 7);
    let places: Vec<_> =
        reader.bad_rows().iter().map(|bad| (bad.file.clone(), bad.row, bad.column.as_deref())).collect();
    let expected_places = [
        (json.clone(), 2, Some("media_id")),
        (json.clone(), 5, None),
        (json, 6, None),
        (parquet.clone(), 2, Some("clicked")),
        (parquet, 4, Some("clicked")),
        (csv.clone(), 1, Some("segments")),
        (csv, 2, None),
    ];
    assert_eq!(places, expected_places);

    let options = ReadOptions::default().with(|it| it.max_bad_rows = 6);
    let error = read(&patterns, options).unwrap_err().to_string();
    assert!(error.starts_with("expected at most 6 bad rows, found more; correct the log or raise"), "{error}");
    assert_eq!(error.lines().count(), 8, "{error}");
    assert!(error.lines().nth(1).unwrap().ends_with(
        "a.jsonl: row 2, column `media_id`: expected an integer from -2^63 to 2^64 - 1, found the text `x`"
    ));
}

#[test]
fn list_of_bad_rows_is_bounded_but_their_count_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "log.csv", format!("{HEADER}{}", "3,,,,,\n".repeat(1_000)));
    let options = ReadOptions::default().with(|it| it.max_bad_rows = 1_000);
    let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
    assert!(reader.next_batch().unwrap().is_none());
    assert_eq!((reader.bad_row_count(), reader.bad_rows().len()), (1_000, BadRow::MAX_LISTED));
    assert_eq!(reader.bad_rows()[99].row, 100);
    assert_eq!(reader.bad_rows()[99].fault, RowFault::Label { found: "`3`".to_owned() });
}

#[test]
fn times_that_cannot_be_read_or_are_missing_are_bad_rows() {
    let folder = tempfile::tempdir().unwrap();
    let text = "at,clicked,media_id,title,floor_price,tags,segments\n,0,,,,,\ntoday,0,,,,,\n2019-11-24,1,,,,,\n";
    let path = file(&folder, "log.csv", text);
    let options = ReadOptions::default().with(|it| {
        it.max_bad_rows = 2;
        it.time_column = Some("at".to_owned());
    });
    let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
    assert_eq!(reader.next_batch().unwrap().unwrap().time_us, Some(vec![1_574_553_600_000_000]));
    let faults: Vec<String> = reader.bad_rows().iter().map(ToString::to_string).collect();
    let expected = "column `at`: expected a time: an integer, or text such as 2019-11-24T00:00:17.004101Z";
    assert_eq!(faults[0], format!("{}: row 1, {expected}, found nothing", path.display()));
    assert_eq!(faults[1], format!("{}: row 2, {expected}, found `today`", path.display()));
}

#[test]
fn truncated_and_corrupt_files_are_reported_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<Row> = rows().into_iter().cycle().take(10_000).collect();
    for file in ["log.parquet", "log.csv.gz", "log.jsonl.gz", "log.csv.zst", "log.jsonl.zst"] {
        let path = write(folder.path(), file, &many);
        let bytes = fs::read(&path).unwrap();
        for len in [1, 3, bytes.len() / 2, bytes.len() - 5, bytes.len() - 1] {
            fs::write(&path, &bytes[..len]).unwrap();
            let error = read_one(&path).unwrap_err();
            let text = error.to_string();
            let named = text.starts_with(&format!("{}: damaged after row ", path.display()));
            assert!(named && text.ends_with("; write or copy the file again"), "{file} of {len} bytes: {text}");
        }
    }
    for (name, bytes) in [
        ("a.parquet", b"PAR1 not Parquet, but long enough".as_slice()),
        ("b.csv.gz", b"not gzip"),
        ("c.jsonl.zst", b"not zstd"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert!(matches!(read_one(&path).unwrap_err(), LogError::Damaged { rows_before: 0, .. }), "{name}");
    }
}

#[test]
fn flipped_byte_in_parquet_never_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "log.parquet", &rows());
    let bytes = fs::read(&path).unwrap();
    let mut refused_count = 0;
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x55;
        fs::write(&path, damaged).unwrap();
        let Ok(mut reader) = LogReader::open(&contract(), &[name(&path)], ReadOptions::default()) else {
            refused_count += 1;
            continue;
        };
        let outcome = loop {
            match reader.next_batch() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        refused_count += usize::from(outcome.is_err());
        assert!(matches!(reader.next_batch(), Ok(None)), "no rows follow an error");
    }
    assert!(refused_count > bytes.len() / 2, "{refused_count} of {}", bytes.len());
}

#[test]
fn absent_file_and_endless_line_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "log.csv", &rows());
    let mut reader = LogReader::open(&contract(), &[name(&path)], ReadOptions::default()).unwrap();
    fs::remove_file(&path).unwrap();
    let error = reader.next_batch().unwrap_err();
    assert_eq!(error.to_string(), format!("{}: cannot be read", path.display()));
    assert!(std::error::Error::source(&error).is_some());

    let unclosed = format!("{HEADER}0,1,\"{}", "a,\n".repeat(6 << 20));
    let path = file(&folder, "unclosed.csv.zst", unclosed);
    let error = refusal(&path);
    assert!(error.contains("row 1, column `title`: expected a closing quote, found too many lines"), "{error}");
    let path = file(&folder, "commas.csv", ",".repeat(1 << 20));
    assert!(refusal(&path).contains("look for a quote that is not closed"));
    let path = file(&folder, "endless.jsonl.zst", format!("{{\"clicked\":0}}\n{{\"title\":\"{}", "a".repeat(17 << 20)));
    let error = refusal(&path);
    assert!(error.contains("row 2: expected at most 16 MiB, found more"), "{error}");
}

/// One answer for text that is not UTF-8: a bad row that can be skipped. Formerly a category was empty, or raw bytes,
/// or the whole file was damaged, depending on the format and the encoding.
#[test]
fn text_that_is_not_utf8_costs_only_its_row_in_every_format_and_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let titles: Vec<&[u8]> = vec![b"a", b"b\xff", "猫".as_bytes(), b"\xc3\x28", b"a"];
    let mut paths = Vec::new();
    let csv: Vec<Vec<u8>> = titles.iter().map(|title| [b"0,,", *title, b",,,\n"].concat()).collect();
    paths.push(file(&folder, "log.csv", [HEADER.as_bytes(), &csv.concat()].concat()));
    let json = |title: &&[u8]| {
        let rest = b"\",\"media_id\":null,\"floor_price\":null,\"tags\":[],\"segments\":[]}\n".as_slice();
        [b"{\"clicked\":0,\"title\":\"", *title, rest].concat()
    };
    paths.push(file(&folder, "log.jsonl.gz", titles.iter().map(json).collect::<Vec<_>>().concat()));
    let good: Vec<Row> = ["a", "猫", "a"].map(|title| Row { title: Some(title.to_owned()), ..Row::default() }).into();
    let all = vec![Row::default(); titles.len()];
    for (name, has_dictionary, is_list) in
        [("plain", false, false), ("keys", true, false), ("lists", false, true), ("lists-of-keys", true, true)]
    {
        let mut columns = parquet_columns(&all);
        // Text that the writer did not check, as other writers do.
        let (column, bytes): (_, ArrayRef) = if is_list {
            let mut lists = ListBuilder::new(BinaryBuilder::new());
            titles.iter().for_each(|title| lists.append_value([Some(title)]));
            ("tags", Arc::new(lists.finish()))
        } else {
            ("title", Arc::new(BinaryArray::from(titles.clone())))
        };
        let place = columns.iter().position(|(name, _)| *name == column).unwrap();
        columns[place].1 = unchecked_texts(&bytes);
        paths.push(write_parquet_with(
            folder.path().join(format!("{name}.parquet")),
            &columns,
            Compression::SNAPPY,
            has_dictionary,
        ));
    }
    for path in paths {
        let error = refusal(&path);
        assert!(error.contains(": row 2") && error.contains("expected UTF-8 text, found other bytes"), "{error}");
        let is_list = name(&path).contains("lists");
        let good: Vec<Row> = good
            .iter()
            .cloned()
            .map(|row| match is_list {
                true => Row { tags: row.title.into_iter().collect(), ..Row::default() },
                false => row,
            })
            .collect();
        for batch_row_count in [1, 2, 100] {
            let options = ReadOptions::default().with(|it| {
                it.max_bad_rows = 2;
                it.batch_row_count = batch_row_count;
            });
            assert_eq!(read(&[name(&path)], options).unwrap(), expected(&good, false), "{}", path.display());
        }
    }
}

/// Calls bytes, or lists of bytes, text without a check.
fn unchecked_texts(array: &ArrayRef) -> ArrayRef {
    let data = array.to_data().into_builder();
    let data = match array.data_type() {
        DataType::List(item) => {
            let item = item.as_ref().clone().with_data_type(DataType::Utf8);
            let texts = unchecked_texts(array.as_list::<i32>().values());
            data.data_type(DataType::List(Arc::new(item))).child_data(vec![texts.to_data()])
        }
        _ => data.data_type(DataType::Utf8),
    };
    // SAFETY: bytes and text have the same layout. The array is only written to a file; nothing reads it as `str`.
    arrow_array::make_array(unsafe { data.build_unchecked() })
}

/// Codecs that other programs choose were called damage, after earlier files had been learned.
#[test]
fn every_codec_of_parquet_is_read_except_lzo() {
    let folder = tempfile::tempdir().unwrap();
    for (name, compression) in [
        ("lz4", Compression::LZ4),
        ("lz4_raw", Compression::LZ4_RAW),
        ("brotli", Compression::BROTLI(parquet::basic::BrotliLevel::default())),
        ("gzip", Compression::GZIP(parquet::basic::GzipLevel::default())),
        ("none", Compression::UNCOMPRESSED),
    ] {
        let path = folder.path().join(format!("{name}.parquet"));
        let path = write_parquet_with(path, &parquet_columns(&rows()), compression, true);
        assert_eq!(read_one(&path).unwrap(), expected(&rows(), false), "{name}");
    }
}

/// A file of some kilobytes can hold a cell of a gigabyte. It was decompressed, several times over.
#[test]
fn parquet_cell_above_16_mib_is_a_bad_row_that_is_not_even_decompressed() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a".repeat((16 << 20) + 100);
    let titles = ["a", &long, "b", &long[..16 << 20], "c", &long];
    let mut columns = parquet_columns(&vec![Row::default(); titles.len()]);
    let place = columns.iter().position(|(name, _)| *name == "title").unwrap();
    columns[place].1 = Arc::new(StringArray::from(titles.to_vec()));
    let zstd = Compression::ZSTD(parquet::basic::ZstdLevel::default());
    let path = folder.path().join("plain.parquet");
    let plain = write_parquet_with(path, &columns, zstd, false);
    let keys = write_parquet_with(folder.path().join("keys.parquet"), &columns, zstd, true);
    for path in [plain, keys] {
        let error = refusal(&path);
        let start = format!("{}: row 2, column `title`: expected at most 16 MiB, found more", path.display());
        assert!(error.starts_with(&start), "{error}");
        let options = ReadOptions::default().with(|it| it.max_bad_rows = 2);
        let (read, _) = read(&[name(&path)], options).unwrap();
        let lens: Vec<usize> = read.iter().map(|(_, _, fields)| fields[1][0].1.len()).collect();
        assert_eq!(lens, [1, 1, 16 << 20, 1]);
    }
}

#[test]
fn encrypted_parquet_is_called_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "log.parquet", &rows());
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[len - 4..].copy_from_slice(b"PARE");
    fs::write(&path, &bytes).unwrap();
    let error = refusal(&path);
    assert!(error.contains("encrypted Parquet is not supported: write it without encryption"), "{error}");
}
