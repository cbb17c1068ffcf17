//! Records in temporary files of one run: written and read by this process only.

use std::io::{self, Read};

/// Appends values to bytes.
pub(super) trait Put {
    fn put(&mut self, bytes: &[u8]);
    fn put_bytes(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    /// Appends a length and the bytes. No record is longer than a frame, 64 MiB.
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.put(bytes);
    }
}

/// Takes values from the front of bytes.
pub(super) struct Take<'a>(pub(super) &'a [u8]);

impl<'a> Take<'a> {
    pub(super) fn array<const LEN: usize>(&mut self) -> io::Result<[u8; LEN]> {
        let (front, rest) = self.0.split_first_chunk().ok_or_else(cut)?;
        self.0 = rest;
        Ok(*front)
    }

    pub(super) fn slice(&mut self, len: usize) -> io::Result<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len).ok_or_else(cut)?;
        self.0 = rest;
        Ok(front)
    }

    pub(super) fn bytes(&mut self) -> io::Result<&'a [u8]> {
        let len = self.u32()? as usize;
        self.slice(len)
    }

    pub(super) fn text(&mut self) -> io::Result<&'a str> {
        str::from_utf8(self.bytes()?).map_err(io::Error::other)
    }

    pub(super) fn u8(&mut self) -> io::Result<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> io::Result<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a temporary file is cut; another program changed it")
}

/// Reads a length and as many bytes, or nothing at the end.
pub(super) fn read_record(from: &mut impl Read, record: &mut Vec<u8>) -> io::Result<bool> {
    let mut len = [0; size_of::<u32>()];
    let first = from.read(&mut len)?;
    if first == 0 {
        return Ok(false);
    }
    from.read_exact(&mut len[first..])?;
    record.resize(u32::from_le_bytes(len) as usize, 0);
    from.read_exact(record)?;
    Ok(true)
}
