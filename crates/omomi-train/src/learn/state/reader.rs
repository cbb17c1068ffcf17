//! Reads a training state batch by batch, in bounded memory, and checks everything in it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, Float64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Schema, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader};

use super::{BIAS_FIELD, Metadata, StateError, StateRow, default_key, fault, schema};
use crate::bucket::Source;
use crate::log::{self, Groups, PageFault};

/// Number of rows in a batch, which takes a few megabytes.
const BATCH_ROW_COUNT: usize = 1 << 14;

/// Reads the rows of a training state: the bias first, then the features by ascending key.
///
/// Checks the columns, the metadata and every row: its field is in the contract, keys ascend, and numbers are finite. A
/// state that another engine wrote, for example after an aggregation, is valid if it has the metadata.
pub struct StateReader {
    path: PathBuf,
    metadata: Metadata,
    feature_row_count: u64,
    batches: ParquetRecordBatchReader,
    field_names: HashSet<String>,
    row_count: u64,
    last_key: Option<u64>,
}

/// Some consecutive rows of a training state.
pub struct StateBatch {
    field: StringViewArray,
    category: StringViewArray,
    key: UInt64Array,
    z: Float64Array,
    d: Float64Array,
    impressions: UInt64Array,
    clicks: UInt64Array,
    last_seen: TimestampMicrosecondArray,
    weight: Float64Array,
}

impl StateReader {
    /// Opens the training state `path` and checks its columns and metadata. Rows are checked when they are read.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::Io`] or [`StateError::Parquet`] if the file cannot be read, or [`StateError::NotAState`]
    /// with what is missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StateError> {
        let path = path.as_ref();
        // Opening a pipe would wait for a writer that may never come.
        let is_other = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        if is_other {
            return Err(StateError::not_a_state(path, "expected a regular file, found a folder, a pipe or a device"));
        }
        let file = Source::open(path).map_err(|error| StateError::io("read", path, error))?;
        let parquet_error = |source| StateError::Parquet { action: "read", path: path.to_owned(), source };
        let stored = log::load(&file).map_err(parquet_error)?;
        check_schema(path, stored.schema())?;
        let groups = Groups::all(&file, stored.metadata(), BATCH_ROW_COUNT).map_err(|fault| match fault {
            PageFault::Io(error) => StateError::io("read", path, error),
            PageFault::TooLong { found } => {
                StateError::not_a_state(path, format!("expected texts of at most 16 MiB, found {found}"))
            }
            damaged @ PageFault::Damaged(_) => parquet_error(damaged.into()),
        })?;
        let options = ArrowReaderOptions::new().with_schema(Arc::new(with_views(stored.schema())));
        let viewed = ArrowReaderMetadata::try_new(Arc::clone(stored.metadata()), options).map_err(parquet_error)?;
        let parquet = Arc::clone(viewed.metadata());
        let file_metadata = parquet.file_metadata();
        let pairs = file_metadata.key_value_metadata().map_or(&[][..], Vec::as_slice);
        let metadata = Metadata::from_pairs(path, pairs)?;
        let row_count = u64::try_from(file_metadata.num_rows()).unwrap_or(0);
        if row_count == 0 {
            return Err(StateError::not_a_state(path, "expected at least the row of the bias, found no row"));
        }
        let contract = &metadata.contract;
        let field_names = contract.fields().iter().map(|field| field.name.clone());
        let field_names = field_names.chain(contract.crosses().iter().map(|cross| contract.cross_name(cross)));
        Ok(Self {
            path: path.to_owned(),
            field_names: field_names.chain([BIAS_FIELD.to_owned()]).collect(),
            metadata,
            feature_row_count: row_count - 1,
            batches: log::decoder(file, viewed, &groups, None).map_err(parquet_error)?,
            row_count: 0,
            last_key: None,
        })
    }

    /// Returns the metadata of the state.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the number of features, without the bias: one less than the number of rows. Default rows of unseen
    /// categories and missing values are among them.
    #[must_use]
    pub fn feature_count(&self) -> u64 {
        self.feature_row_count
    }

    /// Returns the next rows, or `None` after the last row.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::Parquet`] if the file is damaged, or [`StateError::Row`] if a row is invalid.
    pub fn next_batch(&mut self) -> Result<Option<StateBatch>, StateError> {
        let Some(batch) = self.batches.next() else {
            return Ok(None);
        };
        let batch = batch.map_err(|error| {
            let source = parquet::errors::ParquetError::from(error);
            StateError::Parquet { action: "read", path: self.path.clone(), source }
        })?;
        self.refuse_nulls(&batch)?;
        let batch = StateBatch::new(&batch);
        for row in batch.rows() {
            self.row_count += 1;
            let unknown = || format!("expected a field or cross of the contract, found `{}`", row.field);
            let problem = if row.is_default() {
                self.default_fault(&row)
            } else if self.field_names.contains(row.field) {
                None
            } else {
                Some(unknown())
            };
            if let Some(problem) = problem.or_else(|| fault(&row, self.last_key)) {
                return Err(StateError::Row { path: self.path.clone(), row: self.row_count, problem });
            }
            self.last_key = Some(row.key);
        }
        Ok(Some(batch))
    }

    /// Returns what is wrong with the names of a default row.
    fn default_fault(&self, row: &StateRow<'_>) -> Option<String> {
        if self.metadata.contract.field(row.category).is_none() {
            return Some(format!("expected a field of the contract in `{}`, found `{}`", row.field, row.category));
        }
        let expected = default_key(row.field, row.category);
        (row.key != expected).then(|| {
            format!("expected the key {expected} for `{}` in `{}`, found {}", row.category, row.field, row.key)
        })
    }

    fn refuse_nulls(&self, batch: &RecordBatch) -> Result<(), StateError> {
        for (field, column) in schema().fields().iter().zip(batch.columns()) {
            if !field.is_nullable()
                && let Some(row) = (0..column.len()).find(|&row| column.is_null(row))
            {
                let problem = format!("expected a value in column `{}`, found null", field.name());
                return Err(StateError::Row { path: self.path.clone(), row: self.row_count + row as u64 + 1, problem });
            }
        }
        Ok(())
    }
}

