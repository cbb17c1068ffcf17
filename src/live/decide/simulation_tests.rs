//! Random histories of a store, its servers, operators, disks and clocks. Each history comes from a seed. After each
//! step, what must hold is checked by rules of their own; a history that breaks one is shrunk and printed as a list of
//! steps.
//!
//! `OMOMI_HISTORIES` sets the number of histories, `OMOMI_SEED` the first seed. The rules that earlier releases broke
//! are broken here one at a time, to show that the simulation notices.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, ControlSeen, Ended, Fault, Inherited, Journal, Known, Loaded, Millis, Orders, Refusal, RefusalKind, Seen,
    Settings,
};
use crate::error::Code;
use crate::live::quarantined::Quarantined;
use crate::live::reason::Reason;
use crate::store::{Control, ControlText, Current, Digest, Named, Scoring, Target};

const FAULTS: [Fault; 17] = [
    Fault::DeathsWithoutEvidence,
    Fault::OneProven,
    Fault::ServedIsForgotten,
    Fault::LoadingIsNoAttempt,
    Fault::DeadlyIsServed,
    Fault::FewOlderTried,
    Fault::OtherContentIsServed,
    Fault::OldIsRefused,
    Fault::ProvenWhileIdle,
    Fault::TrialOfProven,
    Fault::SiblingsAreIgnored,
    Fault::PauseIsShort,
    Fault::AbsentMeansFollow,
    Fault::OrdersAreForgotten,
    Fault::FreezeSwitchesOn,
    Fault::OrderlyEndIsADeath,
    Fault::CopyBlames,
];

const TRIAL_MS: Millis = 1_000;
const RETRY_MS: Millis = 10_000;
const MAX_DEATHS: u32 = 1;
const NAMES: [&str; 3] = ["one", "two", "three"];

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Good,
    Damaged,
    DoesNotBind,
    KillsWhileLoading,
    KillsOnTrial,
    Panics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Publish(Kind),
    Rebuild(Kind),
    Start(usize),
    End(usize),
    Kill(usize),
    /// The process sleeps: it looks at nothing, and time passes.
    Stop(usize),
    Continue(usize),
    Wait(Millis),
    Traffic(bool),
    Order(Scoring),
    Follow,
    FreezeServed(usize),
    FreezeByHand,
    PinExisting(usize),
    PinByHand(usize),
    ControlIsGone,
    ControlIsNonsense,
    CurrentIsGone,
    Damage(usize),
    Replace(usize),
    Remove(usize),
    Unmount,
    Mount,
    LoseJournal(usize),
    Copy,
    Reboot,
    DiskHangs(bool),
    Pass,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn kind(&mut self) -> Kind {
        match self.below(14) {
            0 => Kind::Damaged,
            1 | 2 => Kind::DoesNotBind,
            3 => Kind::KillsWhileLoading,
            4 => Kind::KillsOnTrial,
            5 => Kind::Panics,
            _ => Kind::Good,
        }
    }

    fn step(&mut self) -> Step {
        match self.below(60) {
            0..=9 => Step::Publish(self.kind()),
            10 => Step::Rebuild(self.kind()),
            11..=17 => Step::Start(self.below(NAMES.len())),
            18 | 19 => Step::End(self.below(NAMES.len())),
            20 | 21 => Step::Kill(self.below(NAMES.len())),
            22 => Step::Stop(self.below(NAMES.len())),
            23 => Step::Continue(self.below(NAMES.len())),
            24..=29 => Step::Wait([100, 700, 1_500, 12_000][self.below(4)]),
            30..=32 => Step::Traffic(self.below(4) > 0),
            33 | 34 => Step::Order([Scoring::On, Scoring::Off][self.below(2)]),
            35 | 36 => Step::Follow,
            37 => Step::FreezeServed(self.below(NAMES.len())),
            38 => Step::FreezeByHand,
            39 | 40 => Step::PinExisting(self.below(8)),
            41 => Step::PinByHand(self.below(8)),
            42 => Step::ControlIsGone,
            43 => Step::ControlIsNonsense,
            44 => Step::CurrentIsGone,
            45 => Step::Damage(self.below(8)),
            46 => Step::Replace(self.below(8)),
            47 => Step::Remove(self.below(8)),
            48 => Step::Unmount,
            49 | 50 => Step::Mount,
            51 => Step::LoseJournal(self.below(NAMES.len())),
            52 => Step::Copy,
            53 => Step::Reboot,
            54 => Step::DiskHangs(true),
            55 | 56 => Step::DiskHangs(false),
            _ => Step::Pass,
        }
    }
}

