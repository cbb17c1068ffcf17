//! Which events count for a prediction, and in which run its row appears: pure functions of times and kinds.
//!
//! An event counts if it is at most the window later than the prediction. It may be a minute earlier, because two
//! machines have two clocks; its delay is then 0. Of several events of a kind, the first counts.
//!
//! A row appears once its window is closed, so that no click is missing. A run whose prediction waits leaves it to a
//! later run. An event that reaches the log after its prediction was joined makes the row appear again, marked as late.

use std::cmp::Reverse;

use omomi::serving_log::{EventKind, Money};

/// How much earlier than its prediction an event may be.
pub(super) const MAX_EARLY_MS: i64 = 60_000;

/// The rule of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    /// How much later than the prediction an event may be, in milliseconds.
    pub(super) window_ms: i64,
    /// Until when the log is complete: what is later is left to a later run.
    pub(super) until_unix_ms: i64,
}

/// An event of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventFact {
    pub(super) kind: EventKind,
    pub(super) at_unix_ms: i64,
    pub(super) money: Option<Money>,
}

/// How an event is related to its prediction in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timing {
    /// It counts, this many milliseconds after the prediction.
    Within(i64),
    /// It is too early to be an event of the prediction.
    TooEarly,
    /// It is after the window.
    TooLate,
}

impl Rule {
    /// Whether more events of a prediction may still come.
    pub(super) const fn is_open(self, served_unix_ms: i64) -> bool {
        served_unix_ms.saturating_add(self.window_ms) > self.until_unix_ms
    }

    pub(super) const fn timing(self, served_unix_ms: i64, at_unix_ms: i64) -> Timing {
        let delay_ms = at_unix_ms.saturating_sub(served_unix_ms);
        if delay_ms < -MAX_EARLY_MS {
            Timing::TooEarly
        } else if delay_ms > self.window_ms {
            Timing::TooLate
        } else {
            Timing::Within(if delay_ms < 0 { 0 } else { delay_ms })
        }
    }
}

/// What happened to a prediction: for each kind of event, the delay of the first one in milliseconds, and its money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) win: Option<(i64, Option<Money>)>,
    pub(super) impression: Option<(i64, Option<Money>)>,
    pub(super) click: Option<(i64, Option<Money>)>,
    pub(super) conversion: Option<(i64, Option<Money>)>,
}

/// What became of the events of a prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct EventCounts {
    pub(super) counted: u64,
    pub(super) repeated: u64,
    pub(super) too_early: u64,
    pub(super) too_late: u64,
}

/// Returns what happened to a prediction, whatever the order of its events.
pub(super) fn outcome(rule: Rule, served_unix_ms: i64, events: &mut [EventFact]) -> (Outcome, EventCounts) {
    // Of two first events, one with money says more. The rest of the order only makes it complete.
    events.sort_unstable_by_key(|event| {
        let money = event.money.map(|money| (money.basis, Reverse(money.micros), money.currency.code().to_owned()));
        (event.at_unix_ms, event.money.is_none(), event.kind, money)
    });
    let (mut outcome, mut counts) = (Outcome::default(), EventCounts::default());
    for event in events {
        let delay_ms = match rule.timing(served_unix_ms, event.at_unix_ms) {
            Timing::Within(delay_ms) => delay_ms,
            Timing::TooEarly => {
                counts.too_early += 1;
                continue;
            }
            Timing::TooLate => {
                counts.too_late += 1;
                continue;
            }
        };
        let first = match event.kind {
            EventKind::Win => &mut outcome.win,
            EventKind::Impression => &mut outcome.impression,
            EventKind::Click => &mut outcome.click,
            EventKind::Conversion => &mut outcome.conversion,
        };
        if first.is_some() {
            counts.repeated += 1;
        } else {
            *first = Some((delay_ms, event.money));
            counts.counted += 1;
        }
    }
    (outcome, counts)
}

/// What an earlier run's output says of a prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) won: bool,
    pub(super) clicked: bool,
    pub(super) converted: bool,
}

impl Joined {
    /// Adds what another output says, because a row that was late is in two.
    pub(super) const fn or(self, other: Self) -> Self {
        Self {
            won: self.won || other.won,
            clicked: self.clicked || other.clicked,
            converted: self.converted || other.converted,
        }
    }
}

/// What a run does with a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its window is open: a later run writes it.
    Waits,
    /// It is written.
    New,
    /// It was written by an earlier run, and is written again, because an event came late.
    Late,
    /// An earlier run has written all of it.
    Done,
}

