//! Numbers the features of log rows and counts rows and features.

use serde::{Deserialize, Serialize};

use crate::log::RowBatch;
use omomi::contract::Contract;

use super::TrainError;
use super::chunk_features::ChunkFeatures;
use super::feature_table::{FeatureCounts, FeatureGroup, NEVER_US, Table};
use super::last_day::hour_of;
use super::learner::IndexedRows;
use super::sampling::{Sampler, Sampling};
use super::state::widest;
use super::unseen::UnseenCounter;

/// Rows whose features are looked up before the first of them is learned. Their numbers stay in the CPU cache
/// meanwhile.
pub(super) const CHUNK_ROW_COUNT: usize = 512;

/// Numbers the features of rows in the order in which they occur. It never sees rows that sampling leaves out.
#[derive(Debug)]
pub(super) struct RowIndexer {
    pub(super) groups: Vec<FeatureGroup>,
    pub(super) table: Table,
    sampler: Sampler,
    /// Counts of all rows, whatever their features.
    pub(super) totals: FeatureCounts,
    /// Times of the first and the last row that was counted here.
    pub(super) window_us: Option<(i64, i64)>,
    /// Counts what the start state has not seen, if there is one.
    pub(super) unseen: Option<UnseenCounter>,
    chunk: ChunkFeatures,
    rows: IndexedRows,
}

/// What a start state knows.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Number of its features, which have the first numbers.
    pub(super) feature_count: usize,
    /// Impressions of the features of each group.
    pub(super) impressions: Vec<f64>,
}

/// Total importance of the clicked rows of a batch, and of the other rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LabelSums {
    pub(super) clicked: f64,
    pub(super) unclicked: f64,
}

/// Some consecutive rows of a batch, with their features numbered.
pub(super) struct Chunk<'a> {
    pub(super) rows: &'a IndexedRows,
    pub(super) table: &'a mut Table,
    /// Sums over the whole batch that the rows are from.
    pub(super) batch_sums: LabelSums,
}

impl RowIndexer {
    pub(super) fn new(contract: &Contract, sampling: Sampling) -> Self {
        let groups = FeatureGroup::list(contract);
        Self {
            table: Table::new(&groups),
            groups,
            sampler: Sampler::new(sampling),
            totals: FeatureCounts::NONE,
            window_us: None,
            unseen: None,
            chunk: ChunkFeatures::default(),
            rows: IndexedRows::default(),
        }
    }

    pub(super) const fn sampling(&self) -> Sampling {
        self.sampler.sampling()
    }

    /// Returns what is known before the first row.
    pub(super) fn known(&self) -> Known {
        let mut impressions = vec![0.0; self.groups.len()];
        for (number, counts) in (0..).zip(&self.table.counts) {
            impressions[self.table.group(number)] += counts.impressions;
        }
        Known { feature_count: self.table.len(), impressions }
    }

    /// Prepares for another pass: the next batch is the first of the log.
    pub(super) fn rewind(&mut self) {
        self.sampler.rewind();
    }

    /// Numbers the features of the rows of `batch` and passes the rows to `visit`, [`CHUNK_ROW_COUNT`] at a time. In
    /// the first pass (`is_first`), also counts them.
    pub(super) fn each_chunk(
        &mut self,
        batch: &RowBatch,
        is_first: bool,
        visit: &mut dyn FnMut(Chunk<'_>) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let kept = self.sampler.thin_out(batch);
        let batch = kept.as_ref().unwrap_or(batch);
        let importance = self.sampler.importance(batch);
        let batch_sums = LabelSums::of(&batch.clicked, importance);
        let mut start = 0;
        while start < batch.row_count() {
            let rows = start..batch.row_count().min(start + CHUNK_ROW_COUNT);
            start = rows.end;
            self.chunk.find_or_insert(&self.groups, &mut self.table, batch, &rows)?;
            if is_first && let Some(unseen) = &mut self.unseen {
                unseen.count(&self.chunk, batch, &rows);
            }
            self.chunk.fill_rows(&batch.clicked[rows.clone()], &mut self.rows);
            self.rows.importance.extend_from_slice(&importance[rows.clone()]);
            if is_first {
                let times_us = batch.time_us.as_ref().map(|times_us| &times_us[rows]);
                self.rows.hours.extend(times_us.into_iter().flatten().copied().map(hour_of));
                count(&self.chunk, &self.rows, times_us, &mut self.table.counts, &mut self.totals);
                let ends = times_us.map(|times_us| (times_us.iter().copied().min(), times_us.iter().copied().max()));
                self.window_us = widest(self.window_us, ends.and_then(|(first, last)| first.zip(last)));
            }
            visit(Chunk { rows: &self.rows, table: &mut self.table, batch_sums })?;
        }
        Ok(())
    }
}

fn count(
    chunk: &ChunkFeatures,
    rows: &IndexedRows,
    times_us: Option<&[i64]>,
    counts: &mut [FeatureCounts],
    totals: &mut FeatureCounts,
) {
    let (clicked, importance) = (rows.clicked.as_slice(), rows.importance.as_slice());
    let time_us = |row: usize| times_us.map_or(NEVER_US, |times_us| times_us[row]);
    for (row, (&clicked, &importance)) in clicked.iter().zip(importance).enumerate() {
        totals.count(clicked, importance, time_us(row));
    }
    chunk.visit_all(|row, number| counts[number as usize].count(clicked[row], importance[row], time_us(row)));
}

impl LabelSums {
    pub(super) fn of(clicked: &[bool], importance: &[f64]) -> Self {
        let mut sums = Self::default();
        for (&clicked, &importance) in clicked.iter().zip(importance) {
            *if clicked { &mut sums.clicked } else { &mut sums.unclicked } += importance;
        }
        sums
    }
}
