//! Rules that the simulation switches off, one at a time, to show that it notices. Elsewhere all rules are on.

use super::Known;

/// A rule of the decisions that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) enum Fault {
    DeathsWithoutEvidence,
    OneProven,
    ServedIsForgotten,
    LoadingIsNoAttempt,
    DeadlyIsServed,
    FewOlderTried,
    OtherContentIsServed,
    OldIsRefused,
    ProvenWhileIdle,
    TrialOfProven,
    SiblingsAreIgnored,
    PauseIsShort,
    // The next ones are faults of what surrounds the decisions, so the simulated process makes them.
    #[cfg(test)]
    AbsentMeansFollow,
    #[cfg(test)]
    OrdersAreForgotten,
    #[cfg(test)]
    FreezeSwitchesOn,
    #[cfg(test)]
    OrderlyEndIsADeath,
    #[cfg(test)]
    CopyBlames,
}

impl<S> Known<S> {
    #[cfg(test)]
    pub(super) fn is_faulty(&self, fault: Fault) -> bool {
        self.settings.fault == Some(fault)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests look at the settings")]
    pub(super) const fn is_faulty(&self, _fault: Fault) -> bool {
        false
    }
}
