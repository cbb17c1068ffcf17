//! Reads and writes a request block, whose bytes another program filled. Every word is read once, checked, and only
//! then used.
//!
//! The words are read as relaxed atomics, which are as fast as plain loads. If a careless caller writes the block while
//! it is scored, the answers are meaningless, but the values that were checked are the ones that are used. Texts may
//! begin at any byte; [`super::text`] reads them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::counts::RequestCounts;
use super::plan::{PlannedField, Reading};
use super::request::Answer;
use super::text::SharedText;
use crate::error::{Code, Error, RowPlace, RowProblem};
use crate::feature::id_value;
use crate::request::layout::{
    ANSWER_LEN, ANSWERED_BY_FALLBACK, ANSWERED_COUNT_OFFSET, ARM_OFFSET, BUCKET_OFFSET, FILLED_COUNT_OFFSET,
    GAP_COUNT_OFFSET, GAP_INDEX, GAP_INLINE_TEXT, GENERATION_OFFSET, HEADER_LEN, INDEX_LEN, IS_ANSWERED_OFFSET,
    LATE_COUNT_OFFSET, LAYOUT_VERSION, LAYOUT_VERSION_OFFSET, MISSING_COUNT_OFFSET, OUTCOME_LEN, REFERENCE_LEN_BITS,
    REFUSAL_OFFSET, REFUSED_FIELD_OFFSET, REFUSED_IN_CONTEXT, REFUSED_ROW_OFFSET, REFUSED_ROW_TYPE_OFFSET,
    ROW_INLINE_TEXT_OFFSET, ROW_PRESENT_OFFSET, ROW_SLOTS_OFFSET, SCORED_COUNT_OFFSET, SLOT_LEN, TAIL_USED_OFFSET,
};
use crate::request::{CandidateStatus, MAX_VALUES_PER_FIELD, Offsets, RequestLayout};

/// A request block whose address, version, tail and numbers of candidates have been checked.
pub(super) struct Block<'a> {
    words: &'a [AtomicU64],
    offsets: Offsets,
    tail: Tail<'a>,
    filled_count: usize,
    has_gaps: bool,
}

/// The part of a tail that is in use: texts, and values of `many` fields.
#[derive(Clone, Copy)]
pub(super) struct Tail<'a> {
    words: &'a [AtomicU64],
    used_bytes: usize,
}

/// A row of a block, or of a candidate set.
#[derive(Clone, Copy)]
pub(super) struct RowView<'a> {
    words: &'a [AtomicU64],
    tail: Tail<'a>,
    present: u64,
    inline_text: u64,
}

/// The value of a field that has at most one value in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Single {
    Value(u64),
    Missing,
    InvalidNumber,
}

const WORD: usize = size_of::<u64>();

/// The bits of a length in a reference to the tail.
const LEN_MASK: usize = (1 << REFERENCE_LEN_BITS) - 1;

impl<'a> Block<'a> {
    /// # Safety
    ///
    /// `address` is null, or points to memory that can be read and written for the layout's length during `'a`.
    pub(super) unsafe fn new(address: *mut u8, layout: &RequestLayout) -> Result<Self, Error> {
        if address.is_null() {
            return Err(Error::NullArgument { argument: "request block" });
        }
        if !address.addr().is_multiple_of(WORD) {
            return Err(Error::Misaligned { address: address.addr() });
        }
        let offsets = layout.offsets();
        // SAFETY: the address is not null and aligned to 8, and the caller promises `len_bytes` readable and writable
        // bytes. Other writers may share atomics.
        let words = unsafe { std::slice::from_raw_parts(address.cast::<AtomicU64>(), offsets.len_bytes / WORD) };
        let (front, tail) = words.split_at(offsets.tail_offset / WORD);
        let (version, tail_used) = halves(load(&front[LAYOUT_VERSION_OFFSET / WORD]));
        if version != LAYOUT_VERSION {
            return Err(Error::LayoutVersion { expected: LAYOUT_VERSION, found: version });
        }
        let tail = Tail::new(tail, tail_used as usize)?;
        let (filled_count, gap_count) = halves(load(&front[FILLED_COUNT_OFFSET / WORD]));
        let capacity = layout.capacity().candidates;
        if filled_count as usize > capacity {
            return Err(Error::TooManyCandidates { expected: capacity as u64, found: filled_count.into() });
        }
        if halves(load(&front[REFUSAL_OFFSET / WORD])).0 != 0 {
            return Err(refusal(front, layout));
        }
        Ok(Self { words: front, offsets, tail, filled_count: filled_count as usize, has_gaps: gap_count != 0 })
    }

