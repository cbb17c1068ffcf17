//! Processes of tasks, with their limits.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::folder::Runs;
use crate::flow::figures::FIGURES_VARIABLE;
use crate::flow::task::{TaskEnd, TaskRequest};

/// How long a process may take to end after it was asked to, as ECS gives it.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const MEMORY_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The exit code of a process that a signal ended is this and the number of the signal, as in a container.
const SIGNAL_BASE: i32 = 128;

/// A process that was started.
pub(super) struct Started {
    is_unwanted: Arc<AtomicBool>,
    waiting: Option<JoinHandle<()>>,
}

impl Drop for Started {
    /// Waits for the end of the process.
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            // A thread that panicked has reported nothing, and waits for nothing.
            let _ = waiting.join();
        }
    }
}

impl Started {
    /// Asks the process to end, and ends it if it does not.
    pub(super) fn end(&self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }
}

/// Starts a task. `report` is called from another thread when it ended.
pub(super) fn start(
    program: &Path,
    request: &TaskRequest,
    dir: &Path,
    log: &Path,
    progress: &Path,
    runs: &Runs,
    report: impl FnOnce(TaskEnd) + Send + 'static,
) -> io::Result<Started> {
    // A task that is done again adds to its log.
    let log = OpenOptions::new().append(true).create(true).open(log)?;
    let mut command = Command::new(program);
    command.args(&request.command[1..]).current_dir(dir);
    command.envs(request.environment.iter().map(|(name, value)| (name, value)));
    command.env(FIGURES_VARIABLE, std::path::absolute(progress)?);
    // A later run finds by it what a broken run left.
    command.stdin(runs.input_of_task()?).stderr(log.try_clone()?).stdout(log);
    command.process_group(0);
    end_with_this_process(&mut command);
    let memory_bytes = request.memory_mib.map(|mib| mib.saturating_mul(1 << 20));
    let is_unwanted = Arc::new(AtomicBool::new(false));
    let for_thread = Arc::clone(&is_unwanted);
    let (sender, receiver) = mpsc::channel();
    // The thread that starts the process waits for it: on Linux, the process ends with its thread.
    let waiting = thread::Builder::new().name("flow-task".to_owned()).spawn(move || {
        let child = command.spawn();
        drop(command);
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                let _ = sender.send(Err(error));
                return;
            }
        };
        let _ = sender.send(Ok(()));
        report(wait(&mut child, memory_bytes, &for_thread));
    })?;
    receiver.recv().map_err(io::Error::other)??;
    Ok(Started { is_unwanted, waiting: Some(waiting) })
}

/// Ends a process when this one ends, even by a signal that it cannot handle.
#[cfg(target_os = "linux")]
fn end_with_this_process(command: &mut Command) {
    let parent = std::process::id();
    let set_up = move || {
        // SAFETY: prctl with PR_SET_PDEATHSIG reads only its arguments, and may be called between fork and exec.
        let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: getppid has no arguments, and may be called between fork and exec.
        let found = unsafe { libc::getppid() };
        // The parent may have ended before the call above.
        if u32::try_from(found) == Ok(parent) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(set_up) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_this_process(_: &mut Command) {}

/// Waits for the end of a process, and ends it if it is unwanted or uses too much memory.
fn wait(child: &mut Child, memory_bytes: Option<u64>, is_unwanted: &AtomicBool) -> TaskEnd {
    let (mut reason, mut asked, mut last_look) = (None, None, Instant::now());
    let mut pause = Duration::from_millis(1);
    loop {
        if has_ended(child.id()) {
            // What it left running ends too. Its number is not used again before it was waited for.
            signal_group(child.id(), libc::SIGKILL);
            return match child.wait() {
                Ok(status) => TaskEnd { exit_code: Some(exit_code(status)), reason },
                Err(error) => TaskEnd { exit_code: None, reason: Some(format!("the process is lost: {error}")) },
            };
        }
        if is_unwanted.load(Ordering::Relaxed) {
            match asked {
                None => {
                    asked = Some(Instant::now());
                    signal_group(child.id(), libc::SIGTERM);
                }
                Some(since) if since.elapsed() > STOP_TIMEOUT => signal_group(child.id(), libc::SIGKILL),
                Some(_) => {}
            }
        }
        if let Some(most) = memory_bytes
            && reason.is_none()
            && last_look.elapsed() >= MEMORY_POLL_INTERVAL
        {
            last_look = Instant::now();
            let used = memory::of_tree(child.id());
            if used > most {
                let mib = |bytes: u64| bytes >> 20;
                reason = Some(format!(
                    "OutOfMemoryError: container killed due to memory usage: {} MiB of {}",
                    mib(used),
                    mib(most)
                ));
                signal_group(child.id(), libc::SIGKILL);
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(POLL_INTERVAL);
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| SIGNAL_BASE + signal)).unwrap_or(1)
}

/// Whether a child process has ended, or does not exist. It can still be waited for.
fn has_ended(id: u32) -> bool {
    // SAFETY: zeros are a valid value of this plain structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable, and the call keeps no address.
    let result = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, options) };
    // Without an ended child, the structure stays zero.
    result != 0 || info.si_signo != 0
}

fn signal_group(id: u32, signal: i32) {
    if let Ok(id) = i32::try_from(id) {
        // SAFETY: kill reads only its arguments. The group is that of a child that was not waited for.
        unsafe { libc::kill(-id, signal) };
    }
}

/// Memory that processes have for themselves.
mod memory {
    /// Bytes of a process and those that it started. 0 where the system does not say.
    pub(super) fn of_tree(id: u32) -> u64 {
        let mut total = of_one(id).unwrap_or(0);
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            total += of_tree(child);
        }
        total
    }

    /// Pages that are not those of a file.
    fn of_one(id: u32) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }
}
