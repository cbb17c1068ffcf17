//! Times of impressions, in microseconds since 1970-01-01 UTC: how they are parsed and checked.

use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::temporal_conversions::timestamp_us_to_datetime;
use arrow_cast::parse::string_to_timestamp_nanos;

use super::error::{RowFault, excerpt};
use omomi::contract::TimeUnit;

pub(super) const EXPECTED_TIME: &str = "a time: an integer, or text such as 2019-11-24T00:00:17.004101Z";

/// The earliest plausible time, 2000-01-01, in microseconds. No log of ads is older, but every mistake about the unit
/// of recent times leads to an earlier or a later one.
pub(super) const MIN_TIME_US: i64 = 946_684_800_000_000;
/// How far after now a time may be, so that clocks may differ.
const CLOCK_TOLERANCE_US: i64 = 86_400_000_000;

/// Converts the cells of a time column to microseconds, and refuses those that no log of ads can have.
#[derive(Debug)]
pub(super) struct TimeReader {
    /// The unit of integers, once it is known.
    unit: Option<TimeUnit>,
    is_unit_guessed: bool,
    /// Whether all times are taken, even implausible ones.
    any_time: bool,
    /// The latest plausible time.
    max_us: i64,
}

impl TimeReader {
    pub(super) fn new(unit: Option<TimeUnit>, any_time: bool) -> Self {
        // Where any time is plausible, none can be told from its size.
        let unit = if any_time { unit.or(Some(TimeUnit::Microseconds)) } else { unit };
        Self { unit, is_unit_guessed: false, any_time, max_us: now_us().saturating_add(CLOCK_TOLERANCE_US) }
    }

    /// The unit of integers, if it was guessed from the first plausible one.
    pub(super) fn guessed_unit(&self) -> Option<TimeUnit> {
        self.unit.filter(|_| self.is_unit_guessed)
    }

    /// Whether a time is plausible.
    #[inline]
    pub(super) fn has(&self, time_us: i64) -> bool {
        self.any_time || (MIN_TIME_US..=self.max_us).contains(&time_us)
    }

    /// Checks a time that has its unit.
    #[inline]
    pub(super) fn instant(&self, time_us: i64) -> Result<i64, RowFault> {
        if self.has(time_us) {
            return Ok(time_us);
        }
        let found = timestamp_us_to_datetime(time_us).map_or_else(|| time_us.to_string(), |time| format!("{time:?}Z"));
        Err(RowFault::Time { found, hint: "" })
    }

    /// Checks a time that is stored as a number in this unit.
    #[inline]
    pub(super) fn stored(&self, number: i64, unit: TimeUnit) -> Result<i64, RowFault> {
        match time_us_of(number, unit) {
            Some(time_us) => self.instant(time_us),
            None => Err(RowFault::Cell { expected: EXPECTED_TIME, found: excerpt(&number.to_string()) }),
        }
    }

    /// Reads an integer. Without a stated unit, the first integer that is plausible in some unit decides the unit of
    /// all integers. At most one unit makes an integer plausible.
    #[inline]
    pub(super) fn integer(&mut self, number: i64) -> Result<i64, RowFault> {
        if let Some(unit) = self.unit
            && let Some(time_us) = time_us_of(number, unit)
            && self.has(time_us)
        {
            return Ok(time_us);
        }
        self.implausible_integer(number)
    }

    #[cold]
    fn implausible_integer(&mut self, number: i64) -> Result<i64, RowFault> {
        let guess = self.unit_of(number);
        match (self.unit, guess) {
            (None, Some(unit)) => {
                (self.unit, self.is_unit_guessed) = (Some(unit), true);
                time_us_of(number, unit).ok_or_else(|| RowFault::Time { found: number.to_string(), hint: "" })
            }
            (None, None) => Err(RowFault::Time { found: number.to_string(), hint: "" }),
            (Some(unit), guess) => {
                let found = format!("{number} in {}", unit_words(unit));
                Err(RowFault::Time { found, hint: guess.map_or("", looks_like) })
            }
        }
    }

