//! Native methods for models: open weight files and describe them.

use std::sync::Arc;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass, JLongArray, JString};
use jni::sys::{jint, jlong};

use super::arguments::{encode_schema, load_mode, path_of};
use super::boundary::{borrow, call, free, into_handle, long_array};
use crate::contract::Contract;
use crate::error::Error;
use crate::request::Schema;
use crate::score::Model;

/// Opens a weight file. Free the handle with `closeModel`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_openModel<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    path: JByteArray<'local>,
    mode: jint,
) -> jlong {
    call(env, |env| {
        let path = path_of(env.convert_byte_array(&path)?)?;
        Ok(into_handle(Model::load(&path, load_mode(mode)?)?))
    })
}

/// Creates another reference to a model. Free it with `closeModel` as well.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_shareModel<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    model: jlong,
) -> jlong {
    call(env, |_| {
        // SAFETY: Java passes a handle of an open model.
        let model = unsafe { open_model(model) }?;
        Ok(into_handle(Arc::clone(model)))
    })
}

/// Releases Java's reference to a model.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_closeModel<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    model: jlong,
) {
    call(env, |_| {
        // SAFETY: Java closes a handle once, and does not use it afterwards.
        unsafe { free::<Arc<Model>>(model) };
        Ok(())
    });
}

/// Returns the generation, the number of weights and the length of the file.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_modelNumbers<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    model: jlong,
) -> JLongArray<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open model.
        let model = unsafe { open_model(model) }?;
        let numbers = [model.generation(), model.weight_count(), model.header().total_len_bytes];
        long_array(env, &numbers.map(u64::cast_signed))
    })
}

/// Returns the logic id.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_modelLogicId<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    model: jlong,
) -> JString<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open model.
        let model = unsafe { open_model(model) }?;
        Ok(env.new_string(model.logic_id())?)
    })
}

/// Returns the contract as canonical JSON.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_omomi_Native_modelContract<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    model: jlong,
) -> JString<'local> {
    call(env, |env| {
        // SAFETY: Java passes a handle of an open model.
        let model = unsafe { open_model(model) }?;
        Ok(env.new_string(model.contract().canonical_json())?)
    })
}

/// Returns the declaration of the fields of a contract, which is JSON, in the form that `Schema.java` reads.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_contractSchema<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    contract: JByteArray<'local>,
) -> JByteArray<'local> {
    call(env, |env| {
        let contract = Contract::from_json(&env.convert_byte_array(&contract)?)
            .map_err(|faults| Error::InvalidArgument { argument: "contract", problem: faults.to_string() })?;
        Ok(env.byte_array_from_slice(&encode_schema(&Schema::of_contract(&contract)))?)
    })
}

/// # Safety
///
/// The promises of [`borrow`], for a handle of a model.
pub(super) unsafe fn open_model<'a>(handle: jlong) -> Result<&'a Arc<Model>, Error> {
    // SAFETY: the caller's promise.
    unsafe { borrow::<Arc<Model>>(handle) }.ok_or(Error::Closed { what: "model" })
}
