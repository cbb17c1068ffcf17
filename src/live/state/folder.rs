//! The folder `state/<name>`: its lock, and its files. Whatever is in the folder, nothing here waits for it, reads
//! without a limit or overwrites what it cannot read.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::super::decide::{Ended, Inherited, Journal};
use super::super::quarantined::Quarantined;
use super::process::StoreId;
use super::text::{JournalText, quarantine_of_json};
use crate::error::Error;
use crate::new_file::{NewFile, sync_folder_of};
use crate::short_text::{self, TextError};
use crate::store::{Control, Store};

/// How long to retry a lock that another process holds. The previous process may still be exiting; and a child process
/// inherits the server's open files until it executes its own program.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Longest file that is read.
const MAX_STATE_LEN: u64 = 4 << 20;
/// The journal has this length or a multiple of it, so that the next one fits into the space of the last.
const JOURNAL_LEN: usize = 16 << 10;

/// A state folder that belongs to this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held until it is dropped.
    lock: File,
    _is_own: OwnLock,
    pub(super) store: StoreId,
}

/// Notes that this process holds a lock, to tell its own live models from other processes.
#[derive(Debug)]
struct OwnLock(Option<(u64, u64)>);

/// The locks that this process holds, by device and inode.
static OWN_LOCKS: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

impl OwnLock {
    fn id(lock: &File) -> Option<(u64, u64)> {
        lock.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    fn note(lock: &File) -> Self {
        let id = Self::id(lock);
        OWN_LOCKS.lock().unwrap_or_else(PoisonError::into_inner).extend(id);
        Self(id)
    }

    fn is_known(lock: &File) -> bool {
        let own = OWN_LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        Self::id(lock).is_some_and(|id| own.contains(&id))
    }
}

impl Drop for OwnLock {
    fn drop(&mut self) {
        let mut own = OWN_LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = own.iter().position(|id| Some(*id) == self.0) {
            own.swap_remove(place);
        }
    }
}

/// What the process before this one left.
#[derive(Debug)]
pub(in crate::live) struct StateFound {
    pub(in crate::live) inherited: Inherited,
    /// The last orders that it heard.
    pub(in crate::live) heard: Option<Control>,
    pub(in crate::live) quarantined: Vec<Quarantined>,
    /// Files that could not be read. They were set aside.
    pub(in crate::live) set_aside: Vec<(PathBuf, String)>,
}

/// Why there is no folder.
#[derive(Debug)]
pub(super) enum NoFolder {
    /// There is no store.
    NoStore(Error),
    /// Another process of this name holds the lock.
    Taken(Error),
    Unusable(Error),
}

impl Folder {
    /// Takes the folder of `name` in an existing store.
    pub(super) fn take(store: &Store, name: &str, is_patient: bool) -> Result<Self, NoFolder> {
        check_store(store).map_err(NoFolder::NoStore)?;
        let path = store.state_path().join(name);
        let unusable = |problem: String| Error::StateUnusable { path: path.clone(), problem };
        let failed = |error: io::Error| NoFolder::Unusable(unusable(error.to_string()));
        let id = StoreId::of(store.dir())
            .ok_or_else(|| failed(io::Error::new(ErrorKind::NotFound, "there is no such folder")))?;
        for folder in [store.state_path(), path.clone()] {
            // On a frozen disk, even an attempt to create a folder that exists would hang.
            if !folder.is_dir() {
                // Not writable by others, even without a umask.
                fs::DirBuilder::new().mode(0o755).create(&folder).map_err(failed)?;
            }
        }
        let lock = open_lock(&path.join("lock")).map_err(failed)?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    let _is_own = OwnLock::note(&lock);
                    return Ok(Self { path, lock, _is_own, store: id });
                }
                Err(fs::TryLockError::WouldBlock) if is_patient && began.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    let problem = match OwnLock::is_known(&lock) {
                        true => "another live model of this process has the same name; give each one a name of its own",
                        false => "another process of the same name holds it",
                    };
                    let problem = problem.to_owned();
                    return Err(NoFolder::Taken(unusable(problem)));
                }
                Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Whether the folder is still the one in the store: not removed, and not in a store that is no longer mounted.
    pub(super) fn is_still(&self, store: &Store) -> bool {
        let own = self.lock.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let named = fs::symlink_metadata(self.path.join("lock")).map(|metadata| (metadata.dev(), metadata.ino()));
        StoreId::of(store.dir()) == Some(self.store) && own.is_ok() && own.ok() == named.ok()
    }

