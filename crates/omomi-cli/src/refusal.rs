//! The output of a command that rejects its input: text on standard error, and with `--json` JSON on standard output.
//!
//! Both say who must act and what to do.

use omomi::Error;
use omomi::error::Owner;
use omomi_train::bucket::BucketError;
use omomi_train::operate::bucket_store::BucketStoreError;
use omomi_train::operate::publish::PublishError;
use serde_json::{Value, json};

use crate::output::say;
use crate::{Failure, message_with_causes};

/// A rejected input: what is wrong, who must act, and what to do.
pub(crate) struct Refusal {
    code: String,
    owner: &'static str,
    message: String,
    action: String,
    is_temporary: bool,
}

/// A refusal that was reported, as the error that ends the command.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refused {
    text: String,
    is_temporary: bool,
}

impl Refused {
    /// Whether trying again later may succeed without any other change.
    pub(crate) const fn is_temporary(&self) -> bool {
        self.is_temporary
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        PublishError::from(error).into()
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        Self::new(error.name().to_owned(), error.owner(), &error, error.action().to_owned())
    }
}

impl From<BucketError> for Refusal {
    fn from(error: BucketError) -> Self {
        Self::new(error.name().to_owned(), error.owner(), &error, error.action().to_owned())
    }
}

impl From<BucketStoreError> for Refusal {
    fn from(error: BucketStoreError) -> Self {
        let is_temporary = matches!(&error, BucketStoreError::Bucket(error) if error.is_temporary());
        let refusal = Self::new(error.name().to_owned(), error.owner(), &error, error.action().to_owned());
        refusal.temporary_if(is_temporary)
    }
}

impl Refusal {
    pub(crate) fn new(code: String, owner: Owner, error: &(dyn std::error::Error + 'static), action: String) -> Self {
        // A bucket knows better than the step that used it.
        let bucket = BucketError::within(error);
        let (code, owner, action) = bucket.map_or((code, owner, action), |bucket| {
            (bucket.name().to_owned(), bucket.owner(), bucket.action().to_owned())
        });
        let is_temporary = bucket.is_some_and(BucketError::is_temporary);
        Self { code, owner: owner.word(), message: message_with_causes(error), action, is_temporary }
    }

    /// Says that trying again later may help, if it does.
    pub(crate) fn temporary_if(self, is_temporary: bool) -> Self {
        Self { is_temporary: self.is_temporary || is_temporary, ..self }
    }

    /// Changes the message.
    pub(crate) fn with_message(self, change: impl FnOnce(&str) -> String) -> Self {
        Self { message: change(&self.message), ..self }
    }

    /// Prints the JSON if `json` is true, and returns the text, which `main` prints.
    pub(crate) fn report(self, json: bool) -> Failure {
        let Self { code, owner, message, action, is_temporary } = self;
        if json {
            let refused = json!({ "code": code, "owner": owner, "message": message, "action": action });
            print_json(&json!({ "refused": refused }));
        }
        let text = format!("{message}\n  who must act: {owner}\n  what to do: {action}");
        Refused { text, is_temporary }.into()
    }

    /// Prefixes the message with `what`, such as the path of a file.
    pub(crate) fn about(self, what: impl std::fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

/// Prints a value as JSON on standard output.
pub(crate) fn print_json(value: &Value) {
    say!("{value:#}");
}
