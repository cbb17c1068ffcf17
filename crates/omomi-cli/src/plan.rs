//! `omomi plan`: finds the logs of a training, decides what is learned, and writes which commands follow.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::FromArgMatches;
use omomi::store::Store;
use omomi_train::learn::shards::shard_alpha;
use omomi_train::log::parse_time_us;
use omomi_train::operate::bucket_store::Needs;
use omomi_train::operate::served::served;
use omomi_train::plan::{
    Asked, Day, DayVerdict, Flags, FlowSettings, Mode, Plan, PlanError, PlanOptions, Rate, check_same, draft,
    read_flags,
};
use serde_json::json;

use crate::contract::read_contract;
use crate::output::{note, one_line, say};
use crate::refusal::print_json;
use crate::stores::{NamedStore, StoreError};
use crate::text::{bytes, grouped, table};
use crate::{Cli, Command, Failure, command, places, profile, train};

/// Plan the training of a day: find its logs, check them, and decide whether the model continues or is rebuilt
///
/// Reads contract.toml, flow.toml and prune.toml in --project. The newest complete day before --until is not learned:
/// its logs are compared with those of the days before, as omomi profile does, and the new file is evaluated on them.
/// The days since the last model are learned; days whose logs were unlike those before are left out. RUN/plan.json
/// names the logs, the shards and the command of each stage; omomi stage runs them, and omomi train --shards takes it,
/// too.
///
/// A run has one plan: if it exists and was made for the same inputs, it is kept.
///
/// Exit code 0: planned. 3: the logs of the newest day are unlike those before, and nothing should be trained. 75: the
/// newest day has no logs yet, or a bucket could not be reached. 1: failed. 2: misuse of the command line.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder with contract.toml, flow.toml and prune.toml
    #[arg(long, value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// Folder of this run, for plan.json and what the stages make
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder of the logs; flow.toml says where those of a day are in it
    #[arg(long, value_name = "DIR")]
    logs: PathBuf,
    /// Directory of the store that the file will be published to
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Folder that remembers the last model, and which days were held back
    #[arg(long, value_name = "DIR")]
    models: PathBuf,
    /// Number of shards
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shards: u32,
    /// Use the logs of complete days before this time, such as 2026-01-12T03:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
    /// Take the newest day as it is, for this reason, which is recorded: see omomi profile --accept
    #[arg(long, value_name = "REASON")]
    accept: Option<String>,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// The logs of the newest day are unlike those of the days before.
#[derive(Debug, thiserror::Error)]
#[error("held back: the logs of {day} are unlike those of the days before: {}", reasons.join("; "))]
pub(crate) struct HeldBack {
    day: Day,
    reasons: Vec<String>,
}

fn parse_time(text: &str) -> Result<i64, String> {
    parse_time_us(text, None, false).ok_or_else(|| "expected a time such as 2026-01-12T03:00:00Z".to_owned())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let contract_path = arguments.project.join("contract.toml");
    let contract = read_contract(&contract_path)?;
    let settings = FlowSettings::read(&arguments.project.join("flow.toml"))?;
    let prune = read_flags(&arguments.project.join("prune.toml"))?;
    let text = |path: &Path| path.display().to_string();
    let now_us =
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| i64::try_from(it.as_micros()).unwrap_or(0));
    let asked = Asked {
        contract: text(&contract_path),
        logs: text(&arguments.logs),
        store: text(&arguments.store),
        models: text(&arguments.models),
        newest: Day::of_time_us(arguments.until.unwrap_or_else(now_us)).plus(-1),
        shards: arguments.shards,
    };
    let run = text(&arguments.run);
    let kept = Plan::read_if_there(&Plan::path_in(&run))?;
    if let Some(plan) = &kept {
        check_same(plan, &asked, &settings, &prune)?;
        if plan.held_back.is_empty() || arguments.accept.is_none() {
            note!("the run has this plan already: {}", plan.path);
            return report(arguments, plan);
        }
    }
    let named = NamedStore::open(&arguments.store)?;
    let store = named.read(Needs::default())?;
    let (served, last_generation) = generations(store)?;
    let options = PlanOptions::new(asked, run).with(|it| {
        it.served = served.map(|generation| format!("{}/generations/{generation:06}.omomi", it.asked.store));
        it.last_generation = last_generation;
    });
    drop(named);
    let mut plan = draft(&contract, &options, &settings, &prune)?;
    judge_newest(arguments, &settings, &mut plan)?;
    if plan.held_back.is_empty() && plan.mode == Mode::Rebuild && plan.shards.len() > 1 {
        plan.rate = Some(rate(arguments, &settings, &plan, &prune)?);
    }
    let plan = plan.complete(&settings, &prune)?;
    // Settings that are no flags of their commands are misuse that is found before hours of training.
    for step in plan.steps.iter().filter(|step| !step.command.is_empty()) {
        parsed(&step.command).map_err(|problem| PlanError::Settings {
            path: arguments.project.join("flow.toml"),
            message: format!("its flags and those of prune.toml do not fit `omomi {}`: {problem}", step.stage),
        })?;
    }
    plan.write(kept.is_some())?;
    report(arguments, &plan)
}

