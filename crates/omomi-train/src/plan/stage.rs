//! The stages of a planned training, as command lines of `omomi`.
//!
//! ```text
//! train x shards -> average -> recalibrate -> prune -> pack -> evaluate -> gate -> preflight -> publish
//! ```
//!
//! Every file that a stage makes is in the folder of the plan, which is named by the digest of the plan. So a file that
//! is there was made from these inputs, and its stage has finished: such files appear whole or not at all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::settings::{Flags, FlowSettings, words};
use super::{Plan, join};

/// A stage of a planned training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// `omomi train`, of one shard.
    Train,
    /// `omomi average`.
    Average,
    /// `omomi recalibrate`.
    Recalibrate,
    /// `omomi prune`.
    Prune,
    /// `omomi pack`.
    Pack,
    /// `omomi evaluate`.
    Evaluate,
    /// `omomi gate`.
    Gate,
    /// `omomi preflight`.
    Preflight,
    /// `omomi publish`.
    Publish,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 9] = [
        Self::Train,
        Self::Average,
        Self::Recalibrate,
        Self::Prune,
        Self::Pack,
        Self::Evaluate,
        Self::Gate,
        Self::Preflight,
        Self::Publish,
    ];

    /// Returns the name, which is that of the command.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Average => "average",
            Self::Recalibrate => "recalibrate",
            Self::Prune => "prune",
            Self::Pack => "pack",
            Self::Evaluate => "evaluate",
            Self::Gate => "gate",
            Self::Preflight => "preflight",
            Self::Publish => "publish",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let named = Self::ALL.into_iter().find(|stage| stage.name() == text);
        named.ok_or_else(|| format!("expected one of {}, found `{text}`", names()))
    }
}

/// One command of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its stage.
    pub stage: Stage,
    /// The shard, from 1, if the stage has one command for each.
    pub shard: Option<u32>,
    /// The words of the command after `omomi`. Without words, there is nothing to do.
    pub command: Vec<String>,
    /// The file that the command makes, last and whole. If it exists, the command has finished.
    pub makes: Option<String>,
}

/// Settings of training that a state has.
const SETTINGS_OF_STATE: [&str; 5] = ["alpha", "beta", "l1", "l2", "passes"];

/// Returns the commands of a plan, whose folder is known.
pub(super) fn steps(plan: &Plan, settings: &FlowSettings, prune: &Flags) -> Result<Vec<Step>, String> {
    let in_folder = |name: &str| join(&plan.folder, name);
    let contract = plan.asked.contract.as_str();
    let reading = words(&settings.logs.flags)?;
    let time = settings.logs.time_column.iter().map(|column| format!("--time-column={column}"));
    let time: Vec<String> = time.collect();
    let held_out = [vec![format!("--held-out-rows={}", settings.logs.held_out_rows)], time.clone()].concat();
    let learned: Vec<String> = plan.logs.iter().map(|log| log.path.clone()).collect();
    let newest: Vec<String> = plan.evaluation.iter().map(|log| log.path.clone()).collect();
    let line = |parts: &[&[&str]], more: &[&[String]]| -> Vec<String> {
        let own = parts.concat().into_iter().map(str::to_owned);
        own.chain(more.concat()).collect()
    };
    let logs = |flag: &str, paths: &[String]| [&[flag.to_owned()], paths].concat();

    let mut steps = Vec::new();
    let mut add = |stage, shard, command, makes: Option<&String>| {
        steps.push(Step { stage, shard, command, makes: makes.cloned() });
    };
    let starting = match &plan.start {
        Some(start) => vec![format!("--start={start}")],
        None => Vec::new(),
    };
    // A state has its settings: a run that continues from it takes none of them.
    let of_rebuilds = |name: &str| plan.start.is_none() || !SETTINGS_OF_STATE.contains(&name);
    let train: Flags = settings.train.clone().into_iter().filter(|(name, _)| of_rebuilds(name)).collect();
    let mut train_flags = words(&train)?;
    if plan.start.is_some() {
        train_flags.extend(words(&settings.continued)?);
    }
    for shard in &plan.shards {
        let own: Vec<String> = if plan.shards.len() == 1 {
            logs("--logs", &learned)
        } else {
            vec![format!("--shards={}", plan.path), format!("--shard={}", shard.number)]
        };
        let command = line(
            &[&["train", "--contract", contract, "--state", &shard.state, "--force"]],
            &[&own, &starting, &held_out, &reading, &train_flags],
        );
        add(Stage::Train, Some(shard.number), command, Some(&shard.state));
    }
    let averaged = plan.state_to_continue_from();
    let states: Vec<&str> = plan.shards.iter().map(|shard| shard.state.as_str()).collect();
    let average = match states.len() {
        1 => Vec::new(),
        _ => line(&[&["average"], &states, &["--out", &averaged, "--force"]], &[&starting]),
    };
    add(Stage::Average, None, average, Some(&averaged));

    let recalibrated = in_folder("recalibrated.parquet");
    let command = line(
        &[&["recalibrate", &averaged, "--out", &recalibrated, "--force"]],
        &[&logs("--logs", &learned), &held_out, &reading],
    );
    add(Stage::Recalibrate, None, command, Some(&recalibrated));

    let pruned = in_folder("pruned.parquet");
    let measures = words(prune)?;
    let to_pack = if measures.is_empty() {
        add(Stage::Prune, None, Vec::new(), None);
        recalibrated
    } else {
        let command = line(
            &[&["prune", &recalibrated, "--out", &pruned, "--force", "--store", &plan.asked.store]],
            &[&measures, &logs("--held-out", &learned), &held_out, &reading],
        );
        add(Stage::Prune, None, command, Some(&pruned));
        pruned
    };

    let file = plan.file();
    let generation = plan.generation.to_string();
    let packing = ["pack", "--contract", contract, "--state", &to_pack, "--logic-id", &settings.logic_id];
    let command =
        line(&[&packing, &["--generation", &generation, "--out", &file]], &[&logs("--held-out", &newest), &reading]);
    add(Stage::Pack, None, command, Some(&file));

    let evaluation = in_folder("evaluation.json");
    let baseline: Vec<String> = plan.baseline.iter().map(|baseline| format!("--baseline={baseline}")).collect();
    let command = line(
        &[&["evaluate", &file, "--by-fields", "--json", &evaluation, "--force"]],
        &[&baseline, &logs("--logs", &newest), &time, &reading],
    );
    add(Stage::Evaluate, None, command, Some(&evaluation));

    let first: &[&str] = if plan.first { &["--first"] } else { &[] };
    let command = line(&[&["gate", &file, "--evaluation", &evaluation, "--store", &plan.asked.store], first], &[]);
    add(Stage::Gate, None, command, None);
    add(Stage::Preflight, None, line(&[&["preflight", &file]], &[&words(&settings.preflight)?]), None);
    add(Stage::Publish, None, line(&[&["publish", &file, "--to", &plan.asked.store]], &[]), None);
    Ok(steps)
}
