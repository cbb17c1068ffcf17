//! Figures that a task writes while it runs: rows, speed, time left.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The variable that names the file for the figures.
pub const FIGURES_VARIABLE: &str = "OMOMI_PROGRESS";

/// The figures of a task at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskFigures {
    /// What is counted, such as `rows`.
    pub things: String,
    /// The step of the command.
    pub step: String,
    /// How many things were processed.
    pub count: u64,
    /// Things per second since the step began.
    pub per_second: Option<u64>,
    /// The share of the step that is done, from 0 to 1.
    pub share: Option<f64>,
    /// Seconds until the end of the step.
    pub seconds_left: Option<u64>,
    /// Log loss per impression, where the step measures it.
    pub log_loss: Option<f64>,
}

impl TaskFigures {
    /// Writes the figures. A reader sees all of them or the former ones.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension(format!("{}.new", std::process::id()));
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, path)
    }

    /// Reads figures; nothing if there are none.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.progress.json");
        assert_eq!(TaskFigures::read(&path), None);
        let figures = TaskFigures { step: "read".to_owned(), count: 7, share: Some(0.5), ..TaskFigures::default() };
        figures.write(&path).unwrap();
        assert_eq!(TaskFigures::read(&path), Some(figures));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
