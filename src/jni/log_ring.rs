//! Native methods for rings of a serving log: the call of each record, opening and closing.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jni::EnvUnowned;
use jni::objects::JClass;
use jni::sys::{jint, jlong};

use super::boundary::{borrow, call, free, into_handle};
use super::scorer::{ScorerHandle, Scoring};
use super::served::{ServedBlock, money};
use super::serving_log::open_log;
use crate::error::{Code, Error};
use crate::serving_log::{Event, EventKind, LogRing, PredictionId, Recorded};

/// The native part of a Java ring.
struct RingHandle {
    /// Java lets one thread at a time into a call.
    state: UnsafeCell<RingState>,
}

struct RingState {
    ring: LogRing,
    /// The block of the Java request; null for events. Valid as long as the Java ring is reachable.
    block: *mut u8,
    /// The error of the last record, for the call that throws it as an exception.
    last_error: Option<Error>,
}

/// In an answer to Java: dropped for reason 0. `Recorded.java` has the same number.
const DROPPED: jint = 16;

/// Creates the ring of a scorer. Free the handle with `closeLogRing`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_openLogRing<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    log: jlong,
    scorer: jlong,
) -> jlong {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open log.
        let log = unsafe { open_log(log) }?;
        // SAFETY: Java passes a handle of a scorer, which no other call closes meanwhile.
        let scorer = unsafe { borrow::<ScorerHandle>(scorer) }.ok_or(Error::Closed { what: "scorer" })?;
        let ring = match &scorer.scorer {
            Scoring::Given(given) => log.ring(given),
            Scoring::Live(live) => log.live_ring(live),
            Scoring::Experiment(arms) => log.experiment_ring(arms.scorer()),
        };
        Ok(new_handle(ring?, scorer.block))
    })
}

/// Creates a ring for events. Free the handle with `closeLogRing`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_openEventRing<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    log: jlong,
) -> jlong {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open log.
        let log = unsafe { open_log(log) }?;
        Ok(new_handle(log.event_ring()?, std::ptr::null_mut()))
    })
}

/// Frees a ring. What it recorded is still written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_closeLogRing<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    ring: jlong,
) {
    call(env, |_| {
        // SAFETY: Java closes a handle once, after the last call on it.
        unsafe { free::<RingHandle>(ring) };
        Ok(())
    });
}

/// Records candidate `candidate` of the ring's request, as the block at `served` says. Returns what became of it, or
/// the negative number of an error. Java passes the object of that block too, which keeps it reachable.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_LogRing_record0(
    _env: *mut c_void,
    _this: *mut c_void,
    ring: jlong,
    _served: *mut c_void,
    served: jlong,
    candidate: jint,
) -> jint {
    // SAFETY: Java passes the handle of an open ring, and lets one thread at a time in.
    let Some(state) = (unsafe { open_ring(ring) }) else { return -(Code::Closed as jint) };
    answer(state, |state| {
        // SAFETY: Java passes the address of its block, whose object is an argument of this call.
        let served = unsafe { ServedBlock::at(served) };
        let served = served.served().inspect_err(|_| state.ring.count_invalid())?;
        // No request has a candidate at the largest index.
        let candidate = usize::try_from(candidate).unwrap_or(usize::MAX);
        // SAFETY: the block was checked against the layout when the scorer was opened, and Java's `this` keeps it alive
        // during the call. A ring without a block says so before it reads it.
        unsafe { state.ring.record_block(state.block, candidate, &served) }
    })
}

/// Records an event. Returns what became of it, or the negative number of an error. The id is in two halves.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_LogRing_event0(
    _env: *mut c_void,
    _this: *mut c_void,
    ring: jlong,
    kind: jint,
    first_half: jlong,
    second_half: jlong,
    at_unix_ms: jlong,
    micros: jlong,
    basis: jint,
    currency: jint,
) -> jint {
    // SAFETY: Java passes the handle of an open ring, and lets one thread at a time in.
    let Some(state) = (unsafe { open_ring(ring) }) else { return -(Code::Closed as jint) };
    answer(state, |state| {
        let money = money(micros, basis, currency).inspect_err(|_| state.ring.count_invalid())?;
        let kind = u8::try_from(kind).ok().and_then(EventKind::from_number);
        let kind = kind.ok_or(Error::RecordInvalid { what: "one of the kinds of events" })?;
        let mut id = [0; PredictionId::LEN];
        id.copy_from_slice([first_half.to_le_bytes(), second_half.to_le_bytes()].as_flattened());
        let at_unix_ms = (at_unix_ms != 0).then_some(at_unix_ms);
        state.ring.event(&Event { prediction_id: PredictionId::from_bytes(id), kind, at_unix_ms, money })
    })
}

/// Throws the error of the last record of `ring`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_throwRecordError<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    ring: jlong,
    code: jint,
) {
    call(env, |_| {
        // SAFETY: Java passes the handle of an open ring, and lets one thread at a time in.
        let state = unsafe { open_ring(ring) }.ok_or(Error::Closed { what: "log ring" })?;
        let message = || format!("a record failed with code {code} but kept no error");
        Err::<(), _>(state.last_error.take().unwrap_or_else(|| Error::Panic { message: message() }).into())
    });
}

fn new_handle(ring: LogRing, block: *mut u8) -> jlong {
    into_handle(RingHandle { state: UnsafeCell::new(RingState { ring, block, last_error: None }) })
}

/// # Safety
///
/// The promises of [`borrow`], and no other thread may be in a call with the ring.
unsafe fn open_ring<'a>(ring: jlong) -> Option<&'a mut RingState> {
    // SAFETY: the caller's promise.
    let handle = unsafe { borrow::<RingHandle>(ring) }?;
    // SAFETY: by the caller's promise, nothing else refers to the state.
    Some(unsafe { &mut *handle.state.get() })
}

/// Runs `body` and returns the number of its outcome for Java.
fn answer(state: &mut RingState, body: impl FnOnce(&mut RingState) -> Result<Recorded, Error>) -> jint {
    let error = match catch_unwind(AssertUnwindSafe(|| body(state))) {
        Ok(Ok(Recorded::Queued)) => return 0,
        Ok(Ok(Recorded::SampledOut)) => return 1,
        Ok(Ok(Recorded::Dropped(reason))) => return DROPPED + reason as jint,
        Ok(Err(error)) => error,
        Err(panic) => Error::from_panic(panic.as_ref()),
    };
    let code = error.code() as jint;
    state.last_error = Some(error);
    -code
}
