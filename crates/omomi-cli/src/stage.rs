//! `omomi stage`: runs one stage of a planned training, unless it has finished.

use std::path::PathBuf;
use std::str::FromStr;

use omomi::store::Digest;
use omomi_train::bucket::{Place, digest_of, len_of};
use omomi_train::operate::bucket_store::Needs;
use omomi_train::plan::{Plan, Stage};
use serde_json::json;

use crate::output::{json_line, note, one_line, print_exactly, say};
use crate::refusal::print_json;
use crate::stores::{NamedStore, StoreError};
use crate::{Failure, plan, run as run_command};

/// Run one stage of a training that omomi plan has planned, unless it has finished
///
/// The plan has the command of each stage, which --show prints. What a stage makes is in a folder that is named by the
/// digest of the plan, so a file that is there was made from these inputs, and its stage is skipped. Publishing also
/// remembers the model as the one that the next run continues from.
///
/// Exit code: that of the command, so 3 and 4 of omomi gate, and 75 if trying again may help. 3 also if the plan is
/// held back.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// train, average, recalibrate, prune, pack, evaluate, gate, preflight or publish; or why, which says why the file
    /// of the plan is held back
    #[arg(value_name = "STAGE")]
    stage: Asked,
    /// The plan that omomi plan wrote
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Number of the shard to train, from 1
    #[arg(long, value_name = "N", required_if_eq("stage", "train"))]
    shard: Option<u32>,
    /// Print the command, and do nothing
    #[arg(long)]
    show: bool,
    /// Print as JSON, after the output of the command, what was done
    #[arg(long)]
    json: bool,
}

/// What the command line asks for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Stage(Stage),
    Why,
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "why" { Ok(Self::Why) } else { text.parse().map(Self::Stage) }
    }
}

/// The command of a stage ended with this exit code, after it said why.
#[derive(Debug, thiserror::Error)]
#[error("stage {stage} ended with exit code {exit_code}")]
pub(crate) struct Ended {
    stage: Stage,
    exit_code: u8,
}

impl Ended {
    /// Returns the exit code of the command.
    pub(crate) const fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.plan.display().to_string();
    let planned = Plan::read(&path)?;
    let Asked::Stage(stage) = arguments.stage else { return say_why(&planned) };
    let step = planned.step(stage, arguments.shard)?;
    if arguments.show {
        say!("omomi {}", step.command.join(" "));
        return Ok(());
    }
    let outcome = if step.command.is_empty() {
        "nothing_to_do"
    } else if is_finished(&planned, step)? {
        "finished_before"
    } else {
        if let Place::Disk(folder) = Place::parse(&planned.folder)? {
            std::fs::create_dir_all(folder)?;
        }
        let exit_code = run_command(plan::parsed(&step.command)?);
        if exit_code != 0 {
            return Err(Ended { stage: step.stage, exit_code }.into());
        }
        "done"
    };
    if step.stage == Stage::Publish {
        planned.remember()?;
        // A line for the metrics of the log that the output goes to.
        let event =
            json!({ "event": "published", "generation": planned.generation, "len_bytes": len_of(planned.file())? });
        print_exactly(json_line(&event).as_bytes());
    }
    if arguments.json {
        print_json(&json!({ "stage": step.stage, "shard": step.shard, "outcome": outcome, "makes": step.makes }));
    } else if outcome != "done" {
        note!("stage {}: {}", step.stage, outcome.replace('_', " "));
    }
    Ok(())
}

/// Says why the file of a plan is held back: by the logs of the newest day, the gate, or the limits of servers.
fn say_why(plan: &Plan) -> Result<(), Failure> {
    let day = plan.asked.newest;
    if !plan.held_back.is_empty() {
        say!("held back: the logs of {day} are unlike those of the days before. What is served stays.");
        plan.held_back.iter().for_each(|reason| say!("  {}", one_line(reason)));
        return Ok(());
    }
    if is_published(plan)? {
        say!("not held back: generation {} is published", plan.generation);
        return Ok(());
    }
    for stage in [Stage::Gate, Stage::Preflight] {
        // It answers as before, because what it judges is the same.
        if run_command(plan::parsed(&plan.step(stage, None)?.command)?) != 0 {
            say!("held back by {stage}: the output above says why. What is served stays.");
            return Ok(());
        }
    }
    say!("not held back: generation {} passes", plan.generation);
    Ok(())
}

/// Whether the command has nothing left to do.
fn is_finished(plan: &Plan, step: &omomi_train::plan::Step) -> Result<bool, Failure> {
    match (&step.makes, step.stage) {
        (Some(makes), _) => Ok(len_of(makes)?.is_some()),
        // Afterwards the gate would compare the file with itself.
        (None, Stage::Gate | Stage::Preflight | Stage::Publish) => is_published(plan),
        (None, _) => Ok(false),
    }
}

/// Whether the store names the weight file of the plan.
fn is_published(plan: &Plan) -> Result<bool, Failure> {
    let named = NamedStore::open(plan.asked.store.as_ref())?;
    let store = named.read(Needs::default())?;
    let current = store.read_current().map_err(|error| StoreError::Store(error.into()))?;
    let Some(current) = current.filter(|current| current.generation == plan.generation) else { return Ok(false) };
    let digest: Digest = digest_of(plan.file())?;
    Ok(current.digest == digest)
}
