//! Weight files and stores that others wrote: whatever they say, commands print no control characters, read no file
//! without end, and make nothing that others may write.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use omomi::weight_file::layout::SectionKind;
use serde_json::Value;

use crate::fixture::{Fixture, Wanted};
use crate::sealing::with_content;

/// Puts something at a path.
type Make = fn(&Path);

/// What a terminal, a label or a report could obey.
const CONTROL: &str = "\u{1b}]0;x\u{7}\r\u{9b}31m\u{202e}\u{7f}";

fn omomi(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_omomi")).current_dir(folder).args(arguments).output().unwrap()
}

/// Asserts that neither output has a control character. Returns both.
#[track_caller]
fn assert_clean(name: &str, output: &Output) -> String {
    let mut both = String::new();
    for bytes in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(bytes).unwrap();
        let found = text.chars().find(|&character| character != '\n' && omomi::printable::is_control(character));
        assert_eq!(found, None, "{name}: {text:?}");
        both.push_str(text);
    }
    both
}

#[test]
fn control_characters_of_a_weight_file_reach_no_output() {
    let escaped = Value::from(CONTROL).to_string();
    let escaped = escaped.trim_matches('"');
    let good = Wanted::generation(2).bytes();
    let text_of = |content: &[u8]| String::from_utf8(content.to_vec()).unwrap();
    let renamed = |kind, from: &str| {
        with_content(&good, kind, |content| {
            let text = text_of(content);
            assert!(text.contains(from), "{text}");
            *content = text.replacen(from, &format!("{from}{escaped}"), 1).into_bytes();
        })
    };
    let provenance = with_content(&good, SectionKind::Provenance, |content| {
        *content = text_of(content).replacen('{', &format!("{{\"x{escaped}\":\"{escaped}\","), 1).into_bytes();
    });
    // Whether the file is accepted, where that is the point: a provenance may say anything.
    let cases = [
        ("a text of the provenance", Some(true), provenance),
        ("the logic id", Some(false), renamed(SectionKind::Provenance, "small-v1")),
        ("a name of a field", Some(false), renamed(SectionKind::Contract, "word")),
        ("a meaning", Some(false), renamed(SectionKind::Contract, "what")),
        ("the name of the contract", Some(false), renamed(SectionKind::Contract, "small")),
        ("a name in the field sizes", None, renamed(SectionKind::FieldSizes, "user")),
        ("a golden request", None, renamed(SectionKind::Golden, "word")),
    ];
    let fixture = Fixture::with([1]);
    let store = fixture.store.dir().to_str().unwrap();
    let request = fixture.folder().join("request.json");
    let text = format!("{{\"context\":{{\"user\":7}},\"candidates\":[{{\"word\":\"{escaped}\"}}]}}");
    fs::write(&request, text).unwrap();
    let request = request.to_str().unwrap();
    for (name, is_accepted, bytes) in cases {
        let file = fixture.folder().join("hostile.omomi");
        fs::write(&file, &bytes).unwrap();
        let file = file.to_str().unwrap();
        for arguments in [
            &["inspect", file][..],
            &["verify", file],
            &["verify", "--json", file],
            &["explain", file, "--request", request],
            &["explain", file, "--request", request, "--json"],
        ] {
            let output = omomi(fixture.folder(), arguments);
            let said = assert_clean(name, &output);
            if let Some(is_accepted) = is_accepted {
                assert_eq!(output.status.success(), is_accepted, "{name}: omomi {}: {said}", arguments[0]);
            }
        }
        let path = fixture.store.generation_path(2);
        let _ = fs::remove_file(&path);
        fs::write(&path, &bytes).unwrap();
        for arguments in [&["status", store][..], &["status", store, "--json"]] {
            assert_clean(name, &omomi(fixture.folder(), arguments));
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn files_of_a_store_that_never_end_are_reported_by_status() {
    let fixture = Fixture::with([1]);
    let store = fixture.store.dir().to_str().unwrap();
    let server = fixture.store.state_path().join("server");
    fs::create_dir_all(&server).unwrap();
    let make: [(&str, Make); 3] = [
        ("a FIFO", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("a link to /dev/zero", |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("a file of a terabyte", |path| File::create(path).unwrap().set_len(1 << 40).unwrap()),
    ];
    let (current, control) = (fixture.store.current_path(), fixture.store.control_path());
    let pardons = fixture.store.pardons_path();
    for path in [server.join("report.json"), server.join("second.json"), current, control, pardons] {
        let before = fs::read(&path).ok();
        for (name, make) in make {
            let _ = fs::remove_file(&path);
            make(&path);
            let began = Instant::now();
            let output = omomi(fixture.folder(), &["status", store]);
            assert!(began.elapsed() < Duration::from_secs(5), "{name} as {}", path.display());
            let said = assert_clean(name, &output);
            if !path.ends_with("second.json") && !path.ends_with("pardons") {
                assert!(said.contains("expected"), "{name} as {}: {said}", path.display());
            }
        }
        fs::remove_file(&path).unwrap();
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
    }
}

#[test]
fn a_new_store_is_writable_by_its_owner_only_even_without_a_umask() {
    let fixture = Fixture::new();
    let file = Wanted::generation(1).file_in(fixture.folder());
    let script = "umask 000; exec \"$0\" publish \"$1\" --to \"$2\" --unblessed";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_omomi")])
        .args([&file, fixture.store.dir()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut paths = vec![fixture.store.dir().to_owned()];
    let mut count = 0;
    while let Some(path) = paths.pop() {
        let mode = path.symlink_metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o022, 0, "{} has the mode {mode:o}", path.display());
        count += 1;
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    // The store, its generations with one file, `current` and `control` at least.
    assert!(count >= 5, "{count}");
}
