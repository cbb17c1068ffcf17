//! The sizes of the pages of a Parquet file, before they are decompressed.
//!
//! A few kilobytes can promise a page of gigabytes, and the decoder allocates what a page header promises. So the page
//! headers are read first, which costs one small read per page.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::csv_records::MAX_RECORD_LEN;

/// Most bytes of a decompressed page. Writers make pages of about 1 MiB, and some make one page per column of a row
/// group.
pub(crate) const MAX_PAGE_LEN: u64 = 256 << 20;
/// Most bytes of a page header. It may contain the smallest and largest value of the page.
const MAX_HEADER_LEN: usize = 1 << 20;
/// Bytes to read for a page header at first. Most are shorter.
const HEADER_LEN: usize = 128;

/// A page that is too long to be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongPage {
    /// Number of values before the page in its column chunk.
    pub(crate) values_before: u64,
    /// Length of the decompressed page according to its header.
    pub(crate) len_bytes: u64,
    /// Whether the page holds one value and nothing else.
    pub(crate) is_one_value: bool,
}

/// Returns the pages of a column chunk that are too long: those above [`MAX_PAGE_LEN`], and those that hold one value
/// above the limit for a cell. Stops at a damaged page header, because the decoder reports it.
pub(crate) fn long_pages(mut file: &File, chunk: &ColumnChunkMetaData) -> io::Result<Vec<LongPage>> {
    let first = chunk.dictionary_page_offset().map_or(chunk.data_page_offset(), |at| at.min(chunk.data_page_offset()));
    let Ok(mut at) = u64::try_from(first) else { return Ok(Vec::new()) };
    let value_count = u64::try_from(chunk.num_values()).unwrap_or(0);
    let mut long = Vec::new();
    let mut values_before = 0;
    let mut bytes = Vec::new();
    while values_before < value_count {
        let mut wanted_len = HEADER_LEN;
        let header = loop {
            file.seek(SeekFrom::Start(at))?;
            bytes.clear();
            Read::take(file, wanted_len as u64).read_to_end(&mut bytes)?;
            let header = PageHeader::parse(&bytes);
            if header.is_some() || bytes.len() < wanted_len || wanted_len >= MAX_HEADER_LEN {
                break header;
            }
            wanted_len *= 8;
        };
        let Some(header) = header else { break };
        let limit = if header.is_data && header.value_count == 1 { MAX_RECORD_LEN as u64 } else { MAX_PAGE_LEN };
        // Levels and the length of the value come on top.
        if header.uncompressed_len > limit + 64 {
            let is_one_value = header.is_data && header.value_count == 1;
            long.push(LongPage { values_before, len_bytes: header.uncompressed_len, is_one_value });
        }
        if header.is_data {
            values_before += header.value_count;
        }
        at = at.saturating_add(header.len as u64).saturating_add(header.compressed_len);
    }
    Ok(long)
}

/// Says which column of a file has a page that is too long, or returns `None` if none has.
pub(crate) fn column_with_long_page(file: &File, metadata: &ParquetMetaData) -> io::Result<Option<String>> {
    for chunk in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        if let Some(page) = long_pages(file, chunk)?.first() {
            let (column, len) = (chunk.column_path().string(), page.len_bytes >> 20);
            return Ok(Some(format!(
                "expected texts of at most 16 MiB, found a page of {len} MiB in the column `{column}`"
            )));
        }
    }
    Ok(None)
}

