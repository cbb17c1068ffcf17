//! What an evaluation says, as data: what `omomi evaluate --json` writes, the gate judges and the report draws.

use serde::{Deserialize, Serialize};

/// Weight files scored on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Version of this format: [`Evaluation::FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of omomi that made it.
    pub tool_version: String,
    /// The rows.
    pub rows: EvaluatedRows,
    /// The weight files, in the order in which they were given.
    pub models: Vec<ModelEvaluation>,
    /// The weight file that the others are held against; it has no comparison.
    pub baseline: Option<ModelEvaluation>,
}

/// The rows that were scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatedRows {
    /// Paths of the logs, in the order in which they were read.
    pub logs: Vec<String>,
    /// Rows.
    pub impressions: u64,
    /// Rows that were clicked.
    pub clicks: u64,
    /// Rows that could not be used and were skipped.
    pub bad_rows: u64,
    /// Name of the column with the user, where one was named.
    pub user_column: Option<String>,
    /// Name of the column with the time of the impression, where one was named.
    pub time_column: Option<String>,
    /// Earliest and latest time, in microseconds since 1970-01-01 UTC, where there is a time column.
    pub window_us: Option<[i64; 2]>,
}

/// What is known of one weight file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEvaluation {
    /// What the file itself says.
    pub file: FileFacts,
    /// Figures over all rows.
    pub overall: Overall,
    /// The reliability curve: at most 20 bins of equally many rows, by rising probability.
    pub reliability: Vec<ReliabilityBin>,
    /// Figures by the values of each column that was asked for.
    pub by: Vec<ColumnSlices>,
    /// Figures by hour, rising, where there is a time column.
    pub hours: Vec<HourSlice>,
    /// How each field of the contract was filled, in contract order.
    pub fields: Vec<FieldRates>,
    /// The file held against the baseline on the same rows; nothing for the baseline itself, and where there is none.
    pub comparison: Option<Comparison>,
}

/// What a weight file itself says. All its numbers are finite: no other file passes its verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFacts {
    /// Where it was.
    pub path: String,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub digest: String,
    /// Generation of the training run.
    pub generation: u64,
    /// Name of the serving logic.
    pub logic_id: String,
    /// Name of the contract.
    pub contract: String,
    /// Fingerprint of the contract, 16 hexadecimal digits.
    pub contract_fingerprint: String,
    /// How its weights stand in it: `f32`, `f16` or `i8`.
    pub encoding: String,
    /// The weight that is always on, on the logit scale.
    pub bias: f64,
    /// Weights, the bias excluded.
    pub weight_count: u64,
    /// Largest magnitude of a weight, the bias excluded; 0 without weights.
    pub largest_weight: f64,
    /// The weights of each field and cross that has any, in contract order.
    pub fields: Vec<FieldWeights>,
    /// Rows that it was trained on, where its provenance says it.
    pub training_rows: Option<u64>,
    /// Times of the first and the last row that it was trained on, in microseconds since 1970-01-01 UTC, where its
    /// provenance says them.
    pub training_window_us: Option<[i64; 2]>,
}

/// The weights of one field or cross.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldWeights {
    /// Name of the field, or of the cross (`media_id*creative_id`).
    pub field: String,
    /// How many weights it has.
    pub weight_count: u64,
    /// Its part of the bytes of all weights. Fields share lines, so this is their part of the weights.
    pub len_bytes: u64,
}

/// Figures over all rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overall {
    /// Rows with a probability.
    pub impressions: u64,
    /// Those of them that were clicked.
    pub clicks: u64,
    /// Rows whose answer was no probability in (0, 1). They are in no other figure.
    pub not_probability_count: u64,
    /// Mean probability; 0 without rows.
    pub mean_probability: f64,
    /// Mean negative log likelihood, natural log, per impression; 0 without rows.
    pub log_loss: f64,
    /// Log loss over the entropy of the observed CTR. Nothing where no row or every row was clicked, as for the AUCs.
    pub normalized_entropy: Option<f64>,
    /// Probability that a clicked row has a greater prediction than an unclicked one, ties counting half.
    pub auc: Option<f64>,
    /// Area under the curve of precision over recall, in steps: the average precision.
    pub pr_auc: Option<f64>,
    /// AUC within users, where a user column was named.
    pub user_auc: Option<UserAuc>,
    /// Sum of the probabilities over clicks, with its interval; nothing without clicks.
    pub calibration: Option<Calibration>,
    /// Expected calibration error: the mean distance of observed CTR and mean probability over the reliability curve's
    /// bins; 0 without rows.
    pub expected_calibration_error: f64,
    /// Share of the categories in all fields that have no weight; 0 without categories.
    pub unseen_rate: f64,
}

