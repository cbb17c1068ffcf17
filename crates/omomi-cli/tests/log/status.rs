//! `omomi status` of a serving log: what runs, what was dropped, what waits, and who is dead.

use std::fs;

use omomi_train::serving_logs::{LogStatus, WriterLife};

use crate::world::{PATIENCE, World};

/// The only file of a log that is a report.
fn report_of(world: &World) -> std::path::PathBuf {
    let mut reports = world.files("served");
    reports.retain(|path| path.to_string_lossy().ends_with(".omomilog.status"));
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

#[test]
fn a_writer_that_runs_reports_and_one_that_closed_its_log_has_footers() {
    let world = World::new(&[]);
    let mut server = world.serve(|it| it.ring_len_bytes = 1 << 16);
    server.serve_all(0..50);
    assert!(server.log.flush(PATIENCE));
    let status = LogStatus::read(&world.path("served")).unwrap();
    let [writer] = &status.writers[..] else { panic!("{status:?}") };
    assert_eq!((writer.life, writer.name.as_str(), writer.counts.written), (WriterLife::Running, "test", 50));
    assert_eq!((writer.writer.clone(), status.partial_count), (format!("{:016x}", server.log.writer_id()), 1));
    assert_eq!((writer.oldest_waiting_ms, status.problems().len()), (None, 0));
    assert!(writer.written_bytes.unwrap() > 1_000 && status.len_bytes > 1_000);
    let said = world.done("status served --check");
    assert!(said.contains("running") && said.contains("last report"), "{said}");

    // More than the ring holds, faster than anybody can write: some are dropped, and the report says why.
    let before = server.log.metrics().counts.dropped_total();
    while server.log.metrics().counts.dropped_total() == before {
        server.predict(1);
        for _ in 0..1_000 {
            let served = omomi::serving_log::Served::of("many");
            let _ = server.ring.record(&mut server.request, 0, &served).unwrap();
        }
    }
    assert!(server.log.flush(PATIENCE));
    let json: serde_json::Value = serde_json::from_str(&world.done("status served --json")).unwrap();
    let writer = &json["writers"][0];
    assert!(writer["dropped"]["ring_full"].as_u64().unwrap() > 0, "{json}");
    let counts = server.log.metrics().counts;
    assert_eq!(writer["records"], counts.written);

    server.close();
    assert!(world.files("served").iter().all(|path| path.extension().unwrap() == "omomilog"), "the report is gone");
    let status = LogStatus::read(&world.path("served")).unwrap();
    assert_eq!(status.sealed_record_count, counts.written);
    assert_eq!((status.writers[0].life, status.writers[0].counts.written), (WriterLife::Closed, counts.written));
    assert_eq!(status.writers[0].counts.dropped_total(), counts.dropped_total());
}

#[test]
fn a_writer_that_has_not_reported_for_long_is_dead_and_what_it_had_to_write_gets_older() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve_all(0..5);
    assert!(server.log.flush(PATIENCE));
    let report = report_of(&world);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    server.close();
    let at = json["at_unix_ms"].as_i64().unwrap() - 40_000;
    json["at_unix_ms"] = at.into();
    json["oldest_waiting_ms"] = 5_000.into();
    json["writer"] = "00000000000000ab".into();
    let dead = report.with_file_name("00000000000000ab.omomilog.status");
    fs::write(&dead, json.to_string()).unwrap();
    let status = LogStatus::read(&world.path("served")).unwrap();
    let lives: Vec<_> = status.writers.iter().map(|writer| writer.life).collect();
    assert_eq!(lives, [WriterLife::Closed, WriterLife::Dead]);
    assert!(status.writers[1].oldest_waiting_ms.unwrap() >= 45_000, "{status:?}");
    let output = world.omomi("status served --check");
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("has not reported for 4") && said.contains("who must act: infra"), "{said}");
    world.done("log check served --contract contract.toml");

    fs::write(&dead, "{").unwrap();
    let said = world.done("status served");
    assert!(said.contains("00000000000000ab.omomilog.status: EOF while parsing"), "{said}");
}
