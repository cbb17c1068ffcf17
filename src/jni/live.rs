//! Native methods for live models, all off the request path. Requests use the same native call as those of every other
//! scorer.

use std::sync::Arc;

use jni::objects::{JByteArray, JByteBuffer, JClass, JString};
use jni::sys::{jint, jlong};
use jni::{Env, EnvUnowned};

use super::arguments::{decode_layout, decode_live_options, decode_schema, invalid, path_of};
use super::boundary::{Failure, borrow, call, checked_block, direct_room, free, into_handle};
use super::candidate_set::CandidateSetHandle;
use super::live_answers::{encode_metrics, encode_status, ordinal};
use super::scorer::{ScorerHandle, Scoring};
use crate::error::Error;
use crate::live::LiveModel;
use crate::score::Model;

/// Opens the store in a directory. Free the handle with `closeLiveModel`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_openLiveModel<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    dir: JByteArray<'local>,
    schema: JByteArray<'local>,
    options: JByteArray<'local>,
) -> jlong {
    call(env, |env| {
        let dir = path_of(env.convert_byte_array(&dir)?)?;
        let schema = decode_schema(&env.convert_byte_array(&schema)?)?;
        let options = decode_live_options(&env.convert_byte_array(&options)?)?;
        Ok(into_handle(LiveModel::open(&dir, &schema, options)?))
    })
}

/// Closes a live model and ends its thread.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_closeLiveModel<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
) {
    call(env, |_| {
        // SAFETY: Java closes a handle once, after the last call on it.
        unsafe { free::<LiveModel>(live) };
        Ok(())
    });
}

/// Looks at the store now.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_lookNow<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
) {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open live model.
        unsafe { open_live(live) }?.look_now();
        Ok(())
    });
}

/// Returns the ordinal of the state in `ServingState.java`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_servingState<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
) -> jint {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open live model.
        Ok(ordinal(unsafe { open_live(live) }?.status().state))
    })
}

/// Returns the status in the form that `LiveStatus.java` reads.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_liveStatus<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
) -> JByteArray<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open live model.
        let status = unsafe { open_live(live) }?.status();
        Ok(env.byte_array_from_slice(&encode_status(&status))?)
    })
}

/// Returns the current metrics in the form that `LiveMetrics.java` reads.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_liveMetrics<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
) -> JByteArray<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open live model.
        let metrics = unsafe { open_live(live) }?.metrics();
        Ok(env.byte_array_from_slice(&encode_metrics(&metrics))?)
    })
}

/// Writes the current metrics as Prometheus text into a direct buffer, between two positions, and returns the length of
/// the text. If that is more than the room, the written text is incomplete.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_livePrometheus<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
    buffer: JByteBuffer<'local>,
    position: jint,
    limit: jint,
) -> jlong {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open live model.
        let live = unsafe { open_live(live) }?;
        // SAFETY: the caller keeps the buffer reachable, and no other thread uses it meanwhile.
        let room = unsafe { direct_room(env, &buffer, position, limit) }?;
        let (Ok(len) | Err(len)) = live.metrics().write_prometheus(room);
        Ok((len as u64).cast_signed())
    })
}

/// Returns the health: bit 0 is live, bit 1 is ready.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_liveHealth<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
) -> jint {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open live model.
        let health = unsafe { open_live(live) }?.health();
        Ok(jint::from(health.is_live) | jint::from(health.is_ready) << 1)
    })
}

/// Creates a scorer over the block of a Java request. Free the handle with `closeScorer`. 0 means no candidate set.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_openLiveScorer<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
    layout: JByteArray<'local>,
    set: jlong,
    block: JByteBuffer<'local>,
) -> jlong {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open live model.
        let live = unsafe { open_live(live) }?;
        let layout = decode_layout(&env.convert_byte_array(&layout)?)?;
        let block = checked_block(env, &block, &layout)?;
        // SAFETY: Java passes a handle of an open candidate set, or 0.
        let scorer = match unsafe { borrow::<CandidateSetHandle>(set) } {
            Some(set) => live.scorer_with_candidates(&layout, &set.set),
            None => live.scorer(&layout),
        };
        Ok(into_handle(ScorerHandle::new(Scoring::Live(scorer?), block)))
    })
}

/// Returns the logic id of a generation that answers or answered recently: of a live scorer, or of the last arm of an
/// experiment scorer.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_liveLogicId<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    scorer: jlong,
    generation: jlong,
) -> JString<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open scorer.
        let handle = unsafe { borrow::<ScorerHandle>(scorer) }.ok_or(Error::Closed { what: "scorer" })?;
        let logic_id = match &handle.scorer {
            Scoring::Live(scorer) => scorer.logic_id(generation.cast_unsigned()),
            Scoring::Experiment(scorer) => scorer.logic_id(generation.cast_unsigned()),
            Scoring::Given(_) => None,
        };
        let found = generation.cast_unsigned();
        let problem = || format!("expected a generation that answers or answered recently, found {found}");
        let logic_id = logic_id.ok_or_else(|| invalid("generation", problem()))?;
        Ok(env.new_string(&*logic_id)?)
    })
}

/// Returns the logic id of the fallback file of a live scorer or an experiment scorer, or null if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_fallbackLogicId<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    scorer: jlong,
) -> JString<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open scorer.
        let handle = unsafe { borrow::<ScorerHandle>(scorer) }.ok_or(Error::Closed { what: "scorer" })?;
        match &handle.scorer {
            Scoring::Live(scorer) => logic_id_of(env, scorer.fallback()),
            Scoring::Experiment(scorer) => logic_id_of(env, scorer.fallback()),
            Scoring::Given(_) => Ok(JString::null()),
        }
    })
}

/// Returns the logic id of the fallback file of a live model, or null if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_liveFallbackLogicId<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
) -> JString<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open live model.
        logic_id_of(env, unsafe { open_live(live) }?.fallback())
    })
}

fn logic_id_of<'local>(env: &mut Env<'local>, model: Option<&Arc<Model>>) -> Result<JString<'local>, Failure> {
    Ok(match model {
        Some(model) => env.new_string(model.logic_id())?,
        None => JString::null(),
    })
}

/// Returns the live model of a handle, if it was opened by this process.
///
/// # Safety
///
/// The promises of [`borrow`], for a handle of a live model.
unsafe fn open_live<'a>(handle: jlong) -> Result<&'a LiveModel, Error> {
    // SAFETY: the caller's promise.
    let live: &LiveModel = unsafe { borrow(handle) }.ok_or(Error::Closed { what: "live model" })?;
    live.check_process()?;
    Ok(live)
}