    /// Returns the number of candidates that the request has begun. The last of them is filled; others may be gaps.
    pub(super) const fn filled_count(&self) -> usize {
        self.filled_count
    }

    /// Returns whether some of the candidates that the request has begun are gaps.
    pub(super) const fn has_gaps(&self) -> bool {
        self.has_gaps
    }

    /// Notes that each of the first `count` candidates has an answer.
    pub(super) fn note_answers(&self, count: usize) {
        store(&self.words[IS_ANSWERED_OFFSET / WORD], 1 | (count as u64) << 32);
    }

    /// Notes that a fallback file gave the answers.
    fn note_fallback(&self) {
        let count = self.answered_count() as u64;
        store(&self.words[IS_ANSWERED_OFFSET / WORD], u64::from(ANSWERED_BY_FALLBACK) | count << 32);
    }

    pub(super) fn context(&self) -> RowView<'a> {
        self.row(self.offsets.context_offset, self.offsets.candidates_offset)
    }

    /// Returns row `index` of a block with inline candidates.
    #[inline]
    pub(super) fn candidate(&self, index: usize) -> RowView<'a> {
        let start = self.offsets.candidates_offset + index * self.offsets.candidate_stride_bytes;
        self.row(start, start + self.offsets.candidate_stride_bytes)
    }

    /// Returns the words of `count` rows from `first` on, and the number of words in each row. For a block with inline
    /// candidates.
    #[inline]
    pub(super) fn candidate_words(&self, first: usize, count: usize) -> (&'a [AtomicU64], usize) {
        let stride = self.offsets.candidate_stride_bytes / WORD;
        let start = self.offsets.candidates_offset / WORD + first * stride;
        (&self.words[start..start + count * stride], stride)
    }

    /// Returns the indices of `count` candidates from `first` on. For a block with prepared candidates.
    #[inline]
    pub(super) fn candidate_indices(&self, first: usize, count: usize) -> &'a [AtomicU32] {
        const _: () = assert!(INDEX_LEN == size_of::<AtomicU32>());
        let start = self.offsets.candidates_offset + first * INDEX_LEN;
        assert!(start + count * INDEX_LEN <= self.offsets.results_offset);
        // SAFETY: the range is inside the block by the assertion; the start is a multiple of 4; and half of an
        // atomically shared word is an atomically shared half-word.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast::<AtomicU32>().add(start / INDEX_LEN), count) }
    }

    /// Returns why there is no candidate at `index` of a block with prepared candidates: it was not named, or the set
    /// has none at the index that was named.
    pub(super) fn problem_of_name(&self, index: usize) -> RowProblem {
        let is_named = index < self.filled_count && self.name(index) != GAP_INDEX;
        if is_named { RowProblem::NoCandidate } else { RowProblem::NotFilled }
    }

    /// Returns the index in the set of candidate `index` of a block with prepared candidates.
    pub(super) fn name(&self, index: usize) -> u32 {
        u32::from_le(self.candidate_indices(index, 1)[0].load(Ordering::Relaxed))
    }

    pub(super) const fn tail(&self) -> Tail<'a> {
        self.tail
    }

    /// Returns the words of the block before its tail.
    pub(super) const fn words(&self) -> &'a [AtomicU64] {
        self.words
    }

    /// Returns whether the last predict gave answers.
    pub(super) fn is_answered(&self) -> bool {
        halves(load(&self.words[IS_ANSWERED_OFFSET / WORD])).0 != 0
    }

    /// Returns whether a fallback file gave the answers.
    pub(super) fn is_answered_by_fallback(&self) -> bool {
        halves(load(&self.words[IS_ANSWERED_OFFSET / WORD])).0 == ANSWERED_BY_FALLBACK
    }

    /// Returns the number of candidates that have an answer, as the block says.
    pub(super) fn answered_count(&self) -> usize {
        halves(load(&self.words[IS_ANSWERED_OFFSET / WORD])).1 as usize
    }

    /// Returns the words of the outcome of a model.
    pub(super) fn outcome(&self, model: usize) -> &'a [AtomicU64] {
        &self.words[self.result(model)..][..OUTCOME_LEN / WORD]
    }

    #[inline]
    fn row(&self, start: usize, end: usize) -> RowView<'a> {
        RowView::new(&self.words[start / WORD..end / WORD], self.tail)
    }

    /// Returns the words of `count` answers of model `model`, from candidate `first` on. An answer has two words: the
    /// logit, then probability and status.
    #[inline]
    pub(super) fn answers(&self, model: usize, first: usize, count: usize) -> &'a [AtomicU64] {
        let start = self.result(model) + (OUTCOME_LEN + first * ANSWER_LEN) / WORD;
        &self.words[start..start + count * ANSWER_LEN / WORD]
    }

    pub(super) fn write_answer(&self, model: usize, index: usize, answer: Answer) {
        answer.store(self.answers(model, index, 1));
    }

    pub(super) fn write_outcome(&self, model: usize, generation: u64, counts: RequestCounts) {
        let outcome = self.outcome(model);
        let store_pair = |offset: usize, low: u32, high: u32| {
            store(&outcome[offset / WORD], u64::from(high) << 32 | u64::from(low));
        };
        store(&outcome[GENERATION_OFFSET / WORD], generation);
        store_pair(SCORED_COUNT_OFFSET, counts.scored_count, counts.refused_count);
        store_pair(LATE_COUNT_OFFSET, counts.late_count, counts.unseen_count);
        store_pair(MISSING_COUNT_OFFSET, counts.missing_count, counts.invalid_number_count);
    }

    /// Notes which arm of an experiment gave a result: its number plus 1, or 0; and the bucket of the request.
    pub(super) fn write_arm(&self, model: usize, arm: u32, bucket: u32) {
        store(&self.outcome(model)[ARM_OFFSET / WORD], u64::from(bucket) << 32 | u64::from(arm));
    }

    /// Returns what [`write_arm`](Self::write_arm) wrote.
    pub(super) fn arm(&self, model: usize) -> (u32, u32) {
        halves(load(&self.outcome(model)[ARM_OFFSET / WORD]))
    }

    /// Returns the generation that gave a result.
    pub(super) fn generation(&self, model: usize) -> u64 {
        load(&self.outcome(model)[GENERATION_OFFSET / WORD])
    }

    /// Returns the word of the header that says how many candidates have an answer.
    pub(super) fn answered(&self) -> u64 {
        load(&self.words[IS_ANSWERED_OFFSET / WORD])
    }

    /// Restores that word.
    pub(super) fn set_answered(&self, answered: u64) {
        store(&self.words[IS_ANSWERED_OFFSET / WORD], answered);
    }

    /// Returns the index of the first word of a model's result.
    #[inline]
    fn result(&self, model: usize) -> usize {
        (self.offsets.results_offset + model * self.offsets.result_stride_bytes) / WORD
    }

    /// Returns the row of candidate `index`, or why there is none.
    pub(super) fn filled_candidate(&self, index: usize) -> Result<RowView<'a>, RowProblem> {
        if index >= self.filled_count {
            return Err(RowProblem::NotFilled);
        }
        let row = self.candidate(index);
        if self.has_gaps && row.is_gap() { Err(RowProblem::NotFilled) } else { Ok(row) }
    }
}

