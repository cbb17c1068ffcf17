//! Every format gives the same rows, for any split into files and batches.

use std::fs;

use omomi_train::log::{LogReader, ReadOptions};
use proptest::prelude::*;

use crate::rows::{Row, contract, csv, expected, json_lines, name, read, read_one, rows, write, write_text};

const NAMES: [&str; 7] =
    ["log.parquet", "log.csv", "log.csv.gz", "log.csv.zst", "log.jsonl", "log.ndjson.gz", "log.jsonl.zst"];

fn with_time() -> ReadOptions {
    ReadOptions::default().with(|it| {
        it.time_column = Some("shown_at".to_owned());
        it.any_time = true;
    })
}

#[test]
fn every_format_gives_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    for file in NAMES {
        let path = name(&write(folder.path(), file, &rows()));
        assert_eq!(read(std::slice::from_ref(&path), with_time()).unwrap(), expected(&rows(), true), "{file}");
        assert_eq!(read(&[path], ReadOptions::default()).unwrap(), expected(&rows(), false), "{file}");
    }
}

#[test]
fn batches_of_any_size_span_files_of_any_format() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (index, file) in NAMES.iter().enumerate() {
        // Files of different lengths, one of them without rows.
        let part: Vec<Row> = rows().into_iter().cycle().take(index * 2).collect();
        write(folder.path(), &format!("{index}-{file}"), &part);
        all.extend(part);
    }
    let pattern = format!("{}/*", name(folder.path()));
    for batch_row_count in [1, 2, 3, 7, 1_000] {
        let options = with_time().with(|it| it.batch_row_count = batch_row_count);
        assert_eq!(read(std::slice::from_ref(&pattern), options).unwrap(), expected(&all, true), "{batch_row_count}");
    }
    let mut reader = LogReader::open(&contract(), &[pattern], with_time().with(|it| it.batch_row_count = 4)).unwrap();
    let mut row_counts = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        row_counts.push(batch.row_count());
    }
    assert_eq!(row_counts, [vec![4; 10], vec![2]].concat(), "only the last batch is short");
}

#[test]
fn files_are_read_by_pattern_then_by_name_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let row = |id| Row { media_id: Some(id), ..Row::default() };
    for (file, id) in [("b.csv", 2), ("a.csv", 1), ("c.parquet", 3), ("[x].csv", 4)] {
        write(folder.path(), file, &[row(id)]);
    }
    fs::create_dir(folder.path().join("folder.csv")).unwrap();
    let at = |pattern: &str| format!("{}/{pattern}", name(folder.path()));
    let patterns = [at("c.*"), at("?.csv"), at("a.csv"), at("./b.csv"), at("[x].csv")];
    let ids = [3, 1, 2, 4].map(row);
    assert_eq!(read(&patterns, ReadOptions::default()).unwrap(), expected(&ids, false));
}

#[test]
fn files_report_their_length_and_row_count() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.parquet", &rows());
    write(folder.path(), "b.csv", &rows());
    let pattern = format!("{}/*", name(folder.path()));
    let mut reader = LogReader::open(&contract(), &[pattern], ReadOptions::default()).unwrap();
    let counts = |reader: &LogReader| reader.files().iter().map(|file| file.row_count).collect::<Vec<_>>();
    assert_eq!(counts(&reader), [Some(5), None]);
    assert_eq!(reader.total_row_count(), None);
    for file in reader.files() {
        assert_eq!(file.len_bytes, fs::metadata(&file.path).unwrap().len());
    }
    while reader.next_batch().unwrap().is_some() {}
    assert_eq!(counts(&reader), [Some(5), Some(5)]);
}

#[test]
fn empty_text_is_a_category_in_formats_that_can_express_it() {
    let folder = tempfile::tempdir().unwrap();
    let row =
        Row { title: Some(String::new()), tags: vec![String::new(), "a".to_owned(), String::new()], ..Row::default() };
    for file in ["log.parquet", "log.jsonl"] {
        let path = write(folder.path(), file, std::slice::from_ref(&row));
        assert_eq!(read_one(&path).unwrap(), expected(std::slice::from_ref(&row), false), "{file}");
    }
    let csv = write(folder.path(), "log.csv", &[row]);
    let without = Row { tags: vec!["a".to_owned()], ..Row::default() };
    assert_eq!(read_one(&csv).unwrap(), expected(&[without], false));
}

