//! Whether intervals and tests keep what they promise, on made-up units whose truth is known, over 1,000 seeds.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::comparison::{Past, difference, estimate};
use super::interval::{Validity, Width, holm};
use super::metric::{CLICKS, FIXED_COUNT, IMPRESSIONS, LOSS, Metric, PROBABILITY, REVENUE, SCORED, SCORED_CLICKS};
use super::moments::Moments;
use super::sample_ratio::sample_ratio;
use crate::evaluate::{entropy, probability_log_loss};

const SEEDS: u64 = 1_000;
const RATE: f64 = 0.1;
/// Expected price of a click: 1 and 3 are equally likely.
const PRICE: f64 = 2.0;
const ONCE: Validity = Validity::Once { horizon_units: 1 };

/// The sums of a unit, and its click probability: half or three halves of the rate.
struct Unit {
    sums: [f64; FIXED_COUNT],
    probability: f64,
}

impl Unit {
    fn draw(random: &mut Pcg64Mcg, rate: f64) -> Self {
        let factor = if random.random_range(0.0..1.0) < 0.5 { 0.5 } else { 1.5 };
        Self { sums: [0.0; FIXED_COUNT], probability: rate * factor }
    }

    /// Shows from 1 to 5 impressions.
    fn show(&mut self, random: &mut Pcg64Mcg) {
        for _ in 0..random.random_range(1..6) {
            let is_clicked = random.random_range(0.0..1.0) < self.probability;
            let click = f64::from(u8::from(is_clicked));
            let price = if random.random_range(0.0..1.0) < 0.5 { 1.0 } else { 3.0 };
            for (place, added) in [
                (IMPRESSIONS, 1.0),
                (CLICKS, click),
                (REVENUE, click * price),
                (SCORED, 1.0),
                (SCORED_CLICKS, click),
                (LOSS, probability_log_loss(self.probability, is_clicked)),
                (PROBABILITY, self.probability),
            ] {
                self.sums[place] += added;
            }
        }
    }
}

fn arm(random: &mut Pcg64Mcg, unit_count: usize, rate: f64) -> Moments {
    let mut moments = Moments::new(FIXED_COUNT);
    for _ in 0..unit_count {
        let mut unit = Unit::draw(random, rate);
        unit.show(random);
        moments.add(&unit.sums);
    }
    moments
}

/// Asserts that a 95 % interval covered the truth in 93 to 97 % of the seeds.
fn assert_covers(what: &str, covered: u64) {
    let share = covered as f64 / SEEDS as f64;
    assert!((0.93..=0.97).contains(&share), "{what}: {share}");
}

#[test]
fn intervals_cover_the_truth_at_the_horizon() {
    let width = Width::new(ONCE, 0.05);
    // Half of the units click at half the rate, half at three halves.
    let normalized = (entropy(RATE * 0.5) + entropy(RATE * 1.5)) / 2.0 / entropy(RATE);
    let truths = [
        (Metric::Ctr, RATE, 1.2),
        (Metric::Revenue, 1_000.0 * PRICE * RATE, 1.2),
        (Metric::ImpressionsPerUnit, 3.0, 1.0),
        (Metric::Calibration, 1.0, 1.0),
    ];
    let mut covered = [[0_u64; 3]; 4];
    let mut loss_covered = 0;
    for seed in 0..SEEDS {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let arms = [arm(&mut random, 1_500, RATE), arm(&mut random, 1_000, RATE * 1.2)];
        for ((metric, truth, factor), covered) in truths.iter().zip(&mut covered) {
            let own = estimate(metric, &arms[0], FIXED_COUNT, &width).unwrap();
            let layout = (FIXED_COUNT, Past::Nothing);
            let found = difference(metric, (&arms[0], &arms[1]), layout, &arms, &width).unwrap();
            let ends =
                [(own, *truth), (found.absolute, truth * (factor - 1.0)), (found.relative.unwrap(), factor - 1.0)];
            for ((interval, truth), covered) in ends.into_iter().zip(covered) {
                *covered += u64::from(!interval.excludes(truth));
            }
        }
        let loss = estimate(&Metric::NormalizedLogLoss, &arms[0], FIXED_COUNT, &width).unwrap();
        loss_covered += u64::from(!loss.excludes(normalized));
    }
    for ((metric, ..), covered) in truths.iter().zip(covered) {
        for (what, covered) in ["value", "difference", "relative difference"].into_iter().zip(covered) {
            assert_covers(&format!("{} {what}", metric.name()), covered);
        }
    }
    assert_covers("normalized log loss", loss_covered);
}

