//! Plans the training of a day: finds the logs, decides whether the model continues or is rebuilt, and says which
//! commands follow.
//!
//! ```text
//! RUN/
//!     plan.json                what is learned, from which logs, in which shards, and by which commands
//!     DIGEST/                  what the commands make: shard-0001.parquet, average.parquet, ..., 000042.omomi
//! MODELS/
//!     latest.json              the model that was published last, from which the next run continues
//!     days/2026-01-05.json     whether the logs of a day were as on the days before
//! ```
//!
//! The same logs, settings and models give the same bytes of a plan. A run has one plan: a command that runs again
//! keeps it, so that a run which was interrupted goes on with what it began.

mod day;
mod decide;
mod settings;
mod stage;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use omomi::contract::Contract;
use omomi::error::{Error, Owner};
use omomi::store::Digest;
use serde::{Deserialize, Serialize};

use crate::bucket::{NewFile, Place, read_to_string};
use crate::learn::shards::{OneOf, Split, distribute};
use crate::log::{LogError, LogFile, LogReader, ReadOptions};

pub use day::Day;
pub use decide::{Decision, Known, LastModel, Mode, NoDecision, decide};
pub use settings::{Flags, FlowSettings, LogSettings, RebuildSettings, read_flags};
pub use stage::{Stage, Step};

/// The version of the form of a plan.
const VERSION: u32 = 1;
/// How much larger the largest shard of whole files may be than the smallest one. Beyond that, rows are distributed.
const MAX_SHARD_RATIO: u64 = 2;

/// What a plan was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The contract.
    pub contract: String,
    /// The folder of the logs, or its address.
    pub logs: String,
    /// The store, or its address.
    pub store: String,
    /// The folder of the models, or its address.
    pub models: String,
    /// The newest complete day.
    pub newest: Day,
    /// Number of shards.
    pub shards: u32,
}

/// What a plan depends on, besides the logs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlanOptions {
    /// What it was asked for.
    pub asked: Asked,
    /// The folder of the run, or its address.
    pub run: String,
    /// The path of the weight file that the store serves.
    pub served: Option<String>,
    /// The largest generation that the store has or had.
    pub last_generation: Option<u64>,
    /// Reads the logs.
    pub read: ReadOptions,
}

