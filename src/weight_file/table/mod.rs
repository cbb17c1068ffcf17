//! The table that maps feature keys to weights: lines of 64 bytes, tags beside weights, and two possible lines for each
//! key. Nothing outside this module knows where a weight is.
//!
//! A look-up touches the key's first line. It touches the second line, which is in the same 4 MiB shard, only if the
//! overflow filter of the first line says that some key with the same filter bit is in its second line. `FORMAT.md` (4)
//! has the bytes.

mod encoding;
mod gather;
#[doc(hidden)]
pub mod line;

pub use encoding::{Encoding, f16_value};

use std::hint::select_unpredictable;

use super::header::Record;
use super::layout::{self, EXCEPTION_LEN, MAX_WEIGHT};
use crate::error::Error;
use line::{F16Line, F32Line, I8Line, Line, LineFormat};

/// Length of a line: one cache line.
pub const LINE_LEN: usize = 64;
/// Largest number of lines in a shard: 4 MiB.
pub const MAX_SHARD_LINES: u32 = 65_536;

/// The format and number of the lines, and how they are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// How weights are stored in a line.
    pub encoding: Encoding,
    /// Number of shards.
    pub shard_count: u32,
    /// Lines in each shard.
    pub shard_lines: u32,
}

impl Geometry {
    /// Returns the number of lines in all shards.
    #[inline]
    #[must_use]
    pub const fn line_count(self) -> u64 {
        self.shard_count as u64 * self.shard_lines as u64
    }

    /// Returns the length of the weights section.
    #[must_use]
    pub fn weights_len_bytes(self) -> usize {
        usize::try_from(self.line_count()).map_or(usize::MAX, |count| count.saturating_mul(LINE_LEN))
    }
}

/// Returns the first line of a key, among the `line_count` lines of all shards.
#[doc(hidden)]
#[inline]
#[must_use]
pub const fn first_line(line_count: u64, key: u64) -> usize {
    // It is below 2^32 anyway. The mask tells the compiler, so that vector code needs one multiplication instead of
    // two.
    let line_count = line_count & u32::MAX as u64;
    ((key >> 32).wrapping_mul(line_count) >> 32) as usize
}

/// Returns the distance from a key's first line to its second, wrapping at the end of the shard: from 1 to the number
/// of lines in a shard minus 1.
#[inline]
#[must_use]
pub const fn step(shard_lines: u32, low_word: u32) -> usize {
    1 + ((low_word as u64 * (shard_lines as u64 - 1)) >> 32) as usize
}

/// Returns the second line of a key whose first line is `first`. Without a branch, because wrapping is unpredictable.
#[inline]
fn second_line(geometry: Geometry, first: usize, key: u64) -> usize {
    let lines = geometry.shard_lines as usize;
    // The shard of the first line: `first / lines`, computed without a division.
    let shard = ((key >> 32) * u64::from(geometry.shard_count)) >> 32;
    let base = shard as usize * lines;
    let place = first - base + step(geometry.shard_lines, low_word(key));
    base + select_unpredictable(place >= lines, place.wrapping_sub(lines), place)
}

/// Returns the low word of a key, from which its tag and its filter bit are computed.
#[inline(always)]
#[must_use]
pub const fn low_word(key: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits")]
    let word = key as u32;
    word
}

/// What a table knows besides its bytes. It is computed once, when a file is verified, and kept for each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableShape {
    line_count: u64,
    geometry: Geometry,
    exception_filter: ExceptionFilter,
}

/// A table over the bytes of a verified weight file.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    lines: &'a [Line],
    exceptions: &'a [[u8; EXCEPTION_LEN]],
    scales: &'a [[u8; size_of::<f32>()]],
    shape: TableShape,
}

impl<'a> Table<'a> {
    /// Creates the table over the bytes of the weights and exceptions sections and the scales of the table section.
    /// Returns nothing if their lengths do not match `geometry`.
    #[inline(always)]
    #[must_use]
    pub fn new(weights: &'a [u8], exceptions: &'a [u8], scales: &'a [u8], geometry: Geometry) -> Option<Self> {
        let line_count = geometry.line_count();
        let fits = line_count <= u64::from(u32::MAX) && (2..=MAX_SHARD_LINES).contains(&geometry.shard_lines);
        let exception_filter = ExceptionFilter::new(exceptions.as_chunks().0);
        let shape = TableShape { line_count, geometry, exception_filter };
        if fits { Self::with_shape(weights, exceptions, scales, shape) } else { None }
    }

