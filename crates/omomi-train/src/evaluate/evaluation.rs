//! The data of an evaluation, and its file: `omomi evaluate --json` writes it, the gate judges it, and the report draws
//! it.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bucket::{self, NewFile};
use crate::lineage::LearningStep;

/// The evaluation of weight files on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Version of this format: [`Evaluation::FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of omomi that wrote the evaluation.
    pub tool_version: String,
    /// The rows that were scored.
    pub rows: EvaluatedRows,
    /// The weight files, in the order of the options.
    pub models: Vec<ModelEvaluation>,
    /// The baseline that the weight files are compared with. It has no comparison itself.
    pub baseline: Option<ModelEvaluation>,
}

/// The rows that were scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatedRows {
    /// Paths of the logs, in reading order.
    pub logs: Vec<String>,
    /// Digests of the contents of the logs (XXH3-128, as hexadecimal digits), in the same order; `None` for a pipe.
    pub log_digests: Vec<Option<String>>,
    /// Number of rows, each counted once whatever its importance.
    pub impressions: u64,
    /// Number of clicked rows, each counted once.
    pub clicks: u64,
    /// Number of clicked rows that directly follow another one: nearly all of them in a log that was sorted by its
    /// label. 0 in older evaluations.
    #[serde(default)]
    pub adjacent_clicks: u64,
    /// Number of bad rows, which were skipped.
    pub bad_rows: u64,
    /// Name of the user column; `None` if there is none.
    pub user_column: Option<String>,
    /// Name of the column with the time of the impression; `None` if there is none.
    pub time_column: Option<String>,
    /// First and last time, in microseconds since 1970-01-01 UTC; `None` without a time column.
    pub window_us: Option<[i64; 2]>,
    /// Name of the column with the importance of each row, by which all metrics count it; `None` if each row counts
    /// once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_column: Option<String>,
    /// Which rows of the logs were scored, such as `only every 5`; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<String>,
}

/// The evaluation of one weight file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEvaluation {
    /// Facts from the file itself.
    pub file: FileFacts,
    /// Metrics over all rows.
    pub overall: Overall,
    /// The reliability curve: at most 20 bins with equal numbers of rows, by rising probability.
    pub reliability: Vec<ReliabilityBin>,
    /// Metrics by the values of each requested column.
    pub by: Vec<ColumnSlices>,
    /// Metrics by hour, in order; empty without a time column.
    pub hours: Vec<HourSlice>,
    /// How each field of the contract was filled, in contract order.
    pub fields: Vec<FieldRates>,
    /// The logs of this evaluation that a step of the model has used.
    pub seen: Vec<SeenLog>,
    /// Comparison with the baseline on the same rows; `None` for the baseline itself, or without a baseline.
    pub comparison: Option<Comparison>,
}

/// A log of the evaluation that steps of the model have used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenLog {
    /// Path of the log.
    pub log: String,
    /// Number of its rows, those included that are not evaluated because they are not held out.
    pub rows: u64,
    /// The steps that used it.
    pub steps: Vec<LearningStep>,
}

impl SeenLog {
    /// Returns whether a step has learned from the labels of the rows.
    #[must_use]
    pub fn is_learned(&self) -> bool {
        self.steps.iter().any(|step| step.learns())
    }
}

