//! Buckets of units, and which arm owns each. `tests/experiment.tsv` has test vectors of the hash, which the Rust, C,
//! Java and Python tests all read.

use xxhash_rust::xxh3::xxh3_64;

/// Number of buckets of an experiment.
pub const BUCKET_COUNT: u32 = 10_000;
const BUCKETS: usize = BUCKET_COUNT as usize;
/// Largest number of arms of an experiment.
pub const MAX_ARMS: usize = 16;

/// What a draw is for. Draws for different purposes are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// The bucket of a unit.
    Bucket = 0,
    /// Whether shadows score a request.
    Shadow = 1,
    /// Whether a request explores.
    Explore = 2,
    /// Whether an exploring request takes a candidate at random.
    Random = 3,
    /// Which candidate it takes.
    Pick = 4,
}

/// Returns the draw of a value for a purpose: XXH3-64 (seed 0) of 17 bytes, which are the salt, the number of the
/// purpose in one byte, and the value. Salt and value are little-endian.
///
/// The value of a text, such as a request id, is its [`text_value`](crate::feature::text_value); the value of an id is
/// its [`id_value`](crate::feature::id_value).
#[inline]
#[must_use]
pub fn draw(salt: u64, purpose: Purpose, value: u64) -> u64 {
    let mut message = [0; 17];
    message[..8].copy_from_slice(&salt.to_le_bytes());
    message[8] = purpose as u8;
    message[9..].copy_from_slice(&value.to_le_bytes());
    xxh3_64(&message)
}

/// Returns the bucket of a draw, from 0 to 9,999: the higher half of the draw times 10,000, divided by 2^32.
#[inline]
#[must_use]
pub const fn bucket_of(draw: u64) -> u32 {
    (((draw >> 32) * BUCKET_COUNT as u64) >> 32) as u32
}

/// Returns the number in [0, 1) of a draw: its higher 53 bits, divided by 2^53.
#[inline]
#[must_use]
pub const fn unit_interval_of(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// Which arm owns each bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    owners: Box<[u8; BUCKETS]>,
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arms = usize::from(self.owners.iter().copied().max().unwrap_or(0)) + 1;
        formatter.debug_list().entries((0..arms).map(|arm| self.ranges(arm))).finish()
    }
}

/// Why shares or ranges are no assignment. Says what was expected and found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AssignmentProblem(pub(super) String);

impl Assignment {
    /// Returns the assignment that gives each arm so many buckets as its share, one arm after the other.
    ///
    /// # Errors
    ///
    /// Returns an error if the shares do not sum to 10,000, or if there are more than [`MAX_ARMS`].
    pub fn first(shares: &[u32]) -> Result<Self, AssignmentProblem> {
        check_shares(shares)?;
        let owners = (0_u8..).zip(shares).flat_map(|(arm, share)| std::iter::repeat_n(arm, *share as usize));
        let mut all = Box::new([0; BUCKETS]);
        all.iter_mut().zip(owners).for_each(|(owner, arm)| *owner = arm);
        Ok(Self { owners: all })
    }

    /// Returns the assignment of ranges, each with its first and last bucket, by arm.
    ///
    /// # Errors
    ///
    /// Returns an error for a range that is reversed or not within 0 to 9,999, for a bucket that no arm owns or two
    /// ranges have, and for more than [`MAX_ARMS`].
    pub fn of_ranges(ranges: &[Vec<[u32; 2]>]) -> Result<Self, AssignmentProblem> {
        const FREE: u8 = u8::MAX;
        let problem = |text| Err(AssignmentProblem(text));
        if ranges.len() > MAX_ARMS {
            return problem(format!("expected at most {MAX_ARMS} arms, found {}", ranges.len()));
        }
        let mut owners = Box::new([FREE; BUCKETS]);
        for (arm, ranges) in (0_u8..).zip(ranges) {
            for [first, last] in ranges {
                if first > last || *last >= BUCKET_COUNT {
                    return problem(format!(
                        "expected ranges of buckets from 0 to {}, found [{first}, {last}]",
                        BUCKET_COUNT - 1
                    ));
                }
                for bucket in *first..=*last {
                    let owner = &mut owners[bucket as usize];
                    if *owner != FREE {
                        return problem(format!("expected one arm for each bucket, found bucket {bucket} twice"));
                    }
                    *owner = arm;
                }
            }
        }
        match owners.iter().position(|owner| *owner == FREE) {
            Some(bucket) => problem(format!("expected an arm for each bucket, found none for bucket {bucket}")),
            None => Ok(Self { owners }),
        }
    }

