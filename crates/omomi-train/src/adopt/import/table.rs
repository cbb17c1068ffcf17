//! Tables with a row for each weight: CSV, JSON lines and Parquet.

use crate::bucket::Source;
use std::borrow::Cow;
use std::io::{self, BufRead};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::DataType;
use omomi::printable::quoted;
use serde::Deserialize;
use serde_json::Value;

use super::rows::{Faults, Named, Row, count_of, is_bias, next_line, weight_of};
use crate::learn::category::FeatureNames;
use crate::log::{CsvDialect, CsvRecords, Groups, decoder, load};

const FIELD: &str = "field";
const CATEGORY: &str = "category";
const WEIGHT: &str = "weight";
const IMPRESSIONS: &str = "impressions";
const CLICKS: &str = "clicks";
/// Number of rows of a Parquet file that are decoded together.
const BATCH_ROW_COUNT: usize = 1 << 14;

type Take<'a> = &'a mut dyn FnMut(&mut Faults, Row<'_>) -> io::Result<()>;

/// The cells of one row, as text.
struct Cells<'a> {
    line: u64,
    field: &'a str,
    category: &'a str,
    weight: &'a str,
    /// `None` if the table has no such column.
    impressions: Option<&'a str>,
    clicks: &'a str,
}

fn take_cells(cells: &Cells<'_>, names: &FeatureNames, faults: &mut Faults, take: Take<'_>) -> io::Result<()> {
    let &Cells { line, field, category, .. } = cells;
    let numbers = weight_of(cells.weight).and_then(|weight| {
        let impressions = cells.impressions.map(|text| count_of(IMPRESSIONS, text)).transpose()?;
        let clicks = count_of(CLICKS, cells.clicks)?;
        match impressions {
            Some(impressions) if clicks > impressions => {
                Err(format!("expected at most {impressions} clicks, found {clicks}"))
            }
            _ => Ok((weight, impressions, clicks)),
        }
    });
    let (weight, impressions, clicks) = match numbers {
        Ok(numbers) => numbers,
        Err(problem) => {
            faults.add(line, format!("`{}` = `{}`: {problem}", quoted(field), quoted(category)));
            return Ok(());
        }
    };
    let named = if is_bias(field) && category.is_empty() && !names.has(field) {
        Named::Bias
    } else {
        Named::Feature { field, category }
    };
    take(faults, Row { line, named, weight, impressions, clicks })
}

/// Reads CSV. Returns the columns that were not read.
pub(super) fn read_csv(
    input: &mut dyn BufRead,
    default_delimiter: char,
    names: &FeatureNames,
    faults: &mut Faults,
    take: Take<'_>,
) -> io::Result<Vec<String>> {
    let mut records = CsvRecords::new(input, &CsvDialect::default(), default_delimiter);
    let Some(header) = records.read()? else {
        faults.add(1, "expected a header with the columns field, category and weight, found no text");
        return Ok(Vec::new());
    };
    let mut columns: Vec<String> = (0..records.cell_count())
        .map(|index| String::from_utf8_lossy(records.cell(index)).trim_start_matches('\u{feff}').to_owned())
        .collect();
    if let Some((_, fault)) = header.fault {
        faults.add(header.line, format!("in the header: {fault}"));
        return Ok(Vec::new());
    }
    let place = |name: &str| columns.iter().position(|column| column == name);
    let places = [FIELD, CATEGORY, WEIGHT].map(place);
    let [Some(field), Some(category), Some(weight)] = places else {
        faults.add(header.line, missing_columns(&columns));
        return Ok(Vec::new());
    };
    let (impressions, clicks) = (place(IMPRESSIONS), place(CLICKS));
    let column_count = columns.len();
    while let Some(record) = records.read()? {
        let line = record.line;
        if let Some((column, fault)) = record.fault {
            faults.add(line, format!("in column {}: {fault}", column + 1));
            continue;
        }
        if records.cell_count() != column_count {
            let found = records.cell_count();
            faults.add(line, format!("expected {column_count} cells, as in the header, found {found}"));
            continue;
        }
        let cell = |index: usize| str::from_utf8(records.cell(index));
        let texts = [Some(field), Some(category), Some(weight), impressions, clicks];
        let texts = texts.map(|index| index.map_or(Ok(""), cell));
        let [Ok(field), Ok(category), Ok(weight), Ok(impressions_text), Ok(clicks)] = texts else {
            faults.add(line, "expected text in UTF-8, found other bytes");
            continue;
        };
        let impressions = impressions.map(|_| impressions_text);
        take_cells(&Cells { line, field, category, weight, impressions, clicks }, names, faults, take)?;
    }
    columns.retain(|column| !is_read(column));
    Ok(columns)
}

fn is_read(column: &str) -> bool {
    [FIELD, CATEGORY, WEIGHT, IMPRESSIONS, CLICKS].contains(&column)
}

fn missing_columns(columns: &[String]) -> String {
    let found: Vec<String> = columns.iter().take(20).map(|column| quoted(column)).collect();
    format!("expected the columns field, category and weight, found {}", found.join(", "))
}

