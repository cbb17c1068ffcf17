//! Writes what a weight file predicts for each row of a log.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bucket::{NewFile, load_model};
use arrow_array::builder::{Float32Builder, Float64Builder, StringBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use omomi::error::Error;
use omomi::score::Model;
use omomi::weight_file::map::LoadMode;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::log_scorer::LogScorer;
use crate::log::{LogDialect, LogError, LogReader, ReadOptions, RowBatch, contract_of};

/// The columns that are written after the chosen ones.
const PREDICTED: [(&str, DataType); 4] = [
    ("probability", DataType::Float32),
    ("logit", DataType::Float64),
    ("unseen_count", DataType::UInt32),
    ("missing_count", DataType::UInt32),
];

/// What to predict, and where to write it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PredictOptions {
    /// The weight file.
    pub file: PathBuf,
    /// Paths and patterns of the logs. They need no label.
    pub logs: Vec<String>,
    /// How to read the logs. The extra columns are written next to the predictions. In Parquet, numbers, booleans and
    /// dates of Parquet logs keep their type; all else is text.
    pub read: ReadOptions,
}

impl PredictOptions {
    /// Returns options with the default way of reading.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, logs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { file: file.into(), logs: logs.into_iter().map(Into::into).collect(), read: ReadOptions::default() }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Where predictions are written.
pub enum PredictionOutput<'a> {
    /// A new file: Parquet if its name ends in `.parquet`, CSV if it ends in `.csv`. It gets its name once it is
    /// complete.
    File {
        /// Path of the file.
        path: &'a Path,
        /// Whether a file of this name may be replaced.
        replace: bool,
    },
    /// CSV, written while rows are scored.
    Csv(&'a mut (dyn Write + Send)),
}

/// What was predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PredictedRows {
    /// Number of rows that were written.
    pub row_count: u64,
    /// Number of bad rows, which were skipped.
    pub bad_row_count: u64,
    /// Mean of the probabilities.
    pub mean_probability: f64,
}

/// Why predictions could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The weight file is not valid.
    #[error("{}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// The error of the weight file.
        source: Error,
    },
    /// A row does not fit into a request, or no request can be made for the model.
    #[error("row {row} of the logs cannot be scored")]
    Score {
        /// Number of the row among the rows that were read, counted from 1.
        row: u64,
        /// The cause.
        source: Error,
    },
    /// A chosen column has the name of a column of predictions, or was chosen twice.
    #[error(
        "expected columns of different names, found `{column}` twice: probability, logit, unseen_count and \
         missing_count are the predictions; leave the column out"
    )]
    ColumnTwice {
        /// The name.
        column: String,
    },
    /// The name of the output says no format.
    #[error("{}: expected a name that ends in .parquet or .csv, or `-` for CSV on standard output", path.display())]
    UnknownFormat {
        /// The path.
        path: PathBuf,
    },
    /// The output is one of the logs.
    #[error("{} is one of the logs: expected an output that replaces no log; give it another name", path.display())]
    OutputIsLog {
        /// The log.
        path: PathBuf,
    },
    /// The logs have no usable row.
    #[error("the logs have no rows: expected at least one to score; correct the pattern or the logs")]
    NoRows,
    /// The output cannot be written.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Scores every row of the logs, and writes for each, in the order of the rows: the chosen columns, `probability`
