//! Drafts a contract from logs: what a person would look up before writing one, and a first guess.
//!
//! [`draft_contract`] reads the logs, surveys each column (`survey`), guesses its field (`guess`), reads the logs with
//! these fields as training does (`trial`), and writes a `contract.toml` (`write`). A field that cannot read a row gets
//! another type or is left out, so that the draft trains on these very logs without a bad row. What a field means
//! cannot be guessed: its meaning is left empty, and the unit of a number as well, so that the draft passes
//! `omomi contract check` only after a person has filled them in. Each guess is marked as one.

mod guess;
mod survey;
mod trial;
mod write;

use std::collections::BTreeMap;

use crate::log::{ColumnForm, LogError, LogReader, ReadOptions, log_columns};
use omomi::contract::{MAX_FIELDS_PER_SIDE, Side};
use survey::{Found, Survey, Value};
use write::Blanks;

pub use guess::{Guess, GuessedField, GuessedKind, Suspicion};
pub use survey::{ColumnFacts, TextCounts};

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

/// Longest name of a log column in a contract, in bytes.
const MAX_COLUMN_LEN_BYTES: usize = 256;
/// Longest text in a list of texts that mean a missing value, in bytes.
const MAX_READING_TEXT_LEN_BYTES: usize = 256;

/// Reads logs, at most [`DraftOptions::max_rows`] rows, and drafts a contract. Calls `watch` after each batch of the
/// survey.
///
/// The rows are read at least twice: for the survey, and then with the drafted fields. Each column that cannot be read
/// costs one reading up to its first bad row. Memory is bounded: for each column, it takes some 8 MB at most.
///
/// # Errors
///
/// Returns [`DraftError`] if a log cannot be read, has no rows, or has no label of that name. A column that cannot be
/// read is no error: it is left out.
pub fn draft_contract(options: &DraftOptions, watch: &mut dyn FnMut(&LogReader)) -> Result<Draft, DraftError> {
    let found = log_columns(&options.logs, &options.read)?;
    let (mut lists, mut singles) = split(&found);
    if !singles.contains(&options.label) {
        let names: Vec<&str> = found.iter().take(MAX_LISTED).map(|(name, _)| name.as_str()).collect();
        let more = if found.len() > MAX_LISTED { ", ..." } else { "" };
        return Err(DraftError::NoLabel { label: options.label.clone(), found: names.join(", ") + more });
    }
    let is_other = |form: &ColumnForm| *form == ColumnForm::Other;
    let nested = found.iter().filter(|(_, form)| is_other(form));
    let nested = nested.map(|(name, _)| (name.clone(), "lists of other values, records, or several types".to_owned()));
    let mut others: Vec<(String, String)> = nested.collect();
    let (survey, rows_read) = loop {
        let error = match survey_rows(options, &lists, &singles, watch) {
            Err(DraftError::Log(error)) => error,
            done => break done?,
        };
        let Some(fault) = trial::fault_of(&error).filter(|fault| fault.column != options.label) else {
            return Err(error.into());
        };
        // A list whose first item is an integer may still be one of texts.
        if let Some(are_texts) = lists.get_mut(&fault.column).filter(|are_texts| !**are_texts && fault.is_of_type) {
            *are_texts = true;
            continue;
        }
        let before = lists.len() + singles.len();
        lists.remove(&fault.column);
        singles.retain(|name| *name != fault.column);
        if lists.len() + singles.len() == before {
            return Err(error.into());
        }
        others.push((fault.column, fault.reason));
    };
    let counts = [survey.row_count, survey.click_count];
    let mut columns: Vec<(ColumnFacts, Guess)> = survey
        .columns
        .into_iter()
        .map(|facts| {
            let guess = guess::guess(&facts, survey.row_count);
            (facts, guess)
        })
        .collect();
    let place = |name: &str| found.iter().position(|(found, _)| found == name);
    columns.sort_by_key(|(facts, _)| place(&facts.name));
    others.sort_by_key(|(name, _)| place(name));
    if columns.is_empty() && others.is_empty() {
        return Err(DraftError::NoColumns);
    }
    let label = write::Label { column: &options.label, words: survey.label_words };
    loop {
        mark_surplus(&mut columns);
        let text = write::contract(&label, &columns, &others, counts, Blanks::Filled);
        let faults = trial::faults(&text, options, rows_read)?;
        let mut has_changed = false;
        for (facts, guess) in &mut columns {
            let fault = faults.iter().find(|fault| fault.column == facts.name);
            if let (Guess::Field(field), Some(fault)) = (&*guess, fault) {
                let reason = fault.reason.clone();
                *guess = if fault.is_of_type {
                    guess::second_guess(facts, field, reason)
                } else {
                    Guess::Left(Suspicion::Unreadable { reason })
                };
                has_changed = true;
            }
        }
        if !has_changed {
            break;
        }
    }
    let text = write::contract(&label, &columns, &others, counts, Blanks::Open);
    Ok(Draft { text, row_count: survey.row_count, click_count: survey.click_count, columns })
}

/// Surveys the columns. Returns what was found, and how many rows were read.
fn survey_rows(
    options: &DraftOptions,
    lists: &BTreeMap<String, bool>,
    singles: &[String],
    watch: &mut dyn FnMut(&LogReader),
) -> Result<(Found, u64), DraftError> {
    let read = ReadOptions { extra_columns: singles.to_vec(), time_column: None, ..options.read.clone() };
    let mut reader = LogReader::open_lists(lists, &options.logs, read)?;
    let names = singles.iter().map(|name| (name.clone(), false));
    let names = names.chain(lists.keys().map(|name| (name.clone(), true)));
    let mut survey = Survey::new(names, &options.label, options.read.many_separator);
    while survey.row_count() < options.max_rows {
        let Some(batch) = reader.next_batch()? else { break };
        let mut start = 0;
        for &(file, end) in &batch.file_ends {
            let is_csv = reader.is_csv(file);
            for row in start..end {
                survey.begin_row();
                for (column, extra) in batch.extra.iter().enumerate() {
                    let value = |text| if is_csv { Value::Cell(text) } else { Value::Text(text) };
                    survey.add(column, extra.text(row).map_or(Value::Missing, value));
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
            start = end;
        }
        watch(&reader);
    }
    if survey.row_count() == 0 {
        return Err(DraftError::NoRows);
    }
    Ok((survey.finish()?, reader.rows_read()))
}

/// Marks the fields that are one too many on their side.
fn mark_surplus(columns: &mut [(ColumnFacts, Guess)]) {
    let (mut context, mut candidate) = (0, 0);
    for (_, guess) in columns {
        let Guess::Field(field) = guess else { continue };
        let count = if field.side == Side::Context { &mut context } else { &mut candidate };
        *count += 1;
        field.over_limit = *count > MAX_FIELDS_PER_SIDE;
    }
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
