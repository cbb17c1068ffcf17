//! The measures of pruning, and the code that takes them in order.

use std::path::Path;
use std::time::Duration;

use super::categories::Guard;
use super::stage::{Stage, Workbench};
use super::{BudgetBill, ByField, Event, LiveList, MeasureBill, PruneError, budget, categories};
use crate::learn::WeightRule;
use omomi::contract::Contract;
use omomi::weight_file::table::Encoding;

/// The measures to take. By default there is none, except the limits on categories that the contract has.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    /// Drops categories of the list's field that are not in the list, and crosses that contain one of them.
    pub live: Option<LiveList>,
    /// Drops features that were last seen longer than this before the end of the training window.
    pub last_seen: ByField<Duration>,
    /// Drops features with fewer impressions than this.
    pub min_impressions: ByField<u64>,
    /// Sets weights to 0 whose evidence `|z|` is at most this. Must be at least the l1 of the state.
    pub l1: Option<f64>,
    /// Drops raw weights that are nearer than this to what an unseen category of the field adds. Must be at least the
    /// minimum magnitude of the state.
    pub min_magnitude: Option<f64>,
    /// The budget: most bytes of the weight file.
    pub max_bytes: Option<u64>,
    /// The encodings that may be used to meet the budget. If empty, any encoding.
    pub encodings: Vec<Encoding>,
}

/// The result of taking all measures.
pub(super) struct Taken {
    pub(super) last: Stage,
    pub(super) measures: Vec<MeasureBill>,
    pub(super) budget: Option<BudgetBill>,
    pub(super) warnings: Vec<String>,
}

impl Measures {
    /// Upper bound on the number of measures that are taken: the requested ones, the limits of the contract, and
    /// dropping weights of 0.
    pub(super) fn count(&self) -> usize {
        let asked = [
            self.live.is_some(),
            !self.last_seen.is_empty(),
            !self.min_impressions.is_empty(),
            self.l1.is_some(),
            self.min_magnitude.is_some(),
            self.max_bytes.is_some(),
        ];
        asked.iter().filter(|asked| **asked).count() + 2
    }

    /// Returns an error if the measures cannot be taken on a state with this contract and rule.
    pub(super) fn check(&self, contract: &Contract, rule: &WeightRule, has_held_out: bool) -> Result<(), PruneError> {
        let is_limited = contract.fields().iter().any(|field| field.category_limit.is_some())
            || contract.crosses().iter().any(|cross| cross.category_limit.is_some());
        if self.count() == 2 && !is_limited {
            return Err(PruneError::NoMeasure);
        }
        let settings = [("l1", self.l1, rule.l1), ("min_magnitude", self.min_magnitude, rule.min_magnitude)];
        for (name, asked, was) in settings {
            if let Some(found) = asked.filter(|asked| !asked.is_finite() || *asked < was) {
                let expected = format!("at least {was:?}, the value in the training state");
                return Err(PruneError::Setting { name, expected, found: format!("{found:?}") });
            }
        }
        let by_weight = [("--min-magnitude", self.min_magnitude.is_some()), ("--max-bytes", self.max_bytes.is_some())];
        match by_weight.into_iter().find(|(_, asked)| *asked && !has_held_out) {
            Some((measure, _)) => Err(PruneError::NeedsHeldOut { measure }),
            None => Ok(()),
        }
    }

