//! Reads definitions and checks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::fields::{Fields, root, short};
use super::services::fault_of_error;
use super::{Catcher, DefinitionError, Fault, Kind, Number, Retrier, State, StateMachine, States, Until, Words};
use crate::flow::choice::{Rule, timestamp};
use crate::flow::path::Path;
use crate::flow::payload::Template;
use crate::flow::task;

/// Longest name of a state.
const MAX_NAME_LEN: usize = 80;
const MAX_SECONDS: u64 = 99_999_999;
/// Longest `MaxDelaySeconds`: a year.
const MAX_DELAY_SECONDS: u64 = 31_622_400;

const ALL_KINDS: &[&str] = &["Type", "Comment"];
const PATHS: &[&str] = &["InputPath", "OutputPath"];
const RESULT: &[&str] = &["ResultPath"];
const GOES_ON: &[&str] = &["Next", "End"];
const WORKS: &[&str] = &["ResultSelector", "Retry", "Catch"];

pub(super) fn machine(definition: Value) -> Result<StateMachine, DefinitionError> {
    let (mut faults, mut names) = (Vec::new(), BTreeSet::new());
    let mut read = || {
        let fields = Fields::of(&definition, "", &mut faults)?;
        let known = ["StartAt", "States", "Comment", "Version", "TimeoutSeconds"];
        if fields.get("QueryLanguage").is_none_or(|language| language != "JSONPath") {
            fields.only(&[&known], "a state machine", &mut faults);
        } else {
            fields.only(&[&known, &["QueryLanguage"]], "a state machine", &mut faults);
        }
        if let Some(version) = fields.get("Version").filter(|version| *version != "1.0") {
            fields.fault("Version", format!("expected \"1.0\", found {}", short(version)), &mut faults);
        }
        let timeout_seconds = fields.whole("TimeoutSeconds", (1, MAX_SECONDS), &mut faults);
        let top = states(&fields, &mut names, &mut faults)?;
        Some((Arc::new(top), timeout_seconds))
    };
    match (read(), faults) {
        (Some((top, timeout_seconds)), faults) if faults.is_empty() => {
            Ok(StateMachine { top, timeout_seconds, definition })
        }
        (_, faults) => Err(DefinitionError { faults }),
    }
}

/// Reads `StartAt` and `States` of an object. `names` are those of all states so far.
fn states(fields: &Fields<'_>, names: &mut BTreeSet<String>, faults: &mut Vec<Fault>) -> Option<States> {
    let start_at = fields.text("StartAt", faults);
    if fields.get("StartAt").is_none() {
        fields.fault("StartAt", "expected the name of the first state", faults);
    }
    let Some(listed) = fields.get("States").and_then(Value::as_object).filter(|states| !states.is_empty()) else {
        fields.fault("States", "expected an object with at least one state", faults);
        return None;
    };
    let mut read = BTreeMap::new();
    for (name, value) in listed {
        let place = if fields.place().is_empty() { name.clone() } else { format!("{}.{name}", fields.place()) };
        if name.is_empty() || name.chars().count() > MAX_NAME_LEN {
            let problem = format!("expected a name of 1 to {MAX_NAME_LEN} letters, found {}", name.chars().count());
            faults.push(Fault { place: place.clone(), problem });
        }
        if !names.insert(name.clone()) {
            let problem = "another state has this name; names are unique in the whole flow".to_owned();
            faults.push(Fault { place: place.clone(), problem });
        }
        if let Some(fields) = Fields::of(value, &place, faults)
            && let Some(state) = state(&fields, names, faults)
        {
            read.insert(name.clone(), state);
        }
    }
    let start_at = start_at?;
    if !listed.contains_key(&start_at) {
        fields.fault("StartAt", format!("there is no state {start_at:?} here"), faults);
    }
    let states = States { start_at, states: read };
    check_ways(&states, listed.keys(), fields.place(), faults);
    Some(states)
}

/// Notes ways to states that do not exist, and states to which no way leads.
fn check_ways<'a>(states: &States, all: impl Iterator<Item = &'a String>, place: &str, faults: &mut Vec<Fault>) {
    let all: BTreeSet<&String> = all.collect();
    let in_place = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    for (name, state) in &states.states {
        for (field, to) in ways(state) {
            if !all.contains(to) {
                let place = format!("{}.{field}", in_place(name));
                faults.push(Fault { place, problem: format!("there is no state {to:?} here") });
            }
        }
    }
    if states.states.len() != all.len() || !all.contains(&states.start_at) {
        // Ways of states with faults are unknown.
        return;
    }
    let (mut reached, mut next) = (BTreeSet::new(), vec![&states.start_at]);
    while let Some(name) = next.pop() {
        if let Some(state) = states.states.get(name).filter(|_| reached.insert(name)) {
            next.extend(ways(state).into_iter().map(|(_, to)| to));
        }
    }
    for name in all.difference(&reached) {
        faults.push(Fault { place: in_place(name), problem: "no way leads to this state".to_owned() });
    }
    let ends = |state: &State| {
        let is_last = state.next.is_none() && !matches!(state.kind, Kind::Choice { .. });
        is_last || matches!(state.kind, Kind::Succeed | Kind::Fail { .. })
    };
    if !states.states.values().any(ends) {
        faults.push(Fault { place: in_place("States"), problem: "no state ends the flow".to_owned() });
    }
}

