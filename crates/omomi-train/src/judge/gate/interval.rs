//! Intervals, and the answers that follow from them: a bar applies to a whole interval, never to a point.
//!
//! Every function is pure. A figure is *held back* if its whole interval of 99 % is beyond the bar, *passed* if its
//! whole interval of 95 % is within the outer bar, and otherwise nobody can tell yet. Holding back needs more
//! certainty, because a gate has many checks and runs every day: with 95 %, one healthy file in twenty was held back.

use serde::{Deserialize, Serialize};

/// The normal quantile of a two-sided interval of 95 %.
pub(super) const NORMAL_95: f64 = 1.959_963_984_540_054;

/// How much wider than the interval of 95 % that of 99 % is.
const SURE: f64 = 1.314;

/// Largest number of further clicks that is named. More than this means: another day does not help.
const MAX_MORE_CLICKS: f64 = 1e9;

/// The answer of one check, or of the gate. Later variants are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Everything that is known says yes.
    Passed,
    /// The rows are too few to say yes or no.
    CannotTell {
        /// How many more clicks are wanted, roughly; 0 if clicks would not help.
        more_clicks: u64,
    },
    /// It is worse than allowed, and not by chance.
    HeldBack,
}

impl Answer {
    /// Returns the answer in words: `passed`, `cannot tell` or `held back`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::CannotTell { .. } => "cannot tell",
            Self::HeldBack => "held back",
        }
    }

    /// Returns the answer to a question of yes or no.
    pub(super) const fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::HeldBack }
    }

    /// Returns the answer of several checks together: one that holds back decides, then one that cannot tell. Of
    /// several that cannot tell, the one that wants most clicks counts.
    #[must_use]
    pub fn of_all(answers: impl IntoIterator<Item = Self>) -> Self {
        answers.into_iter().max().unwrap_or(Self::Passed)
    }
}

/// A figure with its 95 % interval, and the number of clicks from which both were computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) clicks: u64,
}

impl Figure {
    /// Answers whether the figure is small enough: held back if it is surely above `bar`, passed if the whole interval
    /// is at most `outer_bar`. `outer_bar` is at least `bar`.
    pub(super) fn at_most(self, bar: f64, outer_bar: f64) -> Answer {
        if self.sure_low() > bar {
            return Answer::HeldBack;
        }
        if self.high <= outer_bar {
            return Answer::Passed;
        }
        // The interval narrows with the root of the clicks. Either its upper end falls to the outer bar, or its lower
        // end rises above the bar: whichever comes first.
        let to_pass = (outer_bar - self.value, self.high - self.value);
        let to_fail = (self.value - bar, self.value - self.sure_low());
        let factors = [to_pass, to_fail].into_iter().filter(|(room, _)| *room > 0.0);
        let factor = factors.map(|(room, reach)| (reach / room).powi(2)).fold(f64::INFINITY, f64::min);
        Answer::CannotTell { more_clicks: more_clicks(self.clicks, factor) }
    }

    /// Returns the lower end of the interval of 99 %.
    fn sure_low(self) -> f64 {
        self.value - SURE * (self.value - self.low)
    }

    /// Answers whether the figure is in a range: held back if it is surely outside of `bar`, passed if all of
    /// it is inside of `outer_bar`, which contains `bar`. Both are ratios, compared on the scale of logarithms.
    pub(super) fn within(self, bar: [f64; 2], outer_bar: [f64; 2]) -> Answer {
        let ln = |value: f64| value.max(f64::MIN_POSITIVE).ln();
        let high = Self { value: ln(self.value), low: ln(self.low), high: ln(self.high), clicks: self.clicks };
        let low = Self { value: -high.value, low: -high.high, high: -high.low, clicks: self.clicks };
        let answers = [high.at_most(ln(bar[1]), ln(outer_bar[1])), low.at_most(-ln(bar[0]), -ln(outer_bar[0]))];
        Answer::of_all(answers)
    }
}

