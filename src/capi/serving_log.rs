//! The serving log: open it, ask what was written and what was dropped, for C.

use std::ffi::c_char;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use super::boundary::{Growing, Output, close, copy_text, growing, into_handle, output, read, reference, status, text};
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::serving_log::{DROP_REASON_COUNT, LogMetrics, LogOptions, PredictionId, ServingLog, sample_place};

/// Writes what a server served to a folder, on a thread of its own. Any number of threads may use one serving log, each
/// with a ring of its own. It belongs to the process that opened it: see "Fork" above.
#[derive(Debug)]
pub struct OmomiServingLog(pub(super) ServingLog);

/// Number of reasons for which records are dropped: `OMOMI_RECORDED_DROPPED` plus 0 to this, not included.
pub const OMOMI_DROP_REASON_COUNT: usize = 10;
const _: () = assert!(OMOMI_DROP_REASON_COUNT == DROP_REASON_COUNT);

/// Length of a prediction id.
pub const OMOMI_PREDICTION_ID_LEN_BYTES: usize = 16;
const _: () = assert!(OMOMI_PREDICTION_ID_LEN_BYTES == PredictionId::LEN);

/// Options of a serving log. Begin with `OMOMI_SERVING_LOG_OPTIONS_INIT`, and change what you need. The library copies
/// the options.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiServingLogOptions {
    /// `sizeof(OmomiServingLogOptions)`, set by the caller.
    pub size_bytes: usize,
    /// Name of this server, at most 64 bytes, in the header of each segment.
    pub name: OmomiText,
    /// Requests in a million whose predictions are logged.
    pub predictions_per_million: u32,
    /// Requests in a million whose details are logged.
    pub details_per_million: u32,
    /// Salt of the samples. Services with one salt choose the same requests.
    pub salt: u64,
    /// Size of each ring in bytes, 4 KiB to 1 GiB: what a thread can record while the writer is busy.
    pub ring_len_bytes: u64,
    /// A segment is sealed when it has this length, 4 KiB to 1 GiB.
    pub max_segment_len_bytes: u64,
    /// A segment is sealed when it is this old, above 0.
    pub max_segment_age_ms: u64,
    /// Maximum total length of all segments in the folder, at least two segments. Where it would be exceeded, the
    /// oldest sealed segments are deleted, and counted.
    pub max_total_len_bytes: u64,
    /// How long a record may wait in memory before its block is written.
    pub flush_interval_ms: u64,
    /// How many records of a ring per second may have another source than the model.
    pub fallbacks_per_second: u32,
    /// 1 to make a segment durable (`fsync`) before it is sealed, otherwise 0.
    pub sync: u32,
}

growing!(OmomiServingLogOptions from predictions_per_million);

impl OmomiServingLogOptions {
    /// Returns the numbers of `options`: what a shorter struct lacks. It has no name.
    fn of_rust(options: &LogOptions) -> Self {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            size_bytes: 0,
            name: OmomiText::EMPTY,
            predictions_per_million: options.predictions_per_million,
            details_per_million: options.details_per_million,
            salt: options.salt,
            ring_len_bytes: options.ring_len_bytes as u64,
            max_segment_len_bytes: options.max_segment_len_bytes,
            max_segment_age_ms: milliseconds(options.max_segment_age),
            max_total_len_bytes: options.max_total_len_bytes,
            flush_interval_ms: milliseconds(options.flush_interval),
            fallbacks_per_second: options.fallbacks_per_second,
            sync: u32::from(options.sync),
        }
    }
}

