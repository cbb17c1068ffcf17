//! A request block as bytes that someone else filled: every word is read once, checked, and only then used.
//!
//! The words are read as relaxed atomics, which cost what plain loads cost. A careless caller may write the block while
//! it is scored; then the answers are meaningless, but what was checked is what is used.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::plan::{PlannedField, Reading};
use super::request::{Answer, Counts};
use crate::error::{Error, RowProblem};
use crate::feature::{id_value, text_value};
use crate::schema::block::{
    ANSWER_LEN, GENERATION_OFFSET, HEADER_LEN, INVALID_NUMBER_COUNT_OFFSET, LAYOUT_VERSION, LAYOUT_VERSION_OFFSET,
    ROW_INLINE_TEXT_OFFSET, ROW_PRESENT_OFFSET, ROW_SLOTS_OFFSET, SCORED_COUNT_OFFSET, SLOT_LEN, TAIL_USED_OFFSET,
    UNSEEN_COUNT_OFFSET,
};
use crate::schema::{CandidateStatus, MAX_VALUES_PER_FIELD, Offsets, RequestLayout};

/// A request block whose address, version and tail were checked.
pub(super) struct Block<'a> {
    words: &'a [AtomicU64],
    offsets: Offsets,
    tail: *const u8,
    tail_used_bytes: usize,
}

/// A row of a block.
#[derive(Clone, Copy)]
pub(super) struct RowView<'a> {
    block: &'a Block<'a>,
    words: &'a [AtomicU64],
    present: u64,
    inline_text: u64,
}

/// What a row holds of a field that has at most one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Single {
    Value(u64),
    Missing,
    InvalidNumber,
}

const WORD: usize = size_of::<u64>();

impl<'a> Block<'a> {
    /// # Safety
    ///
    /// `address` is null, or points to memory that can be read and written for the layout's length for as long as `'a`.
    pub(super) unsafe fn new(address: *mut u8, layout: &RequestLayout) -> Result<Self, Error> {
        if address.is_null() {
            return Err(Error::NullArgument { argument: "request block" });
        }
        if !address.addr().is_multiple_of(WORD) {
            return Err(Error::Misaligned { address: address.addr() });
        }
        let offsets = layout.offsets();
        // SAFETY: not null, aligned to 8, and the caller promises `len_bytes` readable and writable bytes. Atomics may be
        // shared with whoever else writes them.
        let words = unsafe { std::slice::from_raw_parts(address.cast::<AtomicU64>(), offsets.len_bytes / WORD) };
        // SAFETY: the tail begins inside the block, or at its very end where it is empty.
        let tail = unsafe { address.add(offsets.tail_offset) };
        let mut block = Self { words, offsets, tail, tail_used_bytes: 0 };
        let version = block.header_u32(LAYOUT_VERSION_OFFSET);
        if version != LAYOUT_VERSION {
            return Err(Error::LayoutVersion { expected: LAYOUT_VERSION, found: version });
        }
        let tail_used = block.header_u32(TAIL_USED_OFFSET) as usize;
        let tail_len = offsets.len_bytes - offsets.tail_offset;
        if tail_used > tail_len {
            return Err(Error::TailFull { expected: tail_len as u64, found: tail_used as u64 });
        }
        block.tail_used_bytes = tail_used;
        Ok(block)
    }

