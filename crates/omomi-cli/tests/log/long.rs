//! Long runs, for people: `cargo test --release -p omomi-cli --test log -- --ignored --nocapture long`. They print how
//! long each step took, and how much memory.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use omomi::serving_log::{Event, EventKind, LogOptions, LogRing, PredictionId, Recorded, Served, ServingLog};
use omomi::{Capacity, Request, RequestLayout, Schema, Scorer};
use omomi_train::pack::write_fixture;

use crate::round_trip::{check_equal, served};
use crate::world::{CONTRACT, PATIENCE, START_UNIX_MS, counts, omomi};

/// Returns the number in an environment variable, or `usual`.
fn number_of(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

/// Largest memory of all processes that were run so far and have ended, in MiB.
fn peak_of_children() -> u64 {
    // SAFETY: zeros are valid numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: it can be written.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) }, 0);
    // Linux counts in KiB.
    u64::try_from(usage.ru_maxrss).unwrap() >> 10
}

fn timed<T>(what: &str, step: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = step();
    println!("{what}: {:.1} s; largest process so far {} MiB", began.elapsed().as_secs_f64(), peak_of_children());
    result
}

#[test]
#[ignore = "takes minutes; for people"]
fn long_round_trip_of_served_requests() {
    let request_count = number_of("OMOMI_ROUND_TRIP_REQUESTS", 200_000);
    let world = timed("serve, log, check, join", || served(&[], i64::try_from(request_count).unwrap()));
    timed("train and pack twice; the weights are equal", || check_equal(&world));
    let said = timed("replay", || world.done("log replay served --files 7.omomi"));
    assert_eq!(counts(&said)["equal, bit for bit"], request_count);
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/serving_log.py");
    let mut python = Command::new("python3");
    python.arg(reader).args(world.segments("served")).arg("--replay").arg(world.path("7.omomi"));
    let said = timed("replay in Python", || python.output().unwrap());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last, serde_json::json!({ "kind": "replay", "equal": request_count }));
}

/// A contract of three ids: short records, so that many fit on a disk.
fn short_contract() -> String {
    let field = |name: &str, side: &str| {
        format!("[[field]]\nname = \"{name}\"\nside = \"{side}\"\ntype = \"id\"\nmeaning = \"m\"\n\n")
    };
    let fields = field("site", "context") + &field("slot", "context") + &field("creative", "candidate");
    assert!(CONTRACT.contains("label = \"clicked\""));
    format!("name = \"short\"\nlabel = \"clicked\"\n\n{fields}")
}

/// Records a request, waiting for room where there is none.
fn record(log: &ServingLog, ring: &mut LogRing, request: &mut Request, served: &Served<'_>) {
    while ring.record(request, 0, served).unwrap() != Recorded::Queued {
        assert!(log.flush(PATIENCE));
    }
}

#[test]
#[ignore = "takes minutes and gigabytes of disk; for people"]
fn long_log_is_joined_in_bounded_memory() {
    let prediction_count = number_of("OMOMI_JOIN_PREDICTIONS", 10_000_000);
    let folder = tempfile::tempdir_in(std::env::var("OMOMI_JOIN_FOLDER").unwrap_or_else(|_| "/tmp".into())).unwrap();
    std::fs::write(folder.path().join("contract.toml"), short_contract()).unwrap();
    let contract = omomi_train::toml::parse_contract(&short_contract()).unwrap();
    let weights = "bias = -2.0\n[[weight]]\nof = { site = 3 }\nvalue = 0.5\n";
    let model = write_fixture(&contract, weights, 7, "ctr-a", folder.path().join("7.omomi")).unwrap();
    let layout =
        RequestLayout::new(&Schema::of_contract(&contract), Capacity { candidates: 1, tail_len_bytes: 0 }).unwrap();
    let mut click_count = 0;
    timed("log", || {
        let options = LogOptions::default().with(|it| {
            (it.ring_len_bytes, it.max_total_len_bytes, it.details_per_million) = (16 << 20, 1 << 40, 0);
        });
        let log = ServingLog::open(folder.path().join("served"), options).unwrap();
        let scorer = Scorer::new(Arc::clone(&model), &layout).unwrap();
        let (mut request, mut ring) = (scorer.new_request(), log.ring(&scorer).unwrap());
        let slot = |name: &str| layout.schema().slot(name).unwrap();
        let [site, place, creative] = ["site", "slot", "creative"].map(slot);
        for number in 0..i64::try_from(prediction_count).unwrap() {
            request.clear();
            request.context().set_id(site, number % 1_000).unwrap();
            request.context().set_id(place, number % 7).unwrap();
            request.candidate(0).unwrap().set_id(creative, number * 31 % 50_000).unwrap();
            scorer.predict_filled(&mut request).unwrap();
            let request_id = format!("{number:x}");
            // Two days of requests.
            let at_unix_ms = START_UNIX_MS + number * 172_800_000 / i64::try_from(prediction_count).unwrap();
            let served_at = Served::of(&request_id).with(|it| it.at_unix_ms = Some(at_unix_ms));
            record(&log, &mut ring, &mut request, &served_at);
            if number % 50 == 0 {
                click_count += 1;
                let prediction_id = PredictionId::of(&request_id, "", 0).unwrap();
                let at_unix_ms = Some(at_unix_ms + number % 60_000);
                let event = Event { prediction_id, kind: EventKind::Click, at_unix_ms, money: None };
                while ring.event(&event).unwrap() != Recorded::Queued {
                    assert!(log.flush(PATIENCE));
                }
            }
        }
    });
    let said = timed("join", || {
        let words =
            "log join served --contract contract.toml --window 1h --until 2026-12-01T00:00:00Z --out out.parquet";
        omomi(folder.path(), words)
    });
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = counts(&String::from_utf8(said.stdout).unwrap());
    assert_eq!((said["rows"], said["with a click"]), (prediction_count, click_count));
    let len = |path: &Path| path.metadata().unwrap().len() >> 20;
    let served = std::fs::read_dir(folder.path().join("served")).unwrap();
    let log_len: u64 = served.map(|entry| len(&entry.unwrap().path())).sum();
    println!(
        "{prediction_count} predictions: log {log_len} MiB, output {} MiB",
        len(&folder.path().join("out.parquet"))
    );
}