/// Whether some columns of a file are encrypted, or its footer is. Leaves the file at any position.
pub(crate) fn is_encrypted(mut file: &File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    if len < 8 {
        return Ok(false);
    }
    let mut end = [0; 8];
    file.seek(SeekFrom::Start(len - 8))?;
    file.read_exact(&mut end)?;
    let [footer_len @ .., _, _, _, _] = end;
    if end.ends_with(b"PARE") {
        return Ok(true);
    }
    let footer_len = u64::from(u32::from_le_bytes(footer_len));
    if !end.ends_with(b"PAR1") || footer_len > len - 8 {
        return Ok(false);
    }
    let mut footer = Vec::new();
    file.seek(SeekFrom::Start(len - 8 - footer_len))?;
    Read::take(file, footer_len).read_to_end(&mut footer)?;
    let mut input = Compact { bytes: &footer, at: 0 };
    let mut id = 0;
    while let Some(Some(kind)) = input.field(&mut id) {
        // The algorithm of the encrypted columns. The footer itself is plain.
        if id == 8 && kind == STRUCT {
            return Ok(true);
        }
        if input.skip(kind, 0).is_none() {
            break;
        }
    }
    Ok(false)
}

/// What is needed of a page header.
#[derive(Debug, Default, PartialEq, Eq)]
struct PageHeader {
    /// Length of the header itself.
    len: usize,
    is_data: bool,
    uncompressed_len: u64,
    compressed_len: u64,
    value_count: u64,
}

impl PageHeader {
    /// Parses the header at the start of `bytes`. Returns `None` if it is damaged or goes on.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Compact { bytes, at: 0 };
        let mut header = Self::default();
        let mut id = 0;
        while let Some(kind) = input.field(&mut id)? {
            match (id, kind) {
                (2, INTEGER) => header.uncompressed_len = u64::try_from(input.integer()?).ok()?,
                (3, INTEGER) => header.compressed_len = u64::try_from(input.integer()?).ok()?,
                // The headers of data pages of both versions begin with the number of values.
                (5 | 8, STRUCT) => {
                    header.is_data = true;
                    let mut inner = 0;
                    while let Some(kind) = input.field(&mut inner)? {
                        match (inner, kind) {
                            (1, INTEGER) => header.value_count = u64::try_from(input.integer()?).ok()?,
                            _ => input.skip(kind, 0)?,
                        }
                    }
                }
                _ => input.skip(kind, 0)?,
            }
        }
        header.len = input.at;
        Some(header)
    }
}

const INTEGER: u8 = 5;
const STRUCT: u8 = 12;

/// Reads Thrift's compact protocol.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Reads the start of a field: updates its id and returns its type, or `Some(None)` at the end of the struct.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = if byte >> 4 == 0 { self.integer()? } else { *id + i64::from(byte >> 4) };
        Some(Some(byte & 0x0f))
    }

    fn advance(&mut self, len: u64) -> Option<()> {
        let end = self.at.checked_add(usize::try_from(len).ok()?)?;
        (end <= self.bytes.len()).then(|| self.at = end)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > 16 {
            return None;
        }
        match kind {
            // A boolean of a struct is in its type.
            1 | 2 => Some(()),
            3 => self.advance(1),
            4..=6 => self.unsigned().map(drop),
            7 => self.advance(8),
            8 => {
                let len = self.unsigned()?;
                self.advance(len)
            }
            9 | 10 => {
                let start = self.byte()?;
                let count = if start >> 4 == 15 { self.unsigned()? } else { u64::from(start >> 4) };
                for _ in 0..count {
                    match start & 0x0f {
                        1 | 2 => self.advance(1)?,
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
                Some(())
            }
            12 => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page header: type 0, lengths 300 and 40, 7 values in encoding 0, levels in encoding 3, statistics.
    const HEADER: [u8; 24] = [
        0x15, 0, 0x15, 0xd8, 0x04, 0x15, 80, 0x2c, 0x15, 14, 0x15, 0, 0x15, 6, 0x15, 6, 0x1c, 0x18, 2, b'a', b'b', 0,
        0, 0,
    ];

    #[test]
    fn header_of_a_data_page_is_parsed_and_one_that_goes_on_is_not() {
        let expected = PageHeader { len: 24, is_data: true, uncompressed_len: 300, compressed_len: 40, value_count: 7 };
        assert_eq!(PageHeader::parse(&HEADER), Some(expected));
        for len in 0..HEADER.len() {
            assert_eq!(PageHeader::parse(&HEADER[..len]), None, "{len}");
        }
    }
}
