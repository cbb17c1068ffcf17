//! Native methods for experiments. A request uses the native call of every other scorer; what that call takes and
//! returns besides numbers is in the memory of [`AnsweredBlock`].

use std::ffi::c_void;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JByteBuffer, JClass, JObjectArray, JString};
use jni::sys::{jint, jlong};

use super::answered::AnsweredBlock;
use super::arguments::{count, decode_layout, decode_live_options, decode_schema, invalid, path_of};
use super::arm_scoring::ArmScoring;
use super::boundary::{borrow, call, checked_block, direct_room, free, into_handle};
use super::candidate_set::CandidateSetHandle;
use super::experiment_status::encode_experiment_status;
use super::scorer::{ScorerHandle, Scoring, code_of};
use crate::error::{Code, Error};
use crate::experiment::LiveExperiment;

/// Opens an experiment file. Free the handle with `closeExperiment`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_openExperiment<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    file: JByteArray<'local>,
    schema: JByteArray<'local>,
    options: JByteArray<'local>,
) -> jlong {
    call(env, |env| {
        let file = path_of(env.convert_byte_array(&file)?)?;
        let schema = decode_schema(&env.convert_byte_array(&schema)?)?;
        let options = decode_live_options(&env.convert_byte_array(&options)?)?;
        Ok(into_handle(LiveExperiment::open(&file, &schema, options)?))
    })
}

/// Closes an experiment and ends its threads.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_closeExperiment<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    experiment: jlong,
) {
    call(env, |_| {
        // SAFETY: Java closes a handle once, after the last call on it.
        unsafe { free::<LiveExperiment>(experiment) };
        Ok(())
    });
}

/// Looks at the file and the stores now.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_lookAtExperiment<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    experiment: jlong,
) {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open experiment.
        unsafe { open_experiment(experiment) }?.look_now();
        Ok(())
    });
}

/// Returns the status as JSON.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_experimentStatusJson<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    experiment: jlong,
) -> JString<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open experiment.
        let status = unsafe { open_experiment(experiment) }?.status_json();
        Ok(env.new_string(status.to_string())?)
    })
}

/// Returns the status in the form that `ExperimentStatus.java` reads.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_experimentStatus<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    experiment: jlong,
) -> JByteArray<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open experiment.
        let experiment = unsafe { open_experiment(experiment) }?;
        let bytes = encode_experiment_status(&experiment.status(), experiment.process_name());
        Ok(env.byte_array_from_slice(&bytes)?)
    })
}

/// Writes the status as Prometheus text into a direct buffer, like `livePrometheus`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_experimentPrometheus<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    experiment: jlong,
    buffer: JByteBuffer<'local>,
    position: jint,
    limit: jint,
) -> jlong {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open experiment.
        let page = unsafe { open_experiment(experiment) }?.status().to_prometheus();
        // SAFETY: the caller keeps the buffer reachable, and no other thread uses it meanwhile.
        let room = unsafe { direct_room(env, &buffer, position, limit) }?;
        if let Some(room) = room.get_mut(..page.len()) {
            room.copy_from_slice(page.as_bytes());
        }
        Ok((page.len() as u64).cast_signed())
    })
}

/// Creates a scorer over the block of a Java request and the memory of its Java scorer. Free the handle with
/// `closeScorer`. 0 means no candidate set.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_openExperimentScorer<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    experiment: jlong,
    layout: JByteArray<'local>,
    set: jlong,
    block: JByteBuffer<'local>,
    memory: JByteBuffer<'local>,
) -> jlong {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open experiment.
        let experiment = unsafe { open_experiment(experiment) }?;
        let layout = decode_layout(&env.convert_byte_array(&layout)?)?;
        let block = checked_block(env, &block, &layout)?;
        let expected = AnsweredBlock::len_bytes(layout.capacity().candidates);
        let found = env.get_direct_buffer_capacity(&memory)?;
        if found != expected {
            let (expected, found) = (expected as u64, found as u64);
            return Err(Error::WrongSize { what: "the memory of an experiment scorer", expected, found }.into());
        }
        let memory = env.get_direct_buffer_address(&memory)?;
        if !memory.cast::<f64>().is_aligned() {
            return Err(invalid("memory", "expected memory that is aligned for numbers".to_owned()).into());
        }
        // SAFETY: Java passes a handle of an open candidate set, or 0.
        let scorer = match unsafe { borrow::<CandidateSetHandle>(set) } {
            Some(set) => experiment.scorer_with_candidates(&layout, &set.set),
            None => experiment.scorer(&layout),
        };
        // SAFETY: length and alignment were just checked, and Java initialized the memory, which its scorer keeps.
        let scoring = unsafe { ArmScoring::new(scorer?, memory) };
        Ok(into_handle(ScorerHandle::new(Scoring::Experiment(scoring), block)))
    })
}

/// Returns the names of the experiment and of an arm, by the number of the arm.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_armNames<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    scorer: jlong,
    arm: jint,
) -> JObjectArray<'local, JString<'local>> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open scorer.
        let handle = unsafe { borrow::<ScorerHandle>(scorer) }.ok_or(Error::Closed { what: "scorer" })?;
        let names = match &handle.scorer {
            Scoring::Experiment(arms) => u32::try_from(arm).ok().and_then(|arm| arms.scorer().names_of(arm)),
            Scoring::Given(_) | Scoring::Live(_) => None,
        };
        let problem = || format!("expected the arm of an answer of this process, found {arm}");
        let (experiment, arm) = names.ok_or_else(|| invalid("arm", problem()))?;
        let array = JObjectArray::<JString>::new(env, 2, JString::null())?;
        for (index, name) in [experiment, arm].into_iter().enumerate() {
            let name = env.new_string(name)?;
            array.set_element(env, index, &name)?;
        }
        Ok(array)
    })
}

/// Chooses one of the candidates whose utilities are in the memory of `scorer`. Returns 0 or the number of an error.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_ExperimentScorer_choose0(
    _env: *mut c_void,
    _this: *mut c_void,
    scorer: jlong,
    utility_count: jint,
) -> jint {
    // SAFETY: Java passes a handle of an open scorer.
    let Some(handle) = (unsafe { borrow::<ScorerHandle>(scorer) }) else {
        return Code::Closed as jint;
    };
    code_of(handle, || match &handle.scorer {
        // SAFETY: Java's `this` keeps the memory alive during the call, and Java lets one thread at a time in.
        Scoring::Experiment(arms) => unsafe { arms.choose(count(utility_count, "utilities")?) },
        Scoring::Given(_) | Scoring::Live(_) => {
            Err(invalid("scorer", "expected one of an experiment, found another one".to_owned()))
        }
    })
}

/// Returns the experiment of a handle, if it was opened by this process.
///
/// # Safety
///
/// The promises of [`borrow`], for a handle of an experiment.
unsafe fn open_experiment<'a>(handle: jlong) -> Result<&'a LiveExperiment, Error> {
    // SAFETY: the caller's promise.
    let experiment: &LiveExperiment = unsafe { borrow(handle) }.ok_or(Error::Closed { what: "experiment" })?;
    experiment.check_process()?;
    Ok(experiment)
}
