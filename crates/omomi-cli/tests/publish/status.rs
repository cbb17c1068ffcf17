//! Tests that the status of a store shows what is published, the orders, the servers' reports, and all problems with
//! them.

use std::fs;

use omomi::Code;
use omomi::store::{Control, Scoring, Target};
use omomi_train::operate::publish::servers::Life;
use omomi_train::operate::publish::status::Status;
use omomi_train::operate::publish::{follow, freeze, switch};
use serde_json::json;

use crate::fixture::{Fixture, Wanted};

fn report(fixture: &Fixture, server: &str, text: &str) {
    let folder = fixture.store.state_path().join(server);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("report.json"), text).unwrap();
}

/// A report of a process of this boot, whose last heartbeat was `age_seconds` ago.
fn report_of_this_boot(age_seconds: f64) -> serde_json::Value {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime_seconds: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since the boot")]
    let heartbeat_boot_ms = ((uptime_seconds - age_seconds) * 1_000.0) as u64;
    json!({
        "state": "serving",
        "reasons": [],
        "ended": null,
        "process": { "boot": boot.trim(), "pid": 7, "started_ticks": 1 },
        "heartbeat_boot_ms": heartbeat_boot_ms,
    })
}

/// Holds the lock of a server as its process does.
fn lock(fixture: &Fixture, server: &str) -> fs::File {
    let lock = fs::File::create(fixture.store.state_path().join(server).join("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn each_generation_is_verified_in_full() {
    let fixture = Fixture::with([1, 2, 3]);
    let path = fixture.store.generation_path(2);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::write(fixture.store.generation_path(4), Wanted::generation(4).bytes()).unwrap();
    let status = Status::read(&fixture.store, 3).unwrap();
    assert_eq!(status.older_count, 1);
    let [damaged, current, unfinished] = &status.generations[..] else { panic!("{status:?}") };
    assert_eq!(damaged.file.as_ref().unwrap_err().code(), Code::Damaged);
    let file = current.file.as_ref().unwrap();
    assert_eq!(Some(file.digest), status.current.as_ref().unwrap().map(|current| current.digest));
    assert_eq!((file.weight_count, &*file.logic_id), (100, "small-v1"));
    assert_eq!([damaged, current, unfinished].map(|it| it.is_unfinished), [false, false, true]);
    let json = status.to_json();
    assert_eq!(json["generations"][0]["problem"]["owner"], "infra");
    assert_eq!(json["generations"][1]["digest"], file.digest.to_string());
}

#[test]
fn a_current_generation_whose_file_has_other_bytes_is_a_problem() {
    let fixture = Fixture::with([1]);
    let path = fixture.store.generation_path(1);
    fs::remove_file(&path).unwrap();
    fs::write(&path, Wanted { weight_count: 99, ..Wanted::generation(1) }.bytes()).unwrap();
    let status = Status::read(&fixture.store, 3).unwrap();
    assert_eq!(status.generations[0].file.as_ref().unwrap_err().code(), Code::DigestMismatch);
}

#[test]
fn malformed_texts_are_problems_and_the_rest_is_shown() {
    let fixture = Fixture::with([1]);
    fs::write(fixture.store.current_path(), "?").unwrap();
    fs::write(fixture.store.control_path(), "?").unwrap();
    let json = Status::read(&fixture.store, 3).unwrap().to_json();
    assert_eq!(json["current"]["problem"]["code"], "store_malformed");
    assert_eq!(json["control"]["problem"]["code"], "store_malformed");
    assert_eq!(json["generations"][0]["generation"], 1);
}

#[test]
fn a_published_file_that_is_gone_is_a_problem() {
    let fixture = Fixture::with([1, 2]);
    assert_eq!(Status::read(&fixture.store, 3).unwrap().problems(), Vec::<String>::new());
    fs::remove_file(fixture.store.generation_path(2)).unwrap();
    fs::remove_file(fixture.store.control_path()).unwrap();
    let status = Status::read(&fixture.store, 3).unwrap();
    assert_eq!(status.to_json()["is_current_gone"], true);
    let [gone, unwritten] = &status.problems()[..] else { panic!("{:?}", status.problems()) };
    assert!(gone.contains("generation 2, which is published, is gone"), "{gone}");
    assert!(unwritten.contains("servers obey what they heard last"), "{unwritten}");
}

#[test]
fn without_a_readable_control_an_order_changes_what_running_servers_heard_last() {
    let fixture = Fixture::with([1, 2]);
    let pinned = crate::fixture::orders(&fixture.store, "on pin", 1);
    let heard = |server: &str, age_seconds: f64, control: &str| {
        let mut text = report_of_this_boot(age_seconds);
        text["control"] = json!(control);
        report(&fixture, server, &text.to_string());
    };
    let after_on = || {
        fs::write(fixture.store.control_path(), "stop!").unwrap();
        switch(&fixture.store, Scoring::On, &mut |_| ()).unwrap().after
    };
    // The later report of two servers that died counts.
    heard("a-died-long-ago", 400.0, "on follow");
    heard("b-died", 300.0, &pinned.to_string());
    assert_eq!(after_on(), pinned);
    // A running one counts before them, even if it is stuck.
    heard("c-runs", 350.0, "off follow");
    let _lock = lock(&fixture, "c-runs");
    assert_eq!(after_on(), Control::default());
    // One that is off keeps all off until people say otherwise.
    heard("d-runs", 1.0, &pinned.to_string());
    let _lock = lock(&fixture, "d-runs");
    fs::write(fixture.store.control_path(), "stop!").unwrap();
    let change = follow(&fixture.store, &mut |_| ()).unwrap();
    assert_eq!(change.after, Control { scoring: Scoring::Off, target: Target::Follow });
}

#[test]
fn servers_are_shown_with_their_lives_reports_and_ages() {
    let fixture = Fixture::with([1]);
    freeze(&fixture.store, None, &mut |_| ()).unwrap();
    let with = |key: &str, value: serde_json::Value| {
        let mut report = report_of_this_boot(2.0);
        report[key] = value;
        report.to_string()
    };
    report(&fixture, "a-runs", &report_of_this_boot(2.0).to_string());
    report(&fixture, "b-is-stuck", &report_of_this_boot(40.0).to_string());
    report(&fixture, "c-died", &report_of_this_boot(400.0).to_string());
    report(&fixture, "d-ended", &with("ended", json!("close")));
    report(&fixture, "e-elsewhere", &with("process", json!({ "boot": "another", "pid": 7, "started_ticks": 1 })));
    report(&fixture, "f-broken", "{");
    report(&fixture, "g-of-a-copy", &with("store", json!({ "device": 1, "inode": 1 })));
    fs::create_dir(fixture.store.state_path().join("h-silent")).unwrap();
    fs::write(fixture.store.state_path().join("no-folder"), "").unwrap();
    let _locks = ["a-runs", "b-is-stuck"].map(|server| lock(&fixture, server));
    let status = Status::read(&fixture.store, 3).unwrap();
    let lives: Vec<_> = status.servers.iter().map(|server| (&*server.name, server.life, server.is_stale())).collect();
    let expected = [
        ("a-runs", Life::Running, false),
        ("b-is-stuck", Life::Running, true),
        ("c-died", Life::Died, true),
        ("d-ended", Life::Ended, false),
        ("e-elsewhere", Life::Unknown, false),
        ("f-broken", Life::Unknown, false),
        ("h-silent", Life::Unknown, false),
    ];
    assert_eq!((&lives[..], status.foreign_count), (&expected[..], 1));
    let ages = status.servers.iter().map(|server| server.heartbeat_age_seconds).collect::<Vec<_>>();
    assert!(
        matches!(ages[..], [Some(2..=4), Some(40..=42), Some(400..=402), Some(2..=4), None, None, None]),
        "{ages:?}"
    );
    assert!(status.servers[5].report.as_ref().unwrap_err().contains("not JSON"));
    assert_eq!(status.servers[6].report.as_ref().unwrap_err(), "it has no report");
    let problems = status.problems().join("\n");
    for problem in
        ["b-is-stuck is stuck", "c-died died", "f-broken: its report is not JSON", "h-silent: it has no report"]
    {
        assert!(problems.contains(problem), "{problems}");
    }
    let json = status.to_json();
    assert_eq!(json["control"], fixture.control().to_string());
    assert_eq!(json["servers"][1]["is_stale"], true);
}
