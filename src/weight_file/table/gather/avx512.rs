//! AVX-512 (F, VL and BW, at 256 bits: wider registers gain nothing for lines of eight slots). Comparisons give masks,
//! and loads take masks, so weights of other slots are never in a register.

use std::arch::x86_64::{
    __m256i, __mmask8, _mm_cmpeq_epi8_mask, _mm_loadu_si128, _mm_set1_epi8, _mm256_and_si256, _mm256_cmpeq_epi16_mask,
    _mm256_cmpeq_epi32_mask, _mm256_loadu_si256, _mm256_maskz_xor_epi32, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_storeu_si256, _mm256_test_epi32_mask,
};

use super::avx2::{no_weight, one_lane_each};
use super::avx2_small::{CompareTags, SmallFormat, SmallLines, set_bits};
use super::{GROUP, LineReader, Located, SLOT_COUNT, TAG_MASK, WEIGHTS_OFFSET, gather_with};
use crate::weight_file::table::line::{F16Line, F32Line, I8Line, Line};
use crate::weight_file::table::{Encoding, Table};

/// # Safety
///
/// The processor has AVX-512 F, VL and BW, AVX2, BMI1, BMI2, F16C and POPCNT.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx2,bmi1,bmi2,f16c,popcnt")]
pub(super) unsafe fn gather<const MARKED: bool>(table: &Table<'_>, keys: &[u64], weights: &mut [f32]) -> usize {
    // SAFETY: the caller promises what this function enables.
    unsafe {
        match table.encoding() {
            Encoding::F32 => gather_with::<F32Lines, MARKED>(table, keys, weights),
            Encoding::F16 => gather_with::<SmallLines<F16Line, Avx512Tags>, MARKED>(table, keys, weights),
            Encoding::I8 => gather_with::<SmallLines<I8Line, Avx512Tags>, MARKED>(table, keys, weights),
        }
    }
}

/// Compares the tags of f16 and i8 lines with AVX-512 BW.
struct Avx512Tags;

impl CompareTags for Avx512Tags {
    #[inline(always)]
    unsafe fn equal_tags<F: SmallFormat>(line: &Line, tag: u32) -> u32 {
        let [low, middle, high, _] = tag.to_le_bytes();
        // SAFETY: the caller promises AVX-512; both loads end before the line does, as in the AVX2 path.
        unsafe {
            let lows = _mm256_loadu_si256(line.as_ptr().cast());
            let low_equal = _mm256_cmpeq_epi16_mask(lows, _mm256_set1_epi16(i16::from_le_bytes([low, middle])));
            let highs = _mm_loadu_si128(line.as_ptr().add(2 * F::SLOT_COUNT).cast());
            let high_equal = _mm_cmpeq_epi8_mask(highs, _mm_set1_epi8(high.cast_signed()));
            u32::from(low_equal & high_equal)
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
        // SAFETY: the caller promises AVX-512 and the lines; the store is to the 32 bytes of `weights`.
        unsafe {
            let all = one_lane_each([
                weight_or_zeros(lines, located, 0),
                weight_or_zeros(lines, located, 1),
                weight_or_zeros(lines, located, 2),
                weight_or_zeros(lines, located, 3),
                weight_or_zeros(lines, located, 4),
                weight_or_zeros(lines, located, 5),
                weight_or_zeros(lines, located, 6),
                weight_or_zeros(lines, located, 7),
            ]);
            let found = _mm256_test_epi32_mask(all, all);
            // A lane without a weight becomes `NO_WEIGHT`, which is NaN, if all lanes are combined.
            let combined = if MARKED { u8::MAX } else { found };
            _mm256_storeu_si256(weights.as_mut_ptr().cast(), _mm256_maskz_xor_epi32(combined, all, no_weight()));
            found
        }
    }

    #[inline(always)]
    unsafe fn slots_with(line: &Line, tag: u32) -> u32 {
        // SAFETY: the caller promises AVX-512.
        u32::from(unsafe { equal_tags(line, tag) })
    }

    #[inline(always)]
    unsafe fn set_bits(mask: u8) -> u64 {
        // SAFETY: the caller promises BMI2.
        unsafe { set_bits(mask) }
    }
}

/// Returns a mask with the bit of the slot that has `tag`.
///
/// # Safety
///
/// The processor has AVX-512 F and VL.
#[inline(always)]
unsafe fn equal_tags(line: &Line, tag: u32) -> __mmask8 {
    const _: () = assert!(size_of::<__m256i>() == SLOT_COUNT * size_of::<u32>());
    // SAFETY: the caller promises AVX-512; the line has 64 readable bytes, and the load needs no alignment.
    unsafe {
        let words = _mm256_loadu_si256(line.as_ptr().cast());
        let tags = _mm256_and_si256(words, _mm256_set1_epi32(TAG_MASK.cast_signed()));
        _mm256_cmpeq_epi32_mask(tags, _mm256_set1_epi32(tag.cast_signed()))
    }
}

/// Returns the weight of a key of the group, combined with [`NO_WEIGHT`](super::NO_WEIGHT), in the lane of its slot. The
/// other lanes are 0.
///
/// # Safety
///
/// The processor has AVX-512 F and VL, and the lines were located in the table of `lines`.
#[inline(always)]
unsafe fn weight_or_zeros(lines: &[Line], located: &Located, index: usize) -> __m256i {
    // SAFETY: the caller promises AVX-512 and the line; the weights are the 32 bytes after the tag words.
    unsafe {
        let line = located.line(lines, index);
        let weights = _mm256_loadu_si256(line.as_ptr().add(WEIGHTS_OFFSET).cast());
        _mm256_maskz_xor_epi32(equal_tags(line, located.tags[index]), weights, no_weight())
    }
}
