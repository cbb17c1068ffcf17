//! Applies a history again, to go on where a run broke off.

use serde_json::Value;
use thiserror::Error;

use super::{Command, Execution, Input, Names, Step, Waiting};
use crate::flow::definition::StateMachine;
use crate::flow::history::Event;
use crate::flow::payload::Failure;

/// A history that is not one of this flow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("event {id} of the history is not what the flow does there: expected {expected}, found {found}")]
pub struct ResumeError {
    /// The number of the event.
    pub id: u64,
    /// What this flow does.
    pub expected: String,
    /// What the history has.
    pub found: String,
}

impl Execution {
    /// Applies the events of a broken run. Returns the execution, and a step: the events that the history lacks, because
    /// the run broke off while it wrote them, and the commands that are still to be done: tasks that had not ended, and
    /// times that had not come.
    ///
    /// # Errors
    ///
    /// The history is not one of this machine with this input.
    pub fn resume(
        machine: StateMachine,
        names: Names,
        input: Value,
        history: &[Event],
    ) -> Result<(Self, Step), ResumeError> {
        let mut execution = Self::new(machine, names, input);
        let (mut missing, mut commands) = (Vec::new(), Vec::new());
        let mut rest = history;
        while let Some(first) = rest.first() {
            let happened = execution.input_of(first);
            let step = execution.apply(first.time_unix_ms, happened);
            commands.extend(step.commands);
            let known = step.events.len().min(rest.len());
            for (expected, found) in step.events.iter().zip(rest) {
                if expected != found {
                    return Err(ResumeError {
                        id: found.id,
                        expected: expected.to_json().to_string(),
                        found: found.to_json().to_string(),
                    });
                }
            }
            if step.events.is_empty() {
                let expected = "no such event".to_owned();
                return Err(ResumeError { id: first.id, expected, found: first.to_json().to_string() });
            }
            missing = step.events[known..].to_vec();
            rest = &rest[known..];
        }
        commands.retain(|command| execution.is_open(command));
        Ok((execution, Step { events: missing, commands }))
    }

    /// The input that an event of the history was the first effect of.
    fn input_of(&self, event: &Event) -> Input {
        if event.kind == "ExecutionStarted" {
            return Input::Begin;
        }
        let of_task = self.strands.values().find_map(|strand| match strand.waiting {
            Waiting::Task { token, .. } if strand.last_event == event.previous_event_id => Some(token),
            _ => None,
        });
        let timer = Input::Timer { token: event.previous_event_id };
        let Some(token) = of_task else { return timer };
        let output = || {
            let output = event.detail("output").unwrap_or_default();
            serde_json::from_str(output).unwrap_or_default()
        };
        match event.kind.as_str() {
            "TaskStarted" => Input::TaskStarted { token },
            "TaskSubmitted" => Input::TaskSubmitted { token, output: output() },
            "TaskSucceeded" => Input::TaskEnded { token, result: Ok(output()) },
            "TaskFailed" => {
                let text = |name: &str| event.detail(name).unwrap_or_default();
                Input::TaskEnded { token, result: Err(Failure::new(text("error"), text("cause"))) }
            }
            "TaskTimedOut" => Input::Timer { token },
            _ => timer,
        }
    }

    /// Whether a command of an earlier step is still to be done.
    fn is_open(&self, command: &Command) -> bool {
        match command {
            Command::CancelTask { .. } => false,
            Command::RunTask { token, .. } => self.of_task(*token).is_some(),
            Command::Wake { token, .. } => {
                // The time of a task begins again when the task does.
                // The time of a task begins again when the task does.
                let is_waited_for = |strand: &super::Strand| {
                    matches!(strand.waiting, Waiting::Time { .. }) && strand.last_event == *token
                };
                let is_of_all = *token == 1 && self.machine.timeout_seconds.is_some();
                self.outcome.is_none() && (is_of_all || self.strands.values().any(is_waited_for))
            }
        }
    }
}
