//! Rings of a serving log: record predictions and events, for C.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr::NonNull;

use super::boundary::{Growing, check_block, close, growing, into_handle, output, read, reference, status, text};
use super::experiment::OmomiExperimentScorer;
use super::live_scorer::OmomiLiveScorer;
use super::owner::Owner;
use super::scorer::OmomiScorer;
use super::serving_log::{OMOMI_PREDICTION_ID_LEN_BYTES, OmomiServingLog};
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::error::Error;
use crate::request::RequestLayout;
use crate::serving_log::{
    Basis, Currency, DropReason, Event, EventKind, LogRing, Money, PredictionId, Recorded, Served, Source,
};

/// Records the predictions of one scorer, or events, for a serving log. Open one for each thread. It belongs to the
/// first thread that records with it, until `omomi_log_ring_hand_over`; another thread immediately gets
/// `OMOMI_STATUS_SCORER_BUSY`.
#[derive(Debug)]
pub struct OmomiLogRing {
    ring: UnsafeCell<LogRing>,
    /// The layout of its scorer's requests.
    layout: Option<RequestLayout>,
    owner: Owner,
}

// SAFETY: `ring` is the only member that is not `Sync`. Only the thread that `owner` lets through uses it, and a thread
// that hands it over is in no call.
unsafe impl Sync for OmomiLogRing {}

/// What became of a record: one of `OMOMI_RECORDED_...`. The request goes on in any case.
pub type OmomiRecorded = u32;
/// The writer will write it.
pub const OMOMI_RECORDED_QUEUED: OmomiRecorded = 0;
/// The request is outside the sample.
pub const OMOMI_RECORDED_SAMPLED_OUT: OmomiRecorded = 1;
/// It was dropped and counted, for the reason with this number above.
pub const OMOMI_RECORDED_DROPPED: OmomiRecorded = 16;
/// The ring had no room: the writer, or its disk, is too slow.
pub const OMOMI_RECORDED_DROPPED_RING_FULL: OmomiRecorded = 16;
/// The record is larger than half of the ring, or than a frame.
pub const OMOMI_RECORDED_DROPPED_TOO_LARGE: OmomiRecorded = 17;
/// More records with another source than the model than are allowed per second.
pub const OMOMI_RECORDED_DROPPED_RATE_LIMITED: OmomiRecorded = 18;
/// The caller passed something that cannot be recorded. No call returns it: it has a status of its own.
pub const OMOMI_RECORDED_DROPPED_INVALID: OmomiRecorded = 19;
/// The disk, or the quota, was full. Only in metrics and segments, like the next three.
pub const OMOMI_RECORDED_DROPPED_DISK_FULL: OmomiRecorded = 20;
/// The system refused to write, for another reason.
pub const OMOMI_RECORDED_DROPPED_DISK_FAILED: OmomiRecorded = 21;
/// The folder or the segment vanished.
pub const OMOMI_RECORDED_DROPPED_FOLDER_GONE: OmomiRecorded = 22;
/// The model of a detail record was no longer in memory.
pub const OMOMI_RECORDED_DROPPED_MODEL_GONE: OmomiRecorded = 23;
/// The log was closed, or the process is a fork of the one that opened it.
pub const OMOMI_RECORDED_DROPPED_CLOSED: OmomiRecorded = 24;
/// A defect in the library. Only in metrics and segments.
pub const OMOMI_RECORDED_DROPPED_DEFECT: OmomiRecorded = 25;

/// Where a value is from: one of `OMOMI_SOURCE_...`.
pub type OmomiSource = u32;
/// The model.
pub const OMOMI_SOURCE_MODEL: OmomiSource = 1;
/// The server, or its fallback file: scoring is switched off.
pub const OMOMI_SOURCE_OFF: OmomiSource = 2;
/// The server, or its fallback file: there is no model.
pub const OMOMI_SOURCE_NO_MODEL: OmomiSource = 3;
/// The server: the candidate was not reached in time.
pub const OMOMI_SOURCE_LATE: OmomiSource = 4;
/// The server: the candidate, or the request, was refused.
pub const OMOMI_SOURCE_REFUSED: OmomiSource = 5;

