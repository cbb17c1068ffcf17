//! The drill's view of the server process: the last status it reported.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::DrillError;
use super::server::ServerOptions;

/// The last status that the server reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The generation that answered the last request.
    pub(super) answered: Option<u64>,
    /// The error code of the last request, if it was not answered.
    pub(super) error: Option<String>,
    pub(super) reasons: Vec<String>,
    pub(super) is_on_trial: bool,
    pub(super) quarantined_count: u64,
    pub(super) request_count: u64,
    pub(super) failed_count: u64,
    /// How often the answering generation changed, or answers stopped.
    pub(super) change_count: u64,
    /// What answered, or what kept requests from an answer: the last few, the newest first.
    pub(super) changes: Vec<String>,
    /// Whether the process has ended.
    pub(super) is_over: bool,
}

impl Said {
    fn of(line: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let count = |name: &str| line[name].as_u64().unwrap_or(0);
        Self {
            answered: line["answered"].as_u64(),
            error: text(&line["error"]),
            reasons: line["reasons"].as_array().into_iter().flatten().filter_map(text).collect(),
            is_on_trial: line["is_on_trial"] == true,
            quarantined_count: count("quarantined_count"),
            request_count: count("request_count"),
            failed_count: count("failed_count"),
            change_count: count("change_count"),
            changes: line["changes"].as_array().into_iter().flatten().filter_map(text).collect(),
            is_over: false,
        }
    }

    /// Describes the status for people.
    pub(super) fn describe(&self) -> String {
        let mut text = match (&self.answered, &self.error) {
            _ if self.is_over => "the process has ended".to_owned(),
            (Some(generation), _) => format!("{generation:06} answers"),
            (None, Some(error)) => error.clone(),
            (None, None) => "nothing yet".to_owned(),
        };
        if !self.reasons.is_empty() {
            text = format!("{text}; {}", self.reasons.join(", "));
        }
        text
    }
}

/// A server in its own process, which is killed on drop.
#[derive(Debug)]
pub(super) struct Watched {
    child: Child,
    heard: Arc<Heard>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    said: Mutex<Said>,
    news: Condvar,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    pub(super) fn start(program: &Path, options: &ServerOptions) -> Result<Self, DrillError> {
        let millis = |duration: Duration| duration.as_millis().to_string();
        let mut command = match options.limit {
            None => Command::new(program),
            Some(limit) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]).arg(program);
                shell
            }
        };
        let mut child = command
            .arg("drill-server")
            .arg(&options.dir)
            .arg("--schema-of")
            .arg(&options.schema_of)
            .args(["--load-mode", options.load_mode.name()])
            .args(["--poll-ms", &millis(options.poll_interval)])
            .args(["--trial-ms", &millis(options.trial)])
            .args(["--retry-ms", &millis(options.retry_after_death)])
            .args(options.uses_up_descriptors.then_some("--uses-up-descriptors"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(DrillError::system("start", program))?;
        let heard = Arc::new(Heard::default());
        let listener = child.stdout.take().map(|output| {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || listen(output, &heard))
        });
        Ok(Self { child, heard, listener })
    }

    /// Returns the last status.
    pub(super) fn said(&self) -> Said {
        self.heard.lock().clone()
    }

    /// Waits until the server reports a status that satisfies `is_met`; returns `None` if it does not in time.
    pub(super) fn wait_until(&self, is_met: impl Fn(&Said) -> bool, time_limit: Duration) -> Option<Said> {
        let waiting = |said: &mut Said| !is_met(said) && !said.is_over;
        let woken = self.heard.news.wait_timeout_while(self.heard.lock(), time_limit, waiting);
        let said = woken.unwrap_or_else(PoisonError::into_inner).0.clone();
        is_met(&said).then_some(said)
    }

    /// Has the process exit without closing anything, as a JVM does after SIGTERM. Returns the time of that.
    pub(super) fn end(&mut self) -> Instant {
        const PATIENCE: Duration = Duration::from_secs(10);
        drop(self.child.stdin.take());
        let ended = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && ended.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        ended
    }

    /// Kills the process like `kill -9`, and returns the time of the kill.
    pub(super) fn kill(&mut self) -> Instant {
        // Fails if the process has already ended, which is fine.
        let _ = self.child.kill();
        let killed = Instant::now();
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            // The pipe is closed, so the listener ends.
            let _ = listener.join();
        }
        killed
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listen(output: ChildStdout, heard: &Heard) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { break };
        if let Ok(value) = serde_json::from_str(&line) {
            *heard.lock() = Said::of(&value);
            heard.news.notify_all();
        }
    }
    heard.lock().is_over = true;
    heard.news.notify_all();
}
