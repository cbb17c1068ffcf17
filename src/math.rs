//! Computes the probability of a logit, defined bit for bit.
//!
//! Every operation is a single IEEE 754 double operation (no fused multiply-add, no platform `exp`), so each language
//! and each instruction set gives the same bits. `src/weight_file/FORMAT.md` has the steps.

/// 1/ln 2, rounded to double.
const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 with its low 32 bits cleared: its product with a whole number up to 2^11 is exact.
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
/// ln 2 - `LN2_HIGH`, rounded to double.
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
/// Adding and then subtracting 1.5 * 2^52 rounds a small double to the nearest whole number, ties to even.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Logits are limited to this magnitude, so that the power of two below stays a normal number.
const MAX_LOGIT: f64 = 700.0;
/// Coefficients of r^8 down to r^0 of the polynomial that is closest to e^r by relative error, for |r| up to ln 2 / 2,
/// and that is 1 at r = 0 (found by the Remez exchange algorithm). Its relative error is below 1.1e-12.
const EXP_COEFFICIENTS: [f64; 9] = [
    f64::from_bits(0x3efa_4275_57b2_eec7),
    f64::from_bits(0x3f2a_1c75_6799_8558),
    f64::from_bits(0x3f56_c142_4145_6875),
    f64::from_bits(0x3f81_1106_aa7a_3471),
    f64::from_bits(0x3fa5_5555_661f_9f61),
    f64::from_bits(0x3fc5_5555_5b50_629b),
    f64::from_bits(0x3fdf_ffff_fff9_521f),
    f64::from_bits(0x3fef_ffff_fffc_4a26),
    1.0,
];

/// Returns the sigmoid of `logit`, in [0, 1]: `1 / (1 + exp(-logit))`.
///
/// The relative error is below 2e-12 (tested against the platform's `exp` for logits from -40 to 40). That is one part
/// in twenty thousand of the error that rounding the probability to f32 may add.
#[inline(always)]
#[must_use]
pub fn sigmoid(logit: f64) -> f64 {
    let Reduced { shifted, rest } = reduce(logit);
    sigmoid_of(logit, shifted, exp_of_rest(rest))
}

// A sigmoid has three parts. Within a part, each step waits for the one before it. For many logits, each part is
// therefore a loop of its own: short enough that a processor has several iterations in flight, and without a branch, so
// that the compiler turns it into vector instructions.

/// An exponent of e, split into a whole power of two and a rest.
pub(crate) struct Reduced {
    /// Its low bits hold the power of two.
    pub(crate) shifted: f64,
    /// The rest of the exponent, between -ln 2 / 2 and ln 2 / 2.
    pub(crate) rest: f64,
}

/// Splits the exponent of `exp(-|logit|)`.
#[inline(always)]
pub(crate) fn reduce(logit: f64) -> Reduced {
    let magnitude = logit.abs();
    let y = -if magnitude < MAX_LOGIT { magnitude } else { MAX_LOGIT };
    let shifted = y * LOG2_E + ROUNDER;
    let whole = shifted - ROUNDER;
    Reduced { shifted, rest: (y - whole * LN2_HIGH) - whole * LN2_LOW }
}

/// Returns e to the power of `rest`.
#[inline(always)]
pub(crate) fn exp_of_rest(rest: f64) -> f64 {
    let mut sum = EXP_COEFFICIENTS[0];
    for coefficient in &EXP_COEFFICIENTS[1..] {
        sum = sum * rest + coefficient;
    }
    sum
}

/// Returns the sigmoid of `logit`, from the results of [`reduce`] and [`exp_of_rest`].
#[inline(always)]
pub(crate) fn sigmoid_of(logit: f64, shifted: f64, exp_of_rest: f64) -> f64 {
    // The low bits of `shifted` hold the whole number. Moved into the exponent, it becomes the power of two.
    let power = f64::from_bits((shifted.to_bits().wrapping_add(1023)) << 52);
    let small = exp_of_rest * power;
    let numerator = if logit >= 0.0 { 1.0 } else { small };
    numerator / (1.0 + small)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_agrees_with_the_platform_to_2e_12() {
        let mut max: f64 = 0.0;
        for step in -400_000..=400_000 {
            let logit = f64::from(step) * 1e-4;
            let expected = if logit >= 0.0 { 1.0 / (1.0 + (-logit).exp()) } else { logit.exp() / (1.0 + logit.exp()) };
            max = max.max(((sigmoid(logit) - expected) / expected).abs());
        }
        assert!(max < 2e-12, "{max:e}");
    }

    #[test]
    fn sigmoid_is_defined_for_every_double_and_stays_in_its_range() {
        for logit in [0.0, -0.0, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 709.0, -709.0]
        {
            assert!((0.0..=1.0).contains(&sigmoid(logit)), "{logit}");
        }
        assert!(sigmoid(f64::NEG_INFINITY) > 0.0);
        assert!((sigmoid(0.0) - 0.5).abs() < f64::EPSILON);
    }

    /// The format promises these bits: readers in other languages are tested against them too.
    #[test]
    fn sigmoid_bits_never_change() {
        let bits: Vec<u64> =
            [-20.0, -2.944_438_979_166_44, -1.0, 0.1, 3.5].map(|logit| sigmoid(logit).to_bits()).to_vec();
        let expected = [
            0x3e21_b486_5556_aa1e,
            0x3fa9_9999_9999_7d17,
            0x3fd1_3656_1454_b637,
            0x3fe0_cca1_2729_aa99,
            0x3fef_0fdf_cbf1_99c1,
        ];
        assert_eq!(bits, expected, "{bits:#018x?}");
    }
}
