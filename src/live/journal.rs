//! Memory of a serving process that survives its death: the journal of trials, and the quarantine.
//!
//! `state/<name>/journal.json` names the last good generation, the generation on trial, and how many processes died
//! during trials. `state/<name>/quarantine.json` lists refused contents by digest. Both files are replaced by rename
//! and synced, so after `kill -9` they are at most a moment old.
//!
//! A process holds `state/<name>/lock` as long as it lives. A second process of the same name still serves, but
//! remembers nothing and reports why.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::unix_seconds;
use crate::error::{Code, Error};
use crate::new_file::NewFile;
use crate::store::{Current, Digest};

/// How long to retry a lock that another process holds. The previous process may still be exiting; and a child process
/// inherits the server's open files until it executes its own program.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Maximum number of refusals that are kept. The oldest is dropped first.
const MAX_QUARANTINED: usize = 64;

/// A content that was refused and is not tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Digest of the content.
    pub digest: Digest,
    /// The generation under which it was published.
    pub generation: u64,
    /// The error code of the refusal.
    pub code: Code,
    /// The error message of the refusal.
    pub reason: String,
    /// When it was refused, in seconds since 1970.
    pub unix_seconds: u64,
    /// Whether the next process of this name keeps the entry. A refusal by this server's own limits ends with the
    /// process.
    pub is_lasting: bool,
}

impl Quarantined {
    pub(super) fn now(tried: Current, error: &Error, is_lasting: bool) -> Self {
        Self {
            digest: tried.digest,
            generation: tried.generation,
            code: error.code(),
            reason: error.short_message(),
            unix_seconds: unix_seconds(),
            is_lasting,
        }
    }
}

/// Number of processes that died while a content was on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deaths {
    pub(super) tried: Current,
    pub(super) count: u32,
}

impl Deaths {
    pub(super) fn error(&self, max_deaths: u32) -> Error {
        Error::KilledProcess { generation: self.tried.generation, expected: max_deaths, deaths: self.count }
    }
}

/// The journal and the quarantine: in memory, and on disk if the state folder is usable.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
    /// Held as long as the process lives; `None` if the folder is not usable.
    lock: Option<File>,
    pub(super) good: Option<Current>,
    pub(super) trying: Option<Current>,
    pub(super) deaths: Vec<Deaths>,
    pub(super) quarantined: Vec<Quarantined>,
    /// Why the state is not saved to disk.
    pub(super) problem: Option<Error>,
}

impl Memory {
    /// Reads the state that the previous process of this name left in `folder`. If it left an open trial, it died
    /// during that trial. A generation with more than `max_deaths` deaths goes into quarantine.
    pub(super) fn open(folder: PathBuf, max_deaths: u32) -> Self {
        let mut memory = Self {
            folder,
            lock: None,
            good: None,
            trying: None,
            deaths: Vec::new(),
            quarantined: Vec::new(),
            problem: None,
        };
        match memory.take_lock() {
            Ok(lock) => memory.lock = Some(lock),
            Err(problem) => {
                memory.problem = Some(memory.unusable(problem));
                return memory;
            }
        }
        // An unreadable file counts as absent: a server must start even with a damaged journal.
        memory.read_journal(&read_json(&memory.path("journal.json")));
        memory.read_quarantine(&read_json(&memory.path("quarantine.json")));
        if let Some(tried) = memory.trying.take() {
            match memory.deaths.iter_mut().find(|deaths| deaths.tried.digest == tried.digest) {
                Some(deaths) => deaths.count += 1,
                None => memory.deaths.push(Deaths { tried, count: 1 }),
            }
            memory.quarantine_the_deadly(max_deaths);
            memory.write_journal();
        }
        memory
    }

    fn quarantine_the_deadly(&mut self, max_deaths: u32) {
        let deaths = std::mem::take(&mut self.deaths);
        let (deadly, chance) = deaths.into_iter().partition(|deaths| deaths.count > max_deaths);
        self.deaths = chance;
        let deadly: Vec<Deaths> = deadly;
        for deaths in deadly {
            let error = deaths.error(max_deaths);
            self.quarantine(Quarantined::now(deaths.tried, &error, true));
        }
    }

    /// Whether the state folder belongs to this process.
    pub(super) const fn is_on_disk(&self) -> bool {
        self.lock.is_some()
    }

    /// Records that `current` is about to be served on trial.
    pub(super) fn begin_trial(&mut self, current: Current) {
        self.trying = Some(current);
        self.write_journal();
    }

    /// Records that the trial succeeded: its generation is the last good one.
    pub(super) fn end_trial(&mut self) {
        if let Some(current) = self.trying.take() {
            self.deaths.retain(|deaths| deaths.tried.digest != current.digest);
            self.good = Some(current);
            self.write_journal();
        }
    }

