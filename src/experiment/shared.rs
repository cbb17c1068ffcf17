//! What the background thread, the owner and the scorers of an experiment share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::file::{Arm, ArmState, Experiment};
use super::guard_stops::GuardStop;
use super::registry::{CAPACITY, RegisteredArm, Registry};
use super::seat::{ArmCounts, COUNT_COUNT, Plan, Seat, SeatedArm, UnitPlace};
use super::status::{ArmStatus, ExperimentStatus};
use crate::error::Error;
use crate::live::slot::Replaced;
use crate::live::{LiveModel, LiveOptions, Reason, ServingState};
use crate::request::{RequestLayout, Schema};
use crate::score::CandidateSet;

/// What the background thread, the owner and the scorers share.
#[derive(Debug)]
pub(super) struct Shared {
    process_id: u32,
    pub(super) path: PathBuf,
    schema: Schema,
    pub(super) options: LiveOptions,
    pub(super) registry: Arc<Registry>,
    state: Mutex<State>,
    signals: Mutex<Signals>,
    pub(super) changed: Condvar,
}

/// What decides how requests are answered. A predict never locks it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The last good file, without the arms that the guard has stopped.
    pub(super) in_force: Option<Arc<Experiment>>,
    /// The last good file.
    pub(super) heard: Option<Arc<Experiment>>,
    pub(super) guard_stops: Vec<GuardStop>,
    /// What the last look at the file found wrong.
    pub(super) problem: Option<Reason>,
    pub(super) memory_problem: Option<Reason>,
    /// Why a scorer has no plan for what is in force, and keeps the one before.
    plan_problem: Option<Reason>,
    /// The stores of the arms that score, by directory.
    pub(super) stores: Vec<Store>,
    seats: Vec<SeatState>,
    numbers: Vec<Numbered>,
    /// Counts of arms in seats, by the number of the arm.
    counts: Vec<(u16, Arc<ArmCounts>)>,
    /// Sums of the counts of those that are gone.
    closed: BTreeMap<u16, [u64; COUNT_COUNT]>,
    closed_without_unit: u64,
    closed_unready: u64,
    opening_count: u64,
}

/// A registered arm.
#[derive(Debug)]
struct Numbered {
    experiment: String,
    name: String,
    /// The opening of its store.
    opening: u64,
    number: u16,
}

/// A store of one or more arms.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) dir: PathBuf,
    /// Which opening this is: each has another number.
    pub(super) opening: u64,
    pub(super) content: StoreContent,
}

/// Whether a store is open.
#[derive(Debug)]
pub(super) enum StoreContent {
    /// A thread opens it.
    Opening,
    Open(Arc<LiveModel>),
    /// Another try follows at the next change of the file, or after a while.
    Failed(Reason),
}

/// A seat, its arms and the plans that were replaced.
#[derive(Debug)]
struct SeatState {
    seat: Arc<Seat>,
    /// The arms of the plan, each with its result and its store's opening, so that the next plan takes them over.
    arms: Vec<(usize, u64, Arc<SeatedArm>)>,
    replaced: Vec<Replaced<Plan>>,
}

/// Signals between the owner and the background thread.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) is_stopped: bool,
    pub(super) is_look_requested: bool,
    pub(super) done_passes: u64,
}

