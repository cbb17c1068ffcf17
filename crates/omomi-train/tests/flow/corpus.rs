//! Small flows, one per feature and failure, with what they must do. `OMOMI_BLESS=1` writes what they do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use omomi_train::flow::definition::StateMachine;
use omomi_train::flow::execution::{Execution, Outcome};
use serde_json::{Value, json};

use crate::simulated::{Run, Script, World, names};

/// One flow of the corpus.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) file: Value,
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/flow/corpus")
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let file = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            Case { name: path.file_stem().unwrap().to_str().unwrap().to_owned(), file }
        })
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

impl Case {
    pub(crate) fn machine(&self) -> StateMachine {
        StateMachine::parse(&self.file["definition"].to_string())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub(crate) fn script(&self) -> Script {
        serde_json::from_value(self.file["tasks"].clone()).unwrap()
    }

    fn run(&self) -> Run {
        World::new(self.machine(), self.file["input"].clone(), &self.script()).run_to_end()
    }
}

/// What is compared of a run: the outcome, the states of each line of states in order, and the calls of tasks. Items of
/// a Map that run at the same time have no order.
pub(crate) fn summary(
    definition: &Value,
    outcome: &Outcome,
    entered: &[String],
    calls: &BTreeMap<String, usize>,
) -> Value {
    let mut lines = BTreeMap::new();
    collect_lines(definition, "", true, &mut lines);
    let mut states = BTreeMap::new();
    for (place, (names, has_order)) in lines {
        let mut line: Vec<&String> = entered.iter().filter(|name| names.contains(*name)).collect();
        if !has_order {
            line.sort();
        }
        if !line.is_empty() {
            states.insert(place, line);
        }
    }
    let mut summary = json!({ "states": states, "calls": calls });
    match outcome {
        Outcome::Succeeded(output) => summary["output"] = output.clone(),
        Outcome::Failed(failure) => summary["error"] = json!(failure.error),
        Outcome::TimedOut => summary["error"] = json!("States.Timeout"),
    }
    summary
}

/// The names of the states of each machine, branch and Map, and whether they run in order.
fn collect_lines(states: &Value, place: &str, has_order: bool, lines: &mut BTreeMap<String, (BTreeSet<String>, bool)>) {
    let states = states["States"].as_object().unwrap();
    lines.insert(place.to_owned(), (states.keys().cloned().collect(), has_order));
    for (name, state) in states {
        for (index, branch) in state["Branches"].as_array().into_iter().flatten().enumerate() {
            collect_lines(branch, &format!("{place}/{name}[{index}]"), has_order, lines);
        }
        if state["ItemProcessor"].is_object() {
            let is_serial = has_order && state["MaxConcurrency"] == json!(1);
            collect_lines(&state["ItemProcessor"], &format!("{place}/{name}"), is_serial, lines);
        }
    }
}

fn summary_of(case: &Case, run: &Run) -> Value {
    let entered = run.events.iter().filter(|event| event.kind.ends_with("StateEntered"));
    let entered: Vec<String> = entered.map(|event| event.detail("name").unwrap().to_owned()).collect();
    summary(&case.file["definition"], &run.outcome, &entered, &run.calls)
}

#[test]
fn each_flow_does_what_its_file_says() {
    let cases = all();
    assert!(cases.len() >= 40);
    for mut case in cases {
        let found = summary_of(&case, &case.run());
        if std::env::var_os("OMOMI_BLESS").is_some() {
            case.file["expected"] = found;
            let text = serde_json::to_string_pretty(&case.file).unwrap() + "\n";
            std::fs::write(folder().join(format!("{}.json", case.name)), text).unwrap();
        } else {
            assert_eq!(found, case.file["expected"], "{}", case.name);
        }
    }
}

#[test]
fn a_run_that_breaks_off_after_any_event_goes_on_to_the_same_end() {
    for case in all() {
        let (script, whole) = (case.script(), case.run());
        for kept in 0..=whole.events.len() {
            let (history, input) = (&whole.events[..kept], case.file["input"].clone());
            let (execution, step) = Execution::resume(case.machine(), names(), input, history).unwrap();
            // The script counts calls of this world, so only flows whose tasks always do the same can be compared.
            if script.values().any(|answers| answers.len() > 1) {
                continue;
            }
            let resumed = World::resumed(execution, history.to_vec(), step, &script).run_to_end();
            assert_eq!(resumed.outcome, whole.outcome, "{} after {kept} events", case.name);
            // A task that ran when the run broke off is started again.
            let count = |run: &Run| run.events.iter().filter(|event| event.kind != "TaskStarted").count();
            assert_eq!(count(&resumed), count(&whole), "{} after {kept} events", case.name);
        }
    }
}

#[test]
fn a_history_of_another_input_is_refused() {
    let case = all().into_iter().find(|case| case.name == "pipeline").unwrap();
    let history = case.run().events;
    let error = Execution::resume(case.machine(), names(), json!({"shards": []}), &history).unwrap_err();
    assert_eq!(error.id, 1);
}
