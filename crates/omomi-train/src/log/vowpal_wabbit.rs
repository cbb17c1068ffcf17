//! Reads the text of Vowpal Wabbit: one row per line, `1 10 |site example.com |ad a b |price yen:12.5`.
//!
//! A namespace is a column, and its features are the categories. A feature such as `site=3` names the column itself, in
//! any namespace, if there is a column of this name. The label is 1, or -1 (or 0) for a row without a click, whatever
//! the contract calls its column; the second number is the importance, whatever the options call it; and `tag` is the
//! tag, unless a namespace has this name. A value after a colon is the number of a number field. Elsewhere only 1 is
//! allowed: a model of categories cannot learn other values. Namespaces that are not wanted are skipped.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::LogError;
use super::builder::{BatchBuilder, Scalar};
use super::csv::other_format;
use super::error::{BadRow, BadRows, RowFault, excerpt};
use super::files::read_failure;
use super::lines::Lines;
use super::partitions::Partitions;
use super::wanted_columns::{Target, Wanted};
use omomi::contract::FieldKind;

/// The name of the column with the tag of each line.
const TAG: &str = "tag";

pub(super) struct VowpalWabbitReader {
    file: PathBuf,
    lines: Lines,
    columns: HashMap<String, Column>,
    /// Namespaces of the first row, for the error about one that no row has.
    first_row: Vec<String>,
    has_label: bool,
    has_importance: bool,
    /// Whether a row may have an importance that is not read.
    may_ignore_importance: bool,
    partitions: Partitions,
    many_separator: char,
}

/// A column that is read from namespaces.
#[derive(Default)]
struct Column {
    targets: Vec<Target>,
    /// Whether the value after a colon is what is read.
    is_number: bool,
    is_time: bool,
    was_seen: bool,
}

type Fault = (Option<Target>, RowFault);

impl VowpalWabbitReader {
    pub(super) fn open(
        file: &Path,
        mut input: Box<dyn BufRead + Send>,
        wanted: &Wanted,
        many_separator: char,
        may_ignore_importance: bool,
    ) -> Result<Self, LogError> {
        let start = input.fill_buf().map_err(|error| read_failure(file, 0, error))?;
        if let Some(found) = other_format(start) {
            return Err(LogError::OtherFormat { file: file.to_owned(), expected: "text of Vowpal Wabbit", found });
        }
        let mut columns: HashMap<String, Column> = HashMap::new();
        let mut partitions = Partitions::of(file);
        for (name, target) in wanted.columns() {
            if !matches!(target, Target::Label | Target::Importance) {
                let column = columns.entry(name.clone()).or_default();
                column.targets.push(*target);
                column.is_number |= matches!(target, Target::Field(field)
                    if matches!(wanted.fields()[*field].kind, FieldKind::Number { .. }));
                column.is_time |= *target == Target::Time;
                column.was_seen |= partitions.take(name, *target);
            }
        }
        partitions.check(file, wanted, many_separator)?;
        Ok(Self {
            file: file.to_owned(),
            lines: Lines::new(input),
            columns,
            first_row: Vec::new(),
            has_label: wanted.has(Target::Label),
            has_importance: wanted.has(Target::Importance),
            may_ignore_importance,
            partitions,
            many_separator,
        })
    }

    /// How many rows were read, bad rows included.
    pub(super) fn row(&self) -> u64 {
        self.lines.row
    }

    /// Whether any row follows, good or bad, of a reader that has not read a row and will not. A file that cannot be
    /// read on counts as one with rows: reading the rows reports why.
    pub(super) fn has_rows(mut self) -> bool {
        self.lines.next().map_or(true, |line| line.is_some())
    }

    /// The columns that at least one row had.
    pub(super) fn seen(&self) -> Vec<Target> {
        let of_columns = self.columns.values().filter(|column| column.was_seen).flat_map(|column| &column.targets);
        of_columns.copied().chain([Target::Label, Target::Importance]).collect()
    }

    /// The namespaces of the first row.
    pub(super) fn first_row_names(&self) -> &[String] {
        &self.first_row
    }

    /// Reads rows until the batch is full or the file ends. Returns whether the file may have more rows.
    pub(super) fn fill(
        &mut self,
        batch: &mut BatchBuilder,
        wanted: &Wanted,
        bad_rows: &mut BadRows,
    ) -> Result<bool, LogError> {
        while batch.rows_left() > 0 {
            let line = self.lines.next().map_err(|error| read_failure(&self.file, self.lines.row, error))?;
            let Some(is_short) = line else { return Ok(false) };
            let taken = if is_short { self.take_row(batch) } else { Err((None, RowFault::TooLong)) };
            if let Err((target, fault)) = taken {
                batch.discard_row();
                batch.note_bad_rows(1);
                bad_rows.add(BadRow {
                    file: self.file.clone(),
                    row: self.lines.row,
                    column: target.map(|target| wanted.name(target).to_owned()),
                    fault,
                })?;
            }
        }
        Ok(true)
    }

