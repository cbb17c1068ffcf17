//! Native methods for scorers: the one call of each request, opening, closing and explaining.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JByteBuffer, JClass, JLongArray, JObject, JObjectArray, JString};
use jni::sys::{jint, jlong};

use super::arguments::{count, decode_layout};
use super::arm_scoring::ArmScoring;
use super::boundary::{borrow, call, checked_block, double_array, free, into_handle, long_array};
use super::candidate_set::CandidateSetHandle;
use super::model::open_model;
use crate::error::{Code, Error};
use crate::live::LiveScorer;
use crate::score::{Explanation, Scorer};

/// Scores the requests of a Java scorer.
#[expect(clippy::large_enum_variant, reason = "there is one per scorer, in its own box")]
pub(super) enum Scoring {
    /// Models that were passed when the scorer was opened.
    Given(Scorer),
    /// The generation that a store serves.
    Live(LiveScorer),
    /// The arm of the request's unit.
    Experiment(ArmScoring),
}

impl Scoring {
    /// # Safety
    ///
    /// The promises of [`Scorer::predict_block`].
    unsafe fn predict_block(&self, block: *mut u8, count: usize, budget: Option<Duration>) -> Result<(), Error> {
        match self {
            // SAFETY: the caller's promise.
            Self::Given(scorer) => unsafe { scorer.predict_block(block, count, budget) },
            // SAFETY: the caller's promise.
            Self::Live(scorer) => unsafe { scorer.predict_block(block, count, budget) },
            // SAFETY: the caller's promise.
            Self::Experiment(scorer) => unsafe { scorer.predict_block(block, count, budget) },
        }
    }

    /// # Safety
    ///
    /// The promises of [`Scorer::predict_block`].
    unsafe fn explain_block(&self, block: *mut u8, candidate: usize) -> Result<Explanation, Error> {
        match self {
            // SAFETY: the caller's promise.
            Self::Given(scorer) => unsafe { scorer.explain_block(block, candidate) },
            // SAFETY: the caller's promise.
            Self::Live(scorer) => unsafe { scorer.explain_block(block, candidate) },
            // SAFETY: the caller's promise.
            Self::Experiment(scorer) => unsafe { scorer.explain_block(block, candidate) },
        }
    }
}

/// The native part of a Java scorer.
pub(super) struct ScorerHandle {
    pub(super) scorer: Scoring,
    /// The block of the Java request. Valid as long as the Java scorer is reachable.
    pub(super) block: *mut u8,
    /// The error of the last predict, for the call that throws it as an exception.
    last_error: Mutex<Option<Error>>,
}

impl ScorerHandle {
    pub(super) const fn new(scorer: Scoring, block: *mut u8) -> Self {
        Self { scorer, block, last_error: Mutex::new(None) }
    }
}

/// Scores the block of `scorer` and returns 0 or the number of an error. A negative budget means no time limit.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_AbstractScorer_predict0(
    _env: *mut c_void,
    _this: *mut c_void,
    scorer: jlong,
    candidate_count: jint,
    budget_nanos: jlong,
) -> jint {
    // SAFETY: Java passes a handle of an open scorer.
    let Some(handle) = (unsafe { borrow::<ScorerHandle>(scorer) }) else {
        return Code::Closed as jint;
    };
    code_of(handle, || {
        let candidate_count = count(candidate_count, "candidateCount")?;
        let budget = u64::try_from(budget_nanos).ok().map(Duration::from_nanos);
        // SAFETY: the block was checked against the layout at open, and Java's `this` keeps it alive during the call.
        unsafe { handle.scorer.predict_block(handle.block, candidate_count, budget) }
    })
}

/// Scores the block of a live scorer with the fallback file and returns 0 or the number of an error.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_LiveScorer_predictFallback0(
    _env: *mut c_void,
    _this: *mut c_void,
    scorer: jlong,
    candidate_count: jint,
) -> jint {
    // SAFETY: Java passes a handle of an open scorer.
    unsafe { predict_fallback(scorer, candidate_count) }
}

/// Scores the block of an experiment scorer with the fallback file and returns 0 or the number of an error.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_ExperimentScorer_predictFallback0(
    _env: *mut c_void,
    _this: *mut c_void,
    scorer: jlong,
    candidate_count: jint,
) -> jint {
    // SAFETY: Java passes a handle of an open scorer.
    unsafe { predict_fallback(scorer, candidate_count) }
}

/// # Safety
///
/// `scorer` must be 0 or the handle of an open scorer.
unsafe fn predict_fallback(scorer: jlong, candidate_count: jint) -> jint {
    // SAFETY: the caller's promise.
    let Some(handle) = (unsafe { borrow::<ScorerHandle>(scorer) }) else {
        return Code::Closed as jint;
    };
    code_of(handle, || {
        let candidate_count = count(candidate_count, "candidateCount")?;
        match &handle.scorer {
            // SAFETY: as in `predict0`.
            Scoring::Live(scorer) => unsafe { scorer.predict_fallback_block(handle.block, candidate_count) },
            // SAFETY: as in `predict0`.
            Scoring::Experiment(scorer) => unsafe { scorer.predict_fallback_block(handle.block, candidate_count) },
            Scoring::Given(_) => Err(Error::NoModel),
        }
    })
}

