//! Reads long objects in pieces, with the next piece on its way.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use tokio::task::JoinHandle;

use super::{Bucket, BucketError, Version, runtime};

/// Length of a piece in bytes. Two of them are in memory.
const PIECE_LEN_BYTES: u64 = 8 << 20;

/// How fast is read: at most so many bytes a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace(pub Option<u64>);

/// Reads an object from a position to its end. All pieces are of one version.
#[derive(Debug)]
pub struct ObjectReader {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    bucket: Bucket,
    name: String,
    version: Version,
    /// Where the piece after the next one begins.
    position: u64,
    piece: Bytes,
    next: Option<JoinHandle<Result<Bytes, object_store::Error>>>,
    pace: Pace,
    began: Instant,
    read_len: u64,
}

impl Bucket {
    /// Reads a version of an object from byte `start` on.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::NoAddress`] for a name that no object has. What the service refuses is an error of
    /// [`Read::read`], which holds a [`BucketError`].
    pub fn reader(&self, name: &str, version: &Version, start: u64, pace: Pace) -> Result<ObjectReader, BucketError> {
        let mut reader = ObjectReader {
            objects: Arc::clone(&self.objects),
            path: self.path(name)?,
            bucket: self.clone(),
            name: name.to_owned(),
            version: version.clone(),
            position: start,
            piece: Bytes::new(),
            next: None,
            pace,
            began: Instant::now(),
            read_len: 0,
        };
        reader.ask();
        Ok(reader)
    }

    /// Reads a part of a version of an object.
    ///
    /// # Errors
    ///
    /// Returns [`BucketError::Replaced`] if the object has another version now, and other errors of the service.
    pub fn read_range(&self, name: &str, version: &Version, range: Range<u64>) -> Result<Bytes, BucketError> {
        let path = self.path(name)?;
        let get = get_range(Arc::clone(&self.objects), path, version.clone(), range);
        runtime().block_on(get).map_err(|error| self.read_error(name, error))
    }

    fn read_error(&self, name: &str, error: object_store::Error) -> BucketError {
        match error {
            object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. } => {
                BucketError::Replaced { address: self.named(name) }
            }
            error => self.failed("read", name)(error),
        }
    }
}

async fn get_range(
    objects: Arc<dyn ObjectStore>,
    path: Path,
    version: Version,
    range: Range<u64>,
) -> Result<Bytes, object_store::Error> {
    let wanted_len = range.end - range.start;
    let options = GetOptions {
        if_match: version.update.e_tag.clone(),
        range: Some(GetRange::Bounded(range)),
        ..GetOptions::default()
    };
    let bytes = objects.get_opts(&path, options).await?.bytes().await?;
    if bytes.len() as u64 != wanted_len {
        return Err(object_store::Error::Generic {
            store: "range",
            source: format!("expected {wanted_len} bytes, found {}", bytes.len()).into(),
        });
    }
    Ok(bytes)
}

impl ObjectReader {
    /// Asks for the next piece, if there is one.
    fn ask(&mut self) {
        let end = self.version.len_bytes.min(self.position + PIECE_LEN_BYTES);
        if self.position >= end {
            return;
        }
        let get = get_range(Arc::clone(&self.objects), self.path.clone(), self.version.clone(), self.position..end);
        self.position = end;
        self.next = Some(runtime().spawn(get));
    }

    /// Waits until the pace allows more.
    fn keep_pace(&self) {
        let Some(per_second) = self.pace.0 else { return };
        let due = Duration::from_secs_f64(self.read_len as f64 / per_second.max(1) as f64);
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}

impl Read for ObjectReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let Some(next) = self.next.take() else { return Ok(0) };
            self.keep_pace();
            let piece = runtime().block_on(next).map_err(io::Error::other)?;
            self.piece = piece.map_err(|error| io::Error::other(self.bucket.read_error(&self.name, error)))?;
            self.read_len += self.piece.len() as u64;
            self.ask();
        }
        let len = to.len().min(self.piece.len());
        to[..len].copy_from_slice(&self.piece.split_to(len));
        Ok(len)
    }
}
