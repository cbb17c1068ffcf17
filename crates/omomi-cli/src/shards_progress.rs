//! What happens to shards, on standard error: a bar each on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use omomi_train::learn::shards::{ProgressEvent, ShardEvent};

use crate::text::{bytes, grouped};

const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR_TEMPLATE: &str = "{prefix} [{bar:24}] {percent:>3} %, {msg}";

/// Shows the events of a training in shards.
pub(crate) struct ShardsProgress {
    shown: Shown,
    /// Rounds and shards of the command.
    rounds: u32,
    shards: u32,
}

enum Shown {
    Nothing,
    Bars { all: MultiProgress, of_shards: BTreeMap<u32, ProgressBar> },
    Lines { last: BTreeMap<u32, Instant> },
}

impl ShardsProgress {
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if stderr().is_terminal() {
            Shown::Bars { all: MultiProgress::new(), of_shards: BTreeMap::new() }
        } else {
            Shown::Lines { last: BTreeMap::new() }
        };
        Self { shown, rounds: 1, shards: 1 }
    }

    pub(crate) fn watch(&mut self, progress: &ProgressEvent) {
        if let ShardEvent::Begun { shards, rounds, .. } = &progress.event {
            (self.shards, self.rounds) = (*shards, *rounds);
        }
        let name = self.name(progress);
        if let (Some(shard), ShardEvent::Progress { percent, .. }) = (progress.shard, &progress.event) {
            let words = words(&progress.event).unwrap_or_default();
            self.shown.progress(shard, &name, *percent, &words);
            return;
        }
        if let Some(shard) = progress.shard {
            self.shown.end(shard);
        }
        if let Some(words) = words(&progress.event) {
            self.shown.line(&format!("{name}{words}"));
        }
    }

    /// `round 1 of 3, shard 2 of 8: `, as far as there are several.
    fn name(&self, progress: &ProgressEvent) -> String {
        let mut parts = Vec::new();
        if let Some(round) = progress.round.filter(|_| self.rounds > 1) {
            parts.push(format!("round {round} of {}", self.rounds));
        }
        if let Some(shard) = progress.shard {
            parts.push(format!("shard {shard} of {}", self.shards));
        }
        if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(", ")) }
    }
}

impl Shown {
    fn progress(&mut self, shard: u32, name: &str, percent: f64, words: &str) {
        match self {
            Self::Nothing => {}
            Self::Bars { all, of_shards } => {
                let bar = of_shards.entry(shard).or_insert_with(|| start_bar(all, name));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
                bar.set_position(percent as u64);
                // Before the first report nothing says how long it will take.
                bar.set_message(match percent > 0.0 {
                    true => format!("{words}, {:#} left", HumanDuration(bar.eta())),
                    false => "starting".to_owned(),
                });
            }
            Self::Lines { last } => {
                let last = last.entry(shard).or_insert_with(Instant::now);
                if last.elapsed() >= LINE_INTERVAL {
                    *last = Instant::now();
                    eprintln!("{name}{percent:.0} %, {words}");
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
            Self::Bars { all, .. } => all.suspend(|| eprintln!("{line}")),
            Self::Lines { .. } => eprintln!("{line}"),
        }
    }
}

fn start_bar(all: &MultiProgress, name: &str) -> ProgressBar {
    let bar = all.add(ProgressBar::new(100));
    if let Ok(style) = ProgressStyle::with_template(BAR_TEMPLATE) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name.trim_end_matches(": ").to_owned());
    bar
}

/// Nothing of what is not worth a line.
fn words(event: &ShardEvent) -> Option<String> {
    let log_loss = |log_loss: &Option<f64>| log_loss.map_or(String::new(), |loss| format!(", log loss {loss:.5}"));
    Some(match event {
        ShardEvent::Digested { files, len_bytes, seconds } => {
            format!("{files} logs digested, {} in {seconds:.1} s", bytes(*len_bytes))
        }
        ShardEvent::Reused { rows, log_loss: loss } => {
            format!("kept from an earlier command: {} rows{}", grouped(*rows), log_loss(loss))
        }
        ShardEvent::Stale { reason } => format!("has to be learned again: {reason}"),
        ShardEvent::Progress { rows, rows_per_second, log_loss: loss, .. } => {
            format!("{}{}", speed(*rows, *rows_per_second), log_loss(loss))
        }
        ShardEvent::Finished { rows, rows_per_second, log_loss: loss, seconds, .. } => {
            format!("{}{}, {seconds:.1} s", speed(*rows, *rows_per_second), log_loss(loss))
        }
        ShardEvent::Died { message, retries_left } => {
            format!("{message}; started again, {retries_left} times more at most")
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
