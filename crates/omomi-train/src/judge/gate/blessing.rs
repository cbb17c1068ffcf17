//! The blessing of a weight file: a file beside it, which states that it passed the gate.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Check, GateError, GateSettings};
use crate::judge::evaluate::{Comparison, EvaluatedRows, Evaluation, ModelEvaluation, Overall};
use crate::operate::publish::blessing_path;
use omomi::new_file::NewFile;

/// The content of a blessing file. Judging a file again on the same rows gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blessing {
    /// Version of this format: [`Blessing::FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of omomi that judged the file.
    pub tool_version: String,
    /// SHA-256 of the weight file.
    pub digest: String,
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

impl Blessing {
    /// The format version that this library writes and reads.
    pub const FORMAT_VERSION: u32 = 1;

    pub(super) fn new(
        evaluation: &Evaluation,
        model: &ModelEvaluation,
        first: bool,
        settings: &GateSettings,
        checks: &[Check],
    ) -> Self {
        let file = &model.file;
        Self {
            format_version: Self::FORMAT_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            digest: file.digest.clone(),
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

    /// Writes the blessing beside its weight file, and replaces an earlier one.
    pub(super) fn write_beside(&self, weight_file: &Path) -> Result<(), GateError> {
        let path = blessing_path(weight_file);
        let write = || {
            let json = serde_json::to_string_pretty(self).unwrap_or_else(|_| unreachable!("a plain structure"));
            let new_file = NewFile::create(&path, true)?;
            new_file.file().write_all(format!("{json}\n").as_bytes())?;
            new_file.commit()
        };
        write().map_err(|source| GateError::Blessing { action: "write", path: path.clone(), source })
    }
}
