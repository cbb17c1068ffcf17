//! Averages of the weights that a run went through, its *iterates*.
//!
//! The last weight of a feature carries the noise of its last rows. With a good learning rate, this noise costs more
//! than what a slower rate would. A run therefore ends with the average of each feature's iterates, mostly of the last
//! quarter of them:
//!
//! ```text
//! average = average + (iterate - average) * 4 / (k + 3)    after k rows with the feature
//! ```
//!
//! This is polynomial-decay averaging (Shamir and Zhang 2013, "Stochastic gradient descent for non-smooth
//! optimization", there with eta = 3), counted for each feature on its own. So the length of the log need not be known,
//! and a rare feature keeps its last weight nearly as it is: the first iterate counts in full, and after ten rows, the
//! last one still counts 31 %. Averages over a span of the log that is the same for all features made models with rare
//! categories worse.
//!
//! The state stores no average. Its `z` is moved to where it gives the averaged weight, so averages of shards, rounds
//! and later runs start from the averaged weight. A later run averages its own iterates only: a model that is continued
//! each day follows the day. A weight that is 0 in the end stays 0, with its evidence below the threshold.

use super::Settings;
use super::optimizer::Coordinate;

/// How fast earlier iterates are forgotten: the average is mostly that of the last `1 / (ETA + 1)` of the iterates.
const ETA: f64 = 3.0;

/// The average of the iterates of one feature or of the bias.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct IterateAverage {
    weight: f64,
    /// Number of rows with the feature.
    row_count: f64,
}

impl IterateAverage {
    /// Includes the weight before a row, which is that after the row before it. Before the first row, there is no
    /// iterate: what is included then counts nothing after the second row.
    #[inline]
    pub(super) fn include(&mut self, weight: f64) {
        self.weight = self.with(weight);
        self.row_count += 1.0;
    }

    #[inline]
    fn with(self, weight: f64) -> f64 {
        self.weight + (weight - self.weight) * ((ETA + 1.0) / (self.row_count + ETA))
    }

    /// Returns the coordinate whose weight is this average, including the last iterate: that of `coordinate`.
    pub(super) fn settled(self, coordinate: Coordinate, settings: &Settings) -> Coordinate {
        let d = settings.curvature(coordinate.n);
        let last = settings.feature_weight(coordinate.z, d);
        if last == 0.0 || self.row_count == 0.0 {
            return coordinate;
        }
        let weight = self.with(last);
        if weight == 0.0 {
            return coordinate;
        }
        Coordinate { z: -(weight * (d + settings.l2) + settings.l1.copysign(weight)), ..coordinate }
    }

    /// Returns the bias whose weight is this average, including the last iterate.
    pub(super) fn settled_bias(self, bias: Coordinate, settings: &Settings) -> Coordinate {
        self.settled(bias, &Settings { l1: 0.0, l2: 0.0, ..*settings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { alpha: 0.5, beta: 1.0, l1: 0.25, l2: 2.0 };

    fn average_of(iterates: &[f64]) -> f64 {
        let mut average = IterateAverage::default();
        average.include(0.0);
        iterates[..iterates.len() - 1].iter().for_each(|&iterate| average.include(iterate));
        average.with(iterates[iterates.len() - 1])
    }

    #[test]
    fn few_iterates_count_nearly_as_the_last_and_many_as_their_last_quarter() {
        assert_eq!(average_of(&[0.7]), 0.7);
        // The last of two counts 4/5.
        assert!((average_of(&[0.0, 1.0]) - 0.8).abs() < 1e-15);
        let share = |from: usize| {
            let iterates: Vec<f64> = (0..1_000).map(|index| f64::from(u8::from(index >= from))).collect();
            average_of(&iterates)
        };
        // (3/4)^4 of the average lies before the last quarter.
        assert!((share(750) - (1.0 - 0.75_f64.powi(4))).abs() < 2e-3, "{}", share(750));
        assert!(share(250) > 0.99);
    }

    #[test]
    fn the_settled_coordinate_has_the_averaged_weight_and_the_same_curvature() {
        let coordinate = Coordinate { z: -3.0, n: 2.25 };
        let d = SETTINGS.curvature(coordinate.n);
        let mut average = IterateAverage::default();
        [0.0, 0.1, 0.2, 0.3].into_iter().for_each(|weight| average.include(weight));
        let expected = average.with(SETTINGS.feature_weight(coordinate.z, d));
        let settled = average.settled(coordinate, &SETTINGS);
        assert_eq!(settled.n, coordinate.n);
        assert!((SETTINGS.feature_weight(settled.z, d) - expected).abs() < 1e-15);
        let settled = average.settled_bias(coordinate, &SETTINGS);
        let expected = average.with(SETTINGS.bias_weight(coordinate.z, d));
        assert!((SETTINGS.bias_weight(settled.z, d) - expected).abs() < 1e-15);
    }

    #[test]
    fn a_weight_of_0_and_a_feature_without_rows_keep_their_evidence() {
        let mut average = IterateAverage::default();
        let below = Coordinate { z: 0.2, n: 1.0 };
        assert_eq!(IterateAverage::default().settled(Coordinate { z: 9.0, n: 1.0 }, &SETTINGS).z, 9.0);
        [0.0, 0.5, 0.4].into_iter().for_each(|weight| average.include(weight));
        assert_eq!(average.settled(below, &SETTINGS), below);
    }
}