/// Facts from a weight file. All numbers are finite, because files with other numbers fail verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFacts {
    /// Path of the file.
    pub path: String,
    /// Length in bytes.
    pub len_bytes: u64,
    /// SHA-256 of the file, as hexadecimal digits.
    pub digest: String,
    /// Generation of the training run.
    pub generation: u64,
    /// Name of the serving logic.
    pub logic_id: String,
    /// Name of the contract.
    pub contract: String,
    /// Fingerprint of the contract, as 16 hexadecimal digits.
    pub contract_fingerprint: String,
    /// Encoding of the weights: `f32`, `f16` or `i8`.
    pub encoding: String,
    /// The bias on the logit scale: the weight that is always on.
    pub bias: f64,
    /// Number of weights, the bias excluded.
    pub weight_count: u64,
    /// Largest magnitude of a weight, the bias excluded; 0 without weights.
    pub largest_weight: f64,
    /// Number of weights of each field and cross that has weights, in contract order.
    pub fields: Vec<FieldWeights>,
    /// Number of training rows, including those of earlier runs as far as decay leaves them; `None` if the provenance
    /// does not have it.
    pub training_rows: Option<u64>,
    /// Times of the first and last training row, those of earlier runs included, in microseconds since 1970-01-01 UTC;
    /// `None` if the provenance does not have them.
    pub training_window_us: Option<[i64; 2]>,
    /// Name of the column with the importance of the training rows; `None` if each counted once, or if the provenance
    /// does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_column: Option<String>,
}

/// The size of one field or cross.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldWeights {
    /// Name of the field or of the cross (`media_id*creative_id`).
    pub field: String,
    /// Number of weights.
    pub weight_count: u64,
    /// Share of the bytes of all weights. Fields share lines of the table, so this is proportional to the number of
    /// weights.
    pub len_bytes: u64,
}

/// Metrics over all rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overall {
    /// Number of rows with a probability. With an importance column, the sum of their importance, rounded: a row counts
    /// as often as its importance says, here and in all other metrics.
    pub impressions: u64,
    /// The clicked part of the impressions.
    pub clicks: u64,
    /// How many clicks of equal importance would tell as much about the calibration; `None` without an importance
    /// column, where it is the clicks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_clicks: Option<f64>,
    /// Number of rows whose answer was not a probability in (0, 1). No other metric includes them.
    pub not_probability_count: u64,
    /// Mean probability; 0 without rows.
    pub mean_probability: f64,
    /// Mean negative log likelihood, natural log, per impression; 0 without rows.
    pub log_loss: f64,
    /// Log loss divided by the entropy of the observed CTR. `None` if no row or every row was clicked, like the AUCs.
    pub normalized_entropy: Option<f64>,
    /// The 95 % interval of the normalized entropy, from the bootstrap.
    pub normalized_entropy_interval: Option<[f64; 2]>,
    /// Probability that a clicked row has a higher prediction than an unclicked one; ties count half.
    pub auc: Option<f64>,
    /// Average precision: the area under the precision-recall curve, in steps.
    pub pr_auc: Option<f64>,
    /// AUC within users; `None` without a user column.
    pub user_auc: Option<UserAuc>,
    /// Sum of the probabilities divided by the clicks, with its interval; `None` without clicks.
    pub calibration: Option<Calibration>,
    /// Expected calibration error: the mean distance between observed CTR and mean probability over the bins of the
    /// reliability curve; 0 without rows.
    pub expected_calibration_error: f64,
    /// Share of the categories without a weight, over all fields; 0 without categories.
    pub unseen_rate: f64,
}

/// The AUC within each user, averaged over the users with both clicked and unclicked rows. It shows how well the ads
/// for one user are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserAuc {
    /// Weighted by the impressions of each user, also called GAUC.
    pub by_impressions: f64,
    /// Weighted by the clicks of each user.
    pub by_clicks: f64,
    /// Number of users with both kinds of rows.
    pub users: u64,
    /// Number of rows of these users.
    pub impressions: u64,
}

/// A calibration ratio with its 95 % interval: the ratio divided and multiplied by e^(1.96 / sqrt(clicks)), which
/// assumes a Poisson-distributed number of clicks. With an importance column, the clicks are the effective ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Sum of the probabilities divided by the clicks: 1 is right; above 1, probabilities are too high.
    pub ratio: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// A bin of rows with similar probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// Number of rows.
    pub impressions: u64,
    /// Number of clicked rows.
    pub clicks: u64,
    /// Mean of the probabilities.
    pub mean_probability: f64,
    /// Clicks divided by impressions.
    pub observed_ctr: f64,
    /// Lower end of the observed CTR's 95 % interval (Wilson score).
    pub observed_ctr_low: f64,
    /// Upper end of the observed CTR's 95 % interval.
    pub observed_ctr_high: f64,
}

