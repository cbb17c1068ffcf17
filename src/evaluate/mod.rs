//! How good predictions are: log loss, normalized entropy, AUC and calibration ratio of predicted and clicked rows.
//!
//! ```
//! use omomi::evaluate::Evaluator;
//!
//! let mut evaluator = Evaluator::exact();
//! for (probability, clicked) in [(0.5, false), (0.25, false), (0.75, true)] {
//!     evaluator.add_probability(probability, clicked);
//! }
//! let metrics = evaluator.metrics();
//! assert_eq!((metrics.impressions, metrics.clicks, metrics.auc), (3, 1, Some(1.0)));
//! assert_eq!(metrics.calibration_ratio, Some(1.5));
//! ```

mod auc;
mod bootstrap;
mod evaluation;
mod facts;
mod file;
mod histogram;
mod log_scorer;
mod mapped;
mod metrics;
mod rates;
mod run;
mod slices;
mod users;

pub use auc::HISTOGRAM_BINS_PER_LOGIT;
pub use evaluation::{
    Bootstrap, Calibration, ColumnSlices, Comparison, Difference, EvaluatedRows, Evaluation, FieldRates, FieldWeights,
    FileFacts, GroupsOf, HourSlice, ModelEvaluation, Overall, ReliabilityBin, Slice, SliceMetrics, UserAuc,
};
pub use facts::{field_weights, file_facts};
pub use file::EvaluationFileError;
pub use mapped::{EvaluateError, evaluate, evaluate_each};
pub use metrics::{Evaluator, Metrics, Totals, entropy, log_loss};
pub use run::{EvaluateOptions, evaluate_files};
