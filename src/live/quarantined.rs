//! Quarantined: a content that was refused, so that it is passed over.

use serde_json::{Value, json};

use super::reason::Reason;
use crate::error::Code;
use crate::store::Digest;

/// A content that was refused and is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Digest of the content.
    pub digest: Digest,
    /// The generation under which it was published.
    pub generation: u64,
    /// The error code of the refusal.
    pub code: Code,
    /// The error message of the refusal.
    pub reason: String,
    /// When it was refused, in seconds since 1970.
    pub unix_seconds: u64,
    /// Whether the next process of this name keeps the entry. A refusal by this server's own limits ends with the
    /// process.
    pub is_lasting: bool,
    /// Version of the library that refused it.
    pub library: String,
}

impl Quarantined {
    pub(super) fn reason(&self) -> Reason {
        let text = format!("generation {} is in quarantine: {}", self.generation, self.reason);
        Reason { code: self.code, text }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "digest": self.digest.to_string(),
            "generation": self.generation,
            "code": self.code.name(),
            "owner": self.code.owner().word(),
            "reason": self.reason,
            "unix_seconds": self.unix_seconds,
            "is_lasting": self.is_lasting,
            "library": self.library,
        })
    }
}
