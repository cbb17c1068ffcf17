//! Reads an object like a file: from any position, in bounded memory.
//!
//! Parquet is read at several positions at once, a column each. So the object is read in blocks. A block is kept until
//! too many others were used after it, and where reading goes on from one block to the next, the one after that is on
//! its way already.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::read::get_range;
use super::{Bucket, BucketError, Version, runtime};

/// Most bytes of all blocks of an object that are in memory.
const MAX_KEPT_LEN_BYTES: u64 = 128 << 20;
/// Length of a block until it is known at how many positions the object will be read: enough for a footer.
const FIRST_BLOCK_LEN_BYTES: u64 = 64 << 10;
/// Longest block.
const MAX_BLOCK_LEN_BYTES: u64 = 4 << 20;

/// A version of an object, and a position in it. Clones share the blocks, and begin at the same position.
#[derive(Debug)]
pub struct ObjectFile {
    object: Arc<Object>,
    position: AtomicU64,
}

#[derive(Debug)]
struct Object {
    bucket: Bucket,
    name: String,
    version: Version,
    blocks: Mutex<Blocks>,
}

#[derive(Debug)]
struct Blocks {
    block_len_bytes: u64,
    kept: BTreeMap<u64, Block>,
    use_count: u64,
    failure: Option<BucketError>,
}

#[derive(Debug)]
struct Block {
    last_use: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Here(Bytes),
    Coming(JoinHandle<Result<Bytes, object_store::Error>>),
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Content::Coming(request) = &self.content {
            request.abort();
        }
    }
}

impl Bucket {
    /// Reads a version of an object like a file.
    #[must_use]
    pub fn file(&self, name: &str, version: &Version) -> ObjectFile {
        let blocks =
            Blocks { block_len_bytes: FIRST_BLOCK_LEN_BYTES, kept: BTreeMap::new(), use_count: 0, failure: None };
        let object = Object {
            bucket: self.clone(),
            name: name.to_owned(),
            version: version.clone(),
            blocks: Mutex::new(blocks),
        };
        ObjectFile { object: Arc::new(object), position: AtomicU64::new(0) }
    }
}

impl Object {
    /// Returns the bytes from a position to the end of its block; none at the end of the object.
    fn bytes_at(&self, position: u64) -> Result<Bytes, BucketError> {
        if position >= self.version.len_bytes {
            return Ok(Bytes::new());
        }
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let index = position / blocks.block_len_bytes;
        let is_next = index.checked_sub(1).is_some_and(|before| blocks.kept.contains_key(&before));
        self.ask(&mut blocks, index)?;
        if is_next {
            self.ask(&mut blocks, index + 1)?;
        }
        let start = position - index * blocks.block_len_bytes;
        let Some(block) = blocks.kept.get_mut(&index) else { return Ok(Bytes::new()) };
        let bytes = match &mut block.content {
            Content::Here(bytes) => bytes.clone(),
            Content::Coming(request) => {
                let outcome = runtime().block_on(request);
                let outcome = outcome.map_err(|error| BucketError::Failed {
                    action: "read",
                    address: self.bucket.named(&self.name),
                    problem: error.to_string(),
                });
                match outcome.and_then(|bytes| bytes.map_err(|error| self.bucket.read_error(&self.name, error))) {
                    Ok(bytes) => {
                        block.content = Content::Here(bytes.clone());
                        bytes
                    }
                    Err(error) => {
                        blocks.kept.remove(&index);
                        blocks.failure = Some(error.clone());
                        return Err(error);
                    }
                }
            }
        };
        Ok(bytes.slice(usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len())..))
    }

    /// Sees to it that a block is here or on its way, and forgets those that were not used for long.
    fn ask(&self, blocks: &mut Blocks, index: u64) -> Result<(), BucketError> {
        let start = index * blocks.block_len_bytes;
        if start >= self.version.len_bytes {
            return Ok(());
        }
        blocks.use_count += 1;
        let last_use = blocks.use_count;
        if let Some(block) = blocks.kept.get_mut(&index) {
            block.last_use = last_use;
            return Ok(());
        }
        let end = self.version.len_bytes.min(start + blocks.block_len_bytes);
        let path = self.bucket.path(&self.name)?;
        let get = get_range(Arc::clone(&self.bucket.objects), path, self.version.clone(), start..end);
        blocks.kept.insert(index, Block { last_use, content: Content::Coming(runtime().spawn(get)) });
        let max_count = (MAX_KEPT_LEN_BYTES / blocks.block_len_bytes).max(4);
        if blocks.kept.len() as u64 > max_count
            && let Some((&oldest, _)) = blocks.kept.iter().min_by_key(|(_, block)| block.last_use)
        {
            blocks.kept.remove(&oldest);
        }
        Ok(())
    }
}

