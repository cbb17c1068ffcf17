//! Reads a live list: the categories of a field that are live, such as the creatives that may be shown today.
//!
//! The list is checked strictly, because a damaged list would make a model forget what it has learned.
//!
//! Entries are read like the log's column of the field: where the contract says `normalize = "nfc"`, they are
//! normalized, and an id may have a fraction of zeros.
//!
//! # Limits
//!
//! Only plain CSV is supported: no Parquet, no compression. A list that is truncated between two lines looks like a
//! shorter list. Only the guard on the share of dropped categories can detect that.

use crate::bucket;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::PruneError;
use crate::log::{CsvDialect, CsvRecord, CsvRecords, nfc, other_format, text_id};
use omomi::contract::{Field, FieldKind, FieldReading};

/// A file with the live categories of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveList {
    /// Path of a CSV file, or of a file with tabs between the cells if its name ends in `.tsv`. It has a header that
    /// names a column like the field, or else like the log's column of the field; or it has one column and no header.
    pub path: PathBuf,
    /// Name of the field.
    pub field: String,
    /// How the file is written.
    pub csv: CsvDialect,
}

/// The field of a live list, and how its column is read in logs.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListField<'a> {
    pub(super) field: &'a Field,
    pub(super) reading: &'a FieldReading,
}

/// Reads the live categories of a field, in the form in which a training state has them.
///
/// # Errors
///
/// Returns [`PruneError::LiveListUnreadable`] if the file cannot be read. Returns [`PruneError::LiveListMalformed`] if
/// the list has no entries, if a line has fewer or more columns than the first, if the last line is truncated, or if an
/// entry does not have the field's type.
pub(super) fn read(path: &Path, field: ListField<'_>, dialect: &CsvDialect) -> Result<HashSet<String>, PruneError> {
    let bytes =
        bucket::read(path).map_err(|source| PruneError::LiveListUnreadable { path: path.to_owned(), source })?;
    let is_tsv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
    let parsed = dialect.check().map_err(|problem| (None, problem));
    let parsed = parsed.and_then(|()| parse(&bytes, field, dialect, if is_tsv { '\t' } else { ',' }));
    parsed.map_err(|(line, problem)| PruneError::LiveListMalformed { path: path.to_owned(), line, problem })
}

/// Most columns that a message names.
const MAX_NAMED: usize = 20;

type Problem = (Option<u64>, String);

fn parse(
    bytes: &[u8],
    list_field: ListField<'_>,
    dialect: &CsvDialect,
    default_delimiter: char,
) -> Result<HashSet<String>, Problem> {
    let ListField { field, reading } = list_field;
    // Some exporters write a byte order mark before UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(found) = other_format(bytes) {
        // Only logs may be compressed.
        let found = found.split(';').next().unwrap_or_default();
        return Err((None, format!("expected plain CSV, found {found}")));
    }
    let is_json = bytes.starts_with(b"{\"") || bytes.starts_with(b"[{") || bytes.starts_with(b"[\"");
    if is_json {
        return Err((None, "expected CSV, found JSON".to_owned()));
    }
    let is_cut_off = !bytes.ends_with(b"\n") && !bytes.ends_with(b"\r");
    let delimiter = dialect.delimiter.unwrap_or(default_delimiter);
    let mut records = Records(CsvRecords::new(bytes, dialect, default_delimiter));
    let Some((_, header)) = records.next()? else {
        return Err((None, "expected entries, found an empty file".to_owned()));
    };
    let column_named = |wanted: &str| header.iter().position(|name| name == wanted);
    let column = column_named(&field.name).or_else(|| column_named(reading.column.as_deref()?));
    let column_count = header.len();
    let mut live = HashSet::new();
    let place = match column {
        Some(place) => place,
        None if column_count == 1 => {
            live.insert(entry(&header[0], list_field, 1)?);
            0
        }
        None => {
            let more = if header.len() > MAX_NAMED {
                format!(" and {} more", header.len() - MAX_NAMED)
            } else {
                String::new()
            };
            let found = header.iter().take(MAX_NAMED).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>();
            let found = found.join(", ");
            return Err((Some(1), format!("expected a column `{}`, found {found}{more}", field.name)));
        }
    };
    while let Some((line, record)) = records.next()? {
        if record.len() != column_count {
            let found = record.len();
            let broken = is_cut_off && found < column_count && records.next()?.is_none();
            let cut_off = if broken { " and no end of the line: the list is truncated" } else { "" };
            return Err((Some(line), format!("expected {column_count} columns, found {found}{cut_off}")));
        }
        if let Some(cell) = record.iter().find(|cell| has_row_inside(cell, column_count, delimiter)) {
            let found = cell.lines().nth(1).unwrap_or_default();
            return Err((
                Some(line),
                format!(
                    "expected quotes around single cells, found a cell over several lines, of which `{}` looks like an \
                     entry of its own; look for a stray quote",
                    found.escape_debug()
                ),
            ));
        }
        live.insert(entry(&record[place], list_field, line)?);
    }
    if live.is_empty() {
        return Err((None, "expected entries, found only a header".to_owned()));
    }
    Ok(live)
}

