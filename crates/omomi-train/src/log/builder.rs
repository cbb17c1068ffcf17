//! Builds a batch of rows.
//!
//! The readers of CSV and JSON lines push one cell after the other, and then finish or discard the row. The Parquet
//! reader appends many rows at a time, column by column.

use std::path::{Path, PathBuf};

use arrow_array::StringArray;

use super::batch::BadRun;
use super::error::{RowFault, excerpt};
use super::key::{number_in, value_of_key};
use super::notation::{
    FieldRules, LabelTexts, boolean_text, float_id, is_usual_missing, list_of, may_be_list, number_of, text_id,
    unsigned_id,
};
use super::parquet_dictionary::{DistinctText, DistinctTexts};
use super::time::{EXPECTED_TIME, TimeReader};
use super::wanted_columns::{Target, Wanted};
use super::{Categories, ExtraColumn, FieldColumn, RowBatch};
use omomi::contract::{Field, FieldKind};
use omomi::feature;

/// A batch is full once its columns have this many values and bytes of text, even if it has few rows. This bounds the
/// memory of a batch and keeps its offsets within 32 bits: between two checks, 64 MiB and one row, or one line of text,
/// are appended.
const FULL_LEN: usize = 1 << 26;

/// Says, for error messages, what a cell of a field of this kind should contain.
pub(super) const fn expected_cell(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Id => "an integer from -2^63 to 2^64 - 1",
        FieldKind::Text => "text",
        FieldKind::Number { .. } => "a number",
    }
}

/// What a cell of a column of keys should contain.
pub(super) const EXPECTED_KEY: &str = "the feature key of a category of the field, as a whole number";
pub(super) const EXPECTED_LABEL: &str = "a label of 0 or 1";
pub(super) const EXPECTED_IMPORTANCE: &str = "how much the row counts: a number from 1e-9 to 1e9";
pub(super) const EXPECTED_EXTRA: &str = "text, a number, a boolean or a time";
/// Smallest and largest importance. Sums of more rows than any log has stay finite and exact enough between them.
const IMPORTANCE_RANGE: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

/// A JSON value that is neither null, nor a list, nor an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    Integer(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

/// The rows of a batch so far, and the row under construction.
#[derive(Debug)]
pub(super) struct BatchBuilder {
    row_count_limit: usize,
    pub(super) clicked: Vec<bool>,
    pub(super) time_us: Option<Vec<i64>>,
    file_ends: Vec<(usize, usize)>,
    /// Of the files before the current one, too.
    bad_runs: Vec<BadRun>,
    /// Where bad rows of the current file were, and how many.
    bad_runs_of_file: Vec<(usize, u64)>,
    pub(super) importance: Option<Vec<f64>>,
    pub(super) columns: Vec<ColumnBuilder>,
    pub(super) extra: Vec<ExtraBuilder>,
    /// Reads the time column.
    pub(super) times: TimeReader,
    /// Reads texts in the label column.
    pub(super) label_texts: LabelTexts,
    /// Whether the label is read. Without it, every row counts as not clicked.
    has_label: bool,
    /// Of the row under construction.
    row_clicked: Option<bool>,
    row_time_us: Option<i64>,
    row_importance: Option<f64>,
    /// Upper bound on the length of all columns; see `FULL_LEN`.
    length_bound: usize,
    /// How many batches were finished before this one.
    pub(super) batch_count: u64,
    /// The first CSV row with a cell of several lines, and how many there are.
    pub(super) rows_of_lines: Option<RowsOfLines>,
}

/// The CSV rows with a cell of several lines, in all files so far.
#[derive(Debug)]
pub(super) struct RowsOfLines {
    /// The file of the first one.
    pub(super) file: PathBuf,
    /// The first one, from 1.
    pub(super) row: u64,
    pub(super) count: u64,
}

/// The texts of one extra column so far.
#[derive(Debug, Default)]
pub(super) struct ExtraBuilder {
    column: ExtraColumn,
    /// Of the row under construction.
    row_present: bool,
}

