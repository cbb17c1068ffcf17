//! What a reader noticed that is no error: guesses about notations, and fields that vanish.

use std::fmt;
use std::path::PathBuf;

use super::time::unit_words;
use omomi::contract::TimeUnit;

/// Something about a log that its owner should know. Reading goes on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LogWarning {
    /// The unit of integer times was guessed from their size.
    GuessedTimeUnit {
        /// The time column.
        column: String,
        /// The unit.
        unit: TimeUnit,
    },
    /// Cells of a CSV column were treated as missing, because other tools write their text for a missing value.
    GuessedMissing {
        /// The column.
        column: String,
        /// The text.
        text: &'static str,
        /// How many cells have this text.
        count: u64,
    },
    /// A text that other tools write for a missing value became a category, because the format has a null of its own.
    KeptMissing {
        /// The column.
        column: String,
        /// The text.
        text: &'static str,
    },
    /// Cells of a CSV column were read as lists in JSON.
    GuessedLists {
        /// The column.
        column: String,
        /// How many cells are lists.
        count: u64,
    },
    /// The missing rate of a field jumps from one file to the next.
    MissingRateJumps {
        /// The column.
        column: String,
        /// The first file with the new rate.
        file: PathBuf,
        /// Missing rate of all files before, from 0 to 1.
        rate_before: f64,
        /// Missing rate of the file, from 0 to 1.
        rate: f64,
    },
}

impl fmt::Display for LogWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuessedTimeUnit { column, unit } => write!(
                formatter,
                "the integers of the time column `{column}` are read as {}, by their size; say so with --time-unit {}",
                unit_words(*unit),
                unit.word()
            ),
            Self::GuessedMissing { column, text, count } => write!(
                formatter,
                "column `{column}`: cells with `{text}` are treated as missing, {count} in all; say what is missing \
                 with `missing = [...]` under [reading] in the contract"
            ),
            Self::KeptMissing { column, text } => write!(
                formatter,
                "column `{column}`: the text `{text}` is a category; if it means a missing value, say so with \
                 `missing = [...]` under [reading] in the contract"
            ),
            Self::GuessedLists { column, count } => write!(
                formatter,
                "column `{column}`: cells in brackets are read as lists in JSON, {count} in all; say so with \
                 `lists = \"json\"` under [reading] in the contract"
            ),
            Self::MissingRateJumps { column, file, rate_before, rate } => write!(
                formatter,
                "{}: column `{column}` is missing in {:.1} % of the rows, in the files before in {:.1} %; was it \
                 renamed, or did its source fail?",
                file.display(),
                rate * 100.0,
                rate_before * 100.0
            ),
        }
    }
}
