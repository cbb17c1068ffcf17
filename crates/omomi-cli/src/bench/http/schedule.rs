//! When requests are due: fixed before the first one is sent.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The moments at which requests are due, in nanoseconds from the start, without end. They never decrease.
pub(super) struct Arrivals {
    interval_ns: f64,
    /// Draws the time to the next request; `None` for even intervals.
    random: Option<StdRng>,
    at_ns: f64,
    count: u64,
}

impl Arrivals {
    /// Arrivals at a rate above 0: at even intervals, or, with a seed, those of a Poisson process.
    pub(super) fn new(rate_per_second: f64, poisson_seed: Option<u64>) -> Self {
        let random = poisson_seed.map(StdRng::seed_from_u64);
        Self { interval_ns: 1e9 / rate_per_second, random, at_ns: 0.0, count: 0 }
    }
}

impl Iterator for Arrivals {
    type Item = u64;

    #[expect(clippy::cast_precision_loss, reason = "exact for centuries of requests")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    fn next(&mut self) -> Option<u64> {
        match &mut self.random {
            // From the count, so that no rounding adds up.
            None => self.at_ns = self.count as f64 * self.interval_ns,
            // The time between two events of a Poisson process has an exponential distribution.
            Some(random) => self.at_ns -= self.interval_ns * (1.0 - random.random::<f64>()).ln(),
        }
        self.count += 1;
        Some(self.at_ns as u64)
    }
}