/// (f32), `logit` (f64), `unseen_count` (categories without a weight) and `missing_count` (fields without a value).
/// Skipped bad rows are not written. The numbers are those that a server answers, bit for bit. Calls `watch` after each
/// batch.
///
/// Memory is bounded for any number of rows.
///
/// # Errors
///
/// Returns [`PredictError`]. No file is left then.
pub fn write_predictions(
    options: &PredictOptions,
    output: PredictionOutput<'_>,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<PredictedRows, PredictError> {
    let model = load_model(&options.file, LoadMode::Map)
        .map_err(|source| PredictError::WeightFile { path: options.file.clone(), source })?;
    // Wrong options are reported before the first row is read.
    check_names(&options.read.extra_columns)?;
    let out_path = match &output {
        PredictionOutput::File { path, .. } => path.to_path_buf(),
        PredictionOutput::Csv(_) => PathBuf::from("-"),
    };
    let failed = |source: io::Error| PredictError::Write { path: out_path.clone(), source };
    let read = options.read.with_trained(LogDialect::of_model(&model));
    let mut reader = LogReader::open_unlabeled(&contract_of(&model), &options.logs, read)?;
    if let Some(log) = reader.files().iter().find(|log| log.is_at(&out_path)) {
        return Err(PredictError::OutputIsLog { path: log.path.clone() });
    }
    let schema = schema(&options.read.extra_columns, reader.extra_types());
    let mut scorer =
        LogScorer::new(vec![Arc::clone(&model)]).map_err(|source| PredictError::Score { row: 0, source })?;
    let mut writer = match output {
        PredictionOutput::Csv(out) => Writer::Csv(csv_writer(out, &schema).map_err(failed)?),
        PredictionOutput::File { path, replace } => {
            let ending = path.extension().map(|ending| ending.to_ascii_lowercase()).unwrap_or_default();
            let is_parquet = ending == "parquet";
            if !is_parquet && ending != "csv" {
                return Err(PredictError::UnknownFormat { path: path.to_owned() });
            }
            let new_file = NewFile::create(path, replace).map_err(failed)?;
            let file = new_file.file().try_clone().map_err(failed)?;
            if is_parquet {
                let parquet = parquet_writer(file, &schema, &model).map_err(io::Error::from).map_err(failed)?;
                Writer::ParquetFile(Box::new(parquet), new_file)
            } else {
                Writer::CsvFile(csv_writer(file, &schema).map_err(failed)?, new_file)
            }
        }
    };
    let (mut row_count, mut sum) = (0, 0.0);
    while let Some(batch) = reader.next_batch()? {
        let mut predictions = Predictions::default();
        for row in 0..batch.row_count() {
            row_count += 1;
            scorer.score(&batch, row).map_err(|source| PredictError::Score { row: row_count, source })?;
            sum += predictions.add(&scorer);
        }
        writer.write(&schema, &batch, predictions).map_err(failed)?;
        watch(&reader);
    }
    if row_count == 0 {
        return Err(PredictError::NoRows);
    }
    writer.finish().map_err(failed)?;
    let mean_probability = sum / row_count as f64;
    Ok(PredictedRows { row_count, bad_row_count: reader.bad_row_count(), mean_probability })
}

/// Fails if two columns have one name.
fn check_names(columns: &[String]) -> Result<(), PredictError> {
    let predicted = PREDICTED.iter().map(|(name, _)| *name);
    let names: Vec<&str> = columns.iter().map(String::as_str).chain(predicted).collect();
    match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        Some((_, &column)) => Err(PredictError::ColumnTwice { column: column.to_owned() }),
        None => Ok(()),
    }
}

fn schema(columns: &[String], types: &[Option<DataType>]) -> SchemaRef {
    let type_of = |index: usize| types.get(index).cloned().flatten().filter(keeps_type).unwrap_or(DataType::Utf8);
    let chosen = columns.iter().enumerate().map(|(index, name)| Field::new(name, type_of(index), true));
    let predicted = PREDICTED.into_iter().map(|(name, data_type)| Field::new(name, data_type, false));
    Arc::new(Schema::new(chosen.chain(predicted).collect::<Vec<_>>()))
}

/// Whether the text of a value is the value: reading it again gives the same bits.
fn keeps_type(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Boolean | DataType::Date32)
        || matches!(data_type, DataType::Decimal128(..))
}

/// The predictions of a batch, one entry per row in each column.
#[derive(Default)]
struct Predictions {
    probability: Vec<f32>,
    logit: Vec<f64>,
    unseen_count: Vec<u32>,
    missing_count: Vec<u32>,
}

