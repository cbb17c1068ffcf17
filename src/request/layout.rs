//! The layout of a request block: where each value of a request is stored, for every language.

use std::sync::Arc;

use super::{RowType, Schema};
use crate::contract::Side;
use crate::error::{Code, Error, RowProblem};

/// Largest number of values of a `many` field in one row.
pub const MAX_VALUES_PER_FIELD: usize = 1_024;
/// Largest number of candidates in a request's layout.
pub const MAX_CANDIDATES: usize = 65_536;
/// Largest number of models that score one request.
pub const MAX_MODELS: usize = 16;
/// Longest tail of a request, in bytes.
pub const MAX_TAIL_LEN_BYTES: usize = 64 << 20;

/// Version of the block's layout, which is the first word of the header.
pub const LAYOUT_VERSION: u32 = 1;
/// Layout version: u32.
pub const LAYOUT_VERSION_OFFSET: usize = 0;
/// Bytes of the tail that this request uses: u32, written by the caller.
pub const TAIL_USED_OFFSET: usize = LAYOUT_VERSION_OFFSET + size_of::<u32>();
/// Candidates that this request has begun: u32, written by the caller. Each candidate below is filled or is a gap.
pub const FILLED_COUNT_OFFSET: usize = TAIL_USED_OFFSET + size_of::<u32>();
/// Gaps among the candidates that this request has begun: u32, written by the caller.
pub const GAP_COUNT_OFFSET: usize = FILLED_COUNT_OFFSET + size_of::<u32>();
/// Number of the first refusal of a setter, or 0: u32, written by the caller.
pub const REFUSAL_OFFSET: usize = GAP_COUNT_OFFSET + size_of::<u32>();
/// The candidate of the first refusal, or [`REFUSED_IN_CONTEXT`]: u32, written by the caller.
pub const REFUSED_ROW_OFFSET: usize = REFUSAL_OFFSET + size_of::<u32>();
/// The index of the field of the first refusal: u32, written by the caller.
pub const REFUSED_FIELD_OFFSET: usize = REFUSED_ROW_OFFSET + size_of::<u32>();
/// The type of the row that the slot of the first refusal belongs to: u32, written by the caller.
pub const REFUSED_ROW_TYPE_OFFSET: usize = REFUSED_FIELD_OFFSET + size_of::<u32>();
/// Whether the last predict gave answers: 1, [`ANSWERED_BY_FALLBACK`] or 0: u32, written by predict.
pub const IS_ANSWERED_OFFSET: usize = REFUSED_ROW_TYPE_OFFSET + size_of::<u32>();
/// Candidates that the last predict gave answers for: u32, written by predict.
pub const ANSWERED_COUNT_OFFSET: usize = IS_ANSWERED_OFFSET + size_of::<u32>();
/// Length of the header.
pub const HEADER_LEN: usize = 64;

/// In place of 1: a fallback file gave the answers.
pub const ANSWERED_BY_FALLBACK: u32 = 2;
/// In place of a bucket: the request has no unit.
pub const NO_BUCKET: u32 = u32::MAX;
/// In place of the candidate of a refusal: it was in the context.
pub const REFUSED_IN_CONTEXT: u32 = u32::MAX;

/// The second word of a row that is a gap: no field is set, and every text refers to bytes.
pub const GAP_INLINE_TEXT: u64 = u64::MAX;
/// The index of a prepared candidate that is a gap.
pub const GAP_INDEX: u32 = u32::MAX;

