//! Where tags, weights and the overflow filter are in a line, for each encoding. `FORMAT.md` (4) has the tables.

use super::LINE_LEN;
use super::encoding::{Encoding, f16_value};
use crate::weight_file::header::Record;
use crate::weight_file::layout::MAX_WEIGHT;

/// One line: tags, weights and an overflow filter.
pub type Line = [u8; LINE_LEN];

/// A format of lines. Everything is computed from the low 32 bits of a feature key, called its *low word*. The table
/// decides in which line a key is.
pub trait LineFormat {
    const ENCODING: Encoding;
    /// Slots in a line.
    const SLOT_COUNT: usize = Self::ENCODING.slot_count();
    /// The bits of a low word that form the tag.
    const TAG_MASK: u32;

    /// Returns the tag of a key. It is never 0, which marks an empty slot.
    #[inline(always)]
    fn tag_of(low_word: u32) -> u32 {
        match low_word & Self::TAG_MASK {
            0 => 1,
            tag => tag,
        }
    }

    /// Returns the tag in slot `slot`, or 0 if the slot is empty.
    fn tag(line: &Line, slot: usize) -> u32;

    /// Returns the weight in slot `slot`, before its scale.
    fn weight(line: &Line, slot: usize) -> f32;

    /// Returns whether some key with the same filter bit was placed in its second line instead of `line`, its first.
    fn overflows(line: &Line, low_word: u32) -> bool;

    /// Returns whether the weight of a slot is valid in a file: not beyond [`MAX_WEIGHT`], and all bits zero in an
    /// empty slot.
    fn is_valid(line: &Line, slot: usize) -> bool;

    /// Returns the slot of `line` that has `tag`. This is the plain twin of the vector comparisons.
    #[inline(always)]
    fn find_tag(line: &Line, tag: u32) -> Option<usize> {
        (0..Self::SLOT_COUNT).find(|&slot| Self::tag(line, slot) == tag)
    }
}

/// Eight tag words, whose two high bits form the filter, then eight f32.
pub struct F32Line;

impl F32Line {
    pub const WEIGHTS_OFFSET: usize = Self::SLOT_COUNT * size_of::<u32>();

    /// Returns the tag word of slot `slot`, including its filter bits.
    #[inline(always)]
    pub fn word(line: &Line, slot: usize) -> u32 {
        Record(line).u32(slot * size_of::<u32>())
    }

    /// Returns the filter bit of a key in its first line: the index of the word, and the bit in it.
    #[inline(always)]
    pub const fn filter_bit(low_word: u32) -> (usize, u32) {
        let bit = low_word >> 28;
        (bit as usize >> 1, 1 << (30 + (bit & 1)))
    }
}

impl LineFormat for F32Line {
    const ENCODING: Encoding = Encoding::F32;
    const TAG_MASK: u32 = 0x3fff_ffff;

    #[inline(always)]
    fn tag(line: &Line, slot: usize) -> u32 {
        Self::word(line, slot) & Self::TAG_MASK
    }

    #[inline(always)]
    fn weight(line: &Line, slot: usize) -> f32 {
        Record(line).f32(Self::WEIGHTS_OFFSET + slot * size_of::<f32>())
    }

    #[inline(always)]
    fn overflows(line: &Line, low_word: u32) -> bool {
        let (slot, bit) = Self::filter_bit(low_word);
        Self::word(line, slot) & bit != 0
    }

    fn is_valid(line: &Line, slot: usize) -> bool {
        let weight = Self::weight(line, slot);
        if Self::tag(line, slot) == 0 { weight.to_bits() == 0 } else { weight.abs() <= MAX_WEIGHT }
    }
}

/// Offset of the filter in lines of the small encodings. These lines have a u16 for the low bits of each tag, a u8 for
/// its high bits, the weights, and a filter of 32 bits at the end.
pub const FILTER_OFFSET: usize = LINE_LEN - size_of::<u32>();
const SMALL_TAG_MASK: u32 = 0x00ff_ffff;

