//! Counts missing values by field and file, and tells where a field vanishes from one file to the next.

use serde::{Deserialize, Serialize};

use super::builder::BatchBuilder;

/// A missing rate is reported as a jump if it differs by at least this much from that of the files before.
pub(super) const MIN_JUMP: f64 = 0.1;
/// A jump must also be this many standard errors, so that a small file is no jump by chance.
const MIN_STANDARD_ERRORS: f64 = 4.0;

/// How many rows of one file were read, and in how many of them each field has no value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMissing {
    /// Rows that were read, without bad rows. Rows of all parts count.
    pub row_count: u64,
    /// Rows without a value, by field of the contract. A number out of range counts as no value.
    pub missing_counts: Vec<u64>,
    /// Rows up to and with the last one that has a value, by field of the contract.
    value_ends: Vec<u64>,
}

/// A field that has no value in the last rows of a file, although most rows before have one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct End {
    /// Index of the file.
    pub(super) file: usize,
    /// The last row with a value, from 1, bad rows left out.
    pub(super) row: u64,
    pub(super) row_count: u64,
}

/// How often something happened in a file: how many rows or values there are, and to how many it happened.
type Rate = (u64, u64);

/// A rate that jumps from one file to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Jump {
    /// Index of the first file with the new rate.
    pub(crate) file: usize,
    pub(crate) rate_before: f64,
    pub(crate) rate: f64,
}

impl FileMissing {
    /// Counts the rows of `batch` from `first_row` on.
    pub(super) fn count(&mut self, batch: &BatchBuilder, first_row: usize) {
        self.missing_counts.resize(batch.columns.len(), 0);
        self.value_ends.resize(batch.columns.len(), 0);
        let end = batch.row_count();
        let counts = self.missing_counts.iter_mut().zip(&mut self.value_ends);
        for ((count, value_end), column) in counts.zip(&batch.columns) {
            let missing = column.missing_count(first_row, end);
            *count += missing as u64;
            if missing < end - first_row
                && let Some(last) = (first_row..end).rev().find(|&row| column.missing_count(row, row + 1) == 0)
            {
                *value_end = self.row_count + (last - first_row) as u64 + 1;
            }
        }
        self.row_count += (end - first_row) as u64;
    }

    /// Returns the counts of a file that another process has read.
    pub(crate) fn of_counts(row_count: u64, missing_counts: Vec<u64>) -> Self {
        Self { row_count, missing_counts, value_ends: Vec::new() }
    }

    /// In how many of the rows the field with index `field` has no value.
    pub(super) fn rate(&self, field: usize) -> Rate {
        (self.row_count, self.missing_counts.get(field).copied().unwrap_or(0))
    }

    /// Adds the counts of another file.
    pub(crate) fn add(&mut self, other: &Self) {
        self.row_count += other.row_count;
        self.missing_counts.resize(other.missing_counts.len().max(self.missing_counts.len()), 0);
        for (count, other) in self.missing_counts.iter_mut().zip(&other.missing_counts) {
            *count += other;
        }
    }
}

/// Finds the first file in which the field with index `field` ends before the file does. A run of rows without a value
/// counts if it would come by chance, at the missing rate before, once in a million times.
pub(super) fn first_end(files: &[FileMissing], field: usize) -> Option<End> {
    files.iter().enumerate().find_map(|(index, file)| {
        let row = file.value_ends.get(field).copied().unwrap_or(0);
        let run = file.row_count - row;
        let before = (row + 1, file.missing_counts.get(field)?.saturating_sub(run) + 1);
        #[expect(clippy::cast_precision_loss, reason = "a test of rates")]
        let is_end = row > 0 && run > 0 && run as f64 * -rate(before).ln() > 1e6_f64.ln();
        is_end.then_some(End { file: index, row, row_count: file.row_count })
    })
}

/// Finds the first file whose rate differs by at least `min_jump` from that of the files before together.
pub(crate) fn first_jump(files: impl Iterator<Item = Rate>, min_jump: f64) -> Option<Jump> {
    let mut before = (0, 0);
    for (file, now) in files.enumerate() {
        if before.0 > 0 && now.0 > 0 && is_jump(before, now, min_jump) {
            return Some(Jump { file, rate_before: rate(before), rate: rate(now) });
        }
        before = (before.0 + now.0, before.1 + now.1);
    }
    None
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate((rows, missing): Rate) -> f64 {
    missing as f64 / rows as f64
}

#[expect(clippy::cast_precision_loss, reason = "a test of rates")]
fn is_jump(before: Rate, now: Rate, min_jump: f64) -> bool {
    // From always to never, or the reverse: no chance, however small the file.
    if (before.1 == 0 && now.1 == now.0) || (before.1 == before.0 && now.1 == 0) {
        return true;
    }
    let difference = (rate(now) - rate(before)).abs();
    let pooled = rate((before.0 + now.0, before.1 + now.1));
    let standard_error = (pooled * (1.0 - pooled) * (1.0 / before.0 as f64 + 1.0 / now.0 as f64)).sqrt();
    difference >= min_jump && difference >= MIN_STANDARD_ERRORS * standard_error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(files: &[(u64, u64)]) -> Option<usize> {
        let files: Vec<FileMissing> = files
            .iter()
            .map(|&(row_count, missing)| FileMissing { row_count, missing_counts: vec![missing], value_ends: vec![] })
            .collect();
        first_jump(files.iter().map(|file| file.rate(0)), MIN_JUMP).map(|jump| jump.file)
    }

    #[test]
    fn a_field_that_ends_within_a_file_is_found_and_a_rare_one_is_not() {
        let end = |row_count, missing, value_end| {
            let file = FileMissing { row_count, missing_counts: vec![missing], value_ends: vec![value_end] };
            first_end(&[file], 0).map(|end| end.row)
        };
        assert_eq!(end(1_000, 500, 500), Some(500));
        assert_eq!(end(1_000, 750, 500), Some(500), "half of the rows had it");
        assert_eq!(end(1_000, 998, 500), None, "a rare field");
        assert_eq!(end(1_000, 1, 999), None, "one row at the end");
        assert_eq!(end(1_000, 1_000, 0), None, "no row has it, which is another fault");
        assert_eq!(end(1_000, 0, 1_000), None);
        assert_eq!(end(0, 0, 0), None);
    }

    #[test]
    fn a_field_that_vanishes_or_appears_is_a_jump_and_noise_is_not() {
        assert_eq!(jump(&[(3, 0), (3, 3)]), Some(1));
        assert_eq!(jump(&[(3, 3), (3, 0)]), Some(1));
        assert_eq!(jump(&[(1_000, 500), (1_000, 480), (1_000, 900)]), Some(2));
        assert_eq!(jump(&[(1_000, 500), (1_000, 540)]), None);
        assert_eq!(jump(&[(1_000, 990), (2, 2)]), None, "a rare value is absent from a small file");
        assert_eq!(jump(&[(0, 0), (5, 5), (0, 0), (5, 5)]), None);
        assert_eq!(jump(&[(5, 5)]), None);
        assert_eq!(jump(&[]), None);
    }
}
