//! The gate: decides whether a weight file may be published, and gives every reason against it.
//!
//! ```text
//! evaluation, settings, what the store serves --judge--> checks --> passed | cannot tell | held back
//! ```
//!
//! The decision ([`judge`]) is a pure function. Limits apply to intervals: a figure that is worse than allowed only by
//! chance does not hold a file back, and one that is better only by chance does not let it pass. The answer is then
//! *cannot tell*, with the number of clicks that are wanted.
//!
//! With a store, the baseline is what the store serves. A file that is its own baseline, or has the same weights under
//! another name, is held back. A file that is declared the first, or to have no baseline for a named reason, has to
//! meet bars of its own.
//!
//! A file that passes gets a blessing: the file `000042.blessing.json` beside `000042.omomi`, which
//! [publishing](crate::operate::publish) requires. It names the digests of the file, the baseline and the settings.
//! Publishing refuses it if the store serves another file by then. A file that does not pass loses its earlier
//! blessing.
//!
//! A blessing protects against mistakes. It contains the digest of its file, so it is invalid for other bytes: sign a
//! file before the gate, not afterwards. It does not protect against forgery; signatures do.

mod checks;
mod interval;
pub mod settings;
mod slices;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bucket::{self, load_model};
use crate::evaluate::{
    Comparison, EvaluateError, EvaluateOptions, EvaluatedRows, Evaluation, EvaluationFileError, ModelEvaluation,
    Overall, evaluate_files,
};
use crate::judge::history::{Bands, CalibrationMoves, Day, History, Jump, calibration_moves, counted_otherwise};
use crate::log::LogReader;
use crate::operate::publish::{Blessing, PublishError, Replaces, WithoutBaseline, blessing_path, check_size};
use crate::operate::served::served;
use crate::settings::{NoSettings, SettingsFaults};
use omomi::error::{Error, Owner};
use omomi::store::{Digest, Store};
use omomi::weight_file::map::LoadMode;

pub use checks::{Candidate, Check, Declared, StoreFacts, judge};
pub use interval::Answer;
pub use settings::GateSettings;
pub use slices::{SliceFigure, slice_figures};

/// What to judge, and by which settings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GateOptions {
    /// The weight file.
    pub file: PathBuf,
    /// Source of the metrics.
    pub figures: Figures,
    /// The settings of the gate.
    pub settings: GateSettings,
    /// Where the settings came from, in words.
    pub settings_source: String,
    /// What the file claims to replace.
    pub declared: Declared,
    /// The store to publish to. What it serves is the baseline, and its size limits are checked.
    pub store: Option<PathBuf>,
}

impl GateOptions {
    /// Returns options with the built-in settings, for a file that replaces another one, and no store.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, figures: Figures) -> Self {
        Self {
            file: file.into(),
            figures,
            settings: GateSettings::default(),
            settings_source: "the built-in settings".to_owned(),
            declared: Declared::Replacement,
            store: None,
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Source of the metrics of a weight file.
#[derive(Debug, Clone)]
pub enum Figures {
    /// This evaluation file.
    Evaluation(PathBuf),
    /// An evaluation of these logs. The files in the options are ignored: only the judged file is evaluated.
    Logs(Box<EvaluateOptions>),
}

/// The result of the gate.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// All checks.
    pub checks: Vec<Check>,
    /// All slices with enough clicks to say something, worst first.
    pub slices: Vec<SliceFigure>,
    /// Path of the blessing that was written; `None` unless the file passed.
    pub blessing: Option<PathBuf>,
}

impl Verdict {
    /// Returns whether the file may be published.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.blessing.is_some()
    }

    /// Returns the answer of all checks together.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer::of_all(self.checks.iter().map(|check| check.answer))
    }

    /// Returns the checks that did not pass: first those that hold the file back.
    #[must_use]
    pub fn reasons(&self) -> Vec<&Check> {
        let mut reasons: Vec<&Check> = self.checks.iter().filter(|check| !check.passed()).collect();
        reasons.sort_by_key(|check| check.answer != Answer::HeldBack);
        reasons
    }
}

