//! How far the shards' weights lie apart: what says whether they learned the same thing.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::learn::state::BIAS_FIELD;
use omomi::contract::Contract;

use super::rule::Part;

/// How the shards agree on the features of one field or cross, or on the bias.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpread {
    /// Name of the field or cross; `(bias)` for the bias.
    pub field: String,
    /// Features of the average.
    pub feature_count: u64,
    /// Those of them whose weight in the average is not 0.
    pub nonzero_count: u64,
    /// Features that so many shards saw since the common start: element 0 those that one shard saw, and so on.
    pub seen_by: Vec<u64>,
    /// Mean standard deviation of the shards' raw weights, over the features that at least two shards saw: of a feature
    /// around its mean, each shard counting by its curvature `d`, and of the features each counting by the sum of its `d`.
    /// Nothing where no two shards saw one feature.
    pub standard_deviation: Option<f64>,
    /// Mean magnitude of the averaged raw weights, over the same features in the same way: the scale on which to read the
    /// standard deviation.
    pub magnitude: Option<f64>,
    deviation_sum: f64,
    magnitude_sum: f64,
    curvature_sum: f64,
}

impl FieldSpread {
    fn new(field: &str, shard_count: usize) -> Self {
        Self {
            field: field.to_owned(),
            feature_count: 0,
            nonzero_count: 0,
            seen_by: vec![0; shard_count],
            standard_deviation: None,
            magnitude: None,
            deviation_sum: 0.0,
            magnitude_sum: 0.0,
            curvature_sum: 0.0,
        }
    }

    fn add(&mut self, parts: &[Part], weight: f64) {
        self.feature_count += 1;
        self.nonzero_count += u64::from(weight != 0.0);
        let seen = || parts.iter().filter(|part| part.seen_count > 0);
        let count = seen().count();
        if count > 0 {
            self.seen_by[count - 1] += 1;
        }
        if count < 2 {
            return;
        }
        let (mut d, mut z) = (0.0, 0.0);
        for part in seen() {
            (d, z) = (d + part.d, z + part.z);
        }
        let mean = -z / d;
        let square = |part: &Part| {
            let distance = part.raw_weight() - mean;
            part.d * distance * distance
        };
        let variance = seen().fold(0.0, |sum, part| sum + square(part)) / d;
        self.deviation_sum += d * variance.sqrt();
        self.magnitude_sum += d * mean.abs();
        self.curvature_sum += d;
    }

    fn finish(&mut self) {
        if self.curvature_sum > 0.0 {
            self.standard_deviation = Some(self.deviation_sum / self.curvature_sum);
            self.magnitude = Some(self.magnitude_sum / self.curvature_sum);
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "field": self.field,
            "features": self.feature_count,
            "nonzero": self.nonzero_count,
            "seen_by": self.seen_by,
            "standard_deviation": self.standard_deviation,
            "magnitude": self.magnitude,
        })
    }
}

/// The spread of all fields and crosses, summed up feature by feature.
pub(super) struct Spread {
    fields: Vec<FieldSpread>,
    by_name: HashMap<String, usize>,
}

impl Spread {
    pub(super) fn new(contract: &Contract, shard_count: usize) -> Self {
        let crosses = contract.crosses().iter().map(|cross| contract.cross_name(cross));
        let names = [BIAS_FIELD.to_owned()].into_iter();
        let names = names.chain(contract.fields().iter().map(|field| field.name.clone())).chain(crosses);
        let fields: Vec<FieldSpread> = names.map(|name| FieldSpread::new(&name, shard_count)).collect();
        let by_name = fields.iter().enumerate().map(|(index, field)| (field.field.clone(), index)).collect();
        Self { fields, by_name }
    }

    /// Takes in a feature of which the shards say `parts` and which has `weight` in the average.
    pub(super) fn add(&mut self, field: &str, parts: &[Part], weight: f64) {
        // The reader of each state has checked that the contract has the field.
        self.fields[self.by_name[field]].add(parts, weight);
    }

    /// The bias first, then fields and crosses in contract order.
    pub(super) fn finish(mut self) -> Vec<FieldSpread> {
        self.fields.iter_mut().for_each(FieldSpread::finish);
        self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_weighs_by_curvature_and_counts_who_saw() {
        let part = |z, d, seen_count| Part { z, d, weight: 0.0, seen_count };
        let mut field = FieldSpread::new("a", 3);
        // Raw weights 1 and 3 with d 1 and 3: mean 2.5, variance (2.25 + 0.75) / 4.
        field.add(&[part(-1.0, 1.0, 5), part(-9.0, 3.0, 1)], 2.5);
        // The second did not see it since the start.
        field.add(&[part(-1.0, 1.0, 5), part(-9.0, 3.0, 0)], 0.0);
        // No spread at a weight of 0.5.
        field.add(&[part(-1.0, 2.0, 1), part(-2.0, 4.0, 1), part(-3.0, 6.0, 1)], 0.5);
        field.finish();
        assert_eq!((field.feature_count, field.nonzero_count, &field.seen_by[..]), (3, 2, &[1, 1, 1][..]));
        assert_eq!(field.standard_deviation, Some(0.75_f64.sqrt() * 4.0 / 16.0));
        assert_eq!(field.magnitude, Some((2.5 * 4.0 + 0.5 * 12.0) / 16.0));
    }

    #[test]
    fn without_a_feature_that_two_shards_saw_there_is_no_spread() {
        let mut field = FieldSpread::new("a", 2);
        field.add(&[Part { z: 1.0, d: 1.0, weight: 0.0, seen_count: 1 }], 0.0);
        field.finish();
        assert_eq!((field.standard_deviation, field.magnitude), (None, None));
    }
}
