//! Prediction ids and samples. `tests/serving_log.tsv` has test vectors, which the Rust, C, Java and Python tests all
//! read.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::format::{MAX_IMPRESSION_LEN_BYTES, MAX_REQUEST_ID_LEN_BYTES};
use crate::error::Error;
use crate::hex;
use crate::short_text::UnexpectedText;

/// Requests in a million that a sample of all of them has.
pub const MILLION: u32 = 1_000_000;

/// Joins a prediction with its events: 16 bytes that follow from the request id, the impression and the candidate. It
/// is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PredictionId([u8; Self::LEN]);

impl PredictionId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Returns the id of a prediction. `candidate` is its index in the request. Does not allocate.
    ///
    /// # Errors
    ///
    /// Returns [`Error::RecordInvalid`] if the request id does not have 1 to 128 bytes, or the impression more than 64.
    pub fn of(request_id: &str, impression: &str, candidate: u32) -> Result<Self, Error> {
        check_request_id(request_id)?;
        check_impression(impression)?;
        Ok(Self::of_checked(request_id.as_bytes(), impression.as_bytes(), candidate))
    }

    /// Returns the first half, which is a hash of its own.
    pub(crate) const fn half(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Returns the id of texts of permitted lengths.
    pub(super) fn of_checked(request_id: &[u8], impression: &[u8], candidate: u32) -> Self {
        const CAPACITY: usize = 1 + 1 + MAX_REQUEST_ID_LEN_BYTES + 1 + MAX_IMPRESSION_LEN_BYTES + size_of::<u32>();
        let mut message = [0; CAPACITY];
        let mut len = 1;
        let mut put = |bytes: &[u8]| {
            let bytes = &bytes[..bytes.len().min(CAPACITY - len)];
            message[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
        };
        for text in [request_id, impression] {
            put(&[u8::try_from(text.len()).unwrap_or(u8::MAX)]);
            put(text);
        }
        put(&candidate.to_le_bytes());
        let mut half = |number: u8| {
            message[0] = number;
            xxh3_64(&message[..len]).to_le_bytes()
        };
        let halves = [half(1), half(2)];
        let mut id = [0; Self::LEN];
        id.copy_from_slice(halves.as_flattened());
        Self(id)
    }

    /// Returns the id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for PredictionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, formatter)
    }
}

impl fmt::Debug for PredictionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PredictionId({self})")
    }
}

impl FromStr for PredictionId {
    type Err = UnexpectedText;

    fn from_str(text: &str) -> Result<Self, UnexpectedText> {
        hex::read(text).map(Self).ok_or_else(|| UnexpectedText::new("32 hexadecimal digits in lower case", text))
    }
}

/// Returns the place of a request, from 0 to 999,999. The request is in every sample of more requests in a million than
/// its place in every program that computes it.
#[must_use]
pub fn sample_place(salt: u64, request_id: &str) -> u32 {
    let mut hash = Xxh3Default::new();
    hash.update(&salt.to_le_bytes());
    hash.update(request_id.as_bytes());
    place_of(hash.digest())
}

/// Returns the place of a request whose id has a permitted length. Faster than [`sample_place`].
pub(super) fn short_sample_place(salt: u64, request_id: &[u8]) -> u32 {
    let mut message = [0; size_of::<u64>() + MAX_REQUEST_ID_LEN_BYTES];
    let len = request_id.len().min(MAX_REQUEST_ID_LEN_BYTES);
    message[..size_of::<u64>()].copy_from_slice(&salt.to_le_bytes());
    message[size_of::<u64>()..][..len].copy_from_slice(&request_id[..len]);
    place_of(xxh3_64(&message[..size_of::<u64>() + len]))
}

const fn place_of(hash: u64) -> u32 {
    (((hash >> 32) * MILLION as u64) >> 32) as u32
}

pub(super) fn check_request_id(request_id: &str) -> Result<(), Error> {
    let is_valid = (1..=MAX_REQUEST_ID_LEN_BYTES).contains(&request_id.len());
    if is_valid { Ok(()) } else { Err(Error::RecordInvalid { what: "a request id of 1 to 128 bytes" }) }
}

pub(super) fn check_impression(impression: &str) -> Result<(), Error> {
    let is_valid = impression.len() <= MAX_IMPRESSION_LEN_BYTES;
    if is_valid { Ok(()) } else { Err(Error::RecordInvalid { what: "an impression of at most 64 bytes" }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_ways_to_a_place_agree() {
        for len in 1..=MAX_REQUEST_ID_LEN_BYTES {
            let id = "x".repeat(len);
            assert_eq!(sample_place(7, &id), short_sample_place(7, id.as_bytes()), "{len}");
        }
    }

    #[test]
    fn places_are_spread_evenly() {
        let count = (0..100_000).filter(|index| sample_place(0, &format!("request-{index}")) < 10_000).count();
        assert!((800..1_200).contains(&count), "{count} of 100,000 are in the sample of 1 %");
    }
}
