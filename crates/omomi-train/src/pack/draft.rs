//! A weight file under construction in memory. Each section is where it will be in the file, so that large sections are
//! written in place and never copied.

use xxhash_rust::xxh3::Xxh3;

use omomi::error::Error;
use omomi::weight_file::checksum;
use omomi::weight_file::header::{End, Header, Section, place_end, place_section};
use omomi::weight_file::layout::{self, CHUNK_LEN, FILE_ID_LEN, HEADER_LEN, SECTION_ENTRY_LEN, SectionKind};

/// A file that is not sealed yet. It does not check the content of the sections; readers do.
pub(super) struct Draft {
    generation: u64,
    sections: Vec<Section>,
    end: End,
    bytes: Vec<u8>,
}

/// The file would be too large for the format.
#[derive(Debug)]
pub(super) struct TooLarge;

impl Draft {
    /// Creates a draft with sections of zeros. `lens` has their lengths in bytes, in ascending order of kind.
    pub(super) fn new(generation: u64, lens: &[(SectionKind, usize)]) -> Result<Self, TooLarge> {
        let kinds = lens.iter().map(|&(kind, len)| (kind.number(), len as u64));
        let (sections, end) = lay_out(kinds).ok_or(TooLarge)?;
        let bytes = vec![0; usize::try_from(end.total_len_bytes).map_err(|_| TooLarge)?];
        Ok(Self { generation, sections, end, bytes })
    }

    /// Creates a draft from a sealed file, to change it.
    pub(super) fn of_file(bytes: Vec<u8>) -> Result<Self, Error> {
        let Header { generation, sections, chunk_count, .. } = Header::decode(&bytes)?;
        let end = sections.last().and_then(|last| place_end(last.offset + last.len_bytes, chunk_count));
        let Some(end) = end else { unreachable!("the header was checked") };
        Ok(Self { generation, sections, end, bytes })
    }

    /// Returns the bytes of a section, to be written in place.
    ///
    /// # Panics
    ///
    /// Panics if the file has no section of this kind.
    pub(super) fn section_mut(&mut self, kind: SectionKind) -> &mut [u8] {
        let range = range(&self.sections[self.index_of(kind)]);
        &mut self.bytes[range]
    }

    /// Replaces the content of a section. Moves the sections after it if the length changes.
    ///
    /// # Panics
    ///
    /// Panics if the file has no section of this kind.
    pub(super) fn replace(&mut self, kind: SectionKind, content: &[u8]) -> Result<(), TooLarge> {
        let index = self.index_of(kind);
        let len = |section: &Section| {
            if section.kind_number == kind.number() { content.len() as u64 } else { section.len_bytes }
        };
        let (sections, end) =
            lay_out(self.sections.iter().map(|section| (section.kind_number, len(section)))).ok_or(TooLarge)?;
        let total_len = usize::try_from(end.total_len_bytes).map_err(|_| TooLarge)?;
        if total_len > self.bytes.len() {
            self.bytes.resize(total_len, 0);
        }
        // All later sections move in the same direction. Start with the one whose target is already free: the first
        // section when moving down, the last when moving up.
        let moves = self.sections.iter().map(range).zip(sections.iter().map(range)).skip(index + 1);
        let mut moves: Vec<_> = moves.filter(|(from, to)| from != to).collect();
        if moves.iter().any(|(from, to)| to.start > from.start) {
            moves.reverse();
        }
        for (from, to) in moves {
            self.bytes.copy_within(from, to.start);
        }
        self.bytes.truncate(total_len);
        (self.sections, self.end) = (sections, end);
        self.section_mut(kind).copy_from_slice(content);
        self.clear_between_sections();
        Ok(())
    }

    /// Adds a section, or replaces the section of this kind.
    pub(super) fn with_section(mut self, kind: SectionKind, content: &[u8]) -> Result<Self, TooLarge> {
        if !self.sections.iter().any(|section| section.kind_number == kind.number()) {
            let mut lens: Vec<_> =
                self.sections.iter().map(|section| (section.kind_number, section.len_bytes)).collect();
            lens.push((kind.number(), content.len() as u64));
            lens.sort_by_key(|(kind_number, _)| *kind_number);
            let (sections, end) = lay_out(lens.into_iter()).ok_or(TooLarge)?;
            let mut bytes = vec![0; usize::try_from(end.total_len_bytes).map_err(|_| TooLarge)?];
            let kept = sections.iter().filter(|section| section.kind_number != kind.number());
            for (from, to) in self.sections.iter().map(range).zip(kept.map(range)) {
                bytes[to].copy_from_slice(&self.bytes[from]);
            }
            self = Self { generation: self.generation, sections, end, bytes };
        }
        self.replace(kind, content)?;
        Ok(self)
    }

