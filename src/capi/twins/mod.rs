//! Exported twins of the inline functions of the header, under the same names, for callers that load the library at run
//! time and compile no C: ctypes, cffi in ABI mode, JNA. C and C++ programs never call them. `tests/c/twins.c` compares
//! their blocks with those of the inline functions, byte for byte.

mod block;

use std::ffi::{CStr, c_char, c_void};

use block::{Block, Outcome, Place};

use super::boundary::OK;
use super::candidate_set::{OmomiCandidateSet, omomi_candidate_set_add, omomi_candidate_set_put};
use super::layout::{OMOMI_CANDIDATES_INLINE, OMOMI_CANDIDATES_PREPARED, OmomiLayoutInfo};
use super::live_scorer::{
    OmomiLiveScorer, omomi_live_scorer_predict, omomi_live_scorer_predict_fallback, omomi_live_scorer_predict_within,
};
use super::request::{
    OMOMI_CANDIDATE_NOT_COMPUTED, OMOMI_LAYOUT_VERSION, OmomiAnswer, OmomiOutcome, OmomiRequest, OmomiRow,
};
use super::schema::{OMOMI_KIND_ID, OMOMI_KIND_NUMBER, OMOMI_KIND_TEXT, OmomiField, OmomiSide, OmomiSlot};
use super::scorer::{OmomiScorer, omomi_scorer_predict, omomi_scorer_predict_within};
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::error::Code;
use crate::request::layout::{
    ANSWER_LEN, ANSWERED_COUNT_OFFSET, FILLED_COUNT_OFFSET, IS_ANSWERED_OFFSET, LAYOUT_VERSION_OFFSET, OUTCOME_LEN,
    REFUSAL_OFFSET, ROW_SLOTS_OFFSET, TAIL_USED_OFFSET,
};

const fn status_of(outcome: Outcome) -> OmomiStatus {
    match outcome {
        Ok(()) => OK,
        Err(code) => code as OmomiStatus,
    }
}

/// The block of a request, or null, and its length.
///
/// # Safety
///
/// `request` is null or initialized.
unsafe fn block_of(request: *const OmomiRequest) -> (*mut c_void, usize) {
    // SAFETY: the caller's promise.
    match unsafe { request.as_ref() } {
        Some(request) => (request.block.cast(), request.layout.len_bytes),
        None => (std::ptr::null_mut(), 0),
    }
}

/// Makes a text of bytes.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_text_of(text: *const c_char, len_bytes: usize) -> OmomiText {
    OmomiText { text, len_bytes }
}

/// Makes a text of one that ends with a null byte.
///
/// # Safety
///
/// `text` is null or ends with a null byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_c_text(text: *const c_char) -> OmomiText {
    // SAFETY: not null, and the caller promises the null byte.
    let len_bytes = if text.is_null() { 0 } else { unsafe { CStr::from_ptr(text) }.count_bytes() };
    OmomiText { text, len_bytes }
}

/// Declares a field of ids.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_id_field(name: OmomiText, side: OmomiSide) -> OmomiField {
    OmomiField { size_bytes: size_of::<OmomiField>(), name, side, kind: OMOMI_KIND_ID, ..OmomiField::DEFAULT }
}

/// Declares a field of texts.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_text_field(name: OmomiText, side: OmomiSide) -> OmomiField {
    OmomiField { kind: OMOMI_KIND_TEXT, ..omomi_id_field(name, side) }
}

/// Declares a field of numbers.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_number_field(
    name: OmomiText,
    side: OmomiSide,
    unit: OmomiText,
    range_min: f64,
    range_max: f64,
) -> OmomiField {
    OmomiField { kind: OMOMI_KIND_NUMBER, unit, range_min, range_max, ..omomi_id_field(name, side) }
}

/// Makes a field `many`.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_many(field: OmomiField) -> OmomiField {
    OmomiField { many: 1, ..field }
}

/// Initializes a request in the caller's block.
///
/// # Safety
///
/// `request` is null or writable; `layout` is null or points to its struct; `block` is null or has `block_len_bytes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_init(
    request: *mut OmomiRequest,
    layout: *const OmomiLayoutInfo,
    block: *mut c_void,
    block_len_bytes: usize,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let Some(layout) = (unsafe { layout.as_ref() }) else { return Code::NullArgument as OmomiStatus };
    if request.is_null() || block.is_null() {
        return Code::NullArgument as OmomiStatus;
    }
    if !block.addr().is_multiple_of(8) {
        return Code::Misaligned as OmomiStatus;
    }
    if layout.size_bytes != size_of::<OmomiLayoutInfo>() || block_len_bytes != layout.len_bytes {
        return Code::WrongSize as OmomiStatus;
    }
    let block = block.cast::<u8>();
    // SAFETY: not null, and the caller promises that it can be written.
    unsafe { request.write(OmomiRequest { block, layout: *layout, owns_block: 0, reserved: 0 }) };
    // SAFETY: the block has that length, which is at least that of the header.
    unsafe {
        block.write_bytes(0, block_len_bytes);
        block.add(LAYOUT_VERSION_OFFSET).cast::<u32>().write(OMOMI_LAYOUT_VERSION);
    }
    OK
}

