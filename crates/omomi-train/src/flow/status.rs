//! How far a run has come, from its history alone.
//!
//! The history may be that of this machine, or one that `aws stepfunctions get-execution-history` printed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::history::Event;

/// How a run, a state or a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Not reached.
    Waiting,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It failed, and another state went on.
    Caught,
    /// It failed.
    Failed,
    /// It was ended because of something else.
    Aborted,
}

impl Progress {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Caught => "caught",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunStatus {
    /// How it is.
    pub progress: Progress,
    /// Unix time in milliseconds.
    pub started_unix_ms: Option<i64>,
    /// Unix time in milliseconds.
    pub ended_unix_ms: Option<i64>,
    /// The error that ended it.
    pub error: Option<String>,
    /// The cause of the error.
    pub cause: Option<String>,
    /// The output, as JSON.
    pub output: Option<String>,
    /// States in the order in which they were first entered.
    pub states: Vec<StateStatus>,
    /// Ways that were taken, from state to state.
    pub ways: BTreeSet<(String, String)>,
}

/// A state: all its visits together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateStatus {
    /// The name.
    pub name: String,
    /// The type, such as `Task`.
    pub kind: String,
    /// The Map or Parallel state that it belongs to.
    pub parent: Option<String>,
    /// How it is: running if one of its visits is, otherwise as the last visit ended.
    pub progress: Progress,
    /// How often it was entered.
    pub visit_count: usize,
    /// Tasks that were begun, retries included.
    pub attempt_count: usize,
    /// Visits or items that ended well, and all that are known of.
    pub done: (usize, usize),
    /// When it was first entered, as Unix time in milliseconds.
    pub started_unix_ms: i64,
    /// When the last visit ended.
    pub ended_unix_ms: Option<i64>,
    /// The last error.
    pub error: Option<String>,
    /// The cause of the last error.
    pub cause: Option<String>,
    /// The exit code in the last cause.
    pub exit_code: Option<i64>,
    /// Tokens of the tasks: the numbers of their `TaskScheduled` events.
    pub tasks: Vec<u64>,
    /// The tokens of tasks that run.
    pub running_tasks: Vec<u64>,
}

/// One visit of a state.
struct Visit {
    name: String,
    kind: String,
    parent: Option<usize>,
    entered_unix_ms: i64,
    ended_unix_ms: Option<i64>,
    progress: Progress,
    error: Option<String>,
    cause: Option<String>,
    tasks: Vec<u64>,
    running_task: Option<u64>,
    /// Items that ended well, and all; of Map states.
    items: Option<(usize, usize)>,
}

impl RunStatus {
    /// Reads the status from a history. Events of unknown types are passed over.
    #[must_use]
    pub fn of(history: &[Event]) -> Self {
        let mut visits: Vec<Visit> = Vec::new();
        // The visit that an event belongs to.
        let mut owners: BTreeMap<u64, usize> = BTreeMap::new();
        let mut status = Self {
            progress: if history.is_empty() { Progress::Waiting } else { Progress::Running },
            started_unix_ms: history.first().map(|event| event.time_unix_ms),
            ended_unix_ms: None,
            error: None,
            cause: None,
            output: None,
            states: Vec::new(),
            ways: BTreeSet::new(),
        };
        for event in history {
            let text = |name: &str| event.detail(name).map(str::to_owned);
            let before = owners.get(&event.previous_event_id).copied();
            if let Some(kind) = event.kind.strip_suffix("StateEntered") {
                // After the end of a state, the next one has the same parent. Within one, it is its child.
                let parent = before.and_then(|before| match visits[before].ended_unix_ms {
                    Some(_) => visits[before].parent,
                    None => Some(before),
                });
                if let Some(from) = before.filter(|before| visits[*before].ended_unix_ms.is_some()) {
                    status.ways.insert((visits[from].name.clone(), text("name").unwrap_or_default()));
                }
                owners.insert(event.id, visits.len());
                visits.push(Visit::new(text("name").unwrap_or_default(), kind, parent, event.time_unix_ms));
                continue;
            }
            if let Some(progress) = end_of_run(&event.kind) {
                status.progress = progress;
                status.ended_unix_ms = Some(event.time_unix_ms);
                (status.error, status.cause, status.output) = (text("error"), text("cause"), text("output"));
                let left = if progress == Progress::Succeeded { Progress::Succeeded } else { Progress::Aborted };
                for visit in visits.iter_mut().filter(|visit| visit.ended_unix_ms.is_none()) {
                    visit.end(event.time_unix_ms, left);
                }
                if let Some(last) = before.filter(|_| progress == Progress::Failed) {
                    fail(&mut visits, last, (text("error"), text("cause")));
                }
                continue;
            }
            let Some(owner) = before.map(|before| owner(&visits, before, event)) else { continue };
            owners.insert(event.id, owner);
            apply(&mut visits, owner, event);
        }
        status.states = gathered(visits);
        status
    }
}

fn end_of_run(kind: &str) -> Option<Progress> {
    Some(match kind {
        "ExecutionSucceeded" => Progress::Succeeded,
        "ExecutionFailed" | "ExecutionTimedOut" => Progress::Failed,
        "ExecutionAborted" => Progress::Aborted,
        _ => return None,
    })
}

/// The visit of an event: that of the event before it, or one around it if the event says that it is of another.
fn owner(visits: &[Visit], before: usize, event: &Event) -> usize {
    let is_meant = |visit: &Visit| {
        if let Some(kind) = event.kind.strip_suffix("StateExited") {
            return visit.kind == kind && event.detail("name").is_none_or(|name| name == visit.name);
        }
        if event.kind.starts_with("MapIteration") {
            return visit.kind == "Map" && event.detail("name").is_none_or(|name| name == visit.name);
        }
        let of_kind = |kind: &str| event.kind.starts_with(kind) && event.kind[kind.len()..].starts_with("State");
        if of_kind("Map") || of_kind("Parallel") {
            return event.kind.starts_with(&visit.kind);
        }
        true
    };
    let mut next = Some(before);
    while let Some(index) = next {
        if is_meant(&visits[index]) {
            return index;
        }
        next = visits[index].parent;
    }
    before
}

