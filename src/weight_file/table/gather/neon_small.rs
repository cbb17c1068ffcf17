//! NEON over lines of f16 and i8: the 12 or 15 tags of a line compared at once, in two parts, the weights of eight keys made f32
//! at once. As with lines of f32 nothing leaves the vector registers on the way, because NEON has no instruction that makes a
//! number of a comparison.

use std::arch::aarch64::{
    float32x4_t, uint8x16_t, uint16x4_t, uint16x8_t, vandq_u8, vandq_u16, vbicq_u16, vceqq_u8, vceqq_u16, vceqzq_u16,
    vcombine_u16, vcvtq_f32_s32, vdup_n_u16, vdupq_n_u8, vdupq_n_u16, veorq_u8, veorq_u16, vget_high_u16, vget_low_s8,
    vget_low_s16, vget_low_u16, vld1_u16, vld1q_u8, vld1q_u16, vmovl_high_s8, vmovl_high_s16, vmovl_s8, vmovl_s16,
    vorrq_u16, vpaddlq_s8, vpaddq_u16, vreinterpretq_s8_u8, vreinterpretq_s16_u16, vreinterpretq_u8_u16,
    vreinterpretq_u16_s16, vst1q_f32, vuzp1q_u8,
};
use std::arch::asm;
use std::marker::PhantomData;

use super::neon::lane_mask;
use super::{GROUP, LineReader, Located};
use crate::weight_file::table::line::{F16Line, I8Line, Line, LineFormat};

/// Lines of format `F`: u16 for the low bits of all tags, u8 for their high bits, weights, a filter.
pub(super) struct SmallLines<F>(PhantomData<F>);

/// What the formats differ in: the weights. They are handled in lanes of 16 bits.
pub(super) trait SmallFormat: LineFormat {
    /// What weights are combined with (exclusive or) before those of other slots are masked away: no weight is that itself.
    const NO_WEIGHT: u16;

    /// The weight of the slot that `equal` marks, combined with [`SmallFormat::NO_WEIGHT`], in some lane; 0 in the others.
    ///
    /// # Safety
    ///
    /// The processor has NEON.
    unsafe fn weight_or_zeros(line: &Line, equal: uint8x16_t) -> uint16x8_t;

    /// Eight weights as f32, in two halves.
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
            // All ones or 0 in each: copies of the sign leave them so.
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
    // SAFETY: the caller promises NEON; the instruction touches nothing but the two registers and, for NaN, the status of
    // floating point, which is not said to be preserved. Its intrinsic came with Rust 1.94.
    unsafe {
        asm!("fcvtl {wide:v}.4s, {weights:v}.4h", weights = in(vreg) weights, wide = lateout(vreg) wide,
            options(pure, nomem, nostack));
    }
    wide
}

impl SmallFormat for I8Line {
    /// The number that has no opposite, sign bits above it.
    const NO_WEIGHT: u16 = (i8::MIN as i16).cast_unsigned();

    #[inline(always)]
    unsafe fn weight_or_zeros(line: &Line, equal: uint8x16_t) -> uint16x8_t {
        const { assert!(Self::WEIGHTS_OFFSET + size_of::<uint8x16_t>() <= size_of::<Line>()) };
        // SAFETY: the caller promises NEON; the load ends before the line does.
        unsafe {
            let weights = veorq_u8(vld1q_u8(line.as_ptr().add(Self::WEIGHTS_OFFSET)), vdupq_n_u8(0x80));
            // Sums of two neighbours, one of which is 0 at least: the sign of the other is kept.
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
    unsafe fn weights_of_group(lines: &[Line], located: &Located, weights: &mut [f32; GROUP]) -> u8 {
        // SAFETY: the caller promises NEON and the lines; the stores are to 32 bytes that are ours.
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
            !lane_mask(missing)
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

/// All ones in the lane of the slot that has `tag`: one or none.
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
        // All ones or 0 in each: one byte of two says it too.
        let low_equal = vuzp1q_u8(vreinterpretq_u8_u16(first_equal), vreinterpretq_u8_u16(rest_equal));
        let high_equal = vceqq_u8(vld1q_u8(line.as_ptr().add(2 * F::SLOT_COUNT)), vdupq_n_u8(high));
        // What stands behind the tags was compared as well.
        vandq_u8(vandq_u8(low_equal, high_equal), vld1q_u8(const { slots(F::SLOT_COUNT) }.as_ptr()))
    }
}

/// All ones for each slot of a line of `slot_count`.
const fn slots(slot_count: usize) -> [u8; 16] {
    let mut slots = [0; 16];
    let mut slot = 0;
    while slot < slot_count {
        slots[slot] = u8::MAX;
        slot += 1;
    }
    slots
}

/// Of eight registers with one lane at most that is not 0, that lane each: adding zeros changes no bit.
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
