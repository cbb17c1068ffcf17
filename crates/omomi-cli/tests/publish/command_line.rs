//! Tests the store commands as people use them on a bad day: exit codes, text and JSON.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::fixture::{Fixture, Wanted, published_generation};

fn omomi(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_omomi"))
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .expect("the binary was built with this test")
}

/// Returns the standard output of a command that succeeds.
#[track_caller]
fn succeed(folder: &Path, arguments: &str) -> String {
    let output = omomi(folder, arguments);
    assert!(output.status.success(), "omomi {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn succeed_json(folder: &Path, arguments: &str) -> Value {
    serde_json::from_str(&succeed(folder, arguments)).unwrap()
}

/// Returns the standard error of a command that fails, and its standard output as JSON (null if it is not JSON).
#[track_caller]
fn fail(folder: &Path, arguments: &str) -> (String, Value) {
    let output = omomi(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "omomi {arguments}");
    let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (String::from_utf8(output.stderr).unwrap(), said)
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "expected `{words}` in:\n{text}");
    }
}

/// Returns a fixture with files of three generations in its folder.
fn packed() -> Fixture {
    let fixture = Fixture::new();
    for generation in 1..=3 {
        Wanted::generation(generation).file_in(fixture.folder());
    }
    fixture
}

#[test]
fn publishing_and_rolling_back_print_what_happened_and_how_to_undo_it() {
    let fixture = packed();
    let folder = fixture.folder();
    assert_says(
        &succeed(folder, "publish packed-1 --unblessed --to feed-ctr"),
        &["Published generation 1", "nothing was published before"],
    );
    let said = succeed(folder, "publish packed-2 --unblessed --to feed-ctr");
    assert_says(&said, &["feed-ctr/generations/000002.omomi", "before: generation 1", "undo: omomi rollback feed-ctr"]);
    assert_eq!(published_generation(&fixture.store), Some(2));

    let (error, _) = fail(folder, "publish packed-2 --unblessed --to feed-ctr");
    assert_says(
        &error,
        &["packed-2: generation 2 is not newer", "who must act: ml", "what to do: pack it as the next"],
    );

    let said = succeed(folder, "rollback feed-ctr");
    assert_says(
        &said,
        &[
            "says `on pin 000001 ",
            "before it was `on follow`",
            "in force: pin 1; omomi follow feed-ctr lifts it",
            "undo: omomi follow feed-ctr",
        ],
    );
    let output = omomi(folder, "publish packed-3 --unblessed --to feed-ctr");
    assert!(output.status.success());
    let warned = String::from_utf8(output.stderr).unwrap();
    assert_says(&warned, &["warning: servers do not follow", "`on pin 000001 ", "`omomi follow` lifts freeze and pin"]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("undo"));

    let said = succeed(folder, "off feed-ctr");
    assert_says(
        &said,
        &["says `off pin 000001 ", "in force: pin 1", "until omomi on feed-ctr", "undo: omomi on feed-ctr"],
    );
    assert_says(&succeed(folder, "freeze feed-ctr"), &["says `off freeze 000001 ", "undo: omomi pin 1 feed-ctr"]);
    assert_says(&succeed(folder, "pin 2 feed-ctr"), &["says `off pin 000002 ", "undo: omomi freeze feed-ctr --at 1"]);
    assert_says(
        &succeed(folder, "on feed-ctr"),
        &["says `on pin 000002 ", "in force: pin 2", "undo: omomi off feed-ctr"],
    );
    assert_says(&succeed(folder, "follow feed-ctr"), &["says `on follow`", "undo: omomi pin 2 feed-ctr"]);
    assert_says(&succeed(folder, "unquarantine 1 feed-ctr"), &["try generation 1 again", "sha256"]);
}

#[test]
fn json_output_has_the_same_facts_as_text() {
    let fixture = packed();
    let folder = fixture.folder();
    let said = succeed_json(folder, "publish packed-1 --unblessed --to feed-ctr --json");
    let digest = fixture.store.read_current().unwrap().unwrap().digest.to_string();
    assert_eq!(said["published"]["generation"], 1);
    assert_eq!(said["published"]["digest"], digest);
    assert_eq!((&said["before"], &said["warnings"]), (&Value::Null, &json!([])));
    let (_, said) = fail(folder, "publish packed-1 --unblessed --to feed-ctr --json");
    assert_eq!([&said["refused"]["code"], &said["refused"]["owner"]], ["not_newer", "ml"]);
    assert!(said["refused"]["message"].is_string() && said["refused"]["action"].is_string(), "{said}");
    let said = succeed_json(folder, "off feed-ctr --json");
    assert_eq!(said["control"], json!({ "before": "on follow", "after": "off follow" }));
    assert_eq!([&said["servers"], &said["undo"]], [&json!([]), &json!("omomi on feed-ctr")]);
    let said = succeed_json(folder, "pin 1 feed-ctr --json");
    assert_eq!(said["control"]["after"], format!("off pin 000001 {digest}"));
    let (_, said) = fail(folder, "rollback feed-ctr --json");
    assert_eq!(said["refused"]["code"], "nothing_before");
    let (_, said) = fail(folder, "off elsewhere --json");
    assert_eq!(said["refused"]["code"], "not_a_store");
    let said = succeed_json(folder, "verify packed-1 --json");
    assert_eq!([&said["verified"]["generation"], &said["verified"]["golden_candidates"]], [1, 2]);
}

