//! Layouts of request blocks, for C.

use std::ptr::NonNull;

use super::boundary::{Growing, Output, close, growing, into_handle, output, read, reference, status};
use super::schema::OmomiSchema;
use super::{OmomiError, OmomiStatus};
use crate::contract::Side;
use crate::error::Error;
use crate::request::{Candidates, Capacity, RequestLayout, Schema};

/// The layout of request blocks for one schema and capacity. Immutable: any number of threads may use one layout.
#[derive(Debug)]
pub struct OmomiLayout(pub(super) RequestLayout);

/// How requests name their candidates: one of `OMOMI_CANDIDATES_...`.
pub type OmomiCandidates = u32;
/// By their rows in the request.
pub const OMOMI_CANDIDATES_INLINE: OmomiCandidates = 0;
/// By their indices in an `OmomiCandidateSet`, which has their rows.
pub const OMOMI_CANDIDATES_PREPARED: OmomiCandidates = 1;

/// Options of a layout. Begin with `OMOMI_LAYOUT_OPTIONS_INIT`, which is for one model and inline candidates.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiLayoutOptions {
    /// `sizeof(OmomiLayoutOptions)`, set by the caller.
    pub size_bytes: usize,
    /// Maximum number of candidates in a request, 1 to 65,536.
    pub candidate_capacity: usize,
    /// Number of bytes for texts and for the values of `many` fields, up to 64 MiB. Prepared candidates need none.
    pub tail_len_bytes: usize,
    /// Number of models that score a request in one call, 1 to 16.
    pub model_count: usize,
    /// One of `OMOMI_CANDIDATES_...`.
    pub candidates: OmomiCandidates,
}

growing!(OmomiLayoutOptions from model_count);

/// Description of a layout: capacities, row types, and byte offsets in a request block, all multiples of 8. Part of
/// `OmomiRequest`, so it has the same members in all releases with one `OMOMI_ABI_VERSION`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiLayoutInfo {
    /// `sizeof(OmomiLayoutInfo)`, set by the caller.
    pub size_bytes: usize,
    /// Start of the context row.
    pub context_offset: usize,
    /// Start of the first candidate row, or of the first index.
    pub candidates_offset: usize,
    /// Distance between candidate rows, or between the indices of prepared candidates (4).
    pub candidate_stride_bytes: usize,
    /// Start of the first model's result: the outcome, then the answers.
    pub results_offset: usize,
    /// Distance between the results of two models.
    pub result_stride_bytes: usize,
    /// Start of the tail.
    pub tail_offset: usize,
    /// Length of the whole block: allocate this many bytes, aligned to 8 bytes, better 64.
    pub len_bytes: usize,
    /// Maximum number of candidates in a request.
    pub candidate_capacity: usize,
    /// Length of the tail.
    pub tail_len_bytes: usize,
    /// Number of models that score a request in one call.
    pub model_count: usize,
    /// One of `OMOMI_CANDIDATES_...`.
    pub candidates: OmomiCandidates,
    /// The type of the context row: its slots have the same.
    pub context_row_type: u32,
    /// The type of candidate rows: their slots have the same.
    pub candidate_row_type: u32,
}

// SAFETY: declared in this library, for C.
unsafe impl Growing for OmomiLayoutInfo {
    const MIN_LEN_BYTES: usize = size_of::<Self>();
}

impl OmomiLayoutInfo {
    pub(super) fn of(layout: &RequestLayout) -> Self {
        let (offsets, capacity) = (layout.offsets(), layout.capacity());
        Self {
            size_bytes: size_of::<Self>(),
            context_offset: offsets.context_offset,
            candidates_offset: offsets.candidates_offset,
            candidate_stride_bytes: offsets.candidate_stride_bytes,
            results_offset: offsets.results_offset,
            result_stride_bytes: offsets.result_stride_bytes,
            tail_offset: offsets.tail_offset,
            len_bytes: offsets.len_bytes,
            candidate_capacity: capacity.candidates,
            tail_len_bytes: capacity.tail_len_bytes,
            model_count: layout.model_count(),
            candidates: match layout.candidates() {
                Candidates::Inline => OMOMI_CANDIDATES_INLINE,
                Candidates::Prepared => OMOMI_CANDIDATES_PREPARED,
            },
            context_row_type: layout.schema().row_type(Side::Context).0,
            candidate_row_type: layout.schema().row_type(Side::Candidate).0,
        }
    }
}

