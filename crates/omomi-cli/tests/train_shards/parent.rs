//! When a parent process dies, its children exit. The next command cleans up and continues.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::{Fixture, OMOMI, is_marked};

const PATIENCE: Duration = Duration::from_secs(60);

/// Returns whether the process has ended, even if its parent has not collected its status yet.
fn has_ended(process_id: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process_id}/stat"));
    // After the name in parentheses comes the state: Z is a process that has ended.
    stat.ok().and_then(|stat| Some(stat.rsplit_once(") ")?.1.starts_with('Z'))).unwrap_or(true)
}

#[track_caller]
fn wait_until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(start.elapsed() < PATIENCE, "timed out while waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn children_exit_with_their_parent_and_the_next_command_continues() {
    let fixture = Fixture::new();
    let mut options = fixture.options();
    // Long enough that no child is finished when its parent dies.
    options.train.passes = 500;
    let mut parent = Command::new(OMOMI)
        .args(["train", "--shards", "3", "--split", "random", "--processes", "2", "--passes", "500", "--quiet"])
        .args(["--time-column", "timestamp", "--shard-alpha", "0.1"])
        .arg("--work-dir")
        .arg(&options.work_dir)
        .arg("--contract")
        .arg(fixture.contract_file())
        .arg("--out")
        .arg(&options.train.state)
        .arg("--logs")
        .args(fixture.logs())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let progress = options.work_dir.join("progress.jsonl");
    let children: Vec<u64> = wait_until("two children at work", || {
        let text = fs::read_to_string(&progress).ok()?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        // Both have reported progress, so they are training.
        let reported = |shard: u64| lines.iter().any(|line| line["event"] == "progress" && line["shard"] == shard);
        let ids = lines.iter().filter_map(|line| line["process_id"].as_u64()).collect();
        (reported(1) && reported(2)).then_some(ids)
    });
    assert_eq!(children.len(), 2);
    assert!(children.iter().all(|&child| !has_ended(child)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the end of both children", || children.iter().all(|&child| has_ended(child)).then_some(()));
    assert!((1..=3).all(|shard| !fixture.state_of_shard(shard).exists()));

    options.train.passes = 1;
    fs::write(fixture.path("work/round-01/.shard-0001.parquet.1-1.partial"), "half").unwrap();
    let (_, seen) = fixture.merged(&options);
    assert_eq!(seen.learned(), [1, 2, 3]);
    assert!((1..=3).all(|shard| is_marked(&fixture.state_of_shard(shard))));
    assert!(!fixture.path("work/round-01/.shard-0001.parquet.1-1.partial").exists());
}
