//! Meets a budget in bytes: chooses which weights stay and how they are rounded, without training again.
//!
//! Tries three kinds of cut with every encoding on the held-out rows, and chooses the one with the lowest log loss:
//!
//! * **evidence**: weights with a large `|z + u d|` stay, unchanged, where `u` is what an unseen category adds instead,
//!   often 0. `|z|` is about the weight times the square root of its
//!   impressions. Its square is about how much the log loss of the training rows grows if the weight is dropped.
//! * **l1**: weights with a large `|z|` stay, but are pulled toward 0, as if the model had been trained with this l1.
//! * **magnitude**: weights far from what an unseen category adds stay, even if they were learned from few impressions.
//!
//! A smaller encoding leaves room for more weights, so the best encoding depends on the budget.
//!
//! Fails if even a file without weights is larger than the budget.

use super::stage::{STORED_ZERO, Stage, Workbench};
use super::{BudgetBill, CurvePoint, Event, PruneError};
use crate::learn::{StateFeature, WeightRule};
use crate::pack::table::{EncodedWeights, Entry};
use omomi::weight_file::DefaultWeights;
use omomi::weight_file::table::Encoding;

/// The curve also has these fractions of the budget: a quarter and a half.
const SMALLER_SIZES: [u64; 2] = [4, 2];
/// How many sizes the curve has between the budget and the whole model.
const GREATER_SIZE_COUNT: i32 = 3;

/// A stage that meets a budget, and the models that were tried to find it.
pub(super) struct Met {
    pub(super) stage: Stage,
    pub(super) bill: BudgetBill,
}

/// A kind of cut: what decides which weights stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Evidence,
    L1,
    Magnitude,
}

impl Cut {
    const ALL: [Self; 3] = [Self::Evidence, Self::L1, Self::Magnitude];

    const fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::L1 => "l1",
            Self::Magnitude => "magnitude",
        }
    }

    /// Returns the score of a feature. Its weight stays if the score is above the threshold. `unseen` is what an unseen
    /// category adds, before the scale of the rule.
    fn score(self, rule: &WeightRule, feature: &StateFeature, unseen: f64) -> f64 {
        match self {
            Self::Evidence => (feature.z + unseen * feature.d).abs(),
            Self::L1 => feature.z.abs(),
            Self::Magnitude => (WeightRule { scale: 1.0, ..*rule }.feature_weight(feature.z, feature.d) - unseen).abs(),
        }
    }

    /// Returns the rule for the weights that stay. With `has_defaults`, it does not know what unseen categories add, so
    /// that only a cut by l1 is a rule.
    fn rule(self, rule: &WeightRule, threshold: f64, has_defaults: bool) -> WeightRule {
        match self {
            Self::Magnitude if has_defaults => *rule,
            Self::Evidence => *rule,
            Self::L1 => WeightRule { l1: rule.l1.max(threshold), ..*rule },
            // A weight of exactly `min_magnitude` stays, so it must be just above the threshold.
            Self::Magnitude if threshold > 0.0 => {
                WeightRule { min_magnitude: rule.min_magnitude.max(threshold.next_up()), ..*rule }
            }
            Self::Magnitude => *rule,
        }
    }
}

/// A cut at one threshold, with one encoding.
#[derive(Debug, Clone, Copy)]
struct Trial {
    cut: Cut,
    threshold: f64,
    encoding: Encoding,
}

/// Cuts the weights of `base`.
struct Cutter<'a> {
    workbench: &'a Workbench<'a>,
    base: &'a Stage,
    /// For each cut, the scores of all weights in descending order.
    scores: Vec<(Cut, Vec<f64>)>,
    /// What an unseen feature of each group adds, before the scale of the rule.
    unseen: Vec<f64>,
}

