//! Reads arbitrary texts as the times of one log, and compares each with a second parser that goes through a text
//! character by character, counts days year by year and calculates with 128 bits.

#![no_main]

// The file itself instead of the trainer, which would take minutes to build.
#[path = "../../../crates/omomi-train/src/log/time.rs"]
#[allow(dead_code, reason = "the reader of logs uses more of it")]
mod time;

/// What the parser needs of the errors of a log.
mod error {
    #[derive(Debug)]
    #[allow(dead_code, reason = "shown by a failed assertion")]
    pub enum RowFault {
        Time { found: String, hint: &'static str },
        Cell { expected: &'static str, found: String },
    }

    pub fn excerpt(text: &str) -> String {
        format!("`{text}`")
    }
}

use std::time::{SystemTime, UNIX_EPOCH};

use error::RowFault;
use libfuzzer_sys::fuzz_target;
use omomi::contract::TimeUnit;
use time::TimeReader;

const DAY_US: i128 = 86_400_000_000;
const UNITS: [TimeUnit; 6] = [
    TimeUnit::Seconds,
    TimeUnit::Milliseconds,
    TimeUnit::Microseconds,
    TimeUnit::Nanoseconds,
    TimeUnit::Day,
    TimeUnit::DateTime,
];

// The first byte chooses the unit, and whether any time is taken. The rest are lines, which are read one after the
// other.
fuzz_target!(|input: (u8, &str)| {
    let (options, text) = input;
    let unit = UNITS.get(usize::from(options & 7)).copied();
    let any_time = options & 8 != 0;
    let before_us = now_us();
    let mut reader = TimeReader::new(unit, any_time);
    let latest_us = [before_us, now_us()].map(|now_us| now_us + DAY_US);
    let is_stated = unit.is_some() || any_time;
    let mut slow = Slow { unit, any_time, latest_us: latest_us[0] };
    if any_time {
        slow.unit = unit.or(Some(TimeUnit::Microseconds));
    }
    for line in text.split('\n') {
        let expected = slow.read(line);
        let found = reader.text(line);
        match (&found, expected) {
            (Ok(found), Some((expected_us, is_exact))) => {
                let difference = (i128::from(*found) - expected_us).abs();
                // The product of a double's fraction is rounded, and may be rounded up to a whole number.
                assert!(difference <= i128::from(!is_exact), "{line:?}: {found}, not {expected_us}; {slow:?}");
            }
            (Err(RowFault::Time { found, .. } | RowFault::Cell { found, .. }), None) => assert!(!found.is_empty()),
            // The clock may have ticked between the two parsers, and a rounded time may be beyond the limit.
            (_, Some((time_us, _))) if latest_us.iter().any(|latest| (latest - time_us).abs() <= 1) => return,
            _ => panic!("{line:?}: {found:?}, not {expected:?}; {slow:?}"),
        }
        assert_eq!(reader.guessed_unit(), slow.unit.filter(|_| !is_stated), "{line:?}");
    }
});

fn now_us() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros().try_into().expect("i128")
}

/// The second parser.
#[derive(Debug)]
struct Slow {
    unit: Option<TimeUnit>,
    any_time: bool,
    /// The latest plausible time.
    latest_us: i128,
}

impl Slow {
    /// The time of a line, and whether it is exact to the microsecond.
    fn read(&mut self, line: &str) -> Option<(i128, bool)> {
        if let Some(number) = integer(line) {
            return Some((self.number(number, None)?, true));
        }
        if let Some(time_us) = calendar_time(line) {
            return self.is_plausible(time_us).then_some((time_us, true));
        }
        let digits: Vec<&str> = line.split('.').collect();
        let is_decimal = digits.len() == 2 && digits.concat().chars().all(|char| char.is_ascii_digit());
        if !is_decimal || digits.concat().is_empty() {
            return None;
        }
        let double: f64 = line.parse().expect("digits and a point are a number");
        if double >= 9_007_199_254_740_992.0 {
            return None;
        }
        // A double below 2^53 is a whole number of 2^1074ths. More than 64 binary places are less than a nanosecond.
        let whole = double as i128;
        let fraction = ((double - whole as f64) * 18_446_744_073_709_551_616.0) as i128;
        Some((self.number(whole, Some(fraction))?, false))
    }

    /// The time of a number and, if it is written as a decimal, of 2^-64ths that are added. May decide the unit.
    fn number(&mut self, whole: i128, fraction: Option<i128>) -> Option<i128> {
        let is_fraction = fraction.is_some_and(|fraction| fraction != 0);
        let time_us = |unit| {
            let added = |per_unit: i128| (fraction.unwrap_or(0) * per_unit) >> 64;
            let time_us = match unit {
                TimeUnit::Seconds => whole * 1_000_000 + added(1_000_000),
                TimeUnit::Milliseconds => whole * 1_000 + added(1_000),
                TimeUnit::Microseconds => whole,
                TimeUnit::Nanoseconds => whole.div_euclid(1_000),
                TimeUnit::Day | TimeUnit::DateTime if is_fraction => return None,
                TimeUnit::Day => date_us(whole)?,
                TimeUnit::DateTime => {
                    let clock = whole.rem_euclid(1_000_000);
                    date_us(whole.div_euclid(1_000_000))? + clock_us(clock / 10_000, clock / 100 % 100, clock % 100)?
                }
            };
            (i64::try_from(time_us).is_ok() && self.is_plausible(time_us)).then_some(time_us)
        };
        if let Some(unit) = self.unit {
            return time_us(unit);
        }
        let possible: Vec<(TimeUnit, i128)> =
            UNITS.into_iter().filter_map(|unit| Some((unit, time_us(unit)?))).collect();
        assert!(possible.len() <= 1, "{whole} is a time in several units: {possible:?}");
        let (unit, time_us) = possible.first().copied()?;
        self.unit = Some(unit);
        Some(time_us)
    }

