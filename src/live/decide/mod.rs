//! The decisions of a serving process, without files, clocks and threads: what it knows, what it observes and the time
//! decide what it does, what it remembers and what it says.
//!
//! The caller observes ([`Known::look`]), asks what to do ([`Known::next`]), does it and says how it went
//! ([`Known::loaded`], [`Known::restored`]), until there is nothing to do. It then saves [`Known::journal`] and reports
//! [`Known::reasons`]. `LIVE.md` has the rules on one page. `simulation_tests.rs` tries random histories.

mod candidates;
mod deaths;
mod fault;
mod journal;
mod orders;
mod seen;
#[cfg(test)]
mod simulation_tests;
mod trial;

use std::collections::VecDeque;

use super::quarantined::Quarantined;
use super::reason::Reason;
use crate::error::{Code, Error};
use crate::store::{Control, Current, Digest, Named, Target};

pub(super) use deaths::Deaths;
use fault::Fault;
pub(super) use journal::{Attempt, Ended, Inherited, Journal, MAX_PROVEN, Pardon, Phase};
pub(super) use orders::{ControlSeen, Orders};
pub(super) use seen::{Loaded, Refusal, RefusalKind, Seen};

/// Milliseconds by a clock that never goes back.
pub(super) type Millis = u64;

/// Maximum number of refusals that are kept. The oldest is dropped first.
const MAX_QUARANTINED: usize = 64;
/// Maximum number of refusals of a name that are kept.
const MAX_LOOKED: usize = 64;

/// The options that matter for decisions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// How long a generation must run before it is proven.
    pub(super) trial_ms: Millis,
    /// Maximum number of deaths that are treated as chance.
    pub(super) max_deaths: u32,
    /// How long a process waits before it tries a generation with which processes died.
    pub(super) retry_after_death_ms: Millis,
    /// Minimum generation that is served.
    pub(super) min_generation: u64,
    /// Rules that are switched off, so that the simulation can show that it notices.
    #[cfg(test)]
    pub(super) fault: Option<Fault>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Bring the generation that is still in memory back into service.
    Restore(Current),
    /// Load this generation, and serve it if it is good.
    Load(Named),
    /// Nothing more before the next look.
    Rest,
}

/// The generation that answers.
#[derive(Debug, Clone, Copy)]
struct Serving {
    what: Current,
    is_on_trial: bool,
    /// Whether it is served because what should be served cannot be.
    is_stand_in: bool,
    /// How long it ran, with scoring switched on.
    ran_ms: Millis,
    scored: u64,
    panics_before: u64,
}

/// Why a name was not served. Valid as long as the file does not change.
#[derive(Debug, Clone)]
struct Looked<S> {
    what: Named,
    stamp: S,
    reason: Reason,
}

/// A refused content.
#[derive(Debug, Clone)]
struct Refused {
    quarantined: Quarantined,
    /// Whether this process found it out. Otherwise another release may have, or another setting.
    is_own_finding: bool,
}

/// All that a process knows. `S` tells whether a file has changed.
#[derive(Debug)]
pub(super) struct Known<S> {
    settings: Settings,
    started: Millis,
    /// How often the process has tried a generation that has killed several processes.
    retried_at: Option<Millis>,
    seen: Seen,
    journal: Journal,
    /// Deaths in the journals of other processes of the store.
    siblings: Vec<Deaths>,
    serving: Option<Serving>,
    /// A proven generation that is still in memory.
    fallback: Option<Current>,
    loading: Option<Named>,
    refused: Vec<Refused>,
    looked: Vec<Looked<S>>,
    /// How long the process has run without an incident.
    calm_ms: Millis,
    /// What is left to try in this pass.
    plan: VecDeque<Named>,
    /// What should be served, according to the last look.
    target: Option<Named>,
    /// Whether the served generation panicked on trial, and should be replaced.
    is_leaving: bool,
    /// Whether this pass is at the candidates that are better than nothing.
    is_last_resort: bool,
    /// Whether this pass has had its last resort, or was interrupted.
    is_resorted: bool,
    reasons: Vec<Reason>,
}

