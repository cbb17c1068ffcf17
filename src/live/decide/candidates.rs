//! Which generation should be served, and which others would do.

use super::{Fault, Known, Millis, deaths};
use crate::error::Error;
use crate::live::reason::Reason;
use crate::store::{Current, Named, Target};

/// Longest pause before a generation that has killed several processes is tried again.
const MAX_RETRY_PAUSE_MS: Millis = 24 * 3_600 * 1_000;

impl<S: PartialEq> Known<S> {
    /// Plans the pass: the target; and if nothing is served or the served generation must go, all others.
    pub(super) fn plan(&mut self, now: Millis) {
        self.plan.clear();
        (self.is_last_resort, self.is_resorted) = (false, false);
        self.target = self.find_target();
        let is_served = self.serving.is_some_and(|serving| self.is_target(serving.what.into()));
        if is_served && let Some(serving) = &mut self.serving {
            serving.is_stand_in = false;
        }
        if let Some(serving) = &self.serving
            && !self.is_leaving
            && let Some(refused) = self.refused.iter().find(|it| it.quarantined.digest == serving.what.digest)
        {
            let reason = refused.quarantined.reason();
            self.say(reason);
        }
        let target = self.target.filter(|_| !is_served || self.is_leaving);
        if let Some(target) = target {
            match self.obstacle(target, now) {
                None => self.plan.push_back(target),
                Some(reason) => self.say(reason),
            }
        }
        if self.serving.is_none() || self.is_leaving {
            for other in self.others() {
                let is_leaving = self.serving.is_some_and(|serving| Some(serving.what.digest) == other.digest);
                if !is_leaving && self.obstacle(other, now).is_none() {
                    self.plan.push_back(other);
                }
            }
        }
    }

    /// Returns what the orders ask for.
    fn find_target(&mut self) -> Option<Named> {
        match self.seen.control.target {
            Target::Pin(named) | Target::Freeze(Some(named)) => Some(self.resolve(named)),
            Target::Freeze(None) => {
                let served = self.serving.map(|serving| serving.what);
                let stays = self.journal.resolved.or(served).or(self.journal.served);
                let stays = stays.or(self.journal.proven.first().copied());
                stays.or(self.published()).map(Named::from)
            }
            Target::Follow => self.find_published().map(Named::from),
        }
    }

    /// Adds the digest that an order without one turned out to mean.
    fn resolve(&self, named: Named) -> Named {
        if self.is_faulty(Fault::OtherContentIsServed) {
            return Named { digest: None, ..named };
        }
        let resolved = self.journal.resolved.filter(|resolved| resolved.generation == named.generation);
        Named { digest: named.digest.or(resolved.map(|resolved| resolved.digest)), ..named }
    }

    /// Returns the content of `current`; without it, a reason was said.
    fn published(&mut self) -> Option<Current> {
        match self.seen.current.clone() {
            Ok(current) => current,
            Err(reason) => {
                self.say(reason);
                None
            }
        }
    }

    /// Returns what is published, unless that is older than what was published before and is still there.
    fn find_published(&mut self) -> Option<Current> {
        let published = self.published()?;
        let Some(followed) = self.journal.followed else { return Some(published) };
        let reason = if published.generation < followed.generation {
            Error::GenerationBehind { expected: followed.generation, found: published.generation }
        } else if published.generation == followed.generation && published.digest != followed.digest {
            Error::NameReused { generation: published.generation }
        } else {
            return Some(published);
        };
        self.say(Reason::of(&reason));
        if self.is_faulty(Fault::OldIsRefused) {
            return Some(followed);
        }
        let is_served = self.serving.is_some_and(|serving| serving.what == followed);
        let is_there = self.seen.files.contains(&followed.generation) && published.generation != followed.generation;
        Some(if is_served || is_there { followed } else { published })
    }

    /// Returns everything that would do instead of the target, the best first.
    fn others(&self) -> Vec<Named> {
        let mut others: Vec<Named> = Vec::new();
        let published = self.seen.current.as_ref().ok().copied().flatten();
        if self.seen.control.target == Target::Follow {
            others.extend(published.map(Named::from));
        }
        others.extend(self.journal.proven.iter().copied().map(Named::from));
        others.extend(published.map(Named::from));
        // Files that no text names. What is newer than the target may never have been published.
        let limit = self.target.map_or(u64::MAX, |target| target.generation);
        let (older, newer): (Vec<u64>, Vec<u64>) = self.seen.files.iter().rev().partition(|file| **file <= limit);
        let mut files: Vec<u64> = older.into_iter().chain(newer).collect();
        // A file under the name of the published generation may have other bytes.
        let published = published.map(|published| published.generation);
        files.sort_by_key(|file| Some(*file) == published);
        if self.is_faulty(Fault::FewOlderTried) {
            files.truncate(3);
        }
        others.extend(files.into_iter().map(|generation| Named { generation, digest: None }));
        let mut seen = Vec::new();
        others.retain(|other| {
            let is_new = !seen.contains(other);
            seen.push(*other);
            is_new && !self.is_forbidden(*other) && self.target != Some(*other)
        });
        others
    }

