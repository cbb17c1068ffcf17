//! The background thread: looks at the store, brings the wanted generation into service, and frees what is no longer
//! used. Everything that may wait, allocate, read files or unmap happens here.

mod account;
mod swap;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::choice::{self, Situation, Wanted};
use super::health;
use super::journal::{Memory, Quarantined};
use super::load::{self, Loader, Stop, Trace};
use super::sample::SampledRequest;
use super::seat::{Seat, Serving};
use super::slot::Replaced;
use super::status::{Attempt, LiveStatus, Outcome, Reason, Stage};
use super::{Shared, Signals, unix_seconds};
use crate::error::{Code, Error, Owner};
use crate::score::Model;
use crate::store::{Control, Current, Digest, Store};
use crate::weight_file::map::LoadMode;
use crate::weight_file::source::{FileStamp, SourceFile};

/// Maximum number of attempts that reports list.
const MAX_ATTEMPTS: usize = 16;
/// Number of logic ids that are kept, for log rows that are written a little later.
const MAX_LOGIC_IDS: usize = 16;
/// Number of older generations that a server without any good generation tries.
const MAX_OLDER_TRIED: usize = 3;
/// How often the report is written when nothing changes (heartbeat).
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Maximum pause between looks. Anything longer means: on demand only.
const MAX_PAUSE: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Niceness of the background thread relative to request threads.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// A generation in memory.
#[derive(Debug)]
struct Holding {
    model: Arc<Model>,
    current: Current,
    source: SourceFile,
    /// State of the file when its bytes were last known to be right.
    stamp: FileStamp,
    load_mode: LoadMode,
    since: SystemTime,
    /// Problems that do not stop it from being served: the file was changed in place, or its pages could not be locked.
    reasons: Vec<Reason>,
}

impl Holding {
    /// Whether its bytes are still the verified ones. The file of a mapped fallback was not watched while another
    /// generation was served.
    fn is_as_verified(&self) -> bool {
        self.load_mode == LoadMode::Copy
            || self.source.stamp_now().is_ok_and(|now| now == self.stamp)
            || matches!(load::is_still(&self.source, self.current.digest, &mut || Ok(())), Ok(true))
    }
}

/// A generation on trial.
#[derive(Debug)]
struct Trial {
    began: Instant,
    panics_before: u64,
}

