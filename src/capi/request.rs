//! The parts of a request block that C sees as structs. `request/REQUEST.md` specifies them.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::mem::offset_of;
use std::ptr::NonNull;

use super::boundary::{output, reference, status};
use super::layout::{OmomiLayout, OmomiLayoutInfo};
use super::{OmomiError, OmomiStatus};
use crate::error::{Error, RowProblem};
use crate::log::hear_panics;
use crate::request::{CandidateStatus, MAX_VALUES_PER_FIELD, RequestLayout, layout};

/// Version of the request block's layout: the first word of its header.
pub const OMOMI_LAYOUT_VERSION: u32 = 1;

/// Maximum number of values of a `many` field in one row.
pub const OMOMI_MAX_VALUES_PER_FIELD: usize = 1024;

/// In `OmomiAnswer.status`: no predict has given an answer for the candidate, or the last one failed.
pub const OMOMI_CANDIDATE_NOT_COMPUTED: u32 = 0;
/// In `OmomiAnswer.status`: the candidate has a logit and a probability.
pub const OMOMI_CANDIDATE_SCORED: u32 = 1;
/// In `OmomiAnswer.status`: a text or a list of its row is outside the used part of the tail.
pub const OMOMI_CANDIDATE_OUTSIDE_TAIL: u32 = 2;
/// In `OmomiAnswer.status`: a text of its row is not UTF-8.
pub const OMOMI_CANDIDATE_NOT_UTF8: u32 = 3;
/// In `OmomiAnswer.status`: a list of its row has more than `OMOMI_MAX_VALUES_PER_FIELD` values.
pub const OMOMI_CANDIDATE_TOO_MANY_VALUES: u32 = 4;
/// In `OmomiAnswer.status`: the candidate set has no candidate at that index.
pub const OMOMI_CANDIDATE_NO_CANDIDATE: u32 = 5;
/// In `OmomiAnswer.status`: the candidate was not filled, or not named, since the request was cleared.
pub const OMOMI_CANDIDATE_NOT_FILLED: u32 = 6;
/// In `OmomiAnswer.status`: the time limit passed before the candidate was reached.
pub const OMOMI_CANDIDATE_LATE: u32 = 7;

/// A request: a block of memory, and how it is laid out. `omomi_request_open` makes one, or `omomi_request_init` in
/// memory of your own. A copy of the struct is the same request. Has the same members in all releases with one
/// `OMOMI_ABI_VERSION`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiRequest {
    /// The block. Null in a request that is zeroed or closed, which every function refuses or ignores.
    pub block: *mut u8,
    /// The layout of the block.
    pub layout: OmomiLayoutInfo,
    /// 1 if `omomi_request_close` frees the block, 0 if the block is yours.
    pub owns_block: u32,
    /// Reserved: leave unchanged.
    pub reserved: u32,
}

/// A row of a request that is being filled, its offset in the block, and its type, which is that of its slots. If the
/// request has no such row, both numbers are 0. Two registers hold the struct; a larger one would be passed through
/// memory to every function that takes a row.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiRow {
    /// The request, or null.
    pub request: *mut OmomiRequest,
    /// Start of the row in the block.
    pub offset_bytes: u32,
    /// Type of the row.
    pub row_type: u32,
}

/// The header of a request block. The inline functions write it, except for the last two members, which predict writes.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiHeader {
    /// `OMOMI_LAYOUT_VERSION`.
    pub layout_version: u32,
    /// Number of bytes of the tail that this request uses.
    pub tail_used_bytes: u32,
    /// Number of candidates up to the last one that was filled since the request was cleared.
    pub filled_count: u32,
    /// Number of candidates among them that were skipped.
    pub gap_count: u32,
    /// The first status other than OK that a setter returned since the request was cleared, or 0.
    pub refusal: u32,
    /// The candidate of that refusal; `UINT32_MAX` for the context.
    pub refused_row: u32,
    /// Index of the slot that was refused.
    pub refused_field: u32,
    /// `row_type` of the slot that was refused.
    pub refused_row_type: u32,
    /// 1 if the last predict gave answers, 2 if it did with a fallback file, 0 if it failed or if there was none.
    pub is_answered: u32,
    /// Number of candidates that the last predict gave answers for.
    pub answered_count: u32,
    /// Reserved: leave unchanged.
    pub reserved: [u32; 6],
}

