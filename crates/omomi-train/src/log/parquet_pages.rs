//! The one way into Parquet files, logs and states alike: pages are looked at before they are decompressed.
//!
//! A few kilobytes can promise a page of gigabytes, and the decoder allocates what a page header promises. So the page
//! headers are read first, which costs one small read per page. They also say how many rows may be decoded at a time.

use std::io::{self, Read, Seek, SeekFrom};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::basic::CompressionCodec;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::csv_records::MAX_RECORD_LEN;
use crate::bucket::Source;

/// Most bytes of a decompressed page. Writers make pages of about 1 MiB, and some make one page per column of a row
/// group.
const MAX_PAGE_LEN: u64 = 256 << 20;
/// Most bytes of a decompressed dictionary. Most writers stop at 1 MiB.
const MAX_DICTIONARY_LEN: u64 = 64 << 20;
/// Most bytes of the pages that decoding some rows needs, besides the largest page of each column.
const MAX_WINDOW_LEN: u64 = 64 << 20;
/// Most bytes of the largest pages of all columns together.
const MAX_PAGES_LEN: u64 = 1 << 30;
/// Most bytes of a page header. It may contain the smallest and largest value of the page.
const MAX_HEADER_LEN: usize = 1 << 20;
/// Bytes to read for a page header at first. Most are shorter.
const HEADER_LEN: usize = 128;
/// Levels and the length of the value come on top of a value in a page.
const LEVELS_LEN: u64 = 64;

/// What pages may have, for messages.
pub(super) const EXPECTED_PAGES: &str = "expected pages of at most 256 MiB (1 GiB in all columns), dictionaries of at most 64 MiB and cells of at most 16 \
     MiB; write smaller pages";

/// Reads the metadata at the end of a file.
pub(crate) fn load(file: &Source) -> Result<ArrowReaderMetadata> {
    ArrowReaderMetadata::load(file, ArrowReaderOptions::new())
}

/// Opens a decoder for the row groups that were looked at: all of the file, or a part of one. `metadata` may have
/// another schema than the file.
pub(crate) fn decoder(
    file: Source,
    metadata: ArrowReaderMetadata,
    looked_at: &Groups,
    selection: Option<RowSelection>,
) -> Result<ParquetRecordBatchReader> {
    let projection = ProjectionMask::leaves(metadata.parquet_schema(), looked_at.leaves.iter().copied());
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_projection(projection)
        .with_row_groups(looked_at.groups.clone())
        .with_batch_size(looked_at.max_row_count);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    builder.build()
}

/// Row groups whose page headers promise no more than may be decompressed.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    groups: Vec<usize>,
    leaves: Vec<usize>,
    /// Most rows to decode at a time.
    max_row_count: usize,
    /// The rows of a group with a cell that is too long to be decompressed, and the leaf of the cell.
    pub(super) too_long: Vec<(usize, usize)>,
    /// Whether each leaf, in the order of `leaves`, has pages of keys only.
    pub(super) has_keys_only: Vec<bool>,
}

/// Why a row group cannot be decoded.
#[derive(Debug)]
pub(crate) enum PageFault {
    Io(io::Error),
    Damaged(String),
    TooLong {
        /// The column and its page.
        found: String,
    },
}

impl From<io::Error> for PageFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<PageFault> for ParquetError {
    fn from(fault: PageFault) -> Self {
        match fault {
            PageFault::Io(error) => Self::External(Box::new(error)),
            PageFault::Damaged(message) => Self::General(message),
            PageFault::TooLong { found } => Self::General(format!("{EXPECTED_PAGES}; found {found}")),
        }
    }
}

impl Groups {
    /// Looks at the pages of one row group. A page with one value that is too long is left to the caller: it is the
    /// cell of one row.
    pub(super) fn one(
        file: &Source,
        metadata: &ParquetMetaData,
        group: usize,
        leaves: &[usize],
        max_row_count: usize,
    ) -> Result<Self, PageFault> {
        let group_metadata = metadata.row_group(group);
        let (mut too_long, mut has_keys_only) = (Vec::new(), Vec::new());
        let mut columns = Vec::new();
        for &leaf in leaves {
            let chunk = group_metadata.columns().get(leaf);
            let chunk = chunk.ok_or_else(|| PageFault::Damaged("a row group lacks a column".to_owned()))?;
            let pages = Pages::of(file, chunk)?;
            let name = || chunk.column_path().string();
            for long in &pages.long {
                let row = usize::try_from(long.values_before).unwrap_or(usize::MAX);
                if long.is_one_value && chunk.column_descr().max_rep_level() == 0 {
                    too_long.push((row, leaf));
                    continue;
                }
                let kind = if long.is_data { "page" } else { "dictionary" };
                let found = format!("column `{}` with a {kind} of {} MiB", name(), long.len_bytes >> 20);
                return Err(PageFault::TooLong { found });
            }
            has_keys_only.push(pages.has_keys_only);
            columns.push(pages);
        }
        let largest: u64 = columns.iter().map(|pages| pages.largest() + pages.dictionary_len).sum();
        if largest > MAX_PAGES_LEN {
            let found = format!("columns with pages of {} MiB in all", largest >> 20);
            return Err(PageFault::TooLong { found });
        }
        let row_count = u64::try_from(group_metadata.num_rows()).unwrap_or(0).max(1);
        let mut max_row_count = max_row_count.max(1);
        let window_len = |count: usize| -> u64 {
            let window = |pages: &Pages| {
                // A list has several values per row. How many a page has is not known, so the average is used.
                let per_row = pages.value_count.div_ceil(row_count).max(1);
                pages.window_len(per_row.saturating_mul(count as u64)).saturating_sub(pages.largest())
            };
            columns.iter().map(window).sum()
        };
        while max_row_count > 1 && window_len(max_row_count) > MAX_WINDOW_LEN {
            max_row_count /= 2;
        }
        Ok(Self { groups: vec![group], leaves: leaves.to_vec(), max_row_count, too_long, has_keys_only })
    }

