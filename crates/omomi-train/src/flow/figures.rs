//! Figures that a task writes while it runs: rows, speed, time left.

use std::io;
use std::path::Path;

use super::run::RunFiles;
use super::status::StateStatus;
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

    /// The figures of a state: those of its running tasks together, or of its last one.
    #[must_use]
    pub fn of_state(state: &StateStatus, files: &RunFiles) -> Option<Self> {
        let read = |task: &u64| Self::read(&files.progress_path(*task));
        let running: Vec<Self> = state.running_tasks.iter().filter_map(read).collect();
        if running.len() < 2 {
            return running.into_iter().next().or_else(|| state.tasks.iter().rev().find_map(read));
        }
        Some(Self {
            step: running[0].step.clone(),
            things: running[0].things.clone(),
            count: running.iter().map(|figures| figures.count).sum(),
            per_second: Some(running.iter().filter_map(|figures| figures.per_second).sum()),
            share: None,
            seconds_left: running.iter().filter_map(|figures| figures.seconds_left).max(),
            log_loss: None,
        })
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
