//! What a serving process observes.

use super::super::reason::Reason;
use super::journal::Pardon;
use crate::store::{Control, Current, Digest};

/// What one look at the store and at the requests found.
#[derive(Debug, Clone)]
pub(in crate::live) struct Seen {
    /// The orders in force.
    pub(in crate::live) control: Control,
    /// The content of `current`.
    pub(in crate::live) current: Result<Option<Current>, Reason>,
    /// Generations that have a file, in ascending order.
    pub(in crate::live) files: Vec<u64>,
    /// Orders to take a content out of quarantine.
    pub(in crate::live) pardons: Vec<Pardon>,
    /// Milliseconds for which the process ran with scoring switched on, since it started.
    pub(in crate::live) ran_ms: u64,
    /// Requests that were scored since the process started.
    pub(in crate::live) scored: u64,
    /// Requests that panicked since the process started.
    pub(in crate::live) panics: u64,
    /// The time for people, in seconds since 1970. Nothing is decided by it.
    pub(in crate::live) unix_seconds: u64,
}

/// Why a file was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) struct Refusal {
    pub(in crate::live) reason: Reason,
    /// Digest of its bytes, if they were read.
    pub(in crate::live) digest: Option<Digest>,
    pub(in crate::live) kind: RefusalKind,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) enum RefusalKind {
    /// The bytes: they are refused under any name.
    Content {
        /// Whether the next process need not try either: the file is at fault, and not the limits of this server.
        is_lasting: bool,
    },
    /// The name or the place of the file: until the file changes.
    Name,
    /// Something that may be over a moment later.
    Passing,
}

/// How a load ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) enum Loaded {
    /// The generation answers.
    Served(Current),
    Refused(Refusal),
    /// A new order, or the end of the process.
    Interrupted,
}
