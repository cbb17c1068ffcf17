//! Native methods for serving logs, all off the request path.

use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JByteBuffer, JClass, JLongArray};
use jni::sys::{jboolean, jint, jlong};

use super::arguments::{decode_log_options, path_of, utf8};
use super::boundary::{borrow, call, direct_room, free, into_handle, long_array};
use super::live_answers::{number, numbers, optional, text};
use super::served::ServedBlock;
use crate::error::Error;
use crate::serving_log::{LogMetrics, PredictionId, ServingLog, sample_place};

/// Opens a log in a folder. Free the handle with `closeServingLog`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_openServingLog<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    folder: JByteArray<'local>,
    options: JByteArray<'local>,
) -> jlong {
    call(env, |env| {
        let folder = path_of(env.convert_byte_array(&folder)?)?;
        let options = decode_log_options(&env.convert_byte_array(&options)?)?;
        Ok(into_handle(ServingLog::open(folder, options)?))
    })
}

/// Closes a log: writes what was recorded, and ends its thread.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_closeServingLog<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    log: jlong,
) {
    call(env, |_| {
        // SAFETY: Java closes a handle once, after the last call on it.
        unsafe { free::<ServingLog>(log) };
        Ok(())
    });
}

/// Has everything written that was recorded before, and returns whether it is, within the time.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_flushServingLog<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    log: jlong,
    timeout_ms: jlong,
) -> jboolean {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open log.
        let log = unsafe { open_log(log) }?;
        // Longer than any patience, and short enough to be added to a time.
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0).min(u64::from(u32::MAX)));
        Ok(log.flush(timeout))
    })
}

/// Returns the current metrics in the form that `LogMetrics.java` reads.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_servingLogMetrics<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    log: jlong,
) -> JByteArray<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open log.
        let metrics = unsafe { open_log(log) }?.metrics();
        Ok(env.byte_array_from_slice(&encode_metrics(&metrics))?)
    })
}

/// Writes the current metrics as Prometheus text into a direct buffer, like `livePrometheus`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_servingLogPrometheus<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    log: jlong,
    buffer: JByteBuffer<'local>,
    position: jint,
    limit: jint,
) -> jlong {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open log.
        let log = unsafe { open_log(log) }?;
        // SAFETY: the caller keeps the buffer reachable, and no other thread uses it meanwhile.
        let room = unsafe { direct_room(env, &buffer, position, limit) }?;
        let page = log.metrics().to_prometheus();
        if let Some(room) = room.get_mut(..page.len()) {
            room.copy_from_slice(page.as_bytes());
        }
        Ok((page.len() as u64).cast_signed())
    })
}

/// Returns the two halves of a prediction id.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_predictionId<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    request_id: JByteArray<'local>,
    impression: JByteArray<'local>,
    candidate: jint,
) -> JLongArray<'local> {
    call(env, |env| {
        let request_id = utf8(env.convert_byte_array(&request_id)?, "requestId")?;
        let impression = utf8(env.convert_byte_array(&impression)?, "impression")?;
        let candidate = u32::try_from(candidate).map_err(|_| Error::RecordInvalid { what: "a candidate from 0 on" })?;
        let id = PredictionId::of(&request_id, &impression, candidate)?;
        let (halves, _) = id.as_bytes().as_chunks::<{ size_of::<i64>() }>();
        let halves: Vec<i64> = halves.iter().map(|half| i64::from_le_bytes(*half)).collect();
        long_array(env, &halves)
    })
}

/// Returns the place of a request, from 0 to 999,999.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_samplePlace<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    salt: jlong,
    request_id: JByteArray<'local>,
) -> jint {
    call(env, |env| {
        let request_id = utf8(env.convert_byte_array(&request_id)?, "requestId")?;
        Ok(sample_place(salt.cast_unsigned(), &request_id).cast_signed())
    })
}

/// Writes a prediction id into the block of a `Served.java`, which is an argument too, and throws if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_putPredictionId<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    _block: JByteBuffer<'local>,
    served: jlong,
    candidate: jint,
) {
    call(env, |_| {
        // SAFETY: Java passes the address of its block, which an argument of this call keeps reachable.
        let mut served = unsafe { ServedBlock::at(served) };
        Ok(served.put_prediction_id(candidate)?)
    });
}

/// Returns the log of a handle, if it was opened by this process.
///
/// # Safety
///
/// The promises of [`borrow`], for a handle of a serving log.
pub(super) unsafe fn open_log<'a>(handle: jlong) -> Result<&'a ServingLog, Error> {
    // SAFETY: the caller's promise.
    let log: &ServingLog = unsafe { borrow(handle) }.ok_or(Error::Closed { what: "serving log" })?;
    log.check_process()?;
    Ok(log)
}

/// Encodes the metrics like `live_answers`: records written, outside the sample, and dropped by reason; open rings;
/// bytes, segments and records; how long the oldest record has been waiting in nanoseconds; whether the thread runs as
/// one byte; and the last problem with its age in nanoseconds after a byte that says whether there is one.
fn encode_metrics(metrics: &LogMetrics) -> Vec<u8> {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    number(&mut bytes, metrics.counts.written);
    number(&mut bytes, metrics.counts.sampled_out);
    numbers(&mut bytes, &metrics.counts.dropped);
    number(&mut bytes, metrics.open_ring_count as u64);
    for count in [
        metrics.written_bytes,
        metrics.sealed_segments,
        metrics.recovered_segments,
        metrics.deleted_segments,
        metrics.deleted_records,
        metrics.folder_len_bytes,
    ] {
        number(&mut bytes, count);
    }
    optional(&mut bytes, metrics.oldest_waiting.map(nanoseconds));
    bytes.push(u8::from(metrics.is_writing));
    bytes.push(u8::from(metrics.problem.is_some()));
    if let Some((problem, age)) = &metrics.problem {
        text(&mut bytes, problem);
        number(&mut bytes, nanoseconds(*age));
    }
    bytes
}
