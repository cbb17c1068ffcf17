//! Checksums that know where they belong: the CRC of a chunk begins with the file's id, the section and the chunk's number,
//! so a chunk that was moved or taken from another file does not match.

use crc32fast::Hasher;

use super::layout::FILE_ID_LEN;

/// CRC-32 of `bytes`.
pub fn plain(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-32 of the file id and `bytes`.
pub fn of_part(file_id: &[u8; FILE_ID_LEN], bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(file_id);
    hasher.update(bytes);
    hasher.finalize()
}

/// CRC-32 of a chunk: of file id, kind of section, number of the chunk in it, and `bytes`.
pub fn of_chunk(file_id: &[u8; FILE_ID_LEN], kind_number: u32, chunk_index: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(file_id);
    hasher.update(&kind_number.to_le_bytes());
    hasher.update(&chunk_index.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}
