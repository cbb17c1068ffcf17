//! What the figures of a run depend on beside the library.

use std::fs;
use std::time::Instant;

/// What reading the clock costs on this machine, in nanoseconds: each request reads it four times, and each of its parts has one reading
/// in its figure.
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
    // The quickest round is the one that nothing else interrupted.
    (0..ROUND_COUNT).map(round).fold(f64::INFINITY, f64::min)
}

/// The processor's name, where the system tells it.
#[must_use]
pub fn processor_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find(|line| line.starts_with("model name"))?.split_once(':')?.1.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// How often the system took the processor away from the calling thread so far, where it says so.
pub(super) fn preemption_count() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}
