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
mod mapped;
mod metrics;

pub use auc::HISTOGRAM_BINS_PER_LOGIT;
pub use mapped::{EvaluateError, evaluate, evaluate_each};
pub(crate) use metrics::whole;
pub use metrics::{Evaluator, Metrics, Totals, entropy, log_loss};
