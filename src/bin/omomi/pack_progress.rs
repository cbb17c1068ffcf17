//! How far packing is, on standard error: a bar on a terminal, now and then a plain line elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use omomi::log_reader::Progress;
use omomi::pack::Event;

use crate::text::grouped;

const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR_TEMPLATE: &str = "{prefix} [{bar:24}] {percent:>3} %, {msg}, {eta} left";

/// Shows the events of a packing.
pub(crate) struct PackProgress {
    quiet: bool,
    step: Option<Step>,
}

/// What is going on.
enum Step {
    /// Something that is counted: its name, and how it is shown.
    Counted(String, Shown),
    /// Held-out rows are scored.
    Scored(Progress),
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl PackProgress {
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet, step: None }
    }

    pub(crate) fn watch(&mut self, event: &Event<'_>) {
        if self.quiet {
            return;
        }
        match event {
            Event::Read { feature_count, of } => self.count("read the state", "features", *feature_count, *of),
            Event::Built { encoding, shard_count, of } => {
                let name = format!("build the table of {}", encoding.name());
                self.count(&name, "shards", *shard_count as u64, *of as u64);
            }
            Event::Scored(reader) => {
                if !matches!(self.step, Some(Step::Scored(_))) {
                    self.finish();
                }
                let start = || Step::Scored(Progress::new("score held-out rows", reader, false));
                if let Step::Scored(progress) = self.step.get_or_insert_with(start) {
                    progress.update(reader);
                }
            }
            _ => self.finish(),
        }
    }

    fn count(&mut self, name: &str, what: &str, done: u64, of: u64) {
        if !matches!(&self.step, Some(Step::Counted(other, _)) if other == name) {
            self.finish();
        }
        let start = || Step::Counted(name.to_owned(), Shown::start(name, of));
        let Step::Counted(_, shown) = self.step.get_or_insert_with(start) else { return };
        match shown {
            Shown::Bar(bar) => {
                bar.set_message(format!("{} of {} {what}", grouped(done), grouped(of)));
                bar.set_position(done);
            }
            Shown::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                eprintln!("{name}: {} of {} {what}", grouped(done), grouped(of));
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Takes the bar off the terminal.
    pub(crate) fn finish(&mut self) {
        if let Some(Step::Counted(_, Shown::Bar(bar))) = self.step.take() {
            bar.finish_and_clear();
        }
    }
}

impl Shown {
    fn start(name: &str, of: u64) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines { last: Instant::now() };
        }
        let bar = ProgressBar::with_draw_target(Some(of), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(BAR_TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_owned());
        Self::Bar(bar)
    }
}
