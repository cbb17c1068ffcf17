//! What a state machine does next: a pure function of its definition and of what happened.
//!
//! [`Execution::apply`] takes one input at a time (a task ended, a time came) and returns events for the history and
//! commands for the outside. It reads no clock and no file, and starts nothing. The same inputs at the same times give
//! the same events, so a broken run is resumed by applying its history again: see [`Execution::resume`].

mod errors;
mod resume;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::choice::timestamp;
use super::definition::{Filter, Kind, Number, State, StateMachine, States, Until, Words};
use super::history::{Event, time_text};
use super::payload::{Failure, Scope, Template};
use errors::{delay_ms, is_matched};

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

    fn begin_children(&mut self, turn: &mut Turn, id: u64, inputs: Vec<Value>, most: u64) -> Result<(), Failure> {
        let results = vec![None; inputs.len()];
        self.set_waiting(id, Waiting::Children { results, begun_count: 0, inputs, most });
        self.go_on_with_children(turn, id)
    }

    /// Begins the next children of a Parallel or Map state, as many as may run at the same time, or ends the state.
    fn go_on_with_children(&mut self, turn: &mut Turn, id: u64) -> Result<(), Failure> {
        let Some(held) = self.state(id) else { return Ok(()) };
        let state = held.get();
        loop {
            let running_count =
                self.strands.values().filter(|strand| strand.parent.is_some_and(|parent| parent.0 == id)).count();
            let Some(strand) = self.strands.get_mut(&id) else { return Ok(()) };
            let Waiting::Children { results, begun_count, inputs, most } = &mut strand.waiting else { return Ok(()) };
            let index = *begun_count;
            if index == inputs.len() {
                if running_count > 0 {
                    return Ok(());
                }
                let results = std::mem::take(results).into_iter().map(Option::unwrap_or_default).collect();
                strand.waiting = Waiting::Nothing;
                self.record_of(turn, id, &format!("{}StateSucceeded", state.kind.name()), Value::Null);
                self.worked(turn, id, Value::Array(results));
                return Ok(());
            }
            let input = inputs[index].clone();
            match &state.kind {
                Kind::Map { states, .. } => {
                    if *most > 0 && running_count as u64 >= *most {
                        return Ok(());
                    }
                    *begun_count += 1;
                    let item = Some((index, input.clone()));
                    let input = match &state.parameters {
                        None => input,
                        Some(selector) => {
                            let outer = self.filtered_input(id)?;
                            let context = self.context_of(id, item.as_ref());
                            let seed = format!("{} item {index}", self.seed(id));
                            selector.value(&Scope { input: &outer, context: &context, seed: &seed })?
                        }
                    };
                    let name = self.strands[&id].name.clone();
                    let previous = self.strands[&id].last_event;
                    let begun =
                        self.record(turn, previous, "MapIterationStarted", json!({ "name": name, "index": index }));
                    self.add_strand(turn, Arc::clone(states), Some((id, index)), item, begun, input);
                }
                Kind::Parallel { branches } => {
                    *begun_count += 1;
                    let (item, last_event) = (strand.item.clone(), strand.last_event);
                    let states = Arc::clone(&branches[index]);
                    self.add_strand(turn, states, Some((id, index)), item, last_event, input);
                }
                _ => return Ok(()),
            }
        }
    }

    fn add_strand(
        &mut self,
        turn: &mut Turn,
        states: Arc<States>,
        parent: Option<(u64, usize)>,
        item: Option<(usize, Value)>,
        last_event: u64,
        input: Value,
    ) {
        let (id, name) = (self.next_strand, states.start_at.clone());
        self.next_strand += 1;
        let strand = Strand {
            states,
            parent,
            item,
            name: String::new(),
            input: Value::Null,
            entered_unix_ms: turn.now_unix_ms,
            last_event,
            retry_counts: Vec::new(),
            waiting: Waiting::Nothing,
        };
        self.strands.insert(id, strand);
        turn.work.push_back(Work::Enter { strand: id, name, input });
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

    fn strand_ended(&mut self, turn: &mut Turn, id: u64, output: Value) {
        let Some((parent, index)) = self.strands[&id].parent else {
            let last_event = self.strands[&id].last_event;
            self.end(turn, last_event, Outcome::Succeeded(output));
            return;
        };
        if self.is_map(parent) {
            let details = json!({ "name": self.strands[&parent].name, "index": index });
            self.record_of(turn, id, "MapIterationSucceeded", details);
        }
        let last_event = self.strands[&id].last_event;
        self.strands.remove(&id);
        if let Some(strand) = self.strands.get_mut(&parent) {
            strand.last_event = last_event;
            if let Waiting::Children { results, .. } = &mut strand.waiting {
                results[index] = Some(output);
            }
        }
        if let Err(failure) = self.go_on_with_children(turn, parent) {
            self.children_failed(turn, parent, failure);
        }
    }

    /// A state failed: it is tried again, another state goes on, or its strand fails.
    fn failed(&mut self, turn: &mut Turn, id: u64, failure: Failure) {
        let Some(held) = self.state(id) else { return };
        let state = held.get();
        let of = |errors: &[String]| is_matched(errors, &failure.error);
        if let Some(index) = state.retriers.iter().position(|retrier| of(&retrier.errors)) {
            let (retrier, seed) = (&state.retriers[index], self.seed(id));
            let Some(strand) = self.strands.get_mut(&id) else { return };
            if strand.retry_counts[index] < retrier.max_attempts {
                let delay_ms = delay_ms(retrier, strand.retry_counts[index], &seed);
                strand.retry_counts[index] += 1;
                strand.waiting = Waiting::Time { is_retry: true };
                let token = strand.last_event;
                turn.wake_in(token, delay_ms);
                return;
            }
        }
        if matches!(state.kind, Kind::Parallel { .. } | Kind::Map { .. }) {
            self.record_of(turn, id, &format!("{}StateFailed", state.kind.name()), Value::Null);
        }
        let Some(catcher) = state.catchers.iter().find(|catcher| of(&catcher.errors)) else {
            self.strand_failed(turn, id, failure);
            return;
        };
        let caught = json!({ "Error": failure.error, "Cause": failure.cause });
        let output = placed_at(&catcher.result_path, &self.strands[&id].input, caught);
        let exited = output.and_then(|output| self.exit(turn, id, output, Some(catcher.next.clone())));
        if let Err(failure) = exited {
            self.strand_failed(turn, id, failure);
        }
    }

    fn strand_failed(&mut self, turn: &mut Turn, id: u64, failure: Failure) {
        let Some((parent, index)) = self.strands[&id].parent else {
            let last_event = self.strands[&id].last_event;
            self.end(turn, last_event, Outcome::Failed(failure));
            return;
        };
        if self.is_map(parent) {
            let details = json!({ "name": self.strands[&parent].name, "index": index });
            self.record_of(turn, id, "MapIterationFailed", details);
        }
        let last_event = self.strands[&id].last_event;
        self.strands.remove(&id);
        if let Some(strand) = self.strands.get_mut(&parent) {
            strand.last_event = last_event;
        }
        self.children_failed(turn, parent, failure);
    }

    /// Ends the other children of a state, one of which failed, and fails the state.
    fn children_failed(&mut self, turn: &mut Turn, id: u64, failure: Failure) {
        self.abort_children(turn, id);
        self.set_waiting(id, Waiting::Nothing);
        self.failed(turn, id, failure);
    }

    fn abort_children(&mut self, turn: &mut Turn, id: u64) {
        let children: Vec<u64> = self
            .strands
            .iter()
            .filter(|(_, strand)| strand.parent.is_some_and(|parent| parent.0 == id))
            .map(|(child, _)| *child)
            .collect();
        for child in children {
            self.abort_children(turn, child);
            if let Waiting::Task { token, .. } = self.strands[&child].waiting {
                turn.step.commands.push(Command::CancelTask { token });
            }
            if self.is_map(id) {
                let index = self.strands[&child].parent.map(|parent| parent.1);
                let details = json!({ "name": self.strands[&id].name, "index": index });
                self.record_of(turn, child, "MapIterationAborted", details);
            }
            self.strands.remove(&child);
        }
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

    fn with_parameters(&self, id: u64, state: &State, input: &Value) -> Result<Value, Failure> {
        match &state.parameters {
            None => Ok(input.clone()),
            Some(template) => self.made(id, template, input),
        }
    }

    fn made(&self, id: u64, template: &Template, input: &Value) -> Result<Value, Failure> {
        let (context, seed) = (self.context(id), self.seed(id));
        template.value(&Scope { input, context: &context, seed: &seed })
    }

    fn words(&self, id: u64, words: Option<&Words>, input: &Value) -> Result<String, Failure> {
        match words {
            None => Ok(String::new()),
            Some(Words::Fixed(words)) => Ok(words.clone()),
            Some(Words::Computed(template)) => {
                let made = self.made(id, template, input)?;
                let text = made["words"].as_str().map(str::to_owned);
                text.ok_or_else(|| Failure::new("States.Runtime", format!("expected a text, found {}", made["words"])))
            }
        }
    }

    fn number(&self, id: u64, number: &Number, input: &Value) -> Result<u64, Failure> {
        match number {
            Number::Fixed(number) => Ok(*number),
            Number::Path(path) => {
                let context = self.context(id);
                let found = Scope { input, context: &context, seed: "" }.value_of(path)?;
                let number = found.as_u64().filter(|number| *number <= 99_999_999);
                let problem = || format!("{}: expected a whole number up to 99999999, found {found}", path.text());
                number.ok_or_else(|| Failure::new("States.Runtime", problem()))
            }
        }
    }

    fn time_of(&self, turn: &Turn, id: u64, until: &Until, input: &Value) -> Result<i64, Failure> {
        match until {
            Until::Seconds(seconds) => Ok(turn.now_unix_ms.saturating_add(ms(self.number(id, seconds, input)?))),
            Until::Timestamp(at_unix_ms) => Ok(*at_unix_ms),
            Until::TimestampPath(path) => {
                let context = self.context(id);
                let found = Scope { input, context: &context, seed: "" }.value_of(path)?;
                let problem =
                    || format!("{}: expected a time such as 2026-01-31T12:00:00Z, found {found}", path.text());
                let time = timestamp(&found).map(|time| time.timestamp_millis());
                time.ok_or_else(|| Failure::new("States.Runtime", problem()))
            }
        }
    }

    fn filtered_input(&self, id: u64) -> Result<Value, Failure> {
        let Some(held) = self.state(id) else { return Ok(Value::Null) };
        self.filtered(id, &held.get().input_path, &self.strands[&id].input)
    }

    fn filtered_output(&self, id: u64, state: &State, output: Value) -> Result<Value, Failure> {
        self.filtered(id, &state.output_path, &output)
    }

    fn filtered(&self, id: u64, filter: &Filter, value: &Value) -> Result<Value, Failure> {
        match filter {
            Filter::Null => Ok(json!({})),
            Filter::Path(path) => {
                let context = self.context(id);
                Scope { input: value, context: &context, seed: "" }.value_of(path)
            }
        }
    }

    /// The input of a state with its result where `ResultPath` says.
    fn placed(&self, id: u64, state: &State, result: Value) -> Result<Value, Failure> {
        placed_at(&state.result_path, &self.strands[&id].input, result)
    }

    fn context(&self, id: u64) -> Value {
        self.context_of(id, self.strands.get(&id).and_then(|strand| strand.item.as_ref()))
    }

    fn context_of(&self, id: u64, item: Option<&(usize, Value)>) -> Value {
        let names = &self.names;
        let mut context = json!({
            "Execution": {
                "Id": format!("arn:aws:states:local:000000000000:execution:{}:{}", names.state_machine, names.execution),
                "Input": self.input,
                "Name": names.execution,
                "RoleArn": role_arn(),
                "StartTime": time_text(self.started_unix_ms),
            },
            "StateMachine": {
                "Id": format!("arn:aws:states:local:000000000000:stateMachine:{}", names.state_machine),
                "Name": names.state_machine,
            },
        });
        if let Some(strand) = self.strands.get(&id) {
            context["State"] = json!({
                "EnteredTime": time_text(strand.entered_unix_ms),
                "Name": strand.name,
                "RetryCount": strand.retry_counts.iter().sum::<u32>(),
            });
        }
        if let Some((index, value)) = item {
            context["Map"] = json!({ "Item": { "Index": index, "Value": value } });
        }
        context
    }

    /// A text that no other evaluation of this execution has.
    fn seed(&self, id: u64) -> String {
        let last_event = self.strands.get(&id).map_or(0, |strand| strand.last_event);
        format!("{} {} {id} {last_event}", self.names.state_machine, self.names.execution)
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

fn placed_at(filter: &Filter, input: &Value, result: Value) -> Result<Value, Failure> {
    let Filter::Path(path) = filter else { return Ok(input.clone()) };
    let mut output = input.clone();
    if path.put(&mut output, result) {
        return Ok(output);
    }
    let problem = format!("the input has no place {}: something else is on the way to it", path.text());
    Err(Failure::new("States.ResultPathMatchFailure", problem))
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
