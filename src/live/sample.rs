//! Occasional copies of requests. The background thread warms the next generation with them, and counts unseen
//! categories by field, which would be too expensive for every request.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::error::Error;
use crate::memory::zeroed_words;
use crate::request::{RequestLayout, layout};

/// Maximum number of candidates in a copy: enough for warming and counting, and copied in a microsecond.
const MAX_SAMPLED_CANDIDATES: usize = 32;

const WORD: usize = size_of::<u64>();

/// State: the request thread may write.
const WANTED: u8 = 0;
/// State: the request thread is writing.
const COPYING: u8 = 1;
/// State: the background thread may read.
const READY: u8 = 2;

/// Room for the copy of a request of one layout.
#[derive(Debug)]
pub(super) struct Sample {
    state: AtomicU8,
    candidate_count: AtomicUsize,
    /// A request block of the layout. Its answers are not used.
    words: Box<[AtomicU64]>,
}

/// A copy of a request: a block that can be scored.
#[derive(Debug)]
pub(super) struct SampledRequest {
    words: Box<[AtomicU64]>,
    pub(super) candidate_count: usize,
}

impl Sample {
    pub(super) fn new(layout: &RequestLayout) -> Result<Self, Error> {
        let words = zeroed_words(layout.offsets().len_bytes / WORD, "the copy of a request")?;
        let words = words.into_iter().map(AtomicU64::new).collect();
        Ok(Self { state: AtomicU8::new(WANTED), candidate_count: AtomicUsize::new(0), words })
    }

    /// Copies the request in `request` if a copy is wanted. Otherwise costs one atomic load. Never waits.
    ///
    /// # Safety
    ///
    /// `request` must point to a block of the sample's layout, aligned to 8 bytes, and a predict must have checked the
    /// used length of its tail.
    #[inline]
    pub(super) unsafe fn offer(&self, request: *const u8, layout: &RequestLayout, candidate_count: usize) {
        if self.state.load(Ordering::Relaxed) == WANTED {
            // SAFETY: the caller's promise.
            unsafe { self.copy(request, layout, candidate_count) };
        }
    }

    /// # Safety
    ///
    /// The promises of [`Sample::offer`].
    #[cold]
    unsafe fn copy(&self, request: *const u8, layout: &RequestLayout, candidate_count: usize) {
        if self.state.compare_exchange(WANTED, COPYING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        // SAFETY: the caller promises a block of the layout, which is as long as the sample's words. Atomics may be
        // shared with other writers.
        let request = unsafe { std::slice::from_raw_parts(request.cast::<AtomicU64>(), self.words.len()) };
        let offsets = layout.offsets();
        let candidate_count = candidate_count.min(MAX_SAMPLED_CANDIDATES);
        let rows_end = offsets.candidates_offset + candidate_count * offsets.candidate_stride_bytes;
        let copy = |from: usize, to: usize| {
            let words = from / WORD..to.div_ceil(WORD).min(self.words.len());
            for (copy, word) in self.words[words.clone()].iter().zip(&request[words]) {
                copy.store(word.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        };
        copy(0, rows_end);
        // Read from the copy, because the request's own word may have changed since it was checked. Only the used part
        // is copied.
        let header = u64::from_le(self.words[layout::TAIL_USED_OFFSET / WORD].load(Ordering::Relaxed));
        let tail_used = usize::try_from(header >> (8 * (layout::TAIL_USED_OFFSET % WORD)) & 0xffff_ffff);
        let tail_used = tail_used.unwrap_or(0).min(offsets.len_bytes - offsets.tail_offset);
        copy(offsets.tail_offset, offsets.tail_offset + tail_used);
        self.candidate_count.store(candidate_count, Ordering::Relaxed);
        self.state.store(READY, Ordering::Release);
    }

    /// Takes the copy, if there is one, and requests the next. Called by the background thread.
    pub(super) fn take(&self) -> Option<SampledRequest> {
        if self.state.load(Ordering::Acquire) != READY {
            return None;
        }
        let words = self.words.iter().map(|word| AtomicU64::new(word.load(Ordering::Relaxed))).collect();
        let candidate_count = self.candidate_count.load(Ordering::Relaxed);
        self.state.store(WANTED, Ordering::Release);
        Some(SampledRequest { words, candidate_count })
    }
}

impl SampledRequest {
    /// Returns the address of the block.
    pub(super) fn block_address(&mut self) -> *mut u8 {
        self.words.as_mut_ptr().cast()
    }
}
