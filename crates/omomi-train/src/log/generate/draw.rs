//! Random numbers that depend only on a seed, a subject and an index.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// What a stream of random numbers is used for. Each subject has separate streams, so that one more draw for a site
/// does not change any user. Logs of a given seed depend on the numbers of the subjects: append new ones, never
/// renumber.
#[derive(Clone, Copy)]
pub(super) enum Subject {
    Row = 1,
    User = 2,
    UnknownUser = 3,
    UserName = 4,
    Site = 5,
    Creative = 6,
    Campaign = 7,
    Advertiser = 8,
    Popularity = 9,
    Effect = 10,
    Pairwise = 11,
}

/// A stream of random numbers.
pub(super) struct Draw(Pcg64Mcg);

impl Draw {
    /// Creates the stream of thing number `index` of `subject`. This takes a few nanoseconds, so every row and every
    /// user can have a stream.
    pub(super) fn new(seed: u64, subject: Subject, index: u64) -> Draw {
        let low = mix(seed ^ mix(index ^ mix(subject as u64)));
        let high = mix(low.wrapping_add(GOLDEN_RATIO));
        Draw(Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low)))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a uniform number in [0, 1) with 53 random bits.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Returns true with the given probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Returns a uniform number in `0..count`. Its bias is below `count / 2^32`, which is negligible here.
    pub(super) fn below(&mut self, count: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(count)) >> 32) as u32
    }

    /// Returns a number with standard normal distribution, by the Box-Muller transform.
    pub(super) fn normal(&mut self) -> f64 {
        // 1 - unit is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// 2^64 divided by the golden ratio: odd, with bits that look random.
const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes 64 bits. The function is a bijection, and changing one input bit changes about half of the output bits.
pub(super) fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(GOLDEN_RATIO);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_adjacent_indices_have_the_moments_of_a_standard_normal() {
        let count = 100_000u32;
        let (mut sum, mut squares) = (0.0, 0.0);
        for index in 0..count {
            // Take one value from each stream, because rows do so, and because this would reveal weak seeding.
            let value = Draw::new(7, Subject::Row, u64::from(index)).normal();
            sum += value;
            squares += value * value;
        }
        let count = f64::from(count);
        assert!((sum / count).abs() < 4.0 / count.sqrt(), "mean {}", sum / count);
        assert!((squares / count - 1.0).abs() < 4.0 * (2.0 / count).sqrt(), "variance {}", squares / count);
    }

    #[test]
    fn another_seed_subject_or_index_gives_another_stream() {
        let first = |seed, subject, index| Draw::new(seed, subject, index).bits();
        let one = first(1, Subject::Row, 1);
        assert_eq!(one, first(1, Subject::Row, 1));
        assert_ne!(one, first(2, Subject::Row, 1));
        assert_ne!(one, first(1, Subject::User, 1));
        assert_ne!(one, first(1, Subject::Row, 2));
    }
}
