//! The background thread: looks at the store, brings what it says into service, and takes away what is no longer used. All that
//! may wait, allocate, read or unmap happens here.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::census::Census;
use super::choice::{self, Situation, Wanted};
use super::health;
use super::load::{self, Loaded, Loader, Stop, Trace};
use super::memory::{Memory, Quarantined};
use super::report::{Attempt, LiveStatus, Outcome, Reason, Served, ServingState, Stage};
use super::sample::SampledRequest;
use super::seat::{Seat, Serving};
use super::slot::Replaced;
use super::{Bell, Shared, seconds_of, unix_seconds};
use crate::error::{Code, Error, Owner};
use crate::score::Model;
use crate::store::{Control, Current, Digest, Store};
use crate::weight_file::map::LoadMode;
use crate::weight_file::source::{FileStamp, SourceFile};

/// Attempts that are kept for reports.
const MAX_ATTEMPTS: usize = 16;
/// Logic ids that are kept for rows that are logged a little later.
const MAX_LOGIC_IDS: usize = 16;
/// Older generations that a server without anything good tries.
const MAX_OLDER_TRIED: usize = 3;
/// How often the report is written while nothing changes: its heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How much less the background thread is worth to the system than a request's.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// A generation in memory.
#[derive(Debug)]
struct Holding {
    model: Arc<Model>,
    current: Current,
    source: SourceFile,
    /// What the file was when its bytes were last known to be right.
    stamp: FileStamp,
    load_mode: LoadMode,
    since: SystemTime,
    /// What is wrong with it, and yet no reason not to serve it: it was changed in place, it could not be locked.
    reasons: Vec<Reason>,
}

/// A generation on trial.
#[derive(Debug)]
struct Trial {
    began: Instant,
    panics_before: u64,
}

/// What is known of a file that was looked at and is not served, as long as it does not change.
#[derive(Debug)]
struct Looked {
    wanted: Wanted,
    stamp: FileStamp,
    digest: Option<Digest>,
    refusal: Option<Reason>,
}

