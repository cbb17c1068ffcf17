//! Removes from a store what nobody needs any more: old generations, and states of servers that are gone.
//!
//! The [decision](decide::decide) is a pure function of [facts](decide::Facts). A generation stays if it is published,
//! if it is newer than the published one, if it is one of the newest ones, if `control` names it, or if the journal or
//! the report of any server names it as served, as good or as ordered, also on other machines. If anything is not
//! known, such as a journal that cannot be read, all generations stay, and the result says why.
//!
//! The state of a process that ended or died long ago goes. That of a process of which it is not known whether it runs,
//! on another machine or before a reboot, stays.

pub mod decide;
mod facts;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use omomi::new_file::sync_folder_of;
use omomi::store::Store;

use super::PublishError;
use super::control::check_store;
use super::store_writer::{StoreWriter, lock_control};
use decide::{Decision, decide};

pub use decide::{GcOptions, Verdict};

/// What was removed and kept, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Verdicts that were carried out, or would be.
    pub decision: Decision,
    /// Length of each generation's file, in bytes.
    pub lens_bytes: BTreeMap<u64, u64>,
    /// What could not be removed, and why.
    pub failures: Vec<String>,
}

/// Removes what nobody needs any more; only says so if `is_dry_run`.
///
/// # Errors
///
/// Returns [`PublishError::NotAStore`] if `store` is not a store, [`PublishError::Busy`] while another process changes
/// it, and [`omomi::Error::File`] if a folder cannot be listed. What cannot be removed is part of the result.
pub fn collect(store: &Store, options: GcOptions, is_dry_run: bool) -> Result<Collected, PublishError> {
    check_store(store)?;
    let _writer = StoreWriter::lock(store)?;
    // Nobody pins a generation that is being removed.
    let lock = lock_control(store)?;
    let _lock = lock.ok_or_else(|| PublishError::Busy { dir: store.dir().to_owned() })?;
    let before = facts::read(store)?;
    let len = |generation: &u64| fs::metadata(store.generation_path(*generation)).map_or(0, |metadata| metadata.len());
    let lens_bytes = before.files.iter().map(|generation| (*generation, len(generation))).collect();
    let mut decision = decide(&before, options);
    let mut failures = Vec::new();
    if is_dry_run {
        return Ok(Collected { decision, lens_bytes, failures });
    }
    for (name, verdict) in decision.states.iter_mut().filter(|(_, verdict)| verdict.is_removed) {
        match remove_state(store, name, options) {
            Ok(true) => {}
            Ok(false) => *verdict = Verdict { is_removed: false, why: "a process of this name has started".to_owned() },
            Err(error) => {
                failures.push(format!("{}: {error}", store.state_path().join(name).display()));
                *verdict = Verdict { is_removed: false, why: format!("it cannot be removed: {error}") };
            }
        }
    }
    // What is still there counts, and what has started meanwhile.
    let after = decide(&facts::read(store)?, options);
    (decision.generations, decision.unknown) = (after.generations, after.unknown);
    for (generation, verdict) in decision.generations.iter_mut().filter(|(_, verdict)| verdict.is_removed) {
        let path = store.generation_path(*generation);
        if let Err(error) = fs::remove_file(&path) {
            failures.push(format!("{}: {error}", path.display()));
            *verdict = Verdict { is_removed: false, why: format!("it cannot be removed: {error}") };
        }
    }
    for folder in [store.generations_path(), store.state_path()] {
        if let Err(error) = sync_folder_of(&folder.join("any")) {
            failures.push(format!("{}: {error}", folder.display()));
        }
    }
    Ok(Collected { decision, lens_bytes, failures })
}

/// Removes a state while its lock is held, so that no process takes it meanwhile. Returns whether it was removed.
fn remove_state(store: &Store, name: &str, options: GcOptions) -> io::Result<bool> {
    let folder = store.state_path().join(name);
    let mut open = File::options();
    open.read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    let lock = match open.open(folder.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        lock => Some(lock?),
    };
    match lock.as_ref().map(File::try_lock) {
        Some(Err(fs::TryLockError::WouldBlock)) => return Ok(false),
        Some(Err(fs::TryLockError::Error(error))) => return Err(error),
        Some(Ok(())) | None => {}
    }
    // A process that has started and ended meanwhile has written its files.
    if facts::age(&folder).is_none_or(|age| age <= options.older_than) {
        return Ok(false);
    }
    // A process that waits for the lock notices that the folder is gone, and makes another one.
    fs::remove_dir_all(&folder)?;
    Ok(true)
}
