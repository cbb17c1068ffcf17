//! Rows that are held out of a log by a rule, so that one log serves training and judging without other tools.
//!
//! A rule looks at each row by itself or at its place in its file, never at the other files. So the rows that training
//! left out are the rows that a later step reads, also if that step gets only some of the files.

use std::fmt;
use std::str::FromStr;

use arrow_array::temporal_conversions::timestamp_us_to_datetime;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{LogError, LogReader, ReadOptions, RowBatch, time};
use omomi::contract::Contract;

/// Differs from the seeds of shards, so that the rows of each shard are held out alike.
const COLUMN_SEED: u64 = 0x6865_6c64_206f_7574;
const EXPECTED: &str = "'every 5', 'last 10%' or 'from 2026-01-05T00:00:00Z' (by the time column), or '10% of COLUMN' \
                        (by a hash of the column)";

/// Which rows of a log are held out. Written as `every 5`, `last 10%`, `from 2026-01-05T00:00:00Z` or
/// `10% of user_id`.
#[derive(Debug, Clone, PartialEq)]
pub enum HoldOutRule {
    /// Every n-th row of each file, at least 2. Bad rows count, because what is bad depends on the columns that a step
    /// reads.
    Every(u64),
    /// The last rows by time: this percentage of them. A reader resolves it to [`HoldOutRule::From`] when it opens the
    /// log, which takes one more pass over the times.
    Last(f64),
    /// The rows from this time on, in microseconds since 1970-01-01 UTC.
    From(i64),
    /// The rows with some values of a column, chosen by a hash of the value.
    Column {
        /// Name of the column.
        name: String,
        /// How much of the values, in percent. Of the rows without a value, as many are held out, by their places in
        /// their files.
        percent: f64,
    },
}

/// Which of the two kinds of rows a reader returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptRows {
    /// All but the held-out rows: for training.
    Others,
    /// Only the held-out rows: for all later steps.
    HeldOut,
}

/// A hold-out as a step uses it.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldOut {
    /// Which rows are held out.
    pub rule: HoldOutRule,
    /// Whether the step reads those rows or the others.
    pub kept: KeptRows,
}

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED}, found `{found}`")]
pub struct UnknownHoldOut {
    found: String,
}

impl FromStr for HoldOutRule {
    type Err = UnknownHoldOut;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent_of = |text: &str| {
            let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
            (percent > 0.0 && percent < 100.0).then_some(percent)
        };
        let rule = match text.split_once(' ') {
            Some(("every", count)) => count.parse().ok().filter(|&count| count >= 2).map(Self::Every),
            Some(("last", percent)) => percent_of(percent).map(Self::Last),
            Some(("from", time)) => time::parse_us(time).map(Self::From),
            Some((percent, column)) => percent_of(percent)
                .zip(column.strip_prefix("of ").filter(|name| !name.is_empty()))
                .map(|(percent, name)| Self::Column { name: name.to_owned(), percent }),
            None => None,
        };
        rule.ok_or_else(|| UnknownHoldOut { found: text.to_owned() })
    }
}

impl fmt::Display for HoldOutRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(count) => write!(formatter, "every {count}"),
            Self::Last(percent) => write!(formatter, "last {percent}%"),
            Self::From(time_us) => match timestamp_us_to_datetime(*time_us) {
                Some(time) => write!(formatter, "from {time:?}Z"),
                None => write!(formatter, "from {time_us} us"),
            },
            Self::Column { name, percent } => write!(formatter, "{percent}% of {name}"),
        }
    }
}

impl HoldOut {
    /// The rows that a step used, for the lineage of a model: `without every 5` or `only every 5`.
    #[must_use]
    pub fn used_rows(&self) -> String {
        let Self { rule, kept } = self;
        match kept {
            KeptRows::Others => format!("without {rule}"),
            KeptRows::HeldOut => format!("only {rule}"),
        }
    }

    /// The share of the rows that the rule says it holds out; `None` if it says none.
    pub(super) fn share(&self) -> Option<f64> {
        match &self.rule {
            HoldOutRule::Every(count) => Some(1.0 / *count as f64),
            HoldOutRule::Last(percent) | HoldOutRule::Column { percent, .. } => Some(percent / 100.0),
            HoldOutRule::From(_) => None,
        }
    }

    /// Whether a step that used the rows `other` of the same log, as its lineage says, used none of these.
    #[must_use]
    pub fn is_apart_from(&self, other: Option<&str>) -> bool {
        let kept = match self.kept {
            KeptRows::Others => KeptRows::HeldOut,
            KeptRows::HeldOut => KeptRows::Others,
        };
        // The lineage may say more behind the rule, such as that there was a sample.
        let apart = Self { rule: self.rule.clone(), kept }.used_rows();
        other.and_then(|other| other.strip_prefix(&apart)).is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
    }

