//! Builds and writes a row cache, in a pass over the logs that reads, numbers and counts, but learns nothing. The
//! frequencies of features are known only at the end, so the rows are first written to a spool file, and their features
//! are renumbered when all rows are known.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::learn::feature_table::Table;
use crate::learn::learner::IndexedRows;
use crate::learn::pipeline::run_pipeline;
use crate::learn::row_indexer::{LabelSums, RowIndexer};
use crate::learn::{Sampling, TrainError};
use crate::log::{FileMissing, LogReader, RowBatch};
use omomi::contract::Contract;
use omomi::new_file::NewFile;
use omomi::store::Digest;

use super::row_block::{BlockHeader, CachedFeature, FeatureColumns, decode_rows, encode_rows};
use super::{
    BLOCK_HEADER_LEN, DIGEST_LEN, DIGEST_OFFSET, END_MAGIC, FIRST_FEATURES_INDEX, FORMAT_VERSION,
    HEADER_CHECKSUM_OFFSET, HEADER_LEN, MAGIC, RowCacheError, Summary, TRAILER_LEN, VERSION_OFFSET,
};

/// Maximum number of rows or features in a block.
const BLOCK_COUNT: usize = 4_096;
/// A block is full when its rows have this many features, or its categories this many bytes.
const FULL_PART_COUNT: usize = 1 << 22;

/// A row cache that is being written. Its file appears only when it is finished.
pub(in crate::learn) struct RowCacheWriter {
    path: PathBuf,
    new_file: NewFile,
    /// The rows with their original feature numbers. This file is never committed.
    spool: NewFile,
    pending: IndexedRows,
    bytes: Vec<u8>,
    spooled_count: u32,
    row_count: u64,
}

impl RowCacheWriter {
    pub(in crate::learn) fn create(path: &Path, replace: bool) -> Result<Self, RowCacheError> {
        let failed = |error| RowCacheError::io("write", path, error);
        let new_file = NewFile::create(path, replace).map_err(failed)?;
        let mut spool_name = path.file_name().unwrap_or_default().to_owned();
        spool_name.push(".rows");
        let spool = NewFile::create(&path.with_file_name(spool_name), true).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            new_file,
            spool,
            pending: IndexedRows::default(),
            bytes: Vec::new(),
            spooled_count: 0,
            row_count: 0,
        })
    }

    /// Adds the next rows.
    pub(in crate::learn) fn push(&mut self, rows: &IndexedRows) -> Result<(), RowCacheError> {
        let is_full = self.pending.row_count() + rows.row_count() > BLOCK_COUNT
            || self.pending.numbers.len() + rows.numbers.len() > FULL_PART_COUNT;
        if is_full {
            self.spool_pending()?;
        }
        self.pending.append(rows);
        self.row_count += rows.row_count() as u64;
        Ok(())
    }

    fn spool_pending(&mut self) -> Result<(), RowCacheError> {
        if self.pending.row_count() > 0 {
            encode_rows(&self.pending, self.spooled_count, &mut self.bytes);
            self.spool.file().write_all(&self.bytes).map_err(|error| RowCacheError::io("write", &self.path, error))?;
            self.spooled_count += 1;
            self.pending.clear();
        }
        Ok(())
    }

    /// Renumbers the features of the rows and commits the file. `order` lists the original numbers in their new order.
    /// `feature` returns the feature with an original number; it may store the category in the given text.
    pub(in crate::learn) fn finish(
        mut self,
        digest: Digest,
        summary: &Summary,
        order: &[u32],
        feature: impl for<'a> FnMut(u32, &'a mut String) -> CachedFeature<'a>,
    ) -> Result<(), RowCacheError> {
        self.spool_pending()?;
        let path = self.path.clone();
        let failed = |error| RowCacheError::io("write", &path, error);
        self.write_parts(digest, summary, order, feature).map_err(failed)?;
        self.new_file.commit().map_err(failed)
    }

    fn write_parts(
        &mut self,
        digest: Digest,
        summary: &Summary,
        order: &[u32],
        mut feature: impl for<'a> FnMut(u32, &'a mut String) -> CachedFeature<'a>,
    ) -> io::Result<()> {
        let mut output = self.new_file.file();
        output.write_all(&header(digest))?;
        let mut ranks = vec![0_u32; order.len()];
        for (rank, &number) in (0..).zip(order) {
            ranks[number as usize] = rank;
        }
        let mut rows = IndexedRows::default();
        self.spool.file().seek(SeekFrom::Start(0))?;
        for index in 0..self.spooled_count {
            read_block(self.spool.file(), order.len() as u64, &mut self.bytes, &mut rows)?;
            rows.numbers.iter_mut().for_each(|number| *number = ranks[*number as usize]);
            encode_rows(&rows, index, &mut self.bytes);
            output.write_all(&self.bytes)?;
        }
        let features_offset = output.stream_position()?;
        let (mut columns, mut category, mut index) = (FeatureColumns::default(), String::new(), FIRST_FEATURES_INDEX);
        for &number in order {
            category.clear();
            columns.push(&feature(number, &mut category));
            if columns.count() as usize == BLOCK_COUNT || columns.len_bytes() >= FULL_PART_COUNT {
                columns.encode(index, &mut self.bytes);
                output.write_all(&self.bytes)?;
                index += 1;
            }
        }
        if columns.count() > 0 {
            columns.encode(index, &mut self.bytes);
            output.write_all(&self.bytes)?;
        }
        let summary_offset = output.stream_position()?;
        let summary = serde_json::to_vec(summary).map_err(io::Error::other)?;
        output.write_all(&summary)?;
        let words = [self.row_count, order.len() as u64, features_offset, summary_offset, xxh3_64(&summary)];
        output.write_all(&trailer(words))
    }
}

