//! A slot whose value one thread replaces while another uses it. The using side never locks, waits or frees.
//!
//! The user claims the slot by making the turn counter odd, loads the pointer, and releases the slot by making the
//! counter even again. The replacer exchanges the pointer and then reads the counter. If it is even, every later claim
//! sees the new value, so the old value may be freed immediately. If it is odd, a use of the old value may be in
//! progress, and the old value may be freed when the counter has changed. The user never owns the value, so it never
//! frees it.
//!
//! Both reads are sequentially consistent: a claim that the replacer's read missed comes after that read, and so loads
//! the new pointer. `tests/live_slot.rs` walks all interleavings.

use std::ptr::NonNull;

use super::atomics::{AtomicPtr, AtomicU64, Ordering};

/// A slot for a `T`, with at most one user and one replacer at a time.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    /// From `Box::into_raw`, never null.
    value: AtomicPtr<T>,
    /// Odd while the value is in use.
    turn: AtomicU64,
}

/// The value of a slot, claimed until this guard is dropped.
#[derive(Debug)]
pub(crate) struct InUse<'a, T> {
    slot: &'a Slot<T>,
    value: &'a T,
    turn: u64,
}

/// A replaced value, with the turn that may still use it. If this is forgotten, the value leaks; it is never freed
/// under a user.
#[derive(Debug)]
#[must_use]
pub(crate) struct Replaced<T> {
    /// Not a box yet: a box would claim unique access to the value.
    value: NonNull<T>,
    /// If odd, the use that has to end first. If even, nobody uses the value.
    turn: u64,
}

// SAFETY: it represents the box that `free` makes of it, and by then any use on another thread is over.
unsafe impl<T: Send + Sync> Send for Replaced<T> {}

impl<T> Slot<T> {
    pub(crate) fn new(value: Box<T>) -> Self {
        Self { value: AtomicPtr::new(Box::into_raw(value)), turn: AtomicU64::new(0) }
    }

    /// Claims the value. Returns `None` if another thread has claimed it. Never waits or allocates.
    #[inline]
    pub(crate) fn claim(&self) -> Option<InUse<'_, T>> {
        let turn = self.turn.load(Ordering::Relaxed);
        if turn % 2 == 1 {
            return None;
        }
        self.turn.compare_exchange(turn, turn + 1, Ordering::SeqCst, Ordering::Relaxed).ok()?;
        let value = self.value.load(Ordering::SeqCst);
        // SAFETY: not null. `replace` gives the value away only together with a turn, and `Replaced::free` waits until
        // that turn is over. If the pointer was exchanged before this load, this is the new value. Otherwise the
        // exchange, and the read of the turn after it, come after the claim above, and find its turn or a later one.
        Some(InUse { slot: self, value: unsafe { &*value }, turn: turn + 1 })
    }

    /// Replaces the value and returns the old one. Only one thread at a time may call this.
    pub(crate) fn replace(&self, value: Box<T>) -> Replaced<T> {
        let old = self.value.swap(Box::into_raw(value), Ordering::SeqCst);
        let turn = self.turn.load(Ordering::SeqCst);
        // SAFETY: the pointer came from a box.
        Replaced { value: unsafe { NonNull::new_unchecked(old) }, turn }
    }

    /// Frees the old value, or returns it as an error if a use of it may be in progress. A use that began after the
    /// replacement has a later turn.
    pub(crate) fn free(&self, replaced: Replaced<T>) -> Result<Box<T>, Replaced<T>> {
        let is_used = replaced.turn % 2 == 1 && self.turn.load(Ordering::Acquire) == replaced.turn;
        if is_used {
            return Err(replaced);
        }
        // SAFETY: the pointer came from a box and was taken out of the slot, so this is the only box made from it. No
        // use is in progress: the only one that could be of this value has ended, and its reads are ordered before this
        // by its turn.
        Ok(unsafe { Box::from_raw(replaced.value.as_ptr()) })
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        let value = self.value.load(Ordering::Relaxed);
        // SAFETY: the pointer came from a box and was not taken out; `&mut self` rules out users.
        drop(unsafe { Box::from_raw(value) });
    }
}

impl<T> std::ops::Deref for InUse<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Drop for InUse<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Releases the reads of this use, so that a free that sees this turn comes after them.
        self.slot.turn.store(self.turn + 1, Ordering::Release);
    }
}
