//! Writes rows to Parquet files. Several threads make and encode row groups; the caller's thread writes them in order.

use std::fs::{self, File};
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::columns::{Columns, schema};
use super::{Error, Impressions, RowTotals};

/// Number of rows in a row group. Readers split work by row groups; 128 Ki rows of this log have about 4 MB.
const ROW_GROUP_ROWS: u64 = 128 * 1024;
/// Number of rows encoded at a time, few enough that their columns stay in the cache of a core.
const BATCH_ROWS: u64 = 8 * 1024;

/// Writes the impressions in `rows` to `path`. The file gets its name only after it is complete. Calls `on_rows` with
/// the number of rows of each row group after it is written. If writing fails, no file is left.
pub(super) fn write_file(
    impressions: &Impressions,
    rows: Range<u64>,
    path: &Path,
    threads: usize,
    on_rows: &mut dyn FnMut(u64),
) -> Result<RowTotals, Error> {
    let partial = Partial::beside(path);
    let failed = |source| Error::Parquet { path: path.to_owned(), source };
    let io_failed = |source| Error::Io { path: path.to_owned(), source };
    let file = File::create(&partial.path).map_err(io_failed)?;
    let schema: SchemaRef = Arc::new(schema());
    let options = ArrowWriterOptions::new()
        .with_properties(properties().map_err(failed)?)
        // Without this metadata, readers see the Parquet types of the file, as from other writers, and not
        // dictionaries.
        .with_skip_arrow_metadata(true);
    let (mut file, row_groups) = ArrowWriter::try_new_with_options(BufWriter::new(file), Arc::clone(&schema), options)
        .and_then(ArrowWriter::into_serialized_writer)
        .map_err(failed)?;

    let group_count = (rows.end - rows.start).div_ceil(ROW_GROUP_ROWS);
    let rows_of_group = |group: u64| {
        let start = rows.start + group * ROW_GROUP_ROWS;
        start..rows.end.min(start + ROW_GROUP_ROWS)
    };
    let mut totals = RowTotals::default();
    std::thread::scope(|scope| {
        // Worker w makes the groups w, w + threads, ... Before it makes the next group, it waits until the writer has
        // taken the previous one. This keeps the groups in order and bounds the memory.
        let workers: Vec<Receiver<Result<_, ParquetError>>> = (0..group_count.min(threads as u64))
            .map(|worker| {
                let (sender, receiver) = sync_channel(0);
                let (schema, row_groups) = (&schema, &row_groups);
                scope.spawn(move || {
                    for group in (worker..group_count).step_by(threads) {
                        let encoded = encode(impressions, rows_of_group(group), schema, row_groups);
                        // The writer is gone because it failed. It has already reported the error.
                        if sender.send(encoded).is_err() {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        for (group, worker) in (0..group_count).zip(workers.iter().cycle()) {
            // A worker ends early only if it panics, and the scope then panics too.
            let Ok(encoded) = worker.recv() else { break };
            let (group_totals, columns) = encoded?;
            let mut writer = file.next_row_group()?;
            for column in columns {
                column.append_to_row_group(&mut writer)?;
            }
            writer.close()?;
            totals.add(&group_totals);
            let rows = rows_of_group(group);
            on_rows(rows.end - rows.start);
        }
        Ok(())
    })
    .map_err(failed)?;

    let file = file.into_inner().map_err(failed)?;
    let file = file.into_inner().map_err(|error| io_failed(error.into_error()))?;
    file.sync_all().map_err(io_failed)?;
    fs::rename(&partial.path, path).map_err(io_failed)?;
    Ok(totals)
}

/// Encodes and compresses one row group.
fn encode(
    impressions: &Impressions,
    rows: Range<u64>,
    schema: &SchemaRef,
    row_groups: &ArrowRowGroupWriterFactory,
) -> Result<(RowTotals, Vec<ArrowColumnChunk>), ParquetError> {
    let mut totals = RowTotals::default();
    let mut columns = Columns::new();
    // The index of the row group matters only for encryption, which is not used.
    let mut writers = row_groups.create_column_writers(0)?;
    let mut start = rows.start;
    while start < rows.end {
        let end = rows.end.min(start + BATCH_ROWS);
        for index in start..end {
            let (row, true_probability, clicked) = impressions.at(index);
            columns.push(&row, true_probability, clicked);
            totals.count(true_probability, clicked);
        }
        // Each column has one leaf, even a list of texts.
        let leaves = schema.fields().iter().zip(columns.take()?).map(|(field, array)| compute_leaves(field, &array));
        for (writer, leaves) in writers.iter_mut().zip(leaves) {
            for leaf in leaves? {
                writer.write(&leaf)?;
            }
        }
        start = end;
    }
    let chunks = writers.into_iter().map(|writer| writer.close()).collect::<Result<_, _>>()?;
    Ok((totals, chunks))
}

fn properties() -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        // Statistics of texts cost a tenth of the run time, and no reader skips row groups by them. Readers may skip
        // row groups by time.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(ColumnPath::from("timestamp"), EnabledStatistics::Chunk)
        .set_created_by(concat!("omomi generate-log ", env!("CARGO_PKG_VERSION")).to_owned());
    // A dictionary of values that rarely recur costs time and saves no space.
    for (column, encoding) in [
        ("timestamp", Encoding::DELTA_BINARY_PACKED),
        ("user_id", Encoding::PLAIN),
        ("true_probability", Encoding::BYTE_STREAM_SPLIT),
    ] {
        let column = ColumnPath::from(column);
        properties = properties.set_column_dictionary_enabled(column.clone(), false);
        properties = properties.set_column_encoding(column, encoding);
    }
    Ok(properties.build())
}

/// The file that is being written. It is removed when this is dropped, unless it was renamed before.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn beside(path: &Path) -> Partial {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        Partial { path: path.with_file_name(name) }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After success the file was renamed, and there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}
