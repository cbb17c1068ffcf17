//! Copies of requests, for a log. A request thread copies one candidate's rows, or the whole request, into memory that
//! it was given: it allocates nothing and checks each reference before it follows it. Another thread reads the copy.
//!
//! A copy of rows is a list of words: the context row, the candidate's row, and what they have in the tail. A reference
//! is the offset in bytes from the start of the copy, and the length or the number of values.

use std::sync::atomic::{AtomicU64, Ordering};

use super::block::{Block, RowView, Tail, load};
use super::row_scorer::Reader;
use super::{Armed, CandidateSet, Explanation, Scorer, explain};
use crate::contract::Side;
use crate::error::{Error, RowProblem};
use crate::math::sigmoid;
use crate::request::layout::{
    ANSWER_LEN, GAP_INDEX, GENERATION_OFFSET, MISSING_COUNT_OFFSET, OUTCOME_LEN, ROW_SLOTS_OFFSET, TAIL_USED_OFFSET,
    UNSEEN_COUNT_OFFSET,
};
use crate::request::{Candidates, RequestLayout, SchemaField, SchemaKind};
use crate::rounding::in_standard_mode;

const WORD: usize = size_of::<u64>();
/// Words of a row before its slots.
pub(crate) const ROW_HEAD_WORDS: usize = ROW_SLOTS_OFFSET / WORD;

/// Why something was not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uncopied {
    /// The memory for the copy is too short.
    NoRoom,
    /// The request has no such candidate, or one that cannot be read.
    Unreadable,
}

impl From<RowProblem> for Uncopied {
    fn from(_: RowProblem) -> Self {
        Self::Unreadable
    }
}

/// Which slots of a row refer to the tail.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    field_count: usize,
    texts: u64,
    id_lists: u64,
    text_lists: u64,
}

impl Shape {
    fn of(fields: &[SchemaField]) -> Self {
        let mut shape = Self { field_count: fields.len(), ..Self::default() };
        for (slot, field) in fields.iter().enumerate() {
            let is_text = matches!(field.kind, SchemaKind::Text);
            let bits = match (field.many, is_text) {
                (true, true) => &mut shape.text_lists,
                (true, false) => &mut shape.id_lists,
                (false, true) => &mut shape.texts,
                (false, false) => continue,
            };
            *bits |= 1 << slot;
        }
        shape
    }
}

/// Copies what a log keeps of requests of one layout.
#[derive(Debug)]
pub(crate) struct RowCopier {
    layout: RequestLayout,
    context: Shape,
    candidate: Shape,
}

/// Where the rows are in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopiedRows {
    /// The first word of the candidate's row. The context row is at 0.
    pub(crate) candidate_at: Option<usize>,
    /// The name of a prepared candidate.
    pub(crate) name: Option<u32>,
    /// Words of the copy.
    pub(crate) len: usize,
}

/// The answer of one model for one candidate, and the outcome of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopiedAnswer {
    pub(crate) logit: f64,
    pub(crate) probability: f32,
    /// The number of the candidate's status.
    pub(crate) status: u32,
    pub(crate) generation: u64,
    /// Whether a fallback file gave it.
    pub(crate) is_fallback: bool,
    /// The arm that an experiment noted with it.
    pub(crate) armed: Option<Armed>,
    pub(crate) unseen_count: u32,
    pub(crate) missing_count: u32,
}

/// A request that is being logged.
pub(crate) struct LoggedRequest<'a> {
    block: Block<'a>,
    copier: &'a RowCopier,
}

impl RowCopier {
    pub(crate) fn new(layout: &RequestLayout) -> Self {
        let shape = |side| Shape::of(layout.schema().fields(side));
        Self { layout: layout.clone(), context: shape(Side::Context), candidate: shape(Side::Candidate) }
    }

    pub(crate) const fn layout(&self) -> &RequestLayout {
        &self.layout
    }

