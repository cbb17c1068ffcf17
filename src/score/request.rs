//! A request block that Rust owns and fills.

use crate::contract::Side;
use crate::error::Error;
use crate::request::layout::{
    ANSWER_LEN, GENERATION_OFFSET, INDEX_LEN, LATE_COUNT_OFFSET, LAYOUT_VERSION, MISSING_COUNT_OFFSET, OUTCOME_LEN,
    ROW_INLINE_TEXT_OFFSET, ROW_PRESENT_OFFSET, ROW_SLOTS_OFFSET, SCORED_COUNT_OFFSET, SLOT_LEN,
};
use crate::request::{
    CandidateStatus, Candidates, FieldSlot, MAX_VALUES_PER_FIELD, RequestLayout, SchemaField, SchemaKind,
};
use crate::request::{FieldValue, RequestRows, Row};

/// A request: one context row, the candidate rows, and after [`Scorer::predict`](super::Scorer::predict) the answers.
/// Create it once and reuse it: filling it does not allocate.
#[derive(Debug, Clone)]
pub struct Request {
    layout: RequestLayout,
    words: Vec<u64>,
    tail_used_bytes: usize,
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

/// The counts of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Candidates with a probability.
    pub scored_count: u32,
    /// Candidates whose row could not be read.
    pub refused_count: u32,
    /// Candidates that were not reached within the time limit.
    pub late_count: u32,
    /// Categories without a weight: those of the context once, plus those of each scored candidate. Crosses are not
    /// counted.
    pub unseen_count: u32,
    /// Fields that the model reads and a row leaves empty: those of the context once, plus those of each scored
    /// candidate.
    pub missing_count: u32,
    /// Numbers out of range or NaN. They also count as missing.
    pub invalid_number_count: u32,
}

/// A row that is being filled. If a field is set twice, the last value counts.
#[derive(Debug)]
pub struct RowMut<'a> {
    request: &'a mut Request,
    side: Side,
    start: usize,
}

const WORD: usize = size_of::<u64>();

impl Request {
    /// Creates an empty request of `layout`.
    #[must_use]
    pub fn new(layout: &RequestLayout) -> Self {
        let mut words = vec![0; layout.offsets().len_bytes / WORD];
        words[0] = u64::from(LAYOUT_VERSION);
        Self { layout: layout.clone(), words, tail_used_bytes: 0 }
    }

    /// Empties the context row and the tail. [`Request::candidate`] empties each candidate row.
    #[inline]
    pub fn clear(&mut self) {
        self.tail_used_bytes = 0;
        self.store_tail_used();
        self.clear_row(self.layout.offsets().context_offset);
    }

