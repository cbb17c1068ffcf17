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
mod tests {
    //! Tests the schedule with a clock that moves only while a request is served or waited for, so every latency is
    //! known.

    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    struct FakeClock(Cell<u64>);

    impl Clock for FakeClock {
        fn now_ns(&self) -> u64 {
            self.0.get()
        }

        fn wait_until(&self, ns: u64) {
            self.0.set(self.0.get().max(ns));
        }
    }

    impl FakeClock {
        fn at(ns: u64) -> Self {
            Self(Cell::new(ns))
        }

        /// Serves a request that takes `ns`: one quarter to fill, two to predict, one to read.
        fn serve(&self, ns: u64) -> Result<Stamps, Infallible> {
            let start_ns = self.0.get();
            self.0.set(start_ns + ns);
            Ok(Stamps {
                start_ns,
                filled_ns: start_ns + ns / 4,
                predicted_ns: start_ns + ns / 4 * 3,
                end_ns: start_ns + ns,
            })
        }
    }

    /// Serves requests of 1 ms each. The first one that starts `at_ns` after the start or later takes a second.
    fn drive_with_a_stall(schedule: &Schedule, at_ns: u64) -> Times {
        let clock = FakeClock::at(schedule.start_ns());
        let mut stalled = false;
        let outcome = schedule.drive(&clock, || {
            let stalls = !stalled && clock.now_ns() >= schedule.start_ns() + at_ns;
            stalled |= stalls;
            clock.serve(if stalls { 1_000 * MS } else { MS })
        });
        outcome.unwrap()
    }

    fn is_about(found: u64, expected: u64) -> bool {
        found.abs_diff(expected) <= expected / 500
    }

    #[test]
    fn a_stall_shows_in_every_request_that_fell_due_in_it() {
        // 100 requests a second for 10 seconds. During the stall of one second, 100 fall due. While they are
        // served, at 1 ms each, 11 more wait.
        let times = drive_with_a_stall(&Schedule::new(0, SECOND, 10 * SECOND, Some(100.0)), 5_000 * MS);
        assert_eq!((times.latency.count(), times.unserved_count), (1_000, 0));
        assert!(is_about(times.latency.max_ns(), 1_000 * MS), "{}", times.latency.max_ns());
        assert!(is_about(times.latency.quantile_ns(0.999), 991 * MS), "{}", times.latency.quantile_ns(0.999));
        assert!(times.latency.quantile_ns(0.95) > 400 * MS, "{}", times.latency.quantile_ns(0.95));
        assert!(is_about(times.latency.quantile_ns(0.5), MS), "{}", times.latency.quantile_ns(0.5));
        let late_share = 111.0 / 1_000.0;
        assert!(is_about(times.latency.quantile_ns(1.0 - late_share - 0.001), MS));
        assert!(times.latency.quantile_ns(1.0 - late_share + 0.001) > 2 * MS);
        // Measured from their starts, only one request is slow, and p99.8 shows nothing.
        assert!(is_about(times.request.quantile_ns(0.998), MS));
        assert!(is_about(times.request.max_ns(), 1_000 * MS));
        assert!(is_about(times.wait.max_ns(), 990 * MS));
    }

    #[test]
    fn a_stall_back_to_back_is_one_slow_request() {
        let times = drive_with_a_stall(&Schedule::new(0, SECOND, 10 * SECOND, None), 5_000 * MS);
        assert_eq!(times.latency.count(), 9_001);
        assert!(is_about(times.latency.quantile_ns(0.999), MS));
        assert!(is_about(times.latency.max_ns(), 1_000 * MS));
        assert_eq!(times.wait.count(), 0);
    }

