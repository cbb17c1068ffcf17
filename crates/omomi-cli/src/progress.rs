//! Progress bars for long commands, on standard error: bars on a terminal, otherwise one plain line every 10 seconds.
//!
//! [`CountProgress`] shows one counted step at a time, [`PackProgress`] the steps of packing, and [`ShardsProgress`]
//! one bar per shard. With `--quiet` they show nothing.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use omomi_train::flow::figures::TaskFigures;
use omomi_train::learn::shards::{ProgressEvent, ShardEvent};
use omomi_train::pack;

use crate::output::note;
use crate::text::{bytes, grouped};

mod figures;
mod read;

pub(crate) use read::{ReadProgress, say_noticed};

/// Time between two plain lines of one step, where standard error is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const COUNT_BAR_TEMPLATE: &str = "{prefix} [{bar:24}] {percent:>3} %, {msg}, {eta} left";
const SHARD_BAR_TEMPLATE: &str = "{prefix} [{bar:24}] {percent:>3} %, {msg}";

/// Shows the progress of counted steps, one step at a time.
pub(crate) struct CountProgress {
    quiet: bool,
    /// The name of the current step, and how it is shown.
    step: Option<(String, ShownCount)>,
}

enum ShownCount {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl CountProgress {
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet, step: None }
    }

    /// Shows that step `name` has processed `done` of its `of` things. A different name starts a new step.
    pub(crate) fn count(&mut self, name: &str, things: &str, done: u64, of: u64) {
        figures::note(|| TaskFigures {
            things: things.to_owned(),
            step: name.to_owned(),
            count: done,
            ..TaskFigures::default()
        });
        if self.quiet {
            return;
        }
        if !matches!(&self.step, Some((other, _)) if other == name) {
            self.finish();
        }
        let (_, shown) = self.step.get_or_insert_with(|| (name.to_owned(), ShownCount::start(name, of)));
        match shown {
            ShownCount::Bar(bar) => {
                bar.set_message(format!("{} of {} {things}", grouped(done), grouped(of)));
                bar.set_position(done);
            }
            ShownCount::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                note!("{name}: {} of {} {things}", grouped(done), grouped(of));
            }
            ShownCount::Lines { .. } => {}
        }
    }

    /// Prints a line: above the bar on a terminal, otherwise after the earlier lines.
    pub(crate) fn note(&self, line: &str) {
        match &self.step {
            _ if self.quiet => {}
            Some((_, ShownCount::Bar(bar))) => bar.suspend(|| note!("{line}")),
            _ => note!("{line}"),
        }
    }

    /// Removes the bar from the terminal.
    pub(crate) fn finish(&mut self) {
        if let Some((_, ShownCount::Bar(bar))) = self.step.take() {
            bar.finish_and_clear();
        }
    }
}

impl ShownCount {
    fn start(name: &str, of: u64) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines { last: Instant::now() };
        }
        let bar = ProgressBar::with_draw_target(Some(of), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(COUNT_BAR_TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_owned());
        Self::Bar(bar)
    }
}

/// Shows the progress of packing a weight file.
pub(crate) struct PackProgress {
    quiet: bool,
    counted: CountProgress,
    /// Progress of scoring held-out rows, while that step runs.
    scored: Option<ReadProgress>,
}

impl PackProgress {
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet, counted: CountProgress::new(quiet), scored: None }
    }

    pub(crate) fn watch(&mut self, event: &pack::Event<'_>) {
        match event {
            pack::Event::Read { feature_count, of } => self.count("read the state", "features", *feature_count, *of),
            pack::Event::Built { encoding, shard_count, of } => {
                let name = format!("build the table of {}", encoding.name());
                self.count(&name, "shards", *shard_count as u64, *of as u64);
            }
            pack::Event::Chosen(reader) => say_noticed(reader),
            pack::Event::Scored(reader) => {
                self.counted.finish();
                let start = || ReadProgress::new("score held-out rows", reader, self.quiet);
                self.scored.get_or_insert_with(start).update(reader);
            }
            _ => self.finish(),
        }
    }

    fn count(&mut self, name: &str, things: &str, done: u64, of: u64) {
        self.scored = None;
        self.counted.count(name, things, done, of);
    }

    /// Removes the bar from the terminal.
    pub(crate) fn finish(&mut self) {
        self.scored = None;
        self.counted.finish();
    }
}

