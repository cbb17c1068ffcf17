//! The seven days of a generated log, and how impressions are distributed over the hours.

/// 2026-01-05T00:00:00Z, a Monday, in microseconds since 1970.
pub(super) const START_US: i64 = 20_458 * 24 * HOUR_US;
pub(super) const HOUR_US: i64 = 3_600_000_000;
pub(super) const DAYS: usize = 7;
const HOURS: usize = DAYS * 24;

/// Relative number of impressions by hour of the day in UTC. The users live in Japan, nine hours ahead of UTC. The
/// minimum is in their night, the first rise in their morning, and the peak at 21:00 Japanese time.
const HOUR_CURVE: [f64; 24] = [
    0.95, 0.90, 0.95, 1.15, 1.05, 0.95, 0.95, 1.00, 1.10, 1.20, 1.35, 1.55, 1.70, 1.60, 1.30, 0.90, //
    0.55, 0.32, 0.22, 0.20, 0.25, 0.45, 0.75, 0.95,
];
/// Relative number of impressions by day, from Monday.
const DAY_CURVE: [f64; DAYS] = [1.00, 0.98, 0.97, 0.99, 1.02, 1.15, 1.20];

/// Converts a share of the log's impressions to the time at which that share has happened.
pub(super) struct Clock {
    /// Share of the impressions before each hour, and 1 at the end.
    share_before: [f64; HOURS + 1],
}

/// A time within the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Microseconds since the log began.
    pub(super) elapsed_us: i64,
    /// Day of the log, 0 to 6.
    pub(super) day: u8,
    /// Hour of the day in UTC, 0 to 23.
    pub(super) hour: u8,
}

impl Clock {
    pub(super) fn new() -> Clock {
        let mut share_before = [0.0; HOURS + 1];
        for hour in 0..HOURS {
            share_before[hour + 1] = share_before[hour] + DAY_CURVE[hour / 24] * HOUR_CURVE[hour % 24];
        }
        let total = share_before[HOURS];
        share_before.iter_mut().for_each(|share| *share /= total);
        Clock { share_before }
    }

    /// Returns the time before which `share` of the impressions happen. It never falls as `share` grows, so rows are in
    /// order of time.
    #[expect(clippy::cast_possible_truncation, reason = "below an hour in microseconds; a day and hour below 168")]
    pub(super) fn at(&self, share: f64) -> Moment {
        let hours_begun = self.share_before.partition_point(|&before| before <= share);
        let hour = (hours_begun - 1).min(HOURS - 1);
        let (before, after) = (self.share_before[hour], self.share_before[hour + 1]);
        let within_us = ((share - before) / (after - before) * HOUR_US as f64) as i64;
        let elapsed_us = hour as i64 * HOUR_US + within_us.clamp(0, HOUR_US - 1);
        Moment { elapsed_us, day: (hour / 24) as u8, hour: (hour % 24) as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_falls_and_covers_the_seven_days() {
        let clock = Clock::new();
        let mut last = -1;
        for step in 0..=100_000 {
            let moment = clock.at(f64::from(step) / 100_000.0);
            assert!(moment.elapsed_us >= last);
            assert_eq!(moment.elapsed_us / HOUR_US, i64::from(moment.day) * 24 + i64::from(moment.hour));
            last = moment.elapsed_us;
        }
        assert_eq!(clock.at(0.0).elapsed_us, 0);
        assert_eq!(last, 7 * 24 * HOUR_US - 1);
    }

    #[test]
    fn peak_hour_has_its_share_of_the_impressions() {
        let clock = Clock::new();
        let count = 200_000;
        let peak = (0..count).filter(|&step| clock.at((f64::from(step) + 0.5) / f64::from(count)).hour == 12).count();
        let expected = HOUR_CURVE[12] / HOUR_CURVE.iter().sum::<f64>();
        assert!((peak as f64 / f64::from(count) - expected).abs() < 0.001);
    }
}
