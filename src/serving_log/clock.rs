//! The clock of records that come without a time.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time now in Unix milliseconds. On Linux, reading it is no system call.
pub(super) fn now_unix_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}
