//! Axes: the range that a plot shows, and ticks at round values.

use std::ops::Range;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;

/// Maximum number of ticks of an axis; more would overlap on a phone.
const MAX_TICKS: usize = 6;
/// From this ratio of the largest to the smallest value, an axis of ratios is logarithmic.
const LOGARITHMIC_FROM: f64 = 8.0;
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Times are clamped to about 3,000 years around 1970.
const MAX_TIME_US: i64 = 100_000_000_000_000_000;
/// Maximum number of tick candidates. Values that can be told apart never need more.
const MAX_WHOLE_NUMBERS: usize = 1_000;

/// How values are placed along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// By value.
    Linear,
    /// By the logarithm of base 10.
    Logarithmic,
}

/// One axis of a plot.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::judge::report) struct Axis {
    scale: Scale,
    /// In positions, not in values.
    range: Range<f64>,
    /// Positions of the ticks, with their labels.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Returns an axis from the smallest to the largest of `values`, with ticks at round numbers. `text` formats a
    /// value, given the step between two ticks. The axis covers every value, and starts at 0 if `from_zero` is set.
    pub(in crate::judge::report) fn linear(
        values: impl IntoIterator<Item = f64>,
        from_zero: bool,
        text: impl Fn(f64, f64) -> String,
    ) -> Self {
        let (min, max) = bounds(values).unwrap_or((0.0, 1.0));
        let min = if from_zero { min.min(0.0) } else { min };
        // Give equal values a range around them.
        let (min, max) = if min < max {
            (min, max)
        } else {
            let around = if min == 0.0 { 1.0 } else { min.abs() * 0.1 };
            (if from_zero { min } else { min - around }, max + around)
        };
        let step = round_step((max - min) / (MAX_TICKS - 1) as f64);
        let (first, last) = ((min / step).floor(), (max / step).ceil());
        let ticks = whole_numbers(first, last).map(|count| count * step);
        let ticks = ticks.map(|tick| (tick, text(tick, step))).collect();
        Self { scale: Scale::Linear, range: first * step..last * step, ticks }
    }

    /// Returns an axis of positive values that matter by their ratios: [logarithmic](Self::logarithmic) if they span a
    /// large range, otherwise linear.
    pub(in crate::judge::report) fn of_ratios(
        values: impl IntoIterator<Item = f64>,
        text: impl Fn(f64) -> String,
    ) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        let (min, max) = bounds(values.iter().copied().filter(|value| *value > 0.0)).unwrap_or((1.0, 1.0));
        if max >= min * LOGARITHMIC_FROM {
            return Self::logarithmic(values, text);
        }
        Self::linear(values, false, |value, _| text(value))
    }

    /// Returns a logarithmic axis with ticks at 1, 2 and 5 times powers of 10, as far as there is room. Values that are
    /// not positive are at its lower end.
    fn logarithmic(values: impl IntoIterator<Item = f64>, text: impl Fn(f64) -> String) -> Self {
        let positive = values.into_iter().filter(|value| *value > 0.0).map(f64::log10);
        let (min, max) = bounds(positive).unwrap_or((-2.0, 0.0));
        let margin = ((max - min) * 0.04).max(0.02);
        let range = min - margin..max + margin;
        let decades = whole_numbers(range.start.floor(), range.end.ceil());
        let ticks = |factors: &[f64]| -> Vec<f64> {
            let ticks =
                decades.clone().flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powf(decade)));
            ticks.filter(|tick| range.contains(&tick.log10())).collect()
        };
        let choices: [&[f64]; 4] = [&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let chosen = choices.into_iter().map(ticks).find(|ticks| ticks.len() <= MAX_TICKS);
        let chosen = chosen.unwrap_or_else(|| {
            let decades = ticks(&[1.0]);
            let step = decades.len().div_ceil(MAX_TICKS).max(1);
            decades.into_iter().step_by(step).collect()
        });
        let ticks = chosen.into_iter().map(|tick| (tick.log10(), text(tick))).collect();
        Self { scale: Scale::Logarithmic, range, ticks }
    }

    /// Returns an axis of times, in microseconds since 1970-01-01 UTC. Hours are labeled like `06:00`, and days like
    /// `24 Nov`.
    pub(in crate::judge::report) fn times(times_us: impl IntoIterator<Item = i64>) -> Self {
        let times: Vec<i64> = times_us.into_iter().map(|time| time.clamp(-MAX_TIME_US, MAX_TIME_US)).collect();
        let first = times.iter().copied().min().unwrap_or(0);
        let last = times.iter().copied().max().unwrap_or(0).max(first + HOUR_US);
        let steps = [1, 2, 3, 6, 12, 24, 48, 72, 96, 168, 336, 672].map(|hours| hours * HOUR_US);
        let count = |step: i64| (last.div_euclid(step) - (first - 1).div_euclid(step)).unsigned_abs();
        let step = steps.into_iter().find(|&step| count(step) <= MAX_TICKS as u64).unwrap_or((last - first) / 4);
        let mut tick = -(-first).div_euclid(step) * step;
        let mut ticks = Vec::new();
        while tick <= last {
            ticks.push((tick as f64, time_text(tick)));
            tick += step;
        }
        Self { scale: Scale::Linear, range: first as f64..last as f64, ticks }
    }

    /// Returns an axis of evenly spaced items, the first at position 0. Some of them are labeled with their names.
    pub(in crate::judge::report) fn ordinal(names: impl IntoIterator<Item = String>) -> Self {
        let names: Vec<String> = names.into_iter().collect();
        let step = names.len().div_ceil(MAX_TICKS).max(1);
        let max = names.len().max(1) as f64 - 0.5;
        // Count from the last item, which is the newest, so that it always has a label.
        let skipped = names.len().saturating_sub(1) % step;
        let ticks = names.into_iter().enumerate().skip(skipped).step_by(step);
        Self {
            scale: Scale::Linear,
            range: -0.5..max,
            ticks: ticks.map(|(index, name)| (index as f64, name)).collect(),
        }
    }

    /// Returns the range of positions that the axis covers.
    pub(in crate::judge::report) fn range(&self) -> Range<f64> {
        self.range.clone()
    }

    /// Returns the position of a value; a value beyond an end is placed at that end.
    pub(in crate::judge::report) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic if value > 0.0 => value.log10(),
            Scale::Logarithmic => self.range.start,
        };
        place.clamp(self.range.start, self.range.end)
    }
}

