//! Request blocks as the inline functions of the header write them, byte for byte: `request_inline.h` says why each
//! step is as it is.

use super::super::layout::{OMOMI_CANDIDATES_INLINE, OmomiCandidates, OmomiLayoutInfo};
use super::super::request::{OMOMI_MAX_VALUES_PER_FIELD, OmomiRequest, OmomiRow};
use super::super::schema::{OMOMI_KIND_TEXT, OmomiKind, OmomiSlot};
use super::super::text::OmomiText;
use crate::error::Code;
use crate::request::layout::{
    FILLED_COUNT_OFFSET, GAP_COUNT_OFFSET, REFUSAL_OFFSET, REFUSED_FIELD_OFFSET, REFUSED_ROW_OFFSET,
    REFUSED_ROW_TYPE_OFFSET, ROW_INLINE_TEXT_OFFSET, ROW_PRESENT_OFFSET, ROW_SLOTS_OFFSET, SLOT_LEN, TAIL_USED_OFFSET,
};

/// The head of a row that was skipped.
const GAP: [u64; 2] = [0, u64::MAX];

/// What a setter returns: nothing, or why it failed.
pub(super) type Outcome = Result<(), Code>;

/// The block of a request. Whoever makes one promises, for as long as it is used, that the request does not change,
/// that the block is as long as its layout says, and that no other thread uses it. All functions rely on that.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    start: *mut u8,
    pub(super) layout: &'a OmomiLayoutInfo,
}

impl<'a> Block<'a> {
    /// Returns the block of a request, or `None` if the request is null or has none.
    ///
    /// # Safety
    ///
    /// `request` is null, zeroed, or initialized, and the promises of the struct hold.
    pub(super) unsafe fn of(request: *const OmomiRequest) -> Option<Self> {
        // SAFETY: the caller's promise.
        let request = unsafe { request.as_ref() }?;
        (!request.block.is_null()).then_some(Self { start: request.block, layout: &request.layout })
    }

    /// # Safety
    ///
    /// `T` is a plain number or struct of numbers, which is inside the block at `offset`.
    pub(super) unsafe fn get<T>(self, offset: usize) -> T {
        // SAFETY: the caller's promise.
        unsafe { self.start.add(offset).cast::<T>().read_unaligned() }
    }

    /// # Safety
    ///
    /// The value fits into the block at `offset`.
    pub(super) unsafe fn put<T>(self, offset: usize, value: T) {
        // SAFETY: the caller's promise.
        unsafe { self.start.add(offset).cast::<T>().write_unaligned(value) };
    }

