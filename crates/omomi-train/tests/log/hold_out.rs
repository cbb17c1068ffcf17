//! Rows that are held out by a rule: each row is read either by training or by the later steps, in every format.

use std::collections::BTreeSet;
use std::path::PathBuf;

use omomi_train::log::{HoldOut, HoldOutRule, KeptRows, LogError, LogReader, ReadOptions};

use crate::rows::{Row, contract, name, rows, write};

const ROW_COUNT: i64 = 300;

/// Rows with distinct times, so that they can be told apart.
fn rows_from(first: i64) -> Vec<Row> {
    let kinds = rows();
    let row = |(index, kind): (i64, Row)| Row { time_us: first + index, ..kind };
    (0..ROW_COUNT).zip(kinds.into_iter().cycle()).map(row).collect()
}

/// Returns the times and titles of the rows that are read.
fn read(paths: &[PathBuf], hold_out: Option<HoldOut>) -> BTreeSet<(i64, String)> {
    let options = ReadOptions::default().with(|it| {
        it.batch_row_count = 64;
        it.time_column = Some("shown_at".to_owned());
        it.any_time = true;
        it.extra_columns = vec!["title".to_owned()];
        it.hold_out = hold_out;
    });
    let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
    let mut reader = LogReader::open(&contract(), &names, options).unwrap();
    let mut found = BTreeSet::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        assert_eq!(batch.extra.len(), 1);
        for (row, &time_us) in batch.time_us.as_ref().unwrap().iter().enumerate() {
            found.insert((time_us, batch.extra[0].text(row).unwrap_or("(none)").to_owned()));
        }
    }
    found
}

fn hold_out(rule: &str, kept: KeptRows) -> Option<HoldOut> {
    Some(HoldOut { rule: rule.parse().unwrap(), kept })
}

#[test]
fn each_row_is_held_out_or_not_and_the_other_files_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["csv", "jsonl", "parquet"] {
        let paths = [("a", 1_000), ("b", 5_000)]
            .map(|(name, first)| write(folder.path(), &format!("{name}.{format}"), &rows_from(first)));
        let all = read(&paths, None);
        assert_eq!(all.len(), 2 * rows_from(0).len());
        for rule in
            ["every 5", "every 2", "last 10%", "from 1970-01-01T00:00:00.005Z", "30% of title", "50% of media_id"]
        {
            let [others, held_out] =
                [KeptRows::Others, KeptRows::HeldOut].map(|kept| read(&paths, hold_out(rule, kept)));
            assert!(!others.is_empty() && !held_out.is_empty(), "{format}, {rule}");
            assert!(others.is_disjoint(&held_out), "{format}, {rule}");
            assert_eq!(&others | &held_out, all, "{format}, {rule}");
            if !rule.starts_with("last") {
                // The share of the last rows depends on all files, so that later steps say `from` instead.
                let of_second = read(&paths[1..], hold_out(rule, KeptRows::HeldOut));
                let second: BTreeSet<_> = held_out.iter().filter(|(time_us, _)| *time_us >= 5_000).cloned().collect();
                assert_eq!(of_second, second, "{format}, {rule}");
            }
        }
    }
}

#[test]
fn rules_hold_out_the_rows_that_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [write(folder.path(), "log.csv", &rows_from(1_000))];
    let all: Vec<_> = read(&paths, None).into_iter().collect();
    let times = |rule: &str| -> Vec<i64> {
        read(&paths, hold_out(rule, KeptRows::HeldOut)).into_iter().map(|(time_us, _)| time_us).collect()
    };
    let every_fifth: Vec<i64> = (1..=ROW_COUNT / 5).map(|count| 1_000 + 5 * count - 1).collect();
    assert_eq!(times("every 5"), every_fifth);
    assert_eq!(times("last 10%"), (1_000 + ROW_COUNT - ROW_COUNT / 10..1_000 + ROW_COUNT).collect::<Vec<_>>());
    assert_eq!(times("from 1970-01-01T00:00:00.001290Z"), (1_290..1_000 + ROW_COUNT).collect::<Vec<_>>());
    // All rows with one title are on one side, and those without a title on both.
    let held_out = read(&paths, hold_out("40% of title", KeptRows::HeldOut));
    let (untitled, titled): (Vec<_>, Vec<_>) = all.iter().partition(|(_, title)| title == "(none)");
    let titles: BTreeSet<&String> = held_out.iter().map(|(_, title)| title).collect();
    assert!(titled.iter().all(|row| held_out.contains(row) == titles.contains(&row.1)));
    let held_out_count = untitled.iter().filter(|row| held_out.contains(row)).count();
    assert!((1..untitled.len()).contains(&held_out_count), "{held_out_count} of {}", untitled.len());
}

#[test]
fn a_share_of_the_last_rows_needs_times_and_becomes_the_time_of_the_first_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "log.csv", &rows_from(1_000));
    let read = ReadOptions::default().with(|it| {
        it.hold_out = hold_out("last 10%", KeptRows::Others);
        it.any_time = true;
    });
    let error = LogReader::open(&contract(), &[name(&path)], read.clone()).unwrap_err();
    assert!(matches!(error, LogError::PartsWithoutTime), "{error}");
    let read = read.with(|it| it.time_column = Some("shown_at".to_owned()));
    let reader = LogReader::open(&contract(), &[name(&path)], read).unwrap();
    assert_eq!(reader.hold_out().unwrap().rule, HoldOutRule::From(1_000 + ROW_COUNT - ROW_COUNT / 10));
    assert_eq!(reader.hold_out().unwrap().used_rows(), "without from 1970-01-01T00:00:00.001270Z");
}

#[test]
fn a_step_that_finds_other_bad_rows_holds_out_the_same_rows() {
    const FIRST_US: i64 = 1_700_000_000_000_000;
    const SENTINEL_US: i64 = 253_370_764_800_000_000;
    let folder = tempfile::tempdir().unwrap();
    let mut rows = rows_from(FIRST_US);
    // Among them the first, the last, and several in a row.
    for row in (0..rows.len()).filter(|row| row % 10 == 3 || [0, 150, 151, 152, 299].contains(row)) {
        rows[row].time_us = SENTINEL_US + row as i64 * 1_000_000;
    }
    for format in ["csv", "jsonl", "parquet"] {
        let paths = [write(folder.path(), &format!("bad.{format}"), &rows), {
            write(folder.path(), &format!("good.{format}"), &rows_from(FIRST_US + 1_000_000))
        }];
        let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
        let read = |time_column: Option<&str>, kept: KeptRows| {
            let options = ReadOptions::default().with(|it| {
                it.batch_row_count = 64;
                it.time_column = time_column.map(str::to_owned);
                it.max_bad_rows = 100;
                it.extra_columns = vec!["shown_at".to_owned()];
                it.hold_out = hold_out("every 5", kept);
            });
            let mut reader = LogReader::open(&contract(), &names, options).unwrap();
            let mut found = BTreeSet::new();
            while let Some(batch) = reader.next_batch().unwrap() {
                let times = (0..batch.row_count()).map(|row| batch.extra[0].text(row).unwrap().to_owned());
                found.extend(times);
            }
            (found, reader.bad_row_count())
        };
        let (learned, bad_count) = read(Some("shown_at"), KeptRows::Others);
        let (judged, none) = read(None, KeptRows::HeldOut);
        assert!(bad_count >= 33 && none == 0, "{format}: {bad_count}, {none}");
        assert_eq!(judged.len(), 2 * rows.len() / 5, "{format}");
        assert!(learned.is_disjoint(&judged), "{format}: {:?}", &learned & &judged);
    }
}