/// Reads a block of rows back from the spool file. It fails only if the disk lost bytes.
fn read_block(
    mut spool: &std::fs::File,
    feature_count: u64,
    bytes: &mut Vec<u8>,
    rows: &mut IndexedRows,
) -> io::Result<()> {
    let wrong = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
    let mut header = [0; BLOCK_HEADER_LEN];
    spool.read_exact(&mut header)?;
    let decoded = BlockHeader::decode(&header).map_err(wrong)?;
    bytes.resize(usize::try_from(decoded.rows_len()).map_err(io::Error::other)?, 0);
    spool.read_exact(bytes)?;
    if !decoded.matches(&header, bytes) {
        return Err(wrong("expected the rows that were just written, found other bytes; check the disk".to_owned()));
    }
    decode_rows(&decoded, bytes, feature_count, rows).map_err(wrong)
}

fn header(digest: Digest) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[VERSION_OFFSET..VERSION_OFFSET + 4].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[DIGEST_OFFSET..DIGEST_OFFSET + DIGEST_LEN].copy_from_slice(digest.as_bytes());
    let checksum = xxh3_64(&header[..HEADER_CHECKSUM_OFFSET]);
    header[HEADER_CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn trailer(words: [u64; 5]) -> Vec<u8> {
    let mut trailer: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    trailer.extend_from_slice(END_MAGIC);
    trailer.extend_from_slice(&xxh3_64(&trailer).to_le_bytes());
    debug_assert_eq!(trailer.len(), TRAILER_LEN);
    trailer
}

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
    builder.missing_by_log = reader.missing_by_file().to_vec();
    builder.finish(contract, digest, log_row_counts, (reader.rows_read(), reader.bad_row_count()))
}

/// Builds a cache of batches that are in memory. Its digest is that of nothing, so it must not be reused.
pub(in crate::learn) fn build_of_batches(
    contract: &Contract,
    sampling: Sampling,
    batches: &[RowBatch],
    path: &Path,
) -> Result<(), TrainError> {
    let mut builder = Builder::new(contract, sampling, path)?;
    batches.iter().try_for_each(|batch| builder.push(batch))?;
    builder.finish(contract, Digest::of(b""), Vec::new(), (0, 0))
}

/// Builds a cache from batches, for tests that learn from it.
#[cfg(test)]
pub(in crate::learn) fn cache_of_batches(
    contract: &Contract,
    sampling: Sampling,
    batches: &[RowBatch],
    path: &Path,
) -> super::RowCache {
    build_of_batches(contract, sampling, batches, path).unwrap();
    let super::Found::Fresh(cache) = super::RowCache::find(path, Digest::of(b"")).unwrap() else { panic!("no cache") };
    *cache
}

struct Builder {
    writer: RowCacheWriter,
    indexer: RowIndexer,
    first_sums: Option<LabelSums>,
    invalid_numbers: Vec<u64>,
    missing_by_log: Vec<FileMissing>,
}

impl Builder {
    fn new(contract: &Contract, sampling: Sampling, path: &Path) -> Result<Self, TrainError> {
        Ok(Self {
            writer: RowCacheWriter::create(path, true)?,
            indexer: RowIndexer::new(contract, sampling),
            first_sums: None,
            invalid_numbers: vec![0; contract.fields().len()],
            missing_by_log: Vec::new(),
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
            missing_by_log: self.missing_by_log,
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
