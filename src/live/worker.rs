//! The background thread that loads, swaps and frees. What to do is decided in [`decide`](super::decide); this thread
//! looks, does it, and says how it went. Everything that may wait, allocate, read weight files or unmap happens here.

mod account;
mod swap;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::decide::{Action, Ended, Inherited, Journal, Known, Loaded, Refusal, RefusalKind, Seen, Settings};
use super::load::{self, Loader, Stop, Trace};
use super::reason::Reason;
use super::sample::SampledRequest;
use super::seat::{Seat, Serving};
use super::slot::Replaced;
use super::state::check_store;
use super::status::{Attempt, Outcome, Stage};
use super::{Shared, Signals, health, jitter, signals_of_disks, unix_seconds};
use crate::error::{Code, Error, Owner};
use crate::score::Model;
use crate::store::{Control, Current, Digest, Named, Store};
use crate::weight_file::load_mode::{ChosenMode, LoadMode};
use crate::weight_file::source::{FileStamp, SourceFile};

/// Maximum number of attempts that reports list.
const MAX_ATTEMPTS: usize = 16;
/// Number of generations whose logic ids and contracts are kept, for records that are written a little later.
const MAX_RECENT: usize = 16;
/// Number of files whose digests are kept.
const MAX_IDENTIFIED: usize = 64;
/// How often the resident pages are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);
/// How long the first pass waits for the state of the last process, and each load for its record in the journal. A disk
/// that hangs must not keep generations from being served.
const DISK_PATIENCE: Duration = Duration::from_secs(1);
/// How long the first pass waits for the first look at `control`.
const ORDERS_PATIENCE: Duration = Duration::from_secs(2);
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
    load_mode: ChosenMode,
    since: SystemTime,
    /// Problems that do not stop it from being served: the file was changed in place, or its pages could not be locked.
    reasons: Vec<Reason>,
}

impl Holding {
    /// Whether its bytes are still the verified ones. The file of a mapped fallback was not watched while another
    /// generation was served.
    fn is_as_verified(&self) -> bool {
        self.load_mode.mode == LoadMode::Copy
            || self.source.stamp_now().is_ok_and(|now| now == self.stamp)
            || matches!(load::is_still(&self.source, self.current.digest, &mut || Ok(())), Ok(true))
    }
}

