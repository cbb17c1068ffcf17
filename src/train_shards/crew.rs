//! The processes of the shards: so many at once, each retried where it dies.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::{Happening, ShardFailure};

/// How much of what a process said on standard error is looked at for its last words, and how many lines of it are told.
const LAST_WORDS_LEN: u64 = 4 << 10;
const LAST_WORDS_LINE_COUNT: usize = 8;

/// What a process is started for.
pub(super) struct Job {
    /// Number of the shard.
    pub(super) shard: u32,
    /// Arguments of the program.
    pub(super) arguments: Vec<OsString>,
    /// Where its standard error goes.
    pub(super) stderr: PathBuf,
}

/// How the processes are run.
pub(super) struct Crew<'a> {
    /// What they all run.
    pub(super) program: &'a Path,
    /// Most of them at once.
    pub(super) process_count: usize,
    /// How often one that dies is started again.
    pub(super) retry_count: u32,
}

/// What is told of the processes while they run.
pub(super) trait Foreman {
    /// Something happened to a shard.
    fn observe(&mut self, shard: u32, happening: Happening);

    /// The process of a shard ended well, having said `finished` last. Returns what is wrong with what it left.
    fn accept(&mut self, shard: u32, finished: &Happening) -> Result<(), String>;
}

enum Message {
    /// A process has said a line.
    Line(u32, String),
    /// A process says nothing more.
    Silence(u32),
}

/// A process. Dropped, it is ended.
struct Running {
    child: Child,
    attempt: u32,
    job: Job,
    finished: Option<Happening>,
}

impl Crew<'_> {
    /// Runs all jobs to their ends, in the order given as far as there are processes. One that fails keeps no other from
    /// being done. Returns those that failed, by shard.
    pub(super) fn run(&self, jobs: Vec<Job>, foreman: &mut impl Foreman) -> Vec<ShardFailure> {
        let (sender, receiver) = channel();
        let mut waiting: VecDeque<(Job, u32)> = jobs.into_iter().map(|job| (job, 1)).collect();
        let mut running = BTreeMap::new();
        let mut failures = Vec::new();
        loop {
            while running.len() < self.process_count.max(1) {
                let Some((job, attempt)) = waiting.pop_front() else { break };
                match self.start(job, attempt, &sender) {
                    Ok(process) => {
                        let (shard, process_id) = (process.job.shard, process.child.id());
                        foreman.observe(shard, Happening::Started { attempt, process_id });
                        running.insert(shard, process);
                    }
                    Err((job, error)) => {
                        let message = format!("{} could not be started: {error}", self.program.display());
                        failures.push(failed(job, message, foreman));
                    }
                }
            }
            if running.is_empty() {
                failures.sort_by_key(|failure| failure.shard);
                return failures;
            }
            let process = next_end(&receiver, &mut running, foreman);
            let (attempt, ended) = (process.attempt, process.end(foreman));
            match ended {
                Ok(()) => {}
                Err((job, End::Died(message))) if attempt <= self.retry_count => {
                    let retries_left = self.retry_count - attempt;
                    foreman.observe(job.shard, Happening::Died { message, retries_left });
                    waiting.push_front((job, attempt + 1));
                }
                Err((job, End::Died(message) | End::Answered(message))) => failures.push(failed(job, message, foreman)),
            }
        }
    }

    fn start(&self, job: Job, attempt: u32, sender: &Sender<Message>) -> Result<Running, (Job, io::Error)> {
        let start = || {
            // What earlier attempts have said stays in front.
            let stderr = File::options().append(true).create(true).open(&job.stderr)?;
            Command::new(self.program)
                .args(&job.arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(stderr)
                .spawn()
        };
        let mut child = match start() {
            Ok(child) => child,
            Err(error) => return Err((job, error)),
        };
        if let Some(stdout) = child.stdout.take() {
            let (shard, sender) = (job.shard, sender.clone());
            thread::spawn(move || listen(stdout, shard, &sender));
        }
        Ok(Running { child, attempt, job, finished: None })
    }
}

/// Passes on what a process says, line by line.
fn listen(stdout: ChildStdout, shard: u32, sender: &Sender<Message>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if sender.send(Message::Line(shard, line)).is_err() {
            return;
        }
    }
    // Where nobody listens any more, nobody waits either.
    let _ = sender.send(Message::Silence(shard));
}

/// Tells what processes say until one of them falls silent, which a process does when it ends.
fn next_end(
    receiver: &Receiver<Message>,
    running: &mut BTreeMap<u32, Running>,
    foreman: &mut impl Foreman,
) -> Running {
    loop {
        // The crew has a sender of its own.
        match receiver.recv().expect("a channel with a sender is open") {
            Message::Line(shard, line) => match serde_json::from_str(&line) {
                Ok(finished @ Happening::Finished { .. }) => {
                    if let Some(process) = running.get_mut(&shard) {
                        process.finished = Some(finished);
                    }
                }
                Ok(happening @ Happening::Progress { .. }) => foreman.observe(shard, happening),
                // Words that are no report are nobody's business.
                _ => {}
            },
            Message::Silence(shard) => {
                if let Some(process) = running.remove(&shard) {
                    return process;
                }
            }
        }
    }
}

/// How a process ended that did not do its work.
enum End {
    /// By a signal, a panic or the like: another time it may do better.
    Died(String),
    /// It has said what is wrong, and would say it again.
    Answered(String),
}

impl Running {
    fn end(mut self, foreman: &mut impl Foreman) -> Result<(), (Job, End)> {
        let status = self.child.wait();
        let (finished, job) = (self.finished.take(), self.take_job());
        let status = match status {
            Ok(status) => status,
            Err(error) => return Err((job, End::Died(format!("nobody knows how its process ended: {error}")))),
        };
        match (status.code(), finished) {
            (Some(0), Some(finished)) => {
                if let Err(message) = foreman.accept(job.shard, &finished) {
                    return Err((job, End::Answered(message)));
                }
                foreman.observe(job.shard, finished);
                Ok(())
            }
            (Some(1), _) => {
                let words = last_words(&job.stderr);
                let answer = words.strip_prefix("error: ").map(str::to_owned);
                Err((job, End::Answered(answer.unwrap_or(words))))
            }
            _ => {
                let message = death(status, &last_words(&job.stderr));
                Err((job, End::Died(message)))
            }
        }
    }

    fn take_job(&mut self) -> Job {
        std::mem::replace(&mut self.job, Job { shard: 0, arguments: Vec::new(), stderr: PathBuf::new() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(job: Job, message: String, foreman: &mut impl Foreman) -> ShardFailure {
    foreman.observe(job.shard, Happening::Failed { message: message.clone() });
    ShardFailure { shard: job.shard, message, stderr: job.stderr }
}

/// `ended by signal: 9 (SIGKILL), having said nothing`.
fn death(status: ExitStatus, words: &str) -> String {
    let words = if words.is_empty() { "having said nothing".to_owned() } else { format!("its last words: {words}") };
    format!("its process ended with {status}, {words}")
}

/// The last lines of what a process said on standard error.
fn last_words(stderr: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(stderr)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(LAST_WORDS_LEN)))?;
        let mut bytes = Vec::new();
        file.take(LAST_WORDS_LEN).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS_LINE_COUNT)..].join("\n")
}