/// What an amount of money is for: one of `OMOMI_BASIS_...`.
pub type OmomiBasis = u32;
/// There is no amount.
pub const OMOMI_BASIS_NONE: OmomiBasis = 0;
/// One impression.
pub const OMOMI_BASIS_IMPRESSION: OmomiBasis = 1;
/// 1,000 impressions (CPM).
pub const OMOMI_BASIS_THOUSAND_IMPRESSIONS: OmomiBasis = 2;
/// One click.
pub const OMOMI_BASIS_CLICK: OmomiBasis = 3;
/// One conversion.
pub const OMOMI_BASIS_CONVERSION: OmomiBasis = 4;

/// What happened to a prediction: one of `OMOMI_EVENT_...`.
pub type OmomiEventKind = u32;
/// The bid won.
pub const OMOMI_EVENT_WIN: OmomiEventKind = 1;
/// The ad was shown.
pub const OMOMI_EVENT_IMPRESSION: OmomiEventKind = 2;
/// The ad was clicked.
pub const OMOMI_EVENT_CLICK: OmomiEventKind = 3;
/// The click led to what the advertiser wants.
pub const OMOMI_EVENT_CONVERSION: OmomiEventKind = 4;

/// In place of a position or a bucket that is not known.
pub const OMOMI_NOT_GIVEN: u32 = u32::MAX;

/// An amount of money. There is no price without a basis: what is paid for.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiMoney {
    /// Millionths of the currency's unit: 1,500,000 is 1.50 dollars.
    pub micros: i64,
    /// One of `OMOMI_BASIS_...`. With `OMOMI_BASIS_NONE`, there is no amount.
    pub basis: OmomiBasis,
    /// Three capital letters of ISO 4217, such as "JPY". The fourth byte is not read.
    pub currency: [u8; 4],
}

/// What a server did with one candidate. Begin with `OMOMI_SERVED_INIT`, which is a value of the model with nothing
/// else known; set the request id, and what applies.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiServed {
    /// `sizeof(OmomiServed)`, set by the caller.
    pub size_bytes: usize,
    /// Id of the request: 1 to 128 bytes.
    pub request_id: OmomiText,
    /// Which impression of the request this is for, such as OpenRTB's `imp.id`, at most 64 bytes; empty if there is
    /// only one.
    pub impression: OmomiText,
    /// Name of the experiment, at most 64 bytes; empty if there is none.
    pub experiment: OmomiText,
    /// Name of the experiment's arm, at most 64 bytes.
    pub arm: OmomiText,
    /// When it was served, in Unix milliseconds, UTC; 0 is now.
    pub at_unix_ms: i64,
    /// What was bid.
    pub bid: OmomiMoney,
    /// How long the predict call took, in nanoseconds; 0 if it was not measured.
    pub latency_ns: u64,
    /// Probability with which the server's policy chose this candidate, in (0, 1]; 0 if it is not known.
    pub propensity: f64,
    /// Position at which the candidate was shown, from 0, or `OMOMI_NOT_GIVEN`.
    pub position: u32,
    /// The user's bucket in the experiment, or `OMOMI_NOT_GIVEN`.
    pub bucket: u32,
    /// One of `OMOMI_SOURCE_...`.
    pub source: OmomiSource,
    /// The server's own probability, if neither the model nor a fallback file gave one; 0 if there is none.
    pub own_probability: f32,
    /// Which of the scorer's models answered, from 0.
    pub model_index: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

growing!(OmomiServed from experiment);

impl OmomiServed {
    /// Returns what a shorter struct lacks.
    const fn nothing_known() -> Self {
        Self {
            size_bytes: 0,
            request_id: OmomiText::EMPTY,
            impression: OmomiText::EMPTY,
            experiment: OmomiText::EMPTY,
            arm: OmomiText::EMPTY,
            at_unix_ms: 0,
            bid: OmomiMoney { micros: 0, basis: OMOMI_BASIS_NONE, currency: [0; 4] },
            latency_ns: 0,
            propensity: 0.0,
            position: OMOMI_NOT_GIVEN,
            bucket: OMOMI_NOT_GIVEN,
            source: OMOMI_SOURCE_MODEL,
            own_probability: 0.0,
            model_index: 0,
            reserved: 0,
        }
    }
}

