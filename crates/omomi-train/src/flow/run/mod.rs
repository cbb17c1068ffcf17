//! Runs a flow on this machine: tasks are processes, the history is a file.
//!
//! A project folder has `flow.asl.json` and, below `runs`, one folder per run with its history, the output of its tasks
//! and the flow and input that it began with. A run that broke off is resumed by the next one with the same flow and
//! input. Finished stages are skipped: see [`Stages`](stage).

mod folder;
mod process;
mod stage;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use thiserror::Error;

use super::definition::{DefinitionError, StateMachine};
use super::execution::{Command, Execution, Input, Names, Outcome, ResumeError, Step};
use super::history::Event;
use super::payload::Failure;
use super::task::{CPU_UNITS_PER_CORE, TaskEnd, TaskRequest, description, task_arn};
use folder::Runs;
use process::Started;
use stage::Stage;

pub use folder::{RunFiles, RunsError, is_running, list_runs, page_path};

/// Longest time between two looks at the progress of tasks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The project folder. Commands run in it.
    pub dir: PathBuf,
    /// The definition of the flow.
    pub flow: PathBuf,
    /// The input of the execution.
    pub input: Value,
    /// The program that the word `omomi` means in a command.
    pub omomi: PathBuf,
    /// Whether stages run even if an earlier run finished them.
    pub again: bool,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq)]
pub struct RunAccount {
    /// The name of the run.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it went on with a run that had broken off.
    pub is_resumed: bool,
    /// Tasks that ran.
    pub ran_count: usize,
    /// Tasks that an earlier run had finished.
    pub skipped_count: usize,
    /// The folder of the run.
    pub folder: PathBuf,
}

/// What happened, for those who watch a run.
#[derive(Debug)]
pub enum Happened<'a> {
    /// A run begins, or goes on.
    Begun {
        /// Its files.
        files: &'a RunFiles,
        /// Events of the history that a broken run wrote.
        history: &'a [Event],
    },
    /// Events were added to the history.
    Events(&'a [Event]),
    /// A task is not run, because an earlier one with the same inputs finished.
    Skipped {
        /// The state.
        state: &'a str,
        /// Its name.
        stage: &'a str,
    },
    /// Something that is not as the state asks.
    Warning(&'a str),
    /// Time passed.
    Tick,
}

/// Why a flow could not be run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The definition has faults.
    #[error("{}: {source}", path.display())]
    Definition {
        /// The file.
        path: PathBuf,
        /// All faults.
        source: DefinitionError,
    },
    /// A file of the project could not be read.
    #[error("{} cannot be read; name a project folder that omomi flow init made", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The files of runs.
    #[error(transparent)]
    Runs(#[from] RunsError),
    /// The history of the broken run does not fit.
    #[error("the run {name} cannot be resumed; move {} away to begin a new one", folder.display())]
    Resume {
        /// The run.
        name: String,
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: ResumeError,
    },
}

/// Reads the definition of a flow.
///
/// # Errors
///
/// The file cannot be read, or the definition has faults.
pub fn read_machine(path: &Path) -> Result<StateMachine, RunError> {
    let text = std::fs::read_to_string(path).map_err(|source| RunError::Read { path: path.to_owned(), source })?;
    StateMachine::parse(&text).map_err(|source| RunError::Definition { path: path.to_owned(), source })
}

/// Runs a flow to its end, or goes on with a run of the same flow and input that broke off.
///
/// # Errors
///
/// The flow cannot begin, or its files cannot be written. A flow that fails is no error: see [`RunAccount::outcome`].
pub fn run(options: &RunOptions, watch: &mut dyn FnMut(&Happened<'_>)) -> Result<RunAccount, RunError> {
    let machine = read_machine(&options.flow)?;
    let runs = Runs::lock(&options.dir)?;
    let broken = runs.broken(machine.definition(), &options.input)?;
    let is_resumed = broken.is_some();
    let (files, history) = match broken {
        Some(broken) => broken,
        None => (runs.begin(machine.definition(), &options.input, now_unix_ms())?, Vec::new()),
    };
    let names = Names { execution: files.name.clone(), state_machine: "flow".to_owned() };
    let resumed = Execution::resume(machine, names, options.input.clone(), &history);
    let (execution, step) = resumed.map_err(|source| RunError::Resume {
        name: files.name.clone(),
        folder: files.folder.clone(),
        source,
    })?;
    watch(&Happened::Begun { files: &files, history: &history });
    let (sender, receiver) = channel();
    let cores = available_parallelism().map_or(1, |cores| cores.get() as u64);
    let mut runner = Runner {
        options,
        runs: &runs,
        files: &files,
        execution,
        timers: BTreeMap::new(),
        waiting: VecDeque::new(),
        running: BTreeMap::new(),
        ending: Vec::new(),
        cpu_units: cores * CPU_UNITS_PER_CORE,
        sender,
        ran_count: 0,
        skipped_count: 0,
        stages: stage::Digests::default(),
        watch,
    };
    let step = if history.is_empty() { runner.execution.apply(now_unix_ms(), Input::Begin) } else { step };
    runner.follow(step)?;
    let outcome = runner.run_to_end(&receiver)?;
    Ok(RunAccount {
        name: files.name.clone(),
        outcome,
        is_resumed,
        ran_count: runner.ran_count,
        skipped_count: runner.skipped_count,
        folder: files.folder.clone(),
    })
}

/// Unix time in milliseconds.
pub(super) fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What the threads of tasks report.
struct Ended {
    token: u64,
    end: TaskEnd,
}

/// A task that waits for its turn.
struct Waits {
    token: u64,
    state: String,
    request: TaskRequest,
}

/// A task that runs.
struct RunningTask {
    request: TaskRequest,
    stage: Stage,
    started: Started,
    started_unix_ms: i64,
}

struct Runner<'a> {
    options: &'a RunOptions,
    runs: &'a Runs,
    files: &'a RunFiles,
    execution: Execution,
    /// When each token is to be woken.
    timers: BTreeMap<u64, i64>,
    waiting: VecDeque<Waits>,
    running: BTreeMap<u64, RunningTask>,
    /// Tasks that were canceled. The run waits for their end.
    ending: Vec<Started>,
    /// Of this machine.
    cpu_units: u64,
    sender: Sender<Ended>,
    ran_count: usize,
    skipped_count: usize,
    stages: stage::Digests,
    watch: &'a mut dyn FnMut(&Happened<'_>),
}

