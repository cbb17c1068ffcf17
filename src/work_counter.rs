//! Counts the work that scoring does, for tests that limit it. Tests that only compare answers would not notice extra
//! work. Compiled for this crate's own tests only, so that it costs nothing elsewhere.

use std::cell::Cell;

thread_local! {
    // For each thread, because tests run in parallel.
    static SO_FAR: Cell<Work> = const { Cell::new(Work { look_up_count: 0, hashed_text_count: 0 }) };
}

/// An amount of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    /// Keys that were looked up in a table, in batches.
    pub(crate) look_up_count: u64,
    /// Texts whose bytes were hashed.
    pub(crate) hashed_text_count: u64,
}

/// Returns the work that `call` does on this thread.
pub(crate) fn work_of(call: impl FnOnce()) -> Work {
    let before = SO_FAR.get();
    call();
    let after = SO_FAR.get();
    Work {
        look_up_count: after.look_up_count - before.look_up_count,
        hashed_text_count: after.hashed_text_count - before.hashed_text_count,
    }
}

/// Adds `count` keys that are looked up.
pub(crate) fn note_look_ups(count: usize) {
    let so_far = SO_FAR.get();
    SO_FAR.set(Work { look_up_count: so_far.look_up_count + count as u64, ..so_far });
}

/// Adds one text that is hashed.
pub(crate) fn note_hashed_text() {
    let so_far = SO_FAR.get();
    SO_FAR.set(Work { hashed_text_count: so_far.hashed_text_count + 1, ..so_far });
}