    /// Looks at a request. Does not allocate.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict_block`].
    ///
    /// # Safety
    ///
    /// The promises of [`Scorer::predict_block`].
    pub(crate) unsafe fn request(&self, block: *mut u8) -> Result<LoggedRequest<'_>, Error> {
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(block, &self.layout) }?;
        Ok(LoggedRequest { block, copier: self })
    }

    /// Appends the row of the prepared candidate `name` to a copy of rows, and returns its first word. Locks the set.
    pub(crate) fn append_prepared(&self, set: &CandidateSet, name: u32, copy: &mut Vec<u64>) -> Option<usize> {
        let rows = set.rows();
        let row = rows.get(name).ok()?;
        let start = copy.len();
        let mut room = ROW_HEAD_WORDS + self.candidate.field_count;
        loop {
            copy.resize(start + room, 0);
            let mut used = start;
            match copy_row(&row, self.candidate, copy, &mut used) {
                Ok(()) => {
                    copy.truncate(used);
                    return Some(start);
                }
                Err(Uncopied::NoRoom) => room *= 2,
                Err(Uncopied::Unreadable) => return None,
            }
        }
    }

    /// Makes a request block of the copy that [`LoggedRequest::copy_all`] made. Returns the number of candidates, or
    /// nothing if this is no such copy.
    pub(crate) fn restore(&self, model: usize, copy: &[u64], block: &mut Vec<u64>) -> Option<usize> {
        let (&count, copy) = copy.split_first()?;
        let count = usize::try_from(count).ok().filter(|count| *count <= self.layout.capacity().candidates)?;
        let parts = parts_of(&self.layout, model, count);
        block.clear();
        block.resize(self.layout.offsets().len_bytes / WORD, 0);
        let mut rest = copy;
        for part in parts {
            let (words, more) = rest.split_at_checked(part.len())?;
            block.get_mut(part)?.copy_from_slice(words);
            rest = more;
        }
        let tail = self.layout.offsets().tail_offset / WORD;
        block.get_mut(tail..tail + rest.len())?.copy_from_slice(rest);
        Some(count)
    }
}

/// The words of a block up to the last row, and those of one model's result.
fn parts_of(layout: &RequestLayout, model: usize, count: usize) -> [std::ops::Range<usize>; 2] {
    let offsets = layout.offsets();
    let rows_end = offsets.candidates_offset + count * offsets.candidate_stride_bytes;
    let result = (offsets.results_offset + model * offsets.result_stride_bytes) / WORD;
    [0..rows_end.div_ceil(WORD), result..result + (OUTCOME_LEN + count * ANSWER_LEN) / WORD]
}

