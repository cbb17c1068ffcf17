//! Evaluations as files of JSON.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Evaluation;
use omomi::new_file::NewFile;

/// Why an evaluation could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationFileError {
    /// The system could not do it.
    #[error("cannot {action} the evaluation {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not an evaluation.
    #[error("{} is not an evaluation; make it with omomi evaluate --json", path.display())]
    NotAnEvaluation {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file is of another version of the format.
    #[error(
        "{}: expected an evaluation of format version {}, found {found}; make it again with omomi evaluate --json",
        path.display(), Evaluation::FORMAT_VERSION
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

impl Evaluation {
    /// The text of an evaluation file. The same evaluation gives the same text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a text and every number finite, so there is nothing that JSON cannot say.
        let json = serde_json::to_string_pretty(self).unwrap_or_else(|_| unreachable!("a plain structure"));
        json + "\n"
    }

    /// Writes an evaluation file, whole or not at all. A file that is there is only replaced where `replace` says so.
    ///
    /// # Errors
    ///
    /// [`EvaluationFileError::Io`].
    pub fn write(&self, path: &Path, replace: bool) -> Result<(), EvaluationFileError> {
        let write = || {
            let new_file = NewFile::create(path, replace)?;
            new_file.file().write_all(self.to_json().as_bytes())?;
            new_file.commit()
        };
        write().map_err(|source| EvaluationFileError::Io { action: "write", path: path.to_owned(), source })
    }

    /// Reads an evaluation file.
    ///
    /// # Errors
    ///
    /// [`EvaluationFileError`] for a file that cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, EvaluationFileError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| EvaluationFileError::Io { action: "read", path: path.to_owned(), source })?;
        let not_one = |source| EvaluationFileError::NotAnEvaluation { path: path.to_owned(), source };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(not_one)?;
        // First, since of another version nothing else need fit.
        if let Some(found) = value["format_version"].as_u64().filter(|&found| found != u64::from(Self::FORMAT_VERSION))
        {
            return Err(EvaluationFileError::OtherVersion { path: path.to_owned(), found });
        }
        serde_json::from_value(value).map_err(not_one)
    }
}
