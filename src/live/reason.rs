//! Reason: a problem that a serving process reports, with its owner.

use serde_json::{Value, json};

use crate::error::{Code, Error, Owner};

/// A problem, and who must act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Its error code.
    pub code: Code,
    /// What was expected, what was found, and what to do.
    pub text: String,
}

impl Reason {
    pub(crate) fn of(error: &Error) -> Self {
        Self { code: error.code(), text: error.short_message() }
    }

    /// Returns who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.code.owner()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "code": self.code.name(), "owner": self.owner().word(), "text": self.text, "action": self.code.action() })
    }
}
