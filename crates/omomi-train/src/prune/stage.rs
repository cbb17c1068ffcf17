//! Stages of pruning: the features and weights that are left after some measures, and the change between two stages.

use super::held_out::{Fitted, HeldOut};
use super::{Amounts, Change, FieldChange, HeldOutChange};
use crate::learn::{StateModel, WeightRule};
use crate::pack::table::bytes_per_weight;
use crate::pack::{FilePlan, group_names};
use omomi::weight_file::table::Encoding;

/// Stands for a weight of 0 that the file has, unlike one that is left out: an unseen category adds something else.
pub(super) const STORED_ZERO: f64 = f64::MIN_POSITIVE;

/// The features and weights that are left after some measures.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    /// Whether each feature is left, by number.
    pub(super) kept: Vec<bool>,
    /// The weight of each feature as it is served, by number; 0 if the feature is not left, and [`STORED_ZERO`] if its
    /// weight in the file is 0.
    pub(super) weights: Vec<f64>,
    /// What is added for each number of a held-out row, if a feature without a weight is unseen.
    served: Vec<f64>,
    /// How weights follow from `z` and `d`, without the fitted shift of the bias.
    pub(super) rule: WeightRule,
    /// How the weights are rounded.
    pub(super) encoding: Encoding,
    /// The fitted bias, if there are held-out rows.
    pub(super) fitted: Option<Fitted>,
    logits: Vec<f64>,
}

impl Stage {
    /// The logit of each held-out row, without the fitted shift of the bias.
    pub(super) fn logits(&self) -> &[f64] {
        &self.logits
    }
}

/// What is needed to build stages: the model, the plan of the weight file and the held-out rows.
pub(super) struct Workbench<'a> {
    pub(super) model: &'a StateModel,
    pub(super) plan: &'a FilePlan,
    pub(super) held_out: Option<&'a HeldOut>,
}

impl Workbench<'_> {
    /// Builds the stage before the first measure.
    pub(super) fn first_stage(&self) -> Stage {
        let rule = self.model.metadata().weight_rule;
        self.stage(vec![true; self.model.features().len()], rule)
    }

    /// Builds a stage with the features of `kept` and the weights of `rule`, in f32.
    pub(super) fn stage(&self, kept: Vec<bool>, rule: WeightRule) -> Stage {
        let features = self.model.features().iter().zip(&kept);
        let weights =
            features.map(|(feature, &kept)| if kept { rule.feature_weight(feature.z, feature.d) } else { 0.0 });
        let weights = weights.collect();
        self.stage_of_weights(kept, rule, Encoding::F32, weights)
    }

    /// Builds a stage with the features of `kept` and with weights that were already rounded by `encoding`.
    pub(super) fn stage_of_weights(
        &self,
        kept: Vec<bool>,
        rule: WeightRule,
        encoding: Encoding,
        weights: Vec<f64>,
    ) -> Stage {
        let served = self.model.served_weights(weights.clone());
        let logits = self.held_out.map_or_else(Vec::new, |rows| rows.logits(self.model.bias_weight(), &served));
        let fitted = self.held_out.map(|rows| rows.fit(&logits));
        Stage { kept, weights, served, rule, encoding, fitted, logits }
    }

    /// Computes the change between two stages.
    pub(super) fn change(&self, before: &Stage, after: &Stage) -> Change {
        let names = group_names(&self.model.metadata().contract);
        let (amounts_before, amounts_after) = (self.amounts(before), self.amounts(after));
        let mut mass_removed = vec![0.0; names.len()];
        let moved = self.model.features().iter().zip(before.served.iter().zip(&after.served));
        for (feature, (before, after)) in moved {
            mass_removed[usize::from(feature.group)] += feature.impressions as f64 * (before - after).abs();
        }
        let mut fields = Vec::with_capacity(names.len());
        for (group, field) in names.into_iter().enumerate() {
            let mass_removed = mass_removed[group];
            let is_changed = mass_removed > 0.0;
            fields.push(FieldChange {
                field,
                before: amounts_before[group],
                after: amounts_after[group],
                mass_removed,
                held_out: if is_changed { self.change_of_group(before, after, group) } else { None },
            });
        }
        Change {
            before: self.total(before, &amounts_before),
            after: self.total(after, &amounts_after),
            mass_removed: mass_removed.iter().sum(),
            held_out: before.fitted.zip(after.fitted).map(|(before, after)| between(before, after)),
            fields,
        }
    }

    /// Computes how the quality would change if only one field or cross, `group`, had changed.
    fn change_of_group(&self, before: &Stage, after: &Stage, group: usize) -> Option<HeldOutChange> {
        let rows = self.held_out?;
        let mut logits = before.logits.clone();
        rows.add_gain(group, &before.served, &after.served, &mut logits);
        Some(between(before.fitted?, rows.fit(&logits)))
    }

    /// Computes the amounts of each field and cross.
    fn amounts(&self, stage: &Stage) -> Vec<Amounts> {
        let contract = &self.model.metadata().contract;
        let none = Amounts { categories: 0, weights: 0, bytes: 0, mass: 0.0 };
        let mut amounts = vec![none; contract.fields().len() + contract.crosses().len()];
        let features = self.model.features().iter().zip(&stage.kept).zip(&stage.weights);
        for ((feature, &kept), weight) in features {
            let amounts = &mut amounts[usize::from(feature.group)];
            amounts.categories += u64::from(kept);
            amounts.weights += u64::from(*weight != 0.0);
            if *weight != 0.0 {
                amounts.mass += feature.impressions as f64 * (weight - self.model.unseen_weight(feature.group)).abs();
            }
        }
        for amounts in &mut amounts {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of bytes, to the next"
            )]
            let bytes = (amounts.weights as f64 * bytes_per_weight(stage.encoding)).round() as u64;
            amounts.bytes = bytes;
        }
        amounts
    }

    fn total(&self, stage: &Stage, amounts: &[Amounts]) -> Amounts {
        let weights = amounts.iter().map(|amounts| amounts.weights).sum();
        Amounts {
            categories: amounts.iter().map(|amounts| amounts.categories).sum(),
            weights,
            bytes: self.plan.lens_bytes(stage.encoding, weights).map_or(u64::MAX, |[usual, _]| usual),
            mass: amounts.iter().map(|amounts| amounts.mass).sum(),
        }
    }
}

const fn between(before: Fitted, after: Fitted) -> HeldOutChange {
    HeldOutChange { before: before.quality, after: after.quality }
}