impl PlanOptions {
    /// Returns options for a store that has nothing.
    #[must_use]
    pub fn new(asked: Asked, run: impl Into<String>) -> Self {
        let read = ReadOptions::default();
        Self { asked, run: run.into(), served: None, last_generation: None, read }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A log that a plan names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedLog {
    /// Its path or address.
    pub path: String,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// A part of the logs, which one process learns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Its number, from 1.
    pub number: u32,
    /// Its files, if shards are whole files. Otherwise each shard reads all files and keeps its rows.
    pub logs: Vec<String>,
    /// The training state that it becomes.
    pub state: String,
}

/// The learning rate of shards that begin with nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The learning rate.
    pub alpha: f64,
    /// Number of passes over the logs.
    pub passes: u32,
}

/// What is learned, from which logs, in which shards, and by which commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of this form.
    pub omomi_plan: u32,
    /// Digest of everything that the commands depend on, as 16 hexadecimal digits.
    pub digest: String,
    /// Path or address of this plan.
    pub path: String,
    /// The folder of what the commands make.
    pub folder: String,
    /// What was asked for.
    pub asked: Asked,
    /// Fingerprint of the contract, as 16 hexadecimal digits.
    pub contract_fingerprint: String,
    /// Digest of the settings of training and pruning.
    pub settings: String,
    /// Whether the model continues or is rebuilt.
    pub mode: Mode,
    /// Why.
    pub why: String,
    /// The state to continue from.
    pub start: Option<String>,
    /// The newest day when the model was last trained from nothing.
    pub rebuilt_on: Day,
    /// The days that are learned.
    pub days: Vec<Day>,
    /// Days in between that no model learns.
    pub left_out: Vec<Day>,
    /// Generation of the weight file.
    pub generation: u64,
    /// Whether neither the store nor the models have ever had a file.
    pub first: bool,
    /// The served weight file.
    pub baseline: Option<String>,
    /// The learning rate of the shards, if they begin with nothing.
    pub rate: Option<Rate>,
    /// How rows are assigned to shards: `file` or `random`.
    pub split: String,
    /// The logs that are learned, in order.
    pub logs: Vec<PlannedLog>,
    /// The shards.
    pub shards: Vec<Shard>,
    /// The logs of the newest day, on which the file is evaluated.
    pub evaluation: Vec<PlannedLog>,
    /// Why nothing is trained: what is unlike the days before in the logs of the newest day.
    pub held_back: Vec<String>,
    /// The commands, in order.
    pub steps: Vec<Step>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A settings file is missing.
    #[error("{}: expected a file with settings, found none; omomi flow init writes one", path.display())]
    NoSettings {
        /// The file.
        path: PathBuf,
    },
    /// A settings file is wrong.
    #[error("{}: {message}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A settings file cannot be read.
    #[error(transparent)]
    Serving(Error),
    /// Logs cannot be listed or opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is nothing to train.
    #[error(transparent)]
    Decision(#[from] NoDecision),
    /// A file of plans cannot be read or written.
    #[error("{path}: cannot be {verb}")]
    File {
        /// The file.
        path: String,
        /// `read` or `written`.
        verb: &'static str,
        /// The error of the operating system or of the service.
        source: io::Error,
    },
    /// A file of plans has another form.
    #[error("{path}: expected a file that omomi plan wrote: {message}")]
    Form {
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// The run has a plan for something else.
    #[error(
        "{path} is the plan of a run with other inputs ({what}): expected a run with a folder of its own; give another --run"
    )]
    OtherPlan {
        /// The plan.
        path: String,
        /// What differs.
        what: &'static str,
    },
    /// A log is not what it was when the plan was made.
    #[error("{log} has changed since the plan was made: expected {expected} bytes, found {found}; plan a new run")]
    LogChanged {
        /// The log.
        log: String,
        /// Its length then.
        expected: u64,
        /// What is there now.
        found: String,
    },
    /// The plan was held back.
    #[error("the plan {path} is held back: {}; nothing is trained on these logs", reasons.join("; "))]
    HeldBack {
        /// The plan.
        path: String,
        /// Why.
        reasons: Vec<String>,
    },
    /// The plan has no such shard.
    #[error("the plan {path} has {count} shards: expected a number from 1 to {count}, found {found}")]
    NoShard {
        /// The plan.
        path: String,
        /// Number of its shards.
        count: usize,
        /// What was asked for.
        found: u32,
    },
}

impl PlanError {
    /// Returns who must act.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Self::Log(error) => error.owner(),
            Self::Serving(error) => error.owner(),
            Self::Decision(NoDecision::NothingNew { .. }) => Owner::Ml,
            Self::Decision(_) | Self::LogChanged { .. } | Self::HeldBack { .. } => Owner::Delivery,
            Self::File { .. } => Owner::Infra,
            _ => Owner::Ml,
        }
    }

    /// Returns whether the same command may succeed later, because logs are still to come.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Decision(NoDecision::NotYet { .. }))
    }
}

impl Plan {
    /// The path of the plan of a run.
    #[must_use]
    pub fn path_in(run: &str) -> String {
        join(run, "plan.json")
    }

    /// Reads a plan.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::File`] if it cannot be read, and [`PlanError::Form`] if it is no plan.
    pub fn read(path: &str) -> Result<Self, PlanError> {
        let failed = |source| PlanError::File { path: path.to_owned(), verb: "read", source };
        let form = |message: String| PlanError::Form { path: path.to_owned(), message };
        let plan: Self =
            serde_json::from_str(&read_to_string(path).map_err(failed)?).map_err(|error| form(error.to_string()))?;
        if plan.omomi_plan != VERSION {
            return Err(form(format!("expected version {VERSION}, found {}", plan.omomi_plan)));
        }
        Ok(plan)
    }