    /// Looks at the pages of a whole file, none of which may be too long.
    pub(crate) fn all(file: &Source, metadata: &ParquetMetaData, max_row_count: usize) -> Result<Self, PageFault> {
        let leaves: Vec<usize> = (0..metadata.file_metadata().schema_descr().num_columns()).collect();
        let mut all = Self {
            groups: (0..metadata.num_row_groups()).collect(),
            leaves: leaves.clone(),
            max_row_count,
            too_long: Vec::new(),
            has_keys_only: Vec::new(),
        };
        for group in 0..metadata.num_row_groups() {
            let one = Self::one(file, metadata, group, &leaves, max_row_count)?;
            if let Some(&(_, leaf)) = one.too_long.first() {
                let name = metadata.row_group(group).column(leaf).column_path().string();
                return Err(PageFault::TooLong { found: format!("more in the column `{name}`") });
            }
            all.max_row_count = all.max_row_count.min(one.max_row_count);
        }
        Ok(all)
    }
}

/// A page that is too long to be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LongPage {
    /// Number of values before the page in its column chunk.
    values_before: u64,
    /// Length of the decompressed page according to its header.
    len_bytes: u64,
    is_data: bool,
    /// Whether the page holds one value of a row and nothing else.
    is_one_value: bool,
}

/// The pages of a column chunk.
#[derive(Debug, Default)]
struct Pages {
    /// Those above [`MAX_PAGE_LEN`] or [`MAX_DICTIONARY_LEN`], and those that hold one value above the limit for a
    /// cell.
    long: Vec<LongPage>,
    dictionary_len: u64,
    /// For each data page that can be decompressed, the number of values before it and its length.
    data: Vec<(u64, u64)>,
    value_count: u64,
    has_keys_only: bool,
}

impl Pages {
    /// Reads the page headers of a column chunk: all of those that the decoder may read, whatever the number of values
    /// in the metadata is.
    fn of(mut file: &Source, chunk: &ColumnChunkMetaData) -> Result<Self, PageFault> {
        let first = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let (Ok(mut at), Ok(len)) = (u64::try_from(first), u64::try_from(chunk.compressed_size())) else {
            return Err(PageFault::Damaged(format!("column `{}` has no place", chunk.column_path().string())));
        };
        let end = at.saturating_add(len);
        let mut pages = Self { has_keys_only: true, ..Self::default() };
        let mut bytes = Vec::new();
        while at < end {
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
            let Some(header) = header else {
                let message = format!("column `{}` has a damaged page header", chunk.column_path().string());
                return Err(PageFault::Damaged(message));
            };
            pages.add(&header);
            let content = at.saturating_add(header.len as u64);
            if expands_beyond(chunk.compression_codec(), file, content, &header)? {
                let name = chunk.column_path().string();
                let message = format!("column `{name}` has a page that is longer than its header says");
                return Err(PageFault::Damaged(message));
            }
            at = content.saturating_add(header.compressed_len);
        }
        Ok(pages)
    }

    fn add(&mut self, header: &PageHeader) {
        let max_len = match header.value_count {
            1 => MAX_RECORD_LEN as u64,
            _ if header.is_data => MAX_PAGE_LEN,
            _ => MAX_DICTIONARY_LEN,
        };
        let is_long = header.uncompressed_len > max_len + LEVELS_LEN;
        if is_long {
            self.long.push(LongPage {
                values_before: self.value_count,
                len_bytes: header.uncompressed_len,
                is_data: header.is_data,
                is_one_value: header.is_data && header.value_count == 1,
            });
        } else if header.is_data {
            self.data.push((self.value_count, header.uncompressed_len));
        } else {
            self.dictionary_len = self.dictionary_len.max(header.uncompressed_len);
        }
        if header.is_data {
            self.value_count = self.value_count.saturating_add(header.value_count);
            self.has_keys_only &= matches!(header.encoding, PLAIN_DICTIONARY | RLE_DICTIONARY);
        }
    }

