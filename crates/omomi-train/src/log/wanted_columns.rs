//! The columns of a log that are read: the fields of the contract, the label, and the columns that the options name.
//! All other columns are skipped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::LogError;
use super::key::KEY_ENDING;
use omomi::contract::{Contract, Field, FieldKind, FieldReading, LogPolicy, Reading, Side, UnseenWeight};

/// The purpose of a column that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The field of the contract with this index.
    Field(usize),
    /// The field of the contract with this index, of which the file has feature keys only.
    Keys(usize),
    Label,
    Time,
    Importance,
    /// The extra column with this index: `ReadOptions::extra_columns` first, then the columns that parts are split by.
    Extra(usize),
}

/// The columns that are read.
#[derive(Debug)]
pub(super) struct Wanted {
    fields: Vec<Field>,
    /// How the columns are read. Its fields are those of `fields`.
    reading: Reading,
    /// Names and purposes, in this order: the fields in contract order, the label, the time, the extra columns, the
    /// importance. An extra column may have the name of another column, which is then read for both purposes.
    columns: Vec<(String, Target)>,
    extra_count: usize,
}

/// Returns the fields among `targets` of which a file has feature keys only, in the order of the contract.
pub(super) fn key_fields(targets: impl Iterator<Item = Target>) -> Vec<usize> {
    let mut fields: Vec<usize> =
        targets.filter_map(|target| if let Target::Keys(index) = target { Some(index) } else { None }).collect();
    fields.sort_unstable();
    fields
}

impl Wanted {
    pub(super) fn new(
        contract: &Contract,
        time_column: Option<&str>,
        extra_columns: &[String],
    ) -> Result<Self, LogError> {
        let fields = contract.fields().to_vec();
        let mut columns: Vec<(String, Target)> =
            (0..fields.len()).map(|index| (contract.field_column(index).to_owned(), Target::Field(index))).collect();
        columns.push((contract.label_column().to_owned(), Target::Label));
        if let Some(time_column) = time_column {
            if columns.iter().any(|(name, _)| name == time_column) {
                return Err(LogError::TimeColumnTaken { column: time_column.to_owned() });
            }
            columns.push((time_column.to_owned(), Target::Time));
        }
        columns.extend(extra_columns.iter().enumerate().map(|(index, name)| (name.clone(), Target::Extra(index))));
        let reading = contract.reading().clone();
        Ok(Self { fields, reading, columns, extra_count: extra_columns.len() })
    }

    /// Adds the importance column, if `column` names one.
    pub(super) fn with_importance(mut self, column: Option<&str>) -> Result<Self, LogError> {
        let Some(column) = column else { return Ok(self) };
        let is_taken = |(name, target): &(String, Target)| name == column && !matches!(target, Target::Extra(_));
        if self.columns.iter().any(is_taken) {
            return Err(LogError::ImportanceColumnTaken { column: column.to_owned() });
        }
        self.columns.push((column.to_owned(), Target::Importance));
        Ok(self)
    }

    /// Reads no column, to look at the columns that there are.
    pub(super) fn nothing() -> Self {
        Self { fields: Vec::new(), reading: Reading::default(), columns: Vec::new(), extra_count: 0 }
    }

    /// Reads columns that hold lists, of texts (true) or of integers, and extra columns.
    pub(super) fn lists(lists: &BTreeMap<String, bool>, extra_columns: &[String]) -> Self {
        let field = |(name, &are_texts): (&String, &bool)| Field {
            name: name.clone(),
            side: Side::Context,
            kind: if are_texts { FieldKind::Text } else { FieldKind::Id },
            many: true,
            meaning: String::new(),
            log: LogPolicy::Plain,
            category_limit: None,
            unseen: UnseenWeight::Zero,
        };
        let reading = Reading { fields: vec![FieldReading::default(); lists.len()], ..Reading::default() };
        let fields = lists.keys().enumerate().map(|(index, name)| (name.clone(), Target::Field(index)));
        let extra = extra_columns.iter().enumerate().map(|(index, name)| (name.clone(), Target::Extra(index)));
        let columns = fields.chain(extra).collect();
        Self { fields: lists.iter().map(field).collect(), reading, columns, extra_count: extra_columns.len() }
    }

    /// Removes the label: every row then counts as not clicked.
    pub(super) fn without_label(mut self) -> Self {
        self.columns.retain(|(_, target)| *target != Target::Label);
        self
    }

    /// Removes the fields of the contract, so that only the other columns are read.
    pub(super) fn without_fields(mut self) -> Self {
        self.fields.clear();
        self.reading.fields.clear();
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

    /// How the columns are read.
    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    pub(super) fn extra_count(&self) -> usize {
        self.extra_count
    }

    pub(super) fn columns(&self) -> &[(String, Target)] {
        &self.columns
    }

    /// The name of the column that is read for `target`; of keys, that of their field.
    pub(super) fn name(&self, target: Target) -> &str {
        let target = if let Target::Keys(index) = target { Target::Field(index) } else { target };
        self.columns.iter().find(|(_, wanted)| *wanted == target).map_or("", |(name, _)| name)
    }

    /// Finds the index of each wanted column in `found`, the columns of `file`. Fails if one is missing or occurs
    /// twice. A column is not missing if `take` returns true for it, because it is read from elsewhere. In place of a
    /// field's column, the file may have one with its feature keys, if `may_be_keys` says so of its index and the
    /// field.
    pub(super) fn locate(
        &self,
        file: &Path,
        found: &[String],
        mut take: impl FnMut(&str, Target) -> bool,
        may_be_keys: impl Fn(usize, &Field) -> bool,
    ) -> Result<Vec<(usize, Target)>, LogError> {
        let mut places = Vec::with_capacity(self.columns.len());
        for (name, target) in &self.columns {
            let mut target = *target;
            let mut name = Cow::Borrowed(name.as_str());
            if !found.iter().any(|found| *found == *name) {
                if take(&name, target) {
                    continue;
                }
                if let Target::Field(field) = target {
                    let keys = format!("{name}{KEY_ENDING}");
                    let place = found.iter().position(|found| *found == keys);
                    if place.is_some_and(|place| may_be_keys(place, &self.fields[field])) {
                        (name, target) = (Cow::Owned(keys), Target::Keys(field));
                    }
                }
            }
            let mut positions = (0..found.len()).filter(|&position| found[position] == *name);
            let Some(position) = positions.next() else {
                return Err(LogError::MissingColumn {
                    file: file.to_owned(),
                    column: name.into_owned(),
                    found: found.to_vec(),
                });
            };
            if positions.next().is_some() {
                return Err(LogError::RepeatedColumn { file: file.to_owned(), column: name.into_owned() });
            }
            places.push((position, target));
        }
        Ok(places)
    }
}
