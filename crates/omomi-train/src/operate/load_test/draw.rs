//! Random numbers for the load.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// Uniform in [0, 1), 53 bits.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
pub(super) fn unit(random: &mut Pcg64Mcg) -> f64 {
    (random.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Uniform in `0..count`, by the upper half of the product: its bias is below `count / 2^64`.
pub(super) fn below(random: &mut Pcg64Mcg, count: usize) -> usize {
    let product = u128::from(random.next_u64()) * count as u128;
    usize::try_from(product >> 64).unwrap_or(0)
}

/// Below `count`, rank `r` about as often as `1 / (r + 1)`: popularity by Zipf's law, exponent 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a power from 1 to `count`")]
pub(super) fn popular(random: &mut Pcg64Mcg, count: u32) -> u32 {
    let rank = f64::from(count).powf(unit(random)) as u32 - 1;
    rank.min(count - 1)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn half_of_what_is_popular_is_below_the_square_root() {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let ranks: Vec<u32> = (0..10_000).map(|_| popular(&mut random, 10_000)).collect();
        assert!(ranks.iter().all(|&rank| rank < 10_000));
        let count = ranks.iter().filter(|&&rank| rank < 99).count();
        assert!((4_800..5_200).contains(&count), "{count}");
    }

    #[test]
    fn every_number_below_a_bound_is_drawn_and_none_above() {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let mut counts = [0; 7];
        (0..7_000).for_each(|_| counts[below(&mut random, 7)] += 1);
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