    /// Reads a number with a fraction, such as seconds with milliseconds.
    pub(super) fn float(&mut self, number: f64) -> Result<i64, RowFault> {
        let fault = || RowFault::Time { found: format!("{number:?}"), hint: "" };
        // Beyond 2^53 a double has no exact integer part, so it would be a guess.
        if !number.is_finite() || number.abs() >= 9_007_199_254_740_992.0 {
            return Err(fault());
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        let whole = number.floor() as i64;
        let before = (self.unit, self.is_unit_guessed);
        let time_us = self.integer(whole)?;
        let unit_us = match self.unit {
            Some(TimeUnit::Seconds) => Some(1e6),
            Some(TimeUnit::Milliseconds) => Some(1e3),
            Some(TimeUnit::Day | TimeUnit::DateTime) => (number.fract() == 0.0).then_some(0.0),
            _ => Some(0.0),
        };
        let time_us = unit_us.and_then(|unit_us| {
            #[expect(clippy::cast_possible_truncation, reason = "at most 1,000,000")]
            let fraction_us = ((number - number.floor()) * unit_us).floor() as i64;
            time_us.checked_add(fraction_us).filter(|&time_us| self.has(time_us))
        });
        if time_us.is_none() {
            // A bad row decides nothing about the unit.
            (self.unit, self.is_unit_guessed) = before;
        }
        time_us.ok_or_else(fault)
    }

    /// Reads text: an integer, a number of seconds or milliseconds with a fraction, or a time in RFC 3339, where a
    /// space may replace the `T`. A time without an offset, or with the suffix `UTC`, is in UTC.
    pub(super) fn text(&mut self, text: &str) -> Result<i64, RowFault> {
        if let Ok(number) = text.parse() {
            return self.integer(number);
        }
        if let Some(time_us) = parse_us(text) {
            return self.instant(time_us);
        }
        let is_decimal = text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_decimal && let Ok(number) = text.parse() {
            return self.float(number);
        }
        Err(RowFault::Cell { expected: EXPECTED_TIME, found: excerpt(text) })
    }

    /// The unit in which a number is plausible.
    fn unit_of(&self, number: i64) -> Option<TimeUnit> {
        let units = [
            TimeUnit::Microseconds,
            TimeUnit::Milliseconds,
            TimeUnit::Seconds,
            TimeUnit::Nanoseconds,
            TimeUnit::Day,
            TimeUnit::DateTime,
        ];
        let is_plausible = |time_us: i64| (MIN_TIME_US..=self.max_us).contains(&time_us);
        units.into_iter().find(|&unit| time_us_of(number, unit).is_some_and(is_plausible))
    }
}

/// Parses one time, for the fuzz target. Not part of the API.
#[must_use]
pub fn parse_time_us(text: &str, unit: Option<TimeUnit>, any_time: bool) -> Option<i64> {
    TimeReader::new(unit, any_time).text(text).ok()
}

/// Now, in microseconds since 1970-01-01 UTC.
pub(crate) fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

/// Whether a time is later than any clock that is nearly right can say.
pub(crate) fn is_in_the_future(time_us: i64) -> bool {
    time_us > now_us().saturating_add(CLOCK_TOLERANCE_US)
}

/// Converts an integer to microseconds. Returns `None` if it is no time in this unit, or out of range.
#[inline]
fn time_us_of(number: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Microseconds => Some(number),
        TimeUnit::Milliseconds => number.checked_mul(1_000),
        TimeUnit::Seconds => number.checked_mul(1_000_000),
        TimeUnit::Nanoseconds => Some(number.div_euclid(1_000)),
        TimeUnit::Day => days_since_1970(number)?.checked_mul(86_400_000_000),
        TimeUnit::DateTime => {
            let (day, time) = (number.div_euclid(1_000_000), number.rem_euclid(1_000_000));
            let (hour, minute, second) = (time / 10_000, time / 100 % 100, time % 100);
            if hour > 23 || minute > 59 || second > 60 {
                return None;
            }
            let seconds = days_since_1970(day)? * 86_400 + hour * 3_600 + minute * 60 + second;
            Some(seconds * 1_000_000)
        }
    }
}

