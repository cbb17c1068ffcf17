//! A request block that Rust owns and fills.

use std::ops::Range;

use super::counts::RequestCounts;
use crate::contract::Side;
use crate::error::Error;
use crate::memory::zeroed_words;
use crate::request::layout::{
    ANSWER_LEN, FILLED_COUNT_OFFSET, GAP_INDEX, GAP_INLINE_TEXT, GENERATION_OFFSET, INDEX_LEN, IS_ANSWERED_OFFSET,
    LATE_COUNT_OFFSET, LAYOUT_VERSION, MISSING_COUNT_OFFSET, OUTCOME_LEN, REFERENCE_LEN_BITS, ROW_INLINE_TEXT_OFFSET,
    ROW_PRESENT_OFFSET, ROW_SLOTS_OFFSET, SCORED_COUNT_OFFSET, SLOT_LEN,
};
use crate::request::{
    CandidateStatus, Candidates, FieldSlot, MAX_VALUES_PER_FIELD, RequestLayout, RowType, SchemaField, SchemaKind,
    ValueType,
};
use crate::request::{FieldValue, RequestRows, Row};

/// A request: one context row, the candidate rows, and after [`Scorer::predict`](super::Scorer::predict) the answers.
/// Create it once and reuse it: filling it does not allocate. It knows which candidates it was given since it was
/// cleared: the others have no probability.
#[derive(Debug, Clone)]
pub struct Request {
    layout: RequestLayout,
    words: Vec<u64>,
    tail_used_bytes: usize,
    /// Number of rows of candidates, and of names of prepared candidates. One of them is 0.
    row_capacity: usize,
    name_capacity: usize,
    context_type: RowType,
    candidate_type: RowType,
}

/// The answer for one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// The logit; NaN if the candidate was not scored.
    pub logit: f64,
    /// The probability; NaN if the candidate was not scored.
    pub probability: f32,
    /// Whether the candidate was scored.
    pub status: CandidateStatus,
}

/// A row that is being filled. If a field is set twice, the last value counts.
#[derive(Debug)]
pub struct RowMut<'a> {
    request: &'a mut Request,
    /// The index of its first word.
    start: usize,
    row_type: RowType,
}

/// A part of the tail that belongs to one field of one row.
#[derive(Debug, Clone, Copy)]
struct Room {
    start: usize,
    len: usize,
    /// Its length is `2^class`, or for 0 what the value takes.
    class: u32,
}

const WORD: usize = size_of::<u64>();

/// The first words of a row say which fields it has.
const ROW_HEAD_LEN: usize = ROW_SLOTS_OFFSET / WORD;
const PRESENT: usize = ROW_PRESENT_OFFSET / WORD;
const INLINE_TEXT: usize = ROW_INLINE_TEXT_OFFSET / WORD;
const _: () = assert!(PRESENT < ROW_HEAD_LEN && INLINE_TEXT < ROW_HEAD_LEN);

/// The word of the header with the number of candidates that were begun and, above it, the number of gaps.
const FILLED: usize = FILLED_COUNT_OFFSET / WORD;

impl Request {
    /// Creates an empty request of `layout`. Aborts the process if there is no memory for it: see
    /// [`Request::try_new`].
    #[must_use]
    pub fn new(layout: &RequestLayout) -> Self {
        Self::with_words(layout, vec![0; layout.offsets().len_bytes / WORD])
    }

    /// Creates an empty request of `layout`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::OutOfMemory`].
    pub fn try_new(layout: &RequestLayout) -> Result<Self, Error> {
        Ok(Self::with_words(layout, zeroed_words(layout.offsets().len_bytes / WORD, "a request")?))
    }

    fn with_words(layout: &RequestLayout, mut words: Vec<u64>) -> Self {
        words[0] = u64::from(LAYOUT_VERSION).to_le();
        let (capacity, used_as) = (layout.capacity().candidates, layout.candidates());
        Self {
            layout: layout.clone(),
            words,
            tail_used_bytes: 0,
            row_capacity: if used_as == Candidates::Inline { capacity } else { 0 },
            name_capacity: if used_as == Candidates::Prepared { capacity } else { 0 },
            context_type: layout.schema().row_type(Side::Context),
            candidate_type: layout.schema().row_type(Side::Candidate),
        }
    }

