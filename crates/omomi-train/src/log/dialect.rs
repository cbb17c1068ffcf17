//! The characters that text logs are written with. A training records them, because a later step that forgets one of
//! them reads other categories: `a;b` is one category where `;` does not separate two.

use std::fmt;

use omomi::score::Model;
use serde::{Deserialize, Serialize};

use super::{LogError, ReadOptions};

/// A character of text logs that a training records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogChar {
    /// [`ReadOptions::many_separator`].
    ManySeparator,
    /// [`CsvDialect::delimiter`](super::CsvDialect::delimiter).
    CsvDelimiter,
    /// [`CsvDialect::quote`](super::CsvDialect::quote).
    CsvQuote,
    /// [`CsvDialect::escape`](super::CsvDialect::escape).
    CsvEscape,
}

impl LogChar {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ManySeparator, Self::CsvDelimiter, Self::CsvQuote, Self::CsvEscape];

    /// Returns the flag of the command line, such as `--many-separator`.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::ManySeparator => "--many-separator",
            Self::CsvDelimiter => "--csv-delimiter",
            Self::CsvQuote => "--csv-quote",
            Self::CsvEscape => "--csv-escape",
        }
    }

    /// The value of the flag for `char`. No delimiter means that the name of the file tells it.
    fn value(self, char: Option<char>) -> String {
        match char {
            Some('\t') => "tab".to_owned(),
            Some(char) => char.to_string(),
            None if self == Self::CsvDelimiter => "auto".to_owned(),
            None => "none".to_owned(),
        }
    }
}

/// How the CSV logs of a training were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDialect {
    /// The character between the categories of a `many` field.
    pub many_separator: char,
    /// The character between two cells; `None`: a tab in `.tsv`, otherwise a comma.
    pub csv_delimiter: Option<char>,
    /// The character around a cell; `None`: no cell was quoted.
    pub csv_quote: Option<char>,
    /// The character before a quote inside a cell; `None`: such a quote was written twice.
    pub csv_escape: Option<char>,
}

impl LogDialect {
    /// Returns the dialect that `read` says.
    #[must_use]
    pub const fn of(read: &ReadOptions) -> Self {
        Self {
            many_separator: read.many_separator,
            csv_delimiter: read.csv.delimiter,
            csv_quote: read.csv.quote,
            csv_escape: read.csv.escape,
        }
    }

    /// Returns the dialect of the logs that the model of a weight file was trained on. Returns `None` if the file does
    /// not say it, or if no log was CSV.
    #[must_use]
    pub fn of_model(model: &Model) -> Option<Self> {
        let dialect = model.provenance().pointer("/training/log_dialect").cloned();
        dialect.and_then(|dialect| serde_json::from_value(dialect).ok())
    }

    /// Returns the common dialect of the logs of several models, of those that have one.
    ///
    /// # Errors
    ///
    /// Returns [`LogError::DialectUnstated`] if two of them differ in a character that `read` does not state.
    pub(crate) fn common(dialects: &[Self], read: &ReadOptions) -> Result<Option<Self>, LogError> {
        let Some(&first) = dialects.first() else { return Ok(None) };
        for other in &dialects[1..] {
            if let Some(&char) = read.as_trained.iter().find(|&&char| first.get(char) != other.get(char)) {
                let [one, other] = [first, *other].map(|dialect| dialect.value(char));
                return Err(LogError::DialectUnstated { flag: char.flag(), one, other });
            }
        }
        Ok(Some(first))
    }

    const fn get(&self, char: LogChar) -> Option<char> {
        match char {
            LogChar::ManySeparator => Some(self.many_separator),
            LogChar::CsvDelimiter => self.csv_delimiter,
            LogChar::CsvQuote => self.csv_quote,
            LogChar::CsvEscape => self.csv_escape,
        }
    }

    fn value(&self, char: LogChar) -> String {
        char.value(self.get(char))
    }