/// The values of one field so far.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    pub(super) column: FieldColumn,
    kind: FieldKind,
    pub(super) many: bool,
    pub(super) rules: FieldRules,
    /// The seed of the field's keys.
    seed: u64,
    /// Values of the texts that mean a missing value, once the file has feature keys only.
    missing_texts: Option<Vec<u64>>,
    /// Of the row under construction.
    row_invalid_number_count: u64,
}

impl BatchBuilder {
    pub(super) fn new(wanted: &Wanted, row_count_limit: usize, times: TimeReader) -> Self {
        let reading = wanted.reading();
        let fields = wanted.fields().iter().zip(&reading.fields);
        Self {
            times,
            label_texts: LabelTexts::new(reading),
            has_label: wanted.has(Target::Label),
            row_count_limit,
            clicked: Vec::new(),
            time_us: wanted.has(Target::Time).then(Vec::new),
            file_ends: Vec::new(),
            bad_runs: Vec::new(),
            bad_runs_of_file: Vec::new(),
            importance: wanted.has(Target::Importance).then(Vec::new),
            columns: fields.map(|(field, own)| ColumnBuilder::new(field, FieldRules::new(reading, own))).collect(),
            extra: (0..wanted.extra_count()).map(|_| ExtraBuilder::default()).collect(),
            row_clicked: None,
            row_time_us: None,
            row_importance: None,
            length_bound: 0,
            batch_count: 0,
            rows_of_lines: None,
        }
    }

    /// Counts a good CSV row that has several lines.
    #[cold]
    pub(super) fn note_row_of_lines(&mut self, file: &Path, row: u64) {
        let rows = self.rows_of_lines.get_or_insert_with(|| RowsOfLines { file: file.to_owned(), row, count: 0 });
        rows.count += 1;
    }

    /// Notes that the next rows of the log are bad and will not be appended.
    pub(super) fn note_bad_rows(&mut self, count: u64) {
        self.bad_runs_of_file.push((self.clicked.len(), count));
    }

    /// Prepares the columns for a file that has feature keys of the fields `keys` and plain values of all others.
    /// Returns false if the rows so far have other columns: they must be taken first.
    pub(super) fn take_keys(&mut self, keys: &[usize]) -> bool {
        let has_keys = |index: usize| keys.binary_search(&index).is_ok();
        let differs = |(index, column): (usize, &ColumnBuilder)| column.has_keys() != has_keys(index);
        if !self.columns.iter().enumerate().any(differs) {
            return true;
        }
        if !self.is_empty() {
            return false;
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            column.set_has_keys(has_keys(index));
        }
        true
    }

    /// How many rows still fit.
    pub(super) fn rows_left(&self) -> usize {
        if self.length_bound >= FULL_LEN {
            return 0;
        }
        self.row_count_limit.saturating_sub(self.clicked.len())
    }

    /// Adds a CSV cell to the row under construction. An empty cell is a missing value.
    pub(super) fn push_csv_cell(&mut self, target: Target, cell: &[u8], many_separator: char) -> Result<(), RowFault> {
        if cell.is_empty() {
            return Ok(());
        }
        let cell = std::str::from_utf8(cell).map_err(|_| RowFault::NotUtf8)?;
        match target {
            Target::Field(index) => {
                let column = &mut self.columns[index];
                if column.many { column.parse_list(cell, many_separator) } else { column.parse(cell) }
            }
            Target::Keys(index) => {
                let column = &mut self.columns[index];
                let mut keys = cell.split(many_separator).filter(|key| !key.is_empty());
                if column.many { keys.try_for_each(|key| column.parse_key(key)) } else { column.parse_key(cell) }
            }
            Target::Label => {
                let clicked = self.label_texts.clicked(cell);
                self.row_clicked = Some(clicked.ok_or_else(|| RowFault::Label { found: excerpt(cell) })?);
                Ok(())
            }
            Target::Time => self.push_time_text(cell),
            Target::Importance => self.push_importance(cell.parse().ok(), || excerpt(cell)),
            Target::Extra(index) => {
                self.extra[index].push(cell);
                Ok(())
            }
        }
    }

