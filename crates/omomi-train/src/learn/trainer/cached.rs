//! Learns from a row cache instead of batches of a log.

use crate::evaluate::Evaluator;
use crate::learn::feature_table::{FeatureCounts, NEVER_US};
use crate::learn::iterates::IterateAverage;
use crate::learn::learner::{Defaults, IndexedRows, NONE};
use crate::learn::optimizer::Coordinate;
use crate::learn::row_cache::RowCache;
use crate::learn::{RowCacheError, TrainError};

use super::{Trainer, count_unseen, first_bias};

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
        let missing_group = self.missing_group();
        let table = &mut self.indexer.table;
        // After them come the default features of unseen categories, which no row names.
        let unseen_slots = || self.unseen_numbers.iter().copied().filter(|&number| number != NONE);
        let all_slots = || slots.0.iter().copied().chain(unseen_slots());
        let mut coordinates: Vec<Coordinate> = all_slots().map(|slot| table.coordinates[slot as usize]).collect();
        let mut averages: Vec<IterateAverage> = all_slots().map(|slot| table.averages[slot as usize]).collect();
        let groups: Vec<u16> = all_slots().map(|slot| table.groups[slot as usize]).collect();
        let mut next = u32::try_from(slots.0.len()).expect("features have numbers of 32 bits");
        let place = |&number: &u32| {
            next += u32::from(number != NONE);
            if number == NONE { NONE } else { next - 1 }
        };
        let unseen: Vec<u32> = self.unseen_numbers.iter().map(place).collect();
        let defaults = Defaults { groups: &groups, unseen: &unseen, missing_group };
        let (mut rows, mut row_count) = (IndexedRows::default(), 0);
        cache.rewind()?;
        while cache.next_rows(&mut rows)? {
            let progressive = (self.pass == 1).then_some(&mut self.progressive);
            self.learner.learn(&rows, &mut self.bias, &mut coordinates, &mut averages, &defaults, progressive);
            if self.pass == 1 {
                self.last_day.add(&rows, |number| slots.0[number as usize]);
            }
            row_count += rows.row_count() as u64;
            watch(row_count, &mut self.progressive);
        }
        for (slot, (coordinate, average)) in all_slots().zip(coordinates.into_iter().zip(averages)) {
            table.coordinates[slot as usize] = coordinate;
            table.averages[slot as usize] = average;
        }
        count_unseen(&mut self.learner, &mut table.counts, &self.unseen_numbers);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Learning from a row cache gives the same state as learning from its log, to the byte.

    use std::path::Path;

    use crate::learn::Sampling;
    use crate::learn::row_cache::cache_of_batches;
    use crate::log::RowBatch;

    use super::super::tests::{SETTINGS, batch, contract, random_rows, written};
    use super::*;

    /// Returns the bytes of two states after `passes` over the rows: one learned from batches, one from a cache of
    /// them.
    fn states(sampling: Sampling, passes: u32, start: Option<&Path>) -> [Vec<u8>; 2] {
        let rows = random_rows(3_000, 9);
        let batches: Vec<RowBatch> = [0, 1_100, 2_200]
            .map(|first| {
                let end = rows.len().min(first + 1_100);
                let mut batch = batch(&rows[first..end], Some(i64::try_from(first).unwrap()));
                // Halves have exact sums in any order. The order matters: the counts of the start are added at
                // another time.
                batch.importance = Some((first..end).map(|row| if row % 3 == 0 { 0.5 } else { 1.0 }).collect());
                batch
            })
            .into();
        let trainer = || match start {
            Some(start) => Trainer::resume(&contract(), SETTINGS, sampling, start, 0.5, 1).unwrap(),
            None => Trainer::with_sampling(&contract(), SETTINGS, sampling).unwrap(),
        };
        let mut by_batches = trainer();
        for pass in 1..=passes {
            if pass > 1 {
                by_batches.begin_next_pass();
            }
            batches.iter().for_each(|batch| by_batches.learn(batch).unwrap());
        }

        let folder = tempfile::tempdir().unwrap();
        let mut cache = cache_of_batches(&contract(), sampling, &batches, &folder.path().join("log.rows"));
        let mut by_cache = trainer();
        let slots = by_cache.add_cached_features(&mut cache).unwrap();
        let mut row_count = 0;
        for pass in 1..=passes {
            if pass > 1 {
                by_cache.begin_next_pass();
            }
            by_cache.learn_cached(&mut cache, &slots, &mut |so_far, _| row_count = so_far).unwrap();
        }
        assert_eq!(row_count, cache.row_count());
        by_batches.settle_weights();
        by_cache.settle_weights();
        let settled = by_batches.settle_bias();
        assert!(settled.is_some_and(|settled| settled.shift != 0.0));
        assert_eq!(by_cache.settle_bias(), settled);
        assert_eq!(by_cache.progressive_metrics(), by_batches.progressive_metrics());
        assert_eq!(by_cache.window_us(), by_batches.window_us());
        [by_batches, by_cache].map(|trainer| {
            let (_folder, path) = written(&trainer, "state.parquet");
            std::fs::read(path).unwrap()
        })
    }

    #[test]
    fn a_cache_gives_the_same_state_as_its_log() {
        for (sampling, passes) in
            [(Sampling::default(), 1), (Sampling::default(), 3), (Sampling { negative_rate: 0.3, seed: 4 }, 2)]
        {
            let [by_batches, by_cache] = states(sampling, passes, None);
            assert!(by_batches == by_cache, "{sampling:?}, {passes} passes");
        }
    }

    #[test]
    fn a_cache_continues_from_a_state_like_its_log() {
        let mut before = Trainer::new(&contract(), SETTINGS).unwrap();
        // Some features are in the state only, some in both, some in the cache only.
        before.learn(&batch(&random_rows(40, 10), Some(0))).unwrap();
        let (_folder, start) = written(&before, "start.parquet");
        let [by_batches, by_cache] = states(Sampling::default(), 2, Some(&start));
        assert!(by_batches == by_cache);
    }
}
