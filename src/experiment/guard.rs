//! The guard: stops an arm whose share of errors, or whose calibration, leaves its band. Off unless the file names it.
//! What is decided here is pure.
//!
//! The evidence against a hypothesis "an event happens with at most `k` times the expected probability" is the
//! likelihood ratio `r^n exp(-(r - 1) k e)` of `n` events, of which `e` were expected, for an `r` above 1. If the
//! hypothesis is true, its expected value never grows from one observation to the next, because
//! `1 + (r - 1) k p <= exp((r - 1) k p)`. So the probability that it ever reaches `1 / a` is at most `a`, however often
//! it is looked at (Ville's inequality). The same holds for "at least", with an `r` below 1, and for averages over
//! several `r`. Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference",
//! Statistical Science 38 (2023), section 3.

use std::time::Duration;

/// When an arm is stopped by the processes that serve it, as the file says. The control arm is never stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// The highest share of an arm's requests that it may fail to answer, above 0 and below 1; `None` to let it be.
    pub max_error_share: Option<f64>,
    /// The band of the calibration; `None` to let it be.
    pub calibration: Option<CalibrationBand>,
    /// The highest probability that a generation of an arm within its bands is ever stopped, above 0 and below 1. One
    /// in a thousand is usual.
    pub false_stop_probability: f64,
}

/// The band of an arm's calibration ratio: the sum of the predicted probabilities divided by the clicks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBand {
    /// Lowest ratio, above 0.
    pub min: f64,
    /// Highest ratio, above the lowest.
    pub max: f64,
    /// Which predictions count.
    pub of: Exposure,
    /// How long a prediction waits for its events: 1 second to a day.
    pub window: Duration,
}

/// Which predictions can lead to a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// All that are recorded.
    Predictions,
    /// Those with an impression among their events.
    Impressions,
}

impl Exposure {
    pub(super) const ALL: [Self; 2] = [Self::Predictions, Self::Impressions];

    /// `predictions` or `impressions`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Predictions => "predictions",
            Self::Impressions => "impressions",
        }
    }
}

/// What was seen of one generation of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Evidence {
    /// Requests of its units.
    pub(super) request_count: u64,
    /// Those among them that it failed to answer.
    pub(super) error_count: u64,
    /// Predictions whose window is over.
    pub(super) exposed_count: u64,
    pub(super) click_count: u64,
    /// The sum of their probabilities.
    pub(super) expected_clicks: f64,
}

/// The ratios of the averages. Ones near 1 find small deviations after long, others large ones at once.
const ABOVE: [f64; 6] = [1.05, 1.15, 1.4, 2.0, 4.0, 16.0];
const BELOW: [f64; 6] = [0.95, 0.87, 0.7, 0.5, 0.25, 0.0625];

/// Returns the logarithm of the evidence that `count` events are too many, or for [`BELOW`] too few, where `expected`
/// are the most or the fewest that are allowed.
fn log_evidence(ratios: &[f64; 6], count: u64, expected: f64) -> f64 {
    let each = ratios.map(|ratio| count as f64 * ratio.ln() - (ratio - 1.0) * expected);
    let max = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + (each.iter().map(|it| (it - max).exp()).sum::<f64>() / ratios.len() as f64).ln()
}

