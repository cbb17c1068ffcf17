//! Writes a training state row by row, in bounded memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value};

use crate::bucket::NewFile;
use crate::lineage::content_digest;

use super::{Metadata, StateError, StateRow, fault, schema};

/// Number of rows that are passed to the Parquet writer together.
const BATCH_ROW_COUNT: usize = 1 << 14;
/// Number of rows in a row group. A reader or writer holds one compressed row group in memory.
const ROW_GROUP_ROW_COUNT: usize = 1 << 18;

/// Writes a training state. The file appears only when it is finished.
pub struct StateWriter {
    path: PathBuf,
    new_file: NewFile,
    parquet: ArrowWriter<File>,
    columns: Columns,
    provenance: Map<String, Value>,
    row_count: u64,
    last_key: Option<u64>,
}

/// A state that has its name.
pub(crate) struct FinishedState {
    pub(crate) len_bytes: u64,
    /// [Digest](content_digest) of this state, even if another process has replaced it already.
    pub(crate) content: String,
}

#[derive(Default)]
struct Columns {
    field: StringBuilder,
    category: StringBuilder,
    key: UInt64Builder,
    z: Float64Builder,
    d: Float64Builder,
    impressions: UInt64Builder,
    clicks: UInt64Builder,
    last_seen: TimestampMicrosecondBuilder,
    weight: Float64Builder,
}

impl StateWriter {
    /// Starts a training state that will become the file `path`.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::Exists`] if `path` exists and `replace` is false, [`StateError::Row`] if the metadata has
    /// impossible counts, or [`StateError::Io`] or [`StateError::Parquet`] if the file cannot be written.
    pub fn create(path: impl AsRef<Path>, metadata: &Metadata, replace: bool) -> Result<Self, StateError> {
        let path = path.as_ref();
        if let Some(problem) = metadata.fault() {
            return Err(StateError::Row { path: path.to_owned(), row: 1, problem });
        }
        let new_file = NewFile::create(path, replace).map_err(|error| StateError::io("write", path, error))?;
        let file = new_file.file().try_clone().map_err(|error| StateError::io("write", path, error))?;
        let mut properties = WriterProperties::builder()
            .set_created_by("omomi".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROW_COUNT))
            .set_key_value_metadata(Some(metadata.to_pairs()));
        // Nearly every row has its own value in these columns, so a dictionary would be built in vain.
        for column in ["category", "key", "z", "d", "weight"] {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
        }
        let properties = properties.set_column_encoding(ColumnPath::from("key"), Encoding::DELTA_BINARY_PACKED).build();
        let parquet = ArrowWriter::try_new(file, schema(), Some(properties)).map_err(|source| StateError::Parquet {
            action: "write",
            path: path.to_owned(),
            source,
        })?;
        let (columns, provenance) = (Columns::default(), metadata.provenance.clone());
        Ok(Self { path: path.to_owned(), new_file, parquet, columns, provenance, row_count: 0, last_key: None })
    }

    /// Writes one row: the bias first, then the features by ascending key.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::Row`] if the row is invalid or out of order; it is then not written. Returns
    /// [`StateError::Parquet`] if the file cannot be written.
    pub fn push(&mut self, row: &StateRow<'_>) -> Result<(), StateError> {
        if let Some(problem) = fault(row, self.last_key) {
            return Err(StateError::Row { path: self.path.clone(), row: self.row_count + 1, problem });
        }
        self.last_key = Some(row.key);
        self.row_count += 1;
        let columns = &mut self.columns;
        columns.field.append_value(row.field);
        columns.category.append_value(row.category);
        columns.key.append_value(row.key);
        columns.z.append_value(row.z);
        columns.d.append_value(row.d);
        columns.impressions.append_value(row.impressions);
        columns.clicks.append_value(row.clicks);
        columns.last_seen.append_option(row.last_seen_us);
        columns.weight.append_value(row.weight);
        if columns.key.values_slice().len() == BATCH_ROW_COUNT {
            self.flush()?;
        }
        Ok(())
    }

    /// Completes the file and gives it its name. Returns its size in bytes.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::Exists`] if another process created the file in the meantime, [`StateError::Row`] if the
    /// provenance is too long, or [`StateError::Io`] or [`StateError::Parquet`] if the file cannot be written.
    pub fn finish(self) -> Result<u64, StateError> {
        let provenance = self.provenance.clone();
        self.finish_with(&provenance).map(|finished| finished.len_bytes)
    }

    /// Completes the file with this provenance instead of the one that it began with.
    pub(crate) fn finish_with(mut self, provenance: &Map<String, Value>) -> Result<FinishedState, StateError> {
        let pair = Metadata::provenance_pair(provenance).map_err(|problem| StateError::Row {
            path: self.path.clone(),
            row: self.row_count,
            problem,
        })?;
        self.flush()?;
        self.parquet.append_key_value_metadata(pair);
        let closed = self.parquet.close();
        closed.map_err(|source| StateError::Parquet { action: "write", path: self.path.clone(), source })?;
        let io_error = |error| StateError::io("write", &self.path, error);
        let len_bytes = self.new_file.file().metadata().map_err(io_error)?.len();
        let content = content_digest(self.new_file.sibling()).map_err(io_error)?;
        self.new_file.commit().map_err(io_error)?;
        Ok(FinishedState { len_bytes, content })
    }

    fn flush(&mut self) -> Result<(), StateError> {
        let columns = &mut self.columns;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(columns.field.finish()),
            Arc::new(columns.category.finish()),
            Arc::new(columns.key.finish()),
            Arc::new(columns.z.finish()),
            Arc::new(columns.d.finish()),
            Arc::new(columns.impressions.finish()),
            Arc::new(columns.clicks.finish()),
            Arc::new(columns.last_seen.finish().with_timezone("UTC")),
            Arc::new(columns.weight.finish()),
        ];
        RecordBatch::try_new(schema(), arrays)
            .map_err(ParquetError::from)
            .and_then(|batch| self.parquet.write(&batch))
            .map_err(|source| StateError::Parquet { action: "write", path: self.path.clone(), source })
    }
}
