//! `omomi flow run`: runs a flow on this machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use omomi_train::flow::definition::StateMachine;
use omomi_train::flow::execution::Outcome;
use omomi_train::flow::history::Event;
use omomi_train::flow::page::{self, EarlierRun, PageInputs};
use omomi_train::flow::run::{Happened, RunFiles, RunOptions, list_runs, page_path, read_machine, run as run_flow};
use omomi_train::flow::status::{RunStatus, StateStatus};
use serde_json::{Value, json};
use thiserror::Error;

use super::status::{now_unix_ms, project_name};
use crate::Failure;
use crate::output::{json_line, note, print_exactly, say};
use crate::text::grouped;

/// Least time between two writes of the page.
const PAGE_INTERVAL: Duration = Duration::from_secs(1);

/// Run the flow of a project folder to its end
///
/// Tasks are processes of this machine. If a run with the same flow and input broke off, it is resumed, and what had
/// finished is not done again. One run per folder at a time.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Project folder, with flow.asl.json and input.json
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Input of the flow, as JSON [default: input.json in DIR, or {}]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Definition of the flow [default: flow.asl.json in DIR]
    #[arg(long, value_name = "FILE")]
    flow: Option<PathBuf>,
    /// Do all stages, even if an earlier run finished them with the same inputs
    #[arg(long)]
    again: bool,
    /// Only check the flow, and print its faults
    #[arg(long, conflicts_with_all = ["again", "json"])]
    check: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// A flow that ended with an error. `main` gives it its exit code.
#[derive(Debug, Error)]
#[error("the flow failed: {error}{}", cause_of(state.as_ref(), cause))]
pub(crate) struct FlowFailed {
    error: String,
    cause: String,
    /// The task that failed last, and its log.
    state: Option<(StateStatus, Option<PathBuf>)>,
}

fn cause_of(state: Option<&(StateStatus, Option<PathBuf>)>, cause: &str) -> String {
    let Some((state, log)) = state else {
        return if cause.is_empty() { String::new() } else { format!(": {cause}") };
    };
    let code = state.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
    let log = log.as_ref().map_or_else(String::new, |log| format!("; its output is in {}", log.display()));
    format!(" in the state {}{code}{log}", state.name)
}

