//! Which files of a folder or pattern are logs, and what is said of the others. What was reported: hidden files,
//! attempts in `_temporary` and hard links were learned twice or three times, and an empty part file ended training.

use std::fs;
use std::path::Path;

use omomi_train::log::{LogError, LogReader, LogWarning, ReadOptions, SkipReason};

use crate::rows::{Row, contract, expected, name, read, rows, write, write_text};

fn open(patterns: &[String]) -> LogReader {
    LogReader::open(&contract(), patterns, ReadOptions::default()).unwrap()
}

fn row_count(reader: &mut LogReader) -> usize {
    let mut row_count = 0;
    while let Some(batch) = reader.next_batch().unwrap() {
        row_count += batch.row_count();
    }
    row_count
}

fn skipped(reader: &LogReader, folder: &Path) -> Vec<(String, String)> {
    let relative = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
    let reason = |reason: &SkipReason| match reason {
        SkipReason::SameFile { read_as } => format!("same as {}", relative(read_as)),
        other => format!("{other:?}"),
    };
    reader.skipped_files().iter().map(|skipped| (relative(&skipped.path), reason(&skipped.reason))).collect()
}

#[test]
fn what_spark_and_hive_skip_is_skipped_in_folders_and_patterns_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let spark = folder.path().join("spark");
    fs::create_dir_all(spark.join("_temporary/0")).unwrap();
    fs::create_dir_all(spark.join("more")).unwrap();
    for file in ["part-0.parquet", ".part-1.parquet", "_temporary/0/part-0.parquet", "more/part-2.csv"] {
        write(&spark, file, &rows());
    }
    for file in ["_SUCCESS", ".part-0.parquet.crc", "part-0.parquet.md5", "part-3.csv._COPYING_"] {
        fs::write(spark.join(file), "").unwrap();
    }
    let expected = [
        (".part-0.parquet.crc", "Hidden"),
        (".part-1.parquet", "Hidden"),
        ("_SUCCESS", "Hidden"),
        ("_temporary", "Hidden"),
        ("part-0.parquet.md5", "NotALog"),
        ("part-3.csv._COPYING_", "NotALog"),
    ]
    .map(|(path, reason)| (path.to_owned(), reason.to_owned()));
    for pattern in ["", "/", "/**/*", "/*", "/**"] {
        let mut reader = open(&[format!("{}{pattern}", name(&spark))]);
        assert_eq!(row_count(&mut reader), 10, "{pattern}");
        let found = skipped(&reader, &spark);
        assert!(found.iter().all(|skipped| expected.contains(skipped)), "{pattern}: {found:?}");
        // The pattern itself leaves out what begins with a dot.
        assert!(found.len() >= 4, "{pattern}: {found:?}");
    }
    assert_eq!(skipped(&open(&[name(&spark)]), &spark), expected);
    // A file that is named is read, whatever its name is; what the shell made of a pattern is not.
    let mut reader = open(&[name(&spark.join(".part-1.parquet")), name(&spark.join("_SUCCESS"))]);
    assert_eq!(row_count(&mut reader), 5);
    assert_eq!(skipped(&reader, &spark), [("_SUCCESS".to_owned(), "Hidden".to_owned())]);
    for pattern in [format!("{}/_temporary/*/*.parquet", name(&spark)), format!("{}/_t*/0/*.parquet", name(&spark))] {
        assert_eq!(row_count(&mut open(&[pattern])), 5);
    }
    let error = LogReader::open(&contract(), &[format!("{}/_S*x", name(&spark))], ReadOptions::default()).unwrap_err();
    assert!(matches!(error, LogError::NoMatch { .. }), "{error}");
    fs::create_dir(folder.path().join("only")).unwrap();
    fs::write(folder.path().join("only/_SUCCESS"), "").unwrap();
    let error = LogReader::open(&contract(), &[name(&folder.path().join("only"))], ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("has no logs") && error.to_string().contains("_SUCCESS"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_file_under_several_names_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.csv", &rows());
    fs::hard_link(&path, folder.path().join("b.csv")).unwrap();
    std::os::unix::fs::symlink(&path, folder.path().join("c.csv")).unwrap();
    let mut reader = open(&[format!("{}/*.csv", name(folder.path())), name(&path)]);
    assert_eq!(row_count(&mut reader), 5);
    let same = |file: &str| (file.to_owned(), "same as a.csv".to_owned());
    assert_eq!(skipped(&reader, folder.path()), [same("b.csv"), same("c.csv"), same("a.csv")]);
    // A link to a folder above is not followed.
    fs::create_dir(folder.path().join("deep")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("deep/loop")).unwrap();
    let mut reader = open(&[name(folder.path())]);
    assert_eq!(row_count(&mut reader), 5);
    let folder_itself = ("deep/loop".to_owned(), "same as ".to_owned());
    assert_eq!(skipped(&reader, folder.path()), [folder_itself, same("b.csv"), same("c.csv")]);
}

#[test]
fn a_file_beside_its_compressed_form_is_reported_because_its_rows_count_twice() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["a.csv", "a.csv.gz", "b.csv.gz", "b.csv.zst", "c.jsonl", "c.csv"] {
        write(folder.path(), file, &rows());
    }
    let mut reader = open(&[name(folder.path())]);
    row_count(&mut reader);
    let copies = |warning| match warning {
        LogWarning::LikelyCopy { file, compressed } => Some((file, compressed)),
        _ => None,
    };
    let found: Vec<_> = reader.warnings().into_iter().filter_map(copies).collect();
    assert_eq!(found, [(folder.path().join("a.csv"), folder.path().join("a.csv.gz"))]);
}

