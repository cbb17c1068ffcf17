//! What the report is about: a weight file, and the one that it is compared with.

use std::path::Path;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;

use super::ReportError;
use crate::judge::evaluate::{Evaluation, ModelEvaluation};

/// The weight file that the report is about, and its baseline.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// Its evaluation.
    pub model: &'a ModelEvaluation,
    /// What it is called here.
    pub name: String,
    /// Evaluation of what it is compared with.
    pub baseline: Option<&'a ModelEvaluation>,
    /// What that is called here.
    pub baseline_name: String,
}

impl<'a> Subject<'a> {
    /// The first file of the evaluation, and its baseline.
    pub(super) fn of(evaluation: &'a Evaluation) -> Option<Self> {
        let model = evaluation.models.first()?;
        let baseline = evaluation.baseline.as_ref();
        let name = |model| name(evaluation, model);
        Some(Self { model, name: name(model), baseline, baseline_name: baseline.map(name).unwrap_or_default() })
    }

    /// Refuses a file that was made under another contract than the weight file.
    pub(super) fn check_contract(&self, path: &Path, found: &str) -> Result<(), ReportError> {
        let expected = &self.model.file.contract_fingerprint;
        if found != expected {
            let (expected, found) = (expected.clone(), found.to_owned());
            return Err(ReportError::OtherContract { path: path.to_owned(), expected, found });
        }
        Ok(())
    }
}

/// What a file of the evaluation is called: by its generation, or by its path where two have the same.
pub(super) fn name(evaluation: &Evaluation, model: &ModelEvaluation) -> String {
    let files = || evaluation.models.iter().chain(&evaluation.baseline).map(|model| &model.file);
    let same = files().filter(|file| file.generation == model.file.generation).count();
    if same == 1 { format!("generation {}", model.file.generation) } else { model.file.path.clone() }
}

/// `2019-11-24 06:00`, UTC; nothing for a time beyond the years that have one.
pub(super) fn utc_hour(time_us: i64) -> String {
    timestamp_us_to_datetime(time_us).map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M").to_string())
}
