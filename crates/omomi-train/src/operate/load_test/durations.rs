//! Distributions of durations, and the properties of the machine that affect them.

use std::fs;
use std::time::Instant;

use hdrhistogram::Histogram;

/// One hour; anything longer is recorded as one hour.
const MAX_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// A distribution of durations. It gives any quantile to three significant digits.
#[derive(Debug, Clone)]
pub struct Durations(Histogram<u64>);

impl Durations {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MAX_NS, DIGITS);
        Self(histogram.unwrap_or_else(|error| unreachable!("the bounds are constants: {error}")))
    }

    pub(super) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    fn add(&mut self, other: &Self) {
        self.0.add(&other.0).unwrap_or_else(|error| unreachable!("all have the same bounds: {error}"));
    }

    /// Number of recorded durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration, in nanoseconds, that a share of `quantile` (0 to 1) does not exceed; 0 if there are none.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// The longest duration, in nanoseconds; 0 if there are none.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.0.max()
    }

    /// The mean duration, in nanoseconds; 0 if there are none.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.0.mean()
    }
}

/// When each step of one request ended, and when the request started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamps {
    pub(super) start_ns: u64,
    pub(super) filled_ns: u64,
    pub(super) predicted_ns: u64,
    pub(super) end_ns: u64,
}

/// Everything that the threads of a run record.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub(super) latency: Durations,
    pub(super) wait: Durations,
    pub(super) request: Durations,
    pub(super) fill: Durations,
    pub(super) predict: Durations,
    pub(super) read: Durations,
    pub(super) unserved_count: u64,
    pub(super) last_end_ns: u64,
}

impl Times {
    pub(super) fn new() -> Self {
        Self {
            latency: Durations::new(),
            wait: Durations::new(),
            request: Durations::new(),
            fill: Durations::new(),
            predict: Durations::new(),
            read: Durations::new(),
            unserved_count: 0,
            last_end_ns: 0,
        }
    }

    /// Records a request that was served. `due_ns` is when it was due, or `None` back to back.
    pub(super) fn record(&mut self, stamps: &Stamps, due_ns: Option<u64>) {
        let Stamps { start_ns, filled_ns, predicted_ns, end_ns } = *stamps;
        self.latency.record(end_ns - due_ns.unwrap_or(start_ns));
        if let Some(due_ns) = due_ns {
            self.wait.record(start_ns - due_ns);
        }
        self.request.record(end_ns - start_ns);
        self.fill.record(filled_ns - start_ns);
        self.predict.record(predicted_ns - filled_ns);
        self.read.record(end_ns - predicted_ns);
        self.last_end_ns = self.last_end_ns.max(end_ns);
    }

    /// Records a request that was not started within `waited_ns` after it was due.
    pub(super) fn record_unserved(&mut self, waited_ns: u64) {
        self.latency.record(waited_ns);
        self.wait.record(waited_ns);
        self.unserved_count += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.wait.add(&other.wait);
        self.request.add(&other.request);
        self.fill.add(&other.fill);
        self.predict.add(&other.predict);
        self.read.add(&other.read);
        self.unserved_count += other.unserved_count;
        self.last_end_ns = self.last_end_ns.max(other.last_end_ns);
    }
}

/// The cost of reading the clock on this machine, in nanoseconds. Each request reads it four times, so the time of each
/// step includes one reading.
#[must_use]
pub fn clock_cost_ns() -> f64 {
    const ROUND_COUNT: u32 = 100;
    const READING_COUNT: u32 = 1_000;
    let round = |_| {
        let start = Instant::now();
        for _ in 0..READING_COUNT {
            std::hint::black_box(Instant::now());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(READING_COUNT)
    };
    // The fastest round is the one without interruptions.
    (0..ROUND_COUNT).map(round).fold(f64::INFINITY, f64::min)
}

/// The name of the processor, if the operating system reports it.
#[must_use]
pub fn processor_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find(|line| line.starts_with("model name"))?.split_once(':')?.1.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// How often the operating system has preempted the calling thread so far, if it reports this.
pub(super) fn preemption_count() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_keep_three_digits_and_a_longer_hour_is_an_hour() {
        let mut durations = Durations::new();
        assert_eq!((durations.count(), durations.quantile_ns(0.5), durations.max_ns()), (0, 0, 0));
        for us in 1..=1_000 {
            durations.record(us * 1_000);
        }
        for (quantile, ns) in [(0.5, 500_000), (0.99, 990_000), (0.999, 999_000)] {
            assert!(durations.quantile_ns(quantile).abs_diff(ns) <= ns / 1_000, "{quantile}");
        }
        durations.record(u64::MAX);
        assert!(durations.max_ns().abs_diff(MAX_NS) <= MAX_NS / 1_000);
    }
}