/// The fields of a state that name other states.
pub(in crate::flow) fn ways(state: &State) -> Vec<(String, &String)> {
    let mut ways: Vec<_> = state.next.iter().map(|to| ("Next".to_owned(), to)).collect();
    for (index, catcher) in state.catchers.iter().enumerate() {
        ways.push((format!("Catch[{index}].Next"), &catcher.next));
    }
    if let Kind::Choice { rules, default } = &state.kind {
        ways.extend(rules.iter().enumerate().map(|(index, (_, to))| (format!("Choices[{index}].Next"), to)));
        ways.extend(default.iter().map(|to| ("Default".to_owned(), to)));
    }
    ways
}

fn state(fields: &Fields<'_>, names: &mut BTreeSet<String>, faults: &mut Vec<Fault>) -> Option<State> {
    let before = faults.len();
    let Some(type_name) = fields.text("Type", faults) else {
        if fields.get("Type").is_none() {
            fields.fault("Type", "expected the type of the state", faults);
        }
        return None;
    };
    let known: &[&[&str]] = match type_name.as_str() {
        "Pass" => &[ALL_KINDS, PATHS, RESULT, GOES_ON, &["Parameters", "Result"]],
        "Task" => &[
            ALL_KINDS,
            PATHS,
            RESULT,
            GOES_ON,
            WORKS,
            &["Parameters", "Resource", "TimeoutSeconds", "TimeoutSecondsPath"],
        ],
        "Choice" => &[ALL_KINDS, PATHS, &["Choices", "Default"]],
        "Wait" => &[ALL_KINDS, PATHS, GOES_ON, &["Seconds", "SecondsPath", "Timestamp", "TimestampPath"]],
        "Succeed" => &[ALL_KINDS, PATHS],
        "Fail" => &[ALL_KINDS, &["Error", "ErrorPath", "Cause", "CausePath"]],
        "Parallel" => &[ALL_KINDS, PATHS, RESULT, GOES_ON, WORKS, &["Parameters", "Branches"]],
        "Map" => &[
            ALL_KINDS,
            PATHS,
            RESULT,
            GOES_ON,
            WORKS,
            &["ItemSelector", "ItemsPath", "ItemProcessor", "MaxConcurrency", "MaxConcurrencyPath"],
        ],
        _ => {
            let problem = "expected Pass, Task, Choice, Wait, Succeed, Fail, Parallel or Map";
            fields.fault("Type", format!("{problem}, found {type_name:?}"), faults);
            return None;
        }
    };
    let is_jsonpath = fields.get("QueryLanguage").is_some_and(|language| language == "JSONPath");
    let language: &[&str] = if is_jsonpath { &["QueryLanguage"] } else { &[] };
    fields.only(&[known, &[language]].concat(), &type_name, faults);
    let kind = kind(&type_name, fields, names, faults);
    let state = State {
        next: if known.contains(&GOES_ON) { next(fields, faults) } else { None },
        input_path: fields.filter("InputPath", faults),
        output_path: fields.filter("OutputPath", faults),
        parameters: fields.template(if type_name == "Map" { "ItemSelector" } else { "Parameters" }, faults),
        result_selector: fields.template("ResultSelector", faults),
        result_path: fields.place_of_result("ResultPath", faults),
        retriers: retriers(fields, faults),
        catchers: catchers(fields, faults),
        kind: kind?,
    };
    check_context(&state, fields, faults);
    // A state with faults is left out, so that nothing is concluded from it.
    (faults.len() == before).then_some(state)
}

/// Notes paths to parts of the context that a container has not.
fn check_context(state: &State, fields: &Fields<'_>, faults: &mut Vec<Fault>) {
    let templates = state.parameters.iter().chain(&state.result_selector);
    let mut paths: Vec<&Path> = templates.flat_map(Template::paths).collect();
    if let Kind::Choice { rules, .. } = &state.kind {
        paths.extend(rules.iter().flat_map(|(rule, _)| rule.paths()));
    }
    for path in paths.into_iter().filter(|path| path.is_of_context()) {
        let known = [
            &["Execution", "Id"][..],
            &["Execution", "Input"],
            &["Execution", "Name"],
            &["Execution", "RoleArn"],
            &["Execution", "StartTime"],
            &["State"],
            &["StateMachine"],
            &["Map", "Item"],
        ];
        if !known.iter().any(|known| path.is_in_context(known)) {
            let problem = "the context has Execution.Id, Input, Name, RoleArn and StartTime, State, StateMachine and \
                           Map.Item";
            fields.fault("", format!("path {:?}: {problem}", path.text()), faults);
        }
    }
}

