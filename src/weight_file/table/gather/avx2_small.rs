//! AVX2 over lines of f16 and i8: the 12 or 15 tags of a line compared at once, in two parts, the weights of eight keys made f32
//! at once.

use std::arch::x86_64::{
    _mm_and_si128, _mm_cmpeq_epi8, _mm_loadl_epi64, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi8,
    _mm256_castsi256_si128, _mm256_cmpeq_epi16, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtph_ps,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_set1_epi16, _mm256_storeu_ps,
};
use std::marker::PhantomData;

use super::avx2::set_bits;
use super::{GROUP, LineReader, Located};
use crate::weight_file::table::line::{F16Line, I8Line, Line, LineFormat};
use crate::weight_file::table::low_word;

/// Lines of format `F`: u16 for the low bits of all tags, u8 for their high bits, weights, a filter.
pub(super) struct SmallLines<F>(PhantomData<F>);

/// What the formats differ in: the weights.
pub(super) trait SmallFormat: LineFormat {
    /// A weight as it stands in a line.
    type Bits: Copy + Default;

    /// The weight of a slot where `mask` is all ones, 0 where it is 0.
    fn masked_bits(line: &Line, slot: usize, mask: u32) -> Self::Bits;

    /// Eight weights as f32.
    ///
    /// # Safety
    ///
    /// The processor has AVX2 and F16C.
    unsafe fn widen(bits: &[Self::Bits; GROUP], weights: &mut [f32; GROUP]);
}

impl SmallFormat for F16Line {
    type Bits = u16;

    #[inline(always)]
    fn masked_bits(line: &Line, slot: usize, mask: u32) -> u16 {
        #[expect(clippy::cast_possible_truncation, reason = "all ones or 0")]
        let mask = mask as u16;
        Self::bits(line, slot) & mask
    }

    #[inline(always)]
    unsafe fn widen(bits: &[u16; GROUP], weights: &mut [f32; GROUP]) {
        // SAFETY: the caller promises F16C; there are 16 readable and 32 writable bytes.
        unsafe { _mm256_storeu_ps(weights.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(bits.as_ptr().cast()))) };
    }
}

impl SmallFormat for I8Line {
    type Bits = i8;

    #[inline(always)]
    fn masked_bits(line: &Line, slot: usize, mask: u32) -> i8 {
        #[expect(clippy::cast_possible_truncation, reason = "all ones or 0")]
        let mask = mask.cast_signed() as i8;
        Self::number(line, slot) & mask
    }

    #[inline(always)]
    unsafe fn widen(bits: &[i8; GROUP], weights: &mut [f32; GROUP]) {
        // SAFETY: the caller promises AVX2; there are 8 readable and 32 writable bytes.
        unsafe {
            let all = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(bits.as_ptr().cast())));
            _mm256_storeu_ps(weights.as_mut_ptr(), all);
        }
    }
}

impl<F: SmallFormat> LineReader for SmallLines<F> {
    const TAG_MASK: u32 = F::TAG_MASK;

    #[inline(always)]
    unsafe fn weights_of_group(lines: &[Line], located: &Located, weights: &mut [f32; GROUP]) -> u8 {
        let mut bits = [F::Bits::default(); GROUP];
        let mut found = 0;
        // SAFETY: the caller promises the instructions and the lines.
        unsafe {
            let mut index = 0;
            while index < GROUP {
                let line = located.line(lines, index);
                let equal = equal_tags::<F>(line, located.tags[index]);
                // Without a slot the weight of some other is read, and masked.
                let slot = equal.trailing_zeros() as usize & 15;
                bits[index] = F::masked_bits(line, slot, u32::from(equal != 0).wrapping_neg());
                found |= u8::from(equal != 0) << index;
                index += 1;
            }
            F::widen(&bits, weights);
        }
        found
    }

    #[inline(always)]
    fn overflows(line: &Line, key: u64) -> bool {
        F::overflows(line, low_word(key))
    }

    #[inline(always)]
    unsafe fn set_bits(mask: u8) -> u64 {
        // SAFETY: the caller promises BMI2.
        unsafe { set_bits(mask) }
    }
}

/// A bit for each slot of `line` that has `tag`: one or none.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn equal_tags<F: SmallFormat>(line: &Line, tag: u32) -> u32 {
    const { assert!(F::SLOT_COUNT <= 15 && 3 * F::SLOT_COUNT <= 64 - 16) };
    let [low, middle, high, _] = tag.to_le_bytes();
    // SAFETY: the caller promises AVX2; both loads end before the line does.
    let equal = unsafe {
        let low = _mm256_set1_epi16(i16::from_le_bytes([low, middle]));
        let low_equal = _mm256_cmpeq_epi16(_mm256_loadu_si256(line.as_ptr().cast()), low);
        // All ones or 0 in each: saturation leaves them so.
        let low_equal = _mm_packs_epi16(_mm256_castsi256_si128(low_equal), _mm256_extracti128_si256::<1>(low_equal));
        let highs = _mm_loadu_si128(line.as_ptr().add(2 * F::SLOT_COUNT).cast());
        let high_equal = _mm_cmpeq_epi8(highs, _mm_set1_epi8(high.cast_signed()));
        _mm_movemask_epi8(_mm_and_si128(low_equal, high_equal)).cast_unsigned()
    };
    // What stands behind the tags was compared as well.
    equal & ((1 << F::SLOT_COUNT) - 1)
}
