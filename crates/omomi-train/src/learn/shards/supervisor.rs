//! Runs the processes of the shards in parallel and restarts those that die.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::{ShardEvent, ShardFailure};
use crate::flow::figures::FIGURES_VARIABLE;

/// Bytes at the end of a process's standard error that are searched for its error.
const STDERR_TAIL_LEN: u64 = 4 << 10;
/// Lines of standard error that are reported if it has no error.
const STDERR_TAIL_LINE_COUNT: usize = 8;
/// The prefix of the error with which the command line ends.
const ERROR_PREFIX: &str = "error: ";

/// A shard to train in a process.
pub(super) struct Job {
    /// Number of the shard.
    pub(super) shard: u32,
    /// Arguments of the program.
    pub(super) arguments: Vec<OsString>,
    /// File for its standard error.
    pub(super) stderr: PathBuf,
}

/// Runs the processes of the shards.
pub(super) struct Supervisor<'a> {
    /// Program of all processes.
    pub(super) program: &'a Path,
    /// Maximum number of parallel processes.
    pub(super) process_count: usize,
    /// How many times a process that dies is restarted.
    pub(super) retry_count: u32,
}

/// Receives the events of the shards while their processes run.
pub(super) trait ShardObserver {
    /// Called for each event of a shard.
    fn observe(&mut self, shard: u32, event: ShardEvent);

    /// Called when the process of a shard has succeeded, with its last report. Returns an error if its results are not
    /// acceptable.
    fn accept(&mut self, shard: u32, finished: &ShardEvent) -> Result<(), String>;
}

/// A message from the thread that reads the standard output of a process.
enum Message {
    /// The process of this shard wrote a line.
    Line(u32, String),
    /// The process of this shard closed its standard output.
    Closed(u32),
}

/// A process that works on a job.
struct Running {
    process: Process,
    job: Job,
    attempt: u32,
    /// Offset in the file of standard error at which the output of this attempt begins.
    stderr_start: u64,
    /// Its last report, if it has finished.
    finished: Option<ShardEvent>,
}

/// A child process that is killed on drop.
struct Process(Child);

impl Supervisor<'_> {
    /// Runs all jobs to their end. Jobs start in the given order. A job that fails does not stop the others. Returns
    /// the failed jobs, sorted by shard.
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
                        let message = format!("cannot start {}: {error}", self.program.display());
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
                Err((job, End::Died(message) | End::Failed(message))) => {
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
                // The figures of a task are those of all its shards.
                .env_remove(FIGURES_VARIABLE)
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
            thread::spawn(move || forward_lines(stdout, shard, &sender));
        }
        Ok(Running { process: Process(child), job, attempt, stderr_start, finished: None })
    }
}

/// Forwards the standard output of a process, line by line.
fn forward_lines(stdout: ChildStdout, shard: u32, sender: &Sender<Message>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if sender.send(Message::Line(shard, line)).is_err() {
            return;
        }
    }
    // Without a receiver, nothing waits for this message.
    let _ = sender.send(Message::Closed(shard));
}

/// Passes the reports of the processes to `observer` until one process closes its standard output, which it does when
/// it ends. Returns that process.
fn next_end(
    receiver: &Receiver<Message>,
    running: &mut BTreeMap<u32, Running>,
    observer: &mut impl ShardObserver,
) -> Running {
    loop {
        // The supervisor keeps a sender, so the channel stays open.
        match receiver.recv().expect("a channel with a sender is open") {
            Message::Line(shard, line) => match serde_json::from_str(&line) {
                Ok(finished @ ShardEvent::Finished { .. }) => {
                    if let Some(process) = running.get_mut(&shard) {
                        process.finished = Some(finished);
                    }
                }
                Ok(event @ ShardEvent::Progress { .. }) => observer.observe(shard, event),
                // Ignore lines that are not reports.
                _ => {}
            },
            Message::Closed(shard) => {
                if let Some(process) = running.remove(&shard) {
                    return process;
                }
            }
        }
    }
}

/// How a process ended without a usable result.
enum End {
    /// By a signal, a panic or the like: another attempt may succeed.
    Died(String),
    /// With an error, which another attempt would meet again.
    Failed(String),
}

