//! The parts of a request block that C sees as structs; `request/REQUEST.md` specifies them.

use std::mem::offset_of;

use crate::error::RowProblem;
use crate::request::{CandidateStatus, MAX_VALUES_PER_FIELD, layout};

/// The version of the request block's layout, the first word of its header.
pub const OMOMI_LAYOUT_VERSION: u32 = 1;

/// Most values of a `many` field in one row.
pub const OMOMI_MAX_VALUES_PER_FIELD: usize = 1024;

/// In `OmomiAnswer.status`: the candidate has a logit and a probability.
pub const OMOMI_CANDIDATE_SCORED: u32 = 0;
/// In `OmomiAnswer.status`: a text or a list of its row lies outside the part of the tail that is in use.
pub const OMOMI_CANDIDATE_OUTSIDE_TAIL: u32 = 1;
/// In `OmomiAnswer.status`: a text of its row is not UTF-8.
pub const OMOMI_CANDIDATE_NOT_UTF8: u32 = 2;
/// In `OmomiAnswer.status`: a list of its row has more than `OMOMI_MAX_VALUES_PER_FIELD` values.
pub const OMOMI_CANDIDATE_TOO_MANY_VALUES: u32 = 3;
/// In `OmomiAnswer.status`: the candidate set holds no candidate at that index.
pub const OMOMI_CANDIDATE_NO_CANDIDATE: u32 = 4;
/// In `OmomiAnswer.status`: the time was up before the candidate was reached.
pub const OMOMI_CANDIDATE_LATE: u32 = 5;

/// The front of a request block. The caller writes the first two members: `omomi_request_init` and the setters do.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiHeader {
    /// `OMOMI_LAYOUT_VERSION`.
    pub layout_version: u32,
    /// Bytes of the tail that this request uses.
    pub tail_used_bytes: u32,
    /// Left alone.
    pub reserved: [u32; 14],
}

/// The front of a model's result, which predict writes: what happened. The answers follow.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiOutcome {
    /// Generation of the model that answered.
    pub generation: u64,
    /// Candidates with a probability.
    pub scored_count: u32,
    /// Candidates that were refused, each with its status in its answer.
    pub refused_count: u32,
    /// Candidates that were not reached before the time was up.
    pub late_count: u32,
    /// Categories for which the model has no weight: of the context once, of each scored candidate; crosses not counted.
    pub unseen_count: u32,
    /// Fields that the model reads and a row leaves empty: of the context once, of each scored candidate.
    pub missing_count: u32,
    /// Numbers out of range or NaN; they count as missing as well.
    pub invalid_number_count: u32,
    /// Left alone.
    pub reserved: [u32; 8],
}

/// The front of a row. Slots of 8 bytes follow, one for each field of the side in the order of declaration.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiRowHead {
    /// Bit i: slot i has a value.
    pub present: u64,
    /// Bit i: text slot i refers to bytes in the tail; clear where it holds a text value.
    pub inline_text: u64,
}

/// The answer for one candidate.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiAnswer {
    /// The logit; NaN where the candidate was not scored.
    pub logit: f64,
    /// The probability, in (0, 1); NaN where the candidate was not scored.
    pub probability: f32,
    /// `OMOMI_CANDIDATE_SCORED`, or why the candidate was not.
    pub status: u32,
}

const _: () = {
    assert!(OMOMI_LAYOUT_VERSION == layout::LAYOUT_VERSION);
    assert!(OMOMI_MAX_VALUES_PER_FIELD == MAX_VALUES_PER_FIELD);
    assert!(OMOMI_CANDIDATE_OUTSIDE_TAIL == RowProblem::OutsideTail as u32);
    assert!(OMOMI_CANDIDATE_NOT_UTF8 == RowProblem::NotUtf8 as u32);
    assert!(OMOMI_CANDIDATE_TOO_MANY_VALUES == RowProblem::TooManyValues as u32);
    assert!(OMOMI_CANDIDATE_NO_CANDIDATE == RowProblem::NoCandidate as u32);
    assert!(OMOMI_CANDIDATE_LATE == CandidateStatus::Late.number());

    assert!(size_of::<OmomiHeader>() == layout::HEADER_LEN);
    assert!(offset_of!(OmomiHeader, layout_version) == layout::LAYOUT_VERSION_OFFSET);
    assert!(offset_of!(OmomiHeader, tail_used_bytes) == layout::TAIL_USED_OFFSET);

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
