//! Checksums that depend on their place: the CRC of a chunk starts with the file id, the kind of the section and the
//! index of the chunk. A chunk that was moved, or taken from another file, therefore does not match.

use crc32fast::Hasher;

use super::layout::FILE_ID_LEN;

/// Returns the CRC-32 of `bytes`.
pub fn plain(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Returns the CRC-32 of the file id and `bytes`.
pub fn of_part(file_id: &[u8; FILE_ID_LEN], bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(file_id);
    hasher.update(bytes);
    hasher.finalize()
}

/// Returns the CRC-32 of a chunk: of the file id, the kind of the section, the index of the chunk within it, and
/// `bytes`.
pub fn of_chunk(file_id: &[u8; FILE_ID_LEN], kind_number: u32, chunk_index: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(file_id);
    hasher.update(&kind_number.to_le_bytes());
    hasher.update(&chunk_index.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}
