//! The bias of the last day of training.
//!
//! The learner follows its rows. After rows in order of time, its probabilities are right for the last hours: for the
//! evening, if the logs end at midnight. A model serves a whole day. Therefore a run ends with one step: the bias is
//! shifted so that the final weights predict as many clicks as the last 24 hours with rows had. On generated days whose
//! click rate swings by half between morning and evening, this brings the calibration ratio of the next day from 0.8 or
//! 1.2 to within a few hundredths of 1.
//!
//! Of each hour, all clicks are counted, and a sample of the rows is kept, because the weights are final only at the
//! end. The sample depends on nothing but the rows, so a run has the same bytes each time.
//!
//! # Limits
//!
//! Rows without times have no day: the bias then stays as the last rows left it. A run over a few hours settles its
//! bias on those hours. Memory: up to 196,608 rows with numbered features, some 20 MB.

use std::collections::BTreeMap;

use super::learner::IndexedRows;
use omomi::math;

/// Hours with rows that make a day.
const DAY_HOURS: usize = 24;
/// Most rows of an hour in the sample. If there are more, half of them are dropped.
const MAX_SAMPLE: usize = 8_192;
/// Standard deviation of the shift that is expected beforehand. It matters only for a handful of clicks: a day with
/// none of them must not shift the bias to minus infinity.
const PRIOR_SHIFT: f64 = 1.0;

/// What was counted of the last day.
#[derive(Debug, Default)]
pub(super) struct LastDay {
    /// The last hours with rows, by their number since 1970-01-01 UTC.
    hours: BTreeMap<i32, Hour>,
}

#[derive(Debug, Default)]
struct Hour {
    row_count: u64,
    /// Total importance of the rows.
    importance: f64,
    /// Total importance of the clicked rows.
    clicks: f64,
    sample: Sample,
}

/// Some rows of an hour.
#[derive(Debug, Default)]
struct Sample {
    rows: Vec<SampledRow>,
    /// Numbers of the features of all rows.
    numbers: Vec<u32>,
    /// How often half of the rows were dropped.
    halvings: u32,
}

#[derive(Debug, Clone, Copy)]
struct SampledRow {
    /// Random bits of the row. It is kept as long as the first ones are 0, one for each halving.
    bits: u64,
    importance: f64,
    start: usize,
    end: usize,
}

/// How the bias was settled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettledBias {
    /// Number of hours with rows that it was settled on.
    pub hours: usize,
    /// Number of their rows.
    pub rows: u64,
    /// What was added to the bias.
    pub shift: f64,
}

impl LastDay {
    /// Counts rows. `number_of` gives the number of a feature in the trainer's table. Rows without times are left out.
    pub(super) fn add(&mut self, rows: &IndexedRows, number_of: impl Fn(u32) -> u32) {
        let mut start = 0;
        for of_one_hour in rows.hours.chunk_by(|one, other| one == other) {
            let range = start..start + of_one_hour.len();
            start = range.end;
            let hour = of_one_hour[0];
            let Some(of_hour) = self.hour(hour) else { continue };
            for row in range {
                let importance = rows.importance[row];
                of_hour.row_count += 1;
                of_hour.importance += importance;
                of_hour.clicks += if rows.clicked[row] { importance } else { 0.0 };
                let bits = mix(of_hour.row_count ^ (u64::from(hour.cast_unsigned()) << 32));
                of_hour.sample.push(bits, importance, rows.numbers[rows.range(row)].iter().map(|&it| number_of(it)));
            }
        }
    }

    /// Returns what was counted of an hour, or `None` if it is before the last day.
    fn hour(&mut self, hour: i32) -> Option<&mut Hour> {
        if self.hours.len() == DAY_HOURS && !self.hours.contains_key(&hour) {
            // An hour that was dropped never comes back, because the first one only gets later.
            let first = self.hours.first_entry().filter(|first| *first.key() < hour)?;
            first.remove();
        }
        Some(self.hours.entry(hour).or_default())
    }

    /// Returns how the bias has to be shifted so that the final weights predict as many clicks as there were. `logit`
    /// returns the final logit of a row with these features. Returns `None` without rows.
    pub(super) fn settle(&self, logit: impl Fn(&[u32]) -> f64) -> Option<SettledBias> {
        // Each row of the sample counts for several rows of its hour.
        let mut rows = Vec::new();
        for hour in self.hours.values() {
            let sampled: f64 = hour.sample.rows.iter().map(|row| row.importance).sum();
            let factor = hour.importance / sampled;
            rows.extend(hour.sample.rows.iter().map(|row| {
                let logit = logit(&hour.sample.numbers[row.start..row.end]);
                (row.importance * factor, logit)
            }));
        }
        let clicks: f64 = self.hours.values().map(|hour| hour.clicks).sum();
        let row_count = self.hours.values().map(|hour| hour.row_count).sum();
        (row_count > 0).then(|| SettledBias { hours: self.hours.len(), rows: row_count, shift: shift(&rows, clicks) })
    }
}

