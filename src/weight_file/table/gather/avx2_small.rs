//! AVX2 for lines of f16 and i8: compares the 12 or 15 tags of a line together, in two parts, and converts the weights
//! of eight keys to f32 together.

use std::arch::x86_64::{
    _mm_and_si128, _mm_cmpeq_epi8, _mm_cvtsi64_si128, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16,
    _mm_set_epi64x, _mm_set1_epi8, _mm256_castsi256_si128, _mm256_cmpeq_epi16, _mm256_cvtepi8_epi32,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_set1_epi16,
    _mm256_storeu_ps, _pdep_u64, _pext_u64,
};
use std::marker::PhantomData;

use super::{GROUP, LineReader, Located, mark};
use crate::weight_file::table::line::{F16Line, I8Line, Line, LineFormat};

/// Reads lines of format `F`: u16 for the low bits of all tags, u8 for their high bits, weights, and a filter. `C`
/// compares the tags.
pub(super) struct SmallLines<F, C>(PhantomData<(F, C)>);

/// How the formats differ: in their weights.
pub(super) trait SmallFormat: LineFormat {
    /// Number of bits of a weight.
    const WEIGHT_BITS: usize;

    /// Returns the bits of a slot's weight, with zeros above.
    fn weight_bits(line: &Line, slot: usize) -> u64;

    /// Converts eight weights, stored one after the other from the lowest bit, to f32.
    ///
    /// # Safety
    ///
    /// The processor has AVX2 and F16C.
    unsafe fn widen(bits: [u64; 2], weights: &mut [f32; GROUP]);
}

impl SmallFormat for F16Line {
    const WEIGHT_BITS: usize = 16;

    #[inline(always)]
    fn weight_bits(line: &Line, slot: usize) -> u64 {
        u64::from(Self::bits(line, slot))
    }

    #[inline(always)]
    unsafe fn widen(bits: [u64; 2], weights: &mut [f32; GROUP]) {
        // SAFETY: the caller promises F16C; the store is to the 32 bytes of `weights`.
        unsafe {
            let bits = _mm_set_epi64x(bits[1].cast_signed(), bits[0].cast_signed());
            _mm256_storeu_ps(weights.as_mut_ptr(), _mm256_cvtph_ps(bits));
        }
    }
}

impl SmallFormat for I8Line {
    const WEIGHT_BITS: usize = 8;

    #[inline(always)]
    fn weight_bits(line: &Line, slot: usize) -> u64 {
        u64::from(Self::number(line, slot).cast_unsigned())
    }

    #[inline(always)]
    unsafe fn widen(bits: [u64; 2], weights: &mut [f32; GROUP]) {
        // SAFETY: the caller promises AVX2; the store is to the 32 bytes of `weights`.
        unsafe {
            let numbers = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bits[0].cast_signed()));
            _mm256_storeu_ps(weights.as_mut_ptr(), _mm256_cvtepi32_ps(numbers));
        }
    }
}

/// A way to compare the tags of a small line.
pub(super) trait CompareTags {
    /// Returns a mask with the bit of the slot of `line` that has `tag`; at most one slot has it. Bits above those of
    /// the slots may have any value.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    unsafe fn equal_tags<F: SmallFormat>(line: &Line, tag: u32) -> u32;
}

impl<F: SmallFormat, C: CompareTags> LineReader for SmallLines<F, C> {
    type Format = F;

    #[inline(always)]
    unsafe fn weights_of_group<const MARKED: bool>(
        lines: &[Line],
        located: &Located,
        weights: &mut [f32; GROUP],
    ) -> u8 {
        // The bits are collected in registers. If they were stored byte by byte, a vector load would have to wait until
        // all bytes are in the cache.
        let mut bits = [0; 2];
        let mut found = 0;
        // SAFETY: the caller promises the instructions and the lines.
        unsafe {
            let mut index = 0;
            while index < GROUP {
                let line = located.line(lines, index);
                let equal = Self::slots_with(line, located.tags[index]);
                // Without a matching slot, the weight of some other slot is read and masked out.
                let slot = equal.trailing_zeros() as usize & 15;
                let mask = u64::from(equal != 0).wrapping_neg();
                let at = index * F::WEIGHT_BITS;
                bits[at / 64] |= (F::weight_bits(line, slot) & mask) << (at % 64);
                found |= u8::from(equal != 0) << index;
                index += 1;
            }
            F::widen(bits, weights);
        }
        if MARKED {
            mark(found, weights);
        }
        found
    }

    #[inline(always)]
    unsafe fn slots_with(line: &Line, tag: u32) -> u32 {
        // SAFETY: the caller promises the instructions. The bytes after the tags were compared as well, so their bits
        // are masked out.
        unsafe { C::equal_tags::<F>(line, tag) & ((1 << F::SLOT_COUNT) - 1) }
    }

    #[inline(always)]
    unsafe fn set_bits(mask: u8) -> u64 {
        // SAFETY: the caller promises BMI2.
        unsafe { set_bits(mask) }
    }
}

/// Compares tags with AVX2.
pub(super) struct Avx2Tags;

impl CompareTags for Avx2Tags {
    #[inline(always)]
    unsafe fn equal_tags<F: SmallFormat>(line: &Line, tag: u32) -> u32 {
        const { assert!(F::SLOT_COUNT <= 15 && 3 * F::SLOT_COUNT <= 64 - 16) };
        let [low, middle, high, _] = tag.to_le_bytes();
        // SAFETY: the caller promises AVX2; both loads end before the line does.
        unsafe {
            let low = _mm256_set1_epi16(i16::from_le_bytes([low, middle]));
            let low_equal = _mm256_cmpeq_epi16(_mm256_loadu_si256(line.as_ptr().cast()), low);
            // Each lane is all ones or 0, and saturation keeps it so.
            let low_equal =
                _mm_packs_epi16(_mm256_castsi256_si128(low_equal), _mm256_extracti128_si256::<1>(low_equal));
            let highs = _mm_loadu_si128(line.as_ptr().add(2 * F::SLOT_COUNT).cast());
            let high_equal = _mm_cmpeq_epi8(highs, _mm_set1_epi8(high.cast_signed()));
            _mm_movemask_epi8(_mm_and_si128(low_equal, high_equal)).cast_unsigned()
        }
    }
}

/// Computes [`LineReader::set_bits`] without its table, which the lines would evict from the first-level cache.
///
/// # Safety
///
/// The processor has BMI2.
#[inline(always)]
pub(super) unsafe fn set_bits(mask: u8) -> u64 {
    // SAFETY: the caller promises BMI2.
    unsafe {
        let bytes = _pdep_u64(u64::from(mask), 0x0101_0101_0101_0101) * 0xff;
        _pext_u64(0x0706_0504_0302_0100, bytes)
    }
}
