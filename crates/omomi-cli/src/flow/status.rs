//! `omomi flow status`: how far a flow has come.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use omomi_train::flow::definition::StateMachine;
use omomi_train::flow::figures::TaskFigures;
use omomi_train::flow::history::{Event, time_text};
use omomi_train::flow::page::{self, EarlierRun, PageInputs};
use omomi_train::flow::run::{RunFiles, is_running, list_runs, read_machine};
use omomi_train::flow::status::{Progress, RunStatus, StateStatus};
use omomi_train::readable::duration;
use serde_json::{Value, json};

use crate::Failure;
use crate::output::{json_line, one_line, print_exactly, say};
use crate::text::{grouped, table};

/// Lines of the log of a task that are shown.
const TAIL_LINE_COUNT: usize = 3;

/// Show each state of the last run: how it is, attempts, time, rows, speed, time left, and the end of its log
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Project folder
    #[arg(value_name = "DIR", default_value = ".", conflicts_with = "history")]
    dir: PathBuf,
    /// Name of the run, or its number [default: the last one]
    #[arg(long, value_name = "NAME", conflicts_with = "history")]
    run: Option<String>,
    /// History of a run on AWS, as `aws stepfunctions get-execution-history` prints it, instead of DIR
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Also write the page with the graph of states to a file; omomi flow run keeps one in DIR/runs/index.html
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Definition of the flow, for the page: with it, states that were not reached are shown too [default: that of the
    /// run]
    #[arg(long, value_name = "FILE")]
    flow: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (files, history) = read(arguments)?;
    let status = RunStatus::of(&history);
    // A run that has not ended and that no process goes on with.
    let is_broken = files.is_some() && status.progress == Progress::Running && !is_running(&arguments.dir);
    let name = files.as_ref().map(|files| files.name.as_str());
    if let Some(path) = &arguments.page {
        write_page(arguments, path, files.as_ref(), &history)?;
    }
    if arguments.json {
        let line = to_json(&status, name, files.as_ref(), is_broken);
        print_exactly(json_line(&line).as_bytes());
        return Ok(());
    }
    let word = if is_broken { "broken off" } else { status.progress.word() };
    let started = status.started_unix_ms.map_or_else(String::new, |started| format!(", began {}", time_text(started)));
    say!(
        "run {}: {word}{started}, {}",
        name.unwrap_or("on AWS"),
        elapsed(status.started_unix_ms, status.ended_unix_ms)
    );
    if let Some(error) = &status.error {
        say!("error: {error}");
    }
    if is_broken {
        say!("omomi flow run goes on with it");
    }
    let rows = status.states.iter().map(|state| row(state, files.as_ref())).collect();
    say!("\n{}", table(&["state", "", "attempts", "done", "time", "rows", "rows/s", "left", "log loss"], rows));
    for state in
        status.states.iter().filter(|state| state.progress == Progress::Failed || !state.running_tasks.is_empty())
    {
        for (task, lines) in logs(state, files.as_ref()) {
            say!("\n{} (task {task}):", state.name);
            for line in lines {
                say!("  {}", one_line(&line));
            }
        }
    }
    Ok(())
}

fn read(arguments: &Arguments) -> Result<(Option<RunFiles>, Vec<Event>), Failure> {
    if let Some(path) = &arguments.history {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let history = Event::read_all(&text).map_err(|problem| {
            format!(
                "{}: expected the output of aws stepfunctions get-execution-history, found something else: {problem}",
                path.display()
            )
        })?;
        return Ok((None, history));
    }
    let mut runs = list_runs(&arguments.dir)?;
    if let Some(name) = &arguments.run {
        let number = name.parse::<u32>().map(|number| format!("{number:06}-")).ok();
        let is_meant =
            |run: &RunFiles| run.name == *name || number.as_ref().is_some_and(|number| run.name.starts_with(number));
        runs.retain(is_meant);
    }
    let Some(files) = runs.pop() else {
        let which = arguments.run.as_ref().map_or_else(|| "no run".to_owned(), |name| format!("no run {name}"));
        return Err(format!("{} has {which}; begin one with omomi flow run", arguments.dir.display()).into());
    };
    let history = files.history()?;
    Ok((Some(files), history))
}

