//! Reads text line by line, for formats with one row per line.

use std::io::{self, BufRead};

use super::csv_records::MAX_RECORD_LEN;

/// The lines of a text that are not blank.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    /// The line that was read last, with its end.
    pub(super) line: Vec<u8>,
    /// How many lines were read, blank ones excluded.
    pub(super) row: u64,
}

impl Lines {
    pub(super) fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, line: Vec::new(), row: 0 }
    }

    /// Reads the next line that is not blank. Returns whether it is short enough to be a row, or `None` at the end of
    /// the file. Only the start of a longer line is kept.
    pub(super) fn next(&mut self) -> io::Result<Option<bool>> {
        loop {
            self.line.clear();
            let len = self.take_line()?;
            if len == 0 {
                return Ok(None);
            }
            if len > MAX_RECORD_LEN && self.line.last() != Some(&b'\n') {
                self.input.skip_until(b'\n')?;
            }
            if self.row == 0 && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            if !self.line.trim_ascii().is_empty() {
                self.row += 1;
                return Ok(Some(len <= MAX_RECORD_LEN));
            }
        }
    }

    /// Appends the next line, or the start of one that is too long, and returns its length. The standard library's
    /// `read_until` does the same with a slower search.
    fn take_line(&mut self) -> io::Result<usize> {
        while self.line.len() <= MAX_RECORD_LEN {
            let bytes = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            let room = MAX_RECORD_LEN + 1 - self.line.len();
            let bytes = &bytes[..bytes.len().min(room)];
            let end = memchr::memchr(b'\n', bytes).map(|place| place + 1);
            let taken = end.unwrap_or(bytes.len());
            self.line.extend_from_slice(&bytes[..taken]);
            self.input.consume(taken);
            if end.is_some() || taken == 0 {
                break;
            }
        }
        Ok(self.line.len())
    }
}
