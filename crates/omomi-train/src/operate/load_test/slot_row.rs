//! Rows as a server has them.

use omomi::error::Error;
use omomi::feature::text_value;
use omomi::request::{FieldSlot, Schema};
use omomi::request::{FieldValue, Row};
use omomi::score::{RowMut, tail_len_bytes};

/// A row as a server has it: values, and where they go.
#[derive(Debug)]
pub(super) struct SlotRow {
    values: Vec<(FieldSlot, SlotValue)>,
    /// What it takes of a request's tail, at most.
    pub(super) tail_len_bytes: usize,
    pub(super) category_count: u64,
}

#[derive(Debug)]
enum SlotValue {
    Plain(FieldValue),
    TextHash(u64),
}

impl SlotRow {
    pub(super) fn new(schema: &Schema, row: Row, hashed_texts: bool) -> Self {
        let tail_len_bytes = row.values().map(tail_len_bytes).sum();
        let category_count = row.values().map(category_count).sum();
        let slot_value = |value| match value {
            FieldValue::Text(text) if hashed_texts => SlotValue::TextHash(text_value(text.as_bytes())),
            value => SlotValue::Plain(value),
        };
        let values = row.into_iter().filter_map(|(name, value)| Some((schema.slot(&name)?, slot_value(value))));
        Self { values: values.collect(), tail_len_bytes, category_count }
    }

    pub(super) fn write(&self, row: &mut RowMut<'_>) -> Result<(), Error> {
        for (slot, value) in &self.values {
            match value {
                SlotValue::Plain(FieldValue::Id(id)) => row.set_id(*slot, *id)?,
                SlotValue::Plain(FieldValue::Text(text)) => row.set_text(*slot, text)?,
                SlotValue::Plain(FieldValue::Number(number)) => row.set_number(*slot, *number)?,
                SlotValue::Plain(FieldValue::Ids(ids)) => row.set_ids(*slot, ids)?,
                SlotValue::Plain(FieldValue::Texts(texts)) => row.set_texts(*slot, texts)?,
                SlotValue::TextHash(hash) => row.set_text_value(*slot, *hash)?,
            }
        }
        Ok(())
    }

    /// Number of values of its longest list.
    pub(super) fn max_values(&self) -> usize {
        let list_len = |(_, value): &(FieldSlot, SlotValue)| match value {
            SlotValue::Plain(FieldValue::Ids(ids)) => ids.len(),
            SlotValue::Plain(FieldValue::Texts(texts)) => texts.len(),
            SlotValue::Plain(_) | SlotValue::TextHash(_) => 0,
        };
        self.values.iter().map(list_len).max().unwrap_or(0)
    }
}

fn category_count(value: &FieldValue) -> u64 {
    match value {
        FieldValue::Id(_) | FieldValue::Text(_) | FieldValue::Number(_) => 1,
        FieldValue::Ids(ids) => ids.len() as u64,
        FieldValue::Texts(texts) => texts.len() as u64,
    }
}
