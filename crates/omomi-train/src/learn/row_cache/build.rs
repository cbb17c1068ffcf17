//! Builds a row cache from logs, in a pass that reads, numbers and counts, but learns nothing.

use std::path::Path;

use crate::learn::pipeline::run_pipeline;
use crate::learn::row_indexer::{LabelSums, RowIndexer};
use crate::learn::table::Table;
use crate::learn::{Sampling, TrainError};
use crate::log::{LogReader, RowBatch};
use omomi::contract::Contract;
use omomi::store::Digest;

use super::writer::RowCacheWriter;
use super::{CachedFeature, Summary};

/// Builds the cache `path` from all rows of `reader` and replaces an existing file. Calls `watch` after each batch.
pub(in crate::learn) fn build(
    contract: &Contract,
    sampling: Sampling,
    reader: &mut LogReader,
    (path, digest): (&Path, Digest),
    watch: &mut dyn FnMut(&LogReader),
) -> Result<(), TrainError> {
    let mut builder = Builder::new(contract, sampling, path)?;
    run_pipeline(reader, |batch| builder.push(batch), |reader, ()| watch(reader))?;
    let log_row_counts = reader.files().iter().map(|file| file.row_count).collect();
    builder.finish(contract, digest, log_row_counts, (reader.rows_read(), reader.bad_row_count()))
}

/// Builds a cache from batches, for tests that learn from it.
#[cfg(test)]
pub(in crate::learn) fn cache_of_batches(
    contract: &Contract,
    sampling: Sampling,
    batches: &[RowBatch],
    path: &Path,
) -> super::RowCache {
    let mut builder = Builder::new(contract, sampling, path).unwrap();
    batches.iter().for_each(|batch| builder.push(batch).unwrap());
    builder.finish(contract, Digest::of(b""), Vec::new(), (0, 0)).unwrap();
    let super::Found::Fresh(cache) = super::RowCache::find(path, Digest::of(b"")).unwrap() else { panic!("no cache") };
    *cache
}

struct Builder {
    writer: RowCacheWriter,
    indexer: RowIndexer,
    first_sums: Option<LabelSums>,
    invalid_numbers: Vec<u64>,
}

impl Builder {
    fn new(contract: &Contract, sampling: Sampling, path: &Path) -> Result<Self, TrainError> {
        Ok(Self {
            writer: RowCacheWriter::create(path, true)?,
            indexer: RowIndexer::new(contract, sampling),
            first_sums: None,
            invalid_numbers: vec![0; contract.fields().len()],
        })
    }

    fn push(&mut self, batch: &RowBatch) -> Result<(), TrainError> {
        for (count, column) in self.invalid_numbers.iter_mut().zip(&batch.columns) {
            *count += column.invalid_number_count;
        }
        self.indexer.each_chunk(batch, true, &mut |chunk| {
            self.first_sums.get_or_insert(chunk.batch_sums);
            Ok(self.writer.push(chunk.rows)?)
        })
    }

    fn finish(
        self,
        contract: &Contract,
        digest: Digest,
        log_row_counts: Vec<Option<u64>>,
        (rows, bad_rows): (u64, u64),
    ) -> Result<(), TrainError> {
        let RowIndexer { table, groups, totals, window_us, .. } = &self.indexer;
        let summary = Summary {
            log_row_counts,
            rows,
            bad_rows,
            invalid_numbers: self.invalid_numbers,
            window_us: *window_us,
            impressions: totals.impressions,
            clicks: totals.clicks,
            first_sums: self.first_sums.unwrap_or_default(),
        };
        self.writer.finish(digest, &summary, &by_frequency(table), |number, category| {
            table.write_category(contract, groups, number, category);
            let counts = table.counts[number as usize];
            CachedFeature {
                key: table.keys()[number as usize],
                impressions: counts.impressions,
                clicks: counts.clicks,
                last_seen_us: counts.last_seen_us,
                group: u16::try_from(table.group(number)).expect("a contract has few groups"),
                category,
            }
        })?;
        Ok(())
    }
}

/// Returns the numbers of all features, the most frequent first. Of equally frequent features, the one seen first comes
/// first.
fn by_frequency(table: &Table) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).take(table.len()).collect();
    let impressions = |number: u32| table.counts[number as usize].impressions;
    order.sort_unstable_by(|&one, &other| impressions(other).total_cmp(&impressions(one)).then(one.cmp(&other)));
    order
}
