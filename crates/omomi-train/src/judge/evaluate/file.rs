//! Reads and writes evaluations as JSON files.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Evaluation;
use omomi::new_file::NewFile;

/// Why an evaluation could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationFileError {
    /// The operating system returned an error.
    #[error("cannot {action} the evaluation {}", path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not an evaluation.
    #[error("{} is not an evaluation; write one with omomi evaluate --json", path.display())]
    NotAnEvaluation {
        /// The file.
        path: PathBuf,
        /// The parse error.
        source: serde_json::Error,
    },
    /// The format version is not supported.
    #[error(
        "{}: expected an evaluation of format version {}, found {found}; write it again with omomi evaluate --json",
        path.display(), Evaluation::FORMAT_VERSION
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: u64,
    },
}

impl Evaluation {
    /// Returns the evaluation as JSON text. Equal evaluations give equal text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is text and every number is finite, so serialization cannot fail.
        let json = serde_json::to_string_pretty(self).unwrap_or_else(|_| unreachable!("a plain structure"));
        json + "\n"
    }

    /// Writes the evaluation to a file, completely or not at all. An existing file is replaced only if `replace` is
    /// set.
    ///
    /// # Errors
    ///
    /// Returns [`EvaluationFileError::Io`] if the file cannot be written, or exists and may not be replaced.
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
    /// Returns [`EvaluationFileError`] if the file cannot be read, is not an evaluation, or has another format version.
    pub fn read(path: &Path) -> Result<Self, EvaluationFileError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| EvaluationFileError::Io { action: "read", path: path.to_owned(), source })?;
        let not_one = |source| EvaluationFileError::NotAnEvaluation { path: path.to_owned(), source };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(not_one)?;
        // Check the version first, because the rest of another version may not parse.
        if let Some(found) = value["format_version"].as_u64().filter(|&found| found != u64::from(Self::FORMAT_VERSION))
        {
            return Err(EvaluationFileError::OtherVersion { path: path.to_owned(), found });
        }
        serde_json::from_value(value).map_err(not_one)
    }
}
