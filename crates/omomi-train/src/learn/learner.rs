//! Rows whose features are numbered, and how they are learned: the innermost loop of training.
//!
//! The features of a row do not depend on each other. Their weights before the row and their coordinates after it are
//! therefore computed in loops over plain arrays, which the compiler turns into vector instructions. Roots, products
//! and quotients are correctly rounded at any vector width, and the logit is summed in contract order. So the result
//! has the same bits as one feature after the other.

use std::ops::Range;

use crate::evaluate::Evaluator;
use omomi::math;
use omomi::prefetch::prefetch;

use super::Settings;
use super::iterates::IterateAverage;
use super::optimizer::Coordinate;

/// No coordinate.
pub(super) const NONE: u32 = u32::MAX;

/// The default features, whose weights count where a category is unseen or a value is missing.
pub(super) struct Defaults<'a> {
    /// The group of each coordinate.
    pub(super) groups: &'a [u16],
    /// For each group, the default coordinate of its unseen features, or [`NONE`].
    pub(super) unseen: &'a [u32],
    /// The group of the default coordinates of missing values.
    pub(super) missing_group: u16,
}

/// A feature that no row had before.
#[derive(Debug, Clone, Copy)]
struct Unseen {
    group: u16,
    number: u32,
    weight: f64,
}

/// How many rows ahead coordinates are prefetched: they arrive while the rows in between are learned.
const ROWS_AHEAD: usize = 6;

/// Learns rows one after the other.
#[derive(Debug)]
pub(super) struct Learner {
    settings: Settings,
    columns: Columns,
    /// The features of the row that no row had before, as far as their group has a weight for unseen ones.
    unseen: Vec<Unseen>,
    /// For each group, the impressions and clicks of such features since
    /// [`take_unseen_counts`](Self::take_unseen_counts).
    unseen_counts: Vec<[f64; 2]>,
    /// Average of the iterates of the bias.
    pub(super) bias_average: IterateAverage,
}

/// Scratch columns for the features of one row. Each has room for the longest row so far.
#[derive(Debug, Default)]
struct Columns {
    z: Vec<f64>,
    n: Vec<f64>,
    root: Vec<f64>,
    weight: Vec<f64>,
}

impl Learner {
    pub(super) fn new(settings: Settings) -> Self {
        let (unseen, unseen_counts) = (Vec::new(), Vec::new());
        Self { settings, columns: Columns::default(), unseen, unseen_counts, bias_average: IterateAverage::default() }
    }

    /// Predicts and then learns each of `rows`, whose feature numbers are indices into `coordinates` and `averages`.
    /// Adds each prediction to `progressive`, if given, and then also counts unseen features.
    ///
    /// A feature that no row had before is what a server meets as unseen. So the row has the default feature of its
    /// group as well: once for each first sight. Features that rows had and whose weight is 0 are left alone, although
    /// a server cannot tell them from unseen ones. While training, the clicked ones leave them, so that what is learned
    /// from the others, above all in further passes, is too low by far: on logs with many passing users, up to 5 % of
    /// normalized entropy was lost.
    pub(super) fn learn(
        &mut self,
        rows: &IndexedRows,
        bias: &mut Coordinate,
        coordinates: &mut [Coordinate],
        averages: &mut [IterateAverage],
        defaults: &Defaults<'_>,
        mut progressive: Option<&mut Evaluator>,
    ) {
        let learns_unseen = defaults.unseen.iter().any(|&number| number != NONE);
        for row in 0..rows.row_count().min(ROWS_AHEAD) {
            fetch(rows, row, coordinates, averages);
        }
        for row in 0..rows.row_count() {
            fetch(rows, row + ROWS_AHEAD, coordinates, averages);
            let numbers = &rows.numbers[rows.range(row)];
            let (clicked, importance) = (rows.clicked[row], rows.importance[row]);
            let bias_weight = self.settings.bias_weight(bias.z, self.settings.curvature(bias.n));
            self.columns.read(&self.settings, numbers, coordinates);
            let mut logit = bias_weight;
            if learns_unseen {
                self.columns.lift_missing(&self.settings, numbers, defaults);
                self.find_unseen(numbers, coordinates, defaults);
            }
            self.bias_average.include(bias_weight);
            self.columns.include(numbers, averages);
            logit = self.columns.weight[..numbers.len()].iter().fold(logit, |logit, weight| logit + weight);
            for unseen in &self.unseen {
                averages[unseen.number as usize].include(unseen.weight);
                logit += unseen.weight;
            }
            let gradient = math::sigmoid(logit) - f64::from(u8::from(clicked));
            *bias = bias.updated_by_rows(bias_weight, gradient, importance, self.settings.alpha);
            if rows.repeats[row] {
                for (&number, &weight) in numbers.iter().zip(&self.columns.weight) {
                    let coordinate = &mut coordinates[number as usize];
                    *coordinate = coordinate.updated_by_rows(weight, gradient, importance, self.settings.alpha);
                }
            } else {
                self.columns.update(numbers.len(), gradient, importance, self.settings.alpha);
                self.columns.write(numbers, coordinates);
            }
            for &Unseen { group, number, weight } in &self.unseen {
                let coordinate = &mut coordinates[number as usize];
                *coordinate = coordinate.updated_by_rows(weight, gradient, importance, self.settings.alpha);
                if progressive.is_some() {
                    let [impressions, clicks] = &mut self.unseen_counts[usize::from(group)];
                    *impressions += importance;
                    *clicks += if clicked { importance } else { 0.0 };
                }
            }
            if let Some(progressive) = &mut progressive {
                progressive.add_important_logit(logit, clicked, importance);
            }
        }
    }