    /// Empties the request: no field is set, no candidate is filled, the tail is empty, and there are no answers. Call
    /// it before each request.
    #[inline]
    pub fn clear(&mut self) {
        self.tail_used_bytes = 0;
        self.store_tail_used();
        self.store_filled(0, 0);
        self.forget_answers();
        self.clear_row(self.layout.offsets().context_offset / WORD);
    }

    /// Returns the number of candidates up to the last one that was filled since the request was cleared.
    #[must_use]
    pub fn filled_count(&self) -> usize {
        self.filled_and_gap_counts().0
    }

    pub(crate) fn forget_answers(&mut self) {
        self.words[IS_ANSWERED_OFFSET / WORD] = 0;
    }

    /// Returns the number of candidates that were begun, each of which is filled or a gap, and the number of gaps.
    #[inline]
    fn filled_and_gap_counts(&self) -> (usize, usize) {
        let (filled_count, gap_count) = halves(self.word(FILLED));
        (filled_count as usize, gap_count as usize)
    }

    #[inline]
    fn store_filled(&mut self, filled_count: usize, gap_count: usize) {
        self.words[FILLED] = pack(filled_count, gap_count).to_le();
    }

    /// Returns the context row with its current values.
    #[inline]
    pub fn context(&mut self) -> RowMut<'_> {
        let (start, row_type) = (self.layout.offsets().context_offset / WORD, self.context_type);
        RowMut { request: self, start, row_type }
    }

    /// Returns the row of candidate `index`, with the values that it was given since the request was cleared. The
    /// candidate counts as filled from now on, even if no field is set. Candidates below it that were never filled are
    /// gaps: their status will be [`RowProblem::NotFilled`](crate::RowProblem::NotFilled).
    ///
    /// # Errors
    ///
    /// Returns [`Error::TooManyCandidates`] if the layout has no such row, and [`Error::InvalidArgument`] if its
    /// candidates are prepared.
    #[inline]
    pub fn candidate(&mut self, index: usize) -> Result<RowMut<'_>, Error> {
        if index >= self.row_capacity {
            return Err(self.refusal(index, Candidates::Inline));
        }
        let start = self.start_of(index);
        let (filled_count, gap_count) = self.filled_and_gap_counts();
        if index == filled_count {
            self.clear_row(start);
            self.store_filled(index + 1, gap_count);
        } else if index > filled_count || gap_count > 0 {
            self.fill_out_of_order(index, start);
        }
        let row_type = self.candidate_type;
        Ok(RowMut { request: self, start, row_type })
    }

    /// Returns the index of the first word of the row of candidate `index`.
    #[inline]
    fn start_of(&self, index: usize) -> usize {
        let offsets = self.layout.offsets();
        (offsets.candidates_offset + index * offsets.candidate_stride_bytes) / WORD
    }

    /// Begins the row of a candidate that does not follow the last one.
    #[cold]
    fn fill_out_of_order(&mut self, index: usize, start: usize) {
        let (filled_count, gap_count) = self.filled_and_gap_counts();
        if index < filled_count {
            let is_gap = self.words[start + PRESENT] == 0 && self.words[start + INLINE_TEXT] == GAP_INLINE_TEXT;
            if is_gap {
                self.clear_row(start);
                self.store_filled(filled_count, gap_count.saturating_sub(1));
            }
            return;
        }
        for gap in filled_count..index {
            let start = self.start_of(gap);
            self.clear_row(start);
            self.words[start + INLINE_TEXT] = GAP_INLINE_TEXT;
        }
        self.clear_row(start);
        self.store_filled(index + 1, gap_count + index - filled_count);
    }

    /// Makes prepared candidate `index_in_set` of the scorer's [`CandidateSet`](super::CandidateSet) the candidate
    /// `index` of this request.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TooManyCandidates`] if the layout has no such candidate, and [`Error::InvalidArgument`] if its
    /// candidates are rows.
    #[inline]
    pub fn set_candidate(&mut self, index: usize, index_in_set: u32) -> Result<(), Error> {
        if index >= self.name_capacity {
            return Err(self.refusal(index, Candidates::Prepared));
        }
        let (filled_count, _) = self.filled_and_gap_counts();
        if index >= filled_count {
            if index > filled_count {
                self.skip_names(filled_count..index);
            }
            self.store_filled(index + 1, 0);
        }
        // No set has an index that large, so this changes no answer.
        self.store_name(index, index_in_set.min(GAP_INDEX - 1));
        Ok(())
    }

    /// Makes these prepared candidates the candidates 0, 1, 2 and so on of this request: does the same as
    /// [`set_candidate`](Self::set_candidate) for each, in less time.
    ///
    /// # Errors
    ///
    /// Fails like [`set_candidate`](Self::set_candidate); then no candidate has changed.
    pub fn set_candidates(&mut self, indices_in_set: &[u32]) -> Result<(), Error> {
        let count = indices_in_set.len();
        if count > self.name_capacity || self.layout.candidates() != Candidates::Prepared {
            return Err(self.refusal(count.saturating_sub(1), Candidates::Prepared));
        }
        for (index, &index_in_set) in indices_in_set.iter().enumerate() {
            self.store_name(index, index_in_set.min(GAP_INDEX - 1));
        }
        if count > self.filled_and_gap_counts().0 {
            self.store_filled(count, 0);
        }
        Ok(())
    }

    #[cold]
    fn skip_names(&mut self, gaps: Range<usize>) {
        gaps.for_each(|gap| self.store_name(gap, GAP_INDEX));
    }

    #[inline]
    fn store_name(&mut self, index: usize, name: u32) {
        let at = self.layout.offsets().candidates_offset + index * INDEX_LEN;
        let shift = at % WORD * 8;
        let word = &mut self.words[at / WORD];
        *word = (u64::from_le(*word) & !(0xffff_ffff << shift) | u64::from(name) << shift).to_le();
    }

    /// Returns why there is no candidate `index` that is used like that.
    #[cold]
    fn refusal(&self, index: usize, used_as: Candidates) -> Error {
        let capacity = self.layout.capacity().candidates;
        if index >= capacity {
            return Error::TooManyCandidates { expected: capacity as u64, found: (index as u64).saturating_add(1) };
        }
        let problem = match used_as {
            Candidates::Inline => "its layout is for prepared candidates, which have no rows and are named by index",
            Candidates::Prepared => "its layout is for candidates that are rows in the request",
        };
        Error::InvalidArgument { argument: "request", problem: problem.to_owned() }
    }

    fn declared(&self, field: FieldSlot) -> Option<&SchemaField> {
        self.layout.schema().fields(field.side()).get(field.index())
    }

    /// Returns why a row of that type does not take a value of a field.
    #[cold]
    fn refusal_of_field(&self, row_type: RowType, field: FieldSlot, used_as: ValueType) -> Error {
        if ![self.context_type, self.candidate_type].contains(&field.row_type) {
            return Error::ForeignSlot;
        }
        let Some(declared) = self.declared(field) else {
            return Error::UnknownField { field: format!("{} field {}", field.side().word(), field.index()) };
        };
        let used = if field.row_type == row_type { used_as.word() } else { "a field of the other side" };
        Error::WrongFieldUse { field: declared.name.clone(), declared: describe(declared), used }
    }

    /// Returns the context row, or the row of the first candidate, with its current values. A row of a log fills only
    /// these two.
    ///
    /// # Errors
    ///
    /// Fails like [`Request::candidate`].
    #[doc(hidden)]
    pub fn row_of(&mut self, side: Side) -> Result<RowMut<'_>, Error> {
        match side {
            Side::Context => Ok(self.context()),
            Side::Candidate => self.candidate(0),
        }
    }

    /// Empties the request and fills it from `rows`, looking up each field by its name. Fields that the schema does not
    /// have are skipped.
    ///
    /// # Errors
    ///
    /// Fails like [`Request::candidate`] and the setters of [`RowMut`].
    pub fn fill(&mut self, rows: &RequestRows) -> Result<(), Error> {
        self.clear();
        self.context().set_all(&rows.context)?;
        for (index, row) in rows.candidates.iter().enumerate() {
            self.candidate(index)?.set_all(row)?;
        }
        Ok(())
    }

    /// Returns the answer of the first model for candidate `index` of the last `predict`.
    ///
    /// # Panics
    ///
    /// If the layout has no such candidate.
    #[inline]
    #[must_use]
    pub fn answer(&self, index: usize) -> Answer {
        self.answer_of(0, index)
    }

    /// Returns the answer of model `model` for candidate `index` of the last `predict`. Its status is
    /// [`CandidateStatus::NotComputed`] if that `predict` failed, or did not ask for the candidate.
    ///
    /// # Panics
    ///
    /// If the layout has no such model or candidate.
    #[inline]
    #[must_use]
    pub fn answer_of(&self, model: usize, index: usize) -> Answer {
        self.answer_in(self.result(model), self.answered_count(), index)
    }

    /// Returns answer `index` of a result that has `answered_count` answers.
    #[inline]
    fn answer_in(&self, result: usize, answered_count: usize, index: usize) -> Answer {
        assert!(index < self.layout.capacity().candidates, "no candidate {index}");
        let at = result + (OUTCOME_LEN + index * ANSWER_LEN) / WORD;
        if index >= answered_count {
            return Answer::without_probability(CandidateStatus::NotComputed);
        }
        let (probability, status) = halves(self.word(at + 1));
        Answer {
            logit: f64::from_bits(self.word(at)),
            probability: f32::from_bits(probability),
            // Only `predict` writes answers, and it writes only known statuses.
            status: CandidateStatus::from_number(status).unwrap_or(CandidateStatus::NotComputed),
        }
    }

    /// Returns the number of candidates that have an answer of the last `predict`: 0 after one that failed.
    #[inline]
    #[must_use]
    pub fn answered_count(&self) -> usize {
        halves(self.word(IS_ANSWERED_OFFSET / WORD)).1 as usize
    }

    /// Returns whether the last `predict` gave answers, maybe for no candidate at all.
    fn is_answered(&self) -> bool {
        halves(self.word(IS_ANSWERED_OFFSET / WORD)).0 != 0
    }

    /// Returns the answers of the first model for the first `candidate_count` candidates of the last `predict`. Reading
    /// the answer of a candidate that the layout does not have panics.
    #[inline]
    pub fn answers(&self, candidate_count: usize) -> impl ExactSizeIterator<Item = Answer> + '_ {
        self.answers_of(0, candidate_count)
    }

    /// Returns the answers of model `model` for the first `candidate_count` candidates of the last `predict`. Reading
    /// the answer of a candidate that the layout does not have panics.
    ///
    /// # Panics
    ///
    /// If the layout has no such model.
    #[inline]
    pub fn answers_of(&self, model: usize, candidate_count: usize) -> impl ExactSizeIterator<Item = Answer> + '_ {
        let (result, answered_count) = (self.result(model), self.answered_count());
        (0..candidate_count).map(move |index| self.answer_in(result, answered_count, index))
    }

    /// Returns the generation of the first model in the last `predict`.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation_of(0)
    }

    /// Returns the generation of model `model` in the last `predict`, or 0 after one that failed.
    #[must_use]
    pub fn generation_of(&self, model: usize) -> u64 {
        let at = self.result(model) + GENERATION_OFFSET / WORD;
        if self.is_answered() { self.word(at) } else { 0 }
    }

    /// Returns the counts of the first model in the last `predict`.
    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        self.counts_of(0)
    }

    /// Returns the counts of model `model` in the last `predict`, all 0 after one that failed.
    #[must_use]
    pub fn counts_of(&self, model: usize) -> RequestCounts {
        if !self.is_answered() {
            return RequestCounts::default();
        }
        let pair = |offset: usize| halves(self.word(self.result(model) + offset / WORD));
        let (scored_count, refused_count) = pair(SCORED_COUNT_OFFSET);
        let (late_count, unseen_count) = pair(LATE_COUNT_OFFSET);
        let (missing_count, invalid_number_count) = pair(MISSING_COUNT_OFFSET);
        RequestCounts { scored_count, refused_count, late_count, unseen_count, missing_count, invalid_number_count }
    }

    /// Returns the index of the first word of a model's result.
    #[inline]
    fn result(&self, model: usize) -> usize {
        assert!(model < self.layout.model_count(), "no model {model}");
        let offsets = self.layout.offsets();
        (offsets.results_offset + model * offsets.result_stride_bytes) / WORD
    }

    /// Returns the layout.
    #[must_use]
    pub const fn layout(&self) -> &RequestLayout {
        &self.layout
    }

    /// Returns the address of the block, for calls that take raw memory.
    pub fn block_address(&mut self) -> *mut u8 {
        self.words.as_mut_ptr().cast()
    }

    pub(crate) fn check_layout(&self, layout: &RequestLayout) -> Result<(), Error> {
        let same = self.layout.offsets() == layout.offsets()
            && self.layout.candidates() == layout.candidates()
            && (std::ptr::eq(self.layout.schema(), layout.schema()) || self.layout.schema() == layout.schema());
        if !same {
            let problem = "it was created for another layout; create it from the layout of the scorer or candidate set";
            return Err(Error::InvalidArgument { argument: "request", problem: problem.to_owned() });
        }
        Ok(())
    }

    #[inline]
    fn word(&self, index: usize) -> u64 {
        u64::from_le(self.words[index])
    }

    #[inline]
    fn clear_row(&mut self, start: usize) {
        self.words[start..start + ROW_HEAD_LEN].fill(0);
    }

    #[inline]
    fn store_tail_used(&mut self) {
        self.words[0] = (u64::from(LAYOUT_VERSION) | (self.tail_used_bytes as u64) << 32).to_le();
    }

    /// Reserves `len` bytes of the tail, at a multiple of `alignment`, and returns where they start.
    #[inline]
    fn take_tail(&mut self, len: usize, alignment: usize) -> Result<usize, Error> {
        let start = self.tail_used_bytes.next_multiple_of(alignment);
        let capacity = self.layout.capacity().tail_len_bytes;
        let end = start.saturating_add(len);
        if end > capacity {
            return Err(Error::TailFull { expected: capacity as u64, found: end as u64 });
        }
        self.tail_used_bytes = end;
        self.store_tail_used();
        Ok(start)
    }

    #[inline]
    fn tail_bytes_mut(&mut self, start: usize, len: usize) -> &mut [u8] {
        let at = self.layout.offsets().tail_offset + start;
        let block_len = self.words.len() * WORD;
        assert!(at + len <= block_len);
        // SAFETY: the range is inside the block by the assertion; bytes need no alignment, and every bit pattern is a
        // valid u64.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast::<u8>().add(at), len) }
    }

    /// Writes value `index` of the list at `start`.
    fn put_listed(&mut self, start: usize, index: usize, value: u64) {
        self.tail_bytes_mut(start + index * SLOT_LEN, SLOT_LEN).copy_from_slice(&value.to_le_bytes());
    }

    #[inline]
    fn put_text_at(&mut self, start: usize, text: &str) -> u64 {
        copy_text(self.tail_bytes_mut(start, text.len()), text.as_bytes());
        pack(start, text.len())
    }

    /// Reserves `len` bytes of the tail for a value that replaces the one in `old`: in its place if there is room, and
    /// else with room to spare, so that setting a field again and again does not fill the tail.
    #[cold]
    fn take_tail_again(&mut self, old: Room, len: usize, alignment: usize) -> Result<Room, Error> {
        let used_before = self.tail_used_bytes;
        let is_last = old.start + old.len == used_before;
        if is_last && old.class == 0 {
            self.tail_used_bytes = old.start;
            let start = self.take_tail(len, alignment).inspect_err(|_| self.tail_used_bytes = used_before)?;
            return Ok(Room { start, len, class: 0 });
        }
        if len <= old.len {
            // The largest class that the old value has room for.
            let class = match old.class {
                // Nothing is spared, or there is nothing to spare.
                0 if len == old.len || old.len == 0 => 0,
                0 => Some(old.len.ilog2()).filter(|class| len <= 1 << class).unwrap_or(0),
                class => class,
            };
            return Ok(Room { class, ..old });
        }
        let class = len.next_power_of_two().ilog2();
        match self.take_tail(1 << class, alignment) {
            Ok(start) => Ok(Room { start, len: 1 << class, class }),
            Err(_) => Ok(Room { start: self.take_tail(len, alignment)?, len, class: 0 }),
        }
    }
}

