//! Counts the memory that each thread has allocated, and its peak. Memory that grows in place counts twice for a
//! moment, because an allocator may have to copy it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub struct Counting;

thread_local! {
    static HELD_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD_BYTES.get() + layout.size().cast_signed();
        HELD_BYTES.set(held);
        PEAK_BYTES.set(PEAK_BYTES.get().max(held));
        // SAFETY: the caller promises what the system allocator requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let held = HELD_BYTES.get() + layout.size().cast_signed();
        HELD_BYTES.set(held);
        PEAK_BYTES.set(PEAK_BYTES.get().max(held));
        // SAFETY: the caller promises what the system allocator requires.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        HELD_BYTES.set(HELD_BYTES.get() - layout.size().cast_signed());
        // SAFETY: the caller promises what the system allocator requires.
        unsafe { System.dealloc(address, layout) }
    }
}

/// Returns the result of `work`, and the most bytes that this thread held in it beyond those that it held before.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD_BYTES.get();
    PEAK_BYTES.set(before);
    let result = work();
    (result, (PEAK_BYTES.get() - before).max(0).cast_unsigned())
}
