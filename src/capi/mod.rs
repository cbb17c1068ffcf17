//! The C ABI. Functions check their arguments, call the library and translate the result; there is no logic here.
//! `tests/c/header.rs` generates `include/omomi.h` from these files and compares the two. To write the header again,
//! run `OMOMI_BLESS=1 cargo test --test c header`. It begins with the conventions.
//!
//! A C programmer reads the names and comments here, so they use C terms. Every number that comes from C is checked
//! before it becomes a Rust enum. Every output is written last, when nothing can fail any more.

mod boundary;
mod owner;
/// cbindgen:ignore
mod twins;

// In the order in which a C programmer needs them, which is that of the header. Empty lines keep rustfmt from sorting.
mod version;

mod text;

mod schema;

mod layout;

mod model;

mod scorer;

mod request;

mod candidate_set;

mod live;

mod live_scorer;

mod live_metrics;

mod live_watcher;

mod experiment;

mod serving_log;

mod log_ring;

mod log;

mod feature;

mod test_scorer;

use std::ffi::c_char;

pub use candidate_set::{
    OmomiCandidateSet, omomi_candidate_set_add, omomi_candidate_set_close, omomi_candidate_set_count,
    omomi_candidate_set_open, omomi_candidate_set_put, omomi_candidate_set_remove,
};
pub use experiment::{
    OMOMI_EXPLORATION_EPSILON, OMOMI_EXPLORATION_NONE, OMOMI_EXPLORATION_SOFTMAX, OmomiAnswered, OmomiChoice,
    OmomiExperiment, OmomiExperimentScorer, OmomiExploration, omomi_answered_choose, omomi_experiment_bucket,
    omomi_experiment_close, omomi_experiment_look_now, omomi_experiment_open, omomi_experiment_prometheus,
    omomi_experiment_scorer_arm, omomi_experiment_scorer_close, omomi_experiment_scorer_hand_over,
    omomi_experiment_scorer_logic_id, omomi_experiment_scorer_open, omomi_experiment_scorer_predict,
    omomi_experiment_scorer_predict_fallback, omomi_experiment_status_json,
};
pub use feature::{omomi_cross_key, omomi_feature_key, omomi_text_value};
pub use layout::{
    OMOMI_CANDIDATES_INLINE, OMOMI_CANDIDATES_PREPARED, OmomiCandidates, OmomiLayout, OmomiLayoutInfo,
    OmomiLayoutOptions, omomi_layout_close, omomi_layout_info, omomi_layout_open, omomi_layout_open_with,
};
pub use live::{
    OMOMI_CONTROL_FOLLOW, OMOMI_CONTROL_FREEZE, OMOMI_CONTROL_OFF, OMOMI_CONTROL_PIN, OMOMI_SERVING_STATE_NO_MODEL,
    OMOMI_SERVING_STATE_OFF, OMOMI_SERVING_STATE_SERVING, OMOMI_SIGNATURE_ACCEPT, OMOMI_SIGNATURE_OFF,
    OMOMI_SIGNATURE_REQUIRE, OmomiControl, OmomiLive, OmomiLiveOptions, OmomiLiveStatus, OmomiServingState,
    OmomiSignature, omomi_live_close, omomi_live_logic_id, omomi_live_look_now, omomi_live_open, omomi_live_status,
    omomi_live_status_json,
};
pub use live_metrics::{
    OMOMI_LATENCY_BOUND_COUNT, OMOMI_LATENCY_BUCKET_COUNT, OmomiLiveMetrics, omomi_live_latency_bound_ns,
    omomi_live_metrics, omomi_live_prometheus,
};
pub use live_scorer::{
    OmomiLiveScorer, omomi_live_scorer_close, omomi_live_scorer_explain, omomi_live_scorer_hand_over,
    omomi_live_scorer_open, omomi_live_scorer_predict, omomi_live_scorer_predict_within,
};
pub use live_watcher::{
    OMOMI_LIVE_CHANGE_NONE, OMOMI_LIVE_CHANGE_REASON, OMOMI_LIVE_CHANGE_REASON_GONE, OMOMI_LIVE_CHANGE_STATE,
    OMOMI_LIVE_CHANGE_SWAP, OmomiLiveChange, OmomiLiveChangeKind, OmomiLiveWatcher, omomi_live_watcher_close,
    omomi_live_watcher_next, omomi_live_watcher_open,
};
pub use log::{OMOMI_LOG_ERROR, OmomiLogCallback, OmomiLogLevel, omomi_set_log};
pub use log_ring::{
    OMOMI_BASIS_CLICK, OMOMI_BASIS_CONVERSION, OMOMI_BASIS_IMPRESSION, OMOMI_BASIS_NONE,
    OMOMI_BASIS_THOUSAND_IMPRESSIONS, OMOMI_EVENT_CLICK, OMOMI_EVENT_CONVERSION, OMOMI_EVENT_IMPRESSION,
    OMOMI_EVENT_WIN, OMOMI_NOT_GIVEN, OMOMI_RECORDED_DROPPED, OMOMI_RECORDED_DROPPED_CLOSED,
    OMOMI_RECORDED_DROPPED_DEFECT, OMOMI_RECORDED_DROPPED_DISK_FAILED, OMOMI_RECORDED_DROPPED_DISK_FULL,
    OMOMI_RECORDED_DROPPED_FOLDER_GONE, OMOMI_RECORDED_DROPPED_INVALID, OMOMI_RECORDED_DROPPED_MODEL_GONE,
    OMOMI_RECORDED_DROPPED_RATE_LIMITED, OMOMI_RECORDED_DROPPED_RING_FULL, OMOMI_RECORDED_DROPPED_TOO_LARGE,
    OMOMI_RECORDED_QUEUED, OMOMI_RECORDED_SAMPLED_OUT, OMOMI_SOURCE_LATE, OMOMI_SOURCE_MODEL, OMOMI_SOURCE_NO_MODEL,
    OMOMI_SOURCE_OFF, OMOMI_SOURCE_REFUSED, OmomiBasis, OmomiEventKind, OmomiLogRing, OmomiMoney, OmomiRecorded,
    OmomiServed, OmomiSource, omomi_log_event, omomi_log_record, omomi_log_ring_close, omomi_log_ring_hand_over,
    omomi_log_ring_of_events, omomi_log_ring_of_experiment_scorer, omomi_log_ring_of_live_scorer,
    omomi_log_ring_of_scorer,
};
pub use model::{
    OMOMI_LOAD_MODE_AUTO, OMOMI_LOAD_MODE_COPY, OMOMI_LOAD_MODE_MAP, OmomiLoadMode, OmomiModel, OmomiModelInfo,
    OmomiOpenOptions, omomi_model_close, omomi_model_contract_json, omomi_model_info, omomi_model_logic_id,
    omomi_model_open,
};
pub use request::{
    OMOMI_CANDIDATE_LATE, OMOMI_CANDIDATE_NO_CANDIDATE, OMOMI_CANDIDATE_NOT_COMPUTED, OMOMI_CANDIDATE_NOT_FILLED,
    OMOMI_CANDIDATE_NOT_UTF8, OMOMI_CANDIDATE_OUTSIDE_TAIL, OMOMI_CANDIDATE_SCORED, OMOMI_CANDIDATE_TOO_MANY_VALUES,
    OMOMI_LAYOUT_VERSION, OMOMI_MAX_VALUES_PER_FIELD, OmomiAnswer, OmomiHeader, OmomiOutcome, OmomiRequest, OmomiRow,
    OmomiRowHead, omomi_request_close, omomi_request_open,
};
pub use schema::{
    OMOMI_KIND_ID, OMOMI_KIND_NUMBER, OMOMI_KIND_TEXT, OMOMI_SIDE_CANDIDATE, OMOMI_SIDE_CONTEXT, OmomiField, OmomiKind,
    OmomiSchema, OmomiSide, OmomiSlot, omomi_schema_close, omomi_schema_of_model, omomi_schema_open, omomi_schema_slot,
};
pub use scorer::{
    OMOMI_NAME_CAPACITY_BYTES, OmomiContribution, OmomiExplanation, OmomiScorer, omomi_request_of_scorer,
    omomi_scorer_close, omomi_scorer_explain, omomi_scorer_hand_over, omomi_scorer_of_model, omomi_scorer_open,
    omomi_scorer_open_with, omomi_scorer_predict, omomi_scorer_predict_within, omomi_scorer_slot,
};
pub use serving_log::{
    OMOMI_DROP_REASON_COUNT, OMOMI_PREDICTION_ID_LEN_BYTES, OmomiServingLog, OmomiServingLogMetrics,
    OmomiServingLogOptions, omomi_prediction_id, omomi_sample_place, omomi_serving_log_close, omomi_serving_log_flush,
    omomi_serving_log_metrics, omomi_serving_log_open, omomi_serving_log_prometheus,
};
pub use test_scorer::{OmomiGivenAnswer, omomi_test_live_scorer_open, omomi_test_scorer_open};
pub use text::OmomiText;
pub use version::{
    OMOMI_VERSION, OMOMI_VERSION_MAJOR, OMOMI_VERSION_MINOR, OMOMI_VERSION_PATCH, omomi_version, omomi_version_number,
};

