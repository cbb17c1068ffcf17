//! Scores log rows with the library that serves: one candidate per request, for several models of one contract
//! together. Packing and training measure loaded models with it.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Evaluator, Metrics};
use crate::log::{Categories, LogError, LogReader, RowBatch, number_in};
use omomi::contract::{Contract, FieldKind};
use omomi::error::{Error, Owner};
use omomi::request::{Capacity, FieldSlot, RequestLayout, Schema};
use omomi::score::{Answer, Model, Request, RequestCounts, Scorer};

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
        // The only candidate is filled, even if none of its fields has a value.
        self.request.candidate(0)?;
        let model = Arc::clone(self.scorer.model());
        for ((field, &slot), column) in model.contract().fields().iter().zip(&self.slots).zip(&batch.columns) {
            let range = column.range(row);
            let Some(first) = range.clone().next() else { continue };
            let mut target = self.request.row_of(slot.side())?;
            match (&column.categories, &field.kind) {
                (Categories::Keys, FieldKind::Number { range, buckets, .. }) => {
                    // The reader took the key only because some number is in the bucket.
                    let number = number_in(buckets, *range, column.values[first]);
                    target.set_number(slot, number.unwrap_or(f64::NAN))?;
                }
                (Categories::Keys, FieldKind::Text) if field.many => {
                    target.set_text_values(slot, &column.values[range])?;
                }
                (Categories::Keys, FieldKind::Text) => target.set_text_value(slot, column.values[first])?,
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

    /// Returns the counts of the first model for the last scored row.
    pub(super) fn counts(&self) -> RequestCounts {
        self.request.counts()
    }
}

/// Why a log could not be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The logs have no usable row.
    #[error("the logs have no rows: expected at least one to evaluate; correct the pattern or the logs")]
    NoRows,
    /// There is no weight file to evaluate.
    #[error("expected at least one weight file, found none")]
    NoWeightFile,
    /// A file is not a valid weight file.
    #[error("{}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// The error of the weight file.
        source: Error,
    },
    /// Weight files with several contracts cannot be compared, because they do not read the same rows.
    #[error(
        "the weight files have several contracts, and some row can be read with one of them but not with another: \
         correct the log, or allow no bad rows to see which row it is"
    )]
    RowsDiffer,
    /// A row does not fit into a request, or no request can be made for the model.
    #[error("row {row} of the logs cannot be scored")]
    Score {
        /// Number of the row among the rows that were read, counted from 1.
        row: u64,
        /// The cause.
        source: Error,
    },
}

impl EvaluateError {
    /// Returns who must act: the team that trains, the team that runs the server and writes its logs, or the team that
    /// keeps machines and disks.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Log(error) => error.owner(),
            Self::NoRows | Self::RowsDiffer => Owner::Delivery,
            _ => Owner::Ml,
        }
    }
}

/// Scores every row of `reader` and returns the metrics of the probabilities. If the rows have an importance, each
/// counts as often as it says. Calls `watch` after each batch.
///
/// # Errors
///
/// Returns [`EvaluateError`] if a log cannot be read, or a row does not fit into a request.
pub fn evaluate(
    model: &Arc<Model>,
    reader: &mut LogReader,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<Metrics, EvaluateError> {
    let [metrics] = evaluate_each([model], reader, watch)?;
    Ok(metrics)
}

/// Scores every row of `reader` with several models of one contract, and returns the metrics of each. The logs are read
/// once. Calls `watch` after each batch.
///
/// # Errors
///
/// Returns [`EvaluateError`] if a log cannot be read, or a row does not fit into a request.
pub fn evaluate_each<const COUNT: usize>(
    models: [&Arc<Model>; COUNT],
    reader: &mut LogReader,
    watch: &mut dyn FnMut(&LogReader),
) -> Result<[Metrics; COUNT], EvaluateError> {
    let mut row_count = 0;
    let models = models.map(Arc::clone).to_vec();
    let mut rows = LogScorer::new(models).map_err(|source| EvaluateError::Score { row: 0, source })?;
    let mut evaluators: [Evaluator; COUNT] = std::array::from_fn(|_| Evaluator::of_rows(reader.has_importance()));
    while let Some(batch) = reader.next_batch()? {
        for (index, &clicked) in batch.clicked.iter().enumerate() {
            row_count += 1;
            rows.score(&batch, index).map_err(|source| EvaluateError::Score { row: row_count, source })?;
            let importance = batch.importance.as_ref().map_or(1.0, |importance| importance[index]);
            for (model, evaluator) in evaluators.iter_mut().enumerate() {
                let probability = f64::from(rows.answer(model).probability);
                evaluator.add_important_probability(probability, clicked, importance);
            }
        }
        watch(reader);
    }
    Ok(std::array::from_fn(|index| evaluators[index].metrics()))
}
