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
