//! The bill of pruning: what was dropped and what it cost. It is written as JSON beside the pruned state
//! (`PRUNED.bill.json`), with a summary in the state's provenance.
//!
//! ```
//! use omomi_train::prune::{Amounts, Bill};
//!
//! let amounts = Amounts { categories: 3, weights: 2, bytes: 17, mass: 0.5 };
//! let text = serde_json::to_string(&amounts)?;
//! assert_eq!(text, r#"{"categories":3,"weights":2,"bytes":17,"mass":0.5}"#);
//! assert_eq!(serde_json::from_str::<Amounts>(&text)?, amounts);
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use crate::evaluate::Metrics;
use crate::learn::WeightRule;

/// What pruning dropped and what it cost, in total and for each measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Version of the library that pruned.
    pub tool_version: String,
    /// Name of the state's contract.
    pub contract: String,
    /// Fingerprint of the state's contract, 16 hexadecimal digits.
    pub fingerprint: String,
    /// The encoding of the sizes after pruning: `f32`, `f16` or `i8`. It is also the default encoding of `omomi pack`
    /// for this state. Sizes before pruning are for f32.
    pub encoding: String,
    /// The weight rule before pruning.
    pub rule_before: RuleBill,
    /// The weight rule of the pruned state.
    pub rule_after: RuleBill,
    /// Number of held-out rows that the metrics cover, or 0 without held-out logs. If the logs have more rows than fit
    /// the sample, this is the size of the sample.
    pub held_out_rows: u64,
    /// Metrics of the state before pruning, with its own bias. All other metrics, except those of [`served`](Self::served),
    /// are for a bias that was fitted on the held-out rows.
    pub unfitted: Option<Quality>,
    /// Whether the bias of the pruned state was fitted to the clicks of the held-out rows. `false` if that would have
    /// been within the error of the fit: the bias then keeps the mean prediction of the state. `None` without held-out
    /// rows, and in bills from before there was a choice.
    #[serde(default)]
    pub bias_fitted: Option<bool>,
    /// Metrics of the pruned state with its own bias. `None` without held-out rows, and in older bills.
    #[serde(default)]
    pub served: Option<Quality>,
    /// The change by all measures together.
    pub total: Change,
    /// The measures in the order in which they were taken. Each starts from the result of the previous one.
    pub measures: Vec<MeasureBill>,
    /// How the budget was met, if there was a budget.
    pub budget: Option<BudgetBill>,
    /// Warnings for people to read.
    pub warnings: Vec<String>,
}

/// A [`WeightRule`] in a bill: how weights follow from the training state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RuleBill {
    /// A weight is 0 if its evidence `|z|` is at most this.
    pub l1: f64,
    /// Number that is added to the curvature.
    pub l2: f64,
    /// Raw weights below this magnitude are 0.
    pub min_magnitude: f64,
    /// Factor by which the logit is multiplied.
    pub scale: f64,
    /// Number that is added to the logit after multiplication by `scale`.
    pub shift: f64,
}

/// What one measure changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureBill {
    /// Name of the measure: `live`, `last_seen`, `min_impressions`, `l1`, `min_magnitude`, `max_categories`,
    /// `max_bytes`, or `zero`, the last measure, which drops weights of 0.
    pub measure: String,
    /// The requested setting, as text.
    pub setting: String,
    /// What the measure changed.
    pub change: Change,
}

/// A change of the model, in total and by field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Amounts before the change.
    pub before: Amounts,
    /// Amounts after the change.
    pub after: Amounts,
    /// Sum over all features of impressions times the absolute change of the weight: how much the change moves the
    /// logits of the training rows, regardless of sign.
    pub mass_removed: f64,
    /// Quality of predictions before and after. `None` without held-out rows.
    pub held_out: Option<HeldOutChange>,
    /// The change in each field and cross of the contract, in contract order.
    pub fields: Vec<FieldChange>,
}

/// The size of a model, or of one field of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Amounts {
    /// Number of features in the state.
    pub categories: u64,
    /// Number of features whose weight is not 0. Only these go into a weight file.
    pub weights: u64,
    /// For a model, the planned size of the weight file in bytes. For a field, the bytes of its weights.
    pub bytes: u64,
    /// Sum of impressions times the weight's distance from what an unseen category adds: how much the weights move the
    /// logits of the training rows.
    pub mass: f64,
}

/// A change of one field or cross.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Name of the field or cross.
    pub field: String,
    /// Amounts before the change.
    pub before: Amounts,
    /// Amounts after the change.
    pub after: Amounts,
    /// Sum over the field's features of impressions times the absolute change of the weight.
    pub mass_removed: f64,
    /// Quality of predictions before and after, if only this field had changed. `None` without held-out rows and if no
    /// weight of the field changed.
    pub held_out: Option<HeldOutChange>,
}

/// Quality of predictions on the held-out rows before and after a change. The bias is fitted on these rows both times.
/// The difference therefore shows what the change costs, not what the fit gains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOutChange {
    /// Quality before the change.
    pub before: Quality,
    /// Quality after the change.
    pub after: Quality,
}

/// Quality of predictions on the held-out rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Mean negative log likelihood, natural log, per impression.
    pub log_loss: f64,
    /// Log loss divided by the log loss of the best constant. `None` if no row or every row was clicked.
    pub normalized_entropy: Option<f64>,
    /// Sum of the probabilities divided by the number of clicks. `None` without clicks.
    pub calibration_ratio: Option<f64>,
}

/// How a budget was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetBill {
    /// The budget: most bytes of the weight file.
    pub max_bytes: u64,
    /// The models that were tried, smallest file first: several sizes for each kind of cut and each encoding.
    pub curve: Vec<CurvePoint>,
    /// Index in `curve` of the model that was chosen.
    pub chosen: usize,
}

/// A model that was tried to meet a budget: the size of its weight file, and its quality on the held-out rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// What decides which weights stay: `evidence` (by `|z|`; weights that stay do not change), `l1` (by `|z|`; weights
    /// that stay are pulled toward 0) or `magnitude` (by the magnitude of the weight).
    pub cut: String,
    /// Weights above this threshold stay. Its unit depends on `cut`.
    pub threshold: f64,
    /// Encoding of the weights in the file: `f32`, `f16` or `i8`.
    pub encoding: String,
    /// Number of weights in the file.
    pub weights: u64,
    /// Planned size of the file in bytes.
    pub bytes: u64,
    /// How far the fitted bias is shifted for this model.
    pub shift: f64,
    /// Quality with weights rounded by the encoding and with the fitted bias.
    pub quality: Quality,
}

impl From<WeightRule> for RuleBill {
    fn from(rule: WeightRule) -> Self {
        let WeightRule { l1, l2, min_magnitude, scale, shift } = rule;
        Self { l1, l2, min_magnitude, scale, shift }
    }
}

impl From<Metrics> for Quality {
    fn from(metrics: Metrics) -> Self {
        let Metrics { log_loss, normalized_entropy, calibration_ratio, .. } = metrics;
        Self { log_loss, normalized_entropy, calibration_ratio }
    }
}

impl HeldOutChange {
    /// Returns the relative growth of the log loss: 0.01 if it grew by 1 %, below 0 if it fell. The normalized entropy
    /// grew by the same share.
    #[must_use]
    pub fn loss_growth(&self) -> f64 {
        self.after.log_loss / self.before.log_loss - 1.0
    }
}

impl BudgetBill {
    /// Returns the model that was chosen, or `None` if `chosen` is not an index of `curve`.
    #[must_use]
    pub fn chosen_point(&self) -> Option<&CurvePoint> {
        self.curve.get(self.chosen)
    }
}