/// Runs `predict` and returns 0 or the number of its error, which it keeps for the call that throws it.
pub(super) fn code_of(handle: &ScorerHandle, predict: impl FnOnce() -> Result<(), Error>) -> jint {
    let error = match catch_unwind(AssertUnwindSafe(predict)) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => error,
        Err(panic) => Error::from_panic(panic.as_ref()),
    };
    let code = error.code() as jint;
    if matches!(error, Error::NoModel | Error::SwitchedOff) {
        // Java throws no exception for these codes.
        return code;
    }
    *handle.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    code
}

/// Throws the error of the last predict of `scorer`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_throwPredictError<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    scorer: jlong,
    code: jint,
) {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open scorer.
        let handle = unsafe { borrow::<ScorerHandle>(scorer) }.ok_or(Error::Closed { what: "scorer" })?;
        let error = handle.last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let message = || format!("a predict failed with code {code} but recorded no error");
        Err::<(), _>(error.unwrap_or_else(|| Error::Panic { message: message() }).into())
    });
}

/// Creates a scorer over the block of a Java request. Free the handle with `closeScorer`. 0 means no candidate set.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_openScorer<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    models: JLongArray<'local>,
    layout: JByteArray<'local>,
    set: jlong,
    block: JByteBuffer<'local>,
) -> jlong {
    call(env, |env| {
        let mut handles = vec![0; models.len(env)?];
        models.get_region(env, 0, &mut handles)?;
        // SAFETY: Java passes handles of open models.
        let models = handles.into_iter().map(|model| unsafe { open_model(model) }.cloned());
        let models = models.collect::<Result<Vec<_>, Error>>()?;
        let layout = decode_layout(&env.convert_byte_array(&layout)?)?;
        let block = checked_block(env, &block, &layout)?;
        // SAFETY: Java passes a handle of an open candidate set, or 0.
        let scorer = match unsafe { borrow::<CandidateSetHandle>(set) } {
            Some(set) => Scorer::with_candidates(models, &layout, &set.set),
            None => Scorer::for_models(models, &layout),
        };
        Ok(into_handle(ScorerHandle::new(Scoring::Given(scorer?), block)))
    })
}

/// Frees a scorer and its references to models and candidate set.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_closeScorer<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    scorer: jlong,
) {
    call(env, |_| {
        // SAFETY: Java closes a handle once, after the last call on it.
        unsafe { free::<ScorerHandle>(scorer) };
        Ok(())
    });
}

/// Explains the logit that the first model gives to a candidate: names, feature keys, weights, the logit followed by
/// the bias, and the sources of the weights.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_explain<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    scorer: jlong,
    candidate: jint,
) -> JObjectArray<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open scorer.
        let handle = unsafe { borrow::<ScorerHandle>(scorer) }.ok_or(Error::Closed { what: "scorer" })?;
        let candidate = count(candidate, "candidate")?;
        // SAFETY: like in predict, the Java scorer whose method called this one keeps the block alive.
        let why = unsafe { handle.scorer.explain_block(handle.block, candidate) }?;
        let parts = why.contributions;
        let names = JObjectArray::<JString>::new(env, parts.len(), JString::null())?;
        for (index, part) in parts.iter().enumerate() {
            let name = env.new_string(&part.field)?;
            names.set_element(env, index, &name)?;
            // A row may have more parts than the JVM has room for local references.
            env.delete_local_ref(name);
        }
        let keys: Vec<i64> = parts.iter().map(|part| part.key.cast_signed()).collect();
        let weights: Vec<f64> = parts.iter().map(|part| f64::from(part.weight)).collect();
        let sources: Vec<i64> = parts.iter().map(|part| i64::from(part.source as u32)).collect();
        let keys = long_array(env, &keys)?;
        let weights = double_array(env, &weights)?;
        let sums = double_array(env, &[why.logit, why.bias])?;
        let sources = long_array(env, &sources)?;
        let answer = JObjectArray::<JObject>::new(env, 5, JObject::null())?;
        answer.set_element(env, 0, &names)?;
        answer.set_element(env, 1, &keys)?;
        answer.set_element(env, 2, &weights)?;
        answer.set_element(env, 3, &sums)?;
        answer.set_element(env, 4, &sources)?;
        Ok(answer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_scorer_is_a_code() {
        // SAFETY: 0 is no handle, and neither environment nor object is used.
        let code =
            unsafe { Java_io_omomi_AbstractScorer_predict0(std::ptr::null_mut(), std::ptr::null_mut(), 0, 1, -1) };
        assert_eq!(code, Code::Closed as jint);
    }
}
