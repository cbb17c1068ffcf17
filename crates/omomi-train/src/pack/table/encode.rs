//! Rounds weights to the nearest values that an encoding can represent.

use half::f16;

use omomi::weight_file::DefaultWeights;
use omomi::weight_file::table::Encoding;

/// The smallest magnitude that f16 rounds to infinity.
const F16_LIMIT: f32 = 65_520.0;
/// The largest number that is stored as an i8. The smallest is -127, not -128, so that both sides of 0 have the same
/// range.
const I8_MAX: f32 = 127.0;

/// One weight of a table, with what the builder needs to know about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The feature key.
    pub key: u64,
    /// The weight on the logit scale. In [`EncodedWeights`], the number that is multiplied by the scale of its group.
    pub weight: f32,
    /// Index of the field or cross that the weight belongs to: fields first, then crosses, in contract order.
    pub group: u16,
    /// How often the weight is looked up, on any increasing scale; see [`popularity_of`]. Looking up a popular weight
    /// takes only one line.
    pub popularity: u16,
}

const _: () = assert!(size_of::<Entry>() == 16, "builders have one entry in memory for each weight");

/// A weight of the first field, with popularity 0.
impl From<(u64, f32)> for Entry {
    fn from((key, weight): (u64, f32)) -> Self {
        Self { key, weight, group: 0, popularity: 0 }
    }
}

/// Returns the popularity of a feature with this many impressions. It never falls as impressions grow; counts that
/// differ by less than 1 % may have the same popularity.
#[must_use]
pub fn popularity_of(impressions: u64) -> u16 {
    // The high half of an f32 has its exponent and 7 bits of its mantissa. Positive floats have the same order as their
    // bits.
    #[expect(clippy::cast_precision_loss, reason = "to within 1 % is enough")]
    let [_, _, low, high] = (impressions as f32).to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// How much rounding changed the weights.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rounding {
    /// Largest absolute difference between a weight and its rounded value, on the logit scale.
    pub largest_error: f64,
    /// Mean absolute difference between a weight and its rounded value, on the logit scale.
    pub mean_error: f64,
    /// Number of weights that were rounded to 0 and left out. Each was nearer to what an unseen category of its field
    /// adds, which is 0 without default weights, than to 0, or as near.
    pub zero_count: u64,
}

/// Weights that their encoding can represent exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedWeights {
    encoding: Encoding,
    scales: Vec<f32>,
    entries: Vec<Entry>,
    rounding: Rounding,
    default_weights: Vec<DefaultWeights>,
}

/// A weight that an encoding cannot represent.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A weight is NaN or infinite.
    #[error("the weight of key {key:#018x} is {weight}, expected a finite number")]
    NotFinite {
        /// The feature key.
        key: u64,
        /// The weight.
        weight: f32,
    },
    /// The magnitude of a weight is above the largest f16.
    #[error(
        "the weight of key {key:#018x} is {weight}, but the largest f16 is 65504: pack with the encoding f32, or train \
         with a larger l2"
    )]
    BeyondF16 {
        /// The feature key.
        key: u64,
        /// The weight.
        weight: f32,
    },
}

/// Wraps weights in f32, without rounding.
impl From<Vec<Entry>> for EncodedWeights {
    fn from(entries: Vec<Entry>) -> Self {
        Self {
            encoding: Encoding::F32,
            scales: Vec::new(),
            entries,
            rounding: Rounding::default(),
            default_weights: Vec::new(),
        }
    }
}

/// Collects weights in f32, without rounding. All have group 0 and popularity 0.
impl FromIterator<(u64, f32)> for EncodedWeights {
    fn from_iter<I: IntoIterator<Item = (u64, f32)>>(pairs: I) -> Self {
        pairs.into_iter().map(Entry::from).collect::<Vec<_>>().into()
    }
}

impl EncodedWeights {
    /// Rounds `entries` in place to the nearest values that `encoding` can represent, ties to even. Leaves out weights
    /// that become 0, unless the encoding is f32. `group_count` is the number of fields and crosses in the contract.
    /// For i8, the scale of a group is its largest magnitude divided by 127.
    ///
    /// # Errors
    ///
    /// Returns an [`EncodeError`] if a weight is not finite, or if f16 cannot represent it.
    ///
    /// # Panics
    ///
    /// Panics if the group of an entry is not below `group_count` and the encoding is i8.
    pub fn encode(entries: Vec<Entry>, encoding: Encoding, group_count: usize) -> Result<Self, EncodeError> {
        Self::encode_with(Vec::new(), entries, encoding, group_count)
    }