/// Returns the served generation, and the largest one that the store has or had.
fn generations(store: &Store) -> Result<(Option<u64>, Option<u64>), Failure> {
    let failed = |error| Failure::from(StoreError::Store(omomi_train::operate::publish::PublishError::from(error)));
    let served = served(store).map_err(failed)?.map(|served| served.generation);
    let current = store.read_current().map_err(failed)?.map(|current| current.generation);
    let largest = store.generations().map_err(failed)?.into_iter().max();
    Ok((served, served.max(current).max(largest)))
}

/// Parses a command line of omomi.
pub(crate) fn parsed(words: &[String]) -> Result<Command, clap::Error> {
    let words = std::iter::once("omomi").chain(words.iter().map(String::as_str));
    let matches = places::with_places(command()).try_get_matches_from(words)?;
    Ok(Cli::from_arg_matches(&matches)?.command)
}

/// Compares the logs of the newest day with those of the days before, if something is served that can read them.
fn judge_newest(arguments: &Arguments, settings: &FlowSettings, plan: &mut Plan) -> Result<(), Failure> {
    if plan.baseline.is_none() {
        return Ok(());
    }
    let mut words = vec!["profile".to_owned(), "--store".to_owned(), plan.asked.store.clone()];
    words.extend(settings.logs.time_column.iter().map(|column| format!("--time-column={column}")));
    words.extend(arguments.accept.iter().map(|reason| format!("--accept={reason}")));
    words.extend(settings.log_words()?);
    words.extend(arguments.quiet.then(|| "--quiet".to_owned()));
    words.push("--logs".to_owned());
    words.extend(plan.evaluation.iter().map(|log| log.path.clone()));
    let Command::Profile(profiling) = parsed(&words)? else { return Err("omomi profile is another command".into()) };
    let jumps = profile::jumps(&profiling)?;
    let words = jumps.iter().map(|jump| {
        let [low, high] = jump.expected;
        format!("{}: expected {low:.4} to {high:.4}, found {:.4}", jump.figure, jump.found)
    });
    plan.held_back = words.collect();
    let verdict = DayVerdict { passed: plan.held_back.is_empty(), reasons: plan.held_back.clone() };
    Ok(verdict.write(&plan.asked.models, plan.asked.newest)?)
}

/// Returns the learning rate of shards that begin with nothing: given, or searched for.
fn rate(arguments: &Arguments, settings: &FlowSettings, plan: &Plan, prune: &Flags) -> Result<Rate, Failure> {
    // The command of a single process says how logs are read.
    let mut alone = plan.clone();
    alone.shards.truncate(1);
    let alone = alone.complete(settings, prune)?;
    let mut words = alone.steps.first().map(|step| step.command.clone()).unwrap_or_default();
    // The search keeps its rows beside the state, which may be in a bucket, and whose folder does not exist yet.
    if let Some(state) = words.iter_mut().skip_while(|word| *word != "--state").nth(1) {
        *state = std::env::temp_dir().join("omomi-plan.parquet").display().to_string();
    }
    words.extend(arguments.quiet.then(|| "--quiet".to_owned()));
    let Command::Train(training) = parsed(&words)? else { return Err("omomi train is another command".into()) };
    let (alpha, passes) = train::rate(&training)?;
    Ok(Rate { alpha: shard_alpha(alpha, arguments.shards, passes), passes })
}

fn report(arguments: &Arguments, plan: &Plan) -> Result<(), Failure> {
    if arguments.json {
        print_json(&serde_json::to_value(plan).unwrap_or_else(|error| json!({ "error": error.to_string() })));
    } else {
        print_plan(plan);
    }
    if plan.held_back.is_empty() {
        return Ok(());
    }
    Err(HeldBack { day: plan.asked.newest, reasons: plan.held_back.clone() }.into())
}

fn print_plan(plan: &Plan) {
    let days = |days: &[Day]| days.iter().map(Day::to_string).collect::<Vec<_>>().join(", ");
    let len = |logs: &[omomi_train::plan::PlannedLog]| bytes(logs.iter().map(|log| log.len_bytes).sum());
    let mode = match plan.mode {
        Mode::Continue => "continue",
        Mode::Rebuild => "rebuild",
    };
    let mut rows = vec![
        vec!["model".to_owned(), format!("{mode}: {}", one_line(&plan.why))],
        vec!["learned".to_owned(), format!("{} ({} files, {})", days(&plan.days), plan.logs.len(), len(&plan.logs))],
    ];
    if !plan.left_out.is_empty() {
        rows.push(vec!["left out".to_owned(), days(&plan.left_out)]);
    }
    let newest = format!("{} ({} files, {})", plan.asked.newest, plan.evaluation.len(), len(&plan.evaluation));
    rows.push(vec!["evaluated on".to_owned(), newest]);
    rows.push(vec!["shards".to_owned(), format!("{}, by {}", grouped(plan.shards.len() as u64), plan.split)]);
    if let Some(rate) = plan.rate {
        rows.push(vec!["alpha".to_owned(), format!("{} (of the shards), passes: {}", rate.alpha, rate.passes)]);
    }
    rows.push(vec![
        "generation".to_owned(),
        format!("{:06}{}", plan.generation, if plan.first { ", the first" } else { "" }),
    ]);
    rows.push(vec!["plan".to_owned(), format!("{} ({})", plan.path, plan.digest)]);
    say!("{}", table(&[], rows));
    for reason in &plan.held_back {
        say!("\nheld back: {}", one_line(reason));
    }
}
