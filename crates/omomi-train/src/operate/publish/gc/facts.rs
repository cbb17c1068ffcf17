//! Reads what is known about a store, for the decision what may go.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use omomi::error::Error;
use omomi::store::{ControlText, Current, Store};
use serde_json::Value;

use super::super::PublishError;
use super::super::servers::{Life, is_own, read_json, server_status, state_folders};
use super::decide::{Facts, Known, State};

/// Newest format of journals that is understood.
const JOURNAL_FORMAT: u64 = 2;

/// Keys of a journal under which it names generations that its process needs, and what the process does with them.
const NEEDS: [(&str, &str); 6] = [
    ("served", "serves it"),
    ("followed", "served it as the published one"),
    ("resolved", "stays at it"),
    ("attempt", "tries it"),
    ("proven", "has it as good"),
    // Of older journals.
    ("good", "has it as good"),
];

pub(super) fn read(store: &Store) -> Result<Facts, PublishError> {
    let mut states = Vec::new();
    for folder in state_folders(store)? {
        states.push(state(store, &folder));
    }
    let current = store.read_current().transpose();
    let control = store.read_control().transpose();
    let ordered = control.and_then(|control| match control {
        Ok(ControlText { target, .. }) => target?.named().map(|named| Ok(named.generation)),
        Err(error) => Some(Err(error)),
    });
    let text = |error: Error| error.full_message();
    Ok(Facts {
        files: store.generations()?,
        current: current.map(|current| current.map(|current: Current| current.generation).map_err(text)),
        ordered: ordered.map(|ordered| ordered.map_err(text)),
        states,
    })
}

/// Reads the state of one process.
fn state(store: &Store, folder: &Path) -> State {
    let server = server_status(folder);
    let life = if is_own(store, &server) { server.life } else { Life::Unknown };
    let age = age(folder);
    let journal = read_json(&folder.join("journal.json"), "journal");
    let blamed = journal.as_ref().ok().and_then(Option::as_ref).map(blamed).unwrap_or_default();
    State { name: server.name, life, needs: needs(folder, journal, life, age), age, blamed }
}

fn needs(
    folder: &Path,
    journal: Known<Option<Value>>,
    life: Life,
    age: Option<Duration>,
) -> Known<Vec<(u64, &'static str)>> {
    const A_DAY: Duration = Duration::from_secs(86_400);
    let journal = journal?;
    let mut needs = Vec::new();
    let mut is_silent = journal.is_none();
    if let Some(journal) = &journal {
        add_needs_of_journal(journal, life, &mut needs)?;
    }
    for (name, what) in [("report.json", "report"), ("second.json", "second report")] {
        if let Some(report) = read_json(&folder.join(name), what)? {
            is_silent = false;
            add(&report["served"], what, "serves it", &mut needs)?;
            add_order(&report["control"], what, &mut needs)?;
        }
    }
    // A process that has just started may serve already. One that has not written for a day has nothing there.
    if is_silent && (life == Life::Running || age.is_none_or(|age| age < A_DAY)) {
        return Err("it has neither a journal nor a report yet".to_owned());
    }
    needs.sort_unstable();
    needs.dedup();
    Ok(needs)
}

fn add_needs_of_journal(journal: &Value, life: Life, needs: &mut Vec<(u64, &'static str)>) -> Known<()> {
    let format = journal["format"].as_u64().unwrap_or(1);
    if !journal.is_object() || format > JOURNAL_FORMAT {
        return Err("its journal is of a later release".to_owned());
    }
    for (key, why) in NEEDS {
        // A dead process tries nothing. When it starts again, it looks at what is there.
        if key == "attempt" && matches!(life, Life::Ended | Life::Died) {
            continue;
        }
        match &journal[key] {
            Value::Array(entries) => {
                for entry in entries {
                    add(entry, "journal", why, needs)?;
                }
            }
            entry => add(entry, "journal", why, needs)?,
        }
    }
    add_order(&journal["heard"], "journal", needs)
}

/// Adds the generation of an entry; null has none.
fn add(entry: &Value, what: &str, why: &'static str, needs: &mut Vec<(u64, &'static str)>) -> Known<()> {
    if entry.is_null() {
        return Ok(());
    }
    let generation = entry["generation"].as_u64();
    needs.push((generation.ok_or_else(|| format!("its {what} has an entry without a generation"))?, why));
    Ok(())
}

/// Adds the generation that an order names, if it names one.
fn add_order(order: &Value, what: &str, needs: &mut Vec<(u64, &'static str)>) -> Known<()> {
    if order.is_null() {
        return Ok(());
    }
    let text = order.as_str().and_then(|text| text.parse::<ControlText>().ok());
    let target = text.ok_or_else(|| format!("its {what} has orders that cannot be read"))?.target;
    needs.extend(target.and_then(|target| target.named()).map(|named| (named.generation, "was told to serve it")));
    Ok(())
}

/// Returns the generations with which processes of this name died, or may have died.
fn blamed(journal: &Value) -> Vec<u64> {
    let deaths = journal["deaths"].as_array().into_iter().flatten().chain([&journal["attempt"]]);
    deaths.filter_map(|entry| entry["generation"].as_u64()).collect()
}

/// Returns how long ago the folder or a file in it was written last.
pub(super) fn age(folder: &Path) -> Option<Duration> {
    let modified = |path: &Path| fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok();
    let entries = folder.read_dir().ok()?.flatten();
    let newest = entries.filter_map(|entry| modified(&entry.path())).chain(modified(folder)).max()?;
    SystemTime::now().duration_since(newest).ok()
}
