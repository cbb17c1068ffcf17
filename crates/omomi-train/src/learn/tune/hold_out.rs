//! Cuts rows out of the sample, to judge settings on them: every n-th row, the last rows, or those with some values in
//! a column.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::log::RowBatch;

/// Differs from the seeds with which shards are split.
const COLUMN_SEED: u64 = 0x6865_6c64;

/// Which rows of the sample are held out.
#[derive(Debug, Clone, PartialEq)]
pub enum HeldOutRows {
    /// Every n-th row, at least every second. Rows that follow each other are much alike, so the figures flatter models
    /// that will serve later days.
    Every(u64),
    /// The last rows: this percentage, above 0 and below 100. If the logs sort by time, these are the latest.
    Last(f64),
    /// The rows with some values in this column, such as a tenth of the users: about this percentage of the values,
    /// above 0 and below 100.
    Hash {
        /// The column.
        column: String,
        /// How many of its values are held out.
        percent: f64,
    },
}

impl fmt::Display for HeldOutRows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(step) => write!(formatter, "every {step}"),
            Self::Last(percent) => write!(formatter, "last {percent}%"),
            Self::Hash { column, percent } => write!(formatter, "hash of {column} {percent}%"),
        }
    }
}

impl FromStr for HeldOutRows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = |text: &str| {
            let percent: f64 = text.trim().strip_suffix('%')?.trim_end().parse().ok()?;
            (percent > 0.0 && percent < 100.0).then_some(percent)
        };
        let parsed = || {
            if let Some(step) = text.strip_prefix("every ") {
                return step.trim().parse().ok().filter(|&step| step >= 2).map(Self::Every);
            }
            if let Some(text) = text.strip_prefix("last ") {
                return percent(text).map(Self::Last);
            }
            let (column, text) = text.strip_prefix("hash of ")?.rsplit_once(' ')?;
            (!column.is_empty()).then_some(())?;
            Some(Self::Hash { column: column.to_owned(), percent: percent(text)? })
        };
        parsed().ok_or_else(|| {
            format!("expected 'every 5', 'last 10%' or 'hash of COLUMN 10%', with other numbers, found `{text}`")
        })
    }
}

impl HeldOutRows {
    /// The extra column that the rule needs.
    pub(super) fn column(&self) -> Option<&String> {
        match self {
            Self::Hash { column, .. } => Some(column),
            Self::Every(_) | Self::Last(_) => None,
        }
    }

    /// Splits the rows of `batches` into those to learn and those held out, in their order. The values of the column of
    /// the rule are in the last extra column.
    pub(super) fn split(&self, batches: Vec<RowBatch>) -> (Vec<RowBatch>, Vec<RowBatch>) {
        let row_count: u64 = batches.iter().map(|batch| batch.row_count() as u64).sum();
        let (mut learned, mut held_out) = (Vec::new(), Vec::new());
        let mut number = 0;
        for mut batch in batches {
            let rows = number..number + batch.row_count() as u64;
            number = rows.end;
            let keep: Vec<bool> = match self {
                Self::Every(step) => rows.map(|row| (row + 1) % step != 0).collect(),
                Self::Last(percent) => {
                    let first = row_count as f64 * (1.0 - percent / 100.0);
                    rows.map(|row| (row as f64) < first).collect()
                }
                Self::Hash { percent, .. } => {
                    let column = batch.extra.last();
                    let text = |row: usize| column.and_then(|column| column.text(row)).unwrap_or_default();
                    (0..batch.row_count()).map(|row| !is_held_out(text(row), *percent)).collect()
                }
            };
            if keep.iter().all(|&keep| keep) {
                learned.push(batch);
                continue;
            }
            if keep.contains(&true) {
                let mut of_batch = batch.clone();
                of_batch.keep_rows(&keep);
                learned.push(of_batch);
            }
            batch.keep_rows(&keep.iter().map(|keep| !keep).collect::<Vec<_>>());
            held_out.push(batch);
        }
        (learned, held_out)
    }
}

fn is_held_out(text: &str, percent: f64) -> bool {
    let hash = xxh3_64_with_seed(text.as_bytes(), COLUMN_SEED);
    // A double holds 53 bits exactly.
    (hash >> 11) as f64 / (1_u64 << 53) as f64 * 100.0 < percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_parsed_from_their_words() {
        for text in ["every 5", "last 10%", "hash of user id 2.5%"] {
            assert_eq!(text.parse::<HeldOutRows>().unwrap().to_string(), text);
        }
        assert_eq!("last 10 %".parse(), Ok(HeldOutRows::Last(10.0)));
        for text in ["", "every", "every 1", "every 0", "last 0%", "last 100%", "last 10", "last NaN%", "hash of 5%"] {
            let error = text.parse::<HeldOutRows>().unwrap_err();
            assert!(error.contains("'every 5', 'last 10%' or 'hash of COLUMN 10%'"), "{text}: {error}");
        }
    }

    fn batches() -> Vec<RowBatch> {
        let batch = |rows: std::ops::Range<usize>| RowBatch {
            clicked: rows.clone().map(|row| row % 3 == 0).collect(),
            time_us: Some(rows.map(|row| row.try_into().unwrap()).collect()),
            ..RowBatch::default()
        };
        vec![batch(0..4), batch(4..5), batch(5..20)]
    }

    fn times(batches: &[RowBatch]) -> Vec<i64> {
        batches.iter().flat_map(|batch| batch.time_us.clone().unwrap()).collect()
    }

    #[test]
    fn each_row_is_either_learned_or_held_out() {
        let (learned, held_out) = HeldOutRows::Every(5).split(batches());
        assert_eq!(times(&held_out), [4, 9, 14, 19]);
        assert_eq!(times(&learned).len(), 16);
        let (learned, held_out) = HeldOutRows::Last(30.0).split(batches());
        assert_eq!(times(&held_out), [14, 15, 16, 17, 18, 19]);
        assert_eq!(times(&learned), (0..14).collect::<Vec<_>>());
        assert_eq!(held_out[0].clicked[..2], [false, true]);
    }

    #[test]
    fn about_the_named_share_of_the_values_is_held_out() {
        let count = (0..10_000).filter(|value: &u32| is_held_out(&value.to_string(), 10.0)).count();
        assert!((900..1_100).contains(&count), "{count}");
    }
}
