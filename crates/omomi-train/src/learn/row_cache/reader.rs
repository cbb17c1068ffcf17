//! Reads a row cache, block by block. Whatever the bytes are, the reader returns an error or rows that can be learned.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::learn::learner::IndexedRows;
use omomi::store::Digest;

use super::row_block::{BlockHeader, CachedFeature, decode_features, decode_rows};
use super::{
    BLOCK_HEADER_LEN, DIGEST_LEN, DIGEST_OFFSET, END_MAGIC, END_MAGIC_OFFSET, FIRST_FEATURES_INDEX, FORMAT_VERSION,
    HEADER_CHECKSUM_OFFSET, HEADER_LEN, MAGIC, RowCacheError, Summary, TRAILER_CHECKSUM_OFFSET, TRAILER_LEN,
    VERSION_OFFSET,
};

/// Maximum length of the summary in bytes. It grows with the number of logs.
const MAX_SUMMARY_LEN: u64 = 1 << 26;

/// An open row cache.
#[derive(Debug)]
pub(in crate::learn) struct RowCache {
    path: PathBuf,
    file: File,
    summary: Summary,
    row_count: u64,
    feature_count: u64,
    features_offset: u64,
    summary_offset: u64,
    /// Offset of the next block.
    position: u64,
    /// Index of the next block among those of its kind.
    next_index: u32,
    rows_returned: u64,
    bytes: Vec<u8>,
}

/// The result of looking for a cache.
#[derive(Debug)]
pub(in crate::learn) enum Found {
    /// The file is a cache with the expected digest.
    Fresh(Box<RowCache>),
    /// The file is a cache with another digest or of another version. It must be rebuilt.
    Stale,
    /// There is no file.
    Nothing,
}

