//! The log callback, for C.

use std::ffi::c_void;
use std::sync::Arc;

use super::boundary::status;
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::log::{Level, set_listener};

/// How urgent a message is: one of `OMOMI_LOG_...`. Later versions may add levels.
pub type OmomiLogLevel = u32;
/// A defect in the library, which failed one call.
pub const OMOMI_LOG_ERROR: OmomiLogLevel = 1;

/// Receives a message, with a null byte after its text, on whatever thread it arises. The text is valid during the
/// call. The callback must return, and must not call this library.
pub type OmomiLogCallback = Option<unsafe extern "C" fn(data: *mut c_void, level: OmomiLogLevel, message: OmomiText)>;

/// The `data` of a callback, which its owner made fit for any thread.
struct Data(*mut c_void);

// SAFETY: the pointer is only passed on, and the caller of `omomi_set_log` promises that any thread may use it.
unsafe impl Send for Data {}
// SAFETY: as above.
unsafe impl Sync for Data {}

impl Data {
    const fn pointer(&self) -> *mut c_void {
        self.0
    }
}

/// Sets the callback for messages of the library in this process, or removes it if `callback` is null. Without one,
/// messages are dropped: the library itself writes to no stream, because writing to a closed pipe would end the
/// process. What a call has to say is in its status and its error; messages say that the library caught a defect of its
/// own, also on the thread of a live model.
///
/// # Safety
///
/// `callback` is null, or may be called with `data` by any thread until another call of this function has returned and
/// every message that began before has ended; `error` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_set_log(
    callback: OmomiLogCallback,
    data: *mut c_void,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        let data = Data(data);
        set_listener(callback.map(|callback| {
            let listener = move |level: Level, message: &str| {
                let level = match level {
                    Level::Error => OMOMI_LOG_ERROR,
                };
                // A null byte inside would cut the message short.
                let text: Vec<u8> =
                    message.bytes().map(|byte| if byte == 0 { b'?' } else { byte }).chain([0]).collect();
                let message = OmomiText { text: text.as_ptr().cast(), len_bytes: text.len() - 1 };
                // SAFETY: the caller's promise.
                unsafe { callback(data.pointer(), level, message) };
            };
            Arc::new(listener) as crate::log::Listener
        }));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}
