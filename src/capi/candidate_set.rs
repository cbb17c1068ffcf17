//! Sets of prepared candidates, for C.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::boundary::{check_block, close, into_handle, output, reference, status};
use super::layout::OmomiLayout;
use super::{OmomiError, OmomiStatus};
use crate::score::CandidateSet;

/// Candidates that requests name by index. Creatives live for hours, so their rows are passed once, and each model's
/// share of the work on them is done in advance. Any number of threads may add, replace and remove candidates while
/// others score. A request scores each candidate as it was before a change or after it, never as a mixture, and no
/// predict waits.
#[derive(Debug)]
pub struct OmomiCandidateSet(pub(super) Arc<CandidateSet>);

/// Creates an empty set for up to `candidate_capacity` candidates (1 to 1,048,576). Their rows will come from requests
/// of `layout`, which has inline candidates. A `many` field of a row may have up to `values_per_field` values (0 to
/// `OMOMI_MAX_VALUES_PER_FIELD`); memory for that many is reserved. Close the set with `omomi_candidate_set_close`.
///
/// # Safety
///
/// `layout` is null or open; `out_set` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_open(
    layout: *const OmomiLayout,
    candidate_capacity: usize,
    values_per_field: usize,
    out_set: *mut *mut OmomiCandidateSet,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let layout = &unsafe { reference(layout, "layout") }?.0;
        let out_set = output(out_set, "out_set")?;
        let set = CandidateSet::new(layout, candidate_capacity, values_per_field)?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_set.write(into_handle(OmomiCandidateSet(Arc::new(set)))) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a candidate set. Scorers that were opened with it continue to work with its last candidates. Ignores null.
///
/// # Safety
///
/// `set` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_close(set: *mut OmomiCandidateSet) {
    // SAFETY: the caller's promise.
    unsafe { close(set) };
}

/// Adds the row of candidate `candidate` (counted from 0) of the request in `block`, and writes its index in the set,
/// which is the lowest free one. The context row is not read.
///
/// Returns `OMOMI_STATUS_TOO_MANY_CANDIDATES` if the set is full or the request has no such row. Returns
/// `OMOMI_STATUS_INVALID_ARGUMENT`, with the field's name in the message, if the row cannot be read or has more values
/// than the set allows. After an error, the set is unchanged.
///
/// # Safety
///
/// `set` is null or open; `block` is null or points to `block_len_bytes` readable bytes; `out_index` and
/// `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_add(
    set: *mut OmomiCandidateSet,
    block: *const c_void,
    block_len_bytes: usize,
    candidate: usize,
    out_index: *mut u32,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let set = &unsafe { reference(set, "set") }?.0;
        check_block(set.layout(), block, block_len_bytes)?;
        let out_index = output(out_index, "out_index")?;
        // SAFETY: the block has, by the caller's promise, the length that was just checked, and is only read.
        let index = unsafe { set.add_block(block.cast_mut().cast(), candidate) }?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_index.write(index) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Puts the row of candidate `candidate` (counted from 0) of the request in `block` at `index`, replacing the candidate
/// there, if any.
///
/// Fails like `omomi_candidate_set_add`. Also returns `OMOMI_STATUS_INVALID_ARGUMENT` if `index` is not below the set's
/// capacity.
///
/// # Safety
///
/// `set` is null or open; `block` is null or points to `block_len_bytes` readable bytes; `error` is null
/// or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_put(
    set: *mut OmomiCandidateSet,
    index: u32,
    block: *const c_void,
    block_len_bytes: usize,
    candidate: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let set = &unsafe { reference(set, "set") }?.0;
        check_block(set.layout(), block, block_len_bytes)?;
        // SAFETY: the block has, by the caller's promise, the length that was just checked, and is only read.
        unsafe { set.put_block(index, block.cast_mut().cast(), candidate) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Removes the candidate at `index`. Unless `out_removed` is null, writes 1 to it if there was a candidate, otherwise
/// 0. Later requests that name it get `OMOMI_CANDIDATE_NO_CANDIDATE`.
///
/// Returns `OMOMI_STATUS_INVALID_ARGUMENT` if `index` is not below the set's capacity.
///
/// # Safety
///
/// `set` is null or open; `out_removed` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_remove(
    set: *mut OmomiCandidateSet,
    index: u32,
    out_removed: *mut u32,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let set = &unsafe { reference(set, "set") }?.0;
        let removed = set.remove(index)?;
        if let Some(out_removed) = NonNull::new(out_removed) {
            // SAFETY: not null, and the caller promises that it can be written.
            unsafe { out_removed.write(u32::from(removed)) };
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Writes the number of candidates in a set.
///
/// # Safety
///
/// `set` is null or open; `out_count` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_count(
    set: *const OmomiCandidateSet,
    out_count: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let set = &unsafe { reference(set, "set") }?.0;
        let out_count = output(out_count, "out_count")?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_count.write(set.candidate_count()) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}