impl<S: PartialEq> Known<S> {
    pub(super) fn new(settings: Settings, inherited: Inherited, control: Control, now: Millis) -> Self {
        let seen = Seen {
            control,
            current: Ok(None),
            files: Vec::new(),
            pardons: Vec::new(),
            ran_ms: 0,
            scored: 0,
            panics: 0,
            unix_seconds: 0,
        };
        let mut known = Self {
            settings,
            started: now,
            retried_at: None,
            seen,
            journal: Journal::default(),
            siblings: Vec::new(),
            serving: None,
            fallback: None,
            loading: None,
            refused: Vec::new(),
            looked: Vec::new(),
            calm_ms: 0,
            plan: VecDeque::new(),
            target: None,
            is_leaving: false,
            is_last_resort: false,
            is_resorted: true,
            reasons: Vec::new(),
        };
        known.inherit(inherited);
        known
    }

    /// Takes over what the process before this one remembered. This happens at the start, when a store appears later,
    /// and when another process of the same name ends.
    pub(super) fn inherit(&mut self, inherited: Inherited) {
        let Inherited { mut journal, ended } = inherited;
        let died = match self.is_faulty(Fault::DeathsWithoutEvidence) {
            true => journal.attempt.is_some(),
            false => ended == Ended::Died,
        };
        if died {
            let blamed = journal.attempt.map(|attempt| attempt.what);
            if blamed.is_some() || journal.served.is_some() {
                deaths::count(&mut journal.deaths, blamed);
            }
        }
        journal.attempt = None;
        // What this process found out itself comes first.
        let own = std::mem::replace(&mut self.journal, journal);
        for proven in own.proven.into_iter().rev() {
            self.remember_proven(proven);
        }
        for deaths in own.deaths {
            if !self.journal.deaths.iter().any(|known| deaths::is_same(known.what, deaths.what)) {
                self.journal.deaths.push(deaths);
            }
        }
        self.journal.served = own.served.or(self.journal.served);
        self.journal.followed = own.followed.or(self.journal.followed);
        self.journal.resolved = own.resolved.or(self.journal.resolved);
        if self.is_faulty(Fault::OneProven) {
            self.journal.proven.truncate(1);
        }
    }

    /// Takes note of the journals of the other processes of the store.
    pub(super) fn hear_siblings(&mut self, siblings: &[Inherited]) {
        self.siblings.clear();
        if self.is_faulty(Fault::SiblingsAreIgnored) {
            return;
        }
        for Inherited { journal, ended } in siblings {
            let mut all = journal.deaths.clone();
            if *ended == Ended::Died {
                deaths::count(&mut all, journal.attempt.map(|attempt| attempt.what));
            }
            self.siblings.extend(all);
        }
        // Deaths that their own process has forgiven, too, must not cover later ones.
        if !siblings.is_empty() {
            for forgiven in &mut self.journal.forgiven {
                let left = deaths::sum(&self.siblings, forgiven.what);
                (forgiven.count, forgiven.others) = (forgiven.count.min(left.count), forgiven.others.min(left.others));
            }
        }
    }

    /// Takes over the refusals of earlier processes.
    pub(super) fn inherit_refused(&mut self, quarantined: Vec<Quarantined>) {
        for quarantined in quarantined {
            if !self.refused.iter().any(|known| known.quarantined.digest == quarantined.digest) {
                self.refused.push(Refused { quarantined, is_own_finding: false });
            }
        }
    }

    /// Takes note of what was observed, and plans what to do.
    pub(super) fn look(&mut self, seen: Seen, now: Millis) {
        self.reasons.clear();
        self.obey_pardons(&seen.pardons);
        let before = std::mem::replace(&mut self.seen, seen);
        if self.serving.is_none() && self.is_faulty(Fault::ServedIsForgotten) {
            self.journal.served = None;
        }
        if self.seen.control.target != before.control.target {
            self.change_target();
        }
        if self.seen.control.target == Target::Follow {
            // Also what a process without orders had to find out for itself.
            self.journal.resolved = None;
        }
        self.judge_trial(&before);
        self.plan(now);
    }