    /// Records that the trial ended without a verdict.
    pub(super) fn give_up_trial(&mut self) {
        if self.trying.take().is_some() {
            self.write_journal();
        }
    }

    /// Records that the last good generation is lost.
    pub(super) fn forget_good(&mut self) {
        self.good = None;
        self.write_journal();
    }

    /// Writes `report.json` for readers outside the process. Not synced, because a report is out of date after a crash.
    pub(super) fn write_report(&self, report: &Value) {
        let (path, sibling) = (self.path("report.json"), self.path(".report.json.partial"));
        // If the write fails, the reader notices the old heartbeat.
        let _ = fs::write(&sibling, format!("{report:#}\n")).and_then(|()| fs::rename(&sibling, &path));
    }

    /// Returns the quarantine entry of a content.
    pub(super) fn quarantine_of(&self, digest: Digest) -> Option<&Quarantined> {
        self.quarantined.iter().find(|quarantined| quarantined.digest == digest)
    }

    pub(super) fn quarantine(&mut self, refused: Quarantined) {
        self.quarantined.retain(|quarantined| quarantined.digest != refused.digest);
        if self.quarantined.len() == MAX_QUARANTINED {
            self.quarantined.remove(0);
        }
        let is_lasting = refused.is_lasting;
        self.quarantined.push(refused);
        if is_lasting {
            self.write_quarantine();
        }
    }