    /// Returns the context row with its current values.
    #[inline]
    pub fn context(&mut self) -> RowMut<'_> {
        let start = self.layout.offsets().context_offset;
        RowMut { request: self, side: Side::Context, start }
    }

    /// Empties the row of candidate `index` and returns it.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TooManyCandidates`] if the layout has no such row, and [`Error::InvalidArgument`] if its
    /// candidates are prepared.
    #[inline]
    pub fn candidate(&mut self, index: usize) -> Result<RowMut<'_>, Error> {
        self.check_candidate(index, Candidates::Inline)?;
        let offsets = self.layout.offsets();
        let start = offsets.candidates_offset + index * offsets.candidate_stride_bytes;
        self.clear_row(start);
        Ok(RowMut { request: self, side: Side::Candidate, start })
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
        self.check_candidate(index, Candidates::Prepared)?;
        let at = self.layout.offsets().candidates_offset + index * INDEX_LEN;
        let shift = at % WORD * 8;
        let word = &mut self.words[at / WORD];
        *word = (u64::from_le(*word) & !(0xffff_ffff << shift) | u64::from(index_in_set) << shift).to_le();
        Ok(())
    }

    #[inline]
    fn check_candidate(&self, index: usize, used_as: Candidates) -> Result<(), Error> {
        if index < self.layout.capacity().candidates && self.layout.candidates() == used_as {
            return Ok(());
        }
        self.refuse_candidate(index, used_as)
    }

    #[cold]
    fn refuse_candidate(&self, index: usize, used_as: Candidates) -> Result<(), Error> {
        let capacity = self.layout.capacity().candidates;
        if index >= capacity {
            return Err(Error::TooManyCandidates {
                expected: capacity as u64,
                found: (index as u64).saturating_add(1),
            });
        }
        let problem = match used_as {
            Candidates::Inline => "its layout is for prepared candidates, which have no rows and are named by index",
            Candidates::Prepared => "its layout is for candidates that are rows in the request",
        };
        Err(Error::InvalidArgument { argument: "request", problem: problem.to_owned() })
    }

    /// Returns the context row, or the row of the first candidate, with its current values. A row of a log fills only
    /// these two.
    #[doc(hidden)]
    pub fn row_of(&mut self, side: Side) -> RowMut<'_> {
        let offsets = self.layout.offsets();
        let start = match side {
            Side::Context => offsets.context_offset,
            Side::Candidate => offsets.candidates_offset,
        };
        RowMut { request: self, side, start }
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
    #[must_use]
    pub fn answer(&self, index: usize) -> Answer {
        self.answer_of(0, index)
    }

    /// Returns the answer of model `model` for candidate `index` of the last `predict`.
    ///
    /// # Panics
    ///
    /// If the layout has no such model or candidate.
    #[must_use]
    pub fn answer_of(&self, model: usize, index: usize) -> Answer {
        assert!(index < self.layout.capacity().candidates, "no candidate {index}");
        let at = self.result(model) + (OUTCOME_LEN + index * ANSWER_LEN) / WORD;
        let (probability, status) = halves(self.word(at + 1));
        Answer {
            logit: f64::from_bits(self.word(at)),
            probability: f32::from_bits(probability),
            // Only `predict` writes answers, and it writes only known statuses.
            status: CandidateStatus::from_number(status).unwrap_or(CandidateStatus::Scored),
        }
    }

    /// Returns the answers of the first model for the first `candidate_count` candidates of the last `predict`.
    pub fn answers(&self, candidate_count: usize) -> impl ExactSizeIterator<Item = Answer> + '_ {
        self.answers_of(0, candidate_count)
    }

    /// Returns the answers of model `model` for the first `candidate_count` candidates of the last `predict`.
    pub fn answers_of(&self, model: usize, candidate_count: usize) -> impl ExactSizeIterator<Item = Answer> + '_ {
        (0..candidate_count).map(move |index| self.answer_of(model, index))
    }

    /// Returns the generation of the first model in the last `predict`.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation_of(0)
    }

    /// Returns the generation of model `model` in the last `predict`.
    #[must_use]
    pub fn generation_of(&self, model: usize) -> u64 {
        self.word(self.result(model) + GENERATION_OFFSET / WORD)
    }

    /// Returns the counts of the first model in the last `predict`.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts_of(0)
    }

    /// Returns the counts of model `model` in the last `predict`.
    #[must_use]
    pub fn counts_of(&self, model: usize) -> Counts {
        let pair = |offset: usize| halves(self.word(self.result(model) + offset / WORD));
        let (scored_count, refused_count) = pair(SCORED_COUNT_OFFSET);
        let (late_count, unseen_count) = pair(LATE_COUNT_OFFSET);
        let (missing_count, invalid_number_count) = pair(MISSING_COUNT_OFFSET);
        Counts { scored_count, refused_count, late_count, unseen_count, missing_count, invalid_number_count }
    }

    /// Returns the index of the first word of a model's result.
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

    fn word(&self, index: usize) -> u64 {
        u64::from_le(self.words[index])
    }

    #[inline]
    fn clear_row(&mut self, start: usize) {
        self.words[(start + ROW_PRESENT_OFFSET) / WORD] = 0;
        self.words[(start + ROW_INLINE_TEXT_OFFSET) / WORD] = 0;
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

    #[inline]
    fn put_text(&mut self, text: &str) -> Result<u64, Error> {
        let start = self.take_tail(text.len(), 1)?;
        copy_text(self.tail_bytes_mut(start, text.len()), text.as_bytes());
        Ok(pack(start, text.len()))
    }
}