// Pairs of numbers in the header are read and written as one word.
const _: () = assert!(LAYOUT_VERSION_OFFSET.is_multiple_of(WORD) && TAIL_USED_OFFSET == LAYOUT_VERSION_OFFSET + 4);
const _: () = assert!(FILLED_COUNT_OFFSET.is_multiple_of(WORD) && GAP_COUNT_OFFSET == FILLED_COUNT_OFFSET + 4);
const _: () = assert!(REFUSAL_OFFSET.is_multiple_of(WORD) && REFUSED_ROW_OFFSET == REFUSAL_OFFSET + 4);
const _: () = assert!(REFUSED_FIELD_OFFSET.is_multiple_of(WORD) && REFUSED_ROW_TYPE_OFFSET == REFUSED_FIELD_OFFSET + 4);
const _: () = assert!(ARM_OFFSET.is_multiple_of(WORD) && BUCKET_OFFSET == ARM_OFFSET + 4);
const _: () = assert!(IS_ANSWERED_OFFSET.is_multiple_of(WORD) && ANSWERED_COUNT_OFFSET == IS_ANSWERED_OFFSET + 4);

/// Returns the error for the first refusal that the header of a request remembers.
#[cold]
fn refusal(front: &[AtomicU64], layout: &RequestLayout) -> Error {
    let (number, row) = halves(load(&front[REFUSAL_OFFSET / WORD]));
    let (field, row_type) = halves(load(&front[REFUSED_FIELD_OFFSET / WORD]));
    // A number that no setter writes is a damaged header.
    let code = Code::ALL.iter().copied().find(|&code| code as u32 == number).unwrap_or(Code::InvalidArgument);
    let place = if row == REFUSED_IN_CONTEXT { RowPlace::Context } else { RowPlace::Candidate(row) };
    Error::ValueRefused { what: layout.refused_name(row_type, field, code), place, code }
}