/// Shows the progress of training in shards.
pub(crate) struct ShardsProgress {
    shown: ShownShards,
    /// Rows, rows per second, percent and log loss of each shard of the round.
    of_shards: BTreeMap<u32, (u64, f64, f64, Option<f64>)>,
    /// How many rounds and shards the command trains.
    rounds: u32,
    shards: u32,
}

enum ShownShards {
    Nothing,
    Bars { all: MultiProgress, of_shards: BTreeMap<u32, ProgressBar> },
    Lines { last: BTreeMap<u32, Instant> },
}

impl ShardsProgress {
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = if quiet {
            ShownShards::Nothing
        } else if stderr().is_terminal() {
            ShownShards::Bars { all: MultiProgress::new(), of_shards: BTreeMap::new() }
        } else {
            ShownShards::Lines { last: BTreeMap::new() }
        };
        Self { shown, of_shards: BTreeMap::new(), rounds: 1, shards: 1 }
    }

    pub(crate) fn watch(&mut self, event: &ProgressEvent) {
        if let ShardEvent::Begun { shards, rounds, .. } = &event.event {
            (self.shards, self.rounds) = (*shards, *rounds);
        }
        self.note_figures(event);
        let name = self.name(event);
        if let (Some(shard), ShardEvent::Progress { percent, .. }) = (event.shard, &event.event) {
            let words = words(&event.event).unwrap_or_default();
            self.shown.progress(shard, &name, *percent, &words);
            return;
        }
        if let Some(shard) = event.shard {
            self.shown.end(shard);
        }
        if let Some(words) = words(&event.event) {
            self.shown.line(&format!("{name}{words}"));
        }
    }

    /// Notes the figures of all shards together, for a flow that this command is a task of.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures")]
    fn note_figures(&mut self, event: &ProgressEvent) {
        let Some(shard) = event.shard else { return };
        let of_shard = match &event.event {
            ShardEvent::Progress { rows, rows_per_second, percent, log_loss, .. } => {
                (*rows, *rows_per_second, *percent, *log_loss)
            }
            ShardEvent::Finished { rows, log_loss, .. } => (*rows, 0.0, 100.0, *log_loss),
            _ => return,
        };
        self.of_shards.insert(shard, of_shard);
        let all = || self.of_shards.values();
        let rows: u64 = all().map(|shard| shard.0).sum();
        let losses: Vec<(f64, f64)> = all().filter_map(|shard| Some((shard.0 as f64, shard.3?))).collect();
        let weighed: f64 = losses.iter().map(|(rows, _)| rows).sum();
        let figures = TaskFigures {
            things: "rows".to_owned(),
            step: event.round.map_or_else(String::new, |round| format!("round {round} of {}", self.rounds)),
            count: rows,
            per_second: Some(all().map(|shard| shard.1).sum::<f64>() as u64),
            share: Some(all().map(|shard| shard.2).sum::<f64>() / 100.0 / f64::from(self.shards.max(1))),
            seconds_left: None,
            log_loss: (weighed > 0.0).then(|| losses.iter().map(|(rows, loss)| rows * loss).sum::<f64>() / weighed),
        };
        if matches!(event.event, ShardEvent::Finished { .. }) {
            figures::note_last(&figures);
        } else {
            figures::note(|| figures);
        }
    }

    /// The prefix of a line, such as `round 1 of 3, shard 2 of 8: `. The round is omitted if there is only one.
    fn name(&self, event: &ProgressEvent) -> String {
        let mut parts = Vec::new();
        if let Some(round) = event.round.filter(|_| self.rounds > 1) {
            parts.push(format!("round {round} of {}", self.rounds));
        }
        if let Some(shard) = event.shard {
            parts.push(format!("shard {shard} of {}", self.shards));
        }
        if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(", ")) }
    }
}

