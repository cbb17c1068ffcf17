//! Which generation ought to be served: a decision over what people, the store and the journal say, apart from all doing.

use crate::error::Error;
use crate::store::{Control, Current, Digest};

/// A generation that ought to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) generation: u64,
    /// Digest of its file, where that is known.
    pub(super) digest: Option<Digest>,
    /// Whether people asked for this very generation, so that it may be an older one.
    pub(super) is_pinned: bool,
}

impl Wanted {
    pub(super) const fn of(current: Current) -> Self {
        Self { generation: current.generation, digest: Some(current.digest), is_pinned: false }
    }

    const fn pinned(generation: u64) -> Self {
        Self { generation, digest: None, is_pinned: true }
    }

    /// Whether `served` is what is wanted.
    pub(super) fn is(&self, served: Current) -> bool {
        self.generation == served.generation && self.digest.is_none_or(|digest| digest == served.digest)
    }
}

/// What the decision is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub(super) control: Control,
    pub(super) current: Option<Current>,
    pub(super) served: Option<Current>,
    /// What the journal says was good last.
    pub(super) good: Option<Current>,
}

/// The generation that ought to be served now; nothing where all is as it should be.
pub(super) fn wanted(situation: &Situation) -> Option<Wanted> {
    let wanted = match situation.control {
        Control::Off => None,
        Control::Pin(generation) => Some(Wanted::pinned(generation)),
        // A process that starts without a `current`, or while all is frozen, goes on with what the one before it served.
        Control::Follow if situation.served.is_none() => situation.current.or(situation.good).map(Wanted::of),
        Control::Follow => situation.current.map(Wanted::of),
        Control::Freeze if situation.served.is_none() => situation.good.or(situation.current).map(Wanted::of),
        Control::Freeze => None,
    };
    wanted.filter(|wanted| !situation.served.is_some_and(|served| wanted.is(served)))
}

/// Refuses to serve `wanted` behind what was served already, or under a name that means something else by now.
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
    fn a_start_without_a_current_goes_on_with_what_was_good() {
        let started = Situation { good: Some(current(41)), ..NOTHING };
        assert_eq!(wanted(&started), Some(Wanted::of(current(41))));
        assert_eq!(wanted(&Situation { served: Some(current(41)), ..started }), None);
    }

    #[test]
    fn while_frozen_nothing_is_wanted_and_a_start_goes_on_with_what_was_good() {
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
    fn a_pin_goes_back_and_nothing_else_does() {
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
    fn a_name_that_means_another_content_by_now_is_refused() {
        let reused = Wanted { digest: Some(Digest::of(b"another")), ..Wanted::of(current(42)) };
        let situation = Situation { current: Some(current(42)), served: Some(current(42)), ..NOTHING };
        assert_eq!(check_order(&reused, &situation, 0).unwrap_err().code(), Code::NameReused);
        assert!(check_order(&Wanted::of(current(42)), &situation, 0).is_ok());
    }
}