    fn is_plausible(&self, time_us: i128) -> bool {
        self.any_time || (days_before_year(2000) * DAY_US..=self.latest_us).contains(&time_us)
    }
}

/// A sign and digits within 64 bits.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0_i128;
    for char in digits.chars() {
        number = sign * i128::from(char.to_digit(10).filter(|_| char.is_ascii())?) + number * 10;
        i64::try_from(number).ok()?;
    }
    Some(number)
}

/// A date such as 20191124.
fn date_us(number: i128) -> Option<i128> {
    if !(10_000_000..100_000_000).contains(&number) {
        return None;
    }
    day_us(number / 10_000, number / 100 % 100, number % 100)
}

fn days_before_year(year: i128) -> i128 {
    (1970..year).map(year_len).sum::<i128>() - (year..1970).map(year_len).sum::<i128>()
}

fn year_len(year: i128) -> i128 {
    (1..=12).map(|month| month_len(year, month)).sum()
}

fn month_len(year: i128, month: i128) -> i128 {
    let is_leap = if year % 100 == 0 { year % 400 == 0 } else { year % 4 == 0 };
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

fn day_us(year: i128, month: i128, day: i128) -> Option<i128> {
    if !(1..=month_len(year, month)).contains(&day) {
        return None;
    }
    let days = days_before_year(year) + (1..month).map(|month| month_len(year, month)).sum::<i128>() + day - 1;
    Some(days * DAY_US)
}

fn clock_us(hour: i128, minute: i128, second: i128) -> Option<i128> {
    // A leap second may be anywhere.
    (hour < 24 && minute < 60 && second <= 60).then_some(((hour * 60 + minute) * 60 + second) * 1_000_000)
}

/// The rest of a text, which is read from the left.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn digits(&mut self, count: usize) -> Option<i128> {
        let mut number = 0;
        for _ in 0..count {
            let digit = self.0.chars().next().filter(char::is_ascii_digit)?;
            number = number * 10 + i128::from(digit.to_digit(10)?);
            self.0 = &self.0[1..];
        }
        Some(number)
    }

    /// Takes any of these characters.
    fn any_of(&mut self, chars: &str) -> Option<char> {
        let char = self.0.chars().next().filter(|&char| chars.contains(char))?;
        self.0 = &self.0[char.len_utf8()..];
        Some(char)
    }
}

/// A time of RFC 3339, and the forms that are documented: a date alone, a space instead of the T, a clock without
/// colons, an offset without colon or minutes or none, ` UTC`.
fn calendar_time(text: &str) -> Option<i128> {
    let mut rest = Rest(text);
    let year = rest.digits(4)?;
    rest.any_of("-")?;
    let month = rest.digits(2)?;
    rest.any_of("-")?;
    let mut time_ns = day_us(year, month, rest.digits(2)?)? * 1_000;
    if rest.any_of("Tt ").is_some() && rest.0 != "UTC" {
        let hour = rest.digits(2)?;
        let colons = rest.any_of(":").is_some();
        let minute = rest.digits(2)?;
        if colons {
            rest.any_of(":")?;
        }
        time_ns += clock_us(hour, minute, rest.digits(2)?)? * 1_000;
        if colons && rest.any_of(".").is_some() {
            let mut unit = 1_000_000_000;
            time_ns += rest.digits(1)? * unit / 10;
            while let Some(digit) = rest.digits(1) {
                unit /= 10;
                time_ns += digit * unit / 10;
            }
        }
        if rest.0 == " UTC" {
            rest.0 = "";
        } else if rest.any_of("Zz").is_none() && !rest.0.is_empty() {
            // A clock without colons needs a space before the offset, so that its digits have an end.
            let has_space = rest.0.starts_with(' ');
            if !colons && !has_space {
                return None;
            }
            while rest.any_of(" ").is_some() {}
            let sign = if rest.any_of("+-")? == '+' { 1 } else { -1 };
            let hours = rest.digits(2)?;
            let minutes = match (rest.any_of(":"), rest.0.is_empty()) {
                (None, true) => 0,
                _ => rest.digits(2)?,
            };
            time_ns -= sign * clock_us(hours, minutes, 0)? * 1_000;
        }
    } else if rest.0 == "UTC" && text.ends_with(" UTC") {
        rest.0 = "";
    }
    (rest.0.is_empty() && i64::try_from(time_ns).is_ok()).then(|| time_ns.div_euclid(1_000))
}
