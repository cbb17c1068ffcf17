//! The files of runs: `runs/lock`, `runs/000001/history.jsonl`, `flow.asl.json`, `input.json`, `logs`, and `runs/stages`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use thiserror::Error;

use crate::flow::history::Event;

const RUNS: &str = "runs";
const HISTORY: &str = "history.jsonl";
const DEFINITION: &str = "flow.asl.json";
const INPUT: &str = "input.json";
const TASKS: &str = "tasks";
/// How long a process that is being started may hold the lock.
const START_TIMEOUT: Duration = Duration::from_millis(500);
/// How long processes that a broken run left may take to end.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the files of runs cannot be used.
#[derive(Debug, Error)]
pub enum RunsError {
    /// Another run goes on.
    #[error(
        "another omomi flow run goes on in {}, or a task of one that broke off; wait for its end, or end it", dir.display()
    )]
    Busy {
        /// The project folder.
        dir: PathBuf,
    },
    /// A file or folder.
    #[error("{} cannot be {verb}", path.display())]
    Failed {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A history that is damaged.
    #[error("{} is damaged: {problem}; move its folder away to begin a new run", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunsError {
    let path = path.to_owned();
    move |source| RunsError::Failed { verb, path, source }
}

/// The runs of a project, locked.
pub(super) struct Runs {
    folder: PathBuf,
    /// Held by this process alone.
    _lock: File,
    /// Held by this process and by those of tasks, as their standard input.
    tasks: File,
}

/// The files of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFiles {
    /// The name: a number with leading zeros and the time of its begin.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
}

