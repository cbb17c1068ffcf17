//! Branches of Parallel states and items of Map states, and what happens when a line of states ends.

use std::sync::Arc;

use serde_json::{Value, json};

use super::errors::{delay_ms, is_matched};
use super::values::placed_at;
use super::{Command, Execution, Outcome, Strand, Turn, Waiting, Work};
use crate::flow::definition::{Kind, States};
use crate::flow::payload::{Failure, Scope};

impl Execution {
    pub(super) fn begin_children(
        &mut self,
        turn: &mut Turn,
        id: u64,
        inputs: Vec<Value>,
        most: u64,
    ) -> Result<(), Failure> {
        let results = vec![None; inputs.len()];
        self.set_waiting(id, Waiting::Children { results, begun_count: 0, inputs, most });
        self.go_on_with_children(turn, id)
    }

    /// Begins the next children of a Parallel or Map state, as many as may run at the same time, or ends the state.
    pub(super) fn go_on_with_children(&mut self, turn: &mut Turn, id: u64) -> Result<(), Failure> {
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

    pub(super) fn add_strand(
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

    pub(super) fn strand_ended(&mut self, turn: &mut Turn, id: u64, output: Value) {
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
    pub(super) fn failed(&mut self, turn: &mut Turn, id: u64, failure: Failure) {
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

    pub(super) fn strand_failed(&mut self, turn: &mut Turn, id: u64, failure: Failure) {
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
    pub(super) fn children_failed(&mut self, turn: &mut Turn, id: u64, failure: Failure) {
        self.abort_children(turn, id);
        self.set_waiting(id, Waiting::Nothing);
        self.failed(turn, id, failure);
    }

    pub(super) fn abort_children(&mut self, turn: &mut Turn, id: u64) {
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
}