    /// A new order about what to serve.
    fn change_target(&mut self) {
        self.journal.resolved = match self.seen.control.target {
            Target::Freeze(None) => self.serving.map(|serving| serving.what).or(self.journal.served),
            _ => None,
        };
        // What was published before the order is no longer a reason against anything older.
        self.journal.followed = None;
        if let (Target::Pin(named), Some(pinned)) = (self.seen.control.target, self.pinned()) {
            self.forgive(pinned);
            self.looked.retain(|looked| looked.what.generation != named.generation);
        }
    }

    /// Forgets the deaths for which a content is blamed.
    fn forgive(&mut self, what: Named) {
        self.journal.deaths.retain(|deaths| !deaths::is_same(deaths.what, what));
        self.journal.forgiven.retain(|deaths| !deaths::is_same(deaths.what, what));
        let elsewhere = deaths::sum(&self.siblings, what);
        if elsewhere.count > 0 {
            self.journal.forgiven.push(elsewhere);
        }
    }

    fn obey_pardons(&mut self, pardons: &[Pardon]) {
        for pardon in pardons {
            if self.journal.pardons.contains(pardon) {
                continue;
            }
            self.journal.pardons.retain(|known| known.digest != pardon.digest);
            self.journal.pardons.push(*pardon);
            self.refused.retain(|refused| refused.quarantined.digest != pardon.digest);
            let generation = u64::MAX;
            self.forgive(Named { generation, digest: Some(pardon.digest) });
        }
        // The store keeps a limited number of them, too.
        let excess = self.journal.pardons.len().saturating_sub(MAX_QUARANTINED);
        self.journal.pardons.drain(..excess);
    }

    /// Returns what to do next in this pass.
    pub(super) fn next(&mut self, now: Millis) -> Action {
        if self.fallback.is_some_and(|fallback| self.is_forbidden(fallback.into())) {
            self.fallback = None;
        }
        if (self.is_leaving || self.serving.is_none())
            && let Some(fallback) = self.fallback
        {
            return Action::Restore(fallback);
        }
        if let Some(what) = self.plan.front().copied() {
            if let Some(fallback) = self.fallback.filter(|fallback| what.digest == Some(fallback.digest)) {
                return Action::Restore(fallback);
            }
            self.plan.pop_front();
            return Action::Load(what);
        }
        if self.serving.is_none() && !self.is_resorted {
            self.is_resorted = true;
            self.is_last_resort = true;
            self.plan_last_resorts(now);
            return self.next(now);
        }
        self.is_last_resort = false;
        // Nothing better is in reach, so the generation that panicked stays.
        self.is_leaving = false;
        Action::Rest
    }

    /// The file of a candidate is open. Returns the reason if it was refused before and has not changed since.
    pub(super) fn opened(&mut self, what: Named, stamp: &S) -> Result<(), Reason> {
        let looked = self.looked.iter().find(|looked| looked.what == what && looked.stamp == *stamp);
        if let Some(looked) = looked {
            return Err(looked.reason.clone());
        }
        if !self.is_proven(what) {
            self.loading = Some(what);
        }
        Ok(())
    }

    /// Whether the bytes of a candidate, whose digest is now known, may be served.
    pub(super) fn check_content(&self, content: Current, now: Millis) -> Result<(), Reason> {
        if self.is_last_resort {
            return Ok(());
        }
        self.obstacle(content.into(), now).map_or(Ok(()), Err)
    }