/// Decides whether an arm must be stopped. Returns what was expected and found.
///
/// An arm is not stopped for a calibration that the control arm has, too: then the clicks, or the market, have changed.
pub(super) fn judge(guard: &Guard, evidence: &Evidence, control: &Evidence) -> Option<(String, String)> {
    // Three hypotheses are tested, so that each may only fail with a third of the probability.
    let threshold = (3.0 / guard.false_stop_probability).ln();
    let Evidence { request_count, error_count, exposed_count, click_count, expected_clicks } = *evidence;
    if let Some(max) = guard.max_error_share
        && log_evidence(&ABOVE, error_count, max * request_count as f64) >= threshold
    {
        let percent = 100.0 * error_count as f64 / request_count.max(1) as f64;
        return Some((
            format!("errors at {:.2} % of its requests or fewer", 100.0 * max),
            format!("{error_count} errors at {request_count} requests ({percent:.2} %)"),
        ));
    }
    let band = guard.calibration?;
    let is_too_low = |of: &Evidence| log_evidence(&ABOVE, of.click_count, of.expected_clicks / band.min) >= threshold;
    let is_too_high = |of: &Evidence| log_evidence(&BELOW, of.click_count, of.expected_clicks / band.max) >= threshold;
    let is_own = is_too_low(evidence) && !is_too_low(control) || is_too_high(evidence) && !is_too_high(control);
    is_own.then(|| {
        let ratio = expected_clicks / click_count as f64;
        (
            format!("a calibration ratio of {} to {}", band.min, band.max),
            format!(
                "{ratio:.2}: {expected_clicks:.1} clicks predicted and {click_count} seen, of {exposed_count} {}",
                band.of.word()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guard() -> Guard {
        let calibration =
            CalibrationBand { min: 0.8, max: 1.25, of: Exposure::Predictions, window: Duration::from_secs(60) };
        Guard { max_error_share: Some(0.01), calibration: Some(calibration), false_stop_probability: 0.001 }
    }

    const NOTHING: Evidence =
        Evidence { request_count: 0, error_count: 0, exposed_count: 0, click_count: 0, expected_clicks: 0.0 };

    #[test]
    fn clicks_that_the_control_arm_lacks_too_stop_no_arm_but_errors_do() {
        let without_clicks = Evidence { request_count: 1_000, exposed_count: 1_000, expected_clicks: 100.0, ..NOTHING };
        assert!(judge(&guard(), &without_clicks, &NOTHING).is_some());
        assert_eq!(judge(&guard(), &without_clicks, &without_clicks), None);
        let with_errors = Evidence { error_count: 500, ..without_clicks };
        assert!(judge(&guard(), &with_errors, &with_errors).is_some());
        let clicked = Evidence { click_count: 500, ..without_clicks };
        assert!(judge(&guard(), &clicked, &without_clicks).is_some(), "the other side");
    }

    /// A generator that is good enough here (xorshift).
    struct Draws(u64);

    impl Draws {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// Looks at an arm after each prediction. Returns after how many it was stopped.
    fn stopped_after(seed: u64, calibration: f64, error_share: f64, len: u64) -> Option<u64> {
        let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut evidence = Evidence::default();
        (1..=len).find(|_| {
            evidence.request_count += 1;
            if draws.next() < error_share {
                evidence.error_count += 1;
            } else {
                let probability = 0.002 + 0.06 * draws.next();
                evidence.exposed_count += 1;
                evidence.expected_clicks += probability;
                evidence.click_count += u64::from(draws.next() < probability * calibration);
            }
            judge(&guard(), &evidence, &NOTHING).is_some()
        })
    }

    #[test]
    fn arms_on_the_edge_of_their_bands_are_hardly_ever_stopped_however_often_they_are_looked_at() {
        for (calibration, error_share) in [(1.25, 0.01), (0.8, 0.01), (1.0, 0.0)] {
            // At most 0.4 expected; 5 or more would have a probability of 1 in 16,000.
            let stopped = (1..=400).filter(|seed| stopped_after(*seed, calibration, error_share, 5_000).is_some());
            let count = stopped.count();
            assert!(count < 5, "{calibration} {error_share}: {count} of 400");
        }
    }

    #[test]
    fn arms_that_have_left_their_bands_are_stopped() {
        for (calibration, error_share, within) in [(2.5, 0.0, 2_000), (0.2, 0.0, 2_000), (1.0, 0.1, 500)] {
            let mut after: Vec<u64> =
                (1..=51).map(|seed| stopped_after(seed, calibration, error_share, 20_000).unwrap()).collect();
            after.sort_unstable();
            assert!(after[25] < within, "{calibration} {error_share}: half after {} requests", after[25]);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_decided_without_evidence_and_more_of_it_never_helps_an_arm(
            request_count in 0_u64..1_000_000,
            error_count in 0_u64..10_000,
            expected_clicks in 0.0_f64..10_000.0,
            click_count in 0_u64..10_000,
        ) {
            let error_count = error_count.min(request_count);
            let evidence =
                Evidence { request_count, error_count, exposed_count: request_count, click_count, expected_clicks };
            let off = Guard { max_error_share: None, calibration: None, ..guard() };
            prop_assert_eq!(judge(&off, &evidence, &NOTHING), None);
            let none = Evidence::default();
            prop_assert_eq!(judge(&guard(), &none, &NOTHING), None);
            // No arm is stopped for what is within its bands, in any amount.
            let ratio = expected_clicks / click_count as f64;
            let is_within = (0.8..=1.25).contains(&ratio) && error_count as f64 <= 0.01 * request_count as f64;
            let judged = judge(&guard(), &evidence, &NOTHING);
            prop_assert!(!is_within || judged.is_none(), "{:?}", judged);
            // More errors never turn a stop into none.
            let errors_only = Guard { calibration: None, ..guard() };
            let worse = Evidence { error_count: request_count.min(error_count + 1), ..evidence };
            let (before, after) = (judge(&errors_only, &evidence, &NOTHING), judge(&errors_only, &worse, &NOTHING));
            prop_assert!(before.is_none() || after.is_some(), "{:?}", before);
        }
    }
}
