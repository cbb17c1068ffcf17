//! The output: a Parquet log that training reads as it is, with everything that was logged beside the fields.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float32Builder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMillisecondBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use omomi::contract::LogPolicy;
use omomi::serving_log::{Basis, LoggedKind, Money, Source};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::columns::{COLUMNS, Form, SERVED_COUNT};
use super::partition::Joint;
use super::row::{FieldPlan, RowPlan, Value};
use super::{Writer, file_error};
use crate::serving_logs::error::ServingLogError;
use crate::serving_logs::json::hex;

/// Rows that are passed to the Parquet writer together.
const BATCH_ROW_COUNT: usize = 1 << 12;
/// Rows of a row group, which is in memory, compressed.
const ROW_GROUP_ROW_COUNT: usize = 1 << 17;

/// A cell of one of these columns.
enum Cell<'a> {
    Time(i64),
    Text(Option<&'a str>),
    Unsigned(Option<u64>),
    Signed(Option<i64>),
    Float(Option<f32>),
    Double(Option<f64>),
    Flag(bool),
}

enum Column {
    Time(TimestampMillisecondBuilder),
    Text(StringBuilder),
    Unsigned(UInt64Builder),
    Signed(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Flag(BooleanBuilder),
}

enum FieldColumn {
    Ids(Int64Builder),
    Keys(UInt64Builder),
    Numbers(Float64Builder),
    Texts(StringBuilder),
    IdLists(ListBuilder<Int64Builder>),
    KeyLists(ListBuilder<UInt64Builder>),
    TextLists(ListBuilder<StringBuilder>),
}

pub(in crate::serving_logs) struct Output {
    path: PathBuf,
    parquet: ArrowWriter<Writer>,
    schema: SchemaRef,
    fields: Vec<FieldColumn>,
    label: Option<Int64Builder>,
    columns: Vec<Column>,
    row_count: usize,
}

impl Output {
    /// Starts the output of a join.
    pub(super) fn joined(
        file: Writer,
        plan: &RowPlan,
        facts: &[(&str, String)],
        path: &Path,
    ) -> Result<Self, ServingLogError> {
        Self::new(file, plan, (&COLUMNS, "omomi log join"), facts, path)
    }

    /// Starts the output of an export: no label, and nothing that happened later.
    pub(in crate::serving_logs) fn exported(
        file: Writer,
        plan: &RowPlan,
        path: &Path,
    ) -> Result<Self, ServingLogError> {
        Self::new(file, plan, (&COLUMNS[..SERVED_COUNT], "omomi log export"), &[], path)
    }

    fn new(
        file: Writer,
        plan: &RowPlan,
        (names, creator): (&[(&str, Form)], &str),
        facts: &[(&str, String)],
        path: &Path,
    ) -> Result<Self, ServingLogError> {
        let mut schema: Vec<Field> = Vec::new();
        let mut fields = Vec::new();
        for (field, name) in plan.fields.iter().zip(&plan.names.fields) {
            let column = FieldColumn::new(field);
            schema.push(Field::new(name, column.data_type(), true));
            fields.push(column);
        }
        schema.extend(plan.names.label.iter().map(|label| Field::new(label, DataType::Int64, false)));
        let mut columns = Vec::new();
        for (name, form) in names {
            let is_given = matches!(form, Form::Time | Form::Flag);
            schema.push(Field::new(plan.names.of(name), form.data_type(), !is_given));
            columns.push(Column::new(*form));
        }
        let schema: SchemaRef = Arc::new(Schema::new(schema));
        let facts = facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect();
        let created = || {
            let properties = WriterProperties::builder()
                .set_created_by(creator.to_owned())
                .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
                .set_max_row_group_row_count(Some(ROW_GROUP_ROW_COUNT))
                .set_key_value_metadata(Some(facts))
                .build();
            ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
        };
        let parquet = created().map_err(|error| parquet_error(path, error))?;
        let path = path.to_owned();
        let label = plan.names.label.is_some().then(Int64Builder::new);
        Ok(Self { path, parquet, schema, fields, label, columns, row_count: 0 })
    }