impl RowMut<'_> {
    /// Makes all fields of the row missing again. The candidate still counts as filled.
    pub fn clear(&mut self) {
        self.request.clear_row(self.start);
    }

    /// Sets an `id` field.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side.
    #[inline]
    pub fn set_id(&mut self, field: FieldSlot, id: i64) -> Result<(), Error> {
        self.check(field, ValueType::Id)?;
        self.store(field, id.cast_unsigned());
        Ok(())
    }

    /// Sets a `text` field by its text.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side, and [`Error::TailFull`] if there is no
    /// room for the text.
    #[inline]
    pub fn set_text(&mut self, field: FieldSlot, text: &str) -> Result<(), Error> {
        self.check(field, ValueType::Text)?;
        let start = self.request.tail_used_bytes;
        // No text is so long that this overflows.
        let end = start + text.len();
        let has_room = end <= self.request.layout.capacity().tail_len_bytes;
        let (head, slots) = self.request.words[self.start..].split_at_mut(ROW_HEAD_LEN);
        let bit = bit_of(field);
        if head[INLINE_TEXT] & bit != 0 || !has_room {
            return self.again().set_text_again(field, text);
        }
        slots[field.index()] = pack(start, text.len()).to_le();
        head[PRESENT] |= bit;
        head[INLINE_TEXT] |= bit;
        self.request.tail_used_bytes = end;
        self.request.store_tail_used();
        self.request.put_text_at(start, text);
        Ok(())
    }

    /// Returns this row for a call that is not inlined. If `self` were passed, the compiler would keep it in memory and
    /// read it again after each store.
    #[inline]
    const fn again(&mut self) -> RowMut<'_> {
        RowMut { request: &mut *self.request, start: self.start, row_type: self.row_type }
    }

    /// Sets a text in place of an earlier one, or where there may be no room.
    #[cold]
    fn set_text_again(mut self, field: FieldSlot, text: &str) -> Result<(), Error> {
        let old = self.word_in_tail(field, true).and_then(|old| self.text_at(old));
        let room = self.take_again(old, text.len(), 1)?;
        let reference = self.request.put_text_at(room.start, text) | class_bits(room);
        self.store_of_text(field, reference, true);
        Ok(())
    }

    /// Sets a `text` field by the value of its text, [`crate::feature::text_value`].
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side.
    #[inline]
    pub fn set_text_value(&mut self, field: FieldSlot, value: u64) -> Result<(), Error> {
        self.check(field, ValueType::Text)?;
        self.store_of_text(field, value, false);
        Ok(())
    }

    /// Sets a `number` field. A number out of the field's range, or NaN, counts as missing when the request is scored.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side.
    #[inline]
    pub fn set_number(&mut self, field: FieldSlot, number: f64) -> Result<(), Error> {
        self.check(field, ValueType::Number)?;
        self.store(field, number.to_bits());
        Ok(())
    }

    /// Sets a `many` field of ids.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side, [`Error::TooManyValues`] if there are
    /// more than [`MAX_VALUES_PER_FIELD`] values, and [`Error::TailFull`] if there is no room for them.
    pub fn set_ids(&mut self, field: FieldSlot, ids: &[i64]) -> Result<(), Error> {
        self.check(field, ValueType::Ids)?;
        let room = self.take_list(field, ids.len(), 0)?;
        for (index, id) in ids.iter().enumerate() {
            self.request.put_listed(room.start, index, id.cast_unsigned());
        }
        self.store(field, pack(room.start, ids.len()) | class_bits(room));
        Ok(())
    }

    /// Sets a `many` field of texts.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side, [`Error::TooManyValues`] if there are
    /// more than [`MAX_VALUES_PER_FIELD`] values, and [`Error::TailFull`] if there is no room for them.
    pub fn set_texts(&mut self, field: FieldSlot, texts: &[impl AsRef<str>]) -> Result<(), Error> {
        self.check(field, ValueType::Texts)?;
        let texts_len = texts.iter().fold(0, |len: usize, text| len.saturating_add(text.as_ref().len()));
        let room = self.take_list(field, texts.len(), texts_len)?;
        let mut end = room.start + texts.len() * SLOT_LEN;
        for (index, text) in texts.iter().enumerate() {
            let reference = self.request.put_text_at(end, text.as_ref());
            end += text.as_ref().len();
            self.request.put_listed(room.start, index, reference);
        }
        self.store_of_text(field, pack(room.start, texts.len()) | class_bits(room), true);
        Ok(())
    }

    /// Sets a `many` field of texts by the values of the texts, [`crate::feature::text_value`].
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side, [`Error::TooManyValues`] if there are
    /// more than [`MAX_VALUES_PER_FIELD`] values, and [`Error::TailFull`] if there is no room for them.
    pub fn set_text_values(&mut self, field: FieldSlot, values: &[u64]) -> Result<(), Error> {
        self.check(field, ValueType::Texts)?;
        let room = self.take_list(field, values.len(), 0)?;
        for (index, &value) in values.iter().enumerate() {
            self.request.put_listed(room.start, index, value);
        }
        self.store_of_text(field, pack(room.start, values.len()) | class_bits(room), false);
        Ok(())
    }

    /// Sets every field of `row` that the schema has on this side.
    ///
    /// # Errors
    ///
    /// Fails like the setters of the fields.
    pub fn set_all(&mut self, row: &Row) -> Result<(), Error> {
        for (name, value) in row {
            let Some(field) = self.request.layout.schema().slot(name) else { continue };
            match value {
                FieldValue::Id(id) => self.set_id(field, *id)?,
                FieldValue::Text(text) => self.set_text(field, text)?,
                FieldValue::Number(number) => self.set_number(field, *number)?,
                FieldValue::Ids(ids) => self.set_ids(field, ids)?,
                FieldValue::Texts(texts) => self.set_texts(field, texts)?,
            }
        }
        Ok(())
    }

    /// Reserves room in the tail for a list of `count` values and, behind it, for `texts_len` bytes of texts.
    fn take_list(&mut self, field: FieldSlot, count: usize, texts_len: usize) -> Result<Room, Error> {
        if count > MAX_VALUES_PER_FIELD {
            let field = self.request.declared(field).map_or_else(String::new, |field| field.name.clone());
            return Err(Error::TooManyValues { field, expected: MAX_VALUES_PER_FIELD as u64, found: count as u64 });
        }
        let len = (count * SLOT_LEN).saturating_add(texts_len);
        let old = self.word_in_tail(field, false).and_then(|old| self.list_at(field, old));
        self.take_again(old, len, SLOT_LEN)
    }

    fn take_again(&mut self, old: Option<Room>, len: usize, alignment: usize) -> Result<Room, Error> {
        match old {
            Some(old) => self.request.take_tail_again(old, len, alignment),
            None => Ok(Room { start: self.request.take_tail(len, alignment)?, len, class: 0 }),
        }
    }

    /// Returns the word of a field that has a value in the tail since the request was cleared. With `by_bytes`, only if
    /// the value is a text.
    #[inline]
    fn word_in_tail(&self, field: FieldSlot, by_bytes: bool) -> Option<u64> {
        let (head, slots) = self.request.words[self.start..].split_at(ROW_HEAD_LEN);
        let bits = if by_bytes { head[PRESENT] & head[INLINE_TEXT] } else { head[PRESENT] };
        (bits & bit_of(field) != 0).then(|| u64::from_le(slots[field.index()]))
    }

    /// Returns the room of a text, or nothing if `reference` was written by hand and is wrong.
    fn text_at(&self, reference: u64) -> Option<Room> {
        let (start, len, class) = unpack(reference);
        self.room(start, len, class)
    }

    /// Returns the room of a list and of its texts, which follow it, or nothing if a reference is wrong.
    fn list_at(&self, field: FieldSlot, reference: u64) -> Option<Room> {
        let (start, count, class) = unpack(reference);
        let mut room = self.room(start, count * SLOT_LEN, class)?;
        if !start.is_multiple_of(SLOT_LEN) {
            return None;
        }
        if class == 0 && self.word_in_tail(field, true).is_some() {
            let first = (self.request.layout.offsets().tail_offset + start) / WORD;
            for &reference in &self.request.words[first..first + count] {
                let text = self.text_at(u64::from_le(reference))?;
                room.len = room.len.max((text.start + text.len).checked_sub(start)?);
            }
        }
        Some(room)
    }

    fn room(&self, start: usize, len: usize, class: u32) -> Option<Room> {
        let len = if class == 0 { len } else { 1 << class };
        (start + len <= self.request.tail_used_bytes).then_some(Room { start, len, class })
    }

    #[inline]
    fn check(&self, field: FieldSlot, used_as: ValueType) -> Result<(), Error> {
        if field.row_type == self.row_type && field.value_type == used_as {
            return Ok(());
        }
        Err(self.request.refusal_of_field(self.row_type, field, used_as))
    }

    /// Stores a value that is not a text, and has no bit in the head for that.
    #[inline]
    fn store(&mut self, field: FieldSlot, word: u64) {
        let (head, slots) = self.request.words[self.start..].split_at_mut(ROW_HEAD_LEN);
        slots[field.index()] = word.to_le();
        head[PRESENT] |= bit_of(field);
    }

    /// Stores the value of a text, or a reference to its bytes.
    #[inline]
    fn store_of_text(&mut self, field: FieldSlot, word: u64, by_bytes: bool) {
        self.store(field, word);
        let (bit, inline_text) = (bit_of(field), &mut self.request.words[self.start + INLINE_TEXT]);
        *inline_text = if by_bytes { *inline_text | bit } else { *inline_text & !bit };
    }
}

