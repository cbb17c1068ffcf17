//! Native methods for the declaration and the request block, and the version of the native interface.

use std::ffi::c_void;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JByteBuffer, JClass, JLongArray};
use jni::sys::{jint, jlong};

use super::arguments::{decode_layout, decode_schema};
use super::boundary::{call, long_array};
use crate::memory::release_pages;

/// Increases with every change of a native method's name, signature or meaning. `Block.java` has the same number.
const ABI_VERSION: jint = 8;

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

/// Returns the memory of a request block to the system. Its addresses stay valid until Java frees them.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_omomi_Native_releasePages<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    block: JByteBuffer<'local>,
) {
    call(env, |env| {
        let (start, len) = (env.get_direct_buffer_address(&block)?, env.get_direct_buffer_capacity(&block)?);
        // SAFETY: the buffer keeps its memory, and Java reads nothing of a closed request.
        unsafe { release_pages(start, len) };
        Ok(())
    });
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
