//! A value that one thread replaces while another uses it, without a lock, a wait or a free on the using side.
//!
//! The user claims the slot by making its turn odd, loads the pointer, and gives the slot back by making the turn even again. The
//! replacer exchanges the pointer and then looks at the turn: if it is even, every later claim sees the new value, so the old one is
//! free at once; if it is odd, a use that may be of the old value is under way, and the old one is free as soon as the turn has moved
//! on. The user never owns what it uses, so it never frees anything.
//!
//! Both looks are sequentially consistent: a claim that the replacer's look has missed comes after that look, and so loads what was
//! exchanged before it. `tests/live_slot.rs` walks all interleavings.

use std::ptr::NonNull;

use super::atomics::{AtomicPtr, AtomicU64, Ordering};

/// A slot for a `T`, with one user at a time and one replacer at a time.
#[derive(Debug)]
pub(super) struct Slot<T> {
    /// From `Box::into_raw`, never null.
    value: AtomicPtr<T>,
    /// Odd while the value is in use.
    turn: AtomicU64,
}

/// The value of a slot, in use until this is dropped.
#[derive(Debug)]
pub(super) struct InUse<'a, T> {
    slot: &'a Slot<T>,
    value: &'a T,
    turn: u64,
}

/// A value that was replaced, and the turn that may still use it. Forgotten, it is leaked and never freed under a user.
#[derive(Debug)]
#[must_use]
pub(super) struct Replaced<T> {
    /// No box yet: a box would claim to be the only way to the value.
    value: NonNull<T>,
    /// Odd: the use that has to end; even: nobody uses it.
    turn: u64,
}

// SAFETY: it stands for the box that `free` makes of it, and a use on another thread is over by then.
unsafe impl<T: Send + Sync> Send for Replaced<T> {}

impl<T> Slot<T> {
    pub(super) fn new(value: Box<T>) -> Self {
        Self { value: AtomicPtr::new(Box::into_raw(value)), turn: AtomicU64::new(0) }
    }

    /// Claims the value; nothing if somebody else has claimed it. Neither waits nor allocates.
    #[inline]
    pub(super) fn claim(&self) -> Option<InUse<'_, T>> {
        let turn = self.turn.load(Ordering::Relaxed);
        if turn % 2 == 1 {
            return None;
        }
        self.turn.compare_exchange(turn, turn + 1, Ordering::SeqCst, Ordering::Relaxed).ok()?;
        let value = self.value.load(Ordering::SeqCst);
        // SAFETY: not null. `replace` gives the value away only together with a turn, and `Replaced::free` waits until that turn is
        // over: if the pointer was exchanged before this load, this is the new value; otherwise the exchange, and the look at the
        // turn behind it, come after the claim above, and find its turn or a later one.
        Some(InUse { slot: self, value: unsafe { &*value }, turn: turn + 1 })
    }

    /// Puts `value` in place of the one that is there. One thread at a time calls this.
    pub(super) fn replace(&self, value: Box<T>) -> Replaced<T> {
        let old = self.value.swap(Box::into_raw(value), Ordering::SeqCst);
        let turn = self.turn.load(Ordering::SeqCst);
        // SAFETY: the pointer came from a box.
        Replaced { value: unsafe { NonNull::new_unchecked(old) }, turn }
    }

    /// The value, or nothing if a use of it is under way. A use that began after the replacement has another turn, whatever it uses.
    pub(super) fn free(&self, replaced: Replaced<T>) -> Result<Box<T>, Replaced<T>> {
        let is_used = replaced.turn % 2 == 1 && self.turn.load(Ordering::Acquire) == replaced.turn;
        if is_used {
            return Err(replaced);
        }
        // SAFETY: the pointer came from a box and was taken out of the slot, so this is the one box made of it; and no use is under
        // way: the only one that could be of this value has ended, and whatever it read is ordered before this by its turn.
        Ok(unsafe { Box::from_raw(replaced.value.as_ptr()) })
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        let value = self.value.load(Ordering::Relaxed);
        // SAFETY: from a box, not taken out, and `&mut self` rules out users.
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
        // Releases what the use has read, so that a free that sees this turn comes after it.
        self.slot.turn.store(self.turn + 1, Ordering::Release);
    }
}