/// Meets the budget of `max_bytes` with one of `encodings` and the lowest log loss. Calls `watch` with the progress.
///
/// # Errors
///
/// Returns [`PruneError::BudgetTooSmall`] if even a file without weights is larger than the budget.
pub(super) fn meet(
    workbench: &Workbench<'_>,
    base: &Stage,
    max_bytes: u64,
    encodings: &[Encoding],
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Met, PruneError> {
    let cutter = Cutter::new(workbench, base);
    let sizes = cutter.sizes(max_bytes, encodings);
    let mut curve: Vec<(CurvePoint, Trial, bool)> = Vec::new();
    let of = sizes.len() * encodings.len() * Cut::ALL.len();
    for (size_index, &size) in sizes.iter().enumerate() {
        for (encoding_index, &encoding) in encodings.iter().enumerate() {
            let count = (size_index * encodings.len() + encoding_index) * Cut::ALL.len();
            watch(Event::Tried { count, of });
            let Some(max) = workbench.plan.max_weights(encoding, size) else { continue };
            let is_whole = max >= cutter.weight_count();
            let is_known =
                |(_, trial, _): &(CurvePoint, Trial, bool)| trial.encoding == encoding && trial.threshold == 0.0;
            if is_whole && curve.iter().any(is_known) {
                continue;
            }
            for cut in if is_whole { &Cut::ALL[..1] } else { &Cut::ALL } {
                let Some(trial) = cutter.trial(*cut, encoding, max) else { continue };
                let Some(point) = cutter.point(trial) else { continue };
                curve.push((point, trial, size == max_bytes || (is_whole && size <= max_bytes)));
            }
        }
    }
    watch(Event::Tried { count: of, of });
    curve.sort_by_key(|(point, ..)| point.bytes);
    let loss = |index: &usize| curve[*index].0.quality.log_loss;
    let fitting = (0..curve.len()).filter(|&index| curve[index].2);
    // If the whole model fits in f32, choose it without comparing losses.
    let whole = |&index: &usize| curve[index].1.threshold == 0.0 && curve[index].1.encoding == Encoding::F32;
    let best = fitting.clone().find(whole).or_else(|| fitting.min_by(|one, other| loss(one).total_cmp(&loss(other))));
    let Some(chosen) = best else {
        let min = encodings.iter().filter_map(|&encoding| workbench.plan.lens_bytes(encoding, 0));
        let min = min.map(|[_, max]| max).min().unwrap_or(u64::MAX);
        return Err(PruneError::BudgetTooSmall { max_bytes, min });
    };
    let stage = cutter.stage(curve[chosen].1);
    let curve = curve.into_iter().map(|(point, ..)| point).collect();
    Ok(Met { stage, bill: BudgetBill { max_bytes, curve, chosen } })
}

impl<'a> Cutter<'a> {
    fn new(workbench: &'a Workbench<'a>, base: &'a Stage) -> Self {
        let contract = &workbench.model.metadata().contract;
        let groups = (0..).take(contract.fields().len() + contract.crosses().len());
        let unseen: Vec<f64> = groups.map(|group| workbench.model.unseen_weight(group) / base.rule.scale).collect();
        let scores = |cut: Cut| {
            let features = workbench.model.features().iter().zip(&base.weights);
            let weighty = features.filter(|(_, weight)| **weight != 0.0);
            let score = |feature: &StateFeature| cut.score(&base.rule, feature, unseen[usize::from(feature.group)]);
            let mut scores: Vec<f64> = weighty.map(|(feature, _)| score(feature)).collect();
            scores.sort_unstable_by(|one, other| other.total_cmp(one));
            (cut, scores)
        };
        let scores = Cut::ALL.map(scores).to_vec();
        Self { workbench, base, scores, unseen }
    }

    fn weight_count(&self) -> u64 {
        self.scores[0].1.len() as u64
    }

    /// Returns the sizes to try: the budget, smaller sizes, and larger ones up to the whole model in the largest
    /// encoding.
    fn sizes(&self, max_bytes: u64, encodings: &[Encoding]) -> Vec<u64> {
        let whole =
            encodings.iter().filter_map(|&encoding| self.workbench.plan.lens_bytes(encoding, self.weight_count()));
        let whole = whole.map(|[_, max]| max).max().unwrap_or(u64::MAX);
        let mut sizes: Vec<u64> = SMALLER_SIZES.iter().map(|part| max_bytes / part).collect();
        sizes.push(max_bytes);
        let step = (whole as f64 / max_bytes.max(1) as f64).powf(1.0 / f64::from(GREATER_SIZE_COUNT + 1)).max(1.5);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size to try, whichever")]
        let greater = (1..=GREATER_SIZE_COUNT).map(|power| (max_bytes as f64 * step.powi(power)) as u64);
        sizes.extend(greater.filter(|&size| size < whole));
        sizes.push(whole.max(max_bytes));
        sizes.dedup();
        sizes
    }

    /// Finds the lowest threshold at which at most `max` weights stay, to within 0.2 %. Returns `None` if the encoding
    /// cannot represent the weights.
    fn trial(&self, cut: Cut, encoding: Encoding, max: u64) -> Option<Trial> {
        let (_, scores) = self.scores.iter().find(|(other, _)| *other == cut)?;
        let trial = |count: usize| Trial { cut, threshold: scores.get(count).copied().unwrap_or(0.0), encoding };
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(scores.len());
        let mut best = trial(max);
        let stay_count = |trial: &Trial| Some(self.encoded(trial)?.entries().len());
        // Weights that the encoding rounds to 0 take no space, so more of the others may stay.
        let (mut min, mut beyond) = (max, scores.len() + 1);
        let is_short = stay_count(&best)? < max - max / 500;
        while is_short && beyond - min > 1 + max / 1_000 {
            let middle = min.midpoint(beyond);
            let tried = trial(middle);
            if stay_count(&tried)? <= max {
                (min, best) = (middle, tried);
            } else {
                beyond = middle;
            }
        }
        Some(best)
    }

    /// Returns the weights that stay, rounded by the encoding. Each key is the number of the feature. Returns `None` if
    /// the encoding cannot represent the weights.
    fn encoded(&self, trial: &Trial) -> Option<EncodedWeights> {
        let features = self.workbench.model.features();
        let rule = self.rule(trial);
        let stays = |number: usize| self.base.kept[number] && self.is_above(trial, number);
        let entries = (0..features.len()).filter(|&number| stays(number)).filter_map(|number| {
            let feature = &features[number];
            #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
            let weight = rule.feature_weight(feature.z, feature.d) as f32;
            (weight != 0.0).then_some(Entry { key: number as u64, weight, group: feature.group, popularity: 0 })
        });
        let model = self.workbench.model;
        let default_weights = model.defaults().iter().map(|defaults| {
            #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
            let [unseen, missing] = defaults.weights(&rule).map(|weight| weight as f32);
            DefaultWeights { unseen, missing }
        });
        let contract = &self.workbench.model.metadata().contract;
        let group_count = contract.fields().len() + contract.crosses().len();
        EncodedWeights::encode_with(default_weights.collect(), entries.collect(), trial.encoding, group_count).ok()
    }

    /// Whether a feature stays in a cut. Always true if the rule of the cut drops the weights.
    fn is_above(&self, trial: &Trial, number: usize) -> bool {
        let by_rule = match trial.cut {
            Cut::Evidence => false,
            Cut::L1 => true,
            Cut::Magnitude => !self.has_defaults(),
        };
        let feature = &self.workbench.model.features()[number];
        let unseen = self.unseen[usize::from(feature.group)];
        by_rule || trial.threshold == 0.0 || trial.cut.score(&self.base.rule, feature, unseen) > trial.threshold
    }

    fn has_defaults(&self) -> bool {
        !self.workbench.model.defaults().is_empty()
    }

    fn rule(&self, trial: &Trial) -> WeightRule {
        trial.cut.rule(&self.base.rule, trial.threshold, self.has_defaults())
    }

    fn stage(&self, trial: Trial) -> Stage {
        let rule = self.rule(&trial);
        let kept = (0..self.base.kept.len()).map(|number| self.base.kept[number] && self.is_above(&trial, number));
        let mut weights = vec![0.0; self.base.kept.len()];
        if let Some(encoded) = self.encoded(&trial) {
            for entry in encoded.entries() {
                let scale = encoded.scales().get(usize::from(entry.group)).copied().unwrap_or(1.0);
                let number = usize::try_from(entry.key).expect("the number of a feature in memory");
                let weight = f64::from(entry.weight * scale);
                weights[number] = if weight == 0.0 { STORED_ZERO } else { weight };
            }
        }
        self.workbench.stage_of_weights(kept.collect(), rule, trial.encoding, weights)
    }

    fn point(&self, trial: Trial) -> Option<CurvePoint> {
        let stage = self.stage(trial);
        let fitted = stage.fitted?;
        let weights = stage.weights.iter().filter(|&&weight| weight != 0.0).count() as u64;
        let [bytes, _] = self.workbench.plan.lens_bytes(trial.encoding, weights)?;
        Some(CurvePoint {
            cut: trial.cut.name().to_owned(),
            threshold: trial.threshold,
            encoding: trial.encoding.name().to_owned(),
            weights,
            bytes,
            shift: fitted.shift,
            quality: fitted.quality,
        })
    }
}
