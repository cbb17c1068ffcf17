//! Opens text files, pipes and standard input, and decompresses them.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

use xxhash_rust::xxh3::Xxh3;

use super::LogError;
use super::files::{Compression, FileId, Format, LogFile};
use crate::bucket::Stream;

const BUFFER_LEN: usize = 1 << 17;

/// Identifies a pipe, also after another one was made in its place.
type PipeId = (FileId, Option<SystemTime>);

/// The pipes that this process has opened. A pipe that is opened again waits for a writer that
/// never comes, or gives the rest of what another reader has taken.
static OPENED_PIPES: LazyLock<Mutex<HashSet<PipeId>>> = LazyLock::new(Mutex::default);

/// A decompressed text.
pub(super) type Text = Box<dyn BufRead + Send>;

/// Opens a text file and decompresses it. Decides the format of a pipe whose name does not tell. `read_len` counts the
/// bytes read from disk: compressed bytes if the file is compressed. `pipe_hash` takes the bytes of a pipe.
pub(super) fn open_text(
    file: &LogFile,
    format: Format,
    read_len: Arc<AtomicU64>,
    pipe_hash: Option<&PipeHash>,
) -> Result<(Text, Format), LogError> {
    let path = &file.path;
    let unreadable = |source| LogError::Unreadable { file: path.clone(), source };
    if file.is_pipe {
        let made = path.metadata().and_then(|metadata| metadata.created()).ok();
        let mut opened = OPENED_PIPES.lock().unwrap_or_else(PoisonError::into_inner);
        if !opened.insert((file.id(), made)) {
            return Err(LogError::ReadOnce { file: path.clone() });
        }
    }
    let bytes: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(CountedFile { file: Stream::open(path).map_err(unreadable)?, read_len })
    };
    let bytes = match pipe_hash {
        Some(hash) if file.is_pipe => Box::new(HashedPipe { bytes, hash: hash.clone() }),
        _ => bytes,
    };
    let stored = BufReader::with_capacity(BUFFER_LEN, bytes);
    match format {
        Format::Csv(compression, _) | Format::JsonLines(compression) | Format::VowpalWabbit(compression) => {
            Ok((decompressed(Box::new(stored), compression).map_err(unreadable)?, format))
        }
        Format::Parquet | Format::Unknown => tell(path, stored),
    }
}

/// Tells the format of a text by its first bytes.
fn tell(path: &Path, stored: BufReader<Box<dyn Read + Send>>) -> Result<(Text, Format), LogError> {
    let unreadable = |source| LogError::Unreadable { file: path.to_owned(), source };
    let (start, stored) = start_of(stored).map_err(unreadable)?;
    let compression = match &start[..] {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        b"PAR1" => return Err(LogError::ParquetPipe { file: path.to_owned() }),
        _ => Compression::None,
    };
    let text = decompressed(Box::new(stored), compression).map_err(unreadable)?;
    let mut text = BufReader::with_capacity(BUFFER_LEN, text);
    let start = text.fill_buf().map_err(unreadable)?;
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let is_json = start.trim_ascii_start().starts_with(b"{");
    let format = if is_json { Format::JsonLines(compression) } else { Format::Csv(compression, ',') };
    Ok((Box::new(text), format))
}

/// Reads the first 4 bytes, or fewer if there are not so many, and returns them and all bytes.
fn start_of(mut stored: BufReader<Box<dyn Read + Send>>) -> io::Result<(Vec<u8>, impl BufRead + Send)> {
    let mut start = Vec::new();
    (&mut stored).take(4).read_to_end(&mut start)?;
    Ok((start.clone(), io::Cursor::new(start).chain(stored)))
}

fn decompressed(mut stored: Box<dyn BufRead + Send>, compression: Compression) -> io::Result<Text> {
    Ok(match compression {
        Compression::None => stored,
        // A file of 0 bytes is not valid in either format, but programs write it for no rows.
        _ if stored.fill_buf()?.is_empty() => stored,
        Compression::Gzip => {
            Box::new(BufReader::with_capacity(BUFFER_LEN, flate2::bufread::MultiGzDecoder::new(stored)))
        }
        Compression::Zstd => Box::new(BufReader::with_capacity(BUFFER_LEN, zstd::Decoder::with_buffer(stored)?)),
    })
}

/// The hash of the bytes of a pipe so far.
#[derive(Clone, Default)]
pub(super) struct PipeHash(Arc<Mutex<Xxh3>>);

impl PipeHash {
    fn update(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
    }

    /// Returns the digest of the bytes so far.
    pub(super) fn digest(&self) -> String {
        digest_text(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for PipeHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PipeHash({})", self.digest())
    }
}

/// Returns a digest as 32 hexadecimal digits.
pub(crate) fn digest_text(hash: &Xxh3) -> String {
    format!("{:032x}", hash.digest128())
}

struct HashedPipe {
    bytes: Box<dyn Read + Send>,
    hash: PipeHash,
}

impl Read for HashedPipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.bytes.read(buffer)?;
        self.hash.update(&buffer[..len]);
        Ok(len)
    }
}

struct CountedFile {
    file: Stream,
    read_len: Arc<AtomicU64>,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        self.read_len.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}
