//! Latency histograms with log-linear buckets. Eight buckets per doubling keep the error of a quantile within one
//! sixteenth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Base-2 logarithm of the number of buckets per doubling.
const LINEAR_BITS: u32 = 3;
/// Base-2 logarithm of the longest duration in nanoseconds: the last bucket counts all that takes about 34 s or longer.
const MAX_BITS: u32 = 35;
/// Number of buckets.
pub(super) const BUCKET_COUNT: usize = (((MAX_BITS - LINEAR_BITS + 1) << LINEAR_BITS) as usize) + 1;

/// Number of bucket bounds of [`Latency`].
pub const LATENCY_BOUND_COUNT: usize = 41;

/// Latency histogram of requests, with two buckets per doubling from one microsecond to one second: coarse enough for a
/// scrape every few seconds. Each bound is also a bound of the finer buckets in which requests are counted, so the
/// counts are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Requests per bucket: at least as long as the previous bound and shorter than the bound of the same index. The
    /// last bucket counts requests longer than all bounds.
    pub counts: [u64; LATENCY_BOUND_COUNT + 1],
    /// Total duration of all requests, in nanoseconds.
    pub sum_ns: u64,
}

impl Latency {
    /// The bounds in nanoseconds: 1.024 us, 1.536 us, 2.048 us and so on to 1.07 s.
    pub const BOUNDS_NS: [u64; LATENCY_BOUND_COUNT] = {
        let mut bounds = [0; LATENCY_BOUND_COUNT];
        let mut index = 0;
        while index < LATENCY_BOUND_COUNT {
            bounds[index] = [1_024, 1_536][index % 2] << (index / 2);
            index += 1;
        }
        bounds
    };

    pub(super) fn of(fine_counts: &[u64; BUCKET_COUNT], sum_ns: u64) -> Self {
        let mut counts = [0; LATENCY_BOUND_COUNT + 1];
        let mut coarse = 0;
        for (fine, count) in fine_counts.iter().enumerate() {
            while coarse < LATENCY_BOUND_COUNT
                && upper_bound_ns(fine).is_none_or(|bound| bound > Self::BOUNDS_NS[coarse])
            {
                coarse += 1;
            }
            counts[coarse] += count;
        }
        Self { counts, sum_ns }
    }

    /// Number of requests.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// A histogram of durations, with their sum. One writer at a time.
#[derive(Debug)]
pub(super) struct LatencyHistogram {
    counts: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self { counts: (0..BUCKET_COUNT).map(|_| AtomicU64::new(0)).collect(), sum_ns: AtomicU64::new(0) }
    }
}

impl LatencyHistogram {
    /// Records a duration.
    #[inline]
    pub(super) fn record(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let count = &self.counts[bucket(nanoseconds)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.sum_ns.store(self.sum_ns.load(Ordering::Relaxed).wrapping_add(nanoseconds), Ordering::Relaxed);
    }

    /// Adds the counts to `sums`, bucket by bucket, and returns the sum of all durations in nanoseconds.
    pub(super) fn add_to(&self, sums: &mut [u64; BUCKET_COUNT]) -> u64 {
        for (sum, count) in sums.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
        self.sum_ns.load(Ordering::Relaxed)
    }
}

/// The bucket index of a duration.
#[inline]
const fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds >> MAX_BITS != 0 {
        return BUCKET_COUNT - 1;
    }
    let bits = u64::BITS - nanoseconds.leading_zeros();
    let shift = bits.saturating_sub(LINEAR_BITS + 1);
    // Below 16 ns, the bucket index is the duration. Above that, there are eight buckets per doubling.
    #[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
    let bucket = ((shift << LINEAR_BITS) as u64 + (nanoseconds >> shift)) as usize;
    bucket
}

/// The exclusive upper bound of a bucket in nanoseconds, or `None` for the last bucket.
pub(super) const fn upper_bound_ns(bucket: usize) -> Option<u64> {
    if bucket + 1 >= BUCKET_COUNT {
        return None;
    }
    let next = bucket as u64 + 1;
    let linear = 1_u64 << LINEAR_BITS;
    if next < 2 * linear {
        return Some(next);
    }
    let shift = (next >> LINEAR_BITS) - 1;
    Some((next - (shift << LINEAR_BITS)) << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_within_the_bounds_of_its_bucket() {
        for bits in 0..u64::BITS {
            for nanoseconds in [(1 << bits) - 1, 1 << bits, (1 << bits) + (1 << bits) / 3] {
                let found = bucket(nanoseconds);
                assert!(upper_bound_ns(found).is_none_or(|bound| nanoseconds < bound), "{nanoseconds}");
                let min = if found == 0 { Some(0) } else { upper_bound_ns(found - 1) };
                assert!(min.is_some_and(|min| nanoseconds >= min), "{nanoseconds}");
            }
        }
    }

    #[test]
    fn each_coarse_bound_is_a_fine_bound_so_coarse_counts_are_exact() {
        let histogram = LatencyHistogram::default();
        for bound in Latency::BOUNDS_NS {
            assert!((0..BUCKET_COUNT).any(|fine| upper_bound_ns(fine) == Some(bound)), "{bound}");
            histogram.record(Duration::from_nanos(bound - 1));
            histogram.record(Duration::from_nanos(bound));
        }
        let mut fine = [0; BUCKET_COUNT];
        let sum_ns = histogram.add_to(&mut fine);
        let latency = Latency::of(&fine, sum_ns);
        let mut expected = [2; LATENCY_BOUND_COUNT + 1];
        (expected[0], expected[LATENCY_BOUND_COUNT]) = (1, 1);
        assert_eq!(latency.counts, expected);
        assert_eq!(latency.count(), 2 * LATENCY_BOUND_COUNT as u64);
        assert_eq!(latency.sum_ns, Latency::BOUNDS_NS.iter().map(|bound| 2 * bound - 1).sum::<u64>());
    }

    #[test]
    fn buckets_are_at_most_an_eighth_wide() {
        for bucket in 16..BUCKET_COUNT - 1 {
            let (min, bound) = (upper_bound_ns(bucket - 1).unwrap(), upper_bound_ns(bucket).unwrap());
            assert!(bound - min <= min / 8, "{bucket}");
        }
    }
}