#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    store: Store,
    known: Known<FileStamp>,
    opened: Instant,
    served: Option<Holding>,
    /// The last good generation, while another one is on trial.
    fallback: Option<Holding>,
    /// Another file under the name of the served one, and what is wrong with it.
    namesake: Option<(FileStamp, Option<Reason>)>,
    replaced: Vec<(Arc<Seat>, Replaced<Serving>)>,
    retired: Vec<Arc<Model>>,
    recent: Vec<(Arc<Seat>, SampledRequest)>,
    attempts: VecDeque<Attempt>,
    /// Digests of files that no text names, as long as the files do not change.
    identified: VecDeque<(u64, FileStamp, Digest)>,
    /// Reasons found in this pass, apart from those of the decisions.
    reasons: Vec<Reason>,
    counted: Option<Instant>,
    resident_bytes: Option<u64>,
    jitter: u64,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, store: Store) -> Self {
        let options = &shared.options;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let settings = Settings {
            trial_ms: millis(options.trial),
            max_deaths: options.max_deaths,
            retry_after_death_ms: millis(options.retry_after_death),
            min_generation: options.min_generation,
            #[cfg(test)]
            fault: None,
        };
        let nothing = Inherited { journal: Journal::default(), ended: Ended::Unknown };
        Self {
            known: Known::new(settings, nothing, Control::default(), 0),
            store,
            opened: Instant::now(),
            served: None,
            fallback: None,
            namesake: None,
            replaced: Vec::new(),
            retired: Vec::new(),
            recent: Vec::new(),
            attempts: VecDeque::new(),
            identified: VecDeque::new(),
            reasons: Vec::new(),
            counted: None,
            resident_bytes: None,
            jitter: jitter::seed(),
            shared,
        }
    }

    /// Runs passes until the owner stops the thread.
    pub(super) fn run(mut self) {
        lower_priority();
        signals_of_disks::block();
        self.shared.wait_for_state(DISK_PATIENCE);
        self.take_found();
        self.wait_for_orders();
        loop {
            {
                let mut signals = self.shared.signals();
                (signals.is_look_requested, signals.is_in_pass) = (false, true);
            }
            let pass = catch_unwind(AssertUnwindSafe(|| self.pass()));
            if let Err(panic) = pass {
                self.shared.update_status(|status| {
                    // Report it once, however often it happens.
                    status.reasons.retain(|reason| reason.code != Code::Panic);
                    status.reasons.push(Reason::of(&Error::from_panic(panic.as_ref())));
                });
            }
            let pause = jitter::up_to(self.shared.options.poll_interval, &mut self.jitter);
            let mut signals = self.shared.signals();
            signals.is_in_pass = false;
            signals.done_passes += 1;
            self.shared.signals_changed.notify_all();
            let is_quiet = |signals: &mut Signals| !signals.is_look_requested && !signals.is_stopped;
            let woken = self.shared.signals_changed.wait_timeout_while(signals, pause, is_quiet);
            if woken.unwrap_or_else(PoisonError::into_inner).0.is_stopped {
                break;
            }
        }
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

    /// Waits for the first look at `control`.
    fn wait_for_orders(&self) {
        let is_unheard = |signals: &mut Signals| signals.done_listens == 0 && !signals.is_stopped;
        let signals = self.shared.signals();
        drop(self.shared.signals_changed.wait_timeout_while(signals, ORDERS_PATIENCE, is_unheard));
    }

    /// The store may have appeared a moment ago. Nothing is served before its journal and its orders have been read.
    fn wait_for_a_new_store(&self) {
        self.shared.post_report();
        let desk = self.shared.desk();
        drop(self.shared.desk_changed.wait_timeout_while(desk, DISK_PATIENCE, |desk| desk.has_no_store()));
        let deadline = Instant::now() + ORDERS_PATIENCE;
        let mut signals = self.shared.signals();
        // A look that is already running may have begun before.
        let wanted = signals.done_listens + 2;
        while signals.done_listens < wanted && !signals.is_stopped && Instant::now() < deadline {
            signals.is_listen_requested = true;
            self.shared.signals_changed.notify_all();
            let done = signals.done_listens;
            let is_waiting = |signals: &mut Signals| signals.done_listens == done && !signals.is_stopped;
            let woken = self.shared.signals_changed.wait_timeout_while(signals, ORDERS_PATIENCE, is_waiting);
            signals = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn pass(&mut self) {
        self.reasons.clear();
        let is_there = self.served.is_some() || check_store(&self.store).is_ok();
        if self.served.is_none() && is_there {
            self.wait_for_a_new_store();
        }
        self.take_found();
        if let Some(siblings) = { self.shared.desk().take_siblings() } {
            self.known.hear_siblings(&siblings);
        }
        let lost = self.watch_file();
        self.watch_name();
        let seen = self.see();
        self.known.look(seen, self.now());
        if let Some(reason) = lost {
            self.known.lost_reason(reason);
        }
        if self.known.is_leaving() {
            self.shared.ledger().withdrawn(Code::Panic);
        }
        if is_there {
            self.act();
        } else if check_store(&self.store).is_ok() {
            // It appeared during this pass, which has not waited for its orders. The next pass does.
            self.shared.signals().is_look_requested = true;
        }
        self.check_training_age();
        self.take_away();
        self.take_samples();
        self.remember();
        self.report();
    }

    /// Takes over what the last process left, once it has been read.
    fn take_found(&mut self) {
        let Some(found) = ({ self.shared.desk().take_found() }) else { return };
        // What the last process obeyed is no new order.
        if let Some(heard) = found.heard.filter(|_| self.counted.is_none()) {
            self.known.begin_under(heard);
        }
        self.known.inherit(found.inherited);
        self.known.inherit_refused(found.quarantined);
        self.remember();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn see(&mut self) -> Seen {
        let control = self.shared.orders().in_force();
        let absent = |path| Error::File {
            action: "find",
            path,
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file"),
        };
        let current = match self.store.read_current() {
            // Something was served, so `current` existed and was removed.
            Ok(None) if self.known.has_served() => Err(absent(self.store.current_path())),
            current => current,
        };
        let counts = self.shared.request_counts();
        Seen {
            control,
            current: current.map_err(|error| Reason::of(&error)),
            files: self.store.generations().unwrap_or_default(),
            pardons: self.pardons(),
            ran_ms: self.shared.ran_ms.load(Ordering::Relaxed),
            scored: counts.predictions,
            panics: counts.panics,
            unix_seconds: unix_seconds(),
        }
    }

    fn pardons(&mut self) -> Vec<super::decide::Pardon> {
        match self.store.read_pardons() {
            Ok(pardons) => {
                let pardon = |pardon: &crate::store::Pardon| super::decide::Pardon {
                    digest: pardon.digest,
                    token: pardon.unix_nanoseconds,
                };
                pardons.iter().map(pardon).collect()
            }
            Err(error) => {
                self.reasons.push(Reason::of(&error));
                Vec::new()
            }
        }
    }

    /// Does what is decided, until nothing is left to do in this pass.
    fn act(&mut self) {
        loop {
            let action = self.known.next(self.now());
            // Its trial may be over, or an order may forbid it.
            self.drop_unneeded_fallback();
            match action {
                Action::Rest => break,
                Action::Restore(_) => self.restore(),
                Action::Load(what) => self.load(what),
            }
        }
    }

    fn load(&mut self, what: Named) {
        let (mut trace, unix_seconds) = (Trace::default(), unix_seconds());
        let (what, stamp, outcome) = self.open_and_load(what, &mut trace);
        let (loaded, kept) = match outcome {
            // It was noted with the swap.
            Ok(()) => (None, Some(Outcome::Served)),
            Err(Stop::Refused(error)) => {
                let refusal = Refusal { reason: Reason::of(&error), digest: trace.digest, kind: kind_of(&error) };
                (Some(Loaded::Refused(refusal)), Some(Outcome::Refused(Reason::of(&error))))
            }
            // The refusal is already recorded.
            Err(Stop::Known(reason)) => {
                let refusal = Refusal { reason, digest: trace.digest, kind: RefusalKind::Passing };
                (Some(Loaded::Refused(refusal)), None)
            }
            Err(Stop::Interrupted) => (Some(Loaded::Interrupted), Some(Outcome::Interrupted)),
        };
        if let Some(loaded) = loaded {
            self.known.loaded(what, stamp, loaded);
            self.remember();
        }
        if let Some(outcome) = kept {
            let (digest, stages) = (trace.digest, trace.stages);
            self.note(Attempt { generation: what.generation, digest, unix_seconds, stages, outcome });
        }
    }

    fn open_and_load(&mut self, what: Named, trace: &mut Trace) -> (Named, Option<FileStamp>, Result<(), Stop>) {
        let source = match self.loader(self.held_bytes(), &|_| Ok(())).open(what, trace) {
            Ok(source) => source,
            Err(stop) => return (what, None, Err(stop)),
        };
        let stamp = source.stamp();
        let what = match self.identified(what, &source) {
            Ok(what) => what,
            Err(stop) => return (what, Some(stamp), Err(stop)),
        };
        // Do not read again a file that has not changed since it was refused.
        if let Err(reason) = self.known.opened(what, &stamp) {
            return (what, Some(stamp), Err(Stop::Known(reason)));
        }
        if self.known.is_loading() {
            let recorded = trace.stage(Stage::Journal, || {
                let number = self.remember();
                self.shared.wait_for_saved(number, DISK_PATIENCE);
                Ok(())
            });
            if let Err(stop) = recorded {
                return (what, Some(stamp), Err(stop));
            }
        }
        (what, Some(stamp), self.load_and_swap(what, source, trace))
    }

    /// Finds out the digest of a file that no text names, so that a death is blamed on the right content.
    fn identified(&mut self, what: Named, source: &SourceFile) -> Result<Named, Stop> {
        if what.digest.is_some() {
            return Ok(what);
        }
        let (generation, stamp) = (what.generation, source.stamp());
        let known = self.identified.iter().find(|(known, of, _)| (*known, *of) == (generation, stamp));
        let digest = match known {
            Some((_, _, digest)) => *digest,
            None => load::digest_of_file(source, &mut || self.go_on())?,
        };
        self.identified.retain(|(known, _, _)| *known != generation);
        self.identified.push_back((generation, stamp, digest));
        self.identified.truncate(MAX_IDENTIFIED);
        let content = Current { generation: what.generation, digest };
        self.known.check_content(content, self.now()).map_err(Stop::Known)?;
        Ok(content.into())
    }

    /// Ends what takes long if the process is about to end, or if people have ordered something else to be served.
    fn go_on(&self) -> Result<(), Stop> {
        let is_wanted = self.shared.orders().in_force().target == self.known.control().target;
        if is_wanted && !self.shared.signals().is_stopped { Ok(()) } else { Err(Stop::Interrupted) }
    }

    fn loader<'a>(&'a self, held_bytes: u64, check_content: &'a dyn Fn(Current) -> Result<(), Reason>) -> Loader<'a> {
        let Shared { schema, options, .. } = &*self.shared;
        Loader { store: &self.store, schema, options, held_bytes, check_content }
    }

    fn load_and_swap(&mut self, what: Named, source: SourceFile, trace: &mut Trace) -> Result<(), Stop> {
        let loaded = {
            let now = self.now();
            let check_content = |content| self.known.check_content(content, now);
            self.loader(self.held_bytes(), &check_content).load(what, source, trace, &mut || self.go_on())?
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
        self.swap_in(what, loaded, reasons, trace)
    }

    /// Has everything saved that the next process must know. Returns the number of the change.
    fn remember(&self) -> u64 {
        self.shared.post(self.known.journal(), self.known.lasting_refusals())
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

    /// Bytes of all models in memory, the fallback file included.
    fn held_bytes(&self) -> u64 {
        let fallback = self.shared.fallback.iter().map(|(model, _)| model);
        self.models().chain(fallback).map(|model| model.header().total_len_bytes).sum()
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
}

/// What a refusal is about.
fn kind_of(error: &Error) -> RefusalKind {
    match error.code() {
        // An error of the operating system may be gone a moment later, and memory may be free.
        Code::File | Code::MemoryBudget | Code::OutOfMemory => RefusalKind::Passing,
        Code::DigestMismatch | Code::GenerationMismatch => RefusalKind::Name,
        code => {
            // After a restart with other options or another declaration, the server may accept what its own limits
            // refuse now.
            let is_its_own_limit =
                matches!(code, Code::ContractNotExpected | Code::SignatureMissing | Code::SignatureKeyUnknown)
                    || error.owner() == Owner::Delivery;
            RefusalKind::Content { is_lasting: !is_its_own_limit }
        }
    }
}

/// Lowers the priority of this thread: loading a model must not take a core from requests.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers only. On Linux, process 0 is the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
