//! What the next model learns: whether it continues from the last one or is rebuilt, and from which days.
//!
//! The decision is a pure function of what is known. The newest day is never learned: the new model is evaluated on it,
//! and a fault in its logs is seen before any model has learned them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::day::Day;

/// The model that was published last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastModel {
    /// The training state to continue from: averaged, but neither recalibrated nor pruned.
    pub state: String,
    /// The last day that it has learned.
    pub learned_until: Day,
    /// The newest day when it was last trained from nothing.
    pub rebuilt_on: Day,
    /// Its generation.
    pub generation: u64,
    /// The fingerprint of its contract, as 16 hexadecimal digits.
    pub contract: String,
}

/// What the decision depends on.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// The newest complete day.
    pub newest: Day,
    /// Days that have logs, in order.
    pub with_logs: &'a BTreeSet<Day>,
    /// Days that are left out: by the settings, or because their logs were unlike those of the days before.
    pub left_out: &'a BTreeSet<Day>,
    /// The model to continue from, if there is one.
    pub last: Option<&'a LastModel>,
    /// The fingerprint of the contract of today.
    pub contract: &'a str,
    /// Age in days from which on a model is rebuilt.
    pub rebuild_after_days: i64,
    /// Number of days that a rebuild learns.
    pub rebuild_days: i64,
}

/// How the next model begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// From the state of the last model.
    Continue,
    /// From nothing.
    Rebuild,
}

/// What the next model learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How it begins.
    pub mode: Mode,
    /// Why.
    pub why: String,
    /// The days that it learns, in order. The newest day is not among them.
    pub days: Vec<Day>,
}

/// Why nothing can be trained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDecision {
    /// The newest day has no logs yet.
    #[error("{day} has no logs yet: expected those of every complete day")]
    NotYet {
        /// The day.
        day: Day,
    },
    /// Days between others have no logs.
    #[error("{} no logs, but days before and after have some", days_have(days))]
    Hole {
        /// The days.
        days: Vec<Day>,
    },
    /// All days before the newest one have been learned.
    #[error("the last model has learned all days up to {learned_until}: there is nothing new to learn before {newest}")]
    NothingNew {
        /// The last day that was learned.
        learned_until: Day,
        /// The newest complete day.
        newest: Day,
    },
    /// There are no logs before the newest day.
    #[error("expected logs of at least one day before {newest}, on which the model is evaluated; found none")]
    NoDays {
        /// The newest complete day.
        newest: Day,
    },
}

fn days_have(days: &[Day]) -> String {
    let names: Vec<String> = days.iter().map(Day::to_string).collect();
    format!("{} {}", names.join(", "), if days.len() == 1 { "has" } else { "have" })
}

/// Decides what the next model learns.
///
/// # Errors
///
/// Returns [`NoDecision`] if days have no logs that have to have some, or if there is nothing to learn.
pub fn decide(known: &Known<'_>) -> Result<Decision, NoDecision> {
    let Known { newest, with_logs, left_out, .. } = *known;
    if !with_logs.contains(&newest) {
        return Err(NoDecision::NotYet { day: newest });
    }
    let (mode, why, first) = begin(known)?;
    // A rebuild begins where the logs begin; a continued model may not miss a day unless someone left it out.
    let first = match mode {
        Mode::Continue => first,
        Mode::Rebuild => with_logs.range(first..).next().copied().unwrap_or(newest),
    };
    let wanted = first.up_to(newest.plus(-1)).filter(|day| !left_out.contains(day));
    let (days, holes): (Vec<Day>, Vec<Day>) = wanted.partition(|day| with_logs.contains(day));
    if !holes.is_empty() {
        return Err(NoDecision::Hole { days: holes });
    }
    match (days.is_empty(), known.last) {
        (false, _) => Ok(Decision { mode, why, days }),
        (true, Some(last)) if mode == Mode::Continue => {
            Err(NoDecision::NothingNew { learned_until: last.learned_until, newest })
        }
        (true, _) => Err(NoDecision::NoDays { newest }),
    }
}

