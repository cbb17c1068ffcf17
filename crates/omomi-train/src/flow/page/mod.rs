//! One self-contained HTML page with the progress of a run: graph of states, figures, runs.
//!
//! The page loads nothing, and follows the reader's choice of light or dark theme. While the run goes on, the browser
//! loads the page again every few seconds.

mod graph;

use std::io;
use std::path::Path;
use std::time::Duration;

use askama::Template;

use super::definition::StateMachine;
use super::figures::TaskFigures;
use super::history::{Event, time_text};
use super::run::RunFiles;
use super::status::{Progress, RunStatus, StateStatus};
use crate::readable::{duration, grouped};
use graph::Graph;

/// Lines of the output of a task on the page.
const TAIL_LINE_COUNT: usize = 12;
/// Most earlier runs on the page.
const MAX_RUN_COUNT: usize = 30;

/// What a page shows.
#[derive(Debug)]
pub struct PageInputs<'a> {
    /// The name of the project.
    pub title: &'a str,
    /// The name of the run.
    pub run: &'a str,
    /// The history of the run.
    pub history: &'a [Event],
    /// The flow. Without it, the page shows only states that were entered.
    pub machine: Option<&'a StateMachine>,
    /// The files of the run, for figures and output of tasks.
    pub files: Option<&'a RunFiles>,
    /// Earlier runs, oldest first.
    pub earlier: &'a [EarlierRun],
    /// Whether a process goes on with the run.
    pub is_going_on: bool,
    /// Now, as Unix time in milliseconds.
    pub now_unix_ms: i64,
}

/// A line in the list of runs.
#[derive(Debug, Clone)]
pub struct EarlierRun {
    /// The name.
    pub name: String,
    /// How it ended.
    pub status: RunStatus,
}

impl EarlierRun {
    /// Reads the last runs of a list, except for one. Runs whose history is damaged are left out.
    #[must_use]
    pub fn read(runs: &[RunFiles], except: &str) -> Vec<Self> {
        let others: Vec<&RunFiles> = runs.iter().filter(|run| run.name != except).collect();
        let last = &others[others.len().saturating_sub(MAX_RUN_COUNT)..];
        let read = |run: &&RunFiles| {
            let history = run.history().ok()?;
            Some(Self { name: run.name.clone(), status: RunStatus::of(&history) })
        };
        last.iter().filter_map(read).collect()
    }
}

#[derive(Template)]
#[template(path = "page.html", config = "src/flow/page/askama.toml")]
struct Page<'a> {
    title: &'a str,
    run: &'a str,
    word: &'a str,
    class: &'a str,
    summary: String,
    facts: Vec<(&'static str, String)>,
    legend: [(&'static str, &'static str); 6],
    graphs: Vec<Graph>,
    node_width: u32,
    node_height: u32,
    rows: Vec<Row>,
    logs: Vec<Log>,
    runs: Vec<RunRow>,
    written: String,
    is_going_on: bool,
    style: &'static str,
}

struct Row {
    name: String,
    class: &'static str,
    word: String,
    values: Vec<String>,
}

struct Log {
    name: String,
    text: String,
    is_open: bool,
}

struct RunRow {
    name: String,
    class: &'static str,
    word: &'static str,
    began: String,
    time: String,
    error: String,
}

/// Makes a page.
///
/// # Errors
///
/// None in practice: the template writes to memory.
pub fn render(inputs: &PageInputs<'_>) -> io::Result<String> {
    let status = RunStatus::of(inputs.history);
    let is_broken = status.progress == Progress::Running && !inputs.is_going_on && inputs.files.is_some();
    let now = inputs.now_unix_ms;
    let of_state = |state: &StateStatus| inputs.files.and_then(|files| TaskFigures::of_state(state, files));
    let rows = status.states.iter().map(|state| row(state, of_state(state).as_ref(), now)).collect();
    let mut facts = vec![("time", elapsed(status.started_unix_ms, status.ended_unix_ms, now))];
    if let Some(started) = status.started_unix_ms {
        facts.insert(0, ("began (UTC)", seconds_text(started)));
    }
    let tasks: usize = status.states.iter().map(|state| state.attempt_count).sum();
    facts.push(("tasks begun", grouped(tasks as u64)));
    let legend = [
        Progress::Waiting,
        Progress::Running,
        Progress::Succeeded,
        Progress::Caught,
        Progress::Failed,
        Progress::Aborted,
    ];
    let this = EarlierRun { name: inputs.run.to_owned(), status: status.clone() };
    let runs = inputs.earlier.iter().chain((!inputs.earlier.is_empty()).then_some(&this));
    let page = Page {
        title: inputs.title,
        run: inputs.run,
        word: if is_broken { "broken off" } else { status.progress.word() },
        class: if is_broken { "failed" } else { status.progress.word() },
        summary: summary(&status, is_broken),
        facts,
        legend: legend.map(|progress| (progress.word(), progress.word())),
        graphs: graph::graphs(inputs.machine, &status, now),
        node_width: graph::NODE_WIDTH,
        node_height: graph::NODE_HEIGHT,
        rows,
        logs: inputs.files.map_or_else(Vec::new, |files| logs(&status, files)),
        runs: runs.rev().map(|run| run_row(run, now)).collect(),
        written: seconds_text(now),
        is_going_on: inputs.is_going_on && status.progress == Progress::Running,
        style: include_str!("page.css"),
    };
    page.render().map_err(io::Error::other)
}

/// Replaces the page at `path`: a reader sees all of the new or of the former one.
///
/// # Errors
///
/// The file cannot be written.
pub fn write(inputs: &PageInputs<'_>, path: &Path) -> io::Result<()> {
    let new = path.with_extension("html.new");
    std::fs::write(&new, render(inputs)?)?;
    std::fs::rename(new, path)
}

