//! Computes the weights that are served from a training state.

use super::{Settings, weight};

/// Computes the served weight from `z` and `d` of a [state row](super::state::StateRow). Training writes the [rule of
/// the optimizer](WeightRule::of). Pruning changes its thresholds, and recalibration changes its scale and shift.
/// Neither changes `z` and `d`.
///
/// ```text
/// raw(z, d, l1) = 0 if |z| <= l1, else -(z - sign(z) l1) / (d + l2)
/// weight        = scale raw(z, d, l1), or 0 where |raw| < min_magnitude
/// bias weight   = scale (-z / d) + shift
/// ```
///
/// The model's logit is thus `scale` times the logit of the raw weights, plus `shift`: Platt scaling (Platt 1999,
/// "Probabilistic outputs for support vector machines"), folded into bias and weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightRule {
    /// Threshold of the evidence `|z|`, at least 0: weights with at most this evidence are 0.
    pub l1: f64,
    /// Added to the curvature: at least 0.
    pub l2: f64,
    /// Smallest magnitude of a raw weight, at least 0: smaller weights are 0.
    pub min_magnitude: f64,
    /// Factor of the logit: above 0.
    pub scale: f64,
    /// Added to the logit after scaling.
    pub shift: f64,
}

impl WeightRule {
    /// Returns the rule that training uses with these settings.
    #[must_use]
    pub const fn of(settings: &Settings) -> Self {
        Self { l1: settings.l1, l2: settings.l2, min_magnitude: 0.0, scale: 1.0, shift: 0.0 }
    }

    /// Returns the rule whose logits are `scale` times the logits of this rule, plus `shift`.
    #[must_use]
    pub const fn recalibrated(self, scale: f64, shift: f64) -> Self {
        Self { scale: self.scale * scale, shift: self.shift * scale + shift, ..self }
    }

    /// Returns the weight of a feature. Never negative zero, which a table could not tell from "no weight".
    #[inline]
    #[must_use]
    pub fn feature_weight(&self, z: f64, d: f64) -> f64 {
        let raw = weight(z, d, self.l1, self.l2);
        if raw == 0.0 || raw.abs() < self.min_magnitude { 0.0 } else { self.scale * raw }
    }

    /// Returns the weight of the bias.
    #[inline]
    #[must_use]
    pub fn bias_weight(&self, z: f64, d: f64) -> f64 {
        self.scale * weight(z, d, 0.0, 0.0) + self.shift
    }

    /// Returns the first number that is out of bounds or not finite: its name, its bounds in words, and its value.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str, f64)> {
        let bounds = [
            ("l1", self.l1, self.l1 >= 0.0, "at least 0"),
            ("l2", self.l2, self.l2 >= 0.0, "at least 0"),
            ("min_magnitude", self.min_magnitude, self.min_magnitude >= 0.0, "at least 0"),
            ("scale", self.scale, self.scale > 0.0, "above 0"),
            ("shift", self.shift, true, "that is finite"),
        ];
        let fault = bounds.into_iter().find(|&(_, found, holds, _)| !holds || !found.is_finite());
        fault.map(|(name, found, _, expected)| (name, expected, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { alpha: 0.5, beta: 1.0, l1: 0.25, l2: 2.0 };

    #[test]
    fn the_rule_of_the_settings_gives_the_weights_of_the_optimizer() {
        let rule = WeightRule::of(&SETTINGS);
        for (z, d) in [(0.75, 3.5), (-0.75, 3.5), (0.25, 1.0), (-9.0, 2.0), (0.0, 1.0)] {
            assert_eq!(rule.feature_weight(z, d).to_bits(), SETTINGS.feature_weight(z, d).to_bits());
            assert_eq!(rule.bias_weight(z, d), SETTINGS.bias_weight(z, d));
        }
    }

    #[test]
    fn recalibrations_and_thresholds_compose() {
        let rule = WeightRule::of(&SETTINGS).recalibrated(2.0, 1.0).recalibrated(0.5, -3.0);
        assert_eq!((rule.scale, rule.shift), (1.0, -2.5));
        let rule = WeightRule { min_magnitude: 0.1, scale: 4.0, ..rule };
        // -(0.75 - 0.25) / 5.5 = -0.0909: its magnitude is below 0.1, and the scale does not matter.
        assert_eq!(rule.feature_weight(0.75, 3.5), 0.0);
        assert_eq!(rule.feature_weight(0.85, 3.5), 4.0 * -(0.85 - 0.25) / 5.5);
        assert_eq!(rule.bias_weight(-1.0, 2.0), 4.0 * 0.5 - 2.5);
    }

    #[test]
    fn numbers_out_of_bounds_are_named() {
        let rule = WeightRule::of(&SETTINGS);
        assert_eq!(rule.fault(), None);
        assert_eq!(WeightRule { scale: 0.0, ..rule }.fault(), Some(("scale", "above 0", 0.0)));
        assert_eq!(WeightRule { shift: f64::INFINITY, ..rule }.fault().map(|fault| fault.0), Some("shift"));
    }
}
