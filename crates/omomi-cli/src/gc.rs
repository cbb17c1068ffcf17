//! `omomi gc`: removes from a store what nobody needs any more.

use std::path::PathBuf;
use std::time::Duration;

use omomi_train::operate::bucket_store::BucketStore;
use omomi_train::operate::publish::gc::{Collected, GcOptions, Verdict, collect};
use serde_json::{Value, json};

use crate::Failure;
use crate::output::say;
use crate::refusal::{Refusal, print_json};
use crate::stores::{NamedStore, StoreError};
use crate::text::{bytes, table};

/// Remove old generations that nobody needs, and states of servers that are gone
///
/// A generation stays if it is published or newer, if it is one of the newest, if `control` names it, or if the journal
/// or the report of a server names it as served, good or ordered, also on other machines. If anything cannot be read,
/// all generations stay. The states of servers that ended or died long ago go; those of which it is not known whether
/// they run stay. Prints what goes, what stays, and why.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Directory of the store
    dir: PathBuf,
    /// Number of newest generations to keep, up to the published one
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    keep: u64,
    /// Age from which the state of a server that ended or died may go, in days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    older_than: u32,
    /// Change nothing, and only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = GcOptions::default().with(|it| {
        it.keep_count = usize::try_from(arguments.keep).unwrap_or(usize::MAX);
        it.older_than = Duration::from_secs(86_400) * arguments.older_than;
    });
    let named = NamedStore::open(&arguments.dir).map_err(|error| Refusal::from(error).report(arguments.json))?;
    let collected = match &named {
        NamedStore::Disk(store) => collect(store, options, arguments.dry_run).map_err(StoreError::from),
        NamedStore::Bucket { store, .. } => collect_bucket(store, options, arguments.dry_run),
    };
    let collected = collected.map_err(|error| named.refuse(error, arguments.json))?;
    if arguments.json {
        print_outcome(&collected, arguments.dry_run);
    } else {
        say_outcome(&collected, arguments.dry_run);
    }
    match &collected.failures[..] {
        [] => Ok(()),
        failures => Err(format!("not everything could be removed: {}", failures.join("; ")).into()),
    }
}

fn collect_bucket(store: &BucketStore, options: GcOptions, is_dry_run: bool) -> Result<Collected, StoreError> {
    let (decision, lens_bytes) = store.collect(options, is_dry_run)?;
    Ok(Collected { decision, lens_bytes, failures: Vec::new() })
}

fn print_outcome(collected: &Collected, is_dry_run: bool) {
    let decision = &collected.decision;
    let generations = decision.generations.iter().map(|(generation, Verdict { is_removed, why })| {
        let len_bytes = collected.lens_bytes.get(generation);
        json!({ "generation": generation, "len_bytes": len_bytes, "is_removed": is_removed, "why": why })
    });
    let states = decision
        .states
        .iter()
        .map(|(name, Verdict { is_removed, why })| json!({ "name": name, "is_removed": is_removed, "why": why }));
    print_json(&json!({
        "is_dry_run": is_dry_run,
        "generations": generations.collect::<Vec<Value>>(),
        "states": states.collect::<Vec<Value>>(),
        "unknown": decision.unknown,
        "failures": collected.failures,
    }));
}

fn say_outcome(collected: &Collected, is_dry_run: bool) {
    let decision = &collected.decision;
    let action = |verdict: &Verdict| match (verdict.is_removed, is_dry_run) {
        (true, true) => "would go",
        (true, false) => "removed",
        (false, _) => "kept",
    };
    let len = |generation: &u64| collected.lens_bytes.get(generation).copied().unwrap_or(0);
    let generations = decision.generations.iter().map(|(generation, verdict)| {
        vec![format!("{generation:06}"), bytes(len(generation)), action(verdict).to_owned(), verdict.why.clone()]
    });
    let states = decision.states.iter().map(|(name, verdict)| {
        vec![format!("state/{name}"), "-".to_owned(), action(verdict).to_owned(), verdict.why.clone()]
    });
    say!("{}\n", table(&["what", "size", "", "why"], generations.chain(states).collect()));
    for unknown in &decision.unknown {
        say!("not known: {unknown}; so all generations are kept");
    }
    let removed = decision.generations.iter().filter(|(_, verdict)| verdict.is_removed);
    let (mut count, mut len_bytes) = (0_u64, 0);
    for (generation, _) in removed {
        (count, len_bytes) = (count + 1, len_bytes + len(generation));
    }
    let state_count = decision.states.values().filter(|verdict| verdict.is_removed).count();
    let would = if is_dry_run { "Would remove" } else { "Removed" };
    say!("{would} {count} generations ({}) and {state_count} states", bytes(len_bytes));
}
