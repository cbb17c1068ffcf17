//! Values of states: filtered inputs and outputs, templates, and the context object.

use serde_json::{Value, json};

use super::{Execution, Turn, ms, role_arn};
use crate::flow::choice::timestamp;
use crate::flow::definition::{Filter, Number, State, Until, Words};
use crate::flow::history::time_text;
use crate::flow::payload::{Failure, Scope, Template};

impl Execution {
    pub(super) fn with_parameters(&self, id: u64, state: &State, input: &Value) -> Result<Value, Failure> {
        match &state.parameters {
            None => Ok(input.clone()),
            Some(template) => self.made(id, template, input),
        }
    }

    pub(super) fn made(&self, id: u64, template: &Template, input: &Value) -> Result<Value, Failure> {
        let (context, seed) = (self.context(id), self.seed(id));
        template.value(&Scope { input, context: &context, seed: &seed })
    }

    pub(super) fn words(&self, id: u64, words: Option<&Words>, input: &Value) -> Result<String, Failure> {
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

    pub(super) fn number(&self, id: u64, number: &Number, input: &Value) -> Result<u64, Failure> {
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

    pub(super) fn time_of(&self, turn: &Turn, id: u64, until: &Until, input: &Value) -> Result<i64, Failure> {
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

    pub(super) fn filtered_input(&self, id: u64) -> Result<Value, Failure> {
        let Some(held) = self.state(id) else { return Ok(Value::Null) };
        self.filtered(id, &held.get().input_path, &self.strands[&id].input)
    }

    pub(super) fn filtered_output(&self, id: u64, state: &State, output: Value) -> Result<Value, Failure> {
        self.filtered(id, &state.output_path, &output)
    }

    pub(super) fn filtered(&self, id: u64, filter: &Filter, value: &Value) -> Result<Value, Failure> {
        match filter {
            Filter::Null => Ok(json!({})),
            Filter::Path(path) => {
                let context = self.context(id);
                Scope { input: value, context: &context, seed: "" }.value_of(path)
            }
        }
    }

    /// The input of a state with its result where `ResultPath` says.
    pub(super) fn placed(&self, id: u64, state: &State, result: Value) -> Result<Value, Failure> {
        placed_at(&state.result_path, &self.strands[&id].input, result)
    }

    pub(super) fn context(&self, id: u64) -> Value {
        self.context_of(id, self.strands.get(&id).and_then(|strand| strand.item.as_ref()))
    }

    pub(super) fn context_of(&self, id: u64, item: Option<&(usize, Value)>) -> Value {
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
    pub(super) fn seed(&self, id: u64) -> String {
        let last_event = self.strands.get(&id).map_or(0, |strand| strand.last_event);
        format!("{} {} {id} {last_event}", self.names.state_machine, self.names.execution)
    }
}

/// A value with another one at a place, or as it is if the filter is `null`.
pub(super) fn placed_at(filter: &Filter, input: &Value, result: Value) -> Result<Value, Failure> {
    let Filter::Path(path) = filter else { return Ok(input.clone()) };
    let mut output = input.clone();
    if path.put(&mut output, result) {
        return Ok(output);
    }
    let problem = format!("the input has no place {}: something else is on the way to it", path.text());
    Err(Failure::new("States.ResultPathMatchFailure", problem))
}