/// What a process left on the disk.
#[derive(Debug, Clone)]
struct Saved {
    journal: Journal,
    heard: Option<Control>,
    refused: Vec<Quarantined>,
    boot: u64,
    store: u64,
    is_ended: bool,
}

#[derive(Debug)]
struct Process {
    known: Known<u64>,
    orders: Orders,
    /// The orders that this process must obey, by the simulation's own account.
    must: Option<Control>,
    started: Millis,
    ran_ms: Millis,
    scored: u64,
    panics: u64,
    is_stopped: bool,
    /// Whether everything that it wanted to remember is on the disk.
    is_saved: bool,
    has_state: bool,
    /// How long it ran and what it scored, by content, with scoring switched on.
    ran: BTreeMap<Digest, (Millis, u64)>,
    calm_ms: Millis,
    /// What the process before this one served.
    inherited_served: Option<Current>,
    /// What it called proven.
    proven: BTreeSet<Digest>,
}

#[derive(Debug)]
struct World {
    fault: Option<Fault>,
    now: Millis,
    boot: u64,
    store: u64,
    is_mounted: bool,
    is_hanging: bool,
    has_traffic: bool,
    kinds: BTreeMap<Digest, Kind>,
    files: BTreeMap<u64, Digest>,
    stamps: BTreeMap<u64, u64>,
    current: Option<Current>,
    control: ControlSeen,
    saved: BTreeMap<usize, Saved>,
    processes: BTreeMap<usize, Process>,
    /// Deaths with a content that left evidence, by name.
    killed: BTreeMap<(usize, Digest), u32>,
    /// Deaths with a content that a pin had forgiven when a process heard it.
    forgiven: BTreeMap<(usize, Digest), u32>,
    /// All processes that ever died with a content.
    ever_killed: BTreeMap<Digest, u32>,
    proven_ever: BTreeSet<Digest>,
    serial: u64,
}

fn reason(code: Code) -> Reason {
    Reason { code, text: String::new() }
}

fn blank() -> Inherited {
    Inherited { journal: Journal::default(), ended: Ended::Unknown }
}

