//! Records the inputs that the state of a shard depends on, in a marker file beside the finished state.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bucket::{digest_of, stamp_of};
use crate::log::LogFile;
use omomi::new_file::NewFile;
use omomi::store::Digest;

use super::ShardEvent;

/// Everything that the bytes of a state depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inputs {
    /// Version of the library.
    pub(super) tool_version: String,
    /// Fingerprint of the contract.
    pub(super) contract: String,
    /// Flags of the command and their values, except for paths.
    pub(super) arguments: BTreeMap<String, String>,
    /// SHA-256 of the state that training continues from, if there is one.
    pub(super) start: Option<String>,
    /// The logs, in the order in which they are learned.
    pub(super) logs: Vec<DigestedLog>,
}

/// A log, identified by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DigestedLog {
    path: PathBuf,
    len_bytes: u64,
    sha256: String,
}

/// The marker of a finished state, written after it: `shard-0001.done.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    inputs: Inputs,
    /// SHA-256 of the state.
    state_sha256: String,
    /// The last report of the process that wrote the state.
    finished: ShardEvent,
    /// What this process noticed about the logs.
    noticed: Value,
}

/// Whether a shard must be trained.
pub(super) enum ShardStatus {
    /// It has not been trained in this folder.
    New,
    /// It has been trained, and nothing has changed since. Holds the last report of its process.
    /// Holds also what the process noticed about the logs.
    Finished(ShardEvent, Value),
    /// It has been trained, but must be trained again, for this reason.
    Stale(String),
}

impl Inputs {
    /// Returns the first difference from `earlier` in words, or `None` if nothing has changed.
    fn difference_from(&self, earlier: &Self) -> Option<String> {
        let differ = |name: &str, was: &str, is: &str| (was != is).then(|| format!("the {name} was {was}, is {is}"));
        let none = |start: &Option<String>| start.clone().unwrap_or_else(|| "none".to_owned());
        differ("version of omomi", &earlier.tool_version, &self.tool_version)
            .or_else(|| differ("fingerprint of the contract", &earlier.contract, &self.contract))
            .or_else(|| self.argument_that_differs(earlier))
            .or_else(|| differ("digest of the start state", &none(&earlier.start), &none(&self.start)))
            .or_else(|| self.log_that_differs(earlier))
    }

    fn argument_that_differs(&self, earlier: &Self) -> Option<String> {
        let names = self.arguments.keys().chain(earlier.arguments.keys());
        let value =
            |inputs: &Self, name: &String| inputs.arguments.get(name).map_or("absent", String::as_str).to_owned();
        let mut values = names.map(|name| (name, value(earlier, name), value(self, name)));
        values.find(|(_, was, is)| was != is).map(|(name, was, is)| format!("{name} was {was}, is {is}"))
    }

    fn log_that_differs(&self, earlier: &Self) -> Option<String> {
        let find = |inputs: &Self, path: &Path| inputs.logs.iter().find(|log| log.path == path).cloned();
        for log in &self.logs {
            match find(earlier, &log.path) {
                None => return Some(format!("{} was added", log.path.display())),
                Some(was) if was != *log => return Some(format!("{} has changed", log.path.display())),
                Some(_) => {}
            }
        }
        let gone = earlier.logs.iter().find(|log| find(self, &log.path).is_none());
        let gone = gone.map(|log| format!("{} was removed from the logs", log.path.display()));
        gone.or_else(|| (self.logs != earlier.logs).then(|| "the order of the logs has changed".to_owned()))
    }
}

impl Marker {
    /// Writes the marker that says that `state` was trained from `inputs`.
    pub(super) fn write(
        path: &Path,
        inputs: Inputs,
        state: &Path,
        finished: ShardEvent,
        noticed: Value,
    ) -> io::Result<()> {
        let marker = Self { inputs, state_sha256: Digest::of_file(state)?.to_string(), finished, noticed };
        let new_file = NewFile::create(path, true)?;
        let text = serde_json::to_string_pretty(&marker)? + "\n";
        new_file.file().write_all(text.as_bytes())?;
        new_file.commit()
    }

