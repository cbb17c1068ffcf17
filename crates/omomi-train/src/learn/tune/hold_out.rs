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
    /// The last fifth if its click rate is like that of the other rows, and otherwise every fifth row: the logs are
    /// then not in order of time, but perhaps sorted by the label.
    Suitable,
}

/// The rules among which [`HeldOutRows::Suitable`] chooses.
const SUITABLE: [HeldOutRows; 2] = [HeldOutRows::Last(20.0), HeldOutRows::Every(5)];
/// Rows with, and without, a click that are enough to choose settings by.
pub(super) const ENOUGH_OUTCOMES: u64 = 20;
/// If the click rates of the learned and the held-out rows differ by more than this factor, the logs are not in order
/// of time, but perhaps sorted by the label.
const MAX_RATE_RATIO: f64 = 3.0;

impl fmt::Display for HeldOutRows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(step) => write!(formatter, "every {step}"),
            Self::Last(percent) => write!(formatter, "last {percent}%"),
            Self::Suitable => formatter.write_str("last 20% or every 5"),
        }
    }
}

impl HeldOutRows {
    fn holds_out(&self, row: u64, row_count: u64) -> bool {
        match self {
            Self::Every(step) => (row + 1).is_multiple_of(*step),
            Self::Last(percent) => row as f64 >= row_count as f64 * (1.0 - percent / 100.0),
            Self::Suitable => SUITABLE[0].holds_out(row, row_count),
        }
    }

    /// Returns the first suitable rule with which the learned and the held-out rows of all shards have at least `min`
    /// rows of both kinds, and are alike.
    pub(super) fn suitable(shards: &[Vec<RowBatch>], min: u64) -> Option<Self> {
        let is_suitable = |rule: &Self| {
            let (learned, held_out) = rule.outcomes(shards);
            learned.are_at_least(min) && held_out.are_at_least(min) && learned.are_like(&held_out)
        };
        SUITABLE.into_iter().find(is_suitable)
    }

    /// Counts the outcomes of the rows that are learned, and of those that are held out.
    fn outcomes(&self, shards: &[Vec<RowBatch>]) -> (Outcomes, Outcomes) {
        let (mut learned, mut held_out) = (Outcomes::default(), Outcomes::default());
        for batches in shards {
            let row_count: u64 = batches.iter().map(|batch| batch.row_count() as u64).sum();
            for (row, &clicked) in (0..).zip(batches.iter().flat_map(|batch| &batch.clicked)) {
                let outcomes = if self.holds_out(row, row_count) { &mut held_out } else { &mut learned };
                outcomes.add(clicked);
            }
        }
        (learned, held_out)
    }

    /// Splits the rows of `batches` into those to learn and those held out, in their order.
    pub(super) fn split(&self, batches: Vec<RowBatch>) -> (Vec<RowBatch>, Vec<RowBatch>) {
        let row_count: u64 = batches.iter().map(|batch| batch.row_count() as u64).sum();
        let (mut learned, mut held_out) = (Vec::new(), Vec::new());
        let mut number = 0;
        for mut batch in batches {
            let rows = number..number + batch.row_count() as u64;
            number = rows.end;
            let keep: Vec<bool> = rows.map(|row| !self.holds_out(row, row_count)).collect();
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

/// Rows with and without a click.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcomes {
    pub(super) clicks: u64,
    others: u64,
}

impl Outcomes {
    pub(super) fn of<'a>(batches: impl Iterator<Item = &'a RowBatch>) -> Self {
        let mut outcomes = Self::default();
        batches.flat_map(|batch| &batch.clicked).for_each(|&clicked| outcomes.add(clicked));
        outcomes
    }

    fn add(&mut self, clicked: bool) {
        *if clicked { &mut self.clicks } else { &mut self.others } += 1;
    }

    pub(super) const fn rows(&self) -> u64 {
        self.clicks + self.others
    }

    pub(super) const fn are_at_least(&self, min: u64) -> bool {
        self.clicks >= min && self.others >= min
    }

    fn are_like(&self, other: &Self) -> bool {
        let odds = |outcomes: &Self| outcomes.clicks as f64 / outcomes.others as f64;
        (1.0 / MAX_RATE_RATIO..=MAX_RATE_RATIO).contains(&(odds(self) / odds(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(clicked: impl Iterator<Item = bool>) -> Option<HeldOutRows> {
        let batches = vec![RowBatch { clicked: clicked.collect(), ..RowBatch::default() }];
        HeldOutRows::suitable(&[batches], ENOUGH_OUTCOMES)
    }

    #[test]
    fn the_last_fifth_is_held_out_unless_the_log_is_sorted_by_the_label() {
        assert_eq!(rule((0..1_000).map(|row| row % 4 == 0)), Some(HeldOutRows::Last(20.0)));
        assert_eq!(rule((0..1_000).map(|row| row < 300)), Some(HeldOutRows::Every(5)));
        assert_eq!(rule((0..1_000).map(|row| row >= 700)), Some(HeldOutRows::Every(5)));
    }

    #[test]
    fn too_few_clicks_are_nothing_to_choose_by() {
        assert_eq!(rule((0..1_000).map(|row| row % 50 == 0)), None);
        assert_eq!(rule((0..1_000).map(|_| true)), None);
        assert_eq!(rule(std::iter::empty()), None);
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
}