impl RowMut<'_> {
    /// Sets an `id` field.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side.
    #[inline]
    pub fn set_id(&mut self, field: FieldSlot, id: i64) -> Result<(), Error> {
        self.check(field, false, "an id", |kind| matches!(kind, SchemaKind::Id))?;
        self.store(field, id.cast_unsigned(), false);
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
        self.check(field, false, "a text", |kind| matches!(kind, SchemaKind::Text))?;
        let reference = self.request.put_text(text)?;
        self.store(field, reference, true);
        Ok(())
    }

    /// Sets a `text` field by the value of its text, [`crate::feature::text_value`].
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side.
    #[inline]
    pub fn set_text_value(&mut self, field: FieldSlot, value: u64) -> Result<(), Error> {
        self.check(field, false, "a text", |kind| matches!(kind, SchemaKind::Text))?;
        self.store(field, value, false);
        Ok(())
    }

    /// Sets a `number` field. A number out of the field's range, or NaN, counts as missing when the request is scored.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side.
    #[inline]
    pub fn set_number(&mut self, field: FieldSlot, number: f64) -> Result<(), Error> {
        self.check(field, false, "a number", |kind| matches!(kind, SchemaKind::Number { .. }))?;
        self.store(field, number.to_bits(), false);
        Ok(())
    }

    /// Sets a `many` field of ids.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side, [`Error::TooManyValues`] if there are
    /// more than [`MAX_VALUES_PER_FIELD`] values, and [`Error::TailFull`] if there is no room for them.
    pub fn set_ids(&mut self, field: FieldSlot, ids: &[i64]) -> Result<(), Error> {
        self.check(field, true, "a list of ids", |kind| matches!(kind, SchemaKind::Id))?;
        let reference = self.put_list(field, ids.len(), |index, _| Ok(ids[index].cast_unsigned()))?;
        self.store(field, reference, false);
        Ok(())
    }

    /// Sets a `many` field of texts.
    ///
    /// # Errors
    ///
    /// Returns [`Error::WrongFieldUse`] if the field has another type or side, [`Error::TooManyValues`] if there are
    /// more than [`MAX_VALUES_PER_FIELD`] values, and [`Error::TailFull`] if there is no room for them.
    pub fn set_texts(&mut self, field: FieldSlot, texts: &[impl AsRef<str>]) -> Result<(), Error> {
        self.check(field, true, "a list of texts", |kind| matches!(kind, SchemaKind::Text))?;
        let reference = self.put_list(field, texts.len(), |index, request| request.put_text(texts[index].as_ref()))?;
        self.store(field, reference, true);
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

    fn put_list(
        &mut self,
        field: FieldSlot,
        count: usize,
        mut value: impl FnMut(usize, &mut Request) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        if count > MAX_VALUES_PER_FIELD {
            let field = self.declared(field).map_or_else(String::new, |field| field.name.clone());
            return Err(Error::TooManyValues { field, expected: MAX_VALUES_PER_FIELD as u64, found: count as u64 });
        }
        let start = self.request.take_tail(count * SLOT_LEN, SLOT_LEN)?;
        for index in 0..count {
            let value = value(index, self.request)?;
            self.request.tail_bytes_mut(start + index * SLOT_LEN, SLOT_LEN).copy_from_slice(&value.to_le_bytes());
        }
        Ok(pack(start, count))
    }

    #[inline]
    fn declared(&self, field: FieldSlot) -> Option<&SchemaField> {
        self.request.layout.schema().fields(field.side).get(field.index)
    }

    #[inline]
    fn check(
        &self,
        field: FieldSlot,
        many: bool,
        used: &'static str,
        is_kind: impl Fn(&SchemaKind) -> bool,
    ) -> Result<(), Error> {
        match self.declared(field) {
            Some(declared) if field.side == self.side && declared.many == many && is_kind(&declared.kind) => Ok(()),
            _ => self.refuse(field, used),
        }
    }

    #[cold]
    fn refuse(&self, field: FieldSlot, used: &'static str) -> Result<(), Error> {
        let Some(declared) = self.declared(field) else {
            return Err(Error::UnknownField { field: format!("{} field {}", field.side.word(), field.index) });
        };
        let used = if field.side == self.side { used } else { "a field of the other side" };
        Err(Error::WrongFieldUse { field: declared.name.clone(), declared: describe(declared), used })
    }

    #[inline]
    fn store(&mut self, field: FieldSlot, word: u64, by_bytes: bool) {
        let bit = 1_u64 << field.index;
        let words = &mut self.request.words[self.start / WORD..];
        words[ROW_SLOTS_OFFSET / WORD + field.index] = word.to_le();
        let present = &mut words[ROW_PRESENT_OFFSET / WORD];
        *present |= bit.to_le();
        let inline_text = &mut words[ROW_INLINE_TEXT_OFFSET / WORD];
        *inline_text = if by_bytes { *inline_text | bit.to_le() } else { *inline_text & !bit.to_le() };
    }
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

#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}
