//! Random numbers that are a function of (seed, subject, index) and of nothing else.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// What a stream of random numbers is drawn for. Each subject has streams of its own, so that one more draw for a site
/// leaves every user as it was. The numbers are part of what a seed means: append, never renumber.
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
    /// The stream of the `index`-th thing of `subject`. Costs a few nanoseconds, so every row and every user has one.
    pub(super) fn new(seed: u64, subject: Subject, index: u64) -> Draw {
        let low = mix(seed ^ mix(index ^ mix(subject as u64)));
        let high = mix(low.wrapping_add(GOLDEN_RATIO));
        Draw(Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low)))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..count`. The bias is below `count / 2^32`, which no figure here can show.
    pub(super) fn below(&mut self, count: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(count)) >> 32) as u32
    }

    /// Standard normal, by Box and Muller's transform.
    pub(super) fn normal(&mut self) -> f64 {
        // 1 - unit is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// 2^64 divided by the golden ratio: odd, with bits that look random.
const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

/// A bijection of 64 bits in which each bit of the input moves about half of the output's.
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
    fn streams_of_neighbours_have_the_moments_of_a_standard_normal() {
        let count = 100_000u32;
        let (mut sum, mut squares) = (0.0, 0.0);
        for index in 0..count {
            // One value of each stream: this is how rows use them, and where weak seeding would show.
            let value = Draw::new(7, Subject::Row, u64::from(index)).normal();
            sum += value;
            squares += value * value;
        }
        let count = f64::from(count);
        assert!((sum / count).abs() < 4.0 / count.sqrt(), "mean {}", sum / count);
        assert!((squares / count - 1.0).abs() < 4.0 * (2.0 / count).sqrt(), "variance {}", squares / count);
    }

    #[test]
    fn seed_subject_and_index_each_choose_another_stream() {
        let first = |seed, subject, index| Draw::new(seed, subject, index).bits();
        let one = first(1, Subject::Row, 1);
        assert_eq!(one, first(1, Subject::Row, 1));
        assert_ne!(one, first(2, Subject::Row, 1));
        assert_ne!(one, first(1, Subject::User, 1));
        assert_ne!(one, first(1, Subject::Row, 2));
    }
}
