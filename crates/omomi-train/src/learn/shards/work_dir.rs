//! The work folder, in which a training in shards keeps finished states.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::TrainShardsError;

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
