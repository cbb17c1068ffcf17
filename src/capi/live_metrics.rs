//! What a live model counts, as a struct and as Prometheus text.

use std::ffi::c_char;
use std::ptr::NonNull;
use std::time::Duration;

use super::boundary::{check_size, output, reference, slice, status};
use super::live::{OmomiControl, OmomiLive, OmomiServingState, control, serving_state};
use super::model::{OMOMI_LOAD_MODE_MAP, OmomiLoadMode, load_mode_number};
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::live::{CodeCounts, LATENCY_BOUND_COUNT, Latency, LiveMetrics};

/// Number of bounds of the latency buckets: `omomi_live_latency_bound_ns`.
pub const OMOMI_LATENCY_BOUND_COUNT: usize = 41;
/// Number of latency buckets: one below each bound, and one for what took longer than all.
pub const OMOMI_LATENCY_BUCKET_COUNT: usize = 42;

const _: () = assert!(OMOMI_LATENCY_BOUND_COUNT == LATENCY_BOUND_COUNT);
const _: () = assert!(OMOMI_LATENCY_BUCKET_COUNT == LATENCY_BOUND_COUNT + 1);

/// The numbers of a live model at one moment. Those that are called counts of what happened (requests, candidates, categories, latency,
/// swaps) are since the live model was opened and never go down.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiLiveMetrics {
    /// `sizeof(OmomiLiveMetrics)`, set by the caller.
    pub size_bytes: usize,
    /// Requests that were scored.
    pub prediction_count: u64,
    /// Requests that were refused, such as one whose context is malformed.
    pub failed_count: u64,
    /// Requests that ended in a defect of the library, which was caught.
    pub panic_count: u64,
    /// Requests while there was no model.
    pub no_model_count: u64,
    /// Requests while scoring was switched off.
    pub off_count: u64,
    /// Requests while another thread used the same scorer.
    pub busy_count: u64,
    /// Candidates that were scored.
    pub scored_count: u64,
    /// Candidates that were malformed.
    pub refused_count: u64,
    /// Candidates that were not reached in time.
    pub late_count: u64,
    /// Categories without a weight; crosses do not count.
    pub unseen_count: u64,
    /// Fields that the model reads and that had no value.
    pub missing_count: u64,
    /// Numbers outside the range of their field, which count as missing, too.
    pub invalid_number_count: u64,
    /// Scored requests by how long they took: bucket i is below bound i and not below bound i - 1.
    pub latency_counts: [u64; OMOMI_LATENCY_BUCKET_COUNT],
    /// What all of them took together, in nanoseconds.
    pub latency_sum_ns: u64,
    /// Attempts after which a generation was served.
    pub swap_served_count: u64,
    /// Attempts after which a generation was refused; the Prometheus text has them by reason and owner.
    pub swap_refused_count: u64,
    /// Attempts that were given up because people decided otherwise meanwhile.
    pub swap_interrupted_count: u64,
    /// Generations that were taken out of service, for whatever reason.
    pub swap_withdrawn_count: u64,
    /// What the last attempt took, in nanoseconds; 0 before the first. The Prometheus text has its stages.
    pub last_load_ns: u64,
    /// Whether requests get answers.
    pub state: OmomiServingState,
    /// What people decided.
    pub control: OmomiControl,
    /// 1 if the library's thread looks at the store or loads a generation. Requests are answered without it, too, but no publication
    /// and no `off` reaches them: a reason to restart the process.
    pub is_live: u32,
    /// 1 if requests may be sent here: a generation answers, or the server answers by its own logic, because scoring was switched off or
    /// because `OmomiLiveOptions.has_fallback` says that it does without a model.
    pub is_ready: u32,
    /// 1 if there is a generation that answers, or would if scoring were not switched off. The members up to
    /// `training_end_unix_seconds` speak of it, and are 0 otherwise.
    pub has_generation: u32,
    /// 1 while it is on trial.
    pub is_on_trial: u32,
    /// Its number.
    pub generation: u64,
    /// Number of its weights.
    pub weight_count: u64,
    /// Length of its file.
    pub file_len_bytes: u64,
    /// Since when it answers, in seconds since 1970.
    pub since_unix_seconds: u64,
    /// How its bytes are in memory.
    pub load_mode: OmomiLoadMode,
    /// 1 if it says when the data ends that it was trained on.
    pub has_training_end: u32,
    /// The end of that data, in seconds since 1970.
    pub training_end_unix_seconds: i64,
    /// Things that are not as they should be; 0 if all is well.
    pub reason_count: u64,
    /// Contents that are not tried again.
    pub quarantined_count: u64,
    /// Generations that are no longer served and still in memory.
    pub retired_count: u64,
    /// Bytes of all models in memory.
    pub mapped_bytes: u64,
    /// Of these, the bytes that lie in memory now; 0 where the system does not say.
    pub resident_bytes: u64,
    /// Requests whose categories were counted by field, for the Prometheus text.
    pub sampled_request_count: u64,
    /// When the library's thread last looked at the store, in seconds since 1970.
    pub last_pass_unix_seconds: u64,
    /// When this was taken, in seconds since 1970.
    pub taken_unix_seconds: u64,
}

/// Writes the numbers of this moment. Allocates nothing, and no request waits for it; it may itself wait a moment for the library's thread,
/// so it is for a thread that serves no request. The caller sets `out_metrics->size_bytes` (`OMOMI_LIVE_METRICS_INIT` does).
///
/// # Safety
///
/// `live` is null or open; `out_metrics` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_metrics(
    live: *const OmomiLive,
    out_metrics: *mut OmomiLiveMetrics,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let live = &unsafe { reference(live, "live") }?.0;
        let out_metrics = output(out_metrics, "out_metrics")?;
        // SAFETY: not null, and the caller promises the struct.
        unsafe { check_size(out_metrics, "out_metrics") }?;
        let metrics = of_rust(&live.metrics());
        // SAFETY: as above.
        unsafe { out_metrics.write(metrics) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// The bound of latency bucket `index` in nanoseconds; `UINT64_MAX` for the last bucket and for numbers beyond it.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_live_latency_bound_ns(index: usize) -> u64 {
    Latency::BOUNDS_NS.get(index).copied().unwrap_or(u64::MAX)
}

