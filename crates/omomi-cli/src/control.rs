//! `omomi rollback`, `pin`, `freeze`, `off` and `on`: orders of people that override what is published.

use std::path::{Path, PathBuf};

use omomi::store::{Control, Store};
use omomi_train::operate::publish::{ControlChange, PublishError, pin, rollback, set_control};
use serde_json::json;

use crate::Failure;
use crate::output::say;
use crate::publish::Verifying;
use crate::refusal::{Refusal, print_json};

/// Send servers back to the generation that was published before the one they serve
///
/// The older file is verified with its golden requests first. The rollback is a pin: servers do not serve later
/// generations until `omomi on`.
#[derive(clap::Args)]
pub(crate) struct RollbackArguments {
    /// Directory of the store
    dir: PathBuf,
    /// Generation to go back to [default: the one before the served generation]
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
/// The file is verified with its golden requests first. After `omomi on`, servers follow what is published again.
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

#[derive(clap::Args)]
pub(crate) struct SwitchArguments {
    /// Directory of the store
    dir: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run_rollback(arguments: &RollbackArguments) -> Result<(), Failure> {
    let change = rollback(&Store::new(&arguments.dir), arguments.to, &arguments.verifying.verifier()?, &mut |_| ());
    report(change, &arguments.dir, arguments.json)
}

pub(crate) fn run_pin(arguments: &PinArguments) -> Result<(), Failure> {
    let store = Store::new(&arguments.dir);
    let change = pin(&store, arguments.generation, &arguments.verifying.verifier()?, &mut |_| ());
    report(change, &arguments.dir, arguments.json)
}

pub(crate) fn run_switch(arguments: &SwitchArguments, control: Control) -> Result<(), Failure> {
    let change = set_control(&Store::new(&arguments.dir), control, &mut |_| ());
    report(change, &arguments.dir, arguments.json)
}

fn report(change: Result<ControlChange, PublishError>, dir: &Path, json: bool) -> Result<(), Failure> {
    let change = change.map_err(|error| Refusal::from(error).report(json))?;
    let undo = undo(change.before, dir);
    if json {
        print_json(&json!({
            "control": {
                "before": change.before.map(|before| before.to_string()),
                "after": change.after.to_string(),
            },
            "served": change.served(),
            "undo": undo,
        }));
        return Ok(());
    }
    let before = change.before.map_or("not readable".to_owned(), |before| format!("`{before}`"));
    say!("Control of {} says `{}`; before it was {before}", dir.display(), change.after);
    match (change.after, change.served()) {
        (Control::Off, _) => say!("  served: nothing; servers use their own logic"),
        (Control::Freeze, _) => {
            say!("  served: on each server, what it serves now; see omomi status {}", dir.display())
        }
        (_, Some(generation)) => say!("  served: generation {generation}"),
        (_, None) => say!("  served: nothing, because nothing was published yet"),
    }
    say!("  undo: {undo}");
    Ok(())
}

/// Returns the command that restores the previous order.
fn undo(before: Option<Control>, dir: &Path) -> String {
    let dir = dir.display();
    match before {
        Some(Control::Freeze) => format!("omomi freeze {dir}"),
        Some(Control::Off) => format!("omomi off {dir}"),
        Some(Control::Pin(generation)) => format!("omomi pin {generation} {dir}"),
        Some(Control::Follow) | None => format!("omomi on {dir}"),
    }
}