impl World {
    fn new(fault: Option<Fault>) -> Self {
        Self {
            fault,
            now: 0,
            boot: 1,
            store: 1,
            is_mounted: true,
            is_hanging: false,
            has_traffic: true,
            kinds: BTreeMap::new(),
            files: BTreeMap::new(),
            stamps: BTreeMap::new(),
            current: None,
            control: ControlSeen::Text(Control::default().into()),
            saved: BTreeMap::new(),
            processes: BTreeMap::new(),
            killed: BTreeMap::new(),
            forgiven: BTreeMap::new(),
            ever_killed: BTreeMap::new(),
            proven_ever: BTreeSet::new(),
            serial: 0,
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn new_content(&mut self, kind: Kind) -> Digest {
        self.serial += 1;
        let digest = Digest::of(&self.serial.to_le_bytes());
        self.kinds.insert(digest, kind);
        digest
    }

    fn put(&mut self, generation: u64, kind: Kind) -> Current {
        let digest = self.new_content(kind);
        self.files.insert(generation, digest);
        self.stamps.insert(generation, self.serial);
        Current { generation, digest }
    }

    fn nth(&self, index: usize) -> Option<Current> {
        let (generation, digest) = self.files.iter().rev().nth(index)?;
        Some(Current { generation: *generation, digest: *digest })
    }

    fn order(&mut self, text: ControlText) {
        if self.is_mounted {
            self.control = ControlSeen::Text(text);
        }
    }

    fn order_target(&mut self, target: Target) {
        // Commands write both orders: the scoring order stays as it is, as far as the file says.
        let before = match &self.control {
            ControlSeen::Text(text) => text.scoring,
            _ => None,
        };
        self.order(ControlText { scoring: before, target: Some(target) });
    }

    /// Does the step, lets every process look, and returns the rule that is broken.
    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Publish(kind) if self.is_mounted => {
                let newest = self.files.last_key_value().map_or(0, |(generation, _)| *generation);
                let generation = newest.max(self.current.map_or(0, |current| current.generation)) + 1;
                self.current = Some(self.put(generation, kind));
            }
            Step::Rebuild(kind) if self.is_mounted => {
                self.files.clear();
                self.current = Some(self.put(1, kind));
            }
            Step::Start(name) => self.start(name)?,
            Step::End(name) => self.end(name),
            Step::Kill(name) => self.kill(name),
            Step::Stop(name) => self.with(name, |process| process.is_stopped = true),
            Step::Continue(name) => self.with(name, |process| process.is_stopped = false),
            Step::Wait(ms) => return self.wait(ms),
            Step::Traffic(has_traffic) => self.has_traffic = has_traffic,
            Step::Order(scoring) => {
                let target = match &self.control {
                    ControlSeen::Text(text) => text.target,
                    _ => None,
                };
                self.order(ControlText { scoring: Some(scoring), target });
            }
            Step::Follow => self.order_target(Target::Follow),
            Step::FreezeServed(name) => {
                if let Some(served) = self.processes.get(&name).and_then(|process| process.known.served()) {
                    self.order_target(Target::Freeze(Some(served.into())));
                }
            }
            Step::FreezeByHand => self.order(ControlText { scoring: None, target: Some(Target::Freeze(None)) }),
            Step::PinExisting(index) => {
                if let Some(current) = self.nth(index) {
                    self.order_target(Target::Pin(current.into()));
                }
            }
            Step::PinByHand(index) => {
                if let Some(Current { generation, .. }) = self.nth(index) {
                    let target = Some(Target::Pin(Named { generation, digest: None }));
                    self.order(ControlText { scoring: None, target });
                }
            }
            Step::ControlIsGone if self.is_mounted => self.control = ControlSeen::Absent(reason(Code::StoreMalformed)),
            Step::ControlIsNonsense if self.is_mounted => {
                self.control = ControlSeen::Unreadable(reason(Code::StoreMalformed));
            }
            Step::CurrentIsGone if self.is_mounted => self.current = None,
            Step::Damage(index) if self.is_mounted => {
                if let Some(file) = self.nth(index) {
                    self.put(file.generation, Kind::Damaged);
                }
            }
            Step::Replace(index) if self.is_mounted => {
                if let Some(file) = self.nth(index) {
                    self.put(file.generation, Kind::Good);
                }
            }
            Step::Remove(index) if self.is_mounted => {
                if let Some(file) = self.nth(index) {
                    self.files.remove(&file.generation);
                }
            }
            Step::Unmount => self.is_mounted = false,
            Step::Mount => self.is_mounted = true,
            Step::LoseJournal(name) if !self.processes.contains_key(&name) => {
                self.saved.remove(&name);
                self.killed.retain(|(known, _), _| *known != name);
            }
            Step::Copy if self.processes.is_empty() => {
                // The servers of the copy begin with the state of the original, which still runs elsewhere.
                self.lose_evidence();
                self.store += 1;
            }
            Step::Reboot => {
                for name in 0..NAMES.len() {
                    self.processes.remove(&name);
                }
                self.lose_evidence();
                self.boot += 1;
                self.now += 100;
            }
            Step::DiskHangs(is_hanging) => self.is_hanging = is_hanging,
            _ => {}
        }
        self.wait(100)
    }

    fn with(&mut self, name: usize, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes.get_mut(&name) {
            change(process);
        }
    }

    fn start(&mut self, name: usize) -> Result<(), String> {
        if self.processes.contains_key(&name) {
            return Ok(());
        }
        let settings = Settings {
            trial_ms: TRIAL_MS,
            max_deaths: MAX_DEATHS,
            retry_after_death_ms: RETRY_MS,
            min_generation: 0,
            fault: self.fault,
        };
        let mut process = Process {
            known: Known::new(settings, blank(), Control::default(), self.now),
            orders: Orders::default(),
            must: None,
            started: self.now,
            ran_ms: 0,
            scored: 0,
            panics: 0,
            is_stopped: false,
            is_saved: true,
            has_state: false,
            ran: BTreeMap::new(),
            calm_ms: 0,
            inherited_served: None,
            proven: BTreeSet::new(),
        };
        if self.is_mounted {
            self.open_state(name, &mut process, Some(settings));
        }
        self.processes.insert(name, process);
        self.pass(name)
    }