    /// Rounds like [`encode`](Self::encode), for a file with these default weights, one for each field in contract
    /// order. A weight that becomes 0 is stored as 0 if that is nearer to it than what an unseen category of its field
    /// adds.
    ///
    /// # Errors
    ///
    /// Fails like [`encode`](Self::encode).
    ///
    /// # Panics
    ///
    /// Panics like [`encode`](Self::encode).
    pub fn encode_with(
        default_weights: Vec<DefaultWeights>,
        entries: Vec<Entry>,
        encoding: Encoding,
        group_count: usize,
    ) -> Result<Self, EncodeError> {
        if let Some(&Entry { key, weight, .. }) = entries.iter().find(|entry| !entry.weight.is_finite()) {
            return Err(EncodeError::NotFinite { key, weight });
        }
        let mut weights = Self { encoding, default_weights, ..Self::from(entries) };
        match encoding {
            Encoding::F32 => {}
            Encoding::F16 => {
                if let Some(&Entry { key, weight, .. }) =
                    weights.entries.iter().find(|entry| entry.weight.abs() >= F16_LIMIT)
                {
                    return Err(EncodeError::BeyondF16 { key, weight });
                }
                weights.round(|entry| {
                    let rounded = f16::from_f32(entry.weight).to_f32();
                    (rounded, rounded)
                });
            }
            Encoding::I8 => {
                weights.scales = scales_of(&weights.entries, group_count);
                let scales = std::mem::take(&mut weights.scales);
                weights.round(|entry| {
                    let scale = scales[usize::from(entry.group)];
                    // An i8 has no negative zero, so a small negative weight must not become one: adding 0 makes it 0.
                    let number = (entry.weight / scale).round_ties_even().clamp(-I8_MAX, I8_MAX) + 0.0;
                    (number, number * scale)
                });
                weights.scales = scales;
            }
        }
        Ok(weights)
    }

    /// Rounds each weight. `round` returns the number to store and the weight that this number represents.
    fn round(&mut self, round: impl Fn(&Entry) -> (f32, f32)) {
        let count = self.entries.len();
        let (mut sum, mut largest) = (0.0, 0.0_f64);
        let defaults = &self.default_weights;
        self.entries.retain_mut(|entry| {
            let (stored, mut rounded) = round(entry);
            let unseen = defaults.get(usize::from(entry.group)).map_or(0.0, |default| default.unseen);
            let is_kept = stored != 0.0 || (entry.weight - unseen).abs() > entry.weight.abs();
            if !is_kept {
                rounded = unseen;
            }
            let error = (f64::from(rounded) - f64::from(entry.weight)).abs();
            sum += error;
            largest = largest.max(error);
            entry.weight = stored;
            is_kept
        });
        #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
        let mean_error = sum / count.max(1) as f64;
        let zero_count = (count - self.entries.len()) as u64;
        self.rounding = Rounding { largest_error: largest, mean_error, zero_count };
    }

    /// Returns the weights for a file with these default weights, one for each field in contract order. With none, the
    /// file has no such section, and unseen categories and missing values add 0.
    #[must_use]
    pub fn with_default_weights(self, default_weights: Vec<DefaultWeights>) -> Self {
        Self { default_weights, ..self }
    }

    /// What the fields add without a weight of their own, in contract order; empty if they add 0.
    #[must_use]
    pub fn default_weights(&self) -> &[DefaultWeights] {
        &self.default_weights
    }

    /// Encoding of the weights in the lines.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The scale of each group, by which its stored numbers are multiplied. Empty if the encoding has no scales.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The weights as stored: without multiplication by the scales.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Replaces the weights by others, all of which the encoding must be able to represent.
    #[cfg(test)]
    pub(super) fn replace_entries(&mut self, entries: Vec<Entry>) {
        self.entries = entries;
    }