/// Creates the ring of a scorer, for the thread that uses the scorer. Reads the weight files of its models once, to
/// digest them. Close it with `omomi_log_ring_close`; what it recorded is still written.
///
/// # Safety
///
/// `log` and `scorer` are null or open; `out_ring` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_log_ring_of_scorer(
    log: *const OmomiServingLog,
    scorer: *const OmomiScorer,
    out_ring: *mut *mut OmomiLogRing,
    error: *mut OmomiError,
) -> OmomiStatus {
    let open = |log: &OmomiServingLog| {
        // SAFETY: the caller's promise.
        let scorer = unsafe { reference(scorer, "scorer") }?.for_log()?;
        Ok((log.0.ring(scorer)?, Some(scorer.layout().clone())))
    };
    // SAFETY: the caller's promise.
    unsafe { open_ring(log, out_ring, error, open) }
}

/// Creates the ring of a live scorer, for the thread that uses the scorer. It also records the answers of the fallback
/// file, with the source `OMOMI_SOURCE_OFF` or `OMOMI_SOURCE_NO_MODEL`. Close it with `omomi_log_ring_close`; what it
/// recorded is still written.
///
/// # Safety
///
/// `log` and `scorer` are null or open; `out_ring` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_log_ring_of_live_scorer(
    log: *const OmomiServingLog,
    scorer: *const OmomiLiveScorer,
    out_ring: *mut *mut OmomiLogRing,
    error: *mut OmomiError,
) -> OmomiStatus {
    let open = |log: &OmomiServingLog| {
        // SAFETY: the caller's promise.
        let scorer = unsafe { reference(scorer, "scorer") }?.for_log()?;
        Ok((log.0.live_ring(scorer)?, Some(scorer.layout().clone())))
    };
    // SAFETY: the caller's promise.
    unsafe { open_ring(log, out_ring, error, open) }
}

/// Creates the ring of a scorer of an experiment, for the thread that uses the scorer. It adds to each record the names
/// of the experiment and of the arm that answered, and the bucket; what `OmomiServed` says of them then does not count.
/// After the record of a prediction, it records what each shadow that scored the request said of the same candidate.
/// Close it with `omomi_log_ring_close`; what it recorded is still written.
///
/// # Safety
///
/// `log` and `scorer` are null or open; `out_ring` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_log_ring_of_experiment_scorer(
    log: *const OmomiServingLog,
    scorer: *const OmomiExperimentScorer,
    out_ring: *mut *mut OmomiLogRing,
    error: *mut OmomiError,
) -> OmomiStatus {
    let open = |log: &OmomiServingLog| {
        // SAFETY: the caller's promise.
        let scorer = unsafe { reference(scorer, "scorer") }?.for_log();
        Ok((log.0.experiment_ring(scorer)?, Some(scorer.layout().clone())))
    };
    // SAFETY: the caller's promise.
    unsafe { open_ring(log, out_ring, error, open) }
}

/// Creates a ring for events, on a thread that scores nothing. Close it with `omomi_log_ring_close`.
///
/// # Safety
///
/// `log` is null or open; `out_ring` and `error` are null or writable.
#[must_use = "without the status, the outputs mean nothing"]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_log_ring_of_events(
    log: *const OmomiServingLog,
    out_ring: *mut *mut OmomiLogRing,
    error: *mut OmomiError,
) -> OmomiStatus {
    // SAFETY: the caller's promise.
    unsafe { open_ring(log, out_ring, error, |log| Ok((log.0.event_ring()?, None))) }
}

