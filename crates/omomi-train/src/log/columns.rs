//! Finds the columns of a log that no contract describes yet.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::sync::Arc;

use arrow_schema::{DataType, Fields};
use serde_json::Value;

use super::csv_records::MAX_RECORD_LEN;
use super::files::{LogFile, read_failure};
use super::open_text::open_text;
use super::partitions::Partitions;
use super::row_part::PartFilter;
use super::wanted_columns::Wanted;
use super::{FormatReader, LogError, LogReader, ReadOptions};

/// Number of JSON lines of each file in which keys are looked for.
const SAMPLED_LINES: usize = 1_000;
/// Most levels of records within each other that are looked into.
const MAX_DEPTH: usize = 8;

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnForm {
    /// At most one value in each row.
    Single,
    /// A list of integers in each row.
    Integers,
    /// A list of texts in each row.
    Texts,
    /// Lists of records or of other values, maps and the like, which no field can read.
    Other,
}

/// Returns the columns of all files, each with its form, in the order in which the files have them, keys of JSON
/// in alphabetical order. Members of records
/// have names with dots, as a [contract](omomi::contract::FieldReading::column) names them. Keys of JSON lines are those
/// of the first lines of each file.
///
/// # Errors
///
/// Fails if a pattern matches no file, if a file is a pipe, or if one cannot be opened.
pub fn log_columns(patterns: &[impl AsRef<str>], options: &ReadOptions) -> Result<Vec<(String, ColumnForm)>, LogError> {
    let reader =
        LogReader::open_wanted(Wanted::nothing(), PartFilter::new(&[], None, false)?, patterns, options.clone())?;
    reader.check_repeatable()?;
    let mut columns = Columns::default();
    for (index, file) in reader.files().iter().enumerate() {
        match reader.open_file(index)? {
            None => {}
            Some(FormatReader::Csv(csv)) => {
                csv.header().iter().for_each(|name| columns.add(name.clone(), ColumnForm::Single));
            }
            Some(FormatReader::Parquet(parquet)) => columns.add_fields("", parquet.fields(), 0),
            Some(FormatReader::JsonLines(_)) => columns.add_json(&reader, index, file)?,
            Some(FormatReader::VowpalWabbit(_)) => {
                let expected = "Parquet, CSV or JSON lines, of which a contract can be drafted";
                let found = "text of Vowpal Wabbit; write its contract by hand, with a field for each namespace";
                return Err(LogError::OtherFormat { file: file.path.clone(), expected, found });
            }
        }
        for name in Partitions::of(&file.path).names() {
            columns.add(name.to_owned(), ColumnForm::Single);
        }
    }
    Ok(columns.in_order)
}

impl LogReader {
    /// Opens logs without a contract: reads the columns of `lists`, each of texts (true) or of integers, as fields in
    /// this order, and the extra columns of the options.
    pub(crate) fn open_lists(
        lists: &BTreeMap<String, bool>,
        patterns: &[impl AsRef<str>],
        options: ReadOptions,
    ) -> Result<Self, LogError> {
        let wanted = Wanted::lists(lists, &options.extra_columns);
        Self::open_wanted(wanted, PartFilter::new(&[], None, false)?, patterns, options)
    }
}

#[derive(Default)]
struct Columns {
    in_order: Vec<(String, ColumnForm)>,
    /// The index of each column, by its name.
    places: BTreeMap<String, usize>,
}

impl Columns {
    /// Adds a column. If another file has it in another form, no field can read both.
    fn add(&mut self, name: String, form: ColumnForm) {
        match self.places.get(&name) {
            None => {
                self.places.insert(name.clone(), self.in_order.len());
                self.in_order.push((name, form));
            }
            Some(&place) if self.in_order[place].1 != form => self.in_order[place].1 = ColumnForm::Other,
            Some(_) => {}
        }
    }

    fn add_fields(&mut self, prefix: &str, fields: &Fields, depth: usize) {
        for field in fields {
            let name = format!("{prefix}{}", field.name());
            match field.data_type() {
                DataType::Struct(members) if depth < MAX_DEPTH => {
                    self.add_fields(&format!("{name}."), members, depth + 1);
                }
                data_type => self.add(name, form_of(data_type)),
            }
        }
    }

    fn add_json(&mut self, reader: &LogReader, index: usize, file: &LogFile) -> Result<(), LogError> {
        let failed = |error| read_failure(&file.path, 0, error);
        let (mut text, _) = open_text(file, reader.formats[index], Arc::default(), None)?;
        let mut forms = BTreeMap::new();
        let mut names = Vec::new();
        let mut line = Vec::new();
        for _ in 0..SAMPLED_LINES {
            line.clear();
            let len = (&mut text).take(MAX_RECORD_LEN as u64).read_until(b'\n', &mut line).map_err(failed)?;
            if len == 0 {
                break;
            }
            // Reading the rows reports bad lines.
            if let Ok(value) = serde_json::from_slice(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line)) {
                add_members("", &value, 0, &mut names, &mut forms);
            }
        }
        for name in names {
            // A key whose values are all null or empty lists says nothing of its form.
            let form = forms.get(&name).copied().flatten().unwrap_or(ColumnForm::Single);
            self.add(name, form);
        }
        Ok(())
    }
}

/// Adds the members of a JSON object: their names in order, and their forms as far as their values tell.
fn add_members(
    prefix: &str,
    value: &Value,
    depth: usize,
    names: &mut Vec<String>,
    forms: &mut BTreeMap<String, Option<ColumnForm>>,
) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{key}");
        if value.is_object() && depth < MAX_DEPTH {
            add_members(&format!("{name}."), value, depth + 1, names, forms);
            continue;
        }
        let form = json_form(value);
        let known = forms.entry(name.clone()).or_insert_with(|| {
            names.push(name);
            form
        });
        *known = match (*known, form) {
            (Some(known), Some(form)) if known != form => Some(ColumnForm::Other),
            (known, form) => known.or(form),
        };
    }
}

fn json_form(value: &Value) -> Option<ColumnForm> {
    match value {
        Value::Null => None,
        Value::Array(items) => items.iter().find(|item| !item.is_null()).map(|item| match item {
            Value::Number(number) if number.is_i64() || number.is_u64() => ColumnForm::Integers,
            Value::String(_) => ColumnForm::Texts,
            _ => ColumnForm::Other,
        }),
        Value::Object(_) => Some(ColumnForm::Other),
        _ => Some(ColumnForm::Single),
    }
}

fn form_of(data_type: &DataType) -> ColumnForm {
    match data_type {
        DataType::Dictionary(_, value) => form_of(value),
        DataType::List(item) | DataType::LargeList(item) => match item.data_type() {
            item if item.is_integer() => ColumnForm::Integers,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnForm::Texts,
            _ => ColumnForm::Other,
        },
        other if other.is_nested() => ColumnForm::Other,
        _ => ColumnForm::Single,
    }
}
