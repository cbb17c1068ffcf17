//! The result of a read-out, as it is stored in JSON.

use std::collections::BTreeMap;

use omomi::error::Owner;
use serde::{Deserialize, Serialize};

use super::interval::{Estimate, Validity};
use super::sample_ratio::SampleRatio;

/// What an experiment says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReadOut {
    /// Version of this form.
    pub version: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// Column of the unit.
    pub unit: String,
    /// The control arm.
    pub control: String,
    /// At which moments the intervals hold.
    pub validity: Validity,
    /// The share of intervals that may miss the truth.
    pub alpha: f64,
    /// Times of the first and the last row, in microseconds since 1970-01-01 UTC.
    pub window_us: [i64; 2],
    /// Rows that were read.
    pub row_count: u64,
    /// Rows that do not count, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// Whether only predictions that were shown are impressions: so it is if the log has impressions.
    pub of_impressions: bool,
    /// What counts as revenue.
    pub revenue: String,
    /// The currency of the revenue.
    pub currency: Option<String>,
    /// The arms, the control arm first.
    pub arms: Vec<ArmUnits>,
    /// Units that were in several arms. They count in none.
    pub units_in_several_arms: u64,
    /// Where the planned shares are from.
    pub shares_from: SharesFrom,
    /// The sample-ratio test; none if the planned shares are not known.
    pub sample_ratio: Option<SampleRatio>,
    /// Why the metrics are not shown. Empty if they are.
    pub blocked: Vec<Block>,
    /// What looks odd, and does not block.
    pub notes: Vec<String>,
    /// The metrics.
    pub metrics: Vec<MetricReadOut>,
    /// The differences of one metric by the values of columns.
    pub slices: Option<SliceReadOut>,
    /// The figures as they were at earlier moments, from the rows up to each of them, the earliest first.
    pub looks: Vec<Look>,
    /// Bytes of memory for each unit.
    pub bytes_per_unit: u64,
}

impl ReadOut {
    /// The version that this library writes and reads.
    pub const VERSION: u32 = 1;
}

/// The units of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmUnits {
    /// Name of the arm.
    pub arm: String,
    /// Its units.
    pub units: u64,
    /// Its rows.
    pub rows: u64,
    /// Its planned share of the units of all arms, from 0 to 1.
    pub planned_share: Option<f64>,
    /// Times of its first and its last row.
    pub window_us: [i64; 2],
}

/// Where the planned shares are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharesFrom {
    /// They were given.
    Given,
    /// From the experiment file.
    File,
    /// From the buckets in the log.
    Buckets,
    /// They are not known.
    Nothing,
}

/// Why metrics are not shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Whether the experiment is broken, or it only cannot be told yet.
    pub kind: BlockKind,
    /// What was expected and what was found.
    pub message: String,
    /// What the cause may be, the likeliest first.
    pub causes: Vec<String>,
    /// Who must act: `ml`, `delivery` or `infra`.
    pub owner: String,
    /// What to do.
    pub action: String,
}

impl Block {
    pub(super) fn new(kind: BlockKind, owner: Owner, message: String, action: &str) -> Self {
        Self { kind, message, causes: Vec::new(), owner: owner.word().to_owned(), action: action.to_owned() }
    }
}

/// How bad a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// The experiment is broken: its figures would deceive.
    Broken,
    /// It cannot be told, or not yet.
    CannotTell,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricReadOut {
    /// Its name.
    pub metric: String,
    /// Its value in each arm, in the order of the arms.
    pub arms: Vec<Option<Estimate>>,
    /// The differences of the other arms from the control arm, in the order of the arms.
    pub differences: Vec<Option<ArmDifference>>,
    /// Why something is missing.
    pub note: Option<String>,
}

/// The difference of an arm from the control arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmDifference {
    /// The arm.
    pub arm: String,
    /// The difference.
    pub absolute: Estimate,
    /// The difference divided by the value of the control arm.
    pub relative: Option<Estimate>,
    /// The p-value, which is as valid as the interval is.
    pub p_value: Option<f64>,
    /// With a covariate: by which share the variance of the difference became smaller.
    pub variance_reduction: Option<f64>,
    /// With a covariate: the difference without it.
    pub unadjusted: Option<Estimate>,
}

/// One metric by the values of columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceReadOut {
    /// The metric.
    pub metric: String,
    /// How many comparisons share the error.
    pub comparisons: u64,
    /// The slices, by falling number of units within each column.
    pub slices: Vec<SliceDifference>,
}

/// The difference within one slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceDifference {
    /// The column.
    pub column: String,
    /// The value; `None` for the rows without one.
    pub value: Option<String>,
    /// The arm.
    pub arm: String,
    /// Units of this arm and of the control arm in the slice.
    pub units: [u64; 2],
    /// The difference, with an interval that holds for all slices together (Bonferroni).
    pub absolute: Option<Estimate>,
    /// The relative difference, in the same way.
    pub relative: Option<Estimate>,
    /// The p-value after Holm's correction for all slices.
    pub p_value: Option<f64>,
}

/// What was known at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// All rows before this time, in microseconds since 1970-01-01 UTC.
    pub until_us: i64,
    /// Units of each arm, in the order of the arms.
    pub units: Vec<u64>,
    /// The p-value of the sample-ratio test.
    pub sample_ratio_p_value: Option<f64>,
    /// The metrics, in their order.
    pub metrics: Vec<LookMetric>,
}

/// A metric at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LookMetric {
    /// Its value in each arm.
    pub arms: Vec<Option<Estimate>>,
    /// The absolute difference of each other arm from the control arm.
    pub differences: Vec<Option<Estimate>>,
    /// The relative difference.
    pub relative: Vec<Option<Estimate>>,
}
