//! Makes a row cache from logs: a pass that reads, numbers and counts, and learns nothing.

use std::path::Path;

use crate::contract::Contract;
use crate::log_reader::LogReader;
use crate::store::Digest;
use crate::train::overlap::each_batch;
use crate::train::row_indexer::RowIndexer;
use crate::train::table::Table;
use crate::train::{Sampling, TrainError};

use super::writer::RowCacheWriter;
use super::{CachedFeature, Summary};

/// Makes the cache `path` of all rows of `reader`, in the place of a file that is there. `watch` is called after each
/// batch.
pub(in crate::train) fn build(
    contract: &Contract,
    sampling: Sampling,
    reader: &mut LogReader,
    (path, digest): (&Path, Digest),
    watch: &mut dyn FnMut(&LogReader),
) -> Result<(), TrainError> {
    let mut writer = RowCacheWriter::create(path, true)?;
    let mut indexer = RowIndexer::new(contract, sampling);
    let mut first_sums = None;
    let mut invalid_numbers = vec![0; contract.fields().len()];
    each_batch(
        reader,
        |batch| {
            for (count, column) in invalid_numbers.iter_mut().zip(&batch.columns) {
                *count += column.invalid_number_count;
            }
            indexer.each_chunk(batch, true, &mut |chunk| {
                first_sums.get_or_insert(chunk.batch_sums);
                Ok(writer.push(chunk.rows)?)
            })
        },
        |reader, ()| watch(reader),
    )?;
    let summary = Summary {
        log_row_counts: reader.files().iter().map(|file| file.row_count).collect(),
        rows: reader.rows_read(),
        bad_rows: reader.bad_row_count(),
        invalid_numbers,
        window_us: indexer.window_us,
        impressions: indexer.totals.impressions,
        clicks: indexer.totals.clicks,
        first_sums: first_sums.unwrap_or_default(),
    };
    let RowIndexer { table, sources, .. } = &indexer;
    writer.finish(digest, &summary, &by_frequency(table), |number, category| {
        table.write_category(contract, sources, number, category);
        let counts = table.counts[number as usize];
        CachedFeature {
            key: table.keys()[number as usize],
            impressions: counts.impressions,
            clicks: counts.clicks,
            last_seen_us: counts.last_seen_us,
            source: u16::try_from(table.source(number)).expect("a contract has few sources"),
            category,
        }
    })?;
    Ok(())
}

/// The numbers of all features, those of the most frequent first and among equals of the one seen first.
fn by_frequency(table: &Table) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).take(table.len()).collect();
    let impressions = |number: u32| table.counts[number as usize].impressions;
    order.sort_unstable_by(|&one, &other| impressions(other).total_cmp(&impressions(one)).then(one.cmp(&other)));
    order
}
