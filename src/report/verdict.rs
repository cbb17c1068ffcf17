//! What the gate says of the weight file.

use super::subject::Subject;
use super::{ReportError, ReportInputs, read_json};
use crate::gate::{Blessing, Candidate, Check, GateSettings, judge};

/// What the gate says.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Class in the style sheet: `better` or `worse`.
    pub class: &'static str,
    /// In a sentence.
    pub summary: String,
    /// Everything that was looked at, what was not as expected first.
    pub checks: Vec<CheckRow>,
    /// What it was judged by.
    pub settings: GateSettings,
}

/// Something that was looked at.
#[derive(Debug)]
pub(super) struct CheckRow {
    /// Class in the style sheet: `worse` for what is not as expected.
    pub class: &'static str,
    /// `passed`, or who must act.
    pub outcome: String,
    /// What was looked at.
    pub name: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// What to do.
    pub action: String,
}

impl Verdict {
    /// What the blessing says, or where there is none what the gate would say of this evaluation.
    pub(super) fn of(subject: &Subject<'_>, inputs: &ReportInputs) -> Result<Self, ReportError> {
        let Some(path) = &inputs.blessing else {
            let first = subject.baseline.is_none();
            let candidate = Candidate { model: subject.model, baseline: subject.baseline, first };
            let checks = judge(candidate, &inputs.gate);
            let failed = checks.iter().filter(|check| !check.passed).count();
            let as_first = if first { " as the first file of its logic" } else { "" };
            let summary = match (failed, checks.len()) {
                (0, all) => format!("It would pass the gate{as_first}: all {all} checks are as expected."),
                (failed, all) => format!("The gate would hold it back: {failed} of {all} checks are not as expected."),
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
        let summary = format!("It passed the gate{as_first}: all {} checks are as expected.", blessing.checks.len());
        Ok(Self::new(summary, &blessing.checks, blessing.settings))
    }

    fn new(summary: String, checks: &[Check], settings: GateSettings) -> Self {
        let row = |check: &Check| CheckRow {
            class: if check.passed { "" } else { "worse" },
            outcome: if check.passed { "passed".to_owned() } else { format!("for {}", check.owner.word()) },
            name: match &check.subject {
                None => check.name.clone(),
                Some(subject) => format!("{} of {subject}", check.name),
            },
            expected: check.expected.clone(),
            found: check.found.clone(),
            action: if check.passed { String::new() } else { check.action.clone() },
        };
        let (passed, failed): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(|check| check.passed);
        let class = if failed.is_empty() { "better" } else { "worse" };
        Self { class, summary, checks: failed.into_iter().chain(passed).map(row).collect(), settings }
    }
}
