//! The table from feature key to weight: lines of 64 bytes, 8 tags beside 8 weights, two choices of line a key. Nothing
//! outside this module knows where a weight lies.
//!
//! A look-up touches its first line; only where the line's overflow filter says that a key with the same filter bit had to
//! go elsewhere does it touch a second one, in the same 4 MiB shard. `FORMAT.md` (4) has the bytes.

#[cfg(feature = "train")]
mod build;
mod gather;
mod validate;

#[cfg(feature = "train")]
pub use build::{BuiltTable, TableFull, build};

use std::hint::select_unpredictable;

use super::header::Record;
use super::layout::{self, EXCEPTION_LEN};

/// Length of a line: one cache line.
pub const LINE_LEN: usize = 64;
/// Slots in a line.
pub const SLOT_COUNT: usize = 8;
/// Most lines in a shard: 4 MiB of them.
pub const MAX_SHARD_LINES: u32 = 65_536;

const TAG_MASK: u32 = 0x3fff_ffff;
const WEIGHTS_OFFSET: usize = SLOT_COUNT * size_of::<u32>();

/// One line: 8 tag words, then 8 weights.
type Line = [u8; LINE_LEN];

/// How many lines there are, and how they are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Number of shards.
    pub shard_count: u32,
    /// Lines in each shard.
    pub shard_lines: u32,
}

impl Geometry {
    /// Number of lines of all shards.
    #[inline]
    #[must_use]
    pub const fn line_count(self) -> u64 {
        self.shard_count as u64 * self.shard_lines as u64
    }
}

/// The first line of a key among `line_count` lines of all shards.
#[inline]
const fn first_line(line_count: u64, key: u64) -> usize {
    // Below `line_count`, which is less than 2^32.
    ((key >> 32).wrapping_mul(line_count) >> 32) as usize
}

/// The second line of a key whose first line is `first`, without a branch: which of the two ways it goes is a toss-up.
#[inline]
fn second_line(geometry: Geometry, first: usize, key: u64) -> usize {
    let lines = geometry.shard_lines as usize;
    // The shard of the first line: `first / lines`, found without a division.
    let shard = ((key >> 32) * u64::from(geometry.shard_count)) >> 32;
    let base = shard as usize * lines;
    let step = 1 + (((key & 0xffff_ffff) * (u64::from(geometry.shard_lines) - 1)) >> 32) as usize;
    let place = first - base + step;
    base + select_unpredictable(place >= lines, place.wrapping_sub(lines), place)
}

/// The tag of a key: never 0, which marks an empty slot.
#[inline]
const fn tag_of(key: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are the tag")]
    let tag = key as u32 & TAG_MASK;
    if tag == 0 { 1 } else { tag }
}

/// The word and the bit in it that stand for a key in its first line's overflow filter.
#[inline]
const fn filter_bit(key: u64) -> (usize, u32) {
    let bit = (key >> 28) & 15;
    (bit as usize >> 1, 1 << (30 + (bit & 1)))
}

/// Whether the overflow filter of `line`, the first of `key`, has the key's bit set.
#[inline]
fn overflows(line: &Line, key: u64) -> bool {
    let (word, bit) = filter_bit(key);
    tag_word(line, word) & bit != 0
}

/// The tag word of slot `slot`, filter bits included.
#[inline]
fn tag_word(line: &Line, slot: usize) -> u32 {
    Record(line).u32(slot * size_of::<u32>())
}

/// The weight of slot `slot`.
#[inline]
fn weight_at(line: &Line, slot: usize) -> f32 {
    Record(line).f32(WEIGHTS_OFFSET + slot * size_of::<f32>())
}

/// The slot of `line` that has `tag`: the plain twin of the vector comparison in [`gather`].
#[inline]
fn find_tag(line: &Line, tag: u32) -> Option<usize> {
    (0..SLOT_COUNT).find(|&slot| tag_word(line, slot) & TAG_MASK == tag)
}

/// A table over the bytes of a verified weight file.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    lines: &'a [Line],
    exceptions: &'a [[u8; EXCEPTION_LEN]],
    line_count: u64,
    geometry: Geometry,
    exception_filter: ExceptionFilter,
}