    /// Reads what the process before this one left.
    pub(super) fn read(&self) -> StateFound {
        let mut set_aside = Vec::new();
        let journal = self.read_or_set_aside("journal.json", JournalText::of_json, &mut set_aside);
        let quarantined = self.read_or_set_aside("quarantine.json", quarantine_of_json, &mut set_aside);
        let (inherited, heard) = match journal {
            Some(text) => {
                let ended = text.ended(Some(self.store));
                (Inherited { journal: text.journal, ended }, text.heard)
            }
            None => (Inherited { journal: Journal::default(), ended: Ended::Unknown }, None),
        };
        StateFound { inherited, heard, quarantined: quarantined.unwrap_or_default(), set_aside }
    }

    fn read_or_set_aside<T>(
        &self,
        name: &str,
        parse: impl Fn(&Value) -> Result<T, String>,
        set_aside: &mut Vec<(PathBuf, String)>,
    ) -> Option<T> {
        let path = self.path.join(name);
        let problem = match read_json(&path) {
            Ok(None) => return None,
            Ok(Some(value)) => match parse(&value) {
                Ok(read) => return Some(read),
                Err(problem) => problem,
            },
            Err(problem) => problem,
        };
        // Whatever it is, a person can look at it.
        let free = (1..100).map(|number| self.path.join(format!("{name}.unreadable-{number}")));
        let aside = free.into_iter().find(|aside| fs::symlink_metadata(aside).is_err());
        let aside = aside.unwrap_or_else(|| self.path.join(format!("{name}.unreadable")));
        let problem = match fs::rename(&path, &aside) {
            Ok(()) => format!("{name} cannot be read ({problem}); it was set aside as {}", aside.display()),
            Err(error) => format!("{name} cannot be read ({problem}) and cannot be set aside: {error}"),
        };
        set_aside.push((aside, problem));
        None
    }

    /// Replaces the journal. The new text takes the space of the one before the last, so that an order can be recorded
    /// on a full disk.
    pub(super) fn write_journal(&self, text: &JournalText) -> io::Result<()> {
        let path = self.path.join("journal.json");
        let mut bytes = format!("{:#}", text.to_json()).into_bytes();
        // A line end after it, and blanks between.
        let len = (bytes.len() + 1).next_multiple_of(JOURNAL_LEN);
        bytes.resize(len - 1, b' ');
        bytes.push(b'\n');
        let spare = self.path.join(".journal.spare");
        write_over(&spare, &bytes)?;
        if exchange(&spare, &path).is_err() {
            fs::rename(&spare, &path)?;
            // Without it, the next order may not be recorded on a full disk.
            let _ = write_over(&spare, &vec![b'\n'; len]);
        }
        // The note of a second process that is gone. One that runs writes it again.
        let _ = fs::remove_file(self.path.join("second.json"));
        sync_folder_of(&path)
    }

    pub(super) fn write_quarantine(&self, value: &Value) -> io::Result<()> {
        let new_file = NewFile::create(&self.path.join("quarantine.json"), true)?;
        new_file.file().write_all(format!("{value:#}\n").as_bytes())?;
        new_file.commit()
    }

    /// Writes the report. Not synced, because a report is out of date after a crash.
    pub(super) fn write_report(&self, report: &Value) -> io::Result<()> {
        write_unsynced(&self.path.join("report.json"), report)
    }

    pub(super) fn has_journal(&self) -> bool {
        fs::symlink_metadata(self.path.join("journal.json")).is_ok()
    }