impl Runs {
    /// Locks the runs of a project, and ends the processes that tasks of a broken run left.
    pub(super) fn lock(dir: &Path) -> Result<Self, RunsError> {
        let folder = dir.join(RUNS);
        fs::create_dir_all(folder.join("stages")).map_err(failed("made", &folder))?;
        let open = |name: &str| {
            let path = folder.join(name);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
            file.map_err(failed("opened", &path))
        };
        let (lock, tasks) = (open("lock")?, open(TASKS)?);
        let busy = || RunsError::Busy { dir: dir.to_owned() };
        let is_free = |file: &File| match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(failed("locked", &folder)(error)),
        };
        let begin = Instant::now();
        while !is_free(&lock)? {
            // A process that is just being started holds all files of its parent for a moment.
            if begin.elapsed() > START_TIMEOUT {
                return Err(busy());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        while !is_free(&tasks)? {
            if begin.elapsed() > LEFTOVER_TIMEOUT {
                return Err(busy());
            }
            end_holders(&folder.join(TASKS));
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { folder, _lock: lock, tasks })
    }

    /// The standard input of a task. It reads as an empty file, and tells the task's processes from others.
    pub(super) fn input_of_task(&self) -> io::Result<File> {
        self.tasks.try_clone()
    }

    pub(super) fn stages(&self) -> PathBuf {
        self.folder.join("stages")
    }

    /// The last run, with its history, if it broke off and had this flow and input.
    pub(super) fn broken(
        &self,
        definition: &Value,
        input: &Value,
    ) -> Result<Option<(RunFiles, Vec<Event>)>, RunsError> {
        let Some(files) = files_of(&self.folder)?.pop() else { return Ok(None) };
        let is_same = |name: &str, value: &Value| {
            let text = fs::read_to_string(files.folder.join(name)).ok();
            text.and_then(|text| serde_json::from_str::<Value>(&text).ok()).is_some_and(|found| found == *value)
        };
        if !is_same(DEFINITION, definition) || !is_same(INPUT, input) {
            return Ok(None);
        }
        files.cut_torn_line()?;
        let history = files.history()?;
        Ok((!has_ended(&history)).then_some((files, history)))
    }

    /// Makes the folder of a new run.
    pub(super) fn begin(&self, definition: &Value, input: &Value, now_unix_ms: i64) -> Result<RunFiles, RunsError> {
        let last = files_of(&self.folder)?.pop();
        let number = last.and_then(|files| files.name.get(..6)?.parse::<u32>().ok()).unwrap_or(0);
        let time = crate::flow::history::time_text(now_unix_ms);
        let time: String = time.chars().take(19).filter(|letter| !matches!(letter, '-' | ':')).collect();
        let name = format!("{:06}-{time}", number.saturating_add(1));
        let files = RunFiles { folder: self.folder.join(&name), name };
        // Made under another name, so that a run has all of its files or does not exist.
        let unfinished = self.folder.join("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(unfinished.join("logs")).map_err(failed("made", &unfinished))?;
        for (name, value) in [(DEFINITION, definition), (INPUT, input)] {
            let path = unfinished.join(name);
            write_synced(&path, format!("{value:#}\n").as_bytes()).map_err(failed("written", &path))?;
        }
        fs::rename(&unfinished, &files.folder).map_err(failed("made", &files.folder))?;
        sync_folder(&self.folder).map_err(failed("synced", &self.folder))?;
        Ok(files)
    }
}

/// Where the page with the progress of a project is written.
#[must_use]
pub fn page_path(dir: &Path) -> PathBuf {
    dir.join(RUNS).join("index.html")
}

/// Whether a run of a project goes on, in this process or another.
#[must_use]
pub fn is_running(dir: &Path) -> bool {
    let lock = File::open(dir.join(RUNS).join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The runs of a project, oldest first.
///
/// # Errors
///
/// The folder cannot be read. A project without runs has none.
pub fn list_runs(dir: &Path) -> Result<Vec<RunFiles>, RunsError> {
    files_of(&dir.join(RUNS))
}

fn files_of(folder: &Path) -> Result<Vec<RunFiles>, RunsError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read", folder))?,
    };
    let mut runs = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() > 6 && name.as_bytes()[..6].iter().all(u8::is_ascii_digit) {
            runs.push(RunFiles { folder: entry.path(), name });
        }
    }
    runs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(runs)
}

/// Ends the processes whose standard input is a file, where the system lists them: those that tasks of a broken run
/// left.
fn end_holders(path: &Path) {
    let (Ok(path), Ok(processes)) = (path.canonicalize(), fs::read_dir("/proc")) else { return };
    for process in processes.flatten() {
        let id = process.file_name().to_string_lossy().parse::<i32>().ok().filter(|id| *id > 1);
        let is_holder = || fs::read_link(process.path().join("fd/0")).is_ok_and(|input| input == path);
        if let Some(id) = id.filter(|_| is_holder()) {
            // SAFETY: kill reads only its arguments. The process holds a file that only tasks of this project get.
            unsafe { libc::kill(id, libc::SIGKILL) };
        }
    }
}

/// Whether the last event is that of an end.
pub(in crate::flow) fn has_ended(history: &[Event]) -> bool {
    let is_end = |kind: &str| {
        matches!(kind, "ExecutionSucceeded" | "ExecutionFailed" | "ExecutionTimedOut" | "ExecutionAborted")
    };
    history.last().is_some_and(|event| is_end(&event.kind))
}

impl RunFiles {
    /// The output of a task: what it wrote on standard output and standard error.
    #[must_use]
    pub fn log_path(&self, token: u64) -> PathBuf {
        self.folder.join("logs").join(format!("{token}.log"))
    }

