//! Shared code of the C boundary: turns errors and panics into statuses, pointers into references, and copies texts. A
//! failed `predict` allocates nothing here.

use std::ffi::{c_char, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::{OMOMI_MESSAGE_CAPACITY_BYTES, OmomiError, OmomiStatus, owner};
use crate::error::Error;
use crate::log::hear_panics;
use crate::request::RequestLayout;

pub(super) const OK: OmomiStatus = 0;

/// Runs `body` and returns its result as a status. On an error or a panic, also writes the details to `error`, unless
/// that has the size of another build, or was never initialized.
///
/// # Safety
///
/// `error` must be null or point to an `OmomiError` that no other thread uses.
pub(super) unsafe fn status(error: *mut OmomiError, body: impl FnOnce() -> Result<(), Error>) -> OmomiStatus {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(panic) => Error::from_panic(panic.as_ref()),
    };
    if let Some(error) = NonNull::new(error) {
        // SAFETY: the caller's promise.
        if unsafe { check_size(error, "error") }.is_ok() {
            // SAFETY: as above, and its size is that of the struct.
            unsafe { report(error, &failure) };
        }
    }
    failure.code() as OmomiStatus
}

/// Frees a handle from [`into_handle`]. Ignores null.
///
/// # Safety
///
/// `handle` must be null or come from [`into_handle`], and must not be used again.
pub(super) unsafe fn close<T>(handle: *mut T) {
    let Some(handle) = NonNull::new(handle) else { return };
    // SAFETY: the caller's promise.
    let free = || drop(unsafe { Box::from_raw(handle.as_ptr()) });
    // If freeing panics, there is nothing left to do or to report.
    let _ = catch_unwind(AssertUnwindSafe(free));
}

pub(super) fn into_handle<T>(value: T) -> *mut T {
    // Without a handle, there is no call that could go wrong.
    hear_panics();
    Box::into_raw(Box::new(value))
}

/// Returns the object that a handle or pointer refers to, or an error for null.
///
/// # Safety
///
/// `pointer` must be null or point to a `T` that lives and does not change for `'a`.
pub(super) unsafe fn reference<'a, T>(pointer: *const T, argument: &'static str) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or(Error::NullArgument { argument })
}

/// Returns the pointer to an output, or an error for null.
pub(super) fn output<T>(pointer: *mut T, argument: &'static str) -> Result<NonNull<T>, Error> {
    NonNull::new(pointer).ok_or(Error::NullArgument { argument })
}

/// Rejects a struct whose `size_bytes` differs from this library's: the caller was compiled with another header, or did
/// not set it.
///
/// # Safety
///
/// `pointer` must point to at least a readable `size_t`, the first member of every struct with a `size_bytes`.
pub(super) unsafe fn check_size<T>(pointer: NonNull<T>, what: &'static str) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let size_bytes = unsafe { pointer.cast::<usize>().read() };
    if size_bytes != size_of::<T>() {
        return Err(Error::WrongSize { what, expected: size_of::<T>() as u64, found: size_bytes as u64 });
    }
    Ok(())
}

/// Rejects a request block that is null, or whose length differs from that of `layout`.
pub(super) fn check_block(layout: &RequestLayout, block: *const c_void, block_len_bytes: usize) -> Result<(), Error> {
    if block.is_null() {
        return Err(Error::NullArgument { argument: "block" });
    }
    let expected = layout.offsets().len_bytes;
    if block_len_bytes != expected {
        let (expected, found) = (expected as u64, block_len_bytes as u64);
        return Err(Error::WrongSize { what: "the request block", expected, found });
    }
    Ok(())
}

/// Returns the elements at a pointer. The pointer may be null if `count` is 0.
///
/// # Safety
///
/// `elements` must be null or point to `count` readable elements that live and do not change for `'a`.
pub(super) unsafe fn slice<'a, T>(elements: *const T, count: usize, argument: &'static str) -> Result<&'a [T], Error> {
    if count == 0 {
        return Ok(&[]);
    }
    if elements.is_null() {
        return Err(Error::NullArgument { argument });
    }
    // No memory is that large: the caller passed another number as the length, for example -1.
    if count.checked_mul(size_of::<T>()).is_none_or(|len_bytes| isize::try_from(len_bytes).is_err()) {
        let problem = format!("{count} elements are more than memory can hold");
        return Err(Error::InvalidArgument { argument, problem });
    }
    // SAFETY: not null, not too large, and the caller promises the rest.
    Ok(unsafe { std::slice::from_raw_parts(elements, count) })
}

/// Returns a text of `len` bytes, or an error if it is not UTF-8.
///
/// # Safety
///
/// `text` must be null or point to `len` readable bytes that live and do not change for `'a`.
pub(super) unsafe fn text<'a>(text: *const c_char, len: usize, argument: &'static str) -> Result<&'a str, Error> {
    // SAFETY: the caller's promise; any char is a valid u8.
    let bytes = unsafe { slice(text.cast::<u8>(), len, argument) }?;
    std::str::from_utf8(bytes).map_err(|error| Error::NotUtf8 { what: argument, position: error.valid_up_to() })
}

