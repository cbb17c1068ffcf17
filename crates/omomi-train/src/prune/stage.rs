//! A model on its way from the state to what is left of it.

use super::held_out::{Fitted, HeldOut};
use super::{Amounts, Change, FieldChange, HeldOutChange};
use crate::learn::{StateModel, WeightRule};
use crate::pack::table::bytes_per_weight;
use crate::pack::{FilePlan, group_names};
use omomi::weight_file::table::Encoding;

/// Which features are left after some measures, and with which weights.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    /// Whether a feature is left, by number.
    pub(super) kept: Vec<bool>,
    /// The weights as they are served, by number; 0 for what is not left.
    pub(super) weights: Vec<f64>,
    /// How the weights of those that are left follow from `z` and `d`, but for the shift that was fitted.
    pub(super) rule: WeightRule,
    /// How they are rounded.
    pub(super) encoding: Encoding,
    /// Where the bias belongs, where there are held-out rows.
    pub(super) fitted: Option<Fitted>,
    logits: Vec<f64>,
}

impl Stage {
    /// The logit of each held-out row, before the bias was fitted.
    pub(super) fn logits(&self) -> &[f64] {
        &self.logits
    }
}

/// What stages are made with.
pub(super) struct Workbench<'a> {
    pub(super) model: &'a StateModel,
    pub(super) plan: &'a FilePlan,
    pub(super) held_out: Option<&'a HeldOut>,
}

impl Workbench<'_> {
    /// The state as it came.
    pub(super) fn first_stage(&self) -> Stage {
        let rule = self.model.metadata().weight_rule;
        self.stage(vec![true; self.model.features().len()], rule)
    }

    /// The features of `kept` with the weights of `rule`.
    pub(super) fn stage(&self, kept: Vec<bool>, rule: WeightRule) -> Stage {
        let features = self.model.features().iter().zip(&kept);
        let weights =
            features.map(|(feature, &kept)| if kept { rule.feature_weight(feature.z, feature.d) } else { 0.0 });
        let weights = weights.collect();
        self.stage_of_weights(kept, rule, Encoding::F32, weights)
    }

    /// The features of `kept` with weights that `encoding` has rounded.
    pub(super) fn stage_of_weights(
        &self,
        kept: Vec<bool>,
        rule: WeightRule,
        encoding: Encoding,
        weights: Vec<f64>,
    ) -> Stage {
        let logits = self.held_out.map_or_else(Vec::new, |rows| rows.logits(self.model.bias_weight(), &weights));
        let fitted = self.held_out.map(|rows| rows.fit(&logits));
        Stage { kept, weights, rule, encoding, fitted, logits }
    }

    /// What lies between two stages.
    pub(super) fn change(&self, before: &Stage, after: &Stage) -> Change {
        let names = group_names(&self.model.metadata().contract);
        let (amounts_before, amounts_after) = (self.amounts(before), self.amounts(after));
        let mut mass_removed = vec![0.0; names.len()];
        let moved = self.model.features().iter().zip(before.weights.iter().zip(&after.weights));
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

    /// What would lie between two stages if one field or cross alone had changed.
    fn change_of_group(&self, before: &Stage, after: &Stage, group: usize) -> Option<HeldOutChange> {
        let rows = self.held_out?;
        let mut logits = before.logits.clone();
        rows.add_gain(group, &before.weights, &after.weights, &mut logits);
        Some(between(before.fitted?, rows.fit(&logits)))
    }

    /// What each field and cross has.
    fn amounts(&self, stage: &Stage) -> Vec<Amounts> {
        let contract = &self.model.metadata().contract;
        let none = Amounts { categories: 0, weights: 0, bytes: 0, mass: 0.0 };
        let mut amounts = vec![none; contract.fields().len() + contract.crosses().len()];
        let features = self.model.features().iter().zip(&stage.kept).zip(&stage.weights);
        for ((feature, &kept), weight) in features {
            let amounts = &mut amounts[usize::from(feature.group)];
            amounts.categories += u64::from(kept);
            amounts.weights += u64::from(*weight != 0.0);
            amounts.mass += feature.impressions as f64 * weight.abs();
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
