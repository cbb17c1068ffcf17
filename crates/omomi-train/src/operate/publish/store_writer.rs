//! Write access to the directory of a store: creates its folders, locks it, removes leftovers, and replaces texts.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use omomi::new_file::{NewFile, sync_folder_of};
use omomi::store::Store;

use super::{MODE_OF_TEXT, PublishError, failed};

/// Exclusive write access to a store. The operating system releases the lock when the process ends, no matter how.
pub(in crate::operate) struct StoreWriter {
    _lock: Lock,
    /// The folders that were created, outer ones first.
    created: Vec<PathBuf>,
}

/// A lock on a folder, until it is dropped.
pub(in crate::operate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Unlocks explicitly: closing the file is not enough while a process that another thread is starting has it
        // open.
        let _ = self.0.unlock();
    }
}

impl StoreWriter {
    pub(in crate::operate) fn lock(store: &Store) -> Result<Self, PublishError> {
        let mut created = Vec::new();
        for folder in [store.dir().to_owned(), store.generations_path(), store.state_path()] {
            // Who may write a folder of the store may replace what servers load: only the owner, even without a umask.
            match fs::DirBuilder::new().mode(0o755).create(&folder) {
                Ok(()) => {
                    sync_folder_of(&folder).map_err(failed("sync the folder of", &folder))?;
                    created.push(folder);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create the folder", &folder)(error)),
            }
        }
        // The lock is on the folder, not on a file in it, because such a file would remain after a failed first
        // publication.
        let folder = store.generations_path();
        let lock = File::open(&folder).map_err(failed("open", &folder))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: Lock(lock), created }),
            Err(TryLockError::WouldBlock) => Err(PublishError::Busy { dir: store.dir().to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed("lock", &folder)(error)),
        }
    }

    /// Removes the folders that were created, if they are empty.
    pub(in crate::operate) fn remove_new_folders(self) {
        for folder in self.created.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Waits briefly while another process changes `control`. Returns `None` if that process does not finish in time. The
/// caller goes on even then, so that scoring can be switched off while another process hangs.
pub(in crate::operate) fn lock_control(store: &Store) -> Result<Option<Lock>, PublishError> {
    const MAX_WAIT: Duration = Duration::from_secs(2);
    let lock = File::open(store.dir()).map_err(failed("open", store.dir()))?;
    let start = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(Lock(lock))),
            Err(TryLockError::WouldBlock) if start.elapsed() < MAX_WAIT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(_) => return Ok(None),
        }
    }
}

/// Removes the hidden siblings of files whose names begin with `name`. Their writers are dead, because a live writer
/// would hold the lock.
pub(super) fn remove_leftovers(folder: &Path, name: &str) -> Result<(), PublishError> {
    let entries = folder.read_dir().map_err(failed("list", folder))?;
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        let is_leftover = |file_name: &str| {
            let rest = file_name.strip_prefix('.').and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.ends_with(".partial"))
        };
        if entry.file_name().to_str().is_some_and(is_leftover) {
            fs::remove_file(entry.path()).map_err(failed("remove the leftover", &entry.path()))?;
        }
    }
    Ok(())
}

/// Writes and syncs a text that will replace the one at `path`; only the rename is left to do.
pub(in crate::operate) fn write_text(path: &Path, text: &str) -> Result<NewFile, PublishError> {
    write(path, text, true)
}

/// Writes and syncs a text that will get the name `path` unless it is taken.
pub(super) fn write_new_text(path: &Path, text: &str) -> Result<NewFile, PublishError> {
    write(path, text, false)
}

fn write(path: &Path, text: &str, replace: bool) -> Result<NewFile, PublishError> {
    let new_file = NewFile::create(path, replace).map_err(failed("write", path))?;
    new_file.file().write_all(text.as_bytes()).map_err(failed("write", path))?;
    let permissions = Permissions::from_mode(MODE_OF_TEXT);
    new_file.file().set_permissions(permissions).map_err(failed("set the permissions of", path))?;
    new_file.sync().map_err(failed("sync", path))?;
    Ok(new_file)
}
