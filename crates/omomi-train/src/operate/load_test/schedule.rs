//! Decides when requests start: back to back, or each one when it is due.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::durations::{Stamps, Times};

/// Pause between warm-up and start, so that no warm-up request overlaps the run.
const PAUSE: Duration = Duration::from_millis(2);
/// How long after the end a due request may still be started.
const GRACE: Duration = Duration::from_secs(1);
/// The operating system may wake a sleeping thread late, by up to about this much. The rest of a wait is spent
/// spinning.
const SLEEP_MARGIN: Duration = Duration::from_millis(2);

/// A clock that counts nanoseconds from an arbitrary moment.
pub(super) trait Clock {
    fn now_ns(&self) -> u64;
    /// Returns once the time is `ns` or later.
    fn wait_until(&self, ns: u64);
}

/// The clock of the machine.
pub(super) struct SystemClock(Instant);

impl SystemClock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now_ns(&self) -> u64 {
        nanoseconds(self.0.elapsed())
    }

    fn wait_until(&self, ns: u64) {
        loop {
            let left = Duration::from_nanos(ns.saturating_sub(self.now_ns()));
            if left.is_zero() {
                return;
            }
            match left.checked_sub(SLEEP_MARGIN) {
                Some(left) => thread::sleep(left),
                None => hint::spin_loop(),
            }
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The plan that all threads of a run share.
#[derive(Debug)]
pub(super) struct Schedule {
    warm_until_ns: u64,
    start_ns: u64,
    end_ns: u64,
    /// Time between two due requests. It is not a whole number, so that no rate is rounded.
    interval_ns: Option<f64>,
    /// Index of the next due request that no thread has taken.
    next_due: AtomicU64,
}

impl Schedule {
    pub(super) fn new(now_ns: u64, warm_up: Duration, duration: Duration, rate_per_second: Option<f64>) -> Self {
        let warm_until_ns = now_ns.saturating_add(nanoseconds(warm_up));
        let start_ns = warm_until_ns.saturating_add(nanoseconds(PAUSE));
        Self {
            warm_until_ns,
            start_ns,
            end_ns: start_ns.saturating_add(nanoseconds(duration)),
            interval_ns: rate_per_second.map(|rate| 1e9 / rate),
            next_due: AtomicU64::new(0),
        }
    }

    pub(super) const fn start_ns(&self) -> u64 {
        self.start_ns
    }

    pub(super) const fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// Serves back to back until shortly before the start. Serves at least once, so that no work happens for the first
    /// time while it is recorded.
    pub(super) fn warm_up<E>(&self, clock: &impl Clock, mut serve: impl FnMut() -> Result<Stamps, E>) -> Result<(), E> {
        while serve()?.end_ns < self.warm_until_ns {}
        clock.wait_until(self.start_ns);
        Ok(())
    }

    /// Runs one thread's part of the load: serves requests until the end and records each of them.
    pub(super) fn drive<E>(&self, clock: &impl Clock, serve: impl FnMut() -> Result<Stamps, E>) -> Result<Times, E> {
        match self.interval_ns {
            None => self.drive_back_to_back(clock, serve),
            Some(interval_ns) => self.drive_at_rate(clock, interval_ns, serve),
        }
    }

    /// Each thread serves at least one request, even in a very short run.
    fn drive_back_to_back<E>(
        &self,
        clock: &impl Clock,
        mut serve: impl FnMut() -> Result<Stamps, E>,
    ) -> Result<Times, E> {
        let mut times = Times::new();
        loop {
            times.record(&serve()?, None);
            if clock.now_ns() >= self.end_ns {
                return Ok(times);
            }
        }
    }

    fn drive_at_rate<E>(
        &self,
        clock: &impl Clock,
        interval_ns: f64,
        mut serve: impl FnMut() -> Result<Stamps, E>,
    ) -> Result<Times, E> {
        let mut times = Times::new();
        let last_start_ns = self.end_ns.saturating_add(nanoseconds(GRACE));
        loop {
            // Relaxed is enough: only a number is taken, and no other memory is published with it.
            let index = self.next_due.fetch_add(1, Ordering::Relaxed);
            let due_ns = self.due_ns(index, interval_ns);
            if due_ns >= self.end_ns {
                return Ok(times);
            }
            let now_ns = clock.now_ns();
            if now_ns > last_start_ns {
                times.record_unserved(now_ns - due_ns);
                continue;
            }
            clock.wait_until(due_ns);
            times.record(&serve()?, Some(due_ns));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "an index below 2^53: at ten million a second, a run of 28 years")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and far below 2^64")]
    fn due_ns(&self, index: u64, interval_ns: f64) -> u64 {
        self.start_ns.saturating_add((index as f64 * interval_ns) as u64)
    }
}

#[cfg(test)]
mod tests;