/// Copies the numbers of one or several live models, whose stores have different names, into the caller's buffer as Prometheus text
/// (`text/plain; version=0.0.4`) with a null byte; see "Texts" above. Every series has the labels `store`, the name of the store's
/// directory, and `logic_id`. The text may have grown since its length was asked for, and the status is `OMOMI_STATUS_WRONG_SIZE` then: keep
/// a buffer of twice the length. For one live model nothing is allocated.
///
/// # Safety
///
/// `lives` is null or points to `live_count` pointers, each of them null or an open live model; `out_text` is null or has
/// `capacity_bytes` writable bytes; `out_len_bytes` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_live_prometheus(
    lives: *const *const OmomiLive,
    live_count: usize,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let lives = unsafe { slice(lives, live_count, "lives") }?;
        let out_len_bytes = output(out_len_bytes, "out_len_bytes")?;
        let buffer = match NonNull::new(out_text) {
            None if capacity_bytes != 0 => return Err(Error::NullArgument { argument: "out_text" }),
            None => &mut [],
            Some(out_text) => {
                // A promise of more than memory holds is none.
                // SAFETY: the caller's promise.
                unsafe { slice(out_text.as_ptr(), capacity_bytes, "out_text") }?;
                let bytes = out_text.as_ptr().cast::<u8>();
                // SAFETY: the caller promises so many writable bytes, which nobody else uses during the call; zeros make them readable.
                unsafe {
                    bytes.write_bytes(0, capacity_bytes);
                    std::slice::from_raw_parts_mut(bytes, capacity_bytes)
                }
            }
        };
        // The last byte stays 0.
        let (text, is_asking) = (buffer.len().saturating_sub(1), buffer.is_empty());
        // SAFETY: the caller's promise.
        let metrics = |&live| Ok(unsafe { reference::<OmomiLive>(live, "an element of lives") }?.0.metrics());
        let written = match lives {
            [live] => metrics(live)?.write_prometheus(&mut buffer[..text]),
            _ => {
                let all = lives.iter().map(metrics).collect::<Result<Vec<LiveMetrics>, Error>>()?;
                LiveMetrics::write_prometheus_of(&all.iter().collect::<Vec<_>>(), &mut buffer[..text])
            }
        };
        let len = match written {
            Ok(len) => len,
            Err(needed) if is_asking => needed,
            Err(needed) => {
                let (expected, found) = (needed as u64 + 1, capacity_bytes as u64);
                return Err(Error::WrongSize { what: "out_text", expected, found });
            }
        };
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_len_bytes.write(len) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

fn of_rust(metrics: &LiveMetrics) -> OmomiLiveMetrics {
    let (requests, swaps, served) = (&metrics.requests, &metrics.swaps, metrics.served.as_ref());
    let (control, _) = control(metrics.control);
    let sum = |counts: &CodeCounts| counts.iter().map(|(_, count)| count).sum();
    let last_load = metrics.last_load.iter().flat_map(|load| load.stages).flatten().sum::<Duration>();
    let training_end = served.and_then(|served| served.training_end_unix_seconds);
    OmomiLiveMetrics {
        size_bytes: size_of::<OmomiLiveMetrics>(),
        prediction_count: requests.predictions,
        failed_count: requests.failed,
        panic_count: requests.panics,
        no_model_count: requests.no_model,
        off_count: requests.off,
        busy_count: requests.busy,
        scored_count: requests.scored,
        refused_count: requests.refused,
        late_count: requests.late,
        unseen_count: requests.unseen,
        missing_count: requests.missing,
        invalid_number_count: requests.invalid_numbers,
        latency_counts: metrics.latency.counts,
        latency_sum_ns: metrics.latency.sum_ns,
        swap_served_count: swaps.served,
        swap_refused_count: sum(&swaps.refused),
        swap_interrupted_count: swaps.interrupted,
        swap_withdrawn_count: sum(&swaps.withdrawn),
        last_load_ns: u64::try_from(last_load.as_nanos()).unwrap_or(u64::MAX),
        state: serving_state(metrics.state),
        control,
        is_live: u32::from(metrics.is_live),
        is_ready: u32::from(metrics.is_ready),
        has_generation: u32::from(served.is_some()),
        is_on_trial: u32::from(served.is_some_and(|served| served.is_on_trial)),
        generation: served.map_or(0, |served| served.generation),
        weight_count: served.map_or(0, |served| served.weight_count),
        file_len_bytes: served.map_or(0, |served| served.file_len_bytes),
        since_unix_seconds: served.map_or(0, |served| served.since_unix_seconds),
        load_mode: served.map_or(OMOMI_LOAD_MODE_MAP, |served| load_mode_number(served.load_mode)),
        has_training_end: u32::from(training_end.is_some()),
        training_end_unix_seconds: training_end.unwrap_or(0),
        reason_count: sum(&metrics.reasons),
        quarantined_count: metrics.quarantined_count,
        retired_count: metrics.retired_count,
        mapped_bytes: metrics.mapped_bytes,
        resident_bytes: metrics.resident_bytes.unwrap_or(0),
        sampled_request_count: metrics.sampled_requests,
        last_pass_unix_seconds: metrics.last_pass_unix_seconds,
        taken_unix_seconds: metrics.taken_unix_seconds,
    }
}
