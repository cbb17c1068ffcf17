//! How far something is that is counted, on standard error: a bar on a terminal, now and then a plain line elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text::grouped;

const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR_TEMPLATE: &str = "{prefix} [{bar:24}] {percent:>3} %, {msg}, {eta} left";

/// Shows one counted step after the other.
pub(crate) struct CountProgress {
    quiet: bool,
    /// The name of the step that is going on, and how it is shown.
    step: Option<(String, Shown)>,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl CountProgress {
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet, step: None }
    }

    /// Shows that step `name` is through `done` of its `of` things. Another name begins another step.
    pub(crate) fn count(&mut self, name: &str, things: &str, done: u64, of: u64) {
        if self.quiet {
            return;
        }
        if !matches!(&self.step, Some((other, _)) if other == name) {
            self.finish();
        }
        let (_, shown) = self.step.get_or_insert_with(|| (name.to_owned(), Shown::start(name, of)));
        match shown {
            Shown::Bar(bar) => {
                bar.set_message(format!("{} of {} {things}", grouped(done), grouped(of)));
                bar.set_position(done);
            }
            Shown::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                eprintln!("{name}: {} of {} {things}", grouped(done), grouped(of));
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Shows a line between the others; on a terminal above the bar.
    pub(crate) fn note(&self, line: &str) {
        match &self.step {
            _ if self.quiet => {}
            Some((_, Shown::Bar(bar))) => bar.suspend(|| eprintln!("{line}")),
            _ => eprintln!("{line}"),
        }
    }

    /// Takes the bar off the terminal.
    pub(crate) fn finish(&mut self) {
        if let Some((_, Shown::Bar(bar))) = self.step.take() {
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