    /// Compares `inputs` with the marker at `path`, and `state` with the digest in the marker.
    pub(super) fn check(path: &Path, inputs: &Inputs, state: &Path) -> ShardStatus {
        let Ok(text) = fs::read_to_string(path) else { return ShardStatus::New };
        let Ok(marker) = serde_json::from_str::<Self>(&text) else {
            return ShardStatus::Stale(format!("{} cannot be read", path.display()));
        };
        if let Some(difference) = inputs.difference_from(&marker.inputs) {
            return ShardStatus::Stale(difference);
        }
        match Digest::of_file(state) {
            Ok(digest) if digest.to_string() == marker.state_sha256 => {
                ShardStatus::Finished(marker.finished, marker.noticed)
            }
            Ok(_) => ShardStatus::Stale(format!("{} has changed since it was written", state.display())),
            Err(error) => ShardStatus::Stale(format!("{} cannot be read: {error}", state.display())),
        }
    }
}

/// The digests of all logs. Can tell later whether a log has changed since.
pub(super) struct DigestedLogs(BTreeMap<PathBuf, (DigestedLog, FileStamp)>);

/// The length of a file, and its time or its version. A write to the file changes them.
type FileStamp = (u64, String);

impl DigestedLogs {
    /// Computes the digests. Reads every file once, which costs little compared with learning it.
    pub(super) fn read(files: &[LogFile]) -> Result<Self, (PathBuf, io::Error)> {
        let digest = |path: &PathBuf| -> io::Result<(DigestedLog, FileStamp)> {
            // Before the digest, so that a change during reading is noticed later.
            let stamp = stamp_of(path)?;
            let sha256 = digest_of(path)?.to_string();
            Ok((DigestedLog { path: path.clone(), len_bytes: stamp.0, sha256 }, stamp))
        };
        let digested = files.iter().map(|LogFile { path, .. }| {
            let digested = digest(path).map_err(|error| (path.clone(), error))?;
            Ok((path.clone(), digested))
        });
        digested.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the digests of the logs `paths`, in this order.
    pub(super) fn of<'a>(&self, paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<DigestedLog> {
        paths.into_iter().filter_map(|path| self.0.get(path)).map(|(log, _)| log.clone()).collect()
    }

    /// Returns the first of `logs` that has changed since its digest was computed.
    pub(super) fn changed(&self, logs: &[DigestedLog]) -> Option<PathBuf> {
        let is_same = |log: &&DigestedLog| {
            let stamp = stamp_of(&log.path);
            stamp.is_ok_and(|stamp| self.0.get(&log.path).is_some_and(|(_, earlier)| *earlier == stamp))
        };
        logs.iter().find(|log| !is_same(log)).map(|log| log.path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        let log = |path: &str, sha256: &str| DigestedLog { path: path.into(), len_bytes: 5, sha256: sha256.to_owned() };
        Inputs {
            tool_version: "1.2.3".to_owned(),
            contract: "00ff".to_owned(),
            arguments: [("--alpha", "0.1"), ("--l1", "1.0")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            start: None,
            logs: vec![log("a", "aa"), log("b", "bb")],
        }
    }

    #[test]
    fn changes_are_described_in_words() {
        type Change = fn(&mut Inputs);
        let changes: [(Change, &str); 9] = [
            (|now| now.tool_version = "1.3.0".to_owned(), "the version of omomi was 1.2.3, is 1.3.0"),
            (|now| now.contract = "0100".to_owned(), "the fingerprint of the contract was 00ff, is 0100"),
            (|now| now.arguments.extend([("--alpha".to_owned(), "0.2".to_owned())]), "--alpha was 0.1, is 0.2"),
            (|now| now.arguments.extend([("--l2".to_owned(), "1.0".to_owned())]), "--l2 was absent, is 1.0"),
            (|now| drop(now.arguments.remove("--l1")), "--l1 was 1.0, is absent"),
            (|now| now.start = Some("77".to_owned()), "the digest of the start state was none, is 77"),
            (|now| now.logs[1].sha256 = "bc".to_owned(), "b has changed"),
            (|now| drop(now.logs.remove(0)), "a was removed from the logs"),
            (|now| now.logs.reverse(), "the order of the logs has changed"),
        ];
        for (change, expected) in changes {
            let mut now = inputs();
            change(&mut now);
            assert_eq!(now.difference_from(&inputs()).as_deref(), Some(expected));
        }
        assert_eq!(inputs().difference_from(&inputs()), None);
    }
}
