//! Figures for a flow that this command is a task of: they are written to the file that a variable names.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use omomi_train::flow::figures::{FIGURES_VARIABLE, TaskFigures};

/// Time between two writes.
const INTERVAL: Duration = Duration::from_secs(1);

fn path() -> Option<&'static PathBuf> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    PATH.get_or_init(|| std::env::var_os(FIGURES_VARIABLE).map(PathBuf::from)).as_ref()
}

/// Writes figures, unless that was done a moment ago. Cheap enough to call for every batch.
pub(crate) fn note(figures: impl FnOnce() -> TaskFigures) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    if path().is_none() {
        return;
    }
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
        *last = Some(Instant::now());
        note_last(&figures());
    }
}

/// Writes the figures of the end of a step.
pub(crate) fn note_last(figures: &TaskFigures) {
    if let Some(path) = path() {
        // Figures are for people who watch; the work goes on without them.
        let _ = figures.write(path);
    }
}
