//! Which process, which boot and which store: the evidence for the death of a process.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

/// A process, as its journal names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessId {
    /// Id of this boot of this machine; containers of one machine share it. Empty if the system does not tell.
    boot: String,
    pid: u32,
    /// When it started, in ticks since the boot.
    started_ticks: u64,
}

/// A store folder: a copy of it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) struct StoreId {
    device: u64,
    inode: u64,
}

impl ProcessId {
    pub(super) fn own() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name of the program, in parentheses, may have blanks.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let started_ticks = after_name.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0);
        Self { boot: boot.trim().to_owned(), pid: std::process::id(), started_ticks }
    }

    pub(super) fn is_of_this_boot(&self) -> bool {
        !self.boot.is_empty() && self.boot == Self::own().boot
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "boot": self.boot, "pid": self.pid, "started_ticks": self.started_ticks })
    }

    pub(super) fn of_json(value: &Value) -> Option<Self> {
        let pid = u32::try_from(value["pid"].as_u64()?).ok()?;
        Some(Self { boot: value["boot"].as_str()?.to_owned(), pid, started_ticks: value["started_ticks"].as_u64()? })
    }
}

impl StoreId {
    /// Returns nothing if there is no folder.
    pub(in crate::live) fn of(dir: &Path) -> Option<Self> {
        let metadata = dir.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    pub(super) fn to_json(self) -> Value {
        json!({ "device": self.device, "inode": self.inode })
    }

    pub(super) fn of_json(value: &Value) -> Option<Self> {
        Some(Self { device: value["device"].as_u64()?, inode: value["inode"].as_u64()? })
    }
}

/// Milliseconds since the boot, by a clock that all processes of the machine share and that nobody sets.
pub(in crate::live) fn boot_ms() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is writable.
    let outcome = unsafe { libc::clock_gettime(CLOCK, &raw mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    match (outcome, seconds, nanoseconds) {
        (0, Ok(seconds), Ok(nanoseconds)) => seconds * 1_000 + nanoseconds / 1_000_000,
        _ => 0,
    }
}