    /// Changes the generation and removes the signature, which is for the old generation.
    pub(super) fn with_generation(self, generation: u64) -> Result<Self, TooLarge> {
        let signature = SectionKind::Signature.number();
        let kept = || self.sections.iter().filter(|section| section.kind_number != signature);
        let lens = kept().map(|section| (section.kind_number, section.len_bytes));
        let (sections, end) = lay_out(lens).ok_or(TooLarge)?;
        let mut bytes = vec![0; usize::try_from(end.total_len_bytes).map_err(|_| TooLarge)?];
        for (from, to) in kept().map(range).zip(sections.iter().map(range)) {
            bytes[to].copy_from_slice(&self.bytes[from]);
        }
        Ok(Self { generation, sections, end, bytes })
    }

    fn index_of(&self, kind: SectionKind) -> usize {
        let index = self.sections.iter().position(|section| section.kind_number == kind.number());
        index.unwrap_or_else(|| panic!("the draft has no {} section", kind.name()))
    }

    /// Fills the space between and after the sections with zeros, where moved sections may have left bytes.
    fn clear_between_sections(&mut self) {
        let mut last_end = HEADER_LEN + self.sections.len() * SECTION_ENTRY_LEN;
        for section in &self.sections {
            let range = range(section);
            self.bytes[last_end..range.start].fill(0);
            last_end = range.end;
        }
        self.bytes[last_end..].fill(0);
    }

    /// Computes the file id and the checksums, and returns the bytes of the file. The same sections give the same
    /// bytes.
    pub(super) fn seal(mut self) -> Vec<u8> {
        let file_id = self.file_id();
        let mut checksums = Vec::new();
        for section in &self.sections {
            for (index, chunk) in (0_u32..).zip(self.bytes[range(section)].chunks(CHUNK_LEN)) {
                checksums.extend(checksum::of_chunk(&file_id, section.kind_number, index, chunk).to_le_bytes());
            }
        }
        let checksums_crc = checksum::of_part(&file_id, &checksums);
        let at = position(self.end.checksums_offset);
        self.put(at, &checksums);
        let at = position(self.end.end_offset);
        self.put(at, &self.end.total_len_bytes.to_le_bytes());
        self.put(at + size_of::<u64>(), &layout::END_MARK);
        self.put_section_table();
        let section_table = &self.bytes[HEADER_LEN..HEADER_LEN + self.sections.len() * SECTION_ENTRY_LEN];
        let section_table_crc = checksum::of_part(&file_id, section_table);
        self.put_header(&file_id, section_table_crc, checksums_crc);
        self.bytes
    }

    /// Computes the file id. It depends on the generation and on all sections except the signature.
    fn file_id(&self) -> [u8; FILE_ID_LEN] {
        let mut hasher = Xxh3::new();
        hasher.update(&self.generation.to_le_bytes());
        let is_signed = |section: &&Section| section.kind_number != SectionKind::Signature.number();
        for section in self.sections.iter().filter(is_signed) {
            hasher.update(&section.kind_number.to_le_bytes());
            hasher.update(&section.len_bytes.to_le_bytes());
            hasher.update(&self.bytes[range(section)]);
        }
        hasher.digest128().to_le_bytes()
    }

    fn put_section_table(&mut self) {
        for (index, section) in self.sections.clone().iter().enumerate() {
            let at = HEADER_LEN + index * SECTION_ENTRY_LEN;
            let flags = if section.required { layout::FLAG_REQUIRED } else { 0 };
            self.put(at + layout::SECTION_KIND_OFFSET, &section.kind_number.to_le_bytes());
            self.put(at + layout::SECTION_FLAGS_OFFSET, &flags.to_le_bytes());
            self.put(at + layout::SECTION_OFFSET_OFFSET, &section.offset.to_le_bytes());
            self.put(at + layout::SECTION_LEN_OFFSET, &section.len_bytes.to_le_bytes());
            self.put(at + layout::SECTION_FIRST_CHUNK_OFFSET, &section.first_chunk.to_le_bytes());
            self.put(at + layout::SECTION_CHUNK_COUNT_OFFSET, &section.chunk_count.to_le_bytes());
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "64 sections at most, chunks of 1 MiB")]
    fn put_header(&mut self, file_id: &[u8; FILE_ID_LEN], section_table_crc: u32, checksums_crc: u32) {
        let chunk_count: u32 = self.sections.iter().map(|section| section.chunk_count).sum();
        self.put(0, &layout::MAGIC);
        self.put(layout::BYTE_ORDER_OFFSET, &layout::BYTE_ORDER.to_le_bytes());
        self.put(layout::FORMAT_VERSION_OFFSET, &layout::FORMAT_VERSION.to_le_bytes());
        self.put(layout::OLDEST_READER_OFFSET, &layout::FORMAT_VERSION.to_le_bytes());
        self.put(layout::SECTION_COUNT_OFFSET, &(self.sections.len() as u32).to_le_bytes());
        self.put(layout::TOTAL_LEN_OFFSET, &self.end.total_len_bytes.to_le_bytes());
        self.put(layout::GENERATION_OFFSET, &self.generation.to_le_bytes());
        self.put(layout::FILE_ID_OFFSET, file_id);
        self.put(layout::CHUNK_LEN_OFFSET, &(CHUNK_LEN as u32).to_le_bytes());
        self.put(layout::CHUNK_COUNT_OFFSET, &chunk_count.to_le_bytes());
        self.put(layout::CHECKSUMS_OFFSET_OFFSET, &self.end.checksums_offset.to_le_bytes());
        self.put(layout::SECTION_TABLE_CRC_OFFSET, &section_table_crc.to_le_bytes());
        self.put(layout::CHECKSUMS_CRC_OFFSET, &checksums_crc.to_le_bytes());
        self.bytes[layout::HEADER_ZEROS_OFFSET..layout::HEADER_CRC_OFFSET].fill(0);
        let header_crc = checksum::plain(&self.bytes[..layout::HEADER_CRC_OFFSET]);
        self.put(layout::HEADER_CRC_OFFSET, &header_crc.to_le_bytes());
    }