/// Why a file was not served. Valid as long as the file does not change.
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
    /// The last valid decision read from `control`.
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
    /// Reasons found in this pass.
    reasons: Vec<Reason>,
    reported: Option<(LiveStatus, Instant)>,
    resident_bytes: Option<u64>,
    /// Set when nothing else can be served. Then a generation whose trial the previous process did not survive is
    /// better than none.
    is_last_resort: bool,
    jitter: u64,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, store: Store) -> Self {
        let folder = store.state_path().join(&shared.options.name);
        Self {
            store,
            memory: Memory::open(folder, shared.options.max_deaths),
            started: Instant::now(),
            // Until `control` has been read, change nothing and load nothing.
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
            is_last_resort: false,
            jitter: unix_nanoseconds() | 1,
            shared,
        }
    }

    /// Runs passes until the owner stops the thread.
    pub(super) fn run(mut self) {
        lower_priority();
        loop {
            {
                let mut signals = self.shared.signals();
                (signals.is_look_requested, signals.is_in_pass) = (false, true);
            }
            let pass = catch_unwind(AssertUnwindSafe(|| self.pass()));
            let is_well = pass.is_ok();
            if let Err(panic) = pass {
                let reasons = &mut self.shared.status().reasons;
                // Report it once, however often it happens.
                reasons.retain(|reason| reason.code != Code::Panic);
                reasons.push(Reason::of(&Error::from_panic(panic.as_ref())));
            }
            let pause = self.pause();
            let mut signals = self.shared.signals();
            signals.is_in_pass = false;
            if is_well {
                signals.passed_at = Some(Instant::now());
            }
            signals.done_passes += 1;
            self.shared.signals_changed.notify_all();
            let is_quiet = |signals: &mut Signals| !signals.is_look_requested && !signals.is_stopped;
            let woken = self.shared.signals_changed.wait_timeout_while(signals, pause, is_quiet);
            if woken.unwrap_or_else(PoisonError::into_inner).0.is_stopped {
                break;
            }
        }
        // The process continues, so the generation on trial did not kill it.
        self.memory.give_up_trial();
        // A request takes microseconds. What is still in use after all of these attempts is leaked rather than freed
        // under its user.
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
            // A typing mistake must not stop or change anything.
            Err(error) => self.reasons.push(Reason::of(&error)),
        }
        self.shared.is_off.store(self.control == Control::Off, Ordering::Relaxed);
    }

    fn situation(&mut self) -> Situation {
        let absent = |path| Error::File { action: "find", path, source: std::io::ErrorKind::NotFound.into() };
        let current = match self.store.read_current() {
            // Something was served, so `current` existed and was removed.
            Ok(None) if self.served.is_some() => Err(absent(self.store.current_path())),
            current => current,
        };
        let current = current.unwrap_or_else(|error| {
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

    /// Serves the wanted generation, or records why not.
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
        if self.served.is_none() && self.control != Control::Off {
            // One death may be chance, and there is nothing else to serve. One more puts the generation into
            // quarantine.
            self.is_last_resort = true;
            let _ = self.serve(&wanted, &situation);
            self.is_last_resort = false;
        }
    }

    /// Serves the last good generation when nothing is served and the wanted one failed. On a new machine, whose
    /// journal is empty, tries older published generations.
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
        choice::check_order(wanted, situation, self.shared.options.min_generation)?;
        if let Some(digest) = wanted.digest {
            self.check_memory(digest)?;
        }
        let (mut trace, unix_seconds) = (Trace::default(), unix_seconds());
        let outcome = self.open_and_load(wanted, &mut trace);
        let kept = match &outcome {
            Ok(()) => Outcome::Served,
            Err(Stop::Refused(error)) => Outcome::Refused(Reason::of(error)),
            // The refusal is already recorded.
            Err(Stop::Known(_)) => return outcome,
            Err(Stop::Interrupted) => Outcome::Interrupted,
        };
        let (digest, stages) = (trace.digest, trace.stages);
        self.note(Attempt { generation: wanted.generation, digest, unix_seconds, stages, outcome: kept });
        outcome
    }

    fn open_and_load(&mut self, wanted: &Wanted, trace: &mut Trace) -> Result<(), Stop> {
        let source = self.loader(self.held_bytes(), &|_| Ok(())).open(wanted, trace)?;
        let stamp = source.stamp();
        // Do not read again a file that has not changed since it was refused.
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
                // An error of the operating system may be gone a moment later.
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
                if let Err(error) = loaded.model.lock_in_memory(loaded.source.path()) {
                    reasons.push(Reason::of(&error));
                }
                Ok(())
            })?;
        }
        self.swap_in(loaded, reasons, trace)
    }

    /// Refuses a content that is in quarantine, or whose trial the previous process did not survive.
    fn check_memory(&self, digest: Digest) -> Result<(), Stop> {
        if let Some(quarantined) = self.memory.quarantine_of(digest) {
            let (generation, code) = (quarantined.generation, quarantined.code);
            let text = format!("generation {generation} is in quarantine: {}", quarantined.reason);
            return Err(Stop::Known(Reason { code, text }));
        }
        let deaths = self.memory.deaths.iter().find(|deaths| deaths.tried.digest == digest);
        match deaths {
            Some(deaths) if !self.is_last_resort && self.started.elapsed() < self.shared.options.retry_after_death => {
                Err(Stop::Known(Reason::of(&deaths.error(self.shared.options.max_deaths))))
            }
            _ => Ok(()),
        }
    }

    fn quarantine(&mut self, current: Current, error: &Error) {
        // After a restart with other options or another declaration, the server may accept what its own limits refuse
        // now.
        let is_its_own_limit =
            matches!(error.code(), Code::ContractNotExpected | Code::SignatureMissing | Code::SignatureKeyUnknown)
                || error.owner() == Owner::Delivery;
        let is_lasting = error.code() == Code::Panic || !is_its_own_limit;
        self.memory.quarantine(Quarantined::now(current, error, is_lasting));
    }

    /// Adds a reason if the training data of the served generation ends in the future, or if it is older than this
    /// server's limit or of unknown age.
    fn check_training_age(&mut self) {
        if let Some(served) = &self.served
            && let Err(error) = health::check_training_age(&served.model, self.shared.options.max_training_age)
        {
            self.reasons.push(Reason::of(&error));
        }
    }

    /// Panics of all scorers, including closed ones.
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
        // A refusal before the file is read is retried at each pass; record it once.
        let is_same = |known: &Attempt| known.generation == attempt.generation && known.outcome == attempt.outcome;
        if attempt.stages.len() == 1 && self.attempts.iter().any(is_same) {
            return;
        }
        self.shared.ledger().tried(&attempt);
        if self.attempts.len() == MAX_ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
    }

    /// The poll interval, up to a fifth shorter or longer.
    fn pause(&mut self) -> Duration {
        // Xorshift: spread matters here, quality does not.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let percent = u32::try_from(80 + self.jitter % 41).unwrap_or(100);
        self.shared.options.poll_interval.min(MAX_PAUSE) * percent / 100
    }
}

/// Called during a load. Stops it if the process is about to end or the decision in `control` changed. Switches scoring
/// off immediately if the decision is `off`.
fn look_around(shared: &Shared, store: &Store, control: Control, last_look: &mut Instant) -> Result<(), Stop> {
    if last_look.elapsed() < shared.options.poll_interval {
        return Ok(());
    }
    *last_look = Instant::now();
    if shared.signals().is_stopped {
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

/// Whether a refusal is about the bytes, and so holds under any name, rather than about the name or place of the file.
fn is_about_the_content(code: Code) -> bool {
    !matches!(code, Code::File | Code::DigestMismatch | Code::GenerationMismatch)
}

fn unix_nanoseconds() -> u64 {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(nanoseconds).unwrap_or(1)
}

/// Lowers the priority of this thread: loading a model must not take a core from requests.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers only. On Linux, process 0 is the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
