//! One of several parts of a log's rows: what each of several trainings reads.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Categories, ExtraColumn, FieldColumn, LogError, RowBatch};

/// One of several parts of the rows. The parts together are all rows, each once.
///
/// What is counted while reading (rows that cannot be used, numbers out of range) is counted over all rows, because
/// all of them are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPart {
    /// By what rows are told apart.
    pub by: PartBy,
    /// Which part, from 1 to `count`.
    pub number: u32,
    /// How many parts there are.
    pub count: u32,
}

/// By what rows are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartBy {
    /// By a hash of the row's number, counted over all files from the first row that can be used: parts that are alike.
    RowNumber {
        /// Parts by different seeds have nothing to do with each other.
        seed: u64,
    },
    /// By a hash of what the row has in a column: rows with the same value are in the same part.
    Column(String),
    /// By the row's time: equal spans of it, in order. What is earlier is in the first part, what is later in the last.
    Time {
        /// Where the first span begins, in microseconds since 1970-01-01 UTC.
        first_us: i64,
        /// The last microsecond of the last span.
        last_us: i64,
    },
}

/// Apart from small seeds that callers number their parts with.
const COLUMN_SEED: u64 = 0x636f_6c75_6d6e;

/// The parts that are asked for, while a log is read.
#[derive(Debug)]
pub(super) struct Narrowing {
    parts: Vec<RowPart>,
    /// Rows that could be used so far, those of other parts included.
    row_count: u64,
}

impl Narrowing {
    pub(super) fn new(parts: &[RowPart], has_times: bool) -> Result<Self, LogError> {
        for part in parts {
            let RowPart { by, number, count } = part;
            if *number == 0 || number > count {
                return Err(LogError::NoSuchPart { number: *number, count: *count });
            }
            if matches!(by, PartBy::Time { .. }) && !has_times {
                return Err(LogError::PartsWithoutTime);
            }
        }
        Ok(Self { parts: parts.to_vec(), row_count: 0 })
    }

    /// The columns by which rows are told apart, in the order of the parts.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().filter_map(|part| if let PartBy::Column(column) = &part.by { Some(column) } else { None })
    }

    /// Leaves in `batch` the rows that are in every part. The last extra columns are those that the parts need; they go.
    pub(super) fn narrow(&mut self, batch: &mut RowBatch) {
        let first_row = self.row_count;
        self.row_count += batch.row_count() as u64;
        if self.parts.is_empty() {
            return;
        }
        let columns = batch.extra.split_off(batch.extra.len() - self.columns().count());
        let mut columns = columns.iter();
        let mut keep = vec![true; batch.row_count()];
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
        // The high half of the product is even over the parts, as the hash is.
        let part = (u128::from(hash) * u128::from(self.count)) >> 64;
        part + 1 == u128::from(self.number)
    }
}

fn hash_of_number(number: u64, seed: u64) -> u64 {
    xxh3_64_with_seed(&number.to_le_bytes(), seed)
}

/// Rows without a text have nothing in common, so they go by their number: one part with all of them would be too large.
fn hash_of_text(text: Option<&str>, number: u64) -> u64 {
    text.map_or_else(|| hash_of_number(number, COLUMN_SEED), |text| xxh3_64_with_seed(text.as_bytes(), COLUMN_SEED))
}

/// The number of the span, from 1, in which `time_us` lies.
fn span_of(time_us: i64, first_us: i64, last_us: i64, count: u32) -> u32 {
    let len = i128::from(last_us) - i128::from(first_us) + 1;
    let place = (i128::from(time_us) - i128::from(first_us)).clamp(0, len - 1);
    // Below the count, because the place is below the length.
    u32::try_from(place * i128::from(count) / len).unwrap_or(0) + 1
}

impl RowBatch {
    /// Leaves the rows that are marked.
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
            Categories::Ids => {}
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

/// Leaves the items that are marked.
fn keep_marked<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut marks = keep.iter();
    items.retain(|_| marks.next().is_some_and(|&keep| keep));
}

/// Leaves the texts that are marked, of texts that lie one behind the other and end where `ends` says.
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
    fn spans_of_time_are_equal_and_cover_all_of_it() {
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