/// In an outcome: generation of the model that answered: u64.
pub const GENERATION_OFFSET: usize = 0;
/// Candidates with a probability: u32.
pub const SCORED_COUNT_OFFSET: usize = GENERATION_OFFSET + size_of::<u64>();
/// Candidates that were refused, each with its status: u32.
pub const REFUSED_COUNT_OFFSET: usize = SCORED_COUNT_OFFSET + size_of::<u32>();
/// Candidates that were not reached within the time limit: u32.
pub const LATE_COUNT_OFFSET: usize = REFUSED_COUNT_OFFSET + size_of::<u32>();
/// Categories without a weight: u32.
pub const UNSEEN_COUNT_OFFSET: usize = LATE_COUNT_OFFSET + size_of::<u32>();
/// Fields without a value: u32.
pub const MISSING_COUNT_OFFSET: usize = UNSEEN_COUNT_OFFSET + size_of::<u32>();
/// Numbers out of range or NaN: u32.
pub const INVALID_NUMBER_COUNT_OFFSET: usize = MISSING_COUNT_OFFSET + size_of::<u32>();
/// The arm of an experiment that answered, as its log ring knows it: its number plus 1, or 0 for none: u32. Only a
/// scorer of an experiment writes it.
pub const ARM_OFFSET: usize = INVALID_NUMBER_COUNT_OFFSET + size_of::<u32>();
/// The bucket of the request's unit, or [`NO_BUCKET`]: u32. Only a scorer of an experiment writes it.
pub const BUCKET_OFFSET: usize = ARM_OFFSET + size_of::<u32>();
/// Length of an outcome.
pub const OUTCOME_LEN: usize = 64;

/// In a row: bit `i` is set if the slot with index `i` has a value: u64.
pub const ROW_PRESENT_OFFSET: usize = 0;
/// In a row: bit `i` is set if the text slot with index `i` refers to bytes in the tail instead of holding a hash:
/// u64.
pub const ROW_INLINE_TEXT_OFFSET: usize = ROW_PRESENT_OFFSET + size_of::<u64>();
/// In a row: the first slot.
pub const ROW_SLOTS_OFFSET: usize = ROW_INLINE_TEXT_OFFSET + size_of::<u64>();
/// Length of a slot, and of a value in the tail.
pub const SLOT_LEN: usize = size_of::<u64>();

/// In a reference to the tail: the number of bits of the length, or of the number of values. The bits above it are the
/// room class of a value that replaced another one: `n` for `2^n` bytes, and 0 for as many bytes as it takes.
pub const REFERENCE_LEN_BITS: u32 = 27;

/// In an answer: the logit: f64.
pub const ANSWER_LOGIT_OFFSET: usize = 0;
/// In an answer: the probability: f32.
pub const ANSWER_PROBABILITY_OFFSET: usize = ANSWER_LOGIT_OFFSET + size_of::<f64>();
/// In an answer: the candidate's status: u32.
pub const ANSWER_STATUS_OFFSET: usize = ANSWER_PROBABILITY_OFFSET + size_of::<f32>();
/// Length of an answer.
pub const ANSWER_LEN: usize = ANSWER_STATUS_OFFSET + size_of::<u32>();

/// Length of the index of a prepared candidate.
pub const INDEX_LEN: usize = size_of::<u32>();

const _: () = assert!(ANSWERED_COUNT_OFFSET + size_of::<u32>() <= HEADER_LEN);
const _: () = assert!(BUCKET_OFFSET + size_of::<u32>() <= OUTCOME_LEN);
const _: () = assert!(ANSWER_LEN == 16);
const _: () = assert!(MAX_TAIL_LEN_BYTES < 1 << REFERENCE_LEN_BITS);

/// The capacity of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Largest number of candidates, 1 to [`MAX_CANDIDATES`].
    pub candidates: usize,
    /// Bytes for texts and for values of `many` fields, up to [`MAX_TAIL_LEN_BYTES`]. Rounded up to a multiple of 8.
    pub tail_len_bytes: usize,
}

/// How a request names its candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// By rows in the request.
    Inline,
    /// By indices in a [`CandidateSet`](crate::CandidateSet), which holds the rows.
    Prepared,
}

