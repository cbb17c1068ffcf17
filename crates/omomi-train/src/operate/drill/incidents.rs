//! The incidents, in order, and what a server should do in each.

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

const INCIDENTS: [Incident; 38] = [
    ("a good file is published", publish),
    ("a file with one flipped bit", flipped_bit),
    ("a truncated file", half),
    ("a file that is not a weight file", foreign),
    ("a file under another generation's name", other_name),
    ("a file with another contract", other_contract),
    ("a file that anyone may write to", writable),
    ("a file that was replaced after it was published", other_bytes),
    ("the publisher dies while copying", dead_publisher),
    ("the trainer is dead", nothing),
    ("`current` is removed", no_current),
    ("`current` is nonsense", nonsense_in_current),
    ("`control` is nonsense", nonsense_in_control),
    ("freeze, then a publication", freeze),
    ("off", off),
    ("on", on),
    ("rollback", rollback),
    ("on after a rollback", on_after_rollback),
    ("the served file is removed", removed),
    ("the served file is rewritten in place with equal bytes", rewritten),
    ("the served file is zeroed in place (mode copy)", zeroed),
    ("killed, and the served file is damaged at the next start", killed_with_damaged_file),
    ("killed and started again", killed),
    ("killed, and the newest file is bad at the next start", killed_with_bad_file),
    ("killed during a trial", killed_on_trial),
    ("killed during a trial for the second time", killed_on_trial_twice),
    ("killed while scoring is off", killed_while_off),
    ("killed while scoring is off, and `control` is removed", killed_while_off_without_control),
    ("the store is moved away and back", moved),
    ("the store is moved away and back while scoring is off", moved_while_off),
    ("started before the store is mounted, while scoring is off", mounted_late),
    ("freeze, a publication, and a server that remembers nothing", freeze_and_forget),
    ("ended in order three times during a trial", ended_on_trial),
    ("rollback, and rollback again", rollback_twice),
    ("other content under the name of a pinned generation", other_content_under_a_pin),
    ("six bad files, and a server that remembers nothing", many_bad_files),
    ("killed during a trial, and the store is a copy at the next start", copied),
    ("the store is made again with lower numbers", rebuilt),
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
            seen = format!("{seen}; {change_count} changes of the answering generation");
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
        let mut options = server_options(&self.copy, &self.options);
        change(&mut options);
        self.server = Watched::start(&self.options.program, &options)?;
        self.process += 1;
        Ok(())
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

    fn goes_on(&self, at: Instant, tidy_up: TidyUp) -> Happened {
        Happened { at, expected: Expected::goes_on(self.good), tidy_up }
    }
}

fn publish(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.publish()?;
    Ok(Happened { at, expected: Expected::swaps_to(stage.good), tidy_up: TidyUp::Nothing })
}

fn flipped_bit(stage: &mut Stage) -> Result<Happened, DrillError> {
    let happened = stage.careless(Code::Damaged, MODE_OF_WEIGHT_FILE, |stage, generation| {
        Ok(files::with_a_flipped_bit(stage.copy.good_bytes(generation)?))
    })?;
    Ok(Happened { expected: Expected { is_quarantined: true, ..happened.expected }, ..happened })
}

fn half(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::Truncated, MODE_OF_WEIGHT_FILE, |stage, generation| {
        Ok(files::half(stage.copy.good_bytes(generation)?))
    })
}

fn foreign(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::NotAWeightFile, MODE_OF_WEIGHT_FILE, |_, _| Ok(files::foreign()))
}

fn other_name(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::GenerationMismatch, MODE_OF_WEIGHT_FILE, |stage, _| stage.copy.good_bytes(stage.good))
}

fn other_contract(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::FieldMissing, MODE_OF_WEIGHT_FILE, |_, generation| Ok(files::of_another_contract(generation)?))
}

fn writable(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::WritableByOthers, 0o666, |stage, generation| stage.copy.good_bytes(generation))
}

fn other_bytes(stage: &mut Stage) -> Result<Happened, DrillError> {
    let happened =
        stage.careless(Code::DigestMismatch, 0o666, |stage, generation| stage.copy.good_bytes(generation))?;
    // So far the file is rejected for its permissions. Its replacement has the right permissions, but other bytes.
    if let TidyUp::Withdraw(generation, _) = &happened.tidy_up {
        let bytes = files::with_a_flipped_bit(stage.copy.good_bytes(*generation)?);
        let at = replace(&stage.copy.store.generation_path(*generation), &bytes, MODE_OF_WEIGHT_FILE)?;
        return Ok(Happened { at, ..happened });
    }
    Ok(happened)
}

fn dead_publisher(stage: &mut Stage) -> Result<Happened, DrillError> {
    let generation = stage.copy.new_generation();
    let bytes = stage.copy.good_bytes(generation)?;
    let path = stage.copy.store.generation_path(generation);
    let sibling = path.with_file_name(format!(".{generation:06}.omomi.7-1.partial"));
    let at = replace(&sibling, &bytes[..bytes.len() / 2], MODE_OF_WEIGHT_FILE)?;
    // The next publisher removes it.
    Ok(stage.goes_on(at, TidyUp::Nothing))
}

