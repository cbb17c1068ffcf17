//! Tests that the status of a store shows what is published, the orders, the servers' reports, and all problems with
//! them.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use omomi::Code;
use omomi::store::Control;
use omomi_train::operate::publish::set_control;
use omomi_train::operate::publish::status::{STALE_AFTER_SECONDS, Status};
use serde_json::json;

use crate::fixture::{Fixture, Wanted};

fn report(fixture: &Fixture, server: &str, text: &str) {
    let folder = fixture.store.state_path().join(server);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("report.json"), text).unwrap();
}

fn seconds_ago(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds
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
fn servers_are_shown_with_their_reports_and_ages() {
    let fixture = Fixture::with([1]);
    set_control(&fixture.store, Control::Freeze, &mut |_| ()).unwrap();
    let fresh = json!({ "state": "serving", "heartbeat_unix_seconds": seconds_ago(2) });
    let stale = json!({ "state": "serving", "heartbeat_unix_seconds": seconds_ago(STALE_AFTER_SECONDS + 5) });
    report(&fixture, "a-fresh", &fresh.to_string());
    report(&fixture, "b-stale", &stale.to_string());
    report(&fixture, "c-broken", "{");
    fs::create_dir(fixture.store.state_path().join("d-silent")).unwrap();
    fs::write(fixture.store.state_path().join("no-folder"), "").unwrap();
    let status = Status::read(&fixture.store, 3).unwrap();
    let names: Vec<_> = status.servers.iter().map(|server| (&*server.name, server.is_stale())).collect();
    assert_eq!(names, [("a-fresh", false), ("b-stale", true), ("c-broken", true), ("d-silent", true)]);
    assert_eq!(status.servers[0].report.as_ref().unwrap(), &fresh);
    assert!(status.servers[2].report.as_ref().unwrap_err().contains("not JSON"));
    assert_eq!(status.servers[3].report.as_ref().unwrap_err(), "it has no report");
    let json = status.to_json();
    assert_eq!(json["control"], "freeze");
    assert_eq!(json["servers"][1]["is_stale"], true);
}