/// Why a weight file could not be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A file cannot be read.
    #[error(transparent)]
    Serving(#[from] Error),
    /// The file `gate.toml` does not exist.
    #[error("{} does not exist: expected the settings of the gate", path.display())]
    NoSettings {
        /// The file.
        path: PathBuf,
    },
    /// `gate.toml` is not valid.
    #[error(transparent)]
    Settings(#[from] SettingsFaults),
    /// The evaluation file cannot be read.
    #[error(transparent)]
    EvaluationFile(#[from] EvaluationFileError),
    /// The logs cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The evaluation does not contain the weight file.
    #[error(
        "the evaluation {} does not contain {}: expected the digest {expected}, found {}; evaluate this file",
        evaluation.display(), file.display(), found.join(", ")
    )]
    OtherFile {
        /// The evaluation file.
        evaluation: PathBuf,
        /// The weight file.
        file: PathBuf,
        /// The digest of the weight file.
        expected: Digest,
        /// Digests of the files that were evaluated.
        found: Vec<String>,
    },
    /// The store does not exist.
    #[error(
        "the store {} does not exist: expected its directory; correct --store, or create the directory for a first file",
        dir.display()
    )]
    NoStore {
        /// The expected directory.
        dir: PathBuf,
    },
    /// The history of a store cannot be read or written.
    #[error("cannot {action} the history of the store {}", store.display())]
    History {
        /// The attempted action.
        action: &'static str,
        /// The store.
        store: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(Box<PublishError>),
    /// The blessing cannot be written, or an earlier one cannot be removed.
    #[error("cannot {action} the blessing {}", path.display())]
    Blessing {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

impl GateError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Self::Serving(error) => error.owner(),
            Self::NoSettings { .. } | Self::Settings(_) | Self::EvaluationFile(_) | Self::OtherFile { .. } => Owner::Ml,
            Self::Evaluate(error) => error.owner(),
            Self::NoStore { .. } | Self::History { .. } | Self::Blessing { .. } => Owner::Infra,
            Self::Store(error) => error.owner(),
        }
    }
}

impl From<NoSettings> for GateError {
    fn from(error: NoSettings) -> Self {
        match error {
            NoSettings::Unreadable(error) => error.into(),
            NoSettings::Faults(faults) => faults.into(),
        }
    }
}

/// Judges a weight file, and writes its blessing if every check passes. Calls `watch` after each batch of rows.
///
/// # Errors
///
/// Returns [`GateError`] if the file could not be judged. An earlier blessing then stays as it was.
pub fn gate(options: &GateOptions, watch: &mut dyn FnMut(&LogReader)) -> Result<Verdict, GateError> {
    let facts = options.store.as_deref().map(store_facts).transpose()?;
    let model = match load_model(&options.file, LoadMode::Map) {
        Ok(model) => model,
        Err(error @ Error::File { .. }) => return Err(error.into()),
        Err(error) => return not_passed(options, vec![refused(&error)], Vec::new()),
    };
    let digest = Digest::of(model.file().bytes());
    let len_bytes = model.header().total_len_bytes;
    drop(model);
    let evaluation = match &options.figures {
        Figures::Evaluation(path) => Evaluation::read(path)?,
        Figures::Logs(logs) => evaluate_files(&against_served(options, logs)?, watch)?,
    };
    let model = model_of(&evaluation, digest, options)?;
    let baseline = evaluation.baseline.as_ref();
    let candidate = Candidate { model, baseline, declared: &options.declared, store: facts.as_ref() };
    let moves = served_calibration_moves(&evaluation, options)?;
    let settings = options.settings.clone().where_calibration_moves(moves.map_or(0.0, |moves| moves.deviation));
    let mut checks = judge(candidate, &settings);
    if let Some(moves) = moves.filter(|_| settings != options.settings)
        && let Some(check) = checks.iter_mut().find(|check| check.name == "calibration")
    {
        let percent = (1_000.0 * moves.deviation).round() / 10.0;
        let verb = if moves.is_assumed { "may move" } else { "moves" };
        check.expected.push_str(&format!(", because that of what is served {verb} by {percent} % from day to day"));
    }
    if let Some(store) = &options.store {
        checks.push(check_store_size(store, model.file.generation, len_bytes)?);
    }
    if let Some(dir) = &options.store
        && let Some(check) = check_history(dir, &evaluation, options)?
    {
        checks.extend(check);
    }
    let slices = slice_figures(model, baseline, &options.settings);
    if checks.iter().any(|check| !check.passed()) {
        return not_passed(options, checks, slices);
    }
    let judgment = Judgment::new(&evaluation, candidate, &options.settings, &options.settings_source, &checks);
    if let (Some(decision), Some(dir)) = (&judgment.replaces.without_baseline, &options.store) {
        History::of_store(dir).write_decision(&model.file.digest, decision).map_err(|source| GateError::History {
            action: "write",
            store: dir.clone(),
            source,
        })?;
    }
    let (blessing, path) = (Blessing::new(model.file.digest.clone(), judgment), blessing_path(&options.file));
    blessing.write_beside(&options.file).map_err(|source| GateError::Blessing {
        action: "write",
        path: path.clone(),
        source,
    })?;
    Ok(Verdict { checks, slices, blessing: Some(path) })
}