impl FlowFailed {
    /// The exit code of the task that ended the flow, if it has a meaning: held back, or temporary.
    pub(crate) fn exit_code(&self) -> u8 {
        let code =
            self.state.as_ref().filter(|_| self.error == "States.TaskFailed").and_then(|(state, _)| state.exit_code);
        match code {
            Some(3) => 3,
            Some(75) => crate::TEMPORARY,
            _ => 1,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let flow = arguments.flow.clone().unwrap_or_else(|| arguments.dir.join("flow.asl.json"));
    if arguments.check {
        read_machine(&flow)?;
        say!("{}: no faults", flow.display());
        return Ok(());
    }
    let options = RunOptions {
        dir: arguments.dir.clone(),
        flow,
        input: input(arguments)?,
        omomi: std::env::current_exe()?,
        again: arguments.again,
    };
    let machine = read_machine(&options.flow)?;
    let mut watcher = Watcher {
        quiet: arguments.quiet,
        dir: arguments.dir.clone(),
        title: project_name(&arguments.dir),
        machine,
        files: None,
        history: Vec::new(),
        earlier: Vec::new(),
        written: None,
    };
    let account = run_flow(&options, &mut |happened| watcher.watch(happened))?;
    watcher.write_page(false);
    if arguments.json {
        let outcome = match &account.outcome {
            Outcome::Succeeded(output) => json!({ "status": "succeeded", "output": output }),
            Outcome::Failed(failure) => {
                json!({ "status": "failed", "error": failure.error, "cause": failure.cause })
            }
            Outcome::TimedOut => json!({ "status": "timed-out" }),
        };
        let line = json!({
            "run": account.name,
            "folder": account.folder,
            "resumed": account.is_resumed,
            "tasks_run": account.ran_count,
            "stages_skipped": account.skipped_count,
            "outcome": outcome,
        });
        print_exactly(json_line(&line).as_bytes());
    } else {
        say!(
            "run {}: {} tasks run, {} stages skipped because they had finished",
            account.name,
            grouped(account.ran_count as u64),
            grouped(account.skipped_count as u64)
        );
        say!("page: {}", page_path(&arguments.dir).display());
        say!("history: {}", account.folder.join("history.jsonl").display());
    }
    match account.outcome {
        Outcome::Succeeded(_) => Ok(()),
        Outcome::Failed(failure) => {
            let state = last_failed(&watcher.history, watcher.files.as_ref());
            Err(FlowFailed { error: failure.error, cause: failure.cause, state }.into())
        }
        Outcome::TimedOut => {
            let cause = "its TimeoutSeconds are over".to_owned();
            Err(FlowFailed { error: "States.Timeout".to_owned(), cause, state: None }.into())
        }
    }
}

/// The state whose task failed and was not caught, with its log.
fn last_failed(history: &[Event], files: Option<&RunFiles>) -> Option<(StateStatus, Option<PathBuf>)> {
    let states = RunStatus::of(history).states.into_iter();
    let failed = |state: &StateStatus| !state.tasks.is_empty() && state.error.is_some();
    let state = states.filter(failed).max_by_key(|state| state.ended_unix_ms)?;
    let log = state.tasks.last().zip(files).map(|(task, files)| files.log_path(*task));
    Some((state, log))
}

fn input(arguments: &Arguments) -> Result<Value, Failure> {
    let of_project = arguments.dir.join("input.json");
    let path = match &arguments.input {
        Some(path) => path,
        None if of_project.exists() => &of_project,
        None => return Ok(json!({})),
    };
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let input = serde_json::from_str(&text);
    Ok(input.map_err(|error| format!("{}: expected JSON: {error}", path.display()))?)
}

/// Tells on standard error what a run does.
struct Watcher {
    quiet: bool,
    dir: PathBuf,
    title: String,
    machine: StateMachine,
    files: Option<RunFiles>,
    history: Vec<Event>,
    earlier: Vec<EarlierRun>,
    /// When the page was last written.
    written: Option<Instant>,
}

impl Watcher {
    fn watch(&mut self, happened: &Happened<'_>) {
        match happened {
            Happened::Begun { files, history } => {
                self.files = Some((*files).clone());
                self.history = history.to_vec();
                let runs = list_runs(&self.dir).unwrap_or_default();
                self.earlier = EarlierRun::read(&runs, &files.name);
                if !history.is_empty() {
                    self.note(&format!("run {} broke off after {} events and is resumed", files.name, history.len()));
                }
            }
            Happened::Events(events) => {
                self.history.extend_from_slice(events);
                for event in *events {
                    if let Some(line) = line(event) {
                        self.note(&line);
                    }
                }
            }
            Happened::Skipped { state, stage } => {
                self.note(&format!("{state}: skipped, because stage {stage} had finished with the same inputs"));
            }
            // Not even `--quiet` hides that.
            Happened::Warning(line) => note!("warning: {line}"),
            Happened::Tick => {}
        }
        if self.written.is_none_or(|written| written.elapsed() >= PAGE_INTERVAL) {
            self.write_page(true);
        }
    }

    fn write_page(&mut self, is_going_on: bool) {
        let Some(files) = &self.files else { return };
        self.written = Some(Instant::now());
        let inputs = PageInputs {
            title: &self.title,
            run: &files.name,
            history: &self.history,
            machine: Some(&self.machine),
            files: Some(files),
            earlier: &self.earlier,
            is_going_on,
            now_unix_ms: now_unix_ms(),
        };
        let path = page_path(&self.dir);
        // The run goes on without its page.
        if let Err(error) = page::write(&inputs, &path) {
            note!("warning: {} cannot be written: {error}", path.display());
        }
    }

    fn note(&self, line: &str) {
        if !self.quiet {
            note!("{line}");
        }
    }
}

/// What is said of an event, if it is worth a line.
fn line(event: &Event) -> Option<String> {
    if let Some(kind) = event.kind.strip_suffix("StateEntered") {
        let name = event.detail("name")?;
        return matches!(kind, "Task" | "Map" | "Parallel" | "Wait" | "Fail")
            .then(|| format!("{name}: {}", kind.to_lowercase()));
    }
    match event.kind.as_str() {
        "TaskFailed" | "TaskTimedOut" => {
            let code: Option<Value> = event.detail("cause").and_then(|cause| serde_json::from_str(cause).ok());
            let code = code.and_then(|cause| cause["Containers"][0]["ExitCode"].as_i64());
            let code = code.map_or_else(String::new, |code| format!(", exit code {code}"));
            Some(format!("  failed: {}{code}", event.detail("error")?))
        }
        _ => None,
    }
}
