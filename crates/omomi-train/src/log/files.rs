//! Finds the files that match patterns, and opens text files, decompressing them if necessary.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::LogError;

const BUFFER_LEN: usize = 1 << 17;

/// Most bytes in a line of CSV or JSON. A longer line is not a log row; usually a quote was not closed.
pub(super) const MAX_LINE_LEN: usize = 16 << 20;

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Path of the file, in the form in which the pattern gave it.
    pub path: PathBuf,
    /// Size on disk, in bytes. This is the compressed size if the file is compressed.
    pub len_bytes: u64,
    /// How many rows the file has, bad rows included. A Parquet file says so when it is opened; for the other formats
    /// this is `None` until the file has been read.
    pub row_count: Option<u64>,
}

/// The format of a file, told from the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv(Compression),
    JsonLines(Compression),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (stem, compression) = if let Some(stem) = name.strip_suffix(".gz") {
            (stem, Compression::Gzip)
        } else if let Some(stem) = name.strip_suffix(".zst") {
            (stem, Compression::Zstd)
        } else {
            (name.as_str(), Compression::None)
        };
        match stem.rsplit_once('.')?.1 {
            "parquet" if compression == Compression::None => Some(Self::Parquet),
            "csv" => Some(Self::Csv(compression)),
            "jsonl" | "ndjson" => Some(Self::JsonLines(compression)),
            _ => None,
        }
    }
}

/// Returns the files that match `patterns`, in the order of the patterns; the files of one pattern are sorted by name.
/// A file that matches again is left out, even if it has another path, such as a symbolic link.
pub(super) fn expand(patterns: &[impl AsRef<str>]) -> Result<Vec<(LogFile, Format)>, LogError> {
    if patterns.is_empty() {
        return Err(LogError::NoPattern);
    }
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    for pattern in patterns {
        let pattern = pattern.as_ref();
        let mut any = false;
        for path in paths(pattern)? {
            let unreadable = |source| LogError::Unreadable { file: path.clone(), source };
            let metadata = path.metadata().map_err(unreadable)?;
            if metadata.is_dir() {
                continue;
            }
            any = true;
            let format = Format::of(&path).ok_or_else(|| LogError::UnknownFormat { file: path.clone() })?;
            if seen.insert(path.canonicalize().map_err(unreadable)?) {
                files.push((LogFile { path, len_bytes: metadata.len(), row_count: None }, format));
            }
        }
        if !any {
            return Err(LogError::NoMatch { pattern: pattern.to_owned() });
        }
    }
    Ok(files)
}

fn paths(pattern: &str) -> Result<Vec<PathBuf>, LogError> {
    // If a file has exactly this name, the name is not a pattern, even if it contains brackets.
    if Path::new(pattern).is_file() {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let found = glob::glob(pattern)
        .map_err(|error| LogError::BadPattern { pattern: pattern.to_owned(), message: error.to_string() })?;
    let mut paths = found
        .map(|path| path.map_err(|error| LogError::Unreadable { file: error.path().to_owned(), source: error.into() }))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// Opens a text file and decompresses it. `read_len` counts the bytes read from disk: compressed bytes if the file is
/// compressed.
pub(super) fn open_text(
    path: &Path,
    compression: Compression,
    read_len: Arc<AtomicU64>,
) -> Result<Box<dyn BufRead + Send>, LogError> {
    let unreadable = |source| LogError::Unreadable { file: path.to_owned(), source };
    let file = CountedFile { file: File::open(path).map_err(unreadable)?, read_len };
    let stored = BufReader::with_capacity(BUFFER_LEN, file);
    Ok(match compression {
        Compression::None => Box::new(stored),
        Compression::Gzip => {
            Box::new(BufReader::with_capacity(BUFFER_LEN, flate2::bufread::MultiGzDecoder::new(stored)))
        }
        Compression::Zstd => {
            let decoder = zstd::Decoder::with_buffer(stored).map_err(unreadable)?;
            Box::new(BufReader::with_capacity(BUFFER_LEN, decoder))
        }
    })
}

struct CountedFile {
    file: File,
    read_len: Arc<AtomicU64>,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        self.read_len.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

/// Tells the two causes of a failed read apart: the operating system refused, or the decompressor found damage.
pub(super) fn read_failure(file: &Path, rows_before: u64, error: io::Error) -> LogError {
    if error.raw_os_error().is_some() {
        return LogError::Unreadable { file: file.to_owned(), source: error };
    }
    let message = if error.kind() == io::ErrorKind::UnexpectedEof {
        format!("the compressed data is truncated ({error})")
    } else {
        error.to_string()
    };
    LogError::Damaged { file: file.to_owned(), rows_before, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_extension_decides_the_format_in_upper_or_lower_case() {
        let cases = [
            ("a.parquet", Some(Format::Parquet)),
            ("a.b.csv", Some(Format::Csv(Compression::None))),
            ("A.CSV.GZ", Some(Format::Csv(Compression::Gzip))),
            ("a.csv.zst", Some(Format::Csv(Compression::Zstd))),
            ("a.jsonl", Some(Format::JsonLines(Compression::None))),
            ("a.ndjson.gz", Some(Format::JsonLines(Compression::Gzip))),
            ("a.parquet.gz", None),
            ("a.gz", None),
            ("csv", None),
            ("a.json", None),
        ];
        for (name, format) in cases {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }
}
