//! Rows whose features are numbered, with everything that learning needs.

use std::ops::Range;

/// Some consecutive rows. The features of each row are next to each other, in contract order.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct IndexedRows {
    pub(super) numbers: Vec<u32>,
    /// End of the features of each row in `numbers`.
    pub(super) ends: Vec<u32>,
    pub(super) clicked: Vec<bool>,
    /// Whether a row may have the same feature twice. Its features are then learned one after the other, not in
    /// vectors.
    pub(super) repeats: Vec<bool>,
    /// Importance of each row.
    pub(super) importance: Vec<f64>,
}

/// If a `many` field has more categories than this, a repeat is assumed: searching for one would cost more.
const MAX_COMPARED: usize = 64;

impl IndexedRows {
    pub(super) fn row_count(&self) -> usize {
        self.clicked.len()
    }

    #[inline]
    pub(super) fn range(&self, row: usize) -> Range<usize> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        start as usize..self.ends[row] as usize
    }

    /// Returns the features of row `row`, or `None` if there is no such row.
    #[inline]
    pub(super) fn features(&self, row: usize) -> Option<&[u32]> {
        (row < self.row_count()).then(|| &self.numbers[self.range(row)])
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.ends.clear();
        self.clicked.clear();
        self.repeats.clear();
        self.importance.clear();
    }

    /// Appends the rows of `others`.
    pub(super) fn append(&mut self, others: &Self) {
        let start = self.ends.last().copied().unwrap_or(0);
        self.numbers.extend_from_slice(&others.numbers);
        self.ends.extend(others.ends.iter().map(|&end| start + end));
        self.clicked.extend_from_slice(&others.clicked);
        self.repeats.extend_from_slice(&others.repeats);
        self.importance.extend_from_slice(&others.importance);
    }
}

/// Returns whether `numbers` has a number twice, or is too long to search.
#[inline]
pub(super) fn may_repeat(numbers: &[u32]) -> bool {
    numbers.len() > MAX_COMPARED || (1..numbers.len()).any(|index| numbers[..index].contains(&numbers[index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_features_are_found_and_long_lists_are_not_searched() {
        assert!(!may_repeat(&[]));
        assert!(!may_repeat(&[7]));
        assert!(!may_repeat(&[7, 8, 9]));
        assert!(may_repeat(&[7, 8, 7]));
        assert!(may_repeat(&(0..65).collect::<Vec<u32>>()));
    }
}
