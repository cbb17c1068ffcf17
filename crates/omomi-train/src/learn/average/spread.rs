//! Measures how far apart the weights of the shards are, which shows whether they learned the same thing.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::learn::state::BIAS_FIELD;
use omomi::contract::Contract;

use super::rule::Part;

/// How well the shards agree on the features of one field or cross, or on the bias.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpread {
    /// Name of the field or cross; `(bias)` for the bias.
    pub field: String,
    /// Number of features of the average.
    pub feature_count: u64,
    /// Number of features whose weight in the average is not 0.
    pub nonzero_count: u64,
    /// Number of features by how many shards saw them since the common start state: element 0 counts features that one
    /// shard saw, element 1 those that two shards saw, and so on.
    pub seen_by: Vec<u64>,
    /// Mean standard deviation of the shards' raw weights, over the features that at least two shards saw. Within a
    /// feature, each shard is weighted by its curvature `d`. In the mean, each feature is weighted by the sum of its
    /// `d`. `None` if no feature was seen by two shards.
    pub standard_deviation: Option<f64>,
    /// Mean magnitude of the averaged raw weights, over the same features and with the same weighting. Compare the
    /// standard deviation with it.
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

/// The spread of the bias and of all fields and crosses, accumulated feature by feature.
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

    /// Adds a feature that is `parts` in the shards and has `weight` in the average.
    pub(super) fn add(&mut self, field: &str, parts: &[Part], weight: f64) {
        // The reader of each state has checked that the contract has the field.
        self.fields[self.by_name[field]].add(parts, weight);
    }

    /// Returns the spread of the bias, then of the fields and crosses in contract order.
    pub(super) fn finish(mut self) -> Vec<FieldSpread> {
        self.fields.iter_mut().for_each(FieldSpread::finish);
        self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_weighted_by_curvature_and_counts_shards() {
        let part = |z, d, seen_count| Part { z, d, weight: 0.0, seen_count };
        let mut field = FieldSpread::new("a", 3);
        // Raw weights 1 and 3 with d 1 and 3: mean 2.5, variance (2.25 + 0.75) / 4.
        field.add(&[part(-1.0, 1.0, 5), part(-9.0, 3.0, 1)], 2.5);
        // The second shard did not see it since the start.
        field.add(&[part(-1.0, 1.0, 5), part(-9.0, 3.0, 0)], 0.0);
        // No spread at a weight of 0.5.
        field.add(&[part(-1.0, 2.0, 1), part(-2.0, 4.0, 1), part(-3.0, 6.0, 1)], 0.5);
        field.finish();
        assert_eq!((field.feature_count, field.nonzero_count, &field.seen_by[..]), (3, 2, &[1, 1, 1][..]));
        assert_eq!(field.standard_deviation, Some(0.75_f64.sqrt() * 4.0 / 16.0));
        assert_eq!(field.magnitude, Some((2.5 * 4.0 + 0.5 * 12.0) / 16.0));
    }

    #[test]
    fn there_is_no_spread_if_no_feature_was_seen_by_two_shards() {
        let mut field = FieldSpread::new("a", 2);
        field.add(&[Part { z: 1.0, d: 1.0, weight: 0.0, seen_count: 1 }], 0.0);
        field.finish();
        assert_eq!((field.standard_deviation, field.magnitude), (None, None));
    }
}