    /// Creates the table again over bytes whose shape is known. Returns nothing if their lengths do not match it.
    #[inline(always)]
    pub(crate) fn with_shape(
        weights: &'a [u8],
        exceptions: &'a [u8],
        scales: &'a [u8],
        shape: TableShape,
    ) -> Option<Self> {
        let (lines, rest) = weights.as_chunks();
        let (exceptions, exceptions_rest) = exceptions.as_chunks();
        let (scales, scales_rest) = scales.as_chunks();
        let fits = rest.is_empty()
            && exceptions_rest.is_empty()
            && scales_rest.is_empty()
            && lines.len() as u64 == shape.line_count;
        fits.then_some(Self { lines, exceptions, scales, shape })
    }

    /// Returns what the table knows besides its bytes.
    pub(crate) const fn shape(&self) -> TableShape {
        self.shape
    }

    /// The lines of all shards.
    #[doc(hidden)]
    #[must_use]
    pub const fn lines(&self) -> &'a [Line] {
        self.lines
    }

    /// Returns how weights are stored in the lines.
    #[inline]
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.shape.geometry.encoding
    }

    /// Returns the f32 by which the weights of field or cross `group` of the contract (fields first, then crosses) are
    /// multiplied.
    #[inline]
    #[must_use]
    pub fn scale(&self, group: usize) -> f32 {
        self.scales.get(group).map_or(1.0, |bytes| f32::from_le_bytes(*bytes))
    }

    /// Returns the weight of `key` before its [scale](Self::scale), or nothing if the table has none. Looks up one key;
    /// scoring looks up many keys together with [`Table::gather`].
    #[must_use]
    pub fn get(&self, key: u64) -> Option<f32> {
        if let Some(weight) = self.exception(key) {
            return Some(weight);
        }
        self.get_from_lines(key)
    }

    /// Looks `key` up in the lines only. The result is wrong for the keys of exceptions.
    #[inline]
    fn get_from_lines(&self, key: u64) -> Option<f32> {
        match self.shape.geometry.encoding {
            Encoding::F32 => self.get_from::<F32Line>(key),
            Encoding::F16 => self.get_from::<F16Line>(key),
            Encoding::I8 => self.get_from::<I8Line>(key),
        }
    }

    #[inline(always)]
    fn get_from<F: LineFormat>(&self, key: u64) -> Option<f32> {
        let low_word = low_word(key);
        let tag = F::tag_of(low_word);
        let first = first_line(self.shape.line_count, key);
        let line = &self.lines[first];
        if let Some(slot) = F::find_tag(line, tag) {
            return Some(F::weight(line, slot));
        }
        if !F::overflows(line, low_word) {
            return None;
        }
        let line = &self.lines[second_line(self.shape.geometry, first, key)];
        F::find_tag(line, tag).map(|slot| F::weight(line, slot))
    }

    /// Returns the largest magnitude of a weight, before its scale; 0 if there are no weights.
    #[must_use]
    pub fn largest_magnitude(&self) -> f32 {
        let in_lines = match self.shape.geometry.encoding {
            Encoding::F32 => self.largest_in_lines::<F32Line>(),
            Encoding::F16 => self.largest_in_lines::<F16Line>(),
            Encoding::I8 => self.largest_in_lines::<I8Line>(),
        };
        let exceptions = self.exceptions.iter();
        let exceptions = exceptions.map(|exception| Record(exception).f32(layout::EXCEPTION_WEIGHT_OFFSET).abs());
        exceptions.fold(in_lines, f32::max)
    }

    /// Includes empty slots, whose weight is 0.
    fn largest_in_lines<F: LineFormat>(&self) -> f32 {
        let of_line = |line: &Line| (0..F::SLOT_COUNT).map(|slot| F::weight(line, slot).abs()).fold(0.0, f32::max);
        self.lines.iter().map(of_line).fold(0.0, f32::max)
    }

    /// Returns how many lines a look-up of `key` touches: 1 or 2. For tests and statistics.
    #[doc(hidden)]
    #[must_use]
    pub fn lines_touched(&self, key: u64) -> usize {
        match self.shape.geometry.encoding {
            Encoding::F32 => self.lines_touched_of::<F32Line>(key),
            Encoding::F16 => self.lines_touched_of::<F16Line>(key),
            Encoding::I8 => self.lines_touched_of::<I8Line>(key),
        }
    }

    fn lines_touched_of<F: LineFormat>(&self, key: u64) -> usize {
        let line = &self.lines[first_line(self.shape.line_count, key)];
        let low_word = low_word(key);
        if F::find_tag(line, F::tag_of(low_word)).is_some() || !F::overflows(line, low_word) { 1 } else { 2 }
    }

    /// Returns the weight of a key that is an exception. There are nearly always none.
    #[inline]
    fn exception(&self, key: u64) -> Option<f32> {
        if !self.shape.exception_filter.may_have(key) {
            return None;
        }
        let index = self
            .exceptions
            .binary_search_by_key(&key, |exception| Record(exception).u64(layout::EXCEPTION_KEY_OFFSET))
            .ok()?;
        Some(Record(&self.exceptions[index]).f32(layout::EXCEPTION_WEIGHT_OFFSET))
    }
}

