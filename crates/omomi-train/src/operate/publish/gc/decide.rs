//! What may go, as a pure function: facts about a store in, a verdict on each generation and each state out.
//!
//! What is not known keeps everything that it may concern.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::super::servers::Life;

/// What is known about a store.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Generations that have a file, in ascending order.
    pub files: Vec<u64>,
    /// The generation in `current`, if the file exists; or why it is not known.
    pub current: Option<Known<u64>>,
    /// The generation that `control` names, if it names one; or why that is not known.
    pub ordered: Option<Known<u64>>,
    /// All states, those that came with a copy of another store included.
    pub states: Vec<State>,
}

/// A fact, or why it is not known.
pub type Known<T> = Result<T, String>;

/// The state of a serving process.
#[derive(Debug, Clone)]
pub struct State {
    /// Name of its folder.
    pub name: String,
    /// Whether the process runs. [`Life::Unknown`] if the state came with a copy of another store.
    pub life: Life,
    /// How long ago the newest of its files was written; `None` if the clocks contradict each other.
    pub age: Option<Duration>,
    /// Generations that the process serves, loads, has as good or was told to serve, each with the reason; or why they
    /// are not known.
    pub needs: Known<Vec<(u64, &'static str)>>,
    /// Generations with which processes of this name died.
    pub blamed: Vec<u64>,
}

/// How much to keep. Later versions may have more options, so start from the defaults and [change](Self::with) what
/// differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcOptions {
    /// Number of newest generations to keep, up to the published one.
    pub keep_count: usize,
    /// Age from which the state of a process that ended or died may go.
    pub older_than: Duration,
}

impl Default for GcOptions {
    /// Five generations, because `publish` compares the size of a file with the last five; 30 days.
    fn default() -> Self {
        Self { keep_count: super::super::limits::USUAL_COUNT, older_than: Duration::from_secs(30 * 86_400) }
    }
}

impl GcOptions {
    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What happens to a generation or a state, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it goes.
    pub is_removed: bool,
    /// Why, for people.
    pub why: String,
}

/// A verdict on everything, and what is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Each generation that has a file.
    pub generations: BTreeMap<u64, Verdict>,
    /// Each state, by name.
    pub states: BTreeMap<String, Verdict>,
    /// What is not known, and keeps all generations.
    pub unknown: Vec<String>,
}

impl Verdict {
    fn keep(why: impl fmt::Display) -> Self {
        Self { is_removed: false, why: why.to_string() }
    }

    fn remove(why: impl fmt::Display) -> Self {
        Self { is_removed: true, why: why.to_string() }
    }
}

/// Decides what may go.
#[must_use]
pub fn decide(facts: &Facts, options: GcOptions) -> Decision {
    let states: BTreeMap<String, Verdict> =
        facts.states.iter().map(|state| (state.name.clone(), verdict_on_state(state, &facts.files, options))).collect();
    let is_kept = |state: &&State| states.get(&state.name).is_none_or(|verdict| !verdict.is_removed);
    let kept: Vec<&State> = facts.states.iter().filter(is_kept).collect();
    let unknown = unknown(facts, &kept);
    let generations = facts.files.iter().map(|&file| (file, verdict_on_file(file, facts, &kept, &unknown, options)));
    Decision { generations: generations.collect(), states, unknown }
}

fn verdict_on_state(state: &State, files: &[u64], options: GcOptions) -> Verdict {
    match state.life {
        Life::Running => return Verdict::keep("the process runs"),
        Life::Unknown => return Verdict::keep("it is not known whether the process runs"),
        Life::Ended | Life::Died => {}
    }
    if let Err(problem) = &state.needs {
        return Verdict::keep(format_args!("{problem}"));
    }
    let life = state.life.name();
    let Some(age) = state.age else { return Verdict::keep("its files are of the future: clocks differ") };
    if age <= options.older_than {
        return Verdict::keep(format_args!("the process {life} {} ago", days(age)));
    }
    // Deaths of one generation add up over all names. The evidence stays as long as the file may be served.
    if let Some(blamed) = state.blamed.iter().find(|blamed| files.contains(blamed)) {
        return Verdict::keep(format_args!(
            "a process of this name died with generation {blamed}, which is still there"
        ));
    }
    Verdict::remove(format_args!("the process {life} {} ago", days(age)))
}