fn nothing(stage: &mut Stage) -> Result<Happened, DrillError> {
    Ok(stage.goes_on(Instant::now(), TidyUp::Nothing))
}

fn no_current(stage: &mut Stage) -> Result<Happened, DrillError> {
    let current = stage.copy.current_text()?;
    let at = stage.copy.remove(&stage.copy.store.current_path())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::File);
    Ok(Happened { at, expected, tidy_up: TidyUp::PointBack(current) })
}

fn nonsense_in_current(stage: &mut Stage) -> Result<Happened, DrillError> {
    let current = stage.copy.current_text()?;
    let at = replace(&stage.copy.store.current_path(), b"latest\n", 0o644)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::StoreMalformed);
    Ok(Happened { at, expected, tidy_up: TidyUp::PointBack(current) })
}

fn nonsense_in_control(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = replace(&stage.copy.store.control_path(), b"offf\n", 0o644)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::StoreMalformed);
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

fn freeze(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Freeze)?;
    // The server has to see the freeze before the publication that it must not follow.
    std::thread::sleep(stage.options.poll_interval * POLLS_HELD);
    let frozen = stage.good;
    let at = stage.publish()?;
    Ok(Happened { at, expected: Expected::goes_on(frozen), tidy_up: TidyUp::Order(Order::Normal) })
}

fn off(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.copy.order(Order::Off)?;
    let expected = Expected { answered: None, may_fail: true, ..Expected::swaps_to(stage.good) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

fn on(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Off)?;
    let is_off = |said: &Said| said.error.as_deref() == Some(Code::SwitchedOff.name());
    // A timeout here has already failed the incident before this one.
    let _ = stage.server.wait_until(is_off, stage.options.time_limit);
    let at = stage.copy.order(Order::On)?;
    let expected = Expected { may_fail: true, max_changes: 2, ..Expected::swaps_to(stage.good) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Nothing })
}

fn rollback(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.copy.order(Order::Pin(stage.good_before))?;
    Ok(Happened { at, expected: Expected::swaps_to(stage.good_before), tidy_up: TidyUp::Order(Order::Normal) })
}

fn on_after_rollback(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Pin(stage.good_before))?;
    let is_back = |said: &Said| said.answered == Some(stage.good_before);
    // A timeout here has already failed the incident before this one.
    let _ = stage.server.wait_until(is_back, stage.options.time_limit);
    let at = stage.copy.order(Order::Follow)?;
    let expected = Expected { max_changes: 2, ..Expected::swaps_to(stage.good) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Nothing })
}

fn removed(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.copy.remove(&stage.copy.store.generation_path(stage.good))?;
    Ok(stage.goes_on(at, TidyUp::Publish))
}

/// Rewrites the file like `rsync --inplace`. A server in mode `map` notices this and switches to a private copy.
fn rewritten(stage: &mut Stage) -> Result<Happened, DrillError> {
    let bytes = stage.copy.good_bytes(stage.good)?;
    let at = stage.copy.write_in_place(stage.good, &bytes)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::ChangedInPlace);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

fn zeroed(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.restart(|options| options.load_mode = LoadMode::Copy)?;
    stage.come_to_rest("the served file is zeroed in place (mode copy)")?;
    let at = zero(stage)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::ChangedInPlace);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

fn zero(stage: &Stage) -> Result<Instant, DrillError> {
    let zeros = vec![0; stage.copy.good_bytes(stage.good)?.len()];
    stage.copy.write_in_place(stage.good, &zeros)
}

fn killed_with_damaged_file(stage: &mut Stage) -> Result<Happened, DrillError> {
    // Gives the server a file to fall back to; the incident before may have damaged the last one.
    stage.publish()?;
    stage.come_to_rest("killed, and the served file is damaged at the next start")?;
    let at = stage.kill();
    zero(stage)?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good_before).complaining(Code::DigestMismatch);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

fn killed(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.kill();
    stage.start(|_| ())?;
    Ok(stage.goes_on(at, TidyUp::Nothing))
}

fn killed_with_bad_file(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.kill();
    let happened = stage.careless(Code::Truncated, MODE_OF_WEIGHT_FILE, |stage, generation| {
        Ok(files::half(stage.copy.good_bytes(generation)?))
    })?;
    stage.start(|_| ())?;
    Ok(Happened { at, ..happened })
}

fn killed_on_trial(stage: &mut Stage) -> Result<Happened, DrillError> {
    let (_, at) = stage.die_on_trial("killed during a trial")?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::KilledProcess);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

fn killed_on_trial_twice(stage: &mut Stage) -> Result<Happened, DrillError> {
    const NAME: &str = "killed during a trial for the second time";
    let (generation, _) = stage.die_on_trial(NAME)?;
    stage.start(|options| (options.trial, options.retry_after_death) = (LONG, Duration::ZERO))?;
    stage.wait_for_trial(NAME, generation)?;
    let at = stage.kill();
    stage.start(|options| options.retry_after_death = Duration::ZERO)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::KilledProcess);
    Ok(Happened { at, expected: Expected { is_quarantined: true, ..expected }, tidy_up: TidyUp::Publish })
}