    #[test]
    fn requests_that_a_slow_machine_never_starts_are_counted_with_their_waiting_time() {
        // 1,000 requests fall due in a second, each takes 4 ms, and the grace period ends one second after the run.
        // 501 requests are started (at 0 ms, 4 ms and so on up to 2,000 ms). The other 499 have waited for more than a
        // second at 2,004 ms.
        let schedule = Schedule::new(0, Duration::ZERO, SECOND, Some(1_000.0));
        let clock = FakeClock::at(schedule.start_ns());
        let times = schedule.drive(&clock, || clock.serve(4 * MS)).unwrap();
        assert_eq!((times.request.count(), times.unserved_count), (501, 499));
        assert_eq!((times.latency.count(), times.wait.count()), (1_000, 1_000));
        assert!(is_about(times.latency.max_ns(), 1_504 * MS), "{}", times.latency.max_ns());
        assert_eq!(times.last_end_ns - schedule.start_ns(), 2_004 * MS);
    }

    #[test]
    fn threads_share_the_due_requests_and_each_request_is_served_once() {
        // Thread a is done with its part before b starts, and leaves nothing.
        let schedule = Schedule::new(0, SECOND, SECOND, Some(100.0));
        let (a, b) = (FakeClock::at(schedule.start_ns()), FakeClock::at(schedule.start_ns()));
        let mut served_by_b = Times::new();
        let served_by_a = schedule
            .drive(&a, || {
                if a.now_ns() == schedule.start_ns() + 500 * MS {
                    served_by_b = schedule.drive(&b, || b.serve(MS)).unwrap();
                }
                a.serve(MS)
            })
            .unwrap();
        assert_eq!((served_by_a.request.count(), served_by_b.request.count()), (51, 49));
        assert!(is_about(served_by_b.latency.max_ns(), MS));
    }

    #[test]
    fn no_request_starts_before_it_is_due_and_a_rate_is_not_rounded() {
        // A third of a second is not a whole number of nanoseconds.
        let schedule = Schedule::new(7, Duration::ZERO, 1_000 * SECOND, Some(3.0));
        let clock = FakeClock::at(schedule.start_ns());
        let mut starts = Vec::new();
        let times = schedule
            .drive(&clock, || {
                starts.push(clock.now_ns() - schedule.start_ns());
                clock.serve(MS)
            })
            .unwrap();
        assert_eq!(starts.len(), 3_000);
        assert_eq!((starts[1], starts[3], starts[2_997]), (333_333_333, 1_000 * MS, 999_000 * MS));
        assert!(is_about(times.latency.max_ns(), MS));
    }

    #[test]
    fn warm_up_is_not_recorded_and_does_not_overlap_the_run() {
        let clock = FakeClock::at(5 * MS);
        let schedule = Schedule::new(clock.now_ns(), 10 * MS_DURATION, 100 * MS_DURATION, None);
        let mut warm_count = 0;
        schedule
            .warm_up(&clock, || {
                warm_count += 1;
                clock.serve(MS)
            })
            .unwrap();
        assert_eq!((warm_count, clock.now_ns()), (10, schedule.start_ns()));
        let times = schedule.drive(&clock, || clock.serve(4 * MS)).unwrap();
        assert_eq!(times.request.count(), 25);
        for (part, ns) in [(&times.fill, MS), (&times.predict, 2 * MS), (&times.read, MS), (&times.request, 4 * MS)] {
            assert_eq!(part.count(), 25);
            assert!(is_about(part.max_ns(), ns) && is_about(part.quantile_ns(0.0), ns));
        }
    }

    #[test]
    fn a_request_that_fails_ends_the_run() {
        let schedule = Schedule::new(0, Duration::ZERO, SECOND, Some(10.0));
        let clock = FakeClock::at(0);
        let mut count = 0;
        let outcome = schedule.drive(&clock, || {
            count += 1;
            if count == 3 { Err("no") } else { Ok(clock.serve(MS).unwrap()) }
        });
        assert_eq!((outcome.err(), count), (Some("no"), 3));
    }

    const MS_DURATION: Duration = Duration::from_millis(1);
}