/// Looks 50 times while units come, and returns in how many of the seeds of an A/A test each validity ever excludes 0.
/// With `is_returning`, a unit of before is shown more as often as a new one comes.
fn alarms(is_returning: bool, validities: [Validity; 2]) -> [u64; 2] {
    let widths = validities.map(|validity| Width::new(validity, 0.05));
    let mut alarms = [0; 2];
    for seed in 0..SEEDS {
        let mut random = Pcg64Mcg::seed_from_u64(10_000 + seed);
        let mut units: [Vec<Unit>; 2] = [Vec::new(), Vec::new()];
        let mut grown = [Moments::new(FIXED_COUNT), Moments::new(FIXED_COUNT)];
        let mut has_alarm = [false; 2];
        for _ in 0..50 {
            for (units, moments) in units.iter_mut().zip(&mut grown) {
                for _ in 0..20 {
                    if is_returning && !units.is_empty() {
                        let place = random.random_range(0..units.len());
                        units[place].show(&mut random);
                    }
                    let mut unit = Unit::draw(&mut random, RATE);
                    unit.show(&mut random);
                    moments.add(&unit.sums);
                    units.push(unit);
                }
            }
            let arms = if is_returning {
                units.each_ref().map(|units| {
                    let mut moments = Moments::new(FIXED_COUNT);
                    units.iter().for_each(|unit| moments.add(&unit.sums));
                    moments
                })
            } else {
                grown.clone()
            };
            for (width, has_alarm) in widths.iter().zip(&mut has_alarm) {
                let layout = (FIXED_COUNT, Past::Nothing);
                let found = difference(&Metric::Ctr, (&arms[0], &arms[1]), layout, &arms, width);
                *has_alarm |= found.is_some_and(|found| found.absolute.excludes(0.0));
            }
        }
        for (alarms, has_alarm) in alarms.iter_mut().zip(has_alarm) {
            *alarms += u64::from(has_alarm);
        }
    }
    alarms
}

#[test]
fn always_valid_intervals_raise_few_false_alarms_over_50_looks_and_fixed_ones_many() {
    for is_returning in [false, true] {
        let always = Validity::Always { narrowest_at_units: 1_000 };
        let [always, once] = alarms(is_returning, [always, ONCE]);
        assert!(always <= SEEDS / 20, "{always} of {SEEDS} (returning units: {is_returning})");
        assert!(once > SEEDS / 6, "peeking at fixed intervals must show: {once} of {SEEDS}");
    }
}

#[test]
fn the_sample_ratio_raises_one_false_alarm_in_a_thousand_and_sees_a_loss_of_three_percent() {
    let (mut false_alarms, mut found) = (0, 0);
    for seed in 0..10_000 {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        // 100 draws of 16 bits each: 1,600 units, split by 1 : 1.
        let heads: u64 = (0..25).map(|_| u64::from(random.random_range(0..u64::MAX).count_ones())).sum();
        let test = sample_ratio(&[heads, 25 * 64 - heads], &[1.0, 1.0]).unwrap();
        false_alarms += u64::from(!test.passes());
        // The same split of 64 times as many units, of which one arm loses 3 %.
        let half = 64.0 * 800.0;
        let noise = (heads as f64 - 800.0) * 8.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive counts")]
        let (kept, other) = (((half + noise) * 0.97) as u64, (half - noise) as u64);
        found += u64::from(!sample_ratio(&[kept, other], &[1.0, 1.0]).unwrap().passes());
    }
    assert!((1..=25).contains(&false_alarms), "{false_alarms} of 10,000");
    assert!(found > 8_000, "{found} of 10,000");
}