impl Predictions {
    /// Adds the answer for the row that was scored last, and returns its probability.
    fn add(&mut self, scorer: &LogScorer) -> f64 {
        let (answer, counts) = (scorer.answer(0), scorer.counts());
        self.probability.push(answer.probability);
        self.logit.push(answer.logit);
        self.unseen_count.push(counts.unseen_count);
        self.missing_count.push(counts.missing_count);
        f64::from(answer.probability)
    }
}

enum Writer<'a> {
    ParquetFile(Box<ArrowWriter<File>>, NewFile),
    CsvFile(csv::Writer<File>, NewFile),
    Csv(csv::Writer<&'a mut (dyn Write + Send)>),
}

impl Writer<'_> {
    fn write(&mut self, schema: &SchemaRef, batch: &RowBatch, predictions: Predictions) -> io::Result<()> {
        match self {
            Self::ParquetFile(parquet, _) => Ok(parquet.write(&record_batch(schema, batch, predictions)?)?),
            Self::CsvFile(csv, _) => write_csv(csv, batch, &predictions),
            Self::Csv(csv) => write_csv(csv, batch, &predictions),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::ParquetFile(parquet, new_file) => {
                parquet.close()?;
                new_file.commit()
            }
            Self::CsvFile(mut csv, new_file) => {
                csv.flush()?;
                new_file.commit()
            }
            Self::Csv(mut csv) => csv.flush(),
        }
    }
}

fn parquet_writer(file: File, schema: &SchemaRef, model: &Model) -> Result<ArrowWriter<File>, ParquetError> {
    let facts = [
        ("omomi.generation", model.generation().to_string()),
        ("omomi.logic_id", model.logic_id().to_owned()),
        ("omomi.contract_fingerprint", format!("{:016x}", model.contract().fingerprint())),
    ];
    let facts = facts.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_key_value_metadata(Some(facts))
        .build();
    ArrowWriter::try_new(file, Arc::clone(schema), Some(properties))
}

fn record_batch(schema: &SchemaRef, batch: &RowBatch, predictions: Predictions) -> io::Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (column, field) in batch.extra.iter().zip(schema.fields()) {
        let mut texts = StringBuilder::new();
        (0..batch.row_count()).for_each(|row| texts.append_option(column.text(row)));
        let texts = texts.finish();
        let whole = CastOptions { safe: false, ..CastOptions::default() };
        columns.push(cast_with_options(&texts, field.data_type(), &whole).map_err(io::Error::other)?);
    }
    let (mut probability, mut logit) = (Float32Builder::new(), Float64Builder::new());
    probability.append_slice(&predictions.probability);
    logit.append_slice(&predictions.logit);
    columns.push(Arc::new(probability.finish()));
    columns.push(Arc::new(logit.finish()));
    for counts in [&predictions.unseen_count, &predictions.missing_count] {
        let mut builder = UInt32Builder::new();
        builder.append_slice(counts);
        columns.push(Arc::new(builder.finish()));
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(io::Error::other)
}

fn csv_writer<W: Write>(out: W, schema: &Schema) -> io::Result<csv::Writer<W>> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(schema.fields().iter().map(|field| field.name()))?;
    Ok(csv)
}

/// Numbers have as many digits as it takes to read the same bits again. A missing value is an empty cell.
fn write_csv<W: Write>(csv: &mut csv::Writer<W>, batch: &RowBatch, predictions: &Predictions) -> io::Result<()> {
    for row in 0..batch.row_count() {
        for column in &batch.extra {
            csv.write_field(column.text(row).unwrap_or_default())?;
        }
        csv.write_field(predictions.probability[row].to_string())?;
        csv.write_field(predictions.logit[row].to_string())?;
        csv.write_field(predictions.unseen_count[row].to_string())?;
        csv.write_field(predictions.missing_count[row].to_string())?;
        csv.write_record(None::<&[u8]>)?;
    }
    Ok(())
}
