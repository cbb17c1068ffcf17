//! The daily pipeline, with the settings of a newcomer: the steps of the commands, in one process.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use omomi::contract::Contract;
use omomi::error::Owner;
use omomi::score::Model;
use omomi::store::Store;
use omomi::weight_file::map::LoadMode;
use omomi::weight_file::table::Encoding;

use super::accidents::Mishap;
use super::world::CONTRACT;
use crate::evaluate::{By, EvaluateError, EvaluateOptions, Evaluation, Metrics, evaluate, evaluate_files};
use crate::judge::gate::{
    Declared, Figures, GateError, GateOptions, GateSettings, Profile, SliceFigure, Verdict, compare_day, gate,
    profile_day,
};
use crate::learn::recalibrate::{RecalibrateError, RecalibrateOptions, recalibrate};
use crate::learn::state::{StateError, StateReader};
use crate::learn::tune::{TuneError, search};
use crate::learn::{Sampling, Settings, StartOptions, TrainError, TrainOptions, train};
use crate::log::{LogReader, ReadOptions};
use crate::operate::publish::{BlessingPolicy, PublishError, PublishOptions, Verifier, publish};
use crate::operate::served::{Served, served};
use crate::pack::{DEFAULT_CALIBRATOR, PackOptions, pack};

/// A step of the pipeline that can refuse a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `omomi profile`.
    Profile,
    /// `omomi train`, `recalibrate`.
    Train,
    /// `omomi pack`.
    Pack,
    /// `omomi gate`, whose answer was *held back*.
    Gate,
    /// `omomi gate`, whose answer was *cannot tell*.
    CannotTell,
    /// `omomi publish`.
    Publish,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Profile => "profile",
            Self::Train => "train",
            Self::Pack => "pack",
            Self::Gate => "gate",
            Self::CannotTell => "gate: cannot tell",
            Self::Publish => "publish",
        })
    }
}

/// A step refused a day.
#[derive(Debug, Clone)]
pub struct Caught {
    /// The step.
    pub stage: Stage,
    /// Its first reason, in its own words.
    pub words: String,
    /// Who must act; `None` if the words do not say it.
    pub owner: Option<Owner>,
}

/// Why a simulation stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonthError {
    /// A file of the simulation cannot be read or written.
    #[error("the simulation cannot read or write its files")]
    Io(#[from] io::Error),
    /// A step that has to work does not.
    #[error("the simulation cannot {action}: {words}")]
    Step {
        /// What it tried.
        action: &'static str,
        /// What went wrong.
        words: String,
    },
}

/// What happens on a day.
pub(super) struct Today<'a> {
    /// Number of the day.
    pub(super) number: u32,
    /// Its log.
    pub(super) log: &'a Path,
    pub(super) mishap: Option<Mishap>,
}

impl<'a> Today<'a> {
    pub(super) const fn healthy(number: u32, log: &'a Path) -> Self {
        Self { number, log, mishap: None }
    }
}

/// The pipeline of one store.
pub(super) struct Pipeline {
    folder: PathBuf,
    contract: Contract,
    with_times: bool,
    verifier: Verifier,
    /// The slices of the file that was judged last.
    slices: Vec<SliceFigure>,
}

/// The first refusal of a day, or what a step made.
type Step<T> = Result<T, Caught>;

fn caught(stage: Stage) -> impl Fn(&dyn Error) -> Caught {
    move |error| Caught { stage, words: words(error), owner: None }
}

/// Returns the message of an error and of its causes.
fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn failed(action: &'static str) -> impl Fn(Caught) -> MonthError {
    move |caught| MonthError::Step { action, words: caught.words }
}

impl Pipeline {
    pub(super) fn new(folder: &Path, with_times: bool, verifier: Verifier) -> Result<Self, MonthError> {
        let contract = crate::toml::parse_contract(CONTRACT)
            .map_err(|faults| MonthError::Step { action: "read its contract", words: faults.to_string() })?;
        for name in ["logs", "states", "files", "store"] {
            fs::create_dir_all(folder.join(name))?;
        }
        Ok(Self { folder: folder.to_owned(), contract, with_times, verifier, slices: Vec::new() })
    }

    /// Returns this pipeline in a copy of its folder.
    pub(super) fn in_folder(&self, folder: &Path) -> Self {
        let Self { contract, with_times, verifier, .. } = self;
        let (contract, verifier) = (contract.clone(), verifier.clone());
        Self { folder: folder.to_owned(), contract, with_times: *with_times, verifier, slices: Vec::new() }
    }

    /// Returns the slices of the file that the gate judged last, and forgets them.
    pub(super) fn take_slices(&mut self) -> Vec<SliceFigure> {
        std::mem::take(&mut self.slices)
    }

