//! The numbers of `SERVING_LOG.md`, and how values become bytes and bytes values.

pub(super) const MAGIC: [u8; 8] = *b"omomilog";
/// Version of the format.
pub const VERSION: u32 = 1;
/// Oldest version of a reader that can read what this writes.
pub const OLDEST_READER: u32 = 1;
pub(super) const HEADER_LEN: usize = 256;
pub(super) const MAX_NAME_LEN_BYTES: usize = 64;
/// Zeros in the header, between the name and the checksum.
pub(super) const HEADER_ZEROS_LEN: usize = 124;
/// The part of the header that names the segment.
pub(super) const SEGMENT_ID: std::ops::Range<usize> = 16..32;

pub(super) const FRAME_MAGIC: [u8; 4] = *b"OLF1";
pub(super) const FRAME_HEADER_LEN: usize = 24;
/// The part of a frame's header that its checksum covers.
pub(super) const FRAME_CHECKED_LEN: usize = 16;
pub(super) const BLOCK: u32 = 1;
pub(super) const FOOTER: u32 = 2;
/// Longest payload of a frame, in bytes.
pub const MAX_PAYLOAD_LEN_BYTES: usize = 64 << 20;
pub(super) const BLOCK_HEAD_LEN: usize = 128;
pub(super) const END_MAGIC: [u8; 4] = *b"OLE1";
/// Length of the last two members of a footer.
pub(super) const FOOTER_END_LEN: usize = 8;
pub(super) const FOOTER_HEAD_LEN: usize = 32;
pub(super) const FOOTER_RING_LEN: usize = 128;

pub(super) const PREDICTION: u8 = 1;
pub(super) const DETAIL: u8 = 2;
pub(super) const EVENT: u8 = 3;
pub(super) const SHADOW: u8 = 4;
pub(super) const RECORD_HEAD_LEN: usize = 24;
/// In place of the index of a model.
pub(super) const NO_MODEL: u16 = u16::MAX;
/// In place of a position or a bucket.
pub(super) const NOT_GIVEN: u32 = u32::MAX;

/// States of a prediction's row.
pub(super) const ROW_UNKNOWN: u8 = 0;
pub(super) const ROW_HERE: u8 = 1;
pub(super) const ROW_CHANGED: u8 = 2;
pub(super) const ROW_UNREADABLE: u8 = 3;

/// Forms of a value.
pub(super) mod form {
    pub(in super::super) const ID_32: u8 = 1;
    pub(in super::super) const ID: u8 = 2;
    pub(in super::super) const NUMBER: u8 = 3;
    pub(in super::super) const SHORT_TEXT: u8 = 4;
    pub(in super::super) const TEXT: u8 = 5;
    pub(in super::super) const TEXT_VALUE: u8 = 6;
    pub(in super::super) const KEY: u8 = 7;
    pub(in super::super) const IDS: u8 = 8;
    pub(in super::super) const TEXTS: u8 = 9;
    pub(in super::super) const TEXT_VALUES: u8 = 10;
    pub(in super::super) const KEYS: u8 = 11;
}

/// Longest request id, in bytes.
pub const MAX_REQUEST_ID_LEN_BYTES: usize = 128;
/// Longest impression, in bytes.
pub const MAX_IMPRESSION_LEN_BYTES: usize = 64;
/// Longest name of an experiment or an arm, in bytes.
pub const MAX_LABEL_LEN_BYTES: usize = 64;

/// Why a segment was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum SealReason {
    /// It had its maximum length.
    Size = 1,
    /// It had its maximum age.
    Age = 2,
    /// The log was closed.
    Closed = 3,
    /// Its writer was killed; another process sealed it.
    Recovered = 4,
    /// A write failed.
    Failed = 5,
}

impl SealReason {
    pub(super) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Size,
            2 => Self::Age,
            3 => Self::Closed,
            4 => Self::Recovered,
            5 => Self::Failed,
            _ => return None,
        })
    }

    /// Returns its word, in snake case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Age => "age",
            Self::Closed => "closed",
            Self::Recovered => "recovered",
            Self::Failed => "failed",
        }
    }
}

/// A value that has a fixed number of bytes.
pub(super) trait Fixed: Sized {
    type Bytes: AsRef<[u8]>;
    fn bytes(self) -> Self::Bytes;
    fn from(bytes: &[u8]) -> Option<(Self, &[u8])>;
}

macro_rules! fixed {
    ($($type:ty),*) => { $(
        impl Fixed for $type {
            type Bytes = [u8; size_of::<$type>()];

            #[inline]
            fn bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }

            #[inline]
            fn from(bytes: &[u8]) -> Option<(Self, &[u8])> {
                let (first, rest) = bytes.split_first_chunk()?;
                Some((Self::from_le_bytes(*first), rest))
            }
        }
    )* };
}
fixed!(u8, u16, u32, u64, i64, f32, f64);

/// Appends values to bytes.
pub(super) trait Put {
    fn put(&mut self, value: impl Fixed);
    fn put_bytes(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    #[inline]
    fn put(&mut self, value: impl Fixed) {
        self.extend_from_slice(value.bytes().as_ref());
    }

    #[inline]
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Takes values from bytes, which may be anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    #[inline]
    pub(super) fn get<T: Fixed>(&mut self) -> Option<T> {
        let (value, rest) = T::from(self.0)?;
        self.0 = rest;
        Some(value)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn text(&mut self, len: usize) -> Option<&'a str> {
        str::from_utf8(self.take(len)?).ok()
    }
}

/// Returns the checksum of a frame: of the segment id, the first part of the frame's header, and the payload.
pub(super) fn frame_checksum(segment_id: &[u8; 16], head: &[u8], payload: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(segment_id);
    hasher.update(head);
    payload.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Returns the checksum of a header.
pub(super) fn header_checksum(header: &[u8]) -> u32 {
    crc32fast::hash(header)
}
