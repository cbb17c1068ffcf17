//! The process of one shard, seen from within: it trains, and tells whoever has started it.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::contract::Contract;
use crate::log_reader::LogReader;
use crate::parent_process::end_with_parent;
use crate::train::{Account, Event, Step, TrainError, TrainOptions, train};

use super::Happening;

/// Between two reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Trains as [`train`](crate::train::train) does, and reports on `out`: a [`Happening`] as JSON a line, each `progress` but the
/// last, which is `finished`. When standard input ends, the process ends: its parent has died.
///
/// # Errors
///
/// As [`train`](crate::train::train).
pub fn train_for_parent(
    contract: &Contract,
    options: &TrainOptions,
    out: &mut dyn Write,
) -> Result<Account, TrainError> {
    end_with_parent(EXIT_CODE_OF_ORPHANS);
    let mut reporter = Reporter { out, passes: options.passes, pass: 1, rows_before: 0, log_loss: None, began: None };
    let account = train(contract, options, &mut |event| reporter.watch(&event))?;
    reporter.finish(&account);
    Ok(account)
}

/// Nobody is left to see it; in a process table it says that the work was not done.
const EXIT_CODE_OF_ORPHANS: i32 = 3;

struct Reporter<'a> {
    out: &'a mut dyn Write,
    passes: u32,
    pass: u32,
    /// Rows of earlier passes.
    rows_before: u64,
    log_loss: Option<f64>,
    /// When reading began, and when the last report was made.
    began: Option<(Instant, Instant)>,
}

impl Reporter<'_> {
    fn watch(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { step: Step::Learn { pass }, .. } => self.pass = *pass,
            Event::Window { so_far, .. } => self.log_loss = Some(so_far.log_loss),
            Event::Read(reader) => {
                let now = Instant::now();
                let (began, reported) = *self.began.get_or_insert((now, now));
                if now - reported >= REPORT_INTERVAL {
                    self.began = Some((began, now));
                    self.report(reader, now - began);
                }
            }
            Event::Finished(reader) => self.rows_before += reader.rows_read(),
            _ => {}
        }
    }

    fn report(&mut self, reader: &LogReader, elapsed: Duration) {
        let rows = self.rows_before + reader.rows_read();
        let share = reader.read_len_bytes() as f64 / reader.total_len_bytes().max(1) as f64;
        self.say(&Happening::Progress {
            rows,
            rows_per_second: rows as f64 / elapsed.as_secs_f64(),
            percent: 100.0 * (f64::from(self.pass - 1) + share) / f64::from(self.passes),
            log_loss: self.log_loss,
        });
    }

    fn finish(&mut self, account: &Account) {
        self.say(&Happening::Finished {
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

    fn say(&mut self, happening: &Happening) {
        // Where nobody listens any more the process is about to end anyway.
        if let Ok(line) = serde_json::to_string(happening) {
            let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }
}