    /// The column whose values decide.
    pub(super) fn column(&self) -> Option<&String> {
        if let HoldOutRule::Column { name, .. } = &self.rule { Some(name) } else { None }
    }

    pub(super) fn needs_time(&self) -> bool {
        matches!(self.rule, HoldOutRule::Last(_) | HoldOutRule::From(_))
    }

    /// Replaces a share of the last rows by the time from which on they are held out.
    ///
    /// # Errors
    ///
    /// Fails if the log cannot be read, or is a pipe that can be read only once.
    pub(crate) fn resolved(
        &self,
        contract: &Contract,
        patterns: &[impl AsRef<str>],
        options: &ReadOptions,
    ) -> Result<Self, LogError> {
        let HoldOutRule::Last(percent) = self.rule else { return Ok(self.clone()) };
        let mut times = Vec::new();
        let read = ReadOptions { hold_out: None, parts: Vec::new(), ..options.clone() };
        let mut reader = LogReader::open_times(contract, patterns, &read)?;
        reader.check_repeatable()?;
        while let Some(batch) = reader.next_batch()? {
            times.extend(batch.time_us.unwrap_or_default());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of rows")]
        let others = ((1.0 - percent / 100.0) * times.len() as f64).round() as usize;
        let others = others.min(times.len().saturating_sub(1));
        let Some(&earliest) = times.iter().min() else {
            return Ok(Self { rule: HoldOutRule::From(i64::MAX), kept: self.kept });
        };
        let first = *times.select_nth_unstable(others).1;
        if first == earliest {
            return Err(LogError::EverythingHeldOut { rule: self.rule.to_string(), row_count: times.len() as u64 });
        }
        Ok(Self { rule: HoldOutRule::From(first), kept: self.kept })
    }
}

/// Selects rows by a hold-out while a log is read.
#[derive(Debug)]
pub(super) struct HoldOutFilter {
    hold_out: HoldOut,
    /// The file of the last row, and how many of its rows came before the next batch.
    file: usize,
    row_count: u64,
    pub(super) counts: HoldOutCounts,
}

/// How many rows a rule held out, and how many it did not. Bad rows are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HoldOutCounts {
    pub(super) held_out: u64,
    pub(super) others: u64,
}

/// The log of the odds ratio from which on a share is uneven: one of 20 % is then below 11 % or above 33 %.
const UNEVEN_LOG_ODDS: f64 = std::f64::consts::LN_2;
/// Standard deviations of a share by chance, if each row were held out by itself, up to which no share is uneven.
const MAX_DEVIATIONS: f64 = 4.0;

impl HoldOutCounts {
    pub(super) fn has_both(&self) -> bool {
        self.held_out > 0 && self.others > 0
    }

    /// Fails if these are the counts of a whole log, and no row is held out, or every row although the step reads the
    /// others.
    pub(super) fn check(&self, hold_out: &HoldOut) -> Result<(), LogError> {
        let rule = || hold_out.rule.to_string();
        match (self.held_out, self.others) {
            (0, 0) => Ok(()),
            (0, row_count) => Err(LogError::NothingHeldOut { rule: rule(), row_count }),
            (row_count, 0) if hold_out.kept == KeptRows::Others => {
                Err(LogError::EverythingHeldOut { rule: rule(), row_count })
            }
            _ => Ok(()),
        }
    }

    /// Returns the share of the rows that were held out, if it is far from `expected` and chance does not explain it.
    pub(super) fn uneven_share(&self, expected: f64) -> Option<f64> {
        let rows = (self.held_out + self.others) as f64;
        let share = self.held_out as f64 / rows.max(1.0);
        let log_odds = |share: f64| (share / (1.0 - share)).ln();
        let deviation = (expected * (1.0 - expected) / rows.max(1.0)).sqrt();
        let is_uneven = (log_odds(share) - log_odds(expected)).abs() > UNEVEN_LOG_ODDS
            && (share - expected).abs() > MAX_DEVIATIONS * deviation;
        (rows > 0.0 && is_uneven).then_some(share)
    }
}

impl HoldOutFilter {
    pub(super) fn new(hold_out: HoldOut) -> Self {
        Self { hold_out, file: 0, row_count: 0, counts: HoldOutCounts::default() }
    }