/// Metrics by the values of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSlices {
    /// Name of the log's column.
    pub column: String,
    /// One slice per value, by falling clicks, then by falling impressions.
    pub slices: Vec<Slice>,
    /// The rows of all further values together; `None` unless there are more than [`ColumnSlices::MAX_VALUES`] values.
    pub other: Option<SliceMetrics>,
}

/// The rows with one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The value as text; `None` for the rows without a value.
    pub value: Option<String>,
    /// Metrics of these rows.
    pub metrics: SliceMetrics,
}

/// The rows of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HourSlice {
    /// When the hour begins, in microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Metrics of these rows.
    pub metrics: SliceMetrics,
}

/// Metrics of a part of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceMetrics {
    /// Number of rows with a probability, or the sum of their importance, rounded.
    pub impressions: u64,
    /// The clicked part of the impressions.
    pub clicks: u64,
    /// Clicks that tell as much, as in [`Overall::effective_clicks`]; `None` without an importance column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_clicks: Option<f64>,
    /// Mean probability.
    pub mean_probability: f64,
    /// Mean negative log likelihood, natural log, per impression.
    pub log_loss: f64,
    /// Log loss divided by the entropy of the observed CTR of these rows. `None` if no row or every row was clicked.
    pub normalized_entropy: Option<f64>,
    /// Sum of the probabilities divided by the clicks, with its interval; `None` without clicks.
    pub calibration: Option<Calibration>,
}

/// Counts of the values of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRates {
    /// Name of the field.
    pub field: String,
    /// Number of categories in all rows; a `many` field may have several per row.
    pub categories: u64,
    /// Number of categories without a weight: never seen in training, of weight 0, or pruned.
    pub unseen: u64,
    /// Those of `unseen` that training has seen: their weight is 0, or they were pruned. `None` unless
    /// [`EvaluateOptions::trained_keys`](super::EvaluateOptions::trained_keys) says what training has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_without_weight: Option<u64>,
    /// Unseen categories divided by all categories; 0 without categories.
    pub unseen_rate: f64,
    /// Number of rows without a value.
    pub missing: u64,
    /// Rows without a value divided by all rows; 0 without rows.
    pub missing_rate: f64,
    /// Number of values that are out of range or NaN, which are treated as missing.
    pub invalid_numbers: u64,
    /// Number of different categories: exact up to 1,024, then an estimate, some 3 % off. 0 in older evaluations.
    #[serde(default)]
    pub distinct: u64,
    /// Numbers of categories by a hash of the category, in [`FieldRates::DISTRIBUTION_LEN`] parts: a sketch of the
    /// distribution, which shows whether it changes between days.
    pub distribution: Vec<u64>,
}

/// Comparison of a weight file with the baseline on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Population stability index of the probabilities against the baseline's, over 10 bins that divide the baseline's
    /// rows equally by probability: 0 is no shift, above 0.25 is a large one.
    pub population_stability_index: f64,
    /// Log loss minus the baseline's; below 0 is better.
    pub log_loss_difference: Option<Difference>,
    /// Normalized entropy minus the baseline's.
    pub normalized_entropy_difference: Option<Difference>,
    /// Normalized entropy divided by the baseline's, minus 1: 0.001 is 0.1 % worse. The log loss changes by the same
    /// share.
    pub normalized_entropy_change: Option<Difference>,
    /// How the intervals were computed.
    pub bootstrap: Bootstrap,
}

/// A difference with its 95 % interval from the paired bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The difference on all rows.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Parameters of the bootstrap. Each resample draws as many groups as there are, with replacement, and measures both
/// models on the drawn rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// How rows are grouped.
    pub groups_of: GroupsOf,
    /// Number of groups.
    pub groups: u64,
    /// Number of resamples.
    pub resamples: u64,
    /// Seed of the draws. Equal rows and seeds give equal intervals.
    pub seed: u64,
}

