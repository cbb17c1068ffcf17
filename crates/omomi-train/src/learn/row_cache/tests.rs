use std::fs;
use std::path::{Path, PathBuf};

use crate::learn::learner::IndexedRows;
use crate::learn::row_indexer::LabelSums;

use super::row_block::CachedFeature;
use super::writer::RowCacheWriter;
use super::*;

fn digest() -> Digest {
    Digest::of(b"some logs")
}

fn summary() -> Summary {
    Summary {
        log_row_counts: vec![Some(3), None],
        rows: 7,
        bad_rows: 1,
        invalid_numbers: vec![0, 2],
        missing_by_log: vec![FileMissing::of_counts(3, vec![1, 0]), FileMissing::default()],
        window_us: Some((-5, 12)),
        impressions: 0.1 + 0.2,
        clicks: 1.0,
        first_sums: LabelSums { clicked: 1.0, unclicked: 2.5 },
    }
}

fn rows(numbers: &[&[u32]], importance: f64) -> IndexedRows {
    let mut rows = IndexedRows::default();
    for (row, numbers) in numbers.iter().enumerate() {
        rows.numbers.extend_from_slice(numbers);
        rows.ends.push(u32::try_from(rows.numbers.len()).unwrap());
        rows.clicked.push(row % 2 == 0);
        rows.repeats.push(row % 3 == 2);
        rows.importance.push(if row % 2 == 0 { 1.0 } else { importance });
        if importance != 1.0 {
            rows.hours.push(i32::try_from(row).unwrap() - 1);
        }
    }
    rows
}

const CATEGORIES: [&str; 3] = ["tokyo", "", "重み"];

fn feature(number: u32, category: &mut String) -> CachedFeature<'_> {
    category.push_str(CATEGORIES[number as usize]);
    CachedFeature {
        key: 1_000 + u64::from(number),
        impressions: f64::from(number) + 0.5,
        clicks: 0.25,
        last_seen_us: -i64::from(number),
        group: u16::try_from(number).unwrap(),
        category,
    }
}

/// Writes a cache of the rows. Its features 0, 1, 2 become 1, 2, 0.
fn written(folder: &tempfile::TempDir, rows: &IndexedRows) -> PathBuf {
    let path = folder.path().join("log.rows");
    let mut writer = RowCacheWriter::create(&path, true).unwrap();
    writer.push(rows).unwrap();
    writer.finish(digest(), &summary(), &[2, 0, 1], feature).unwrap();
    path
}

/// Reads everything in a cache. Returns `None` if its digest is another one.
#[expect(clippy::type_complexity, reason = "rows and features")]
fn read(path: &Path) -> Result<Option<(Summary, Vec<IndexedRows>, Vec<(u64, f64, i64, u16, String)>)>, RowCacheError> {
    let mut cache = match RowCache::find(path, digest())? {
        Found::Fresh(cache) => cache,
        Found::Stale | Found::Nothing => return Ok(None),
    };
    let mut features = Vec::new();
    cache.each_feature(|feature| -> Result<(), RowCacheError> {
        let category = feature.category.to_owned();
        features.push((feature.key, feature.impressions, feature.last_seen_us, feature.group, category));
        Ok(())
    })?;
    let (mut all, mut rows) = (Vec::new(), IndexedRows::default());
    while cache.next_rows(&mut rows)? {
        all.push(rows.clone());
    }
    Ok(Some((cache.summary().clone(), all, features)))
}

#[test]
fn reading_returns_what_was_written_with_features_in_their_new_order() {
    let folder = tempfile::tempdir().unwrap();
    for importance in [1.0, 10.0] {
        let path = written(&folder, &rows(&[&[0, 1, 2], &[], &[2, 2], &[1]], importance));
        let (found, blocks, features) = read(&path).unwrap().unwrap();
        assert_eq!(found, summary());
        assert_eq!(blocks, [rows(&[&[1, 2, 0], &[], &[0, 0], &[2]], importance)]);
        let expected = [(1_002, 2.5, -2, 2, "重み"), (1_000, 0.5, 0, 0, "tokyo"), (1_001, 1.5, -1, 1, "")];
        assert_eq!(
            features,
            expected.map(|(key, impressions, seen, group, category)| {
                (key, impressions, seen, group, category.to_owned())
            })
        );
    }
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["log.rows"], "the spool file is gone");
}

#[test]
fn rows_of_many_blocks_are_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.rows");
    let mut writer = RowCacheWriter::create(&path, false).unwrap();
    let row = |number: u32| rows(&[&[number % 3]], 1.0);
    for number in 0..10_000 {
        writer.push(&row(number)).unwrap();
    }
    writer.finish(digest(), &summary(), &[0, 1, 2], feature).unwrap();
    let (_, blocks, _) = read(&path).unwrap().unwrap();
    assert!(blocks.len() > 1, "one block only");
    let numbers: Vec<u32> = blocks.iter().flat_map(|rows| rows.numbers.iter().copied()).collect();
    assert_eq!(numbers, (0..10_000).map(|number| number % 3).collect::<Vec<u32>>());
}

#[test]
fn every_flipped_bit_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &rows(&[&[0, 1, 2], &[], &[2, 2], &[1]], 10.0));
    let good = fs::read(&path).unwrap();
    for place in 0..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        let error = read(&path).expect_err(&format!("byte {place} of {}", good.len())).to_string();
        let is_rejected = error.contains("is damaged") || (place < 8 && error.contains("is not a row cache"));
        assert!(is_rejected, "{place}: {error}");
    }
}

#[test]
fn a_cache_that_was_truncated_or_grew_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &rows(&[&[0, 1, 2], &[], &[2, 2], &[1]], 10.0));
    let good = fs::read(&path).unwrap();
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).unwrap();
        let error = read(&path).expect_err(&format!("{len} bytes of {}", good.len())).to_string();
        assert!(error.contains("is damaged") || (len < 8 && error.contains("is not a row cache")), "{len}: {error}");
    }
    fs::write(&path, [good.as_slice(), b"more"].concat()).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("truncated"));
}

#[test]
fn a_cache_of_other_logs_is_stale_and_another_kind_of_file_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &rows(&[&[0]], 1.0));
    assert!(matches!(RowCache::find(&path, Digest::of(b"other logs")).unwrap(), Found::Stale));
    assert!(matches!(RowCache::find(&folder.path().join("none"), digest()).unwrap(), Found::Nothing));
    fs::write(&path, "clicked,media\n0,a\n").unwrap();
    let error = read(&path).unwrap_err().to_string().replace(path.to_str().unwrap(), "FILE");
    let expected = "FILE is not a row cache: expected a file that begins with `omomirow`; choose another name";
    assert_eq!(error, expected);
}
