//! Shows reading progress on standard error: a bar on a terminal, and elsewhere a plain line every ten seconds.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use omomi_train::flow::figures::TaskFigures;
use omomi_train::log::LogReader;
use omomi_train::readable::{duration, grouped};

use super::figures;
use crate::output::note;

const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR_TEMPLATE: &str = "{prefix} [{bar:24}] {percent:>3} %, {msg}";

/// Shows the progress of a [`LogReader`] on standard error: rows, rows per second, time left.
#[derive(Debug)]
pub(crate) struct ReadProgress {
    label: String,
    started: Instant,
    shown: Shown,
    /// How many skipped files were listed.
    skipped_count: usize,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl ReadProgress {
    /// Starts the clock, and lists the files that are not read. `label` names the work in progress. With `quiet`,
    /// nothing is ever shown.
    pub(crate) fn new(label: &str, reader: &LogReader, quiet: bool) -> Self {
        let started = Instant::now();
        let shown = if quiet {
            Shown::Nothing
        } else if stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(reader.total_len_bytes()), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(BAR_TEMPLATE) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(label.to_owned());
            Shown::Bar(bar)
        } else {
            Shown::Lines { last: started }
        };
        say_skipped_files(reader, 0);
        Self { label: label.to_owned(), started, shown, skipped_count: reader.skipped_files().len() }
    }

    /// Shows the current progress of `reader`. Cheap enough to call for every batch.
    pub(crate) fn update(&mut self, reader: &LogReader) {
        let elapsed = self.started.elapsed();
        figures::note(|| ProgressSnapshot::of(reader, elapsed).figures(&self.label));
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => {
                bar.set_message(ProgressSnapshot::of(reader, elapsed).words());
                bar.set_position(reader.read_len_bytes());
            }
            Shown::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                let snapshot = ProgressSnapshot::of(reader, elapsed);
                note!("{}: {} %, {}", self.label, snapshot.percent(), snapshot.words());
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Prints one line of the caller's text; on a terminal, above the bar. Prints nothing if `quiet` was set.
    pub(crate) fn note(&self, line: &str) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.suspend(|| note!("{line}")),
            Shown::Lines { .. } => note!("{line}"),
        }
    }

    fn always(&self, line: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| note!("{line}")),
            Shown::Nothing | Shown::Lines { .. } => note!("{line}"),
        }
    }

    /// Prints the total rows and the total time. If a `Progress` is dropped without this call, because of an error, the
    /// bar is removed from the terminal.
    ///
    /// What the reader noticed is printed even with `quiet`: guesses, and fields that vanish.
    pub(crate) fn finish(self, reader: &LogReader) {
        say_skipped_files(reader, self.skipped_count);
        for warning in reader.warnings() {
            self.always(&format!("warning: {warning}"));
        }
        let elapsed = self.started.elapsed();
        let snapshot = ProgressSnapshot::of(reader, elapsed);
        figures::note_last(&snapshot.figures(&self.label));
        let words = snapshot.final_words(elapsed);
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => {
                bar.finish_and_clear();
                note!("{}: {words}", self.label);
            }
            Shown::Lines { .. } => note!("{}: {words}", self.label),
        }
    }
}

impl Drop for ReadProgress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown
            && !bar.is_finished()
        {
            bar.finish_and_clear();
        }
    }
}

/// Most skipped files that are listed.
const MAX_LISTED: usize = 20;

/// Says on standard error which files were not read, except for the first `said`. Not even `--quiet` hides that,
/// because rows may be missing.
fn say_skipped_files(reader: &LogReader, said: usize) {
    let skipped = &reader.skipped_files()[said..];
    for skipped in skipped.iter().take(MAX_LISTED) {
        note!("not read: {skipped}");
    }
    if skipped.len() > MAX_LISTED {
        note!("not read: {} more files", grouped((skipped.len() - MAX_LISTED) as u64));
    }
}

/// Says on standard error what a command without progress would hide: which files were not read, which rows were
/// skipped, and what the reader guessed.
pub(crate) fn say_noticed(reader: &LogReader) {
    say_skipped_files(reader, 0);
    for bad_row in reader.bad_rows() {
        note!("skipped: {bad_row}");
    }
    let unlisted = reader.bad_row_count() - reader.bad_rows().len() as u64;
    if unlisted > 0 {
        note!("skipped: {} more rows", grouped(unlisted));
    }
    for warning in reader.warnings() {
        note!("warning: {warning}");
    }
}

/// The progress of a reader at one moment.
struct ProgressSnapshot {
    row_count: u64,
    bad_row_count: u64,
    rows_per_second: u64,
    /// From 0 to 1, by bytes.
    share: f64,
    left: Option<Duration>,
}

impl ProgressSnapshot {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures for people, none negative")]
    fn of(reader: &LogReader, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let total = reader.total_len_bytes();
        let share = if total == 0 { 1.0 } else { reader.read_len_bytes() as f64 / total as f64 };
        Self {
            row_count: reader.rows_read(),
            bad_row_count: reader.bad_row_count(),
            rows_per_second: (reader.rows_read() as f64 / seconds.max(1e-9)) as u64,
            share,
            left: Duration::try_from_secs_f64(seconds * (1.0 - share) / share).ok(),
        }
    }

    fn figures(&self, label: &str) -> TaskFigures {
        TaskFigures {
            things: "rows".to_owned(),
            step: label.to_owned(),
            count: self.row_count,
            per_second: Some(self.rows_per_second),
            share: Some(self.share),
            seconds_left: self.left.map(|left| left.as_secs()),
            log_loss: None,
        }
    }

    fn percent(&self) -> String {
        format!("{:.0}", self.share * 100.0)
    }

    fn words(&self) -> String {
        let left = self.left.map_or_else(|| "?".to_owned(), duration);
        format!("{}, {left} left", self.rows_words())
    }

    fn final_words(&self, elapsed: Duration) -> String {
        format!("{}, {}", self.rows_words(), duration(elapsed))
    }

    fn rows_words(&self) -> String {
        let bad = match self.bad_row_count {
            0 => String::new(),
            count => format!(" ({} bad ones skipped)", grouped(count)),
        };
        format!("{} rows{bad}, {} rows/s", grouped(self.row_count), grouped(self.rows_per_second))
    }
}