/// # Safety
///
/// The promises of [`omomi_log_ring_of_events`].
unsafe fn open_ring(
    log: *const OmomiServingLog,
    out_ring: *mut *mut OmomiLogRing,
    error: *mut OmomiError,
    open: impl FnOnce(&OmomiServingLog) -> Result<(LogRing, Option<RequestLayout>), Error>,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let log = unsafe { reference(log, "log") }?;
        let out_ring = output(out_ring, "out_ring")?;
        let (ring, layout) = open(log)?;
        let ring = OmomiLogRing { ring: UnsafeCell::new(ring), layout, owner: Owner::new() };
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_ring.write(into_handle(ring)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Closes a ring. What it recorded is still written. Ignores null.
///
/// # Safety
///
/// `ring` is null, or is open and not used after this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_log_ring_close(ring: *mut OmomiLogRing) {
    // SAFETY: the caller's promise.
    unsafe { close(ring) };
}

/// Leaves a ring to the next thread that records with it, like `omomi_scorer_hand_over`. Ignores null.
///
/// # Safety
///
/// `ring` is null or open, and no thread is in a call with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_log_ring_hand_over(ring: *const OmomiLogRing) {
    // SAFETY: the caller's promise.
    if let Some(handle) = unsafe { ring.as_ref() } {
        handle.owner.hand_over();
    }
}