/// Clears a request.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_clear(request: *mut OmomiRequest) {
    // SAFETY: the caller's promise.
    let Some(block) = (unsafe { Block::of(request) }) else { return };
    // SAFETY: the members that a request changes, and the head of the context row, are inside the block.
    unsafe {
        block.fill(TAIL_USED_OFFSET, 0, ANSWERED_COUNT_OFFSET + size_of::<u32>() - TAIL_USED_OFFSET);
        block.fill(block.layout.context_offset, 0, ROW_SLOTS_OFFSET);
    }
}

/// Returns the context row.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_context_row(request: *mut OmomiRequest) -> OmomiRow {
    // SAFETY: the caller's promise.
    match unsafe { Block::of(request) } {
        Some(block) => OmomiRow {
            request,
            offset_bytes: block::low(block.layout.context_offset),
            row_type: block.layout.context_row_type,
        },
        None => OmomiRow { request: std::ptr::null_mut(), offset_bytes: 0, row_type: 0 },
    }
}

/// Returns the row of a candidate, which counts as filled.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_row(request: *mut OmomiRequest, index: usize) -> OmomiRow {
    let absent = OmomiRow { request, offset_bytes: 0, row_type: 0 };
    // SAFETY: the caller's promise.
    let Some(block) = (unsafe { Block::of(request) }) else { return absent };
    if block.layout.candidates != OMOMI_CANDIDATES_INLINE || index >= block.layout.candidate_capacity {
        block.no_candidate(index, OMOMI_CANDIDATES_INLINE);
        return absent;
    }
    // SAFETY: the layout has such a row.
    let offset = unsafe { block.begin_row(index) };
    OmomiRow { offset_bytes: block::low(offset), row_type: block.layout.candidate_row_type, ..absent }
}

/// Clears a row.
///
/// # Safety
///
/// `row` is zeroed or comes from a request that is open, which no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_row_clear(row: OmomiRow) {
    // SAFETY: the caller's promise.
    let Some(block) = (unsafe { Block::of(row.request) }) else { return };
    if row.offset_bytes != 0 {
        // SAFETY: the row has a head.
        unsafe { block.fill(row.offset_bytes as usize, 0, ROW_SLOTS_OFFSET) };
    }
}

/// Names a prepared candidate.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_set_candidate(
    request: *mut OmomiRequest,
    index: usize,
    index_in_set: u32,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let Some(block) = (unsafe { Block::of(request) }) else { return Code::NullArgument as OmomiStatus };
    if block.layout.candidates != OMOMI_CANDIDATES_PREPARED || index >= block.layout.candidate_capacity {
        return block.no_candidate(index, OMOMI_CANDIDATES_PREPARED) as OmomiStatus;
    }
    // SAFETY: the layout has such a candidate.
    unsafe { block.name(index, index_in_set) };
    OK
}

/// Names the first prepared candidates.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it. `indices_in_set` is null or points to `count`
/// numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_set_candidates(
    request: *mut OmomiRequest,
    indices_in_set: *const u32,
    count: usize,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let Some(block) = (unsafe { Block::of(request) }) else { return Code::NullArgument as OmomiStatus };
    if indices_in_set.is_null() && count > 0 {
        block.remember(Code::NullArgument, 0, u32::MAX, 0);
        return Code::NullArgument as OmomiStatus;
    }
    if block.layout.candidates != OMOMI_CANDIDATES_PREPARED || count > block.layout.candidate_capacity {
        return block.no_candidate(count.saturating_sub(1), OMOMI_CANDIDATES_PREPARED) as OmomiStatus;
    }
    for index in 0..count {
        // SAFETY: the caller's promise, and the layout has such a candidate.
        unsafe { block.name(index, *indices_in_set.add(index)) };
    }
    OK
}

/// Sets an id.
///
/// # Safety
///
/// `row` is zeroed or comes from a request that is open, which no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_set_id(row: OmomiRow, slot: OmomiSlot, id: i64) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let place = unsafe { Place::of(row, slot, OMOMI_KIND_ID, false) };
    status_of(place.map(|place| place.store(id.cast_unsigned(), false)))
}

/// Sets a number.
///
/// # Safety
///
/// `row` is zeroed or comes from a request that is open, which no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_set_number(row: OmomiRow, slot: OmomiSlot, number: f64) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let place = unsafe { Place::of(row, slot, OMOMI_KIND_NUMBER, false) };
    status_of(place.map(|place| place.store(number.to_bits(), false)))
}