impl Sample {
    fn push(&mut self, bits: u64, importance: f64, numbers: impl Iterator<Item = u32>) {
        if !is_kept(bits, self.halvings) {
            return;
        }
        let start = self.numbers.len();
        self.numbers.extend(numbers);
        self.rows.push(SampledRow { bits, importance, start, end: self.numbers.len() });
        while self.rows.len() > MAX_SAMPLE {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.halvings += 1;
        let mut end = 0;
        let numbers = &mut self.numbers;
        self.rows.retain_mut(|row| {
            if !is_kept(row.bits, self.halvings) {
                return false;
            }
            numbers.copy_within(row.start..row.end, end);
            let len = row.end - row.start;
            (row.start, row.end) = (end, end + len);
            end += len;
            true
        });
        numbers.truncate(end);
    }
}

fn is_kept(bits: u64, halvings: u32) -> bool {
    bits.trailing_zeros() >= halvings
}

/// Mixes the bits of a number (the finalizer of SplitMix64). Rows often come in groups of the same length, so every
/// second or fourth row would be no fair sample.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Finds the shift at which rows of these importances and logits have `clicks` clicks, by Newton's method.
fn shift(rows: &[(f64, f64)], clicks: f64) -> f64 {
    let prior = 1.0 / (PRIOR_SHIFT * PRIOR_SHIFT);
    let mut shift = 0.0;
    for _ in 0..50 {
        let (mut gap, mut slope) = (clicks - prior * shift, prior);
        for &(importance, logit) in rows {
            let probability = math::sigmoid(logit + shift);
            gap -= importance * probability;
            slope += importance * probability * (1.0 - probability);
        }
        let step = (gap / slope).clamp(-1.0, 1.0);
        shift += step;
        if step.abs() < 1e-12 {
            break;
        }
    }
    shift
}

/// Returns the number of the hour of a time since 1970-01-01 UTC.
pub(super) fn hour_of(time_us: i64) -> i32 {
    const HOUR_US: i64 = 3_600_000_000;
    let hour = time_us.div_euclid(HOUR_US);
    i32::try_from(hour).unwrap_or(if hour < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds one row to `rows`, with one feature.
    fn push(rows: &mut IndexedRows, hour: i32, number: u32, clicked: bool, importance: f64) {
        rows.numbers.push(number);
        rows.ends.push(u32::try_from(rows.numbers.len()).unwrap());
        rows.clicked.push(clicked);
        rows.repeats.push(false);
        rows.importance.push(importance);
        rows.hours.push(hour);
    }

    /// Two days of `per_hour` rows, of which every `odds(hour)`-th is clicked.
    fn two_days(per_hour: u32, odds: impl Fn(i32) -> u32) -> IndexedRows {
        let mut rows = IndexedRows::default();
        for hour in 0..48 {
            (0..per_hour).for_each(|row| push(&mut rows, hour, row % 7, row % odds(hour) == 0, 1.0));
        }
        rows
    }

    #[test]
    fn the_bias_matches_the_clicks_of_the_last_day_whatever_the_last_hour_had() {
        // The first day has no click rate like the second: a tenth in the morning, a half in the evening.
        let rows = two_days(10_000, |hour| if hour < 24 { 3 } else { [10, 2][usize::from(hour >= 36)] });
        let mut day = LastDay::default();
        day.add(&rows, |number| number);
        let settled = day.settle(|numbers| f64::from(numbers[0]) * 0.1 - 0.4).unwrap();
        assert_eq!((settled.hours, settled.rows), (24, 240_000));
        let predicted: f64 =
            (0..7).map(|number| math::sigmoid(f64::from(number) * 0.1 - 0.4 + settled.shift)).sum::<f64>() / 7.0;
        assert!((predicted / 0.3 - 1.0).abs() < 0.002, "{predicted}");
        // A quarter of the rows or less is kept, and the order of the rows does not matter for which hours count.
        assert!(day.hours.values().all(|hour| (2_000..=MAX_SAMPLE).contains(&hour.sample.rows.len())));
        let mut backward = LastDay::default();
        for hour in (0..48).rev() {
            let mut of_hour = IndexedRows::default();
            (0..10_000_u32).for_each(|row| push(&mut of_hour, hour, row % 7, false, 1.0));
            backward.add(&of_hour, |number| number);
        }
        assert!(backward.hours.keys().eq(day.hours.keys()));
        assert_eq!(backward.hours[&47].sample.numbers, day.hours[&47].sample.numbers);
    }

    #[test]
    fn importance_counts_and_numbers_are_translated() {
        let mut rows = IndexedRows::default();
        (0..1_000).for_each(|row| push(&mut rows, 5, 0, row % 10 == 0, if row % 10 == 0 { 1.0 } else { 4.0 }));
        let mut day = LastDay::default();
        day.add(&rows, |number| number + 9);
        let settled = day.settle(|numbers| if numbers == [9] { 0.0 } else { f64::NAN }).unwrap();
        assert!((math::sigmoid(settled.shift) - 100.0 / 3_700.0).abs() < 0.002, "{settled:?}");
    }

    #[test]
    fn no_clicks_or_no_rows_do_no_harm() {
        let mut day = LastDay::default();
        assert_eq!(day.settle(|_| 0.0), None);
        let mut rows = IndexedRows::default();
        (0..10).for_each(|_| push(&mut rows, 5, 0, false, 1.0));
        day.add(&rows, |number| number);
        let settled = day.settle(|_| -3.0).unwrap();
        assert!((-0.5..0.0).contains(&settled.shift), "{settled:?}");
        let mut without_times = LastDay::default();
        without_times.add(&IndexedRows { hours: Vec::new(), ..rows }, |number| number);
        assert_eq!(without_times.settle(|_| 0.0), None);
    }

    #[test]
    fn times_before_1970_and_beyond_all_hours_have_an_hour() {
        assert_eq!([hour_of(-1), hour_of(0), hour_of(3_600_000_000)], [-1, 0, 1]);
        assert_eq!([hour_of(i64::MIN), hour_of(i64::MAX)], [i32::MIN, i32::MAX]);
    }
}
