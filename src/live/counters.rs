//! Counters of one live scorer, and their sums over many. Only the thread that has claimed a scorer writes its
//! counters, so an increment is a load and a store. Any thread may read them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latency::{BUCKET_COUNT, LatencyHistogram};
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
    pub(super) busy: AtomicU64,
    pub(super) scored: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) unseen: AtomicU64,
    pub(super) missing: AtomicU64,
    pub(super) invalid_numbers: AtomicU64,
    pub(super) latency: LatencyHistogram,
}

/// Adds without an atomic read-modify-write: there is only one writer.
#[inline]
fn add(counter: &AtomicU64, number: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

impl Counters {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Counts a scored request. Called by the thread that has claimed the scorer.
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

    /// Counts a request that was not scored. Called by the thread that has claimed the scorer.
    #[cold]
    pub(super) fn failed(&self, code: Code) {
        let counter = match code {
            Code::NoModel => &self.no_model,
            Code::Panic => &self.panics,
            _ => &self.failed,
        };
        add(counter, 1);
    }

    /// Counts a request while scoring is switched off. Callers have not claimed the scorer, so this is an atomic
    /// addition.
    #[inline]
    pub(super) fn off(&self) {
        self.off.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request while another thread uses the scorer. Callers have not claimed it, so this is an atomic
    /// addition.
    #[cold]
    pub(super) fn busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }
}

/// Outcomes of requests and of their contents since the live model was opened. Counts never decrease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Requests that were scored.
    pub predictions: u64,
    /// Requests that were refused, for example because of a malformed context.
    pub failed: u64,
    /// Requests that panicked because of a defect in the library. The panic was caught.
    pub panics: u64,
    /// Requests while there was no model.
    pub no_model: u64,
    /// Requests while scoring was switched off.
    pub off: u64,
    /// Requests while another thread used the same scorer.
    pub busy: u64,
    /// Candidates that were scored.
    pub scored: u64,
    /// Candidates that were malformed.
    pub refused: u64,
    /// Candidates that were not reached in time.
    pub late: u64,
    /// Categories without a weight. Crosses are not counted.
    pub unseen: u64,
    /// Fields that the model reads and that had no value in a request.
    pub missing: u64,
    /// Numbers outside the range of their field. They also count as missing.
    pub invalid_numbers: u64,
}

/// Sums over live scorers.
#[derive(Debug, Clone)]
pub(super) struct CounterSums {
    pub(super) requests: RequestCounts,
    pub(super) latency_counts: [u64; BUCKET_COUNT],
    pub(super) latency_sum_ns: u64,
}

impl Default for CounterSums {
    fn default() -> Self {
        Self { requests: RequestCounts::default(), latency_counts: [0; BUCKET_COUNT], latency_sum_ns: 0 }
    }
}

impl CounterSums {
    /// Adds the current counts of one live scorer.
    pub(super) fn add(&mut self, counters: &Counters) {
        let sums = &mut self.requests;
        for (sum, counter) in [
            (&mut sums.predictions, &counters.predictions),
            (&mut sums.failed, &counters.failed),
            (&mut sums.panics, &counters.panics),
            (&mut sums.no_model, &counters.no_model),
            (&mut sums.off, &counters.off),
            (&mut sums.busy, &counters.busy),
            (&mut sums.scored, &counters.scored),
            (&mut sums.refused, &counters.refused),
            (&mut sums.late, &counters.late),
            (&mut sums.unseen, &counters.unseen),
            (&mut sums.missing, &counters.missing),
            (&mut sums.invalid_numbers, &counters.invalid_numbers),
        ] {
            *sum += counter.load(Ordering::Relaxed);
        }
        self.latency_sum_ns += counters.latency.add_to(&mut self.latency_counts);
    }
}
