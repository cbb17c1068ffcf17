//! What one live scorer counts. Only the thread that has claimed it writes, so a count is a load and a store; anybody may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latency::LatencyHistogram;
use crate::error::Code;
use crate::score::Counts;

/// Counts since a live scorer was opened.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub(super) predictions: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) no_model: AtomicU64,
    pub(super) off: AtomicU64,
    pub(super) scored: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) unseen: AtomicU64,
    pub(super) missing: AtomicU64,
    pub(super) invalid_numbers: AtomicU64,
    pub(super) latency: LatencyHistogram,
}

/// Adds without a locked instruction: there is one writer.
#[inline]
fn add(counter: &AtomicU64, number: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

impl Counters {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A request that was scored. By whoever has claimed the scorer.
    #[inline]
    pub(super) fn scored(&self, counts: Counts, took: Duration) {
        add(&self.predictions, 1);
        add(&self.scored, u64::from(counts.scored_count));
        add(&self.refused, u64::from(counts.refused_count));
        add(&self.late, u64::from(counts.late_count));
        add(&self.unseen, u64::from(counts.unseen_count));
        add(&self.missing, u64::from(counts.missing_count));
        add(&self.invalid_numbers, u64::from(counts.invalid_number_count));
        self.latency.record(took);
    }

    /// A request that was not. By whoever has claimed the scorer.
    #[cold]
    pub(super) fn failed(&self, code: Code) {
        let counter = match code {
            Code::NoModel => &self.no_model,
            Code::Panic => &self.panics,
            _ => &self.failed,
        };
        add(counter, 1);
    }

    /// A request while scoring was switched off, which claims nothing.
    #[inline]
    pub(super) fn off(&self) {
        self.off.fetch_add(1, Ordering::Relaxed);
    }
}
