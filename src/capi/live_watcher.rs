//! Watchers: wait for changes in a live model, for C.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::boundary::{Growing, Output, close, growing, into_handle, output, reference, status, write_message};
use super::live::{OmomiLive, OmomiServingState, own_live, serving_state};
use super::{OMOMI_MESSAGE_CAPACITY_BYTES, OMOMI_OWNER_NONE, OmomiError, OmomiOwner, OmomiStatus, boundary, owner};
use crate::live::{LiveChange, LiveWatcher, Reason};

/// Waits for changes in a live model, on a thread of yours. One thread uses it at a time.
#[derive(Debug)]
pub struct OmomiLiveWatcher(Mutex<LiveWatcher>);

/// What has changed: one of `OMOMI_LIVE_CHANGE_...`. Later versions may add changes: ignore those that you do not know.
pub type OmomiLiveChangeKind = u32;
/// Nothing, until the timeout.
pub const OMOMI_LIVE_CHANGE_NONE: OmomiLiveChangeKind = 0;
/// Another generation, or the first one, answers: `generation`.
pub const OMOMI_LIVE_CHANGE_SWAP: OmomiLiveChangeKind = 1;
/// Requests begin or cease to get answers: `state`.
pub const OMOMI_LIVE_CHANGE_STATE: OmomiLiveChangeKind = 2;
/// There is a new problem: `reason`, `owner` and `text`.
pub const OMOMI_LIVE_CHANGE_REASON: OmomiLiveChangeKind = 3;
/// A problem is over: `reason`, `owner` and `text`.
pub const OMOMI_LIVE_CHANGE_REASON_GONE: OmomiLiveChangeKind = 4;

/// A change in a live model. Members that a change has no use for are 0.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiLiveChange {
    /// `sizeof(OmomiLiveChange)`, set by the caller.
    pub size_bytes: usize,
    /// One of `OMOMI_LIVE_CHANGE_...`.
    pub kind: OmomiLiveChangeKind,
    /// Whether requests get answers.
    pub state: OmomiServingState,
    /// The generation that answers.
    pub generation: u64,
    /// The problem.
    pub reason: OmomiStatus,
    /// Who must act on it.
    pub owner: OmomiOwner,
    /// What was expected, what was found and what to do, as UTF-8 with a null byte at its end.
    pub text: [c_char; OMOMI_MESSAGE_CAPACITY_BYTES],
}

growing!(OmomiLiveChange from reason);

/// Opens a watcher of a live model. It keeps what it needs, so closing the live model does not affect it. Close it with
/// `omomi_live_watcher_close`.
///
/// # Safety
///
/// `live` is null or open; `out_watcher` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_watcher_open(
    live: *const OmomiLive,
    out_watcher: *mut *mut OmomiLiveWatcher,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let live = unsafe { own_live(live, "live") }?;
        let out_watcher = output(out_watcher, "out_watcher")?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_watcher.write(into_handle(OmomiLiveWatcher(Mutex::new(live.watcher())))) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a watcher. Ignores null.
///
/// # Safety
///
/// `watcher` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_watcher_close(watcher: *mut OmomiLiveWatcher) {
    // SAFETY: the caller's promise.
    unsafe { close(watcher) };
}

/// Writes the next change, and waits for it up to `timeout_ms` milliseconds (`UINT64_MAX` for no limit). Writes
/// `OMOMI_LIVE_CHANGE_NONE` if there is none by then. The first changes are the generation that answers, the state, and
/// all current problems. What happens and is over between two calls may not be told; `omomi_live_metrics` counts it.
/// Requests do not notice it. The caller sets `out_change->size_bytes` first (`OMOMI_LIVE_CHANGE_INIT` does).
///
/// Returns `OMOMI_STATUS_CLOSED` once the live model is closed and all changes are told, also to a thread that waits.
///
/// # Safety
///
/// `watcher` is null or open; `out_change` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_watcher_next(
    watcher: *mut OmomiLiveWatcher,
    timeout_ms: u64,
    out_change: *mut OmomiLiveChange,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let watcher = &unsafe { reference(watcher.cast_const(), "watcher") }?.0;
        // SAFETY: the caller's promise.
        let out_change = unsafe { Output::new(out_change, "out_change") }?;
        let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
        out_change.write(of_rust(watcher.next(Duration::from_millis(timeout_ms))?));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

fn of_rust(change: Option<LiveChange>) -> OmomiLiveChange {
    let none = OmomiLiveChange {
        size_bytes: 0,
        kind: OMOMI_LIVE_CHANGE_NONE,
        state: 0,
        generation: 0,
        reason: boundary::OK,
        owner: OMOMI_OWNER_NONE,
        text: [0; OMOMI_MESSAGE_CAPACITY_BYTES],
    };
    let of_reason = |kind, reason: Reason, mut change: OmomiLiveChange| {
        (change.kind, change.reason, change.owner) = (kind, reason.code as OmomiStatus, owner(reason.owner()));
        let place = change.text.as_mut_ptr().cast();
        // SAFETY: the text has that many bytes.
        unsafe { write_message(place, OMOMI_MESSAGE_CAPACITY_BYTES, |out| out.write_str(&reason.text)) };
        change
    };
    match change {
        None => none,
        Some(LiveChange::Swap(served)) => {
            OmomiLiveChange { kind: OMOMI_LIVE_CHANGE_SWAP, generation: served.generation, ..none }
        }
        Some(LiveChange::State(state)) => {
            OmomiLiveChange { kind: OMOMI_LIVE_CHANGE_STATE, state: serving_state(state), ..none }
        }
        Some(LiveChange::Reason(reason)) => of_reason(OMOMI_LIVE_CHANGE_REASON, reason, none),
        Some(LiveChange::ReasonGone(reason)) => of_reason(OMOMI_LIVE_CHANGE_REASON_GONE, reason, none),
    }
}