/// The layout of a request block. It follows only from the schema, the capacity, how candidates are named, and the
/// number of models. Cheap to clone.
///
#[doc = include_str!("REQUEST.md")]
#[derive(Debug, Clone)]
pub struct RequestLayout {
    schema: Arc<Schema>,
    /// The names of the fields, shared with errors of the request path, which must not allocate.
    names: Arc<FieldNames>,
    capacity: Capacity,
    candidates: Candidates,
    model_count: usize,
    offsets: Offsets,
}

/// What the errors of a request call its fields.
#[derive(Debug)]
struct FieldNames {
    context: Vec<Arc<str>>,
    candidate: Vec<Arc<str>>,
    foreign: Arc<str>,
    candidate_itself: Arc<str>,
}

impl FieldNames {
    fn new(schema: &Schema) -> Self {
        let of = |side| schema.fields(side).iter().map(|field| format!("field `{}`", field.name).into()).collect();
        Self {
            context: of(Side::Context),
            candidate: of(Side::Candidate),
            foreign: "a slot of another schema, or one that was never filled,".into(),
            candidate_itself: "the row".into(),
        }
    }
}

/// Byte offsets of a request block. All starts are multiples of 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// Start of the context row.
    pub context_offset: usize,
    /// Start of the first candidate row, or of the first index.
    pub candidates_offset: usize,
    /// Distance between two candidate rows; for prepared candidates, between two indices: 4.
    pub candidate_stride_bytes: usize,
    /// Start of the first model's result: its outcome, then its answers.
    pub results_offset: usize,
    /// Distance between the results of two models.
    pub result_stride_bytes: usize,
    /// Start of the tail.
    pub tail_offset: usize,
    /// Length of the whole block.
    pub len_bytes: usize,
}

impl RequestLayout {
    /// Returns the layout of requests with up to `capacity` under `schema`, whose candidates are rows in the request.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if `capacity` is outside its limits.
    pub fn new(schema: &Schema, capacity: Capacity) -> Result<Self, Error> {
        Self::with(Arc::new(schema.clone()), None, capacity, Candidates::Inline, 1)
    }

    /// Returns the layout of requests with up to `capacity` under `schema`, which name prepared candidates by their
    /// indices.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if `capacity` is outside its limits.
    pub fn prepared(schema: &Schema, capacity: Capacity) -> Result<Self, Error> {
        Self::with(Arc::new(schema.clone()), None, capacity, Candidates::Prepared, 1)
    }

    /// Returns this layout with answers of `model_count` models, which score a request in one call.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if `model_count` is not 1 to [`MAX_MODELS`].
    pub fn for_models(&self, model_count: usize) -> Result<Self, Error> {
        let names = Some(Arc::clone(&self.names));
        Self::with(Arc::clone(&self.schema), names, self.capacity, self.candidates, model_count)
    }

    /// Returns the layout of the same blocks for one model, whose result is that of model `model` of this layout.
    pub(crate) fn of_result(&self, model: usize) -> Self {
        let mut offsets = self.offsets;
        offsets.results_offset += model * offsets.result_stride_bytes;
        Self { model_count: 1, offsets, ..self.clone() }
    }