fn unknown(facts: &Facts, kept: &[&State]) -> Vec<String> {
    let mut unknown = Vec::new();
    match &facts.current {
        // Without it, any file may be the published one.
        None if !facts.files.is_empty() => unknown.push("`current` is absent, although there are files".to_owned()),
        None | Some(Ok(_)) => {}
        Some(Err(problem)) => unknown.push(format!("`current`: {problem}")),
    }
    if let Some(Err(problem)) = &facts.ordered {
        unknown.push(format!("`control`: {problem}"));
    }
    for state in kept {
        if let Err(problem) = &state.needs {
            unknown.push(format!("{}: {problem}", state.name));
        }
    }
    unknown
}

fn verdict_on_file(file: u64, facts: &Facts, kept: &[&State], unknown: &[String], options: GcOptions) -> Verdict {
    if facts.current == Some(Ok(file)) {
        return Verdict::keep("it is published");
    }
    if facts.ordered == Some(Ok(file)) {
        return Verdict::keep("`control` names it");
    }
    for state in kept {
        let needs = state.needs.iter().flatten();
        if let Some((_, why)) = needs.clone().find(|(needed, _)| *needed == file) {
            return Verdict::keep(format_args!("{} {why}", state.name));
        }
    }
    if let Some(Ok(current)) = facts.current {
        if file > current {
            return Verdict::keep("it is newer than the published one: a publication that was not completed");
        }
        let newer_count = facts.files.iter().filter(|&&other| other > file && other <= current).count();
        if newer_count < options.keep_count {
            return Verdict::keep(format_args!("it is one of the newest {}", options.keep_count));
        }
    }
    match unknown.first() {
        Some(first) => Verdict::keep(format_args!("not everything is known: {first}")),
        None => Verdict::remove("nobody serves it, was told to serve it or has it as good"),
    }
}