#[test]
fn csv_and_json_lines_in_other_styles_give_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let habits: [(&str, String); 6] = [
        ("crlf.csv", csv(&rows()[1..]).replace('\n', "\r\n")),
        ("bom.csv", format!("\u{feff}{}", csv(&rows()[1..]))),
        ("open_end.csv", csv(&rows()[1..]).trim_end().to_owned()),
        ("crlf.jsonl", json_lines(&rows()[1..]).replace('\n', "\r\n\r\n")),
        ("bom.jsonl", format!("\u{feff}{}", json_lines(&rows()[1..]))),
        ("open_end.jsonl", json_lines(&rows()[1..]).trim_end().to_owned()),
    ];
    for (file, text) in habits {
        let path = write_text(folder.path().join(file), text.as_bytes());
        assert_eq!(read_one(&path).unwrap(), expected(&rows()[1..], false), "{file}");
    }
    let escaped = r#"{"clicked": true, "title": "\u91cd\u307f\ud83d\ude00\n", "segments": [1, null], "tags": [],
        "media_id": null, "floor_price": 5}"#;
    let path = write_text(folder.path().join("escaped.jsonl"), escaped.replace('\n', " ").as_bytes());
    let row = Row {
        clicked: true,
        title: Some("重み😀\n".to_owned()),
        segments: vec![1],
        floor_price: Some(5.0),
        ..Row::default()
    };
    assert_eq!(read_one(&path).unwrap(), expected(&[row], false));
}

#[test]
fn the_separator_of_many_fields_in_csv_is_an_option() {
    let folder = tempfile::tempdir().unwrap();
    let text = "clicked,media_id,title,floor_price,tags,segments\n0,,,,a|b;c,1;2\n";
    let path = name(&write_text(folder.path().join("log.csv"), text.as_bytes()));
    let options = ReadOptions::default().with(|it| it.many_separator = ';');
    let row = Row { tags: vec!["a|b".to_owned(), "c".to_owned()], segments: vec![1, 2], ..Row::default() };
    assert_eq!(read(&[path], options).unwrap(), expected(&[row], false));
}

#[test]
fn concatenated_compressed_members_are_read_as_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let lines = json_lines(&rows());
    let (head, tail) = lines.split_at(lines.find('\n').unwrap() + 1);
    for file in ["log.jsonl.gz", "log.jsonl.zst"] {
        let path = write_text(folder.path().join(file), head.as_bytes());
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(fs::read(write_text(path.clone(), tail.as_bytes())).unwrap());
        fs::write(&path, bytes).unwrap();
        assert_eq!(read_one(&path).unwrap(), expected(&rows(), false), "{file}");
    }
}

#[test]
fn a_reader_may_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<LogReader>();
}

fn any_row() -> impl Strategy<Value = Row> {
    let text = "[a-z 漫画,\"\n]{1,4}";
    let number = prop_oneof![-1.0..2_000.0, Just(f64::MAX), Just(0.0), Just(100.0)];
    (
        any::<bool>(),
        any::<i64>(),
        any::<Option<i64>>(),
        proptest::option::of(text),
        proptest::option::of(number),
        proptest::collection::vec(text, 0..4),
        proptest::collection::vec(any::<i64>(), 0..4),
    )
        .prop_map(|(clicked, time_us, media_id, title, floor_price, tags, segments)| Row {
            clicked,
            time_us,
            media_id,
            title,
            floor_price,
            tags,
            segments,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_rows_survive_a_round_trip_through_any_format_in_any_batches(
        rows in proptest::collection::vec(any_row(), 1..20),
        batch_row_count in 1_usize..9,
    ) {
        let folder = tempfile::tempdir().unwrap();
        // The first row has all keys, because a key that no JSON line has is an error.
        let first = crate::rows::rows().remove(0);
        let rows = [vec![first], rows].concat();
        for file in ["log.parquet", "log.csv", "log.jsonl.zst"] {
            let path = name(&write(folder.path(), file, &rows));
            let options = with_time().with(|it| it.batch_row_count = batch_row_count);
            prop_assert_eq!(read(&[path], options).unwrap(), expected(&rows, true), "{}", file);
        }
    }
}