    fn largest(&self) -> u64 {
        self.data.iter().map(|&(_, len)| len).max().unwrap_or(0)
    }

    /// Most bytes of the pages that any `count` consecutive values are in.
    fn window_len(&self, count: u64) -> u64 {
        let (mut most, mut held, mut first) = (0_u64, 0_u64, 0);
        for (index, &(values_before, len)) in self.data.iter().enumerate() {
            held = held.saturating_add(len);
            // The window may begin at the last value of its first page.
            while first < index && self.data[first + 1].0.saturating_add(count) <= values_before.saturating_add(1) {
                held -= self.data[first].1;
                first += 1;
            }
            most = most.max(held);
        }
        most
    }
}

const PLAIN_DICTIONARY: i64 = 2;
const RLE_DICTIONARY: i64 = 8;

/// Whether a page becomes longer than its header says. Codecs whose decoders stop there are not tried, nor are pages
/// that cannot become longer than a page may be.
fn expands_beyond(codec: CompressionCodec, mut file: &Source, at: u64, header: &PageHeader) -> io::Result<bool> {
    let max_ratio: u64 = match codec {
        CompressionCodec::GZIP => 1_032,
        CompressionCodec::LZ4 => 255,
        CompressionCodec::BROTLI => u64::MAX,
        _ => return Ok(false),
    };
    let max_len = header.uncompressed_len.saturating_sub(header.levels_len);
    let compressed_len = header.compressed_len.saturating_sub(header.levels_len);
    if header.uncompressed_len > MAX_PAGE_LEN || compressed_len.saturating_mul(max_ratio) <= MAX_DICTIONARY_LEN {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(at.saturating_add(header.levels_len)))?;
    let content = io::BufReader::new(Read::take(file, compressed_len));
    let decoded: &mut dyn Read = match codec {
        CompressionCodec::GZIP => &mut flate2::bufread::MultiGzDecoder::new(content),
        CompressionCodec::LZ4 => &mut lz4_flex::frame::FrameDecoder::new(content),
        _ => &mut brotli::Decompressor::new(content, 4_096),
    };
    // Damage is left to the decoder, which stops at the same place.
    let mut expanded = decoded.take(max_len.saturating_add(1));
    Ok(io::copy(&mut expanded, &mut io::sink()).is_ok_and(|len| len > max_len))
}

/// Whether some columns of a file are encrypted, or its footer is. Leaves the file at any position.
pub(crate) fn is_encrypted(mut file: &Source) -> io::Result<bool> {
    let len = file.len_bytes()?;
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
    /// Number of values, also of a dictionary.
    value_count: u64,
    /// Of a data page.
    encoding: i64,
    /// Bytes of levels before the compressed values.
    levels_len: u64,
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
                // The headers of data pages of both versions, and those of dictionaries, begin with the number of
                // values.
                (5 | 7 | 8, STRUCT) => {
                    header.is_data |= id != 7;
                    let outer = id;
                    let mut inner = 0;
                    while let Some(kind) = input.field(&mut inner)? {
                        match (outer, inner, kind) {
                            (_, 1, INTEGER) => header.value_count = u64::try_from(input.integer()?).ok()?,
                            (5, 2, INTEGER) | (8, 4, INTEGER) => header.encoding = input.integer()?,
                            (8, 5 | 6, INTEGER) => header.levels_len += u64::try_from(input.integer()?).ok()?,
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
        let expected = PageHeader {
            len: 24,
            is_data: true,
            uncompressed_len: 300,
            compressed_len: 40,
            value_count: 7,
            encoding: 0,
            levels_len: 0,
        };
        assert_eq!(PageHeader::parse(&HEADER), Some(expected));
        for len in 0..HEADER.len() {
            assert_eq!(PageHeader::parse(&HEADER[..len]), None, "{len}");
        }
    }

    #[test]
    fn window_holds_the_pages_of_any_consecutive_values() {
        let pages = Pages { data: vec![(0, 10), (4, 20), (8, 30), (12, 5)], ..Pages::default() };
        assert_eq!(pages.window_len(1), 30);
        // The last value of a page and the first of the next.
        assert_eq!(pages.window_len(2), 50);
        assert_eq!(pages.window_len(5), 50);
        // The last of the first page, four of the second, the first of the third.
        assert_eq!(pages.window_len(6), 60);
        assert_eq!(pages.window_len(16), 65);
        assert_eq!(pages.window_len(u64::MAX), 65);
    }

    /// Another way to open Parquet would decompress pages that nobody looked at.
    #[test]
    fn nothing_else_of_the_trainer_opens_parquet() {
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut others = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let opens = ["ReaderBuilder", "ArrowReaderMetadata::load", "SerializedFileReader"];
                let is_other = !path.ends_with("log/parquet_pages.rs") && !path.ends_with("generate/tests.rs");
                if is_other && opens.iter().any(|word| text.contains(word)) {
                    others.push(path);
                }
            }
        }
        assert!(others.is_empty(), "{others:?}");
    }
}