impl<'a> Table<'a> {
    /// The table over the bytes of the sections weights and exceptions, or nothing if their lengths do not fit `geometry`.
    #[must_use]
    pub fn new(weights: &'a [u8], exceptions: &'a [u8], geometry: Geometry) -> Option<Self> {
        let (lines, rest) = weights.as_chunks();
        let (exceptions, exceptions_rest) = exceptions.as_chunks();
        let line_count = geometry.line_count();
        let fits = rest.is_empty()
            && exceptions_rest.is_empty()
            && lines.len() as u64 == line_count
            && line_count <= u64::from(u32::MAX)
            && (2..=MAX_SHARD_LINES).contains(&geometry.shard_lines);
        let exception_filter = ExceptionFilter::new(exceptions);
        fits.then_some(Self { lines, exceptions, line_count, geometry, exception_filter })
    }

    /// What the weights of field or cross `group` of the contract (fields first, then crosses) are multiplied by, in f32.
    #[inline]
    #[must_use]
    pub const fn scale(&self, _group: usize) -> f32 {
        1.0
    }

    /// The weight of `key` on the logit scale, or nothing if the table has none. One key at a time; scoring looks many up
    /// at once with [`Table::gather`].
    #[must_use]
    pub fn get(&self, key: u64) -> Option<f32> {
        if let Some(weight) = self.exception(key) {
            return Some(weight);
        }
        self.get_from_lines(key)
    }

    /// What the lines alone say: wrong for the keys of the exceptions.
    #[inline]
    fn get_from_lines(&self, key: u64) -> Option<f32> {
        let tag = tag_of(key);
        let first = first_line(self.line_count, key);
        let line = &self.lines[first];
        if let Some(slot) = find_tag(line, tag) {
            return Some(weight_at(line, slot));
        }
        if !overflows(line, key) {
            return None;
        }
        let line = &self.lines[second_line(self.geometry, first, key)];
        find_tag(line, tag).map(|slot| weight_at(line, slot))
    }

    /// How many lines a look-up of `key` touches: 1 or 2. For tests and figures.
    #[must_use]
    pub fn lines_touched(&self, key: u64) -> usize {
        let line = &self.lines[first_line(self.line_count, key)];
        if find_tag(line, tag_of(key)).is_some() || !overflows(line, key) { 1 } else { 2 }
    }

    /// The weight of a key that the lines would answer wrongly. There are nearly always none.
    #[inline]
    fn exception(&self, key: u64) -> Option<f32> {
        if !self.exception_filter.may_have(key) {
            return None;
        }
        let index = self
            .exceptions
            .binary_search_by_key(&key, |exception| Record(exception).u64(layout::EXCEPTION_KEY_OFFSET))
            .ok()?;
        Some(Record(&self.exceptions[index]).f32(layout::EXCEPTION_WEIGHT_OFFSET))
    }
}

/// Tells most keys that are no exceptions without a search: large tables have a few exceptions, and every look-up asks.
#[derive(Debug, Clone, Copy)]
struct ExceptionFilter([u64; 8]);

impl ExceptionFilter {
    /// With more exceptions than these every key passes. Only a file that was made to have so many has them, and a
    /// filter of more bits would take too long to make for each request.
    const MAX_EXCEPTIONS: usize = 128;

    fn new(exceptions: &[[u8; EXCEPTION_LEN]]) -> Self {
        if exceptions.len() > Self::MAX_EXCEPTIONS {
            return Self([u64::MAX; 8]);
        }
        let mut words = [0; 8];
        for exception in exceptions {
            let (word, bit) = Self::bit(Record(exception).u64(layout::EXCEPTION_KEY_OFFSET));
            words[word] |= bit;
        }
        Self(words)
    }

    #[inline]
    const fn may_have(&self, key: u64) -> bool {
        let (word, bit) = Self::bit(key);
        self.0[word] & bit != 0
    }

    #[inline]
    const fn bit(key: u64) -> (usize, u64) {
        ((key >> 6 & 7) as usize, 1 << (key & 63))
    }
}

#[cfg(all(test, feature = "train"))]
mod tests;