#[test]
fn slices_raise_a_false_alarm_in_one_of_twenty_experiments() {
    const SLICES: usize = 20;
    let width = Width::new(ONCE, 0.05);
    let (mut corrected, mut raw) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = Pcg64Mcg::seed_from_u64(20_000 + seed);
        let p_values: Vec<f64> = (0..SLICES)
            .map(|_| {
                let arms = [arm(&mut random, 150, RATE), arm(&mut random, 150, RATE)];
                let layout = (FIXED_COUNT, Past::Nothing);
                let found = difference(&Metric::Ctr, (&arms[0], &arms[1]), layout, &arms, &width);
                found.and_then(|found| found.p_value).unwrap()
            })
            .collect();
        raw += u64::from(p_values.iter().any(|p_value| *p_value < 0.05));
        corrected += u64::from(holm(&p_values).iter().any(|p_value| *p_value < 0.05));
    }
    assert!((20..=70).contains(&corrected), "{corrected} of {SEEDS}");
    assert!(raw > 500, "without the correction, most experiments have a finding: {raw}");
}

#[test]
fn a_covariate_changes_the_variance_and_not_the_expectation() {
    const WIDTH: usize = 2 * FIXED_COUNT;
    let width = Width::new(ONCE, 0.05);
    let truth = RATE * 0.2;
    let (mut covered, mut reductions) = (0, 0.0);
    let (mut adjusted, mut plain) = (Vec::new(), Vec::new());
    for seed in 0..SEEDS {
        let mut random = Pcg64Mcg::seed_from_u64(30_000 + seed);
        let arms = [1.0, 1.2].map(|lift| {
            let mut moments = Moments::new(WIDTH);
            for _ in 0..400 {
                let mut before = Unit::draw(&mut random, RATE);
                // A long past tells well how often the unit clicks. Every fifth unit has none.
                let visits = if random.random_range(0..5) == 0 { 0 } else { 30 };
                (0..visits).for_each(|_| before.show(&mut random));
                let mut during = Unit { sums: [0.0; FIXED_COUNT], probability: before.probability * lift };
                (0..10).for_each(|_| during.show(&mut random));
                let sums: Vec<f64> = during.sums.into_iter().chain(before.sums).collect();
                moments.add(&sums);
            }
            moments
        });
        let layout = (FIXED_COUNT, Past::Sums(FIXED_COUNT));
        let found = difference(&Metric::Ctr, (&arms[0], &arms[1]), layout, &arms, &width).unwrap();
        covered += u64::from(!found.absolute.excludes(truth));
        reductions += found.variance_reduction.unwrap() / SEEDS as f64;
        adjusted.push(found.absolute.value);
        plain.push(found.unadjusted.unwrap().value);
    }
    let moments = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / SEEDS as f64;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (SEEDS - 1) as f64)
    };
    let ((mean, variance), (plain_mean, plain_variance)) = (moments(&adjusted), moments(&plain));
    let error = (variance / SEEDS as f64).sqrt();
    assert!((mean - truth).abs() < 3.5 * error, "expected {truth}, found {mean} with the error {error}");
    assert!((plain_mean - truth).abs() < 3.5 * (plain_variance / SEEDS as f64).sqrt());
    let seen = 1.0 - variance / plain_variance;
    assert!(seen > 0.15 && (seen - reductions).abs() < 0.1, "reported {reductions}, seen {seen}");
    assert_covers("the adjusted difference", covered);
}