#[test]
fn a_header_without_rows_is_known_when_the_log_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", &rows());
    let header = fs::read_to_string(folder.path().join("a.csv")).unwrap().lines().next().unwrap().to_owned();
    for (file, text) in
        [("b.csv", header.clone()), ("c.csv", header.clone() + "\r\n\r\n"), ("d.jsonl", "\n \n".to_owned())]
    {
        fs::write(folder.path().join(file), text).unwrap();
    }
    // A row that is bad is still a row.
    fs::write(folder.path().join("e.csv"), header + "\n\"").unwrap();
    let reader = open(&[name(folder.path())]);
    let found: Vec<_> = reader.files().iter().map(|file| file.path.file_name().unwrap().to_owned()).collect();
    assert_eq!(found, ["a.csv", "e.csv"]);
    let expected = ["b.csv", "c.csv", "d.jsonl"].map(|file| (file.to_owned(), "NoRows".to_owned()));
    assert_eq!(skipped(&reader, folder.path()), expected);
}

#[test]
fn empty_part_files_are_skipped_and_listed_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", &rows());
    let endings = ["parquet", "csv", "tsv", "csv.gz", "csv.zst", "jsonl", "json", "ndjson.gz", "jsonl.zst"];
    let mut names = Vec::new();
    for ending in endings {
        names.push(format!("b.{ending}"));
        fs::write(folder.path().join(format!("b.{ending}")), "").unwrap();
    }
    // Compressed nothing, only a mark, only a header, only blank lines, and Parquet without rows.
    for (file, text) in
        [("c.csv.gz", ""), ("c.jsonl.zst", ""), ("d.csv", "\u{feff}"), ("e.csv", "\n\n"), ("e.jsonl", "\n")]
    {
        names.push(file.to_owned());
        write_text(folder.path().join(file), text.as_bytes());
    }
    for file in ["f.csv", "f.parquet"] {
        names.push(file.to_owned());
        write(folder.path(), file, &[]);
    }
    let mut reader = open(&[name(folder.path())]);
    assert_eq!(row_count(&mut reader), 5);
    let mut found = skipped(&reader, folder.path());
    found.sort();
    names.sort();
    assert_eq!(found, names.into_iter().map(|name| (name, "NoRows".to_owned())).collect::<Vec<_>>());
    assert_eq!(reader.total_row_count(), Some(5));
    assert_eq!(reader.read_len_bytes(), reader.total_len_bytes());
    // Nothing but empty files is a log without rows.
    assert_eq!(row_count(&mut open(&[name(&folder.path().join("b.csv"))])), 0);
}