    fn with(
        schema: Arc<Schema>,
        names: Option<Arc<FieldNames>>,
        capacity: Capacity,
        candidates: Candidates,
        model_count: usize,
    ) -> Result<Self, Error> {
        if capacity.candidates == 0 || capacity.candidates > MAX_CANDIDATES {
            let problem = format!("expected 1 to {MAX_CANDIDATES} candidates, found {}", capacity.candidates);
            return Err(Error::InvalidArgument { argument: "capacity", problem });
        }
        if capacity.tail_len_bytes > MAX_TAIL_LEN_BYTES {
            let problem =
                format!("expected a tail of at most {MAX_TAIL_LEN_BYTES} bytes, found {}", capacity.tail_len_bytes);
            return Err(Error::InvalidArgument { argument: "capacity", problem });
        }
        if model_count == 0 || model_count > MAX_MODELS {
            let problem = format!("expected 1 to {MAX_MODELS} models, found {model_count}");
            return Err(Error::InvalidArgument { argument: "model count", problem });
        }
        let capacity = Capacity { tail_len_bytes: capacity.tail_len_bytes.next_multiple_of(8), ..capacity };
        let row_len = |side| ROW_SLOTS_OFFSET + schema.fields(side).len() * SLOT_LEN;
        let context_offset = HEADER_LEN;
        let candidates_offset = context_offset + row_len(Side::Context);
        let candidate_stride_bytes = match candidates {
            Candidates::Inline => row_len(Side::Candidate),
            Candidates::Prepared => INDEX_LEN,
        };
        let results_offset = candidates_offset + (capacity.candidates * candidate_stride_bytes).next_multiple_of(8);
        let result_stride_bytes = OUTCOME_LEN + capacity.candidates * ANSWER_LEN;
        let tail_offset = results_offset + model_count * result_stride_bytes;
        let offsets = Offsets {
            context_offset,
            candidates_offset,
            candidate_stride_bytes,
            results_offset,
            result_stride_bytes,
            tail_offset,
            len_bytes: tail_offset + capacity.tail_len_bytes,
        };
        let names = names.unwrap_or_else(|| Arc::new(FieldNames::new(&schema)));
        Ok(Self { schema, names, capacity, candidates, model_count, offsets })
    }

    /// Returns the schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns what an error calls a field whose value was refused: the one with this index in rows of type `row_type`.
    /// Does not allocate.
    pub(crate) fn refused_name(&self, row_type: u32, field: u32, code: Code) -> Arc<str> {
        let is_of = |side| self.schema.row_type(side) == RowType(row_type);
        let names = match (is_of(Side::Context), is_of(Side::Candidate)) {
            (true, _) => &*self.names.context,
            (_, true) => &self.names.candidate,
            _ => &[],
        };
        let name = usize::try_from(field).ok().and_then(|field| names.get(field));
        let other = match code {
            Code::TooManyCandidates | Code::InvalidArgument => &self.names.candidate_itself,
            _ => &self.names.foreign,
        };
        Arc::clone(name.unwrap_or(other))
    }

    /// Returns the capacity, its tail rounded up to a multiple of 8.
    #[must_use]
    pub const fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Returns how requests name their candidates.
    #[must_use]
    pub const fn candidates(&self) -> Candidates {
        self.candidates
    }

    /// Returns the number of models that score a request.
    #[must_use]
    pub const fn model_count(&self) -> usize {
        self.model_count
    }

    /// Returns the byte offsets.
    #[must_use]
    pub const fn offsets(&self) -> Offsets {
        self.offsets
    }
}

/// The status of a candidate's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateStatus {
    /// No predict has given an answer for the candidate.
    NotComputed,
    /// The candidate has a logit and a probability.
    Scored,
    /// The candidate could not be read, so it has neither.
    Refused(RowProblem),
    /// The time limit passed before the candidate was reached, so it has neither.
    Late,
}

/// The number of [`CandidateStatus::Scored`] in an answer. It is not that of memory that nobody wrote.
const SCORED_NUMBER: u32 = 1;
/// The number of [`CandidateStatus::Late`] in an answer.
const LATE_NUMBER: u32 = 7;

impl CandidateStatus {
    /// Returns the number in the answer: 1 if the candidate was scored, 0 if no predict has given an answer.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::NotComputed => 0,
            Self::Scored => SCORED_NUMBER,
            Self::Refused(problem) => problem as u32,
            Self::Late => LATE_NUMBER,
        }
    }

    /// Returns the status with that number.
    #[inline]
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        // Nearly all.
        if number == SCORED_NUMBER { Some(Self::Scored) } else { Self::other_from_number(number) }
    }

    #[cold]
    fn other_from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::NotComputed),
            LATE_NUMBER => Some(Self::Late),
            _ => RowProblem::ALL.into_iter().find(|problem| *problem as u32 == number).map(Self::Refused),
        }
    }
}
