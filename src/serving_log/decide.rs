//! What is dropped, when a segment is sealed, and what is deleted: pure functions of what is known and the time.

use std::time::Duration;

use super::format::SealReason;

/// How many more records of a kind may pass: so many per second, and as many at once. A clock that does not ascend
/// gives nothing and takes nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    per_second: u32,
    /// Records that may pass now, in billionths.
    left: u64,
    at: Duration,
}

const BILLION: u64 = 1_000_000_000;

impl Allowance {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, left: u64::from(per_second) * BILLION, at: Duration::ZERO }
    }

    /// Whether a record may pass at `now`.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let since = now.saturating_sub(self.at).min(Duration::from_secs(1));
        self.at = self.at.max(now);
        let max = u64::from(self.per_second) * BILLION;
        // At most a second, so the product is below 2^62.
        let gained = u64::try_from(since.as_nanos()).unwrap_or(0) * u64::from(self.per_second);
        self.left = self.left.saturating_add(gained).min(max);
        let passes = self.left >= BILLION;
        self.left -= if passes { BILLION } else { 0 };
        passes
    }
}

/// When a segment is sealed.
#[derive(Debug, Clone, Copy)]
pub(super) struct SealLimits {
    pub(super) max_len_bytes: u64,
    pub(super) max_age: Duration,
}

impl SealLimits {
    /// Returns why a segment must be sealed now, if it must. One without records has nothing to say, and stays.
    pub(super) fn check(&self, len_bytes: u64, age: Duration, record_count: u64) -> Option<SealReason> {
        if record_count == 0 {
            return None;
        }
        if len_bytes >= self.max_len_bytes {
            return Some(SealReason::Size);
        }
        (age >= self.max_age).then_some(SealReason::Age)
    }
}

/// Returns how many of the sealed segments, oldest first and with these lengths, must be deleted so that `needed` more
/// bytes fit under `max_bytes`. `other_bytes` are those of segments that cannot be deleted.
pub(super) fn count_to_delete(sealed: &[u64], other_bytes: u64, needed: u64, max_bytes: u64) -> usize {
    // Sums of numbers that anything may have written into a folder do not overflow these.
    let mut total = sealed.iter().fold(u128::from(other_bytes) + u128::from(needed), |sum, len| sum + u128::from(*len));
    let mut count = 0;
    for len in sealed {
        if total <= u128::from(max_bytes) {
            break;
        }
        total -= u128::from(*len);
        count += 1;
    }
    count
}

/// How long a writer that cannot write waits before it tries again.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long the writer sleeps after a pass: short while there is something to do, so that no ring becomes full.
pub(super) const fn pause_after(was_busy: bool) -> Duration {
    if was_busy { Duration::from_millis(1) } else { Duration::from_millis(10) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_history_lets_more_records_pass_than_its_time_allows(
            per_second in 0_u32..50,
            steps in prop::collection::vec(0_i64..60_000, 1..400),
        ) {
            let mut allowance = Allowance::new(per_second);
            let (mut now, mut latest, mut passed) = (0_i64, 0, 0_u32);
            for step in steps {
                // Every tenth step is one of a clock that was set back.
                now += if step % 10 == 0 { -step / 3 } else { step };
                latest = latest.max(now);
                let at = Duration::from_micros(u64::try_from(now.max(0)).unwrap());
                passed += u32::from(allowance.take(at));
            }
            // What may pass at once, and what the time since then gives; setting the clock back gives nothing.
            let seconds = latest as f64 / 1e6;
            prop_assert!(passed as f64 <= f64::from(per_second) * (1.0 + seconds) + 1e-6);
        }

        #[test]
        fn records_that_come_no_faster_than_allowed_all_pass(per_second in 1_u32..50, count in 1_u32..200) {
            let mut allowance = Allowance::new(per_second);
            prop_assert!((0..count).all(|index| allowance.take(Duration::from_secs(1) * index / per_second)));
        }

        #[test]
        fn deletion_makes_room_if_it_can_and_deletes_no_more_than_needed(
            sealed in prop::collection::vec(0_u64..1_000, 0..50),
            other in 0_u64..5_000,
            needed in 0_u64..2_000,
            max in 0_u64..20_000,
        ) {
            let count = count_to_delete(&sealed, other, needed, max);
            let kept = |from: usize| sealed[from..].iter().sum::<u64>() + other + needed;
            prop_assert!(kept(count) <= max || count == sealed.len());
            prop_assert!(count == 0 || kept(count - 1) > max);
        }

        #[test]
        fn a_segment_is_sealed_exactly_if_it_has_records_and_reached_a_limit(
            len in 0_u64..200, age in 0_u64..200, records in 0_u64..3,
        ) {
            let limits = SealLimits { max_len_bytes: 100, max_age: Duration::from_millis(100) };
            let sealed = limits.check(len, Duration::from_millis(age), records);
            prop_assert_eq!(sealed.is_some(), records > 0 && (len >= 100 || age >= 100));
        }
    }

    #[test]
    fn lengths_beyond_every_number_do_not_overflow() {
        assert_eq!(count_to_delete(&[u64::MAX, u64::MAX], u64::MAX, u64::MAX, 10), 2);
        assert_eq!(count_to_delete(&[], 0, 0, 0), 0);
    }
}
