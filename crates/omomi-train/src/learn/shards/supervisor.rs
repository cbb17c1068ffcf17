//! The processes of the shards: so many at once, each retried where it dies.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::{ShardEvent, ShardFailure};

/// How much of what a process said on standard error is looked at for its last words, and how many lines of it are told.
const LAST_WORDS_LEN: u64 = 4 << 10;
const LAST_WORDS_LINE_COUNT: usize = 8;
/// What the command line puts before the one error that ends it.
const ERROR_PREFIX: &str = "error: ";

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
pub(super) struct Supervisor<'a> {
    /// What they all run.
    pub(super) program: &'a Path,
    /// Most of them at once.
    pub(super) process_count: usize,
    /// How often one that dies is started again.
    pub(super) retry_count: u32,
}

/// What is told of the processes while they run.
pub(super) trait ShardObserver {
    /// Something happened to a shard.
    fn observe(&mut self, shard: u32, event: ShardEvent);

    /// The process of a shard ended well, having said `finished` last. Returns what is wrong with what it left.
    fn accept(&mut self, shard: u32, finished: &ShardEvent) -> Result<(), String>;
}

enum Message {
    /// A process has said a line.
    Line(u32, String),
    /// A process says nothing more.
    Silence(u32),
}

/// A process that works on a job.
struct Running {
    process: Process,
    job: Job,
    attempt: u32,
    /// Length of its standard error before it said anything: what earlier attempts have said.
    stderr_start: u64,
    /// Its last report, once it has made it.
    finished: Option<ShardEvent>,
}

/// Dropped, it is ended.
struct Process(Child);