impl LoggedRequest<'_> {
    /// The number of candidates that have an answer of the last predict, or were filled if there is no answer.
    pub(crate) fn candidate_count(&self) -> usize {
        let answered = self.block.answered_count().min(self.copier.layout.capacity().candidates);
        if self.block.is_answered() { answered } else { self.block.filled_count() }
    }

    /// Whether the last predict gave answers.
    pub(crate) fn is_answered(&self) -> bool {
        self.block.is_answered()
    }

    /// The number of models that the layout has room for.
    pub(crate) fn result_count(&self) -> usize {
        self.copier.layout.model_count()
    }

    /// Returns the answer of a model for a candidate, if the last predict gave one.
    pub(crate) fn answer(&self, model: usize, candidate: usize) -> Option<CopiedAnswer> {
        if !self.is_answered() || candidate >= self.candidate_count() || model >= self.copier.layout.model_count() {
            return None;
        }
        let [logit, rest] = self.block.answers(model, candidate, 1) else { return None };
        let rest = load(rest);
        let outcome = self.block.outcome(model);
        let half = |offset: usize| low(load(&outcome[offset / WORD]) >> (8 * (offset % WORD)));
        Some(CopiedAnswer {
            logit: f64::from_bits(load(logit)),
            probability: f32::from_bits(low(rest)),
            status: low(rest >> 32),
            generation: load(&outcome[GENERATION_OFFSET / WORD]),
            is_fallback: self.block.is_answered_by_fallback(),
            armed: Armed::of(&self.block, model),
            unseen_count: half(UNSEEN_COUNT_OFFSET),
            missing_count: half(MISSING_COUNT_OFFSET),
        })
    }

    /// Copies the context row and the row of a candidate to `to`. A prepared candidate is named instead.
    pub(crate) fn copy_rows(&self, candidate: usize, to: &mut [u64]) -> Result<CopiedRows, Uncopied> {
        let mut len = 0;
        copy_row(&self.block.context(), self.copier.context, to, &mut len)?;
        if self.copier.layout.candidates() == Candidates::Prepared {
            let name = if candidate < self.block.filled_count() { self.block.name(candidate) } else { GAP_INDEX };
            let name = (name != GAP_INDEX).then_some(name).ok_or(Uncopied::Unreadable)?;
            return Ok(CopiedRows { candidate_at: None, name: Some(name), len });
        }
        let row = self.block.filled_candidate(candidate)?;
        let candidate_at = len;
        copy_row(&row, self.copier.candidate, to, &mut len)?;
        Ok(CopiedRows { candidate_at: Some(candidate_at), name: None, len })
    }

    /// Returns the number of words that [`copy_all`](Self::copy_all) needs.
    pub(crate) fn words_of_all(&self, model: usize) -> usize {
        let parts = parts_of(&self.copier.layout, model, self.candidate_count());
        let tail = self.block.tail();
        1 + parts.iter().map(ExactSizeIterator::len).sum::<usize>() + tail.used_bytes().div_ceil(WORD)
    }

    /// Copies the whole request with the answers of one model, and returns the number of words. The first one is the
    /// number of candidates.
    pub(crate) fn copy_all(&self, model: usize, to: &mut [u64]) -> Result<usize, Uncopied> {
        let count = self.candidate_count();
        let words = self.block.words();
        let (first, mut rest) = to.split_first_mut().ok_or(Uncopied::NoRoom)?;
        *first = count as u64;
        let mut len = 1;
        let mut copy = |from: &[AtomicU64], tail_used: &mut u32| {
            let (room, more) = std::mem::take(&mut rest).split_at_mut_checked(from.len()).ok_or(Uncopied::NoRoom)?;
            for (to, word) in room.iter_mut().zip(from) {
                *to = word.load(Ordering::Relaxed);
            }
            if len == 1 {
                *tail_used = low(u64::from_le(room[TAIL_USED_OFFSET / WORD]) >> (8 * (TAIL_USED_OFFSET % WORD)));
            }
            len += from.len();
            rest = more;
            Ok::<(), Uncopied>(())
        };
        // Read from the copy: the request's own word may have changed since it was checked.
        let mut tail_used = 0;
        for part in parts_of(&self.copier.layout, model, count) {
            copy(words.get(part).ok_or(Uncopied::Unreadable)?, &mut tail_used)?;
        }
        let tail = self.block.tail().words();
        let used = (tail_used as usize).div_ceil(WORD).min(tail.len());
        copy(&tail[..used], &mut 0)?;
        Ok(len)
    }
}

/// Copies a row to `to`, from word `used` on, and behind it what it has in the tail.
fn copy_row(row: &RowView<'_>, shape: Shape, to: &mut [u64], used: &mut usize) -> Result<(), Uncopied> {
    let slots = *used + ROW_HEAD_WORDS;
    let end = slots + shape.field_count;
    let room = to.get_mut(*used..end).ok_or(Uncopied::NoRoom)?;
    let (present, inline_text) = row.head();
    for (to, word) in room.iter_mut().zip(row.words()) {
        *to = word.load(Ordering::Relaxed);
    }
    room[0] = present.to_le();
    room[1] = inline_text.to_le();
    *used = end;
    let mut in_tail = present & (shape.id_lists | shape.text_lists | shape.texts & inline_text);
    while in_tail != 0 {
        let slot = in_tail.trailing_zeros() as usize;
        in_tail &= in_tail - 1;
        let reference = u64::from_le(to[slots + slot]);
        let copied = if shape.texts >> slot & 1 == 1 {
            copy_text(row.tail(), reference, to, used)?
        } else {
            let by_bytes = shape.text_lists & inline_text;
            copy_list(row.tail(), reference, by_bytes >> slot & 1 == 1, to, used)?
        };
        to[slots + slot] = copied.to_le();
    }
    Ok(())
}

