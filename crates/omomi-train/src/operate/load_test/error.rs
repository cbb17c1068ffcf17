//! What can go wrong before there is a figure.

use crate::log::LogError;
use omomi::error::Error;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LatencyError {
    /// The log that requests are drawn from cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log has no rows.
    #[error("the logs have no rows to make requests of")]
    NoRows,
    /// A request cannot be filled or scored.
    #[error(transparent)]
    Score(#[from] Error),
    /// The kernel and its plain twin disagree, so that no time of the kernel means anything.
    #[error(
        "wrong answer: for candidate {candidate} of request {request} the kernel gives the logit {kernel}, its plain twin {plain}; \
         nothing was timed, please report it with the weight file"
    )]
    AnswersDiffer {
        /// Index of the request in the rotation.
        request: usize,
        /// Index of the candidate.
        candidate: usize,
        /// The kernel's logit.
        kernel: f64,
        /// The plain twin's.
        plain: f64,
    },
    /// The rotation or the run is outside its limits.
    #[error("{problem}")]
    InvalidRun {
        /// Expected and found.
        problem: String,
    },
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}
