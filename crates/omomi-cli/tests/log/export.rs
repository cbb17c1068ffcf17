//! `omomi log export`: files by hour, the same after any number of runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use omomi::serving_log::{EventKind, Served, Source};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::world::{START_UNIX_MS, World, counts};

/// The files below a folder, with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            drop(found.insert(path.clone(), fs::read(&path).unwrap()))
        }
    }
    found
}

#[test]
fn each_hour_and_logic_id_has_its_files_and_a_second_run_changes_nothing() {
    let world = World::new(&[("site", "hashed"), ("title", "never")]);
    let mut server = world.serve(|_| {});
    server.serve(0);
    server.serve(1);
    // The next hour, and the server's own value without a row.
    server.predict(2);
    let served = Served::of("later").with(|it| it.at_unix_ms = Some(START_UNIX_MS + 3_600_000));
    server.ring.record(&mut server.request, 0, &served).unwrap();
    server.request.clear();
    let served = Served::of("off").with(|it| {
        (it.source, it.own_probability) = (Source::Off, Some(0.5));
        it.at_unix_ms = Some(START_UNIX_MS + 3_600_001);
    });
    server.ring.record(&mut server.request, 0, &served).unwrap();
    server.event(1, EventKind::Win, 10);
    server.close();
    let said = world.done("log export served --out exported");
    assert_eq!(counts(&said)["files written"], 3);
    let first = files(&world.path("exported"));
    let segment = world.segments("served")[0].file_stem().unwrap().to_str().unwrap().to_owned();
    let fingerprint = format!("{:016x}", world.contract.fingerprint());
    let expected = [
        format!("events/dt=2026-10-01/hour=00/{segment}.parquet"),
        format!("predictions/logic_id=ctr-a/dt=2026-10-01/hour=00/{segment}-{fingerprint}.parquet"),
        format!("predictions/logic_id=ctr-a/dt=2026-10-01/hour=01/{segment}-{fingerprint}.parquet"),
    ];
    let found: Vec<_> =
        first.keys().map(|path| path.strip_prefix(world.path("exported")).unwrap().to_owned()).collect();
    assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>());

    let read = |name: &str| {
        let file = File::open(world.path("exported").join(name)).unwrap();
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        reader.next().unwrap().unwrap()
    };
    let rows = read(&expected[2]);
    let requests: Vec<_> = rows["request_id"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(requests, ["later", "off"]);
    let creatives: Vec<_> = rows["creative"].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(creatives, [Some(2), None], "a prediction without a row is exported, too");
    assert!(rows.column_by_name("title").is_none() && rows.column_by_name("site").is_none());
    assert!(rows.column_by_name("site_key").is_some() && rows.column_by_name("clicked").is_none());

    // A run after one that was killed writes only what is missing.
    let lost = world.path("exported").join(&expected[1]);
    fs::remove_file(&lost).unwrap();
    let said = world.done("log export served --out exported");
    assert_eq!(counts(&said)["files written"], 1);
    assert_eq!(files(&world.path("exported")), first, "the same names and the same bytes");

    // Exported events can be joined.
    let mut server = world.serve_to("again", |_| {});
    server.serve(1);
    server.close();
    world.done(
        "log join again --contract contract.toml --events exported/events --until 2026-10-03T00:00:00Z --out j.parquet",
    );
    let file = File::open(world.path("j.parquet")).unwrap();
    let rows = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
    assert!(rows["won"].as_boolean().value(0));
}

#[test]
fn a_segment_that_is_still_written_is_left_to_a_later_run() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve(1);
    assert!(server.log.flush(crate::world::PATIENCE));
    let output = world.omomi("log export served --out exported");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("left out: 1 segments that are still written"));
    assert!(!world.path("exported").exists());
    server.close();
    world.done("log export served --out exported");
    assert_eq!(files(&world.path("exported")).len(), 1);
}

#[test]
fn a_text_that_was_passed_as_its_hash_costs_its_own_value_only_and_cannot_be_joined() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve(0);
    server.predict(1);
    let title = server.request.layout().schema().slot("title").unwrap();
    let hash = omomi::feature::text_value("タイトル 1".as_bytes());
    server.request.candidate(0).unwrap().set_text_value(title, hash).unwrap();
    server.scorer.predict_filled(&mut server.request).unwrap();
    let served = Served::of("hashed").with(|it| it.at_unix_ms = Some(START_UNIX_MS));
    server.ring.record(&mut server.request, 0, &served).unwrap();
    server.close();
    let output = world.omomi("log export served --out exported");
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("left out: 1 values that are hashes of texts"), "{said}");
    let name = files(&world.path("exported")).into_keys().next().unwrap();
    let file = File::open(name).unwrap();
    let rows = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
    let titles: Vec<_> = rows["title"].as_string::<i32>().iter().collect();
    assert_eq!(titles, [Some("タイトル 0"), None]);
    assert!(rows["creative"].as_primitive::<Int64Type>().iter().all(|creative| creative.is_some()));

    // Training on an empty value would be wrong, so the row is left out and counted.
    let join = "log join served --contract contract.toml --until 2026-10-03T00:00:00Z --out joined.parquet";
    let said = counts(&world.done(join));
    assert_eq!((said["rows"], said["left out: with the hash of a text instead of the text"]), (1, 1), "{said:?}");
    assert_eq!(counts(&world.done("log replay served --files 7.omomi"))["equal, bit for bit"], 2);
}
