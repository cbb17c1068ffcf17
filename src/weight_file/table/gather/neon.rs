//! NEON: compares the tags of a line four at a time. Every aarch64 processor has it.

use std::arch::aarch64::{
    uint32x4_t, vandq_u32, vbicq_u32, vceqq_u32, vceqzq_u32, vdupq_n_u32, veorq_u32, vld1q_u32, vorrq_u32, vpaddq_u32,
    vreinterpretq_u16_u32, vst1q_u32, vuzp1q_u16,
};

use super::neon_small::{SmallLines, lane_mask};
use super::{GROUP, LineReader, Located, NO_WEIGHT, SLOT_COUNT, TAG_MASK, WEIGHTS_OFFSET, gather_with};
use crate::weight_file::table::line::{F16Line, F32Line, I8Line, Line};
use crate::weight_file::table::{Encoding, Table};

/// # Safety
///
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn gather<const MARKED: bool>(table: &Table<'_>, keys: &[u64], weights: &mut [f32]) -> usize {
    // SAFETY: the caller promises what this function enables.
    unsafe {
        match table.encoding() {
            Encoding::F32 => gather_with::<F32Lines, MARKED>(table, keys, weights),
            Encoding::F16 => gather_with::<SmallLines<F16Line>, MARKED>(table, keys, weights),
            Encoding::I8 => gather_with::<SmallLines<I8Line>, MARKED>(table, keys, weights),
        }
    }
}

/// Reads lines of eight tag words and eight f32.
struct F32Lines;

impl LineReader for F32Lines {
    type Format = F32Line;

    #[inline(always)]
    unsafe fn weights_of_group<const MARKED: bool>(
        lines: &[Line],
        located: &Located,
        weights: &mut [f32; GROUP],
    ) -> u8 {
        // SAFETY: the caller promises NEON and the lines; the stores are to the 32 bytes of `weights`.
        unsafe {
            let low = one_lane_each([
                weight_or_zeros(lines, located, 0),
                weight_or_zeros(lines, located, 1),
                weight_or_zeros(lines, located, 2),
                weight_or_zeros(lines, located, 3),
            ]);
            let high = one_lane_each([
                weight_or_zeros(lines, located, 4),
                weight_or_zeros(lines, located, 5),
                weight_or_zeros(lines, located, 6),
                weight_or_zeros(lines, located, 7),
            ]);
            let (low_missing, high_missing) = (vceqzq_u32(low), vceqzq_u32(high));
            let weights: *mut u32 = weights.as_mut_ptr().cast();
            // A lane without a weight becomes `NO_WEIGHT` here, which is NaN.
            let (low, high) = (veorq_u32(low, no_weight()), veorq_u32(high, no_weight()));
            let (low, high) =
                if MARKED { (low, high) } else { (vbicq_u32(low, low_missing), vbicq_u32(high, high_missing)) };
            vst1q_u32(weights, low);
            vst1q_u32(weights.add(SLOT_COUNT / 2), high);
            // Each lane is all ones or 0, so one half of it is enough.
            let missing = vuzp1q_u16(vreinterpretq_u16_u32(low_missing), vreinterpretq_u16_u32(high_missing));
            !lane_mask(missing)
        }
    }
}

/// Returns all ones in the lane of the slot that has `tag`: slots 0 to 3, then 4 to 7.
///
/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn equal_tags(line: &Line, tag: u32) -> (uint32x4_t, uint32x4_t) {
    const _: () = assert!(2 * size_of::<uint32x4_t>() == SLOT_COUNT * size_of::<u32>());
    // SAFETY: the caller promises NEON; the line has 64 readable bytes, and the loads need no alignment.
    unsafe {
        let words: *const u32 = line.as_ptr().cast();
        let (mask, tag) = (vdupq_n_u32(TAG_MASK), vdupq_n_u32(tag));
        let low = vceqq_u32(vandq_u32(vld1q_u32(words), mask), tag);
        let high = vceqq_u32(vandq_u32(vld1q_u32(words.add(SLOT_COUNT / 2)), mask), tag);
        (low, high)
    }
}

/// Returns the weight of the marked slot, combined with [`NO_WEIGHT`]: in its own lane if `low` marks it, and four
/// lanes further down if `high` does. The other lanes are 0.
///
/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn weights_where(line: &Line, low: uint32x4_t, high: uint32x4_t) -> uint32x4_t {
    // SAFETY: the caller promises NEON; the weights are the 32 bytes after the tag words.
    unsafe {
        let weights: *const u32 = line.as_ptr().add(WEIGHTS_OFFSET).cast();
        let low = vandq_u32(low, veorq_u32(vld1q_u32(weights), no_weight()));
        let high = vandq_u32(high, veorq_u32(vld1q_u32(weights.add(SLOT_COUNT / 2)), no_weight()));
        vorrq_u32(low, high)
    }
}

/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn no_weight() -> uint32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe { vdupq_n_u32(NO_WEIGHT) }
}

/// # Safety
///
/// The processor has NEON, and the lines were located in the table of `lines`.
#[inline(always)]
unsafe fn weight_or_zeros(lines: &[Line], located: &Located, index: usize) -> uint32x4_t {
    // SAFETY: the caller promises NEON and the line.
    unsafe {
        let line = located.line(lines, index);
        let (low, high) = equal_tags(line, located.tags[index]);
        weights_where(line, low, high)
    }
}

/// Merges four registers, each with at most one lane that is not 0, into one: the sum of the lanes of each register.
/// Adding zeros changes no bit.
///
/// # Safety
///
/// The processor has NEON.
#[inline(always)]
unsafe fn one_lane_each(of: [uint32x4_t; GROUP / 2]) -> uint32x4_t {
    // SAFETY: the caller promises NEON.
    unsafe { vpaddq_u32(vpaddq_u32(of[0], of[1]), vpaddq_u32(of[2], of[3])) }
}
