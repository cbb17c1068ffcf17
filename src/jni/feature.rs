//! Native methods that compute text values and feature keys.

use std::ffi::c_void;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::jlong;

use super::arguments::utf8;
use super::call;
use crate::feature;

/// Computes the value of a text.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_textValue<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    text: JByteArray<'local>,
) -> jlong {
    call(env, |env| Ok(feature::text_value(&env.convert_byte_array(&text)?).cast_signed()))
}

/// Computes the seed of a field or of a cross.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_fieldSeed<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    name: JByteArray<'local>,
) -> jlong {
    call(env, |env| {
        let name = utf8(env.convert_byte_array(&name)?, "the name")?;
        Ok(feature::field_seed(&name).cast_signed())
    })
}

/// Computes the feature key of a value.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_featureKey(
    _env: *mut c_void,
    _class: *mut c_void,
    seed: jlong,
    value: jlong,
) -> jlong {
    feature::feature_key(seed.cast_unsigned(), value.cast_unsigned()).cast_signed()
}

/// Computes one step of a cross.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_crossStep(
    _env: *mut c_void,
    _class: *mut c_void,
    state: jlong,
    member_key: jlong,
) -> jlong {
    feature::cross_step(state.cast_unsigned(), member_key.cast_unsigned()).cast_signed()
}