use crate::error::{Code, Owner};
use boundary::Growing;

/// Increases with every change for which clients must be compiled again. If the library is found at run time, compare
/// it with `omomi_abi_version()` at start.
pub const OMOMI_ABI_VERSION: u32 = 1;

/// Length of an error message, including its null byte. A longer message is cut at the end of a character.
pub const OMOMI_MESSAGE_CAPACITY_BYTES: usize = 1024;

/// Who must act on an error: one of `OMOMI_OWNER_...`.
pub type OmomiOwner = u32;
/// There is no error.
pub const OMOMI_OWNER_NONE: OmomiOwner = 0;
/// The team that trains and packs.
pub const OMOMI_OWNER_ML: OmomiOwner = 1;
/// The team that runs the server.
pub const OMOMI_OWNER_DELIVERY: OmomiOwner = 2;
/// The team that runs machines, disks and copies.
pub const OMOMI_OWNER_INFRA: OmomiOwner = 3;

/// The result of a call: `OMOMI_STATUS_OK` or the number of an error. Numbers are never reused, and later versions may
/// add numbers.
pub type OmomiStatus = i32;

/// The reason for a failure. The caller sets `size_bytes` once (`OMOMI_ERROR_INIT` does). A call that fails writes the
/// other members; a call that succeeds writes nothing.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiError {
    /// `sizeof(OmomiError)`, set by the caller.
    pub size_bytes: usize,
    /// The returned status.
    pub status: OmomiStatus,
    /// Who must act.
    pub owner: OmomiOwner,
    /// What was expected, what was found and what to do, as UTF-8 with a null byte at its end.
    pub message: [c_char; OMOMI_MESSAGE_CAPACITY_BYTES],
}

