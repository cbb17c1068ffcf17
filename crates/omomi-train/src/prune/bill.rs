//! What pruning took and what it cost, as JSON beside the pruned state (`PRUNED.bill.json`) and in its provenance.
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

use crate::judge::evaluate::Metrics;
use crate::learn::WeightRule;

/// What pruning took, measure by measure and as a whole, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Version of the library that pruned.
    pub tool_version: String,
    /// Name of the state's contract.
    pub contract: String,
    /// Fingerprint of the state's contract, 16 hexadecimal digits.
    pub fingerprint: String,
    /// The encoding that bytes after pruning are counted in and that `omomi pack` takes unless told otherwise: `f32`,
    /// `f16` or `i8`. Bytes before pruning are counted in f32.
    pub encoding: String,
    /// The weight rule of the state before.
    pub rule_before: RuleBill,
    /// The weight rule of the pruned state.
    pub rule_after: RuleBill,
    /// Held-out rows that the metrics are of, or 0 where there are none. Where the logs have more rows than are held in memory, it is
    /// a sample of them.
    pub held_out_rows: u64,
    /// The state as it came, on these rows, with its bias where it was. All other metrics are of models whose bias was fitted on these rows.
    pub unfitted: Option<Quality>,
    /// Everything together.
    pub total: Change,
    /// Each measure, in the order in which they were taken: each begins with what the one before it has left.
    pub measures: Vec<MeasureBill>,
    /// How the budget was met, where there was one.
    pub budget: Option<BudgetBill>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// A [`WeightRule`] in a bill.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RuleBill {
    /// Evidence `|z|` up to which a weight is 0.
    pub l1: f64,
    /// Added to the curvature.
    pub l2: f64,
    /// Raw weights of less than this magnitude are 0.
    pub min_magnitude: f64,
    /// Multiplies the logit.
    pub scale: f64,
    /// Is added to the logit after that.
    pub shift: f64,
}

/// What one measure took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureBill {
    /// Its name: `live`, `last_seen`, `min_impressions`, `l1`, `min_magnitude`, `max_categories`, `max_bytes`, or `zero` for weights of
    /// 0, which are left out last.
    pub measure: String,
    /// What was asked for, in words.
    pub setting: String,
    /// What it changed.
    pub change: Change,
}

/// What something changed, as a whole and by field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What there was before.
    pub before: Amounts,
    /// What there is after it.
    pub after: Amounts,
    /// Sum over the features of impressions times how far their weight moved: what was taken from the logits of the training
    /// rows, whatever its sign.
    pub mass_removed: f64,
    /// Predictions before and after, where there are held-out rows.
    pub held_out: Option<HeldOutChange>,
    /// The same for each field and cross of the contract, in contract order.
    pub fields: Vec<FieldChange>,
}

/// What a model has, or one field of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Amounts {
    /// Features in the state.
    pub categories: u64,
    /// Those of them whose weight is not 0: they go into a weight file.
    pub weights: u64,
    /// Bytes of the weight file, as planned; of a field the bytes of its weights alone.
    pub bytes: u64,
    /// Sum of impressions times the weight's magnitude: how much the weights move the logits of the training rows.
    pub mass: f64,
}

/// What something changed in one field or cross.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Name of the field or cross.
    pub field: String,
    /// What there was before.
    pub before: Amounts,
    /// What there is after it.
    pub after: Amounts,
    /// Sum over its features of impressions times how far their weight moved.
    pub mass_removed: f64,
    /// Predictions before and after if this field alone had changed, where there are held-out rows and weights of it changed.
    pub held_out: Option<HeldOutChange>,
}

/// Predictions of the held-out rows before and after. The bias is fitted on them both times, so that a difference is what the
/// change costs and not what the fit gains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOutChange {
    /// Before.
    pub before: Quality,
    /// After.
    pub after: Quality,
}

/// How good predictions of the held-out rows are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Mean negative log likelihood, natural log, per impression.
    pub log_loss: f64,
    /// Log loss over that of the best constant; nothing where no row or every row was clicked.
    pub normalized_entropy: Option<f64>,
    /// Sum of the probabilities over clicks; nothing without clicks.
    pub calibration_ratio: Option<f64>,
}

/// How a budget was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetBill {
    /// Most bytes of the weight file.
    pub max_bytes: u64,
    /// What was tried: for each way of cutting and each encoding, files of several sizes, the smallest first.
    pub curve: Vec<CurvePoint>,
    /// Which of them was chosen: its index in `curve`.
    pub chosen: usize,
}

/// A model that was tried: how large its weight file is and how good its predictions of the held-out rows are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// What decides which weights stay: `evidence` (`|z|`, and those that stay keep their weight), `l1` (`|z|`, and those that
    /// stay are pulled towards 0) or `magnitude` (the weight).
    pub cut: String,
    /// From where on a weight stays, in the unit of the cut.
    pub threshold: f64,
    /// How weights stand in the file: `f32`, `f16` or `i8`.
    pub encoding: String,
    /// Weights in the file.
    pub weights: u64,
    /// Bytes of the file, as planned.
    pub bytes: u64,
    /// Shift of the bias that was fitted for it.
    pub shift: f64,
    /// Predictions with the weights as the encoding rounds them and the bias fitted again.
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
    /// By which part the log loss grew, and with it the normalized entropy; below 0 where it fell.
    #[must_use]
    pub fn loss_growth(&self) -> f64 {
        self.after.log_loss / self.before.log_loss - 1.0
    }
}

impl BudgetBill {
    /// The point that was chosen.
    #[must_use]
    pub fn chosen_point(&self) -> Option<&CurvePoint> {
        self.curve.get(self.chosen)
    }
}
