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
/// Length of the first piece. Each is twice as long as the one before, because some readers only look at the start.
const FIRST_PIECE_LEN_BYTES: u64 = 256 << 10;

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
    piece_len_bytes: u64,
    piece: Bytes,
    next: Option<JoinHandle<Result<Bytes, object_store::Error>>>,
    pace: Pace,
    /// When the next piece may be asked for.
    next_at: Instant,
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
            piece_len_bytes: FIRST_PIECE_LEN_BYTES,
            piece: Bytes::new(),
            next: None,
            pace,
            next_at: Instant::now(),
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

    pub(super) fn read_error(&self, name: &str, error: object_store::Error) -> BucketError {
        match error {
            object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. } => {
                BucketError::Replaced { address: self.named(name) }
            }
            error => self.failed("read", name)(error),
        }
    }
}

pub(super) async fn get_range(
    objects: Arc<dyn ObjectStore>,
    path: Path,
    version: Version,
    range: Range<u64>,
) -> Result<Bytes, object_store::Error> {
    let wanted_len = range.end - range.start;
    let options = GetOptions {
        if_match: version.strong_tag().map(str::to_owned),
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

impl Pace {
    /// The length of a piece: at most what half a second brings, so that the pace holds from the first byte.
    fn piece_len_bytes(self) -> u64 {
        self.0.map_or(PIECE_LEN_BYTES, |per_second| (per_second / 2).clamp(1, PIECE_LEN_BYTES))
    }

    /// How long so many bytes take.
    fn time_of(self, len_bytes: u64) -> Duration {
        self.0.map_or(Duration::ZERO, |per_second| Duration::from_secs_f64(len_bytes as f64 / per_second.max(1) as f64))
    }
}

impl ObjectReader {
    /// Asks for the next piece, if there is one, when the pace allows it. A pause is not made up for later.
    fn ask(&mut self) {
        let start = self.position;
        let end = self.version.len_bytes.min(start + self.pace.piece_len_bytes().min(self.piece_len_bytes));
        if start >= end {
            return;
        }
        let at = self.next_at.max(Instant::now());
        self.next_at = at + self.pace.time_of(end - start);
        let get = get_range(Arc::clone(&self.objects), self.path.clone(), self.version.clone(), start..end);
        self.position = end;
        self.piece_len_bytes = PIECE_LEN_BYTES.min(2 * self.piece_len_bytes);
        self.next = Some(runtime().spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            get.await
        }));
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            next.abort();
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let Some(next) = self.next.take() else { return Ok(0) };
            let piece = runtime().block_on(next).map_err(io::Error::other)?;
            self.piece = piece.map_err(|error| io::Error::other(self.bucket.read_error(&self.name, error)))?;
            self.ask();
        }
        let len = to.len().min(self.piece.len());
        to[..len].copy_from_slice(&self.piece.split_to(len));
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{Fault, Service};
    use super::*;

    #[test]
    fn the_pace_holds_from_the_first_byte() {
        let bucket = Service::default().bucket(Fault::None);
        let bytes: Vec<u8> = (0..3).flat_map(|_| 0..200_u8).collect();
        bucket.create("a", bytes.clone().into()).unwrap();
        let version = bucket.look_at("a").unwrap().unwrap();
        let mut reader = bucket.reader("a", &version, 0, Pace(Some(400))).unwrap();
        let (start, mut found) = (Instant::now(), Vec::new());
        let mut buffer = [0; 1_000];
        loop {
            let len = reader.read(&mut buffer).unwrap();
            found.extend_from_slice(&buffer[..len]);
            // Half a second's bytes may come at once.
            assert!(found.len() as f64 <= 200.0 + 400.0 * start.elapsed().as_secs_f64() + 1.0, "{}", found.len());
            if len == 0 {
                break;
            }
        }
        assert_eq!(found, bytes);
        assert!(start.elapsed() >= Duration::from_millis(990), "{:?}", start.elapsed());
    }
}