    fn put(&mut self, offset: usize, value: &[u8]) {
        self.bytes[offset..offset + value.len()].copy_from_slice(value);
    }
}

/// Returns the length of a file with sections of these lengths, given in ascending order of kind. Returns `None` if the
/// file would be too large for the format.
pub(super) fn planned_len(lens: &[(SectionKind, u64)]) -> Option<u64> {
    let (_, end) = lay_out(lens.iter().map(|&(kind, len)| (kind.number(), len)))?;
    Some(end.total_len_bytes)
}

/// Computes where sections of these kinds and lengths are, and what follows after them. Returns `None` if the file
/// would be too large for the format.
fn lay_out(lens: impl Iterator<Item = (u32, u64)> + Clone) -> Option<(Vec<Section>, End)> {
    let mut sections = Vec::new();
    let mut end = (HEADER_LEN + lens.clone().count() * SECTION_ENTRY_LEN) as u64;
    let mut chunk_count = 0;
    for (kind_number, len_bytes) in lens {
        let section = place_section(end, chunk_count, kind_number, len_bytes)?;
        end = section.offset + section.len_bytes;
        chunk_count += section.chunk_count;
        sections.push(section);
    }
    Some((sections, place_end(end, chunk_count)?))
}

/// Converts an offset in the file to an index in memory.
fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn range(section: &Section) -> std::ops::Range<usize> {
    position(section.offset)..position(section.offset + section.len_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [SectionKind; 3] = [SectionKind::Contract, SectionKind::Weights, SectionKind::FieldSizes];

    /// Builds a draft with sections of these lengths.
    fn draft(lens: [usize; 3]) -> Draft {
        let mut draft = Draft::new(7, &KINDS.into_iter().zip(lens).collect::<Vec<_>>()).unwrap();
        for (kind, len) in KINDS.into_iter().zip(lens) {
            draft.section_mut(kind).copy_from_slice(&content(kind, len));
        }
        draft
    }

    fn content(kind: SectionKind, len: usize) -> Vec<u8> {
        // No byte is 0, so that bytes left in the wrong place are detected.
        (0..len).map(|index| u8::try_from(1 + (index + kind.number() as usize * 50) % 255).unwrap()).collect()
    }

    #[test]
    fn replacing_a_section_gives_the_same_file_as_building_it_with_the_new_content() {
        // Within the padding, over a page, over a chunk, and back.
        let lens = [10, 64, 4_096 - 128 - 96, 9_000, CHUNK_LEN + 1, 0];
        for (index, kind) in KINDS.into_iter().enumerate() {
            for (from, to) in lens.into_iter().flat_map(|from| lens.map(|to| (from, to))) {
                let mut all = [100, 20_000, 200];
                all[index] = from;
                // One draft is new, the other has the marks and checksums of a sealed file.
                let sealed = Draft { bytes: draft(all).seal(), ..draft(all) };
                let drafts = [draft(all), sealed];
                all[index] = to;
                let expected = draft(all).seal();
                for mut changed in drafts {
                    changed.replace(kind, &content(kind, to)).unwrap();
                    assert!(changed.seal() == expected, "{} from {from} to {to} bytes", kind.name());
                }
            }
        }
    }

    #[test]
    fn adding_a_section_gives_the_same_file_as_building_it_with_the_section() {
        let lens = [100, 20_032, 200];
        let all = KINDS.into_iter().zip(lens).collect::<Vec<_>>();
        for left_out in KINDS {
            let others: Vec<_> = all.iter().copied().filter(|(kind, _)| *kind != left_out).collect();
            let mut without = Draft::new(7, &others).unwrap();
            for (kind, len) in others {
                without.section_mut(kind).copy_from_slice(&content(kind, len));
            }
            let len = all.iter().find(|(kind, _)| *kind == left_out).unwrap().1;
            let with = without.with_section(left_out, &content(left_out, len)).unwrap();
            assert!(with.seal() == draft(lens).seal(), "{}", left_out.name());
        }
    }
}
