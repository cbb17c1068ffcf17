//! Splits the rows of a log into parts, for example to train each part in a process of its own.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::hold_out::{HoldOut, HoldOutFilter};
use super::{Categories, ExtraColumn, FieldColumn, LogError, RowBatch};

/// One of several parts of the rows. Each row is in exactly one part.
///
/// The reader decodes all rows and then selects those of the part. Therefore its counts of bad rows and of numbers out
/// of range cover all rows, not only the part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPart {
    /// How rows are assigned to parts.
    pub by: PartBy,
    /// Number of this part, from 1 to `count`.
    pub number: u32,
    /// How many parts there are.
    pub count: u32,
}

/// How rows are assigned to parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartBy {
    /// By a hash of the row's number, so that all parts have about the same size and mix of rows. Rows are numbered
    /// over all files; bad rows are not numbered.
    RowNumber {
        /// Different seeds assign rows to parts independently of each other.
        seed: u64,
    },
    /// By a hash of the row's value in this column. Rows with the same value are in the same part; rows without a value
    /// are spread by their number.
    Column(String),
    /// By the row's time, in spans of equal length and in order of time. Rows before the first span are in the first
    /// part, rows after the last span in the last part.
    Time {
        /// The first microsecond of the first span, since 1970-01-01 UTC.
        first_us: i64,
        /// The last microsecond of the last span, since 1970-01-01 UTC.
        last_us: i64,
    },
}

/// Differs from the small seeds that callers use for [`PartBy::RowNumber`].
const COLUMN_SEED: u64 = 0x636f_6c75_6d6e;

/// Selects the rows of the requested parts while a log is read.
#[derive(Debug)]
pub(super) struct PartFilter {
    parts: Vec<RowPart>,
    hold_out: Option<HoldOutFilter>,
    hold_out_column: Option<String>,
    /// Rows seen so far, rows of other parts included and bad rows excluded.
    row_count: u64,
}

impl PartFilter {
    pub(super) fn new(parts: &[RowPart], hold_out: Option<&HoldOut>, has_times: bool) -> Result<Self, LogError> {
        for part in parts {
            let RowPart { by, number, count } = part;
            if *number == 0 || number > count {
                return Err(LogError::NoSuchPart { number: *number, count: *count });
            }
            if matches!(by, PartBy::Time { .. }) && !has_times {
                return Err(LogError::PartsWithoutTime);
            }
        }
        if hold_out.is_some_and(HoldOut::needs_time) && !has_times {
            return Err(LogError::PartsWithoutTime);
        }
        let hold_out_column = hold_out.and_then(HoldOut::column).cloned();
        let hold_out = hold_out.cloned().map(HoldOutFilter::new);
        Ok(Self { parts: parts.to_vec(), hold_out, hold_out_column, row_count: 0 })
    }

    /// The hold-out, with what it did so far.
    pub(super) fn hold_out(&self) -> Option<&HoldOutFilter> {
        self.hold_out.as_ref()
    }

    /// Rows seen so far, in all parts.
    pub(super) fn row_count(&self) -> u64 {
        self.row_count
    }

    /// The columns that the parts are split by, in the order of the parts, and that of the hold-out.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        let parts = self
            .parts
            .iter()
            .filter_map(|part| if let PartBy::Column(column) = &part.by { Some(column) } else { None });
        parts.chain(&self.hold_out_column)
    }

    /// Keeps only the rows of `batch` that are in every part, and that the hold-out keeps. Removes the last extra
    /// columns, which were read only for the parts.
    pub(super) fn apply(&mut self, batch: &mut RowBatch) {
        let first_row = self.row_count;
        self.row_count += batch.row_count() as u64;
        if self.parts.is_empty() && self.hold_out.is_none() {
            return;
        }
        let mut keep = vec![true; batch.row_count()];
        if let Some(hold_out) = &mut self.hold_out {
            hold_out.mark(batch, &mut keep);
        }
        let columns = batch.extra.split_off(batch.extra.len() - self.columns().count());
        let mut columns = columns.iter();
        for part in &self.parts {
            let mut keep_hash = |row: usize, hash| keep[row] &= part.has_hash(hash);
            match &part.by {
                PartBy::RowNumber { seed } => {
                    for (row, number) in (0..batch.row_count()).zip(first_row..) {
                        keep_hash(row, hash_of_number(number, *seed));
                    }
                }
                PartBy::Column(_) => {
                    let Some(column) = columns.next() else { continue };
                    for (row, number) in (0..batch.row_count()).zip(first_row..) {
                        keep_hash(row, hash_of_text(column.text(row), number));
                    }
                }
                PartBy::Time { first_us, last_us } => {
                    for (time_us, keep) in batch.time_us.iter().flatten().zip(&mut keep) {
                        *keep &= span_of(*time_us, *first_us, *last_us, part.count) == part.number;
                    }
                }
            }
        }
        batch.keep_rows(&keep);
    }
}

