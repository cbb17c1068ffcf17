//! Large allocations that fail instead of ending the process. Small ones do not: where a few bytes are missing, nothing
//! can go on.

use std::alloc::{Layout, alloc_zeroed};
use std::ops::{Deref, DerefMut};

use crate::error::Error;

/// Allocates groups of words that are 0. The system provides the memory only as it is used.
///
/// # Errors
///
/// Returns [`Error::OutOfMemory`].
pub(crate) fn zeroed<const LEN: usize>(count: usize, what: &'static str) -> Result<Box<[[u64; LEN]]>, Error> {
    if count == 0 || LEN == 0 {
        return Ok(vec![[0; LEN]; count].into_boxed_slice());
    }
    let out_of_memory = || Error::OutOfMemory { what, needed: (count as u64).saturating_mul((LEN * 8) as u64) };
    let layout = Layout::array::<[u64; LEN]>(count).map_err(|_| out_of_memory())?;
    // SAFETY: the layout is not empty.
    let start = unsafe { alloc_zeroed(layout) }.cast::<[u64; LEN]>();
    if start.is_null() {
        return Err(out_of_memory());
    }
    // SAFETY: the memory is of the global allocator, with the layout of this slice, and zeros are valid words.
    Ok(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, count)) })
}

/// Allocates words that are 0, like [`zeroed`].
///
/// # Errors
///
/// Returns [`Error::OutOfMemory`].
pub(crate) fn zeroed_words(count: usize, what: &'static str) -> Result<Vec<u64>, Error> {
    let words = Box::into_raw(zeroed::<1>(count, what)?);
    // SAFETY: an array of one word has the layout of the word.
    Ok(unsafe { Box::from_raw(words as *mut [u64]) }.into_vec())
}

/// Creates an empty list with room for `capacity` elements.
///
/// # Errors
///
/// Returns [`Error::OutOfMemory`].
pub(crate) fn with_room<T>(capacity: usize, what: &'static str) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    list.try_reserve_exact(capacity)
        .map_err(|_| Error::OutOfMemory { what, needed: (capacity as u64).saturating_mul(size_of::<T>() as u64) })?;
    Ok(list)
}

/// Creates a list of `count` copies of `element`.
///
/// # Errors
///
/// Returns [`Error::OutOfMemory`].
pub(crate) fn filled<T: Clone>(element: T, count: usize, what: &'static str) -> Result<Vec<T>, Error> {
    let mut list = with_room(count, what)?;
    list.resize(count, element);
    Ok(list)
}

/// Returns the pages that lie wholly in `len` bytes at `start` to the system, which provides them again, with zeros,
/// when they are used. Does so on Linux, and is a hint that may be ignored elsewhere and for locked memory.
///
/// # Safety
///
/// The bytes must be private memory of the process that stays allocated, and nobody may need their contents.
pub(crate) unsafe fn release_pages(start: *mut u8, len: usize) {
    // SAFETY: asks for a number of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(usize::MAX);
    let lead = start.addr().wrapping_neg() % page;
    let whole = len.saturating_sub(lead) / page * page;
    if whole > 0 {
        // SAFETY: whole pages within the caller's bytes, which may change. If the call fails, they just stay.
        let _ = unsafe { libc::madvise(start.wrapping_add(lead).cast(), whole, libc::MADV_DONTNEED) };
    }
}

/// An array on the heap that begins a cache line, so that vector code never reads or writes across the border of two.
pub(crate) type Lanes<T, const LEN: usize> = Box<Aligned<[T; LEN]>>;

/// A value that begins a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Aligned<T>(T);

impl<T> Deref for Aligned<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Aligned<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Creates an array of at most a few KiB.
///
/// # Errors
///
/// Returns [`Error::OutOfMemory`].
pub(crate) fn array<T: Copy, const LEN: usize>(element: T, what: &'static str) -> Result<Lanes<T, LEN>, Error> {
    let list = filled(Aligned([element; LEN]), 1, what)?.into_boxed_slice();
    let list: Box<[Aligned<[T; LEN]>; 1]> = list.try_into().unwrap_or_else(|_| unreachable!());
    // SAFETY: an array of one element has the layout of the element.
    Ok(unsafe { Box::from_raw(Box::into_raw(list).cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[cfg(target_os = "linux")]
    #[test]
    fn released_pages_are_zeros_and_their_neighbors_keep_their_bytes() {
        const LEN: usize = 1 << 20;
        for (first, end) in [(0, LEN), (1, LEN - 1), (5000, 5001), (4096, 4096), (9, 300_000)] {
            let mut bytes = vec![7_u8; LEN];
            // SAFETY: the bytes are those of a vector that lives on.
            unsafe { release_pages(bytes.as_mut_ptr().add(first), end - first) };
            let outside = bytes[..first].iter().chain(&bytes[end..]);
            assert_eq!(outside.filter(|byte| **byte != 7).count(), 0);
            let zeros = bytes.iter().filter(|byte| **byte == 0).count();
            assert_eq!(zeros % 4096, 0);
            assert!(zeros + 3 * 4096 > end - first || end - first < 3 * 4096, "{zeros} of {first}..{end}");
        }
    }

    #[test]
    fn more_than_the_address_space_is_an_error() {
        let count = isize::MAX as usize / 16;
        for error in [
            zeroed::<1>(count, "x").unwrap_err(),
            zeroed_words(usize::MAX, "x").unwrap_err(),
            with_room::<u64>(count, "x").unwrap_err(),
            filled(0.0_f32, usize::MAX, "x").unwrap_err(),
        ] {
            assert_eq!(error.code(), Code::OutOfMemory, "{error}");
        }
        assert_eq!(zeroed::<2>(3, "x").unwrap().as_flattened(), [0; 6]);
        assert_eq!(zeroed_words(0, "x").unwrap(), [0; 0]);
        let lanes = array::<u8, 3>(7, "x").unwrap();
        assert_eq!((**lanes, lanes.as_ptr().addr() % 64), ([7; 3], 0));
    }
}