    pub(super) fn context(&'a self) -> RowView<'a> {
        self.row(self.offsets.context_offset, self.offsets.candidates_offset)
    }

    #[inline]
    pub(super) fn candidate(&'a self, index: usize) -> RowView<'a> {
        let start = self.offsets.candidates_offset + index * self.offsets.candidate_stride_bytes;
        self.row(start, start + self.offsets.candidate_stride_bytes)
    }

    #[inline]
    fn row(&'a self, start: usize, end: usize) -> RowView<'a> {
        let words = &self.words[start / WORD..end / WORD];
        RowView {
            block: self,
            words,
            present: load(&words[ROW_PRESENT_OFFSET / WORD]),
            inline_text: load(&words[ROW_INLINE_TEXT_OFFSET / WORD]),
        }
    }

    pub(super) fn write_answer(&self, index: usize, answer: Answer) {
        let at = (self.offsets.answers_offset + index * ANSWER_LEN) / WORD;
        store(&self.words[at], answer.logit.to_bits());
        let high = u64::from(answer.status.number()) << 32;
        store(&self.words[at + 1], high | u64::from(answer.probability.to_bits()));
    }

    pub(super) fn write_counts(&self, generation: u64, counts: Counts) {
        store(&self.words[GENERATION_OFFSET / WORD], generation);
        self.store_pair(SCORED_COUNT_OFFSET, counts.scored_count, counts.refused_count);
        self.store_pair(UNSEEN_COUNT_OFFSET, counts.unseen_count, counts.missing_count);
        let at = INVALID_NUMBER_COUNT_OFFSET / size_of::<u32>();
        self.half(at).store(counts.invalid_number_count.to_le(), Ordering::Relaxed);
    }

    fn store_pair(&self, offset: usize, low: u32, high: u32) {
        store(&self.words[offset / WORD], u64::from(high) << 32 | u64::from(low));
    }

    fn header_u32(&self, offset: usize) -> u32 {
        u32::from_le(self.half(offset / size_of::<u32>()).load(Ordering::Relaxed))
    }

    fn half(&self, index: usize) -> &AtomicU32 {
        assert!(index < HEADER_LEN / size_of::<u32>());
        // SAFETY: inside the header, and half of an aligned, atomically shared word is an aligned, atomically shared half.
        unsafe { &*self.words.as_ptr().cast::<AtomicU32>().add(index) }
    }

    /// The bytes of a text in the part of the tail that is in use.
    #[inline]
    fn text(&self, reference: u64) -> Result<&'a [u8], RowProblem> {
        let (offset, len) = unpack(reference);
        if offset.checked_add(len).is_none_or(|end| end > self.tail_used_bytes) {
            return Err(RowProblem::OutsideTail);
        }
        // SAFETY: inside the tail, which is inside the block, by the check above.
        let text = unsafe { std::slice::from_raw_parts(self.tail.add(offset), len) };
        // Nearly every category is ASCII, which needs no further look.
        if !text.is_ascii() && std::str::from_utf8(text).is_err() {
            return Err(RowProblem::NotUtf8);
        }
        Ok(text)
    }

    /// The values of a `many` field in the part of the tail that is in use.
    #[inline]
    fn list(&self, reference: u64) -> Result<&'a [AtomicU64], RowProblem> {
        let (offset, count) = unpack(reference);
        if count > MAX_VALUES_PER_FIELD {
            return Err(RowProblem::TooManyValues);
        }
        let end = offset.checked_add(count * SLOT_LEN);
        if !offset.is_multiple_of(SLOT_LEN) || end.is_none_or(|end| end > self.tail_used_bytes) {
            return Err(RowProblem::OutsideTail);
        }
        let start = (self.offsets.tail_offset + offset) / WORD;
        Ok(&self.words[start..start + count])
    }
}

impl<'a> RowView<'a> {
    /// The value of a field that has at most one.
    #[inline]
    pub(super) fn single(&self, field: &PlannedField) -> Result<Single, RowProblem> {
        if self.present >> field.slot & 1 == 0 {
            return Ok(Single::Missing);
        }
        let slot = load(&self.words[ROW_SLOTS_OFFSET / WORD + field.slot]);
        Ok(match &field.reading {
            Reading::Id => Single::Value(id_value(slot.cast_signed())),
            Reading::Text if self.inline_text >> field.slot & 1 == 0 => Single::Value(slot),
            Reading::Text => Single::Value(text_value(self.block.text(slot)?)),
            Reading::Number { range, buckets } => {
                buckets.index(*range, f64::from_bits(slot)).map_or(Single::InvalidNumber, Single::Value)
            }
        })
    }

    /// Calls `each` with every value of a `many` field in turn, and says whether the field is present. On a problem, values
    /// before it have been passed already.
    #[inline]
    pub(super) fn each_of_many(&self, field: &PlannedField, mut each: impl FnMut(u64)) -> Result<bool, RowProblem> {
        let Some(list) = self.many(field)? else { return Ok(false) };
        let by_bytes = self.is_by_bytes(field);
        for value in list {
            let value = load(value);
            each(if by_bytes { text_value(self.block.text(value)?) } else { value });
        }
        Ok(true)
    }

    /// Whether a `many` field is present, once all of it was found readable. Hashes nothing.
    #[inline]
    pub(super) fn check_many(&self, field: &PlannedField) -> Result<bool, RowProblem> {
        let Some(list) = self.many(field)? else { return Ok(false) };
        if self.is_by_bytes(field) {
            for value in list {
                self.block.text(load(value))?;
            }
        }
        Ok(true)
    }

    #[inline]
    fn many(&self, field: &PlannedField) -> Result<Option<&'a [AtomicU64]>, RowProblem> {
        if self.present >> field.slot & 1 == 0 {
            return Ok(None);
        }
        self.block.list(load(&self.words[ROW_SLOTS_OFFSET / WORD + field.slot])).map(Some)
    }

    #[inline]
    fn is_by_bytes(&self, field: &PlannedField) -> bool {
        matches!(field.reading, Reading::Text) && self.inline_text >> field.slot & 1 == 1
    }
}

impl Answer {
    /// The answer of a candidate whose row cannot be read.
    pub(super) const fn refused(problem: RowProblem) -> Self {
        Self { logit: f64::NAN, probability: f32::NAN, status: CandidateStatus::Refused(problem) }
    }
}

#[inline]
fn load(word: &AtomicU64) -> u64 {
    u64::from_le(word.load(Ordering::Relaxed))
}

#[inline]
fn store(word: &AtomicU64, value: u64) {
    word.store(value.to_le(), Ordering::Relaxed);
}

/// Of two u32 in a word, the lower and the higher.
#[inline]
const fn unpack(word: u64) -> (usize, usize) {
    ((word & 0xffff_ffff) as usize, (word >> 32) as usize)
}
