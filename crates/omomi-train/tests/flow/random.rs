//! Random flows, in which stated rules must hold.

use std::collections::{BTreeMap, BTreeSet};

use omomi_train::flow::definition::StateMachine;
use omomi_train::flow::execution::{Execution, Outcome};
use omomi_train::flow::history::Event;
use omomi_train::flow::status::{Progress, RunStatus};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::simulated::{Run, Script, World, names};

/// A kind of state, without its name and its next one.
#[derive(Debug, Clone)]
enum Kind {
    Pass,
    Wait,
    Task { code: u8, retries: u8, is_caught: bool },
    Parallel { branches: Vec<Vec<Self>>, is_caught: bool },
    Map { items: u8, most: u8, states: Vec<Self> },
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let leaf = prop_oneof![
        Just(Kind::Pass),
        Just(Kind::Wait),
        (prop_oneof![3 => Just(0_u8), 1 => Just(1), 1 => Just(75)], 0..3_u8, any::<bool>())
            .prop_map(|(code, retries, is_caught)| Kind::Task { code, retries, is_caught }),
    ];
    let kind = leaf.prop_recursive(2, 12, 3, |inner| {
        let states = prop::collection::vec(inner, 1..3);
        prop_oneof![
            (prop::collection::vec(states.clone(), 1..3), any::<bool>())
                .prop_map(|(branches, is_caught)| Kind::Parallel { branches, is_caught }),
            (0..4_u8, 0..3_u8, states).prop_map(|(items, most, states)| Kind::Map { items, most, states }),
        ]
    });
    prop::collection::vec(kind, 1..5)
}

/// Writes states in a row, and scripts of their tasks. `made` counts states, so that names are unique.
fn written(kinds: &[Kind], made: &mut usize, script: &mut Script) -> Value {
    let mut states = serde_json::Map::new();
    let first = *made;
    *made += kinds.len();
    let end = *made;
    *made += 1;
    for (index, kind) in kinds.iter().enumerate() {
        let name = format!("s{}", first + index);
        let next = format!("s{}", if index + 1 == kinds.len() { end } else { first + index + 1 });
        let caught = json!([{"ErrorEquals": ["States.ALL"], "ResultPath": "$.caught", "Next": next}]);
        let mut state = match kind {
            Kind::Pass => json!({"Type": "Pass", "Result": index, "ResultPath": "$.passed"}),
            Kind::Wait => json!({"Type": "Wait", "Seconds": 1}),
            Kind::Task { code, retries, is_caught } => {
                script.insert(name.clone(), vec![json!(code); 100]);
                let mut state = json!({
                    "Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "ResultPath": null,
                    "Parameters": {"Cluster": "c", "TaskDefinition": "t", "Overrides": {"ContainerOverrides": [
                        {"Name": "omomi", "Command": ["task", name]}
                    ]}},
                    "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": retries}],
                });
                if *is_caught {
                    state["Catch"] = caught;
                }
                state
            }
            Kind::Parallel { branches, is_caught } => {
                let branches: Vec<Value> = branches.iter().map(|branch| written(branch, made, script)).collect();
                let mut state = json!({"Type": "Parallel", "Branches": branches, "ResultPath": null});
                if *is_caught {
                    state["Catch"] = caught;
                }
                state
            }
            Kind::Map { items, most, states } => {
                let inner = written(states, made, script);
                let items: Vec<u8> = (0..*items).collect();
                json!({
                    "Type": "Map", "ItemsPath": "$$.Execution.Input.items", "MaxConcurrency": most, "ResultPath": null,
                    "ItemSelector": {"of.$": "$$.Map.Item.Value", "all": items}, "ItemProcessor": inner,
                })
            }
        };
        state["Next"] = json!(next);
        states.insert(name, state);
    }
    states.insert(format!("s{end}"), json!({"Type": "Succeed"}));
    json!({"StartAt": format!("s{first}"), "States": states})
}

fn check_history(run: &Run) -> Result<(), TestCaseError> {
    let ids: Vec<u64> = run.events.iter().map(|event| event.id).collect();
    prop_assert_eq!(ids, (1..=run.events.len() as u64).collect::<Vec<_>>());
    prop_assert!(run.events.iter().all(|event| event.previous_event_id < event.id));
    prop_assert!(run.events.windows(2).all(|two| two[0].time_unix_ms <= two[1].time_unix_ms));
    let ends = run.events.iter().filter(|event| event.kind.starts_with("Execution") && event.id > 1).count();
    prop_assert_eq!(ends, 1, "one end");
    // What is left was entered, and each task that ended was begun.
    let count = |end: &str| run.events.iter().filter(|event| event.kind.ends_with(end)).count();
    prop_assert!(count("StateExited") <= count("StateEntered"));
    prop_assert!(count("TaskSucceeded") + count("TaskFailed") <= count("TaskScheduled"));
    if matches!(run.outcome, Outcome::Succeeded(_)) {
        let mut open: BTreeMap<&str, i64> = BTreeMap::new();
        for event in &run.events {
            let step = i64::from(event.kind.ends_with("StateEntered")) - i64::from(event.kind.ends_with("StateExited"));
            if let Some(name) = event.detail("name").filter(|_| step != 0) {
                *open.entry(name).or_default() += step;
            }
        }
        let aborted = run.events.iter().any(|event| event.kind.ends_with("Failed") && event.kind != "TaskFailed");
        prop_assert!(aborted || open.values().all(|open| *open == 0), "{open:?}");
    }
    Ok(())
}

fn check_status(run: &Run) -> Result<(), TestCaseError> {
    let status = RunStatus::of(&run.events);
    let expected = if matches!(run.outcome, Outcome::Succeeded(_)) { Progress::Succeeded } else { Progress::Failed };
    prop_assert_eq!(status.progress, expected);
    let entered: BTreeSet<&str> = run
        .events
        .iter()
        .filter(|event| event.kind.ends_with("StateEntered"))
        .filter_map(|event| event.detail("name"))
        .collect();
    prop_assert_eq!(status.states.iter().map(|state| state.name.as_str()).collect::<BTreeSet<_>>(), entered);
    prop_assert!(status.states.iter().all(|state| state.progress != Progress::Running), "{:?}", status.states);
    Ok(())
}

/// The same history, as the AWS command prints it.
fn as_printed(events: &[Event]) -> String {
    json!({"events": events.iter().rev().map(Event::to_json).collect::<Vec<_>>()}).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_flow_ends_and_its_history_and_status_are_whole(kinds in kinds(), broken_off in any::<prop::sample::Index>()) {
        let (mut made, mut script) = (0, Script::new());
        let definition = written(&kinds, &mut made, &mut script).to_string();
        let machine = StateMachine::parse(&definition).unwrap();
        let input = json!({"items": [1, 2, 3]});
        let run = World::new(machine.clone(), input.clone(), &script).run_to_end();
        check_history(&run)?;
        check_status(&run)?;
        prop_assert_eq!(Event::read_all(&as_printed(&run.events)).unwrap(), run.events.clone());
        // A run that breaks off anywhere goes on to the same end.
        let history = &run.events[..broken_off.index(run.events.len() + 1)];
        let (execution, step) = Execution::resume(machine, names(), input, history).unwrap();
        let resumed = World::resumed(execution, history.to_vec(), step, &script).run_to_end();
        prop_assert_eq!(&resumed.outcome, &run.outcome);
        check_history(&resumed)?;
    }
}