/// Returns the tag of slot `slot` in a line of `slot_count` slots.
#[inline(always)]
fn small_tag(line: &Line, slot_count: usize, slot: usize) -> u32 {
    let low = Record(line).u16(slot * size_of::<u16>());
    u32::from(low) | u32::from(line[slot_count * size_of::<u16>() + slot]) << 16
}

/// Returns the filter bit of a key.
#[inline(always)]
pub const fn small_filter_bit(low_word: u32) -> u32 {
    1 << (low_word >> 24 & 31)
}

/// The overflow filter of a line of a small encoding.
#[inline(always)]
pub fn small_filter(line: &Line) -> u32 {
    Record(line).u32(FILTER_OFFSET)
}

#[inline(always)]
fn small_overflows(line: &Line, low_word: u32) -> bool {
    small_filter(line) & small_filter_bit(low_word) != 0
}

/// Twelve tags of 24 bits, twelve f16, a filter.
pub struct F16Line;

impl F16Line {
    pub const WEIGHTS_OFFSET: usize = Self::SLOT_COUNT * (size_of::<u16>() + size_of::<u8>());

    /// Returns the weight of a slot as the line stores it.
    #[inline(always)]
    pub fn bits(line: &Line, slot: usize) -> u16 {
        Record(line).u16(Self::WEIGHTS_OFFSET + slot * size_of::<u16>())
    }
}

impl LineFormat for F16Line {
    const ENCODING: Encoding = Encoding::F16;
    const TAG_MASK: u32 = SMALL_TAG_MASK;

    #[inline(always)]
    fn tag(line: &Line, slot: usize) -> u32 {
        small_tag(line, Self::SLOT_COUNT, slot)
    }

    #[inline(always)]
    fn weight(line: &Line, slot: usize) -> f32 {
        f16_value(Self::bits(line, slot))
    }

    #[inline(always)]
    fn overflows(line: &Line, low_word: u32) -> bool {
        small_overflows(line, low_word)
    }

    fn is_valid(line: &Line, slot: usize) -> bool {
        if Self::tag(line, slot) == 0 {
            Self::bits(line, slot) == 0
        } else {
            Self::weight(line, slot).abs() <= MAX_WEIGHT
        }
    }
}

/// Fifteen tags of 24 bits, fifteen i8, a filter.
pub struct I8Line;

impl I8Line {
    pub const WEIGHTS_OFFSET: usize = Self::SLOT_COUNT * (size_of::<u16>() + size_of::<u8>());

    /// Returns the weight of a slot as the line stores it.
    #[inline(always)]
    pub fn number(line: &Line, slot: usize) -> i8 {
        line[Self::WEIGHTS_OFFSET + slot].cast_signed()
    }
}

impl LineFormat for I8Line {
    const ENCODING: Encoding = Encoding::I8;
    const TAG_MASK: u32 = SMALL_TAG_MASK;

    #[inline(always)]
    fn tag(line: &Line, slot: usize) -> u32 {
        small_tag(line, Self::SLOT_COUNT, slot)
    }

    #[inline(always)]
    fn weight(line: &Line, slot: usize) -> f32 {
        f32::from(Self::number(line, slot))
    }

    #[inline(always)]
    fn overflows(line: &Line, low_word: u32) -> bool {
        small_overflows(line, low_word)
    }

    fn is_valid(line: &Line, slot: usize) -> bool {
        let number = Self::number(line, slot);
        if Self::tag(line, slot) == 0 { number == 0 } else { number != i8::MIN }
    }
}

const _: () = assert!(F32Line::WEIGHTS_OFFSET + F32Line::SLOT_COUNT * size_of::<f32>() == LINE_LEN);
const _: () = assert!(F16Line::WEIGHTS_OFFSET + F16Line::SLOT_COUNT * size_of::<u16>() == FILTER_OFFSET);
const _: () = assert!(I8Line::WEIGHTS_OFFSET + I8Line::SLOT_COUNT == FILTER_OFFSET);
