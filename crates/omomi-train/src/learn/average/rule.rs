//! One feature of several states becomes one feature of their average, as pure functions over doubles.

use std::fmt;
use std::str::FromStr;

use crate::learn::{Settings, WeightRule};

/// How the features of several states become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// `z` and `d` are summed, so that weights are averaged by their curvature and thresholded once.
    #[default]
    Curvature,
    /// Mean of the finished weights of all states; where a state does not have the feature it counts as 0.
    Plain,
    /// Mean of the finished weights of the states that saw the feature.
    Seen,
    /// Mean of the finished weights, each counting as often as its state saw the feature.
    Count,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Curvature, Self::Plain, Self::Seen, Self::Count];

    /// Its name on the command line and in the provenance.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Curvature => "curvature",
            Self::Plain => "plain",
            Self::Seen => "seen",
            Self::Count => "count",
        }
    }

    /// The weight rule under which the average has the weights that it should have.
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

/// What one state says of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) z: f64,
    pub(super) d: f64,
    /// The finished weight.
    pub(super) weight: f64,
    /// Rows that had the feature since the common start.
    pub(super) seen_count: u64,
}

impl Part {
    /// The weight before any threshold.
    pub(super) fn raw_weight(&self) -> f64 {
        -self.z / self.d
    }
}

/// The `z` and `d` of a feature with which all states began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Common {
    /// What there was.
    pub(super) whole: (f64, f64),
    /// What each state took of it.
    pub(super) in_each: (f64, f64),
}

impl Common {
    /// Each state began with all that there was.
    pub(super) const fn whole_in_each(z: f64, d: f64) -> Self {
        Self { whole: (z, d), in_each: (z, d) }
    }
}

/// `z` and `d` of the average of `parts`, the states that have the feature out of `state_count`. What is `common` to all of them
/// counts once.
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
        // Nobody saw it since the common start, of which all have it.
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

    /// A feature that nobody has seen has the curvature beta / alpha.
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
        // Neither part is past l1 by itself.
        let parts = [part(-0.75, 3.0, 1), part(-0.75, 5.0, 2)];
        assert_eq!(parts.map(|part| part.weight), [0.0, 0.0]);
        // Both contain the 2 of a feature that nobody has seen.
        assert_eq!(average_of(Rule::Curvature, &parts, NOTHING, 3), (-1.5, 6.0));
        assert_eq!(weight(Rule::Curvature, &parts, 3), 0.5 / 6.25);
        // With nothing in common and without a threshold it is the mean of the raw weights, weighted by d.
        let (z, d) = average_of(Rule::Curvature, &parts, Common::whole_in_each(0.0, 0.0), 3);
        let mean = parts.iter().map(|part| part.d * part.raw_weight()).sum::<f64>() / 8.0;
        assert_eq!((-z / d, mean), (1.5 / 8.0, 1.5 / 8.0));
    }

    #[test]
    fn a_correction_that_all_shards_make_is_made_once_and_what_each_adds_is_added() {
        // All had the weight 0.5 and found by themselves that it should be 0.25: so says the average.
        let dense = Common { whole: (-40.0, 80.0), in_each: (-10.0, 20.0) };
        let parts = [part(-5.25, 21.0, 50); 4];
        assert_eq!(average_of(Rule::Curvature, &parts, dense, 4), (-21.0, 84.0));
        // With the whole curvature in each it would be made four times over.
        let summed = Common { whole: (-40.0, 80.0), in_each: (-40.0, 80.0) };
        let (z, d) = average_of(Rule::Curvature, &[part(-20.25, 81.0, 50); 4], summed, 4);
        assert_eq!(-z / d, (40.0 - 4.0 * 19.75) / 84.0);
        // Too little curvature to share: gradients add up.
        let rare = Common { whole: (-1.0, 2.0), in_each: (-1.0, 2.0) };
        assert_eq!(average_of(Rule::Curvature, &[part(-1.5, 2.0, 1); 2], rare, 2), (-2.0, 2.0));
    }

    #[test]
    fn means_of_finished_weights_differ_in_who_counts() {
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
        // Only the first saw it since.
        assert_eq!(average_of(Rule::Seen, &parts, COMMON, 2), (-parts[0].weight * 5.0, 5.0));
        let nobody = [part(-3.0, 4.5, 0), part(-3.0, 4.5, 0)];
        for rule in Rule::ALL {
            let (z, d) = average_of(rule, &nobody, COMMON, 2);
            let weight = rule.weight_rule(&SETTINGS).feature_weight(z, d);
            assert!((weight - nobody[0].weight).abs() < 1e-15, "{rule}");
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
