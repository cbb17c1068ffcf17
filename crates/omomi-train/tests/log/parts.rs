//! Parts of a log: each row is in exactly one part, for every way to split and every format.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use omomi_train::log::{LogError, LogReader, PartBy, ReadOptions, RowPart, time_range};

use crate::rows::{ReadRow, Row, contract, name, rows, take_apart, write};

const ROW_COUNT: i64 = 600;

/// Rows with distinct times, so that they can be told apart.
fn many_rows() -> Vec<Row> {
    let kinds = rows();
    let row = |(index, kind): (i64, Row)| Row { time_us: 1_000 + index, ..kind };
    (0..ROW_COUNT).zip(kinds.into_iter().cycle()).map(row).collect()
}

fn options(parts: &[(&PartBy, u32, u32)]) -> ReadOptions {
    let part = |&(by, number, count): &(&PartBy, u32, u32)| RowPart { by: by.clone(), number, count };
    ReadOptions::default().with(|it| {
        it.batch_row_count = 64;
        it.time_column = Some("shown_at".to_owned());
        it.any_time = true;
        it.extra_columns = vec!["shown_at".to_owned()];
        it.parts = parts.iter().map(part).collect();
    })
}

/// Reads the rows that are in all `parts`, each with the text of its time as an extra column.
fn read(path: &Path, parts: &[(&PartBy, u32, u32)]) -> Vec<(ReadRow, String)> {
    let contract = contract();
    let mut reader = LogReader::open(&contract, &[name(path)], options(parts)).unwrap();
    let (mut rows, mut times) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch().unwrap() {
        assert!(batch.row_count() > 0);
        assert_eq!(batch.extra.len(), 1);
        take_apart(&contract, &batch, &mut rows);
        times.extend((0..batch.row_count()).map(|row| batch.extra[0].text(row).unwrap().to_owned()));
    }
    assert_eq!(reader.rows_read(), rows.len() as u64);
    rows.into_iter().zip(times).collect()
}

fn ways() -> [PartBy; 4] {
    [
        PartBy::RowNumber { seed: 7 },
        PartBy::Column("title".to_owned()),
        PartBy::Column("floor_price".to_owned()),
        PartBy::Time { first_us: 1_000, last_us: 1_000 + ROW_COUNT - 1 },
    ]
}

#[test]
fn every_row_is_in_exactly_one_part_in_the_order_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["log.csv", "log.jsonl", "log.parquet"] {
        let path = write(folder.path(), file, &many_rows());
        let all = read(&path, &[]);
        assert_eq!(all.len(), many_rows().len());
        for by in ways() {
            let parts: Vec<Vec<(ReadRow, String)>> = (1..=3).map(|number| read(&path, &[(&by, number, 3)])).collect();
            for part in &parts {
                assert!(!part.is_empty() && part.len() < all.len(), "{file}, {by:?}");
                assert!(part.is_sorted_by_key(|((_, time_us, _), _)| *time_us), "{file}, {by:?}");
            }
            let mut together = parts.concat();
            together.sort_by_key(|((_, time_us, _), _)| *time_us);
            assert_eq!(together, all, "{file}, {by:?}");
        }
    }
}

#[test]
fn rows_with_the_same_value_are_in_the_same_part_and_rows_without_a_value_are_in_all_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "log.parquet", &many_rows());
    let by = PartBy::Column("title".to_owned());
    let mut parts_of_title: HashMap<Option<String>, HashSet<u32>> = HashMap::new();
    for number in 1..=3 {
        for ((_, _, fields), _) in read(&path, &[(&by, number, 3)]) {
            let title = fields[1].first().map(|(_, title)| title.clone());
            parts_of_title.entry(title).or_default().insert(number);
        }
    }
    assert_eq!(parts_of_title.len(), 4);
    for (title, parts) in parts_of_title {
        assert_eq!(parts.len(), if title.is_some() { 1 } else { 3 }, "{title:?}");
    }
}

#[test]
fn parts_by_row_number_have_similar_sizes_and_are_independent_of_parts_with_another_seed() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "log.parquet", &many_rows());
    let [one, other] = [1, 2].map(|seed| PartBy::RowNumber { seed });
    for parts in [&[(&one, 1, 2)][..], &[(&other, 2, 2)]] {
        let len = read(&path, parts).len();
        assert!((240..=360).contains(&len), "{len}");
    }
    let both = read(&path, &[(&one, 1, 2), (&other, 2, 2)]).len();
    assert!((100..=200).contains(&both), "{both}");
}

#[test]
fn parts_by_time_are_consecutive() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "log.csv", &many_rows());
    let (first_us, last_us) = time_range(&contract(), &[name(&path)], &options(&[]), &mut |_| ()).unwrap().unwrap();
    assert_eq!((first_us, last_us), (1_000, 1_000 + ROW_COUNT - 1));
    let by = PartBy::Time { first_us, last_us };
    for number in 1..=4_u32 {
        let times: Vec<i64> =
            read(&path, &[(&by, number, 4)]).iter().map(|((_, time_us, _), _)| time_us.unwrap()).collect();
        let start = 1_000 + 150 * (i64::from(number) - 1);
        assert_eq!(times, (start..start + 150).collect::<Vec<i64>>());
    }
}

#[test]
fn impossible_parts_are_rejected_before_any_row_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = name(&write(folder.path(), "log.csv", &rows()));
    let by = PartBy::RowNumber { seed: 0 };
    for number in [0, 4] {
        let error = LogReader::open(&contract(), &[&path], options(&[(&by, number, 3)])).unwrap_err();
        assert_eq!(error.to_string(), format!("expected a part from 1 to 3, found {number}"));
    }
    let error = LogReader::open(&contract(), &[&path], options(&[(&PartBy::Column("absent".to_owned()), 1, 2)]));
    assert!(matches!(error, Err(LogError::MissingColumn { column, .. }) if column == "absent"));
    let by = PartBy::Time { first_us: 0, last_us: 1 };
    let timeless = options(&[(&by, 1, 2)]).with(|it| it.time_column = None);
    assert!(matches!(LogReader::open(&contract(), &[&path], timeless.clone()), Err(LogError::PartsWithoutTime)));
    assert!(matches!(time_range(&contract(), &[&path], &timeless, &mut |_| ()), Err(LogError::PartsWithoutTime)));
}
