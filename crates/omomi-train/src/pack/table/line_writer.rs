//! Writes the lines that [`omomi::weight_file::table::line`] reads: tags, weights and the overflow filter.

use half::f16;
use omomi::weight_file::table::line::{self, F16Line, F32Line, FILTER_OFFSET, I8Line, Line, LineFormat};

/// The writing half of a line format.
pub(super) trait LineWriter: LineFormat {
    /// Notes in its first line that a key had to leave it.
    fn note_overflow(line: &mut Line, low_word: u32);

    /// Fills an empty slot. The encoding must be able to hold `weight` exactly.
    fn fill(line: &mut Line, slot: usize, tag: u32, weight: f32);
}

impl LineWriter for F32Line {
    fn note_overflow(line: &mut Line, low_word: u32) {
        let (slot, bit) = Self::filter_bit(low_word);
        or_word(line, slot, bit);
    }

    fn fill(line: &mut Line, slot: usize, tag: u32, weight: f32) {
        or_word(line, slot, tag);
        put(line, Self::WEIGHTS_OFFSET + slot * size_of::<f32>(), weight.to_le_bytes());
    }
}

impl LineWriter for F16Line {
    fn note_overflow(line: &mut Line, low_word: u32) {
        note_small_overflow(line, low_word);
    }

    fn fill(line: &mut Line, slot: usize, tag: u32, weight: f32) {
        put_small_tag(line, Self::SLOT_COUNT, slot, tag);
        put(line, Self::WEIGHTS_OFFSET + slot * size_of::<u16>(), f16::from_f32(weight).to_bits().to_le_bytes());
    }
}

impl LineWriter for I8Line {
    fn note_overflow(line: &mut Line, low_word: u32) {
        note_small_overflow(line, low_word);
    }

    fn fill(line: &mut Line, slot: usize, tag: u32, weight: f32) {
        put_small_tag(line, Self::SLOT_COUNT, slot, tag);
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers from -127 to 127")]
        let number = weight as i8;
        put(line, Self::WEIGHTS_OFFSET + slot, number.to_le_bytes());
    }
}

/// Adds bits to the tag word of slot `slot` in a line of f32 weights.
fn or_word(line: &mut Line, slot: usize, bits: u32) {
    let word = F32Line::word(line, slot) | bits;
    put(line, slot * size_of::<u32>(), word.to_le_bytes());
}

fn note_small_overflow(line: &mut Line, low_word: u32) {
    let filter = line::small_filter(line) | line::small_filter_bit(low_word);
    put(line, FILTER_OFFSET, filter.to_le_bytes());
}

fn put_small_tag(line: &mut Line, slot_count: usize, slot: usize, tag: u32) {
    let [low, middle, high, _] = tag.to_le_bytes();
    put(line, slot * size_of::<u16>(), [low, middle]);
    put(line, slot_count * size_of::<u16>() + slot, [high]);
}

fn put<const LEN: usize>(line: &mut Line, offset: usize, bytes: [u8; LEN]) {
    line[offset..offset + LEN].copy_from_slice(&bytes);
}