    /// How much rounding changed the weights.
    #[must_use]
    pub const fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Returns the weights as stored. If the encoding is f32, they can be encoded again with another encoding.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// Computes the scale of each group: the difference between two adjacent numbers, as small as the group's largest
/// weight allows.
fn scales_of(entries: &[Entry], group_count: usize) -> Vec<f32> {
    let mut max = vec![0.0_f32; group_count];
    for entry in entries {
        let max = &mut max[usize::from(entry.group)];
        *max = max.max(entry.weight.abs());
    }
    max.into_iter().map(scale_for).collect()
}

/// Computes the scale with which `max` is stored as 127.
fn scale_for(max: f32) -> f32 {
    if max == 0.0 {
        return 1.0;
    }
    let scale = (max / I8_MAX).max(f32::MIN_POSITIVE);
    // The division may have rounded up, but 127 times the scale must be finite, because it is a weight.
    if (scale * I8_MAX).is_finite() { scale } else { scale.next_down() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(weights: &[f32], group_count: u16) -> Vec<Entry> {
        let entry = |(index, &weight): (usize, &f32)| {
            let index = u16::try_from(index).unwrap();
            Entry { key: u64::from(index), weight, group: index % group_count, popularity: 0 }
        };
        weights.iter().enumerate().map(entry).collect()
    }

    fn value(weights: &EncodedWeights, entry: &Entry) -> f32 {
        entry.weight * weights.scales().get(usize::from(entry.group)).copied().unwrap_or(1.0)
    }

    #[test]
    fn popularity_rises_with_impressions() {
        let impressions = [0, 1, 2, 3, 100, 110, 1_000_000, u64::from(u32::MAX), u64::MAX];
        assert!(impressions.map(popularity_of).is_sorted_by(|one, other| one < other));
        assert_eq!(popularity_of(0), 0);
    }

    #[test]
    fn f32_leaves_weights_alone_and_keeps_zeros_and_subnormals() {
        let before = entries(&[0.0, -1e-42, 3e38], 1);
        let weights = EncodedWeights::encode(before.clone(), Encoding::F32, 1).unwrap();
        assert_eq!((weights.entries(), weights.rounding()), (&before[..], Rounding::default()));
    }

    #[test]
    fn weights_that_round_to_zero_are_left_out_and_counted() {
        // Half of the smallest subnormal f16 is a tie, which is rounded to even: to 0. So is half a step of the i8.
        for (encoding, weights) in [(Encoding::F16, [2.0_f32.powi(-25), 1.0]), (Encoding::I8, [0.5, 127.0])] {
            let encoded = EncodedWeights::encode(entries(&weights, 1), encoding, 1).unwrap();
            assert_eq!(encoded.entries().len(), 1, "{}", encoding.name());
            assert_eq!(encoded.rounding().zero_count, 1);
            assert_eq!(encoded.rounding().largest_error, f64::from(weights[0]));
            assert_eq!(encoded.rounding().mean_error, f64::from(weights[0]) / 2.0);
        }
    }

    #[test]
    fn a_weight_that_rounds_to_zero_is_stored_if_unseen_categories_add_something_further_from_it() {
        for (encoding, [small, large]) in [(Encoding::F16, [2.0_f32.powi(-25), 1.0]), (Encoding::I8, [0.5, 127.0])] {
            let defaults = |unseen| vec![DefaultWeights { unseen, missing: 0.0 }];
            for (unseen, count, error) in [(-small, 2, small), (4.0 * small, 2, small), (1.5 * small, 1, 0.5 * small)] {
                let entries = entries(&[small, large], 1);
                let encoded = EncodedWeights::encode_with(defaults(unseen), entries, encoding, 1).unwrap();
                assert_eq!(encoded.entries().len(), count, "{}, {unseen}", encoding.name());
                assert_eq!(encoded.entries().iter().filter(|entry| entry.weight == 0.0).count(), count - 1);
                assert_eq!(encoded.rounding().zero_count, 2 - count as u64);
                assert_eq!(encoded.rounding().largest_error, f64::from(error));
            }
            let negative = EncodedWeights::encode_with(defaults(small), entries(&[-small, large], 1), encoding, 1);
            let stored = negative.unwrap().entries()[0].weight;
            let is_negative = encoding == Encoding::F16;
            assert!(stored == 0.0 && stored.is_sign_negative() == is_negative, "an i8 has no negative zero");
        }
    }

    #[test]
    fn weights_beyond_f16_are_rejected_but_weights_that_round_to_its_maximum_are_not() {
        let max = EncodedWeights::encode(entries(&[65_519.0, -65_519.0], 1), Encoding::F16, 1).unwrap();
        assert!(max.entries().iter().all(|entry| entry.weight.abs() == 65_504.0));
        let refused = EncodedWeights::encode(entries(&[1.0, -65_520.0], 1), Encoding::F16, 1);
        assert_eq!(refused, Err(EncodeError::BeyondF16 { key: 1, weight: -65_520.0 }));
    }

    #[test]
    fn weights_that_are_not_finite_are_rejected_by_every_encoding() {
        for encoding in Encoding::ALL {
            for weight in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let refused = EncodedWeights::encode(entries(&[1.0, weight], 1), encoding, 1);
                assert!(matches!(refused, Err(EncodeError::NotFinite { key: 1, .. })), "{refused:?}");
            }
        }
    }

    #[test]
    fn scales_are_normal_numbers_and_give_finite_weights_for_any_weights() {
        for max in [0.0, 1e-45, f32::MIN_POSITIVE, 1.0, f32::MAX, f32::MAX.next_down()] {
            let scale = scale_for(max);
            assert!(scale.is_normal() && scale > 0.0 && (scale * 127.0).is_finite(), "{max:e}: {scale:e}");
        }
    }

    proptest! {
        #[test]
        fn no_weight_is_rounded_by_more_than_half_a_step(weights in prop::collection::vec(-8.0_f32..8.0, 1..200)) {
            for encoding in [Encoding::F16, Encoding::I8] {
                let before = entries(&weights, 3);
                let encoded = EncodedWeights::encode(before.clone(), encoding, 3).unwrap();
                let mut kept = encoded.entries().iter().peekable();
                for entry in &before {
                    let found = kept.next_if(|kept| kept.key == entry.key).map_or(0.0, |kept| value(&encoded, kept));
                    let half_step = match encoding {
                        Encoding::I8 => encoded.scales()[usize::from(entry.group)] / 2.0,
                        _ => (entry.weight.abs() / 2_048.0).max(2.0_f32.powi(-25)),
                    };
                    let error = f64::from((found - entry.weight).abs());
                    prop_assert!(error <= f64::from(half_step) * (1.0 + 1e-5), "{} became {found}", entry.weight);
                    prop_assert!(error <= encoded.rounding().largest_error * (1.0 + 1e-6));
                }
            }
        }
    }
}
