//! Options of a serving log: what is logged, and its limits.

use std::time::Duration;

use super::format::MAX_NAME_LEN_BYTES;
use super::ids::MILLION;
use crate::error::Error;

/// Options of a [`ServingLog`](super::ServingLog). Later versions may have more of them, so start from the defaults and
/// [change](Self::with) what differs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogOptions {
    /// Name of this server, at most 64 bytes, in the header of each segment.
    pub name: String,
    /// Requests in a million whose predictions are logged: all of them by default.
    pub predictions_per_million: u32,
    /// Requests in a million whose details are logged: 1,000 by default.
    pub details_per_million: u32,
    /// Salt of the samples. Services with one salt choose the same requests.
    pub salt: u64,
    /// Size of each ring in bytes, rounded up to a power of two: what a thread can record while the writer is busy.
    pub ring_len_bytes: usize,
    /// How many records of a ring per second may have another source than the model.
    pub fallbacks_per_second: u32,
    /// A segment is sealed when it has this length.
    pub max_segment_len_bytes: u64,
    /// A segment is sealed when it is this old.
    pub max_segment_age: Duration,
    /// Maximum total length of all segments in the folder. Where it would be exceeded, the oldest sealed segments are
    /// deleted, and counted.
    pub max_total_len_bytes: u64,
    /// How long a record may wait in memory before its block is written.
    pub flush_interval: Duration,
    /// Whether a segment is made durable (`fsync`) before it is sealed. Without it, a power failure can take what was
    /// written in the last seconds; the end of the process never does.
    pub sync: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            name: "server".to_owned(),
            predictions_per_million: MILLION,
            details_per_million: 1_000,
            salt: 0,
            ring_len_bytes: 1 << 20,
            fallbacks_per_second: 100,
            max_segment_len_bytes: 64 << 20,
            max_segment_age: Duration::from_secs(60),
            max_total_len_bytes: 10 << 30,
            flush_interval: Duration::from_millis(100),
            sync: false,
        }
    }
}

/// Limits of the size of a ring.
const RING_LEN_BYTES: std::ops::RangeInclusive<usize> = 1 << 12..=1 << 30;
/// Limits of the size of a segment.
const SEGMENT_LEN_BYTES: std::ops::RangeInclusive<u64> = 1 << 12..=1 << 30;

impl LogOptions {
    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Rejects options that can never work.
    pub(super) fn check(&self) -> Result<(), Error> {
        let invalid = |problem: String| Err(Error::InvalidArgument { argument: "options", problem });
        if self.name.len() > MAX_NAME_LEN_BYTES {
            return invalid(format!(
                "expected a name of at most {MAX_NAME_LEN_BYTES} bytes, found {}",
                self.name.len()
            ));
        }
        for (what, found) in [("predictions", self.predictions_per_million), ("details", self.details_per_million)] {
            if found > MILLION {
                return invalid(format!("expected at most 1000000 {what} in a million, found {found}"));
            }
        }
        if !RING_LEN_BYTES.contains(&self.ring_len_bytes) {
            return invalid(format!("expected a ring of 4 KiB to 1 GiB, found {} bytes", self.ring_len_bytes));
        }
        if !SEGMENT_LEN_BYTES.contains(&self.max_segment_len_bytes) {
            return invalid(format!("expected segments of 4 KiB to 1 GiB, found {} bytes", self.max_segment_len_bytes));
        }
        if self.max_total_len_bytes < self.max_segment_len_bytes.saturating_mul(2) {
            return invalid(format!(
                "expected room for two segments, {} bytes, found {}",
                2 * self.max_segment_len_bytes,
                self.max_total_len_bytes
            ));
        }
        if self.max_segment_age.is_zero() {
            return invalid("expected a maximum age of segments above 0, found 0".to_owned());
        }
        Ok(())
    }
}
