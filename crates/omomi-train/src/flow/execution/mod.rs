//! What a state machine does next: a pure function of its definition and of what happened.
//!
//! [`Execution::apply`] takes one input at a time (a task ended, a time came) and returns events for the history and
//! commands for the outside. It reads no clock and no file, and starts nothing. The same inputs at the same times give
//! the same events, so a broken run is resumed by applying its history again: see [`Execution::resume`].

mod children;
mod errors;
mod resume;
mod values;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::definition::{Kind, Number, State, StateMachine, States};
use super::history::Event;
use super::payload::{Failure, Scope};

pub use resume::ResumeError;

/// Most events of one execution, as in Step Functions: a flow that never ends is ended.
const MAX_EVENT_COUNT: u64 = 25_000;
/// Most bytes of the input or output of a state, as in Step Functions.
const MAX_PAYLOAD_LEN_BYTES: usize = 256 * 1024;

/// Names of an execution, which the context object has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Of this execution.
    pub execution: String,
    /// Of the state machine.
    pub state_machine: String,
}

/// What happened outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The execution begins. The first input.
    Begin,
    /// A task began to run.
    TaskStarted {
        /// That of the command.
        token: u64,
    },
    /// A task said what it is.
    TaskSubmitted {
        /// That of the command.
        token: u64,
        /// In the form of ECS.
        output: Value,
    },
    /// A task ended.
    TaskEnded {
        /// That of the command.
        token: u64,
        /// The output, or why it failed.
        result: Result<Value, Failure>,
    },
    /// The time of a [`Command::Wake`] came.
    Timer {
        /// That of the command.
        token: u64,
    },
}

/// What the outside must do. Commands of a step are in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Run a task, and report with this token that it started, what it is, and how it ended.
    RunTask {
        /// The number of its `TaskScheduled` event.
        token: u64,
        /// The name of the state.
        state: String,
        /// The parameters.
        parameters: Value,
    },
    /// End a task; what it reports later is ignored.
    CancelTask {
        /// That of its `RunTask`.
        token: u64,
    },
    /// Report this time with the token.
    Wake {
        /// The number of an event.
        token: u64,
        /// Unix time in milliseconds.
        at_unix_ms: i64,
    },
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With the output of its last state.
    Succeeded(Value),
    /// With the error that no state caught.
    Failed(Failure),
    /// The time of the whole flow is over.
    TimedOut,
}

/// The effects of one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// To be appended to the history.
    pub events: Vec<Event>,
    /// To be done after the events are safe.
    pub commands: Vec<Command>,
}

/// One execution of a state machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    machine: StateMachine,
    names: Names,
    input: Value,
    started_unix_ms: i64,
    last_id: u64,
    /// The lines of states that run at the same time: the top one, branches and items.
    strands: BTreeMap<u64, Strand>,
    next_strand: u64,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq)]
struct Strand {
    states: Arc<States>,
    /// The strand whose Parallel or Map state this one belongs to, and which branch or item this is.
    parent: Option<(u64, usize)>,
    /// The item of the innermost Map around.
    item: Option<(usize, Value)>,
    name: String,
    input: Value,
    entered_unix_ms: i64,
    last_event: u64,
    /// Retries so far, by retrier.
    retry_counts: Vec<u32>,
    waiting: Waiting,
}

#[derive(Debug, Clone, PartialEq)]
enum Waiting {
    Nothing,
    Task {
        token: u64,
        timeout_seconds: Option<u64>,
    },
    /// For a time, in a Wait state or before a retry.
    Time {
        is_retry: bool,
    },
    /// For branches or items, of which at most `most` run at the same time; 0 is all.
    Children {
        results: Vec<Option<Value>>,
        begun_count: usize,
        inputs: Vec<Value>,
        most: u64,
    },
}

/// What is still to be done in a step.
enum Work {
    Enter { strand: u64, name: String, input: Value },
    Run { strand: u64 },
}

/// A step in the making.
struct Turn {
    now_unix_ms: i64,
    step: Step,
    work: VecDeque<Work>,
}

impl Execution {
    /// Prepares an execution. Nothing happens before [`Input::Begin`].
    #[must_use]
    pub fn new(machine: StateMachine, names: Names, input: Value) -> Self {
        Self {
            machine,
            names,
            input,
            started_unix_ms: 0,
            last_id: 0,
            strands: BTreeMap::new(),
            next_strand: 0,
            outcome: None,
        }
    }