    /// Finds the features of a row that no row had before.
    #[inline]
    fn find_unseen(&mut self, numbers: &[u32], coordinates: &[Coordinate], defaults: &Defaults<'_>) {
        self.unseen.clear();
        let sums = &self.columns.n[..numbers.len()];
        // Without a branch: most rows have none.
        if sums.iter().fold(false, |any, &n| any | (n == 0.0)) {
            self.unseen_counts.resize(defaults.unseen.len(), [0.0; 2]);
            for (&number, _) in numbers.iter().zip(sums).filter(|&(_, &n)| n == 0.0) {
                let group = defaults.groups[number as usize];
                let number = defaults.unseen[usize::from(group)];
                if number != NONE {
                    let Coordinate { z, n } = coordinates[number as usize];
                    let weight = self.settings.default_weight(z, self.settings.curvature(n));
                    self.unseen.push(Unseen { group, number, weight });
                }
            }
        }
    }

    /// Returns, for each group, the impressions and clicks of unseen features, and begins to count again.
    pub(super) fn take_unseen_counts(&mut self) -> Vec<[f64; 2]> {
        std::mem::take(&mut self.unseen_counts)
    }
}

impl Columns {
    /// Reads the coordinates of `numbers` and computes their weights.
    #[inline]
    fn read(&mut self, settings: &Settings, numbers: &[u32], coordinates: &[Coordinate]) {
        let len = numbers.len();
        if len > self.z.len() {
            for column in [&mut self.z, &mut self.n, &mut self.root, &mut self.weight] {
                column.resize(len, 0.0);
            }
        }
        let (z, n, root, weight) =
            (&mut self.z[..len], &mut self.n[..len], &mut self.root[..len], &mut self.weight[..len]);
        for (index, &number) in numbers.iter().enumerate() {
            let coordinate = coordinates[number as usize];
            (z[index], n[index]) = (coordinate.z, coordinate.n);
        }
        for index in 0..len {
            root[index] = n[index].sqrt();
            weight[index] = settings.feature_weight(z[index], settings.curvature_of_root(root[index]));
        }
    }

    /// Computes the weights of missing values again, without the threshold. They are the last of a row.
    #[inline]
    fn lift_missing(&mut self, settings: &Settings, numbers: &[u32], defaults: &Defaults<'_>) {
        for (index, &number) in numbers.iter().enumerate().rev() {
            if defaults.groups[number as usize] != defaults.missing_group {
                return;
            }
            let d = settings.curvature_of_root(self.root[index]);
            self.weight[index] = settings.default_weight(self.z[index], d);
        }
    }

    /// Includes the weights before the row in the averages of their features.
    #[inline]
    fn include(&self, numbers: &[u32], averages: &mut [IterateAverage]) {
        for (&number, &weight) in numbers.iter().zip(&self.weight) {
            averages[number as usize].include(weight);
        }
    }

    /// Computes the coordinates after the row, like [`Coordinate::updated_by_rows`], but reuses the root.
    #[inline]
    fn update(&mut self, len: usize, gradient: f64, importance: f64, alpha: f64) {
        let (z, n, root, weight) = (&mut self.z[..len], &mut self.n[..len], &self.root[..len], &self.weight[..len]);
        let squared = importance * gradient * gradient;
        let step = importance * gradient;
        for index in 0..len {
            n[index] += squared;
            let sigma = (n[index].sqrt() - root[index]) / alpha;
            z[index] += step - sigma * weight[index];
        }
    }

    #[inline]
    fn write(&self, numbers: &[u32], coordinates: &mut [Coordinate]) {
        for (&number, (&z, &n)) in numbers.iter().zip(self.z.iter().zip(&self.n)) {
            coordinates[number as usize] = Coordinate { z, n };
        }
    }
}

#[inline]
fn fetch(rows: &IndexedRows, row: usize, coordinates: &[Coordinate], averages: &[IterateAverage]) {
    for &number in rows.features(row).unwrap_or_default() {
        prefetch(coordinates.as_ptr().wrapping_add(number as usize));
        prefetch(averages.as_ptr().wrapping_add(number as usize));
    }
}

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
    /// The hour of each row; empty if the log has no times.
    pub(super) hours: Vec<i32>,
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
        self.hours.clear();
    }

    /// Appends the rows of `others`.
    pub(super) fn append(&mut self, others: &Self) {
        let start = self.ends.last().copied().unwrap_or(0);
        self.numbers.extend_from_slice(&others.numbers);
        self.ends.extend(others.ends.iter().map(|&end| start + end));
        self.clicked.extend_from_slice(&others.clicked);
        self.repeats.extend_from_slice(&others.repeats);
        self.importance.extend_from_slice(&others.importance);
        self.hours.extend_from_slice(&others.hours);
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
