//! The subject of the report: a weight file and its baseline.

use std::path::Path;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;

use super::ReportError;
use crate::judge::evaluate::{Evaluation, ModelEvaluation};

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