    /// Adds a JSON value to the row under construction.
    pub(super) fn push_scalar(&mut self, target: Target, scalar: Scalar<'_>) -> Result<(), RowFault> {
        match (target, scalar) {
            (Target::Field(index), scalar) => self.columns[index].push_scalar(scalar)?,
            (Target::Label, scalar) => self.row_clicked = Some(scalar.label(&self.label_texts)?),
            (Target::Time, Scalar::Integer(number)) => self.row_time_us = Some(self.times.integer(number)?),
            (Target::Time, Scalar::Float(number)) => self.row_time_us = Some(self.times.float(number)?),
            (Target::Time, Scalar::Text(text)) => self.push_time_text(text)?,
            (Target::Importance, scalar) => self.push_importance(scalar.number(), || scalar.to_found())?,
            (Target::Extra(index), Scalar::Text(text)) => self.extra[index].push(text),
            (Target::Extra(index), other) => self.extra[index].push(&other.to_found()),
            (Target::Keys(_) | Target::Time, other) => {
                return Err(RowFault::Cell { expected: EXPECTED_TIME, found: other.to_found() });
            }
        }
        Ok(())
    }

    fn push_time_text(&mut self, text: &str) -> Result<(), RowFault> {
        self.row_time_us = Some(self.times.text(text)?);
        Ok(())
    }

    fn push_importance(&mut self, number: Option<f64>, found: impl FnOnce() -> String) -> Result<(), RowFault> {
        let fault = || RowFault::Cell { expected: EXPECTED_IMPORTANCE, found: found() };
        self.row_importance = Some(number.filter(|&number| is_importance(number)).ok_or_else(fault)?);
        Ok(())
    }

    /// Whether the row under construction has a value for `target`.
    pub(super) fn has_value(&self, target: Target) -> bool {
        match target {
            Target::Field(index) | Target::Keys(index) => self.columns[index].has_row_value(),
            Target::Label => self.row_clicked.is_some(),
            Target::Time => self.row_time_us.is_some(),
            Target::Importance => self.row_importance.is_some(),
            Target::Extra(index) => self.extra[index].row_present,
        }
    }

    /// Whether `target` takes a list.
    pub(super) fn is_many(&self, target: Target) -> bool {
        matches!(target, Target::Field(index) if self.columns[index].many)
    }

