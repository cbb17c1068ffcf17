//! Gathers the evidence about the arms, and lets the guard judge.

use std::collections::BTreeMap;

use super::file::{ArmState, Experiment};
use super::guard::{Evidence, Exposure, Guard, judge};
use super::guard_stops::GuardStop;
use super::shared::{Shared, State};

/// What was seen of the arms of this process, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Guardian {
    seen: BTreeMap<u16, Seen>,
}

/// What was seen of the latest generation of an arm.
#[derive(Debug, Default)]
struct Seen {
    generation: u64,
    /// Requests and errors of the generations before.
    before: (u64, u64),
    evidence: Evidence,
}

impl Guardian {
    /// Looks at the arms of an experiment, and adds a stop for each that has left its bands. The control arm always
    /// serves.
    pub(super) fn look(&mut self, shared: &Shared, state: &mut State, experiment: &Experiment) {
        let band = experiment.guard.and_then(|guard| guard.calibration);
        let watch = shared.registry.watch_if(band.is_some());
        let Some(guard) = experiment.guard else {
            self.seen.clear();
            return;
        };
        let serving = experiment.arms.iter().enumerate().filter(|(_, arm)| arm.state == ArmState::Serve);
        let serving = serving.filter_map(|(index, arm)| {
            let (number, generation, requests, errors) =
                state.record_of(&experiment.name, &arm.name, &shared.store_dir(&arm.store))?;
            self.count(number, generation, requests, errors);
            Some((index, number, arm))
        });
        let serving: Vec<_> = serving.collect();
        if let (Some(watch), Some(band)) = (watch, band) {
            watch.take(band.window, |watched| {
                #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
                let is_latest = |seen: &&mut Seen| seen.generation as u32 == watched.generation;
                let is_exposed = band.of == Exposure::Predictions || watched.was_shown;
                if let Some(seen) = self.seen.get_mut(&watched.arm).filter(is_latest).filter(|_| is_exposed) {
                    seen.evidence.exposed_count += 1;
                    seen.evidence.click_count += u64::from(watched.was_clicked);
                    seen.evidence.expected_clicks += f64::from(watched.probability);
                }
            });
        }
        let control = serving.iter().find(|(index, ..)| *index == experiment.control);
        let control = control.and_then(|(_, number, _)| self.seen.get(number)).map(|seen| seen.evidence);
        for (_, number, arm) in serving.into_iter().filter(|(index, ..)| *index != experiment.control) {
            if let Some(breach) = self.judge(number, &guard, &control.unwrap_or_default()) {
                state.guard_stops.push(GuardStop::new(experiment, arm, breach));
            }
        }
    }

    /// Counts the requests of an arm. Another generation begins without evidence.
    fn count(&mut self, number: u16, generation: u64, requests: u64, errors: u64) {
        let seen = self.seen.entry(number).or_default();
        if seen.generation != generation {
            *seen = Seen { generation, before: (requests, errors), evidence: Evidence::default() };
        }
        seen.evidence.request_count = requests.saturating_sub(seen.before.0);
        seen.evidence.error_count = errors.saturating_sub(seen.before.1);
    }

    /// Judges an arm once: a stop that the file ends begins without evidence.
    fn judge(&mut self, number: u16, guard: &Guard, control: &Evidence) -> Option<(String, String)> {
        let breach = judge(guard, &self.seen.get(&number)?.evidence, control)?;
        self.seen.remove(&number);
        Some(breach)
    }
}