impl Shared {
    pub(super) fn new(path: PathBuf, schema: Schema, options: LiveOptions) -> Self {
        Self {
            process_id: std::process::id(),
            path,
            schema,
            options,
            registry: Arc::new(Registry::new()),
            state: Mutex::default(),
            signals: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Whether a store is being opened.
    pub(super) fn is_opening(&self) -> bool {
        self.state().stores.iter().any(|store| matches!(store.content, StoreContent::Opening))
    }

    /// Returns the live models of the stores.
    pub(super) fn lives(&self) -> Vec<Arc<LiveModel>> {
        let state = self.state();
        let open = state.stores.iter().filter_map(|store| match &store.content {
            StoreContent::Open(live) => Some(Arc::clone(live)),
            StoreContent::Opening | StoreContent::Failed(_) => None,
        });
        open.collect()
    }

    /// Creates a seat, which has a plan at once.
    pub(super) fn seat(&self, layout: &RequestLayout, set: Option<Arc<CandidateSet>>) -> Result<Arc<Seat>, Error> {
        let seat = Arc::new(Seat::new(layout, set));
        let mut state = self.state();
        let mut seated = SeatState { seat: Arc::clone(&seat), arms: Vec::new(), replaced: Vec::new() };
        let plan = self.plan(&mut state, &mut seated)?;
        seated.replaced.push(seat.plan.replace(Box::new(plan)));
        state.seats.push(seated);
        // Arms get their numbers with the first seat.
        self.note_control(&state);
        Ok(seat)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn signals(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn request_look(&self) {
        self.signals().is_look_requested = true;
        self.changed.notify_all();
    }

    /// Opens a store. Takes as long as its first generation takes.
    pub(super) fn open_store(&self, dir: &Path) -> StoreContent {
        match LiveModel::open(dir, &self.schema, self.options.clone()) {
            Ok(live) => StoreContent::Open(Arc::new(live)),
            Err(error) => StoreContent::Failed(Reason::of(&error)),
        }
    }

    /// Returns the directory of an arm's store.
    pub(super) fn store_dir(&self, store: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(store)
    }

    pub(super) fn check_process(&self) -> Result<(), Error> {
        let (expected, found) = (self.process_id, std::process::id());
        if expected == found { Ok(()) } else { Err(Error::Forked { expected, found }) }
    }

    /// Makes the plans of all seats again, for what is in force and open now.
    pub(super) fn replan(&self, state: &mut State) {
        let mut seats = std::mem::take(&mut state.seats);
        state.plan_problem = None;
        for seat in &mut seats {
            // A seat that cannot be planned keeps its plan. Its layout was checked, so only memory can be missing.
            match self.plan(state, seat) {
                Ok(plan) => seat.replaced.push(seat.seat.plan.replace(Box::new(plan))),
                Err(error) => state.plan_problem = Some(Reason::of(&error)),
            }
        }
        state.seats = seats;
        self.note_control(state);
    }

    /// Tells logs which arm is the control arm, if it has a number.
    fn note_control(&self, state: &State) {
        let control = state.in_force.as_ref().and_then(|experiment| {
            let arm = &experiment.arms[experiment.control];
            let dir = self.store_dir(&arm.store);
            let opening = state.stores.iter().find(|store| store.dir == dir)?.opening;
            state.known_number(&experiment.name, &arm.name, opening)
        });
        if control.is_some() {
            self.registry.set_control(control);
        }
    }

    /// Makes the plan of a seat. Arms that do not change keep their scorers.
    fn plan(&self, state: &mut State, seat: &mut SeatState) -> Result<Plan, Error> {
        let Some(experiment) = state.in_force.clone() else { return Ok(Plan::default()) };
        let unit = UnitPlace::of(&experiment.unit, &self.schema)?;
        let before = std::mem::take(&mut seat.arms);
        let mut plan = Plan { unit, ..Plan::default() };
        let mut kept = Vec::new();
        for arm in &experiment.arms {
            let result = match arm.state {
                ArmState::Serve => 0,
                ArmState::Shadow { .. } => plan.shadows.len() + 1,
                ArmState::Stopped => usize::MAX,
            };
            let dir = self.store_dir(&arm.store);
            let store = state.stores.iter().find(|store| store.dir == dir);
            let open = store.and_then(|store| match &store.content {
                StoreContent::Open(live) => Some((Arc::clone(live), store.opening)),
                StoreContent::Opening | StoreContent::Failed(_) => None,
            });
            let seated = match open.filter(|_| result < seat.seat.layout.model_count()) {
                Some((live, opening)) => {
                    let number = self.number(state, &experiment.name, &arm.name, opening, &live);
                    number.map(|number| {
                        let is_same =
                            |it: &&(usize, u64, Arc<SeatedArm>)| (it.0, it.1, it.2.number) == (result, opening, number);
                        if let Some((_, _, known)) = before.iter().find(is_same) {
                            return Ok((opening, Arc::clone(known)));
                        }
                        let layout = seat.seat.layout.of_result(result);
                        let scorer = match &seat.seat.candidates {
                            Some(set) => live.scorer_with_candidates(&layout, set),
                            None => live.scorer(&layout),
                        };
                        let seated = Arc::new(SeatedArm::new(number, scorer?));
                        state.counts.push((number, Arc::clone(&seated.counts)));
                        Ok::<_, Error>((opening, seated))
                    })
                }
                None => None,
            };
            let seated = seated.transpose()?;
            kept.extend(seated.iter().map(|(opening, arm)| (result, *opening, Arc::clone(arm))));
            let seated = seated.map(|(_, arm)| arm);
            match (arm.state, seated) {
                (ArmState::Shadow { share }, Some(seated)) => {
                    plan.shadows.push((share, seated));
                    plan.arms.push(None);
                }
                (ArmState::Shadow { .. }, None) => plan.arms.push(None),
                (ArmState::Serve | ArmState::Stopped, seated) => plan.arms.push(seated),
            }
        }
        plan.experiment = Some(experiment);
        seat.arms = kept;
        Ok(plan)
    }

    /// Returns the number of an arm, which it gets when its store is open for the first time.
    fn number(&self, state: &mut State, experiment: &str, name: &str, opening: u64, live: &LiveModel) -> Option<u16> {
        if let Some(known) = state.known_number(experiment, name, opening) {
            return Some(known);
        }
        let arm = RegisteredArm { experiment: experiment.into(), name: name.into(), generations: live.generations() };
        let number = self.registry.add(arm)?;
        state.numbers.push(Numbered { experiment: experiment.to_owned(), name: name.to_owned(), opening, number });
        Some(number)
    }

    pub(super) fn status(&self) -> ExperimentStatus {
        let state = self.state();
        let mut status = ExperimentStatus {
            problem: state.problem.clone().or_else(|| state.plan_problem.clone()),
            memory_problem: state.memory_problem.clone(),
            ..ExperimentStatus::default()
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seats = || state.seats.iter().map(|seat| &seat.seat);
        status.without_unit_count =
            state.closed_without_unit + seats().map(|seat| load(&seat.without_unit_count)).sum::<u64>();
        status.unready_count = state.closed_unready + seats().map(|seat| load(&seat.unready_count)).sum::<u64>();
        let Some(experiment) = &state.in_force else { return status };
        status.experiment.clone_from(&experiment.name);
        status.version = experiment.version;
        let arms = experiment.arms.iter().enumerate();
        status.arms = arms.map(|(index, arm)| self.status_of(&state, experiment, index, arm)).collect();
        status
    }

    fn status_of(&self, state: &State, experiment: &Experiment, index: usize, arm: &Arm) -> ArmStatus {
        let dir = self.store_dir(&arm.store);
        let store = state.stores.iter().find(|store| store.dir == dir);
        let [answered_count, fell_back_count, shadow_count, shadow_skipped_count, shadow_failed_count, failed_count] =
            state.counts_of(&experiment.name, &arm.name);
        let is_of = |stop: &&GuardStop| stop.experiment == experiment.name && stop.arm == arm.name;
        let guard_stop = state.guard_stops.iter().find(is_of).map(|stop| Reason::of(&stop.error()));
        let mut found = ArmStatus {
            name: arm.name.clone(),
            store: dir.clone(),
            state: state.heard.as_ref().and_then(|heard| heard.arms.get(index)).map_or(arm.state, |arm| arm.state),
            share: match arm.state {
                ArmState::Shadow { share } => share,
                ArmState::Serve | ArmState::Stopped => experiment.assignment.share(index),
            },
            is_control: index == experiment.control,
            is_ready: false,
            generation: None,
            logic_id: None,
            reasons: guard_stop.iter().cloned().collect(),
            guard_stop,
            answered_count,
            fell_back_count,
            failed_count,
            shadow_count,
            shadow_skipped_count,
            shadow_failed_count,
        };
        match store.map(|store| &store.content).filter(|_| arm.state != ArmState::Stopped) {
            Some(StoreContent::Open(live)) => {
                let live = live.status();
                found.is_ready = live.state == ServingState::Serving;
                found.generation = live.served.as_ref().map(|served| served.generation);
                found.logic_id = live.served.map(|served| served.logic_id);
                found.reasons = live.reasons;
                let opening = store.map_or(0, |store| store.opening);
                let has_number = state.known_number(&experiment.name, &arm.name, opening).is_some();
                if !has_number && self.registry.is_full() {
                    found.is_ready = false;
                    found.reasons.push(Reason::of(&too_many_arms()));
                }
            }
            Some(StoreContent::Failed(reason)) => found.reasons.push(reason.clone()),
            Some(StoreContent::Opening) | None => {}
        }
        found
    }
}

fn too_many_arms() -> Error {
    let problem =
        format!("expected at most {CAPACITY} openings of stores in the life of a process, found more; restart");
    Error::InvalidArgument { argument: "experiment", problem }
}

impl State {
    fn known_number(&self, experiment: &str, name: &str, opening: u64) -> Option<u16> {
        let mut numbers = self.numbers.iter();
        let found = numbers.find(|it| it.experiment == experiment && it.name == name && it.opening == opening);
        found.map(|found| found.number)
    }

    /// Sums the counts of an arm, whichever openings of its store it had.
    fn counts_of(&self, experiment: &str, name: &str) -> [u64; COUNT_COUNT] {
        let mut sums = [0; COUNT_COUNT];
        for numbered in self.numbers.iter().filter(|it| it.experiment == experiment && it.name == name) {
            let open = self.counts.iter().filter(|(number, _)| *number == numbered.number);
            let open = open.map(|(_, counts)| counts.all());
            for counts in open.chain(self.closed.get(&numbered.number).copied()) {
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
        sums
    }

    /// Returns the generation of an arm, its number, its requests and its errors, if it can answer.
    pub(super) fn record_of(&self, experiment: &str, arm: &str, dir: &Path) -> Option<(u16, u64, u64, u64)> {
        let store = self.stores.iter().find(|store| store.dir == dir)?;
        let StoreContent::Open(live) = &store.content else { return None };
        let number = self.known_number(experiment, arm, store.opening)?;
        let generation = live.status().served.map_or(0, |served| served.generation);
        let open = self.counts.iter().filter(|(it, _)| *it == number).map(|(_, counts)| counts.all());
        let all = open.chain(self.closed.get(&number).copied());
        let (answered, failed) = all.fold((0, 0), |(answered, failed), it| (answered + it[0], failed + it[5]));
        Some((number, generation, answered + failed, failed))
    }

    /// Adds the stores that arms need, and returns those to open; and takes away those that no arm needs.
    pub(super) fn match_stores(&mut self, needed: &[PathBuf]) -> (Vec<(PathBuf, u64)>, Vec<Store>) {
        let stores = std::mem::take(&mut self.stores);
        let (kept, left) = stores.into_iter().partition(|store| needed.contains(&store.dir));
        self.stores = kept;
        let mut to_open = Vec::new();
        for dir in needed {
            if !self.stores.iter().any(|store| store.dir == *dir) {
                self.opening_count += 1;
                let opening = self.opening_count;
                self.stores.push(Store { dir: dir.clone(), opening, content: StoreContent::Opening });
                to_open.push((dir.clone(), opening));
            }
        }
        (to_open, left)
    }

    /// Frees plans that no request uses any more, and seats of closed scorers. Returns what to drop outside the lock.
    pub(super) fn take_away(&mut self) -> Vec<Plan> {
        let mut free = Vec::new();
        for SeatState { seat, replaced, .. } in &mut self.seats {
            for plan in std::mem::take(replaced) {
                match seat.plan.free(plan) {
                    Ok(plan) => free.push(*plan),
                    Err(used) => replaced.push(used),
                }
            }
        }
        // If only the list holds a seat, its scorer is gone. The last counts of its thread happen before it drops the
        // seat; the fence orders our reads after that.
        let (kept, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.seats)
            .into_iter()
            .partition(|it| Arc::strong_count(&it.seat) > 1 || !it.replaced.is_empty());
        self.seats = kept;
        fence(Ordering::Acquire);
        for SeatState { seat, .. } in left {
            self.closed_without_unit += seat.without_unit_count.load(Ordering::Relaxed);
            self.closed_unready += seat.unready_count.load(Ordering::Relaxed);
        }
        let closed = &mut self.closed;
        self.counts.retain(|(number, counts)| {
            let is_used = Arc::strong_count(counts) > 1;
            if !is_used {
                fence(Ordering::Acquire);
                let sums = closed.entry(*number).or_default();
                sums.iter_mut().zip(counts.all()).for_each(|(sum, count)| *sum += count);
            }
            is_used
        });
        free
    }

    /// Whether a replaced plan may still be in use.
    pub(super) fn is_replacing(&self) -> bool {
        self.seats.iter().any(|seat| !seat.replaced.is_empty())
    }
}