/// Records that candidate `candidate` of the request in `block` was used, after the predict that scored it and before
/// the request is cleared. If the request is in the sample of details, the first such call also records its details.
/// Allocates nothing, makes no system call and waits for nothing, whatever happens to the disk. `out_recorded` may be
/// null.
///
/// A record that is dropped because of a full ring, or because of a limit, is `OMOMI_STATUS_OK`: see `out_recorded`.
/// Returns `OMOMI_STATUS_RECORD_INVALID` for what cannot be recorded, such as a candidate without an answer; that is
/// counted, too.
///
/// # Safety
///
/// `ring` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `served` is null
/// or points to its struct, whose texts are as long as they say; `out_recorded` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_log_record(
    ring: *const OmomiLogRing,
    block: *mut c_void,
    block_len_bytes: usize,
    candidate: usize,
    served: *const OmomiServed,
    out_recorded: *mut OmomiRecorded,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let handle = unsafe { reference(ring, "ring") }?;
        handle.owner.check()?;
        let layout = handle.layout.as_ref().ok_or(Error::RecordInvalid { what: "the ring of a scorer" })?;
        check_block(layout, block, block_len_bytes)?;
        let served = NonNull::new(served.cast_mut()).ok_or(Error::NullArgument { argument: "served" })?;
        // SAFETY: the caller's promise.
        let served = unsafe { read(served, OmomiServed::nothing_known(), "served") }?;
        // SAFETY: the caller's promise.
        let served = unsafe { served_of(&served) };
        // SAFETY: the owner, which is this thread, is the only one in a call with the ring.
        let ring = unsafe { &mut *handle.ring.get() };
        let served = served.inspect_err(|_| ring.count_invalid())?;
        // SAFETY: the block has, by the caller's promise, the length that was just checked.
        let recorded = unsafe { ring.record_block(block.cast(), candidate, &served) }?;
        // SAFETY: the caller's promise.
        unsafe { tell(recorded, out_recorded) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Records something that happened to a prediction: `prediction_id` has `OMOMI_PREDICTION_ID_LEN_BYTES`, `at_unix_ms`
/// is Unix milliseconds, UTC, or 0 for now, and `money` is what was paid or what it is worth, or null. Any ring takes
/// events. Allocates nothing, makes no system call and waits for nothing. `out_recorded` may be null.
///
/// # Safety
///
/// `ring` is null or open; `prediction_id` is null or has that many readable bytes; `money` is null or readable;
/// `out_recorded` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_log_event(
    ring: *const OmomiLogRing,
    prediction_id: *const u8,
    kind: OmomiEventKind,
    at_unix_ms: i64,
    money: *const OmomiMoney,
    out_recorded: *mut OmomiRecorded,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let handle = unsafe { reference(ring, "ring") }?;
        handle.owner.check()?;
        let id = prediction_id.cast::<[u8; OMOMI_PREDICTION_ID_LEN_BYTES]>();
        // SAFETY: the caller's promise; bytes need no alignment.
        let id = *unsafe { reference(id, "prediction_id") }?;
        let kind = u8::try_from(kind).ok().and_then(EventKind::from_number);
        let kind = kind.ok_or(Error::RecordInvalid { what: "one of OMOMI_EVENT_..." })?;
        // SAFETY: the caller's promise.
        let money = unsafe { money.as_ref() }.map_or(Ok(None), money_of)?;
        let at_unix_ms = (at_unix_ms != 0).then_some(at_unix_ms);
        let event = Event { prediction_id: PredictionId::from_bytes(id), kind, at_unix_ms, money };
        // SAFETY: the owner, which is this thread, is the only one in a call with the ring.
        let recorded = unsafe { &mut *handle.ring.get() }.event(&event)?;
        // SAFETY: the caller's promise.
        unsafe { tell(recorded, out_recorded) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Returns what the struct of a caller says. Errors allocate nothing.
///
/// # Safety
///
/// The texts must be as long as they say, live, and not change for `'a`.
unsafe fn served_of<'a>(served: &OmomiServed) -> Result<Served<'a>, Error> {
    // SAFETY: the caller's promise.
    let (request_id, impression) =
        unsafe { (text(served.request_id, "served->request_id")?, text(served.impression, "served->impression")?) };
    // SAFETY: the caller's promise.
    let (experiment, arm) =
        unsafe { (text(served.experiment, "served->experiment")?, text(served.arm, "served->arm")?) };
    let source = u8::try_from(served.source).ok().and_then(Source::from_number);
    let source = source.ok_or(Error::RecordInvalid { what: "one of OMOMI_SOURCE_..." })?;
    let bid = money_of(&served.bid)?;
    let given = |number: u32| (number != OMOMI_NOT_GIVEN).then_some(number);
    Ok(Served::of(request_id).with(|it| {
        it.impression = impression;
        it.at_unix_ms = (served.at_unix_ms != 0).then_some(served.at_unix_ms);
        it.experiment = experiment;
        it.arm = arm;
        it.bucket = given(served.bucket);
        it.position = given(served.position);
        it.propensity = (served.propensity != 0.0).then_some(served.propensity);
        it.bid = bid;
        it.latency_ns = served.latency_ns;
        it.source = source;
        it.own_probability = (served.own_probability != 0.0).then_some(served.own_probability);
        it.model = served.model_index as usize;
    }))
}

fn money_of(money: &OmomiMoney) -> Result<Option<Money>, Error> {
    if money.basis == OMOMI_BASIS_NONE {
        return Ok(None);
    }
    let basis = u8::try_from(money.basis).ok().and_then(Basis::from_number);
    let basis = basis.ok_or(Error::RecordInvalid { what: "one of OMOMI_BASIS_..." })?;
    let [first, second, third, _] = money.currency;
    let currency = Currency::from_letters([first, second, third]);
    let currency = currency.ok_or(Error::RecordInvalid { what: "a currency of three capital letters, such as JPY" })?;
    Ok(Some(Money { micros: money.micros, currency, basis }))
}

/// Writes what became of a record, if the caller wants to know.
///
/// # Safety
///
/// `out_recorded` must be null or writable.
unsafe fn tell(recorded: Recorded, out_recorded: *mut OmomiRecorded) {
    let number = match recorded {
        Recorded::Queued => OMOMI_RECORDED_QUEUED,
        Recorded::SampledOut => OMOMI_RECORDED_SAMPLED_OUT,
        Recorded::Dropped(reason) => OMOMI_RECORDED_DROPPED + reason as u32,
    };
    if let Some(out_recorded) = NonNull::new(out_recorded) {
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_recorded.write(number) };
    }
}

const _: () = assert!(OMOMI_RECORDED_DROPPED + DropReason::Defect as u32 == OMOMI_RECORDED_DROPPED_DEFECT);
const _: () = assert!(OMOMI_RECORDED_DROPPED + DropReason::FolderGone as u32 == OMOMI_RECORDED_DROPPED_FOLDER_GONE);