impl Running {
    /// Waits for the process to end, and accepts or rejects its result.
    fn conclude(mut self, observer: &mut impl ShardObserver) -> Result<(), (Job, End)> {
        let status = match self.process.0.wait() {
            Ok(status) => status,
            Err(error) => return Err((self.job, End::Died(format!("cannot wait for its process: {error}")))),
        };
        let output = || last_output(&self.job.stderr, self.stderr_start);
        let end = match (status.code(), self.finished) {
            (Some(0), Some(finished)) => match observer.accept(self.job.shard, &finished) {
                Ok(()) => {
                    observer.observe(self.job.shard, finished);
                    return Ok(());
                }
                Err(message) => End::Failed(message),
            },
            (Some(1), _) => End::Failed(output()),
            _ => End::Died(death(status, &output())),
        };
        Err((self.job, end))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killing a process that has already ended fails, which does not matter.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn failed(job: Job, message: String, observer: &mut impl ShardObserver) -> ShardFailure {
    observer.observe(job.shard, ShardEvent::Failed { message: message.clone() });
    ShardFailure { shard: job.shard, message, stderr: job.stderr }
}

/// Returns a message such as `its process ended with signal: 9 (SIGKILL), without output`.
fn death(status: ExitStatus, output: &str) -> String {
    let output = if output.is_empty() { "without output".to_owned() } else { format!("with the output: {output}") };
    format!("its process ended with {status}, {output}")
}

/// Returns the error that a process wrote to standard error after the offset `start`, or its last lines if it has none.
fn last_output(stderr: &Path, start: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(stderr)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(len.saturating_sub(STDERR_TAIL_LEN))))?;
        let mut bytes = Vec::new();
        file.take(STDERR_TAIL_LEN).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let error = lines.iter().rposition(|line| line.starts_with(ERROR_PREFIX));
    let from = error.unwrap_or(lines.len().saturating_sub(STDERR_TAIL_LINE_COUNT));
    let output = lines[from..].join("\n");
    output.strip_prefix(ERROR_PREFIX).map_or(output.clone(), str::to_owned)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Records all events.
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
    fn a_process_that_dies_is_restarted_as_often_as_allowed() {
        let mut notes = Notes::default();
        let failures = run(&[FINISHED, "echo last line >&2; kill -KILL $$", FINISHED], &mut notes);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].shard, 2);
        let message = &failures[0].message;
        assert!(message.contains("signal: 9") && message.ends_with("with the output: last line"), "{message}");
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Died { .. })), 2);
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Started { .. })), 5);
    }

    #[test]
    fn a_process_that_reports_an_error_is_not_restarted() {
        let mut notes = Notes::default();
        let failures = run(&["echo skipped: this >&2; echo error: row 7 is bad >&2; exit 1"], &mut notes);
        assert_eq!(failures[0].message, "row 7 is bad");
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Died { .. })), 0);
    }

    #[test]
    fn a_process_that_exits_with_0_without_finishing_counts_as_died() {
        let mut notes = Notes::default();
        let failures = run(&["exit 0"], &mut notes);
        assert!(failures[0].message.contains("exit status: 0, without output"), "{}", failures[0].message);
        assert_eq!(notes.count(|event| matches!(event, ShardEvent::Died { .. })), 2);
    }

    #[test]
    fn a_process_whose_result_is_not_accepted_has_failed() {
        let mut notes = Notes { refused: Some("not good enough".to_owned()), ..Notes::default() };
        assert_eq!(run(&[FINISHED], &mut notes)[0].message, "not good enough");
    }

    #[test]
    fn a_missing_program_fails_every_shard() {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = Supervisor { program: Path::new("/absent"), process_count: 1, retry_count: 2 };
        let job = Job { shard: 4, arguments: Vec::new(), stderr: folder.path().join("4.stderr.txt") };
        let failures = supervisor.run(vec![job], &mut Notes::default());
        assert!(failures[0].message.starts_with("cannot start /absent: "), "{}", failures[0].message);
    }
}