/// Recognizes most keys that are not exceptions, without a search. Large tables have a few exceptions, and every
/// look-up checks them.
#[derive(Debug, Clone, Copy)]
struct ExceptionFilter([u64; 8]);

impl ExceptionFilter {
    /// With more exceptions than this, every key passes. Only a file crafted for it has so many, and building a filter
    /// with more bits for each request would take too long.
    const MAX_EXCEPTIONS: usize = 128;

    #[inline]
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

fn malformed(problem: impl Into<String>) -> Error {
    Error::Malformed { problem: problem.into() }
}

impl Table<'_> {
    /// Checks every slot, every exception and every scale: weights are finite, empty slots have no weight, no line has
    /// a tag twice, exceptions are in order, and scales are normal numbers. Returns the number of occupied slots.
    /// `group_count` is the number of fields and crosses of the contract.
    #[doc(hidden)]
    pub fn validate(&self, group_count: usize) -> Result<u64, Error> {
        self.validate_asking(group_count, &mut || Ok(()))
    }

    /// Validates like [`Table::validate`]. Calls `go_on` once per 4 MiB of lines, and stops with the error that it
    /// returns.
    pub(crate) fn validate_asking<E: From<Error>>(
        &self,
        group_count: usize,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<u64, E> {
        self.validate_scales(group_count)?;
        self.validate_exceptions()?;
        match self.shape.geometry.encoding {
            Encoding::F32 => self.validate_lines::<F32Line, E>(go_on),
            Encoding::F16 => self.validate_lines::<F16Line, E>(go_on),
            Encoding::I8 => self.validate_lines::<I8Line, E>(go_on),
        }
    }

    fn validate_scales(&self, group_count: usize) -> Result<(), Error> {
        let expected = if self.shape.geometry.encoding.has_scales() { group_count } else { 0 };
        if self.scales.len() != expected {
            let found = self.scales.len();
            return Err(malformed(format!(
                "its table has the wrong number of scales: expected {expected}, found {found} with the encoding {}",
                self.shape.geometry.encoding.name()
            )));
        }
        for group in 0..expected {
            let scale = self.scale(group);
            // The largest i8 weight is 127 times the scale.
            if !scale.is_normal() || scale < 0.0 || scale * 127.0 > MAX_WEIGHT {
                return Err(malformed(format!(
                    "scale {group} of its table must be a positive normal number, and times 127 at most {MAX_WEIGHT}, found {scale:e}"
                )));
            }
        }
        Ok(())
    }

    fn validate_exceptions(&self) -> Result<(), Error> {
        let max = if self.shape.geometry.encoding.has_scales() { 127.0 } else { MAX_WEIGHT };
        let mut last_key = None;
        for exception in self.exceptions {
            let record = Record(exception);
            let key = record.u64(layout::EXCEPTION_KEY_OFFSET);
            if last_key >= Some(key) {
                return Err(malformed("the exceptions are out of order"));
            }
            let weight = record.f32(layout::EXCEPTION_WEIGHT_OFFSET);
            if weight.is_nan() || weight.abs() > max || record.u32(layout::EXCEPTION_ZEROS_OFFSET) != 0 {
                return Err(malformed(format!("the exception for key {key:#018x} is not valid")));
            }
            last_key = Some(key);
        }
        Ok(())
    }

    fn validate_lines<F: LineFormat, E: From<Error>>(
        &self,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut occupied_count = 0;
        for (index, line) in self.lines.iter().enumerate() {
            if index.is_multiple_of(MAX_SHARD_LINES as usize) {
                go_on()?;
            }
            let count = validate_line::<F>(line).ok_or_else(|| {
                malformed(format!(
                    "line {index} of the weights has a tag twice, a weight that its encoding cannot store or beyond {MAX_WEIGHT}, or a weight in an empty slot"
                ))
            })?;
            occupied_count += u64::from(count);
        }
        Ok(occupied_count)
    }

    /// Returns the number of exceptions.
    #[doc(hidden)]
    #[must_use]
    pub fn exception_count(&self) -> u64 {
        (self.exceptions.len()) as u64
    }
}

/// Returns the number of occupied slots, or nothing if the line is not valid.
fn validate_line<F: LineFormat>(line: &Line) -> Option<u32> {
    let mut count = 0;
    for slot in 0..F::SLOT_COUNT {
        if !F::is_valid(line, slot) {
            return None;
        }
        let tag = F::tag(line, slot);
        if tag != 0 {
            count += 1;
            // The first slot with the tag is this one, unless the line has the tag twice.
            if F::find_tag(line, tag) != Some(slot) {
                return None;
            }
        }
    }
    Some(count)
}
