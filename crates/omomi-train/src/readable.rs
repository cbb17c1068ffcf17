//! Formats numbers and times for people to read.

use std::time::Duration;

/// Formats a whole number with commas between groups of three digits: `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const BYTE_UNITS: [(&str, f64); 3] = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];

/// Formats a size in bytes with a decimal unit (powers of 1,000): `84.2 MB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    let unit = BYTE_UNITS.into_iter().find(|(_, size)| count as f64 >= *size);
    unit.map_or_else(|| format!("{count} bytes"), |(unit, size)| format!("{:.1} {unit}", count as f64 / size))
}

/// Formats a size for an axis whose ticks are `step` bytes apart: `80 MB`.
pub(crate) fn bytes_by(count: f64, step: f64) -> String {
    let unit = BYTE_UNITS.into_iter().find(|(_, size)| count >= *size);
    match unit {
        None => format!("{count:.0}"),
        Some((unit, size)) => format!("{} {unit}", with_decimals_of(count / size, step / size)),
    }
}

/// Formats a number with as many decimals as `step` has, at most 6.
pub(crate) fn with_decimals_of(number: f64, step: f64) -> String {
    let is_whole = |decimals: i32| {
        let scaled = step * 10_f64.powi(decimals);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.abs()
    };
    let decimals = (0..6).find(|&decimals| is_whole(decimals)).unwrap_or(6);
    let decimals = usize::try_from(decimals).unwrap_or(0);
    // Avoid "-0".
    let number = if number.abs() < step.abs() * 1e-6 { 0.0 } else { number };
    format!("{number:.decimals$}")
}

/// Formats a number with at most `digits` significant digits and without trailing zeros: `0.0021`.
pub(crate) fn significant(number: f64, digits: i32) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    #[expect(clippy::cast_possible_truncation, reason = "an exponent of base 10 is at most 308")]
    let exponent = (number.abs().log10() + 1e-9).floor() as i32;
    let decimals = digits - 1 - exponent;
    let text = format!("{number:.*}", usize::try_from(decimals).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Writes a time for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        let words = [0.44, 12.0, 200.0, 7_500.0].map(|seconds| duration(Duration::from_secs_f64(seconds)));
        assert_eq!(words.each_ref().map(String::as_str), ["0.4 s", "12 s", "3 min 20 s", "2 h 5 min"]);
    }

    #[test]
    fn commas_separate_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn sizes_have_the_largest_unit_that_gives_at_least_one() {
        assert_eq!([999, 84_200_000, 2_000_000_000].map(bytes), ["999 bytes", "84.2 MB", "2.0 GB"]);
        let ticks = [0.0, 5e5, 1e6, 1.5e6].map(|count| bytes_by(count, 5e5));
        assert_eq!(ticks, ["0", "500 kB", "1.0 MB", "1.5 MB"]);
    }

    #[test]
    fn ticks_have_as_many_decimals_as_their_step() {
        assert_eq!([0.85, 0.9, 1.0].map(|tick| with_decimals_of(tick, 0.05)), ["0.85", "0.90", "1.00"]);
        assert_eq!([-2.0, -0.0, 2.0].map(|tick| with_decimals_of(tick, 2.0)), ["-2", "0", "2"]);
        assert_eq!(with_decimals_of(0.8725, 0.0025), "0.8725");
    }

    #[test]
    fn significant_digits_have_no_trailing_zeros() {
        let texts = [0.1, 0.01, 0.002_14, 0.35, 1.0, 12.34, 0.0].map(|number| significant(number, 2));
        assert_eq!(texts, ["0.1", "0.01", "0.0021", "0.35", "1", "12", "0"]);
    }
}
