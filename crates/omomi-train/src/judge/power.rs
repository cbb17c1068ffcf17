//! The power of the gate: how often a candidate of known quality passes, is held back, or cannot be told.
//!
//! The truth is made up: every row has a true click probability. The served model and the candidate know it with noise.
//! The noise of the candidate is chosen so that its expected normalized entropy is worse by a known share. Both are
//! calibrated, so nothing but the entropy differs. Drawing the clicks again and again gives the table.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::gate::{Answer, Candidate, Declared, GateSettings, judge};
use crate::evaluate::evaluation_of_predictions;

/// What to simulate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PowerOptions {
    /// Number of clicks in an evaluation, on average.
    pub clicks: u64,
    /// How much worse the candidate truly is: 0.02 is 2 % of normalized entropy.
    pub worse: f64,
    /// Number of evaluations.
    pub seeds: u64,
    /// Mean of the true click probability.
    pub click_rate: f64,
}

impl PowerOptions {
    /// Returns options for 50 evaluations with a click probability of 0.1.
    #[must_use]
    pub fn new(clicks: u64, worse: f64) -> Self {
        Self { clicks, worse, seeds: 50, click_rate: 0.1 }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// How often the gate gave each answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PowerCounts {
    /// Evaluations that passed.
    pub passed: u64,
    /// Evaluations that were held back.
    pub held_back: u64,
    /// Evaluations of which the gate could not tell.
    pub cannot_tell: u64,
}

/// Standard deviation of the true logits.
const TRUTH: f64 = 1.0;
/// Standard deviation of the noise of the served model.
const SERVED_NOISE: f64 = 0.3;
/// Correlation of the noise of both models: the candidate has learned most of the same rows.
const SHARED: f64 = 0.5;
/// Number of rows on which the noise of the candidate is chosen.
const CHOOSING_ROW_COUNT: usize = 40_000;

/// Counts the answers of the gate over several evaluations. Equal options give equal counts.
#[must_use]
pub fn power(options: PowerOptions, settings: &GateSettings) -> PowerCounts {
    let mut random = Pcg64Mcg::seed_from_u64(99);
    let rows: Vec<Truth> = (0..CHOOSING_ROW_COUNT).map(|_| Truth::draw(&mut random)).collect();
    let bias = solve(-12.0, 4.0, |bias| mean(&rows, |row| sigmoid(bias + row.logit)) - options.click_rate);
    let shift_of = |noise: f64, is_candidate: bool| {
        let rate = |shift: f64| mean(&rows, |row| sigmoid(bias + row.predicted(noise, is_candidate) + shift));
        solve(-3.0, 3.0, |shift| rate(shift) - options.click_rate)
    };
    let loss = |noise: f64, is_candidate: bool| {
        let shift = shift_of(noise, is_candidate);
        mean(&rows, |row| {
            let (truth, found) =
                (sigmoid(bias + row.logit), sigmoid(bias + row.predicted(noise, is_candidate) + shift));
            -truth * found.ln() - (1.0 - truth) * (1.0 - found).ln()
        })
    };
    let served_loss = loss(SERVED_NOISE, false);
    let noise = solve(0.0, 6.0, |noise| loss(noise, true) - served_loss * (1.0 + options.worse));
    let shifts = [shift_of(noise, true), shift_of(SERVED_NOISE, false)];

    let mut counts = PowerCounts::default();
    for seed in 0..options.seeds {
        let mut random = Pcg64Mcg::seed_from_u64(1_000 + seed);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
        let row_count = (options.clicks as f64 / options.click_rate) as u64;
        let predictions = (0..row_count).map(|_| {
            let row = Truth::draw(&mut random);
            let clicked = random.random_range(0.0..1.0) < sigmoid(bias + row.logit);
            let found = sigmoid(bias + row.predicted(noise, true) + shifts[0]);
            (clicked, [found, sigmoid(bias + row.predicted(SERVED_NOISE, false) + shifts[1])])
        });
        let (model, baseline) = evaluation_of_predictions(predictions, seed);
        let declared = Declared::Replacement;
        let candidate = Candidate { model: &model, baseline: Some(&baseline), declared: &declared, store: None };
        match Answer::of_all(judge(candidate, settings).iter().map(|check| check.answer)) {
            Answer::Passed => counts.passed += 1,
            Answer::HeldBack => counts.held_back += 1,
            Answer::CannotTell { .. } => counts.cannot_tell += 1,
        }
    }
    counts
}

/// A row with its true logit, without the bias, and the errors of both models.
struct Truth {
    logit: f64,
    served_error: f64,
    candidate_error: f64,
}

impl Truth {
    fn draw(random: &mut Pcg64Mcg) -> Self {
        let [logit, served_error, own_error] = std::array::from_fn(|_| normal(random));
        let candidate_error = SHARED * served_error + (1.0 - SHARED * SHARED).sqrt() * own_error;
        Self { logit: TRUTH * logit, served_error, candidate_error }
    }

    fn predicted(&self, noise: f64, is_candidate: bool) -> f64 {
        self.logit + noise * if is_candidate { self.candidate_error } else { self.served_error }
    }
}

/// Draws from the standard normal distribution (Box and Muller).
fn normal(random: &mut Pcg64Mcg) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - random.random_range(0.0..1.0), random.random_range(0.0..1.0));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

fn mean(rows: &[Truth], of: impl Fn(&Truth) -> f64) -> f64 {
    rows.iter().map(of).sum::<f64>() / rows.len() as f64
}

/// Returns where a rising function is 0, by bisection.
fn solve(mut low: f64, mut high: f64, of: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..24 {
        let middle = f64::midpoint(low, high);
        if of(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(clicks: u64, worse: f64) -> PowerCounts {
        power(PowerOptions { clicks, worse, seeds: 10, click_rate: 0.1 }, &GateSettings::default())
    }

    #[test]
    fn a_worse_file_never_passes_and_an_equal_one_is_not_held_back() {
        for clicks in [100, 1_000, 4_000] {
            assert_eq!(counts(clicks, 0.02).passed, 0, "{clicks} clicks, 2 % worse");
            let equal = counts(clicks, 0.0);
            assert!(equal.held_back <= 1, "{clicks} clicks, equal: {equal:?}");
        }
        assert_eq!(counts(100, 0.0).passed, 0, "100 clicks prove nothing");
        assert!(counts(8_000, 0.0).passed >= 8);
        assert!(counts(4_000, 0.1).held_back >= 9);
    }
}