impl StateBatch {
    /// Takes the columns of `batch`. They have these types, because the schema was checked when the file was opened.
    fn new(batch: &RecordBatch) -> Self {
        let floats = |index| batch.column(index).as_primitive::<Float64Type>().clone();
        let integers = |index| batch.column(index).as_primitive::<UInt64Type>().clone();
        Self {
            field: batch.column(0).as_string_view().clone(),
            category: batch.column(1).as_string_view().clone(),
            key: integers(2),
            z: floats(3),
            d: floats(4),
            impressions: integers(5),
            clicks: integers(6),
            last_seen: batch.column(7).as_primitive::<TimestampMicrosecondType>().clone(),
            weight: floats(8),
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.key.len()
    }

    /// Returns the key of row `index` of the batch.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    #[must_use]
    pub fn key(&self, index: usize) -> u64 {
        self.key.value(index)
    }

    /// Returns row `index` of the batch.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    #[must_use]
    pub fn row(&self, index: usize) -> StateRow<'_> {
        StateRow {
            field: self.field.value(index),
            category: self.category.value(index),
            key: self.key.value(index),
            z: self.z.value(index),
            d: self.d.value(index),
            impressions: self.impressions.value(index),
            clicks: self.clicks.value(index),
            last_seen_us: self.last_seen.is_valid(index).then(|| self.last_seen.value(index)),
            weight: self.weight.value(index),
        }
    }

    /// Returns the rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = StateRow<'_>> {
        (0..self.row_count()).map(|index| self.row(index))
    }
}

/// Returns the keys of all features of a state, also of those whose weight is 0.
///
/// # Errors
///
/// Returns [`StateError`] if the state cannot be read or is damaged.
pub fn feature_keys(state: impl AsRef<Path>) -> Result<HashSet<u64>, StateError> {
    let mut reader = StateReader::open(state)?;
    let mut keys = HashSet::new();
    while let Some(batch) = reader.next_batch()? {
        keys.extend(batch.rows().filter(|row| !row.is_bias() && !row.is_default()).map(|row| row.key));
    }
    Ok(keys)
}

/// Returns the schema with texts as views. Rows that have the same text of a dictionary then share it: a text of
/// megabytes, in every row of a batch, would otherwise take gigabytes.
fn with_views(stored: &Schema) -> Schema {
    let fields = stored.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => Arc::clone(field),
    });
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), stored.metadata().clone())
}

/// Checks the names, order and types of the columns. Nullability and the name of the time zone UTC may differ, because
/// engines write them differently.
fn check_schema(path: &Path, found: &Schema) -> Result<(), StateError> {
    let expected = schema();
    let names = |schema: &Schema| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        names.join(", ")
    };
    if names(found) != names(&expected) {
        let problem = format!("expected the columns {}; found {}", names(&expected), names(found));
        return Err(StateError::not_a_state(path, problem));
    }
    for (expected, found) in expected.fields().iter().zip(found.fields()) {
        let same = match found.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => expected.name() == "last_seen",
            other => other == expected.data_type(),
        };
        if !same {
            let (name, expected, found) = (expected.name(), expected.data_type(), found.data_type());
            let problem = format!("expected column `{name}` as {expected}, found {found}");
            return Err(StateError::not_a_state(path, problem));
        }
    }
    Ok(())
}
