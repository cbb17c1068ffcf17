//! Computes metrics of loaded models, for packing and training.

use std::path::PathBuf;
use std::sync::Arc;

use super::log_scorer::LogScorer;
use super::{Evaluator, Metrics};
use crate::log::{LogError, LogReader};
use omomi::error::Error;
use omomi::score::Model;

/// Why a log could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
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

/// Scores every row of `reader` and returns the metrics of the probabilities. Calls `watch` after each batch.
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
    let mut evaluators: [Evaluator; COUNT] = std::array::from_fn(|_| Evaluator::exact());
    while let Some(batch) = reader.next_batch()? {
        for (index, &clicked) in batch.clicked.iter().enumerate() {
            row_count += 1;
            rows.score(&batch, index).map_err(|source| EvaluateError::Score { row: row_count, source })?;
            for (model, evaluator) in evaluators.iter_mut().enumerate() {
                evaluator.add_probability(f64::from(rows.answer(model).probability), clicked);
            }
        }
        watch(reader);
    }
    Ok(std::array::from_fn(|index| evaluators[index].metrics()))
}