fn bounds(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |bounds, value| {
        let (min, max) = bounds.unwrap_or((value, value));
        Some((min.min(value), max.max(value)))
    })
}

/// Returns the smallest of 1, 2, 2.5 and 5 times a power of 10 that is at least `step`.
fn round_step(step: f64) -> f64 {
    if step <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    // The tolerance accepts a factor that a rounding error of the logarithm would reject.
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn whole_numbers(first: f64, last: f64) -> impl Iterator<Item = f64> + Clone {
    let numbers = std::iter::successors(Some(first), |number| Some(number + 1.0));
    numbers.take_while(move |number| *number <= last).take(MAX_WHOLE_NUMBERS)
}

/// Formats a time as `06:00`, or as its date at midnight.
fn time_text(time_us: i64) -> String {
    if time_us.rem_euclid(DAY_US) == 0 {
        return day_text(time_us);
    }
    let minutes = time_us.rem_euclid(DAY_US) / (HOUR_US / 60);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Formats a date as `24 Nov`; empty for a time that the calendar cannot represent.
fn day_text(time_us: i64) -> String {
    timestamp_us_to_datetime(time_us).map_or_else(String::new, |time| time.format("%-d %b").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_around_the_values() {
        let axis = Axis::linear([0.871, 0.889], false, |value, _| format!("{value:.3}"));
        assert_eq!(texts(&axis), ["0.870", "0.875", "0.880", "0.885", "0.890"]);
        assert_eq!(axis.range(), 0.87..0.89);
        let axis = Axis::linear([3.0, 17.0, f64::NAN], true, |value, _| format!("{value}"));
        assert_eq!(texts(&axis), ["0", "5", "10", "15", "20"]);
    }

    #[test]
    fn one_value_and_none_have_an_axis() {
        for values in [vec![0.0], vec![0.25], vec![-3.0], vec![]] {
            for from_zero in [false, true] {
                let axis = Axis::linear(values.clone(), from_zero, |value, _| format!("{value}"));
                assert!(axis.range().start < axis.range().end, "{values:?}");
                assert!((2..=MAX_TICKS + 2).contains(&axis.ticks.len()), "{values:?} {:?}", axis.ticks);
                assert!(values.iter().all(|&value| axis.place(value) == value), "{values:?} {:?}", axis.range());
            }
        }
    }

    #[test]
    fn numbers_at_the_end_of_what_a_double_holds_have_an_end() {
        for values in [[1e16, 1e16 + 2.0], [-1e308, 1e308], [1e-300, 1e300], [f64::MIN_POSITIVE, f64::MAX]] {
            assert!(Axis::linear(values, false, |value, _| value.to_string()).ticks.len() <= MAX_WHOLE_NUMBERS);
            assert!(Axis::of_ratios(values, |value| value.to_string()).ticks.len() <= MAX_WHOLE_NUMBERS);
        }
    }

    #[test]
    fn a_logarithmic_axis_has_ticks_of_one_leading_digit() {
        let axis = Axis::logarithmic([0.004, 0.37], |value| format!("{value:.3}"));
        assert_eq!(texts(&axis), ["0.005", "0.010", "0.020", "0.050", "0.100", "0.200"]);
        assert_eq!(axis.place(0.1), -1.0);
        // Zero has no logarithm, so it is at the lower end.
        assert_eq!(axis.place(0.0), axis.range().start);
        let axis = Axis::logarithmic([1e-9, 1.0], |value| format!("{value:e}"));
        assert!((3..=MAX_TICKS).contains(&axis.ticks.len()), "{:?}", axis.ticks);
    }

    #[test]
    fn times_are_whole_hours_and_days() {
        let (midnight_us, hours) = (1_574_553_600_000_000, 3_600_000_000);
        let axis = Axis::times([midnight_us - 5 * hours, midnight_us + 7 * hours]);
        assert_eq!(texts(&axis), ["20:00", "22:00", "24 Nov", "02:00", "04:00", "06:00"]);
        let axis = Axis::times([midnight_us, midnight_us + 71 * hours]);
        assert_eq!(texts(&axis), ["24 Nov", "12:00", "25 Nov", "12:00", "26 Nov", "12:00"]);
        // Two weeks once had one tick.
        let axis = Axis::times([midnight_us + hours, midnight_us + 14 * 24 * hours]);
        assert_eq!(texts(&axis), ["25 Nov", "28 Nov", "1 Dec", "4 Dec", "7 Dec"]);
        for span in 2..10_000 {
            let axis = Axis::times([midnight_us + 7 * hours + 1, midnight_us + (7 + span) * hours]);
            assert!((2..=MAX_TICKS + 1).contains(&axis.ticks.len()), "{span} hours: {:?}", axis.ticks);
        }
        assert!(Axis::times([midnight_us]).range().contains(&(midnight_us as f64)));
        assert!(Axis::times([0, 9_000 * 24 * hours]).ticks.len() <= MAX_TICKS + 1);
        assert!(Axis::times([i64::MIN, i64::MAX]).ticks.len() <= MAX_TICKS + 1);
    }

    #[test]
    fn the_last_of_many_names_is_shown() {
        let names = |count: u64| Axis::ordinal((1..=count).map(|number| number.to_string()));
        assert_eq!(texts(&names(1)), ["1"]);
        assert_eq!(texts(&names(6)), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(texts(&names(14)), ["2", "5", "8", "11", "14"]);
        assert_eq!(names(14).ticks[0].0, 1.0);
        assert_eq!(names(0).ticks, []);
    }
}
