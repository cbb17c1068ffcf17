//! What can be wrong with a log, with the file, the row and the column where it is wrong.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Longest piece of a cell that a message repeats, in characters.
const EXCERPT_CHAR_COUNT: usize = 40;

/// Why a log cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is nothing to read.
    #[error("expected at least one path or pattern of logs, found none")]
    NoPattern,
    /// A pattern breaks the rules of patterns.
    #[error("`{pattern}` is not a pattern of paths: {message}")]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// A pattern stands for no file.
    #[error(
        "no file matches `{pattern}`: expected a path of a file or a pattern such as 'logs/*.parquet'; check it, and \
         quote a pattern so that the shell leaves it alone"
    )]
    NoMatch {
        /// The pattern as given.
        pattern: String,
    },
    /// The name of a file does not end like that of a log.
    #[error(
        "{}: expected a name that ends in .parquet, .csv, .jsonl or .ndjson (all but the first also with .gz or .zst \
         behind it); rename the file or narrow the pattern",
        file.display()
    )]
    UnknownFormat {
        /// The file.
        file: PathBuf,
    },
    /// The system refuses to open or read a file.
    #[error("{}: cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The bytes of a file are not what its name promises, or end too early.
    #[error("{}: damaged behind row {rows_before}: {message}; write or copy the file again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// How many rows were decoded before the damage; the damage may begin some rows earlier or later.
        rows_before: u64,
        /// What the decoder says.
        message: String,
    },
    /// A file lacks a column that the contract or an option names. A key of JSON lines is a column too; it is missing
    /// when no line of any file has it.
    #[error(
        "{}: the column `{column}` is missing: the file has {}; correct the contract, the option or the log",
        file.display(), list(found)
    )]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The columns of the file.
        found: Vec<String>,
    },
    /// Two columns of a file have one name.
    #[error("{}: the column `{column}` is there twice: rename one of them", file.display())]
    RepeatedColumn {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
    },
    /// A column has a type that the contract's type cannot be read from.
    #[error(
        "{}: column `{column}`: expected {expected}, found {found}; correct the contract or cast the column",
        file.display()
    )]
    WrongType {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// Which types would do.
        expected: &'static str,
        /// The type as the file has it.
        found: String,
    },
    /// The time column is a field or the label of the contract as well.
    #[error("the time column `{column}` is also in the contract: expected a column of its own for the time")]
    TimeColumnTaken {
        /// The column.
        column: String,
    },
    /// The column with the importance is another column that is read as well.
    #[error(
        "the importance column `{column}` is also in the contract or the time: expected a column of its own for how \
         much a row counts"
    )]
    ImportanceColumnTaken {
        /// The column.
        column: String,
    },
    /// There is no part of that number.
    #[error("expected a part from 1 to {count}, found {number}")]
    NoSuchPart {
        /// Number of the part.
        number: u32,
        /// How many parts there are.
        count: u32,
    },
    /// Rows are to be cut by time, but nothing says when they were.
    #[error("rows are cut by their time: expected the name of the time column, found none; name it with --time-column")]
    PartsWithoutTime,
    /// A row cannot be used, and no bad row is allowed.
    #[error("{0}; correct it, or let a number of bad rows be skipped with --max-bad-rows")]
    BadRow(BadRow),
    /// More rows than allowed cannot be used.
    #[error(
        "expected at most {max_bad_rows} bad rows, found more; correct the log or raise --max-bad-rows{}",
        lines(listed)
    )]
    TooManyBadRows {
        /// How many were allowed.
        max_bad_rows: u64,
        /// The first of them, at most [`BadRow::MAX_LISTED`].
        listed: Vec<BadRow>,
    },
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The file.
    pub file: PathBuf,
    /// The row in the file, counted from 1. The header of a CSV file and blank lines are not rows.
    pub row: u64,
    /// The column, where one is to blame.
    pub column: Option<String>,
    /// What is wrong.
    pub fault: RowFault,
}

impl BadRow {
    /// Most bad rows that are kept to be listed; further ones are only counted.
    pub const MAX_LISTED: usize = 100;
}

impl fmt::Display for BadRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: row {}", self.file.display(), self.row)?;
        if let Some(column) = &self.column {
            write!(formatter, ", column `{column}`")?;
        }
        write!(formatter, ": {}", self.fault)
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RowFault {
    /// The label is neither 0 nor 1.
    #[error("expected a label of 0 or 1, found {found}")]
    Label {
        /// The cell, shortened.
        found: String,
    },
    /// A cell that every row needs (the label or the time) is empty, null or absent.
    #[error("expected {expected}, found nothing")]
    Missing {
        /// What the cell should hold.
        expected: &'static str,
    },
    /// A cell does not hold what its field is made of.
    #[error("expected {expected}, found {found}")]
    Cell {
        /// What the cell should hold.
        expected: &'static str,
        /// The cell, shortened.
        found: String,
    },
    /// A cell, or a line of JSON, is not UTF-8.
    #[error("expected UTF-8 text, found other bytes")]
    NotUtf8,
    /// A line of CSV has more or fewer cells than the header.
    #[error("expected {expected} cells as in the header, found {found}")]
    CellCount {
        /// Cells of the header.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// A line is not a JSON object.
    #[error("expected a JSON object on one line, found that it breaks off or is malformed: {message}")]
    NotJson {
        /// What the parser says.
        message: String,
    },
    /// A JSON object has a key twice.
    #[error("expected the key once, found it twice")]
    RepeatedKey,
}

/// Bad rows so far, and how many are let pass.
#[derive(Debug, Default)]
pub(super) struct BadRows {
    pub(super) max: u64,
    pub(super) count: u64,
    pub(super) listed: Vec<BadRow>,
}

impl BadRows {
    /// Counts a bad row that is skipped, or turns it into the error that ends the reading.
    pub(super) fn add(&mut self, bad_row: BadRow) -> Result<(), LogError> {
        if self.max == 0 {
            return Err(LogError::BadRow(bad_row));
        }
        self.count += 1;
        if self.listed.len() < BadRow::MAX_LISTED {
            self.listed.push(bad_row);
        }
        if self.count > self.max {
            return Err(LogError::TooManyBadRows { max_bad_rows: self.max, listed: self.listed.clone() });
        }
        Ok(())
    }
}

/// A cell's text for a message: quoted, control characters escaped, and not longer than a message can bear.
pub(super) fn excerpt(text: &str) -> String {
    let mut chars = text.chars();
    let mut excerpt = String::from("`");
    excerpt.extend(chars.by_ref().take(EXCERPT_CHAR_COUNT).flat_map(|char| {
        let escaped = if char.is_control() { Some(char.escape_default()) } else { None };
        let plain = escaped.is_none().then_some(char);
        escaped.into_iter().flatten().chain(plain)
    }));
    if chars.next().is_some() {
        excerpt.push_str("...");
    }
    excerpt.push('`');
    excerpt
}

/// Column names for a message.
fn list(names: &[String]) -> String {
    if names.is_empty() { "no columns".to_owned() } else { names.join(", ") }
}

/// Bad rows for a message, one a line.
fn lines(bad_rows: &[BadRow]) -> String {
    bad_rows.iter().map(|bad_row| format!("\n  {bad_row}")).collect()
}
