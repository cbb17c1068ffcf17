//! The thread that keeps the state folder, and the desk on which others put what it must write.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::decide::{Ended, Inherited, Journal};
use super::super::quarantined::Quarantined;
use super::super::{Shared, signals_of_disks, unix_seconds};
use super::boot_ms;
use super::folder::{Folder, NoFolder, StateFound, read_json, write_second};
use super::process::ProcessId;
use super::siblings::Siblings;
use super::text::{JournalText, quarantine_to_json};
use crate::error::Error;
use crate::store::{Control, Store};

/// How often the report is written when nothing changes (heartbeat).
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the times of the files are updated.
const TOUCH_INTERVAL: Duration = Duration::from_secs(3_600);
/// Longest pause between looks at the folder.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What the other threads and the writer leave for each other. Only the latest matters.
#[derive(Debug, Default)]
pub(in crate::live) struct Desk {
    /// What must be remembered.
    memory: Option<(Journal, Vec<Quarantined>)>,
    /// Counts changes of what must be on the disk.
    posted: u64,
    /// The last change that is on the disk.
    saved: u64,
    /// How the process ends, once it does.
    ended: Option<&'static str>,
    /// Whether the state was looked for.
    is_opened: bool,
    found: Option<StateFound>,
    siblings: Option<Vec<Inherited>>,
    /// Why nothing is saved.
    problem: Option<Error>,
    /// What was wrong with files that were set aside.
    set_aside: Vec<(std::path::PathBuf, String)>,
    is_report_due: bool,
    is_stopped: bool,
}

impl Desk {
    /// Takes what the process before this one left, once.
    pub(in crate::live) const fn take_found(&mut self) -> Option<StateFound> {
        self.found.take()
    }

    /// Takes the journals of the other processes, if they have changed.
    pub(in crate::live) const fn take_siblings(&mut self) -> Option<Vec<Inherited>> {
        self.siblings.take()
    }

    /// Whether the writer found no store when it looked last.
    pub(in crate::live) const fn has_no_store(&self) -> bool {
        matches!(self.problem, Some(Error::StoreMissing { .. })) && !self.is_stopped
    }

    /// Returns what is wrong with the state.
    pub(in crate::live) fn problems(&self) -> Vec<Error> {
        let mut problems: Vec<Error> = self.problem.iter().map(copy_of).collect();
        for (path, problem) in &self.set_aside {
            problems.push(Error::StateUnusable { path: path.clone(), problem: problem.clone() });
        }
        problems
    }
}

/// Errors of this folder have no source.
fn copy_of(error: &Error) -> Error {
    match error {
        Error::StateUnusable { path, problem } => Error::StateUnusable { path: path.clone(), problem: problem.clone() },
        Error::StoreMissing { path, found } => Error::StoreMissing { path: path.clone(), found },
        Error::File { action, path, source } => {
            Error::File { action, path: path.clone(), source: std::io::Error::new(source.kind(), source.to_string()) }
        }
        other => Error::StateUnusable { path: std::path::PathBuf::new(), problem: other.full_message() },
    }
}

impl Shared {
    /// Puts what must be remembered on the desk. Returns the number of this change.
    pub(in crate::live) fn post(&self, journal: Journal, refused: Vec<Quarantined>) -> u64 {
        let mut desk = self.desk();
        let memory = (journal, refused);
        if desk.memory.as_ref() != Some(&memory) {
            desk.memory = Some(memory);
            desk.posted += 1;
            self.desk_changed.notify_all();
        }
        desk.posted
    }

    /// Has the orders that were heard saved, too.
    pub(in crate::live) fn post_orders(&self) {
        self.desk().posted += 1;
        self.desk_changed.notify_all();
    }

    pub(in crate::live) fn post_report(&self) {
        self.desk().is_report_due = true;
        self.desk_changed.notify_all();
    }

    /// Has the orderly end of the process saved, and waits for that, but not for long.
    pub(in crate::live) fn post_end(&self, ended: &'static str, patience: Duration) {
        let number = {
            let mut desk = self.desk();
            desk.ended = Some(ended);
            desk.posted += 1;
            desk.posted
        };
        self.desk_changed.notify_all();
        self.wait_for_saved(number, patience);
    }

