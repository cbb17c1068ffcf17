//! Averages one feature of several states, as pure functions over doubles.

use std::fmt;
use std::str::FromStr;

use crate::learn::{Settings, WeightRule};

/// How the features of several states are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// `z` and `d` are summed, so that weights are averaged by their curvature and thresholded once.
    #[default]
    Curvature,
    /// Mean of the finished weights of all states. A state without the feature counts as 0.
    Plain,
    /// Mean of the finished weights of the states that saw the feature.
    Seen,
    /// Mean of the finished weights, weighted by how often each state saw the feature.
    Count,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::Curvature, Self::Plain, Self::Seen, Self::Count];

    /// Returns the name of the rule on the command line and in the provenance.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Curvature => "curvature",
            Self::Plain => "plain",
            Self::Seen => "seen",
            Self::Count => "count",
        }
    }

    /// Returns the weight rule that gives the averaged weights from `z` and `d` of the average.
    pub(super) const fn weight_rule(self, settings: &Settings) -> WeightRule {
        let of_settings = WeightRule::of(settings);
        match self {
            Self::Curvature => of_settings,
            // The weights were thresholded when they were finished.
            Self::Plain | Self::Seen | Self::Count => WeightRule { l1: 0.0, l2: 0.0, ..of_settings },
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|rule| rule.name() == text);
        named.ok_or_else(|| format!("expected curvature, plain, seen or count, found `{text}`"))
    }
}

/// One feature in one state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) z: f64,
    pub(super) d: f64,
    /// The finished weight.
    pub(super) weight: f64,
    /// Number of rows that had the feature since the common start state.
    pub(super) seen_count: u64,
}

impl Part {
    /// Returns the weight before any threshold.
    pub(super) fn raw_weight(&self) -> f64 {
        -self.z / self.d
    }
}

/// The `z` and `d` of a feature with which all states started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Common {
    /// The whole `z` and `d` of the start state.
    pub(super) whole: (f64, f64),
    /// The share of it that each state took.
    pub(super) in_each: (f64, f64),
}

impl Common {
    /// Each state started with the whole `z` and `d`.
    pub(super) const fn whole_in_each(z: f64, d: f64) -> Self {
        Self { whole: (z, d), in_each: (z, d) }
    }
}

