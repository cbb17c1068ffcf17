//! Which columns of a log are read: the fields of the contract, the label, the time and what else was asked for; the
//! others are passed over.

use std::path::Path;

use super::LogError;
use omomi::contract::{Contract, Field};

/// What a column of a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Field of the contract, by its index.
    Field(usize),
    Label,
    Time,
    Importance,
    /// Column of `ReadOptions::extra_columns`, by its index.
    Extra(usize),
}

/// The columns that are read.
#[derive(Debug)]
pub(super) struct Wanted {
    fields: Vec<Field>,
    /// The fields in contract order, the label, the time, the extra columns, the importance. Extra columns may have the name
    /// of another column, which is then read for both.
    columns: Vec<(String, Target)>,
    extra_count: usize,
}

impl Wanted {
    pub(super) fn new(
        contract: &Contract,
        time_column: Option<&str>,
        extra_columns: &[String],
    ) -> Result<Self, LogError> {
        let fields = contract.fields().to_vec();
        let mut columns: Vec<(String, Target)> =
            fields.iter().enumerate().map(|(index, field)| (field.name.clone(), Target::Field(index))).collect();
        columns.push((contract.label().to_owned(), Target::Label));
        if let Some(time_column) = time_column {
            if columns.iter().any(|(name, _)| name == time_column) {
                return Err(LogError::TimeColumnTaken { column: time_column.to_owned() });
            }
            columns.push((time_column.to_owned(), Target::Time));
        }
        columns.extend(extra_columns.iter().enumerate().map(|(index, name)| (name.clone(), Target::Extra(index))));
        Ok(Self { fields, columns, extra_count: extra_columns.len() })
    }

    /// The same and a column that says how much each row counts.
    pub(super) fn with_importance(mut self, column: Option<&str>) -> Result<Self, LogError> {
        let Some(column) = column else { return Ok(self) };
        let is_taken = |(name, target): &(String, Target)| name == column && !matches!(target, Target::Extra(_));
        if self.columns.iter().any(is_taken) {
            return Err(LogError::ImportanceColumnTaken { column: column.to_owned() });
        }
        self.columns.push((column.to_owned(), Target::Importance));
        Ok(self)
    }

    /// What is left when nobody wants the fields.
    pub(super) fn without_fields(mut self) -> Self {
        self.fields.clear();
        self.columns.retain(|(_, target)| !matches!(target, Target::Field(_)));
        self
    }

    /// Whether a column is read for `target`.
    pub(super) fn has(&self, target: Target) -> bool {
        self.columns.iter().any(|(_, wanted)| *wanted == target)
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(super) fn extra_count(&self) -> usize {
        self.extra_count
    }

    pub(super) fn columns(&self) -> &[(String, Target)] {
        &self.columns
    }

    pub(super) fn name(&self, target: Target) -> &str {
        self.columns.iter().find(|(_, wanted)| *wanted == target).map_or("", |(name, _)| name)
    }

    /// Where in `found`, the columns of `file`, each wanted column stands.
    pub(super) fn locate(&self, file: &Path, found: &[String]) -> Result<Vec<(usize, Target)>, LogError> {
        let mut places = Vec::with_capacity(self.columns.len());
        for (name, target) in &self.columns {
            let mut positions = (0..found.len()).filter(|&position| found[position] == *name);
            let Some(position) = positions.next() else {
                return Err(LogError::MissingColumn {
                    file: file.to_owned(),
                    column: name.clone(),
                    found: found.to_vec(),
                });
            };
            if positions.next().is_some() {
                return Err(LogError::RepeatedColumn { file: file.to_owned(), column: name.clone() });
            }
            places.push((position, *target));
        }
        Ok(places)
    }
}