    /// A load has ended. `stamp` is that of its file, if it was opened.
    pub(super) fn loaded(&mut self, what: Named, stamp: Option<S>, loaded: Loaded) {
        let is_target = self.is_target(what);
        self.loading = None;
        match loaded {
            Loaded::Served(current) => {
                self.plan.clear();
                self.serve(current);
            }
            Loaded::Interrupted => {
                self.plan.clear();
                self.is_resorted = true;
                self.is_leaving = false;
            }
            Loaded::Refused(refusal) => {
                self.note_refusal(what, stamp, &refusal);
                // One reason for the target is enough: a file of its name may also be tried as a last resort.
                let is_said = self.reasons.iter().any(|reason| reason.code == refusal.reason.code);
                if is_target && !is_said {
                    self.say(refusal.reason);
                }
            }
        }
    }

    fn note_refusal(&mut self, what: Named, stamp: Option<S>, refusal: &Refusal) {
        match (refusal.kind, refusal.digest) {
            (RefusalKind::Content { is_lasting }, Some(digest)) => {
                self.refuse(Current { generation: what.generation, digest }, &refusal.reason, is_lasting);
            }
            (RefusalKind::Passing, _) => return,
            _ => {}
        }
        if let Some(stamp) = stamp {
            self.looked.retain(|looked| looked.what != what);
            if self.looked.len() == MAX_LOOKED {
                self.looked.remove(0);
            }
            self.looked.push(Looked { what, stamp, reason: refusal.reason.clone() });
        }
    }

    fn refuse(&mut self, content: Current, reason: &Reason, is_lasting: bool) {
        self.refused.retain(|refused| refused.quarantined.digest != content.digest);
        if self.refused.len() == MAX_QUARANTINED {
            self.refused.remove(0);
        }
        let quarantined = Quarantined {
            digest: content.digest,
            generation: content.generation,
            code: reason.code,
            reason: reason.text.clone(),
            unix_seconds: self.seen.unix_seconds,
            is_lasting,
            library: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.refused.push(Refused { quarantined, is_own_finding: true });
    }

    /// The generation that was in memory answers again, or its file has changed meanwhile.
    pub(super) fn restored(&mut self, is_served: bool) {
        let Some(fallback) = self.fallback.take() else { return };
        if !is_served {
            return;
        }
        if self.plan.front().is_some_and(|what| what.digest == Some(fallback.digest)) {
            self.plan.clear();
        }
        self.serve(fallback);
        // It does not need the one that it replaced.
        self.fallback = None;
    }

    /// The served file was changed in place, and no copy of its bytes could be made. Before a look.
    pub(super) fn lost(&mut self) {
        self.serving = None;
        self.calm_ms = 0;
    }

    /// Why the served generation was lost. After the look.
    pub(super) fn lost_reason(&mut self, reason: Reason) {
        self.say(reason);
    }

    fn serve(&mut self, current: Current) {
        let before = self.serving.take();
        if let Some(before) = before {
            self.prove_if_calm(&before);
        }
        let is_on_trial = !self.is_proven(current.into()) || self.is_faulty(Fault::TrialOfProven);
        if is_on_trial {
            if let Some(before) = before.filter(|before| self.is_proven(before.what.into())) {
                self.fallback = Some(before.what);
            }
        } else {
            self.fallback = None;
        }
        let is_stand_in = !self.is_target(current.into());
        self.serving = Some(Serving {
            what: current,
            is_on_trial,
            is_stand_in,
            ran_ms: 0,
            scored: 0,
            panics_before: self.seen.panics,
        });
        self.is_leaving = false;
        self.journal.served = Some(current);
        if is_stand_in {
            return;
        }
        match self.seen.control.target {
            Target::Follow => {
                let newest = self.journal.followed.filter(|followed| followed.generation >= current.generation);
                self.journal.followed = newest.or(Some(current));
            }
            target if target.named().is_none_or(|named| named.digest.is_none()) => {
                self.journal.resolved = Some(current)
            }
            _ => {}
        }
    }

    fn remember_proven(&mut self, current: Current) {
        self.journal.proven.retain(|proven| proven.digest != current.digest);
        self.journal.proven.insert(0, current);
        self.journal.proven.truncate(if self.is_faulty(Fault::OneProven) { 1 } else { MAX_PROVEN });
    }

    fn say(&mut self, reason: Reason) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn is_target(&self, what: Named) -> bool {
        self.target.is_some_and(|target| target.generation == what.generation && deaths::is_one(target, what))
    }

    fn is_proven(&self, what: Named) -> bool {
        self.journal.proven.iter().any(|proven| Some(proven.digest) == what.digest)
    }

    /// Returns what must be remembered now.
    pub(super) fn journal(&self) -> Journal {
        let on_trial = self.serving.filter(|serving| serving.is_on_trial);
        let loading = self.loading.map(|what| Attempt { what, phase: Phase::Loading });
        let on_trial = on_trial.map(|serving| Attempt { what: serving.what.into(), phase: Phase::Trial });
        let attempt = if self.is_faulty(Fault::LoadingIsNoAttempt) { on_trial } else { loading.or(on_trial) };
        Journal { attempt, ..self.journal.clone() }
    }

    /// Returns the contents that are passed over: refused ones, and those that killed several processes.
    pub(super) fn quarantined(&self) -> Vec<Quarantined> {
        let refused = self.refused.iter().map(|refused| refused.quarantined.clone());
        let mut all: Vec<Quarantined> = refused.collect();
        for deaths in self.journal.deaths.iter().chain(&self.siblings) {
            let (what, Some(digest)) = (deaths.what, deaths.what.digest) else { continue };
            let blame = self.blame(what);
            if blame <= self.settings.max_deaths || all.iter().any(|known| known.digest == digest) {
                continue;
            }
            let reason = self.deadly(what, blame);
            all.push(Quarantined {
                digest,
                generation: what.generation,
                code: reason.code,
                reason: reason.text,
                unix_seconds: self.seen.unix_seconds,
                is_lasting: true,
                library: env!("CARGO_PKG_VERSION").to_owned(),
            });
        }
        all
    }

    /// Returns the refusals that the next process of this name must know.
    pub(super) fn lasting_refusals(&self) -> Vec<Quarantined> {
        let lasting = self.refused.iter().map(|refused| &refused.quarantined).filter(|entry| entry.is_lasting);
        lasting.cloned().collect()
    }

    /// Returns the problems that the last look found.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        let mut reasons = self.reasons.clone();
        if self.serving.is_none() && reasons.is_empty() {
            reasons.push(Reason::of(&Error::NoModel));
        }
        reasons
    }

