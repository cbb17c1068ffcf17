//! What a pass writes down for the next one: where the store comes from, the orders that were brought, and the objects
//! that were refused.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use omomi::store::{Named, Store};
use serde::{Deserialize, Serialize};

use super::FetchError;
use super::error::file_error;
use crate::bucket::{Bucket, Version};

/// After this time, an object that was refused once is copied again: a fault of the network may have been the reason.
/// The time doubles with each refusal.
const FIRST_WAIT_SECONDS: u64 = 60;
/// Longest time after which a refused object is copied again.
const MAX_WAIT_SECONDS: u64 = 3_600;
/// How many refused objects are remembered.
pub(super) const MAX_REFUSED_COUNT: usize = 8;

/// What the last pass wrote down: where the store comes from, and the orders that the bucket had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) from: String,
    pub(super) control: Option<String>,
    pub(super) pardons: Option<String>,
    /// Weight files whose digests were checked since the orders changed, as generation and digest.
    #[serde(default)]
    pub(super) checked: Vec<String>,
    /// Objects that were refused.
    #[serde(default)]
    pub(super) refused: Vec<Refused>,
}

/// An object that was copied whole, and refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) digest: Option<String>,
    pub(super) code: String,
    pub(super) owner: String,
    pub(super) problem: String,
    pub(super) count: u32,
    pub(super) unix_seconds: u64,
}

/// How many seconds are left until an object is copied again that was refused so often, so long ago.
pub(super) fn wait_seconds(count: u32, seconds_ago: u64) -> u64 {
    let factor = 1_u64.checked_shl(count.saturating_sub(1)).unwrap_or(u64::MAX);
    FIRST_WAIT_SECONDS.saturating_mul(factor).min(MAX_WAIT_SECONDS).saturating_sub(seconds_ago)
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(super) fn memory_path(store: &Store) -> PathBuf {
    store.dir().join("fetched.json")
}

pub(super) fn read_memory(bucket: &Bucket, store: &Store) -> Result<Memory, FetchError> {
    let from = bucket.address().to_string();
    let path = memory_path(store);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory { from, ..Memory::default() }),
        bytes => bytes.map_err(file_error("read", &path))?,
    };
    let memory: Memory =
        serde_json::from_slice(&bytes).map_err(|error| FetchError::Memory { path, problem: error.to_string() })?;
    if memory.from != from {
        let dir = store.dir().to_owned();
        return Err(FetchError::OtherBucket { dir, expected: memory.from, found: from });
    }
    Ok(memory)
}

impl Refused {
    /// Whether this is about a version of an object, with the digest that it should have.
    pub(super) fn is(&self, name: &str, version: &Version, named: Named) -> bool {
        self.name == name
            && version.identity().is_some_and(|identity| identity == self.version)
            && named.digest.map(|digest| digest.to_string()) == self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_object_is_copied_again_more_and_more_seldom() {
        let waits = [(1, 0, 60), (1, 59, 1), (1, 60, 0), (2, 60, 60), (6, 0, 1_920), (7, 0, 3_600), (200, 0, 3_600)];
        for (count, seconds_ago, expected) in waits {
            assert_eq!(wait_seconds(count, seconds_ago), expected, "{count} times, {seconds_ago} s ago");
        }
    }
}
