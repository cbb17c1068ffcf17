//! Draws categories whose popularity follows a power law, in constant time.

use super::draw::Draw;

/// Draws ranks from 1 to `count`, rank `k` with a probability proportional to `k^-exponent`, without a table.
///
/// The method is rejection-inversion (W. Hörmann, G. Derflinger: *Rejection-inversion to generate variates from
/// monotone discrete distributions*, 1996). The area under `x^-exponent` is inverted exactly, and the small difference
/// between a unit step and that area is rejected. A draw takes about 1.1 tries, for a thousand ranks or for a billion.
pub(super) struct Zipf {
    count: f64,
    exponent: f64,
    area_first: f64,
    area_last: f64,
    /// If the rank is above the drawn point by at most this, it is accepted without computing areas.
    shortcut: f64,
}

impl Zipf {
    /// Prepares draws. `exponent` must be positive and not 1; `count` must be at least 1.
    pub(super) fn new(count: u64, exponent: f64) -> Zipf {
        assert!(count >= 1 && exponent > 0.0 && exponent != 1.0, "Zipf of {count} ranks, exponent {exponent}");
        let mut zipf = Zipf { count: count as f64, exponent, area_first: 0.0, area_last: 0.0, shortcut: 0.0 };
        // The first rank's share of the area is exactly 1, so it is never rejected.
        zipf.area_first = zipf.area(1.5) - 1.0;
        zipf.area_last = zipf.area(zipf.count + 0.5);
        zipf.shortcut = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.density(2.0));
        zipf
    }

    /// Draws a rank, from 1.
    pub(super) fn pick(&self, draw: &mut Draw) -> u64 {
        loop {
            let area = self.area_last + draw.unit() * (self.area_first - self.area_last);
            let point = self.area_inverse(area);
            let rank = point.round().clamp(1.0, self.count);
            if rank - point <= self.shortcut || area >= self.area(rank + 0.5) - self.density(rank) {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number between 1 and `count`, a u64")]
                return rank as u64;
            }
        }
    }

    fn density(&self, point: f64) -> f64 {
        point.powf(-self.exponent)
    }

    /// Computes the integral of the density from 1 to `point`.
    fn area(&self, point: f64) -> f64 {
        let power = 1.0 - self.exponent;
        (point.powf(power) - 1.0) / power
    }

    fn area_inverse(&self, area: f64) -> f64 {
        let power = 1.0 - self.exponent;
        (area * power + 1.0).powf(1.0 / power)
    }
}

/// Draws indices `0..n` with any weights, by A. J. Walker's alias method: one memory access per draw.
pub(super) struct Alias {
    /// For each slot a 32-bit fraction and another index. Below the fraction the slot itself is drawn, otherwise the
    /// other index.
    slots: Vec<(u32, u32)>,
}

impl Alias {
    /// Builds the table. `weights` must not be negative or all 0, and there must be fewer than 2^32.
    pub(super) fn new(weights: &[f64]) -> Alias {
        let count = u32::try_from(weights.len()).expect("fewer than 2^32 weights");
        let total: f64 = weights.iter().sum();
        assert!(total > 0.0, "alias table without a positive weight");
        // The average share of a slot is 1. Slots with less than 1 are filled up from slots with more than 1.
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / total * f64::from(count)).collect();
        let mut slots: Vec<(u32, u32)> = (0..count).map(|index| (u32::MAX, index)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..count).partition(|&index| shares[index as usize] < 1.0);
        while let (Some(lacking), Some(&giving)) = (small.pop(), large.last()) {
            let share = shares[lacking as usize];
            slots[lacking as usize] = (fraction(share), giving);
            shares[giving as usize] -= 1.0 - share;
            if shares[giving as usize] < 1.0 {
                large.pop();
                small.push(giving);
            }
        }
        // The shares that are left are 1, except for rounding, and keep their whole slot.
        Alias { slots }
    }

    pub(super) fn pick(&self, draw: &mut Draw) -> u32 {
        let bits = draw.bits();
        #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
        let fraction = bits as u32;
        let index = (((bits >> 32) * self.slots.len() as u64) >> 32) as u32;
        let (threshold, other) = self.slots[index as usize];
        if fraction < threshold { index } else { other }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, which is what a share of 1 needs")]
fn fraction(share: f64) -> u32 {
    (share * 4_294_967_296.0) as u32
}

/// Returns the weights `(rank + flattening)^-exponent` of the ranks `1..=count`.
pub(super) fn zipf_weights(count: u32, exponent: f64, flattening: f64) -> Vec<f64> {
    (1..=count).map(|rank| (f64::from(rank) + flattening).powf(-exponent)).collect()
}

/// Finds the flattening with which the share of the first rank is `head`, by bisection. Returns 0 if the first rank has
/// less than `head` even without flattening.
pub(super) fn flattening_for_head(count: u32, exponent: f64, head: f64) -> f64 {
    let share = |flattening: f64| {
        let weights = zipf_weights(count, exponent, flattening);
        weights[0] / weights.iter().sum::<f64>()
    };
    if share(0.0) <= head {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, f64::from(count));
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if share(middle) > head { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::generate::draw::Subject;

    const DRAWS: u32 = 200_000;

    /// Draws `DRAWS` times and compares the share of every index with its weight, within 5 standard deviations.
    fn assert_follows(weights: &[f64], mut pick: impl FnMut(&mut Draw) -> usize) {
        let mut draw = Draw::new(3, Subject::Row, 0);
        let mut counts = vec![0u32; weights.len()];
        for _ in 0..DRAWS {
            counts[pick(&mut draw)] += 1;
        }
        let total: f64 = weights.iter().sum();
        for (index, (&count, weight)) in counts.iter().zip(weights).enumerate() {
            let expected = weight / total * f64::from(DRAWS);
            let distance = (f64::from(count) - expected).abs();
            assert!(distance <= 5.0 * expected.sqrt() + 1.0, "index {index}: expected {expected:.1}, found {count}");
        }
    }

    #[test]
    fn zipf_without_a_table_follows_its_definition() {
        for (count, exponent) in [(1, 0.62), (2, 0.62), (1000, 0.62), (1000, 1.36)] {
            let zipf = Zipf::new(u64::from(count), exponent);
            assert_follows(&zipf_weights(count, exponent, 0.0), |draw| {
                usize::try_from(zipf.pick(draw) - 1).expect("a rank below 1000")
            });
        }
    }

    #[test]
    fn alias_table_follows_its_weights() {
        for weights in [vec![1.0], vec![0.0, 1.0, 0.0], vec![5.0, 1.0, 1.0, 0.5], zipf_weights(506, 1.67, 0.0)] {
            let alias = Alias::new(&weights);
            assert_follows(&weights, |draw| alias.pick(draw) as usize);
        }
    }

    #[test]
    fn flattening_gives_the_first_rank_the_requested_share() {
        let weights = zipf_weights(506, 1.67, flattening_for_head(506, 1.67, 0.2));
        assert!((weights[0] / weights.iter().sum::<f64>() - 0.2).abs() < 1e-9);
        assert_eq!(flattening_for_head(40, 0.5, 0.9), 0.0);
    }
}
