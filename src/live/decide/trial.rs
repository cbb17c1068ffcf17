//! When a generation is proven: it ran for the time of the trial, with scoring switched on, scored requests, and
//! nothing happened.

use super::{Fault, Known, Seen, Serving};
use crate::error::Error;
use crate::live::reason::Reason;

impl<S: PartialEq> Known<S> {
    /// Adds what happened since the last look to the account of the served generation.
    pub(super) fn judge_trial(&mut self, before: &Seen) {
        let ran_ms = self.seen.ran_ms.saturating_sub(before.ran_ms);
        let scored = self.seen.scored.saturating_sub(before.scored);
        let (panics, trial_ms) = (self.seen.panics, self.settings.trial_ms);
        self.calm_ms = self.calm_ms.saturating_add(ran_ms);
        let is_idle_fine = self.is_faulty(Fault::ProvenWhileIdle);
        let Some(serving) = &mut self.serving else { return };
        serving.ran_ms = serving.ran_ms.saturating_add(ran_ms);
        serving.scored = serving.scored.saturating_add(scored);
        let serving = *serving;
        if panics > serving.panics_before {
            self.calm_ms = 0;
            if let Some(serving) = &mut self.serving {
                serving.panics_before = panics;
            }
            if serving.is_on_trial {
                self.condemn(&serving);
            }
            return;
        }
        let has_run = serving.ran_ms >= trial_ms && (serving.scored > 0 || is_idle_fine);
        if !has_run {
            return;
        }
        if serving.is_on_trial {
            self.prove(&serving);
            if let Some(serving) = &mut self.serving {
                serving.is_on_trial = false;
            }
            self.fallback = None;
        } else if self.is_proven(serving.what.into()) && !self.is_panicked(serving.what.digest) {
            // The latest good one.
            self.remember_proven(serving.what);
        }
    }

    /// A request panicked while the generation was on trial.
    fn condemn(&mut self, serving: &Serving) {
        let generation = serving.what.generation;
        let message = format!("scoring with generation {generation} panicked while it was on trial");
        let reason = Reason::of(&Error::Panic { message });
        self.refuse(serving.what, &reason, true);
        if let Some(serving) = &mut self.serving {
            serving.is_on_trial = false;
        }
        self.is_leaving = true;
        self.say(reason);
    }

    fn prove(&mut self, serving: &Serving) {
        self.remember_proven(serving.what);
        self.journal.deaths.retain(|deaths| deaths.what.digest != Some(serving.what.digest));
    }

    /// Proves a generation that is replaced before its trial is over, if the process has been calm for that long. Where
    /// publications are closer together than a trial, nothing would ever be proven otherwise.
    pub(super) fn prove_if_calm(&mut self, before: &Serving) {
        if before.is_on_trial && before.scored > 0 && before.ran_ms > 0 && self.calm_ms >= self.settings.trial_ms {
            self.prove(before);
        }
    }
}