impl Runner<'_> {
    fn run_to_end(&mut self, receiver: &Receiver<Ended>) -> Result<Outcome, RunError> {
        loop {
            self.start_waiting()?;
            if let Some(outcome) = self.execution.outcome() {
                return Ok(outcome.clone());
            }
            let now = now_unix_ms();
            let next = self.timers.values().min().map_or(i64::MAX, |at| at.saturating_sub(now).max(0));
            let pause = LOOK_INTERVAL.min(Duration::from_millis(u64::try_from(next).unwrap_or(0)));
            match receiver.recv_timeout(pause) {
                Ok(ended) => self.task_ended(ended)?,
                // This end of the channel is held by `self`.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => (self.watch)(&Happened::Tick),
            }
            let now = now_unix_ms();
            let due: Vec<u64> = self.timers.iter().filter(|(_, at)| **at <= now).map(|(token, _)| *token).collect();
            for token in due {
                self.timers.remove(&token);
                self.happen(Input::Timer { token })?;
            }
        }
    }

    fn happen(&mut self, input: Input) -> Result<(), RunError> {
        let step = self.execution.apply(now_unix_ms(), input);
        self.follow(step)
    }

    /// Makes the events of a step safe, then does what it commands.
    fn follow(&mut self, step: Step) -> Result<(), RunError> {
        if !step.events.is_empty() {
            self.files.append(&step.events)?;
            (self.watch)(&Happened::Events(&step.events));
        }
        for command in step.commands {
            match command {
                Command::Wake { token, at_unix_ms } => {
                    self.timers.insert(token, at_unix_ms);
                }
                Command::CancelTask { token } => {
                    self.timers.remove(&token);
                    self.waiting.retain(|waits| waits.token != token);
                    if let Some(task) = self.running.remove(&token) {
                        task.started.end();
                        self.ending.push(task.started);
                    }
                }
                Command::RunTask { token, state, parameters } => match TaskRequest::of(&parameters) {
                    Ok(request) => {
                        let asked = request.cpu_units.unwrap_or(0);
                        if asked > self.cpu_units {
                            let most = self.cpu_units;
                            let line =
                                format!("{state} asks for {asked} CPU units, this machine has {most}: it runs alone");
                            (self.watch)(&Happened::Warning(&line));
                        }
                        self.waiting.push_back(Waits { token, state, request });
                    }
                    Err(problem) => {
                        let failure = Failure::new("ECS.InvalidParameterException", problem);
                        self.happen(Input::TaskEnded { token, result: Err(failure) })?;
                    }
                },
            }
        }
        Ok(())
    }

    /// Starts the tasks that have room, in order.
    fn start_waiting(&mut self) -> Result<(), RunError> {
        while let Some(next) = self.waiting.front() {
            let used: u64 = self.running.values().map(|task| task.request.cpu_units.unwrap_or(0)).sum();
            let asked = next.request.cpu_units.unwrap_or(0);
            if !self.running.is_empty() && used.saturating_add(asked) > self.cpu_units {
                return Ok(());
            }
            if let Some(next) = self.waiting.pop_front() {
                self.start(next)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, task: Waits) -> Result<(), RunError> {
        let Waits { token, state, request } = task;
        let id = format!("{}/{token}", self.files.name);
        let program = self.program(&request.command[0]);
        let stage = Stage::of(&request, &program, &self.options.dir, &mut self.stages);
        let finished = stage.finished(self.runs, &self.files.name, token, self.options.again);
        self.happen(Input::TaskStarted { token })?;
        let submitted = json!({
            "Failures": [],
            "Tasks": [{ "TaskArn": task_arn(&id), "StartedBy": stage.name(), "LastStatus": "RUNNING" }],
        });
        self.happen(Input::TaskSubmitted { token, output: submitted })?;
        if let Some(output) = finished {
            self.skipped_count += 1;
            (self.watch)(&Happened::Skipped { state: &state, stage: stage.name() });
            return self.happen(Input::TaskEnded { token, result: Ok(output) });
        }
        let started_unix_ms = now_unix_ms();
        let log = self.files.log_path(token);
        let progress = self.files.progress_path(token);
        let sender = self.sender.clone();
        let report = move |end| {
            // The run has ended if it does not listen any more.
            let _ = sender.send(Ended { token, end });
        };
        let started = process::start(&program, &request, &self.options.dir, &log, &progress, self.runs, report);
        self.ran_count += 1;
        match started {
            Ok(started) => {
                self.running.insert(token, RunningTask { request, stage, started, started_unix_ms });
                Ok(())
            }
            Err(error) => {
                let reason = format!("{} cannot be started: {error}", program.display());
                let end = TaskEnd { exit_code: None, reason: Some(reason) };
                let failure = failed(&description(&id, &request, &end, (started_unix_ms, now_unix_ms())));
                self.happen(Input::TaskEnded { token, result: Err(failure) })
            }
        }
    }

    /// The program that a word means: this one for `omomi`, a path from the project folder, or one of the search path.
    fn program(&self, word: &str) -> PathBuf {
        match word {
            "omomi" => self.options.omomi.clone(),
            word if word.contains('/') => self.options.dir.join(word),
            word => PathBuf::from(word),
        }
    }

    fn task_ended(&mut self, ended: Ended) -> Result<(), RunError> {
        let Some(task) = self.running.remove(&ended.token) else { return Ok(()) };
        self.timers.remove(&ended.token);
        let id = format!("{}/{}", self.files.name, ended.token);
        let output = description(&id, &task.request, &ended.end, (task.started_unix_ms, now_unix_ms()));
        let result = if ended.end.exit_code == Some(0) {
            task.stage.finish(self.runs, &self.files.name, ended.token, &output, &mut self.stages)?;
            Ok(output)
        } else {
            Err(failed(&output))
        };
        self.happen(Input::TaskEnded { token: ended.token, result })
    }
}

/// The failure of a task with this description.
fn failed(description: &Value) -> Failure {
    Failure::new("States.TaskFailed", description.to_string())
}
