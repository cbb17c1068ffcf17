//! Rows of a log as the trainer wants them: values by field, in contract order.

use omomi::contract::{Contract, Side};
use omomi::request::{FieldValue, Row};

/// Some consecutive rows of a log, decoded and checked against the contract.
#[derive(Debug, Default, Clone)]
pub struct RowBatch {
    /// One label a row.
    pub clicked: Vec<bool>,
    /// Time of each impression in microseconds since 1970-01-01 UTC, where the log has a time column.
    pub time_us: Option<Vec<i64>>,
    /// How much each row counts, where the log has a column for it; else rows count alike.
    pub importance: Option<Vec<f64>>,
    /// One column a field of the contract, in contract order.
    pub columns: Vec<FieldColumn>,
    /// One column for each of [`ReadOptions::extra_columns`](super::ReadOptions::extra_columns), in their order.
    pub extra: Vec<ExtraColumn>,
}

/// The categories of one field in the rows of a batch: row `i` has those at `offsets[i]..offsets[i + 1]`. A field that
/// is not `many` has zero or one a row; zero is a missing value.
#[derive(Debug, Default, Clone)]
pub struct FieldColumn {
    /// One more than there are rows, rising, the first 0.
    pub offsets: Vec<u32>,
    /// The value of each category, which together with the field's seed makes its feature key: the id, the hash of the
    /// text, or the index of the bucket (see [`omomi::feature`]).
    pub values: Vec<u64>,
    /// The categories as the log has them, beside `values`.
    pub categories: Categories,
    /// Values of a number field that are out of its range or NaN; they count as missing.
    pub invalid_number_count: u64,
}

/// A column of the log as texts, one or none a row: text as it stands, numbers in decimal, `true` and `false`, times as
/// RFC 3339. None is a missing value.
#[derive(Debug, Default, Clone)]
pub struct ExtraColumn {
    /// Where the text of each row ends in `bytes`; it begins where the one before ends.
    pub(super) ends: Vec<u32>,
    /// Whether a row has a text, which may be empty.
    pub(super) present: Vec<bool>,
    pub(super) bytes: String,
}

impl ExtraColumn {
    /// The text of row `row`; nothing where it is missing.
    ///
    /// # Panics
    ///
    /// Where `row` is not a row of the batch.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<&str> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        self.present[row].then(|| &self.bytes[start as usize..self.ends[row] as usize])
    }

    /// The number of row `row`; nothing where it is missing or its text is no number.
    ///
    /// # Panics
    ///
    /// Where `row` is not a row of the batch.
    #[must_use]
    pub fn number(&self, row: usize) -> Option<f64> {
        self.text(row)?.parse().ok()
    }
}

/// Categories as a log has them.
#[derive(Debug, Default, Clone)]
pub enum Categories {
    /// Of an `id` field: the values themselves say it.
    #[default]
    Ids,
    /// Of a `text` field: text `i` lies at `offsets[i]..offsets[i + 1]` of `bytes`.
    Texts {
        /// One more than there are texts, rising, the first 0.
        offsets: Vec<u32>,
        /// The UTF-8 texts, one behind the other.
        bytes: String,
        /// Which of the texts each value has, where the log says so itself: a text that recurs is then there once or a few
        /// times. Without it there is one text a value.
        places: Option<Vec<u32>>,
    },
    /// Of a `number` field: the numbers before they fell into buckets, one a value.
    Numbers(Vec<f64>),
}

impl RowBatch {
    /// Number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.clicked.len()
    }

    /// The values of one side of row `index`, by name of field: what a request for it would hold.
    ///
    /// # Panics
    ///
    /// Where `index` is not a row of the batch, or the batch is of another contract.
    #[must_use]
    pub fn row(&self, contract: &Contract, side: Side, index: usize) -> Row {
        let fields = contract.fields().iter().zip(&self.columns).filter(|(field, _)| field.side == side);
        fields.filter_map(|(field, column)| Some((field.name.clone(), column.value(field.many, index)?))).collect()
    }
}

impl FieldColumn {
    /// The value of row `row`; nothing where it is missing. An empty list counts as missing: a log does not tell the two apart.
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
            (Categories::Numbers(numbers), _) => FieldValue::Number(*numbers.get(first)?),
        })
    }

    /// Where the values of row `row` lie.
    ///
    /// # Panics
    ///
    /// Where `row` is not a row of the batch.
    #[inline]
    #[must_use]
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    /// The text of value `index` of a `text` field.
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
            Categories::Ids | Categories::Numbers(_) => None,
        }
    }
}