    /// # Safety
    ///
    /// `len` bytes at `offset` are inside the block.
    pub(super) unsafe fn fill(self, offset: usize, byte: u8, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.start.add(offset).write_bytes(byte, len) };
    }

    /// # Safety
    ///
    /// `len` bytes at `offset` are inside the block, and `from` points to as many, unless `len` is 0.
    unsafe fn copy(self, offset: usize, from: *const u8, len: usize) {
        if len != 0 {
            // SAFETY: the caller's promise.
            unsafe { self.start.add(offset).copy_from_nonoverlapping(from, len) };
        }
    }

    /// Returns a number of the header.
    pub(super) fn header(self, offset: usize) -> u32 {
        // SAFETY: every block begins with its header.
        unsafe { self.get(offset) }
    }

    /// Writes a number of the header.
    pub(super) fn set_header(self, offset: usize, number: u32) {
        // SAFETY: every block begins with its header.
        unsafe { self.put(offset, number) };
    }

    pub(super) fn tail_used(self) -> u32 {
        self.header(TAIL_USED_OFFSET)
    }

    /// Remembers a refusal, unless there is an earlier one.
    pub(super) fn remember(self, code: Code, row: u32, field: u32, row_type: u32) {
        if self.header(REFUSAL_OFFSET) == 0 {
            self.set_header(REFUSAL_OFFSET, code as u32);
            self.set_header(REFUSED_ROW_OFFSET, row);
            self.set_header(REFUSED_FIELD_OFFSET, field);
            self.set_header(REFUSED_ROW_TYPE_OFFSET, row_type);
        }
    }

    /// Returns why there is no candidate `index` that is used as `used_as`, and remembers it.
    pub(super) fn no_candidate(self, index: usize, used_as: OmomiCandidates) -> Code {
        let code = if self.layout.candidates == used_as { Code::TooManyCandidates } else { Code::InvalidArgument };
        let row = u32::try_from(index).unwrap_or(u32::MAX).min(u32::MAX - 1);
        self.remember(code, row, u32::MAX, 0);
        code
    }

    /// Begins the row of candidate `index`, and returns its offset.
    ///
    /// # Safety
    ///
    /// The layout has such a row.
    pub(super) unsafe fn begin_row(self, index: usize) -> usize {
        let stride = self.layout.candidate_stride_bytes;
        let row = |index: usize| self.layout.candidates_offset + index * stride;
        let (filled, gap_count) = (self.header(FILLED_COUNT_OFFSET) as usize, self.header(GAP_COUNT_OFFSET));
        // SAFETY: the layout has the row, and all before it.
        unsafe {
            if index < filled {
                if gap_count != 0 && self.get::<[u64; 2]>(row(index)) == GAP {
                    self.fill(row(index), 0, ROW_SLOTS_OFFSET);
                    self.set_header(GAP_COUNT_OFFSET, gap_count - 1);
                }
                return row(index);
            }
            (filled..index).for_each(|skipped| self.put(row(skipped), GAP));
            self.fill(row(index), 0, ROW_SLOTS_OFFSET);
        }
        if index > filled {
            self.set_header(GAP_COUNT_OFFSET, gap_count.wrapping_add(low(index - filled)));
        }
        self.set_header(FILLED_COUNT_OFFSET, low(index + 1));
        row(index)
    }

    /// Names a prepared candidate.
    ///
    /// # Safety
    ///
    /// The layout has candidate `index`.
    pub(super) unsafe fn name(self, index: usize, index_in_set: u32) {
        let place = |index: usize| self.layout.candidates_offset + index * size_of::<u32>();
        let filled = self.header(FILLED_COUNT_OFFSET) as usize;
        // SAFETY: the layout has the candidate, and all before it.
        unsafe {
            self.put(place(index), index_in_set.min(u32::MAX - 1));
            if index > filled {
                self.fill(place(filled), 0xff, place(index) - place(filled));
            }
        }
        if index >= filled {
            self.set_header(FILLED_COUNT_OFFSET, low(index + 1));
        }
    }

    /// Reserves `len` bytes of the tail, and returns their start.
    fn take(self, len: usize, alignment: usize) -> Result<usize, Code> {
        let start = (self.tail_used() as usize).next_multiple_of(alignment);
        if start > self.layout.tail_len_bytes || len > self.layout.tail_len_bytes - start {
            return Err(Code::TailFull);
        }
        self.set_header(TAIL_USED_OFFSET, low(start + len));
        Ok(start)
    }

    /// Returns the end of the room of a value in the tail, or 0 if the reference is wrong.
    fn end(self, reference: Reference, element_len: usize) -> usize {
        let len = if reference.class() == 0 { reference.len() * element_len } else { 1 << reference.class() };
        let end = reference.start() + len;
        if end <= self.tail_used() as usize { end } else { 0 }
    }

    /// Reserves `len` bytes for a value that replaces the one in `start..end`, whose room class is `class`. Returns
    /// their start and their room class.
    fn take_again(self, start: usize, end: usize, len: usize, alignment: usize, class: u32) -> Result<Room, Code> {
        let used = self.tail_used();
        if end == used as usize && class == 0 {
            self.set_header(TAIL_USED_OFFSET, low(start));
            return self.take(len, alignment).map(|start| (start, 0)).inspect_err(|_| {
                self.set_header(TAIL_USED_OFFSET, used);
            });
        }
        if len <= end - start {
            let fits = |class: u32| len <= 1 << class;
            let kept = match class {
                0 if len != end - start => Some((end - start).ilog2()).filter(|&class| fits(class)).unwrap_or(0),
                class => class,
            };
            return Ok((start, kept));
        }
        if len > self.layout.tail_len_bytes {
            return Err(Code::TailFull);
        }
        let class = len.next_power_of_two().ilog2();
        match self.take(1 << class, alignment) {
            Ok(start) => Ok((start, class)),
            Err(_) => self.take(len, alignment).map(|start| (start, 0)),
        }
    }
}