    pub(in crate::serving_logs) fn add(&mut self, joint: Joint<'_>, plan: &RowPlan) -> Result<(), ServingLogError> {
        let Joint { at_unix_ms, id, is_late, outcome, mut row } = joint;
        let (facts, values) = plan.decode(&mut row).map_err(file_error("read the temporary files of", &self.path))?;
        for (column, value) in self.fields.iter_mut().zip(&values) {
            column.add(value);
        }
        if let Some(label) = &mut self.label {
            label.append_value(i64::from(outcome.click.is_some()));
        }
        let [request_id, impression, experiment, arm] = facts.texts;
        let given = |text: &'_ str| !text.is_empty();
        let (id, digest) = (hex(id.as_bytes()), facts.digest.map(|digest| hex(&digest)));
        let fingerprint = facts.contract_fingerprint.map(|fingerprint| format!("{fingerprint:016x}"));
        let bid_currency = facts.bid.as_ref().map(|(_, _, letters)| String::from_utf8_lossy(letters));
        let bid_basis = facts.bid.and_then(|(_, basis, _)| Basis::from_number(basis));
        let delay = |event: Option<(i64, Option<Money>)>| event.map(|(delay_ms, _)| delay_ms);
        let money = |event: Option<(i64, Option<Money>)>| event.and_then(|(_, money)| money);
        let (win, click, conversion) = (money(outcome.win), money(outcome.click), money(outcome.conversion));
        let code = |money: &'_ Option<Money>| money.as_ref().map(|money| money.currency.code().to_owned());
        let (win_code, click_code, conversion_code) = (code(&win), code(&click), code(&conversion));
        let micros = |money: Option<Money>| money.map(|money| money.micros);
        let number = |number: f64| (!number.is_nan()).then_some(number);
        let unsigned = |number: u32| Cell::Unsigned(Some(u64::from(number)));
        let cells: [Cell<'_>; COLUMNS.len()] = [
            Cell::Time(at_unix_ms),
            Cell::Text(Some(&id)),
            Cell::Text(Some(request_id)),
            Cell::Text(Some(impression).filter(|text| given(text))),
            Cell::Text(Some(facts.logic_id).filter(|text| given(text))),
            Cell::Unsigned(facts.generation),
            Cell::Text(digest.as_deref()),
            Cell::Text(fingerprint.as_deref()),
            Cell::Text(Some(facts.server)),
            unsigned(u32::from(facts.model)),
            Cell::Text(Some(experiment).filter(|text| given(text))),
            Cell::Text(Some(arm).filter(|text| given(text))),
            Cell::Unsigned(facts.bucket.map(u64::from)),
            unsigned(facts.candidate),
            unsigned(facts.candidate_count),
            Cell::Unsigned(facts.position.map(u64::from)),
            Cell::Double(number(facts.propensity)),
            Cell::Float(Some(facts.probability).filter(|number| !number.is_nan())),
            Cell::Double(number(facts.logit)),
            Cell::Text(Source::from_number(facts.source).map(Source::word)),
            Cell::Flag(facts.is_shadow),
            Cell::Flag(facts.is_clamped),
            unsigned(facts.unseen_count),
            unsigned(facts.missing_count),
            Cell::Unsigned(Some(facts.latency_ns).filter(|ns| *ns > 0)),
            Cell::Signed(facts.bid.map(|(micros, ..)| micros)),
            Cell::Text(bid_currency.as_deref()),
            Cell::Text(bid_basis.map(Basis::word)),
            Cell::Flag(outcome.win.is_some()),
            Cell::Signed(delay(outcome.win)),
            Cell::Signed(micros(win)),
            Cell::Text(win_code.as_deref()),
            Cell::Text(win.map(|money| money.basis.word())),
            Cell::Flag(outcome.impression.is_some()),
            Cell::Signed(delay(outcome.click)),
            Cell::Signed(micros(click)),
            Cell::Text(click_code.as_deref()),
            Cell::Flag(outcome.conversion.is_some()),
            Cell::Signed(delay(outcome.conversion)),
            Cell::Signed(micros(conversion)),
            Cell::Text(conversion_code.as_deref()),
            Cell::Flag(is_late),
        ];
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.add(cell);
        }
        self.row_count += 1;
        if self.row_count == BATCH_ROW_COUNT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ServingLogError> {
        if self.row_count == 0 {
            return Ok(());
        }
        self.row_count = 0;
        let fields = self.fields.iter_mut().map(FieldColumn::finish);
        let label = self.label.iter_mut().map(|label| -> ArrayRef { Arc::new(label.finish()) });
        let columns = self.columns.iter_mut().map(Column::finish);
        let arrays: Vec<ArrayRef> = fields.chain(label).chain(columns).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(ParquetError::from);
        let written = batch.and_then(|batch| self.parquet.write(&batch));
        written.map_err(|error| parquet_error(&self.path, error))
    }

