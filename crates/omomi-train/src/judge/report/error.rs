//! Why there is no report.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::judge::evaluate::EvaluationFileError;
use crate::learn::state::StateError;
use crate::operate::publish::PublishError;

use super::plot::PlotError;

/// Why there is no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The name is taken.
    #[error("{} exists already; choose another name, or ask to replace it", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not the JSON that it is given as.
    #[error("{} is not {expected}; expected what `{command}` writes", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// The command that writes it.
        command: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file has a format that this version does not read.
    #[error("{} has the format version {found}, expected {expected}: make it again with this omomi", .path.display())]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// The version that is read here.
        expected: u32,
        /// The version that it has.
        found: u32,
    },
    /// The evaluation cannot be read.
    #[error(transparent)]
    Evaluation(#[from] EvaluationFileError),
    /// A blessing is of another weight file.
    #[error(
        "{} blesses another weight file: expected one of the digest {expected}, found {found}; pass the blessing beside the \
         evaluated file",
        .path.display()
    )]
    OtherFile {
        /// The blessing.
        path: PathBuf,
        /// Digest of the evaluated file.
        expected: String,
        /// Digest that is blessed.
        found: String,
    },
    /// The evaluation is of no weight file.
    #[error("{} evaluates no weight file; expected at least one", .path.display())]
    NoModel {
        /// The evaluation.
        path: PathBuf,
    },
    /// A file tells of another model than the evaluation.
    #[error(
        "{} was made under the contract {found}, the evaluated weight file under {expected}: pass the one that the weight \
         file comes from",
        .path.display()
    )]
    OtherContract {
        /// The file.
        path: PathBuf,
        /// Fingerprint of the weight file's contract.
        expected: String,
        /// Fingerprint of the file's contract.
        found: String,
    },
    /// A training state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store or its limits cannot be read.
    #[error(transparent)]
    Store(#[from] PublishError),
    /// A plot could not be drawn.
    #[error("cannot draw a plot: {0}")]
    Plot(String),
    /// The page could not be put together.
    #[error("cannot put the page together")]
    Page(#[from] askama::Error),
}

impl ReportError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return Self::Exists { path: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }
}

impl From<PlotError> for ReportError {
    fn from(error: PlotError) -> Self {
        Self::Plot(error.to_string())
    }
}