    fn take_row(&mut self, batch: &mut BatchBuilder) -> Result<(), Fault> {
        let line = std::mem::take(&mut self.lines.line);
        let taken = match std::str::from_utf8(&line) {
            Ok(text) => self.take_text(text.trim_end(), batch),
            Err(_) => Err((None, RowFault::NotUtf8)),
        };
        self.lines.line = line;
        taken?;
        let pushed = self.partitions.push(batch, self.many_separator);
        pushed.and_then(|()| batch.finish_row(self.lines.line.len())).map_err(|(target, fault)| (Some(target), fault))
    }

    fn take_text(&mut self, line: &str, batch: &mut BatchBuilder) -> Result<(), Fault> {
        let Some((head, namespaces)) = line.split_once('|') else {
            return Err((None, cell("a label and namespaces that begin with `|`", line)));
        };
        self.take_head(head, batch)?;
        for namespace in namespaces.split('|') {
            let (name, features) = namespace.split_once([' ', '\t']).unwrap_or((namespace, ""));
            // A namespace may have a factor: `ad:2`.
            let name = match name.split_once(':') {
                Some((name, factor)) if factor.parse() == Ok(1.0) => name,
                Some(_) => return Err((None, cell("a namespace without a factor", name))),
                None => name,
            };
            self.note_first_row(name);
            for feature in features.split_ascii_whitespace() {
                let named = feature.split_once('=').filter(|(column, _)| self.columns.contains_key(*column));
                let (name, feature) = named.unwrap_or((name, feature));
                if named.is_some() {
                    self.note_first_row(name);
                }
                if let Some(column) = self.columns.get_mut(name) {
                    column.was_seen = true;
                    column.push(feature, batch)?;
                }
            }
        }
        Ok(())
    }

    /// Takes what comes before the first `|`: label, importance, a start value, and the tag, which is the last word if
    /// nothing is between it and the `|`, or if it begins with `'`.
    fn take_head(&mut self, head: &str, batch: &mut BatchBuilder) -> Result<(), Fault> {
        let mut words: Vec<&str> = head.split_ascii_whitespace().collect();
        let has_tag = words.last().is_some_and(|last| head.ends_with(last) || last.starts_with('\''));
        if let Some(tag) = words.pop_if(|_| has_tag)
            && let Some(column) = self.columns.get_mut(TAG)
        {
            column.was_seen = true;
            column.push(tag.strip_prefix('\'').unwrap_or(tag), batch)?;
        }
        let mut words = words.into_iter();
        let (label, importance, start) = (words.next(), words.next(), words.next());
        if let Some(label) = label.filter(|_| self.has_label) {
            // The contract may name other labels.
            let text = match batch.push_csv_cell(Target::Label, label.as_bytes(), self.many_separator) {
                Ok(()) => None,
                Err(_) => label.parse().ok().and_then(|number: f64| match number {
                    1.0 => Some("1"),
                    -1.0 | 0.0 => Some("0"),
                    _ => None,
                }),
            };
            let fault = |_| (Some(Target::Label), RowFault::Label { found: excerpt(label) });
            let text = text.unwrap_or(label);
            batch.push_csv_cell(Target::Label, text.as_bytes(), self.many_separator).map_err(fault)?;
        }
        if self.has_importance {
            let importance = importance.unwrap_or("1").as_bytes();
            let pushed = batch.push_csv_cell(Target::Importance, importance, self.many_separator);
            pushed.map_err(|fault| (Some(Target::Importance), fault))?;
        } else if let Some(importance) =
            importance.filter(|text| !self.may_ignore_importance && text.parse() != Ok(1.0))
        {
            let expected = "rows without an importance (--importance-column with any name reads it, --unweighted \
                            ignores it)";
            return Err((None, cell(expected, importance)));
        }
        match start.filter(|start| start.parse() != Ok(0.0)) {
            Some(start) => Err((None, cell("no start value after the importance", start))),
            None => Ok(()),
        }
    }

    fn note_first_row(&mut self, name: &str) {
        if self.lines.row == 1 && !self.first_row.iter().any(|known| known == name) {
            self.first_row.push(name.to_owned());
        }
    }
}

impl Column {
    /// Adds a feature to the row under construction.
    fn push(&self, feature: &str, batch: &mut BatchBuilder) -> Result<(), Fault> {
        let (name, value) = feature.split_once(':').map_or((feature, None), |(name, value)| (name, Some(value)));
        let text = match value {
            Some(value) if self.is_number => value,
            // A time in words has colons of its own, and begins with its year.
            Some(_) if self.is_time && name.starts_with(|char: char| char.is_ascii_digit()) => feature,
            Some(value) if self.is_time => value,
            Some(value) if value.parse() != Ok(1.0) => {
                return Err((self.targets.first().copied(), cell("a category without a value", feature)));
            }
            _ => name,
        };
        for &target in &self.targets {
            if !batch.is_many(target) && batch.has_value(target) {
                return Err((Some(target), cell("one feature in the row, as the contract says", feature)));
            }
            batch.push_scalar(target, Scalar::Text(text)).map_err(|fault| (Some(target), fault))?;
        }
        Ok(())
    }
}

fn cell(expected: &'static str, found: &str) -> RowFault {
    RowFault::Cell { expected, found: excerpt(found) }
}
