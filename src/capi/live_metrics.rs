//! Metrics of live models, as a struct and as Prometheus text, for C.

use std::ffi::c_char;
use std::ptr::NonNull;
use std::time::Duration;

use super::boundary::{Growing, Output, growing, output, slice, status};
use super::live::{OmomiControl, OmomiLive, OmomiServingState, control, own_live, serving_state};
use super::model::{OMOMI_LOAD_MODE_MAP, OmomiLoadMode, load_mode_number};
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::live::{CodeCounts, LATENCY_BOUND_COUNT, Latency, LiveMetrics};

/// Number of latency bucket bounds: see `omomi_live_latency_bound_ns`.
pub const OMOMI_LATENCY_BOUND_COUNT: usize = 41;
/// Number of latency buckets: one below each bound, and one for requests longer than all bounds.
pub const OMOMI_LATENCY_BUCKET_COUNT: usize = 42;

const _: () = assert!(OMOMI_LATENCY_BOUND_COUNT == LATENCY_BOUND_COUNT);
const _: () = assert!(OMOMI_LATENCY_BUCKET_COUNT == LATENCY_BOUND_COUNT + 1);

/// Metrics of a live model at one moment. Counts of events (requests, candidates, categories, latency, swaps) begin at
/// 0 when the live model is opened, and never decrease.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiLiveMetrics {
    /// `sizeof(OmomiLiveMetrics)`, set by the caller.
    pub size_bytes: usize,
    /// Requests that were scored.
    pub prediction_count: u64,
    /// Requests that were refused, for example because of a malformed context.
    pub failed_count: u64,
    /// Requests that panicked because of a defect in the library. The panic was caught.
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
    /// Categories without a weight. Crosses are not counted.
    pub unseen_count: u64,
    /// Fields that the model reads and that had no value in a request.
    pub missing_count: u64,
    /// Numbers outside the range of their field. They also count as missing.
    pub invalid_number_count: u64,
    /// Scored requests by latency. Bucket i counts those below bound i and not below bound i - 1.
    pub latency_counts: [u64; OMOMI_LATENCY_BUCKET_COUNT],
    /// Total duration of all scored requests, in nanoseconds.
    pub latency_sum_ns: u64,
    /// Attempts after which a generation was served.
    pub swap_served_count: u64,
    /// Attempts after which a generation was refused. The Prometheus text has them by code and owner.
    pub swap_refused_count: u64,
    /// Attempts that ended because of a new decision.
    pub swap_interrupted_count: u64,
    /// Served generations that were taken out of service, for any reason.
    pub swap_withdrawn_count: u64,
    /// Duration of the last attempt, in nanoseconds; 0 before the first. The Prometheus text has its stages.
    pub last_load_ns: u64,
    /// Whether requests get answers.
    pub state: OmomiServingState,
    /// The current decision.
    pub control: OmomiControl,
    /// 1 if the library's thread looks at the store or loads a generation. If 0, requests are still answered, but no
    /// publication and no `off` reaches them: restart the process.
    pub is_live: u32,
    /// 1 if requests may be sent here: a generation answers, or the server answers by its own logic, because scoring is
    /// switched off, or because there is no model and `has_fallback` or `fallback_file` of `OmomiLiveOptions` is set.
    pub is_ready: u32,
    /// 1 if a generation answers, or would answer if scoring were not switched off. The members up to
    /// `training_end_unix_seconds` describe it, and are 0 otherwise.
    pub has_generation: u32,
    /// 1 while the generation is on trial.
    pub is_on_trial: u32,
    /// The generation number.
    pub generation: u64,
    /// Number of weights, the bias excluded.
    pub weight_count: u64,
    /// Length of its weight file in bytes.
    pub file_len_bytes: u64,
    /// When it began to answer, in seconds since 1970.
    pub since_unix_seconds: u64,
    /// How its bytes are in memory.
    pub load_mode: OmomiLoadMode,
    /// 1 if its provenance has the end of its training data.
    pub has_training_end: u32,
    /// End of its training data, in seconds since 1970.
    pub training_end_unix_seconds: i64,
    /// Number of current problems; 0 if all is well.
    pub reason_count: u64,
    /// Number of contents that are not tried again.
    pub quarantined_count: u64,
    /// Number of generations that are no longer served but still in memory.
    pub retired_count: u64,
    /// Total size in bytes of all models in memory.
    pub mapped_bytes: u64,
    /// Resident bytes of all models, or 0 if the operating system does not report them.
    pub resident_bytes: u64,
    /// Requests whose categories were counted by field, for the Prometheus text.
    pub sampled_request_count: u64,
    /// When the library's thread last looked at the store, in seconds since 1970.
    pub last_pass_unix_seconds: u64,
    /// When these metrics were taken, in seconds since 1970.
    pub taken_unix_seconds: u64,
    /// Requests that `omomi_live_scorer_predict_fallback` answered; 0 without a fallback file. They are not in the
    /// counts above.
    pub fallback_count: u64,
}

