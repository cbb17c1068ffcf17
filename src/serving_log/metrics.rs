//! Metrics of a serving log: a snapshot of all its numbers, and their Prometheus text.

use std::fmt::{self, Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::segment::RingCounts;
use super::served::DropReason;
use super::shared::Shared;
use crate::live::Escaping;

/// Metrics of a serving log at one moment. Counts never decrease as long as the log is open, except for
/// [`RingCounts::written`] when a segment vanishes: its records are then counted as dropped.
#[derive(Debug, Clone)]
pub struct LogMetrics {
    /// Totals of all rings, open and closed.
    pub counts: RingCounts,
    /// Rings that are open.
    pub open_ring_count: usize,
    /// Bytes written to segments.
    pub written_bytes: u64,
    /// Segments sealed.
    pub sealed_segments: u64,
    /// Segments of killed processes that were sealed.
    pub recovered_segments: u64,
    /// Sealed segments that were deleted to keep the limit of the folder.
    pub deleted_segments: u64,
    /// Records in the deleted segments, as their footers say.
    pub deleted_records: u64,
    /// Total length of the segments in the folder, when the current one was begun.
    pub folder_len_bytes: u64,
    /// How long the oldest record has been waiting for the disk, if one is.
    pub oldest_waiting: Option<Duration>,
    /// Whether the background thread runs.
    pub is_writing: bool,
    /// The last problem, for people, and how long ago it arose.
    pub problem: Option<(String, Duration)>,
    /// The last part of the folder's path.
    name: Arc<str>,
}

impl LogMetrics {
    pub(super) fn of(shared: &Shared, is_writing: bool) -> Self {
        let gauges = &shared.gauges;
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (counts, open_ring_count) = shared.totals();
        let name = shared.folder.file_name().unwrap_or(shared.folder.as_os_str());
        Self {
            counts,
            open_ring_count,
            written_bytes: read(&gauges.bytes_written),
            sealed_segments: read(&gauges.sealed),
            recovered_segments: read(&gauges.recovered),
            deleted_segments: read(&gauges.deleted_segments),
            deleted_records: read(&gauges.deleted_records),
            folder_len_bytes: read(&gauges.folder_len_bytes),
            oldest_waiting: gauges.waited(),
            is_writing,
            problem: shared.problem().map(|problem| (problem.text, problem.at.elapsed())),
            name: name.to_string_lossy().into(),
        }
    }

    /// Writes the metrics as Prometheus text (`text/plain; version=0.0.4`). Every series has the label `log`, the name
    /// of the folder. It can follow the text of live models: no family has the name of one of theirs.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut page = Page { text: String::new(), log: &self.name };
        page.single("omomi_log_records_total", "counter", "Records written.", &self.counts.written);
        let help = "Records left out because their requests are outside the sample.";
        page.single("omomi_log_sampled_out_total", "counter", help, &self.counts.sampled_out);
        page.heading("omomi_log_dropped_records_total", "counter", "Records dropped, by reason.");
        for reason in DropReason::ALL {
            let count = self.counts.dropped_for(*reason);
            page.series("omomi_log_dropped_records_total", Some(("reason", reason.word())), &count);
        }
        page.single("omomi_log_written_bytes_total", "counter", "Bytes written.", &self.written_bytes);
        page.single("omomi_log_sealed_segments_total", "counter", "Segments sealed.", &self.sealed_segments);
        let help = "Segments of killed processes that were sealed.";
        page.single("omomi_log_recovered_segments_total", "counter", help, &self.recovered_segments);
        let help = "Sealed segments that were deleted to keep the limit of the folder.";
        page.single("omomi_log_deleted_segments_total", "counter", help, &self.deleted_segments);
        let help = "Records in the deleted segments.";
        page.single("omomi_log_deleted_records_total", "counter", help, &self.deleted_records);
        let help = "Total length of the segments in the folder, when the current one was begun.";
        page.single("omomi_log_folder_bytes", "gauge", help, &self.folder_len_bytes);
        page.single("omomi_log_open_rings", "gauge", "Rings that are open.", &self.open_ring_count);
        let help = "How long the oldest record has been waiting for the disk.";
        let waiting = self.oldest_waiting.unwrap_or_default().as_secs_f64();
        page.single("omomi_log_oldest_waiting_seconds", "gauge", help, &waiting);
        let help = "1 if the background thread runs.";
        page.single("omomi_log_writing", "gauge", help, &u8::from(self.is_writing));
        page.text
    }
}

struct Page<'a> {
    text: String,
    log: &'a str,
}

impl Page<'_> {
    fn heading(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text never fails.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn series(&mut self, name: &str, label: Option<(&str, &str)>, value: &dyn Display) {
        let write = |text: &mut String| -> fmt::Result {
            write!(text, "{name}{{log=\"")?;
            write!(Escaping(text), "{}", self.log)?;
            text.write_char('"')?;
            if let Some((label, word)) = label {
                write!(text, ",{label}=\"{word}\"")?;
            }
            writeln!(text, "}} {value}")
        };
        let _ = write(&mut self.text);
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: &dyn Display) {
        self.heading(name, kind, help);
        self.series(name, None, value);
    }
}
