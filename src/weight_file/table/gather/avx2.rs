//! AVX2: compares the eight tags of a line together, and gathers the weights of eight keys in one register.

use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_andnot_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_loadu_si256,
    _mm256_movemask_ps, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    _mm256_xor_si256,
};

use super::avx2_small::{Avx2Tags, SmallLines, set_bits};
use super::{GROUP, LineReader, Located, NO_WEIGHT, SLOT_COUNT, TAG_MASK, WEIGHTS_OFFSET, gather_with};
use crate::weight_file::table::line::{F16Line, F32Line, I8Line, Line};
use crate::weight_file::table::{Encoding, Table};

/// # Safety
///
/// The processor has AVX2, BMI1, BMI2, F16C and POPCNT.
#[target_feature(enable = "avx2,bmi1,bmi2,f16c,popcnt")]
pub(super) unsafe fn gather<const MARKED: bool>(table: &Table<'_>, keys: &[u64], weights: &mut [f32]) -> usize {
    // SAFETY: the caller promises what this function enables.
    unsafe {
        match table.encoding() {
            Encoding::F32 => gather_with::<F32Lines, MARKED>(table, keys, weights),
            Encoding::F16 => gather_with::<SmallLines<F16Line, Avx2Tags>, MARKED>(table, keys, weights),
            Encoding::I8 => gather_with::<SmallLines<I8Line, Avx2Tags>, MARKED>(table, keys, weights),
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
        // SAFETY: the caller promises AVX2 and the lines; the store is to the 32 bytes of `weights`.
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
            let missing = _mm256_cmpeq_epi32(all, _mm256_setzero_si256());
            // A lane without a weight becomes `NO_WEIGHT` here, which is NaN.
            let marked = _mm256_xor_si256(all, no_weight());
            let found = if MARKED { marked } else { _mm256_andnot_si256(missing, marked) };
            _mm256_storeu_si256(weights.as_mut_ptr().cast(), found);
            #[expect(clippy::cast_possible_truncation, reason = "a bit for each of eight lanes")]
            let missing = _mm256_movemask_ps(_mm256_castsi256_ps(missing)) as u8;
            !missing
        }
    }

    #[inline(always)]
    unsafe fn slots_with(line: &Line, tag: u32) -> u32 {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(equal_tags(line, tag))) }.cast_unsigned()
    }

    #[inline(always)]
    unsafe fn set_bits(mask: u8) -> u64 {
        // SAFETY: the caller promises BMI2.
        unsafe { set_bits(mask) }
    }
}

/// Returns all ones in the lane of the slot that has `tag`.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn equal_tags(line: &Line, tag: u32) -> __m256i {
    const _: () = assert!(size_of::<__m256i>() == SLOT_COUNT * size_of::<u32>());
    // SAFETY: the caller promises AVX2; the line has 64 readable bytes, and the load needs no alignment.
    unsafe {
        let words = _mm256_loadu_si256(line.as_ptr().cast());
        let tags = _mm256_and_si256(words, _mm256_set1_epi32(TAG_MASK.cast_signed()));
        _mm256_cmpeq_epi32(tags, _mm256_set1_epi32(tag.cast_signed()))
    }
}

/// Returns the weight of a key of the group, combined with [`NO_WEIGHT`], in the lane of its slot. The other lanes are
/// 0.
///
/// # Safety
///
/// The processor has AVX2, and the lines were located in the table of `lines`.
#[inline(always)]
unsafe fn weight_or_zeros(lines: &[Line], located: &Located, index: usize) -> __m256i {
    // SAFETY: the caller promises AVX2 and the line; the weights are the 32 bytes after the tag words.
    unsafe {
        let line = located.line(lines, index);
        let weights = _mm256_loadu_si256(line.as_ptr().add(WEIGHTS_OFFSET).cast());
        _mm256_and_si256(equal_tags(line, located.tags[index]), _mm256_xor_si256(weights, no_weight()))
    }
}

/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn no_weight() -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe { _mm256_set1_epi32(NO_WEIGHT.cast_signed()) }
}

/// Merges eight registers, each with at most one lane that is not 0, into one that has a lane for each register.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn one_lane_each(of: [__m256i; GROUP]) -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe {
        // Merging `a` and `b` leaves a0|a2, b0|b2, a1|a3, b1|b3 in each half, so lanes of different registers stay
        // apart.
        let four_0 = merge_pairs(merge(of[0], of[1]), merge(of[2], of[3]));
        let four_1 = merge_pairs(merge(of[4], of[5]), merge(of[6], of[7]));
        let low = _mm256_permute2x128_si256::<0x20>(four_0, four_1);
        let high = _mm256_permute2x128_si256::<0x31>(four_0, four_1);
        _mm256_or_si256(low, high)
    }
}

/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn merge(one: __m256i, other: __m256i) -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe { _mm256_or_si256(_mm256_unpacklo_epi32(one, other), _mm256_unpackhi_epi32(one, other)) }
}

/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn merge_pairs(one: __m256i, other: __m256i) -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe { _mm256_or_si256(_mm256_unpacklo_epi64(one, other), _mm256_unpackhi_epi64(one, other)) }
}