#[test]
fn folders_of_hive_name_columns() {
    let folder = tempfile::tempdir().unwrap();
    let texts = ["clicked,title,floor_price,tags,segments\n0,a,,,\n", "title,floor_price,tags,segments\nb,,,\n"];
    let csv = folder.path().join("media_id=7/unused=x");
    let other = folder.path().join("media_id=__HIVE_DEFAULT_PARTITION__/clicked=1");
    let json = folder.path().join("media_id=-8/title=%E7%8C%AB%2F");
    let parquet = folder.path().join("media_id=9");
    for path in [&csv, &other, &json, &parquet] {
        fs::create_dir_all(path).unwrap();
    }
    write_text(csv.join("part-0.csv"), texts[0].as_bytes());
    write_text(other.join("part-0.csv.gz"), texts[1].as_bytes());
    let line = "{\"clicked\":0,\"floor_price\":1,\"tags\":[],\"segments\":[]}\n{\"clicked\":1,\"title\":\"own\",\"media_id\":3}\n";
    write_text(json.join("part-0.json"), line.as_bytes());
    let mut columns = crate::rows::parquet_columns(&rows());
    columns.retain(|(name, _)| *name != "media_id");
    crate::rows::write_parquet(parquet.join("part-0.parq"), &columns);

    let row = |clicked, media_id: Option<i64>, title: &str| Row {
        clicked,
        media_id,
        title: Some(title.to_owned()),
        ..Row::default()
    };
    let mut all = vec![Row { floor_price: Some(1.0), ..row(false, Some(-8), "猫/") }, row(true, Some(3), "own")];
    all.push(row(false, Some(7), "a"));
    all.extend(rows().into_iter().map(|row| Row { media_id: Some(9), ..row }));
    all.push(row(true, None, "b"));
    assert_eq!(read(&[name(folder.path())], ReadOptions::default()).unwrap(), expected(&all, false));
    // A file that is named alone has the same columns.
    assert_eq!(
        read(&[name(&parquet.join("part-0.parq"))], ReadOptions::default()).unwrap(),
        expected(&all[3..8], false)
    );

    let bad = folder.path().join("media_id=x");
    fs::create_dir(&bad).unwrap();
    write_text(bad.join("part-0.csv"), texts[0].as_bytes());
    let error = LogReader::open(&contract(), &[name(folder.path())], ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("column `media_id` in the name of a folder: expected an integer"), "{error}");
}

#[test]
fn urls_that_are_no_addresses_are_refused_as_such() {
    for url in ["s3://", "file://logs/x.csv", "https://example.com/*.csv"] {
        let error = LogReader::open(&contract(), &[url], ReadOptions::default()).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with(&format!("`{url}` is not an address: expected")), "{cause}");
    }
}

#[test]
fn a_path_may_be_the_address_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    write_text(folder.path().join("a.csv"), b"clicked,media_id,title,floor_price,tags,segments\n0,1,,,,\n");
    for name in ["", "/a.csv", "/*.csv"] {
        let url = format!("file://{}{name}", folder.path().display());
        let reader = LogReader::open(&contract(), &[url], ReadOptions::default()).unwrap();
        assert_eq!(reader.files()[0].path, folder.path().join("a.csv"));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_once_and_refused_the_second_time() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("a.csv", "clicked,media_id,title,floor_price,tags,segments\n0,1,,,,\n"),
        ("b", "clicked,media_id,title,floor_price,tags,segments\n0,1,,,,\n"),
        ("c", "\n{\"clicked\":0,\"media_id\":1,\"title\":null,\"floor_price\":null,\"tags\":[],\"segments\":[]}\n"),
    ] {
        let path = folder.path().join(file);
        let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(status.success());
        let writer = path.clone();
        let writer = std::thread::spawn(move || {
            let mut pipe = fs::OpenOptions::new().write(true).open(writer).unwrap();
            pipe.write_all(text.as_bytes()).unwrap();
        });
        let row = Row { media_id: Some(1), ..Row::default() };
        assert_eq!(read(&[name(&path)], ReadOptions::default()).unwrap(), expected(&[row], false), "{file}");
        writer.join().unwrap();
        let error = LogReader::open(&contract(), &[name(&path)], ReadOptions::default()).unwrap_err();
        assert!(matches!(error, LogError::ReadOnce { .. }), "{error}");
    }
    let path = folder.path().join("d.parquet");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let error = LogReader::open(&contract(), &[name(&path)], ReadOptions::default()).unwrap_err();
    assert!(matches!(error, LogError::ParquetPipe { .. }), "{error}");
}