/// Returns the options of the evaluation: the baseline is the given one, or else what the store serves.
fn against_served(options: &GateOptions, logs: &EvaluateOptions) -> Result<EvaluateOptions, GateError> {
    let mut logs = EvaluateOptions { files: vec![options.file.clone()], ..logs.clone() };
    if let (None, Declared::Replacement, Some(dir)) = (&logs.baseline, &options.declared, &options.store) {
        logs.baseline = served(&Store::new(dir))?.map(|served| served.path);
    }
    Ok(logs)
}

/// Reads what a store serves and whether it ever had a file.
fn store_facts(dir: &Path) -> Result<StoreFacts, GateError> {
    if !dir.is_dir() {
        return Err(GateError::NoStore { dir: dir.to_owned() });
    }
    let store = Store::new(dir);
    let served = served(&store)?;
    Ok(StoreFacts {
        dir: dir.display().to_string(),
        served: served.map(|served| (served.generation, served.digest.to_string())),
        had_files: !store.generations()?.is_empty(),
    })
}

fn model_of<'a>(
    evaluation: &'a Evaluation,
    digest: Digest,
    options: &GateOptions,
) -> Result<&'a ModelEvaluation, GateError> {
    let found = || evaluation.models.iter().map(|model| &model.file.digest);
    let expected = digest.to_string();
    evaluation.models.iter().find(|model| model.file.digest == expected).ok_or_else(|| {
        let evaluation = match &options.figures {
            Figures::Evaluation(path) => path.clone(),
            Figures::Logs(_) => PathBuf::from("of the logs"),
        };
        let found = found().cloned().collect();
        GateError::OtherFile { evaluation, file: options.file.clone(), expected: digest, found }
    })
}

/// Returns the failed check for a file that does not pass its own verification: it is damaged or malformed, or has
/// weights that are not finite.
fn refused(error: &Error) -> Check {
    Check {
        name: error.code().name().to_owned(),
        subject: None,
        answer: Answer::HeldBack,
        expected: "a weight file that passes its own verification".to_owned(),
        found: error.full_message(),
        owner: error.owner(),
        action: error.code().action().to_owned(),
    }
}

/// Checks the size against the limits of the store and the files in it.
fn check_store_size(store: &Path, generation: u64, len_bytes: u64) -> Result<Check, GateError> {
    let check = |passed, found: String, action: &str, owner| Check {
        name: "store_size".to_owned(),
        subject: Some(store.display().to_string()),
        answer: Answer::of(passed),
        expected: "within the limits of the store".to_owned(),
        found,
        owner,
        action: action.to_owned(),
    };
    match check_size(&Store::new(store), generation, len_bytes) {
        Ok(()) => Ok(check(true, format!("{len_bytes} bytes"), "", Owner::Ml)),
        Err(
            error @ (PublishError::TooSmall { .. } | PublishError::TooLarge { .. } | PublishError::UnusualLen { .. }),
        ) => Ok(check(false, error.to_string(), error.action(), error.owner())),
        Err(error) => Err(GateError::Store(Box::new(error))),
    }
}