#[derive(Deserialize)]
struct JsonRow<'a> {
    #[serde(borrow, default)]
    field: Cow<'a, str>,
    #[serde(default)]
    category: Value,
    #[serde(default)]
    weight: Value,
    impressions: Option<Value>,
    #[serde(default)]
    clicks: Value,
}

/// Reads JSON lines: an object with the keys `field`, `category` and `weight` in each.
pub(super) fn read_json_lines(
    input: &mut dyn BufRead,
    names: &FeatureNames,
    faults: &mut Faults,
    take: Take<'_>,
) -> io::Result<()> {
    let (mut bytes, mut line) = (Vec::new(), 0);
    while next_line(input, &mut bytes)? {
        line += 1;
        let bytes = if line == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes) } else { &bytes };
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let row: JsonRow<'_> = match serde_json::from_slice(bytes) {
            Ok(row) => row,
            Err(error) => {
                let form = r#"{"field": "..", "category": .., "weight": ..}"#;
                faults.add(line, format!("expected an object such as {form}: {error}"));
                continue;
            }
        };
        let texts = [&row.category, &row.weight, &row.clicks].map(text_of_json);
        let impressions = row.impressions.as_ref().map(text_of_json).transpose();
        let ([Ok(category), Ok(weight), Ok(clicks)], Ok(impressions)) = (texts, impressions) else {
            faults.add(line, "expected texts and numbers, found a list or an object");
            continue;
        };
        let impressions = impressions.as_deref();
        let (category, weight, clicks) = (category.as_ref(), weight.as_ref(), clicks.as_ref());
        let cells = Cells { line, field: &row.field, category, weight, impressions, clicks };
        take_cells(&cells, names, faults, take)?;
    }
    Ok(())
}

fn text_of_json(value: &Value) -> Result<Cow<'_, str>, ()> {
    match value {
        Value::Null => Ok(Cow::Borrowed("")),
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(number) => Ok(Cow::Owned(number.to_string())),
        Value::Bool(value) => Ok(Cow::Borrowed(if *value { "true" } else { "false" })),
        Value::Array(_) | Value::Object(_) => Err(()),
    }
}

/// Reads Parquet. Returns the columns that were not read.
pub(super) fn read_parquet(
    file: Source,
    names: &FeatureNames,
    faults: &mut Faults,
    take: Take<'_>,
) -> io::Result<Vec<String>> {
    let damaged = |error: parquet::errors::ParquetError| io::Error::new(io::ErrorKind::InvalidData, error);
    let metadata = load(&file).map_err(damaged)?;
    let mut columns: Vec<String> = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
    let place = |name: &str| columns.iter().position(|column| column == name);
    let places = [FIELD, CATEGORY, WEIGHT].map(place);
    let [Some(field), Some(category), Some(weight)] = places else {
        faults.add(1, missing_columns(&columns));
        return Ok(Vec::new());
    };
    let (impressions, clicks) = (place(IMPRESSIONS), place(CLICKS));
    let groups = Groups::all(&file, metadata.metadata(), BATCH_ROW_COUNT).map_err(|fault| damaged(fault.into()))?;
    let mut line = 0;
    for batch in decoder(file, metadata, &groups, None).map_err(damaged)? {
        let batch = batch.map_err(|error| damaged(error.into()))?;
        let wanted = |index: usize, data_type: &DataType| -> io::Result<ArrayRef> {
            let column = batch.column(index);
            cast(column, data_type).map_err(|_| {
                let (name, found) = (&columns[index], column.data_type());
                let problem = format!("column `{name}`: expected texts or numbers, found {found}");
                io::Error::new(io::ErrorKind::InvalidData, problem)
            })
        };
        let field = wanted(field, &DataType::Utf8)?;
        let category = wanted(category, &DataType::Utf8)?;
        let weight_texts = match batch.column(weight).data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(wanted(weight, &DataType::Utf8)?),
            _ => None,
        };
        let weight = wanted(weight, &DataType::Float64)?;
        let counts = |index: Option<usize>| index.map(|index| wanted(index, &DataType::Utf8)).transpose();
        let (impressions, clicks) = (counts(impressions)?, counts(clicks)?);
        let text = |array: &Arc<dyn Array>, row: usize| -> String {
            let texts = array.as_string::<i32>();
            if texts.is_null(row) { String::new() } else { texts.value(row).to_owned() }
        };
        let weights = weight.as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            line += 1;
            let weight = match &weight_texts {
                Some(texts) => text(texts, row),
                None if weights.is_null(row) => String::new(),
                // The shortest text that reads back to the same double.
                None => format!("{:?}", weights.value(row)),
            };
            let (field, category) = (text(&field, row), text(&category, row));
            let count = |array: &Option<ArrayRef>| array.as_ref().map(|array| text(array, row));
            let (impressions, clicks) = (count(&impressions), count(&clicks).unwrap_or_default());
            let cells = Cells {
                line,
                field: &field,
                category: &category,
                weight: &weight,
                impressions: impressions.as_deref(),
                clicks: &clicks,
            };
            take_cells(&cells, names, faults, take)?;
        }
    }
    columns.retain(|column| !is_read(column));
    Ok(columns)
}
