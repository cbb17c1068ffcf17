//! Batches of log rows in the form that training needs: one column per field, in contract order.

use omomi::contract::{Contract, Side};
use omomi::request::{FieldValue, Row};

/// Some rows of a log in log order, decoded and checked against the contract.
#[derive(Debug, Default, Clone)]
pub struct RowBatch {
    /// The label of each row.
    pub clicked: Vec<bool>,
    /// Time of each impression, in microseconds since 1970-01-01 UTC. `None` if no time column was named.
    pub time_us: Option<Vec<i64>>,
    /// Importance of each row: how much it counts. `None` if no importance column was named; then all rows count the
    /// same.
    pub importance: Option<Vec<f64>>,
    /// One column for each field of the contract, in contract order.
    pub columns: Vec<FieldColumn>,
    /// One column for each of [`ReadOptions::extra_columns`](super::ReadOptions::extra_columns), in their order.
    pub extra: Vec<ExtraColumn>,
    /// The files that the rows are from, in order: the index of each in [`LogReader::files`](super::LogReader::files),
    /// and where its rows end in this batch.
    pub file_ends: Vec<(usize, usize)>,
    /// The bad rows before, between and after the rows, in order.
    pub(crate) bad_runs: Vec<BadRun>,
}

/// Bad rows that follow each other in a log. They were left out of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BadRun {
    /// Index of their file in [`LogReader::files`](super::LogReader::files).
    pub(super) file: usize,
    /// The row of the batch before which they were, or the number of its rows.
    pub(super) row: usize,
    pub(super) count: u64,
}

/// The categories of one field in the rows of a batch. Row `i` has those at `offsets[i]..offsets[i + 1]`. A field that
/// is not `many` has at most one category per row. No category means that the value is missing.
#[derive(Debug, Default, Clone)]
pub struct FieldColumn {
    /// Where the categories of each row begin, plus the end of the last row: one entry more than there are rows. Never
    /// falls; the first entry is 0.
    pub offsets: Vec<u32>,
    /// The value of each category: the id, the hash of the text, or the index of the bucket. The value and the field's
    /// seed make the feature key (see [`omomi::feature`]).
    pub values: Vec<u64>,
    /// The categories as they are in the log, parallel to `values`.
    pub categories: Categories,
    /// How many values of a number field were NaN or out of its range. They are treated as missing.
    pub invalid_number_count: u64,
}

/// An extra column of the log as text, at most one text per row. Text is unchanged, numbers are decimal, booleans are
/// `true` or `false`, and times are RFC 3339. A row without a text has a missing value.
#[derive(Debug, Default, Clone)]
pub struct ExtraColumn {
    /// Where the text of each row ends in `bytes`. It begins where the text of the previous row ends.
    pub(super) ends: Vec<u32>,
    /// Whether each row has a text. The text may be empty.
    pub(super) present: Vec<bool>,
    pub(super) bytes: String,
}

impl ExtraColumn {
    /// Returns the text of row `row`, or `None` if it is missing.
    ///
    /// # Panics
    ///
    /// Panics if `row` is not a row of the batch.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<&str> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        self.present[row].then(|| &self.bytes[start as usize..self.ends[row] as usize])
    }

    /// Returns the number of row `row`, or `None` if the text is missing or is not a number.
    ///
    /// # Panics
    ///
    /// Panics if `row` is not a row of the batch.
    #[must_use]
    pub fn number(&self, row: usize) -> Option<f64> {
        self.text(row)?.parse().ok()
    }
}

/// The categories of a field as they are in the log, before they became values.
#[derive(Debug, Default, Clone)]
pub enum Categories {
    /// Of an `id` field. Nothing is stored here, because the values are the ids.
    #[default]
    Ids,
    /// Of a `text` field. Text `i` is at `offsets[i]..offsets[i + 1]` of `bytes`.
    Texts {
        /// Where each text begins in `bytes`, plus the end of the last one: one entry more than there are texts. Never
        /// falls; the first entry is 0.
        offsets: Vec<u32>,
        /// The UTF-8 texts, back to back.
        bytes: String,
        /// The index of each value's text. Present if the log is dictionary-encoded: a recurring text is then stored
        /// only once or a few times. If absent, value `i` has text `i`.
        places: Option<Vec<u32>>,
    },
    /// Of a `number` field: the number of each value, before it was put into a bucket.
    Numbers(Vec<f64>),
    /// Of a field of any type, of which the log has only the feature keys. The values are exact, as they follow from
    /// the keys; a text has no name then, and what is written down names a category by its key.
    Keys,
}

impl RowBatch {
    /// Returns a function that returns the importance of the first row, then that of the second, and so on: 1 if the
    /// rows have none.
    pub(crate) fn each_importance(&self) -> impl FnMut() -> f64 + '_ {
        let mut importance = self.importance.iter().flatten();
        move || importance.next().copied().unwrap_or(1.0)
    }

    /// Number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.clicked.len()
    }

    /// Returns the values of one side of row `index`, by field name: what a request for this impression would contain.
    /// A field of which the log has only [keys](Categories::Keys) is left out: see [`key_field`](Self::key_field).
    ///
    /// # Panics
    ///
    /// Panics if `index` is not a row of the batch. May panic if the batch was read with another contract.
    #[must_use]
    pub fn row(&self, contract: &Contract, side: Side, index: usize) -> Row {
        let fields = contract.fields().iter().zip(&self.columns).filter(|(field, _)| field.side == side);
        fields.filter_map(|(field, column)| Some((field.name.clone(), column.value(field.many, index)?))).collect()
    }
}

impl RowBatch {
    /// Returns the name of the first field of `contract` of which the log has only feature keys.
    #[must_use]
    pub fn key_field<'a>(&self, contract: &'a Contract) -> Option<&'a str> {
        let mut fields = contract.fields().iter().zip(&self.columns);
        let found = fields.find(|(_, column)| matches!(column.categories, Categories::Keys));
        found.map(|(field, _)| field.name.as_str())
    }
}

impl FieldColumn {
    /// Returns the value of row `row`, or `None` if it is missing. An empty list counts as missing, because a log
    /// cannot tell the two apart.
    fn value(&self, many: bool, row: usize) -> Option<FieldValue> {
        let range = self.range(row);
        let first = range.clone().next()?;
        let texts = || range.clone().filter_map(|index| self.text(index)).map(str::to_owned);
        let id = |index: usize| self.values[index].cast_signed();
        Some(match (&self.categories, many) {
            (Categories::Ids, false) => FieldValue::Id(id(first)),
            (Categories::Ids, true) => FieldValue::Ids(range.clone().map(id).collect()),
            (Categories::Texts { .. }, false) => FieldValue::Text(texts().next()?),
            (Categories::Texts { .. }, true) => FieldValue::Texts(texts().collect()),
            (Categories::Keys, _) => return None,
            (Categories::Numbers(numbers), _) => FieldValue::Number(*numbers.get(first)?),
        })
    }

    /// Returns the range of indices in `values` that belong to row `row`.
    ///
    /// # Panics
    ///
    /// Panics if `row` is not a row of the batch.
    #[inline]
    #[must_use]
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    /// Returns the text of value `index`, or `None` if there is no such value or the field is not a `text` field.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&str> {
        match &self.categories {
            Categories::Texts { offsets, bytes, places } => {
                let place = match places {
                    Some(places) => *places.get(index)? as usize,
                    None => index,
                };
                bytes.get(*offsets.get(place)? as usize..*offsets.get(place + 1)? as usize)
            }
            Categories::Ids | Categories::Numbers(_) | Categories::Keys => None,
        }
    }
}
