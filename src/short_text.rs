//! Reads short text files that any process may have written. Opening never waits for the writer of a FIFO. Only regular
//! files are read, and never more bytes than such a file can need.

use std::fs::{File, FileType};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Why there is no text.
#[derive(Debug)]
pub enum TextError {
    /// The operating system returned an error.
    Io {
        /// The action that failed, such as `open`.
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not a short text.
    Unexpected {
        /// What was expected.
        expected: String,
        /// What was found.
        found: &'static str,
    },
}

/// Returns the text of the file at `path`, of at most `max_bytes` bytes, or nothing if there is no file.
pub fn read(path: &Path, max_bytes: u64) -> Result<Option<String>, TextError> {
    let failed = |action| move |source| TextError::Io { action, source };
    let unexpected = |expected: &str, found| TextError::Unexpected { expected: expected.to_owned(), found };
    // Without O_NONBLOCK, opening a FIFO would wait until another process opens it for writing.
    let open = || File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
    let mut opened = open();
    // A link to nothing is not the absence of a file: somebody wanted a text here. A file that was created or replaced
    // in the meantime is opened again.
    for is_last in [false, true] {
        if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)
            && let Ok(metadata) = path.symlink_metadata()
        {
            if is_last && metadata.is_symlink() {
                return Err(unexpected("a regular file", "a link to a file that does not exist"));
            }
            opened = open();
        }
    }
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed("open"))?,
    };
    let kind = file.metadata().map_err(failed("read the metadata of"))?.file_type();
    if !kind.is_file() {
        return Err(unexpected("a regular file", word_of(kind)));
    }
    let mut text = String::new();
    match file.take(max_bytes + 1).read_to_string(&mut text) {
        Err(error) if error.kind() == ErrorKind::InvalidData => return Err(unexpected("UTF-8", "other bytes")),
        outcome => outcome.map_err(failed("read"))?,
    };
    if text.len() as u64 > max_bytes {
        return Err(unexpected(&format!("at most {max_bytes} bytes"), "more"));
    }
    Ok(Some(text))
}

fn word_of(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a FIFO",
        _ => "a device",
    }
}

/// A text that does not have the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct UnexpectedText {
    /// What was expected.
    pub expected: &'static str,
    /// What was found, shortened if it is long.
    pub found: String,
}

impl UnexpectedText {
    pub(crate) fn new(expected: &'static str, found: &str) -> Self {
        const SHOWN_CHARS: usize = 80;
        let shown: String = found.chars().take(SHOWN_CHARS).collect();
        let more = if shown.len() < found.len() { " and more" } else { "" };
        Self { expected, found: format!("{shown:?}{more}") }
    }
}
