//! Metrics of a weight file: log rows scored through the very library that serves, one candidate a request.

use std::sync::Arc;

use super::{Evaluator, Metrics};
use crate::contract::{Contract, FieldKind};
use crate::error::Error;
use crate::log_reader::{Categories, LogError, LogReader, RowBatch};
use crate::schema::{Capacity, FieldSlot, RequestLayout, Schema};
use crate::score::{Model, Request, Scorer};

/// Room for the texts and lists of one log row, in bytes.
const TAIL_LEN_BYTES: usize = 1 << 20;

/// Why a log could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A row does not fit into a request, or the model refuses to be bound.
    #[error("row {row} of the logs cannot be scored")]
    Score {
        /// Which row of those that were read, counted from 1.
        row: u64,
        /// Why not.
        source: Error,
    },
}

/// Scores every row of `reader` and says how good the probabilities are. `watch` is called after each batch.
///
/// # Errors
///
/// [`EvaluateError`] for a log that cannot be read, or a row that no request can hold.
pub fn evaluate(
    model: &Arc<Model>,
    reader: &mut LogReader,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<Metrics, EvaluateError> {
    let [metrics] = evaluate_each([model], reader, watch)?;
    Ok(metrics)
}

/// As [`evaluate`], for several models of one contract while the logs are read once.
///
/// # Errors
///
/// As [`evaluate`].
pub fn evaluate_each<const COUNT: usize>(
    models: [&Arc<Model>; COUNT],
    reader: &mut LogReader,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<[Metrics; COUNT], EvaluateError> {
    let mut row_count = 0;
    let mut scored = Vec::with_capacity(COUNT);
    for model in models {
        let rows = LogScorer::new(model).map_err(|source| EvaluateError::Score { row: 0, source })?;
        scored.push((rows, Evaluator::exact()));
    }
    while let Some(batch) = reader.next_batch()? {
        for (index, &clicked) in batch.clicked.iter().enumerate() {
            row_count += 1;
            for (rows, evaluator) in &mut scored {
                let probability = rows.probability(&batch, index);
                let probability = probability.map_err(|source| EvaluateError::Score { row: row_count, source })?;
                evaluator.add_probability(f64::from(probability), clicked);
            }
        }
        watch(reader);
    }
    Ok(std::array::from_fn(|index| scored[index].1.metrics()))
}

/// Scores log rows one at a time.
struct LogScorer {
    scorer: Scorer,
    request: Request,
    slots: Vec<FieldSlot>,
    ids: Vec<i64>,
}

impl LogScorer {
    fn new(model: &Arc<Model>) -> Result<Self, Error> {
        let contract: &Contract = model.contract();
        let schema = Schema::of_contract(contract);
        let layout = RequestLayout::new(&schema, Capacity { candidates: 1, tail_len_bytes: TAIL_LEN_BYTES })?;
        let scorer = Scorer::new(Arc::clone(model), &layout)?;
        let request = scorer.new_request();
        let slots = contract.fields().iter().filter_map(|field| schema.slot(&field.name)).collect();
        Ok(Self { scorer, request, slots, ids: Vec::new() })
    }

    fn probability(&mut self, batch: &RowBatch, row: usize) -> Result<f32, Error> {
        self.request.clear();
        // Empties the only candidate's row.
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
        self.scorer.predict(&mut self.request, 1)?;
        Ok(self.request.answer(0).probability)
    }
}
