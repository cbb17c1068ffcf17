//! The native methods of the JVM bindings. They check arguments, call the library and translate the result; there is no
//! logic here. The Java side is `jvm-bindings/core`, package `io.omomi`.
//!
//! Each request makes one call, [`Java_io_omomi_AbstractScorer_predict0`]. It takes three numbers and uses neither
//! `JNIEnv` nor a Java object, so it cannot stall a garbage collection. All other calls (open, close, query) are rare
//! and go through the jni crate. A panic never crosses into the JVM: it becomes [`Error::Panic`].
//!
//! What the Java side promises: it passes a handle only while it is open, and a scorer to one thread at a time.
//! `Model.java` and `AbstractScorer.java` keep that promise with a lock and a state word, `CandidateSet.java` with a
//! lock, and `LiveModel.java` by counting the calls in progress. A request block belongs to its Java object, which the
//! JVM keeps alive during a call on it, so a careless setter never reaches freed memory.

#![allow(non_snake_case, reason = "the JVM finds a native method by the names of its class and of the method")]
#![allow(clippy::missing_safety_doc, reason = "the module states Java's promises; no Rust code calls these functions")]

mod arguments;
mod candidate_set;
mod feature;
mod live;
mod live_answers;
mod model;

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jni::objects::{JByteArray, JByteBuffer, JClass, JDoubleArray, JLongArray, JObject, JObjectArray, JString};
use jni::sys::{jint, jlong};
use jni::{Env, EnvUnowned, JValue, Outcome, jni_sig, jni_str};

use crate::error::{Code, Error};
use crate::live::LiveScorer;
use crate::request::RequestLayout;
use crate::score::{Explanation, Model, Scorer};

use arguments::{count, decode_layout, decode_schema};
use candidate_set::CandidateSetHandle;

/// Increases with every change of a native method's name, signature or meaning. `Block.java` has the same number.
const ABI_VERSION: jint = 3;

/// Scores the requests of a Java scorer.
#[expect(clippy::large_enum_variant, reason = "there is one per scorer, in its own box")]
enum Scoring {
    /// Models that were passed when the scorer was opened.
    Given(Scorer),
    /// The generation that a store serves.
    Live(LiveScorer),
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
        }
    }
}

/// The native part of a Java scorer.
struct ScorerHandle {
    scorer: Scoring,
    /// The block of the Java request. Valid as long as the Java scorer is reachable.
    block: *mut u8,
    /// The error of the last predict, for the call that throws it as an exception.
    last_error: Mutex<Option<Error>>,
}

impl ScorerHandle {
    const fn new(scorer: Scoring, block: *mut u8) -> Self {
        Self { scorer, block, last_error: Mutex::new(None) }
    }
}

/// Why a call throws an exception.
enum Failure {
    /// This library returned an error.
    Refused(Error),
    /// The JVM returned an error.
    Jvm(jni::errors::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(error: jni::errors::Error) -> Self {
        Self::Jvm(error)
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
    let predict = || {
        let candidate_count = count(candidate_count, "candidateCount")?;
        let budget = u64::try_from(budget_nanos).ok().map(Duration::from_nanos);
        // SAFETY: the block was checked against the layout at open, and Java's `this` keeps it alive during the call.
        unsafe { handle.scorer.predict_block(handle.block, candidate_count, budget) }
    };
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

/// Returns the version of the native interface.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_abiVersion(_env: *mut c_void, _class: *mut c_void) -> jint {
    ABI_VERSION
}

/// Checks a declaration, and throws if it is not valid.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_checkSchema<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    schema: JByteArray<'local>,
) {
    call(env, |env| {
        decode_schema(&env.convert_byte_array(&schema)?)?;
        Ok(())
    });
}

/// Returns the offsets of a request block, in the order of the indices in `Block.java`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_layoutOffsets<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    layout: JByteArray<'local>,
) -> JLongArray<'local> {
    call(env, |env| {
        let offsets = decode_layout(&env.convert_byte_array(&layout)?)?.offsets();
        let numbers = [
            offsets.context_offset,
            offsets.candidates_offset,
            offsets.candidate_stride_bytes,
            offsets.results_offset,
            offsets.result_stride_bytes,
            offsets.tail_offset,
            offsets.len_bytes,
        ];
        long_array(env, &numbers.map(|number| (number as u64).cast_signed()))
    })
}

/// Returns the address of a direct buffer.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_address<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    buffer: JByteBuffer<'local>,
) -> jlong {
    call(env, |env| Ok((env.get_direct_buffer_address(&buffer)?.addr() as u64).cast_signed()))
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

/// Explains the logit that the first model gives to a candidate: names, feature keys, weights (NaN for an unseen
/// category), and the logit followed by the bias.
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
        let weights: Vec<f64> = parts.iter().map(|part| part.weight.map_or(f64::NAN, f64::from)).collect();
        let keys = long_array(env, &keys)?;
        let weights = double_array(env, &weights)?;
        let sums = double_array(env, &[why.logit, why.bias])?;
        let answer = JObjectArray::<JObject>::new(env, 4, JObject::null())?;
        answer.set_element(env, 0, &names)?;
        answer.set_element(env, 1, &keys)?;
        answer.set_element(env, 2, &weights)?;
        answer.set_element(env, 3, &sums)?;
        Ok(answer)
    })
}

