//! Native methods for candidate sets. Java calls all of them under the lock of the Java object, off the request path.

use std::sync::Arc;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JByteBuffer, JClass};
use jni::sys::jint;
use jni::sys::jlong;

use super::arguments::{count, decode_layout, invalid};
use super::{borrow, call, checked_block, free, into_handle};
use crate::error::Error;
use crate::score::CandidateSet;

/// The native part of a Java candidate set.
pub(super) struct CandidateSetHandle {
    pub(super) set: Arc<CandidateSet>,
    /// The block of the Java request that carries rows into the set. Valid as long as the Java candidate set is
    /// reachable.
    block: *mut u8,
}

/// Creates a candidate set whose rows come from candidate 0 of a Java request. Free the handle with
/// `closeCandidateSet`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_openCandidateSet<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    layout: JByteArray<'local>,
    capacity: jint,
    values_per_field: jint,
    block: JByteBuffer<'local>,
) -> jlong {
    call(env, |env| {
        let layout = decode_layout(&env.convert_byte_array(&layout)?)?;
        let block = checked_block(env, &block, &layout)?;
        let (capacity, values_per_field) = (count(capacity, "capacity")?, count(values_per_field, "valuesPerField")?);
        let set = Arc::new(CandidateSet::new(&layout, capacity, values_per_field)?);
        Ok(into_handle(CandidateSetHandle { set, block }))
    })
}

/// Releases Java's reference to a candidate set.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_closeCandidateSet<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    set: jlong,
) {
    call(env, |_| {
        // SAFETY: Java closes a handle once, and does not use it afterwards.
        unsafe { free::<CandidateSetHandle>(set) };
        Ok(())
    });
}

/// Adds the candidate in the set's block and returns its index.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_addCandidate<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    set: jlong,
) -> jint {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open set, or 0.
        let handle = unsafe { open_set(set) }?;
        // SAFETY: the block was checked against the layout at open, and the Java set, which is locked, keeps it alive.
        Ok(unsafe { handle.set.add_block(handle.block, 0) }?.cast_signed())
    })
}

/// Puts the candidate in the set's block at an index.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_putCandidate<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    set: jlong,
    index: jint,
) {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open set, or 0.
        let handle = unsafe { open_set(set) }?;
        // SAFETY: the block was checked against the layout at open, and the Java set, which is locked, keeps it alive.
        Ok(unsafe { handle.set.put_block(checked_index(index)?, handle.block, 0) }?)
    });
}

/// Removes the candidate at an index and returns 1 if there was one, otherwise 0.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_removeCandidate<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    set: jlong,
    index: jint,
) -> jint {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open set, or 0.
        let handle = unsafe { open_set(set) }?;
        Ok(jint::from(handle.set.remove(checked_index(index)?)?))
    })
}

/// The number of candidates in a set.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_candidateCount<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    set: jlong,
) -> jlong {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open set, or 0.
        let handle = unsafe { open_set(set) }?;
        Ok((handle.set.candidate_count() as u64).cast_signed())
    })
}

/// # Safety
///
/// The promises of [`borrow`], for a handle of a candidate set.
unsafe fn open_set<'a>(handle: jlong) -> Result<&'a CandidateSetHandle, Error> {
    // SAFETY: the caller's promise.
    unsafe { borrow(handle) }.ok_or(Error::Closed { what: "candidate set" })
}

fn checked_index(index: jint) -> Result<u32, Error> {
    u32::try_from(index).map_err(|_| invalid("index", format!("expected 0 or more, found {index}")))
}