impl ObjectFile {
    /// The length of the object in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.object.version.len_bytes
    }

    /// Prepares to read at so many positions at once: the more there are, the shorter is a block.
    pub fn prepare_for(&self, position_count: usize) {
        let mut blocks = self.object.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        // Each has a block that it reads, and the one after that.
        let wanted = MAX_KEPT_LEN_BYTES / (2 * (position_count as u64 + 2));
        let wanted = wanted.clamp(FIRST_BLOCK_LEN_BYTES, MAX_BLOCK_LEN_BYTES);
        if wanted != blocks.block_len_bytes {
            blocks.block_len_bytes = wanted;
            blocks.kept.clear();
        }
    }

    /// Takes the failure of the last read that failed. Decoders pass on no more than its text.
    #[must_use]
    pub fn take_failure(&self) -> Option<BucketError> {
        self.object.blocks.lock().unwrap_or_else(PoisonError::into_inner).failure.take()
    }

    /// Reads from `start` on.
    #[must_use]
    pub fn from(&self, start: u64) -> Self {
        Self { object: Arc::clone(&self.object), position: AtomicU64::new(start) }
    }
}

impl Clone for ObjectFile {
    fn clone(&self) -> Self {
        self.from(self.position.load(Ordering::Relaxed))
    }
}

impl Read for &ObjectFile {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let position = self.position.load(Ordering::Relaxed);
        let bytes = self.object.bytes_at(position).map_err(io::Error::other)?;
        let len = to.len().min(bytes.len());
        to[..len].copy_from_slice(&bytes[..len]);
        self.position.store(position + len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

impl Seek for &ObjectFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.len_bytes().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.load(Ordering::Relaxed).checked_add_signed(offset),
        };
        let position = position.ok_or(io::ErrorKind::InvalidInput)?;
        self.position.store(position, Ordering::Relaxed);
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::made_up::{Fault, Service};
    use super::*;

    fn object(len: usize) -> (Vec<u8>, Bucket, Version) {
        let bucket = Service::default().bucket(Fault::None);
        let bytes: Vec<u8> =
            (0..len).map(|at| ((at as u64).wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0]).collect();
        bucket.create("a", bytes.clone().into()).unwrap();
        let version = bucket.look_at("a").unwrap().unwrap();
        (bytes, bucket, version)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_read_at_several_positions_is_what_a_file_has(
            reads in proptest::collection::vec((0..3_usize, 0..1_000_000_u64, 1..300_000_usize, 0..4_usize), 1..20),
        ) {
            let (bytes, bucket, version) = object(900_000);
            let file = bucket.file("a", &version);
            let handles = [file.clone(), file.clone(), file];
            for (handle, start, len, streams) in reads {
                handles[0].prepare_for(streams * 300);
                let mut handle = &handles[handle];
                handle.seek(SeekFrom::Start(start)).unwrap();
                let mut found = Vec::new();
                handle.take(len as u64).read_to_end(&mut found).unwrap();
                let start = usize::try_from(start).unwrap().min(bytes.len());
                prop_assert_eq!(&found, &bytes[start..(start + len).min(bytes.len())]);
            }
        }
    }

    #[test]
    fn no_more_blocks_are_kept_than_allowed() {
        let (_, bucket, version) = object(40 << 20);
        let file = bucket.file("a", &version);
        file.prepare_for(1_000_000);
        io::copy(&mut &file, &mut io::sink()).unwrap();
        file.prepare_for(30);
        io::copy(&mut &file, &mut io::sink()).unwrap();
        let blocks = file.object.blocks.lock().unwrap();
        assert!(blocks.kept.len() as u64 * blocks.block_len_bytes <= MAX_KEPT_LEN_BYTES + MAX_BLOCK_LEN_BYTES);
    }

    #[test]
    fn a_failure_can_be_asked_for_and_an_object_that_was_replaced_is_one() {
        let (_, bucket, version) = object(300_000);
        let file = bucket.file("a", &version);
        bucket.overwrite("a", Bytes::from_static(b"other")).unwrap();
        let error = io::copy(&mut &file, &mut io::sink()).unwrap_err();
        assert!(matches!(error.get_ref().unwrap().downcast_ref(), Some(BucketError::Replaced { .. })), "{error}");
        assert!(matches!(file.take_failure(), Some(BucketError::Replaced { .. })));
        assert!(file.take_failure().is_none());
    }
}
