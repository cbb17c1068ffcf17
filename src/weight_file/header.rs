//! The header and the section table: decoded from untrusted bytes, or laid out for the writer.

use super::checksum;
use super::layout::{
    self, BYTE_ORDER, CHUNK_LEN, END_ALIGNMENT, END_LEN, FILE_ID_LEN, FLAG_REQUIRED, FORMAT_VERSION, HEADER_LEN, MAGIC,
    MAX_SECTIONS, OLDEST_FORMAT_VERSION, SECTION_ALIGNMENT, SECTION_ENTRY_LEN, SectionKind,
};
use crate::error::Error;

/// The header of a weight file, and where its sections are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub format_version: u32,
    /// Oldest version whose readers can read the file.
    pub oldest_reader: u32,
    /// Total length in bytes.
    pub total_len_bytes: u64,
    /// Generation of the model.
    pub generation: u64,
    /// Identity of the content.
    pub file_id: [u8; FILE_ID_LEN],
    /// Offset of the checksums.
    pub checksums_offset: u64,
    /// Number of chunks in all sections.
    pub chunk_count: u32,
    /// CRC of the checksums.
    pub checksums_crc: u32,
    /// The sections, in the order of the file.
    pub sections: Vec<Section>,
}

/// An entry of the section table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Number of its kind. A later version may know more kinds than [`SectionKind`].
    pub kind_number: u32,
    /// Whether a reader that does not know the kind must reject the file.
    pub required: bool,
    /// Offset from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub len_bytes: u64,
    /// Index of its first chunk.
    pub first_chunk: u32,
    /// Number of its chunks.
    pub chunk_count: u32,
}

impl Section {
    /// Returns the name of its kind, or the number if this version does not know the kind.
    #[must_use]
    pub fn name(&self) -> String {
        SectionKind::from_number(self.kind_number)
            .map_or_else(|| format!("section of kind {}", self.kind_number), |kind| kind.name().to_owned())
    }
}

/// Reads little-endian numbers at fixed offsets of a record. The length of the record must have been checked; beyond
/// its end, numbers are 0.
pub struct Record<'a>(pub &'a [u8]);