    /// Returns the arm that owns a bucket.
    ///
    /// # Panics
    ///
    /// If there is no such bucket.
    #[inline]
    #[must_use]
    pub fn owner(&self, bucket: u32) -> usize {
        usize::from(self.owners[bucket as usize])
    }

    /// Returns the number of buckets of an arm.
    #[must_use]
    pub fn share(&self, arm: usize) -> u32 {
        self.owners.iter().map(|owner| u32::from(usize::from(*owner) == arm)).sum()
    }

    /// Returns the buckets of an arm as ranges, each with its first and last bucket, in ascending order.
    #[must_use]
    pub fn ranges(&self, arm: usize) -> Vec<[u32; 2]> {
        let mut ranges: Vec<[u32; 2]> = Vec::new();
        for (bucket, _) in (0_u32..).zip(&*self.owners).filter(|(_, owner)| usize::from(**owner) == arm) {
            match ranges.last_mut() {
                Some([_, last]) if *last + 1 == bucket => *last = bucket,
                _ => ranges.push([bucket, bucket]),
            }
        }
        ranges
    }

    /// Returns the assignment in which each arm has its new share, and that moves as few buckets as possible: an arm
    /// that grows or stays keeps all of its buckets. An arm that shrinks gives its highest buckets; an arm that grows
    /// takes the lowest of those that are given.
    ///
    /// # Errors
    ///
    /// Returns an error if the shares do not sum to 10,000, or if there are more than [`MAX_ARMS`]. An arm that is not
    /// among the shares has none.
    pub fn with_shares(&self, shares: &[u32]) -> Result<Self, AssignmentProblem> {
        check_shares(shares)?;
        let share = |arm: usize| shares.get(arm).copied().unwrap_or(0);
        let mut kept = [0_u32; MAX_ARMS];
        let mut given = Vec::new();
        for (bucket, owner) in self.owners.iter().enumerate() {
            let owner = usize::from(*owner);
            if kept[owner] < share(owner) {
                kept[owner] += 1;
            } else {
                given.push(bucket);
            }
        }
        let takers = (0..shares.len()).flat_map(|arm| {
            let missing = share(arm).saturating_sub(kept[arm]);
            std::iter::repeat_n(arm, missing as usize)
        });
        let mut owners = self.owners.clone();
        for (bucket, taker) in given.into_iter().zip(takers) {
            owners[bucket] = u8::try_from(taker).unwrap_or(0);
        }
        Ok(Self { owners })
    }

    /// Returns the number of buckets whose owner is another one in `other`.
    #[must_use]
    pub fn moved(&self, other: &Self) -> u32 {
        self.owners.iter().zip(&*other.owners).map(|(one, two)| u32::from(one != two)).sum()
    }
}

