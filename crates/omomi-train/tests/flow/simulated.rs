//! Runs an execution in a world without processes and clocks: tasks end as a script says, and time jumps.

use std::collections::{BTreeMap, BTreeSet};

use omomi_train::flow::Failure;
use omomi_train::flow::definition::StateMachine;
use omomi_train::flow::execution::{Command, Execution, Input, Names, Outcome, Step};
use omomi_train::flow::history::Event;
use serde_json::{Value, json};

/// 2026-01-01.
const BEGIN_UNIX_MS: i64 = 1_767_225_600_000;
/// How long a task runs.
const TASK_MS: i64 = 10;

/// What the tasks of a flow do: by name, the exit code or the error of each call.
pub(crate) type Script = BTreeMap<String, Vec<Value>>;

/// What happened in a run.
pub(crate) struct Run {
    pub(crate) events: Vec<Event>,
    pub(crate) outcome: Outcome,
    /// How often each task was called.
    pub(crate) calls: BTreeMap<String, usize>,
}

/// A world, and an execution in it.
pub(crate) struct World<'a> {
    pub(crate) execution: Execution,
    pub(crate) events: Vec<Event>,
    script: &'a Script,
    pub(crate) calls: BTreeMap<String, usize>,
    /// What will happen, by time.
    agenda: BTreeSet<(i64, usize)>,
    inputs: Vec<Input>,
    now_unix_ms: i64,
}

pub(crate) fn names() -> Names {
    Names { execution: "one".to_owned(), state_machine: "flow".to_owned() }
}

impl<'a> World<'a> {
    pub(crate) fn new(machine: StateMachine, input: Value, script: &'a Script) -> Self {
        let mut world = Self::around(Execution::new(machine, names(), input), Vec::new(), script);
        world.happen(Input::Begin);
        world
    }

    /// A world in which a broken run is resumed.
    pub(crate) fn resumed(execution: Execution, mut events: Vec<Event>, step: Step, script: &'a Script) -> Self {
        let commands = step.commands;
        events.extend(step.events);
        let mut world = Self::around(execution, events, script);
        world.now_unix_ms = world.events.last().map_or(BEGIN_UNIX_MS, |event| event.time_unix_ms);
        if world.events.is_empty() {
            world.happen(Input::Begin);
        }
        world.follow(commands);
        world
    }

    fn around(execution: Execution, events: Vec<Event>, script: &'a Script) -> Self {
        Self {
            execution,
            events,
            script,
            calls: BTreeMap::new(),
            agenda: BTreeSet::new(),
            inputs: Vec::new(),
            now_unix_ms: BEGIN_UNIX_MS,
        }
    }

    fn happen(&mut self, input: Input) {
        let step = self.execution.apply(self.now_unix_ms, input);
        self.events.extend(step.events);
        self.follow(step.commands);
    }

    fn plan(&mut self, at_unix_ms: i64, input: Input) {
        self.agenda.insert((at_unix_ms, self.inputs.len()));
        self.inputs.push(input);
    }

    fn follow(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::RunTask { token, parameters, .. } => {
                    let name = parameters["Overrides"]["ContainerOverrides"][0]["Command"][1].as_str().unwrap();
                    let call = self.calls.entry(name.to_owned()).or_default();
                    let answer = self.script.get(name).and_then(|answers| answers.get(*call)).cloned();
                    *call += 1;
                    let result = answered(&answer.unwrap_or(json!(1)));
                    self.plan(self.now_unix_ms, Input::TaskStarted { token });
                    self.plan(self.now_unix_ms + TASK_MS, Input::TaskEnded { token, result });
                }
                Command::Wake { token, at_unix_ms } => {
                    self.plan(at_unix_ms.max(self.now_unix_ms), Input::Timer { token });
                }
                Command::CancelTask { .. } => {}
            }
        }
    }

    /// Lets the next thing happen. Returns `false` at the end.
    pub(crate) fn go_on(&mut self) -> bool {
        let Some((at_unix_ms, index)) = self.agenda.pop_first() else { return false };
        if self.execution.outcome().is_some() {
            return false;
        }
        self.now_unix_ms = at_unix_ms;
        self.happen(self.inputs[index].clone());
        true
    }

    pub(crate) fn run_to_end(mut self) -> Run {
        while self.go_on() {}
        let outcome = self.execution.outcome().expect("nothing happens any more, but the flow has not ended").clone();
        Run { events: self.events, outcome, calls: self.calls }
    }
}

/// The end of a task in the form of ECS: an exit code, or the error of the service. `others.py` does the same.
fn answered(answer: &Value) -> Result<Value, Failure> {
    if let Some(error) = answer.as_str() {
        return Err(Failure { error: error.to_owned(), cause: "as the script says".to_owned() });
    }
    let description = json!({"Containers": [{"ExitCode": answer, "Name": "omomi"}], "LastStatus": "STOPPED"});
    if answer == &json!(0) {
        return Ok(description);
    }
    Err(Failure { error: "States.TaskFailed".to_owned(), cause: description.to_string() })
}
