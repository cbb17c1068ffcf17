//! The blessing of a weight file: that it passed the gate, as a file beside it.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Check, GateError, GateSettings};
use crate::judge::evaluate::{Comparison, EvaluatedRows, Evaluation, ModelEvaluation, Overall};
use crate::operate::publish::blessing_path;
use omomi::new_file::NewFile;

/// What a blessing file says. The same file judged on the same rows gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blessing {
    /// Version of this format: [`Blessing::FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of omomi that judged.
    pub tool_version: String,
    /// SHA-256 of the weight file.
    pub digest: String,
    /// Its generation.
    pub generation: u64,
    /// Name of the serving logic.
    pub logic_id: String,
    /// Fingerprint of its contract.
    pub contract_fingerprint: String,
    /// Times of the first and the last row that it was trained on, in microseconds since 1970-01-01 UTC, where it says them.
    pub training_window_us: Option<[i64; 2]>,
    /// The rows that it was judged on.
    pub rows: EvaluatedRows,
    /// Whether it was said to be the first of its logic.
    pub first: bool,
    /// SHA-256 of the file that it was held against.
    pub baseline_digest: Option<String>,
    /// What it had to be like.
    pub settings: GateSettings,
    /// SHA-256 of these settings.
    pub settings_digest: String,
    /// Its figures.
    pub overall: Overall,
    /// Its figures against the baseline.
    pub comparison: Option<Comparison>,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

impl Blessing {
    /// The format that this version writes and reads.
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

    /// Writes it beside its weight file, in place of an earlier one.
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