/// Which rows stay together in the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupsOf {
    /// All rows of a user stay together; a group has several users.
    Users,
    /// Consecutive rows stay together.
    ConsecutiveRows,
}

impl Overall {
    /// Returns the number of clicks that intervals follow from: the effective ones, rounded down.
    #[must_use]
    pub fn telling_clicks(&self) -> u64 {
        telling_clicks(self.effective_clicks, self.clicks)
    }
}

impl SliceMetrics {
    /// Returns how much a click tells: the effective clicks divided by the clicks; 1 without an importance column or
    /// without clicks.
    #[must_use]
    pub fn telling_share(&self) -> f64 {
        self.effective_clicks.filter(|_| self.clicks > 0).map_or(1.0, |effective| effective / self.clicks as f64)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn telling_clicks(effective: Option<f64>, clicks: u64) -> u64 {
    // A sum of squares is off by its last digits, so that 100 clicks may be 99.999999.
    effective.map_or(clicks, |effective| (effective + 1e-6).floor() as u64)
}

impl Evaluation {
    /// The format version that this library writes and reads.
    pub const FORMAT_VERSION: u32 = 2;
}

impl FieldRates {
    /// Number of parts of the sketch of a distribution.
    pub const DISTRIBUTION_LEN: usize = 256;
}

impl ColumnSlices {
    /// Maximum number of values of a column with their own metrics; the first values are kept.
    pub const MAX_VALUES: usize = 10_000;
}

/// Why an evaluation could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationFileError {
    /// The operating system returned an error.
    #[error("cannot {action} the evaluation {}", path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not an evaluation.
    #[error("{} is not an evaluation; write one with omomi evaluate --json", path.display())]
    NotAnEvaluation {
        /// The file.
        path: PathBuf,
        /// The parse error.
        source: serde_json::Error,
    },
    /// The format version is not supported.
    #[error(
        "{}: expected an evaluation of format version {}, found {found}; write it again with omomi evaluate --json",
        path.display(), Evaluation::FORMAT_VERSION
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: u64,
    },
}

impl Evaluation {
    /// Returns the evaluation as JSON text. Equal evaluations give equal text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is text and every number is finite, so serialization cannot fail.
        let json = serde_json::to_string_pretty(self).unwrap_or_else(|_| unreachable!("a plain structure"));
        json + "\n"
    }

    /// Writes the evaluation to a file, completely or not at all. An existing file is replaced only if `replace` is
    /// set.
    ///
    /// # Errors
    ///
    /// Returns [`EvaluationFileError::Io`] if the file cannot be written, or exists and may not be replaced.
    pub fn write(&self, path: impl AsRef<Path>, replace: bool) -> Result<(), EvaluationFileError> {
        let path = path.as_ref();
        let write = || {
            let new_file = NewFile::create(path, replace)?;
            new_file.file().write_all(self.to_json().as_bytes())?;
            new_file.commit()
        };
        write().map_err(|source| EvaluationFileError::Io { action: "write", path: path.to_owned(), source })
    }

    /// Reads an evaluation file.
    ///
    /// # Errors
    ///
    /// Returns [`EvaluationFileError`] if the file cannot be read, is not an evaluation, or has another format version.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, EvaluationFileError> {
        let path = path.as_ref();
        let text = bucket::read_to_string(path);
        let text = text.map_err(|source| EvaluationFileError::Io { action: "read", path: path.to_owned(), source })?;
        let not_one = |source| EvaluationFileError::NotAnEvaluation { path: path.to_owned(), source };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(not_one)?;
        // Check the version first, because the rest of another version may not parse.
        if let Some(found) = value["format_version"].as_u64().filter(|&found| found != u64::from(Self::FORMAT_VERSION))
        {
            return Err(EvaluationFileError::OtherVersion { path: path.to_owned(), found });
        }
        serde_json::from_value(value).map_err(not_one)
    }
}