/// Copies `text` and a null byte into the caller's buffer, and writes the length without that byte to `out_len_bytes`.
/// Without a buffer, only writes the length.
///
/// # Safety
///
/// `out_text` must be null or point to `capacity_bytes` writable bytes; `out_len_bytes` must be null or point to a
/// writable `size_t`.
pub(super) unsafe fn copy_text(
    text: &str,
    out_text: *mut c_char,
    capacity_bytes: usize,
    out_len_bytes: *mut usize,
) -> Result<(), Error> {
    let out_len_bytes = output(out_len_bytes, "out_len_bytes")?;
    match NonNull::new(out_text) {
        None if capacity_bytes != 0 => return Err(Error::NullArgument { argument: "out_text" }),
        None => {}
        Some(_) if capacity_bytes <= text.len() => {
            let (expected, found) = (text.len() as u64 + 1, capacity_bytes as u64);
            return Err(Error::WrongSize { what: "out_text", expected, found });
        }
        // SAFETY: the caller promises `capacity_bytes` writable bytes, which is more than the text has.
        Some(out_text) => unsafe { copy_with_null(text, out_text) },
    }
    // SAFETY: not null, and the caller promises that it can be written.
    unsafe { out_len_bytes.write(text.len()) };
    Ok(())
}

/// # Safety
///
/// `place` must have room for the text and one more byte.
pub(super) unsafe fn copy_with_null(text: &str, place: NonNull<c_char>) {
    let place = place.as_ptr().cast::<u8>();
    // SAFETY: the caller's promise; the caller's memory and our text cannot overlap.
    unsafe {
        place.copy_from_nonoverlapping(text.as_ptr(), text.len());
        place.add(text.len()).write(0);
    }
}

/// # Safety
///
/// `error` must point to an `OmomiError` of this library's size that no other thread uses.
unsafe fn report(error: NonNull<OmomiError>, failure: &Error) {
    let error = error.as_ptr();
    // SAFETY: the caller's promise. The message may be uninitialized memory, so it is reached by pointer only.
    unsafe {
        (&raw mut (*error).status).write(failure.code() as OmomiStatus);
        (&raw mut (*error).owner).write(owner(failure.owner()));
        let mut len = Length(0);
        let _ = failure.write_full_message(&mut len);
        let mut message =
            Message { place: (&raw mut (*error).message).cast(), len: 0, position: 0, total: len.0, is_cut: false };
        let _ = failure.write_full_message(&mut message);
        message.place.add(message.len).write(0);
    }
}

/// Passes each character of a message to `take`, as C can read it: a null byte would end it.
fn each_character(text: &str, mut take: impl FnMut(&str)) {
    for character in text.chars() {
        match character {
            '\0' => take("\\0"),
            other => take(other.encode_utf8(&mut [0; 4])),
        }
    }
}

/// Counts the bytes of a message.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        each_character(text, |character| self.0 += character.len());
        Ok(())
    }
}

/// Writes into the message of an error, and keeps one byte for the null at its end. Leaves out the middle of a message
/// that is too long: names of what went wrong come first, and the reason comes last.
struct Message {
    /// Start of `OMOMI_MESSAGE_CAPACITY_BYTES` writable bytes, of which `len` are written.
    place: *mut u8,
    len: usize,
    /// The bytes of the whole message that came so far, and their number in the end.
    position: usize,
    total: usize,
    is_cut: bool,
}

/// Replaces the part of a message that was left out.
const CUT: &str = " ... ";
/// Bytes before the part that is left out.
const HEAD_LEN: usize = 600;
/// Bytes after it.
const END_LEN: usize = OMOMI_MESSAGE_CAPACITY_BYTES - 1 - HEAD_LEN - CUT.len();

impl Message {
    fn push(&mut self, text: &str) {
        if self.len + text.len() < OMOMI_MESSAGE_CAPACITY_BYTES {
            // SAFETY: there is room for the text and for a null byte after it.
            unsafe { self.place.add(self.len).copy_from_nonoverlapping(text.as_ptr(), text.len()) };
            self.len += text.len();
        }
    }
}

impl fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        each_character(text, |character| {
            let (start, end) = (self.position, self.position + character.len());
            self.position = end;
            if self.total < OMOMI_MESSAGE_CAPACITY_BYTES || end <= HEAD_LEN || start >= self.total - END_LEN {
                self.push(character);
            } else if !self.is_cut {
                self.is_cut = true;
                self.push(CUT);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn the_middle_of_a_long_message_is_left_out_between_two_characters() {
        let mut error = OmomiError {
            size_bytes: size_of::<OmomiError>(),
            status: 0,
            owner: 0,
            message: [1; OMOMI_MESSAGE_CAPACITY_BYTES],
        };
        let failure = Error::UnknownField { field: format!("{}\0end", "重".repeat(1_000)) };
        // SAFETY: the struct is this function's own.
        let status = unsafe { status(&raw mut error, || Err(failure)) };
        assert_eq!(status, Code::UnknownField as OmomiStatus);
        // SAFETY: as above; the message has a null byte at its end.
        let message = unsafe { std::ffi::CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap();
        assert!(message.starts_with("the schema has no field `重"), "{message}");
        assert!(message.ends_with("重\\0end`") && message.contains("重 ... 重"), "{message}");
        assert!((1_010..1_024).contains(&message.len()), "{}", message.len());
    }
}