    /// Says, for error messages, what a cell of `target` should contain.
    pub(super) fn expected(&self, target: Target) -> &'static str {
        match target {
            Target::Field(index) if self.columns[index].many => match self.columns[index].kind {
                FieldKind::Id => "a list of integers",
                FieldKind::Text | FieldKind::Number { .. } => "a list of texts",
            },
            Target::Field(index) => expected_cell(&self.columns[index].kind),
            Target::Keys(_) => EXPECTED_KEY,
            Target::Label => EXPECTED_LABEL,
            Target::Time => EXPECTED_TIME,
            Target::Importance => EXPECTED_IMPORTANCE,
            Target::Extra(_) => EXPECTED_EXTRA,
        }
    }

    /// Finishes the row, whose cells came from a line of `line_len` bytes. Fields without a cell are missing values.
    /// After an error the row is still open, and the caller must discard it.
    pub(super) fn finish_row(&mut self, line_len: usize) -> Result<(), (Target, RowFault)> {
        let unlabeled = (!self.has_label).then_some(false);
        let missing = (Target::Label, RowFault::Missing { expected: EXPECTED_LABEL });
        let clicked = self.row_clicked.or(unlabeled).ok_or(missing)?;
        if self.importance.is_some() && self.row_importance.is_none() {
            return Err((Target::Importance, RowFault::Missing { expected: EXPECTED_IMPORTANCE }));
        }
        if let Some(time_us) = &mut self.time_us {
            let missing = (Target::Time, RowFault::Missing { expected: EXPECTED_TIME });
            time_us.push(self.row_time_us.ok_or(missing)?);
        }
        self.clicked.push(clicked);
        self.importance.iter_mut().for_each(|importance| importance.extend(self.row_importance));
        (self.row_clicked, self.row_time_us, self.row_importance) = (None, None, None);
        self.columns.iter_mut().for_each(ColumnBuilder::finish_row);
        self.extra.iter_mut().for_each(ExtraBuilder::finish_row);
        self.length_bound += line_len;
        Ok(())
    }

    /// Appends one text as the cells of `count` rows directly to the column of `target`, as the Parquet reader does
    /// with its columns.
    pub(super) fn append_repeated(
        &mut self,
        target: Target,
        text: Option<&str>,
        count: usize,
        many_separator: char,
    ) -> Result<(), RowFault> {
        for _ in 0..count {
            self.push_csv_cell(target, text.unwrap_or_default().as_bytes(), many_separator)?;
            match target {
                Target::Field(index) | Target::Keys(index) => self.columns[index].finish_row(),
                Target::Extra(index) => self.extra[index].finish_row(),
                Target::Label => self.clicked.extend(self.row_clicked.take()),
                Target::Time => {
                    let time_us = self.row_time_us.take();
                    self.time_us.iter_mut().for_each(|times| times.extend(time_us));
                }
                Target::Importance => {
                    let row_importance = self.row_importance.take();
                    self.importance.iter_mut().for_each(|importance| importance.extend(row_importance));
                }
            }
        }
        Ok(())
    }

    /// Counts `count` rows that were appended directly to the columns, and updates the length bound.
    pub(super) fn finish_rows(&mut self, count: usize) {
        if !self.has_label {
            self.clicked.extend(std::iter::repeat_n(false, count));
        }
        let lens = self.columns.iter().map(ColumnBuilder::len).chain(self.extra.iter().map(ExtraBuilder::len));
        self.length_bound = self.length_bound.max(lens.sum());
    }

    /// Removes the cells of the row under construction.
    pub(super) fn discard_row(&mut self) {
        (self.row_clicked, self.row_time_us, self.row_importance) = (None, None, None);
        self.columns.iter_mut().for_each(ColumnBuilder::discard_row);
        self.extra.iter_mut().for_each(ExtraBuilder::discard_row);
    }

    pub(super) fn row_count(&self) -> usize {
        self.clicked.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clicked.is_empty()
    }

    /// Notes that the rows since the last call are from this file.
    pub(super) fn end_file(&mut self, file_index: usize) {
        let runs = self.bad_runs_of_file.drain(..);
        self.bad_runs.extend(runs.map(|(row, count)| BadRun { file: file_index, row, count }));
        let end = self.clicked.len();
        if self.file_ends.last().map_or(0, |&(_, end)| end) < end {
            self.file_ends.push((file_index, end));
        }
    }

    /// Returns the finished rows and starts the next batch, with the capacity that this one needed.
    pub(super) fn take(&mut self) -> RowBatch {
        let row_count = self.clicked.len();
        self.length_bound = 0;
        self.batch_count += 1;
        RowBatch {
            clicked: std::mem::replace(&mut self.clicked, Vec::with_capacity(row_count)),
            time_us: self.time_us.as_mut().map(|times| std::mem::replace(times, Vec::with_capacity(row_count))),
            importance: self.importance.as_mut().map(|all| std::mem::replace(all, Vec::with_capacity(row_count))),
            columns: self.columns.iter_mut().map(ColumnBuilder::take).collect(),
            extra: self.extra.iter_mut().map(ExtraBuilder::take).collect(),
            file_ends: std::mem::take(&mut self.file_ends),
            bad_runs: std::mem::take(&mut self.bad_runs),
        }
    }
}

impl ExtraBuilder {
    fn len(&self) -> usize {
        self.column.bytes.len()
    }

    /// Sets the text of the row under construction. A row without this call has a missing value.
    pub(super) fn push(&mut self, text: &str) {
        self.column.bytes.push_str(text);
        self.row_present = true;
    }

    pub(super) fn finish_row(&mut self) {
        self.column.ends.push(offset(self.column.bytes.len()));
        self.column.present.push(std::mem::take(&mut self.row_present));
    }

