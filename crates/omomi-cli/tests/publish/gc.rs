//! Tests `omomi gc`: what it removes and keeps, with servers of this machine and of others, and what it cannot read.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use omomi::store::Digest;
use omomi_train::operate::publish::{Step, publish};
use serde_json::{Value, json};

use crate::fixture::{Fixture, Wanted, everything_in, options, published_generation, verifier};

fn gc(fixture: &Fixture, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_omomi")).arg("gc").arg(fixture.store.dir()).args(more).output().unwrap()
}

#[track_caller]
fn collect(fixture: &Fixture, more: &[&str]) -> Value {
    let output = gc(fixture, &[&["--json"], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn generations(fixture: &Fixture) -> Vec<u64> {
    fixture.store.generations().unwrap()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

fn entry(generation: u64) -> Value {
    json!({ "generation": generation, "digest": Digest::of(b"any").to_string() })
}

/// Writes the state of a server, which was written last some days ago.
fn state(fixture: &Fixture, name: &str, journal: &Value, report: &Value, age_days: u32) {
    let folder = fixture.store.state_path().join(name);
    fs::create_dir(&folder).unwrap();
    for (name, value) in [("journal.json", journal), ("report.json", report)] {
        if !value.is_null() {
            fs::write(folder.join(name), value.to_string()).unwrap();
        }
    }
    fs::write(folder.join("lock"), "").unwrap();
    let time = SystemTime::now() - Duration::from_secs(86_400) * age_days;
    for entry in fs::read_dir(&folder).unwrap() {
        fs::File::open(entry.unwrap().path()).unwrap().set_modified(time).unwrap();
    }
    fs::File::open(&folder).unwrap().set_modified(time).unwrap();
}

fn elsewhere() -> Value {
    json!({ "boot": "another", "pid": 7, "started_ticks": 1 })
}

fn here() -> Value {
    json!({ "boot": boot(), "pid": 7, "started_ticks": 1 })
}

fn why<'a>(said: &'a Value, list: &str, key: &Value) -> &'a str {
    let entries = said[list].as_array().unwrap().iter();
    let mut found = entries.filter(|entry| entry["generation"] == *key || entry["name"] == *key);
    found.next().unwrap()["why"].as_str().unwrap()
}

#[test]
fn what_nobody_needs_goes_and_everything_else_stays() {
    let fixture = Fixture::with(1..=12);
    // Another machine serves 2, had 3 published, and has 4 as good.
    let journal = json!({ "format": 2, "heard": "on follow", "served": entry(2), "followed": entry(3),
        "proven": [entry(4)], "deaths": [{ "generation": 5, "count": 1 }] });
    let report = json!({ "ended": null, "process": elsewhere(), "served": entry(2), "control": "on follow" });
    state(&fixture, "elsewhere", &journal, &report, 400);
    // One that ended a year ago, one that died then, and one that died yesterday.
    let old = |served| json!({ "format": 2, "heard": "on follow", "served": entry(served), "proven": [entry(served)] });
    let ended = json!({ "ended": "close", "process": elsewhere(), "served": entry(6), "control": "on follow" });
    state(&fixture, "ended", &old(6), &ended, 400);
    let died = json!({ "ended": null, "process": here(), "served": entry(6), "control": "on follow" });
    state(&fixture, "died", &old(6), &died, 31);
    state(&fixture, "yesterday", &old(7), &json!(null), 1);
    omomi_train::operate::publish::pin(&fixture.store, 8, &verifier(), &mut |_| ()).unwrap();
    let before = everything_in(fixture.folder());

    let dry = collect(&fixture, &["--keep", "2", "--dry-run"]);
    assert_eq!(everything_in(fixture.folder()), before);
    let said = collect(&fixture, &["--keep", "2"]);
    assert_eq!((&said["generations"], &said["states"]), (&dry["generations"], &dry["states"]));
    assert_eq!(generations(&fixture), [2, 3, 4, 7, 8, 11, 12]);
    let states = ["elsewhere", "ended", "died", "yesterday"].map(|name| fixture.store.state_path().join(name).exists());
    assert_eq!(states, [true, false, false, true]);
    assert_eq!(published_generation(&fixture.store), Some(12));
    for (generation, words) in [
        (2, "elsewhere serves it"),
        (3, "elsewhere served it as the published one"),
        (4, "elsewhere has it as good"),
        (5, "nobody serves it"),
        (7, "yesterday"),
        (8, "`control` names it"),
        (11, "one of the newest 2"),
        (12, "it is published"),
    ] {
        let why = why(&said, "generations", &json!(generation));
        assert!(why.contains(words), "{generation}: {why}");
    }
    assert!(why(&said, "states", &json!("ended")).contains("ended 400.0 days ago"), "{said}");
    assert!(why(&said, "states", &json!("elsewhere")).contains("not known whether"), "{said}");
    assert_eq!((&said["unknown"], &said["failures"]), (&json!([]), &json!([])));
    // A second run finds nothing to do, and says so in words.
    let again = gc(&fixture, &["--keep", "2"]);
    let text = String::from_utf8(again.stdout).unwrap();
    assert!(text.contains("Removed 0 generations") && text.contains("000008") && text.contains("kept"), "{text}");
}

#[test]
fn a_state_that_cannot_be_read_keeps_every_generation_and_is_reported() {
    for (journal, words) in [
        (r#"{"format": 3}"#, "later release"),
        ("{", "not JSON"),
        (r#"{"served": {"digest": "x"}}"#, "without a generation"),
        (r#"{"heard": "perhaps"}"#, "orders that cannot be read"),
        ("\u{0}", "not JSON"),
    ] {
        let fixture = Fixture::with(1..=9);
        state(&fixture, "old", &json!({ "format": 2 }), &json!({ "ended": "close" }), 400);
        let path = fixture.store.state_path().join("old/journal.json");
        fs::write(path, journal).unwrap();
        let said = collect(&fixture, &["--keep", "1", "--older-than", "0"]);
        assert_eq!(generations(&fixture).len(), 9, "{journal}: {said}");
        let unknown = said["unknown"][0].as_str().unwrap();
        assert!(unknown.contains("old") && unknown.contains(words), "{unknown}");
        assert!(fixture.store.state_path().join("old").exists());
    }
    // A server that has just started has written nothing yet.
    let fixture = Fixture::with(1..=9);
    state(&fixture, "new", &json!(null), &json!(null), 0);
    assert_eq!(collect(&fixture, &["--keep", "1"])["unknown"].as_array().unwrap().len(), 1);
    for text in [fixture.store.control_path(), fixture.store.current_path()] {
        let fixture = Fixture::with(1..=9);
        fs::write(fixture.store.dir().join(text.file_name().unwrap()), "?").unwrap();
        assert_eq!(collect(&fixture, &["--keep", "1"])["unknown"].as_array().unwrap().len(), 1);
        assert_eq!(generations(&fixture).len(), 9);
    }
}

#[test]
fn the_state_of_a_running_server_stays_however_old_its_files_are() {
    let fixture = Fixture::with(1..=9);
    let journal = json!({ "format": 2, "heard": "off freeze 000003", "served": entry(2) });
    state(&fixture, "runs", &journal, &json!({ "ended": "close", "served": entry(2) }), 400);
    let lock = fs::File::open(fixture.store.state_path().join("runs/lock")).unwrap();
    lock.lock().unwrap();
    collect(&fixture, &["--keep", "1", "--older-than", "0"]);
    assert_eq!(generations(&fixture), [2, 3, 9]);
    drop(lock);
    collect(&fixture, &["--keep", "1", "--older-than", "0"]);
    assert_eq!(generations(&fixture), [9]);
}

#[test]
fn it_waits_for_no_publisher_and_touches_no_folder_that_is_not_a_store() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    publish(&fixture.store, &options(&file), &mut |step| {
        if step == Step::Verify {
            let output = gc(&fixture, &["--json"]);
            assert_eq!(output.status.code(), Some(1));
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(said["refused"]["code"], "busy");
        }
    })
    .unwrap();
    let other = Fixture::new();
    for dir in [Path::new("absent"), Path::new("")] {
        let dir = other.folder().join(dir);
        let output = Command::new(env!("CARGO_BIN_EXE_omomi")).arg("gc").arg(&dir).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains("is not a store"), "{error}");
    }
    assert!(everything_in(other.folder()).is_empty());
}