/// Returns the bit of a field in the words of a row's head.
#[inline]
const fn bit_of(field: FieldSlot) -> u64 {
    (1_u64 << field.index()).to_le()
}

/// Copies a text to a slice of the same length. Nearly every text is at most two words long, and a call of `memcpy`
/// takes longer than copying these.
#[inline]
fn copy_text(to: &mut [u8], from: &[u8]) {
    match from.len() {
        8..=16 => copy_ends::<8>(to, from),
        4..=7 => copy_ends::<4>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Copies `N` to `2 * N` bytes by copying the first and the last `N` bytes, which may overlap.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        to[..N].copy_from_slice(first);
        let start = to.len() - N;
        to[start..].copy_from_slice(last);
    }
}

fn describe(field: &SchemaField) -> String {
    let many = if field.many { "many " } else { "" };
    let kind = match &field.kind {
        SchemaKind::Id => "id",
        SchemaKind::Text => "text",
        SchemaKind::Number { .. } => "number",
    };
    format!("a {} field of type {many}{kind}", field.side.word())
}

/// Packs two u32 into a word, the lower one first. Lengths of a request's tail are below 2^32.
const fn pack(low: usize, high: usize) -> u64 {
    low as u64 | (high as u64) << 32
}

/// Unpacks a reference to the tail: its start, its length or number of values, and its room class.
const fn unpack(reference: u64) -> (usize, usize, u32) {
    let (start, len) = halves(reference);
    (start as usize, (len & !(u32::MAX << REFERENCE_LEN_BITS)) as usize, len >> REFERENCE_LEN_BITS)
}

/// Returns the room class as a part of a reference.
const fn class_bits(room: Room) -> u64 {
    (room.class as u64) << (u32::BITS + REFERENCE_LEN_BITS)
}

#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}