    #[cfg(test)]
    pub(super) fn served(&self) -> Option<Current> {
        self.serving.map(|serving| serving.what)
    }

    /// Whether a generation was ever served, by this process or the one before it.
    pub(super) fn has_served(&self) -> bool {
        self.journal.served.is_some()
    }

    pub(super) const fn fallback(&self) -> Option<Current> {
        self.fallback
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.serving.is_some_and(|serving| serving.is_on_trial)
    }

    /// Whether the served generation panicked on trial, and should be replaced.
    pub(super) const fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Whether a generation that is not proven is being loaded, which must be on the disk before it can do harm.
    pub(super) const fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// Returns the orders of the last look.
    pub(super) const fn control(&self) -> Control {
        self.seen.control
    }

    /// Sets the orders that were in force before the first look.
    pub(super) const fn begin_under(&mut self, control: Control) {
        self.seen.control = control;
    }

    /// Whether `current` names a generation, or cannot be read.
    pub(super) const fn has_current(&self) -> bool {
        !matches!(self.seen.current, Ok(None))
    }

    fn deadly(&self, what: Named, deaths: u32) -> Reason {
        let expected = self.settings.max_deaths;
        Reason::of(&Error::KilledProcess { generation: what.generation, expected, deaths })
    }

    fn is_panicked(&self, digest: Digest) -> bool {
        let refused = self.refused.iter().find(|refused| refused.quarantined.digest == digest);
        refused.is_some_and(|refused| refused.quarantined.code == Code::Panic)
    }
}
