//! The folder beside the file, `FILE.state`: for each process, the last good file that it read, and its report.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::file::{Experiment, MAX_FILE_LEN_BYTES};
use super::guard_stops::GuardStop;
use super::status::ExperimentStatus;
use crate::error::Error;
use crate::new_file::NewFile;
use crate::short_text::{self, TextError};

/// Returns the folder in which the processes that read the experiment file at `path` keep what they know.
#[must_use]
pub fn state_folder(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".state");
    path.with_file_name(name)
}

/// The files of one process.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
    name: String,
}

impl Memory {
    pub(super) fn new(path: &Path, name: &str) -> Self {
        Self { folder: state_folder(path), name: name.to_owned() }
    }

    fn heard_path(&self) -> PathBuf {
        self.folder.join(format!("{}.experiment", self.name))
    }

    /// Returns the last good file that a process of this name read, if it kept one.
    pub(super) fn heard(&self) -> Result<Option<Experiment>, Error> {
        Experiment::read(&self.heard_path())
    }

    /// Keeps a good file for the next process.
    pub(super) fn keep(&self, experiment: &Experiment) -> Result<(), Error> {
        self.write(&self.heard_path(), experiment.to_string().as_bytes())
    }

    fn guard_stops_path(&self) -> PathBuf {
        self.folder.join(format!("{}.guard.json", self.name))
    }

    /// Returns the stops by the guard that a process of this name kept.
    pub(super) fn guard_stops(&self) -> Result<Vec<GuardStop>, Error> {
        let path = self.guard_stops_path();
        let malformed = |found: String| {
            let expected = "a list of stops by the guard".to_owned();
            Error::StoreMalformed { path: path.clone(), expected, found }
        };
        let text = short_text::read(&path, MAX_FILE_LEN_BYTES).map_err(|error| match error {
            TextError::Io { action, source } => Error::File { action, path: path.clone(), source },
            TextError::Unexpected { found, .. } => malformed(found.to_owned()),
        })?;
        let Some(text) = text else { return Ok(Vec::new()) };
        GuardStop::list_of(&text).map_err(malformed)
    }

    /// Keeps the stops by the guard for the next process.
    pub(super) fn keep_guard_stops(&self, stops: &[GuardStop]) -> Result<(), Error> {
        self.write(&self.guard_stops_path(), GuardStop::text_of(stops).as_bytes())
    }

    /// Replaces the report.
    pub(super) fn report(&self, status: &ExperimentStatus) -> Result<(), Error> {
        let path = self.folder.join(format!("{}.report.json", self.name));
        self.write(&path, format!("{:#}\n", status.to_json(&self.name)).as_bytes())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let failed = |action| move |source: io::Error| Error::File { action, path: path.to_owned(), source };
        if !self.folder.is_dir() {
            // Not writable by others, even without a umask.
            fs::DirBuilder::new().mode(0o755).create(&self.folder).map_err(failed("create the folder of"))?;
        }
        let file = NewFile::create(path, true).map_err(failed("create"))?;
        file.file().write_all(bytes).map_err(failed("write"))?;
        file.commit().map_err(failed("write"))
    }
}