#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    store: Store,
    memory: Memory,
    started: Instant,
    /// What people decided, as understood last.
    control: Control,
    served: Option<Holding>,
    /// The last good generation, while another one is on trial.
    fallback: Option<Holding>,
    trial: Option<Trial>,
    replaced: Vec<(Arc<Seat>, Replaced<Serving>)>,
    retired: Vec<Arc<Model>>,
    looked: Vec<Looked>,
    recent: Vec<(Arc<Seat>, SampledRequest)>,
    attempts: VecDeque<Attempt>,
    /// Of this pass.
    reasons: Vec<Reason>,
    reported: Option<(LiveStatus, Instant)>,
    resident_bytes: Option<u64>,
    jitter: u64,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, store: Store) -> Self {
        let folder = store.state_path().join(&shared.options.name);
        Self {
            store,
            memory: Memory::open(folder, shared.options.most_deaths),
            started: Instant::now(),
            // Until `control` could be read, nothing is changed and nothing new is begun.
            control: Control::Freeze,
            served: None,
            fallback: None,
            trial: None,
            replaced: Vec::new(),
            retired: Vec::new(),
            looked: Vec::new(),
            recent: Vec::new(),
            attempts: VecDeque::new(),
            reasons: Vec::new(),
            reported: None,
            resident_bytes: None,
            jitter: unix_nanoseconds() | 1,
            shared,
        }
    }

    /// Passes until the owner stops them.
    pub(super) fn run(mut self) {
        lower_priority();
        loop {
            {
                let mut bell = self.shared.bell();
                (bell.is_asked, bell.is_passing) = (false, true);
            }
            let pass = catch_unwind(AssertUnwindSafe(|| self.pass()));
            let is_well = pass.is_ok();
            if let Err(panic) = pass {
                self.shared.status().reasons.push(Reason::of(&Error::from_panic(panic.as_ref())));
            }
            let pause = self.pause();
            let mut bell = self.shared.bell();
            bell.is_passing = false;
            if is_well {
                bell.passed_at = Some(Instant::now());
            }
            bell.done_passes += 1;
            self.shared.rung.notify_all();
            let is_quiet = |bell: &mut Bell| !bell.is_asked && !bell.is_stopped;
            let woken = self.shared.rung.wait_timeout_while(bell, pause, is_quiet);
            if woken.unwrap_or_else(PoisonError::into_inner).0.is_stopped {
                break;
            }
        }
        // The process goes on, so it did not die of the generation on trial.
        self.memory.give_up_trial();
        // A request takes microseconds. What is still used after all of these is leaked, and not taken from under it.
        for _ in 0..100 {
            self.take_away();
            if self.replaced.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn pass(&mut self) {
        self.reasons.clear();
        self.read_control();
        self.watch_file();
        self.judge_trial();
        self.follow();
        self.check_training_age();
        self.take_away();
        self.take_samples();
        self.report();
    }

    fn read_control(&mut self) {
        match self.store.read_control() {
            Ok(control) => self.control = control,
            // A slip of the pen must not stop or change anything.
            Err(error) => self.reasons.push(Reason::of(&error)),
        }
        self.shared.is_off.store(self.control == Control::Off, Ordering::Relaxed);
    }

    fn situation(&mut self) -> Situation {
        let current = self.store.read_current().unwrap_or_else(|error| {
            self.reasons.push(Reason::of(&error));
            None
        });
        Situation {
            control: self.control,
            current,
            served: self.served.as_ref().map(|served| served.current),
            good: self.memory.good,
        }
    }

    /// Serves what ought to be served, or says why not.
    fn follow(&mut self) {
        let situation = self.situation();
        let Some(wanted) = choice::wanted(&situation) else {
            self.looked.clear();
            if self.served.is_none() && self.control != Control::Off {
                self.reasons.push(Reason::of(&Error::NoModel));
            }
            return;
        };
        match self.serve(&wanted, &situation) {
            Ok(()) | Err(Stop::Interrupted) => {}
            Err(Stop::Refused(error)) => self.reasons.push(Reason::of(&error)),
            Err(Stop::Known(reason)) => self.reasons.push(reason),
        }
        if self.served.is_none() && self.control != Control::Off {
            self.serve_an_older_one(&wanted, &situation);
        }
    }

    /// Without anything to serve, what was good last is better than nothing; on a new machine, whose journal is empty, what was
    /// published before.
    fn serve_an_older_one(&mut self, wanted: &Wanted, situation: &Situation) {
        let mut older: Vec<Wanted> = situation.good.map(Wanted::of).into_iter().collect();
        let below = self.store.generations().unwrap_or_default().into_iter().rev();
        let below = below.filter(|generation| *generation < wanted.generation).take(MAX_OLDER_TRIED);
        older.extend(below.map(|generation| Wanted { generation, digest: None, is_pinned: false }));
        let alone = Situation { served: None, good: None, ..*situation };
        for older in older.iter().filter(|older| *older != wanted) {
            match self.serve(older, &alone) {
                Ok(()) | Err(Stop::Interrupted) => break,
                Err(Stop::Refused(_) | Stop::Known(_)) => {}
            }
        }
    }

    fn serve(&mut self, wanted: &Wanted, situation: &Situation) -> Result<(), Stop> {
        choice::check_order(wanted, situation, self.shared.options.least_generation)?;
        if let Some(digest) = wanted.digest {
            self.check_memory(digest)?;
        }
        let (mut trace, unix_seconds) = (Trace::default(), unix_seconds());
        let outcome = self.open_and_load(wanted, &mut trace);
        let kept = match &outcome {
            Ok(()) => Outcome::Served,
            Err(Stop::Refused(error)) => Outcome::Refused(Reason::of(error)),
            Err(Stop::Known(reason)) => Outcome::Refused(reason.clone()),
            Err(Stop::Interrupted) => Outcome::Interrupted,
        };
        let (digest, stages) = (trace.digest, trace.stages);
        self.note(Attempt { generation: wanted.generation, digest, unix_seconds, stages, outcome: kept });
        outcome
    }

    fn open_and_load(&mut self, wanted: &Wanted, trace: &mut Trace) -> Result<(), Stop> {
        let source = self.loader(self.held_bytes(), &|_| Ok(())).open(wanted, trace)?;
        let stamp = source.stamp();
        // The very file that was looked at before is not read again.
        if let Some(looked) = self.looked.iter().find(|looked| looked.wanted == *wanted && looked.stamp == stamp) {
            if let Some(reason) = &looked.refusal {
                return Err(Stop::Known(reason.clone()));
            }
            if let Some(digest) = looked.digest {
                self.check_memory(digest)?;
            }
        }
        let outcome = self.load_and_swap(wanted, source, trace);
        if let Err(stop) = &outcome {
            let digest = trace.digest;
            let refusal = match stop {
                // What the system refuses may go well a moment later.
                Stop::Refused(error) if error.code() != Code::File => Some(Reason::of(error)),
                _ => None,
            };
            self.looked.retain(|looked| looked.wanted != *wanted);
            self.looked.push(Looked { wanted: *wanted, stamp, digest, refusal });
            if let (Stop::Refused(error), Some(digest)) = (stop, digest)
                && is_about_the_content(error.code())
            {
                self.quarantine(Current { generation: wanted.generation, digest }, error);
            }
        }
        outcome
    }

    fn loader<'a>(&'a self, held_bytes: u64, check_digest: &'a dyn Fn(Digest) -> Result<(), Stop>) -> Loader<'a> {
        let Shared { schema, options, .. } = &*self.shared;
        Loader { store: &self.store, schema, options, held_bytes, check_digest }
    }

    fn load_and_swap(&mut self, wanted: &Wanted, source: SourceFile, trace: &mut Trace) -> Result<(), Stop> {
        let loaded = {
            let (shared, store, control) = (&self.shared, &self.store, self.control);
            let mut last_look = Instant::now();
            let mut go_on = move || look_around(shared, store, control, &mut last_look);
            let check_digest = |digest| self.check_memory(digest);
            self.loader(0, &check_digest).load(wanted, source, trace, &mut go_on)?
        };
        let mut reasons = Vec::new();
        if self.shared.options.lock_memory {
            trace.stage(Stage::Lock, || {
                if let Err(source) = loaded.model.lock_in_memory() {
                    let path = loaded.source.path().to_owned();
                    reasons.push(Reason::of(&Error::File { action: "keep in memory", path, source }));
                }
                Ok(())
            })?;
        }
        self.swap_in(loaded, reasons, trace)
    }

    /// Makes scorers for the generation, warms them, and switches every live scorer to it.
    fn swap_in(&mut self, loaded: Loaded, reasons: Vec<Reason>, trace: &mut Trace) -> Result<(), Stop> {
        let Loaded { model, source, digest, load_mode } = loaded;
        let current = Current { generation: model.generation(), digest };
        let prepared = trace.stage(Stage::Prepare, || Ok(self.prepare(&model)?))?;
        trace.stage(Stage::Warm, || {
            self.warm(&prepared);
            Ok(())
        })?;
        let is_known_to_be_good = self.memory.good == Some(current);
        if !is_known_to_be_good {
            trace.stage(Stage::Journal, || {
                self.memory.begin_trial(current);
                Ok(())
            })?;
        }
        if let Err(stop) = trace.stage(Stage::Swap, || Ok(self.switch(&model, prepared)?)) {
            self.memory.give_up_trial();
            return Err(stop);
        }
        let stamp = source.stamp();
        let holding = Holding { model, current, source, stamp, load_mode, since: SystemTime::now(), reasons };
        let was_on_trial = self.trial.is_some();
        let before = self.served.replace(holding);
        if is_known_to_be_good {
            self.trial = None;
            self.memory.give_up_trial();
            self.retire(before);
            let fallback = self.fallback.take();
            self.retire(fallback);
        } else {
            self.trial = Some(Trial { began: Instant::now(), panics_before: self.panics() });
            if was_on_trial {
                // Nobody knows whether it is good; the one before it is.
                self.retire(before);
            } else {
                self.fallback = before;
            }
        }
        Ok(())
    }

    fn prepare(&self, model: &Arc<Model>) -> Result<Vec<(Arc<Seat>, Box<Serving>)>, Error> {
        // The lock is not held meanwhile: preparing may take long, and scorers may be opened.
        let seats = self.shared.seats().all.clone();
        seats
            .into_iter()
            .map(|seat| {
                let serving = Box::new(seat.serving(model)?);
                Ok((seat, serving))
            })
            .collect()
    }

    /// Scores the last known requests with the scorers that are about to answer, so that what they touch lies in the caches.
    fn warm(&mut self, prepared: &[(Arc<Seat>, Box<Serving>)]) {
        for (seat, request) in &mut self.recent {
            let serving = prepared.iter().find(|(prepared, _)| Arc::ptr_eq(prepared, seat));
            if let Some((_, serving)) = serving
                && let Serving::Model(scorer) = &**serving
            {
                // SAFETY: the copy is a block of the seat's layout, which is the scorer's, aligned and as long as the layout says.
                let scored = unsafe { scorer.predict_block(request.block_address(), request.candidate_count, None) };
                // A request that the model refuses has warmed what it could.
                drop(scored);
            }
        }
    }

    /// Switches every live scorer to `model`.
    fn switch(&mut self, model: &Arc<Model>, prepared: Vec<(Arc<Seat>, Box<Serving>)>) -> Result<(), Error> {
        let mut seats = self.shared.seats();
        let mut all: Vec<(Arc<Seat>, Box<Serving>)> = prepared;
        for seat in &seats.all {
            // Opened since they were prepared.
            if !all.iter().any(|(prepared, _)| Arc::ptr_eq(prepared, seat)) {
                all.push((Arc::clone(seat), Box::new(seat.serving(model)?)));
            }
        }
        seats.served = Some(Arc::clone(model));
        if seats.logic_ids.len() == MAX_LOGIC_IDS {
            seats.logic_ids.remove(0);
        }
        seats.logic_ids.push((model.generation(), Arc::from(model.logic_id())));
        for (seat, serving) in all {
            let replaced = seat.slot.replace(serving);
            self.replaced.push((seat, replaced));
        }
        Ok(())
    }

    /// Takes every live scorer off its generation.
    fn switch_to_nothing(&mut self) {
        let mut seats = self.shared.seats();
        seats.served = None;
        for seat in &seats.all {
            let replaced = seat.slot.replace(Box::new(Serving::Nothing));
            self.replaced.push((Arc::clone(seat), replaced));
        }
    }

    /// A trial ends well after its time, and badly with the first panic.
    fn judge_trial(&mut self) {
        let Some(trial) = &self.trial else { return };
        if self.panics() > trial.panics_before {
            self.go_back();
        } else if trial.began.elapsed() >= self.shared.options.trial {
            self.trial = None;
            self.memory.end_trial();
            let fallback = self.fallback.take();
            self.retire(fallback);
        }
    }

    /// The generation on trial has panicked: quarantines it, and serves the last good one, which is still in memory.
    fn go_back(&mut self) {
        self.trial = None;
        self.memory.give_up_trial();
        let Some(bad) = self.served.take() else { return };
        let message = format!("scoring with generation {} panicked while it was on trial", bad.current.generation);
        let error = Error::Panic { message };
        self.quarantine(bad.current, &error);
        self.shared.ledger().withdrawn(error.code());
        self.reasons.push(Reason::of(&error));
        self.retire(Some(bad));
        self.serve_fallback();
    }

    fn serve_fallback(&mut self) {
        if let Some(fallback) = self.fallback.take()
            && let Ok(prepared) = self.prepare(&fallback.model)
            && self.switch(&fallback.model, prepared).is_ok()
        {
            self.served = Some(fallback);
        } else {
            self.switch_to_nothing();
        }
    }

    /// A mapped file must stay as it is. Where it does not, serving moves to a private copy of the verified bytes, if they are still
    /// there to be copied, and otherwise away from them.
    fn watch_file(&mut self) {
        let Some(served) = &mut self.served else { return };
        self.reasons.extend(served.reasons.iter().cloned());
        if served.load_mode != LoadMode::Map {
            return;
        }
        let now = match served.source.stamp_now() {
            Ok(now) if now == served.stamp => return,
            Ok(now) => now,
            Err(error) => {
                self.reasons.push(Reason::of(&error));
                return;
            }
        };
        let (current, before) = (served.current, served.stamp);
        let change = describe_change(before, now);
        if now.len_bytes < before.len_bytes {
            // Whoever touches a page behind the new end ends the process: nobody may, while the bytes are looked at.
            self.switch_to_nothing();
        }
        let Some(served) = &mut self.served else { return };
        let copy = load::private_copy(&served.source, current.digest, &mut || Ok(()));
        let error = Error::ChangedInPlace { path: served.source.path().to_owned(), change };
        match copy {
            // Another name or other permissions: the bytes were not touched.
            Ok(_) if (now.len_bytes, now.written) == (before.len_bytes, before.written) => served.stamp = now,
            Ok(copy) => {
                served.reasons.push(Reason::of(&error));
                served.load_mode = LoadMode::Copy;
                self.reasons.push(Reason::of(&error));
                let mapped = std::mem::replace(&mut served.model, Arc::clone(&copy));
                let prepared = self.prepare(&copy);
                if prepared.and_then(|prepared| self.switch(&copy, prepared)).is_err() {
                    self.switch_to_nothing();
                }
                self.retired.push(mapped);
            }
            Err(_) => {
                self.shared.ledger().withdrawn(error.code());
                self.reasons.push(Reason::of(&error));
                let lost = self.served.take();
                // What was good last is not there any more, and what was good before it is not known.
                if self.memory.good == Some(current) && self.fallback.is_none() {
                    self.memory.forget_good();
                }
                self.trial = None;
                self.memory.give_up_trial();
                self.retire(lost);
                self.serve_fallback();
            }
        }
    }

    /// Refuses a content that was refused before, or whose trial the last process did not survive.
    fn check_memory(&self, digest: Digest) -> Result<(), Stop> {
        if let Some(quarantined) = self.memory.quarantine_of(digest) {
            let (generation, code) = (quarantined.generation, quarantined.code);
            let text = format!("generation {generation} is in quarantine: {}", quarantined.reason);
            return Err(Stop::Known(Reason { code, text }));
        }
        let deaths = self.memory.deaths.iter().find(|deaths| deaths.tried.digest == digest);
        match deaths {
            Some(deaths) if self.started.elapsed() < self.shared.options.retry_after_death => {
                Err(Stop::Known(Reason::of(&deaths.error(self.shared.options.most_deaths))))
            }
            _ => Ok(()),
        }
    }

    fn quarantine(&mut self, current: Current, error: &Error) {
        // A server that is configured or declared otherwise after its next start may well take what its own limits refuse now.
        let is_lasting = error.code() == Code::Panic
            || (error.owner() != Owner::Delivery && error.code() != Code::ContractNotExpected);
        self.memory.quarantine(Quarantined::now(current, error, is_lasting));
    }

    fn retire(&mut self, holding: Option<Holding>) {
        self.retired.extend(holding.map(|holding| holding.model));
    }

    /// Frees what no request uses any more: scorers, then models, and the places of scorers that are gone.
    fn take_away(&mut self) {
        let mut used = Vec::new();
        for (seat, replaced) in self.replaced.drain(..) {
            if let Err(replaced) = seat.slot.free(replaced) {
                used.push((seat, replaced));
            }
        }
        self.replaced = used;
        let retired = std::mem::take(&mut self.retired);
        self.retired = retired.into_iter().filter_map(Model::give_back_slowly).collect();
        // A seat that only the list holds has lost its live scorer.
        let (recent, mut seats) = (&mut self.recent, self.shared.seats());
        recent.retain(|(seat, _)| Arc::strong_count(seat) > 2);
        let all = std::mem::take(&mut seats.all);
        let (left, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|seat| Arc::strong_count(seat) == 1);
        seats.all = kept;
        // Orders what a scorer's thread counted last before the look at it; the thread has let go of the seat.
        fence(Ordering::Acquire);
        for seat in &left {
            seats.departed.add(&seat.counters);
        }
        drop(seats);
        drop(left);
    }

    fn take_samples(&mut self) {
        let seats = self.shared.seats().all.clone();
        let mut census = self.served.as_ref().map(|served| Census::of(&served.model, &self.shared.field_names));
        for seat in seats {
            if let Some(mut sample) = seat.sample.take() {
                if let Some(census) = &mut census {
                    census.count(&seat, &mut sample);
                }
                self.recent.retain(|(known, _)| !Arc::ptr_eq(known, &seat));
                self.recent.push((seat, sample));
            }
        }
        if let Some(census) = census {
            self.shared.ledger().sampled(&census);
        }
    }

    /// Says so where the served generation learned from data that is older than this server's limit.
    fn check_training_age(&mut self) {
        if let (Some(limit), Some(served)) = (self.shared.options.most_training_age, &self.served)
            && let Err(error) = health::check_training_age(&served.model, limit)
        {
            self.reasons.push(Reason::of(&error));
        }
    }

    /// Of all scorers, those that are gone included.
    fn panics(&self) -> u64 {
        self.shared.request_counts().panics
    }

    /// Bytes of all models in memory.
    fn held_bytes(&self) -> u64 {
        self.models().map(|model| model.header().total_len_bytes).sum()
    }

    fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        let holdings = self.served.iter().chain(&self.fallback).map(|holding| &holding.model);
        holdings.chain(&self.retired)
    }

    fn note(&mut self, attempt: Attempt) {
        // A refusal at the door is tried again at each pass, and one account of it is enough.
        let is_known = |last: &&Attempt| last.generation == attempt.generation && last.outcome == attempt.outcome;
        if attempt.stages.len() == 1 && self.attempts.back().as_ref().is_some_and(is_known) {
            return;
        }
        self.shared.ledger().tried(&attempt);
        if self.attempts.len() == MAX_ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
    }

    fn report(&mut self) {
        if let Some(problem) = &self.memory.problem {
            self.reasons.push(Reason::of(problem));
        }
        let state = if self.control == Control::Off {
            ServingState::Off
        } else if self.served.is_some() {
            ServingState::Serving
        } else {
            ServingState::NoModel
        };
        // Asking for each page takes milliseconds a gigabyte.
        if self.reported.as_ref().is_none_or(|(_, written)| written.elapsed() >= HEARTBEAT) {
            self.resident_bytes = self.models().map(|model| model.resident_bytes()).sum();
        }
        let status = LiveStatus {
            state,
            control: self.control,
            served: self.served.as_ref().map(|served| self.describe(served)),
            retired_count: self.retired.len() + usize::from(self.fallback.is_some()),
            mapped_bytes: self.held_bytes(),
            resident_bytes: self.resident_bytes,
            reasons: self.reasons.clone(),
            attempts: self.attempts.iter().cloned().collect(),
            quarantined: self.memory.quarantined.clone(),
            heartbeat_unix_seconds: unix_seconds(),
        };
        self.write_report(&status);
        *self.shared.status() = status;
    }

    /// Writes the report if it says something new, or is old.
    fn write_report(&mut self, status: &LiveStatus) {
        let is_known = self.reported.as_ref().is_some_and(|(known, written)| {
            let known = (&known.state, &known.served, &known.reasons, &known.attempts, &known.control);
            let new = (&status.state, &status.served, &status.reasons, &status.attempts, &status.control);
            known == new && written.elapsed() < HEARTBEAT
        });
        if is_known {
            return;
        }
        if self.memory.is_on_disk() {
            self.memory.write_report(&status.to_json());
        }
        self.reported = Some((status.clone(), Instant::now()));
    }

    fn describe(&self, served: &Holding) -> Served {
        let model = &served.model;
        Served {
            generation: served.current.generation,
            digest: served.current.digest,
            logic_id: model.logic_id().to_owned(),
            contract_fingerprint: model.contract().fingerprint(),
            weight_count: model.weight_count(),
            file_len_bytes: model.header().total_len_bytes,
            load_mode: served.load_mode,
            is_on_trial: self.trial.is_some(),
            since_unix_seconds: seconds_of(served.since),
            training_end_unix_seconds: model.training_end_unix_seconds(),
        }
    }

    /// The poll interval, a fifth more or less.
    fn pause(&mut self) -> Duration {
        // Xorshift: any spread will do.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let percent = u32::try_from(80 + self.jitter % 41).unwrap_or(100);
        self.shared.options.poll_interval * percent / 100
    }
}