fn days(age: Duration) -> String {
    format!("{:.1} days", age.as_secs_f64() / 86_400.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    const DAY: Duration = Duration::from_secs(86_400);

    fn state(name: &str, life: Life, age_days: u32, needs: &[u64]) -> State {
        let needs = Ok(needs.iter().map(|&needed| (needed, "serves it")).collect());
        State { name: name.to_owned(), life, age: Some(DAY * age_days), needs, blamed: Vec::new() }
    }

    fn facts(files: std::ops::RangeInclusive<u64>, states: Vec<State>) -> Facts {
        let current = Some(Ok(*files.end()));
        Facts { files: files.collect(), current, ordered: None, states }
    }

    fn removed(decision: &Decision) -> Vec<u64> {
        let removed = decision.generations.iter().filter(|(_, verdict)| verdict.is_removed);
        removed.map(|(generation, _)| *generation).collect()
    }

    fn options(keep_count: usize) -> GcOptions {
        GcOptions { keep_count, ..GcOptions::default() }
    }

    #[test]
    fn what_is_served_ordered_good_or_new_stays() {
        let mut facts = facts(1..=9, vec![state("a", Life::Running, 0, &[2]), state("b", Life::Unknown, 400, &[4])]);
        facts.ordered = Some(Ok(6));
        assert_eq!(removed(&decide(&facts, options(2))), [1, 3, 5, 7]);
        // Files above the published one are unfinished publications.
        facts.current = Some(Ok(7));
        assert_eq!(removed(&decide(&facts, options(1))), [1, 3, 5]);
    }

    #[test]
    fn a_state_goes_with_what_it_needed_but_evidence_of_deaths_stays() {
        let mut facts = facts(1..=9, vec![state("a", Life::Died, 31, &[2]), state("b", Life::Ended, 29, &[3])]);
        let decision = decide(&facts, options(1));
        assert_eq!(removed(&decision), [1, 2, 4, 5, 6, 7, 8]);
        assert!(decision.states["a"].is_removed && !decision.states["b"].is_removed);
        facts.states[0].blamed = vec![8];
        let decision = decide(&facts, options(1));
        assert!(!decision.states["a"].is_removed && !removed(&decision).contains(&2), "{decision:?}");
        // The blamed file itself may go, and the evidence after it.
        assert!(removed(&decision).contains(&8));
        facts.files.retain(|file| *file != 8);
        assert!(decide(&facts, options(1)).states["a"].is_removed);
    }

    #[test]
    fn what_is_not_known_keeps_everything() {
        let known = facts(1..=9, vec![state("a", Life::Ended, 400, &[])]);
        assert_eq!(removed(&decide(&known, options(1))).len(), 8);
        let problem = || Err("it is damaged".to_owned());
        let changes: [fn(&mut Facts, Known<u64>); 4] = [
            |facts, problem| facts.current = Some(problem),
            |facts, _| facts.current = None,
            |facts, problem| facts.ordered = Some(problem),
            |facts, problem| facts.states[0].needs = problem.map(|_| Vec::new()),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut facts = known.clone();
            change(&mut facts, problem());
            let decision = decide(&facts, options(1));
            assert_eq!((removed(&decision).len(), decision.unknown.len()), (0, 1), "change {index}: {decision:?}");
        }
    }

    fn any(random: &mut Pcg64Mcg) -> u64 {
        random.random_range(0..22)
    }

    fn known(random: &mut Pcg64Mcg) -> Known<u64> {
        if random.random_bool(0.05) { Err("it is damaged".to_owned()) } else { Ok(any(random)) }
    }

    fn random_facts(random: &mut Pcg64Mcg) -> Facts {
        let files: Vec<u64> = (0..20).filter(|_| random.random_bool(0.7)).collect();
        let lives = [Life::Running, Life::Ended, Life::Died, Life::Unknown];
        let states = (0..random.random_range(0..6)).map(|index| State {
            name: format!("server-{index}"),
            life: lives[random.random_range(0..4)],
            age: random.random_bool(0.9).then(|| DAY * random.random_range(0..60_u32)),
            needs: known(random).map(|first| vec![(first, "serves it"), (any(random), "has it as good")]),
            blamed: (0..random.random_range(0..2)).map(|_| any(random)).collect(),
        });
        let states = states.collect();
        let current = random.random_bool(0.95).then(|| known(random));
        let ordered = random.random_bool(0.3).then(|| known(random));
        Facts { files, current, ordered, states }
    }

    #[test]
    fn no_random_store_loses_what_somebody_may_need() {
        let (mut removed_count, mut state_count) = (0, 0);
        for seed in 0..50_000 {
            let random = &mut Pcg64Mcg::seed_from_u64(seed);
            let facts = random_facts(random);
            let options =
                GcOptions { keep_count: random.random_range(0..5), older_than: DAY * random.random_range(0..40_u32) };
            let decision = decide(&facts, options);
            let removed = removed(&decision);
            let context = || format!("seed {seed}: {facts:?} {options:?} {decision:?}");
            // Everything has a verdict, with a reason.
            assert!(decision.generations.keys().eq(&facts.files), "{}", context());
            assert!(decision.states.len() == facts.states.len(), "{}", context());
            assert!(decision.generations.values().all(|verdict| !verdict.why.is_empty()));
            // What is not known keeps all files.
            let is_known = matches!(facts.current, Some(Ok(_))) && !matches!(facts.ordered, Some(Err(_)));
            assert!(removed.is_empty() || is_known, "{}", context());
            for state in &facts.states {
                let is_dead = matches!(state.life, Life::Ended | Life::Died);
                let is_old = state.age.is_some_and(|age| age > options.older_than);
                let is_evidence = state.blamed.iter().any(|blamed| facts.files.contains(blamed));
                let may_go = is_dead && is_old && state.needs.is_ok() && !is_evidence;
                assert_eq!(decision.states[&state.name].is_removed, may_go, "{}", context());
                match &state.needs {
                    Err(_) => assert!(removed.is_empty(), "{}", context()),
                    Ok(needs) if !may_go => {
                        assert!(needs.iter().all(|(needed, _)| !removed.contains(needed)), "{}", context());
                    }
                    Ok(_) => state_count += 1,
                }
            }
            if removed.is_empty() {
                continue;
            }
            removed_count += removed.len();
            let (Some(Ok(current)), ordered) = (&facts.current, &facts.ordered) else { panic!("{}", context()) };
            assert!(removed.iter().all(|file| file < current && *ordered != Some(Ok(*file))), "{}", context());
            let mut newest: Vec<u64> = facts.files.iter().copied().filter(|file| file <= current).collect();
            let newest = newest.split_off(newest.len().saturating_sub(options.keep_count));
            assert!(newest.iter().all(|file| !removed.contains(file)), "{}", context());
            // The next run removes no more, unless a state kept evidence.
            let mut after = facts.clone();
            after.files.retain(|file| !removed.contains(file));
            after.states.retain(|state| !decision.states[&state.name].is_removed);
            let again = decide(&after, options);
            assert!(
                again.generations.values().all(|verdict| !verdict.is_removed) || {
                    again.states.values().any(|verdict| verdict.is_removed)
                }
            );
        }
        assert!(removed_count > 10_000 && state_count > 1_000, "{removed_count} {state_count}");
    }
}
