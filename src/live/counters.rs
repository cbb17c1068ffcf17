//! Counters of one live scorer, and their sums over many. Only the thread that has claimed a scorer writes its
//! counters, so an increment is a load and a store. Any thread may read them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latency::{BUCKET_COUNT, LatencyHistogram};
use crate::error::Code;
use crate::score::RequestCounts;

/// Declares what is counted in one table: the counters of a live scorer, and their sums.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// Counts since a live scorer was opened.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(super) struct Counters {
            $($name: AtomicU64,)*
            /// Requests that the fallback file answered.
            fallbacks: AtomicU64,
            latency: LatencyHistogram,
        }

        /// Counts of requests and their contents since the live model was opened. They never decrease.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct TrafficCounts { $($(#[$doc])* pub $name: u64,)* }

        impl TrafficCounts {
            fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.load(Ordering::Relaxed);)*
            }

            /// The counts in the order of the table, which is the order in which the JVM reads them.
            pub(crate) fn in_order(&self) -> impl Iterator<Item = u64> {
                [$(self.$name,)*].into_iter()
            }
        }
    };
}

counters! {
    /// Requests that were scored.
    predictions;
    /// Requests that were refused, for example because of a malformed context.
    failed;
    /// Requests that panicked because of a defect in the library. The panic was caught.
    panics;
    /// Requests while there was no model.
    no_model;
    /// Requests while scoring was switched off.
    off;
    /// Requests while another thread used the same scorer.
    busy;
    /// Candidates that were scored.
    scored;
    /// Candidates that were malformed.
    refused;
    /// Candidates that were not reached in time.
    late;
    /// Categories without a weight. Crosses are not counted.
    unseen;
    /// Fields that the model reads and that had no value in a request.
    missing;
    /// Numbers outside the range of their field. They also count as missing.
    invalid_numbers;
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
    pub(super) fn scored(&self, counts: RequestCounts, took: Duration) {
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

    /// Counts a request that the fallback file answered. Callers have not claimed the slot, so this is an atomic
    /// addition.
    #[inline]
    pub(super) fn fallback(&self) {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
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

/// Sums over live scorers.
#[derive(Debug, Clone)]
pub(super) struct CounterSums {
    pub(super) requests: TrafficCounts,
    pub(super) fallbacks: u64,
    pub(super) latency_counts: [u64; BUCKET_COUNT],
    pub(super) latency_sum_ns: u64,
}

impl Default for CounterSums {
    fn default() -> Self {
        Self { requests: TrafficCounts::default(), fallbacks: 0, latency_counts: [0; BUCKET_COUNT], latency_sum_ns: 0 }
    }
}

impl CounterSums {
    /// Adds the current counts of one live scorer.
    pub(super) fn add(&mut self, counters: &Counters) {
        self.requests.add(counters);
        self.fallbacks += counters.fallbacks.load(Ordering::Relaxed);
        self.latency_sum_ns += counters.latency.add_to(&mut self.latency_counts);
    }
}
