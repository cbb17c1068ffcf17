//! Errors of the report.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::judge::evaluate::EvaluationFileError;
use crate::learn::state::StateError;
use crate::operate::publish::PublishError;

use super::plot::PlotError;

/// Why the report was not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The output file already exists.
    #[error("{} exists already; choose another name, or allow replacing it", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system returned an error.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file does not contain the expected JSON.
    #[error("{} is not {expected}; expected what `{command}` writes", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the file should be.
        expected: &'static str,
        /// The command that writes it.
        command: &'static str,
        /// The parse error.
        source: serde_json::Error,
    },
    /// The format version of a file is not supported.
    #[error("{} has the format version {found}, expected {expected}; write it again with this omomi", .path.display())]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// The supported version.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// The evaluation cannot be read.
    #[error(transparent)]
    Evaluation(#[from] EvaluationFileError),
    /// The blessing is for another weight file.
    #[error(
        "{} blesses another weight file: expected the digest {expected}, found {found}; pass the blessing \
         beside the evaluated file",
        .path.display()
    )]
    OtherFile {
        /// The blessing.
        path: PathBuf,
        /// Digest of the evaluated file.
        expected: String,
        /// The digest in the blessing.
        found: String,
    },
    /// The evaluation has no weight file.
    #[error("{} evaluates no weight file; expected at least one", .path.display())]
    NoModel {
        /// The evaluation.
        path: PathBuf,
    },
    /// A file was made under another contract than the evaluated weight file.
    #[error(
        "{} was made under the contract {found}, the evaluated weight file under {expected}; pass the one that \
         belongs to the weight file",
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
    /// The page could not be rendered.
    #[error("cannot render the page")]
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