boundary::growing!(OmomiError from message);

/// Returns the ABI version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_abi_version() -> u32 {
    OMOMI_ABI_VERSION
}

/// Returns the name of a status, for example "null_argument". Names are the same in every language. Returns "unknown"
/// for a number that this library does not use. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_status_name(status: OmomiStatus) -> *const c_char {
    let name = match code(status) {
        Some(code) => code.c_texts().0,
        None if status == boundary::OK => b"ok\0",
        None => b"unknown\0",
    };
    name.as_ptr().cast()
}

/// Returns what the owner of a status must do, for example "correct the argument". Empty for `OMOMI_STATUS_OK` and for
/// unknown numbers. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_status_action(status: OmomiStatus) -> *const c_char {
    code(status).map_or(b"\0".as_slice(), |code| code.c_texts().1).as_ptr().cast()
}

/// Returns who must act on a status. `OMOMI_OWNER_NONE` for `OMOMI_STATUS_OK` and for unknown numbers.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_status_owner(status: OmomiStatus) -> OmomiOwner {
    code(status).map_or(OMOMI_OWNER_NONE, |code| owner(code.owner()))
}

/// Returns the name of an owner: "ml", "delivery", "infra", or "none". The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_owner_name(owner: OmomiOwner) -> *const c_char {
    let name: &[u8] = match owner {
        OMOMI_OWNER_ML => b"ml\0",
        OMOMI_OWNER_DELIVERY => b"delivery\0",
        OMOMI_OWNER_INFRA => b"infra\0",
        _ => b"none\0",
    };
    name.as_ptr().cast()
}

/// Panics inside the library on purpose, and returns `OMOMI_STATUS_PANIC`. This proves, for the build that you deploy,
/// that a defect in the library fails one call and does not end the process. The log callback gets a message, as with
/// every panic.
///
/// # Safety
///
/// `error` is null or points to an `OmomiError`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_test_panic(error: *mut OmomiError) -> OmomiStatus {
    crate::log::hear_panics();
    // SAFETY: the caller's promise.
    unsafe { boundary::status(error, || panic!("a test asked for this panic")) }
}

fn code(status: OmomiStatus) -> Option<Code> {
    Code::ALL.iter().copied().find(|&code| code as i32 == status)
}

const fn owner(owner: Owner) -> OmomiOwner {
    match owner {
        Owner::Ml => OMOMI_OWNER_ML,
        Owner::Delivery => OMOMI_OWNER_DELIVERY,
        Owner::Infra => OMOMI_OWNER_INFRA,
    }
}