/// Creates the layout of requests with up to `candidate_capacity` inline candidates (1 to 65,536), for one model. The
/// tail has `tail_len_bytes` (up to 64 MiB) for texts and for the values of `many` fields. Close the layout with
/// `omomi_layout_close`.
///
/// # Safety
///
/// `schema` is null or open; `out_layout` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_open(
    schema: *const OmomiSchema,
    candidate_capacity: usize,
    tail_len_bytes: usize,
    out_layout: *mut *mut OmomiLayout,
    error: *mut OmomiError,
) -> OmomiStatus {
    let capacity = Capacity { candidates: candidate_capacity, tail_len_bytes };
    let layout = |schema: &Schema| RequestLayout::new(schema, capacity);
    // SAFETY: the caller's promise.
    unsafe { status(error, || open(schema, out_layout, layout)) }
}

/// Creates the layout of requests as `options` say: for prepared candidates, or for several models. Close the layout
/// with `omomi_layout_close`.
///
/// # Safety
///
/// `schema` is null or open; `options` is null or points to its struct; `out_layout` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_open_with(
    schema: *const OmomiSchema,
    options: *const OmomiLayoutOptions,
    out_layout: *mut *mut OmomiLayout,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let options = unsafe { checked(options) }?;
        let capacity = Capacity { candidates: options.candidate_capacity, tail_len_bytes: options.tail_len_bytes };
        let layout = |schema: &Schema| match options.candidates {
            OMOMI_CANDIDATES_INLINE => RequestLayout::new(schema, capacity)?.for_models(options.model_count),
            OMOMI_CANDIDATES_PREPARED => RequestLayout::prepared(schema, capacity)?.for_models(options.model_count),
            found => {
                let problem = format!("expected OMOMI_CANDIDATES_INLINE or OMOMI_CANDIDATES_PREPARED, found {found}");
                Err(Error::InvalidArgument { argument: "options->candidates", problem })
            }
        };
        // SAFETY: the caller's promise.
        unsafe { open(schema, out_layout, layout) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a layout. Scorers and candidate sets that were opened with it continue to work. Ignores null.
///
/// # Safety
///
/// `layout` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_close(layout: *mut OmomiLayout) {
    // SAFETY: the caller's promise.
    unsafe { close(layout) };
}

/// Writes the description of a layout. The caller sets `out_info->size_bytes` first.
///
/// # Safety
///
/// `layout` is null or open; `out_info` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_info(
    layout: *const OmomiLayout,
    out_info: *mut OmomiLayoutInfo,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        // SAFETY: the caller's promise.
        let out_info = unsafe { Output::new(out_info, "out_info") }?;
        out_info.write(OmomiLayoutInfo::of(layout));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// # Safety
///
/// `schema` is null or open; `out_layout` is null or writable.
unsafe fn open(
    schema: *const OmomiSchema,
    out_layout: *mut *mut OmomiLayout,
    layout: impl FnOnce(&Schema) -> Result<RequestLayout, Error>,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let schema = &unsafe { reference(schema, "schema") }?.0;
    let out_layout = output(out_layout, "out_layout")?;
    let layout = OmomiLayout(layout(schema)?);
    // SAFETY: not null, and the caller promises that it can be written.
    unsafe { out_layout.write(into_handle(layout)) };
    Ok(())
}

/// # Safety
///
/// `options` must be null or point to its struct.
unsafe fn checked(options: *const OmomiLayoutOptions) -> Result<OmomiLayoutOptions, Error> {
    let options = NonNull::new(options.cast_mut()).ok_or(Error::NullArgument { argument: "options" })?;
    let default = OmomiLayoutOptions {
        size_bytes: 0,
        candidate_capacity: 0,
        tail_len_bytes: 0,
        model_count: 1,
        candidates: OMOMI_CANDIDATES_INLINE,
    };
    // SAFETY: the caller's promise.
    unsafe { read(options, default, "options") }
}