    /// How the execution ended; nothing while it runs.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Applies one input. What does not fit the execution's state has no effect: a task may end after it was canceled.
    pub fn apply(&mut self, now_unix_ms: i64, input: Input) -> Step {
        let mut turn = Turn { now_unix_ms, step: Step::default(), work: VecDeque::new() };
        if self.outcome.is_none() {
            self.take(&mut turn, input);
        }
        while let Some(work) = turn.work.pop_front() {
            if self.outcome.is_some() {
                break;
            }
            if self.last_id >= MAX_EVENT_COUNT - 1 {
                let cause = format!("the execution has {MAX_EVENT_COUNT} events, which is the most");
                self.end(&mut turn, 0, Outcome::Failed(Failure::new("States.Runtime", cause)));
                break;
            }
            match work {
                Work::Enter { strand, name, input } => self.enter(&mut turn, strand, name, input),
                Work::Run { strand } => self.run(&mut turn, strand),
            }
        }
        turn.step
    }

    fn take(&mut self, turn: &mut Turn, input: Input) {
        match input {
            Input::Begin if self.last_id == 0 => self.begin(turn),
            Input::Begin => {}
            Input::TaskStarted { token } => {
                let Some((id, timeout)) = self.of_task(token) else { return };
                self.record_of_task(turn, id, "TaskStarted", json!({}));
                if let Some(seconds) = timeout {
                    turn.wake_in(token, ms(seconds));
                }
            }
            Input::TaskSubmitted { token, output } => {
                if let Some((id, _)) = self.of_task(token) {
                    self.record_of_task(turn, id, "TaskSubmitted", json!({ "output": output.to_string() }));
                }
            }
            Input::TaskEnded { token, result } => {
                let Some((id, _)) = self.of_task(token) else { return };
                self.set_waiting(id, Waiting::Nothing);
                match result {
                    Ok(output) => {
                        self.record_of_task(turn, id, "TaskSucceeded", json!({ "output": output.to_string() }));
                        self.worked(turn, id, output);
                    }
                    Err(failure) => {
                        self.record_of_task(turn, id, "TaskFailed", details_of(&failure));
                        self.failed(turn, id, failure);
                    }
                }
            }
            Input::Timer { token } => self.wake(turn, token),
        }
    }

    fn begin(&mut self, turn: &mut Turn) {
        self.started_unix_ms = turn.now_unix_ms;
        let details = json!({ "input": self.input.to_string(), "roleArn": role_arn() });
        let first = self.record(turn, 0, "ExecutionStarted", details);
        if let Some(timeout) = self.machine.timeout_seconds {
            turn.wake_in(first, ms(timeout));
        }
        let (states, input) = (Arc::clone(&self.machine.top), self.input.clone());
        // The first state follows no event, as in Step Functions.
        self.add_strand(turn, states, None, None, 0, input);
    }

    fn wake(&mut self, turn: &mut Turn, token: u64) {
        if token == 1 && self.machine.timeout_seconds.is_some() {
            self.end(turn, 1, Outcome::TimedOut);
        } else if let Some((id, _)) = self.of_task(token) {
            self.set_waiting(id, Waiting::Nothing);
            turn.step.commands.push(Command::CancelTask { token });
            let failure = Failure::new("States.Timeout", "the task did not end in the time of its state");
            self.record_of_task(turn, id, "TaskTimedOut", details_of(&failure));
            self.failed(turn, id, failure);
        } else {
            let is_meant =
                |strand: &Strand| matches!(strand.waiting, Waiting::Time { .. }) && strand.last_event == token;
            let Some((&id, strand)) = self.strands.iter_mut().find(|(_, strand)| is_meant(strand)) else { return };
            match std::mem::replace(&mut strand.waiting, Waiting::Nothing) {
                Waiting::Time { is_retry: true } => turn.work.push_back(Work::Run { strand: id }),
                _ => {
                    let filtered = self.filtered_input(id);
                    self.leave_or_fail(turn, id, filtered);
                }
            }
        }
    }

