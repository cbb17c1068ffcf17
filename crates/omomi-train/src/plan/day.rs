//! Days, as whole days in UTC, and where the logs of a day are.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;
use serde::{Deserialize, Serialize};

use crate::log::parse_time_us;

const DAY_US: i64 = 86_400_000_000;

/// A day in UTC, written `2026-01-05`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(i64);

impl Day {
    /// Returns the day of a time, in microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn of_time_us(time_us: i64) -> Self {
        Self(time_us.div_euclid(DAY_US))
    }

    /// Returns the day that is so many days later, or earlier if `days` is negative.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Returns how many days this one is after `other`.
    #[must_use]
    pub const fn days_after(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }

    /// Returns all days from this one up to and including `last`.
    pub fn up_to(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }

    /// Writes the day by a pattern, such as `%Y-%m-%d` or `dt=%Y%m%d/*.parquet`.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the pattern.
    pub fn by_pattern(self, pattern: &str) -> Result<String, String> {
        let problem = || format!("expected a pattern such as \"dt=%Y-%m-%d/*.parquet\", found {pattern:?}");
        let midnight = timestamp_us_to_datetime(self.0.saturating_mul(DAY_US)).ok_or_else(problem)?;
        let mut text = String::new();
        write!(text, "{}", midnight.format(pattern)).map_err(|_| problem())?;
        Ok(text)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.by_pattern("%Y-%m-%d").map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = parse_time_us(text, None, false).map(Self::of_time_us);
        let is_date = |day: &Self| day.to_string() == text;
        day.filter(is_date).ok_or_else(|| format!("expected a day such as 2026-01-05, found {text:?}"))
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar_in_utc() {
        let day: Day = "2024-02-28".parse().unwrap();
        let days: Vec<String> = day.up_to(day.plus(2)).map(|day| day.to_string()).collect();
        assert_eq!(days, ["2024-02-28", "2024-02-29", "2024-03-01"]);
        assert_eq!(
            Day::of_time_us(parse_time_us("2026-01-05T23:59:59Z", None, false).unwrap()).to_string(),
            "2026-01-05"
        );
        assert_eq!(day.plus(366).days_after(day), 366);
        assert_eq!(day.by_pattern("dt=%Y%m%d/*.parquet").unwrap(), "dt=20240228/*.parquet");
    }

    #[test]
    fn a_text_that_is_no_day_and_a_pattern_that_is_none_are_refused() {
        for text in ["", "2026-01-32", "2026-1-5", "2026-01-05T00:00:00Z", "05.01.2026", "1767571200"] {
            assert!(text.parse::<Day>().unwrap_err().starts_with("expected a day such as"), "{text}");
        }
        assert!(Day(0).by_pattern("%Q").unwrap_err().contains("found \"%Q\""));
    }
}