    fn discard_row(&mut self) {
        self.column.bytes.truncate(self.column.ends.last().map_or(0, |&end| end as usize));
        self.row_present = false;
    }

    fn take(&mut self) -> ExtraColumn {
        let column = &self.column;
        let next = ExtraColumn {
            ends: Vec::with_capacity(column.ends.len()),
            present: Vec::with_capacity(column.present.len()),
            bytes: String::with_capacity(column.bytes.len()),
        };
        std::mem::replace(&mut self.column, next)
    }
}

impl ColumnBuilder {
    fn new(field: &Field, rules: FieldRules) -> Self {
        let categories = empty_categories(&field.kind, 0, 0);
        Self {
            column: FieldColumn { offsets: vec![0], values: Vec::new(), categories, invalid_number_count: 0 },
            kind: field.kind.clone(),
            many: field.many,
            rules,
            seed: field.seed(),
            missing_texts: None,
            row_invalid_number_count: 0,
        }
    }

    /// Whether the row under construction has a value, even an invalid number.
    fn has_row_value(&self) -> bool {
        let end = self.column.offsets.last().map_or(0, |&end| end as usize);
        self.column.values.len() > end || self.row_invalid_number_count > 0
    }

    /// How many of the rows `first..end` have no value.
    pub(super) fn missing_count(&self, first: usize, end: usize) -> usize {
        let Some(offsets) = self.column.offsets.get(first..=end) else { return 0 };
        if self.many {
            return offsets.windows(2).filter(|pair| pair[0] == pair[1]).count();
        }
        (end - first) - (offsets[offsets.len() - 1] - offsets[0]) as usize
    }

    fn len(&self) -> usize {
        match &self.column.categories {
            Categories::Texts { bytes, .. } => bytes.len().max(self.column.values.len()),
            Categories::Ids | Categories::Numbers(_) | Categories::Keys => self.column.values.len(),
        }
    }

    fn has_keys(&self) -> bool {
        matches!(self.column.categories, Categories::Keys)
    }

    /// Makes this a column of feature keys, or of plain values. It has no rows.
    fn set_has_keys(&mut self, has_keys: bool) {
        if !has_keys {
            self.column.categories = empty_categories(&self.kind, 0, 0);
            return;
        }
        self.column.categories = Categories::Keys;
        self.missing_texts.get_or_insert_with(|| self.rules.missing_text_values());
    }

    /// Returns the value of a feature key; none if no category of the field has the key.
    pub(super) fn value_of_key(&self, key: u64) -> Option<u64> {
        let value = value_of_key(self.seed, key);
        match &self.kind {
            FieldKind::Id | FieldKind::Text => Some(value),
            FieldKind::Number { range, buckets, .. } => number_in(buckets, *range, value).map(|_| value),
        }
    }

    /// Adds the category of a feature key to the row under construction, unless it means a missing value.
    #[inline]
    pub(super) fn push_feature_key(&mut self, key: u64) -> Result<(), RowFault> {
        let fault = || RowFault::Cell { expected: EXPECTED_KEY, found: excerpt(&key.to_string()) };
        let value = self.value_of_key(key).ok_or_else(fault)?;
        let is_missing = match &self.kind {
            FieldKind::Id => self.rules.is_missing_id(value.cast_signed()),
            FieldKind::Text => self.missing_texts.as_ref().is_some_and(|values| values.contains(&value)),
            FieldKind::Number { .. } => false,
        };
        if !is_missing {
            self.column.values.push(value);
        }
        Ok(())
    }

    fn parse_key(&mut self, cell: &str) -> Result<(), RowFault> {
        let fault = || RowFault::Cell { expected: EXPECTED_KEY, found: excerpt(cell) };
        self.push_feature_key(cell.parse().map_err(|_| fault())?)
    }

    /// Parses one category and adds it to the row under construction, unless its text means a missing value.
    fn parse(&mut self, cell: &str) -> Result<(), RowFault> {
        if self.rules.is_missing_in_csv(cell, &self.kind) {
            return Ok(());
        }
        self.parse_text(cell)
    }