    fn take_lock(&self) -> Result<File, String> {
        // Not writable by others, even without a umask.
        let folders = fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.folder);
        folders.map_err(|error| error.to_string())?;
        let path = self.path("lock");
        let file = File::options().create(true).truncate(false).write(true).mode(0o644).open(path);
        let file = file.map_err(|error| error.to_string())?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_PAUSE),
                Err(fs::TryLockError::WouldBlock) => return Err("another process of the same name holds it".to_owned()),
                Err(fs::TryLockError::Error(error)) => return Err(error.to_string()),
            }
        }
    }

    fn read_journal(&mut self, journal: &Value) {
        self.good = current_of(&journal["good"]);
        self.trying = current_of(&journal["trying"]);
        let deaths = journal["deaths"].as_array().into_iter().flatten();
        self.deaths = deaths
            .filter_map(|entry| {
                let count = entry["count"].as_u64().and_then(|count| u32::try_from(count).ok())?;
                Some(Deaths { tried: current_of(entry)?, count })
            })
            .collect();
    }

    fn read_quarantine(&mut self, quarantine: &Value) {
        let entries = quarantine["quarantined"].as_array().into_iter().flatten();
        // Another release of the library may be able to read what this one could not.
        let entries = entries.filter(|entry| entry["library"] == env!("CARGO_PKG_VERSION"));
        self.quarantined = entries
            .filter_map(|entry| {
                let tried = current_of(entry)?;
                Some(Quarantined {
                    digest: tried.digest,
                    generation: tried.generation,
                    code: Code::ALL.iter().copied().find(|code| entry["code"] == code.name())?,
                    reason: entry["reason"].as_str()?.to_owned(),
                    unix_seconds: entry["unix_seconds"].as_u64()?,
                    is_lasting: true,
                })
            })
            .collect();
    }

    fn write_journal(&mut self) {
        let deaths = self.deaths.iter().map(|deaths| {
            let mut entry = json_of(deaths.tried);
            entry["count"] = json!(deaths.count);
            entry
        });
        let journal = json!({
            "good": self.good.map(json_of),
            "trying": self.trying.map(json_of),
            "deaths": deaths.collect::<Vec<_>>(),
        });
        self.write("journal.json", &journal);
    }

    fn write_quarantine(&mut self) {
        let entries = self.quarantined.iter().filter(|quarantined| quarantined.is_lasting).map(|quarantined| {
            json!({
                "digest": quarantined.digest.to_string(),
                "generation": quarantined.generation,
                "code": quarantined.code.name(),
                "owner": quarantined.code.owner().word(),
                "reason": quarantined.reason,
                "unix_seconds": quarantined.unix_seconds,
                "library": env!("CARGO_PKG_VERSION"),
            })
        });
        let quarantine = json!({ "quarantined": entries.collect::<Vec<_>>() });
        self.write("quarantine.json", &quarantine);
    }

    fn write(&mut self, name: &str, value: &Value) {
        if self.lock.is_none() {
            return;
        }
        self.problem = write_json(&self.path(name), value).err().map(|error| self.unusable(error.to_string()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn unusable(&self, problem: String) -> Error {
        Error::StateUnusable { path: self.folder.clone(), problem }
    }
}

fn write_json(path: &Path, value: &Value) -> std::io::Result<()> {
    let new_file = NewFile::create(path, true)?;
    new_file.file().write_all(format!("{value:#}\n").as_bytes())?;
    new_file.commit()
}

/// Reads a file of the state folder; returns null if it is absent or damaged.
fn read_json(path: &Path) -> Value {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
}

fn json_of(current: Current) -> Value {
    json!({ "generation": current.generation, "digest": current.digest.to_string() })
}

fn current_of(value: &Value) -> Option<Current> {
    Some(Current { generation: value["generation"].as_u64()?, digest: value["digest"].as_str()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current(generation: u64) -> Current {
        Current { generation, digest: Digest::of(&generation.to_le_bytes()) }
    }

    fn refused(generation: u64, is_lasting: bool) -> Quarantined {
        Quarantined {
            digest: current(generation).digest,
            generation,
            code: Code::Damaged,
            reason: "damaged".to_owned(),
            unix_seconds: 7,
            is_lasting,
        }
    }

    #[test]
    fn a_trial_that_the_process_did_not_survive_counts_as_a_death_and_the_last_good_generation_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        for count in 1..=3 {
            let mut memory = Memory::open(folder.path().join("state"), 9);
            assert!(memory.problem.is_none());
            memory.begin_trial(current(1));
            memory.end_trial();
            memory.begin_trial(current(2));
            // Simulates a killed process.
            drop(memory);
            let memory = Memory::open(folder.path().join("state"), 9);
            assert_eq!((memory.good, memory.trying), (Some(current(1)), None));
            assert_eq!(memory.deaths, [Deaths { tried: current(2), count }]);
        }
        let mut memory = Memory::open(folder.path().join("state"), 9);
        memory.begin_trial(current(2));
        memory.end_trial();
        drop(memory);
        let memory = Memory::open(folder.path().join("state"), 9);
        assert_eq!((memory.good, memory.deaths.len()), (Some(current(2)), 0));
    }

    #[test]
    fn one_death_above_the_limit_puts_the_generation_into_quarantine() {
        let folder = tempfile::tempdir().unwrap();
        for quarantined_count in [0, 0, 1] {
            let mut memory = Memory::open(folder.path().to_owned(), 1);
            assert_eq!(memory.quarantined.len(), quarantined_count);
            if quarantined_count == 0 {
                memory.begin_trial(current(2));
            } else {
                assert_eq!(memory.quarantined[0].code, Code::KilledProcess);
                assert!(memory.deaths.is_empty());
            }
        }
    }

    #[test]
    fn an_abandoned_trial_does_not_count_as_a_death() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(folder.path().to_owned(), 9);
        memory.begin_trial(current(2));
        memory.give_up_trial();
        drop(memory);
        assert_eq!(Memory::open(folder.path().to_owned(), 9).deaths.len(), 0);
    }

    #[test]
    fn a_refusal_by_the_servers_own_limits_ends_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(folder.path().to_owned(), 9);
        memory.quarantine(refused(1, true));
        memory.quarantine(refused(2, false));
        assert!(memory.quarantine_of(current(2).digest).is_some());
        drop(memory);
        let memory = Memory::open(folder.path().to_owned(), 9);
        assert_eq!(memory.quarantined, [refused(1, true)]);
    }

    #[test]
    fn a_second_process_of_the_same_name_saves_nothing_and_reports_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Memory::open(folder.path().to_owned(), 9);
        let mut second = Memory::open(folder.path().to_owned(), 9);
        assert_eq!(second.problem.as_ref().unwrap().code(), Code::StateUnusable);
        second.begin_trial(current(9));
        second.end_trial();
        first.begin_trial(current(1));
        first.end_trial();
        drop((first, second));
        assert_eq!(Memory::open(folder.path().to_owned(), 9).good, Some(current(1)));
    }

    #[test]
    fn a_lock_that_is_released_shortly_after_is_acquired() {
        let folder = tempfile::tempdir().unwrap();
        let first = Memory::open(folder.path().to_owned(), 9);
        let second = std::thread::scope(|scope| {
            let second = scope.spawn(|| Memory::open(folder.path().to_owned(), 9));
            std::thread::sleep(LOCK_PAUSE);
            drop(first);
            second.join().unwrap()
        });
        assert!(second.problem.is_none() && second.is_on_disk());
    }

    #[test]
    fn a_damaged_journal_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{", "[]", r#"{"good":{"generation":-1,"digest":"x"},"deaths":7}"#] {
            fs::write(folder.path().join("journal.json"), text).unwrap();
            fs::write(folder.path().join("quarantine.json"), text).unwrap();
            let memory = Memory::open(folder.path().to_owned(), 9);
            assert_eq!((memory.good, memory.deaths.len(), memory.quarantined.len()), (None, 0, 0), "{text}");
        }
    }

    #[test]
    fn a_state_folder_that_cannot_be_created_is_reported_and_does_not_fail() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("state"), "a file").unwrap();
        let memory = Memory::open(folder.path().join("state/server"), 9);
        assert_eq!(memory.problem.unwrap().code(), Code::StateUnusable);
    }
}
