//! `omomi log cat`.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use omomi::serving_log::EventKind;
use serde_json::Value;

use crate::world::{World, at, id_of};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_record_is_a_line_of_json_with_all_that_was_logged() {
    let world = World::new(&[("site", "hashed"), ("title", "never")]);
    let mut server = world.serve(|it| it.details_per_million = 1_000_000);
    let id = server.serve(1);
    let answer = server.request.answer(1);
    server.event(1, EventKind::Win, 20);
    server.close();
    let records = lines(&world.done("log cat served"));
    assert_eq!(records.len(), 3, "{records:?}");
    let of_kind = |kind: &str| records.iter().find(|record| record["record"] == kind).unwrap();

    let prediction = of_kind("prediction");
    assert_eq!(prediction["prediction_id"], id.to_string());
    assert_eq!(prediction["logic_id"], "ctr-a");
    assert_eq!(prediction["generation"], 7);
    assert_eq!(prediction["time"], "2026-10-01T00:00:01Z");
    assert_eq!(prediction["time_unix_ms"], at(1));
    assert_eq!(prediction["contract_fingerprint"], format!("{:016x}", world.contract.fingerprint()));
    assert_eq!(prediction["logit"].as_f64().unwrap().to_bits(), answer.logit.to_bits());
    #[expect(clippy::cast_possible_truncation, reason = "a float, written exactly")]
    let probability = prediction["probability"].as_f64().unwrap() as f32;
    assert_eq!(probability.to_bits(), answer.probability.to_bits());
    let bid = serde_json::json!({ "micros": 1_500_001, "currency": "JPY", "basis": "thousand_impressions" });
    assert_eq!(prediction["bid"], bid);
    let seed = omomi::feature::field_seed("site");
    let key = format!("{:016x}", omomi::feature::feature_key(seed, 1));
    let row = serde_json::json!({
        "site": { "key": key }, "segment": ["news"], "floor": 7.5, "creative": 2, "tag": [1, 101],
    });
    assert_eq!(prediction["row"], row, "a field that is `never` is not there");

    let event = of_kind("event");
    assert_eq!((&event["event"], &event["prediction_id"]), (&"win".into(), &id.to_string().into()));
    assert_eq!(event["price"]["micros"], 900_001);

    let detail = of_kind("detail");
    assert_eq!(detail["candidates"].as_array().unwrap().len(), 4);
    assert_eq!(detail["candidates"][1]["logit"], prediction["logit"]);
    assert!(!detail.to_string().contains("title"));

    let events = lines(&world.done("log cat served --cloudevents"));
    assert_eq!(events.len(), 3);
    for event in &events {
        let required = ["specversion", "id", "source", "type"];
        assert!(required.iter().all(|key| event[*key].is_string()), "{event}");
        assert!(records.contains(&event["data"]));
    }
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn files_may_be_named_one_by_one_and_an_open_log_can_be_read() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve(0);
    assert!(server.log.flush(crate::world::PATIENCE));
    assert_eq!(lines(&world.done("log cat served")).len(), 1, "the segment is still partial");
    server.serve(1);
    assert!(server.log.flush(crate::world::PATIENCE));
    // Its writer is in the middle of a frame, which is no damage.
    let partial = world.segments("served").remove(0);
    let mut bytes = fs::read(&partial).unwrap();
    bytes.truncate(bytes.len() - 3);
    fs::create_dir(world.path("cut")).unwrap();
    fs::write(world.path("cut").join(partial.file_name().unwrap()), bytes).unwrap();
    let cut = world.omomi("log cat cut");
    assert_eq!(lines(&String::from_utf8(cut.stdout).unwrap()).len(), 1);
    let said = String::from_utf8(cut.stderr).unwrap();
    assert!(said.contains("open: 1 writers still run") && !said.contains("lost"), "{said}");
    world.done("log check cut --contract contract.toml");
    server.close();
    let segment = world.segments("served").remove(0);
    let named = world.done(&format!("log cat {}", segment.display()));
    assert_eq!(lines(&named)[0]["prediction_id"], id_of(0).to_string());
}

#[test]
fn what_is_lost_is_said_on_standard_error_and_the_rest_is_printed() {
    let world = World::new(&[]);
    let mut server = world.serve(|it| it.max_segment_len_bytes = 4_096);
    for number in 0..200 {
        server.serve(number);
        if number % 40 == 39 {
            assert!(server.log.flush(crate::world::PATIENCE));
        }
    }
    server.close();
    let segments = world.segments("served");
    assert!(segments.len() > 2, "{segments:?}");
    let all = lines(&world.done("log cat served")).len();
    assert_eq!(all, 200);
    fs::remove_file(&segments[1]).unwrap();
    let output = world.omomi("log cat served");
    assert!(output.status.success());
    let (left, said) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    let left = lines(&String::from_utf8(left).unwrap()).len();
    assert!(left < all);
    assert!(said.contains(&format!("lost: {} records are missing that no server dropped", all - left)), "{said}");
    assert!(said.contains("lost: 1 segments are missing"), "{said}");
    assert!(said.contains("who must act: infra"), "{said}");

    // A byte of a block.
    let mut bytes = fs::read(&segments[2]).unwrap();
    bytes[256 + 24 + 200] ^= 1;
    fs::write(&segments[2], bytes).unwrap();
    let said = String::from_utf8(world.omomi("log cat served").stderr).unwrap();
    assert!(said.contains("bytes are damaged"), "{said}");

    // What is no segment fails, after all others were printed.
    fs::write(world.path("served/0-0-0.omomilog"), "PAR1").unwrap();
    let output = world.omomi("log cat served");
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("0-0-0.omomilog") && said.contains("not a segment of a serving log"), "{said}");
}

#[test]
fn a_path_without_segments_says_so() {
    let world = World::new(&[]);
    fs::create_dir(world.path("empty")).unwrap();
    let said = world.failed("log cat empty");
    assert!(said.contains("the folder has no segments") && said.contains("who must act: delivery"), "{said}");
    assert!(world.failed("log cat absent").contains("absent: no such file or folder"));
    assert!(world.failed("log cat contract.toml").contains("not a segment of a serving log"));
}

#[test]
fn a_closed_pipe_ends_the_command_quietly_and_a_full_device_fails_it() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve_all(0..2_000);
    server.close();
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.args(["log", "cat", "served"]).current_dir(world.folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    // Takes the pipe, reads a line and closes it.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(first.starts_with('{'));
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));

    #[cfg(target_os = "linux")]
    {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("standard output cannot be written"));
    }
}