/// Returns how far the calibration of what a store serves moves from day to day. `None` without a history.
fn served_calibration_moves(
    evaluation: &Evaluation,
    options: &GateOptions,
) -> Result<Option<CalibrationMoves>, GateError> {
    let Some(dir) = options.store.as_ref().filter(|_| options.declared == Declared::Replacement) else {
        return Ok(None);
    };
    let failed = |source| GateError::History { action: "read", store: dir.clone(), source };
    let before = History::of_store(dir).before(&evaluation.rows).map_err(failed)?;
    Ok(calibration_moves(&before))
}

/// Compares what the served file sees on the rows with the days before, and records it in the history of the store.
/// Returns nothing if the evaluation does not have the served file.
fn check_history(dir: &Path, evaluation: &Evaluation, options: &GateOptions) -> Result<Option<Vec<Check>>, GateError> {
    let Some(baseline) = evaluation.baseline.as_ref().filter(|_| options.declared == Declared::Replacement) else {
        return Ok(None);
    };
    if served(&Store::new(dir))?.is_none_or(|served| served.digest.to_string() != baseline.file.digest) {
        return Ok(None);
    }
    let profile = profile_day(dir, &evaluation.rows, baseline, &options.settings, None)?;
    Ok(Some(profile.checks()))
}

/// Compares what the served file of a store sees on the rows of a day with the days before, and records the day. With
/// `accept`, people take the day as it is, for this reason.
///
/// # Errors
///
/// Returns [`GateError::History`] if the history cannot be read or written.
pub fn profile_day(
    dir: impl AsRef<Path>,
    rows: &EvaluatedRows,
    served: &ModelEvaluation,
    settings: &GateSettings,
    accept: Option<&str>,
) -> Result<Profile, GateError> {
    let dir = dir.as_ref();
    let profile = compare_day(dir, rows, served, settings, accept)?;
    History::of_store(dir).write(&profile.day).map_err(|source| GateError::History {
        action: "write",
        store: dir.to_owned(),
        source,
    })?;
    Ok(profile)
}

/// Compares a day as [`profile_day`] does, and records nothing.
pub(crate) fn compare_day(
    dir: &Path,
    rows: &EvaluatedRows,
    served: &ModelEvaluation,
    settings: &GateSettings,
    accept: Option<&str>,
) -> Result<Profile, GateError> {
    let history = History::of_store(dir);
    let failed = |source| GateError::History { action: "read", store: dir.to_owned(), source };
    let before = history.before(rows).map_err(failed)?;
    let mut day = Day::of(rows, served, &before);
    let bands = Bands { factor: settings.history_band, by_figure: &settings.history_bands };
    let jumps = day.jumps(&before, bands);
    day.jumped = !jumps.is_empty();
    if let Some(reason) = accept {
        day.accepted = Some(reason.to_owned());
        day.accepted_figures = Some(jumps.iter().map(|jump| jump.figure_of_day().to_owned()).collect());
    } else if let Some(accepted) = history.accepted(rows).map_err(failed)? {
        // What people looked at is what had jumped then.
        (day.accepted, day.accepted_figures) = (accepted.accepted, accepted.accepted_figures);
    }
    let counted_otherwise = counted_otherwise(&day, &before);
    Ok(Profile { days_before: before.len(), day, jumps, counted_otherwise })
}

/// A day of logs, compared with the days before.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Number of days in the history.
    pub days_before: usize,
    /// The day.
    pub day: Day,
    /// The figures that jumped, worst first.
    pub jumps: Vec<Jump>,
    /// How the day counts its rows, if otherwise than the days before: then figures jump without a fault.
    pub counted_otherwise: Option<String>,
}

