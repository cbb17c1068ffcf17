//! Stages: tasks that are not done again if nothing they read has changed.
//!
//! A stage is named by the digest of its program, its command line and its variables. When it has finished, a marker
//! notes what the files and folders hold that the command line names. A later task with the same name is skipped if
//! all of them hold the same. So a stage whose command names no file on this machine, such as one that only sends a
//! message or works on buckets, is done in each run. Within one run, what finished is never done again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::folder::{Runs, RunsError, replace};
use crate::flow::task::TaskRequest;

/// A variable of the container that says `always` if the stage is to be done in each run.
const VARIABLE: &str = "OMOMI_STAGE";

/// How long a file must be unchanged before its digest is kept.
const SETTLED_NS: i128 = 2_000_000_000;

/// Digests of files that were read before, by what tells that a file is unchanged.
#[derive(Debug, Default)]
pub(super) struct Digests(BTreeMap<(PathBuf, u64, u64, i128, i128), String>);

/// A task, as its inputs name it.
#[derive(Debug)]
pub(super) struct Stage {
    name: String,
    /// What the files of the command line held before the task.
    before: BTreeMap<String, String>,
    is_always_done: bool,
    dir: PathBuf,
    words: Vec<String>,
}

impl Stage {
    pub(super) fn of(request: &TaskRequest, program: &Path, dir: &Path, digests: &mut Digests) -> Self {
        // Another build of the program is another stage.
        let program = fs::metadata(program).map(|file| (file.len(), file.mtime(), file.mtime_nsec())).ok();
        let inputs = json!({
            "command": request.command,
            "environment": request.environment,
            "program": program.map(|program| format!("{program:?}")),
        });
        let name = hex(&Sha256::digest(inputs.to_string().as_bytes()))[..32].to_owned();
        let words = file_words(&request.command[1..]);
        let before = held(&words, dir, digests);
        let is_always_done = request.environment.iter().any(|(name, value)| name == VARIABLE && value == "always");
        Self { name, before, is_always_done, dir: dir.to_owned(), words }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The output of the task, if it need not be done again. With `is_again`, only what finished in this run counts.
    pub(super) fn finished(&self, runs: &Runs, run: &str, token: u64, is_again: bool) -> Option<Value> {
        let text = fs::read_to_string(self.marker(runs)).ok()?;
        let marker: Value = serde_json::from_str(&text).ok()?;
        let is_this_task = marker["run"] == run && marker["task"] == token;
        if is_this_task {
            return Some(marker["output"].clone());
        }
        let is_unchanged = !self.before.is_empty() && marker["files"] == json!(self.before);
        (is_unchanged && !self.is_always_done && !is_again).then(|| marker["output"].clone())
    }

    /// Notes that the task finished.
    pub(super) fn finish(
        &self,
        runs: &Runs,
        run: &str,
        token: u64,
        output: &Value,
        digests: &mut Digests,
    ) -> Result<(), RunsError> {
        let files = held(&self.words, &self.dir, digests);
        let marker = json!({ "run": run, "task": token, "files": files, "output": output });
        let path = self.marker(runs);
        replace(&path, format!("{marker:#}\n").as_bytes()).map_err(|source| RunsError::Failed {
            verb: "written",
            path,
            source,
        })
    }

    fn marker(&self, runs: &Runs) -> PathBuf {
        runs.stages().join(format!("{}.json", self.name))
    }
}

/// The words of a command line that may name files: those after `=` too.
fn file_words(words: &[String]) -> Vec<String> {
    let after_sign = |word: &str| Some(word.strip_prefix("--")?.split_once('=')?.1.to_owned());
    let of_word = |word: &String| after_sign(word).or_else(|| (!word.starts_with('-')).then(|| word.clone()));
    let mut words: Vec<String> = words.iter().filter_map(of_word).filter(|word| !word.is_empty()).collect();
    words.sort();
    words.dedup();
    words
}

/// What the files hold that words name, by word. Words that name none are left out.
fn held(words: &[String], dir: &Path, digests: &mut Digests) -> BTreeMap<String, String> {
    let mut held = BTreeMap::new();
    for word in words {
        let path = word.strip_prefix("file://").unwrap_or(word);
        let pattern = dir.join(path);
        let found = match (pattern.exists(), path.contains(['*', '?', '['])) {
            (true, _) => vec![pattern],
            (false, true) => glob::glob(&pattern.to_string_lossy()).into_iter().flatten().flatten().collect(),
            (false, false) => continue,
        };
        let mut digest = Sha256::new();
        let read = found.iter().try_for_each(|path| add(path, &mut digest, digests));
        // What cannot be read is never equal to anything.
        let unknown = || format!("unknown at {}", super::now_unix_ms());
        held.insert(word.clone(), read.map_or_else(|_| unknown(), |()| hex(&digest.finalize())));
    }
    held
}

/// Adds what a file or folder holds.
fn add(path: &Path, digest: &mut Sha256, digests: &mut Digests) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        for entry in entries {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            digest.update(format!("{}:{name}", name.len()).as_bytes());
            add(&entry, digest, digests)?;
        }
        digest.update(b"end");
        return Ok(());
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let time = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
    let changed = time(metadata.ctime(), metadata.ctime_nsec());
    let key = (path.to_owned(), metadata.ino(), metadata.len(), time(metadata.mtime(), metadata.mtime_nsec()), changed);
    let of_file = match digests.0.get(&key) {
        Some(known) => known.clone(),
        None => {
            let mut of_file = Sha256::new();
            let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    len => of_file.update(&buffer[..len]),
                }
            }
            let of_file = hex(&of_file.finalize());
            // The metadata of a file that changes twice in a moment may be the same.
            let now = i128::from(super::now_unix_ms()) * 1_000_000;
            if now.saturating_sub(changed) > SETTLED_NS {
                digests.0.insert(key, of_file.clone());
            }
            of_file
        }
    };
    digest.update(of_file.as_bytes());
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&str], environment: &[(&str, &str)]) -> TaskRequest {
        TaskRequest {
            container: "omomi".to_owned(),
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            cpu_units: None,
            memory_mib: None,
        }
    }

    #[test]
    fn a_stage_is_skipped_while_its_files_hold_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::lock(dir.path()).unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::write(dir.path().join("logs/a"), "1").unwrap();
        let stage = |words: &[&str], environment: &[(&str, &str)]| {
            Stage::of(&request(words, environment), Path::new("/bin/cp"), dir.path(), &mut Digests::default())
        };
        let copy = ["cp", "logs/*", "--out=copy"];
        let first = stage(&copy, &[]);
        assert_eq!(first.finished(&runs, "2", 7, false), None);
        fs::write(dir.path().join("copy"), "1").unwrap();
        first.finish(&runs, "1", 7, &json!({"done": true}), &mut Digests::default()).unwrap();
        assert_eq!(stage(&copy, &[]).finished(&runs, "2", 7, false), Some(json!({"done": true})));
        // The output was changed, an input was changed, another command line, or said to be done always.
        fs::write(dir.path().join("copy"), "2").unwrap();
        assert_eq!(stage(&copy, &[]).finished(&runs, "2", 7, false), None);
        assert_eq!(
            stage(&copy, &[]).finished(&runs, "1", 7, false),
            Some(json!({"done": true})),
            "the task of a broken run"
        );
        fs::write(dir.path().join("copy"), "1").unwrap();
        assert!(stage(&copy, &[]).finished(&runs, "2", 7, false).is_some());
        fs::write(dir.path().join("logs/b"), "1").unwrap();
        assert_eq!(stage(&copy, &[]).finished(&runs, "2", 7, false), None);
        fs::remove_file(dir.path().join("logs/b")).unwrap();
        assert_eq!(stage(&["cp", "logs/*", "--out=other"], &[]).finished(&runs, "2", 7, false), None);
        let always = stage(&copy, &[(VARIABLE, "always")]);
        always.finish(&runs, "1", 8, &Value::Null, &mut Digests::default()).unwrap();
        assert_eq!(stage(&copy, &[(VARIABLE, "always")]).finished(&runs, "2", 8, false), None);
    }

    #[test]
    fn a_stage_without_files_is_done_in_each_run() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::lock(dir.path()).unwrap();
        let stage =
            || Stage::of(&request(&["echo", "done"], &[]), Path::new("echo"), dir.path(), &mut Digests::default());
        stage().finish(&runs, "1", 7, &Value::Null, &mut Digests::default()).unwrap();
        assert_eq!(stage().finished(&runs, "2", 7, false), None);
        assert_eq!(stage().finished(&runs, "1", 7, false), Some(Value::Null));
    }
}