impl RowPart {
    fn has_hash(&self, hash: u64) -> bool {
        // The hash is uniform over 64 bits, so the high half of the product is uniform over the parts.
        let part = (u128::from(hash) * u128::from(self.count)) >> 64;
        part + 1 == u128::from(self.number)
    }
}

fn hash_of_number(number: u64, seed: u64) -> u64 {
    xxh3_64_with_seed(&number.to_le_bytes(), seed)
}

/// Hashes a row's text, or its number if it has no text. If all rows without a text were in one part, that part would
/// be too large.
fn hash_of_text(text: Option<&str>, number: u64) -> u64 {
    text.map_or_else(|| hash_of_number(number, COLUMN_SEED), |text| xxh3_64_with_seed(text.as_bytes(), COLUMN_SEED))
}

/// Returns the number of the span that contains `time_us`, from 1.
fn span_of(time_us: i64, first_us: i64, last_us: i64, count: u32) -> u32 {
    let len = i128::from(last_us) - i128::from(first_us) + 1;
    let place = (i128::from(time_us) - i128::from(first_us)).clamp(0, len - 1);
    // The quotient is below the count, because `place` is below `len`.
    u32::try_from(place * i128::from(count) / len).unwrap_or(0) + 1
}

impl RowBatch {
    /// Keeps the rows whose entry in `keep` is true, and removes the others.
    pub(crate) fn keep_rows(&mut self, keep: &[bool]) {
        keep_marked(&mut self.clicked, keep);
        if let Some(times_us) = &mut self.time_us {
            keep_marked(times_us, keep);
        }
        if let Some(importance) = &mut self.importance {
            keep_marked(importance, keep);
        }
        self.columns.iter_mut().for_each(|column| column.keep_rows(keep));
        self.extra.iter_mut().for_each(|column| column.keep_rows(keep));
        let (mut start, mut kept_end) = (0, 0);
        for (_, end) in &mut self.file_ends {
            let rows = keep.get(start..*end).unwrap_or_default();
            start = *end;
            kept_end += rows.iter().filter(|&&keep| keep).count();
            *end = kept_end;
        }
    }
}

impl FieldColumn {
    fn keep_rows(&mut self, keep: &[bool]) {
        let mut keep_value = Vec::with_capacity(self.values.len());
        let mut offsets = Vec::with_capacity(self.offsets.len());
        let mut end = 0;
        offsets.push(end);
        for (ends, &keep) in self.offsets.windows(2).zip(keep) {
            let len = ends[1] - ends[0];
            keep_value.extend(std::iter::repeat_n(keep, len as usize));
            if keep {
                end += len;
                offsets.push(end);
            }
        }
        self.offsets = offsets;
        keep_marked(&mut self.values, &keep_value);
        match &mut self.categories {
            Categories::Ids | Categories::Keys => {}
            Categories::Numbers(numbers) => keep_marked(numbers, &keep_value),
            Categories::Texts { places: Some(places), .. } => keep_marked(places, &keep_value),
            Categories::Texts { offsets, bytes, places: None } => {
                let mut ends = offsets.split_off(1);
                keep_texts(&mut ends, bytes, &keep_value);
                offsets.append(&mut ends);
            }
        }
    }
}

impl ExtraColumn {
    fn keep_rows(&mut self, keep: &[bool]) {
        keep_marked(&mut self.present, keep);
        keep_texts(&mut self.ends, &mut self.bytes, keep);
    }
}

/// Keeps the items whose entry in `keep` is true.
fn keep_marked<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut marks = keep.iter();
    items.retain(|_| marks.next().is_some_and(|&keep| keep));
}

/// Keeps the texts whose entry in `keep` is true. The texts are back to back in `bytes`; `ends` has the end of each.
fn keep_texts(ends: &mut Vec<u32>, bytes: &mut String, keep: &[bool]) {
    let mut kept = String::with_capacity(bytes.len());
    let (mut kept_ends, mut start, mut kept_end) = (Vec::with_capacity(ends.len()), 0, 0);
    for (&end, &keep) in ends.iter().zip(keep) {
        if keep {
            kept.push_str(&bytes[start as usize..end as usize]);
            kept_end += end - start;
            kept_ends.push(kept_end);
        }
        start = end;
    }
    (*ends, *bytes) = (kept_ends, kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_equal_lengths_and_cover_all_times() {
        let spans: Vec<u32> = (-2..12).map(|time_us| span_of(time_us, 0, 9, 5)).collect();
        assert_eq!(spans, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]);
        assert_eq!([i64::MIN, -1, 0, i64::MAX].map(|time| span_of(time, i64::MIN, i64::MAX, 2)), [1, 1, 2, 2]);
        assert_eq!(span_of(7, 7, 7, 1_000), 1);
    }

    #[test]
    fn a_hash_is_in_exactly_one_part() {
        for hash in [0, 1, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
            let parts = (1..=7).map(|number| RowPart { by: PartBy::RowNumber { seed: 0 }, number, count: 7 });
            assert_eq!(parts.filter(|part| part.has_hash(hash)).count(), 1, "{hash}");
        }
    }
}