    /// Updates the times of the files, so that a cleanup by age keeps them.
    pub(super) fn touch(&self) {
        let now = SystemTime::now();
        let _ = self.lock.set_modified(now);
        for name in ["journal.json", "quarantine.json", ".journal.spare"] {
            if let Ok(file) = open_regular(&self.path.join(name), File::options().read(true)) {
                let _ = file.set_modified(now);
            }
        }
    }

    pub(super) fn unusable(&self, error: &io::Error) -> Error {
        Error::StateUnusable { path: self.path.clone(), problem: error.to_string() }
    }
}

/// Refuses a path at which there is no store.
pub(in crate::live) fn check_store(store: &Store) -> Result<(), Error> {
    let missing = |found| Err(Error::StoreMissing { path: store.dir().to_owned(), found });
    match store.dir().metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return missing("nothing"),
        Err(source) => return Err(Error::File { action: "look at", path: store.dir().to_owned(), source }),
        Ok(metadata) if !metadata.is_dir() => return missing("no folder"),
        Ok(_) => {}
    }
    // A store that lost a part is still a store.
    let parts = [store.generations_path(), store.state_path(), store.current_path(), store.control_path()];
    if parts.iter().any(|part| fs::symlink_metadata(part).is_ok()) { Ok(()) } else { missing("another folder") }
}

/// Writes the note of a process that has no folder of its own, because another one of its name has.
pub(super) fn write_second(store: &Store, name: &str, report: &Value) -> io::Result<()> {
    write_unsynced(&store.state_path().join(name).join("second.json"), report)
}

fn write_unsynced(path: &Path, value: &Value) -> io::Result<()> {
    let new_file = NewFile::create(path, true)?;
    new_file.file().write_all(format!("{value:#}\n").as_bytes())?;
    new_file.take_name()
}

/// Reads a JSON file of a state folder; nothing if there is none.
pub(super) fn read_json(path: &Path) -> Result<Option<Value>, String> {
    let text = short_text::read(path, MAX_STATE_LEN).map_err(|error| match error {
        TextError::Io { action, source } => format!("cannot {action} it: {source}"),
        TextError::Unexpected { expected, found } => format!("expected {expected}, found {found}"),
    })?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))).transpose()
}

/// Whether the process whose state is in `folder` lives: it holds the lock.
pub(super) fn is_locked(folder: &Path) -> bool {
    let Ok(lock) = open_regular(&folder.join("lock"), File::options().read(true)) else { return false };
    matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

/// Opens a regular file, without waiting for the other end of a FIFO.
fn open_regular(path: &Path, options: &mut fs::OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).mode(0o644).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("expected a regular file")) }
}

/// Opens the lock, for reading only if it exists: a frozen disk does not delay that.
fn open_lock(path: &Path) -> io::Result<File> {
    match open_regular(path, File::options().read(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            open_regular(path, File::options().create(true).truncate(false).read(true).write(true))
        }
        lock => lock.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// Writes over a file from its first byte, so that it keeps its space, and syncs it.
fn write_over(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let open = || open_regular(path, File::options().create(true).truncate(false).read(true).write(true));
    let file = match open() {
        Ok(file) => file,
        Err(_) => {
            // Something else has its name.
            fs::remove_file(path)?;
            open()?
        }
    };
    file.write_all_at(bytes, 0)?;
    if file.metadata()?.len() != bytes.len() as u64 {
        file.set_len(bytes.len() as u64)?;
    }
    file.sync_all()
}

/// Exchanges two names in one step. Both keep their space.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    const RENAME_EXCHANGE: libc::c_uint = 2;
    let one = std::ffi::CString::new(one.as_os_str().as_bytes())?;
    let other = std::ffi::CString::new(other.as_os_str().as_bytes())?;
    let (here, from, to) = (libc::AT_FDCWD, one.as_ptr(), other.as_ptr());
    // SAFETY: both paths are C strings, and live until the call returns.
    let outcome = unsafe { libc::syscall(libc::SYS_renameat2, here, from, here, to, RENAME_EXCHANGE) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