fn apply(visits: &mut [Visit], owner: usize, event: &Event) {
    let visit = &mut visits[owner];
    let failed = |visit: &mut Visit| {
        visit.running_task = None;
        visit.error = event.detail("error").map(str::to_owned).or(visit.error.take());
        visit.cause = event.detail("cause").map(str::to_owned).or(visit.cause.take());
    };
    match event.kind.as_str() {
        "TaskScheduled" => {
            visit.tasks.push(event.id);
            visit.running_task = Some(event.id);
        }
        "TaskSucceeded" => {
            visit.running_task = None;
            (visit.error, visit.cause) = (None, None);
        }
        "TaskFailed" | "TaskTimedOut" | "TaskStartFailed" | "TaskSubmitFailed" => failed(visit),
        "MapStateStarted" => {
            let len = event.details["length"].as_u64().and_then(|len| usize::try_from(len).ok());
            visit.items = Some((0, len.unwrap_or(0)));
        }
        "MapIterationSucceeded" => {
            if let Some((done, _)) = &mut visit.items {
                *done += 1;
            }
        }
        "MapIterationFailed" | "MapIterationAborted" | "MapStateFailed" | "ParallelStateFailed" => {
            let is_of_item = event.kind.starts_with("MapIteration");
            let progress = if event.kind.ends_with("Aborted") { Progress::Aborted } else { Progress::Failed };
            if !is_of_item {
                visit.error.get_or_insert_with(|| "States.BranchFailed".to_owned());
            }
            let end_unix_ms = event.time_unix_ms;
            for child in visits.iter_mut().filter(|child| child.parent == Some(owner) && child.ended_unix_ms.is_none())
            {
                let progress = if child.error.is_some() || child.kind == "Fail" { progress } else { Progress::Aborted };
                if !is_of_item || child.error.is_some() {
                    child.end(end_unix_ms, progress);
                }
            }
        }
        kind if kind.ends_with("StateExited") => {
            let progress = if visit.error.is_some() { Progress::Caught } else { Progress::Succeeded };
            visit.end(event.time_unix_ms, progress);
        }
        _ => {}
    }
}

/// Marks a visit and those around it as failed.
fn fail(visits: &mut [Visit], last: usize, (error, cause): (Option<String>, Option<String>)) {
    let mut next = Some(last);
    while let Some(index) = next {
        let visit = &mut visits[index];
        if visit.progress == Progress::Aborted || visit.kind == "Fail" {
            visit.progress = Progress::Failed;
            visit.error = visit.error.take().or_else(|| error.clone());
            visit.cause = visit.cause.take().or_else(|| cause.clone());
        }
        next = visit.parent;
    }
}

impl Visit {
    fn new(name: String, kind: &str, parent: Option<usize>, entered_unix_ms: i64) -> Self {
        Self {
            name,
            kind: kind.to_owned(),
            parent,
            entered_unix_ms,
            ended_unix_ms: None,
            progress: Progress::Running,
            error: None,
            cause: None,
            tasks: Vec::new(),
            running_task: None,
            items: None,
        }
    }

    fn end(&mut self, time_unix_ms: i64, progress: Progress) {
        self.ended_unix_ms = Some(time_unix_ms);
        self.progress = progress;
        self.running_task = None;
    }
}

/// Puts the visits of each state together.
fn gathered(visits: Vec<Visit>) -> Vec<StateStatus> {
    let mut states: Vec<StateStatus> = Vec::new();
    let names: Vec<String> = visits.iter().map(|visit| visit.name.clone()).collect();
    for visit in visits {
        let index = states.iter().position(|state| state.name == visit.name).unwrap_or_else(|| {
            states.push(StateStatus {
                name: visit.name.clone(),
                kind: visit.kind.clone(),
                parent: visit.parent.map(|parent| names[parent].clone()),
                progress: visit.progress,
                visit_count: 0,
                attempt_count: 0,
                done: (0, 0),
                started_unix_ms: visit.entered_unix_ms,
                ended_unix_ms: None,
                error: None,
                cause: None,
                exit_code: None,
                tasks: Vec::new(),
                running_tasks: Vec::new(),
            });
            states.len() - 1
        });
        let state = &mut states[index];
        state.visit_count += 1;
        state.attempt_count += visit.tasks.len();
        let is_done = usize::from(matches!(visit.progress, Progress::Succeeded | Progress::Caught));
        let (done, all) = visit.items.unwrap_or((is_done, 1));
        state.done = (state.done.0 + done, state.done.1 + all);
        if state.progress != Progress::Running || state.visit_count == 1 {
            state.progress = visit.progress;
        }
        state.ended_unix_ms =
            if state.progress == Progress::Running { None } else { state.ended_unix_ms.max(visit.ended_unix_ms) };
        if visit.error.is_some() {
            state.exit_code = visit.cause.as_deref().and_then(exit_code);
            (state.error, state.cause) = (visit.error, visit.cause);
        }
        state.tasks.extend(visit.tasks);
        state.running_tasks.extend(visit.running_task);
    }
    states
}

/// The exit code of the container that ECS describes in a cause.
fn exit_code(cause: &str) -> Option<i64> {
    let cause: serde_json::Value = serde_json::from_str(cause).ok()?;
    cause["Containers"].as_array()?.iter().find_map(|container| container["ExitCode"].as_i64())
}
