//! Passes over a row cache, timed one by one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use omomi::contract::Contract;
use omomi_train::learn::{Account, Event, Settings, TrainOptions, train};

use crate::support::core_time::CoreTime;

/// A log, and the folder for its state and its row cache.
pub struct Run<'a> {
    pub contract: &'a Contract,
    pub log: &'a Path,
    pub folder: &'a Path,
}

impl Run<'_> {
    /// Trains, and returns the CPU time of each pass over the cache on this thread. The time is that of the rows after
    /// the first block, scaled to all rows.
    pub fn passes(&self, pass_count: u32) -> (Account, Vec<Duration>) {
        let mut passes: Vec<(CoreTime, u64, Duration)> = Vec::new();
        let cache = Some(self.folder.join("log.rows"));
        let account = self.train(Settings::default(), pass_count, cache, &mut |event| {
            if let Event::Relearned { pass, row_count, of } = event {
                if passes.len() < pass as usize {
                    passes.push((CoreTime::now(), row_count, Duration::ZERO));
                } else if row_count == of
                    && let Some((start, rows_before, took)) = passes.last_mut()
                {
                    *took = start.elapsed().mul_f64(of as f64 / (of - *rows_before) as f64);
                }
            }
        });
        (account, passes.into_iter().map(|(.., took)| took).collect())
    }

    /// Trains in one pass over the log, without a cache.
    pub fn log(&self, settings: Settings) -> Account {
        self.train(settings, 1, None, &mut |_| ())
    }

    fn train(
        &self,
        settings: Settings,
        passes: u32,
        cache: Option<PathBuf>,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Account {
        let mut options = TrainOptions::new([self.log.to_str().expect("UTF-8")], self.folder.join("state.parquet"));
        options.settings = settings;
        options.passes = passes;
        options.cache = cache;
        options.replace = true;
        train(self.contract, &options, watch).expect("a log of good rows")
    }
}
