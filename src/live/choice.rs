//! Decides which generation should be served, from the control file, `current` and the journal. Pure functions: this
//! module reads and changes nothing.

use crate::error::Error;
use crate::store::{Control, Current, Digest};

/// A generation that should be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) generation: u64,
    /// Digest of its file, if known.
    pub(super) digest: Option<Digest>,
    /// Whether somebody pinned exactly this generation, so that it may be older than the served one.
    pub(super) is_pinned: bool,
}

impl Wanted {
    pub(super) const fn of(current: Current) -> Self {
        Self { generation: current.generation, digest: Some(current.digest), is_pinned: false }
    }

    const fn pinned(generation: u64) -> Self {
        Self { generation, digest: None, is_pinned: true }
    }

    /// Whether `served` is the wanted generation.
    pub(super) fn is(&self, served: Current) -> bool {
        self.generation == served.generation && self.digest.is_none_or(|digest| digest == served.digest)
    }
}

/// The inputs of the decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub(super) control: Control,
    pub(super) current: Option<Current>,
    pub(super) served: Option<Current>,
    /// The last good generation, according to the journal.
    pub(super) good: Option<Current>,
}

/// Returns the generation that should be served now, or `None` if nothing has to change.
pub(super) fn wanted(situation: &Situation) -> Option<Wanted> {
    let wanted = match situation.control {
        Control::Off => None,
        Control::Pin(generation) => Some(Wanted::pinned(generation)),
        // A process that starts without a `current`, or while the store is frozen, continues with its predecessor's
        // generation.
        Control::Follow if situation.served.is_none() => situation.current.or(situation.good).map(Wanted::of),
        Control::Follow => situation.current.map(Wanted::of),
        Control::Freeze if situation.served.is_none() => situation.good.or(situation.current).map(Wanted::of),
        Control::Freeze => None,
    };
    wanted.filter(|wanted| !situation.served.is_some_and(|served| wanted.is(served)))
}

/// Refuses a generation older than the served one (unless pinned) or below `min_generation`, and a generation number
/// that was reused for other bytes.
pub(super) fn check_order(wanted: &Wanted, situation: &Situation, min_generation: u64) -> Result<(), Error> {
    if wanted.generation < min_generation {
        return Err(Error::GenerationBehind { expected: min_generation, found: wanted.generation });
    }
    if wanted.is_pinned {
        return Ok(());
    }
    let Some(before) = situation.served.or(situation.good) else { return Ok(()) };
    if wanted.generation < before.generation {
        return Err(Error::GenerationBehind { expected: before.generation, found: wanted.generation });
    }
    if wanted.generation == before.generation && !wanted.is(before) {
        return Err(Error::NameReused { generation: wanted.generation });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn current(generation: u64) -> Current {
        Current { generation, digest: Digest::of(&generation.to_le_bytes()) }
    }

    const NOTHING: Situation = Situation { control: Control::Follow, current: None, served: None, good: None };

    #[test]
    fn what_was_published_last_is_wanted_until_it_is_served() {
        let situation = Situation { current: Some(current(42)), served: Some(current(41)), ..NOTHING };
        assert_eq!(wanted(&situation), Some(Wanted::of(current(42))));
        assert_eq!(wanted(&Situation { served: Some(current(42)), ..situation }), None);
        assert_eq!(wanted(&NOTHING), None);
    }

    #[test]
    fn a_start_without_a_current_serves_the_last_good_generation() {
        let started = Situation { good: Some(current(41)), ..NOTHING };
        assert_eq!(wanted(&started), Some(Wanted::of(current(41))));
        assert_eq!(wanted(&Situation { served: Some(current(41)), ..started }), None);
    }

    #[test]
    fn while_frozen_nothing_is_wanted_and_a_start_serves_the_last_good_generation() {
        let frozen = Situation { control: Control::Freeze, current: Some(current(42)), ..NOTHING };
        assert_eq!(wanted(&Situation { served: Some(current(41)), ..frozen }), None);
        assert_eq!(wanted(&Situation { good: Some(current(40)), ..frozen }), Some(Wanted::of(current(40))));
        assert_eq!(wanted(&frozen), Some(Wanted::of(current(42))));
    }

    #[test]
    fn nothing_is_wanted_while_scoring_is_off() {
        assert_eq!(wanted(&Situation { control: Control::Off, current: Some(current(42)), ..NOTHING }), None);
    }

    #[test]
    fn only_a_pin_goes_back_to_an_older_generation() {
        let situation =
            Situation { control: Control::Pin(40), current: Some(current(42)), served: Some(current(42)), ..NOTHING };
        let pinned = wanted(&situation).unwrap();
        assert_eq!(pinned, Wanted::pinned(40));
        check_order(&pinned, &situation, 0).unwrap();
        let back = check_order(&Wanted::of(current(40)), &situation, 0).unwrap_err();
        assert_eq!(back.code(), Code::GenerationBehind);
        let started = Situation { served: None, good: Some(current(42)), ..situation };
        assert!(check_order(&Wanted::of(current(40)), &started, 0).is_err());
        let too_far = check_order(&pinned, &situation, 41).unwrap_err();
        assert_eq!(too_far.code(), Code::GenerationBehind);
    }

    #[test]
    fn a_generation_number_reused_for_other_bytes_is_refused() {
        let reused = Wanted { digest: Some(Digest::of(b"another")), ..Wanted::of(current(42)) };
        let situation = Situation { current: Some(current(42)), served: Some(current(42)), ..NOTHING };
        assert_eq!(check_order(&reused, &situation, 0).unwrap_err().code(), Code::NameReused);
        assert!(check_order(&Wanted::of(current(42)), &situation, 0).is_ok());
    }
}