fn check_shares(shares: &[u32]) -> Result<(), AssignmentProblem> {
    if shares.len() > MAX_ARMS {
        return Err(AssignmentProblem(format!("expected at most {MAX_ARMS} arms, found {}", shares.len())));
    }
    let sum: u64 = shares.iter().map(|share| u64::from(*share)).sum();
    if sum == u64::from(BUCKET_COUNT) {
        return Ok(());
    }
    Err(AssignmentProblem(format!("expected shares that sum to {BUCKET_COUNT} buckets, found a sum of {sum}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shares of 1 to 16 arms, some of them 0.
    fn shares() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(prop_oneof![Just(0_u32), 1..100_u32, 1..5_000_u32], 1..=MAX_ARMS).prop_map(|mut parts| {
            parts[0] += u32::from(parts.iter().all(|part| *part == 0));
            let sum: u32 = parts.iter().sum();
            let mut left = BUCKET_COUNT;
            for part in &mut parts {
                *part = *part * BUCKET_COUNT / sum;
                left -= *part;
            }
            parts[0] += left;
            parts
        })
    }

    proptest! {
        /// A history of shares: after each change, no more buckets have moved than the arms that shrank have lost,
        /// which is the least that gives the new shares; and an arm that grew has kept all that it had.
        #[test]
        fn a_change_of_shares_moves_as_few_buckets_as_possible(history in prop::collection::vec(shares(), 1..6)) {
            let mut before = Assignment::first(&history[0]).unwrap();
            for shares in &history {
                let after = before.with_shares(shares).unwrap();
                let mut least = 0;
                for arm in 0..MAX_ARMS {
                    let (old, new) = (before.share(arm), after.share(arm));
                    prop_assert_eq!(new, shares.get(arm).copied().unwrap_or(0));
                    least += old.saturating_sub(new);
                    let has_all = || (0..BUCKET_COUNT).all(|it| before.owner(it) != arm || after.owner(it) == arm);
                    prop_assert!(new < old || has_all());
                }
                prop_assert_eq!(before.moved(&after), least);
                let ranges: Vec<_> = (0..MAX_ARMS).map(|arm| after.ranges(arm)).collect();
                prop_assert_eq!(Assignment::of_ranges(&ranges).unwrap(), after.clone());
                before = after;
            }
        }
    }

    #[test]
    fn ranges_that_are_no_assignment_are_rejected() {
        let refused = |ranges: &[Vec<[u32; 2]>], words: &str| {
            let problem = Assignment::of_ranges(ranges).unwrap_err().to_string();
            assert!(problem.contains(words), "{problem}");
        };
        refused(&[], "none for bucket 0");
        refused(&[vec![[0, 4_999]], vec![[5_001, 9_999]]], "none for bucket 5000");
        refused(&[vec![[0, 5_000]], vec![[5_000, 9_999]]], "bucket 5000 twice");
        refused(&[vec![[0, 10_000]]], "[0, 10000]");
        refused(&[vec![[3, 2], [0, 9_999]]], "[3, 2]");
        refused(&vec![vec![]; 17], "at most 16 arms");
        assert!(Assignment::first(&[5_000, 4_999]).unwrap_err().to_string().contains("a sum of 9999"));
        assert!(Assignment::first(&[u32::MAX, u32::MAX]).is_err());
    }

    #[test]
    fn buckets_are_spread_evenly_and_purposes_are_independent() {
        let units = 200_000_u64;
        let mut counts = vec![0_u32; BUCKETS];
        let mut both = 0;
        for unit in 0..units {
            let bucket = bucket_of(draw(7, Purpose::Bucket, unit));
            counts[bucket as usize] += 1;
            both += u32::from(bucket < 5_000 && bucket_of(draw(7, Purpose::Shadow, unit)) < 5_000);
        }
        let expected = units as f64 / f64::from(BUCKET_COUNT);
        let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // 9,999 degrees of freedom: five standard deviations are 707.
        assert!((chi_square - 9_999.0).abs() < 707.0, "{chi_square}");
        assert!((f64::from(both) / units as f64 - 0.25).abs() < 0.005, "{both}");
    }

    #[test]
    fn numbers_of_draws_are_below_1() {
        assert_eq!((unit_interval_of(0), bucket_of(0)), (0.0, 0));
        assert!(unit_interval_of(u64::MAX) < 1.0);
        assert_eq!(bucket_of(u64::MAX), BUCKET_COUNT - 1);
    }
}
