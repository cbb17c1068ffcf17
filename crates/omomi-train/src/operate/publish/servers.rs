//! The servers of a store: whether they run, and what they reported last.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use omomi::short_text::{self, TextError};
use omomi::store::{Control, Current, Store};

use super::{PublishError, failed};

/// Age in seconds after which the report of a running process means that it is stuck.
pub const STALE_AFTER_SECONDS: u64 = 30;

/// Maximum length of a file in a state folder, in bytes.
const MAX_STATE_LEN: u64 = 4 << 20;

/// Whether a serving process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs: it holds its lock.
    Running,
    /// It ended in order.
    Ended,
    /// It died.
    Died,
    /// It runs on another machine, or ran before a reboot.
    Unknown,
}

impl Life {
    /// `running`, `ended`, `died` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Died => "died",
            Self::Unknown => "unknown",
        }
    }
}

/// A serving process and its last report.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatus {
    /// Name of its folder in `state`.
    pub name: String,
    /// Whether it runs.
    pub life: Life,
    /// The report, or why there is none.
    pub report: Result<Value, String>,
    /// Age of the report by the clock of this machine; `None` if another machine wrote it, or before a reboot.
    pub heartbeat_age_seconds: Option<u64>,
    /// Process id of a second process of the same name, which runs and remembers nothing.
    pub second_pid: Option<u64>,
}

impl ServerStatus {
    /// Whether the process died or is stuck, as far as its lock and its report show.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self.life {
            Life::Running => self.heartbeat_age_seconds.is_some_and(|age| age > STALE_AFTER_SECONDS),
            Life::Died => true,
            Life::Ended | Life::Unknown => false,
        }
    }

    /// Returns what it served at its last report.
    #[must_use]
    pub fn served(&self) -> Option<Current> {
        let served = &self.report.as_ref().ok()?["served"];
        Some(Current { generation: served["generation"].as_u64()?, digest: served["digest"].as_str()?.parse().ok()? })
    }

    /// Returns the orders that it obeyed at its last report.
    #[must_use]
    pub fn control(&self) -> Option<Control> {
        self.report.as_ref().ok()?["control"].as_str()?.parse().ok()
    }

    /// Returns when it reported last, in milliseconds since this machine started; nothing if another machine wrote the
    /// report, or before a reboot.
    pub(super) fn heartbeat_boot_ms(&self) -> Option<u64> {
        self.heartbeat_age_seconds?;
        self.report.as_ref().ok()?["heartbeat_boot_ms"].as_u64()
    }

    pub(super) fn to_json(&self) -> Value {
        let (report, problem) = match &self.report {
            Ok(report) => (Some(report), None),
            Err(problem) => (None, Some(problem)),
        };
        json!({
            "name": self.name,
            "life": self.life.name(),
            "report": report,
            "problem": problem,
            "heartbeat_age_seconds": self.heartbeat_age_seconds,
            "is_stale": self.is_stale(),
            "second_pid": self.second_pid,
        })
    }
}

/// Returns the processes of a store, sorted by name. Folders that a copy brought from another store are not its
/// servers: they are counted only.
///
/// # Errors
///
/// Returns [`omomi::Error::File`] if the folder cannot be listed.
pub fn servers_of(store: &Store) -> Result<(Vec<ServerStatus>, usize), PublishError> {
    let (mut servers, mut foreign_count) = (Vec::new(), 0);
    for folder in state_folders(store)? {
        let server = server_status(&folder);
        if is_own(store, &server) {
            servers.push(server);
        } else {
            foreign_count += 1;
        }
    }
    Ok((servers, foreign_count))
}

/// Lists the folders of all processes, sorted by name.
pub(super) fn state_folders(store: &Store) -> Result<Vec<PathBuf>, PublishError> {
    let state = store.state_path();
    let entries = match state.read_dir() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", &state))?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        folders.push(entry.map_err(failed("list", &state))?.path());
    }
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    Ok(folders)
}

/// Whether a process is one of this store, and did not come with a copy of another one.
pub(super) fn is_own(store: &Store, server: &ServerStatus) -> bool {
    // A running process holds a lock of this very folder.
    server.life == Life::Running || is_of(store, server)
}

fn is_of(store: &Store, server: &ServerStatus) -> bool {
    let Ok(report) = &server.report else { return true };
    let numbers = (report["store"]["device"].as_u64(), report["store"]["inode"].as_u64());
    let (Some(device), Some(inode)) = numbers else { return true };
    // Device numbers may change with a reboot.
    let is_of_this_boot = report["process"]["boot"].as_str() == Some(&boot());
    match fs::metadata(store.dir()) {
        Ok(own) => (own.ino() == inode) && (own.dev() == device || !is_of_this_boot),
        Err(_) => true,
    }
}

/// Returns the status of the process whose folder this is.
pub(super) fn server_status(folder: &Path) -> ServerStatus {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let report = read_report(&folder.join("report.json"));
    let is_here = |report: &Value| report["process"]["boot"].as_str() == Some(&boot());
    let life = match &report {
        _ if is_locked(folder) => Life::Running,
        Ok(report) if !report["ended"].is_null() => Life::Ended,
        Ok(report) if is_here(report) => Life::Died,
        _ => Life::Unknown,
    };
    let age = |report: &Value| {
        let heartbeat = report["heartbeat_boot_ms"].as_u64().filter(|_| is_here(report))?;
        Some(boot_ms()?.saturating_sub(heartbeat) / 1_000)
    };
    let second = read_report(&folder.join("second.json")).ok();
    let second = second.filter(|second| {
        second["ended"].is_null()
            && age(second).is_some_and(|age| age <= STALE_AFTER_SECONDS)
            && report.as_ref().is_ok_and(|report| report["process"] != second["process"])
    });
    ServerStatus {
        name,
        life,
        heartbeat_age_seconds: report.as_ref().ok().and_then(age),
        report,
        second_pid: second.and_then(|second| second["process"]["pid"].as_u64()),
    }
}

fn read_report(path: &Path) -> Result<Value, String> {
    read_json(path, "report")?.ok_or_else(|| "it has no report".to_owned())
}

/// Reads a file of a state folder; nothing if there is none.
pub(super) fn read_json(path: &Path, what: &str) -> Result<Option<Value>, String> {
    match short_text::read(path, MAX_STATE_LEN) {
        Ok(Some(text)) => {
            serde_json::from_str(&text).map(Some).map_err(|error| format!("its {what} is not JSON: {error}"))
        }
        Ok(None) => Ok(None),
        Err(TextError::Io { action, source }) => Err(format!("cannot {action} its {what}: {source}")),
        Err(TextError::Unexpected { expected, found }) => {
            Err(format!("its {what}: expected {expected}, found {found}"))
        }
    }
}

/// Whether a process holds the lock of the folder.
fn is_locked(folder: &Path) -> bool {
    let lock = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(folder.join("lock"));
    let Ok(lock) = lock else { return false };
    let is_file = lock.metadata().is_ok_and(|metadata| metadata.is_file());
    is_file && matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Milliseconds since the boot, by the clock that servers of this machine report, too.
fn boot_ms() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, rest) = text.split_once('.')?;
    let hundredths: u64 = rest.get(..2)?.parse().ok()?;
    Some(seconds.parse::<u64>().ok()? * 1_000 + hundredths * 10)
}
