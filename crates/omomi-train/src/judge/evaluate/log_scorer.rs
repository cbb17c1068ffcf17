//! Scores log rows with the library that serves: one candidate per request, for several models of one contract
//! together.

use std::sync::Arc;

use crate::log::{Categories, RowBatch};
use omomi::contract::{Contract, FieldKind};
use omomi::error::Error;
use omomi::request::{Capacity, FieldSlot, RequestLayout, Schema};
use omomi::score::{Answer, Model, Request, Scorer};

/// Capacity for the texts and lists of one log row, in bytes.
const TAIL_LEN_BYTES: usize = 1 << 20;

/// Scores log rows one at a time.
pub(super) struct LogScorer {
    scorer: Scorer,
    request: Request,
    slots: Vec<FieldSlot>,
    ids: Vec<i64>,
}

impl LogScorer {
    /// Creates a scorer for at least one model. All `models` must have the same contract.
    pub(super) fn new(models: Vec<Arc<Model>>) -> Result<Self, Error> {
        let contract: &Contract = models[0].contract();
        let schema = Schema::of_contract(contract);
        let slots = contract.fields().iter().filter_map(|field| schema.slot(&field.name)).collect();
        let layout = RequestLayout::new(&schema, Capacity { candidates: 1, tail_len_bytes: TAIL_LEN_BYTES })?;
        let layout = layout.for_models(models.len())?;
        let scorer = Scorer::for_models(models, &layout)?;
        let request = scorer.new_request();
        Ok(Self { scorer, request, slots, ids: Vec::new() })
    }

    pub(super) fn models(&self) -> impl ExactSizeIterator<Item = &Arc<Model>> {
        self.scorer.models()
    }

    /// Scores row `row` of `batch` with all models.
    pub(super) fn score(&mut self, batch: &RowBatch, row: usize) -> Result<(), Error> {
        self.request.clear();
        // Clears the row of the only candidate.
        self.request.candidate(0)?;
        let model = Arc::clone(self.scorer.model());
        for ((field, &slot), column) in model.contract().fields().iter().zip(&self.slots).zip(&batch.columns) {
            let range = column.range(row);
            let Some(first) = range.clone().next() else { continue };
            let mut target = self.request.row_of(slot.side);
            match (&column.categories, &field.kind) {
                (Categories::Numbers(numbers), FieldKind::Number { .. }) => target.set_number(slot, numbers[first])?,
                (Categories::Texts { .. }, _) if field.many => {
                    let texts: Vec<&str> = range.filter_map(|index| column.text(index)).collect();
                    target.set_texts(slot, &texts)?;
                }
                (Categories::Texts { .. }, _) => target.set_text(slot, column.text(first).unwrap_or(""))?,
                _ if field.many => {
                    self.ids.clear();
                    self.ids.extend(column.values[range].iter().map(|value| value.cast_signed()));
                    target.set_ids(slot, &self.ids)?;
                }
                _ => target.set_id(slot, column.values[first].cast_signed())?,
            }
        }
        self.scorer.predict(&mut self.request, 1)
    }

    /// Returns the answer of model `model` for the last scored row.
    pub(super) fn answer(&self, model: usize) -> Answer {
        self.request.answer_of(model, 0)
    }
}
