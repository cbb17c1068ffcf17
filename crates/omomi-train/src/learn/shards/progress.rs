//! What is told of a training in shards while it goes on.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::learn::utc;

/// One line of `progress.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProgressEvent {
    /// When, in RFC 3339, UTC.
    pub time: String,
    /// Number of the round, from 1; absent where it is not of one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// Number of the shard, from 1; absent where it is not of one shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// What happened.
    #[serde(flatten)]
    pub event: ShardEvent,
}

/// What happened: `event`, and what goes with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ShardEvent {
    /// A command begins.
    Begun {
        /// Number of shards.
        shards: u32,
        /// Most processes at once.
        processes: usize,
        /// Number of rounds.
        rounds: u32,
        /// How the log is cut.
        split: String,
    },
    /// All logs were digested.
    Digested {
        /// Number of files.
        files: usize,
        /// Their length together.
        len_bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// The state of the shard is there from an earlier command, and nothing it depends on has changed.
    Reused {
        /// Rows that it has learned.
        rows: u64,
        /// Their log loss, each predicted before it was learned.
        #[serde(skip_serializing_if = "Option::is_none")]
        log_loss: Option<f64>,
    },
    /// The shard was learned by an earlier command, but has to be learned again.
    Stale {
        /// What has changed.
        reason: String,
    },
    /// The process of the shard was started.
    Started {
        /// For the time of this number, from 1.
        attempt: u32,
        /// Number of the process in the system.
        process_id: u32,
    },
    /// The shard has learned some more rows.
    Progress {
        /// Rows learned so far, all passes together.
        rows: u64,
        /// Rows a second since the process began to read.
        rows_per_second: f64,
        /// How much of what is to be read has been read, by bytes.
        percent: f64,
        /// Log loss of the rows of the first pass so far, each predicted before it was learned; absent until
        /// [some rows](crate::learn::WINDOW_ROW_COUNT) were.
        #[serde(skip_serializing_if = "Option::is_none")]
        log_loss: Option<f64>,
    },
    /// The shard has learned its rows, and its state is there.
    Finished {
        /// Rows of one pass.
        rows: u64,
        /// Clicks of one pass.
        clicks: u64,
        /// Rows learned a second, reading included, over all passes.
        rows_per_second: f64,
        /// All was read: 100.
        percent: f64,
        /// Log loss of the first pass, each row predicted before it was learned.
        #[serde(skip_serializing_if = "Option::is_none")]
        log_loss: Option<f64>,
        /// Features seen.
        features: u64,
        /// Length of the state.
        state_len_bytes: u64,
        /// How long it took.
        seconds: f64,
        /// Most memory that the process has held, where the system says it.
        #[serde(skip_serializing_if = "Option::is_none")]
        peak_memory_bytes: Option<u64>,
    },
    /// The process of the shard died; it is started again.
    Died {
        /// How it ended, and its last words.
        message: String,
        /// How often it may be started again after this time.
        retries_left: u32,
    },
    /// The shard could not be learned.
    Failed {
        /// Why.
        message: String,
    },
    /// The states of all shards became one.
    Merged {
        /// Features of the merged state.
        features: u64,
        /// How long it took.
        seconds: f64,
    },
    /// The merged state was recalibrated.
    Recalibrated {
        /// What the logit was multiplied with.
        scale: f64,
        /// What was added to it after that.
        shift: f64,
        /// How long it took.
        seconds: f64,
    },
    /// The command ends well.
    Done {
        /// How long it took.
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

/// `progress.jsonl`: the events of all commands that worked in the folder, oldest first.
pub(super) struct ProgressFile(File);

impl ProgressFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::options().append(true).create(true).open(path).map(Self)
    }

    /// Adds a line in one write, so that readers of the file see whole lines.
    pub(super) fn add(&mut self, event: &ProgressEvent) -> io::Result<()> {
        let mut line = serde_json::to_string(event)?;
        line.push('\n');
        self.0.write_all(line.as_bytes())
    }
}
