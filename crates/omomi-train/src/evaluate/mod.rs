//! Measures the quality of predictions: log loss, normalized entropy, AUC and calibration of predicted and clicked
//! rows.
//!
//! [`evaluate_files`] scores logs with weight files, using the library that serves: each file is mapped and verified,
//! and each row is one request. The result is an [`Evaluation`], which can be stored as JSON. [`Evaluator`] measures
//! predictions from any source.
//!
//! ```
//! use omomi_train::evaluate::Evaluator;
//!
//! let mut evaluator = Evaluator::exact();
//! for (probability, clicked) in [(0.5, false), (0.25, false), (0.75, true)] {
//!     evaluator.add_probability(probability, clicked);
//! }
//! let metrics = evaluator.metrics();
//! assert_eq!((metrics.impressions, metrics.clicks, metrics.auc), (3, 1, Some(1.0)));
//! assert_eq!(metrics.calibration_ratio, Some(1.5));
//! ```
//!
//! # What is exact
//!
//! In an [`Evaluation`], every sum over rows is exact: log loss, normalized entropy and calibration (also by slice and
//! by hour), and the rates of fields. Metrics that need rows in the order of their probabilities (AUC, PR-AUC, the bins
//! of the reliability curve, the shift) are computed from 131,072 bins of the logit, 4,096 per unit: rows within
//! 0.00024 of the logit count as ties. The AUC is then off by less than 1e-5 (tested on a generated log). The AUC
//! within users is exact. It is therefore the only metric whose memory grows with the number of rows. Intervals of
//! differences come from 1,000 resamples of up to 2,048 groups of rows, of which only sums are kept.

mod auc;
mod bootstrap;
mod compare;
mod evaluation;
mod facts;
mod histogram;
mod log_scorer;
mod made_up;
mod metrics;
mod predictions;
mod run;
mod slices;

pub use auc::HISTOGRAM_BINS_PER_LOGIT;
pub use compare::{
    CompareError, CompareOptions, DifferenceFigures, DifferentRow, LabeledFigures, OldScale, PredictionComparison,
    compare_predictions,
};
pub use evaluation::EvaluationFileError;
pub use evaluation::{
    Bootstrap, Calibration, ColumnSlices, Comparison, Difference, EvaluatedRows, Evaluation, FieldRates, FieldWeights,
    FileFacts, GroupsOf, HourSlice, ModelEvaluation, Overall, ReliabilityBin, SeenLog, Slice, SliceMetrics, UserAuc,
};
pub use facts::{field_weights, file_facts};
pub use log_scorer::{EvaluateError, evaluate, evaluate_each};
pub(crate) use made_up::evaluation_of_predictions;
pub use metrics::{Evaluator, Metrics, Totals, entropy, log_loss};
pub(crate) use metrics::{probability_log_loss, whole};
pub use predictions::{PredictError, PredictOptions, PredictedRows, PredictionOutput, write_predictions};
pub use run::{By, EvaluateOptions, evaluate_files};