/// The header of a model's result, written by predict. The answers follow.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiOutcome {
    /// Generation of the model that answered.
    pub generation: u64,
    /// Number of candidates with a probability.
    pub scored_count: u32,
    /// Number of candidates that were refused. Each has its status in its answer.
    pub refused_count: u32,
    /// Number of candidates that were not reached within the time limit.
    pub late_count: u32,
    /// Number of categories without a weight: those of the context, once, and those of each scored candidate. Crosses
    /// are not counted.
    pub unseen_count: u32,
    /// Number of fields that the model reads and that have no value: those of the context, once, and those of each
    /// scored candidate.
    pub missing_count: u32,
    /// Number of numeric values that are out of range or NaN. They also count as missing.
    pub invalid_number_count: u32,
    /// Reserved: leave unchanged.
    pub reserved: [u32; 8],
}

impl OmomiOutcome {
    /// What there is without an answer.
    pub(super) const NONE: Self = Self {
        generation: 0,
        scored_count: 0,
        refused_count: 0,
        late_count: 0,
        unseen_count: 0,
        missing_count: 0,
        invalid_number_count: 0,
        reserved: [0; 8],
    };
}

/// The header of a row. Slots of 8 bytes follow, one for each field of the side, in the order of declaration.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiRowHead {
    /// Bit i is set if slot i has a value.
    pub present: u64,
    /// Bit i is set if text slot i refers to bytes in the tail, and clear if it holds a text value.
    pub inline_text: u64,
}

/// The answer for one candidate.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiAnswer {
    /// The logit; NaN if the candidate was not scored.
    pub logit: f64,
    /// The probability, in (0, 1); NaN if the candidate was not scored.
    pub probability: f32,
    /// `OMOMI_CANDIDATE_SCORED`, or the reason why the candidate was not scored.
    pub status: u32,
}

/// Block alignment: a cache line.
const BLOCK_ALIGNMENT: usize = 64;

/// Creates an empty request of a layout, with a block of the library's. Open one for each thread, with the scorer.
/// Close it with `omomi_request_close`.
///
/// # Safety
///
/// `layout` is null or open; `out_request` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_open(
    layout: *const OmomiLayout,
    out_request: *mut OmomiRequest,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        // SAFETY: the caller's promise.
        unsafe { open(layout, out_request) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a request: frees the block, unless that is yours, and sets it to null. Ignores null and a request that is
/// closed.
///
/// # Safety
///
/// `request` is null, zeroed, or open, and neither it nor a copy of it is used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_request_close(request: *mut OmomiRequest) {
    // SAFETY: the caller's promise.
    let Some(request) = (unsafe { request.as_mut() }) else { return };
    if let (Some(block), 1) = (NonNull::new(request.block), request.owns_block)
        && let Ok(memory) = Layout::from_size_align(request.layout.len_bytes, BLOCK_ALIGNMENT)
    {
        // SAFETY: `open` allocated the block with this length and alignment.
        unsafe { dealloc(block.as_ptr(), memory) };
    }
    (request.block, request.owns_block) = (std::ptr::null_mut(), 0);
}

/// Allocates the block of a request, and writes the request.
///
/// # Safety
///
/// `out_request` must be null or writable.
pub(super) unsafe fn open(of_layout: &RequestLayout, out_request: *mut OmomiRequest) -> Result<(), Error> {
    let out_request = output(out_request, "out_request")?;
    hear_panics();
    let info = OmomiLayoutInfo::of(of_layout);
    let out_of_memory = || Error::OutOfMemory { what: "a request", needed: info.len_bytes as u64 };
    let memory = Layout::from_size_align(info.len_bytes, BLOCK_ALIGNMENT).map_err(|_| out_of_memory())?;
    // SAFETY: a block has at least its header.
    let block = unsafe { alloc_zeroed(memory) };
    if block.is_null() {
        return Err(out_of_memory());
    }
    // SAFETY: the header is inside the block, and aligned.
    unsafe { block.add(layout::LAYOUT_VERSION_OFFSET).cast::<u32>().write(OMOMI_LAYOUT_VERSION) };
    // SAFETY: not null, and the caller promises that it can be written.
    unsafe { out_request.write(OmomiRequest { block, layout: info, owns_block: 1, reserved: 0 }) };
    Ok(())
}

