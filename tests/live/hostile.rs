//! Hostile files in a store neither delay orders nor make a server read without end.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use omomi::Model;
use omomi::live::ServingState;
use omomi::weight_file::layout::{MAX_GOLDEN_LEN, SectionKind};

use crate::again;
use crate::sealing::with_content;
use crate::small_model;
use crate::world::{World, options};

/// Puts something at a path.
type Make = fn(&Path);

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Returns a file whose golden requests take nearly as much as they may.
fn slow_file(generation: u64) -> Vec<u8> {
    let len = |golden_count| small_model::slow_bytes_of_generation(generation, golden_count).len();
    let request_len = (len(9) - len(1)).div_ceil(8);
    let golden_count = usize::try_from(MAX_GOLDEN_LEN).unwrap() / request_len - 1;
    small_model::slow_bytes_of_generation(generation, golden_count)
}

/// Golden requests without a bound delayed `omomi off` by half a minute.
#[test]
fn orders_and_close_are_heard_while_a_slow_file_loads() {
    let world = World::new();
    world.publish(1);
    let slow: Vec<Vec<u8>> = (2..6).map(slow_file).collect();
    let start = Instant::now();
    Model::from_bytes(slow[0].clone()).unwrap();
    let duration = start.elapsed();
    println!("a file of {} bytes loads in {duration:?}", slow[0].len());
    let mut server = world.serve_with(options().with(|it| it.poll_interval = POLL_INTERVAL));
    assert_eq!(server.ask(), Ok(1));
    for (generation, file) in (2..).zip(&slow) {
        world.publish_bytes(generation, file);
        // At different stages of the load.
        std::thread::sleep(POLL_INTERVAL + duration.mul_f64(0.2 * (generation - 1) as f64));
        let began = Instant::now();
        world.control("off follow");
        while server.live.status().state != ServingState::Off {
            assert!(began.elapsed() < POLL_INTERVAL + Duration::from_secs(1), "off is not heard");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(server.ask(), Err("switched_off"));
        world.control("on follow");
    }
    world.publish_bytes(6, &slow_file(6));
    std::thread::sleep(POLL_INTERVAL + duration / 3);
    let began = Instant::now();
    drop(server);
    assert!(began.elapsed() < Duration::from_secs(2), "close took {:?}", began.elapsed());
}

/// Puts what never ends, what waits or what is huge in the place of a file, one after the other.
fn for_each_hostile(path: &Path, check: impl Fn(&str)) {
    let make: [(&str, Make); 4] = [
        ("a FIFO", |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("a link to /dev/zero", |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("a file of a terabyte", |path| File::create(path).unwrap().set_len(1 << 40).unwrap()),
        ("a long text", |path| fs::write(path, format!("{{\"quarantined\":[{}0]}}", "0,".repeat(3 << 20))).unwrap()),
    ];
    for (name, make) in make {
        let _ = fs::remove_file(path);
        make(path);
        let began = Instant::now();
        check(name);
        assert!(began.elapsed() < Duration::from_secs(5), "{name} in place of {}", path.display());
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn files_of_the_state_that_cannot_be_read_are_set_aside_and_reported() {
    let world = World::new();
    world.publish(1);
    world.serve().prove();
    let folder = fs::read_dir(world.store.state_path()).unwrap().next().unwrap().unwrap().path();
    for name in ["journal.json", "quarantine.json"] {
        let path = folder.join(name);
        for_each_hostile(&path, |what| {
            let mut server = world.serve();
            assert_eq!(server.ask(), Ok(1), "{what} as {name}");
            let status = server.live.status();
            let texts: Vec<String> = status.reasons.iter().map(|reason| reason.text.clone()).collect();
            assert!(texts.iter().any(|text| text.contains(name) && text.contains("set aside")), "{what}: {texts:?}");
            let aside = folder.join(format!("{name}.unreadable-1"));
            assert!(aside.symlink_metadata().is_ok(), "{what} as {name} was not set aside");
            fs::remove_file(aside).unwrap();
            // The next process finds a new one.
            server.prove();
            drop(server);
            assert_eq!(world.serve().reasons(), [""; 0], "{what} as {name}");
            fs::write(&path, "").unwrap();
        });
    }
}

#[test]
fn texts_of_the_store_that_cannot_be_read_are_reported_and_the_generation_continues() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    server.prove();
    let (current, control) = (world.store.current_path(), world.store.control_path());
    for path in [current, control, world.store.pardons_path()] {
        let before = fs::read(&path).ok();
        for_each_hostile(&path, |what| {
            assert_eq!(server_reason(&world), "store_malformed", "{what} as {}", path.display());
        });
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
    }
    assert_eq!(server.look_and_ask(), Ok(1));
}

/// Returns the first reason of a new server, which serves what the last one has proven.
fn server_reason(world: &World) -> String {
    let mut server = world.serve_with(options().with(|it| it.name = "other".to_owned()));
    server.live.look_now();
    let reasons = server.reasons();
    let _ = server.ask();
    reasons.first().map_or_else(String::new, |&reason| reason.to_owned())
}

#[test]
fn a_state_folder_is_writable_by_its_owner_only_even_without_a_umask() {
    const NAME: &str = "hostile::a_state_folder_is_writable_by_its_owner_only_even_without_a_umask";
    if let Some(dir) = again::role() {
        let world = World::in_folder(dir);
        world.serve().prove();
        // A second process of the same name has a note of its own.
        let first = world.serve();
        drop(world.serve());
        drop(first);
        return;
    }
    let world = World::new();
    world.publish(1);
    let server = again::command(NAME, world.dir().to_str().unwrap());
    let mut child = std::process::Command::new("sh");
    child.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(server.get_program()).args(server.get_args());
    for (name, value) in server.get_envs() {
        child.env(name, value.unwrap());
    }
    assert!(child.status().unwrap().success());
    let mut paths = vec![world.store.state_path()];
    let mut names = Vec::new();
    while let Some(path) = paths.pop() {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o022, 0, "{} has the mode {mode:o}", path.display());
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    for name in ["lock", "journal.json", "report.json"] {
        assert!(names.iter().any(|other| other == name), "{name} is not among {names:?}");
    }
}

/// What a terminal, a label or a report could obey.
const CONTROL: &str = "\u{1b}]0;x\u{7}\r\n\u{9b}31m\u{202e}";

#[test]
fn control_characters_of_a_file_reach_neither_a_label_nor_a_report() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    server.prove();
    let good = World::bytes(2);
    let escaped = serde_json::Value::from(CONTROL).to_string();
    let escaped = escaped.trim_matches('"');
    let provenance = |key: &str, value: &str| format!("{{\"logic_id\":\"small-v1\",\"{key}\":\"{value}\"}}");
    let renamed = |from: &'static str| {
        move |content: &mut Vec<u8>| {
            let text = String::from_utf8(content.clone()).unwrap();
            assert!(text.contains(from), "{text}");
            *content = text.replacen(from, &format!("{from}{escaped}"), 1).into_bytes();
        }
    };
    let hostile = [
        (
            "a logic id",
            with_content(&good, SectionKind::Provenance, |content| {
                *content = format!("{{\"logic_id\":\"small{escaped}\"}}").into_bytes();
            }),
        ),
        (
            "a text",
            with_content(&good, SectionKind::Provenance, |content| {
                *content = provenance("note", escaped).into_bytes();
            }),
        ),
        (
            "a key",
            with_content(&good, SectionKind::Provenance, |content| {
                *content = provenance(escaped, "x").into_bytes();
            }),
        ),
        ("a field", with_content(&good, SectionKind::Contract, renamed("media_id"))),
        ("an unknown key of the contract", with_content(&good, SectionKind::Contract, renamed("meaning"))),
        ("a golden request", with_content(&good, SectionKind::Golden, renamed("media_id"))),
        ("a field size", with_content(&good, SectionKind::FieldSizes, renamed("media_id"))),
    ];
    for (generation, (name, file)) in (2..).zip(hostile) {
        world.publish_bytes(generation, &file);
        server.live.look_now();
        let status = server.live.status();
        for reason in &status.reasons {
            assert_clean(name, &reason.text);
        }
        for entry in &status.quarantined {
            assert_clean(name, &entry.reason);
        }
        let mut page = vec![0; 1 << 20];
        let len = server.live.metrics().write_prometheus(&mut page).unwrap();
        assert_clean(name, std::str::from_utf8(&page[..len]).unwrap());
        // The report is JSON, whose own escapes have to be undone.
        assert_clean_values(name, &status.to_json());
    }
}

#[track_caller]
fn assert_clean(name: &str, text: &str) {
    let found = text.find(|character| character != '\n' && omomi::printable::is_control(character));
    assert_eq!(found, None, "{name}: {text:?}");
}

#[track_caller]
fn assert_clean_values(name: &str, value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => assert_clean(name, text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| assert_clean_values(name, item)),
        serde_json::Value::Object(members) => members.iter().for_each(|(key, member)| {
            assert_clean(name, key);
            assert_clean_values(name, member);
        }),
        _ => {}
    }
}
