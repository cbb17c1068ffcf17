//! The gate: decides whether a weight file may be published, and gives every reason against it.
//!
//! A file that meets the [settings](GateSettings) gets a blessing: the file `000042.blessing.json` beside
//! `000042.omomi`, which [publishing](crate::operate::publish) requires. A file that is held back loses its earlier
//! blessing.
//!
//! A blessing protects against mistakes. It contains the digest of its file, so it is invalid for other bytes: sign a
//! file before the gate, not afterwards. It does not protect against forgery; signatures do.

mod checks;
pub mod settings;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evaluate::{
    Comparison, EvaluateError, EvaluateOptions, EvaluatedRows, Evaluation, EvaluationFileError, ModelEvaluation,
    Overall, evaluate_files,
};
use crate::log::LogReader;
use crate::operate::publish::{Blessing, PublishError, blessing_path, check_size};
use crate::settings::{NoSettings, SettingsFaults};
use omomi::error::{Error, Owner};
use omomi::score::Model;
use omomi::store::{Digest, Store};
use omomi::weight_file::map::LoadMode;

pub use checks::{Candidate, Check, judge};
pub use settings::GateSettings;

/// What to judge, and by which settings.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// The weight file.
    pub file: PathBuf,
    /// Source of the metrics.
    pub figures: Figures,
    /// The settings of the gate.
    pub settings: GateSettings,
    /// Whether the file is the first of its logic, so that there is no baseline.
    pub first: bool,
    /// The store for which to check the size limits.
    pub store: Option<PathBuf>,
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
    /// Path of the blessing that was written; `None` if the file is held back.
    pub blessing: Option<PathBuf>,
}

impl Verdict {
    /// Returns whether the file may be published.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.blessing.is_some()
    }

    /// Returns the failed checks.
    pub fn reasons(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed)
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
    let model = match Model::load(&options.file, LoadMode::Map) {
        Ok(model) => model,
        Err(error @ Error::File { .. }) => return Err(error.into()),
        Err(error) => return held_back(options, vec![refused(&error)]),
    };
    let digest = Digest::of(model.file().bytes());
    let len_bytes = model.header().total_len_bytes;
    drop(model);
    let evaluation = match &options.figures {
        Figures::Evaluation(path) => Evaluation::read(path)?,
        Figures::Logs(logs) => {
            let logs = EvaluateOptions { files: vec![options.file.clone()], ..EvaluateOptions::clone(logs) };
            evaluate_files(&logs, watch)?
        }
    };
    let model = model_of(&evaluation, digest, options)?;
    let candidate = Candidate { model, baseline: evaluation.baseline.as_ref(), first: options.first };
    let mut checks = judge(candidate, &options.settings);
    if let Some(store) = &options.store {
        checks.push(check_store_size(store, model.file.generation, len_bytes)?);
    }
    if checks.iter().any(|check| !check.passed) {
        return held_back(options, checks);
    }
    let judgment = Judgment::new(&evaluation, model, options.first, &options.settings, &checks);
    let (blessing, path) = (Blessing::new(model.file.digest.clone(), judgment), blessing_path(&options.file));
    blessing.write_beside(&options.file).map_err(|source| GateError::Blessing {
        action: "write",
        path: path.clone(),
        source,
    })?;
    Ok(Verdict { checks, blessing: Some(path) })
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
        passed: false,
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
        passed,
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

/// Removes the blessing of an earlier judgment from a file that is held back.
fn held_back(options: &GateOptions, checks: Vec<Check>) -> Result<Verdict, GateError> {
    let path = blessing_path(&options.file);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(GateError::Blessing { action: "remove", path, source })
        }
        _ => Ok(Verdict { checks, blessing: None }),
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
    /// Whether the file was declared the first of its logic.
    pub first: bool,
    /// SHA-256 of the baseline.
    pub baseline_digest: Option<String>,
    /// The settings of the gate.
    pub settings: GateSettings,
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
        model: &ModelEvaluation,
        first: bool,
        settings: &GateSettings,
        checks: &[Check],
    ) -> Self {
        let file = &model.file;
        Self {
            generation: file.generation,
            logic_id: file.logic_id.clone(),
            contract_fingerprint: file.contract_fingerprint.clone(),
            training_window_us: file.training_window_us,
            rows: evaluation.rows.clone(),
            first,
            baseline_digest: evaluation.baseline.as_ref().map(|baseline| baseline.file.digest.clone()),
            settings: settings.clone(),
            settings_digest: settings.digest().to_string(),
            overall: model.overall.clone(),
            comparison: model.comparison.clone(),
            checks: checks.to_vec(),
        }
    }
}
