//! `omomi rollback`, `pin`, `freeze`, `off`, `on`: what people decide over the head of what is published.

use std::path::{Path, PathBuf};

use omomi::store::{Control, Store};
use omomi_train::operate::publish::{ControlChange, PublishError, pin, rollback, set_control};
use serde_json::json;

use crate::Failure;
use crate::publish::Verifying;
use crate::refusal::{Refusal, print_json};
use crate::text::say;

/// Send servers back to the generation that was published before the one they serve
///
/// The file is verified with its golden requests first. Going back is an explicit pin: what is published later is not served before
/// `omomi on`.
#[derive(clap::Args)]
pub(crate) struct RollbackArguments {
    /// The store
    dir: PathBuf,
    /// The generation to go back to
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    #[command(flatten)]
    verifying: Verifying,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Send servers to a generation and keep them there, whatever is published
///
/// The file is verified with its golden requests first. `omomi on` lets servers follow again.
#[derive(clap::Args)]
pub(crate) struct PinArguments {
    /// The generation
    generation: u64,
    /// The store
    dir: PathBuf,
    #[command(flatten)]
    verifying: Verifying,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct SwitchArguments {
    /// The store
    dir: PathBuf,
    /// Print the outcome as JSON
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
        (Control::Off, _) => say!("  served: nothing, servers answer by their own logic"),
        (Control::Freeze, _) => say!("  served: on each server what it serves now; omomi status {}", dir.display()),
        (_, Some(generation)) => say!("  served: generation {generation}"),
        (_, None) => say!("  served: nothing, since nothing was published yet"),
    }
    say!("  undo: {undo}");
    Ok(())
}

/// The command that brings back what was decided before.
fn undo(before: Option<Control>, dir: &Path) -> String {
    let dir = dir.display();
    match before {
        Some(Control::Freeze) => format!("omomi freeze {dir}"),
        Some(Control::Off) => format!("omomi off {dir}"),
        Some(Control::Pin(generation)) => format!("omomi pin {generation} {dir}"),
        Some(Control::Follow) | None => format!("omomi on {dir}"),
    }
}
