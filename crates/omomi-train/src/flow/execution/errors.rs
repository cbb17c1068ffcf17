//! Which errors a retrier or catcher means, and how long a retry waits.

use sha2::{Digest, Sha256};

use crate::flow::definition::Retrier;

/// Errors that end an execution: nothing retries or catches them.
const FINAL: &[&str] = &["States.Runtime", "States.DataLimitExceeded"];

/// Whether one of the names means an error.
pub(super) fn is_matched(names: &[String], error: &str) -> bool {
    let is_final = FINAL.contains(&error);
    names.iter().any(|name| match name.as_str() {
        "States.ALL" => !is_final,
        "States.TaskFailed" => !is_final && error != "States.Timeout",
        name => name == error && !is_final,
    })
}

/// How long a retry waits, after `count` retries by the same retrier. `seed` decides the jitter.
pub(super) fn delay_ms(retrier: &Retrier, count: u32, seed: &str) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 99,999,999")]
    let interval = retrier.interval_seconds as f64;
    let mut seconds = interval * retrier.backoff_rate.powi(i32::try_from(count).unwrap_or(i32::MAX));
    if let Some(most) = retrier.max_delay_seconds {
        #[expect(clippy::cast_precision_loss, reason = "at most a year")]
        let most = most as f64;
        seconds = seconds.min(most);
    }
    // A century is as good as forever.
    let seconds = seconds.min(3.2e9);
    #[expect(clippy::cast_possible_truncation, reason = "at most a century")]
    let ms = (seconds * 1e3).round() as i64;
    if !retrier.has_jitter {
        return ms;
    }
    let digest = Sha256::digest(seed.as_bytes());
    let share = digest.iter().take(6).fold(0_i64, |share, byte| share * 256 + i64::from(*byte));
    let share = i128::from(share) * i128::from(ms) / (1_i128 << 48);
    i64::try_from(share).unwrap_or(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retrier(max_delay_seconds: Option<u64>, has_jitter: bool) -> Retrier {
        Retrier {
            errors: Vec::new(),
            interval_seconds: 2,
            max_attempts: 9,
            backoff_rate: 1.5,
            max_delay_seconds,
            has_jitter,
        }
    }

    #[test]
    fn a_retry_waits_longer_each_time_up_to_the_most() {
        let delays = |retrier: &Retrier| [0, 1, 2].map(|count| delay_ms(retrier, count, ""));
        assert_eq!(delays(&retrier(None, false)), [2_000, 3_000, 4_500]);
        assert_eq!(delays(&retrier(Some(3), false)), [2_000, 3_000, 3_000]);
        assert!(delay_ms(&retrier(None, false), u32::MAX, "") > 0);
    }

    #[test]
    fn jitter_is_below_the_delay_and_that_of_its_seed() {
        let jittered = |seed: &str| delay_ms(&retrier(None, true), 0, seed);
        assert!((0..100).all(|seed| (0..2_000).contains(&jittered(&seed.to_string()))));
        assert_eq!(jittered("a"), jittered("a"));
        assert_ne!(jittered("a"), jittered("b"));
    }

    #[test]
    fn wildcards_do_not_mean_errors_that_are_final() {
        let matched = |name: &str, error: &str| is_matched(&[name.to_owned()], error);
        assert!(matched("States.ALL", "States.Timeout") && matched("States.TaskFailed", "MyError"));
        assert!(!matched("States.TaskFailed", "States.Timeout"));
        assert!(!matched("States.ALL", "States.Runtime") && !matched("States.Runtime", "States.Runtime"));
        assert!(!matched("States.ALL", "States.DataLimitExceeded"));
    }
}
