//! The process of one shard, seen from within: it trains, and tells whoever has started it.

use std::io::Write;
use std::time::{Duration, Instant};

use omomi::contract::Contract;
use crate::parent_process::end_with_parent;
use crate::learn::{Account, Event, Step, TrainError, TrainOptions, train};

use super::ShardEvent;

/// Between two reports; the end of a later pass is always told.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Trains as [`train`](crate::learn::train) does, and reports on `out`: a [`ShardEvent`] as JSON a line, each `progress` but the
/// last, which is `finished`. When standard input ends, the process ends: its parent has died.
///
/// # Errors
///
/// As [`train`](crate::learn::train).
pub fn train_for_parent(
    contract: &Contract,
    options: &TrainOptions,
    out: &mut dyn Write,
) -> Result<Account, TrainError> {
    end_with_parent(EXIT_CODE_OF_ORPHANS);
    let mut reporter = Reporter { out, passes: options.passes, cache_passes: 0.0, log_loss: None, began: None };
    let account = train(contract, options, &mut |event| reporter.watch(&event))?;
    reporter.finish(&account);
    Ok(account)
}

/// To read a row and number its features takes about as long as to learn it so often.
const CACHE_PASSES: f64 = 2.0;

/// Nobody is left to see it; in a process table it says that the work was not done.
const EXIT_CODE_OF_ORPHANS: i32 = 3;

struct Reporter<'a> {
    out: &'a mut dyn Write,
    passes: u32,
    /// What the making of a row cache counts as.
    cache_passes: f64,
    log_loss: Option<f64>,
    /// When reading began, and when the last report was made.
    began: Option<(Instant, Instant)>,
}

impl Reporter<'_> {
    fn watch(&mut self, event: &Event<'_>) {
        match event {
            Event::Window { so_far, .. } => self.log_loss = Some(so_far.log_loss),
            Event::Started { step: Step::Cache, .. } => self.cache_passes = CACHE_PASSES,
            Event::Read(reader) => {
                let share = reader.read_len_bytes() as f64 / reader.total_len_bytes().max(1) as f64;
                self.report(reader.rows_read(), share * self.cache_passes.max(1.0), false);
            }
            Event::Relearned { pass, row_count, of } => {
                let share = *row_count as f64 / (*of).max(1) as f64;
                let rows = u64::from(pass - 1) * of + row_count;
                self.report(rows, self.cache_passes + f64::from(pass - 1) + share, row_count == of);
            }
            _ => {}
        }
    }

    /// Reports at times that `rows` were learned, and that so many passes are done.
    fn report(&mut self, rows: u64, passes: f64, ends_pass: bool) {
        let now = Instant::now();
        let (began, reported) = *self.began.get_or_insert((now, now));
        if now - reported < REPORT_INTERVAL && !ends_pass {
            return;
        }
        self.began = Some((began, now));
        self.say(&ShardEvent::Progress {
            rows,
            rows_per_second: rows as f64 / (now - began).as_secs_f64(),
            percent: 100.0 * passes / (self.cache_passes + f64::from(self.passes)),
            log_loss: self.log_loss,
        });
    }

    fn finish(&mut self, account: &Account) {
        self.say(&ShardEvent::Finished {
            rows: account.rows,
            clicks: account.progressive.clicks,
            rows_per_second: account.rows_per_second,
            percent: 100.0,
            log_loss: Some(account.progressive.log_loss),
            features: account.feature_count(),
            state_len_bytes: account.state_len_bytes,
            seconds: account.seconds,
            peak_memory_bytes: account.peak_memory_bytes,
        });
    }

    fn say(&mut self, event: &ShardEvent) {
        // Where nobody listens any more the process is about to end anyway.
        if let Ok(line) = serde_json::to_string(event) {
            let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }
}
