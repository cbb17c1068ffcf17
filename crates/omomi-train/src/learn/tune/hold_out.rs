//! Cuts rows out of the sample, to judge settings on them, if no rows are held out otherwise.

use std::fmt;

use crate::log::RowBatch;

/// Which rows of the sample are held out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeldOutRows {
    /// Every n-th row, at least every second. Rows that follow each other are much alike, so the figures flatter models
    /// that will serve later days.
    Every(u64),
    /// The last rows: this percentage, above 0 and below 100. If the logs sort by time, these are the latest.
    Last(f64),
}

impl fmt::Display for HeldOutRows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(step) => write!(formatter, "every {step}"),
            Self::Last(percent) => write!(formatter, "last {percent}%"),
        }
    }
}

impl HeldOutRows {
    /// Splits the rows of `batches` into those to learn and those held out, in their order.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