impl Profile {
    /// Returns whether the day may be learned: nothing jumped, or people accepted it.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.jumps.is_empty() || self.day.accepted.is_some()
    }

    /// Returns a check that holds back for each jump, or one that passed.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        let check = |answer, subject, expected: String, found: String, owner, action: &str| Check {
            name: "logs".to_owned(),
            subject,
            answer,
            expected,
            found,
            owner,
            action: action.to_owned(),
        };
        if self.passed() {
            let found = match &self.day.accepted {
                Some(reason) => format!("{} figures jumped, and were accepted: {reason}", self.jumps.len()),
                None => format!("no figure jumped, of {} days", self.days_before),
            };
            let expected = "figures of the served file as on the days before".to_owned();
            return vec![check(Answer::Passed, None, expected, found, Owner::Delivery, "")];
        }
        let of_jump = |jump: &Jump| {
            let [low, high] = jump.expected;
            let expected = format!("{low:.4} to {high:.4}, as the served file saw it on the days before");
            let found = format!("{:.4}: the logs changed, so train on none of them", jump.found);
            check(Answer::HeldBack, Some(jump.figure.clone()), expected, found, jump.owner, jump.action)
        };
        self.jumps.iter().map(of_jump).collect()
    }
}

/// Removes the blessing of an earlier judgment from a file that did not pass.
fn not_passed(options: &GateOptions, checks: Vec<Check>, slices: Vec<SliceFigure>) -> Result<Verdict, GateError> {
    let path = blessing_path(&options.file);
    match bucket::remove(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(GateError::Blessing { action: "remove", path, source })
        }
        _ => Ok(Verdict { checks, slices, blessing: None }),
    }
}

/// What was judged, by which settings, on which rows, and how. Judging a file again on the same rows gives the same
/// judgment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgment {
    /// Generation of the weight file.
    pub generation: u64,
    /// Name of the serving logic.
    pub logic_id: String,
    /// Fingerprint of the contract.
    pub contract_fingerprint: String,
    /// Times of the first and last training row, in microseconds since 1970-01-01 UTC; `None` if the file does not have
    /// them.
    pub training_window_us: Option<[i64; 2]>,
    /// The rows of the evaluation.
    pub rows: EvaluatedRows,
    /// What the file was compared with.
    #[serde(flatten)]
    pub replaces: Replaces,
    /// The settings of the gate.
    pub settings: GateSettings,
    /// Where the settings came from.
    pub settings_source: String,
    /// SHA-256 of the settings.
    pub settings_digest: String,
    /// Metrics of the file.
    pub overall: Overall,
    /// Comparison of the file with the baseline.
    pub comparison: Option<Comparison>,
    /// All checks.
    pub checks: Vec<Check>,
}

impl Judgment {
    /// Collects what was judged and how.
    #[must_use]
    pub fn new(
        evaluation: &Evaluation,
        candidate: Candidate<'_>,
        settings: &GateSettings,
        settings_source: &str,
        checks: &[Check],
    ) -> Self {
        let model = candidate.model;
        let file = &model.file;
        let served = || candidate.store.and_then(|store| Some(store.served.as_ref()?.1.clone()));
        let baseline_digest = candidate.baseline.map(|baseline| baseline.file.digest.clone());
        let replaces = match candidate.declared {
            Declared::Replacement => Replaces { baseline_digest, ..Replaces::default() },
            Declared::First => Replaces { first: true, ..Replaces::default() },
            Declared::WithoutBaseline(reason) => {
                let decision = WithoutBaseline { reason: reason.clone(), served: served() };
                Replaces { without_baseline: Some(decision), ..Replaces::default() }
            }
        };
        Self {
            generation: file.generation,
            logic_id: file.logic_id.clone(),
            contract_fingerprint: file.contract_fingerprint.clone(),
            training_window_us: file.training_window_us,
            rows: evaluation.rows.clone(),
            replaces,
            settings: settings.clone(),
            settings_source: settings_source.to_owned(),
            settings_digest: settings.digest().to_string(),
            overall: model.overall.clone(),
            comparison: model.comparison.clone(),
            checks: checks.to_vec(),
        }
    }
}