/// Sets a text.
///
/// # Safety
///
/// `row` is zeroed or comes from a request that is open, which no other thread uses; `text` is as long
/// as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_set_text(row: OmomiRow, slot: OmomiSlot, text: OmomiText) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let place = unsafe { Place::of(row, slot, OMOMI_KIND_TEXT, false) };
    status_of(place.and_then(|place| {
        // SAFETY: the caller's promise.
        unsafe { place.set_text(text) }
    }))
}

/// Sets a text by its value.
///
/// # Safety
///
/// `row` is zeroed or comes from a request that is open, which no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_set_text_value(row: OmomiRow, slot: OmomiSlot, value: u64) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let place = unsafe { Place::of(row, slot, OMOMI_KIND_TEXT, false) };
    status_of(place.map(|place| place.store(value, false)))
}

/// Sets a list of ids.
///
/// # Safety
///
/// `row` is zeroed or comes from a request that is open, which no other thread uses; `ids` is null or
/// points to `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_set_ids(row: OmomiRow, slot: OmomiSlot, ids: *const i64, count: usize) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let place = unsafe { Place::of(row, slot, OMOMI_KIND_ID, true) };
    status_of(place.and_then(|place| {
        // SAFETY: the caller's promise.
        unsafe { place.set_words(ids.cast(), count) }
    }))
}

/// Sets a list of texts by their values.
///
/// # Safety
///
/// `row` is zeroed or comes from a request that is open, which no other thread uses; `values` is null
/// or points to `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_set_text_values(
    row: OmomiRow,
    slot: OmomiSlot,
    values: *const u64,
    count: usize,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let place = unsafe { Place::of(row, slot, OMOMI_KIND_TEXT, true) };
    status_of(place.and_then(|place| {
        // SAFETY: the caller's promise.
        unsafe { place.set_words(values, count) }
    }))
}

/// Sets a list of texts.
///
/// # Safety
///
/// `row` is zeroed or comes from a request that is open, which no other thread uses; `texts` is null or
/// points to `count` texts, as long as they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_set_texts(
    row: OmomiRow,
    slot: OmomiSlot,
    texts: *const OmomiText,
    count: usize,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let place = unsafe { Place::of(row, slot, OMOMI_KIND_TEXT, true) };
    status_of(place.and_then(|place| {
        // SAFETY: the caller's promise.
        unsafe { place.set_texts(texts, count) }
    }))
}

/// Returns the number of candidates up to the last one that was filled.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_filled_count(request: *const OmomiRequest) -> usize {
    // SAFETY: the caller's promise.
    unsafe { Block::of(request) }.map_or(0, |block| block.header(FILLED_COUNT_OFFSET) as usize)
}

/// Returns the number of bytes of the tail that are in use.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_tail_used_bytes(request: *const OmomiRequest) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { Block::of(request) }.map_or(0, |block| block.header(TAIL_USED_OFFSET))
}

/// Returns the first status other than OK that a setter returned.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_refusal(request: *const OmomiRequest) -> OmomiStatus {
    // SAFETY: the caller's promise.
    match unsafe { Block::of(request) } {
        Some(block) => block.header(REFUSAL_OFFSET).cast_signed(),
        None => Code::NullArgument as OmomiStatus,
    }
}

/// Makes a request forget a refusal.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_forget_refusal(request: *mut OmomiRequest) {
    // SAFETY: the caller's promise.
    if let Some(block) = unsafe { Block::of(request) } {
        block.set_header(REFUSAL_OFFSET, 0);
    }
}

/// Calls `omomi_scorer_predict` for a request.
///
/// # Safety
///
/// `scorer` is null or open; `request` is null, zeroed or open, and no other thread uses it; `error` is null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_predict(
    scorer: *const OmomiScorer,
    request: *mut OmomiRequest,
    candidate_count: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let (block, len_bytes) = unsafe { block_of(request) };
    // SAFETY: the caller's promise.
    unsafe { omomi_scorer_predict(scorer, block, len_bytes, candidate_count, error) }
}

/// Calls `omomi_scorer_predict_within` for a request.
///
/// # Safety
///
/// `scorer` is null or open; `request` is null, zeroed or open, and no other thread uses it; `error` is null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_predict_within(
    scorer: *const OmomiScorer,
    request: *mut OmomiRequest,
    candidate_count: usize,
    budget_us: u64,
    error: *mut OmomiError,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let (block, len_bytes) = unsafe { block_of(request) };
    // SAFETY: the caller's promise.
    unsafe { omomi_scorer_predict_within(scorer, block, len_bytes, candidate_count, budget_us, error) }
}

