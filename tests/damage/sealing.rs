//! Takes weight files apart and seals them again: a careless writer produces damage with correct checksums. The fuzz
//! target under `tests/fuzz` shares this file.

use omomi::weight_file::layout::{self, CHUNK_LEN, END_LEN, END_MARK, FLAG_REQUIRED, HEADER_LEN, SECTION_ENTRY_LEN};

/// A section to be assembled into a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub kind: u32,
    pub flags: u32,
    pub content: Vec<u8>,
}

pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

pub fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

/// Returns the offset of the section table's entry at `index`.
pub fn entry_at(index: usize) -> usize {
    HEADER_LEN + index * SECTION_ENTRY_LEN
}

/// Returns the sections of a whole file.
pub fn sections_of(bytes: &[u8]) -> Vec<Section> {
    (0..u32_at(bytes, layout::SECTION_COUNT_OFFSET) as usize)
        .map(|index| {
            let entry = &bytes[entry_at(index)..];
            let offset = usize::try_from(u64_at(entry, layout::SECTION_OFFSET_OFFSET)).unwrap();
            let len = usize::try_from(u64_at(entry, layout::SECTION_LEN_OFFSET)).unwrap();
            Section {
                kind: u32_at(entry, layout::SECTION_KIND_OFFSET),
                flags: u32_at(entry, layout::SECTION_FLAGS_OFFSET),
                content: bytes[offset..offset + len].to_vec(),
            }
        })
        .collect()
}

/// Lays sections out as `FORMAT.md` specifies, and seals them. The file id is arbitrary, because no reader checks it.
pub fn assemble(sections: &[Section]) -> Vec<u8> {
    let mut bytes = vec![0; entry_at(sections.len())];
    let mut chunk_count = 0_u32;
    for (index, section) in sections.iter().enumerate() {
        let alignment = usize::try_from(layout::alignment(section.kind)).unwrap();
        bytes.resize(bytes.len().next_multiple_of(alignment), 0);
        let chunks = u32::try_from(section.content.len().div_ceil(CHUNK_LEN)).unwrap();
        let (offset, len, at) = (bytes.len() as u64, section.content.len() as u64, entry_at(index));
        put(&mut bytes, at + layout::SECTION_KIND_OFFSET, &section.kind.to_le_bytes());
        put(&mut bytes, at + layout::SECTION_FLAGS_OFFSET, &section.flags.to_le_bytes());
        put(&mut bytes, at + layout::SECTION_OFFSET_OFFSET, &offset.to_le_bytes());
        put(&mut bytes, at + layout::SECTION_LEN_OFFSET, &len.to_le_bytes());
        put(&mut bytes, at + layout::SECTION_FIRST_CHUNK_OFFSET, &chunk_count.to_le_bytes());
        put(&mut bytes, at + layout::SECTION_CHUNK_COUNT_OFFSET, &chunks.to_le_bytes());
        bytes.extend_from_slice(&section.content);
        chunk_count += chunks;
    }
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    let checksums_offset = bytes.len() as u64;
    bytes.resize((bytes.len() + 4 * chunk_count as usize).next_multiple_of(8), 0);
    let total_len = (bytes.len() + END_LEN) as u64;
    bytes.extend_from_slice(&total_len.to_le_bytes());
    bytes.extend_from_slice(&END_MARK);

    put(&mut bytes, 0, &layout::MAGIC);
    put(&mut bytes, layout::BYTE_ORDER_OFFSET, &layout::BYTE_ORDER.to_le_bytes());
    put(&mut bytes, layout::FORMAT_VERSION_OFFSET, &layout::FORMAT_VERSION.to_le_bytes());
    put(&mut bytes, layout::OLDEST_READER_OFFSET, &layout::FORMAT_VERSION.to_le_bytes());
    put(&mut bytes, layout::SECTION_COUNT_OFFSET, &u32::try_from(sections.len()).unwrap().to_le_bytes());
    put(&mut bytes, layout::TOTAL_LEN_OFFSET, &total_len.to_le_bytes());
    put(&mut bytes, layout::FILE_ID_OFFSET, b"made by the test");
    put(&mut bytes, layout::CHUNK_LEN_OFFSET, &u32::try_from(CHUNK_LEN).unwrap().to_le_bytes());
    put(&mut bytes, layout::CHUNK_COUNT_OFFSET, &chunk_count.to_le_bytes());
    put(&mut bytes, layout::CHECKSUMS_OFFSET_OFFSET, &checksums_offset.to_le_bytes());
    reseal(&mut bytes);
    bytes
}