impl RowCache {
    /// Opens the cache `path` if it has the digest `digest`. Blocks are checked only when they are read.
    pub(in crate::learn) fn find(path: &Path, digest: Digest) -> Result<Found, RowCacheError> {
        let failed = |error| RowCacheError::io("read", path, error);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(failed(error)),
        };
        let len = file.metadata().map_err(failed)?.len();
        let mut header = [0; HEADER_LEN];
        let head_len = read_up_to(&mut file, &mut header).map_err(failed)?;
        if !header[..head_len].starts_with(MAGIC) {
            return Err(RowCacheError::NotACache { path: path.to_owned() });
        }
        let damaged = |problem: String| RowCacheError::damaged(path, problem);
        let min_len = (HEADER_LEN + TRAILER_LEN) as u64;
        if len < min_len {
            return Err(damaged(format!("expected at least {min_len} bytes, found {len}")));
        }
        if word(&header, HEADER_CHECKSUM_OFFSET) != xxh3_64(&header[..HEADER_CHECKSUM_OFFSET]) {
            return Err(damaged("the checksum of its header does not match".to_owned()));
        }
        let is_version = header[VERSION_OFFSET..VERSION_OFFSET + 4] == FORMAT_VERSION.to_le_bytes();
        if !is_version || header[DIGEST_OFFSET..DIGEST_OFFSET + DIGEST_LEN] != *digest.as_bytes() {
            return Ok(Found::Stale);
        }
        Self::open(path, file, len).map(|cache| Found::Fresh(Box::new(cache)))
    }

    fn open(path: &Path, mut file: File, len: u64) -> Result<Self, RowCacheError> {
        let failed = |error| RowCacheError::io("read", path, error);
        let damaged = |problem: String| RowCacheError::damaged(path, problem);
        let trailer_offset = len - TRAILER_LEN as u64;
        let mut trailer = [0; TRAILER_LEN];
        file.seek(SeekFrom::Start(trailer_offset)).map_err(failed)?;
        file.read_exact(&mut trailer).map_err(failed)?;
        let is_end = trailer[END_MAGIC_OFFSET..TRAILER_CHECKSUM_OFFSET] == *END_MAGIC;
        if !is_end || word(&trailer, TRAILER_CHECKSUM_OFFSET) != xxh3_64(&trailer[..TRAILER_CHECKSUM_OFFSET]) {
            return Err(damaged("expected the trailer at its end, found other bytes: it was truncated".to_owned()));
        }
        let [row_count, feature_count, features_offset, summary_offset, summary_checksum] =
            [0, 1, 2, 3, 4].map(|index| word(&trailer, index * size_of::<u64>()));
        let in_order = HEADER_LEN as u64 <= features_offset
            && features_offset <= summary_offset
            && summary_offset <= trailer_offset
            && trailer_offset - summary_offset <= MAX_SUMMARY_LEN;
        if !in_order {
            return Err(damaged(format!(
                "expected its parts one after the other, found features at {features_offset}, the summary at \
                 {summary_offset} and the trailer at {trailer_offset}"
            )));
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(summary_offset)).map_err(failed)?;
        (&file).take(trailer_offset - summary_offset).read_to_end(&mut bytes).map_err(failed)?;
        if xxh3_64(&bytes) != summary_checksum {
            return Err(damaged("the checksum of its summary does not match".to_owned()));
        }
        let summary = serde_json::from_slice(&bytes).map_err(|error| damaged(format!("its summary: {error}")))?;
        let (path, position) = (path.to_owned(), HEADER_LEN as u64);
        let (next_index, rows_returned) = (0, 0);
        let bytes = Vec::new();
        let mut cache = Self {
            path,
            file,
            summary,
            row_count,
            feature_count,
            features_offset,
            summary_offset,
            position,
            next_index,
            rows_returned,
            bytes,
        };
        cache.rewind()?;
        Ok(cache)
    }

    pub(in crate::learn) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::learn) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Returns the number of rows, without those that sampling left out.
    pub(in crate::learn) fn row_count(&self) -> u64 {
        self.row_count
    }

    pub(in crate::learn) fn feature_count(&self) -> u64 {
        self.feature_count
    }

    /// Goes back to the first row.
    pub(in crate::learn) fn rewind(&mut self) -> Result<(), RowCacheError> {
        (self.next_index, self.rows_returned) = (0, 0);
        self.seek(HEADER_LEN as u64)
    }

    /// Stores the next rows of the log in `rows`. Returns false if there are no more.
    pub(in crate::learn) fn next_rows(&mut self, rows: &mut IndexedRows) -> Result<bool, RowCacheError> {
        if self.position == self.features_offset {
            if self.rows_returned != self.row_count {
                let (expected, found) = (self.row_count, self.rows_returned);
                return Err(self.damaged(format!("expected {expected} rows, found {found}")));
            }
            return Ok(false);
        }
        let header = self.read_block(self.features_offset, BlockHeader::rows_len)?;
        decode_rows(&header, &self.bytes, self.feature_count, rows).map_err(|problem| self.damaged(problem))?;
        self.rows_returned += rows.row_count() as u64;
        Ok(true)
    }

    /// Calls `visit` with each feature, the most frequent first. Then goes back to the first row.
    pub(in crate::learn) fn each_feature<E: From<RowCacheError>>(
        &mut self,
        mut visit: impl FnMut(CachedFeature<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.seek(self.features_offset)?;
        self.next_index = FIRST_FEATURES_INDEX;
        let mut found = 0;
        while self.position < self.summary_offset {
            let header = self.read_block(self.summary_offset, BlockHeader::features_len)?;
            let mut failed = None;
            decode_features(&header, &self.bytes, |feature| {
                if failed.is_none() {
                    failed = visit(feature).err();
                }
                Ok(())
            })
            .map_err(|problem| self.damaged(problem))?;
            if let Some(error) = failed {
                return Err(error);
            }
            found += u64::from(header.count);
        }
        if found != self.feature_count {
            return Err(self.damaged(format!("expected {} features, found {found}", self.feature_count)).into());
        }
        Ok(self.rewind()?)
    }

    /// Reads the payload of the next block into `self.bytes`. The block must not extend past `end`.
    fn read_block(&mut self, end: u64, len_of: fn(&BlockHeader) -> u64) -> Result<BlockHeader, RowCacheError> {
        let start = self.position;
        let mut header = [0; BLOCK_HEADER_LEN];
        let payload_offset = start + BLOCK_HEADER_LEN as u64;
        if payload_offset > end {
            return Err(self.damaged(format!("expected a block at {start}, found {} bytes", end - start)));
        }
        self.read_exact(&mut header)?;
        let decoded = BlockHeader::decode(&header).map_err(|problem| self.damaged(problem))?;
        let len = len_of(&decoded);
        if len > end - payload_offset {
            let room = end - payload_offset;
            return Err(self.damaged(format!("the block at {start} claims {len} bytes, but only {room} are left")));
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(usize::try_from(len).map_err(|_| self.damaged("a block is too long for this machine"))?, 0);
        self.read_exact(&mut bytes)?;
        self.bytes = bytes;
        if !decoded.matches(&header, &self.bytes) {
            return Err(self.damaged(format!("the checksum of the block at {start} does not match")));
        }
        if decoded.index != self.next_index {
            let (expected, found) = (self.next_index, decoded.index);
            return Err(self.damaged(format!("expected block {expected} at {start}, found block {found}")));
        }
        self.position = payload_offset + len;
        self.next_index = decoded.index.wrapping_add(1);
        Ok(decoded)
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), RowCacheError> {
        self.file.read_exact(bytes).map_err(|error| RowCacheError::io("read", &self.path, error))
    }

    fn seek(&mut self, position: u64) -> Result<(), RowCacheError> {
        self.position = position;
        self.file.seek(SeekFrom::Start(position)).map_err(|error| RowCacheError::io("read", &self.path, error))?;
        Ok(())
    }

    fn damaged(&self, problem: impl Into<String>) -> RowCacheError {
        RowCacheError::damaged(&self.path, problem)
    }
}

fn read_up_to(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + size_of::<u64>()].try_into().expect("eight bytes"))
}
