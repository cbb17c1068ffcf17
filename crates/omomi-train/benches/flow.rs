//! Measures what a job flow adds to its tasks: milliseconds per state, beside the same processes without a flow.
//!
//! `cargo bench -p omomi-train --bench flow [STATES]`

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use omomi_train::flow::execution::Outcome;
use omomi_train::flow::run::{RunAccount, RunOptions, run};
use serde_json::{Map, Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` passes `--bench`. `cargo test` does not: it only checks that the bench still works.
    let default_count = if arguments.iter().any(|argument| argument == "--bench") { 500 } else { 20 };
    let count: usize = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(default_count);
    let folder = tempfile::tempdir()?;

    let begin = Instant::now();
    for _ in 0..count {
        let status = Command::new("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        assert!(status.success());
    }
    let of_processes = ms_each(begin, count);

    let pass = |_| json!({"Type": "Pass"});
    let (of_passes, account) = timed(&folder.path().join("passes"), count, pass)?;
    assert_eq!(account.ran_count, 0);

    let task = |_| {
        let container = json!({"Name": "omomi", "Command": ["true"]});
        json!({
            "Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "ResultPath": null,
            "Parameters": {"Cluster": "c", "TaskDefinition": "t", "Overrides": {"ContainerOverrides": [container]}},
        })
    };
    let (of_tasks, account) = timed(&folder.path().join("tasks"), count, task)?;
    assert_eq!((account.ran_count, account.skipped_count), (count, 0));

    println!("{count} states of each kind, one after the other; milliseconds each");
    println!("process without a flow  {of_processes:8.3}");
    println!("Pass state              {of_passes:8.3}");
    println!("Task state              {of_tasks:8.3}, of which {:.3} are the flow's", of_tasks - of_processes);
    Ok(())
}

/// Runs a flow of states in a row.
fn timed(dir: &Path, count: usize, state: impl Fn(usize) -> Value) -> Result<(f64, RunAccount), Box<dyn Error>> {
    std::fs::create_dir(dir)?;
    let mut states = Map::new();
    for index in 0..count {
        let mut state = state(index);
        if index + 1 == count {
            state["End"] = json!(true);
        } else {
            state["Next"] = json!(format!("s{}", index + 1));
        }
        states.insert(format!("s{index}"), state);
    }
    let flow = dir.join("flow.asl.json");
    std::fs::write(&flow, json!({"StartAt": "s0", "States": states}).to_string())?;
    let (omomi, again) = ("omomi".into(), false);
    let options = RunOptions { dir: dir.to_owned(), flow, input: json!({"a": 1}), omomi, again };
    let begin = Instant::now();
    let account = run(&options, &mut |_| ())?;
    let ms = ms_each(begin, count);
    assert_eq!(account.outcome, Outcome::Succeeded(json!({"a": 1})));
    Ok((ms, account))
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn ms_each(begin: Instant, count: usize) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3 / count as f64
}
