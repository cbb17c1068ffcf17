//! Counts how fields are filled, and which of their categories have a weight.

use super::evaluation::FieldRates;
use crate::log::RowBatch;
use omomi::contract::Contract;
use omomi::feature::feature_key;
use omomi::score::Model;

/// Counts per field, for one weight file.
pub(super) struct FieldCounts {
    row_count: u64,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    seed: u64,
    categories: u64,
    unseen: u64,
    missing: u64,
    invalid_numbers: u64,
}

impl FieldCounts {
    pub(super) fn new(contract: &Contract) -> Self {
        let field = |field: &omomi::contract::Field| Field {
            name: field.name.clone(),
            seed: field.seed(),
            categories: 0,
            unseen: 0,
            missing: 0,
            invalid_numbers: 0,
        };
        Self { row_count: 0, fields: contract.fields().iter().map(field).collect() }
    }

    /// Adds rows, which have the contract of `model`.
    pub(super) fn add(&mut self, model: &Model, batch: &RowBatch) {
        self.row_count += batch.row_count() as u64;
        let table = model.table();
        for (field, column) in self.fields.iter_mut().zip(&batch.columns) {
            let is_unseen = |&&value: &&u64| table.get(feature_key(field.seed, value)).is_none();
            field.unseen += column.values.iter().filter(is_unseen).count() as u64;
            field.categories += column.values.len() as u64;
            field.missing += column.offsets.windows(2).filter(|ends| ends[0] == ends[1]).count() as u64;
            field.invalid_numbers += column.invalid_number_count;
        }
    }

    pub(super) fn rates(&self) -> Vec<FieldRates> {
        let rates = |field: &Field| FieldRates {
            field: field.name.clone(),
            categories: field.categories,
            unseen: field.unseen,
            unseen_rate: field.unseen as f64 / field.categories.max(1) as f64,
            missing: field.missing,
            missing_rate: field.missing as f64 / self.row_count.max(1) as f64,
            invalid_numbers: field.invalid_numbers,
        };
        self.fields.iter().map(rates).collect()
    }
}