/// Runs `body` and returns its result. On an error or a panic, throws and returns a default value that the JVM ignores.
fn call<'local, T: Default>(
    mut env: EnvUnowned<'local>,
    body: impl FnOnce(&mut Env<'local>) -> Result<T, Failure>,
) -> T {
    let error = match env.with_env(body).into_outcome() {
        Outcome::Ok(answer) => return answer,
        // The JVM already has a pending exception, for example out of memory, which is thrown as it is.
        Outcome::Err(Failure::Jvm(jni::errors::Error::JavaException)) => return T::default(),
        Outcome::Err(Failure::Jvm(error)) => Error::Panic { message: format!("JNI: {error}") },
        Outcome::Err(Failure::Refused(error)) => error,
        Outcome::Panic(panic) => Error::from_panic(panic.as_ref()),
    };
    match env.with_env(|env| throw(env, &error)).into_outcome() {
        // Throwing returns an error on purpose: an exception is pending.
        Outcome::Ok(()) | Outcome::Err(_) | Outcome::Panic(_) => T::default(),
    }
}

fn throw(env: &mut Env<'_>, error: &Error) -> Result<(), jni::errors::Error> {
    let message = env.new_string(error.full_message())?;
    // Found through the class loader of the native method's class, so each class loader gets its own exceptions.
    let class = env.find_class(jni_str!("io/omomi/OmomiException"))?;
    let arguments = [JValue::Int(error.code() as jint), JValue::Object(&message)];
    let exception = env.new_object(class, jni_sig!("(ILjava/lang/String;)V"), &arguments)?;
    // SAFETY: the object was just created from a class that extends RuntimeException.
    let exception = unsafe { jni::objects::JThrowable::from_raw(env, exception.into_raw()) };
    env.throw(exception)
}

/// Returns the address of a Java request's block, after checking that its length is that of `layout`.
fn checked_block<'local>(
    env: &mut Env<'local>,
    block: &JByteBuffer<'local>,
    layout: &RequestLayout,
) -> Result<*mut u8, Failure> {
    let (expected, found) = (layout.offsets().len_bytes, env.get_direct_buffer_capacity(block)?);
    if found != expected {
        let (expected, found) = (expected as u64, found as u64);
        return Err(Error::WrongSize { what: "the request block", expected, found }.into());
    }
    Ok(env.get_direct_buffer_address(block)?)
}

fn into_handle<T>(value: T) -> jlong {
    (Box::into_raw(Box::new(value)).expose_provenance() as u64).cast_signed()
}

/// Returns the object of a handle, or `None` for 0.
///
/// # Safety
///
/// `handle` must be 0 or come from [`into_handle`] for a `T`, and must not be freed while the reference lives.
unsafe fn borrow<'a, T>(handle: jlong) -> Option<&'a T> {
    // SAFETY: the caller's promise; a null pointer becomes nothing.
    unsafe { pointer::<T>(handle).as_ref() }
}

/// Frees the object of a handle. Ignores 0.
///
/// # Safety
///
/// `handle` must be 0 or come from [`into_handle`] for a `T`, and must not be used again.
unsafe fn free<T>(handle: jlong) {
    let object = pointer::<T>(handle);
    if !object.is_null() {
        // SAFETY: the caller's promise, and not null.
        drop(unsafe { Box::from_raw(object) });
    }
}

fn pointer<T>(handle: jlong) -> *mut T {
    // A handle is an address of this process, so it fits. If it did not, null would be the safe answer.
    std::ptr::with_exposed_provenance_mut(usize::try_from(handle.cast_unsigned()).unwrap_or(0))
}

/// # Safety
///
/// The promises of [`borrow`], for a handle of a model.
unsafe fn open_model<'a>(handle: jlong) -> Result<&'a Arc<Model>, Error> {
    // SAFETY: the caller's promise.
    unsafe { borrow::<Arc<Model>>(handle) }.ok_or(Error::Closed { what: "model" })
}

fn long_array<'local>(env: &mut Env<'local>, numbers: &[i64]) -> Result<JLongArray<'local>, Failure> {
    let array = JLongArray::new(env, numbers.len())?;
    array.set_region(env, 0, numbers)?;
    Ok(array)
}

fn double_array<'local>(env: &mut Env<'local>, numbers: &[f64]) -> Result<JDoubleArray<'local>, Failure> {
    let array = JDoubleArray::new(env, numbers.len())?;
    array.set_region(env, 0, numbers)?;
    Ok(array)
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