fn copy_text(tail: Tail<'_>, reference: u64, to: &mut [u64], used: &mut usize) -> Result<u64, Uncopied> {
    let text = tail.text(reference)?;
    let start = *used;
    let end = start + text.len().div_ceil(WORD);
    text.copy_to(to.get_mut(start..end).ok_or(Uncopied::NoRoom)?);
    *used = end;
    Ok(reference_to(start, text.len()))
}

fn copy_list(
    tail: Tail<'_>,
    reference: u64,
    by_bytes: bool,
    to: &mut [u64],
    used: &mut usize,
) -> Result<u64, Uncopied> {
    let list = tail.list(reference)?;
    let start = *used;
    *used += list.len();
    if *used > to.len() {
        return Err(Uncopied::NoRoom);
    }
    for (index, value) in list.iter().enumerate() {
        let value = load(value);
        let value = if by_bytes { copy_text(tail, value, to, used)? } else { value };
        to[start + index] = value.to_le();
    }
    Ok(reference_to(start, list.len()))
}

/// A reference to what begins at word `start` of a copy. Copies are shorter than 4 GiB.
const fn reference_to(start: usize, len: usize) -> u64 {
    (start * WORD) as u64 | (len as u64) << 32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is taken")]
const fn low(word: u64) -> u32 {
    word as u32
}

/// Views the words of a copy as those of a request.
fn shared(copy: &mut [u64]) -> &[AtomicU64] {
    // SAFETY: the words are borrowed mutably, so nobody else uses them, and an atomic word has the layout of a word.
    unsafe { std::slice::from_raw_parts(copy.as_mut_ptr().cast::<AtomicU64>(), copy.len()) }
}

impl Scorer {
    /// Computes the logit and the probability of the rows in a copy, with one of the models. Returns nothing if they
    /// cannot be read. Allocates.
    pub(crate) fn answer_of_copy(&self, model: usize, copy: &mut [u64], candidate_at: usize) -> Option<(f64, f32)> {
        let part = self.parts.get(model)?;
        let reader = Reader { model: &part.model, keys: &self.keys, plan: &part.plan };
        let words = shared(copy);
        let tail = Tail::new(words, size_of_val(words)).ok()?;
        let row_at = |at: usize, side| {
            let end = at + ROW_HEAD_WORDS + self.layout.schema().fields(side).len();
            Some(RowView::new(words.get(at..end)?, tail))
        };
        let context = reader.keys_of_context(row_at(0, Side::Context)?).ok()?;
        let candidate = reader.candidate_keys(row_at(candidate_at, Side::Candidate)?).ok()?;
        Some(in_standard_mode(|| {
            let own = reader.own_sum(&candidate, &mut |_| ()).logit;
            let crossed = reader.crossed_sum(&context, &candidate, &mut |_| ()).logit;
            let logit = ((part.model.bias() + reader.context_sum(&context, &mut |_| ()).logit) + own) + crossed;
            (logit, part.model.calibrator().probability(sigmoid(logit)))
        }))
    }

    /// Explains a candidate of a request that was restored from its copy, with one of the models.
    pub(crate) fn explain_copy(&self, model: usize, block: &mut [u64], candidate: usize) -> Result<Explanation, Error> {
        let invalid = || Error::InvalidArgument { argument: "request", problem: "it is no copy".to_owned() };
        let part = self.parts.get(model).ok_or_else(invalid)?;
        if size_of_val(block) != self.layout.offsets().len_bytes {
            return Err(invalid());
        }
        // SAFETY: the words are borrowed mutably, and are as long as the layout says.
        let block = unsafe { Block::new(block.as_mut_ptr().cast(), &self.layout) }?;
        let reader = Reader { model: &part.model, keys: &self.keys, plan: &part.plan };
        self.with_rows(&block, |row_of| {
            in_standard_mode(|| explain::explain(reader, &block, candidate, row_of(candidate)))
        })
    }
}
