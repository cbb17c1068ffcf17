//! The process of one shard, which trains and reports progress to the parent process; and the work folder, in which the
//! parent keeps the states of finished shards.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::learn::{Account, Event, Step, TrainError, TrainOptions, train_part};
use crate::parent_process::end_with_parent;
use omomi::contract::Contract;

use super::{ShardEvent, TrainShardsError};

/// Minimum time between two reports. The end of a pass over a row cache is always reported.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Trains like [`train`](crate::learn::train), except that a field may have no value, and reports progress on `out`: one
/// [`ShardEvent`] per line, as JSON. All events are `progress` except the last, which is `finished`. If standard input
/// ends, the parent has died and the process exits.
///
/// # Errors
///
/// Fails like [`train`](crate::learn::train). A failure to write to `out` is ignored.
pub fn train_for_parent(
    contract: &Contract,
    options: &TrainOptions,
    out: &mut dyn Write,
) -> Result<Account, TrainError> {
    end_with_parent(EXIT_CODE_OF_ORPHANS);
    let mut reporter = Reporter { out, passes: options.passes, cache_passes: 0.0, log_loss: None, began: None };
    // The parent has checked the logs.
    let options = &TrainOptions { again: true, ..options.clone() };
    let account = train_part(contract, options, &mut |event| reporter.watch(&event))?;
    reporter.finish(&account);
    Ok(account)
}

/// Reading a row and numbering its features takes about as long as learning it this many times.
const CACHE_PASSES: f64 = 2.0;

/// Exit code of a process whose parent has died. It only shows in the process table, as "work not done".
const EXIT_CODE_OF_ORPHANS: i32 = 3;

struct Reporter<'a> {
    out: &'a mut dyn Write,
    passes: u32,
    /// Number of passes that building the row cache counts as.
    cache_passes: f64,
    log_loss: Option<f64>,
    /// Times of the begin of reading and of the last report.
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

    /// Reports that `rows` were learned and `passes` are done, unless the last report is too recent.
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
        // If the parent has gone, this process is about to exit anyway.
        if let Ok(line) = serde_json::to_string(event) {
            let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }
}

/// A locked work folder. It is unlocked on drop.
pub(super) struct WorkDir {
    path: PathBuf,
    _lock: File,
}

/// Files of one shard in one round.
pub(super) struct ShardPaths {
    pub(super) state: PathBuf,
    pub(super) marker: PathBuf,
    pub(super) stderr: PathBuf,
}

impl WorkDir {
    /// Creates the folder if it does not exist, and locks it.
    pub(super) fn take(path: &Path) -> Result<Self, TrainShardsError> {
        fs::create_dir_all(path).map_err(TrainShardsError::io("create the folder", path))?;
        // The lock is on the folder itself, because a lock file would need an explanation.
        let lock = File::open(path).map_err(TrainShardsError::io("open", path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(TrainShardsError::Busy { work_dir: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(TrainShardsError::io("lock", path)(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn progress(&self) -> PathBuf {
        self.path.join("progress.jsonl")
    }

    /// Creates the folder of a round, and removes unfinished files that killed processes left there.
    pub(super) fn begin_round(&self, round: u32) -> Result<(), TrainShardsError> {
        let folder = self.round(round);
        fs::create_dir_all(&folder).map_err(TrainShardsError::io("create the folder", &folder))?;
        remove_unfinished(&folder)
    }

    pub(super) fn shard(&self, round: u32, shard: u32) -> ShardPaths {
        let path = |ending: &str| self.round(round).join(format!("shard-{shard:04}.{ending}"));
        ShardPaths { state: path("parquet"), marker: path("done.json"), stderr: path("stderr.txt") }
    }

    /// Returns the path of the merged state of a round, if another round or a recalibration follows.
    pub(super) fn merged(&self, round: u32) -> PathBuf {
        self.round(round).join("merged.parquet")
    }

    fn round(&self, round: u32) -> PathBuf {
        self.path.join(format!("round-{round:02}"))
    }
}

/// Removes the unfinished files in `folder`.
fn remove_unfinished(folder: &Path) -> Result<(), TrainShardsError> {
    for entry in folder.read_dir().map_err(TrainShardsError::io("list", folder))? {
        let entry = entry.map_err(TrainShardsError::io("list", folder))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".partial")) {
            let path = entry.path();
            fs::remove_file(&path).map_err(TrainShardsError::io("remove the unfinished file", &path))?;
        }
    }
    Ok(())
}