    /// Clears the mark in `keep` of each row that the step does not read. The last extra column of the batch is the
    /// column of the rule, if it has one.
    pub(super) fn mark(&mut self, batch: &RowBatch, keep: &mut [bool]) {
        let wants_held_out = self.hold_out.kept == KeptRows::HeldOut;
        let column = self.hold_out.column().and(batch.extra.last());
        let mut bad_runs = batch.bad_runs.iter().peekable();
        let mut start = 0;
        for &(file, end) in &batch.file_ends {
            if file != self.file {
                (self.file, self.row_count) = (file, 0);
                while bad_runs.next_if(|run| run.file < file).is_some() {}
            }
            for row in start..end {
                while let Some(run) = bad_runs.next_if(|run| run.file == file && run.row <= row) {
                    self.row_count += run.count;
                }
                let number = self.row_count;
                self.row_count += 1;
                let is_held_out = match &self.hold_out.rule {
                    HoldOutRule::Every(count) => (number + 1).is_multiple_of(*count),
                    HoldOutRule::From(first_us) => batch.time_us.as_ref().is_some_and(|times| times[row] >= *first_us),
                    // Resolved before reading.
                    HoldOutRule::Last(_) => false,
                    HoldOutRule::Column { percent, .. } => {
                        is_in_share(column.and_then(|column| column.text(row)), number, *percent)
                    }
                };
                *if is_held_out { &mut self.counts.held_out } else { &mut self.counts.others } += 1;
                keep[row] &= is_held_out == wants_held_out;
            }
            while let Some(run) = bad_runs.next_if(|run| run.file == file) {
                self.row_count += run.count;
            }
            start = end;
        }
    }
}

/// Whether the hash of a value is in the first `percent` of all hashes; for a row without one, that of its number in
/// its file.
fn is_in_share(value: Option<&str>, row_number: u64, percent: f64) -> bool {
    let hash = match value {
        Some(value) => xxh3_64_with_seed(whole(value).as_bytes(), COLUMN_SEED),
        None => xxh3_64_with_seed(&row_number.to_le_bytes(), COLUMN_SEED),
    };
    (hash as f64) < percent / 100.0 * 18_446_744_073_709_551_616.0
}

/// Returns the integer in `42.0`. Tools write a column of integers so once a value is missing; it is the same value.
fn whole(value: &str) -> &str {
    let is_integer = |text: &&str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    value.strip_suffix(".0").filter(is_integer).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written_and_nothing_else_is_one() {
        for text in
            ["every 5", "last 10%", "last 0.5%", "from 2026-01-05T00:00:00Z", "20% of user_id", "5% of the user"]
        {
            let rule: HoldOutRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
        }
        for text in ["", "every", "every 1", "every 0", "every x", "last 10", "last 0%", "last 100%", "from", "from x"]
        {
            let error = text.parse::<HoldOutRule>().unwrap_err().to_string();
            assert!(error.contains("'every 5'") && error.ends_with(&format!("found `{text}`")), "{error}");
        }
        for text in ["10%", "10% of", "10% of ", "10% user", "of user", "-5% of user", "nan% of user"] {
            assert!(text.parse::<HoldOutRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_step_is_apart_from_one_that_left_its_rows_out() {
        let hold_out = |kept| HoldOut { rule: HoldOutRule::Every(5), kept };
        let [others, held_out] = [KeptRows::Others, KeptRows::HeldOut].map(hold_out);
        assert!(held_out.is_apart_from(Some(&others.used_rows())) && others.is_apart_from(Some(&held_out.used_rows())));
        assert!(held_out.is_apart_from(Some("without every 5, a sample of 7 rows")));
        for used in [None, Some("without every 50"), Some("only every 5"), Some("a part of the rows")] {
            assert!(!held_out.is_apart_from(used), "{used:?}");
        }
    }

    #[test]
    fn shares_of_values_are_about_as_large_as_the_rule_says() {
        for percent in [1.0, 10.0, 50.0] {
            let count = (0..20_000).filter(|value| is_in_share(Some(&value.to_string()), 0, percent)).count();
            assert!((count as f64 / 200.0 - percent).abs() < 1.5, "{percent}: {count}");
            let count = (0..20_000).filter(|&number| is_in_share(None, number, percent)).count();
            assert!((count as f64 / 200.0 - percent).abs() < 1.5, "without a value, {percent}: {count}");
        }
    }

    #[test]
    fn a_share_is_uneven_if_it_is_far_from_the_rule_and_not_by_chance() {
        let uneven = |held_out, others, expected| HoldOutCounts { held_out, others }.uneven_share(expected).is_some();
        for (held_out, others, expected, is_uneven) in [
            (200, 800, 0.2, false),
            (130, 870, 0.2, false),
            (90, 910, 0.2, true),
            (400, 600, 0.2, true),
            (990, 10, 0.5, true),
            (10, 990, 0.01, false),
            (30, 970, 0.01, true),
            // A few rows say nothing.
            (0, 5, 0.2, false),
            (3, 2, 0.2, false),
            (0, 0, 0.2, false),
        ] {
            assert_eq!(uneven(held_out, others, expected), is_uneven, "{held_out} of {others}, {expected}");
        }
    }

    #[test]
    fn a_whole_number_is_held_out_like_its_integer() {
        for (text, value) in [("42.0", "42"), ("-7.0", "-7"), ("42", "42")] {
            assert_eq!(whole(text), value);
        }
        for text in [".0", "-.0", "a.0", "4.2", "1.0.0", ""] {
            assert_eq!(whole(text), text);
        }
    }
}
