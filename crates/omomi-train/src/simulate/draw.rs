//! Random numbers by name: the same seed and numbers always give the same one.

/// Random bits of a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits(u64);

impl Bits {
    pub(super) const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub(super) const fn at(self, kind: u64, one: u64, other: u64) -> u64 {
        mix(mix(mix(self.0 ^ kind) ^ one) ^ other)
    }
}

/// The finalizer of SplitMix64.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Makes a draw from the standard normal distribution of random bits (Box and Muller).
pub(super) fn normal_of(bits: u64) -> f64 {
    let uniform = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let (radius, angle) = (uniform(mix(bits)), uniform(mix(bits ^ 1)));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

pub(super) fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Returns where a rising function is 0, by bisection.
pub(super) fn solve(mut low: f64, mut high: f64, of: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if of(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}
