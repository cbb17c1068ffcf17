//! How far packing is, on standard error: a bar on a terminal, now and then a plain line elsewhere.

use crate::read_progress::Progress;
use omomi_train::pack::Event;

use crate::count_progress::CountProgress;

/// Shows the events of a packing.
pub(crate) struct PackProgress {
    quiet: bool,
    counted: CountProgress,
    /// Held-out rows are scored.
    scored: Option<Progress>,
}

impl PackProgress {
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet, counted: CountProgress::new(quiet), scored: None }
    }

    pub(crate) fn watch(&mut self, event: &Event<'_>) {
        match event {
            Event::Read { feature_count, of } => self.count("read the state", "features", *feature_count, *of),
            Event::Built { encoding, shard_count, of } => {
                let name = format!("build the table of {}", encoding.name());
                self.count(&name, "shards", *shard_count as u64, *of as u64);
            }
            Event::Scored(reader) => {
                self.counted.finish();
                let start = || Progress::new("score held-out rows", reader, self.quiet);
                self.scored.get_or_insert_with(start).update(reader);
            }
            _ => self.finish(),
        }
    }

    fn count(&mut self, name: &str, things: &str, done: u64, of: u64) {
        self.scored = None;
        self.counted.count(name, things, done, of);
    }

    /// Takes the bar off the terminal.
    pub(crate) fn finish(&mut self) {
        self.scored = None;
        self.counted.finish();
    }
}
