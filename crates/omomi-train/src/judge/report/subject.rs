//! The subject of the report: a weight file and its baseline, and the verdict of the gate on the file, in words.

use std::path::Path;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;

use super::{ReportError, ReportInputs, read_json};
use crate::evaluate::{Evaluation, ModelEvaluation};
use crate::judge::gate::{Answer, Candidate, Check, Declared, GateSettings, Judgment, judge};
use crate::operate::publish::Blessing;

/// The evaluated weight file and its baseline.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// Evaluation of the weight file.
    pub model: &'a ModelEvaluation,
    /// Name of the weight file in the report.
    pub name: String,
    /// Evaluation of the baseline.
    pub baseline: Option<&'a ModelEvaluation>,
    /// Name of the baseline in the report.
    pub baseline_name: String,
}

impl<'a> Subject<'a> {
    /// Returns the first file of the evaluation with its baseline; `None` if there is no file.
    pub(super) fn of(evaluation: &'a Evaluation) -> Option<Self> {
        let model = evaluation.models.first()?;
        let baseline = evaluation.baseline.as_ref();
        let name = |model| name(evaluation, model);
        Some(Self { model, name: name(model), baseline, baseline_name: baseline.map(name).unwrap_or_default() })
    }

    /// Rejects a file that was made under another contract than the weight file.
    pub(super) fn check_contract(&self, path: &Path, found: &str) -> Result<(), ReportError> {
        let expected = &self.model.file.contract_fingerprint;
        if found != expected {
            let (expected, found) = (expected.clone(), found.to_owned());
            return Err(ReportError::OtherContract { path: path.to_owned(), expected, found });
        }
        Ok(())
    }
}

/// Names a file of the evaluation: by its generation, or by its path if two files have the same generation.
pub(super) fn name(evaluation: &Evaluation, model: &ModelEvaluation) -> String {
    let files = || evaluation.models.iter().chain(&evaluation.baseline).map(|model| &model.file);
    let same = files().filter(|file| file.generation == model.file.generation).count();
    if same == 1 { format!("generation {}", model.file.generation) } else { model.file.path.clone() }
}

/// Formats a time as `2019-11-24 06:00`, in UTC; empty for a time that the calendar cannot represent.
pub(super) fn utc_hour(time_us: i64) -> String {
    timestamp_us_to_datetime(time_us).map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M").to_string())
}

/// The verdict of the gate.
#[derive(Debug)]
pub(super) struct Verdict {
    /// CSS class: `better` or `worse`.
    pub class: &'static str,
    /// The verdict in one sentence.
    pub summary: String,
    /// The checks that failed.
    pub failed: Vec<CheckWords>,
    /// The checks that passed.
    pub passed: Vec<CheckWords>,
    /// The settings that the gate used.
    pub settings: GateSettings,
}

/// A check in words.
#[derive(Debug)]
pub(super) struct CheckWords {
    /// Name of the check.
    pub name: String,
    /// The expected value.
    pub expected: String,
    /// The value that was found.
    pub found: String,
    /// Who must act.
    pub owner: &'static str,
    /// What the owner must do.
    pub action: String,
}

impl Verdict {
    /// Takes the verdict from the blessing; without a blessing, judges the evaluation as the gate would.
    pub(super) fn of(subject: &Subject<'_>, inputs: &ReportInputs) -> Result<Self, ReportError> {
        let Some(path) = &inputs.blessing else {
            let first = subject.baseline.is_none();
            let declared = if first { Declared::First } else { Declared::Replacement };
            let (model, baseline) = (subject.model, subject.baseline);
            let checks = judge(Candidate { model, baseline, declared: &declared, store: None }, &inputs.gate);
            let as_first = if first { " as the first file of its logic" } else { "" };
            let names = failed_names(&checks);
            let summary = match Answer::of_all(checks.iter().map(|check| check.answer)) {
                Answer::Passed => format!("It would pass the gate{as_first}: all {} checks pass.", checks.len()),
                Answer::HeldBack => format!("The gate would hold it back, for {names}."),
                Answer::CannotTell { more_clicks } => {
                    format!("The gate could not tell, for {names}: about {more_clicks} more clicks are wanted.")
                }
            };
            return Ok(Self::new(summary, &checks, inputs.gate.clone()));
        };
        let blessing: Blessing<Judgment> = read_json(path, "a blessing", "omomi gate")?;
        let (expected, found) = (Blessing::FORMAT_VERSION, blessing.format_version);
        if found != expected {
            return Err(ReportError::FormatVersion { path: path.clone(), expected, found });
        }
        let expected = &subject.model.file.digest;
        if blessing.digest != *expected {
            let (expected, found) = (expected.clone(), blessing.digest);
            return Err(ReportError::OtherFile { path: path.clone(), expected, found });
        }
        let judgment = blessing.judgment;
        let as_first = if judgment.replaces.first { " as the first file of its logic" } else { "" };
        let summary = format!("It passed the gate{as_first}: all {} checks passed.", judgment.checks.len());
        Ok(Self::new(summary, &judgment.checks, judgment.settings))
    }

    fn new(summary: String, checks: &[Check], settings: GateSettings) -> Self {
        let words = |check: &Check| CheckWords {
            name: match &check.subject {
                None => check.name.replace('_', " "),
                Some(subject) => format!("{} of {subject}", check.name.replace('_', " ")),
            },
            expected: check.expected.clone(),
            found: check.found.clone(),
            owner: check.owner.word(),
            action: check.action.clone(),
        };
        let (passed, failed): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(|check| check.passed());
        let class = if failed.is_empty() { "better" } else { "worse" };
        let [failed, passed] = [failed, passed].map(|checks| checks.into_iter().map(words).collect());
        Self { class, summary, failed, passed, settings }
    }
}

/// Returns the names of the checks that did not pass, each once, in words.
fn failed_names(checks: &[Check]) -> String {
    let mut names: Vec<String> = Vec::new();
    for check in checks.iter().filter(|check| !check.passed()) {
        let name = check.name.replace('_', " ");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}
