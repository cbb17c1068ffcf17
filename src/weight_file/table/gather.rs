//! Many look-ups at once: the lines of keys further on are prefetched while those of the first are compared.

use super::line::Line;
use super::{Encoding, Table, first_line};
use crate::instructions::{Instructions, Set};

/// How many keys ahead a line is asked for. Memory answers in about 100 ns and a look-up takes a few: a dozen or
/// two in flight keep it busy, and more than the core's miss buffers hold gains nothing.
const PREFETCH_DISTANCE: usize = 24;

impl Table<'_> {
    /// Writes the weight of `keys[i]`, or 0 if the table has none, to `weights[i]`, and returns how many keys have a weight.
    ///
    /// # Panics
    ///
    /// If `weights` is shorter than `keys`.
    pub fn gather(&self, instructions: Instructions, keys: &[u64], weights: &mut [f32]) -> usize {
        let weights = &mut weights[..keys.len()];
        if !self.exceptions.is_empty() {
            // One branch a batch instead of one a key for what hardly any file has.
            return gather_with(keys, weights, |_| (), |key| self.get(key));
        }
        if self.encoding != Encoding::F32 {
            return gather_with(keys, weights, |key| self.prefetch(key), |key| self.get_from_lines(key));
        }
        match instructions.set() {
            Set::Plain => gather_with(keys, weights, |key| self.prefetch(key), |key| self.get_from_lines(key)),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `detect` makes this value, and only where the processor has AVX2 and BMI1.
            Set::Avx2 => unsafe { avx2::gather(self, keys, weights) },
        }
    }

    /// Asks memory for the first line of `key`.
    #[inline(always)]
    fn prefetch(&self, key: u64) {
        let line: &Line = &self.lines[first_line(self.line_count, key)];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing and cannot fault, and SSE is part of x86-64.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}

/// The loop of every set of instructions.
#[inline(always)]
fn gather_with(
    keys: &[u64],
    weights: &mut [f32],
    prefetch: impl Fn(u64),
    look_up: impl Fn(u64) -> Option<f32>,
) -> usize {
    for &key in &keys[..keys.len().min(PREFETCH_DISTANCE)] {
        prefetch(key);
    }
    let mut found_count = 0;
    for (index, (&key, weight)) in keys.iter().zip(weights).enumerate() {
        if let Some(&later) = keys.get(index + PREFETCH_DISTANCE) {
            prefetch(later);
        }
        let found = look_up(key);
        *weight = found.unwrap_or(0.0);
        found_count += usize::from(found.is_some());
    }
    found_count
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_loadu_si256, _mm256_movemask_ps,
        _mm256_set1_epi32,
    };

    use super::super::line::{F32Line, LineFormat};
    use super::super::{low_word, second_line};
    use super::{Line, Table, first_line, gather_with};

    const SLOT_COUNT: usize = F32Line::SLOT_COUNT;
    const TAG_MASK: u32 = F32Line::TAG_MASK;

    /// # Safety
    ///
    /// The processor has AVX2 and BMI1.
    #[target_feature(enable = "avx2,bmi1")]
    pub(super) unsafe fn gather(table: &Table<'_>, keys: &[u64], weights: &mut [f32]) -> usize {
        gather_with(
            keys,
            weights,
            |key| table.prefetch(key),
            // SAFETY: the caller promises AVX2 and BMI1.
            #[inline(always)]
            |key| unsafe { get(table, key) },
        )
    }

    /// # Safety
    ///
    /// The processor has AVX2 and BMI1.
    #[inline]
    #[target_feature(enable = "avx2,bmi1")]
    unsafe fn get(table: &Table<'_>, key: u64) -> Option<f32> {
        let tag = F32Line::tag_of(low_word(key));
        let first = first_line(table.line_count, key);
        let line = &table.lines[first];
        if let Some(slot) = find_tag(line, tag) {
            return Some(F32Line::weight(line, slot));
        }
        if !F32Line::overflows(line, low_word(key)) {
            return None;
        }
        let line = &table.lines[second_line(table.shard_lines, first, key)];
        find_tag(line, tag).map(|slot| F32Line::weight(line, slot))
    }

    /// The slot of `line` that has `tag`: all eight compared at once.
    #[inline]
    #[target_feature(enable = "avx2,bmi1")]
    fn find_tag(line: &Line, tag: u32) -> Option<usize> {
        const _: () = assert!(size_of::<__m256i>() == SLOT_COUNT * size_of::<u32>());
        // SAFETY: the line has 64 readable bytes, and the load needs no alignment.
        let words = unsafe { _mm256_loadu_si256(line.as_ptr().cast()) };
        let tags = _mm256_and_si256(words, _mm256_set1_epi32(TAG_MASK.cast_signed()));
        let equal = _mm256_cmpeq_epi32(tags, _mm256_set1_epi32(tag.cast_signed()));
        let mask = _mm256_movemask_ps(_mm256_castsi256_ps(equal));
        // With the mask not zero the slot is below 8; the bound is written down so that the weight's is not checked.
        (mask != 0).then(|| mask.trailing_zeros() as usize & (SLOT_COUNT - 1))
    }
}