    fn parse_text(&mut self, text: &str) -> Result<(), RowFault> {
        let fault = |kind| RowFault::Cell { expected: expected_cell(kind), found: excerpt(text) };
        match self.kind {
            FieldKind::Id => self.push_id(text_id(text).ok_or_else(|| fault(&self.kind))?),
            FieldKind::Text if self.rules.changes_texts() => self.push_text_by_rules(text),
            FieldKind::Text => self.push_plain_text(text),
            FieldKind::Number { .. } => {
                let number = number_of(text, self.rules.number_format);
                self.push_number(number.ok_or_else(|| fault(&self.kind))?);
            }
        }
        Ok(())
    }

    /// Parses the categories in a CSV cell and adds them to the row under construction.
    fn parse_list(&mut self, cell: &str, separator: char) -> Result<(), RowFault> {
        let is_list = may_be_list(cell, self.rules.lists);
        let Some(list) = (if is_list { list_of(cell, separator, self.rules.lists)? } else { None }) else {
            return cell.split(separator).filter(|cell| !cell.is_empty()).try_for_each(|cell| self.parse(cell));
        };
        self.rules.list_count += 1;
        list.iter().try_for_each(|item| match item {
            serde_json::Value::Null => Ok(()),
            serde_json::Value::String(text) => self.push_scalar(Scalar::Text(text)),
            serde_json::Value::Bool(value) => self.push_scalar(Scalar::Bool(*value)),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => self.push_scalar(Scalar::Integer(number)),
                (None, Some(number)) => self.push_scalar(Scalar::Unsigned(number)),
                (None, None) => self.push_scalar(Scalar::Float(number.as_f64().unwrap_or(f64::NAN))),
            },
            other => Err(RowFault::Cell { expected: expected_cell(&self.kind), found: excerpt(&other.to_string()) }),
        })
    }

    fn push_scalar(&mut self, scalar: Scalar<'_>) -> Result<(), RowFault> {
        if self.rules.has_missing_numbers() && self.is_missing_scalar(scalar) {
            return Ok(());
        }
        match (&self.kind, scalar) {
            (FieldKind::Id, Scalar::Integer(id)) => self.push_id(id),
            (FieldKind::Id, Scalar::Unsigned(id)) => self.push_id(unsigned_id(id)),
            (FieldKind::Id, Scalar::Bool(value)) => self.push_id(i64::from(value)),
            (FieldKind::Id, Scalar::Float(number)) => {
                let fault = || RowFault::Cell { expected: expected_cell(&self.kind), found: scalar.to_found() };
                self.push_id(float_id(number).ok_or_else(fault)?);
            }
            (FieldKind::Text, Scalar::Text(text)) => self.push_text(text),
            (FieldKind::Text, Scalar::Bool(value)) => self.push_text(boolean_text(value)),
            // A fraction is no text: `1.50` and `1.5` are one number, but two texts.
            (FieldKind::Text, Scalar::Integer(_) | Scalar::Unsigned(_)) => self.push_text(&scalar.to_found()),
            (FieldKind::Id | FieldKind::Number { .. }, Scalar::Text(text)) => {
                if !self.rules.is_missing(text) {
                    let expected = expected_cell(&self.kind);
                    self.parse_text(text).map_err(|_| RowFault::Cell { expected, found: scalar.to_found() })?;
                }
            }
            (FieldKind::Number { .. }, Scalar::Float(number)) => self.push_number(number),
            #[expect(clippy::cast_precision_loss, reason = "a number is a double; the nearest one is meant")]
            (FieldKind::Number { .. }, Scalar::Integer(number)) => self.push_number(number as f64),
            #[expect(clippy::cast_precision_loss, reason = "a number is a double; the nearest one is meant")]
            (FieldKind::Number { .. }, Scalar::Unsigned(number)) => self.push_number(number as f64),
            (kind, other) => {
                return Err(RowFault::Cell { expected: expected_cell(kind), found: other.to_found() });
            }
        }
        Ok(())
    }

    /// Whether the contract says that a number of an id or number field means a missing value.
    #[expect(clippy::cast_precision_loss, reason = "a number is a double; the nearest one is meant")]
    fn is_missing_scalar(&self, scalar: Scalar<'_>) -> bool {
        match (&self.kind, scalar) {
            (FieldKind::Id, Scalar::Integer(id)) => self.rules.is_missing_id(id),
            (FieldKind::Id, Scalar::Float(number)) => float_id(number).is_some_and(|id| self.rules.is_missing_id(id)),
            (FieldKind::Number { .. }, Scalar::Integer(number)) => self.rules.is_missing_number(number as f64),
            (FieldKind::Number { .. }, Scalar::Float(number)) => self.rules.is_missing_number(number),
            _ => false,
        }
    }

    #[inline]
    pub(super) fn push_id(&mut self, id: i64) {
        self.column.values.push(feature::id_value(id));
    }

    #[inline]
    pub(super) fn push_text(&mut self, text: &str) {
        if self.rules.changes_texts() {
            return self.push_text_by_rules(text);
        }
        if is_usual_missing(text) {
            self.rules.note_kept(text);
        }
        self.push_plain_text(text);
    }

    /// Adds a text after its rules: not at all if it means a missing value, normalized if the contract asks for that.
    fn push_text_by_rules(&mut self, text: &str) {
        if !self.rules.is_missing(text) {
            let text = self.rules.normalized(text);
            self.push_plain_text(&text);
        }
    }

    #[inline]
    fn push_plain_text(&mut self, text: &str) {
        let place = self.push_distinct_text(text);
        if let Categories::Texts { places: Some(places), .. } = &mut self.column.categories {
            places.push(place);
        }
        self.column.values.push(feature::text_value(text.as_bytes()));
    }

    /// Adds a text to the batch and returns its index there. Adds no value.
    #[inline]
    fn push_distinct_text(&mut self, text: &str) -> u32 {
        let Categories::Texts { offsets, bytes, .. } = &mut self.column.categories else { return 0 };
        bytes.push_str(text);
        offsets.push(offset(bytes.len()));
        offset(offsets.len() - 2)
    }

    /// Adds a value whose text is `key` in `dictionary`. `distinct` remembers the texts that are already in the batch.
    /// Does not finish the row.
    #[inline]
    pub(super) fn push_key(&mut self, key: usize, dictionary: &StringArray, distinct: &mut DistinctTexts) {
        let text = match distinct.in_batch(key) {
            Some(text) => text,
            None => match distinct.text(key, || self.new_distinct_text(dictionary.value(key))) {
                Some(text) => text,
                None => return,
            },
        };
        if let Categories::Texts { places: Some(places), .. } = &mut self.column.categories {
            places.push(text.place);
        }
        self.column.values.push(text.value);
    }

    /// Adds a text of a dictionary to the batch, unless it means a missing value.
    #[cold]
    fn new_distinct_text(&mut self, text: &str) -> DistinctText {
        if self.rules.is_missing(text) {
            return DistinctText::MISSING;
        }
        if is_usual_missing(text) {
            self.rules.note_kept(text);
        }
        let text = self.rules.normalized(text);
        DistinctText { place: self.push_distinct_text(&text), value: feature::text_value(text.as_bytes()) }
    }

    /// Switches the column to the form in which each value stores the index of its text.
    pub(super) fn say_places(&mut self) {
        let value_count = offset(self.column.values.len());
        if let Categories::Texts { places, .. } = &mut self.column.categories {
            places.get_or_insert_with(|| (0..value_count).collect());
        }
    }

    #[inline]
    pub(super) fn push_number(&mut self, number: f64) {
        if let (FieldKind::Number { range, buckets, .. }, Categories::Numbers(numbers)) =
            (&self.kind, &mut self.column.categories)
        {
            if let Some(bucket) = buckets.index(*range, number) {
                self.column.values.push(bucket);
                numbers.push(number);
            } else {
                self.row_invalid_number_count += 1;
            }
        }
    }

    #[inline]
    pub(super) fn finish_row(&mut self) {
        self.finish_row_of_many();
        self.finish_invalid_numbers();
    }

    /// Finishes one of many rows. After the last of them, [`finish_invalid_numbers`](Self::finish_invalid_numbers)
    /// counts the invalid numbers of all.
    #[inline]
    pub(super) fn finish_row_of_many(&mut self) {
        self.column.offsets.push(offset(self.column.values.len()));
    }

    #[inline]
    pub(super) fn finish_invalid_numbers(&mut self) {
        self.column.invalid_number_count += std::mem::take(&mut self.row_invalid_number_count);
    }

    fn discard_row(&mut self) {
        let len = self.column.offsets.last().map_or(0, |&end| end as usize);
        self.column.values.truncate(len);
        match &mut self.column.categories {
            Categories::Ids | Categories::Keys => {}
            Categories::Numbers(numbers) => numbers.truncate(len),
            Categories::Texts { places: Some(places), .. } => places.truncate(len),
            Categories::Texts { offsets, bytes, places: None } => {
                offsets.truncate(len + 1);
                bytes.truncate(offsets[len] as usize);
            }
        }
        self.row_invalid_number_count = 0;
    }

    fn take(&mut self) -> FieldColumn {
        let column = &self.column;
        let text_len = if let Categories::Texts { bytes, .. } = &column.categories { bytes.len() } else { 0 };
        let mut offsets = Vec::with_capacity(column.offsets.len());
        offsets.push(0);
        let next = FieldColumn {
            offsets,
            values: Vec::with_capacity(column.values.len()),
            categories: match column.categories {
                Categories::Keys => Categories::Keys,
                _ => empty_categories(&self.kind, column.values.len(), text_len),
            },
            invalid_number_count: 0,
        };
        std::mem::replace(&mut self.column, next)
    }
}

