//! What a serving process remembers, and how its predecessor ended.

use super::deaths::Deaths;
use crate::store::{Current, Digest, Named};

/// Maximum number of proven generations that are remembered.
pub(in crate::live) const MAX_PROVEN: usize = 8;

/// What the next process of this name must know, apart from the orders and the quarantine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::live) struct Journal {
    /// What is served.
    pub(in crate::live) served: Option<Current>,
    /// The newest generation that was served because it was published.
    pub(in crate::live) followed: Option<Current>,
    /// What an order without a digest turned out to mean.
    pub(in crate::live) resolved: Option<Current>,
    /// What is being loaded, or is on trial.
    pub(in crate::live) attempt: Option<Attempt>,
    /// Proven generations, the latest first.
    pub(in crate::live) proven: Vec<Current>,
    pub(in crate::live) deaths: Vec<Deaths>,
    /// Deaths of other processes that a pin has forgiven.
    pub(in crate::live) forgiven: Vec<Deaths>,
    /// Pardons that were obeyed.
    pub(in crate::live) pardons: Vec<Pardon>,
}

/// A generation that is not proven yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) struct Attempt {
    pub(in crate::live) what: Named,
    pub(in crate::live) phase: Phase,
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) enum Phase {
    /// It is being read and verified.
    Loading,
    /// It answers.
    Trial,
}

/// An order of people to take a content out of quarantine. The token makes each order obeyed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) struct Pardon {
    pub(in crate::live) digest: Digest,
    pub(in crate::live) token: u64,
}

/// How a process ended, as far as there is evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) enum Ended {
    /// It ended in order.
    Orderly,
    /// It is gone without an orderly end, on this machine, since the last boot, with this very store.
    Died,
    /// It lives, or it lived on another machine, before a reboot, or with another store.
    Unknown,
}

/// What a process finds when it opens its state.
#[derive(Debug, Clone)]
pub(in crate::live) struct Inherited {
    pub(in crate::live) journal: Journal,
    pub(in crate::live) ended: Ended,
}
