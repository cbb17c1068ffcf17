//! Tests `omomi drill`: every incident goes as expected, the original store does not change, and a store without a
//! published file is rejected.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use omomi::store::Store;
use omomi_train::operate::publish::{BlessingPolicy, PublishOptions, Verifier, publish};
use serde_json::Value;

#[path = "../../../tests/scoring/small_model.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod small_model;

fn drill(store: &Path, scratch: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.arg("drill").arg(store).arg("--scratch").arg(scratch).args(more).output().unwrap()
}

/// Returns the path, length and modification time of everything in a folder.
fn listing(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            all.extend(listing(&entry.path()));
        }
        all.push(format!("{:?} {} {:?}", entry.path(), metadata.len(), metadata.modified().unwrap()));
    }
    all.sort_unstable();
    all
}

#[test]
fn every_incident_goes_as_expected_and_the_store_does_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let (store, scratch, file) =
        (folder.path().join("store"), folder.path().join("scratch"), folder.path().join("file"));
    fs::create_dir(&scratch).unwrap();
    fs::write(&file, small_model::bytes_of_generation(41)).unwrap();
    let verifier = Verifier { program: env!("CARGO_BIN_EXE_omomi").into(), ..Verifier::this_program().unwrap() };
    publish(
        &Store::new(&store),
        &PublishOptions::new(file, verifier).with(|it| it.blessing = Some(BlessingPolicy::Off)),
        &mut |_| (),
    )
    .unwrap();
    let before = listing(&store);

    let output = drill(&store, &scratch, &["--poll-ms", "100", "--json"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&said).unwrap();
    let incidents = report["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), omomi_train::operate::drill::INCIDENT_COUNT);
    for incident in incidents {
        assert!(incident["is_as_expected"] == true && incident["seconds"].is_number(), "{incident}");
    }
    assert!(report["request_count"].as_u64().unwrap() > 1_000);
    let off = incidents.iter().find(|incident| incident["name"] == "off").unwrap();
    assert!(off["failed_count"].as_u64().unwrap() > 0, "requests while off are counted: {off}");
    assert_eq!(listing(&store), before);
    assert_eq!(listing(&scratch), [""; 0], "the copy is gone");
}

#[test]
fn a_server_that_reacts_too_late_fails_the_drill() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("store"));
    let verifier = Verifier { program: env!("CARGO_BIN_EXE_omomi").into(), ..Verifier::this_program().unwrap() };
    let file = folder.path().join("file");
    fs::write(&file, small_model::bytes_of_generation(41)).unwrap();
    publish(
        &store,
        &PublishOptions::new(file, verifier).with(|it| it.blessing = Some(BlessingPolicy::Off)),
        &mut |_| (),
    )
    .unwrap();
    // The server polls once an hour, and the drill does not wait for it.
    let output = drill(store.dir(), folder.path(), &["--poll-ms", "3600000", "--wait-seconds", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_store_without_a_published_file_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let output = drill(folder.path(), folder.path(), &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("no published weight file"), "{error}");
}
