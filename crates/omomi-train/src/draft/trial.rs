//! Reads logs with a drafted contract, as training does, to find the columns that a field cannot read.

use super::DraftOptions;
use crate::log::{BadRow, LogError, LogReader, ReadOptions, RowFault};

/// Why a column cannot be read as it was drafted.
pub(super) struct Fault {
    pub(super) column: String,
    /// Whether another type may read it.
    pub(super) is_of_type: bool,
    pub(super) reason: String,
}

/// Reads about `row_count` rows with the contract `text`, and returns the first faults of its fields. There are none if
/// no more rows are bad than the options allow, as in training. Bad rows that are in no single column are left to the
/// survey, which allows only so many.
pub(super) fn faults(text: &str, options: &DraftOptions, row_count: u64) -> Result<Vec<Fault>, LogError> {
    // A draft without a field reads nothing.
    let Ok(contract) = crate::toml::parse_contract(text) else { return Ok(Vec::new()) };
    let read = ReadOptions { max_bad_rows: u64::MAX, time_column: None, ..options.read.clone() };
    // The label is known, and is not to end the trial.
    let mut reader = match LogReader::open_unlabeled(&contract, &options.logs, read) {
        Ok(reader) => reader,
        Err(error) => return fault_of(&error).map(|fault| vec![fault]).ok_or(error),
    };
    while reader.rows_read() < row_count {
        // The list of bad rows has an end, and the fields at fault so far are enough for a next try.
        if reader.bad_rows().len() >= BadRow::MAX_LISTED && reader.bad_row_count() > options.read.max_bad_rows {
            break;
        }
        match reader.next_batch() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return fault_of(&error).map(|fault| vec![fault]).ok_or(error),
        }
    }
    if reader.bad_row_count() <= options.read.max_bad_rows {
        return Ok(Vec::new());
    }
    Ok(reader.bad_rows().iter().filter_map(fault_of_row).collect())
}

/// The column that an error is about, unless it is about a whole file or row.
pub(super) fn fault_of(error: &LogError) -> Option<Fault> {
    let fault = |column: &str, is_of_type, reason| Fault { column: column.to_owned(), is_of_type, reason };
    match error {
        LogError::WrongType { column, expected, found, .. } => {
            Some(fault(column, true, format!("expected {expected}, found {found}")))
        }
        LogError::BadPartition { column, fault: row_fault, .. } => {
            Some(fault(column, true, format!("in the name of a folder: {row_fault}")))
        }
        LogError::MissingColumn { file, column, .. } => {
            Some(fault(column, false, format!("the file {} lacks the column", file.display())))
        }
        LogError::RepeatedColumn { file, column } => {
            Some(fault(column, false, format!("two columns of {} have its name", file.display())))
        }
        LogError::BadRow(row) => fault_of_row(row),
        LogError::TooManyBadRows { listed, .. } => {
            let rows_of = |column: &str| listed.iter().filter(|row| row.column.as_deref() == Some(column)).count();
            let worst = listed.iter().filter(|row| row.column.is_some());
            fault_of_row(worst.max_by_key(|row| rows_of(row.column.as_deref().unwrap_or_default()))?)
        }
        _ => None,
    }
}

fn fault_of_row(row: &BadRow) -> Option<Fault> {
    // A record that is not CSV may be anything, wherever it was noticed.
    let is_record = matches!(row.fault, RowFault::Csv { .. });
    let column = row.column.clone().filter(|_| !is_record)?;
    let is_of_type = !matches!(row.fault, RowFault::NotUtf8 | RowFault::RepeatedKey | RowFault::TooLong);
    Some(Fault { column, is_of_type, reason: format!("row {}: {}", row.row, row.fault) })
}