/// What a serving log has written and dropped. Counts never decrease while it is open, except for `written_count` when
/// a segment vanishes: its records are then counted as dropped.
#[repr(C)]
#[derive(Debug)]
pub struct OmomiServingLogMetrics {
    /// `sizeof(OmomiServingLogMetrics)`, set by the caller.
    pub size_bytes: usize,
    /// Records written.
    pub written_count: u64,
    /// Records left out because their requests are outside the sample.
    pub sampled_out_count: u64,
    /// Records dropped: element `OMOMI_RECORDED_DROPPED_... - OMOMI_RECORDED_DROPPED` for each reason.
    pub dropped_counts: [u64; OMOMI_DROP_REASON_COUNT],
    /// Rings that are open.
    pub open_ring_count: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Segments sealed.
    pub sealed_segment_count: u64,
    /// Segments of killed processes that were sealed.
    pub recovered_segment_count: u64,
    /// Sealed segments that were deleted to keep the limit of the folder.
    pub deleted_segment_count: u64,
    /// Records in the deleted segments.
    pub deleted_record_count: u64,
    /// Total length of the segments in the folder, when the current one was begun.
    pub folder_len_bytes: u64,
    /// How long the oldest record has been waiting for the disk; 0 if none is.
    pub oldest_waiting_ns: u64,
    /// 1 if the background thread runs, otherwise 0.
    pub is_writing: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

growing!(OmomiServingLogMetrics from dropped_counts);

/// Opens a serving log in `folder`, which is created if only its last part does not exist. Starts one thread. It also
/// seals what a killed process left there. Several processes may share a folder. A later change of the working
/// directory does not matter. Problems that arise later (a full disk, a folder that vanishes) are counted, and no call
/// fails. Close it with `omomi_serving_log_close`.
///
/// `options` may be null, for the values of `OMOMI_SERVING_LOG_OPTIONS_INIT`. Returns `OMOMI_STATUS_INVALID_ARGUMENT`
/// for options that can never work, and `OMOMI_STATUS_FILE` if the folder cannot be created.
///
/// # Safety
///
/// `folder` is as long as it says; `options` is null or points to its struct, whose text is as long as it says;
/// `out_log` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_serving_log_open(
    folder: OmomiText,
    options: *const OmomiServingLogOptions,
    out_log: *mut *mut OmomiServingLog,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        if folder.text.is_null() {
            return Err(Error::NullArgument { argument: "folder" });
        }
        // SAFETY: the caller's promise.
        let folder = unsafe { text(folder, "folder") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { log_options(options) }?;
        let out_log = output(out_log, "out_log")?;
        let log = OmomiServingLog(ServingLog::open(Path::new(folder), options)?);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_log.write(into_handle(log)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Writes what was recorded, seals the last segment and ends the thread, within 2 seconds even if a disk hangs. Rings
/// that are still open drop what they are given from now on. Ignores null.
///
/// # Safety
///
/// `log` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_serving_log_close(log: *mut OmomiServingLog) {
    // SAFETY: the caller's promise.
    unsafe { close(log) };
}

/// Has everything written that was recorded before this call, and waits up to `timeout_ms` for it. Writes 1 to
/// `out_is_done` if it is written, or counted as dropped, otherwise 0. For tests, and before a planned end.
///
/// # Safety
///
/// `log` is null or open; `out_is_done` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_serving_log_flush(
    log: *const OmomiServingLog,
    timeout_ms: u64,
    out_is_done: *mut u32,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let log = &unsafe { reference(log, "log") }?.0;
        log.check_process()?;
        let out_is_done = output(out_is_done, "out_is_done")?;
        // Longer than any patience, and short enough to be added to a time.
        let timeout = Duration::from_millis(timeout_ms.min(u64::from(u32::MAX)));
        let is_done = log.flush(timeout);
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_is_done.write(u32::from(is_done)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Writes the metrics of a serving log. The caller sets `out_metrics->size_bytes` first
/// (`OMOMI_SERVING_LOG_METRICS_INIT` does).
///
/// # Safety
///
/// `log` is null or open; `out_metrics` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_serving_log_metrics(
    log: *const OmomiServingLog,
    out_metrics: *mut OmomiServingLogMetrics,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let log = &unsafe { reference(log, "log") }?.0;
        log.check_process()?;
        // SAFETY: the caller's promise.
        let out_metrics = unsafe { Output::new(out_metrics, "out_metrics") }?;
        out_metrics.write(of_rust(&log.metrics()));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Copies the metrics of a serving log into the caller's buffer as Prometheus text (`text/plain; version=0.0.4`) with a
/// null byte; see "Texts" above. Every series has the label `log`, the name of the folder. No family has the name of
/// one of `omomi_live_prometheus`, so one page can have both. The text can grow after you ask for its length; the
/// status is then `OMOMI_STATUS_WRONG_SIZE`. Keep a buffer of twice the length.
///
/// # Safety
///
/// `log` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are
/// null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_serving_log_prometheus(
    log: *const OmomiServingLog,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let log = &unsafe { reference(log, "log") }?.0;
        log.check_process()?;
        let page = log.metrics().to_prometheus();
        // SAFETY: the caller's promise.
        unsafe { copy_text(&page, out_text, capacity_bytes, out_len_bytes) }
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Computes a prediction id, which joins a prediction with its events: put it into the URLs that report them. It
/// follows from the request id (1 to 128 bytes), the impression (at most 64 bytes) and the index of the candidate.
/// Allocates nothing.
///
/// # Safety
///
/// The texts are as long as they say; `out_id` is null or has room for `OMOMI_PREDICTION_ID_LEN_BYTES`; `error` is null
/// or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_prediction_id(
    request_id: OmomiText,
    impression: OmomiText,
    candidate: u32,
    out_id: *mut u8,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let [request_id, impression] = unsafe { [text(request_id, "request_id")?, text(impression, "impression")?] };
        let out_id = output(out_id, "out_id")?;
        let id = PredictionId::of(request_id, impression, candidate)?;
        // SAFETY: not null, and the caller promises the room.
        unsafe { out_id.cast::<[u8; OMOMI_PREDICTION_ID_LEN_BYTES]>().write(*id.as_bytes()) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Computes the place of a request, from 0 to 999,999. The request is in every sample of more requests in a million
/// than its place, in every service and every language with that salt.
///
/// # Safety
///
/// `request_id` is as long as it says; `out_place` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_sample_place(
    salt: u64,
    request_id: OmomiText,
    out_place: *mut u32,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let request_id = unsafe { text(request_id, "request_id") }?;
        let out_place = output(out_place, "out_place")?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_place.write(sample_place(salt, request_id)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// # Safety
///
/// `options` must be null or point to its struct, whose text is as long as it says.
unsafe fn log_options(options: *const OmomiServingLogOptions) -> Result<LogOptions, Error> {
    let Some(options) = NonNull::new(options.cast_mut()) else { return Ok(LogOptions::default()) };
    let defaults = OmomiServingLogOptions::of_rust(&LogOptions::default());
    // SAFETY: the caller's promise.
    let options = unsafe { read(options, defaults, "options") }?;
    // SAFETY: the caller's promise.
    let name = unsafe { text(options.name, "options->name") }?;
    let sync = match options.sync {
        0 => false,
        1 => true,
        found => {
            let problem = format!("expected 0 or 1, found {found}");
            return Err(Error::InvalidArgument { argument: "options->sync", problem });
        }
    };
    Ok(LogOptions::default().with(|it| {
        it.name = name.to_owned();
        it.predictions_per_million = options.predictions_per_million;
        it.details_per_million = options.details_per_million;
        it.salt = options.salt;
        // More than memory has is refused, like any ring above 1 GiB.
        it.ring_len_bytes = usize::try_from(options.ring_len_bytes).unwrap_or(usize::MAX);
        it.max_segment_len_bytes = options.max_segment_len_bytes;
        it.max_segment_age = Duration::from_millis(options.max_segment_age_ms);
        it.max_total_len_bytes = options.max_total_len_bytes;
        it.flush_interval = Duration::from_millis(options.flush_interval_ms);
        it.fallbacks_per_second = options.fallbacks_per_second;
        it.sync = sync;
    }))
}

fn of_rust(metrics: &LogMetrics) -> OmomiServingLogMetrics {
    let waiting = metrics.oldest_waiting.map_or(0, |waiting| waiting.as_nanos().max(1));
    OmomiServingLogMetrics {
        size_bytes: size_of::<OmomiServingLogMetrics>(),
        written_count: metrics.counts.written,
        sampled_out_count: metrics.counts.sampled_out,
        dropped_counts: metrics.counts.dropped,
        open_ring_count: metrics.open_ring_count as u64,
        written_bytes: metrics.written_bytes,
        sealed_segment_count: metrics.sealed_segments,
        recovered_segment_count: metrics.recovered_segments,
        deleted_segment_count: metrics.deleted_segments,
        deleted_record_count: metrics.deleted_records,
        folder_len_bytes: metrics.folder_len_bytes,
        oldest_waiting_ns: u64::try_from(waiting).unwrap_or(u64::MAX),
        is_writing: u32::from(metrics.is_writing),
        reserved: 0,
    }
}