    /// Reads the plan of a run, if there is one.
    ///
    /// # Errors
    ///
    /// Returns those of [`Plan::read`].
    pub fn read_if_there(path: &str) -> Result<Option<Self>, PlanError> {
        match Self::read(path) {
            Err(PlanError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// The state that the next run continues from.
    #[must_use]
    pub fn state_to_continue_from(&self) -> String {
        match self.shards.as_slice() {
            [alone] => alone.state.clone(),
            _ => join(&self.folder, "average.parquet"),
        }
    }

    /// The weight file.
    #[must_use]
    pub fn file(&self) -> String {
        join(&self.folder, &format!("{:06}.omomi", self.generation))
    }

    /// The command of a stage, and of a shard if the stage has shards.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::HeldBack`] if nothing is to be trained, and [`PlanError::NoShard`] if there is no such
    /// shard.
    pub fn step(&self, stage: Stage, shard: Option<u32>) -> Result<&Step, PlanError> {
        if !self.held_back.is_empty() {
            return Err(PlanError::HeldBack { path: self.path.clone(), reasons: self.held_back.clone() });
        }
        let step = self.steps.iter().find(|step| step.stage == stage && (step.shard.is_none() || step.shard == shard));
        let (count, found) = (self.shards.len(), shard.unwrap_or(0));
        step.ok_or_else(|| PlanError::NoShard { path: self.path.clone(), count, found })
    }

    /// Checks that logs have the lengths that they had when the plan was made.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::LogChanged`] with the first log that has another one.
    pub fn check_logs(&self, files: &[LogFile]) -> Result<(), PlanError> {
        let found = |log: &PlannedLog| files.iter().find(|file| file.path.to_str() == Some(&log.path));
        for log in &self.logs {
            let found = found(log).map(|file| file.len_bytes);
            if found != Some(log.len_bytes) {
                let found = found.map_or_else(|| "nothing".to_owned(), |len| format!("{len} bytes"));
                return Err(PlanError::LogChanged { log: log.path.clone(), expected: log.len_bytes, found });
            }
        }
        Ok(())
    }

    /// How rows are assigned to the shards.
    #[must_use]
    pub fn split(&self) -> Split {
        if self.split == "file" { Split::File } else { Split::Random }
    }

    /// The shard with this number, as one of all.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::NoShard`] if there is no such shard.
    pub fn one_of(&self, number: u32) -> Result<OneOf, PlanError> {
        let count = u32::try_from(self.shards.len()).unwrap_or(u32::MAX);
        if number == 0 || number > count {
            return Err(PlanError::NoShard { path: self.path.clone(), count: self.shards.len(), found: number });
        }
        Ok(OneOf { number, count })
    }

    /// Names the plan by its digest, and adds its commands.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::Settings`] if settings are no flags.
    pub fn complete(mut self, settings: &FlowSettings, prune: &Flags) -> Result<Self, PlanError> {
        let wrong = |message: String| PlanError::Settings { path: "the settings".into(), message };
        self.digest = String::new();
        self.steps = Vec::new();
        let inputs = serde_json::to_vec(&self).map_err(|error| wrong(error.to_string()))?;
        self.digest = short(&inputs);
        self.folder = join(self.path.rsplit_once('/').map_or(".", |(run, _)| run), &self.digest);
        for shard in &mut self.shards {
            shard.state = join(&self.folder, &format!("shard-{:04}.parquet", shard.number));
        }
        self.steps = stage::steps(&self, settings, prune).map_err(wrong)?;
        Ok(self)
    }

    /// Writes the plan as JSON.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::File`] if it cannot be written.
    pub fn write(&self, replace: bool) -> Result<(), PlanError> {
        write_json(&self.path, self, replace)
    }

    /// Remembers the model as the one that the next run continues from.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::File`] if it cannot be written.
    pub fn remember(&self) -> Result<(), PlanError> {
        let last = LastModel {
            state: self.state_to_continue_from(),
            learned_until: self.asked.newest.plus(-1),
            rebuilt_on: self.rebuilt_on,
            generation: self.generation,
            contract: self.contract_fingerprint.clone(),
        };
        write_json(&latest_path(&self.asked.models), &last, true)
    }
}

/// Whether the logs of a day were as on the days before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayVerdict {
    /// Whether they were, or someone took them as they are.
    pub passed: bool,
    /// What was unlike the days before.
    pub reasons: Vec<String>,
}

impl DayVerdict {
    /// Writes what was found on a day.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::File`] if it cannot be written.
    pub fn write(&self, models: &str, day: Day) -> Result<(), PlanError> {
        write_json(&day_path(models, day), self, true)
    }
}

/// Plans a training: everything but the learning rate, the judgment about the newest day, and the commands.
///
/// # Errors
///
/// Returns [`PlanError`] if settings or models cannot be read, if logs that have to be there are not, or if there is
/// nothing to train.
pub fn draft(
    contract: &Contract,
    options: &PlanOptions,
    settings: &FlowSettings,
    prune: &Flags,
) -> Result<Plan, PlanError> {
    let asked = &options.asked;
    let last: Option<LastModel> = read_json(&latest_path(&asked.models))?;
    let fingerprint = format!("{:016x}", contract.fingerprint());
    let oldest = asked.newest.plus(-i64::from(settings.rebuild.days));
    let oldest = last.as_ref().map_or(oldest, |last| oldest.min(last.learned_until.plus(1)));
    let (mut with_logs, mut by_day) = (BTreeSet::new(), Vec::new());
    let mut left_out: BTreeSet<Day> = settings.logs.skip_days.iter().copied().collect();
    for day in oldest.up_to(asked.newest) {
        if day != asked.newest && read_json(&day_path(&asked.models, day))?.is_some_and(|it: DayVerdict| !it.passed) {
            left_out.insert(day);
        }
        if let Some(files) = logs_of(contract, options, settings, day)? {
            with_logs.insert(day);
            by_day.push((day, files));
        }
    }
    let decision = decide(&Known {
        newest: asked.newest,
        with_logs: &with_logs,
        left_out: &left_out,
        last: last.as_ref(),
        contract: &fingerprint,
        rebuild_after_days: i64::from(settings.rebuild.after_days),
        rebuild_days: i64::from(settings.rebuild.days),
    })?;
    let of_days = |wanted: &dyn Fn(Day) -> bool| -> Vec<LogFile> {
        let days = by_day.iter().filter(|(day, _)| wanted(*day));
        days.flat_map(|(_, files)| files.iter().cloned()).collect()
    };
    let learned = of_days(&|day| decision.days.contains(&day));
    let evaluation = of_days(&|day| day == asked.newest);
    let (split, shards) = shards_of(&learned, asked.shards);
    let last_generation = last.as_ref().map(|last| last.generation).max(options.last_generation);
    let continued = last.as_ref().filter(|_| decision.mode == Mode::Continue);
    let first_day = decision.days.first().copied().unwrap_or(asked.newest);
    Ok(Plan {
        omomi_plan: VERSION,
        digest: String::new(),
        path: Plan::path_in(&options.run),
        folder: String::new(),
        asked: asked.clone(),
        contract_fingerprint: fingerprint,
        settings: settings_digest(settings, prune),
        mode: decision.mode,
        why: decision.why,
        start: continued.map(|last| last.state.clone()),
        rebuilt_on: continued.map_or(asked.newest, |last| last.rebuilt_on),
        left_out: left_out.into_iter().filter(|&day| day > first_day && day < asked.newest).collect(),
        days: decision.days,
        generation: last_generation.unwrap_or(0) + 1,
        first: last.is_none() && options.last_generation.is_none() && options.served.is_none(),
        baseline: options.served.clone(),
        rate: None,
        split: split.to_string(),
        logs: planned(&learned),
        shards,
        evaluation: planned(&evaluation),
        held_back: Vec::new(),
        steps: Vec::new(),
    })
}

/// Returns why an earlier plan of the run cannot be kept, if it was made for something else.
///
/// # Errors
///
/// Returns [`PlanError::OtherPlan`] with what differs.
pub fn check_same(plan: &Plan, asked: &Asked, settings: &FlowSettings, prune: &Flags) -> Result<(), PlanError> {
    let differs = [
        (plan.asked.newest != asked.newest, "the newest day"),
        (plan.asked.logs != asked.logs, "the logs"),
        (plan.asked.store != asked.store, "the store"),
        (plan.asked.models != asked.models, "the models"),
        (plan.asked.shards != asked.shards, "the number of shards"),
        (plan.asked.contract != asked.contract, "the contract"),
        (plan.settings != settings_digest(settings, prune), "the settings"),
    ];
    match differs.into_iter().find(|(differs, _)| *differs) {
        Some((_, what)) => Err(PlanError::OtherPlan { path: plan.path.clone(), what }),
        None => Ok(()),
    }
}

fn settings_digest(settings: &FlowSettings, prune: &Flags) -> String {
    short(format!("{settings:?}\n{prune:?}").as_bytes())
}

fn short(bytes: &[u8]) -> String {
    let mut digest = Digest::of(bytes).to_string();
    digest.truncate(16);
    digest
}

fn planned(files: &[LogFile]) -> Vec<PlannedLog> {
    let log = |file: &LogFile| PlannedLog { path: file.path.display().to_string(), len_bytes: file.len_bytes };
    files.iter().map(log).collect()
}

/// Distributes whole files to shards where their sizes allow it, and rows otherwise.
fn shards_of(files: &[LogFile], count: u32) -> (Split, Vec<Shard>) {
    let shard = |(number, logs): (u32, Vec<String>)| Shard { number, logs, state: String::new() };
    let len = |files: &Vec<LogFile>| files.iter().map(|file| file.len_bytes).sum::<u64>();
    if let Ok(distributed) = distribute(files, count) {
        let (min, max) = (distributed.iter().map(len).min(), distributed.iter().map(len).max());
        if max.unwrap_or(0) <= min.unwrap_or(0).saturating_mul(MAX_SHARD_RATIO) {
            let paths = |files: Vec<LogFile>| files.iter().map(|file| file.path.display().to_string()).collect();
            return (Split::File, (1..).zip(distributed.into_iter().map(paths)).map(shard).collect());
        }
    }
    (Split::Random, (1..=count).map(|number| shard((number, Vec::new()))).collect())
}

/// Returns the logs of a day, or `None` if it has none.
fn logs_of(
    contract: &Contract,
    options: &PlanOptions,
    settings: &FlowSettings,
    day: Day,
) -> Result<Option<Vec<LogFile>>, PlanError> {
    let wrong = |message: String| PlanError::Settings { path: "flow.toml".into(), message };
    let pattern = join(&options.asked.logs, &day.by_pattern(&settings.logs.days).map_err(wrong)?);
    match LogReader::open(contract, &[pattern], options.read.clone()) {
        Ok(reader) => {
            reader.check_repeatable()?;
            Ok(Some(reader.files().to_vec()))
        }
        Err(LogError::NoMatch { .. } | LogError::NoLogs { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn latest_path(models: &str) -> String {
    join(models, "latest.json")
}

fn day_path(models: &str, day: Day) -> String {
    join(models, &format!("days/{day}.json"))
}

/// Returns the path or address of what has this name in a folder.
fn join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &str) -> Result<Option<T>, PlanError> {
    let text = match read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PlanError::File { path: path.to_owned(), verb: "read", source }),
    };
    let form = |error: serde_json::Error| PlanError::Form { path: path.to_owned(), message: error.to_string() };
    serde_json::from_str(&text).map(Some).map_err(form)
}

fn write_json(path: &str, value: &impl Serialize, replace: bool) -> Result<(), PlanError> {
    let failed = |source| PlanError::File { path: path.to_owned(), verb: "written", source };
    let mut text = serde_json::to_string_pretty(value).map_err(|error| failed(io::Error::other(error)))?;
    text.push('\n');
    let write = || {
        if let Ok(Place::Disk(path)) = Place::of(Path::new(path))
            && let Some(folder) = path.parent()
        {
            std::fs::create_dir_all(folder)?;
        }
        let file = NewFile::create(path, replace)?;
        (&mut file.file()).write_all(text.as_bytes())?;
        file.commit()
    };
    write().map_err(failed)
}