impl Record<'_> {
    pub fn u32(&self, offset: usize) -> u32 {
        self.0.get(offset..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    pub fn u16(&self, offset: usize) -> u16 {
        self.0.get(offset..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    pub fn u64(&self, offset: usize) -> u64 {
        self.0.get(offset..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    pub fn f64(&self, offset: usize) -> f64 {
        f64::from_bits(self.u64(offset))
    }

    pub fn f32(&self, offset: usize) -> f32 {
        f32::from_bits(self.u32(offset))
    }
}

fn malformed(problem: impl Into<String>) -> Error {
    Error::Malformed { problem: problem.into() }
}

impl Header {
    /// Decodes and checks everything up to the section table: steps 1 to 4 of `FORMAT.md`. Reads no section.
    ///
    /// # Errors
    ///
    /// Each kind of damage has its own variant of [`Error`].
    pub fn decode(file: &[u8]) -> Result<Self, Error> {
        let (mut header, record) = Self::decode_front(file, file.len() as u64)?;
        header.decode_sections(file, &record)?;
        header.check_sections(file)?;
        Ok(header)
    }

    /// Decodes the first [`HEADER_LEN`] bytes of a file of `file_len` bytes, without the sections. This is enough to
    /// reject most other files before they are read as a whole.
    pub fn decode_front(front: &[u8], file_len: u64) -> Result<(Self, Record<'_>), Error> {
        let found = &front[..front.len().min(MAGIC.len())];
        // A short file that begins like a weight file, even an empty one, is truncated.
        if !MAGIC.starts_with(found) {
            return Err(Error::NotAWeightFile { expected: MAGIC, found: found.to_vec() });
        }
        let Some(header) = front.first_chunk::<HEADER_LEN>() else {
            return Err(Error::Truncated { expected: HEADER_LEN as u64, found: file_len });
        };
        let record = Record(header);
        let byte_order = record.u32(layout::BYTE_ORDER_OFFSET);
        if byte_order == BYTE_ORDER.swap_bytes() {
            return Err(Error::WrongByteOrder { expected: BYTE_ORDER, found: byte_order });
        }
        let (expected, found) =
            (record.u32(layout::HEADER_CRC_OFFSET), checksum::plain(&header[..layout::HEADER_CRC_OFFSET]));
        if expected != found {
            return Err(Error::Damaged { part: "header".to_owned(), expected, found });
        }
        if byte_order != BYTE_ORDER {
            return Err(Error::WrongByteOrder { expected: BYTE_ORDER, found: byte_order });
        }
        let oldest_reader = record.u32(layout::OLDEST_READER_OFFSET);
        if oldest_reader > FORMAT_VERSION {
            return Err(Error::TooNew { expected: FORMAT_VERSION, found: oldest_reader });
        }
        let format_version = record.u32(layout::FORMAT_VERSION_OFFSET);
        if format_version < OLDEST_FORMAT_VERSION {
            return Err(Error::TooOld { expected: OLDEST_FORMAT_VERSION, found: format_version });
        }
        if format_version < oldest_reader {
            return Err(malformed(format!(
                "its format version {format_version} is older than the oldest reader version {oldest_reader} that it requires"
            )));
        }
        let total_len_bytes = record.u64(layout::TOTAL_LEN_OFFSET);
        if file_len < total_len_bytes {
            return Err(Error::Truncated { expected: total_len_bytes, found: file_len });
        }
        if file_len > total_len_bytes {
            return Err(Error::TooLong { expected: total_len_bytes, found: file_len });
        }
        let chunk_len = record.u32(layout::CHUNK_LEN_OFFSET);
        if chunk_len as usize != CHUNK_LEN {
            return Err(malformed(format!("expected chunks of {CHUNK_LEN} bytes, found {chunk_len}")));
        }
        if header[layout::HEADER_ZEROS_OFFSET..layout::HEADER_CRC_OFFSET].iter().any(|&byte| byte != 0) {
            return Err(malformed("the reserved bytes of the header are not zero"));
        }
        let decoded = Self {
            format_version,
            oldest_reader,
            total_len_bytes,
            generation: record.u64(layout::GENERATION_OFFSET),
            file_id: *header[layout::FILE_ID_OFFSET..].first_chunk().unwrap_or(&[0; FILE_ID_LEN]),
            checksums_offset: record.u64(layout::CHECKSUMS_OFFSET_OFFSET),
            chunk_count: record.u32(layout::CHUNK_COUNT_OFFSET),
            checksums_crc: record.u32(layout::CHECKSUMS_CRC_OFFSET),
            sections: Vec::new(),
        };
        Ok((decoded, record))
    }

    fn decode_sections(&mut self, file: &[u8], record: &Record<'_>) -> Result<(), Error> {
        let section_count = record.u32(layout::SECTION_COUNT_OFFSET) as usize;
        if section_count == 0 || section_count > MAX_SECTIONS {
            return Err(malformed(format!("expected 1 to {MAX_SECTIONS} sections, found {section_count}")));
        }
        let table_len = section_count * SECTION_ENTRY_LEN;
        let Some(table) = file.get(HEADER_LEN..HEADER_LEN + table_len) else {
            return Err(Error::Truncated { expected: (HEADER_LEN + table_len) as u64, found: file.len() as u64 });
        };
        let (expected, found) = (record.u32(layout::SECTION_TABLE_CRC_OFFSET), checksum::of_part(&self.file_id, table));
        if expected != found {
            return Err(Error::Damaged { part: "section table".to_owned(), expected, found });
        }
        for entry in table.chunks_exact(SECTION_ENTRY_LEN) {
            let record = Record(entry);
            let flags = record.u32(layout::SECTION_FLAGS_OFFSET);
            let section = Section {
                kind_number: record.u32(layout::SECTION_KIND_OFFSET),
                required: flags & FLAG_REQUIRED != 0,
                offset: record.u64(layout::SECTION_OFFSET_OFFSET),
                len_bytes: record.u64(layout::SECTION_LEN_OFFSET),
                first_chunk: record.u32(layout::SECTION_FIRST_CHUNK_OFFSET),
                chunk_count: record.u32(layout::SECTION_CHUNK_COUNT_OFFSET),
            };
            if flags & !FLAG_REQUIRED != 0 {
                return Err(malformed(format!("the {} has unknown flags {flags:#x}", section.name())));
            }
            self.sections.push(section);
        }
        Ok(())
    }

    /// Checks the sections. Every position follows from the lengths, so one check finds holes, overlaps and sections
    /// beyond the end.
    fn check_sections(&self, file: &[u8]) -> Result<(), Error> {
        for pair in self.sections.windows(2) {
            if pair[0].kind_number >= pair[1].kind_number {
                return Err(malformed(format!(
                    "the sections are out of order: kind {} comes before kind {}",
                    pair[0].kind_number, pair[1].kind_number
                )));
            }
        }
        let mut end = (HEADER_LEN + self.sections.len() * SECTION_ENTRY_LEN) as u64;
        let mut first_chunk = 0_u32;
        for section in &self.sections {
            match SectionKind::from_number(section.kind_number) {
                None if section.required => {
                    return Err(Error::UnknownRequired { what: "section of kind", found: section.kind_number });
                }
                None => {}
                Some(kind) => {
                    if section.required != kind.must_be_known() {
                        return Err(malformed(format!("the {} section has the wrong required flag", kind.name())));
                    }
                    let (min, max, unit) = kind.len_limits();
                    if section.len_bytes < min || section.len_bytes > max || section.len_bytes % unit != 0 {
                        let (name, len) = (kind.name(), section.len_bytes);
                        return Err(malformed(format!("the {name} section cannot be {len} bytes long")));
                    }
                }
            }
            let place = place_section(end, first_chunk, section.kind_number, section.len_bytes);
            let expected = place.ok_or_else(|| malformed(format!("the {} ends beyond any file", section.name())))?;
            if (section.offset, section.first_chunk, section.chunk_count)
                != (expected.offset, expected.first_chunk, expected.chunk_count)
            {
                return Err(malformed(format!(
                    "the {} is out of place: expected offset {}, chunks {} + {}, found offset {}, chunks {} + {}",
                    section.name(),
                    expected.offset,
                    expected.first_chunk,
                    expected.chunk_count,
                    section.offset,
                    section.first_chunk,
                    section.chunk_count
                )));
            }
            // The sum cannot overflow: `place_section` has checked it.
            end = section.offset + section.len_bytes;
            first_chunk += section.chunk_count;
        }
        for kind in SectionKind::ALL.into_iter().filter(|kind| kind.is_required()) {
            if !self.sections.iter().any(|section| section.kind_number == kind.number()) {
                return Err(malformed(format!("the {} section is missing", kind.name())));
            }
        }
        self.check_end(file, end, first_chunk)
    }

    fn check_end(&self, file: &[u8], sections_end: u64, chunk_count: u32) -> Result<(), Error> {
        let end = place_end(sections_end, chunk_count).ok_or_else(|| malformed("its parts end beyond any file"))?;
        if (end.checksums_offset, chunk_count) != (self.checksums_offset, self.chunk_count) {
            return Err(malformed(format!(
                "the checksums are out of place: expected {chunk_count} at {}, found {} at {}",
                end.checksums_offset, self.chunk_count, self.checksums_offset
            )));
        }
        if end.total_len_bytes != self.total_len_bytes {
            return Err(malformed(format!(
                "its parts need {} bytes, its header says {}",
                end.total_len_bytes, self.total_len_bytes
            )));
        }
        // The length of the file was checked, so the end is present.
        let last = usize::try_from(end.end_offset).ok().and_then(|start| file.get(start..)).unwrap_or(&[]);
        let mut expected = self.total_len_bytes.to_le_bytes().to_vec();
        expected.extend(layout::END_MARK);
        if last != expected {
            return Err(Error::Damaged {
                part: "end mark".to_owned(),
                expected: checksum::plain(&expected),
                found: checksum::plain(last),
            });
        }
        Ok(())
    }
}

/// Places a section that follows on `end`. Returns nothing if its position overflows.
pub fn place_section(end: u64, first_chunk: u32, kind_number: u32, len_bytes: u64) -> Option<Section> {
    let offset = end.checked_next_multiple_of(layout::alignment(kind_number))?;
    offset.checked_add(len_bytes)?;
    let chunk_count = u32::try_from(len_bytes.div_ceil(CHUNK_LEN as u64)).ok()?;
    first_chunk.checked_add(chunk_count)?;
    let required = SectionKind::from_number(kind_number).is_some_and(SectionKind::must_be_known);
    Some(Section { kind_number, required, offset, len_bytes, first_chunk, chunk_count })
}

/// Positions of the checksums and of the end.
pub struct End {
    pub checksums_offset: u64,
    pub end_offset: u64,
    pub total_len_bytes: u64,
}

/// Places the checksums and the end after sections that end at `sections_end`. Returns nothing if a position overflows.
pub fn place_end(sections_end: u64, chunk_count: u32) -> Option<End> {
    let checksums_offset = sections_end.checked_next_multiple_of(SECTION_ALIGNMENT)?;
    let checksums_len = u64::from(chunk_count) * size_of::<u32>() as u64;
    let end_offset = checksums_offset.checked_add(checksums_len)?.checked_next_multiple_of(END_ALIGNMENT)?;
    Some(End { checksums_offset, end_offset, total_len_bytes: end_offset.checked_add(END_LEN as u64)? })
}
