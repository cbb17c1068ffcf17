//! AVX2: the eight tags of a line compared at once, the weights of eight keys brought together in one register.

use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_loadu_si256, _mm256_movemask_ps,
    _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::avx2_small::SmallLines;
use super::{GROUP, LineReader, Located, gather_with};
use crate::weight_file::table::line::{F16Line, F32Line, I8Line, Line, LineFormat};
use crate::weight_file::table::{Encoding, Table, low_word};

const SLOT_COUNT: usize = F32Line::SLOT_COUNT;
const TAG_MASK: u32 = F32Line::TAG_MASK;
const WEIGHTS_OFFSET: usize = F32Line::WEIGHTS_OFFSET;

/// # Safety
///
/// The processor has AVX2, BMI1, BMI2, F16C and POPCNT.
#[target_feature(enable = "avx2,bmi1,bmi2,f16c,popcnt")]
pub(super) unsafe fn gather(table: &Table<'_>, keys: &[u64], weights: &mut [f32]) -> usize {
    // SAFETY: the caller promises what this function enables.
    unsafe {
        match table.encoding() {
            Encoding::F32 => gather_with::<F32Lines>(table, keys, weights),
            Encoding::F16 => gather_with::<SmallLines<F16Line>>(table, keys, weights),
            Encoding::I8 => gather_with::<SmallLines<I8Line>>(table, keys, weights),
        }
    }
}

/// Lines of eight tag words and eight f32.
struct F32Lines;

impl LineReader for F32Lines {
    const TAG_MASK: u32 = TAG_MASK;

    #[inline(always)]
    unsafe fn weights_of_group(lines: &[Line], located: &Located, weights: &mut [f32; GROUP]) -> u8 {
        // SAFETY: the caller promises AVX2 and the indices; the store is to 32 bytes that are ours.
        unsafe {
            // Each of the eight has one lane at most that is not 0. Merging two by unpacking both halves and taking either
            // keeps lanes apart: of `a` and `b` it leaves a0|a2, b0|b2, a1|a3, b1|b3 in each half.
            let pair_0 = merge_pair(weight_or_zeros(lines, located, 0), weight_or_zeros(lines, located, 1));
            let pair_1 = merge_pair(weight_or_zeros(lines, located, 2), weight_or_zeros(lines, located, 3));
            let pair_2 = merge_pair(weight_or_zeros(lines, located, 4), weight_or_zeros(lines, located, 5));
            let pair_3 = merge_pair(weight_or_zeros(lines, located, 6), weight_or_zeros(lines, located, 7));
            let four_0 = merge_four(pair_0, pair_1);
            let four_1 = merge_four(pair_2, pair_3);
            let low = _mm256_permute2x128_si256::<0x20>(four_0, four_1);
            let high = _mm256_permute2x128_si256::<0x31>(four_0, four_1);
            let all = _mm256_or_si256(low, high);
            _mm256_storeu_si256(weights.as_mut_ptr().cast(), all);
            let zeros = _mm256_cmpeq_epi32(all, _mm256_setzero_si256());
            #[expect(clippy::cast_possible_truncation, reason = "a bit for each of eight lanes")]
            let mask = _mm256_movemask_ps(_mm256_castsi256_ps(zeros)) as u8;
            mask
        }
    }

    #[inline(always)]
    unsafe fn find(line: &Line, tag: u32) -> (f32, usize) {
        // SAFETY: the caller promises AVX2.
        let equal = unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(equal_tags(line, tag))) };
        let found = usize::from(equal != 0);
        // Without a slot the weight of some other is read, and masked.
        let weight = F32Line::weight(line, equal.trailing_zeros() as usize & (SLOT_COUNT - 1));
        (f32::from_bits(weight.to_bits() & u32::from(equal != 0).wrapping_neg()), found)
    }

    #[inline(always)]
    fn overflows(line: &Line, key: u64) -> bool {
        F32Line::overflows(line, low_word(key))
    }
}

/// All ones in the lane of the slot that has `tag`.
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

/// The weight of a key of the group in the lane of its slot, 0 in the others.
///
/// # Safety
///
/// The processor has AVX2, and the indices of `located` are in bounds.
#[inline(always)]
unsafe fn weight_or_zeros(lines: &[Line], located: &Located, index: usize) -> __m256i {
    // SAFETY: the caller promises AVX2 and the index; the weights are the 32 bytes after the tag words.
    unsafe {
        let line = lines.get_unchecked(located.lines[index] as usize);
        let weights = _mm256_loadu_si256(line.as_ptr().add(WEIGHTS_OFFSET).cast());
        _mm256_and_si256(equal_tags(line, located.tags[index]), weights)
    }
}

/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn merge_pair(one: __m256i, other: __m256i) -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe { _mm256_or_si256(_mm256_unpacklo_epi32(one, other), _mm256_unpackhi_epi32(one, other)) }
}

/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn merge_four(one: __m256i, other: __m256i) -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe { _mm256_or_si256(_mm256_unpacklo_epi64(one, other), _mm256_unpackhi_epi64(one, other)) }
}