    /// Takes the measures on the training state at `state`. `first` is its stage before the first measure.
    pub(super) fn take(
        &self,
        state: &Path,
        workbench: &Workbench<'_>,
        guard: &Guard,
        first: &Stage,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Taken, PruneError> {
        let mut taken = Taking { workbench, watch, last: first.clone(), measures: Vec::new() };
        let model = workbench.model;
        let mut warnings = Vec::new();
        if let Some(list) = &self.live {
            taken.begin("live");
            let (dropped, warning) = categories::not_live(state, model, list, guard)?;
            warnings.extend(warning);
            let name = list.path.file_name().unwrap_or_default().display();
            taken.drop_features("live", format!("{} in {name}", list.field), &dropped);
        }
        if !self.last_seen.is_empty() {
            taken.begin("last_seen");
            let dropped = categories::not_seen_since(state, model, &self.last_seen, guard)?;
            let setting = self.last_seen.describe(|longest| format!("{:.1} days", longest.as_secs_f64() / 86_400.0));
            taken.drop_features("last_seen", setting, &dropped);
        }
        if !self.min_impressions.is_empty() {
            taken.begin("min_impressions");
            let dropped = categories::seldom_seen(model, &self.min_impressions)?;
            taken.drop_features("min_impressions", self.min_impressions.describe(u64::to_string), &dropped);
        }
        if let Some(l1) = self.l1 {
            taken.follow("l1", l1, |rule| WeightRule { l1, ..rule });
        }
        if let Some(min_magnitude) = self.min_magnitude {
            if model.defaults().is_empty() {
                taken.follow("min_magnitude", min_magnitude, |rule| WeightRule { min_magnitude, ..rule });
            } else {
                taken.begin("min_magnitude");
                let scale = taken.last.rule.scale;
                let features = model.features().iter().zip(&taken.last.weights);
                let is_near = |group, weight: f64| (weight - model.unseen_weight(group)).abs() < min_magnitude * scale;
                let dropped: Vec<bool> = features.map(|(feature, &weight)| is_near(feature.group, weight)).collect();
                taken.drop_features("min_magnitude", format!("{min_magnitude:?}"), &dropped);
            }
        }
        if let Some(dropped) = categories::over_limit(model, &taken.last.weights)? {
            taken.begin("max_categories");
            taken.drop_features("max_categories", "as the contract says".to_owned(), &dropped);
        }
        let mut budget = None;
        if let Some(max_bytes) = self.max_bytes {
            taken.begin("max_bytes");
            let encodings = if self.encodings.is_empty() { &Encoding::ALL[..] } else { &self.encodings };
            let met = budget::meet(workbench, &taken.last, max_bytes, encodings, taken.watch)?;
            taken.go_to("max_bytes", format!("{max_bytes} bytes"), met.stage);
            budget = Some(met.bill);
        }
        let has_none: Vec<bool> = taken.last.weights.iter().map(|&weight| weight == 0.0).collect();
        taken.begin("zero");
        taken.drop_features("zero", "weights of 0 are left out".to_owned(), &has_none);
        Ok(Taken { last: taken.last, measures: taken.measures, budget, warnings })
    }
}

/// The state of the work while measures are taken.
struct Taking<'a> {
    workbench: &'a Workbench<'a>,
    watch: &'a mut dyn FnMut(Event<'_>),
    last: Stage,
    measures: Vec<MeasureBill>,
}

impl Taking<'_> {
    fn begin(&mut self, measure: &'static str) {
        (self.watch)(Event::Measure(measure));
    }

    /// Drops the features whose entry in `dropped` is true.
    fn drop_features(&mut self, measure: &str, setting: String, dropped: &[bool]) {
        let kept: Vec<bool> = self.last.kept.iter().zip(dropped).map(|(&kept, &dropped)| kept && !dropped).collect();
        let weights = self.last.weights.iter().zip(&kept);
        let weights = weights.map(|(&weight, &kept)| if kept { weight } else { 0.0 }).collect();
        let next = self.workbench.stage_of_weights(kept, self.last.rule, self.last.encoding, weights);
        self.go_to(measure, setting, next);
    }

    /// Computes the weights again with the rule that `change` returns.
    fn follow(&mut self, measure: &'static str, setting: f64, change: impl FnOnce(WeightRule) -> WeightRule) {
        self.begin(measure);
        let next = self.workbench.stage(self.last.kept.clone(), change(self.last.rule));
        self.go_to(measure, format!("{setting:?}"), next);
    }

    fn go_to(&mut self, measure: &str, setting: String, next: Stage) {
        let change = self.workbench.change(&self.last, &next);
        self.measures.push(MeasureBill { measure: measure.to_owned(), setting, change });
        self.last = next;
    }
}