/// During a load: ends it when the process is about to end, or when people decide otherwise; scoring is switched off at once.
fn look_around(shared: &Shared, store: &Store, control: Control, last_look: &mut Instant) -> Result<(), Stop> {
    if last_look.elapsed() < shared.options.poll_interval {
        return Ok(());
    }
    *last_look = Instant::now();
    if shared.bell().is_stopped {
        return Err(Stop::Interrupted);
    }
    match store.read_control() {
        Ok(now) if now != control => {
            shared.is_off.store(now == Control::Off, Ordering::Relaxed);
            Err(Stop::Interrupted)
        }
        _ => Ok(()),
    }
}

/// Whether a refusal holds for the bytes under whatever name, and not for their name or place.
fn is_about_the_content(code: Code) -> bool {
    !matches!(code, Code::File | Code::DigestMismatch | Code::GenerationMismatch)
}

fn describe_change(before: FileStamp, now: FileStamp) -> String {
    if now.len_bytes != before.len_bytes {
        return format!("its length was {} bytes and is {}", before.len_bytes, now.len_bytes);
    }
    if now.written == before.written {
        return "its permissions or names are other ones".to_owned();
    }
    "it was written to".to_owned()
}

fn unix_nanoseconds() -> u64 {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(nanoseconds).unwrap_or(1)
}

/// Loading a model must not take a core from requests.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers only. On Linux the process 0 stands for the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