growing!(OmomiLiveMetrics from failed_count);

/// Writes the metrics of a live model. Allocates nothing and never makes a request wait. May wait briefly for the
/// library's thread, so call it from a thread that serves no request. The caller sets `out_metrics->size_bytes` first
/// (`OMOMI_LIVE_METRICS_INIT` does).
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
        let live = unsafe { own_live(live, "live") }?;
        // SAFETY: the caller's promise.
        let out_metrics = unsafe { Output::new(out_metrics, "out_metrics") }?;
        out_metrics.write(of_rust(&live.metrics()));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Returns the bound of latency bucket `index` in nanoseconds, or `UINT64_MAX` for the last bucket and for larger
/// indices.
#[unsafe(no_mangle)]
pub extern "C" fn omomi_live_latency_bound_ns(index: usize) -> u64 {
    Latency::BOUNDS_NS.get(index).copied().unwrap_or(u64::MAX)
}

/// Copies the metrics of one or several live models into the caller's buffer as Prometheus text (`text/plain;
/// version=0.0.4`) with a null byte; see "Texts" above. The directories of their stores must have different names. A
/// live model that is named twice is written once.
/// Every series has the labels `store`, the name of the store's directory, and `logic_id`. The text can grow after you
/// ask for its length; the status is then `OMOMI_STATUS_WRONG_SIZE`. Keep a buffer of twice the length. For one live
/// model, nothing is allocated.
///
/// # Safety
///
/// `lives` is null or points to `live_count` pointers, each of them null or an open live model; `out_text` is null or
/// has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are null or writable.
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
                // Reject a capacity that is more than memory can hold.
                // SAFETY: the caller's promise.
                unsafe { slice(out_text.as_ptr(), capacity_bytes, "out_text") }?;
                let bytes = out_text.as_ptr().cast::<u8>();
                // SAFETY: the caller promises that many writable bytes, which no other thread uses during the call;
                // zeros make them readable.
                unsafe {
                    bytes.write_bytes(0, capacity_bytes);
                    std::slice::from_raw_parts_mut(bytes, capacity_bytes)
                }
            }
        };
        // The last byte stays 0.
        let (text, is_asking) = (buffer.len().saturating_sub(1), buffer.is_empty());
        // SAFETY: the caller's promise.
        let metrics = |&live| Ok(unsafe { own_live(live, "an element of lives") }?.metrics());
        let written = match lives {
            [live] => metrics(live)?.write_prometheus(&mut buffer[..text]),
            _ => {
                let is_first = |&(index, live): &(usize, &*const OmomiLive)| !lives[..index].contains(live);
                let lives = lives.iter().enumerate().filter(is_first).map(|(_, live)| live);
                let all = lives.map(metrics).collect::<Result<Vec<LiveMetrics>, Error>>()?;
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
        fallback_count: metrics.fallbacks.unwrap_or(0),
    }
}