fn summary(status: &RunStatus, is_broken: bool) -> String {
    if is_broken {
        return "omomi flow run goes on with it".to_owned();
    }
    if let Some(error) = &status.error {
        let cause = status.cause.as_deref().filter(|cause| !cause.is_empty() && !cause.starts_with('{'));
        return cause.map_or_else(|| error.clone(), |cause| format!("{error}: {cause}"));
    }
    let caught: Vec<String> = status
        .states
        .iter()
        .filter(|state| state.progress == Progress::Caught)
        .map(|state| match state.exit_code {
            Some(3) => format!("{} held back (exit code 3)", state.name),
            Some(code) => format!("{} failed with exit code {code}, and another state went on", state.name),
            None => format!("{} failed, and another state went on", state.name),
        })
        .collect();
    let running =
        status.states.iter().filter(|state| state.progress == Progress::Running && !state.running_tasks.is_empty());
    let running: Vec<&str> = running.map(|state| state.name.as_str()).collect();
    if running.is_empty() { caught.join("; ") } else { running.join(", ") }
}

fn row(state: &StateStatus, figures: Option<&TaskFigures>, now_unix_ms: i64) -> Row {
    let dash = || "–".to_owned();
    let word = state.progress.word();
    let left = figures.and_then(|figures| figures.seconds_left).filter(|_| state.progress == Progress::Running);
    Row {
        name: state.name.clone(),
        class: word,
        word: match (state.exit_code, &state.error) {
            (Some(code), _) => format!("{word}, exit code {code}"),
            (None, Some(error)) => format!("{word}, {error}"),
            (None, None) => word.to_owned(),
        },
        values: vec![
            if state.attempt_count == 0 { dash() } else { state.attempt_count.to_string() },
            if state.done.1 > 1 { format!("{} of {}", state.done.0, state.done.1) } else { dash() },
            elapsed(Some(state.started_unix_ms), state.ended_unix_ms, now_unix_ms),
            figures.map_or_else(dash, |figures| grouped(figures.count)),
            figures.and_then(|figures| figures.per_second).map_or_else(dash, grouped),
            left.map_or_else(dash, |seconds| duration(Duration::from_secs(seconds))),
            figures.and_then(|figures| figures.log_loss).map_or_else(dash, |loss| format!("{loss:.5}")),
        ],
    }
}

fn logs(status: &RunStatus, files: &RunFiles) -> Vec<Log> {
    let mut logs = Vec::new();
    for state in &status.states {
        let is_open = !state.running_tasks.is_empty() || state.error.is_some();
        let last: Vec<u64> = state.tasks.last().copied().into_iter().collect();
        for task in if state.running_tasks.is_empty() { &last } else { &state.running_tasks } {
            let lines = files.log_tail(*task, TAIL_LINE_COUNT);
            if !lines.is_empty() {
                logs.push(Log { name: format!("{} (task {task})", state.name), text: lines.join("\n"), is_open });
            }
        }
    }
    logs
}

fn run_row(run: &EarlierRun, now_unix_ms: i64) -> RunRow {
    let status = &run.status;
    let word = status.progress.word();
    RunRow {
        name: run.name.clone(),
        class: word,
        word,
        began: status.started_unix_ms.map_or_else(String::new, seconds_text),
        time: elapsed(status.started_unix_ms, status.ended_unix_ms, now_unix_ms),
        error: summary(status, false),
    }
}

/// The time from the begin to the end, or until now.
pub(super) fn elapsed(started_unix_ms: Option<i64>, ended_unix_ms: Option<i64>, now_unix_ms: i64) -> String {
    let end = ended_unix_ms.unwrap_or(now_unix_ms);
    let ms = u64::try_from(end - started_unix_ms.unwrap_or(end)).unwrap_or(0);
    duration(Duration::from_millis(ms))
}

fn seconds_text(unix_ms: i64) -> String {
    time_text(unix_ms).chars().take(19).collect::<String>().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(id: u64, kind: &str, details: serde_json::Value) -> Event {
        Event {
            id,
            previous_event_id: id - 1,
            time_unix_ms: 1_000 * i64::try_from(id).unwrap(),
            kind: kind.to_owned(),
            details,
        }
    }

    #[test]
    fn a_page_from_a_history_alone_has_its_states_and_escapes_their_names() {
        let history = [
            event(1, "ExecutionStarted", json!({"input": "{}"})),
            event(2, "TaskStateEntered", json!({"name": "<b>train</b>"})),
            event(3, "TaskScheduled", json!({})),
            event(
                4,
                "TaskFailed",
                json!({"error": "States.TaskFailed", "cause": "{\"Containers\":[{\"ExitCode\":75}]}"}),
            ),
            event(5, "TaskStateExited", json!({"name": "<b>train</b>"})),
            event(6, "SucceedStateEntered", json!({"name": "Later"})),
            event(7, "SucceedStateExited", json!({"name": "Later"})),
            event(8, "ExecutionSucceeded", json!({"output": "{}"})),
        ];
        let inputs = PageInputs {
            title: "ads",
            run: "on AWS",
            history: &history,
            machine: None,
            files: None,
            earlier: &[],
            is_going_on: false,
            now_unix_ms: 9_000,
        };
        let page = render(&inputs).unwrap();
        assert!(page.contains("&#60;b&#62;train") && !page.contains("<b>train"), "{page}");
        for part in ["caught, exit code 75", "Later", "succeeded", "7.0 s"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("http-equiv") && !page.contains("src="));
    }
}
