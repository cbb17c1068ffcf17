//! A small log in several files, and trainings of it with processes that fail on demand.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use omomi::contract::Contract;
use omomi_train::learn::shards::{
    ProgressEvent, ShardEvent, ShardsAccount, Split, TrainShardsError, TrainShardsOptions, train_shards,
};
use omomi_train::learn::{Settings, TrainOptions};
use omomi_train::log::ReadOptions;
use omomi_train::log::generate::{CONTRACT, LogSpec, WriteOptions, write};

pub const OMOMI: &str = env!("CARGO_BIN_EXE_omomi");
pub const FILE_COUNT: usize = 5;

pub struct Fixture {
    folder: tempfile::TempDir,
}

/// The events of one command, by shard number.
#[derive(Debug, Default)]
pub struct Seen {
    pub started: BTreeMap<u32, u32>,
    pub died: Vec<(u32, String)>,
    pub reused: Vec<u32>,
    pub stale: Vec<(u32, String)>,
    pub finished: Vec<u32>,
    pub failed: Vec<u32>,
    pub events: Vec<ProgressEvent>,
}

impl Fixture {
    /// Writes a log of Parquet files and its contract.
    pub fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        let spec = LogSpec { rows: 12_000, seed: 5, click_rate: 0.1 };
        let paths: Vec<PathBuf> = (0..FILE_COUNT).map(|file| fixture.log(file)).collect();
        write(&spec, &paths, WriteOptions::default().with(|it| it.threads = 1), &mut |_| ()).unwrap();
        fs::write(fixture.contract_file(), CONTRACT).unwrap();
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self, file: usize) -> PathBuf {
        self.path(&format!("log-{file}.parquet"))
    }

    pub fn logs(&self) -> Vec<String> {
        (0..FILE_COUNT).map(|file| self.log(file).display().to_string()).collect()
    }

    pub fn contract_file(&self) -> PathBuf {
        self.path("contract.toml")
    }

    pub fn contract(&self) -> Contract {
        omomi_train::toml::parse_contract(CONTRACT).unwrap()
    }

    /// Returns options for three random shards and two processes.
    pub fn options(&self) -> TrainShardsOptions {
        let mut train = TrainOptions::new(self.logs(), self.path("merged.parquet"));
        train.read = ReadOptions::default().with(|it| it.time_column = Some("timestamp".to_owned()));
        train.settings = Settings { alpha: 0.1, ..Settings::default() };
        train.replace = true;
        let mut options = TrainShardsOptions::new(train, self.contract_file(), 3, OMOMI);
        options.split = Split::Random;
        options.process_count = 2;
        options.retry_count = 1;
        options.round_count = 1;
        options.work_dir = self.path("work");
        options
    }

    /// Writes a program that runs `script` and then trains the shard. In `script`, `$ALL` is one word with all
    /// arguments.
    pub fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\nALL=\"$*\"\n{script}\nexec {OMOMI} \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn train(&self, options: &TrainShardsOptions) -> (Result<ShardsAccount, TrainShardsError>, Seen) {
        let mut seen = Seen::default();
        let outcome = train_shards(&self.contract(), options, &mut |event| seen.note(event));
        (outcome, seen)
    }

    /// Trains, and returns the bytes of the merged state.
    #[track_caller]
    pub fn merged(&self, options: &TrainShardsOptions) -> (Vec<u8>, Seen) {
        let (outcome, seen) = self.train(options);
        outcome.unwrap_or_else(|error| panic!("{error}"));
        (fs::read(&options.train.state).unwrap(), seen)
    }

    pub fn state_of_shard(&self, shard: u32) -> PathBuf {
        self.path(&format!("work/round-01/shard-{shard:04}.parquet"))
    }
}

impl Seen {
    fn note(&mut self, progress: &ProgressEvent) {
        self.events.push(progress.clone());
        let Some(shard) = progress.shard else { return };
        match &progress.event {
            ShardEvent::Started { .. } => *self.started.entry(shard).or_default() += 1,
            ShardEvent::Died { message, .. } => self.died.push((shard, message.clone())),
            ShardEvent::Reused { .. } => self.reused.push(shard),
            ShardEvent::Stale { reason } => self.stale.push((shard, reason.clone())),
            ShardEvent::Finished { .. } => self.finished.push(shard),
            ShardEvent::Failed { .. } => self.failed.push(shard),
            _ => {}
        }
    }

    /// Returns the shards for which a process was started.
    pub fn learned(&self) -> Vec<u32> {
        self.started.keys().copied().collect()
    }
}

/// Returns whether the shard of `state` has its marker, so that it counts as finished.
pub fn is_marked(state: &Path) -> bool {
    state.with_extension("done.json").is_file()
}