/// Calls `omomi_live_scorer_predict` for a request.
///
/// # Safety
///
/// `scorer` is null or open; `request` is null, zeroed or open, and no other thread uses it; `error` is null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_predict_live(
    scorer: *const OmomiLiveScorer,
    request: *mut OmomiRequest,
    candidate_count: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let (block, len_bytes) = unsafe { block_of(request) };
    // SAFETY: the caller's promise.
    unsafe { omomi_live_scorer_predict(scorer, block, len_bytes, candidate_count, error) }
}

/// Calls `omomi_live_scorer_predict_within` for a request.
///
/// # Safety
///
/// `scorer` is null or open; `request` is null, zeroed or open, and no other thread uses it; `error` is null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_predict_live_within(
    scorer: *const OmomiLiveScorer,
    request: *mut OmomiRequest,
    candidate_count: usize,
    budget_us: u64,
    error: *mut OmomiError,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let (block, len_bytes) = unsafe { block_of(request) };
    // SAFETY: the caller's promise.
    unsafe { omomi_live_scorer_predict_within(scorer, block, len_bytes, candidate_count, budget_us, error) }
}

/// Calls `omomi_live_scorer_predict_fallback` for a request.
///
/// # Safety
///
/// `scorer` is null or open; `request` is null, zeroed or open, and no other thread uses it; `error` is null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_predict_live_fallback(
    scorer: *const OmomiLiveScorer,
    request: *mut OmomiRequest,
    candidate_count: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let (block, len_bytes) = unsafe { block_of(request) };
    // SAFETY: the caller's promise.
    unsafe { omomi_live_scorer_predict_fallback(scorer, block, len_bytes, candidate_count, error) }
}

/// Returns the number of candidates that have an answer.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_answered_count(request: *const OmomiRequest) -> usize {
    // SAFETY: the caller's promise.
    unsafe { Block::of(request) }.map_or(0, |block| block.header(ANSWERED_COUNT_OFFSET) as usize)
}

/// Returns the answer of the first model for a candidate.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_answer(request: *const OmomiRequest, index: usize) -> OmomiAnswer {
    // SAFETY: the caller's promise.
    unsafe { omomi_request_answer_of(request, 0, index) }
}

/// Returns the answer of a model for a candidate.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_answer_of(
    request: *const OmomiRequest,
    model: usize,
    index: usize,
) -> OmomiAnswer {
    // All bits set is NaN, as in C.
    let nan = (f64::from_bits(u64::MAX), f32::from_bits(u32::MAX));
    let none = OmomiAnswer { logit: nan.0, probability: nan.1, status: OMOMI_CANDIDATE_NOT_COMPUTED };
    // SAFETY: the caller's promise.
    let Some(block) = (unsafe { Block::of(request) }) else { return none };
    let layout = block.layout;
    if index >= block.header(ANSWERED_COUNT_OFFSET) as usize || model >= layout.model_count {
        return none;
    }
    let result = layout.results_offset + model * layout.result_stride_bytes;
    // SAFETY: predict gave an answer for the candidate, so the block has it.
    unsafe { block.get(result + OUTCOME_LEN + index * ANSWER_LEN) }
}

/// Returns the outcome of the first model.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_outcome(request: *const OmomiRequest) -> OmomiOutcome {
    // SAFETY: the caller's promise.
    unsafe { omomi_request_outcome_of(request, 0) }
}

/// Returns the outcome of a model.
///
/// # Safety
///
/// `request` is null, zeroed or open, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_outcome_of(request: *const OmomiRequest, model: usize) -> OmomiOutcome {
    // SAFETY: the caller's promise.
    let block = unsafe { Block::of(request) }
        .filter(|block| model < block.layout.model_count && block.header(IS_ANSWERED_OFFSET) != 0);
    match block {
        // SAFETY: the block has a result for each model.
        Some(block) => unsafe { block.get(block.layout.results_offset + model * block.layout.result_stride_bytes) },
        None => OmomiOutcome::NONE,
    }
}

/// Calls `omomi_candidate_set_add` for a request.
///
/// # Safety
///
/// `set` is null or open; `request` is null, zeroed or open; `out_index` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_add_to_set(
    set: *mut OmomiCandidateSet,
    request: *const OmomiRequest,
    candidate: usize,
    out_index: *mut u32,
    error: *mut OmomiError,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let (block, len_bytes) = unsafe { block_of(request) };
    // SAFETY: the caller's promise.
    unsafe { omomi_candidate_set_add(set, block, len_bytes, candidate, out_index, error) }
}

/// Calls `omomi_candidate_set_put` for a request.
///
/// # Safety
///
/// `set` is null or open; `request` is null, zeroed or open; `error` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_put_in_set(
    set: *mut OmomiCandidateSet,
    index: u32,
    request: *const OmomiRequest,
    candidate: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    let (block, len_bytes) = unsafe { block_of(request) };
    // SAFETY: the caller's promise.
    unsafe { omomi_candidate_set_put(set, index, block, len_bytes, candidate, error) }
}