    pub(in crate::live) fn stop_writer(&self) {
        self.desk().is_stopped = true;
        self.desk_changed.notify_all();
    }

    /// Waits until a change is on the disk, or cannot be saved. A disk that hangs delays the caller no longer than
    /// `patience`.
    pub(in crate::live) fn wait_for_saved(&self, number: u64, patience: Duration) {
        let waiting = |desk: &mut Desk| desk.saved < number && !(desk.is_opened && desk.problem.is_some());
        drop(self.desk_changed.wait_timeout_while(self.desk(), patience, waiting));
    }

    /// Waits until everything that was posted is on the disk.
    pub(in crate::live) fn wait_for_all_saved(&self, patience: Duration) {
        let number = self.desk().posted;
        self.wait_for_saved(number, patience);
    }

    /// Waits until the state of the process before this one was read.
    pub(in crate::live) fn wait_for_state(&self, patience: Duration) {
        drop(self.desk_changed.wait_timeout_while(self.desk(), patience, |desk| !desk.is_opened && !desk.is_stopped));
    }
}

/// Keeps `state/<name>`.
#[derive(Debug)]
pub(in crate::live) struct Writer {
    shared: Arc<Shared>,
    store: Store,
    process: ProcessId,
    folder: Option<Folder>,
    siblings: Siblings,
    quarantine_saved: Option<Vec<Quarantined>>,
    reported: Option<(Value, Instant)>,
    touched: Instant,
    is_first: bool,
}

impl Writer {
    pub(in crate::live) fn new(shared: Arc<Shared>, store: Store) -> Self {
        Self {
            shared,
            store,
            process: ProcessId::own(),
            folder: None,
            siblings: Siblings::default(),
            quarantine_saved: None,
            reported: None,
            touched: Instant::now(),
            is_first: true,
        }
    }

    /// Runs until the owner stops the thread.
    pub(in crate::live) fn run(mut self) {
        signals_of_disks::block();
        loop {
            let is_stopped = self.shared.desk().is_stopped;
            self.keep_folder();
            self.look_at_siblings();
            self.write();
            self.report(is_stopped);
            if is_stopped {
                return;
            }
            let pause = self.shared.options.poll_interval.min(MAX_PAUSE);
            let is_quiet = |desk: &mut Desk| {
                let is_due = desk.memory.is_some() && desk.posted > desk.saved && desk.problem.is_none();
                !desk.is_stopped && !is_due && !desk.is_report_due
            };
            let (mut desk, _) = self
                .shared
                .desk_changed
                .wait_timeout_while(self.shared.desk(), pause, is_quiet)
                .unwrap_or_else(PoisonError::into_inner);
            desk.is_report_due = false;
        }
    }

    /// Takes the folder, or notices that it is not the folder of the store any more.
    fn keep_folder(&mut self) {
        if self.folder.as_ref().is_some_and(|folder| folder.is_still(&self.store)) {
            return;
        }
        self.folder = None;
        let name = &self.shared.options.name;
        let taken = Folder::take(&self.store, name, self.is_first);
        let (problem, found) = match taken {
            Ok(folder) => {
                let found = folder.read();
                self.folder = Some(folder);
                self.quarantine_saved = None;
                (None, Some(found))
            }
            // It serves as well, with what the other one remembers.
            Err(NoFolder::Taken(problem)) => (Some(problem), self.is_first.then(|| self.peek()).flatten()),
            Err(NoFolder::NoStore(problem) | NoFolder::Unusable(problem)) => (Some(problem), None),
        };
        self.is_first = false;
        // The first generation may be one with which other processes died.
        self.look_at_siblings();
        let mut desk = self.shared.desk();
        desk.problem = problem;
        if let Some(found) = found {
            desk.set_aside.extend(found.set_aside.iter().cloned());
            // Before the first look at `control`: an order of the last process holds until another one is heard.
            let control = {
                let mut orders = self.shared.orders();
                orders.inherit(found.heard);
                orders.in_force()
            };
            self.shared.is_off.store(control.is_off(), Ordering::Relaxed);
            // Nothing is written before the worker knows what was there.
            (desk.memory, desk.found) = (None, Some(found));
            desk.posted += 1;
        }
        desk.is_opened = true;
        drop(desk);
        self.shared.desk_changed.notify_all();
        self.shared.request_look();
    }

