//! The directory of a store as publishers need it: laid out, locked, free of what others left behind.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use omomi::new_file::{NewFile, sync_folder_of};
use omomi::store::Store;

use super::{MODE_OF_TEXT, PublishError, failed};

/// A store that this process alone publishes to. The system takes the lock back when the process ends, however it ends.
pub(super) struct Place {
    _lock: Lock,
    /// The folders that were not there before, outer ones first.
    made: Vec<PathBuf>,
}

/// A lock on a folder, until it is dropped.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Not left to the closing of the file: a process that another thread is just starting has it open too, for a moment.
        let _ = self.0.unlock();
    }
}

impl Place {
    pub(super) fn take(store: &Store) -> Result<Self, PublishError> {
        let mut made = Vec::new();
        for folder in [store.dir().to_owned(), store.generations_path(), store.state_path()] {
            match fs::create_dir(&folder) {
                Ok(()) => {
                    sync_folder_of(&folder).map_err(failed("sync the folder of", &folder))?;
                    made.push(folder);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("make the folder", &folder)(error)),
            }
        }
        // Locked is the folder, not a file in it, which would stay behind where a first publication is refused.
        let folder = store.generations_path();
        let lock = File::open(&folder).map_err(failed("open", &folder))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: Lock(lock), made }),
            Err(TryLockError::WouldBlock) => Err(PublishError::Busy { dir: store.dir().to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed("lock", &folder)(error)),
        }
    }

    /// Removes the folders that were made, as far as they are empty.
    pub(super) fn leave_as_it_was(self) {
        for folder in self.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Waits a moment for whoever else changes `control`; nothing where they do not come to an end. To go on then is right: a store is
/// switched off even where somebody's process hangs.
pub(super) fn lock_control(store: &Store) -> Result<Option<Lock>, PublishError> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let lock = File::open(store.dir()).map_err(failed("open", store.dir()))?;
    let start = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(Lock(lock))),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(_) => return Ok(None),
        }
    }
}

/// Removes the hidden siblings of files whose names begin with `name`: their writers are dead, or they would hold the lock.
pub(super) fn remove_leftovers(folder: &Path, name: &str) -> Result<(), PublishError> {
    let entries = folder.read_dir().map_err(failed("list", folder))?;
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        let is_leftover = |file_name: &str| {
            let rest = file_name.strip_prefix('.').and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.ends_with(".partial"))
        };
        if entry.file_name().to_str().is_some_and(is_leftover) {
            fs::remove_file(entry.path()).map_err(failed("remove what was left behind:", &entry.path()))?;
        }
    }
    Ok(())
}

/// A text on its way to take the place of the one at `path`: durable already, but for its name.
pub(super) fn write_text(path: &Path, text: &str) -> Result<NewFile, PublishError> {
    let new_file = NewFile::create(path, true).map_err(failed("write", path))?;
    new_file.file().write_all(text.as_bytes()).map_err(failed("write", path))?;
    let permissions = Permissions::from_mode(MODE_OF_TEXT);
    new_file.file().set_permissions(permissions).map_err(failed("set the permissions of", path))?;
    new_file.sync().map_err(failed("sync", path))?;
    Ok(new_file)
}
