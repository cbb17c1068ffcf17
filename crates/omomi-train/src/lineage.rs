//! Which logs a model has learned from, and by which step: the lineage of a training state.
//!
//! The state itself carries it, because a file beside it can get lost or belong to another run. Logs are recognized by
//! their content, so a copy under another name is the same log.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::bucket::{Place, Stream, place_of, stamp_of};
use crate::log::{HoldOut, LogFile, digest_text};

/// A step that uses the rows of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearningStep {
    /// Training: the weights were learned from the rows.
    Train,
    /// Recalibration: scale and shift were fitted to the rows.
    Recalibrate,
    /// Pruning: features were chosen, and the bias was fitted, by the rows.
    Prune,
    /// Packing: golden requests were taken from the rows. Nothing was learned from their labels.
    Pack,
}

impl LearningStep {
    /// Returns whether the step learned from the labels of its rows, so that they say too much good about the model.
    #[must_use]
    pub const fn learns(self) -> bool {
        !matches!(self, Self::Pack)
    }

    /// Returns the name, as of the command: `train`, `recalibrate`, `prune` or `pack`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Recalibrate => "recalibrate",
            Self::Prune => "prune",
            Self::Pack => "pack",
        }
    }
}

/// A log that a step used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LearnedLog {
    /// XXH3-128 of the bytes of the file, as 32 hexadecimal digits.
    pub digest: String,
    /// The step.
    pub step: LearningStep,
    /// Number of rows of the file; `None` if it is not known.
    pub rows: Option<u64>,
    /// Times of the first and the last row of all logs of the step, in microseconds since 1970-01-01 UTC; `None` if
    /// they are unknown.
    pub window_us: Option<(i64, i64)>,
    /// Which rows of the file were used; `None` for all.
    pub rule: Option<String>,
}

impl LearnedLog {
    /// Returns whether the step used none of the rows that a reader with this hold-out reads.
    #[must_use]
    pub fn is_apart_from(&self, hold_out: Option<&HoldOut>) -> bool {
        hold_out.is_some_and(|hold_out| hold_out.is_apart_from(self.rule.as_deref()))
    }
}

/// Returns the digest of a file: XXH3-128 of its bytes, as 32 hexadecimal digits. It recognizes a copy, and is no
/// protection against forgery.
///
/// # Errors
///
/// Returns the error of the operating system.
pub fn content_digest(path: impl AsRef<Path>) -> io::Result<String> {
    /// The digests of versions of objects: to read one again would mean to copy it again.
    static OF_OBJECTS: LazyLock<Mutex<HashMap<(PathBuf, u64, String), String>>> = LazyLock::new(Mutex::default);
    let path = path.as_ref();
    let (len_bytes, version) = stamp_of(path)?;
    let is_object = matches!(place_of(path)?, Place::Bucket(_)) && !version.is_empty();
    let key = (path.to_owned(), len_bytes, version);
    let known = || OF_OBJECTS.lock().unwrap_or_else(PoisonError::into_inner);
    if is_object && let Some(digest) = known().get(&key) {
        return Ok(digest.clone());
    }
    let digest = digest_of_stream(&mut Stream::open(path)?)?;
    if is_object {
        known().insert(key, digest.clone());
    }
    Ok(digest)
}

fn digest_of_stream(stream: &mut Stream) -> io::Result<String> {
    let (mut hash, mut piece) = (Xxh3::new(), vec![0; 1 << 20]);
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(digest_text(&hash)),
            count => hash.update(&piece[..count]),
        }
    }
}

/// Returns the digest of a log, or `None` for a pipe that was not read to its end, or a file that is gone.
pub(crate) fn log_digest(log: &LogFile) -> Option<String> {
    if log.is_pipe { log.pipe_digest.clone() } else { content_digest(&log.path).ok() }
}

/// Returns those of `logs` that are pipes. Which logs they are is known only after reading.
pub(crate) fn pipes_of(logs: &[LogFile]) -> Vec<LogFile> {
    logs.iter().filter(|log| log.is_pipe).cloned().collect()
}

/// Returns what a step adds to a lineage. Logs without rows are left out: all of them may have the same bytes.
pub(crate) fn learned_logs(
    step: LearningStep,
    logs: &[LogFile],
    window_us: Option<(i64, i64)>,
    rule: Option<&str>,
) -> Vec<LearnedLog> {
    let learned = |log: &LogFile| {
        let rule = rule.map(str::to_owned);
        Some(LearnedLog { digest: log_digest(log)?, step, rows: log.row_count, window_us, rule })
    };
    logs.iter().filter(|log| log.row_count != Some(0)).filter_map(learned).collect()
}