fn empty_categories(kind: &FieldKind, value_count: usize, text_len: usize) -> Categories {
    match kind {
        FieldKind::Id => Categories::Ids,
        FieldKind::Number { .. } => Categories::Numbers(Vec::with_capacity(value_count)),
        FieldKind::Text => {
            let mut offsets = Vec::with_capacity(value_count + 1);
            offsets.push(0);
            Categories::Texts { offsets, bytes: String::with_capacity(text_len), places: None }
        }
    }
}

/// Converts a length to an offset. Never panics, because `FULL_LEN` bounds the length.
#[inline]
pub(super) fn offset(len: usize) -> u32 {
    u32::try_from(len).expect("a batch is full long before its offsets are")
}

/// Whether a number is a valid importance.
pub(super) fn is_importance(number: f64) -> bool {
    IMPORTANCE_RANGE.contains(&number)
}

impl Scalar<'_> {
    /// Returns the number in this value, which may also be written as text.
    #[expect(clippy::cast_precision_loss, reason = "a number is a double; the nearest one is meant")]
    fn number(self) -> Option<f64> {
        match self {
            Self::Bool(_) => None,
            Self::Integer(number) => Some(number as f64),
            Self::Unsigned(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Text(text) => text.parse().ok(),
        }
    }

    fn label(self, texts: &LabelTexts) -> Result<bool, RowFault> {
        match self {
            Self::Integer(_) | Self::Unsigned(_) | Self::Float(_) if texts.has_own() => {
                texts.clicked(&self.to_found()).ok_or_else(|| RowFault::Label { found: self.to_found() })
            }
            Self::Bool(clicked) => Ok(clicked),
            Self::Integer(0) | Self::Float(0.0) => Ok(false),
            Self::Integer(1) | Self::Float(1.0) => Ok(true),
            Self::Text(text) => texts.clicked(text).ok_or_else(|| RowFault::Label { found: self.to_found() }),
            other => Err(RowFault::Label { found: other.to_found() }),
        }
    }

    pub(super) fn to_found(self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Unsigned(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(text) => format!("the text {}", excerpt(text)),
        }
    }
}
