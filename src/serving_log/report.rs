//! What a writer reports about itself in the folder of its log, for people and monitors that are in no process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, json};

use super::clock::now_unix_ms;
use super::served::DropReason;
use super::shared::Shared;

/// The end of the name of a report.
pub(super) const STATUS_ENDING: &str = ".omomilog.status";
/// Version of the report.
const VERSION: u64 = 1;
/// How often a report is written.
const INTERVAL: Duration = Duration::from_secs(5);
/// Age of a report that no writer will replace any more.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// The report of one writer.
pub(super) struct Report {
    path: PathBuf,
    started_unix_ms: i64,
    written: Option<Instant>,
}

impl Report {
    pub(super) fn new(shared: &Shared) -> Self {
        let path = shared.folder.join(format!("{:016x}{STATUS_ENDING}", shared.writer_id));
        Self { path, started_unix_ms: now_unix_ms(), written: None }
    }

    /// Writes the report if it is due, or if `is_forced` says so. Where it cannot be written, the old one becomes old,
    /// and readers see that.
    pub(super) fn write(&mut self, shared: &Shared, is_forced: bool) {
        if !is_forced && self.written.is_some_and(|written| written.elapsed() < INTERVAL) {
            return;
        }
        self.written = Some(Instant::now());
        let Some(name) = self.path.file_name() else { return };
        // A reader never sees half of it. A name with a dot first is that of no report.
        let new = self.path.with_file_name(format!(".{}", name.to_string_lossy()));
        let text = text_of(shared, self.started_unix_ms);
        if fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path)).is_err() {
            let _ = fs::remove_file(&new);
        }
    }

    /// Removes the report: from now on, the footers of the segments say everything.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn text_of(shared: &Shared, started_unix_ms: i64) -> String {
    let gauges = &shared.gauges;
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let (counts, open_ring_count) = shared.totals();
    let dropped: Map<_, _> =
        DropReason::ALL.iter().map(|reason| (reason.word().to_owned(), counts.dropped_for(*reason).into())).collect();
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let problem = shared.problem();
    let report = json!({
        "version": VERSION,
        "writer": format!("{:016x}", shared.writer_id),
        "name": shared.options.name,
        "process_id": std::process::id(),
        "started_unix_ms": started_unix_ms,
        "at_unix_ms": now_unix_ms(),
        "records": counts.written,
        "sampled_out": counts.sampled_out,
        "dropped": dropped,
        "written_bytes": read(&gauges.bytes_written),
        "sealed_segments": read(&gauges.sealed),
        "recovered_segments": read(&gauges.recovered),
        "deleted_segments": read(&gauges.deleted_segments),
        "deleted_records": read(&gauges.deleted_records),
        "open_rings": open_ring_count,
        "oldest_waiting_ms": gauges.waited().map(millis),
        "problem": problem.map(|problem| json!({ "text": problem.text, "age_ms": millis(problem.at.elapsed()) })),
    });
    format!("{report}\n")
}

/// Deletes the reports of writers that ended long ago without closing their logs.
pub(super) fn remove_old(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let is_report = entry.file_name().to_str().is_some_and(|name| name.ends_with(STATUS_ENDING));
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if is_report && age.is_some_and(|age| age > MAX_AGE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
