//! The incidents, in order, and what a server should do in each.

mod orders;
mod processes;
mod publications;
mod stores;

use std::time::{Duration, Instant};

use super::copy::{Copy, Order, replace};
use super::server::ServerOptions;
use super::watched::{Said, Watched};
use super::{DrillError, DrillOptions, DrillReport, IncidentReport, files};
use omomi::error::Code;
use omomi::weight_file::map::LoadMode;

/// Long enough not to end during a drill.
const LONG: Duration = Duration::from_secs(3_600);
/// Number of polls to wait before the state is considered final.
const POLLS_HELD: u32 = 3;
const MODE_OF_WEIGHT_FILE: u32 = 0o444;

type Incident = (&'static str, fn(&mut Stage) -> Result<Happened, DrillError>);

/// Number of incidents.
pub const INCIDENT_COUNT: usize = INCIDENTS.len();

const INCIDENTS: [Incident; 45] = [
    ("a good file is published", publications::publish),
    ("a file with one flipped bit", publications::flipped_bit),
    ("a truncated file", publications::half),
    ("a file that is not a weight file", publications::foreign),
    ("a file under another generation's name", publications::other_name),
    ("a file with another contract", publications::other_contract),
    ("a file that anyone may write to", publications::writable),
    ("a file that was replaced after it was published", publications::other_bytes),
    ("the publisher dies while copying", publications::dead_publisher),
    ("the trainer is dead", publications::nothing),
    ("`current` is removed", publications::no_current),
    ("`current` is nonsense", publications::nonsense_in_current),
    ("`control` is nonsense", publications::nonsense_in_control),
    ("freeze, then a publication", orders::freeze),
    ("off", orders::off),
    ("on", orders::on),
    ("rollback", orders::rollback),
    ("on after a rollback", orders::on_after_rollback),
    ("the served file is removed", publications::removed),
    ("the served file is rewritten in place with equal bytes", publications::rewritten),
    ("the served file is zeroed in place (mode copy)", publications::zeroed),
    ("the served file is truncated in place (mode auto)", publications::truncated),
    ("killed, and the served file is damaged at the next start", processes::killed_with_damaged_file),
    ("killed and started again", processes::killed),
    ("killed, and the newest file is bad at the next start", processes::killed_with_bad_file),
    ("killed during a trial", processes::killed_on_trial),
    ("killed during a trial for the second time", processes::killed_on_trial_twice),
    ("killed while scoring is off", orders::killed_while_off),
    ("killed while scoring is off, and `control` is removed", orders::killed_while_off_without_control),
    ("the store is moved away and back", stores::moved),
    ("the store is moved away and back while scoring is off", stores::moved_while_off),
    ("started before the store is mounted, while scoring is off", stores::mounted_late),
    ("freeze, a publication, and a server that remembers nothing", orders::freeze_and_forget),
    ("ended in order three times during a trial", processes::ended_on_trial),
    ("rollback, and rollback again", orders::rollback_twice),
    ("other content under the name of a pinned generation", orders::other_content_under_a_pin),
    ("six bad files, and a server that remembers nothing", publications::many_bad_files),
    ("killed during a trial, and the store is a copy at the next start", stores::copied),
    ("off, then pin", orders::off_then_pin),
    ("off, and the server has no file descriptor left", orders::off_without_descriptors),
    ("off, and nothing can be written", orders::off_on_a_full_disk),
    ("killed during a trial for the second time, then pin", processes::killed_on_trial_twice_then_pin),
    ("killed, and its journal is nonsense at the next start", processes::killed_with_unreadable_journal),
    ("a second server of the same name", processes::second_of_the_same_name),
    ("the store is made again with lower numbers", stores::rebuilt),
];

/// An incident that has happened, and how the server should react.
struct Happened {
    at: Instant,
    expected: Expected,
    /// How an operator restores order.
    tidy_up: TidyUp,
}

struct Expected {
    /// The generation that should answer; `None` while scoring is off.
    answered: Option<u64>,
    /// The code that the server should report in its status.
    reason: Option<Code>,
    /// Whether a file should have been added to the quarantine.
    is_quarantined: bool,
    /// How often the answering generation may change, or answers may stop.
    max_changes: u64,
    may_fail: bool,
}

enum TidyUp {
    Nothing,
    /// Remove a generation, and restore the previous text of `current`.
    Withdraw(u64, String),
    WithdrawAll(Vec<u64>, String),
    /// Restore the previous text of `current`.
    PointBack(String),
    Order(Order),
    Publish,
    /// Start another process, which scores what is published.
    Restart,
}

impl Expected {
    fn goes_on(generation: u64) -> Self {
        Self { answered: Some(generation), reason: None, is_quarantined: false, max_changes: 0, may_fail: false }
    }

    fn swaps_to(generation: u64) -> Self {
        Self { max_changes: 1, ..Self::goes_on(generation) }
    }

    fn complaining(self, reason: Code) -> Self {
        Self { reason: Some(reason), ..self }
    }

    fn is_met_by(&self, said: &Said, quarantined_before: u64) -> bool {
        let is_answered = match self.answered {
            Some(generation) => said.answered == Some(generation),
            None => said.error.as_deref() == Some(Code::SwitchedOff.name()),
        };
        let is_complained_of = match self.reason {
            Some(reason) => said.reasons.iter().any(|said| said == reason.name()),
            None => said.reasons.is_empty(),
        };
        let is_quarantined = !self.is_quarantined || said.quarantined_count > quarantined_before;
        is_answered && is_complained_of && is_quarantined && said.change_count > 0
    }

    fn describe(&self) -> String {
        let mut text = match self.answered {
            Some(generation) => format!("{generation:06} answers"),
            None => Code::SwitchedOff.name().to_owned(),
        };
        if let Some(reason) = self.reason {
            text = format!("{text}; {}", reason.name());
        }
        if self.is_quarantined {
            text.push_str(", quarantine");
        }
        text
    }
}

/// The server, its store, and what is known about them.
struct Stage {
    server: Watched,
    copy: Copy,
    options: DrillOptions,
    /// The generation that should be served when nothing is wrong.
    good: u64,
    /// The good generation before that.
    good_before: u64,
    /// Number of server processes before this one.
    process: u64,
    /// Requests scored by the servers that have ended.
    request_count: u64,
}

pub(super) fn rehearse(
    mut copy: Copy,
    options: &DrillOptions,
    watch: &mut dyn FnMut(&IncidentReport),
) -> Result<DrillReport, DrillError> {
    let (first, _) = copy.publish_good()?;
    let server_options = server_options(&copy, options);
    let server = Watched::start(&options.program, &server_options)?;
    let options = options.clone();
    let mut stage = Stage { server, copy, options, good: first, good_before: first, process: 0, request_count: 0 };
    let mut incidents = Vec::with_capacity(INCIDENT_COUNT);
    for (name, incident) in INCIDENTS {
        let report = stage.rehearse(name, incident)?;
        watch(&report);
        incidents.push(report);
    }
    let request_count = stage.request_count + stage.server.said().request_count;
    Ok(DrillReport { incidents, request_count, poll_interval: stage.options.poll_interval })
}

fn server_options(copy: &Copy, options: &DrillOptions) -> ServerOptions {
    ServerOptions {
        dir: copy.store.dir().to_owned(),
        schema_of: copy.original.clone(),
        load_mode: LoadMode::Map,
        poll_interval: options.poll_interval,
        // Trials end at the next poll.
        trial: Duration::ZERO,
        retry_after_death: LONG,
        limit: None,
        uses_up_descriptors: false,
    }
}

impl Stage {
    fn rehearse(
        &mut self,
        name: &'static str,
        incident: fn(&mut Self) -> Result<Happened, DrillError>,
    ) -> Result<IncidentReport, DrillError> {
        self.come_to_rest(name)?;
        let (before, process) = (self.server.said(), self.process);
        let Happened { at, expected, tidy_up } = incident(self)?;
        let quarantined_before = before.quarantined_count;
        // A new process counts from 0, and its first answer is a change.
        let (before, first) = if process == self.process { (before, 0) } else { (Said::default(), 1) };
        let is_met = |said: &Said| expected.is_met_by(said, quarantined_before);
        let met = self.server.wait_until(is_met, self.options.time_limit);
        let took = met.is_some().then(|| at.elapsed());
        // The expected state has to last.
        std::thread::sleep(self.options.poll_interval * POLLS_HELD);
        let after = self.server.said();
        let change_count = after.change_count - before.change_count;
        let is_steady = change_count <= expected.max_changes + first;
        let mut seen = after.describe();
        if !is_steady {
            let changes = after.changes.iter().take(usize::try_from(change_count).unwrap_or(usize::MAX));
            let changes: Vec<&str> = changes.map(String::as_str).rev().collect();
            seen = format!("{seen}; {change_count} changes of what answers: {}", changes.join(", "));
        }
        if expected.is_quarantined && after.quarantined_count > quarantined_before {
            seen.push_str(", quarantine");
        }
        let report = IncidentReport {
            name,
            expected: expected.describe(),
            seen,
            took: took.filter(|_| is_steady && is_met(&after)),
            failed_count: after.failed_count - before.failed_count,
            may_fail: expected.may_fail,
        };
        self.tidy_up(tidy_up)?;
        Ok(report)
    }

    fn tidy_up(&mut self, how: TidyUp) -> Result<(), DrillError> {
        match how {
            TidyUp::Nothing => {}
            TidyUp::Withdraw(generation, current) => self.copy.withdraw(generation, &current)?,
            TidyUp::WithdrawAll(generations, current) => {
                for generation in generations {
                    self.copy.withdraw(generation, &current)?;
                }
            }
            TidyUp::PointBack(current) => {
                replace(&self.copy.store.current_path(), current.as_bytes(), 0o644)?;
            }
            TidyUp::Order(order) => {
                self.copy.order(order)?;
            }
            TidyUp::Publish => {
                self.publish()?;
            }
            TidyUp::Restart => {
                self.copy.order(Order::Normal)?;
                self.restart(|_| ())?;
            }
        }
        Ok(())
    }

    /// Waits until the server serves the good generation and reports no problem, as every incident requires.
    fn come_to_rest(&self, incident: &'static str) -> Result<(), DrillError> {
        let is_at_rest = |said: &Said| said.answered == Some(self.good) && said.reasons.is_empty() && !said.is_on_trial;
        let deadline = Instant::now() + self.options.time_limit;
        if self.server.wait_until(is_at_rest, self.options.time_limit).is_some() {
            // The state is written by a thread of its own. What is not on the disk yet does not survive a kill.
            while !self.copy.has_settled(self.good) && Instant::now() < deadline {
                std::thread::sleep(self.options.poll_interval / 10);
            }
            return Ok(());
        }
        let found = self.server.said().describe();
        Err(DrillError::Restless { incident, expected: self.good, found })
    }

    fn publish(&mut self) -> Result<Instant, DrillError> {
        let (generation, at) = self.copy.publish_good()?;
        (self.good_before, self.good) = (self.good, generation);
        Ok(at)
    }

    /// Kills the server like `kill -9`.
    fn kill(&mut self) -> Instant {
        let killed = self.server.kill();
        self.request_count += self.server.said().request_count;
        killed
    }

    /// Ends the server in order.
    fn end(&mut self) -> Instant {
        let ended = self.server.end();
        self.request_count += self.server.said().request_count;
        ended
    }

    /// Ends the server and starts another one.
    fn restart(&mut self, change: impl FnOnce(&mut ServerOptions)) -> Result<(), DrillError> {
        self.kill();
        self.start(change)
    }

    fn start(&mut self, change: impl FnOnce(&mut ServerOptions)) -> Result<(), DrillError> {
        self.server = self.new_server(change)?;
        self.process += 1;
        Ok(())
    }

    fn new_server(&self, change: impl FnOnce(&mut ServerOptions)) -> Result<Watched, DrillError> {
        let mut options = server_options(&self.copy, &self.options);
        change(&mut options);
        Watched::start(&self.options.program, &options)
    }

    /// Publishes a good file for a server whose trials do not end, and kills the server as soon as the file is on
    /// trial. Returns the generation and the time of the kill.
    fn die_on_trial(&mut self, name: &'static str) -> Result<(u64, Instant), DrillError> {
        self.restart(|options| options.trial = LONG)?;
        self.come_to_rest(name)?;
        let (generation, _) = self.copy.publish_good()?;
        self.wait_for_trial(name, generation)?;
        Ok((generation, self.kill()))
    }

    fn wait_for_trial(&self, incident: &'static str, generation: u64) -> Result<(), DrillError> {
        let is_on_trial = |said: &Said| said.answered == Some(generation) && said.is_on_trial;
        let found = || self.server.said().describe();
        let on_trial = self.server.wait_until(is_on_trial, self.options.time_limit);
        on_trial.map(|_| ()).ok_or_else(|| DrillError::Restless { incident, expected: generation, found: found() })
    }

    /// Publishes carelessly a file that the server should reject.
    fn careless(
        &mut self,
        reason: Code,
        mode: u32,
        bytes: impl FnOnce(&Self, u64) -> Result<Vec<u8>, DrillError>,
    ) -> Result<Happened, DrillError> {
        let current = self.copy.current_text()?;
        let generation = self.copy.new_generation();
        let bytes = bytes(self, generation)?;
        let at = self.copy.publish_carelessly(generation, &bytes, mode)?;
        let expected = Expected::goes_on(self.good).complaining(reason);
        Ok(Happened { at, expected, tidy_up: TidyUp::Withdraw(generation, current) })
    }

    /// Switches scoring off, and waits until the server has written that down.
    fn switch_off(&self) -> Result<(), DrillError> {
        self.copy.order(Order::Off)?;
        self.wait_for(|said| said.error.as_deref() == Some(Code::SwitchedOff.name()));
        let deadline = Instant::now() + self.options.time_limit;
        while !self.copy.is_off_noted() && Instant::now() < deadline {
            std::thread::sleep(self.options.poll_interval / 10);
        }
        Ok(())
    }

    /// Waits for a step within an incident. A server that does not take it fails the incident by its outcome.
    fn wait_for(&self, is_met: impl Fn(&Said) -> bool) {
        let _ = self.server.wait_until(is_met, self.options.time_limit);
    }

    fn wait_for_missing_store(&self) {
        self.wait_for(|said| said.reasons.iter().any(|reason| reason == Code::StoreMissing.name()));
    }

    /// Scoring stays off: no request is answered, not even one.
    fn stays_off(&self, at: Instant, max_changes: u64) -> Happened {
        let expected = Expected { answered: None, may_fail: true, max_changes, ..Expected::goes_on(self.good) };
        Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) }
    }

    /// Switches scoring off, for a server that something keeps from its files. It has to hear the order nevertheless.
    fn off_despite(
        &mut self,
        limit: &'static str,
        uses_up_descriptors: bool,
        reason: Code,
    ) -> Result<Happened, DrillError> {
        self.restart(|options| (options.limit, options.uses_up_descriptors) = (Some(limit), uses_up_descriptors))?;
        self.wait_for(|said| said.answered.is_some());
        // The server has to notice what is missing, too.
        std::thread::sleep(self.options.poll_interval * POLLS_HELD);
        let at = self.copy.order(Order::Off)?;
        // A new process may first have no model.
        let Happened { expected, .. } = self.stays_off(at, 2);
        Ok(Happened { at, expected: expected.complaining(reason), tidy_up: TidyUp::Restart })
    }

    fn goes_on(&self, at: Instant, tidy_up: TidyUp) -> Happened {
        Happened { at, expected: Expected::goes_on(self.good), tidy_up }
    }
}