impl ShownShards {
    fn progress(&mut self, shard: u32, name: &str, percent: f64, words: &str) {
        match self {
            Self::Nothing => {}
            Self::Bars { all, of_shards } => {
                let bar = of_shards.entry(shard).or_insert_with(|| start_bar(all, name));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
                bar.set_position(percent as u64);
                // The remaining time is unknown before the first report.
                bar.set_message(match percent > 0.0 {
                    true => format!("{words}, {:#} left", HumanDuration(bar.eta())),
                    false => "starting".to_owned(),
                });
            }
            Self::Lines { last } => {
                let last = last.entry(shard).or_insert_with(Instant::now);
                if last.elapsed() >= LINE_INTERVAL {
                    *last = Instant::now();
                    note!("{name}{percent:.0} %, {words}");
                }
            }
        }
    }

    fn end(&mut self, shard: u32) {
        if let Self::Bars { of_shards, .. } = self
            && let Some(bar) = of_shards.remove(&shard)
        {
            bar.finish_and_clear();
        }
    }

    fn line(&self, line: &str) {
        match self {
            Self::Nothing => {}
            Self::Bars { all, .. } => all.suspend(|| note!("{line}")),
            Self::Lines { .. } => note!("{line}"),
        }
    }
}

fn start_bar(all: &MultiProgress, name: &str) -> ProgressBar {
    let bar = all.add(ProgressBar::new(100));
    if let Ok(style) = ProgressStyle::with_template(SHARD_BAR_TEMPLATE) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name.trim_end_matches(": ").to_owned());
    bar
}

/// Describes what happened, or returns `None` if it is not worth a line.
fn words(happening: &ShardEvent) -> Option<String> {
    let log_loss = |log_loss: &Option<f64>| log_loss.map_or(String::new(), |loss| format!(", log loss {loss:.5}"));
    Some(match happening {
        ShardEvent::Digested { files, len_bytes, seconds } => {
            format!("{files} logs digested, {} in {seconds:.1} s", bytes(*len_bytes))
        }
        ShardEvent::Skipped { file, reason } => format!("not read: {}: {reason}", file.display()),
        ShardEvent::Reused { rows, log_loss: loss } => {
            format!("kept from an earlier command: {} rows{}", grouped(*rows), log_loss(loss))
        }
        ShardEvent::Stale { reason } => format!("must be trained again: {reason}"),
        ShardEvent::Progress { rows, rows_per_second, log_loss: loss, .. } => {
            format!("{}{}", speed(*rows, *rows_per_second), log_loss(loss))
        }
        ShardEvent::Finished { rows, rows_per_second, log_loss: loss, seconds, .. } => {
            format!("{}{}, {seconds:.1} s", speed(*rows, *rows_per_second), log_loss(loss))
        }
        ShardEvent::Died { message, retries_left } => {
            format!("{message}; restarted, {retries_left} restarts left")
        }
        ShardEvent::Failed { message } => format!("failed: {message}"),
        ShardEvent::Merged { features, seconds } => {
            format!("merged: {} features in {seconds:.1} s", grouped(*features))
        }
        ShardEvent::Recalibrated { scale, shift, seconds } => {
            format!("recalibrated: scale {scale:.4}, shift {shift:+.4} in {seconds:.1} s")
        }
        _ => return None,
    })
}

fn speed(rows: u64, rows_per_second: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for people, never negative")]
    let rows_per_second = grouped(rows_per_second as u64);
    format!("{} rows, {rows_per_second} rows/s", grouped(rows))
}