/// Makes a request forget the answers of an earlier call, when this one fails before it reads the block.
///
/// # Safety
///
/// `address` is null or points to `len_bytes` bytes that can be read and written.
pub(crate) unsafe fn forget_answers(address: *mut u8, len_bytes: usize) {
    if !address.is_null() && address.addr().is_multiple_of(WORD) && len_bytes >= HEADER_LEN {
        // SAFETY: the word is inside the header, aligned, and other writers may share atomics.
        store(unsafe { &*address.add(IS_ANSWERED_OFFSET).cast::<AtomicU64>() }, 0);
    }
}

/// Notes in a block that a fallback file gave the answers of the last predict.
///
/// # Errors
///
/// Fails like [`Scorer::predict_block`](super::Scorer::predict_block).
///
/// # Safety
///
/// The promises of [`Scorer::predict_block`](super::Scorer::predict_block).
pub(crate) unsafe fn note_fallback(block: *mut u8, layout: &RequestLayout) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { Block::new(block, layout) }?.note_fallback();
    Ok(())
}

impl<'a> Tail<'a> {
    /// Creates a tail of the first `used_bytes` of `words`.
    pub(super) fn new(words: &'a [AtomicU64], used_bytes: usize) -> Result<Self, Error> {
        let len = size_of_val(words);
        if used_bytes > len {
            return Err(Error::TailFull { expected: len as u64, found: used_bytes as u64 });
        }
        Ok(Self { words, used_bytes })
    }

    /// Returns the text that `reference` points to.
    #[inline(always)]
    pub(super) fn text(&self, reference: u64) -> Result<SharedText<'a>, RowProblem> {
        let (offset, mut len) = unpack(reference);
        if offset.checked_add(len).is_none_or(|end| end > self.used_bytes) {
            len = self.without_class(offset, len)?;
        }
        // SAFETY: the text is inside the tail by the check above.
        Ok(unsafe { SharedText::new(self.words.as_ptr().cast::<u8>().add(offset), len) })
    }

    /// Returns the length of a text in a part of the tail that has more room than it takes, because an earlier value of
    /// the field was there.
    #[cold]
    fn without_class(&self, offset: usize, len: usize) -> Result<usize, RowProblem> {
        let len = len & LEN_MASK;
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= self.used_bytes);
        if is_inside { Ok(len) } else { Err(RowProblem::OutsideTail) }
    }

    /// Returns the number of bytes in use, as it was when the tail was looked at.
    pub(super) const fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Returns all words of the tail.
    pub(super) const fn words(&self) -> &'a [AtomicU64] {
        self.words
    }

    /// Returns the values of a `many` field.
    #[inline]
    pub(super) fn list(&self, reference: u64) -> Result<&'a [AtomicU64], RowProblem> {
        let (offset, count) = unpack(reference);
        let count = count & LEN_MASK;
        if count > MAX_VALUES_PER_FIELD {
            return Err(RowProblem::TooManyValues);
        }
        let end = offset.checked_add(count * SLOT_LEN);
        if !offset.is_multiple_of(SLOT_LEN) || end.is_none_or(|end| end > self.used_bytes) {
            return Err(RowProblem::OutsideTail);
        }
        Ok(&self.words[offset / WORD..][..count])
    }
}

impl<'a> RowView<'a> {
    /// Creates a view of the row in `words`, whose texts and lists are in `tail`.
    #[inline]
    pub(super) fn new(words: &'a [AtomicU64], tail: Tail<'a>) -> Self {
        let word = |offset: usize| load(&words[offset / WORD]);
        Self { words, tail, present: word(ROW_PRESENT_OFFSET), inline_text: word(ROW_INLINE_TEXT_OFFSET) }
    }

    /// Creates a view of the row in `words`, whose first two words have been read before.
    #[inline]
    pub(super) const fn with_head(words: &'a [AtomicU64], tail: Tail<'a>, present: u64, inline_text: u64) -> Self {
        Self { words, tail, present, inline_text }
    }