    /// The last lines of the output of a task, at most `count`.
    #[must_use]
    pub fn log_tail(&self, token: u64, count: usize) -> Vec<String> {
        const MOST_LEN_BYTES: u64 = 16 * 1024;
        let read = || {
            let mut file = File::open(self.log_path(token))?;
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(MOST_LEN_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(MOST_LEN_BYTES).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }

    /// The figures that a task writes while it runs.
    #[must_use]
    pub fn progress_path(&self, token: u64) -> PathBuf {
        self.folder.join("logs").join(format!("{token}.progress.json"))
    }

    /// The flow that this run began with.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn definition(&self) -> Result<String, RunsError> {
        let path = self.folder.join(DEFINITION);
        fs::read_to_string(&path).map_err(failed("read", &path))
    }

    /// All complete events.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged before its last line.
    pub fn history(&self) -> Result<Vec<Event>, RunsError> {
        let path = self.folder.join(HISTORY);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(failed("read", &path))?,
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        Event::read_all(complete).map_err(|problem| RunsError::Damaged { path, problem })
    }

    /// Cuts off a line that a broken run did not finish.
    fn cut_torn_line(&self) -> Result<(), RunsError> {
        let path = self.folder.join(HISTORY);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            bytes => bytes.map_err(failed("read", &path))?,
        };
        let kept = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if kept == bytes.len() {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).open(&path).map_err(failed("opened", &path))?;
        let cut = file.set_len(kept as u64).and_then(|()| file.sync_all());
        cut.map_err(failed("written", &path))
    }

    /// Appends events, and returns when they are on the disk.
    pub(super) fn append(&self, events: &[Event]) -> Result<(), RunsError> {
        let path = self.folder.join(HISTORY);
        let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed("opened", &path))?;
        let text: String = events.iter().map(|event| format!("{}\n", event.to_json())).collect();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(failed("written", &path))?;
        if events.first().is_some_and(|event| event.id == 1) {
            sync_folder(&self.folder).map_err(failed("synced", &self.folder))?;
        }
        Ok(())
    }
}

/// Writes a file under another name, syncs it, and renames it: readers see all of it or the former one.
pub(in crate::flow) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    write_synced(&new, bytes)?;
    fs::rename(&new, path)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(id: u64, kind: &str) -> Event {
        Event { id, previous_event_id: id - 1, time_unix_ms: 5, kind: kind.to_owned(), details: Value::Null }
    }

    #[test]
    fn one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::lock(dir.path()).unwrap();
        assert!(is_running(dir.path()));
        assert!(matches!(Runs::lock(dir.path()), Err(RunsError::Busy { .. })));
        drop(runs);
        assert!(!is_running(dir.path()));
        Runs::lock(dir.path()).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_broken_run_left_running_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::lock(dir.path()).unwrap();
        let input = runs.input_of_task().unwrap();
        let mut left = std::process::Command::new("sleep").arg("60").stdin(input).spawn().unwrap();
        drop(runs);
        Runs::lock(dir.path()).unwrap();
        assert!(!left.wait().unwrap().success());
    }

    #[test]
    fn a_run_is_resumed_only_with_its_flow_and_input_and_without_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::lock(dir.path()).unwrap();
        let (flow, input) = (json!({"StartAt": "A"}), json!({"a": 1}));
        assert_eq!(runs.broken(&flow, &input).unwrap(), None);
        let files = runs.begin(&flow, &input, 0).unwrap();
        assert_eq!(files.name, "000001-19700101T000000");
        files.append(&[event(1, "ExecutionStarted"), event(2, "PassStateEntered")]).unwrap();
        let history = files.folder.join(HISTORY);
        let mut bytes = fs::read(&history).unwrap();
        bytes.truncate(bytes.len() - 9);
        fs::write(&history, bytes).unwrap();
        let (found, events) = runs.broken(&flow, &input).unwrap().unwrap();
        assert_eq!((found, events.len()), (files.clone(), 1));
        assert_eq!(runs.broken(&flow, &json!({})).unwrap(), None);
        assert_eq!(runs.broken(&json!({}), &input).unwrap(), None);
        files.append(&[event(2, "ExecutionSucceeded")]).unwrap();
        assert_eq!(runs.broken(&flow, &input).unwrap(), None);
        assert!(runs.begin(&flow, &input, 0).unwrap().name.starts_with("000002"));
    }
}
