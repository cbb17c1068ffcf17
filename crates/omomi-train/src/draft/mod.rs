//! Drafts a contract from logs: what a person would look up before writing one, and a first guess.
//!
//! [`draft_contract`] reads the logs once, surveys each column (`survey`), guesses its field (`guess`) and writes a
//! `contract.toml` (`write`). What a field means cannot be guessed: its meaning is left empty, and the unit of a
//! number as well, so that the draft passes `omomi contract check` only after a person has filled them in. Each guess
//! is marked as one.

mod guess;
mod survey;
mod write;

use std::collections::BTreeMap;

use crate::log::{ColumnForm, LogError, LogReader, ReadOptions, log_columns};
use survey::{Survey, Value};

pub use guess::{Guess, GuessedField, GuessedKind, Suspicion};
pub use survey::ColumnFacts;

/// What to draft a contract from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DraftOptions {
    /// Paths and patterns of the logs.
    pub logs: Vec<String>,
    /// Name of the column with the label.
    pub label: String,
    /// Most rows that are read.
    pub max_rows: u64,
    /// How to read the logs. Its columns are not used.
    pub read: ReadOptions,
}

impl DraftOptions {
    /// Returns options that read at most 1,000,000 rows.
    #[must_use]
    pub fn new(logs: impl IntoIterator<Item = impl Into<String>>, label: impl Into<String>) -> Self {
        Self {
            logs: logs.into_iter().map(Into::into).collect(),
            label: label.into(),
            max_rows: 1_000_000,
            read: ReadOptions::default(),
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A draft of a contract.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The text of the `contract.toml`.
    pub text: String,
    /// Number of rows that were read.
    pub row_count: u64,
    /// Number of rows whose label says clicked.
    pub click_count: u64,
    /// Each column of the logs but the label: its facts and the guess, in the order of the logs.
    pub columns: Vec<(ColumnFacts, Guess)>,
}

/// Why no contract could be drafted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No column has the name of the label.
    #[error("expected the label in column `{label}`, found the columns {found}; name the label's column")]
    NoLabel {
        /// The name.
        label: String,
        /// The names of the columns.
        found: String,
    },
    /// The label has texts that do not say which of them is a click.
    #[error(
        "expected two values in the label column `{label}`, found {found}; name a column that says whether a row was \
         clicked"
    )]
    NotALabel {
        /// The name.
        label: String,
        /// What was found.
        found: String,
    },
    /// The logs have no rows.
    #[error("the logs have no rows: expected some to draft a contract from; correct the pattern or the logs")]
    NoRows,
    /// The logs have no other columns than the label.
    #[error("the logs have no columns that could be fields: expected some besides the label")]
    NoColumns,
}

/// Most columns that an error lists.
const MAX_LISTED: usize = 20;

/// Reads logs, at most [`DraftOptions::max_rows`] rows, and drafts a contract. Calls `watch` after each batch.
///
/// Memory is bounded: for each column, it takes some 8 MB at most.
///
/// # Errors
///
/// Returns [`DraftError`] if a log cannot be read, has no rows, or has no label of that name.
pub fn draft_contract(options: &DraftOptions, watch: &mut dyn FnMut(&LogReader)) -> Result<Draft, DraftError> {
    let found = log_columns(&options.logs, &options.read)?;
    let (lists, singles) = split(&found);
    if !singles.contains(&options.label) {
        let names: Vec<&str> = found.iter().take(MAX_LISTED).map(|(name, _)| name.as_str()).collect();
        let more = if found.len() > MAX_LISTED { ", ..." } else { "" };
        return Err(DraftError::NoLabel { label: options.label.clone(), found: names.join(", ") + more });
    }
    let read = ReadOptions { extra_columns: singles.clone(), time_column: None, ..options.read.clone() };
    let mut reader = LogReader::open_lists(&lists, &options.logs, read)?;
    let names = singles.iter().map(|name| (name.clone(), false));
    let mut survey = Survey::new(names.chain(lists.keys().map(|name| (name.clone(), true))), &options.label);
    while survey.row_count() < options.max_rows {
        let Some(batch) = reader.next_batch()? else { break };
        for row in 0..batch.row_count() {
            survey.begin_row();
            for (column, extra) in batch.extra.iter().enumerate() {
                survey.add(column, extra.text(row).map_or(Value::Missing, Value::Text));
            }
            for (list, column) in batch.columns.iter().enumerate() {
                let range = column.range(row);
                if range.is_empty() {
                    survey.add(singles.len() + list, Value::Missing);
                }
                for index in range {
                    let id = || column.values[index].cast_signed().to_string();
                    let text = column.text(index).map_or_else(id, str::to_owned);
                    survey.add(singles.len() + list, Value::Text(&text));
                }
            }
            survey.end_row();
        }
        watch(&reader);
    }
    if survey.row_count() == 0 {
        return Err(DraftError::NoRows);
    }
    let survey = survey.finish()?;
    let mut columns: Vec<(ColumnFacts, Guess)> = survey
        .columns
        .into_iter()
        .map(|facts| {
            let guess = guess::guess(&facts, survey.row_count);
            (facts, guess)
        })
        .collect();
    columns.sort_by_key(|(facts, _)| found.iter().position(|(name, _)| *name == facts.name));
    if columns.is_empty() {
        return Err(DraftError::NoColumns);
    }
    let label = write::Label { column: &options.label, words: survey.label_words };
    let others = found.iter().filter(|(_, form)| *form == ColumnForm::Other).map(|(name, _)| name.as_str());
    let text = write::contract(&label, &columns, &others.collect::<Vec<_>>(), survey.row_count, survey.click_count);
    Ok(Draft { text, row_count: survey.row_count, click_count: survey.click_count, columns })
}

/// The names of the columns that hold lists, with whether these are of texts, and of the columns with single values.
fn split(found: &[(String, ColumnForm)]) -> (BTreeMap<String, bool>, Vec<String>) {
    let (mut lists, mut singles) = (BTreeMap::new(), Vec::new());
    for (name, form) in found {
        match form {
            ColumnForm::Single => singles.push(name.clone()),
            ColumnForm::Integers => drop(lists.insert(name.clone(), false)),
            ColumnForm::Texts => drop(lists.insert(name.clone(), true)),
            ColumnForm::Other => {}
        }
    }
    (lists, singles)
}

#[cfg(test)]
mod tests;
