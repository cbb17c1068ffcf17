//! Shared code of the C boundary: turns errors and panics into statuses, pointers into references, and copies texts. A
//! failed `predict` allocates nothing here.

use std::ffi::{c_char, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::text::OmomiText;
use super::{OMOMI_MESSAGE_CAPACITY_BYTES, OmomiError, OmomiStatus, owner};
use crate::error::Error;
use crate::log::hear_panics;
use crate::request::RequestLayout;

pub(super) const OK: OmomiStatus = 0;

/// Runs `body` and returns its result as a status. On an error or a panic, also writes the details to `error`, unless
/// that was never initialized.
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
        if let Ok(size_bytes) = unsafe { size_of_struct(error, "error") } {
            // SAFETY: as above, and the struct is that long.
            unsafe { report(error, size_bytes, &failure) };
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

/// A struct that begins with its `size_bytes` and may get members at its end. Clients of any release are answered: a
/// shorter struct is that of an older header, and a longer one that of a newer header. A new member begins at or after
/// the old end of its struct, never in the padding before it, and 0 means what callers without it get.
///
/// # Safety
///
/// The struct is `repr(C)`, begins with a `usize`, and all its members are numbers, pointers and arrays of them.
pub(super) unsafe trait Growing: Sized {
    /// Length in bytes up to the first member that a caller may lack.
    const MIN_LEN_BYTES: usize;
}

/// Implements [`Growing`]. The members before `$member` are those without which the struct has no meaning.
macro_rules! growing {
    ($name:ident from $member:ident) => {
        // SAFETY: declared in this library, for C.
        unsafe impl Growing for $name {
            const MIN_LEN_BYTES: usize = std::mem::offset_of!($name, $member);
        }
    };
}
pub(super) use growing;

/// Maximum length of a struct of any release: a longer one has a `size_bytes` that nobody set, and must not be read.
const MAX_STRUCT_LEN_BYTES: usize = 4096;

/// Reads the `size_bytes` of a struct. Rejects lengths that no release has: the caller did not set it.
///
/// # Safety
///
/// `pointer` must point to at least a readable `size_t`.
pub(super) unsafe fn size_of_struct<T: Growing>(pointer: NonNull<T>, what: &'static str) -> Result<usize, Error> {
    // SAFETY: the caller's promise, and the trait's.
    let size_bytes = unsafe { pointer.cast::<usize>().read() };
    let is_possible = size_bytes.is_multiple_of(align_of::<T>()) && size_bytes <= MAX_STRUCT_LEN_BYTES;
    if size_bytes < T::MIN_LEN_BYTES || !is_possible {
        return Err(Error::WrongSize { what, expected: size_of::<T>() as u64, found: size_bytes as u64 });
    }
    Ok(size_bytes)
}

/// Reads a struct of the caller. Members that a shorter one lacks are those of `default`. In a longer one, those that
/// this library does not know must be 0: they would be ignored.
///
/// # Safety
///
/// `pointer` must point to a struct that is as long as it says.
pub(super) unsafe fn read<T: Growing>(pointer: NonNull<T>, default: T, what: &'static str) -> Result<T, Error> {
    // SAFETY: the caller's promise.
    let size_bytes = unsafe { size_of_struct(pointer, what) }?;
    let bytes = pointer.as_ptr().cast::<u8>();
    let known = size_of::<T>();
    for index in known..size_bytes {
        // SAFETY: the struct is that long.
        if unsafe { bytes.add(index).read() } != 0 {
            return Err(Error::NewerStruct { what, known: known as u64, found: size_bytes as u64 });
        }
    }
    let mut value = default;
    // SAFETY: both structs are at least that long, and any bytes are a value, as the trait promises.
    unsafe { (&raw mut value).cast::<u8>().copy_from_nonoverlapping(bytes, size_bytes.min(known)) };
    Ok(value)
}

/// A struct of the caller, to write to.
pub(super) struct Output<T> {
    place: NonNull<T>,
    size_bytes: usize,
}

impl<T: Growing> Output<T> {
    /// Looks at the struct, and writes nothing yet.
    ///
    /// # Safety
    ///
    /// `pointer` must be null or point to a struct that is as long as it says, as long as this value lives.
    pub(super) unsafe fn new(pointer: *mut T, argument: &'static str) -> Result<Self, Error> {
        let place = output(pointer, argument)?;
        // SAFETY: not null, and the caller promises the struct.
        let size_bytes = unsafe { size_of_struct(place, argument) }?;
        Ok(Self { place, size_bytes })
    }

    /// Writes as much as the caller's struct holds, and zeros into members that this library does not know.
    pub(super) fn write(self, value: T) {
        let (from, to) = ((&raw const value).cast::<u8>(), self.place.as_ptr().cast::<u8>());
        let (first, known) = (size_of::<usize>(), self.size_bytes.min(size_of::<T>()));
        // SAFETY: `new` was promised a struct of `size_bytes`, which has at least its first member; that one stays.
        unsafe {
            to.add(first).copy_from_nonoverlapping(from.add(first), known - first);
            to.add(known).write_bytes(0, self.size_bytes - known);
        }
    }
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

/// Returns a text of the caller, or an error if it is not UTF-8.
///
/// # Safety
///
/// `text` must be as long as it says, live, and not change for `'a`.
pub(super) unsafe fn text<'a>(text: OmomiText, argument: &'static str) -> Result<&'a str, Error> {
    // SAFETY: the caller's promise; any char is a valid u8.
    let bytes = unsafe { slice(text.text.cast::<u8>(), text.len_bytes, argument) }?;
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
/// `error` must point to an `OmomiError` of `size_bytes` that no other thread uses.
unsafe fn report(error: NonNull<OmomiError>, size_bytes: usize, failure: &Error) {
    let error = error.as_ptr();
    let room = (size_bytes - OmomiError::MIN_LEN_BYTES).min(OMOMI_MESSAGE_CAPACITY_BYTES);
    // SAFETY: the caller's promise. The message may be uninitialized memory, so it is reached by pointer only.
    unsafe {
        (&raw mut (*error).status).write(failure.code() as OmomiStatus);
        (&raw mut (*error).owner).write(owner(failure.owner()));
        write_message((&raw mut (*error).message).cast(), room, |mut out| failure.write_full_message(&mut out));
    }
}

/// Writes a message and a null byte into `room` bytes, and leaves out its middle if it is longer.
///
/// # Safety
///
/// `place` must have `room` writable bytes.
pub(super) unsafe fn write_message(place: *mut u8, room: usize, write: impl Fn(&mut dyn fmt::Write) -> fmt::Result) {
    if room == 0 {
        return;
    }
    let mut total = Length(0);
    let _ = write(&mut total);
    let mut message = Message { place, room, len: 0, position: 0, total: total.0, is_cut: false };
    let _ = write(&mut message);
    // SAFETY: `push` keeps one byte.
    unsafe { message.place.add(message.len).write(0) };
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
    /// Start of `room` writable bytes, of which `len` are written.
    place: *mut u8,
    room: usize,
    len: usize,
    /// The bytes of the whole message that came so far, and their number in the end.
    position: usize,
    total: usize,
    is_cut: bool,
}

/// Replaces the part of a message that was left out.
const CUT: &str = " ... ";

impl Message {
    /// Number of bytes before the part that is left out.
    const fn head_len(&self) -> usize {
        self.room * 3 / 5
    }

    /// Number of bytes after it.
    const fn end_len(&self) -> usize {
        (self.room - 1 - self.head_len()).saturating_sub(CUT.len())
    }

    fn push(&mut self, text: &str) {
        if self.len + text.len() < self.room {
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
            if self.total < self.room || end <= self.head_len() || start >= self.total - self.end_len() {
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
