//! What is counted in a request: candidates by outcome, and values that the model could not use.

/// The counts of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestCounts {
    /// Candidates with a probability.
    pub scored_count: u32,
    /// Candidates whose row could not be read.
    pub refused_count: u32,
    /// Candidates that were not reached within the time limit.
    pub late_count: u32,
    /// Categories without a weight: those of the context once, plus those of each scored candidate. Crosses are not
    /// counted.
    pub unseen_count: u32,
    /// Fields that the model reads and a row leaves empty: those of the context once, plus those of each scored
    /// candidate.
    pub missing_count: u32,
    /// Numbers out of range or NaN. They also count as missing.
    pub invalid_number_count: u32,
}

/// Counts of one request, before they are limited to what an outcome can hold.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::score) struct RunningCounts {
    pub(in crate::score) scored_count: u64,
    pub(in crate::score) refused_count: u64,
    pub(in crate::score) late_count: u64,
    pub(in crate::score) unseen_count: u64,
    pub(in crate::score) missing_count: u64,
    pub(in crate::score) invalid_number_count: u64,
}

impl From<RunningCounts> for RequestCounts {
    fn from(counts: RunningCounts) -> Self {
        let cut = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            scored_count: cut(counts.scored_count),
            refused_count: cut(counts.refused_count),
            late_count: cut(counts.late_count),
            unseen_count: cut(counts.unseen_count),
            missing_count: cut(counts.missing_count),
            invalid_number_count: cut(counts.invalid_number_count),
        }
    }
}

/// The counts of rows, in three lanes of one word, so that the counts of a chunk take one addition per candidate: 32
/// bits for unseen categories, 16 for missing fields, 16 for numbers out of range. A chunk of candidates cannot
/// overflow a lane.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::score) struct PackedCounts(pub(in crate::score) u64);

impl PackedCounts {
    #[inline(always)]
    pub(in crate::score) fn add(&mut self, other: Self) {
        self.0 += other.0;
    }

    pub(in crate::score) fn add_to(self, counts: &mut RunningCounts) {
        counts.unseen_count += self.0 & 0xffff_ffff;
        counts.missing_count += self.0 >> 32 & 0xffff;
        counts.invalid_number_count += self.0 >> 48;
    }
}