pub(super) const fn fate(is_open: bool, earlier: Option<Joined>, outcome: &Outcome) -> Fate {
    match earlier {
        _ if is_open => Fate::Waits,
        None => Fate::New,
        Some(earlier) => {
            let is_late = (outcome.win.is_some() && !earlier.won)
                || (outcome.click.is_some() && !earlier.clicked)
                || (outcome.conversion.is_some() && !earlier.converted);
            if is_late { Fate::Late } else { Fate::Done }
        }
    }
}

#[cfg(test)]
mod tests {
    use omomi::serving_log::{Basis, Currency};
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = EventFact> {
        let money = (1_i64..4).prop_map(|micros| Money {
            micros,
            currency: Currency::new(if micros == 2 { "USD" } else { "JPY" }).unwrap(),
            basis: if micros == 3 { Basis::Click } else { Basis::Impression },
        });
        (0..EventKind::ALL.len(), -100_000_i64..100_000, prop::option::of(money))
            .prop_map(|(kind, at_unix_ms, money)| EventFact { kind: EventKind::ALL[kind], at_unix_ms, money })
    }

    proptest! {
        #[test]
        fn each_event_is_counted_once_and_the_order_does_not_matter(
            events in prop::collection::vec(event(), 0..20),
            window_ms in 0_i64..80_000,
            seed in any::<u64>(),
        ) {
            let rule = Rule { window_ms, until_unix_ms: i64::MAX };
            let mut shuffled = events.clone();
            let len = shuffled.len().max(1) as u64;
            for (place, step) in (0..shuffled.len()).zip(seed % 97..) {
                shuffled.swap(place, usize::try_from(step.wrapping_mul(31) % len).unwrap());
            }
            let mut events = events;
            let (found, counts) = outcome(rule, 0, &mut events);
            prop_assert_eq!((found, counts), outcome(rule, 0, &mut shuffled));
            let total = counts.counted + counts.repeated + counts.too_early + counts.too_late;
            prop_assert_eq!(total, events.len() as u64);
            // The plain twin: the smallest delay among the clicks in the window.
            let clicks = events.iter().filter(|event| event.kind == EventKind::Click);
            let within = clicks.filter(|event| (-MAX_EARLY_MS..=window_ms).contains(&event.at_unix_ms));
            let first = within.map(|event| event.at_unix_ms).min().map(|at| at.max(0));
            prop_assert_eq!(found.click.map(|(delay, _)| delay), first);
        }

        /// Runs at ascending times, each with the outputs of those before: each prediction is new in exactly one run,
        /// and no event that counts is missing in the end, whenever it reaches the log.
        #[test]
        fn no_click_is_lost_and_no_row_is_new_twice(
            arrivals in prop::collection::vec((0_i64..100, 0_i64..300), 0..6),
            served in 0_i64..100,
            mut untils in prop::collection::vec(0_i64..400, 1..8),
        ) {
            untils.sort_unstable();
            untils.push(1_000);
            let (mut new, mut earlier, mut clicked) = (0, None::<Joined>, false);
            for until_unix_ms in untils {
                let rule = Rule { window_ms: 100, until_unix_ms };
                // An event is at `at` after the prediction, and is in the log `arrival` later.
                let there = arrivals.iter().filter(|(at, arrival)| served + at + arrival <= until_unix_ms);
                let mut events: Vec<_> = there
                    .map(|(at, _)| EventFact { kind: EventKind::Click, at_unix_ms: served + at, money: None })
                    .collect();
                let (outcome, _) = outcome(rule, served, &mut events);
                let fate = fate(rule.is_open(served), earlier, &outcome);
                new += u32::from(fate == Fate::New);
                if matches!(fate, Fate::New | Fate::Late) {
                    let now = Joined { clicked: outcome.click.is_some(), ..Joined::default() };
                    prop_assert!(fate == Fate::New || now != earlier.unwrap());
                    clicked |= now.clicked;
                    earlier = Some(earlier.unwrap_or_default().or(now));
                }
            }
            prop_assert_eq!(new, 1);
            prop_assert_eq!(clicked, !arrivals.is_empty());
        }
    }

    #[test]
    fn the_ends_of_the_window_belong_to_it() {
        let rule = Rule { window_ms: 10, until_unix_ms: 110 };
        assert!(!rule.is_open(100));
        assert!(rule.is_open(101));
        assert_eq!(rule.timing(100, 110), Timing::Within(10));
        assert_eq!(rule.timing(100, 111), Timing::TooLate);
        assert_eq!(rule.timing(100, 100 - MAX_EARLY_MS), Timing::Within(0));
        assert_eq!(rule.timing(100, 99 - MAX_EARLY_MS), Timing::TooEarly);
        assert!(!Rule { window_ms: i64::MAX, until_unix_ms: i64::MAX }.is_open(i64::MAX));
        assert_eq!(rule.timing(i64::MIN, i64::MAX), Timing::TooLate);
    }
}
