//! How commands refuse: on standard error in words, and where it was asked for on standard output as JSON; both with who must act
//! and how.

use omomi::Error;
use omomi_train::operate::publish::PublishError;
use serde_json::{Value, json};

use crate::text::say;
use crate::{Failure, message_with_causes};

/// A refusal in both forms.
pub(crate) struct Refusal {
    code: String,
    owner: &'static str,
    message: String,
    action: String,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        PublishError::from(error).into()
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        Self {
            code: error.name().to_owned(),
            owner: error.owner().word(),
            message: message_with_causes(&error),
            action: error.action().to_owned(),
        }
    }
}

impl Refusal {
    /// Prints the JSON if it was asked for; the words are for `main` to print.
    pub(crate) fn report(self, json: bool) -> Failure {
        let Self { code, owner, message, action } = self;
        if json {
            let refused = json!({ "code": code, "owner": owner, "message": message, "action": action });
            print_json(&json!({ "refused": refused }));
        }
        format!("{message}\n  who must act: {owner}\n  what to do: {action}").into()
    }

    /// With words in front of the message.
    pub(crate) fn about(self, what: impl std::fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

/// Prints a value as the one JSON text on standard output.
pub(crate) fn print_json(value: &Value) {
    say!("{value:#}");
}