/// Adds to a lineage. Each log is in it once for each step and choice of its rows, and the order does not depend on the
/// order of the steps.
pub(crate) fn extend_lineage(lineage: &mut Vec<LearnedLog>, added: impl IntoIterator<Item = LearnedLog>) {
    lineage.extend(added);
    lineage.sort();
    // A step that used all rows, and another time some of them, is there twice.
    lineage.dedup_by(|one, other| (&one.digest, one.step, &one.rule) == (&other.digest, other.step, &other.rule));
}

/// Finds the first log of which training has learned rows already that a step with this hold-out reads.
pub(crate) fn find_learned(lineage: &[LearnedLog], logs: &[LogFile], hold_out: Option<&HoldOut>) -> Option<PathBuf> {
    let is_learned = |log: &&LogFile| {
        let digest = log_digest(log);
        let of_log =
            |learned: &&LearnedLog| learned.step == LearningStep::Train && Some(&learned.digest) == digest.as_ref();
        lineage.iter().filter(of_log).any(|learned| !learned.is_apart_from(hold_out))
    };
    logs.iter().find(is_learned).map(|log| log.path.clone())
}

/// Finds two logs with the same content and at least one row.
pub(crate) fn find_copy(logs: &[LogFile]) -> Option<(PathBuf, PathBuf)> {
    let mut seen: HashMap<String, &LogFile> = HashMap::new();
    // Only files of the same length can be copies, so most files need not be read. A pipe has no length.
    let has_pipe = logs.iter().any(|log| log.is_pipe) && logs.len() > 1;
    let is_alone =
        |log: &LogFile| !has_pipe && logs.iter().filter(|other| other.len_bytes == log.len_bytes).count() == 1;
    for log in logs.iter().filter(|log| log.row_count != Some(0) && !is_alone(log)) {
        let Some(digest) = log_digest(log) else { continue };
        // Equal files in folders such as `dt=2026-01-31` have different rows.
        let folders = log.path.iter().map(|part| part.to_string_lossy()).filter(|part| part.contains('='));
        let content = folders.fold(digest, |content, folder| format!("{content}/{folder}"));
        if let Some(first) = seen.insert(content, log) {
            return Some((first.path.clone(), log.path.clone()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(digest: &str, step: LearningStep) -> LearnedLog {
        LearnedLog { digest: digest.to_owned(), step, rows: Some(1), window_us: None, rule: None }
    }

    #[test]
    fn a_lineage_has_each_log_once_for_each_step_in_an_order_of_its_own() {
        let [a, b] = ["a", "b"].map(|digest| learned(digest, LearningStep::Train));
        let pruned = learned("a", LearningStep::Prune);
        let mut one = vec![b.clone()];
        extend_lineage(&mut one, [pruned.clone(), a.clone(), b.clone()]);
        let mut other = vec![a.clone()];
        extend_lineage(&mut other, [b.clone(), a.clone(), pruned.clone()]);
        assert_eq!(one, other);
        assert_eq!(one, [a, pruned, b]);
    }

    #[test]
    fn a_copy_is_found_under_another_name_and_files_without_rows_are_no_copies() {
        let folder = tempfile::tempdir().unwrap();
        let log = |name: &str, text: &str, rows| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            LogFile { path, len_bytes: text.len() as u64, row_count: rows, is_pipe: false, pipe_digest: None }
        };
        let logs = [log("a", "1\n2\n", Some(1)), log("b", "1\n3\n", Some(1)), log("c", "1\n2\n", Some(1))];
        assert_eq!(find_copy(&logs[..2]), None);
        assert_eq!(find_copy(&logs).unwrap(), (logs[0].path.clone(), logs[2].path.clone()));
        assert_eq!(find_copy(&[log("d", "1\n", Some(0)), log("e", "1\n", Some(0))]), None);
        let lineage = learned_logs(LearningStep::Train, &logs[..1], Some((1, 2)), None);
        assert_eq!(lineage[0].rows, Some(1));
        assert_eq!(find_learned(&lineage, &logs[1..], None), Some(logs[2].path.clone()));
        assert_eq!(find_learned(&lineage, &logs[1..2], None), None);
        assert_eq!(find_learned(&learned_logs(LearningStep::Prune, &logs, None, None), &logs, None), None);
    }
}