impl Supervisor<'_> {
    /// Runs all jobs to their ends, in the order given as far as there are processes. One that fails keeps no other from
    /// being done. Returns those that failed, by shard.
    pub(super) fn run(&self, jobs: Vec<Job>, observer: &mut impl ShardObserver) -> Vec<ShardFailure> {
        let (sender, receiver) = channel();
        let mut waiting: VecDeque<(Job, u32)> = jobs.into_iter().map(|job| (job, 1)).collect();
        let mut running = BTreeMap::new();
        let mut failures = Vec::new();
        loop {
            while running.len() < self.process_count.max(1) {
                let Some((job, attempt)) = waiting.pop_front() else { break };
                match self.start(job, attempt, &sender) {
                    Ok(started) => {
                        let (shard, process_id) = (started.job.shard, started.process.0.id());
                        observer.observe(shard, ShardEvent::Started { attempt, process_id });
                        running.insert(shard, started);
                    }
                    Err((job, error)) => {
                        let message = format!("{} could not be started: {error}", self.program.display());
                        failures.push(failed(job, message, observer));
                    }
                }
            }
            if running.is_empty() {
                failures.sort_by_key(|failure| failure.shard);
                return failures;
            }
            let ended = next_end(&receiver, &mut running, observer);
            let attempt = ended.attempt;
            match ended.conclude(observer) {
                Ok(()) => {}
                Err((job, End::Died(message))) if attempt <= self.retry_count => {
                    let retries_left = self.retry_count - attempt;
                    observer.observe(job.shard, ShardEvent::Died { message, retries_left });
                    waiting.push_front((job, attempt + 1));
                }
                Err((job, End::Died(message) | End::Answered(message))) => {
                    failures.push(failed(job, message, observer));
                }
            }
        }
    }

    fn start(&self, job: Job, attempt: u32, sender: &Sender<Message>) -> Result<Running, (Job, io::Error)> {
        let start = || {
            let stderr = File::options().append(true).create(true).open(&job.stderr)?;
            let stderr_start = stderr.metadata()?.len();
            let child = Command::new(self.program)
                .args(&job.arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(stderr)
                .spawn()?;
            Ok((child, stderr_start))
        };
        let (mut child, stderr_start) = match start() {
            Ok(started) => started,
            Err(error) => return Err((job, error)),
        };
        if let Some(stdout) = child.stdout.take() {
            let (shard, sender) = (job.shard, sender.clone());
            thread::spawn(move || listen(stdout, shard, &sender));
        }
        Ok(Running { process: Process(child), job, attempt, stderr_start, finished: None })
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
    observer: &mut impl ShardObserver,
) -> Running {
    loop {
        // The supervisor has a sender of its own.
        match receiver.recv().expect("a channel with a sender is open") {
            Message::Line(shard, line) => match serde_json::from_str(&line) {
                Ok(finished @ ShardEvent::Finished { .. }) => {
                    if let Some(process) = running.get_mut(&shard) {
                        process.finished = Some(finished);
                    }
                }
                Ok(event @ ShardEvent::Progress { .. }) => observer.observe(shard, event),
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
    /// What came of it: the process has ended, or is about to.
    fn conclude(mut self, observer: &mut impl ShardObserver) -> Result<(), (Job, End)> {
        let status = match self.process.0.wait() {
            Ok(status) => status,
            Err(error) => return Err((self.job, End::Died(format!("nobody knows how its process ended: {error}")))),
        };
        let words = || last_words(&self.job.stderr, self.stderr_start);
        let end = match (status.code(), self.finished) {
            (Some(0), Some(finished)) => match observer.accept(self.job.shard, &finished) {
                Ok(()) => {
                    observer.observe(self.job.shard, finished);
                    return Ok(());
                }
                Err(message) => End::Answered(message),
            },
            (Some(1), _) => End::Answered(words()),
            _ => End::Died(death(status, &words())),
        };
        Err((self.job, end))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already cannot be ended, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn failed(job: Job, message: String, observer: &mut impl ShardObserver) -> ShardFailure {
    observer.observe(job.shard, ShardEvent::Failed { message: message.clone() });
    ShardFailure { shard: job.shard, message, stderr: job.stderr }
}

/// `its process ended with signal: 9 (SIGKILL) and said nothing`.
fn death(status: ExitStatus, words: &str) -> String {
    let words = if words.is_empty() { "and said nothing".to_owned() } else { format!("and said: {words}") };
    format!("its process ended with {status} {words}")
}

/// What a process said last on standard error, from `start` on: its error, or else the last lines.
fn last_words(stderr: &Path, start: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(stderr)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(len.saturating_sub(LAST_WORDS_LEN))))?;
        let mut bytes = Vec::new();
        file.take(LAST_WORDS_LEN).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let error = lines.iter().rposition(|line| line.starts_with(ERROR_PREFIX));
    let from = error.unwrap_or(lines.len().saturating_sub(LAST_WORDS_LINE_COUNT));
    let words = lines[from..].join("\n");
    words.strip_prefix(ERROR_PREFIX).map_or(words.clone(), str::to_owned)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Notes what happens.
    #[derive(Default)]
    struct Notes {
        events: Vec<(u32, ShardEvent)>,
        refused: Option<String>,
    }

    impl ShardObserver for Notes {
        fn observe(&mut self, shard: u32, event: ShardEvent) {
            self.events.push((shard, event));
        }

        fn accept(&mut self, _: u32, _: &ShardEvent) -> Result<(), String> {
            self.refused.clone().map_or(Ok(()), Err)
        }
    }

    impl Notes {
        fn count(&self, counted: impl Fn(&ShardEvent) -> bool) -> usize {
            self.events.iter().filter(|(_, event)| counted(event)).count()
        }
    }

    const FINISHED: &str = r#"echo '{"event":"finished","rows":1,"clicks":0,"rows_per_second":1.0,"percent":100.0,"features":2,"state_len_bytes":3,"seconds":0.5}'"#;

    fn run(scripts: &[&str], notes: &mut Notes) -> Vec<ShardFailure> {
        let folder = tempfile::tempdir().unwrap();
        let job = |(shard, script): (u32, &&str)| Job {
            shard,
            arguments: ["-c", script].map(OsString::from).to_vec(),
            stderr: folder.path().join(format!("{shard}.stderr.txt")),
        };
        let supervisor = Supervisor { program: Path::new("/bin/sh"), process_count: 2, retry_count: 2 };
        supervisor.run((1..).zip(scripts).map(job).collect(), notes)
    }

    #[test]
    fn a_process_that_finishes_is_accepted() {
        let mut notes = Notes::default();
        assert_eq!(run(&[FINISHED, FINISHED, FINISHED], &mut notes), []);
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Started { attempt: 1, .. })), 3);
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Finished { .. })), 3);
    }

    #[test]
    fn a_process_that_dies_is_started_again_so_often_and_not_more() {
        let mut notes = Notes::default();
        let failures = run(&[FINISHED, "echo last words >&2; kill -KILL $$", FINISHED], &mut notes);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].shard, 2);
        let message = &failures[0].message;
        assert!(message.contains("signal: 9") && message.ends_with("and said: last words"), "{message}");
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Died { .. })), 2);
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Started { .. })), 5);
    }

    #[test]
    fn a_process_that_says_what_is_wrong_is_not_started_again() {
        let mut notes = Notes::default();
        let failures = run(&["echo skipped: this >&2; echo error: row 7 is bad >&2; exit 1"], &mut notes);
        assert_eq!(failures[0].message, "row 7 is bad");
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Died { .. })), 0);
    }

    #[test]
    fn a_process_that_ends_well_but_has_not_finished_has_died() {
        let mut notes = Notes::default();
        let failures = run(&["exit 0"], &mut notes);
        assert!(failures[0].message.contains("exit status: 0 and said nothing"), "{}", failures[0].message);
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Died { .. })), 2);
    }

    #[test]
    fn a_process_whose_work_is_not_accepted_has_failed() {
        let mut notes = Notes { refused: Some("not good enough".to_owned()), ..Notes::default() };
        assert_eq!(run(&[FINISHED], &mut notes)[0].message, "not good enough");
    }

    #[test]
    fn a_program_that_is_not_there_fails_every_shard() {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = Supervisor { program: Path::new("/absent"), process_count: 1, retry_count: 2 };
        let job = Job { shard: 4, arguments: Vec::new(), stderr: folder.path().join("4.stderr.txt") };
        let failures = supervisor.run(vec![job], &mut Notes::default());
        assert!(failures[0].message.starts_with("/absent could not be started"), "{}", failures[0].message);
    }
}