    fn log_path(&self, day: u32) -> PathBuf {
        self.folder.join(format!("logs/day-{day}.csv"))
    }

    /// The state that has learned all days up to this one.
    fn state(&self, day: u32) -> PathBuf {
        self.folder.join(format!("states/{day}.parquet"))
    }

    fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Writes a log that only its profile is made of.
    pub(super) fn write_other_log(&self, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.join("logs/other.csv");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Writes the log of a day, and removes what no later day needs.
    pub(super) fn write_log(&self, day: u32, text: &str) -> io::Result<PathBuf> {
        let path = self.log_path(day);
        fs::write(&path, text)?;
        if let Some(old) = day.checked_sub(5) {
            let _ = fs::remove_file(self.log_path(old));
            let _ = fs::remove_file(self.state(old));
        }
        Ok(path)
    }

    fn served(&self) -> Result<Option<Served>, omomi::error::Error> {
        served(&Store::new(self.store()))
    }

    fn read(&self) -> ReadOptions {
        ReadOptions { time_column: Some("timestamp".to_owned()), ..ReadOptions::default() }
    }

    fn evaluation(&self, files: Vec<PathBuf>, log: &Path, by: By) -> EvaluateOptions {
        let logs = vec![log.display().to_string()];
        EvaluateOptions::new(files, logs).with(|it| {
            it.read = self.read();
            it.by = by;
        })
    }

    /// Returns the metrics of what is served on a log.
    pub(super) fn served_metrics(&self, log: &Path) -> Result<Metrics, MonthError> {
        let failed = |error: &dyn Error| MonthError::Step { action: "score the rows of a day", words: words(error) };
        let served = self.served().map_err(|error| failed(&error))?;
        let path = served.map(|served| served.path).unwrap_or_default();
        let model = Model::load(&path, LoadMode::Map).map_err(|error| failed(&error))?;
        let patterns = [log.display().to_string()];
        let reader = LogReader::open(&self.contract, &patterns, ReadOptions::default());
        let mut reader = reader.map_err(|error| failed(&error))?;
        evaluate(&model, &mut reader, &mut |_| ()).map_err(|error| failed(&error))
    }

    /// Learns the first days from nothing, and publishes the first file.
    pub(super) fn begin(&mut self, day: u32, log: &Path) -> Result<(), MonthError> {
        let logs = (0..day).map(|day| self.log_path(day)).collect();
        let state = self.state(day - 1);
        self.train(logs, None, &state).map_err(failed("train its first model"))?;
        let file = self.pack(&state, log, day).map_err(failed("pack its first model"))?;
        // If the first file is held back, people publish it all the same: a month has to begin.
        let blessing = self.gate(&file, log, Declared::First, None).is_err().then_some(BlessingPolicy::Off);
        self.publish(&file, blessing).map_err(failed("publish its first model"))
    }

    /// Takes all steps of a day. Returns the first refusal.
    pub(super) fn day(&mut self, today: &Today<'_>) -> Result<Option<Caught>, MonthError> {
        let outcome = self.steps(today);
        let Ok(outcome) = outcome else { return Ok(outcome.err()) };
        Ok(outcome)
    }

    fn steps(&mut self, today: &Today<'_>) -> Step<Option<Caught>> {
        let day = today.number;
        if today.mishap == Some(Mishap::StoreLost) {
            let emptied = fs::remove_dir_all(self.store()).and_then(|()| fs::create_dir(self.store()));
            emptied.map_err(|error| caught(Stage::Profile)(&error))?;
        }
        let profile = self.profile(today.log, None)?;
        if let Some(jump) = profile.jumps.first().filter(|_| !profile.passed()) {
            let [low, high] = jump.expected;
            let words = format!("{}: expected {low:.4} to {high:.4}, found {:.4}", jump.figure, jump.found);
            return Ok(Some(Caught { stage: Stage::Profile, words, owner: Some(jump.owner) }));
        }
        let file = match today.mishap {
            Some(Mishap::ServedFileAgain) => self.served_file()?,
            _ => {
                let state = self.learn(today)?;
                self.pack(&state, today.log, day)?
            }
        };
        let (mut log, mut baseline, mut declared) = (today.log.to_owned(), None, Declared::Replacement);
        match today.mishap {
            Some(Mishap::SmallEvaluation) => log = self.part_of(today.log, 100)?,
            Some(Mishap::OldBaseline) => baseline = Some(self.folder.join("files/000002.omomi")),
            Some(Mishap::FirstAlthoughServed) => declared = Declared::First,
            _ => {}
        }
        self.gate(&file, &log, declared, baseline)?;
        if today.mishap == Some(Mishap::OvertakenPublication) {
            let other = self.pack(&self.state(day - 2), today.log, day + 1)?;
            self.publish(&other, Some(BlessingPolicy::Off))?;
        }
        self.publish(&file, None)?;
        Ok(None)
    }

    /// Takes a log as it is, as people do who have looked at it.
    pub(super) fn accept(&self, log: &Path) -> Result<(), MonthError> {
        self.profile(log, Some("looked at it")).map(|_| ()).map_err(failed("accept a healthy day"))
    }

    fn profile(&self, log: &Path, accept: Option<&str>) -> Step<Profile> {
        let evaluation = self.served_evaluation(log)?;
        let refused = |error: GateError| Caught { owner: Some(error.owner()), ..caught(Stage::Profile)(&error) };
        profile_day(self.store(), &evaluation.rows, &evaluation.models[0], &GateSettings::default(), accept)
            .map_err(refused)
    }

    /// Compares a log with the days before, and records nothing.
    pub(super) fn compare(&self, log: &Path) -> Step<Profile> {
        let evaluation = self.served_evaluation(log)?;
        compare_day(&self.store(), &evaluation.rows, &evaluation.models[0], &GateSettings::default(), None)
            .map_err(|error| caught(Stage::Profile)(&error))
    }

    fn served_evaluation(&self, log: &Path) -> Step<Evaluation> {
        let served = self.served().map_err(|error| caught(Stage::Profile)(&error))?.ok_or_else(|| Caught {
            stage: Stage::Profile,
            words: "the store serves nothing: expected a weight file to read the logs with".to_owned(),
            owner: Some(Owner::Infra),
        })?;
        let refused = |error: EvaluateError| Caught { owner: Some(error.owner()), ..caught(Stage::Profile)(&error) };
        evaluate_files(&self.evaluation(vec![served.path], log, By::Columns(Vec::new())), &mut |_| ()).map_err(refused)
    }

    /// Learns the day before, and returns the state to pack.
    fn learn(&self, today: &Today<'_>) -> Step<PathBuf> {
        let day = today.number;
        let (before, after) = (self.state(day - 2), self.state(day - 1));
        let yesterday = self.log_path(day - 1);
        match today.mishap {
            Some(Mishap::Stuck) => return Ok(before),
            Some(Mishap::LearnedTwice) => self.train(vec![self.log_path(day - 2)], Some(&before), &after)?,
            Some(Mishap::FewTrainingRows) => self.train(vec![self.part_of(&yesterday, 100)?], None, &after)?,
            Some(Mishap::WildLearningRate) => {
                self.train_with(vec![yesterday], None, &after, |options| options.settings.alpha = 5.0)?;
            }
            Some(Mishap::OtherLearningRate) => {
                self.train_with(vec![yesterday], Some(&before), &after, |options| options.settings.alpha = 0.5)?;
            }
            _ => self.train(vec![yesterday], Some(&before), &after)?,
        }
        match today.mishap {
            Some(Mishap::EvaluationLearned) => {
                let learned = self.folder.join("states/learned.parquet");
                let logs = vec![today.log.to_owned()];
                self.train_with(logs, Some(&after), &learned, |options| options.passes = 20)?;
                Ok(learned)
            }
            Some(Mishap::EvaluationRecalibrated) => {
                let options = RecalibrateOptions {
                    state: after,
                    logs: vec![today.log.display().to_string()],
                    read: ReadOptions::default(),
                    out: self.folder.join("states/recalibrated.parquet"),
                    replace: false,
                    arguments: Vec::new(),
                };
                let refused =
                    |error: RecalibrateError| Caught { owner: Some(error.owner()), ..caught(Stage::Train)(&error) };
                recalibrate(&options, &mut |_| ()).map_err(refused)?;
                Ok(options.out)
            }
            _ => Ok(after),
        }
    }

    fn train(&self, logs: Vec<PathBuf>, start: Option<&Path>, state: &Path) -> Step<()> {
        self.train_with(logs, start, state, |_| ())
    }

    fn train_with(
        &self,
        logs: Vec<PathBuf>,
        start: Option<&Path>,
        state: &Path,
        change: impl FnOnce(&mut TrainOptions),
    ) -> Step<()> {
        let read = if self.with_times { self.read() } else { ReadOptions::default() };
        // A run that goes on has the settings of its state; one from nothing searches for them.
        let settings = match start {
            Some(state) => {
                let refused = |error: StateError| Caught { owner: Some(error.owner()), ..caught(Stage::Train)(&error) };
                StateReader::open(state).map_err(refused)?.metadata().settings
            }
            None => Settings::default(),
        };
        let mut options = TrainOptions {
            logs: logs.iter().map(|log| log.display().to_string()).collect(),
            held_out: Vec::new(),
            read,
            settings,
            sampling: Sampling::default(),
            start: start.map(|state| StartOptions {
                state: state.to_owned(),
                decay_per_day: 1.0,
                age_days: None,
                forget_unseen_days: None,
                shares: 1,
            }),
            passes: 1,
            search: None,
            last_iterates: false,
            cache: None,
            state: state.to_owned(),
            replace: true,
            again: false,
            arguments: Vec::new(),
        };
        if start.is_none() {
            let refused = |error: TuneError| Caught { owner: Some(error.owner()), ..caught(Stage::Train)(&error) };
            let outcome = search(&self.contract, &options, &mut |_| ()).map_err(refused)?;
            if let Ok(found) = outcome {
                (options.settings, options.passes, options.search) = (found.settings, found.passes, Some(found));
            }
        }
        change(&mut options);
        let refused = |error: TrainError| Caught { owner: Some(error.owner()), ..caught(Stage::Train)(&error) };
        train(&self.contract, &options, &mut |_| ()).map(|_| ()).map_err(refused)
    }

    fn pack(&self, state: &Path, log: &Path, generation: u32) -> Step<PathBuf> {
        let out = self.folder.join(format!("files/{generation:06}.omomi"));
        let options = PackOptions {
            state: state.to_owned(),
            held_out: vec![log.display().to_string()],
            read: ReadOptions::default(),
            logic_id: "month-v1".to_owned(),
            generation: u64::from(generation),
            calibrator: DEFAULT_CALIBRATOR,
            encoding: Encoding::default(),
        };
        // A day that people took after all is packed again.
        if out.exists() {
            fs::remove_file(&out).map_err(|error| caught(Stage::Pack)(&error))?;
        }
        pack(&self.contract, &options, &out, &mut |_| ()).map_err(|error| caught(Stage::Pack)(&error))?;
        Ok(out)
    }

    fn gate(&mut self, file: &Path, log: &Path, declared: Declared, baseline: Option<PathBuf>) -> Step<()> {
        let logs = EvaluateOptions { baseline, ..self.evaluation(vec![file.to_owned()], log, By::Fields) };
        let options = GateOptions {
            file: file.to_owned(),
            figures: Figures::Logs(Box::new(logs)),
            settings: GateSettings::default(),
            settings_source: "the built-in settings".to_owned(),
            declared,
            store: Some(self.store()),
        };
        let refused = |error: GateError| Caught { owner: Some(error.owner()), ..caught(Stage::Gate)(&error) };
        let verdict = gate(&options, &mut |_| ()).map_err(refused)?;
        let refusal = refusal(&verdict);
        self.slices = verdict.slices;
        refusal.map_or(Ok(()), Err)
    }

    fn publish(&self, file: &Path, blessing: Option<BlessingPolicy>) -> Step<()> {
        let verifier = self.verifier.clone();
        let options = PublishOptions { file: file.to_owned(), verifier, signature: None, blessing };
        let refused = |error: PublishError| Caught { owner: Some(error.owner()), ..caught(Stage::Publish)(&error) };
        publish(&Store::new(self.store()), &options, &mut |_| ()).map(|_| ()).map_err(refused)
    }

    fn served_file(&self) -> Step<PathBuf> {
        let served = self.served().map_err(|error| caught(Stage::Gate)(&error))?;
        Ok(served.map(|served| served.path).unwrap_or_default())
    }

    /// Writes the first rows of a log, one of `parts` parts.
    fn part_of(&self, log: &Path, parts: usize) -> Step<PathBuf> {
        let write = || -> io::Result<PathBuf> {
            let text = fs::read_to_string(log)?;
            let count = text.lines().count() / parts;
            let path = self.folder.join("logs/part.csv");
            fs::write(&path, text.lines().take(count).map(|line| format!("{line}\n")).collect::<String>())?;
            Ok(path)
        };
        write().map_err(|error| caught(Stage::Train)(&error))
    }
}

/// Returns the first reason of a file that did not pass.
fn refusal(verdict: &Verdict) -> Option<Caught> {
    let reason = *verdict.reasons().first()?;
    let is_held = reason.answer == crate::judge::gate::Answer::HeldBack;
    let name = match &reason.subject {
        Some(subject) => format!("{}: {subject}", reason.name),
        None => reason.name.clone(),
    };
    let words = format!("{name}: expected {}, found {}", reason.expected, reason.found);
    Some(Caught { stage: if is_held { Stage::Gate } else { Stage::CannotTell }, words, owner: Some(reason.owner) })
}
