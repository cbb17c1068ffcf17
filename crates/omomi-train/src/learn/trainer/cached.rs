//! Learns from a row cache instead of batches of a log.

use crate::judge::evaluate::Evaluator;
use crate::learn::indexed_rows::IndexedRows;
use crate::learn::optimizer::Coordinate;
use crate::learn::row_cache::RowCache;
use crate::learn::table::{FeatureCounts, NEVER_US};
use crate::learn::{RowCacheError, TrainError};

use super::{Trainer, first_bias};

/// For each feature of a cache, its number in the table of a trainer.
pub(in crate::learn) struct FeatureSlots(Vec<u32>);

impl Trainer {
    /// Adds the features of `cache` and the counts of its rows to the trainer. This is what the first pass over a log
    /// does besides learning. The trainer must not have learned a row yet; it may have a start state.
    ///
    /// # Errors
    ///
    /// Returns [`TrainError::RowCache`] if the cache is damaged, or [`TrainError::TooManyFeatures`] if it has more
    /// features than one process can hold.
    pub(in crate::learn) fn add_cached_features(&mut self, cache: &mut RowCache) -> Result<FeatureSlots, TrainError> {
        let summary = cache.summary().clone();
        let mut slots = Vec::with_capacity(usize::try_from(cache.feature_count()).unwrap_or(0));
        let indexer = &mut self.indexer;
        let path = cache.path().to_owned();
        let group_count = indexer.groups.len();
        cache.each_feature(|feature| -> Result<(), TrainError> {
            if usize::from(feature.group) >= group_count {
                return Err(RowCacheError::damaged(
                    &path,
                    format!("expected one of {group_count} fields and crosses, found number {}", feature.group),
                )
                .into());
            }
            let (impressions, clicks) = (feature.impressions, feature.clicks);
            let counts = FeatureCounts { impressions, clicks, last_seen_us: feature.last_seen_us };
            slots.push(indexer.table.add_counts(feature.key, feature.group, feature.category, counts)?);
            Ok(())
        })?;
        let last_us = summary.window_us.map_or(NEVER_US, |(_, last_us)| last_us);
        let counts = FeatureCounts { impressions: summary.impressions, clicks: summary.clicks, last_seen_us: last_us };
        indexer.totals.add(counts);
        indexer.window_us = summary.window_us;
        if !std::mem::replace(&mut self.has_bias, true) {
            self.bias = first_bias(&self.settings, summary.first_sums);
        }
        Ok(FeatureSlots(slots))
    }

    /// Learns all rows of `cache`, whose features are at `slots` of the table. After every few thousand rows, calls
    /// `watch` with the number of rows so far and the progressive evaluator, which only the first pass updates.
    ///
    /// # Errors
    ///
    /// Returns [`TrainError::RowCache`] if the cache is damaged. The trainer cannot be used after that.
    pub(in crate::learn) fn learn_cached(
        &mut self,
        cache: &mut RowCache,
        slots: &FeatureSlots,
        watch: &mut dyn FnMut(u64, &mut Evaluator),
    ) -> Result<(), TrainError> {
        // In the order of the cache, the coordinates that most rows need are next to each other.
        let table = &mut self.indexer.table.coordinates;
        let mut coordinates: Vec<Coordinate> = slots.0.iter().map(|&slot| table[slot as usize]).collect();
        let (mut rows, mut row_count) = (IndexedRows::default(), 0);
        cache.rewind()?;
        while cache.next_rows(&mut rows)? {
            let progressive = (self.pass == 1).then_some(&mut self.progressive);
            self.learner.learn(&rows, &mut self.bias, &mut coordinates, progressive);
            row_count += rows.row_count() as u64;
            watch(row_count, &mut self.progressive);
        }
        for (&slot, coordinate) in slots.0.iter().zip(coordinates) {
            table[slot as usize] = coordinate;
        }
        Ok(())
    }
}
