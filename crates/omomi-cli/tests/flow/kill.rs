//! Runs that are killed, and resumed by the same command.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::project::{Project, row, task};

/// Starts the flow, kills it when `is_time` says so or when it ends, and returns whether it was killed.
fn kill_when(project: &Project, is_time: impl Fn() -> bool) -> bool {
    let mut run: Child =
        project.command("flow run --quiet").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while !is_time() && run.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    let is_killed = run.try_wait().unwrap().is_none();
    // SIGKILL: nothing is cleaned up.
    run.kill().unwrap();
    run.wait().unwrap();
    is_killed
}

/// How far a run has come: a task that is started again is no progress.
fn progress(project: &Project) -> usize {
    let history = project.history();
    let kind_of = |id: u64| history.iter().find(|event| event["id"] == id).map(|event| &event["type"]);
    let is_new = |event: &&Value| match event["type"].as_str() {
        Some("TaskStarted") => {
            event["previousEventId"].as_u64().and_then(kind_of).is_some_and(|kind| kind == "TaskScheduled")
        }
        Some("TaskSubmitted") => false,
        _ => true,
    };
    history.iter().filter(is_new).count()
}

#[test]
fn killed_after_each_event_and_resumed_a_flow_makes_the_same_bytes_and_repeats_no_finished_stage() {
    let whole = Project::trains();
    let account = whole.flow(0);
    assert_eq!((&account["tasks_run"], &account["stages_skipped"]), (&json!(5), &json!(0)));
    let event_count = whole.history().len();
    let killed = Project::trains();
    // The run is killed whenever it has come further, until it ends.
    let (mut kill_count, mut seen) = (0, 0);
    while kill_when(&killed, || progress(&killed) > seen) {
        kill_count += 1;
        seen = progress(&killed);
        assert!(kill_count < 200);
    }
    assert!(kill_count >= 5, "{kill_count} kills, {event_count} events");
    for name in ["a.state", "b.state", "all.state", "model.omomi"] {
        assert_eq!(whole.read(name), killed.read(name), "{name}");
    }
    let history = killed.history();
    let count = |kind: &str| history.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("TaskScheduled"), count("TaskSucceeded"), count("ExecutionSucceeded")), (5, 5, 1));
    let ids: Vec<u64> = history.iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=history.len() as u64).collect::<Vec<_>>());
    let runs = std::fs::read_dir(killed.path("runs")).unwrap();
    let runs = runs.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("00"));
    assert_eq!(runs.count(), 1, "one run, resumed each time");
}

#[test]
fn tasks_that_finished_before_a_kill_are_not_done_again() {
    let note = |name: &str| task(&["sh", "-c", &format!("echo {name} >> done; test {name} != two || sleep 30")]);
    let flow = row(&[("One", note("one")), ("Two", note("two")), ("Three", note("three"))]);
    let project = Project::new(&flow, &json!({}));
    let lines = || String::from_utf8(std::fs::read(project.path("done")).unwrap_or_default()).unwrap();
    assert!(kill_when(&project, || lines().contains("two")));
    // What the task left running does not keep the next run waiting.
    assert!(kill_when(&project, || lines().matches("two").count() == 2));
    assert_eq!(lines(), "one\ntwo\ntwo\n");
}

#[test]
fn a_second_run_in_the_same_folder_is_refused() {
    let project = Project::new(&row(&[("Sleep", task(&["sh", "-c", "touch begun; sleep 5"]))]), &json!({}));
    let begun = project.path("begun");
    let mut first = project.command("flow run --quiet").stdout(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while !begun.exists() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = project.run("flow run");
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another omomi flow run"));
    let status = String::from_utf8(project.run("flow status").stdout).unwrap();
    assert!(status.contains(": running"), "{status}");
    first.kill().unwrap();
    first.wait().unwrap();
    let status = String::from_utf8(project.run("flow status").stdout).unwrap();
    assert!(status.contains("broken off"), "{status}");
}