/// The start of a value in the tail, and its room class.
type Room = (usize, u32);

/// A reference to bytes or to a list in the tail.
#[derive(Clone, Copy)]
struct Reference(u64);

impl Reference {
    fn to(start: usize, len: usize, class: u32) -> Self {
        Self(u64::from(low(start)) | u64::from(low(len)) << 32 | u64::from(class) << 59)
    }

    const fn start(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    const fn len(self) -> usize {
        (self.0 >> 32 & 0x07ff_ffff) as usize
    }

    const fn class(self) -> u32 {
        (self.0 >> 59) as u32
    }
}

/// The low half of a word, as a cast in C.
#[allow(clippy::cast_possible_truncation, reason = "no block is as long as 4 GiB")]
pub(super) const fn low(number: usize) -> u32 {
    number as u32
}

/// A field of a row that is about to be set.
pub(super) struct Place<'a> {
    block: Block<'a>,
    /// Start of the row in the block.
    row: usize,
    slot: OmomiSlot,
}

impl<'a> Place<'a> {
    /// Returns where the row has the slot, which must be of that kind.
    ///
    /// # Safety
    ///
    /// The row is zeroed, or comes from an inline function, and the promises of [`Block`] hold.
    pub(super) unsafe fn of(row: OmomiRow, slot: OmomiSlot, kind: OmomiKind, many: bool) -> Result<Self, Code> {
        // SAFETY: the caller's promise.
        let block = unsafe { Block::of(row.request) }.ok_or(Code::NullArgument)?;
        if row.offset_bytes == 0 {
            let has_rows = block.layout.candidates == OMOMI_CANDIDATES_INLINE;
            return Err(if has_rows { Code::TooManyCandidates } else { Code::InvalidArgument });
        }
        let place = Self { block, row: row.offset_bytes as usize, slot };
        if slot.row_type != row.row_type || slot.kind != kind || slot.many != u32::from(many) {
            return place.refuse(Code::WrongFieldUse);
        }
        if slot.index >= row.row_type & 0x7f { place.refuse(Code::UnknownField) } else { Ok(place) }
    }

    fn refuse<T>(&self, code: Code) -> Result<T, Code> {
        let layout = self.block.layout;
        let row = match self.row.checked_sub(layout.candidates_offset) {
            Some(distance) => low(distance / layout.candidate_stride_bytes),
            None => u32::MAX,
        };
        self.block.remember(code, row, self.slot.index, self.slot.row_type);
        Err(code)
    }

    const fn slot_offset(&self) -> usize {
        self.row + ROW_SLOTS_OFFSET + SLOT_LEN * self.slot.index as usize
    }

    fn bits(&self, offset: usize) -> u64 {
        // SAFETY: the row has a head.
        unsafe { self.block.get(self.row + offset) }
    }

    /// Writes the slot and marks it present.
    pub(super) fn store(&self, word: u64, is_inline_text: bool) {
        let bit = 1_u64 << self.slot.index;
        let (present, inline_text) = (self.bits(ROW_PRESENT_OFFSET), self.bits(ROW_INLINE_TEXT_OFFSET));
        // SAFETY: the row has a head, and the slot.
        unsafe {
            self.block.put(self.row + ROW_PRESENT_OFFSET, present | bit);
            if self.slot.kind == OMOMI_KIND_TEXT {
                let inline_text = if is_inline_text { inline_text | bit } else { inline_text & !bit };
                self.block.put(self.row + ROW_INLINE_TEXT_OFFSET, inline_text);
            }
            self.block.put(self.slot_offset(), word);
        }
    }