/// The AUC within each user, averaged over the users that have both a clicked and an unclicked row: how well the ads for one and
/// the same user are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserAuc {
    /// Weighted with each user's impressions: what papers call GAUC.
    pub by_impressions: f64,
    /// Weighted with each user's clicks.
    pub by_clicks: f64,
    /// Users that have both kinds of rows.
    pub users: u64,
    /// Their rows.
    pub impressions: u64,
}

/// A calibration ratio with its interval of 95 %: the ratio times and over e^(1.96 / sqrt(clicks)), as for a count of clicks that
/// is Poisson.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Sum of the probabilities over clicks: 1 is right, above 1 promises too much.
    pub ratio: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Rows whose probabilities are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// Rows.
    pub impressions: u64,
    /// Rows that were clicked.
    pub clicks: u64,
    /// Mean of the probabilities.
    pub mean_probability: f64,
    /// Clicks over impressions.
    pub observed_ctr: f64,
    /// Lower end of the observed CTR's interval of 95 %, by Wilson's score.
    pub observed_ctr_low: f64,
    /// Its upper end.
    pub observed_ctr_high: f64,
}

/// Figures by the values of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSlices {
    /// The column of the log.
    pub column: String,
    /// The rows of each value, those with most clicks first, and of as many clicks those with most impressions.
    pub slices: Vec<Slice>,
    /// The rows of further values together, where there are more than [`ColumnSlices::MAX_VALUES`].
    pub other: Option<SliceMetrics>,
}

/// The rows of one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The value as text; nothing for the rows without one.
    pub value: Option<String>,
    /// Their figures.
    pub metrics: SliceMetrics,
}

/// The rows of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HourSlice {
    /// When the hour begins, in microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// The figures of its rows.
    pub metrics: SliceMetrics,
}

/// Figures of some of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceMetrics {
    /// Rows with a probability.
    pub impressions: u64,
    /// Those of them that were clicked.
    pub clicks: u64,
    /// Mean probability.
    pub mean_probability: f64,
    /// Mean negative log likelihood, natural log, per impression.
    pub log_loss: f64,
    /// Log loss over the entropy of these rows' own observed CTR. Nothing where no row or every row was clicked.
    pub normalized_entropy: Option<f64>,
    /// Sum of the probabilities over clicks, with its interval; nothing without clicks.
    pub calibration: Option<Calibration>,
}

/// How one field was filled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRates {
    /// Name of the field.
    pub field: String,
    /// Categories in all rows; several a row for a `many` field.
    pub categories: u64,
    /// Those that have no weight: never seen in training, or pruned since.
    pub unseen: u64,
    /// Unseen over all categories; 0 without categories.
    pub unseen_rate: f64,
    /// Rows without a value.
    pub missing: u64,
    /// Rows without a value over all rows; 0 without rows.
    pub missing_rate: f64,
    /// Numbers out of range or NaN, which count as missing.
    pub invalid_numbers: u64,
}

/// A weight file held against the baseline on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Population stability index of the probabilities against the baseline's, over 10 bins of equally many rows by the
    /// baseline's probabilities: 0 is no shift, above 0.25 is a large one.
    pub population_stability_index: f64,
    /// Log loss less the baseline's: below 0 is better.
    pub log_loss_difference: Option<Difference>,
    /// Normalized entropy less the baseline's.
    pub normalized_entropy_difference: Option<Difference>,
    /// Normalized entropy over the baseline's, less 1: 0.001 is 0.1 % worse. The log loss changes by the same part.
    pub normalized_entropy_change: Option<Difference>,
    /// How the intervals were found.
    pub bootstrap: Bootstrap,
}

/// A difference with its interval of 95 %, from the paired bootstrap.
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

/// How intervals of differences were found: groups of rows are drawn with replacement, as many as there are, and both models are
/// measured on the same draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// What was drawn.
    pub groups_of: GroupsOf,
    /// How many groups there are.
    pub groups: u64,
    /// How often as many were drawn.
    pub resamples: u64,
    /// What the draws began from: the same rows and seed give the same intervals.
    pub seed: u64,
}

/// What rows stay together when rows are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupsOf {
    /// All rows of a user, some users a group.
    Users,
    /// Consecutive rows.
    ConsecutiveRows,
}

impl Evaluation {
    /// The format that this version writes and reads.
    pub const FORMAT_VERSION: u32 = 1;
}

impl ColumnSlices {
    /// Most values of a column that have figures of their own: those that come first.
    pub const MAX_VALUES: usize = 10_000;
}
