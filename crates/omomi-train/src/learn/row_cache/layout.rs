//! Offsets and sizes in a row cache, as specified in `FORMAT.md`.

pub(super) const MAGIC: &[u8; 8] = b"omomirow";
pub(super) const END_MAGIC: &[u8; 8] = b"omomiend";
/// Version that this library writes, and the only one that it reads.
pub(super) const FORMAT_VERSION: u32 = 1;

pub(super) const VERSION_OFFSET: usize = MAGIC.len();
const ZERO_OFFSET: usize = VERSION_OFFSET + size_of::<u32>();
pub(super) const DIGEST_OFFSET: usize = ZERO_OFFSET + size_of::<u32>();
pub(super) const DIGEST_LEN: usize = 32;
pub(super) const HEADER_CHECKSUM_OFFSET: usize = DIGEST_OFFSET + DIGEST_LEN + size_of::<u64>();
pub(super) const HEADER_LEN: usize = HEADER_CHECKSUM_OFFSET + size_of::<u64>();

pub(super) const BLOCK_CHECKSUM_OFFSET: usize = 4 * size_of::<u32>();
pub(super) const BLOCK_HEADER_LEN: usize = BLOCK_CHECKSUM_OFFSET + size_of::<u64>();

/// Index of the first block of features.
pub(super) const FIRST_FEATURES_INDEX: u32 = 1 << 31;

pub(super) const FLAG_CLICKED: u8 = 1;
pub(super) const FLAG_REPEATS: u8 = 2;

pub(super) const END_MAGIC_OFFSET: usize = 5 * size_of::<u64>();
pub(super) const TRAILER_CHECKSUM_OFFSET: usize = END_MAGIC_OFFSET + END_MAGIC.len();
pub(super) const TRAILER_LEN: usize = TRAILER_CHECKSUM_OFFSET + size_of::<u64>();

const _: () = assert!(HEADER_LEN == 64 && BLOCK_HEADER_LEN == 24 && TRAILER_LEN == 56);

/// Bytes of a row in a block, without its features and its importance.
pub(super) const ROW_LEN: u64 = (size_of::<u8>() + size_of::<u32>()) as u64;
pub(super) const IMPORTANCE_LEN: u64 = size_of::<f64>() as u64;
pub(super) const NUMBER_LEN: u64 = size_of::<u32>() as u64;
/// Bytes of a feature in a block, without its category.
pub(super) const FEATURE_LEN: u64 = (4 * size_of::<u64>() + size_of::<u16>() + size_of::<u32>()) as u64;
