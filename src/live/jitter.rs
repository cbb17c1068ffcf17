//! Spreads the looks of many servers, so that they do not all look at the same moment.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Maximum pause between looks. Anything longer means: on demand only.
const MAX_PAUSE: Duration = Duration::from_secs(366 * 24 * 3_600);

pub(crate) fn seed() -> u64 {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(nanoseconds).unwrap_or(1) | 1
}

/// Returns the interval, or up to a fifth less.
pub(crate) fn up_to(interval: Duration, state: &mut u64) -> Duration {
    // Xorshift: spread matters here, quality does not.
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    let percent = u32::try_from(80 + *state % 21).unwrap_or(100);
    interval.min(MAX_PAUSE) * percent / 100
}
