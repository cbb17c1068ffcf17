//! A candidate's row as its set stores it. Models that are loaded later are prepared from stored rows.

use std::sync::atomic::AtomicU64;

use super::super::block::{RowView, Single, Tail};
use super::super::plan::{PlannedField, Reading};
use crate::error::RowProblem;
use crate::request::layout::{ROW_SLOTS_OFFSET, SLOT_LEN};
use crate::request::{SchemaField, SchemaKind};

/// A row outside a request. Texts are replaced by their values, so that nothing is hashed twice.
#[derive(Debug)]
pub(super) struct StoredRow {
    words: Box<[AtomicU64]>,
    /// The values of `many` fields.
    lists: Box<[AtomicU64]>,
}

/// Returns a plan that reads a declared field unconverted: the value of a text, or the bits of an id or a number.
pub(super) fn declared(slot: usize, field: &SchemaField) -> PlannedField {
    let reading = match field.kind {
        SchemaKind::Text => Reading::Text,
        SchemaKind::Id | SchemaKind::Number { .. } => Reading::Id,
    };
    PlannedField { name: field.name.as_str().into(), seed: 0, slot, reading, many: field.many }
}

impl StoredRow {
    /// Copies a row. `fields` are all fields of its side, each from [`declared`].
    ///
    /// # Errors
    ///
    /// Returns the field that cannot be read, and why.
    pub(super) fn copy<'f>(
        row: RowView<'_>,
        fields: &'f [PlannedField],
        values_per_field: usize,
    ) -> Result<Self, (&'f PlannedField, RowProblem)> {
        let mut words = vec![0; ROW_SLOTS_OFFSET / SLOT_LEN + fields.len()];
        let mut lists = Vec::new();
        let mut present = 0_u64;
        for field in fields {
            let at_field = |problem| (field, problem);
            let word = if field.many {
                let start = lists.len();
                if !row.each_of_many(field, |value| lists.push(value)).map_err(at_field)? {
                    continue;
                }
                let count = lists.len() - start;
                if count > values_per_field {
                    return Err((field, RowProblem::TooManyValues));
                }
                (start * SLOT_LEN) as u64 | (count as u64) << 32
            } else {
                match row.single(field).map_err(at_field)? {
                    Single::Value(value) => value,
                    Single::Missing | Single::InvalidNumber => continue,
                }
            };
            present |= 1 << field.slot;
            words[ROW_SLOTS_OFFSET / SLOT_LEN + field.slot] = word;
        }
        words[0] = present;
        let shared = |words: Vec<u64>| words.into_iter().map(|word| AtomicU64::new(word.to_le())).collect();
        Ok(Self { words: shared(words), lists: shared(lists) })
    }

    pub(super) fn view(&self) -> RowView<'_> {
        let used_bytes = size_of_val(&*self.lists);
        // All of the memory of the lists is in use, so this never fails.
        let tail = Tail::new(&self.lists, used_bytes).unwrap_or_else(|_| unreachable!());
        RowView::new(&self.words, tail)
    }
}