/// Returns `z` and `d` of the average of `parts`: the states, out of `state_count`, that have the feature. What is
/// `common` to all of them counts once.
pub(super) fn average_of(rule: Rule, parts: &[Part], common: Common, state_count: usize) -> (f64, f64) {
    let Common { whole, in_each } = common;
    let z = parts.iter().fold(whole.0, |sum, part| sum + (part.z - in_each.0));
    let d = parts.iter().fold(whole.1, |sum, part| sum + (part.d - in_each.1));
    let sum = |parts: &mut dyn Iterator<Item = f64>| parts.fold(0.0, |sum, weight| sum + weight);
    let weights = || parts.iter().map(|part| part.weight);
    let seen_count: u64 = parts.iter().map(|part| part.seen_count).sum();
    let weight = match rule {
        Rule::Curvature => return (z, d),
        Rule::Plain => sum(&mut weights()) / state_count as f64,
        // No state saw the feature since the common start state, so all have it from there.
        Rule::Seen | Rule::Count if seen_count == 0 => sum(&mut weights()) / parts.len().max(1) as f64,
        Rule::Seen => {
            let seen = || parts.iter().filter(|part| part.seen_count > 0);
            sum(&mut seen().map(|part| part.weight)) / seen().count() as f64
        }
        Rule::Count => sum(&mut parts.iter().map(|part| part.weight * part.seen_count as f64)) / seen_count as f64,
    };
    (-weight * d, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { alpha: 0.5, beta: 1.0, l1: 1.0, l2: 0.25 };

    /// An unseen feature has the curvature beta / alpha.
    const NOTHING: Common = Common::whole_in_each(0.0, 2.0);
    const COMMON: Common = Common::whole_in_each(-3.0, 4.5);

    fn part(z: f64, d: f64, seen_count: u64) -> Part {
        Part { z, d, weight: SETTINGS.feature_weight(z, d), seen_count }
    }

    fn weight(rule: Rule, parts: &[Part], state_count: usize) -> f64 {
        let (z, d) = average_of(rule, parts, NOTHING, state_count);
        rule.weight_rule(&SETTINGS).feature_weight(z, d)
    }

    #[test]
    fn curvature_sums_and_thresholds_once() {
        // Neither part alone exceeds l1.
        let parts = [part(-0.75, 3.0, 1), part(-0.75, 5.0, 2)];
        assert_eq!(parts.map(|part| part.weight), [0.0, 0.0]);
        // Both contain the curvature of an unseen feature, 2.
        assert_eq!(average_of(Rule::Curvature, &parts, NOTHING, 3), (-1.5, 6.0));
        assert_eq!(weight(Rule::Curvature, &parts, 3), 0.5 / 6.25);
        // With nothing in common and without a threshold, this is the mean of the raw weights, weighted by d.
        let (z, d) = average_of(Rule::Curvature, &parts, Common::whole_in_each(0.0, 0.0), 3);
        let mean = parts.iter().map(|part| part.d * part.raw_weight()).sum::<f64>() / 8.0;
        assert_eq!((-z / d, mean), (1.5 / 8.0, 1.5 / 8.0));
    }

    #[test]
    fn a_correction_that_all_shards_make_counts_once_and_new_evidence_adds_up() {
        // All started with the weight 0.5 and each corrected it to 0.25, so the average is 0.25.
        let dense = Common { whole: (-40.0, 80.0), in_each: (-10.0, 20.0) };
        let parts = [part(-5.25, 21.0, 50); 4];
        assert_eq!(average_of(Rule::Curvature, &parts, dense, 4), (-21.0, 84.0));
        // With the whole curvature in each, the correction would count four times.
        let summed = Common { whole: (-40.0, 80.0), in_each: (-40.0, 80.0) };
        let (z, d) = average_of(Rule::Curvature, &[part(-20.25, 81.0, 50); 4], summed, 4);
        assert_eq!(-z / d, (40.0 - 4.0 * 19.75) / 84.0);
        // There is no evidence to share, so gradients add up.
        let rare = Common { whole: (-1.0, 2.0), in_each: (-1.0, 2.0) };
        assert_eq!(average_of(Rule::Curvature, &[part(-1.5, 2.0, 1); 2], rare, 2), (-2.0, 2.0));
    }

    #[test]
    fn means_of_finished_weights_differ_in_the_states_that_count() {
        // Weights 1, 0 (below the threshold) and 2.
        let parts = [part(-4.25, 3.0, 3), part(0.5, 3.0, 1), part(-7.5, 3.0, 1)];
        assert_eq!(parts.map(|part| part.weight), [1.0, 0.0, 2.0]);
        assert_eq!(weight(Rule::Plain, &parts, 4), 0.75);
        assert_eq!(weight(Rule::Seen, &parts, 4), 1.0);
        assert_eq!(weight(Rule::Count, &parts, 4), 1.0);
        assert_eq!(weight(Rule::Count, &parts[..2], 4), 0.75);
        assert_eq!(average_of(Rule::Plain, &parts, NOTHING, 4).1, 5.0);
    }

    #[test]
    fn a_common_start_counts_once() {
        let parts = [part(-2.0, 5.0, 1), part(-3.0, 4.5, 0)];
        assert_eq!(average_of(Rule::Curvature, &parts, COMMON, 2), (-2.0, 5.0));
        assert_eq!(average_of(Rule::Curvature, &[], COMMON, 2), (-3.0, 4.5));
        // Only the first state saw it since the start.
        assert_eq!(average_of(Rule::Seen, &parts, COMMON, 2), (-parts[0].weight * 5.0, 5.0));
        let unseen = [part(-3.0, 4.5, 0), part(-3.0, 4.5, 0)];
        for rule in Rule::ALL {
            let (z, d) = average_of(rule, &unseen, COMMON, 2);
            let weight = rule.weight_rule(&SETTINGS).feature_weight(z, d);
            assert!((weight - unseen[0].weight).abs() < 1e-15, "{rule}");
        }
    }

    #[test]
    fn rules_have_names() {
        for rule in Rule::ALL {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        let expected = "expected curvature, plain, seen or count, found `mean`";
        assert_eq!("mean".parse::<Rule>(), Err(expected.to_owned()));
    }
}