    /// Returns the words of the row.
    pub(super) const fn words(&self) -> &'a [AtomicU64] {
        self.words
    }

    /// Returns the first two words of the row, as they were when the view was created.
    pub(super) const fn head(&self) -> (u64, u64) {
        (self.present, self.inline_text)
    }

    /// Returns where the texts and lists of the row are.
    pub(super) const fn tail(&self) -> Tail<'a> {
        self.tail
    }

    /// Returns whether the row is a gap: one that was skipped while later ones were filled.
    #[inline]
    pub(super) const fn is_gap(&self) -> bool {
        self.present == 0 && self.inline_text == GAP_INLINE_TEXT
    }

    /// Returns the value of a field, if it is a single id and has a value. This is the fast path for most fields.
    #[inline(always)]
    pub(super) fn id(&self, field: &PlannedField) -> Option<u64> {
        let has_id = matches!(field.reading, Reading::Id) && self.present >> field.slot & 1 == 1;
        has_id.then(|| load(&self.words[ROW_SLOTS_OFFSET / WORD + field.slot]))
    }

    /// Reads the value of a field that has at most one value.
    #[inline]
    pub(super) fn single(&self, field: &PlannedField) -> Result<Single, RowProblem> {
        if self.present >> field.slot & 1 == 0 {
            return Ok(Single::Missing);
        }
        let slot = load(&self.words[ROW_SLOTS_OFFSET / WORD + field.slot]);
        Ok(match &field.reading {
            Reading::Id => Single::Value(id_value(slot.cast_signed())),
            Reading::Text if self.inline_text >> field.slot & 1 == 0 => Single::Value(slot),
            Reading::Text => Single::Value(self.tail.text(slot)?.value()?),
            Reading::Number { range, buckets } => {
                buckets.index(*range, f64::from_bits(slot)).map_or(Single::InvalidNumber, Single::Value)
            }
        })
    }

    /// Calls `each` with every value of a `many` field, and returns whether the field is present. If a value cannot be
    /// read, `each` has already been called with the values before it.
    #[inline]
    pub(super) fn each_of_many(&self, field: &PlannedField, mut each: impl FnMut(u64)) -> Result<bool, RowProblem> {
        if self.present >> field.slot & 1 == 0 {
            return Ok(false);
        }
        let list = self.tail.list(load(&self.words[ROW_SLOTS_OFFSET / WORD + field.slot]))?;
        let by_bytes = matches!(field.reading, Reading::Text) && self.inline_text >> field.slot & 1 == 1;
        for value in list {
            let value = load(value);
            each(if by_bytes { self.tail.text(value)?.value()? } else { value });
        }
        Ok(true)
    }
}

impl Answer {
    /// Creates the answer of a candidate whose row cannot be read.
    pub(super) const fn refused(problem: RowProblem) -> Self {
        Self::without_probability(CandidateStatus::Refused(problem))
    }

    /// Creates the answer of a candidate without a probability.
    pub(super) const fn without_probability(status: CandidateStatus) -> Self {
        Self { logit: f64::NAN, probability: f32::NAN, status }
    }

    /// Writes the two words of an answer.
    #[inline]
    pub(super) fn store(self, words: &[AtomicU64]) {
        store(&words[0], self.logit.to_bits());
        store(&words[1], u64::from(self.status.number()) << 32 | u64::from(self.probability.to_bits()));
    }
}

#[inline]
pub(super) fn load(word: &AtomicU64) -> u64 {
    u64::from_le(word.load(Ordering::Relaxed))
}

#[inline]
pub(super) fn store(word: &AtomicU64, value: u64) {
    word.store(value.to_le(), Ordering::Relaxed);
}

/// Splits a word into its lower and its higher u32.
#[inline]
const fn unpack(word: u64) -> (usize, usize) {
    ((word & 0xffff_ffff) as usize, (word >> 32) as usize)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// Replaces references to texts by the values of the texts. Returns whether all of them could be read. If not, the
/// contents of `slots` are meaningless.
///
/// It is a separate function, so that the values for hashing stay in registers.
#[inline(never)]
pub(super) fn read_text_values(tail: Tail<'_>, slots: &mut [u64]) -> bool {
    for slot in slots {
        let Ok(text) = tail.text(*slot) else { return false };
        *slot = match text.value_of_short_ascii() {
            Some(value) => value,
            None => match text.value_of_any() {
                Ok(value) => value,
                Err(_) => return false,
            },
        };
    }
    true
}
