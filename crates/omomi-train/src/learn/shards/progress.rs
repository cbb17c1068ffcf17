//! The progress of a training in shards, as events and as lines of `progress.jsonl`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::learn::utc;

/// One line of `progress.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProgressEvent {
    /// Time of the event, in RFC 3339, UTC.
    pub time: String,
    /// Number of the round, from 1; absent if the event does not belong to one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// Number of the shard, from 1; absent if the event does not belong to one shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// The event itself. Its keys are on the same level as the others.
    #[serde(flatten)]
    pub event: ShardEvent,
}

/// An event of a shard or of the whole training. The JSON key `event` has its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ShardEvent {
    /// A command has begun.
    Begun {
        /// Number of shards.
        shards: u32,
        /// Maximum number of parallel processes.
        processes: usize,
        /// Number of rounds.
        rounds: u32,
        /// How the log is split.
        split: String,
    },
    /// The digests of all logs were computed.
    Digested {
        /// Number of files.
        files: usize,
        /// Total length of the files in bytes.
        len_bytes: u64,
        /// Duration in seconds.
        seconds: f64,
    },
    /// A file was left out.
    Skipped {
        /// The file or folder.
        file: std::path::PathBuf,
        /// Why, in words.
        reason: String,
    },
    /// The state of the shard was kept from an earlier command, because nothing that it depends on has changed.
    Reused {
        /// Number of rows that it has learned.
        rows: u64,
        /// Log loss of these rows, each predicted before it was learned.
        #[serde(skip_serializing_if = "Option::is_none")]
        log_loss: Option<f64>,
    },
    /// An earlier command trained the shard, but it must be trained again.
    Stale {
        /// The input that has changed, in words.
        reason: String,
    },
    /// The process of the shard was started.
    Started {
        /// Number of the attempt, from 1.
        attempt: u32,
        /// Process id in the operating system.
        process_id: u32,
    },
    /// The shard has learned some more rows.
    Progress {
        /// Number of rows learned so far, over all passes.
        rows: u64,
        /// Rows per second since the process began to read.
        rows_per_second: f64,
        /// Share of the work that is done, in percent.
        percent: f64,
        /// Log loss of the rows of the first pass so far, each predicted before it was learned; absent until
        /// [`WINDOW_ROW_COUNT`](crate::learn::WINDOW_ROW_COUNT) rows were learned.
        #[serde(skip_serializing_if = "Option::is_none")]
        log_loss: Option<f64>,
    },
    /// The shard has learned all its rows and written its state.
    Finished {
        /// Number of rows of one pass.
        rows: u64,
        /// Number of clicks of one pass.
        clicks: u64,
        /// Rows learned per second, including the time to read them, over all passes.
        rows_per_second: f64,
        /// Always 100.
        percent: f64,
        /// Log loss of the first pass, each row predicted before it was learned.
        #[serde(skip_serializing_if = "Option::is_none")]
        log_loss: Option<f64>,
        /// Number of features that were seen.
        features: u64,
        /// Length of the state in bytes.
        state_len_bytes: u64,
        /// Duration in seconds.
        seconds: f64,
        /// Peak memory of the process in bytes; absent where the operating system does not report it.
        #[serde(skip_serializing_if = "Option::is_none")]
        peak_memory_bytes: Option<u64>,
    },
    /// The process of the shard died. It is restarted.
    Died {
        /// How it ended, and its last output on standard error.
        message: String,
        /// How many more times it may be restarted after this restart.
        retries_left: u32,
    },
    /// The shard failed for good.
    Failed {
        /// Why it failed.
        message: String,
    },
    /// The states of all shards were averaged.
    Merged {
        /// Number of features of the merged state.
        features: u64,
        /// Duration in seconds.
        seconds: f64,
    },
    /// The merged state was recalibrated.
    Recalibrated {
        /// Factor of the logit.
        scale: f64,
        /// Number added to the logit after scaling.
        shift: f64,
        /// Duration in seconds.
        seconds: f64,
    },
    /// The command has succeeded.
    Done {
        /// Duration in seconds.
        seconds: f64,
    },
}

impl ProgressEvent {
    pub(super) fn now(round: Option<u32>, shard: Option<u32>, event: ShardEvent) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = i64::try_from(since_epoch.as_micros()).ok().and_then(utc).unwrap_or_default();
        Self { time, round, shard, event }
    }
}

/// `progress.jsonl`: the events of all commands that used the folder, oldest first.
pub(super) struct ProgressFile(File);

impl ProgressFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::options().append(true).create(true).open(path).map(Self)
    }

    /// Appends a line in one write, so that readers of the file see whole lines only.
    pub(super) fn add(&mut self, event: &ProgressEvent) -> io::Result<()> {
        let mut line = serde_json::to_string(event)?;
        line.push('\n');
        self.0.write_all(line.as_bytes())
    }
}