    /// An order that names a content forbids any other content under that name.
    pub(super) fn is_forbidden(&self, what: Named) -> bool {
        let ordered = self.seen.control.target.named().filter(|_| !self.is_faulty(Fault::OtherContentIsServed));
        ordered.is_some_and(|named| {
            named.digest.is_some() && named.generation == what.generation && named.digest != what.digest
        })
    }

    /// Returns why a candidate is passed over for others, if it is.
    pub(super) fn obstacle(&self, what: Named, now: Millis) -> Option<Reason> {
        let expected = self.settings.min_generation;
        if what.generation < expected {
            return Some(Reason::of(&Error::GenerationBehind { expected, found: what.generation }));
        }
        if let Some(followed) = self.journal.followed.filter(|_| self.is_faulty(Fault::OldIsRefused))
            && what.generation < followed.generation
        {
            return Some(Reason::of(&Error::GenerationBehind {
                expected: followed.generation,
                found: what.generation,
            }));
        }
        let refused = self.refused.iter().find(|refused| Some(refused.quarantined.digest) == what.digest);
        if let Some(refused) = refused {
            return Some(refused.quarantined.reason());
        }
        let blame = self.blame(what);
        if blame == 0 || self.is_pinned(what) {
            return None;
        }
        // One death may be chance. What people froze is not passed over for that.
        let is_frozen = matches!(self.seen.control.target, Target::Freeze(_)) && self.is_target(what);
        let is_held_back = !is_frozen && now.saturating_sub(self.started) < self.settings.retry_after_death_ms;
        (blame > self.settings.max_deaths || is_held_back).then(|| self.deadly(what, blame))
    }

    /// Returns the pinned generation.
    pub(super) fn pinned(&self) -> Option<Named> {
        match self.seen.control.target {
            Target::Pin(named) => Some(self.resolve(named)),
            _ => None,
        }
    }

    fn is_pinned(&self, what: Named) -> bool {
        self.pinned().is_some_and(|pinned| pinned.generation == what.generation && deaths::is_one(pinned, what))
    }

    /// Returns how many deaths a content is blamed for, in this process and its siblings.
    pub(super) fn blame(&self, what: Named) -> u32 {
        let own = deaths::sum(&self.journal.deaths, what);
        let mut all = own;
        // What is proven here does not suffer from what happened elsewhere.
        if !self.is_proven(what) {
            let elsewhere = deaths::sum(&self.siblings, what);
            let forgiven = deaths::sum(&self.journal.forgiven, what);
            all.count = all.count.saturating_add(elsewhere.count.saturating_sub(forgiven.count));
            all.others = all.others.saturating_add(elsewhere.others.saturating_sub(forgiven.others));
        }
        all.blame()
    }

    /// Plans what is better than nothing: contents that earlier processes refused, and those with which processes died,
    /// fewest deaths first.
    pub(super) fn plan_last_resorts(&mut self, now: Millis) {
        let (max_deaths, mut resorts) = (self.settings.max_deaths, Vec::new());
        let candidates: Vec<Named> = self.target.into_iter().chain(self.others()).collect();
        let mut deadly: Option<(u32, Named)> = None;
        for what in candidates {
            if what.generation < self.settings.min_generation {
                continue;
            }
            let refused = self.refused.iter().find(|refused| Some(refused.quarantined.digest) == what.digest);
            let is_panicked = what.digest.is_some_and(|digest| self.is_panicked(digest));
            if refused.is_some_and(|refused| refused.is_own_finding && !is_panicked) {
                continue;
            }
            let blame = self.blame(what);
            if self.is_pinned(what) || (blame == 0 && refused.is_none()) {
                // It was tried already.
                continue;
            }
            if blame <= max_deaths || self.is_faulty(Fault::DeadlyIsServed) {
                resorts.push((blame, what));
            } else if deadly.is_none_or(|(least, _)| blame < least) {
                deadly = Some((blame, what));
            }
        }
        resorts.sort_by_key(|(blame, _)| *blame);
        self.plan.extend(resorts.into_iter().map(|(_, what)| what));
        if self.plan.is_empty()
            && let Some((blame, what)) = deadly
        {
            self.retry_deadly(what, blame, now);
        }
    }

    /// Nothing is left but a generation that keeps ending the process: the server had better start with its own logic.
    /// Tries it again after a pause that doubles with each death.
    fn retry_deadly(&mut self, what: Named, blame: u32, now: Millis) {
        let doublings = blame.saturating_sub(self.settings.max_deaths + 1).min(20);
        let pause_ms = self.settings.retry_after_death_ms.saturating_mul(1 << doublings).min(MAX_RETRY_PAUSE_MS);
        let pause_ms = if self.is_faulty(Fault::PauseIsShort) { 0 } else { pause_ms };
        if now.saturating_sub(self.retried_at.unwrap_or(self.started)) >= pause_ms {
            self.retried_at = Some(now);
            self.plan.push_back(what);
        }
        let reason = self.deadly(what, blame);
        self.say(reason);
    }
}
