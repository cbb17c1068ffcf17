//! The gate's verdict on the weight file, in words.

use super::subject::Subject;
use super::{ReportError, ReportInputs, read_json};
use crate::judge::gate::{Blessing, Candidate, Check, GateSettings, judge};

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
            let candidate = Candidate { model: subject.model, baseline: subject.baseline, first };
            let checks = judge(candidate, &inputs.gate);
            let failed = checks.iter().filter(|check| !check.passed).count();
            let as_first = if first { " as the first file of its logic" } else { "" };
            let summary = match (failed, checks.len()) {
                (0, all) => format!("It would pass the gate{as_first}: all {all} checks pass."),
                (1, all) => format!("The gate would hold it back: 1 of {all} checks fails."),
                (failed, all) => format!("The gate would hold it back: {failed} of {all} checks fail."),
            };
            return Ok(Self::new(summary, &checks, inputs.gate.clone()));
        };
        let blessing: Blessing = read_json(path, "a blessing", "omomi gate")?;
        let (expected, found) = (Blessing::FORMAT_VERSION, blessing.format_version);
        if found != expected {
            return Err(ReportError::FormatVersion { path: path.clone(), expected, found });
        }
        let expected = &subject.model.file.digest;
        if blessing.digest != *expected {
            let (expected, found) = (expected.clone(), blessing.digest);
            return Err(ReportError::OtherFile { path: path.clone(), expected, found });
        }
        let as_first = if blessing.first { " as the first file of its logic" } else { "" };
        let summary = format!("It passed the gate{as_first}: all {} checks passed.", blessing.checks.len());
        Ok(Self::new(summary, &blessing.checks, blessing.settings))
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
        let (passed, failed): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(|check| check.passed);
        let class = if failed.is_empty() { "better" } else { "worse" };
        let [failed, passed] = [failed, passed].map(|checks| checks.into_iter().map(words).collect());
        Self { class, summary, failed, passed, settings }
    }
}