#[test]
fn the_owner_of_a_bad_file_is_passed_on_by_the_verification_process() {
    let fixture = packed();
    let folder = fixture.folder();
    let mut bytes = fs::read(folder.join("packed-1")).unwrap();
    bytes[5_000] ^= 1;
    fs::write(folder.join("packed-1"), bytes).unwrap();
    let (error, said) = fail(folder, "publish packed-1 --unblessed --to feed-ctr --json");
    assert_says(
        &error,
        &["packed-1: the weight file is damaged in its", "who must act: infra", "what to do: copy the file again"],
    );
    assert_eq!([&said["refused"]["code"], &said["refused"]["owner"]], ["damaged", "infra"]);
    assert!(!fixture.store.dir().exists());
    let (_, said) = fail(folder, "verify packed-1 --json");
    assert_eq!(said["refused"]["code"], "damaged");
}

#[test]
fn files_are_signed_and_signatures_are_required() {
    let fixture = packed();
    let folder = fixture.folder();
    assert_says(&succeed(folder, "keygen --out signer"), &["Private key", "signer.pub"]);
    let (error, _) = fail(folder, "keygen --out signer");
    assert_says(&error, &["signer: expected a new name"]);
    assert_says(&succeed(folder, "sign packed-1 --key signer --out signed-1"), &["verified and read-only: signed-1"]);
    const REQUIRED: &str = "--signature require --keys signer.pub";
    assert_says(&succeed(folder, &format!("verify signed-1 {REQUIRED}")), &["signed by the key"]);
    assert_says(&succeed(folder, "verify packed-1 --signature accept --keys signer.pub"), &["not signed"]);
    let (error, _) = fail(folder, &format!("verify packed-1 {REQUIRED}"));
    assert_says(&error, &["the weight file is not signed", "who must act: ml"]);
    let (_, said) = fail(folder, &format!("publish packed-1 --unblessed --to feed-ctr --json {REQUIRED}"));
    assert_eq!(said["refused"]["code"], "signature_missing");
    succeed(folder, &format!("publish signed-1 --unblessed --to feed-ctr {REQUIRED}"));
    assert_eq!(published_generation(&fixture.store), Some(1));
    for misuse in ["verify packed-1 --signature maybe", "verify packed-1 --keys signer.pub"] {
        assert_eq!(omomi(folder, misuse).status.code(), Some(2), "{misuse}");
    }
}

#[test]
fn the_status_shows_what_is_published_served_and_quarantined_and_why() {
    let fixture = packed();
    let folder = fixture.folder();
    succeed(folder, "publish packed-1 --unblessed --to feed-ctr");
    assert_says(&succeed(folder, "status feed-ctr"), &["published  generation 1", "no server has reported"]);
    succeed(folder, "publish packed-2 --unblessed --to feed-ctr");
    succeed(folder, "freeze feed-ctr");
    let state = fixture.store.state_path().join("ad-server-7");
    fs::create_dir(&state).unwrap();
    let report = json!({
        "state": "serving",
        "served": { "generation": 1 },
        "reasons": [{ "code": "quarantined", "text": "generation 2 is in quarantine", "owner": "ml" }],
        "quarantined": [{ "generation": 2, "code": "field_missing", "owner": "delivery", "reason": "no field `user`" }],
        "ended": "close",
    });
    fs::write(state.join("report.json"), report.to_string()).unwrap();
    let said = succeed(folder, "status feed-ctr");
    let digest = fixture.store.read_current().unwrap().unwrap().digest.to_string();
    assert_says(
        &said,
        &[
            "published  generation 2",
            "control    on freeze 000002 ",
            &digest,
            "ad-server-7",
            "ended",
            "generation 2 is in quarantine: no field `user`\n  who must act: delivery",
        ],
    );
    assert!(!said.contains("stale"), "{said}");
    let said = succeed_json(folder, "status feed-ctr --json");
    assert_eq!(said["servers"][0]["report"], report);
    assert_eq!(said["generations"][1]["digest"], digest);
    assert_eq!(omomi(folder, "status feed-ctr --check").status.code(), Some(0), "a server that ended is no problem");
    fs::write(fixture.store.current_path(), "?").unwrap();
    let output = omomi(folder, "status feed-ctr --check");
    assert_eq!(output.status.code(), Some(5));
    assert_says(&String::from_utf8(output.stderr).unwrap(), &["error: 1 problem: ", "current"]);
    let (_, said) = fail(folder, "status elsewhere --json");
    assert_eq!(said["refused"]["code"], "not_a_store");
}