/// Returns how many clicks are wanted beyond `clicks`, if `factor` times as many would do.
fn more_clicks(clicks: u64, factor: f64) -> u64 {
    let more = clicks.max(1) as f64 * (factor - 1.0);
    if more.is_nan() {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and a billion")]
    let more = more.clamp(1.0, MAX_MORE_CLICKS).ceil() as u64;
    more
}

/// Returns the smallest number of clicks at which an interval of the calibration ratio fits into `outer_bar` at all.
pub(super) fn min_clicks(outer_bar: [f64; 2]) -> u64 {
    let half_width = outer_bar[1].ln().min(-outer_bar[0].ln());
    let clicks = (NORMAL_95 / half_width).powi(2).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cast saturates")]
    let clicks = if half_width > 0.0 { clicks as u64 } else { u64::MAX };
    clicks
}

/// Returns the interval of the expected number of clicks if `clicks` were counted, with this normal quantile on both
/// sides: the exact interval of a Poisson count, in the approximation of Wilson and Hilferty. It also says something
/// about no clicks at all.
pub(super) fn poisson_interval(clicks: f64, quantile: f64) -> [f64; 2] {
    let end = |count: f64, sign: f64| {
        let root = 1.0 - 1.0 / (9.0 * count) + sign * quantile / (3.0 * count.sqrt());
        count * root.max(0.0).powi(3)
    };
    [if clicks > 0.0 { end(clicks, -1.0) } else { 0.0 }, end(clicks + 1.0, 1.0)]
}

/// Returns the normal quantile with which `count` two-sided intervals hold together in 95 % of all cases (Bonferroni).
pub(super) fn quantile_of(count: usize) -> f64 {
    -normal_quantile(0.025 / count.max(1) as f64)
}

/// Returns the normal quantile with which `count` two-sided intervals hold together in 99.9 % of all cases: of 31 days,
/// all of them hold together in 97 %.
pub(super) fn daily_quantile_of(count: usize) -> f64 {
    -normal_quantile(0.000_5 / count.max(1) as f64)
}

/// The normal quantile of `probability`, for one below 0.5: Hastings' approximation (Abramowitz and Stegun, 26.2.23),
/// off by less than 0.000 45.
fn normal_quantile(probability: f64) -> f64 {
    let t = (-2.0 * probability.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    above / below - t
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn quantiles_and_poisson_intervals_are_those_of_tables() {
        for (count, expected) in [(1, 1.960), (10, 2.807), (1_000, 4.056)] {
            assert!((quantile_of(count) - expected).abs() < 0.002, "{count}: {}", quantile_of(count));
        }
        for (count, expected) in [(1, 3.291), (10, 3.891), (1_000, 4.892)] {
            assert!((daily_quantile_of(count) - expected).abs() < 0.002, "{count}: {}", daily_quantile_of(count));
        }
        // The exact interval of Garwood.
        for (clicks, low, high) in
            [(0.0, 0.0, 3.689), (1.0, 0.025, 5.572), (10.0, 4.795, 18.390), (100.0, 81.36, 121.6)]
        {
            let found = poisson_interval(clicks, NORMAL_95);
            assert!((found[0] - low).abs() < 0.02 + low * 0.01, "{clicks}: {found:?}");
            assert!((found[1] - high).abs() < 0.02 + high * 0.01, "{clicks}: {found:?}");
        }
    }

    #[test]
    fn the_smallest_number_of_clicks_follows_from_the_bars() {
        assert_eq!(min_clicks([0.9, 1.1]), 423);
        assert_eq!(min_clicks([0.95, 1.05]), 1_614);
        assert_eq!(min_clicks([1.0, 1.1]), u64::MAX);
    }

    #[test]
    fn the_answers_of_random_figures_follow_their_intervals() {
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);
        let mut seen = [0_u32; 3];
        for _ in 0..100_000 {
            let value: f64 = random.random_range(-0.03..0.03);
            let [below, above]: [f64; 2] = std::array::from_fn(|_| random.random_range(0.0..0.02));
            let figure =
                Figure { value, low: value - below, high: value + above, clicks: random.random_range(0..9_999) };
            let (bar, outer_bar) = (0.001, 0.01);
            let answer = figure.at_most(bar, outer_bar);
            match answer {
                Answer::HeldBack => assert!(figure.sure_low() > bar && figure.low > bar),
                Answer::Passed => assert!(figure.sure_low() <= bar && figure.high <= outer_bar),
                Answer::CannotTell { more_clicks } => {
                    assert!(figure.sure_low() <= bar && figure.high > outer_bar);
                    // That many more clicks do decide, if the value stays.
                    let factor = (figure.clicks.max(1) + more_clicks) as f64 / figure.clicks.max(1) as f64;
                    let narrow = |end: f64| value + (end - value) / factor.sqrt();
                    let later = Figure { low: narrow(figure.low), high: narrow(figure.high), ..figure };
                    let is_decided = !matches!(
                        Figure { low: later.low + 1e-12, high: later.high - 1e-12, ..later }.at_most(bar, outer_bar),
                        Answer::CannotTell { .. }
                    );
                    assert!(is_decided || more_clicks >= 1_000_000_000, "{figure:?}, {more_clicks}");
                }
            }
            seen[match answer {
                Answer::Passed => 0,
                Answer::CannotTell { .. } => 1,
                Answer::HeldBack => 2,
            }] += 1;
            // A figure that is worse in every respect never gets a better answer.
            let worse = Figure { value: value + 0.01, low: figure.low + 0.01, high: figure.high + 0.01, ..figure };
            let rank = |answer| {
                matches!(answer, Answer::HeldBack) as u8 * 2 + matches!(answer, Answer::CannotTell { .. }) as u8
            };
            assert!(rank(worse.at_most(bar, outer_bar)) >= rank(answer), "{figure:?}");
            // A ratio and its inverse get the same answer from symmetric bars.
            let ratio = Figure { value: value.exp(), low: figure.low.exp(), high: figure.high.exp(), ..figure };
            let inverse = Figure { value: 1.0 / ratio.value, low: 1.0 / ratio.high, high: 1.0 / ratio.low, ..figure };
            let bars = ([1.0 / 1.005, 1.005], [1.0 / 1.01, 1.01]);
            assert_eq!(rank(ratio.within(bars.0, bars.1)), rank(inverse.within(bars.0, bars.1)), "{ratio:?}");
        }
        assert!(seen.iter().all(|&count| count > 1_000), "{seen:?}");
    }
}
