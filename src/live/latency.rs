//! How long requests took, in log-linear buckets: eight to a doubling, so that a quantile is off by a sixteenth at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to a doubling.
const LINEAR_BITS: u32 = 3;
/// The last bucket takes what is longer than about 34 s.
const MAX_BITS: u32 = 35;
/// Number of buckets.
pub(super) const BUCKET_COUNT: usize = (((MAX_BITS - LINEAR_BITS + 1) << LINEAR_BITS) as usize) + 1;

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
    ((shift << LINEAR_BITS) as u64 + (nanoseconds >> shift)) as usize
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
                let least = if found == 0 { Some(0) } else { upper_bound_ns(found - 1) };
                assert!(least.is_some_and(|least| nanoseconds >= least), "{nanoseconds}");
            }
        }
    }

    #[test]
    fn buckets_are_an_eighth_wide_at_most() {
        for bucket in 16..BUCKET_COUNT - 1 {
            let (least, bound) = (upper_bound_ns(bucket - 1).unwrap(), upper_bound_ns(bucket).unwrap());
            assert!(bound - least <= least / 8, "{bucket}");
        }
    }
}