/// Converts a cell to a category, in the form in which a training state has it.
fn entry(cell: &str, ListField { field, reading }: ListField<'_>, line: u64) -> Result<String, Problem> {
    match field.kind {
        FieldKind::Id => match text_id(cell.trim()) {
            Some(id) => Ok(id.to_string()),
            None => {
                let header = if line == 1 { format!(" or the header `{}`", field.name) } else { String::new() };
                let name = &field.name;
                Err((Some(line), format!("expected an integer{header}, because `{name}` is an id, found `{cell}`")))
            }
        },
        _ if cell.is_empty() => Err((Some(line), "expected a category, found an empty cell".to_owned())),
        _ if reading.nfc => Ok(nfc(cell).into_owned()),
        _ => Ok(cell.to_owned()),
    }
}

/// Whether a line inside of a quoted cell has as many cells as a record. Two stray quotes make such a cell, and the
/// entries between them would silently be missing from the list.
fn has_row_inside(cell: &str, column_count: usize, delimiter: char) -> bool {
    cell.lines().skip(1).any(|line| line.matches(delimiter).count() + 1 >= column_count)
}

/// The records of a CSV text.
struct Records<'a>(CsvRecords<&'a [u8]>);

impl Records<'_> {
    /// Reads the next record, skipping empty lines. Returns it with the number of the line on which it starts.
    fn next(&mut self) -> Result<Option<(u64, Vec<String>)>, Problem> {
        let read = self.0.read().map_err(|error| (None, error.to_string()))?;
        let Some(CsvRecord { line, fault, .. }) = read else { return Ok(None) };
        if let Some((column, fault)) = fault {
            return Err((Some(line), format!("in column {}: {fault}", column + 1)));
        }
        let cells = (0..self.0.cell_count()).map(|index| str::from_utf8(self.0.cell(index)).map(str::to_owned));
        let cells = cells.collect::<Result<Vec<_>, _>>();
        let cells = cells.map_err(|_| (Some(line), "expected UTF-8, found other bytes".to_owned()))?;
        if cells.first().is_some_and(|cell| cell.starts_with('\u{feff}')) {
            let problem =
                "expected a byte order mark only at the start of the list, found one here; join lists without it";
            return Err((Some(line), problem.to_owned()));
        }
        Ok(Some((line, cells)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omomi::contract::Contract;

    fn fields() -> Vec<Field> {
        let json = r#"{"name":"live","label":"clicked","field":[
            {"name":"creative_id","side":"candidate","type":"id","meaning":"m"},
            {"name":"title","side":"candidate","type":"text","meaning":"m"}]}"#;
        Contract::from_json(json.as_bytes()).unwrap().fields().to_vec()
    }

    fn live(text: &str, field: usize) -> Result<Vec<String>, String> {
        live_by(text, field, &FieldReading::default())
    }

    fn live_by(text: &str, field: usize, reading: &FieldReading) -> Result<Vec<String>, String> {
        let list_field = ListField { field: &fields()[field], reading };
        let parsed = parse(text.as_bytes(), list_field, &CsvDialect::default(), ',');
        let live =
            parsed.map_err(|(line, problem)| line.map_or(problem.clone(), |line| format!("{line}: {problem}")))?;
        let mut live: Vec<String> = live.into_iter().collect();
        live.sort();
        Ok(live)
    }

    #[test]
    fn column_is_found_by_its_name_and_a_single_column_needs_no_header() {
        let expected = Ok(vec!["-3".to_owned(), "17".to_owned()]);
        assert_eq!(live("state,creative_id\non,17\non,-3\non,017\n", 0), expected);
        assert_eq!(live("creative_id\r\n17\r\n-3", 0), expected);
        assert_eq!(live("\u{feff}17\n\n-3\n", 0), expected);
        let texts = Ok(vec!["a*b, \"c\"".to_owned(), "猫".to_owned()]);
        assert_eq!(live("title\n\"a*b, \"\"c\"\"\"\n猫\n", 1), texts);
    }

    /// Logs were normalized and lists were not, so that a list in another Unicode form dropped what is live.
    #[test]
    fn entries_are_read_like_the_column_of_the_log() {
        let reading = FieldReading { column: Some("item.title".to_owned()), nfc: true, ..FieldReading::default() };
        let composed = Ok(vec!["caf\u{e9}".to_owned(), "\u{30ac}".to_owned()]);
        for text in [
            "item.title\n\u{30ab}\u{3099}\ncafe\u{301}\n\u{30ac}\n",
            "title,item.title\n\u{30ab}\u{3099},x\ncafe\u{301},y\n",
            "\u{30ab}\u{3099}\ncafe\u{301}\n",
        ] {
            assert_eq!(live_by(text, 1, &reading), composed, "{text:?}");
        }
        assert_eq!(live("cafe\u{301}\n", 1), Ok(vec!["cafe\u{301}".to_owned()]), "only where the contract says so");
        assert_eq!(live("17.0\n-3.00\n", 0), Ok(vec!["-3".to_owned(), "17".to_owned()]), "pandas writes ids so");
    }

    #[test]
    fn damaged_lists_are_rejected() {
        let cases = [
            ("", "expected entries, found an empty file"),
            ("PAR1\0", "expected plain CSV, found Parquet"),
            ("creative_id\n", "expected entries, found only a header"),
            ("id,state\n17,on\n", "1: expected a column `creative_id`, found id, state"),
            (
                "creative_id,state\n17,on\n1",
                "3: expected 2 columns, found 1 and no end of the line: the list is truncated",
            ),
            ("creative_id,state\n17\n18,on\n", "2: expected 2 columns, found 1"),
            (
                "id\n17\n",
                "1: expected an integer or the header `creative_id`, because `creative_id` is an id, found `id`",
            ),
            (
                "17\n\u{feff}18\n",
                "2: expected a byte order mark only at the start of the list, found one here; join lists without it",
            ),
            ("17\r\nNULL\r\n", "2: expected an integer, because `creative_id` is an id, found `NULL`"),
            ("17\n1.5\n", "2: expected an integer, because `creative_id` is an id, found `1.5`"),
        ];
        for (text, expected) in cases {
            assert_eq!(live(text, 0), Err(expected.to_owned()), "{text:?}");
        }
        assert_eq!(
            live("title\na\n\"b\nc\n", 1),
            Err("3: in column 1: expected a closing quote, found the end of the file".to_owned())
        );
        // Each quote is stray, but together they make a well-formed cell.
        for text in ["creative_id,state\n1,\"on\n2,off\"\n3,on\n", "title\na\n\"b\nc\"\nd\n"] {
            let field = usize::from(text.starts_with("title"));
            assert!(live(text, field).unwrap_err().contains("looks like an entry of its own"), "{text:?}");
        }
        assert!(live("title,state,x\n\"a\nb\",on,y\n", 1).is_ok(), "a line end alone is no entry");
        assert!(live("{\"creative_id\":1}\n", 0).unwrap_err().contains("found JSON"));
        assert!(live("title\n\"say \\\"hi\\\"\"\n", 1).unwrap_err().contains("--csv-escape"));
        assert!(live("title\na \"b\"\n", 1).unwrap_err().starts_with("2: in column 1: expected quotes around"));
        assert_eq!(live("title,state\n,on\n", 1), Err("2: expected a category, found an empty cell".to_owned()));
    }

    #[test]
    fn long_lines_and_many_columns_are_read() {
        let header: Vec<String> = (0..100).map(|column| format!("column_{column}")).collect();
        let text = format!("{},title\n{},{}\n", header.join(","), ",".repeat(99), "猫".repeat(5_000));
        assert_eq!(live(&text, 1), Ok(vec!["猫".repeat(5_000)]));
    }
}
