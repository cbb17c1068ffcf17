//! `omomi rollback`, `pin`, `freeze`, `follow`, `off`, `on` and `unquarantine`: orders of people.

use std::path::{Path, PathBuf};

use omomi::store::{Control, Scoring, Store, Target};
use omomi_train::operate::bucket_store::Needs;
use omomi_train::operate::publish::{ControlChange, PublishError, follow, freeze, pin, rollback, switch, unquarantine};
use serde_json::json;

use crate::Failure;
use crate::output::say;
use crate::publish::Verifying;
use crate::refusal::{Refusal, print_json};
use crate::stores::NamedStore;

/// Send servers back to the generation before the one that they serve
///
/// The older file is verified with its golden requests first. The rollback is a pin: servers do not serve later
/// generations until `omomi follow`. It does not switch scoring on.
#[derive(clap::Args)]
pub(crate) struct RollbackArguments {
    /// Directory of the store
    dir: PathBuf,
    /// Generation to go back to [default: the one before the generation that servers serve]
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    #[command(flatten)]
    verifying: Verifying,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Send servers to one generation and keep them there, whatever is published later
///
/// The file is verified with its golden requests first. A pin also lifts a quarantine that deaths of processes caused.
/// It does not switch scoring on. After `omomi follow`, servers serve what is published again.
#[derive(clap::Args)]
pub(crate) struct PinArguments {
    /// Generation to serve
    generation: u64,
    /// Directory of the store
    dir: PathBuf,
    #[command(flatten)]
    verifying: Verifying,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Keep the generation that servers serve, whatever is published later
///
/// This also holds for servers that start later. It does not switch scoring on. After `omomi follow`, servers serve
/// what is published again.
#[derive(clap::Args)]
pub(crate) struct FreezeArguments {
    /// Directory of the store
    dir: PathBuf,
    /// Generation to stay at, if servers serve different ones
    #[arg(long, value_name = "GENERATION")]
    at: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Take a generation out of the quarantine of all servers, so that they try it again
///
/// A pin lifts a quarantine that deaths of processes caused; this command lifts any.
#[derive(clap::Args)]
pub(crate) struct UnquarantineArguments {
    /// Generation to try again
    generation: u64,
    /// Directory of the store
    dir: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct SwitchArguments {
    /// Directory of the store
    dir: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run_rollback(arguments: &RollbackArguments) -> Result<(), Failure> {
    let verifier = arguments.verifying.verifier()?;
    // The file to go back to is one of the last ones, if it is not named.
    let needs = Needs { last_files: arguments.to.is_none(), file_of: arguments.to, ..Needs::default() };
    report(&arguments.dir, needs, arguments.json, |store| rollback(store, arguments.to, &verifier, &mut |_| ()))
}

pub(crate) fn run_pin(arguments: &PinArguments) -> Result<(), Failure> {
    let verifier = arguments.verifying.verifier()?;
    let needs = Needs { file_of: Some(arguments.generation), ..Needs::default() };
    report(&arguments.dir, needs, arguments.json, |store| pin(store, arguments.generation, &verifier, &mut |_| ()))
}

pub(crate) fn run_freeze(arguments: &FreezeArguments) -> Result<(), Failure> {
    let Some(at) = arguments.at else {
        return order(&arguments.dir, true, arguments.json, |store| freeze(store, None, &mut |_| ()));
    };
    let needs = Needs { served_file: true, file_of: Some(at), ..Needs::default() };
    report(&arguments.dir, needs, arguments.json, |store| freeze(store, arguments.at, &mut |_| ()))
}

pub(crate) fn run_follow(arguments: &SwitchArguments) -> Result<(), Failure> {
    order(&arguments.dir, false, arguments.json, |store| follow(store, &mut |_| ()))
}

pub(crate) fn run_switch(arguments: &SwitchArguments, scoring: Scoring) -> Result<(), Failure> {
    order(&arguments.dir, false, arguments.json, |store| switch(store, scoring, &mut |_| ()))
}

pub(crate) fn run_unquarantine(arguments: &UnquarantineArguments) -> Result<(), Failure> {
    let named = NamedStore::open(&arguments.dir).map_err(|error| Refusal::from(error).report(arguments.json))?;
    let needs = Needs { file_of: Some(arguments.generation), ..Needs::default() };
    let content = named.publish(needs, |store| unquarantine(store, arguments.generation));
    let content = content.map_err(|error| named.refuse(error, arguments.json))?;
    if arguments.json {
        print_json(&json!({ "generation": content.generation, "digest": content.digest.to_string() }));
    } else {
        say!("Servers try generation {} again at their next look", content.generation);
        say!("  sha256 {}", content.digest);
    }
    Ok(())
}

/// Changes the orders of a store, and says what that does.
fn report(
    dir: &Path,
    needs: Needs,
    json: bool,
    change: impl FnMut(&Store) -> Result<ControlChange, PublishError>,
) -> Result<(), Failure> {
    let named = NamedStore::open(dir).map_err(|error| Refusal::from(error).report(json))?;
    let change = named.publish(needs, change).map_err(|error| named.refuse(error, json))?;
    say_change(&change, dir, json);
    Ok(())
}

/// Changes the orders of a store by what needs no weight file, and says what that does.
fn order(
    dir: &Path,
    reads_current: bool,
    json: bool,
    change: impl FnMut(&Store) -> Result<ControlChange, PublishError>,
) -> Result<(), Failure> {
    let named = NamedStore::open_for_order(dir).map_err(|error| Refusal::from(error).report(json))?;
    let change = named.order(reads_current, change).map_err(|error| named.refuse(error, json))?;
    say_change(&change, dir, json);
    Ok(())
}

fn say_change(change: &ControlChange, dir: &Path, json: bool) {
    let undo = change.before.map(|before| undo(before, change.after, dir));
    if json {
        let servers = change.effects.iter().map(|(server, effect)| json!({ "name": server, "does": effect }));
        print_json(&json!({
            "control": {
                "before": change.before.map(|before| before.to_string()),
                "after": change.after.to_string(),
            },
            "servers": servers.collect::<Vec<_>>(),
            "undo": undo,
        }));
        return;
    }
    let before = change.before.map_or("absent or not readable".to_owned(), |before| format!("`{before}`"));
    say!("Control of {} says `{}`; before it was {before}", dir.display(), change.after);
    if change.effects.is_empty() {
        say!("  no server has reported; servers that start obey");
    }
    for (server, effect) in &change.effects {
        say!("  {server}: {effect}");
    }
    let Control { scoring, target } = change.after;
    if let Target::Freeze(Some(named)) | Target::Pin(named) = target {
        let word = if matches!(target, Target::Pin(_)) { "pin" } else { "freeze" };
        let generation = named.generation;
        say!("  in force: {word} {generation}; omomi follow {} lifts it", dir.display());
    }
    if scoring == Scoring::Off {
        say!("  in force: off; servers use their own logic until omomi on {}", dir.display());
    }
    if let Some(undo) = undo {
        say!("  undo: {undo}");
    }
}

/// Returns the command that restores the previous orders.
fn undo(before: Control, after: Control, dir: &Path) -> String {
    let dir = dir.display();
    if before.scoring != after.scoring {
        return format!("omomi {} {dir}", before.scoring);
    }
    match before.target {
        Target::Freeze(Some(named)) => format!("omomi freeze {dir} --at {}", named.generation),
        Target::Freeze(None) => format!("omomi freeze {dir}"),
        Target::Pin(named) => format!("omomi pin {} {dir}", named.generation),
        Target::Follow => format!("omomi follow {dir}"),
    }
}
