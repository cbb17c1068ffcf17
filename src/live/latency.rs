//! How long requests took, in log-linear buckets: eight to a doubling, so that a quantile is off by a sixteenth at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to a doubling.
const LINEAR_BITS: u32 = 3;
/// The last bucket takes what is longer than about 34 s.
const MAX_BITS: u32 = 35;
/// Number of buckets.
pub(super) const BUCKET_COUNT: usize = (((MAX_BITS - LINEAR_BITS + 1) << LINEAR_BITS) as usize) + 1;

/// Number of bounds that [`Latency`] has.
pub const LATENCY_BOUND_COUNT: usize = 41;

/// How long requests took, in buckets twice to a doubling, from a microsecond to a second: coarse enough for a scrape every few
/// seconds. Their bounds are bounds of the finer buckets that requests are counted in, so that each count is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Requests that took less than the bound of that index and not less than the one before; the last ones took longer than all.
    pub counts: [u64; LATENCY_BOUND_COUNT + 1],
    /// What all requests took together, in nanoseconds.
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

/// Durations by bucket, with their sum. One writer at a time.
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
    /// Counts a duration.
    #[inline]
    pub(super) fn record(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let count = &self.counts[bucket(nanoseconds)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.sum_ns.store(self.sum_ns.load(Ordering::Relaxed).wrapping_add(nanoseconds), Ordering::Relaxed);
    }

    /// Adds the counts to `sums`, bucket by bucket, and answers with the sum of all durations in nanoseconds.
    pub(super) fn add_to(&self, sums: &mut [u64; BUCKET_COUNT]) -> u64 {
        for (sum, count) in sums.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
        self.sum_ns.load(Ordering::Relaxed)
    }
}

/// The bucket of a duration.
#[inline]
const fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds >> MAX_BITS != 0 {
        return BUCKET_COUNT - 1;
    }
    let bits = u64::BITS - nanoseconds.leading_zeros();
    let shift = bits.saturating_sub(LINEAR_BITS + 1);
    // Below 16 ns the bucket is the duration; from there on eight buckets a doubling.
    #[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
    let bucket = ((shift << LINEAR_BITS) as u64 + (nanoseconds >> shift)) as usize;
    bucket
}

/// The least duration above those of a bucket, in nanoseconds; nothing for the last.
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
    fn every_duration_lies_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
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
    fn each_coarse_bound_is_a_fine_one_so_that_coarse_counts_are_exact() {
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
    fn buckets_are_an_eighth_wide_at_most() {
        for bucket in 16..BUCKET_COUNT - 1 {
            let (min, bound) = (upper_bound_ns(bucket - 1).unwrap(), upper_bound_ns(bucket).unwrap());
            assert!(bound - min <= min / 8, "{bucket}");
        }
    }
}