/// Returns how the next model begins, why, and the first day that it may learn.
fn begin(known: &Known<'_>) -> Result<(Mode, String, Day), NoDecision> {
    let newest = known.newest;
    let rebuild = |why: String| Ok((Mode::Rebuild, why, newest.plus(-known.rebuild_days.max(1))));
    let Some(last) = known.last else { return rebuild("there is no model to continue from".to_owned()) };
    if last.learned_until >= newest.plus(-1) {
        return Err(NoDecision::NothingNew { learned_until: last.learned_until, newest });
    }
    if last.contract != known.contract {
        return rebuild("the contract is another one than that of the last model".to_owned());
    }
    let age = newest.days_after(last.rebuilt_on);
    if age >= known.rebuild_after_days {
        return rebuild(format!("the last model was trained from nothing {age} days ago"));
    }
    let gap = newest.days_after(last.learned_until) - 1;
    if gap > known.rebuild_days.max(1) {
        return rebuild(format!("{gap} days are new, which is more than a rebuild learns"));
    }
    let why =
        format!("the last model was trained from nothing {age} days ago, and has learned up to {}", last.learned_until);
    Ok((Mode::Continue, why, last.learned_until.plus(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(number: i64) -> Day {
        "2026-01-01".parse::<Day>().unwrap().plus(number)
    }

    fn last(learned_until: i64, rebuilt_on: i64) -> LastModel {
        LastModel {
            state: "a.parquet".to_owned(),
            learned_until: day(learned_until),
            rebuilt_on: day(rebuilt_on),
            generation: 1,
            contract: "c".to_owned(),
        }
    }

    fn decided(
        newest: i64,
        days: &BTreeSet<Day>,
        out: &BTreeSet<Day>,
        last: Option<&LastModel>,
    ) -> Result<Decision, NoDecision> {
        decide(&Known {
            newest: day(newest),
            with_logs: days,
            left_out: out,
            last,
            contract: "c",
            rebuild_after_days: 21,
            rebuild_days: 14,
        })
    }

    fn numbers(days: &[i64]) -> BTreeSet<Day> {
        days.iter().map(|&number| day(number)).collect()
    }

    #[test]
    fn the_first_model_learns_all_days_but_the_newest() {
        let decision = decided(4, &numbers(&[1, 2, 3, 4]), &numbers(&[]), None).unwrap();
        assert_eq!((decision.mode, decision.days), (Mode::Rebuild, vec![day(1), day(2), day(3)]));
        assert_eq!(decided(4, &numbers(&[4]), &numbers(&[]), None), Err(NoDecision::NoDays { newest: day(4) }));
    }

    #[test]
    fn the_next_day_continues_and_an_old_model_is_rebuilt() {
        let days: BTreeSet<Day> = day(0).up_to(day(40)).collect();
        let none = numbers(&[]);
        let decision = decided(5, &days, &none, Some(&last(3, 4))).unwrap();
        assert_eq!((decision.mode, decision.days), (Mode::Continue, vec![day(4)]));
        let decision = decided(25, &days, &none, Some(&last(23, 4))).unwrap();
        assert_eq!((decision.mode, decision.days.len()), (Mode::Rebuild, 14));
        assert_eq!(decision.days.last(), Some(&day(24)));
        assert!(decision.why.contains("21 days ago"), "{}", decision.why);
        let other = LastModel { contract: "other".to_owned(), ..last(3, 4) };
        assert_eq!(decided(5, &days, &none, Some(&other)).unwrap().mode, Mode::Rebuild);
    }

    #[test]
    fn a_day_without_logs_is_named_unless_it_is_left_out() {
        let days = numbers(&[1, 2, 4, 5]);
        assert_eq!(decided(6, &days, &numbers(&[]), None), Err(NoDecision::NotYet { day: day(6) }));
        assert_eq!(decided(5, &days, &numbers(&[]), None), Err(NoDecision::Hole { days: vec![day(3)] }));
        assert_eq!(decided(5, &days, &numbers(&[3]), None).unwrap().days, [day(1), day(2), day(4)]);
    }

    proptest! {
        /// In any history: no day is learned twice, the newest day is never learned, only days with logs are, and no
        /// model that is continued is older than the limit.
        #[test]
        fn every_day_is_learned_at_most_once_and_never_before_it_was_evaluated(
            missing in proptest::collection::btree_set(0_i64..60, 0..8),
            out in proptest::collection::btree_set(0_i64..60, 0..8),
            runs in proptest::collection::vec((1_i64..4, any::<bool>()), 1..40),
        ) {
            let with_logs: BTreeSet<Day> =
                (0..60).filter(|number| !missing.contains(number)).map(day).collect();
            let left_out: BTreeSet<Day> = out.into_iter().map(day).collect();
            let mut last_model: Option<LastModel> = None;
            let mut learned = BTreeSet::new();
            let mut newest = 0;
            for (step, is_published) in runs {
                newest = (newest + step).min(59);
                let Ok(decision) = decided(newest, &with_logs, &left_out, last_model.as_ref()) else { continue };
                prop_assert!(decision.days.iter().all(|day| with_logs.contains(day) && !left_out.contains(day)));
                prop_assert!(decision.days.iter().all(|&learned| learned < day(newest)));
                prop_assert!(!decision.days.is_empty());
                let before = last_model.as_ref().map_or(day(newest), |last| last.rebuilt_on);
                let rebuilt_on = match decision.mode {
                    Mode::Rebuild => {
                        learned.clear();
                        day(newest)
                    }
                    Mode::Continue => {
                        prop_assert!(day(newest).days_after(before) < 21);
                        prop_assert!(decision.days.iter().all(|day| !learned.contains(day)));
                        before
                    }
                };
                if !is_published {
                    // What was learned before is forgotten with the model that is not published.
                    if decision.mode == Mode::Rebuild {
                        last_model = None;
                    }
                    continue;
                }
                learned.extend(decision.days.iter().copied());
                let until = newest - 1;
                last_model = Some(LastModel { rebuilt_on, ..last(until, 0) });
            }
        }
    }
}
