//! The layout of request blocks.

use std::ptr::NonNull;

use super::boundary::{check_size, close, into_handle, output, reference, status};
use super::schema::OmomiSchema;
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::request::{Candidates, Capacity, RequestLayout, Schema};

/// The layout of request blocks of one schema and capacity. Immutable: any number of threads may use one layout.
#[derive(Debug)]
pub struct OmomiLayout(pub(super) RequestLayout);

/// How requests name their candidates: one of `OMOMI_CANDIDATES_...`.
pub type OmomiCandidates = u32;
/// By their rows, in the request.
pub const OMOMI_CANDIDATES_INLINE: OmomiCandidates = 0;
/// By their indices in an `OmomiCandidateSet`, which holds their rows.
pub const OMOMI_CANDIDATES_PREPARED: OmomiCandidates = 1;

/// What requests look like. Begin with `OMOMI_LAYOUT_OPTIONS_INIT`, which is for one model and inline candidates.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiLayoutOptions {
    /// `sizeof(OmomiLayoutOptions)`, set by the caller.
    pub size_bytes: usize,
    /// Most candidates of a request, 1 to 65,536.
    pub candidate_capacity: usize,
    /// Bytes for texts and for the values of `many` fields, up to 64 MiB. Those of prepared candidates need none.
    pub tail_len_bytes: usize,
    /// Models that score a request in one call, 1 to 16.
    pub model_count: usize,
    /// One of `OMOMI_CANDIDATES_...`.
    pub candidates: OmomiCandidates,
}

/// Byte offsets of a request block, all multiples of 8, and its capacity.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiOffsets {
    /// `sizeof(OmomiOffsets)`, set by the caller.
    pub size_bytes: usize,
    /// Start of the context row.
    pub context_offset: usize,
    /// Start of the first candidate row, or of the first index.
    pub candidates_offset: usize,
    /// From one candidate row to the next; of prepared candidates, from one index to the next: 4.
    pub candidate_stride_bytes: usize,
    /// Start of the first model's result: its outcome, then its answers.
    pub results_offset: usize,
    /// From one model's result to the next one's.
    pub result_stride_bytes: usize,
    /// Start of the tail.
    pub tail_offset: usize,
    /// Length of the whole block: what to allocate, aligned to 8 bytes, better 64.
    pub len_bytes: usize,
    /// Most candidates of a request.
    pub candidate_capacity: usize,
    /// Length of the tail.
    pub tail_len_bytes: usize,
    /// Models that score a request in one call.
    pub model_count: usize,
    /// One of `OMOMI_CANDIDATES_...`.
    pub candidates: OmomiCandidates,
}

/// The layout of requests of up to `candidate_capacity` candidates (1 to 65,536), with a tail of `tail_len_bytes` (up to
/// 64 MiB) for texts and for the values of `many` fields. Close it with `omomi_layout_close`.
///
/// # Safety
///
/// `schema` is null or open; `out_layout` and `error` are null or writable.
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

/// The same for requests of prepared candidates, or for several models: as `options` say.
///
/// # Safety
///
/// `schema` is null or open; `options` is null or points to its struct; `out_layout` and `error` are null or writable.
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

/// Gives a layout back. Scorers and candidate sets that were opened with it go on working. Null is left alone.
///
/// # Safety
///
/// `layout` is null, or is open and used by nobody from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_close(layout: *mut OmomiLayout) {
    // SAFETY: the caller's promise.
    unsafe { close(layout) };
}

/// Writes the offsets of a layout's request blocks. The caller sets `out_offsets->size_bytes`.
///
/// # Safety
///
/// `layout` is null or open; `out_offsets` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_layout_offsets(
    layout: *const OmomiLayout,
    out_offsets: *mut OmomiOffsets,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_offsets = output(out_offsets, "out_offsets")?;
        // SAFETY: not null, and the caller promises the struct.
        unsafe { check_size(out_offsets, "out_offsets") }?;
        let (offsets, capacity) = (layout.offsets(), layout.capacity());
        let offsets = OmomiOffsets {
            size_bytes: size_of::<OmomiOffsets>(),
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
        };
        // SAFETY: as above.
        unsafe { out_offsets.write(offsets) };
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
/// `options` is null or points to its struct, which lives, unchanged, as long as `'a`.
unsafe fn checked<'a>(options: *const OmomiLayoutOptions) -> Result<&'a OmomiLayoutOptions, Error> {
    let options = NonNull::new(options.cast_mut()).ok_or(Error::NullArgument { argument: "options" })?;
    // SAFETY: the caller's promise.
    unsafe { check_size(options, "options") }?;
    // SAFETY: the caller's promise, and the struct is as long as this library's.
    Ok(unsafe { options.as_ref() })
}
