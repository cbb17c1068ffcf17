//! The judgment on a weight file that passed the gate: what its blessing says besides the digest of the file.

use serde::{Deserialize, Serialize};

use super::{Check, GateSettings};
use crate::evaluate::{Comparison, EvaluatedRows, Evaluation, ModelEvaluation, Overall};

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