    /// Returns the flags and values of the command line that state the whole dialect.
    pub(crate) fn flags(&self) -> [(&'static str, String); 4] {
        LogChar::ALL.map(|char| (char.flag(), self.value(char)))
    }

    /// Returns the characters in which `other` differs, each with its own value and that of `other`.
    pub(super) fn differences(&self, other: &Self) -> impl Iterator<Item = (LogChar, String, String)> {
        let (one, other) = (*self, *other);
        let differ = move |char: &LogChar| match (char, one.get(*char), other.get(*char)) {
            // The name of the file told it in one of them.
            (LogChar::CsvDelimiter, Some(',' | '\t'), None) | (LogChar::CsvDelimiter, None, Some(',' | '\t')) => false,
            (_, one, other) => one != other,
        };
        LogChar::ALL.into_iter().filter(differ).map(move |char| (char, one.value(char), other.value(char)))
    }
}

impl fmt::Display for LogDialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.flags().into_iter().map(|(flag, value)| format!("{flag} {value}")).collect();
        formatter.write_str(&words.join(" "))
    }
}

impl ReadOptions {
    /// Returns these options for logs of a model whose training recorded the dialect `trained`. The characters that
    /// [`as_trained`](Self::as_trained) lists are taken from it.
    #[must_use]
    pub fn with_trained(&self, trained: Option<LogDialect>) -> Self {
        let mut read = Self { trained, as_trained: Vec::new(), ..self.clone() };
        let Some(trained) = trained else { return read };
        for char in &self.as_trained {
            match char {
                LogChar::ManySeparator => read.many_separator = trained.many_separator,
                LogChar::CsvDelimiter => read.csv.delimiter = trained.csv_delimiter,
                LogChar::CsvQuote => read.csv.quote = trained.csv_quote,
                LogChar::CsvEscape => read.csv.escape = trained.csv_escape,
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unstated_characters_are_those_of_the_training_and_stated_ones_stay() {
        let trained = LogDialect {
            many_separator: ';',
            csv_delimiter: Some('\t'),
            csv_quote: Some('\''),
            csv_escape: Some('\\'),
        };
        let unstated = ReadOptions { as_trained: LogChar::ALL.to_vec(), ..ReadOptions::default() };
        assert_eq!(LogDialect::of(&unstated.with_trained(Some(trained))), trained);
        assert_eq!(LogDialect::of(&unstated.with_trained(None)), LogDialect::of(&ReadOptions::default()));
        let read = ReadOptions { as_trained: vec![LogChar::CsvQuote], ..ReadOptions::default() };
        let found = LogDialect::of(&read.with_trained(Some(trained)));
        assert_eq!(found, LogDialect { csv_quote: Some('\''), ..LogDialect::of(&read) });
        let names = |one: &LogDialect, other| one.differences(other).map(|(char, ..)| char).collect::<Vec<_>>();
        // A tab may be what the name of the file said.
        assert_eq!(names(&trained, &found), [LogChar::ManySeparator, LogChar::CsvEscape]);
        assert_eq!(names(&trained, &trained), []);
    }

    #[test]
    fn models_of_different_dialects_want_the_character_stated() {
        let one = LogDialect::of(&ReadOptions::default());
        let other = LogDialect { many_separator: ';', ..one };
        let read = ReadOptions { as_trained: LogChar::ALL.to_vec(), ..ReadOptions::default() };
        let error = LogDialect::common(&[one, one, other], &read).unwrap_err().to_string();
        assert!(error.contains("`|`") && error.contains("`;`") && error.contains("--many-separator"), "{error}");
        let stated = ReadOptions::default();
        assert_eq!(LogDialect::common(&[one, other], &stated).unwrap(), Some(one));
        assert_eq!(LogDialect::common(&[], &read).unwrap(), None);
    }

    #[test]
    fn a_dialect_is_written_as_the_flags_that_state_it() {
        let dialect = LogDialect { many_separator: '|', csv_delimiter: None, csv_quote: Some('"'), csv_escape: None };
        let words = "--many-separator | --csv-delimiter auto --csv-quote \" --csv-escape none";
        assert_eq!(dialect.to_string(), words);
        let json = serde_json::to_string(&dialect).unwrap();
        assert_eq!(serde_json::from_str::<LogDialect>(&json).unwrap(), dialect);
    }
}