    /// Reserves `len` bytes of the tail for the field.
    fn take(&self, len: usize, alignment: usize) -> Result<Room, Code> {
        let (present, inline_text) = (self.bits(ROW_PRESENT_OFFSET), self.bits(ROW_INLINE_TEXT_OFFSET));
        let has = |bits: u64| bits >> self.slot.index & 1 == 1;
        let is_in_tail = has(if self.slot.many == 1 { present } else { present & inline_text });
        let fresh = || self.block.take(len, alignment).map(|start| (start, 0));
        if !is_in_tail {
            return fresh();
        }
        // SAFETY: the row has the slot.
        let reference = Reference(unsafe { self.block.get(self.slot_offset()) });
        let mut end = self.block.end(reference, alignment);
        if end != 0 && reference.class() == 0 && self.slot.many == 1 && has(inline_text) {
            let list = self.block.layout.tail_offset + reference.start();
            for index in 0..reference.len() {
                // SAFETY: the list ends in the used part of the tail.
                let text = Reference(unsafe { self.block.get(list + SLOT_LEN * index) });
                let text_end = self.block.end(text, 1);
                end = if text_end == 0 { 0 } else { end.max(text_end) };
                if end == 0 {
                    break;
                }
            }
        }
        if end < reference.start() || !reference.start().is_multiple_of(alignment) {
            return fresh();
        }
        self.block.take_again(reference.start(), end, len, alignment, reference.class())
    }

    /// Sets a text.
    ///
    /// # Safety
    ///
    /// The text is as long as it says.
    pub(super) unsafe fn set_text(&self, text: OmomiText) -> Outcome {
        if text.text.is_null() && text.len_bytes != 0 {
            return self.refuse(Code::NullArgument);
        }
        let (start, class) = self.take(text.len_bytes, 1).or_else(|code| self.refuse(code))?;
        // SAFETY: the tail has room at `start`, and the caller promises the text.
        unsafe { self.block.copy(self.block.layout.tail_offset + start, text.text.cast(), text.len_bytes) };
        self.store(Reference::to(start, text.len_bytes, class).0, true);
        Ok(())
    }

    /// Sets a list of words.
    ///
    /// # Safety
    ///
    /// `words` is null or points to `count` words.
    pub(super) unsafe fn set_words(&self, words: *const u64, count: usize) -> Outcome {
        if words.is_null() && count != 0 {
            return self.refuse(Code::NullArgument);
        }
        if count > OMOMI_MAX_VALUES_PER_FIELD {
            return self.refuse(Code::TooManyValues);
        }
        let (start, class) = self.take(count * SLOT_LEN, SLOT_LEN).or_else(|code| self.refuse(code))?;
        // SAFETY: the tail has room at `start`, and the caller promises the words.
        unsafe { self.block.copy(self.block.layout.tail_offset + start, words.cast(), count * SLOT_LEN) };
        self.store(Reference::to(start, count, class).0, false);
        Ok(())
    }

    /// Sets a list of texts.
    ///
    /// # Safety
    ///
    /// `texts` is null or points to `count` texts, as long as they say.
    pub(super) unsafe fn set_texts(&self, texts: *const OmomiText, count: usize) -> Outcome {
        if texts.is_null() && count != 0 {
            return self.refuse(Code::NullArgument);
        }
        if count > OMOMI_MAX_VALUES_PER_FIELD {
            return self.refuse(Code::TooManyValues);
        }
        // SAFETY: the caller's promise; a text is a pointer and a number.
        let text = |index: usize| unsafe { texts.add(index).read_unaligned() };
        let mut len = count * SLOT_LEN;
        for text in (0..count).map(text) {
            if text.text.is_null() && text.len_bytes != 0 {
                return self.refuse(Code::NullArgument);
            }
            if text.len_bytes > self.block.layout.tail_len_bytes {
                return self.refuse(Code::TailFull);
            }
            len += text.len_bytes;
        }
        let (start, class) = self.take(len, SLOT_LEN).or_else(|code| self.refuse(code))?;
        let (tail, mut end) = (self.block.layout.tail_offset, start + count * SLOT_LEN);
        for (index, text) in (0..count).map(text).enumerate() {
            // SAFETY: the tail has room for the list and its texts, and the caller promises the text.
            unsafe {
                self.block.copy(tail + end, text.text.cast(), text.len_bytes);
                self.block.put(tail + start + SLOT_LEN * index, Reference::to(end, text.len_bytes, 0).0);
            }
            end += text.len_bytes;
        }
        self.store(Reference::to(start, count, class).0, true);
        Ok(())
    }
}
