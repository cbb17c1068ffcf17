//! What every native method shares: errors and panics become exceptions, and handles are addresses of boxes.

use jni::objects::{JByteBuffer, JDoubleArray, JLongArray};
use jni::sys::{jint, jlong};
use jni::{Env, EnvUnowned, JValue, Outcome, jni_sig, jni_str};

use super::arguments::{count, invalid};
use crate::error::Error;
use crate::log::hear_panics;
use crate::printable::{printable_lines, without_middle};
use crate::request::RequestLayout;

/// Longest message of an exception. A path may have megabytes, but logs should not.
const MAX_MESSAGE_LEN_BYTES: usize = 16 << 10;

/// Why a call throws an exception.
pub(super) enum Failure {
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

/// Runs `body` and returns its result. On an error or a panic, throws and returns a default value that the JVM ignores.
pub(super) fn call<'local, T: Default>(
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
    let message = without_middle(printable_lines(&error.full_message()), MAX_MESSAGE_LEN_BYTES);
    let message = env.new_string(message)?;
    // Found through the class loader of the native method's class, so each class loader gets its own exceptions.
    let class = env.find_class(jni_str!("io/omomi/OmomiException"))?;
    let arguments = [JValue::Int(error.code() as jint), JValue::Object(&message)];
    let exception = env.new_object(class, jni_sig!("(ILjava/lang/String;)V"), &arguments)?;
    // SAFETY: the object was just created from a class that extends RuntimeException.
    let exception = unsafe { jni::objects::JThrowable::from_raw(env, exception.into_raw()) };
    env.throw(exception)
}

/// Returns the address of a Java request's block, after checking that its length is that of `layout`.
pub(super) fn checked_block<'local>(
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

/// Returns the bytes of a direct buffer between two positions.
///
/// # Safety
///
/// The buffer must stay reachable, and no other thread may use it, as long as the bytes are borrowed.
pub(super) unsafe fn direct_room<'local, 'a>(
    env: &mut Env<'local>,
    buffer: &JByteBuffer<'local>,
    position: jint,
    limit: jint,
) -> Result<&'a mut [u8], Failure> {
    let (position, limit) = (count(position, "position")?, count(limit, "limit")?);
    let (address, capacity) = (env.get_direct_buffer_address(buffer)?, env.get_direct_buffer_capacity(buffer)?);
    if position > limit || limit > capacity {
        let problem =
            format!("expected a position up to the limit and a limit up to {capacity}, found {position}, {limit}");
        return Err(invalid("buffer", problem).into());
    }
    // SAFETY: a direct buffer has as many bytes as its capacity says, and Java initialized them to zeros. The rest is
    // the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(address.add(position), limit - position) })
}

pub(super) fn into_handle<T>(value: T) -> jlong {
    // Without a handle, there is no call that could go wrong.
    hear_panics();
    (Box::into_raw(Box::new(value)).expose_provenance() as u64).cast_signed()
}

/// Returns the object of a handle, or `None` for 0.
///
/// # Safety
///
/// `handle` must be 0 or come from [`into_handle`] for a `T`, and must not be freed while the reference lives.
pub(super) unsafe fn borrow<'a, T>(handle: jlong) -> Option<&'a T> {
    // SAFETY: the caller's promise; a null pointer becomes nothing.
    unsafe { pointer::<T>(handle).as_ref() }
}

/// Frees the object of a handle. Ignores 0.
///
/// # Safety
///
/// `handle` must be 0 or come from [`into_handle`] for a `T`, and must not be used again.
pub(super) unsafe fn free<T>(handle: jlong) {
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

pub(super) fn long_array<'local>(env: &mut Env<'local>, numbers: &[i64]) -> Result<JLongArray<'local>, Failure> {
    let array = JLongArray::new(env, numbers.len())?;
    array.set_region(env, 0, numbers)?;
    Ok(array)
}

pub(super) fn double_array<'local>(env: &mut Env<'local>, numbers: &[f64]) -> Result<JDoubleArray<'local>, Failure> {
    let array = JDoubleArray::new(env, numbers.len())?;
    array.set_region(env, 0, numbers)?;
    Ok(array)
}