    pub(in crate::serving_logs) fn finish(mut self) -> Result<(), ServingLogError> {
        self.flush()?;
        let file = self.parquet.into_inner().map_err(|error| parquet_error(&self.path, error))?;
        file.into_inner().map(drop).map_err(|error| file_error("write the file", &self.path)(error.into_error()))
    }
}

fn parquet_error(path: &Path, error: ParquetError) -> ServingLogError {
    file_error("write the file", path)(error.into())
}

impl Column {
    fn new(form: Form) -> Self {
        match form {
            Form::Time => Self::Time(TimestampMillisecondBuilder::new().with_timezone("UTC")),
            Form::Text => Self::Text(StringBuilder::new()),
            Form::Unsigned => Self::Unsigned(UInt64Builder::new()),
            Form::Signed => Self::Signed(Int64Builder::new()),
            Form::Float => Self::Float(Float32Builder::new()),
            Form::Double => Self::Double(Float64Builder::new()),
            Form::Flag => Self::Flag(BooleanBuilder::new()),
        }
    }

    /// Adds a cell, or a null if the cell has another type than the column.
    fn add(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Time(column), Cell::Time(time)) => column.append_value(time),
            (Self::Text(column), Cell::Text(text)) => column.append_option(text),
            (Self::Unsigned(column), Cell::Unsigned(number)) => column.append_option(number),
            (Self::Signed(column), Cell::Signed(number)) => column.append_option(number),
            (Self::Float(column), Cell::Float(number)) => column.append_option(number),
            (Self::Double(column), Cell::Double(number)) => column.append_option(number),
            (Self::Flag(column), Cell::Flag(flag)) => column.append_value(flag),
            _ => debug_assert!(false, "the cells are in the order of the columns"),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Time(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
            Self::Unsigned(column) => Arc::new(column.finish()),
            Self::Signed(column) => Arc::new(column.finish()),
            Self::Float(column) => Arc::new(column.finish()),
            Self::Double(column) => Arc::new(column.finish()),
            Self::Flag(column) => Arc::new(column.finish()),
        }
    }
}

impl FieldColumn {
    fn new(field: &FieldPlan) -> Self {
        match (field.kind, field.many, field.policy) {
            (_, false, LogPolicy::Hashed) => Self::Keys(UInt64Builder::new()),
            (_, true, LogPolicy::Hashed) => Self::KeyLists(ListBuilder::new(UInt64Builder::new())),
            (LoggedKind::Id, false, _) => Self::Ids(Int64Builder::new()),
            (LoggedKind::Id, true, _) => Self::IdLists(ListBuilder::new(Int64Builder::new())),
            (LoggedKind::Number, ..) => Self::Numbers(Float64Builder::new()),
            (LoggedKind::Text, false, _) => Self::Texts(StringBuilder::new()),
            (LoggedKind::Text, true, _) => Self::TextLists(ListBuilder::new(StringBuilder::new())),
        }
    }

    fn data_type(&self) -> DataType {
        let list = |item| DataType::new_list(item, true);
        match self {
            Self::Ids(_) => DataType::Int64,
            Self::Keys(_) => DataType::UInt64,
            Self::Numbers(_) => DataType::Float64,
            Self::Texts(_) => DataType::Utf8,
            Self::IdLists(_) => list(DataType::Int64),
            Self::KeyLists(_) => list(DataType::UInt64),
            Self::TextLists(_) => list(DataType::Utf8),
        }
    }

    fn add(&mut self, value: &Value<'_>) {
        match (self, value) {
            (Self::Ids(column), Value::Word(word)) => column.append_value(word.cast_signed()),
            (Self::Keys(column), Value::Word(word)) => column.append_value(*word),
            (Self::Numbers(column), Value::Word(word)) => column.append_value(f64::from_bits(*word)),
            (Self::Texts(column), Value::Text(text)) => column.append_value(text),
            (Self::IdLists(column), Value::Words(words)) => {
                column.append_value(words.iter().map(|word| Some(word.cast_signed())));
            }
            (Self::KeyLists(column), Value::Words(words)) => column.append_value(words.iter().map(|word| Some(*word))),
            (Self::TextLists(column), Value::Texts(texts)) => column.append_value(texts.iter().map(|text| Some(*text))),
            (Self::Ids(column), _) => column.append_null(),
            (Self::Keys(column), _) => column.append_null(),
            (Self::Numbers(column), _) => column.append_null(),
            (Self::Texts(column), _) => column.append_null(),
            (Self::IdLists(column), _) => column.append_null(),
            (Self::KeyLists(column), _) => column.append_null(),
            (Self::TextLists(column), _) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Ids(column) => Arc::new(column.finish()),
            Self::Keys(column) => Arc::new(column.finish()),
            Self::Numbers(column) => Arc::new(column.finish()),
            Self::Texts(column) => Arc::new(column.finish()),
            Self::IdLists(column) => Arc::new(column.finish()),
            Self::KeyLists(column) => Arc::new(column.finish()),
            Self::TextLists(column) => Arc::new(column.finish()),
        }
    }
}
