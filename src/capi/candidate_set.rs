//! Candidates that are handed over once and named by index from then on.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::boundary::{check_block_len, close, into_handle, output, reference, status};
use super::layout::OmomiLayout;
use super::{OmomiError, OmomiStatus};
use crate::score::CandidateSet;

/// Candidates that requests name by index: creatives live for hours, so their rows are handed over once, and each model's share of
/// the work on them is done then. Any number of threads may add, replace and remove candidates while others score: a request scores
/// each candidate as it was before a change or as it is after it, never as a mixture, and no predict waits.
#[derive(Debug)]
pub struct OmomiCandidateSet(pub(super) Arc<CandidateSet>);

/// An empty set for up to `candidate_capacity` candidates (1 to 1,048,576), whose rows will come from requests of `layout`, which
/// has inline candidates. A `many` field of a row may have up to `values_per_field` values (0 to
/// `OMOMI_MAX_VALUES_PER_FIELD`); memory is taken for that many. Close the set with `omomi_candidate_set_close`.
///
/// # Safety
///
/// `layout` is null or open; `out_set` and `error` are null or writable.
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

/// Gives a candidate set back. Scorers that were opened with it go on working with the candidates that it had. Null is left alone.
///
/// # Safety
///
/// `set` is null, or is open and used by nobody from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_close(set: *mut OmomiCandidateSet) {
    // SAFETY: the caller's promise.
    unsafe { close(set) };
}

/// Adds the candidate whose row is that of candidate `candidate` (counted from 0) of the request in `block`, and writes its index in
/// the set: the lowest that is free. The context row is not read.
///
/// `OMOMI_STATUS_TOO_MANY_CANDIDATES` if the set is full or the request has no such row, `OMOMI_STATUS_INVALID_ARGUMENT` with the
/// field's name in the message if the row cannot be read or has more values than the set takes. The set is as it was then.
///
/// # Safety
///
/// `set` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `out_index` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_add(
    set: *const OmomiCandidateSet,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate: usize,
    out_index: *mut u32,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let set = &unsafe { reference(set, "set") }?.0;
        check_block_len(set.layout(), block_len_bytes)?;
        let out_index = output(out_index, "out_index")?;
        // SAFETY: the block is null, or by the caller's promise as long as was just checked.
        let index = unsafe { set.add_block(block.cast(), candidate) }?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_index.write(index) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Puts the candidate whose row is that of candidate `candidate` of the request in `block` at `index`, in place of what was there.
///
/// As `omomi_candidate_set_add` otherwise; `OMOMI_STATUS_INVALID_ARGUMENT` also for an index that is not below the set's capacity.
///
/// # Safety
///
/// `set` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_put(
    set: *const OmomiCandidateSet,
    index: u32,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate: usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let set = &unsafe { reference(set, "set") }?.0;
        check_block_len(set.layout(), block_len_bytes)?;
        // SAFETY: the block is null, or by the caller's promise as long as was just checked.
        unsafe { set.put_block(index, block.cast(), candidate) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Removes the candidate at `index`; whether there was one is written to `out_removed` as 1 or 0, unless that is null. A request that
/// names it from now on gets `OMOMI_CANDIDATE_NO_CANDIDATE` for it.
///
/// `OMOMI_STATUS_INVALID_ARGUMENT` for an index that is not below the set's capacity.
///
/// # Safety
///
/// `set` is null or open; `out_removed` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_candidate_set_remove(
    set: *const OmomiCandidateSet,
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

/// The number of candidates in a set.
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