fn next(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Option<String> {
    let next = fields.text("Next", faults);
    match (fields.get("Next"), fields.get("End")) {
        (None, Some(Value::Bool(true))) | (Some(_), None | Some(Value::Bool(false))) => {}
        _ => fields.fault("", "expected either Next, or End with true", faults),
    }
    next
}

fn kind(type_name: &str, fields: &Fields<'_>, names: &mut BTreeSet<String>, faults: &mut Vec<Fault>) -> Option<Kind> {
    Some(match type_name {
        "Pass" => Kind::Pass { result: fields.get("Result").cloned() },
        "Task" => {
            let resource = fields.text("Resource", faults).unwrap_or_default();
            let timeout = fields.number("TimeoutSeconds", (1, MAX_SECONDS), faults);
            if let Some(problem) = task::fault_of_resource(&resource) {
                fields.fault("Resource", problem, faults);
            } else {
                for (field, problem) in task::faults_of_parameters(fields.get("Parameters").unwrap_or(&Value::Null)) {
                    fields.fault(&field, problem, faults);
                }
            }
            Kind::Task { resource, timeout }
        }
        "Choice" => choice(fields, faults),
        "Wait" => Kind::Wait(until(fields, faults)?),
        "Succeed" => Kind::Succeed,
        "Fail" => Kind::Fail { error: words("Error", fields, faults), cause: words("Cause", fields, faults) },
        "Parallel" => {
            let listed = fields.list("Branches", faults);
            if listed.is_empty() {
                fields.fault("Branches", "expected at least one branch", faults);
            }
            let mut branches = Vec::new();
            for (index, branch) in listed.iter().enumerate() {
                let place = format!("{}.Branches[{index}]", fields.place());
                let Some(branch) = Fields::of(branch, &place, faults) else { continue };
                branch.only(&[&["StartAt", "States", "Comment"]], "a branch", faults);
                branches.extend(states(&branch, names, faults).map(Arc::new));
            }
            Kind::Parallel { branches }
        }
        _ => map(fields, names, faults)?,
    })
}

fn map(fields: &Fields<'_>, names: &mut BTreeSet<String>, faults: &mut Vec<Fault>) -> Option<Kind> {
    let items = fields.reference("ItemsPath", faults).unwrap_or_else(root);
    let most = fields.number("MaxConcurrency", (0, MAX_SECONDS), faults).unwrap_or(Number::Fixed(0));
    let place = format!("{}.ItemProcessor", fields.place());
    let Some(processor) = fields.get("ItemProcessor") else {
        fields.fault("ItemProcessor", "expected the states of an item", faults);
        return None;
    };
    let processor = Fields::of(processor, &place, faults)?;
    processor.only(&[&["StartAt", "States", "Comment", "ProcessorConfig"]], "an item processor", faults);
    if let Some(config) = processor.get("ProcessorConfig")
        && let Some(config) = Fields::of(config, &format!("{place}.ProcessorConfig"), faults)
    {
        config.only(&[&["Mode"]], "an inline map", faults);
        if let Some(mode) = config.get("Mode").filter(|mode| *mode != "INLINE") {
            config.fault("Mode", format!("expected \"INLINE\", found {}", short(mode)), faults);
        }
    }
    let states = Arc::new(states(&processor, names, faults)?);
    Some(Kind::Map { items, most, states })
}

fn choice(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Kind {
    let listed = fields.list("Choices", faults);
    if listed.is_empty() {
        fields.fault("Choices", "expected at least one rule", faults);
    }
    let mut rules = Vec::new();
    for (index, rule) in listed.iter().enumerate() {
        let (at, mut found) = (format!("Choices[{index}]"), Vec::new());
        let read = Rule::parse(rule, &at, true, &mut found);
        let to = rule.get("Next").and_then(Value::as_str).map(str::to_owned);
        if to.is_none() {
            found.push((format!("{at}.Next"), "expected the name of the next state".to_owned()));
        }
        rules.extend(read.zip(to));
        found.into_iter().for_each(|(place, problem)| fields.fault(&place, problem, faults));
    }
    Kind::Choice { rules, default: fields.text("Default", faults) }
}

fn until(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Option<Until> {
    let given = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
    if given.iter().filter(|name| fields.get(name).is_some()).count() != 1 {
        fields.fault("", format!("expected one of {}", given.join(", ")), faults);
        return None;
    }
    if let Some(value) = fields.get("Timestamp") {
        let time = timestamp(value).map(|time| time.timestamp_millis());
        if time.is_none() {
            fields.fault("Timestamp", format!("expected a time such as 2026-01-31T12:00:00Z, found {value}"), faults);
        }
        return time.map(Until::Timestamp);
    }
    let seconds = fields.number("Seconds", (0, MAX_SECONDS), faults).map(Until::Seconds);
    seconds.or_else(|| fields.reference("TimestampPath", faults).map(Until::TimestampPath))
}

/// A text of a Fail state, which may be computed.
fn words(name: &str, fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Option<Words> {
    let path_name = format!("{name}Path");
    let Some(computed) = fields.text(&path_name, faults) else {
        return fields.text(name, faults).map(Words::Fixed);
    };
    if fields.get(name).is_some() {
        fields.fault(name, format!("expected either {name} or {path_name}, found both"), faults);
    }
    let mut found = Vec::new();
    let template = Template::parse(&serde_json::json!({ "words.$": computed }), &mut found);
    found.into_iter().for_each(|(_, problem)| fields.fault(&path_name, problem, faults));
    Some(Words::Computed(template))
}

/// The names of errors of one retrier or catcher.
fn errors(fields: &Fields<'_>, is_last: bool, faults: &mut Vec<Fault>) -> Vec<String> {
    let listed = fields.list("ErrorEquals", faults);
    if listed.is_empty() {
        fields.fault("ErrorEquals", "expected at least one name of an error", faults);
    }
    let mut names = Vec::new();
    for name in listed {
        match name.as_str() {
            Some(name) => {
                fault_of_error(name).into_iter().for_each(|fault| fields.fault("ErrorEquals", fault, faults));
                names.push(name.to_owned());
            }
            None => fields.fault("ErrorEquals", format!("expected the name of an error, found {name}"), faults),
        }
    }
    if names.iter().any(|name| name == "States.ALL") && (names.len() > 1 || !is_last) {
        fields.fault("ErrorEquals", "States.ALL must be alone, and in the last entry", faults);
    }
    names
}

fn entries<'a>(name: &str, fields: &Fields<'a>, faults: &mut Vec<Fault>) -> Vec<(bool, Fields<'a>)> {
    let listed = fields.list(name, faults);
    let entry = |(index, value)| {
        let entry = Fields::of(value, &format!("{}.{name}[{index}]", fields.place()), faults)?;
        Some((index + 1 == listed.len(), entry))
    };
    listed.iter().enumerate().filter_map(entry).collect()
}

fn retriers(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Vec<Retrier> {
    let mut retriers = Vec::new();
    for (is_last, entry) in entries("Retry", fields, faults) {
        entry.only(
            &[
                &["ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"],
                &["Comment"],
            ],
            "a retrier",
            faults,
        );
        let backoff_rate = entry.get("BackoffRate").map_or(Some(2.0), Value::as_f64).filter(|rate| *rate >= 1.0);
        if backoff_rate.is_none() {
            entry.fault("BackoffRate", "expected a number of at least 1", faults);
        }
        let jitter = entry.text("JitterStrategy", faults);
        if jitter.as_ref().is_some_and(|jitter| !matches!(jitter.as_str(), "FULL" | "NONE")) {
            entry.fault("JitterStrategy", "expected FULL or NONE", faults);
        }
        let max_attempts = entry.whole("MaxAttempts", (0, MAX_SECONDS), faults).unwrap_or(3);
        retriers.push(Retrier {
            errors: errors(&entry, is_last, faults),
            interval_seconds: entry.whole("IntervalSeconds", (1, MAX_SECONDS), faults).unwrap_or(1),
            max_attempts: u32::try_from(max_attempts).unwrap_or(u32::MAX),
            backoff_rate: backoff_rate.unwrap_or(2.0),
            max_delay_seconds: entry.whole("MaxDelaySeconds", (1, MAX_DELAY_SECONDS), faults),
            has_jitter: jitter.is_some_and(|jitter| jitter == "FULL"),
        });
    }
    retriers
}

fn catchers(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Vec<Catcher> {
    let mut catchers = Vec::new();
    for (is_last, entry) in entries("Catch", fields, faults) {
        entry.only(&[&["ErrorEquals", "ResultPath", "Next", "Comment"]], "a catcher", faults);
        let errors = errors(&entry, is_last, faults);
        let result_path = entry.place_of_result("ResultPath", faults);
        match entry.text("Next", faults) {
            Some(next) => catchers.push(Catcher { errors, result_path, next }),
            None => entry.fault("Next", "expected the name of the next state", faults),
        }
    }
    catchers
}
