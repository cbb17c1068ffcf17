//! What a reader noticed that is no error: guesses about notations, and fields that vanish.

use std::fmt;
use std::path::PathBuf;

use super::time::unit_words;
use crate::readable::grouped;
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
    /// The CSV logs of the training were written with another character, so that categories may differ.
    OtherDialect {
        /// The flag of the command line that states the character.
        flag: &'static str,
        /// Its value in training.
        trained: String,
        /// Its value here.
        found: String,
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
    /// Quoted CSV cells contain line ends. They are well formed, but so are rows that two stray quotes swallow.
    RowsOfLines {
        /// The file of the first such row.
        file: PathBuf,
        /// The first such row, from 1.
        row: u64,
        /// How many rows have such cells.
        count: u64,
    },
    /// A hold-out rule held out another share of the rows than it says.
    UnevenHoldOut {
        /// The rule.
        rule: String,
        /// The share of the rows that it held out, from 0 to 1.
        share: f64,
    },
    /// A file and its compressed form are both read, so that rows most likely count twice.
    LikelyCopy {
        /// The file.
        file: PathBuf,
        /// The file with the same name and the ending of a compressed file.
        compressed: PathBuf,
    },
    /// No row has a value of a field that the contract says is never logged: the logs are most likely served ones.
    NeverLogged {
        /// The column.
        column: String,
        /// How many rows were read.
        row_count: u64,
    },
    /// A field has no value in the last rows of a file, although most rows before have one.
    FieldEnds {
        /// The column.
        column: String,
        /// The file.
        file: PathBuf,
        /// The last row with a value, from 1, bad rows left out.
        row: u64,
        /// How many rows the file has, without bad ones.
        row_count: u64,
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
            Self::NeverLogged { column, row_count } => write!(
                formatter,
                "`{column}` has no value in any of {} rows: the contract says that it is never logged, so nothing is \
                 learned of it; log it `hashed` if the model needs it, or train from logs that have it",
                grouped(*row_count)
            ),
            Self::OtherDialect { flag, trained, found } => write!(
                formatter,
                "the logs of the training were read with {flag} `{trained}`, these with `{found}`: other pieces of \
                 text become categories unless these logs are written in another way"
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
            Self::RowsOfLines { file, row, count } => write!(
                formatter,
                "{}: row {row}{} a quoted cell with line ends; if cells have none, stray quotes swallow rows: correct \
                 the log, or make such rows bad ones with --csv-cell-lines 1",
                file.display(),
                if *count == 1 { " has".to_owned() } else { format!(" and {} more rows have", count - 1) },
            ),
            Self::UnevenHoldOut { rule, share } => write!(
                formatter,
                "the hold-out rule `{rule}` holds out {:.1} % of the rows: rows that belong together are too many for \
                 it; take another rule, or a column with more values",
                share * 100.0
            ),
            Self::LikelyCopy { file, compressed } => write!(
                formatter,
                "{} and {} are both read: if one is the compressed form of the other, their rows count twice; remove \
                 one of them",
                file.display(),
                compressed.display()
            ),
            Self::FieldEnds { column, file, row, row_count } => write!(
                formatter,
                "{}: column `{column}` has no value after row {row} of {row_count}; was it renamed, or did its source \
                 fail?",
                file.display()
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
