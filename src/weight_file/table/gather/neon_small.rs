//! NEON for lines of f16 and i8: compares the 12 or 15 tags of a line together, in two parts, and converts the weights
//! of eight keys to f32 together. As for f32 lines, all values stay in vector registers, because NEON has no
//! instruction that turns a comparison into a number.

use std::arch::aarch64::{
    float32x4_t, uint8x16_t, uint16x4_t, uint16x8_t, vaddvq_u16, vandq_u8, vandq_u16, vbicq_u16, vceqq_u8, vceqq_u16,
    vceqzq_u16, vcombine_u16, vcvtq_f32_s32, vdup_n_u16, vdupq_n_u8, vdupq_n_u16, veorq_u8, veorq_u16, vget_high_u16,
    vget_low_s8, vget_low_s16, vget_low_u16, vld1_u16, vld1q_u8, vld1q_u16, vmovl_high_s8, vmovl_high_s16, vmovl_s8,
    vmovl_s16, vorrq_u16, vpaddlq_s8, vpaddq_u16, vreinterpretq_s8_u8, vreinterpretq_s16_u16, vreinterpretq_u8_u16,
    vreinterpretq_u16_s16, vst1q_f32, vuzp1q_u8,
};
use std::arch::asm;
use std::marker::PhantomData;

use super::{GROUP, LineReader, Located, mark};
use crate::weight_file::table::line::{F16Line, I8Line, Line, LineFormat};

/// Reads lines of format `F`: u16 for the low bits of all tags, u8 for their high bits, weights, and a filter.
pub(super) struct SmallLines<F>(PhantomData<F>);

/// How the formats differ: in their weights, which are processed in lanes of 16 bits.
pub(super) trait SmallFormat: LineFormat {
    /// The pattern with which weights are combined (exclusive or) before the weights of other slots are masked out. No
    /// weight has this pattern.
    const NO_WEIGHT: u16;

    /// Returns the weight of the slot that `equal` marks, combined with [`SmallFormat::NO_WEIGHT`], in some lane. The
    /// other lanes are 0.
    ///
    /// # Safety
    ///
    /// The processor has NEON.
    unsafe fn weight_or_zeros(line: &Line, equal: uint8x16_t) -> uint16x8_t;

    /// Converts eight weights to f32, in two halves.
    ///
    /// # Safety
    ///
    /// The processor has NEON.
    unsafe fn widen(weights: uint16x8_t) -> [float32x4_t; 2];
}

impl SmallFormat for F16Line {
    /// NaN.
    const NO_WEIGHT: u16 = 0x7e00;

    #[inline(always)]
    unsafe fn weight_or_zeros(line: &Line, equal: uint8x16_t) -> uint16x8_t {
        const { assert!(Self::SLOT_COUNT == 8 + 4) };
        // SAFETY: the caller promises NEON; the loads are of the 24 bytes of the weights.
        unsafe {
            let weights: *const u16 = line.as_ptr().add(Self::WEIGHTS_OFFSET).cast();
            let first = veorq_u16(vld1q_u16(weights), vdupq_n_u16(Self::NO_WEIGHT));
            let rest = vcombine_u16(vld1_u16(weights.add(8)), vdup_n_u16(0));
            let rest = veorq_u16(rest, vdupq_n_u16(Self::NO_WEIGHT));
            // Each lane is all ones or 0, and copies of its sign keep it so.
            let equal = vreinterpretq_s8_u8(equal);
            let first_equal = vreinterpretq_u16_s16(vmovl_s8(vget_low_s8(equal)));
            let rest_equal = vreinterpretq_u16_s16(vmovl_high_s8(equal));
            vorrq_u16(vandq_u16(first, first_equal), vandq_u16(rest, rest_equal))
        }
    }

    #[inline(always)]
    unsafe fn widen(weights: uint16x8_t) -> [float32x4_t; 2] {
        // SAFETY: the caller promises NEON.
        unsafe { [widen_f16(vget_low_u16(weights)), widen_f16(vget_high_u16(weights))] }
    }
}

/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn widen_f16(weights: uint16x4_t) -> float32x4_t {
    let wide;
    // SAFETY: the caller promises NEON. The instruction changes only its output register and, for NaN, the
    // floating-point status, which the options do not declare as preserved. (Rust has an intrinsic for it since 1.94.)
    unsafe {
        asm!("fcvtl {wide:v}.4s, {weights:v}.4h", weights = in(vreg) weights, wide = lateout(vreg) wide,
            options(pure, nomem, nostack));
    }
    wide
}

impl SmallFormat for I8Line {
    /// -128, which no weight can be, sign-extended to 16 bits.
    const NO_WEIGHT: u16 = (i8::MIN as i16).cast_unsigned();

    #[inline(always)]
    unsafe fn weight_or_zeros(line: &Line, equal: uint8x16_t) -> uint16x8_t {
        const { assert!(Self::WEIGHTS_OFFSET + size_of::<uint8x16_t>() <= size_of::<Line>()) };
        // SAFETY: the caller promises NEON; the load ends before the line does.
        unsafe {
            let weights = veorq_u8(vld1q_u8(line.as_ptr().add(Self::WEIGHTS_OFFSET)), vdupq_n_u8(0x80));
            // Each sum adds two neighbors, at least one of which is 0, so the sign of the other is kept.
            vreinterpretq_u16_s16(vpaddlq_s8(vreinterpretq_s8_u8(vandq_u8(weights, equal))))
        }
    }