fn write_page(arguments: &Arguments, path: &Path, files: Option<&RunFiles>, history: &[Event]) -> Result<(), Failure> {
    let machine = match (&arguments.flow, files) {
        (Some(flow), _) => Some(read_machine(flow)?),
        (None, Some(files)) => StateMachine::parse(&files.definition()?).ok(),
        (None, None) => None,
    };
    let title = project_name(&arguments.dir);
    let earlier = match files {
        Some(files) => EarlierRun::read(&list_runs(&arguments.dir)?, &files.name),
        None => Vec::new(),
    };
    let inputs = PageInputs {
        title: if files.is_some() { &title } else { "flow" },
        run: files.map_or("on AWS", |files| files.name.as_str()),
        history,
        machine: machine.as_ref(),
        files,
        earlier: &earlier,
        is_going_on: files.is_some() && is_running(&arguments.dir),
        now_unix_ms: now_unix_ms(),
    };
    page::write(&inputs, path).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(())
}

/// The name of a project: that of its folder.
pub(super) fn project_name(dir: &Path) -> String {
    let path = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    path.file_name().map_or_else(|| "flow".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn row(state: &StateStatus, files: Option<&RunFiles>) -> Vec<String> {
    let dash = || "-".to_owned();
    let figures = files.and_then(|files| TaskFigures::of_state(state, files));
    let of = |figure: fn(&TaskFigures) -> Option<u64>| figures.as_ref().and_then(figure);
    let code = state.exit_code.filter(|_| state.error.is_some());
    let word = state.progress.word();
    vec![
        state.name.clone(),
        code.map_or_else(|| word.to_owned(), |code| format!("{word}, exit code {code}")),
        if state.attempt_count == 0 { dash() } else { state.attempt_count.to_string() },
        if state.done.1 > 1 { format!("{} of {}", state.done.0, state.done.1) } else { dash() },
        elapsed(Some(state.started_unix_ms), state.ended_unix_ms),
        of(|figures| Some(figures.count)).map_or_else(dash, grouped),
        of(|figures| figures.per_second).map_or_else(dash, grouped),
        of(|figures| figures.seconds_left)
            .filter(|_| state.progress == Progress::Running)
            .map_or_else(dash, |seconds| format!("{seconds} s")),
        figures.and_then(|figures| figures.log_loss).map_or_else(dash, |loss| format!("{loss:.5}")),
    ]
}

/// The end of the logs of the tasks that run, or of the last one.
fn logs(state: &StateStatus, files: Option<&RunFiles>) -> Vec<(u64, Vec<String>)> {
    let Some(files) = files else { return Vec::new() };
    let last = state.tasks.last().copied().into_iter().collect();
    let tasks = if state.running_tasks.is_empty() { last } else { state.running_tasks.clone() };
    let of_task = |task: u64| (task, files.log_tail(task, TAIL_LINE_COUNT));
    tasks.into_iter().map(of_task).filter(|(_, lines)| !lines.is_empty()).collect()
}

fn to_json(status: &RunStatus, name: Option<&str>, files: Option<&RunFiles>, is_broken: bool) -> Value {
    let mut value = json!(status);
    value["run"] = json!(name);
    value["broken_off"] = json!(is_broken);
    for (shown, state) in value["states"].as_array_mut().into_iter().flatten().zip(&status.states) {
        shown["figures"] = json!(files.and_then(|files| TaskFigures::of_state(state, files)));
        shown["log_tail"] = json!(
            logs(state, files)
                .into_iter()
                .map(|(task, lines)| json!({"task": task, "lines": lines}))
                .collect::<Vec<_>>()
        );
    }
    value
}

fn elapsed(started_unix_ms: Option<i64>, ended_unix_ms: Option<i64>) -> String {
    let end = ended_unix_ms.unwrap_or_else(now_unix_ms);
    let ms = u64::try_from(end - started_unix_ms.unwrap_or(end)).unwrap_or(0);
    duration(Duration::from_millis(ms))
}

pub(super) fn now_unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