fn killed_while_off(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Off)?;
    let at = stage.kill();
    stage.start(|_| ())?;
    let expected = Expected { answered: None, may_fail: true, ..Expected::goes_on(stage.good) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

fn killed_while_off_without_control(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.switch_off()?;
    let at = stage.kill();
    stage.copy.remove(&stage.copy.store.control_path())?;
    stage.start(|_| ())?;
    let Happened { at, expected, tidy_up } = stage.stays_off(at, 0);
    Ok(Happened { at, expected: expected.complaining(Code::StoreMalformed), tidy_up })
}

fn moved(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.move_away()?;
    stage.wait_for_missing_store();
    let at = stage.copy.move_back()?;
    Ok(stage.goes_on(at, TidyUp::Nothing))
}

fn moved_while_off(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.switch_off()?;
    stage.copy.move_away()?;
    stage.wait_for_missing_store();
    let at = stage.copy.move_back()?;
    Ok(stage.stays_off(at, 1))
}

fn mounted_late(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.switch_off()?;
    stage.kill();
    stage.copy.move_away()?;
    stage.start(|_| ())?;
    stage.wait_for_missing_store();
    let at = stage.copy.move_back()?;
    // First there is no model, then scoring is off.
    Ok(stage.stays_off(at, 1))
}

fn freeze_and_forget(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Freeze)?;
    let frozen = stage.good;
    stage.publish()?;
    let at = stage.kill();
    stage.copy.forget()?;
    stage.start(|_| ())?;
    Ok(Happened { at, expected: Expected::goes_on(frozen), tidy_up: TidyUp::Order(Order::Normal) })
}

fn ended_on_trial(stage: &mut Stage) -> Result<Happened, DrillError> {
    const NAME: &str = "ended in order three times during a trial";
    stage.restart(|options| options.trial = LONG)?;
    stage.come_to_rest(NAME)?;
    stage.publish()?;
    for _ in 0..2 {
        stage.wait_for_trial(NAME, stage.good)?;
        stage.end();
        stage.start(|options| options.trial = LONG)?;
    }
    stage.wait_for_trial(NAME, stage.good)?;
    let at = stage.end();
    stage.start(|_| ())?;
    Ok(stage.goes_on(at, TidyUp::Nothing))
}

fn rollback_twice(stage: &mut Stage) -> Result<Happened, DrillError> {
    const NAME: &str = "rollback, and rollback again";
    let first = stage.good;
    stage.publish()?;
    stage.come_to_rest(NAME)?;
    stage.publish()?;
    stage.come_to_rest(NAME)?;
    stage.copy.order(Order::Rollback)?;
    let deadline = Instant::now() + stage.options.time_limit;
    while !stage.copy.has_settled(stage.good_before) && Instant::now() < deadline {
        std::thread::sleep(stage.options.poll_interval / 10);
    }
    let at = stage.copy.order(Order::Rollback)?;
    // Two publications and two rollbacks.
    let expected = Expected { max_changes: 4, ..Expected::goes_on(first) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

fn other_content_under_a_pin(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.publish()?;
    stage.come_to_rest("other content under the name of a pinned generation")?;
    let pinned = stage.good_before;
    stage.copy.order(Order::Pin(pinned))?;
    stage.wait_for(|said| said.answered == Some(pinned));
    let at = stage.kill();
    let other = files::with_other_content(stage.copy.good_bytes(pinned)?)?;
    replace(&stage.copy.store.generation_path(pinned), &other, MODE_OF_WEIGHT_FILE)?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::DigestMismatch);
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

fn many_bad_files(stage: &mut Stage) -> Result<Happened, DrillError> {
    const COUNT: usize = 6;
    let current = stage.copy.current_text()?;
    let at = stage.kill();
    stage.copy.forget()?;
    let mut bad = Vec::new();
    for _ in 0..COUNT {
        let generation = stage.copy.new_generation();
        let half = files::half(stage.copy.good_bytes(generation)?);
        stage.copy.publish_carelessly(generation, &half, MODE_OF_WEIGHT_FILE)?;
        bad.push(generation);
    }
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::Truncated);
    Ok(Happened { at, expected, tidy_up: TidyUp::WithdrawAll(bad, current) })
}

fn copied(stage: &mut Stage) -> Result<Happened, DrillError> {
    let (generation, at) = stage.die_on_trial("killed during a trial, and the store is a copy at the next start")?;
    stage.copy.replace_by_copy()?;
    stage.start(|_| ())?;
    (stage.good_before, stage.good) = (stage.good, generation);
    // The copy has no evidence of a death: it is another store.
    Ok(Happened { at, expected: Expected::swaps_to(generation), tidy_up: TidyUp::Nothing })
}

fn rebuilt(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.kill();
    stage.good = stage.copy.rebuild()?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::GenerationBehind);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}