    /// Reads the state of the previous process of the name. With `settings`, the process starts; without, it finds the
    /// store later.
    fn open_state(&mut self, name: usize, process: &mut Process, settings: Option<Settings>) {
        process.has_state = true;
        let (mut inherited, mut heard, mut refused) = (blank(), None, Vec::new());
        if let Some(saved) = self.saved.get(&name) {
            inherited = Inherited { journal: saved.journal.clone(), ended: self.ended(saved) };
            (heard, refused) = (saved.heard, saved.refused.clone());
        }
        process.must = process.must.or(heard);
        process.inherited_served = inherited.journal.served.filter(|_| inherited.journal.resolved.is_none());
        if self.has(Fault::OrdersAreForgotten) {
            heard = None;
        }
        process.orders.inherit(heard);
        match settings {
            Some(settings) => {
                let control = process.orders.in_force();
                process.known = Known::new(settings, inherited, control, self.now);
            }
            None => process.known.inherit(inherited),
        }
        process.known.inherit_refused(refused);
    }

    fn ended(&self, saved: &Saved) -> Ended {
        if saved.is_ended && !self.has(Fault::OrderlyEndIsADeath) {
            return Ended::Orderly;
        }
        let is_here = saved.boot == self.boot && saved.store == self.store;
        if is_here || self.has(Fault::CopyBlames) { Ended::Died } else { Ended::Unknown }
    }

    fn siblings(&self, name: usize) -> Vec<Inherited> {
        let others = self.saved.iter().filter(|(other, _)| **other != name);
        others
            .map(|(other, saved)| {
                let is_alive = self.processes.contains_key(other);
                let ended = if is_alive { Ended::Unknown } else { self.ended(saved) };
                Inherited { journal: saved.journal.clone(), ended }
            })
            .collect()
    }

    fn save(&mut self, name: usize, process: &mut Process, is_ended: bool) {
        if !self.is_mounted || !process.has_state {
            process.is_saved = false;
            return;
        }
        let (boot, store) = (self.boot, self.store);
        let heard = process.orders.last_heard();
        if self.is_hanging {
            process.is_saved = false;
            return;
        }
        process.is_saved = true;
        let saved = Saved {
            journal: process.known.journal(),
            heard,
            refused: process.known.lasting_refusals(),
            boot,
            store,
            is_ended,
        };
        self.saved.insert(name, saved);
    }

    fn end(&mut self, name: usize) {
        if let Some(mut process) = self.processes.remove(&name) {
            self.save(name, &mut process, true);
            self.note_stale(name, &process);
        }
    }

