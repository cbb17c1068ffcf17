//! Which columns of a log are read: the fields of the contract, the label and the time; the others are passed over.

use std::path::Path;

use super::LogError;
use crate::contract::{Contract, Field};

/// What a column of a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Field of the contract, by its index.
    Field(usize),
    Label,
    Time,
}

/// The columns that are read.
#[derive(Debug)]
pub(super) struct Wanted {
    fields: Vec<Field>,
    /// The fields in contract order, then the label, then the time.
    columns: Vec<(String, Target)>,
}

impl Wanted {
    pub(super) fn new(contract: &Contract, time_column: Option<&str>) -> Result<Self, LogError> {
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
        Ok(Self { fields, columns })
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(super) fn columns(&self) -> &[(String, Target)] {
        &self.columns
    }

    pub(super) fn name(&self, target: Target) -> &str {
        // In the order in which `new` laid them out.
        let index = match target {
            Target::Field(index) => index,
            Target::Label => self.fields.len(),
            Target::Time => self.fields.len() + 1,
        };
        &self.columns[index].0
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