/// The day of a date such as 20191124, counted from 1970-01-01. Years have four digits.
fn days_since_1970(date: i64) -> Option<i64> {
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_len = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1_000..=9_999).contains(&year) || !(1..=month_len).contains(&day) {
        return None;
    }
    // Years begin in March, so that the day that only some years have is their last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

pub(super) fn unit_words(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Seconds => "seconds",
        TimeUnit::Milliseconds => "milliseconds",
        TimeUnit::Microseconds => "microseconds",
        TimeUnit::Nanoseconds => "nanoseconds",
        TimeUnit::Day => "the form yyyymmdd",
        TimeUnit::DateTime => "the form yyyymmddhhmmss",
    }
}

fn looks_like(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Seconds => ", which looks like seconds",
        TimeUnit::Milliseconds => ", which looks like milliseconds",
        TimeUnit::Microseconds => ", which looks like microseconds",
        TimeUnit::Nanoseconds => ", which looks like nanoseconds",
        TimeUnit::Day => ", which looks like yyyymmdd",
        TimeUnit::DateTime => ", which looks like yyyymmddhhmmss",
    }
}

/// Parses a time in RFC 3339, where a space may replace the `T`. A time without an offset, or with the suffix ` UTC`,
/// is in UTC. Returns `None` for any other text and for years outside 1678 to 2261.
pub(super) fn parse_us(text: &str) -> Option<i64> {
    let plain = match text.strip_suffix(" UTC") {
        // An offset before the suffix would contradict it.
        Some(plain) if plain.get(10..)?.bytes().all(|byte| !matches!(byte, b'+' | b'-' | b'Z' | b'z')) => plain,
        Some(_) => return None,
        None => text,
    };
    // The parser takes any white space before an offset, and any minutes in it, such as +09:99.
    let has_wrong_minutes = matches!(
        plain.as_bytes(),
        [.., b'+' | b'-', _, _, b':', b'6'..=b'9', _] | [.., b'+' | b'-', _, _, b'6'..=b'9', _]
    );
    if has_wrong_minutes || !plain.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return None;
    }
    string_to_timestamp_nanos(plain).ok().map(|nanoseconds| nanoseconds.div_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIME_US: i64 = 1_574_553_617_004_101;

    fn read(text: &str) -> Option<i64> {
        TimeReader::new(None, false).text(text).ok()
    }

    #[test]
    fn one_instant_reads_the_same_in_every_notation() {
        for text in [
            "2019-11-24T00:00:17.004101Z",
            "2019-11-24 00:00:17.004101+00:00",
            "2019-11-24 00:00:17.004101",
            "2019-11-24 00:00:17.004101 UTC",
            "2019-11-24T09:00:17.004101+09:00",
            "1574553617004101",
            "1574553617004101999",
            "1574553617.004101",
            "1574553617004.101",
        ] {
            let time_us = read(text).unwrap_or_default();
            // A double has its own last digit.
            assert!((time_us - TIME_US).abs() <= i64::from(text.contains('.') && !text.contains('-')), "{text}");
        }
        let whole = TIME_US - 4_101;
        for text in ["1574553617", "1574553617000", "20191124000017", "2019-11-24 00:00:17 UTC"] {
            assert_eq!(read(text), Some(whole), "{text}");
        }
        assert_eq!(read("20191124"), Some(whole - 17_000_000));
        assert_eq!(parse_us("1969-12-31 23:59:59.999999999Z"), Some(-1));
        for text in ["", "yesterday", "2019-13-01", "1.5", "20191301", "20190229", "2019-11-24 00:00:17+09:00 UTC"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn impossible_times_are_refused_in_every_notation_unless_any_time_is_taken() {
        for text in ["0", "-1", "1574", "253402300799", "9999-12-31", "0001-01-01", "1999-12-31 23:59:59Z", "99991231"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(TimeReader::new(None, true).text("-1"), Ok(-1));
        assert_eq!(TimeReader::new(Some(TimeUnit::Seconds), true).text("7"), Ok(7_000_000));
        let next_week = now_us() + 7 * 86_400_000_000;
        assert!(TimeReader::new(None, false).integer(next_week).is_err());
        assert!(TimeReader::new(None, false).instant(now_us()).is_ok());
        assert!(is_in_the_future(next_week) && !is_in_the_future(now_us()));
    }

    #[test]
    fn the_first_plausible_integer_decides_the_unit_and_a_later_one_in_another_unit_is_refused() {
        let mut times = TimeReader::new(None, false);
        assert!(times.text("0").is_err());
        assert_eq!(times.guessed_unit(), None);
        assert_eq!(times.text("1574553617004"), Ok(1_574_553_617_004_000));
        assert_eq!(times.guessed_unit(), Some(TimeUnit::Milliseconds));
        let fault = times.text("1574553617").unwrap_err().to_string();
        assert!(fault.contains("found 1574553617 in milliseconds, which looks like seconds"), "{fault}");
        let mut stated = TimeReader::new(Some(TimeUnit::Seconds), false);
        assert_eq!((stated.text("1574553617"), stated.guessed_unit()), (Ok(1_574_553_617_000_000), None));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_plausible_and_reads_back_the_same(
            text in "([0-9]{1,20}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[T ]?[0-9:.,+Z-]{0,24}( UTC)?|[0-9]{1,18}[.][0-9]*|.*)"
        ) {
            for unit in TimeUnit::WORDS.iter().map(|word| TimeUnit::of_word(word)).chain([None]) {
                let _ = parse_time_us(&text, unit, true);
                if let Some(time_us) = parse_time_us(&text, unit, false) {
                    assert!(time_us >= MIN_TIME_US, "{text:?} is {time_us} in {unit:?}");
                    let utc = timestamp_us_to_datetime(time_us).map(|time| format!("{time:?}Z")).unwrap();
                    assert_eq!(parse_time_us(&utc, unit, false), Some(time_us), "{text:?} in {unit:?}");
                }
            }
        }
    }

    /// Numbers near the ends of 64 bits, near the largest one of each unit, and any others.
    fn extreme() -> impl Strategy<Value = i64> {
        let near = |place: i64| (-3..=3_i64).prop_map(move |step| place.saturating_add(step));
        prop_oneof![
            any::<i64>(),
            near(i64::MAX),
            near(i64::MIN),
            near(0),
            (0..3_u32, any::<bool>()).prop_flat_map(move |(power, is_negative)| {
                let last = i64::MAX / 1_000_i64.pow(power);
                near(if is_negative { -last } else { last })
            }),
            near(99_991_231),
            near(99_991_231_235_959),
        ]
    }

    proptest! {
        #[test]
        fn numbers_of_any_size_are_the_right_time_or_none_in_every_unit(number in extreme()) {
            for (unit, up, down) in [
                (TimeUnit::Seconds, 1_000_000, 1),
                (TimeUnit::Milliseconds, 1_000, 1),
                (TimeUnit::Microseconds, 1, 1),
                (TimeUnit::Nanoseconds, 1, 1_000),
            ] {
                let right = i64::try_from((i128::from(number) * up).div_euclid(down)).ok();
                prop_assert_eq!(time_us_of(number, unit), right, "{:?}", unit);
                let any_time = TimeReader::new(Some(unit), true).text(&number.to_string()).ok();
                prop_assert_eq!(any_time, right, "{:?}", unit);
                prop_assert_eq!(TimeReader::new(None, true).stored(number, unit).ok(), right, "{:?}", unit);
            }
            // A date has eight digits, and one with a time fourteen.
            let dates = [
                (TimeUnit::Day, 10_000_101..=99_991_231),
                (TimeUnit::DateTime, 10_000_101_000_000..=99_991_231_235_960),
            ];
            for (unit, digits) in dates {
                let time_us = time_us_of(number, unit);
                prop_assert!(time_us.is_none() || digits.contains(&number), "{} is {:?}", number, time_us);
            }
        }

        #[test]
        fn numbers_with_a_fraction_never_overflow(whole in extreme(), fraction in 0.0..1.0_f64) {
            for unit in TimeUnit::WORDS.map(TimeUnit::of_word) {
                #[expect(clippy::cast_precision_loss, reason = "any double will do")]
                let number = whole as f64 + fraction;
                let _ = TimeReader::new(unit, true).float(number);
                let _ = TimeReader::new(unit, true).text(&format!("{number:.3}"));
                let _ = TimeReader::new(unit, false).float(number);
            }
        }
    }

    /// The fraction of a second was added without a check: this overflowed.
    #[test]
    fn the_last_second_of_64_bits_has_no_fraction_beyond_them() {
        let mut seconds = TimeReader::new(Some(TimeUnit::Seconds), true);
        assert_eq!(seconds.text("9223372036854.5"), Ok(9_223_372_036_854_500_000));
        assert!(seconds.text("9223372036854.9").is_err());
        assert!(seconds.text("9223372036855").is_err());
    }

    /// The parser underneath took 99 minutes for an hour and 39 minutes.
    #[test]
    fn an_offset_has_at_most_59_minutes_and_only_spaces_before_it() {
        for offset in ["+09:99", "+0960", "-00:60", "\t+09:00", "\u{3000}+09:00", "\u{a0}-08"] {
            assert_eq!(read(&format!("2019-11-24 00:00:17{offset}")), None, "{offset}");
        }
        for offset in ["+09:00", "+0900", "+09", "  +09:00"] {
            let expected = TIME_US - 4_101 - 9 * 3_600_000_000;
            assert_eq!(read(&format!("2019-11-24 00:00:17{offset}")), Some(expected), "{offset}");
        }
        assert!(read("2019-11-24 00:00:17-08:59").is_some());
    }

    /// A bad row decided the unit, and the good rows after it were refused.
    #[test]
    fn seconds_whose_fraction_is_in_the_future_decide_nothing() {
        let mut times = TimeReader { max_us: TIME_US, ..TimeReader::new(None, false) };
        assert!(times.float(1_574_553_617.5).is_err());
        assert_eq!(times.guessed_unit(), None);
        assert_eq!(times.float(1_574_553_617.0), Ok(TIME_US - 4_101));
        assert_eq!(times.guessed_unit(), Some(TimeUnit::Seconds));
    }

    /// A bad row decided the unit, and the good rows after it were refused.
    #[test]
    fn a_date_with_a_fraction_is_refused_and_decides_nothing() {
        let mut times = TimeReader::new(None, false);
        assert!(times.float(20_191_124.5).is_err());
        assert_eq!(times.guessed_unit(), None);
        assert_eq!(times.float(1_574_553_617.25), Ok(1_574_553_617_250_000));
    }

    #[test]
    fn at_most_one_unit_makes_a_number_plausible() {
        let times = TimeReader::new(None, false);
        for unit in TimeUnit::WORDS.map(|word| TimeUnit::of_word(word).unwrap()) {
            let first = match unit {
                TimeUnit::Seconds => 946_684_800,
                TimeUnit::Milliseconds => 946_684_800_000,
                TimeUnit::Microseconds => MIN_TIME_US,
                TimeUnit::Nanoseconds => MIN_TIME_US * 1_000,
                TimeUnit::Day => 20_000_101,
                TimeUnit::DateTime => 20_000_101_000_000,
            };
            assert_eq!((time_us_of(first, unit), times.unit_of(first)), (Some(MIN_TIME_US), Some(unit)));
            assert_eq!(times.unit_of(first - 1), None, "{first}");
        }
    }
}
