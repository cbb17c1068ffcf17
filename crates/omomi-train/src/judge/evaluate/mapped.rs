//! Metrics of models that are in memory already, for who packs and trains.

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
    /// There is nothing to evaluate.
    #[error("expected at least one weight file, found none")]
    NoWeightFile,
    /// A file is no good weight file.
    #[error("{}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Error,
    },
    /// Weight files of several contracts cannot be compared row by row.
    #[error(
        "the weight files have several contracts, and a row that one of them can read another cannot: correct the log, or \
         allow no bad rows to see which it is"
    )]
    RowsDiffer,
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