    fn enter(&mut self, turn: &mut Turn, id: u64, name: String, input: Value) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        strand.retry_counts = vec![0; strand.states.states.get(&name).map_or(0, |state| state.retriers.len())];
        strand.entered_unix_ms = turn.now_unix_ms;
        strand.name.clone_from(&name);
        strand.input = input;
        let Some(state) = self.state(id) else { return };
        let kind = format!("{}StateEntered", state.get().kind.name());
        let details = json!({ "name": name, "input": self.strands[&id].input.to_string() });
        self.record_of(turn, id, &kind, details);
        // Not at once: branches that begin together are all entered before one of them can fail.
        turn.work.push_back(Work::Run { strand: id });
    }

    fn run(&mut self, turn: &mut Turn, id: u64) {
        if let Err(failure) = self.try_run(turn, id) {
            self.failed(turn, id, failure);
        }
    }

    /// Begins the work of a state that was entered, or retries it.
    fn try_run(&mut self, turn: &mut Turn, id: u64) -> Result<(), Failure> {
        let Some(held) = self.state(id) else { return Ok(()) };
        let state = held.get();
        let input = self.filtered_input(id)?;
        match &state.kind {
            Kind::Pass { result } => {
                let made = self.with_parameters(id, state, &input)?;
                let output = self.placed(id, state, result.clone().unwrap_or(made))?;
                self.leave(turn, id, output)
            }
            Kind::Succeed => self.leave(turn, id, input),
            Kind::Fail { error, cause } => {
                let (error, cause) = (self.words(id, error.as_ref(), &input)?, self.words(id, cause.as_ref(), &input)?);
                // No catcher of its own: the strand fails.
                self.strand_failed(turn, id, Failure { error, cause });
                Ok(())
            }
            Kind::Choice { rules, default } => {
                let context = self.context(id);
                let scope = Scope { input: &input, context: &context, seed: "" };
                let mut chosen = default.as_ref();
                for (rule, next) in rules {
                    if rule.holds(&scope)? {
                        chosen = Some(next);
                        break;
                    }
                }
                let none = || Failure::new("States.NoChoiceMatched", "no rule holds, and there is no Default");
                let next = chosen.ok_or_else(none)?.clone();
                let output = self.filtered_output(id, state, input)?;
                self.exit(turn, id, output, Some(next))
            }
            Kind::Wait(until) => {
                let at_unix_ms = self.time_of(turn, id, until, &input)?;
                self.set_waiting(id, Waiting::Time { is_retry: false });
                let token = self.strands[&id].last_event;
                turn.step.commands.push(Command::Wake { token, at_unix_ms });
                Ok(())
            }
            Kind::Task { timeout, .. } => self.schedule(turn, id, state, timeout.as_ref(), &input),
            Kind::Parallel { branches } => {
                let inputs = vec![self.with_parameters(id, state, &input)?; branches.len()];
                self.record_of(turn, id, "ParallelStateStarted", Value::Null);
                self.begin_children(turn, id, inputs, 0)
            }
            Kind::Map { items, most, .. } => {
                let most = self.number(id, most, &input)?;
                let context = self.context(id);
                let found = Scope { input: &input, context: &context, seed: "" }.value_of(items)?;
                let Value::Array(items) = found else {
                    return Err(Failure::new("States.Runtime", format!("expected an array of items, found {found}")));
                };
                self.record_of(turn, id, "MapStateStarted", json!({ "length": items.len() }));
                self.begin_children(turn, id, items, most)
            }
        }
    }

    fn schedule(
        &mut self,
        turn: &mut Turn,
        id: u64,
        state: &State,
        timeout: Option<&Number>,
        input: &Value,
    ) -> Result<(), Failure> {
        let parameters = self.with_parameters(id, state, input)?;
        let timeout_seconds = timeout.map(|timeout| self.number(id, timeout, input)).transpose()?;
        let mut details = json!({ "parameters": parameters.to_string(), "region": "local" });
        if let Some(seconds) = timeout_seconds {
            details["timeoutInSeconds"] = json!(seconds);
        }
        self.record_of_task(turn, id, "TaskScheduled", details);
        let token = self.last_id;
        self.set_waiting(id, Waiting::Task { token, timeout_seconds });
        let state = self.strands[&id].name.clone();
        turn.step.commands.push(Command::RunTask { token, state, parameters });
        Ok(())
    }

    /// A state that works has its result.
    fn worked(&mut self, turn: &mut Turn, id: u64, result: Value) {
        let Some(held) = self.state(id) else { return };
        let state = held.get();
        let selected = match &state.result_selector {
            None => Ok(result),
            Some(selector) => {
                let (context, seed) = (self.context(id), self.seed(id));
                selector.value(&Scope { input: &result, context: &context, seed: &seed })
            }
        };
        let output = selected.and_then(|result| self.placed(id, state, result));
        self.leave_or_fail(turn, id, output);
    }

    fn leave_or_fail(&mut self, turn: &mut Turn, id: u64, output: Result<Value, Failure>) {
        if let Err(failure) = output.and_then(|output| self.leave(turn, id, output)) {
            self.failed(turn, id, failure);
        }
    }

    /// Leaves a state for the one that its definition names.
    fn leave(&mut self, turn: &mut Turn, id: u64, output: Value) -> Result<(), Failure> {
        let Some(held) = self.state(id) else { return Ok(()) };
        let state = held.get();
        let output = self.filtered_output(id, state, output)?;
        self.exit(turn, id, output, state.next.clone())
    }

    fn exit(&mut self, turn: &mut Turn, id: u64, output: Value, next: Option<String>) -> Result<(), Failure> {
        if output.to_string().len() > MAX_PAYLOAD_LEN_BYTES {
            let cause = format!("the output of the state has more than {MAX_PAYLOAD_LEN_BYTES} bytes");
            return Err(Failure::new("States.DataLimitExceeded", cause));
        }
        let Some(held) = self.state(id) else { return Ok(()) };
        let kind = format!("{}StateExited", held.get().kind.name());
        let details = json!({ "name": self.strands[&id].name, "output": output.to_string() });
        self.record_of(turn, id, &kind, details);
        match next {
            Some(name) => turn.work.push_back(Work::Enter { strand: id, name, input: output }),
            None => self.strand_ended(turn, id, output),
        }
        Ok(())
    }

    fn end(&mut self, turn: &mut Turn, previous: u64, outcome: Outcome) {
        for strand in self.strands.values() {
            if let Waiting::Task { token, .. } = strand.waiting {
                turn.step.commands.push(Command::CancelTask { token });
            }
        }
        self.strands.clear();
        turn.work.clear();
        let timeout = || Failure::new("States.Timeout", "the execution did not end in its time");
        let (kind, details) = match &outcome {
            Outcome::Succeeded(output) => ("ExecutionSucceeded", json!({ "output": output.to_string() })),
            Outcome::Failed(failure) => ("ExecutionFailed", details_of(failure)),
            Outcome::TimedOut => ("ExecutionTimedOut", details_of(&timeout())),
        };
        self.record(turn, previous, kind, details);
        self.outcome = Some(outcome);
    }

    fn is_map(&self, id: u64) -> bool {
        self.state(id).is_some_and(|held| matches!(held.get().kind, Kind::Map { .. }))
    }

    fn state(&self, id: u64) -> Option<Held> {
        let strand = self.strands.get(&id)?;
        strand.states.states.contains_key(&strand.name).then(|| Held(Arc::clone(&strand.states), strand.name.clone()))
    }

    fn set_waiting(&mut self, id: u64, waiting: Waiting) {
        if let Some(strand) = self.strands.get_mut(&id) {
            strand.waiting = waiting;
        }
    }

    /// The strand that waits for a task, and the most seconds that it waits.
    fn of_task(&self, token: u64) -> Option<(u64, Option<u64>)> {
        self.strands.iter().find_map(|(id, strand)| match strand.waiting {
            Waiting::Task { token: other, timeout_seconds } if other == token => Some((*id, timeout_seconds)),
            _ => None,
        })
    }

    /// Records an event that follows the last one of a strand.
    fn record_of(&mut self, turn: &mut Turn, id: u64, kind: &str, details: Value) {
        let previous = self.strands.get(&id).map_or(0, |strand| strand.last_event);
        let recorded = self.record(turn, previous, kind, details);
        if let Some(strand) = self.strands.get_mut(&id) {
            strand.last_event = recorded;
        }
    }

    fn record_of_task(&mut self, turn: &mut Turn, id: u64, kind: &str, mut details: Value) {
        details["resourceType"] = json!("ecs");
        details["resource"] = json!("runTask.sync");
        self.record_of(turn, id, kind, details);
    }

    fn record(&mut self, turn: &mut Turn, previous_event_id: u64, kind: &str, details: Value) -> u64 {
        self.last_id += 1;
        let (id, time_unix_ms) = (self.last_id, turn.now_unix_ms);
        turn.step.events.push(Event { id, previous_event_id, time_unix_ms, kind: kind.to_owned(), details });
        id
    }
}

impl Turn {
    fn wake_in(&mut self, token: u64, delay_ms: i64) {
        let at_unix_ms = self.now_unix_ms.saturating_add(delay_ms);
        self.step.commands.push(Command::Wake { token, at_unix_ms });
    }
}

/// A state, held while its execution changes.
struct Held(Arc<States>, String);

impl Held {
    fn get(&self) -> &State {
        &self.0.states[&self.1]
    }
}

fn details_of(failure: &Failure) -> Value {
    json!({ "error": failure.error, "cause": failure.cause })
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)
}

fn role_arn() -> String {
    "arn:aws:iam::000000000000:role/local".to_owned()
}