    /// Deaths that no process has read about are not known any more.
    fn lose_evidence(&mut self) {
        for (name, saved) in &self.saved {
            if let Some(digest) = saved.journal.attempt.and_then(|attempt| attempt.what.digest)
                && let Some(count) = self.killed.get_mut(&(*name, digest))
            {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// What could not be saved leaves evidence that is out of date.
    fn note_stale(&mut self, name: usize, process: &Process) {
        let stale = self.saved.get(&name).and_then(|saved| saved.journal.attempt?.what.digest);
        if let Some(stale) = stale.filter(|_| !process.is_saved) {
            *self.ever_killed.entry(stale).or_insert(0) += 1;
        }
    }

    /// The process dies; by chance, or because of what it loads or serves.
    fn kill(&mut self, name: usize) {
        if let Some(process) = self.processes.remove(&name) {
            let attempt = process.known.journal().attempt;
            self.note_death(name, &process, attempt.and_then(|attempt| attempt.what.digest));
        }
    }

    fn note_death(&mut self, name: usize, process: &Process, digest: Option<Digest>) {
        self.note_stale(name, process);
        let Some(digest) = digest else { return };
        *self.ever_killed.entry(digest).or_insert(0) += 1;
        if process.is_saved && process.has_state && self.is_mounted {
            *self.killed.entry((name, digest)).or_insert(0) += 1;
        }
    }

    fn wait(&mut self, ms: Millis) -> Result<(), String> {
        let mut left = ms;
        while left > 0 {
            let tick = left.min(500);
            left -= tick;
            self.now += tick;
            for name in 0..NAMES.len() {
                let Some(process) = self.processes.get_mut(&name) else { continue };
                if process.is_stopped {
                    continue;
                }
                let served = process.known.served();
                if !process.orders.in_force().is_off() {
                    process.ran_ms += tick;
                    process.calm_ms += tick;
                    if let Some(served) = served {
                        let ran = process.ran.entry(served.digest).or_insert((0, 0));
                        *ran = (ran.0 + tick, ran.1 + u64::from(self.has_traffic));
                        if self.has_traffic {
                            match self.kinds[&served.digest] {
                                Kind::Panics => (process.panics, process.calm_ms) = (process.panics + 1, 0),
                                Kind::KillsOnTrial => {
                                    self.kill(name);
                                    continue;
                                }
                                _ => process.scored += 1,
                            }
                        }
                    }
                }
                self.pass(name)?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, name: usize) -> Result<(), String> {
        let Some(mut process) = self.processes.remove(&name) else { return Ok(()) };
        if self.is_mounted && !process.has_state {
            self.open_state(name, &mut process, None);
        }
        let control = if self.is_mounted { self.control.clone() } else { ControlSeen::Absent(reason(Code::File)) };
        let before = process.orders.in_force();
        self.hear(&mut process, &control);
        let target = process.orders.in_force().target;
        if target != before.target
            && let Target::Pin(Named { digest: Some(pinned), .. }) = target
        {
            // A pin that a process hears forgives the deaths until then.
            self.killed.remove(&(name, pinned));
            let elsewhere = self.total_deaths(pinned);
            self.forgiven.insert((name, pinned), elsewhere);
        }
        self.save(name, &mut process, false);
        if process.known.journal().served.is_some() || !self.files.is_empty() {
            process.known.hear_siblings(&self.siblings(name));
        }
        let seen = Seen {
            control: process.orders.in_force(),
            current: if self.is_mounted { Ok(self.current) } else { Err(reason(Code::File)) },
            files: if self.is_mounted { self.files.keys().copied().collect() } else { Vec::new() },
            pardons: Vec::new(),
            ran_ms: process.ran_ms,
            scored: process.scored,
            panics: process.panics,
            unix_seconds: 0,
        };
        let served_before = process.known.served();
        process.known.look(seen, self.now);
        for _ in 0..200 {
            match process.known.next(self.now) {
                Action::Rest => break,
                Action::Restore(_) => process.known.restored(true),
                Action::Load(what) => {
                    if !self.load(name, &mut process, what)? {
                        let digest = what.digest.or_else(|| self.files.get(&what.generation).copied());
                        self.note_death(name, &process, digest.filter(|digest| !self.proven_ever.contains(digest)));
                        return self.check_proven(name, &process);
                    }
                }
            }
        }
        self.save(name, &mut process, false);
        self.check(name, &process, before, served_before)?;
        process.proven.extend(process.known.journal().proven.iter().map(|proven| proven.digest));
        self.processes.insert(name, process);
        Ok(())
    }

    fn hear(&self, process: &mut Process, control: &ControlSeen) {
        match control {
            ControlSeen::Text(text) => {
                process.must = Some(text.over(process.must.unwrap_or_default()));
                let mut text = *text;
                if self.has(Fault::FreezeSwitchesOn) && matches!(text.target, Some(Target::Freeze(_))) {
                    text.scoring = Some(Scoring::On);
                }
                process.orders.hear(ControlSeen::Text(text));
            }
            ControlSeen::Absent(_) if self.has(Fault::AbsentMeansFollow) => {
                process.orders.hear(ControlSeen::Text(Control::default().into()));
            }
            other => process.orders.hear(other.clone()),
        }
    }

    /// Loads a file. Returns false if the process did not survive.
    fn load(&mut self, name: usize, process: &mut Process, what: Named) -> Result<bool, String> {
        let refused = |code, digest, kind| Loaded::Refused(Refusal { reason: reason(code), digest, kind });
        let Some(&digest) = self.files.get(&what.generation).filter(|_| self.is_mounted) else {
            process.known.loaded(what, None, refused(Code::File, None, RefusalKind::Passing));
            return Ok(true);
        };
        let stamp = self.stamps[&what.generation];
        // The digest of a file that no text names is found out first.
        let what = Named { digest: what.digest.or(Some(digest)), ..what };
        let content = Current { generation: what.generation, digest };
        if let Err(known) = process.known.check_content(content, self.now) {
            let refusal = Refusal { reason: known, digest: Some(digest), kind: RefusalKind::Passing };
            process.known.loaded(what, Some(stamp), Loaded::Refused(refusal));
            return Ok(true);
        }
        self.check_load(name, process, what)?;
        if let Err(known) = process.known.opened(what, &stamp) {
            let refusal = Refusal { reason: known, digest: None, kind: RefusalKind::Passing };
            process.known.loaded(what, Some(stamp), Loaded::Refused(refusal));
            return Ok(true);
        }
        let kind = self.kinds[&digest];
        if what.digest.is_some_and(|expected| expected != digest) {
            process.known.loaded(what, Some(stamp), refused(Code::DigestMismatch, Some(digest), RefusalKind::Name));
            return Ok(true);
        }
        self.save(name, process, false);
        let outcome = match kind {
            Kind::KillsWhileLoading => return Ok(false),
            Kind::Damaged => refused(Code::Damaged, Some(digest), RefusalKind::Content { is_lasting: true }),
            Kind::DoesNotBind => refused(Code::FieldMissing, Some(digest), RefusalKind::Content { is_lasting: false }),
            Kind::Good | Kind::KillsOnTrial | Kind::Panics => Loaded::Served(content),
        };
        process.known.loaded(what, Some(stamp), outcome);
        Ok(true)
    }

    fn is_servable(&self, digest: Digest) -> bool {
        matches!(self.kinds[&digest], Kind::Good | Kind::KillsOnTrial | Kind::Panics | Kind::KillsWhileLoading)
    }

    fn own_deaths(&self, name: usize, digest: Digest) -> u32 {
        self.killed.get(&(name, digest)).copied().unwrap_or(0)
    }

    fn total_deaths(&self, digest: Digest) -> u32 {
        (0..NAMES.len()).map(|name| self.own_deaths(name, digest)).sum()
    }

    /// Files that would do: verified, they bind, and no order forbids them.
    fn within_reach(&self, control: Control) -> Vec<Digest> {
        let named = control.target.named().filter(|named| named.digest.is_some());
        let is_forbidden = |generation: u64, digest: Digest| {
            named.is_some_and(|named| named.generation == generation && named.digest != Some(digest))
        };
        let files = self.files.iter().filter(|_| self.is_mounted);
        let fits =
            files.filter(|(generation, digest)| self.is_servable(**digest) && !is_forbidden(**generation, **digest));
        fits.map(|(_, digest)| *digest).collect()
    }

    /// A content with which processes of this name died is not loaded while another one would do.
    fn check_load(&self, name: usize, process: &Process, what: Named) -> Result<(), String> {
        let Some(&digest) = self.files.get(&what.generation).filter(|_| self.is_mounted) else { return Ok(()) };
        if what.digest.is_some_and(|expected| expected != digest) || !self.is_servable(digest) {
            return Ok(());
        }
        let control = process.orders.in_force();
        let is_ordered = match control.target {
            Target::Pin(named) | Target::Freeze(Some(named)) => named.generation == what.generation,
            // What is frozen by hand, only the process knows.
            Target::Freeze(None) => true,
            Target::Follow => false,
        };
        if is_ordered || process.known.served().is_some_and(|served| served.digest == digest) {
            return Ok(());
        }
        let own = self.own_deaths(name, digest);
        let has_other = process.known.served().is_some()
            || self.within_reach(control).iter().any(|other| {
                *other != digest
                    && !self.ever_killed.contains_key(other)
                    && matches!(self.kinds[other], Kind::Good)
                    && process.known.is_free(*other)
            });
        let is_proven = self.proven_ever.contains(&digest);
        let is_early = self.now - process.started < RETRY_MS;
        if own > 0 && is_early && has_other && !is_proven && process.has_state {
            return Err(format!(
                "{} loads {what}, with which {own} processes died, though another would do",
                NAMES[name]
            ));
        }
        let forgiven = self.forgiven.get(&(name, digest)).copied().unwrap_or(0);
        let total = self.total_deaths(digest).saturating_sub(forgiven);
        let is_sole_killer = self.ever_killed.len() == 1;
        // While the disk hangs, a process that starts cannot write down the death of the one before it.
        let is_written = process.has_state && !self.is_hanging;
        if total > MAX_DEATHS + 1 && is_sole_killer && has_other && !is_proven && is_written {
            return Err(format!("{} loads {what}, with which {total} processes of all names died", NAMES[name]));
        }
        let is_only = self.within_reach(control).iter().all(|other| *other == digest);
        if own > MAX_DEATHS && is_sole_killer && is_only && is_early && !is_proven && process.has_state {
            return Err(format!("{} loads {what} at once, the only one, after {own} deaths", NAMES[name]));
        }
        Ok(())
    }

    /// 7. Proven means running time and scored requests.
    fn check_proven(&mut self, name: usize, process: &Process) -> Result<(), String> {
        for proven in &process.known.journal().proven {
            if self.proven_ever.contains(&proven.digest) {
                continue;
            }
            let (ran, scored) = process.ran.get(&proven.digest).copied().unwrap_or((0, 0));
            if scored == 0 || ran.max(process.calm_ms) < TRIAL_MS {
                let server = NAMES[name];
                return Err(format!("{server} calls {proven:?} proven after {ran} ms and {scored} requests"));
            }
            self.proven_ever.insert(proven.digest);
        }
        Ok(())
    }

    fn check(
        &mut self,
        name: usize,
        process: &Process,
        before: Control,
        served_before: Option<Current>,
    ) -> Result<(), String> {
        let (known, control) = (&process.known, process.orders.in_force());
        let server = NAMES[name];
        let journal = known.journal();
        // 2. An order, once heard, holds until another one is heard.
        if let Some(must) = process.must {
            if (must.scoring, must.target) != (control.scoring, control.target) {
                return Err(format!("{server} obeys `{control}`, and heard `{must}` last"));
            }
        } else if before.is_off() != control.is_off() {
            return Err(format!("{server} changes its scoring without an order"));
        }
        // 1. Never serve nothing when something would do.
        let reach = self.within_reach(control);
        let innocent: Vec<&Digest> = reach
            .iter()
            .filter(|digest| !self.ever_killed.contains_key(*digest) && self.kinds[*digest] == Kind::Good)
            .collect();
        if known.served().is_none() && !innocent.is_empty() {
            return Err(format!("{server} serves nothing, and {} files would do", innocent.len()));
        }
        // 4. Frozen and pinned name a content.
        if let (Some(Named { generation, digest: Some(digest) }), Some(served)) =
            (control.target.named(), known.served())
            && served.generation == generation
            && served.digest != digest
            && served_before != Some(served)
        {
            return Err(format!("{server} serves other content under the name {generation} that an order names"));
        }
        let is_there = |what: Current| self.is_mounted && self.files.get(&what.generation) == Some(&what.digest);
        let is_innocent =
            |what: Current| self.kinds[&what.digest] == Kind::Good && !self.ever_killed.contains_key(&what.digest);
        if let Some(Named { generation, digest: Some(digest) }) = control.target.named() {
            let wanted = Current { generation, digest };
            if is_there(wanted) && is_innocent(wanted) && known.is_free(digest) && known.served() != Some(wanted) {
                return Err(format!("{server} serves {:?}, and the order names {generation}", known.served()));
            }
        }
        // Freezing by hand keeps what is served.
        if control.target == Target::Freeze(None)
            && before.target == Target::Freeze(None)
            && let (Some(served), Some(now)) = (served_before, known.served())
            && served != now
            && is_there(served)
            && is_innocent(served)
            && journal.resolved != Some(now)
        {
            return Err(format!("{server} is frozen, and goes from {served:?} to {now:?}"));
        }
        if control.target == Target::Freeze(None)
            && served_before.is_none()
            && let (Some(saved), Some(now)) =
                (self.saved.get(&name).and_then(|saved| saved.journal.resolved), known.served())
            && saved != now
            && is_there(saved)
            && is_innocent(saved)
            && known.is_free(saved.digest)
        {
            return Err(format!("{server} was frozen at {saved:?}, and serves {now:?}"));
        }
        if control.target == Target::Freeze(None)
            && process.must.is_some()
            && served_before.is_none()
            && let (Some(inherited), Some(now)) = (process.inherited_served, known.served())
            && inherited != now
            && is_there(inherited)
            && is_innocent(inherited)
            && known.is_free(inherited.digest)
            && process.ran_ms == 0
        {
            return Err(format!("{server} is frozen, {inherited:?} was served before, and it serves {now:?}"));
        }
        // What is published is served, unless it is older than before.
        if let (Target::Follow, Some(current)) = (control.target, self.current.filter(|_| self.is_mounted)) {
            let is_behind = journal.followed.is_some_and(|followed| followed.generation > current.generation);
            let is_reused = journal
                .followed
                .is_some_and(|followed| followed.generation == current.generation && followed.digest != current.digest);
            if !is_behind
                && !is_reused
                && is_there(current)
                && is_innocent(current)
                && known.is_free(current.digest)
                && known.served() != Some(current)
            {
                return Err(format!("{server} serves {:?}, and {} is published", known.served(), current.generation));
            }
            // 9. A reason goes when its cause goes.
            if known.served() == Some(current)
                && is_innocent(current)
                && known.is_free(current.digest)
                && journal.followed == Some(current)
                && served_before == Some(current)
                && !known.reasons().is_empty()
            {
                return Err(format!("{server} serves what is published, and complains: {:?}", known.reasons()));
            }
        }
        // 6. A death counts only with evidence.
        for deaths in &journal.deaths {
            let Some(digest) = deaths.what.digest else { continue };
            let found = self.ever_killed.get(&digest).copied().unwrap_or(0);
            if deaths.count > found {
                return Err(format!(
                    "{server} counts {} deaths with {}, and there were {found}",
                    deaths.count, deaths.what
                ));
            }
        }
        self.check_proven(name, process)?;
        for proven in &process.proven {
            if process.proven.len() < super::MAX_PROVEN && !journal.proven.iter().any(|known| known.digest == *proven) {
                return Err(format!("{server} has forgotten that {proven} is proven"));
            }
        }
        if let Some(served) = known.served()
            && known.is_on_trial()
            && journal.proven.contains(&served)
        {
            return Err(format!("{server} tries {served:?} again, which is proven"));
        }
        Ok(())
    }
}

impl Known<u64> {
    /// Whether nothing is known against a content.
    fn is_free(&self, digest: Digest) -> bool {
        !self.refused.iter().any(|refused| refused.quarantined.digest == digest)
    }
}

fn history(seed: u64) -> Vec<Step> {
    let mut random = Random(seed);
    let len = 10 + random.below(50);
    (0..len).map(|_| random.step()).collect()
}

/// Returns the step at which a rule is broken, and which.
fn broken(steps: &[Step], fault: Option<Fault>) -> Option<(usize, String)> {
    let mut world = World::new(fault);
    steps.iter().enumerate().find_map(|(index, step)| world.step(*step).err().map(|rule| (index, rule)))
}

/// Removes every step that is not needed.
fn shrunk(steps: &[Step], fault: Option<Fault>) -> Vec<Step> {
    let mut steps = steps.to_vec();
    if let Some((index, _)) = broken(&steps, fault) {
        steps.truncate(index + 1);
    }
    let mut index = 0;
    while index < steps.len() {
        let mut shorter = steps.clone();
        shorter.remove(index);
        if broken(&shorter, fault).is_some() {
            steps = shorter;
        } else {
            index += 1;
        }
    }
    steps
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn in_random_histories_servers_do_what_people_order() {
    /// Number of failures that are shown.
    const SHOWN: usize = 3;
    let (count, first) = (setting("OMOMI_HISTORIES", 100_000), setting("OMOMI_SEED", 1));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let seeds = |thread: usize| (first..first + count).skip(thread).step_by(threads);
    let failing = |thread| seeds(thread).filter(|seed| broken(&history(*seed), None).is_some()).take(SHOWN);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || failing(thread).collect::<Vec<u64>>())).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    for seed in &failed {
        let steps = shrunk(&history(*seed), None);
        let (_, rule) = broken(&steps, None).unwrap();
        println!("seed {seed}: {rule}\n  {steps:?}");
    }
    assert!(failed.is_empty(), "{} of {count} histories break a rule", failed.len());
}

#[test]
fn each_fault_of_earlier_releases_is_noticed_when_it_is_put_back() {
    let mut missed = Vec::new();
    for fault in FAULTS {
        let found = (1..20_000).find(|seed| broken(&history(*seed), Some(fault)).is_some());
        match found {
            Some(seed) => {
                let steps = shrunk(&history(seed), Some(fault));
                let (_, rule) = broken(&steps, Some(fault)).unwrap();
                println!("{fault:?}: {seed} histories, {} steps: {rule}", steps.len());
            }
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