const _: () = {
    assert!(OMOMI_LAYOUT_VERSION == layout::LAYOUT_VERSION);
    assert!(OMOMI_MAX_VALUES_PER_FIELD == MAX_VALUES_PER_FIELD);
    assert!(OMOMI_CANDIDATE_OUTSIDE_TAIL == RowProblem::OutsideTail as u32);
    assert!(OMOMI_CANDIDATE_NOT_UTF8 == RowProblem::NotUtf8 as u32);
    assert!(OMOMI_CANDIDATE_TOO_MANY_VALUES == RowProblem::TooManyValues as u32);
    assert!(OMOMI_CANDIDATE_NO_CANDIDATE == RowProblem::NoCandidate as u32);
    assert!(OMOMI_CANDIDATE_NOT_FILLED == RowProblem::NotFilled as u32);
    assert!(OMOMI_CANDIDATE_LATE == CandidateStatus::Late.number());
    assert!(OMOMI_CANDIDATE_SCORED == CandidateStatus::Scored.number());
    assert!(OMOMI_CANDIDATE_NOT_COMPUTED == CandidateStatus::NotComputed.number());

    assert!(size_of::<OmomiHeader>() == layout::HEADER_LEN);
    assert!(offset_of!(OmomiHeader, layout_version) == layout::LAYOUT_VERSION_OFFSET);
    assert!(offset_of!(OmomiHeader, tail_used_bytes) == layout::TAIL_USED_OFFSET);
    assert!(offset_of!(OmomiHeader, filled_count) == layout::FILLED_COUNT_OFFSET);
    assert!(offset_of!(OmomiHeader, gap_count) == layout::GAP_COUNT_OFFSET);
    assert!(offset_of!(OmomiHeader, refusal) == layout::REFUSAL_OFFSET);
    assert!(offset_of!(OmomiHeader, refused_row) == layout::REFUSED_ROW_OFFSET);
    assert!(offset_of!(OmomiHeader, refused_field) == layout::REFUSED_FIELD_OFFSET);
    assert!(offset_of!(OmomiHeader, refused_row_type) == layout::REFUSED_ROW_TYPE_OFFSET);
    assert!(offset_of!(OmomiHeader, is_answered) == layout::IS_ANSWERED_OFFSET);
    assert!(offset_of!(OmomiHeader, answered_count) == layout::ANSWERED_COUNT_OFFSET);

    assert!(size_of::<OmomiOutcome>() == layout::OUTCOME_LEN);
    assert!(offset_of!(OmomiOutcome, generation) == layout::GENERATION_OFFSET);
    assert!(offset_of!(OmomiOutcome, scored_count) == layout::SCORED_COUNT_OFFSET);
    assert!(offset_of!(OmomiOutcome, refused_count) == layout::REFUSED_COUNT_OFFSET);
    assert!(offset_of!(OmomiOutcome, late_count) == layout::LATE_COUNT_OFFSET);
    assert!(offset_of!(OmomiOutcome, unseen_count) == layout::UNSEEN_COUNT_OFFSET);
    assert!(offset_of!(OmomiOutcome, missing_count) == layout::MISSING_COUNT_OFFSET);
    assert!(offset_of!(OmomiOutcome, invalid_number_count) == layout::INVALID_NUMBER_COUNT_OFFSET);

    assert!(size_of::<OmomiRowHead>() == layout::ROW_SLOTS_OFFSET);
    assert!(offset_of!(OmomiRowHead, present) == layout::ROW_PRESENT_OFFSET);
    assert!(offset_of!(OmomiRowHead, inline_text) == layout::ROW_INLINE_TEXT_OFFSET);
    assert!(size_of::<u64>() == layout::SLOT_LEN);

    assert!(size_of::<OmomiAnswer>() == layout::ANSWER_LEN);
    assert!(offset_of!(OmomiAnswer, logit) == layout::ANSWER_LOGIT_OFFSET);
    assert!(offset_of!(OmomiAnswer, probability) == layout::ANSWER_PROBABILITY_OFFSET);
    assert!(offset_of!(OmomiAnswer, status) == layout::ANSWER_STATUS_OFFSET);
};