    fn peek(&self) -> Option<StateFound> {
        let path = self.store.state_path().join(&self.shared.options.name).join("journal.json");
        let text = JournalText::of_json(&read_json(&path).ok()??).ok()?;
        let inherited = Inherited { journal: text.journal, ended: Ended::Unknown };
        Some(StateFound { inherited, heard: text.heard, quarantined: Vec::new(), set_aside: Vec::new() })
    }

    fn look_at_siblings(&mut self) {
        let Some(folder) = &self.folder else { return };
        if let Some(siblings) = self.siblings.look(&self.store, &self.shared.options.name, folder.store) {
            self.shared.desk().siblings = Some(siblings);
        }
    }

    fn write(&mut self) {
        let Some(folder) = &self.folder else { return };
        if self.touched.elapsed() >= TOUCH_INTERVAL {
            folder.touch();
            self.touched = Instant::now();
        }
        let (number, memory, ended, is_due) = {
            let mut desk = self.shared.desk();
            desk.set_aside.retain(|(path, _)| std::fs::symlink_metadata(path).is_ok());
            let is_due = desk.posted > desk.saved || desk.problem.is_some();
            (desk.posted, desk.memory.clone(), desk.ended, is_due)
        };
        let Some((journal, refused)) = memory else { return };
        if !is_due && folder.has_journal() {
            return;
        }
        let text = JournalText {
            journal,
            heard: self.heard(),
            process: Some(self.process.clone()),
            store: Some(folder.store),
            ended: ended.map(str::to_owned),
        };
        let mut outcome = folder.write_journal(&text);
        if outcome.is_ok() && self.quarantine_saved.as_ref() != Some(&refused) {
            outcome = folder.write_quarantine(&quarantine_to_json(&refused));
            if outcome.is_ok() {
                self.quarantine_saved = Some(refused);
            }
        }
        let problem = outcome.err().map(|error| folder.unusable(&error));
        let is_changed = {
            let mut desk = self.shared.desk();
            if problem.is_none() {
                desk.saved = desk.saved.max(number);
            }
            let is_changed = desk.problem.is_some() != problem.is_some();
            desk.problem = problem;
            is_changed
        };
        self.shared.desk_changed.notify_all();
        if is_changed {
            // So that the reason comes and goes with its cause.
            self.shared.request_look();
        }
    }

    fn heard(&self) -> Option<Control> {
        self.shared.orders().last_heard()
    }

    /// Writes the report if it changed, or if the last one is older than the heartbeat interval.
    fn report(&mut self, is_last: bool) {
        let mut report = self.shared.status().to_json();
        report["ended"] = json!(self.shared.desk().ended);
        let is_known = self.reported.as_ref().is_some_and(|(known, written)| {
            let is_same = |key: &str| known[key] == report[key];
            let keys = ["ended", "state", "control", "served", "reasons", "attempts", "quarantined"];
            keys.iter().all(|key| is_same(key)) && written.elapsed() < HEARTBEAT
        });
        if is_known && !is_last {
            return;
        }
        let mut text = report.clone();
        text["process"] = self.process.to_json();
        text["heartbeat_unix_seconds"] = json!(unix_seconds());
        text["heartbeat_boot_ms"] = json!(boot_ms());
        let written = match &self.folder {
            Some(folder) => {
                text["store"] = folder.store.to_json();
                folder.write_report(&text)
            }
            None if self.store.state_path().join(&self.shared.options.name).is_dir() => {
                write_second(&self.store, &self.shared.options.name, &text)
            }
            None => return,
        };
        // If the write fails, the reader notices the old heartbeat.
        if written.is_ok() {
            self.reported = Some((report, Instant::now()));
        }
    }
}