    #[inline(always)]
    unsafe fn widen(weights: uint16x8_t) -> [float32x4_t; 2] {
        // SAFETY: the caller promises NEON.
        unsafe {
            let weights = vreinterpretq_s16_u16(weights);
            [vcvtq_f32_s32(vmovl_s16(vget_low_s16(weights))), vcvtq_f32_s32(vmovl_high_s16(weights))]
        }
    }
}

impl<F: SmallFormat> LineReader for SmallLines<F> {
    type Format = F;

    #[inline(always)]
    unsafe fn weights_of_group<const MARKED: bool>(
        lines: &[Line],
        located: &Located,
        weights: &mut [f32; GROUP],
    ) -> u8 {
        // SAFETY: the caller promises NEON and the lines; the stores are to the 32 bytes of `weights`.
        unsafe {
            let all = one_lane_each([
                weight_or_zeros::<F>(lines, located, 0),
                weight_or_zeros::<F>(lines, located, 1),
                weight_or_zeros::<F>(lines, located, 2),
                weight_or_zeros::<F>(lines, located, 3),
                weight_or_zeros::<F>(lines, located, 4),
                weight_or_zeros::<F>(lines, located, 5),
                weight_or_zeros::<F>(lines, located, 6),
                weight_or_zeros::<F>(lines, located, 7),
            ]);
            let missing = vceqzq_u16(all);
            let [low, high] = F::widen(vbicq_u16(veorq_u16(all, vdupq_n_u16(F::NO_WEIGHT)), missing));
            vst1q_f32(weights.as_mut_ptr(), low);
            vst1q_f32(weights.as_mut_ptr().add(GROUP / 2), high);
            let found = !lane_mask(missing);
            if MARKED {
                mark(found, weights);
            }
            found
        }
    }
}

/// # Safety
///
/// The processor has NEON, and the lines were located in the table of `lines`.
#[inline(always)]
unsafe fn weight_or_zeros<F: SmallFormat>(lines: &[Line], located: &Located, index: usize) -> uint16x8_t {
    // SAFETY: the caller promises NEON and the line.
    unsafe {
        let line = located.line(lines, index);
        F::weight_or_zeros(line, equal_tags::<F>(line, located.tags[index]))
    }
}

/// Returns all ones in the lane of the slot that has `tag`; at most one slot has it.
///
/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn equal_tags<F: SmallFormat>(line: &Line, tag: u32) -> uint8x16_t {
    const { assert!(F::SLOT_COUNT <= 15 && 3 * F::SLOT_COUNT <= 64 - 16) };
    let [low, middle, high, _] = tag.to_le_bytes();
    // SAFETY: the caller promises NEON; all loads end before the line does.
    unsafe {
        let (low, lows) = (vdupq_n_u16(u16::from_le_bytes([low, middle])), line.as_ptr().cast::<u16>());
        let (first_equal, rest_equal) = (vceqq_u16(vld1q_u16(lows), low), vceqq_u16(vld1q_u16(lows.add(8)), low));
        // Each lane is all ones or 0, so one byte of it is enough.
        let low_equal = vuzp1q_u8(vreinterpretq_u8_u16(first_equal), vreinterpretq_u8_u16(rest_equal));
        let high_equal = vceqq_u8(vld1q_u8(line.as_ptr().add(2 * F::SLOT_COUNT)), vdupq_n_u8(high));
        // The bytes after the tags were compared as well, so mask them out.
        vandq_u8(vandq_u8(low_equal, high_equal), vld1q_u8(const { slots(F::SLOT_COUNT) }.as_ptr()))
    }
}

/// Returns all ones for each slot of a line of `slot_count` slots, and zeros for the rest.
const fn slots(slot_count: usize) -> [u8; 16] {
    let mut slots = [0; 16];
    let mut slot = 0;
    while slot < slot_count {
        slots[slot] = u8::MAX;
        slot += 1;
    }
    slots
}

/// Merges eight registers, each with at most one lane that is not 0, into one that has a lane for each register. Adding
/// zeros changes no bit.
///
/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn one_lane_each(of: [uint16x8_t; GROUP]) -> uint16x8_t {
    // SAFETY: the caller promises NEON.
    unsafe {
        let low = vpaddq_u16(vpaddq_u16(of[0], of[1]), vpaddq_u16(of[2], of[3]));
        let high = vpaddq_u16(vpaddq_u16(of[4], of[5]), vpaddq_u16(of[6], of[7]));
        vpaddq_u16(low, high)
    }
}

/// Returns a mask with a bit for each lane that is all ones.
///
/// # Safety
///
/// The processor has NEON.
#[inline(always)]
pub(super) unsafe fn lane_mask(lanes: uint16x8_t) -> u8 {
    const BITS: [u16; GROUP] = [1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: the caller promises NEON; the load is of 16 bytes.
    unsafe {
        #[expect(clippy::cast_possible_truncation, reason = "the sum of eight different bits")]
        let mask = vaddvq_u16(vandq_u16(lanes, vld1q_u16(BITS.as_ptr()))) as u8;
        mask
    }
}