/// Computes every checksum of a file again: those of the chunks, as far as they are inside the file, of the list of
/// checksums, of the section table, and of the header. Changes nothing else, whatever the header and the table say.
pub fn reseal(bytes: &mut [u8]) {
    if bytes.len() < HEADER_LEN {
        return;
    }
    let file_id = bytes[layout::FILE_ID_OFFSET..][..layout::FILE_ID_LEN].to_vec();
    let section_count = u32_at(bytes, layout::SECTION_COUNT_OFFSET) as usize;
    let table_end = HEADER_LEN.saturating_add(section_count.saturating_mul(SECTION_ENTRY_LEN)).min(bytes.len());
    let checksums_offset = usize::try_from(u64_at(bytes, layout::CHECKSUMS_OFFSET_OFFSET)).unwrap_or(usize::MAX);
    for index in 0..(table_end - HEADER_LEN) / SECTION_ENTRY_LEN {
        let entry = &bytes[entry_at(index)..];
        let kind = u32_at(entry, layout::SECTION_KIND_OFFSET);
        let offset = usize::try_from(u64_at(entry, layout::SECTION_OFFSET_OFFSET)).unwrap_or(usize::MAX);
        let len = usize::try_from(u64_at(entry, layout::SECTION_LEN_OFFSET)).unwrap_or(usize::MAX);
        let first_chunk = u32_at(entry, layout::SECTION_FIRST_CHUNK_OFFSET) as usize;
        let Some(content) = bytes.get(offset..offset.saturating_add(len)) else { continue };
        let crcs: Vec<u32> = (0_u32..)
            .zip(content.chunks(CHUNK_LEN))
            .map(|(chunk, content)| crc(&[&file_id, &kind.to_le_bytes(), &chunk.to_le_bytes(), content]))
            .collect();
        for (chunk, crc) in crcs.iter().enumerate() {
            let at = checksums_offset.saturating_add(4 * (first_chunk + chunk));
            // A hostile table may place the checksums over the table itself; writing them would change what is being
            // read.
            if at >= table_end && at.saturating_add(4) <= bytes.len() {
                put(bytes, at, &crc.to_le_bytes());
            }
        }
    }
    let checksums_len = 4 * u32_at(bytes, layout::CHUNK_COUNT_OFFSET) as usize;
    if let Some(checksums) = bytes.get(checksums_offset..checksums_offset.saturating_add(checksums_len)) {
        let checksums_crc = crc(&[&file_id, checksums]);
        put(bytes, layout::CHECKSUMS_CRC_OFFSET, &checksums_crc.to_le_bytes());
    }
    let table_crc = crc(&[&file_id, &bytes[HEADER_LEN..table_end]]);
    put(bytes, layout::SECTION_TABLE_CRC_OFFSET, &table_crc.to_le_bytes());
    let header_crc = crc(&[&bytes[..layout::HEADER_CRC_OFFSET]]);
    put(bytes, layout::HEADER_CRC_OFFSET, &header_crc.to_le_bytes());
}

/// Returns the CRC-32 of the parts, one after the other.
pub fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Returns `bytes` after `change` has changed the content of the section of `kind`, sealed.
pub fn with_content(bytes: &[u8], kind: layout::SectionKind, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut sections = sections_of(bytes);
    let section = sections.iter_mut().find(|section| section.kind == kind.number()).unwrap();
    change(&mut section.content);
    assemble(&sections)
}

/// Returns `bytes` with a section of an unknown kind after the others, sealed.
pub fn with_unknown_section(bytes: &[u8], kind: u32, required: bool, content: Vec<u8>) -> Vec<u8> {
    let mut sections = sections_of(bytes);
    sections.push(Section { kind, flags: if required { FLAG_REQUIRED } else { 0 }, content });
    assemble(&sections)
}
