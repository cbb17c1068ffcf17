//! Why a bucket did not do what it was asked.

use omomi::error::Owner;

/// Why something in a bucket cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The text is neither a path nor an address.
    #[error("`{found}` is not an address: expected {expected}")]
    NoAddress {
        /// The text.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The environment does not say how to reach the bucket.
    #[error("cannot reach {address}: {problem}; set the variables of the service, such as AWS_REGION")]
    Settings {
        /// The address.
        address: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no such bucket.
    #[error("{address}: there is no such bucket")]
    NoBucket {
        /// The address.
        address: String,
    },
    /// There is no such object.
    #[error("{address} does not exist")]
    Missing {
        /// The address.
        address: String,
    },
    /// The credentials do not allow it.
    #[error("no permission to {action} {address}: {problem}")]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The address.
        address: String,
        /// What the service said.
        problem: String,
    },
    /// The service did not answer, or not as it should.
    #[error("cannot {action} {address}: {problem}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// The address.
        address: String,
        /// What the service said.
        problem: String,
    },
    /// The object is not what a part of it belongs to any more.
    #[error("{address} was replaced while it was read")]
    Replaced {
        /// The address.
        address: String,
    },
    /// An object that was written has other bytes when it is read.
    #[error("{address} has other bytes than were written")]
    OtherBytes {
        /// The address.
        address: String,
    },
    /// An object is longer than what it should be.
    #[error("{address} is too long: expected at most {expected} bytes, found {found}")]
    TooLong {
        /// The address.
        address: String,
        /// Maximum number of bytes.
        expected: u64,
        /// Its number of bytes.
        found: u64,
    },
    /// The bucket accepts a second object under one name, or replaces what has changed. Two publishers would then
    /// overwrite each other.
    #[error(
        "{address} ignores conditions: expected it to refuse {what}, but it accepted; two publishers could overwrite \
         each other"
    )]
    IgnoresConditions {
        /// The address.
        address: String,
        /// What it should have refused.
        what: &'static str,
    },
    /// The bucket does not tell the versions of an object apart.
    #[error("{address} does not tell versions of an object apart: expected a strong ETag, found {found}")]
    NoVersions {
        /// The address.
        address: String,
        /// The ETag.
        found: String,
    },
    /// A local file cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: String,
        /// The error of the operating system.
        source: std::sync::Arc<std::io::Error>,
    },
}

impl BucketError {
    /// Returns the error that a reader of an object passed on.
    pub(crate) fn of(error: std::io::Error, address: String) -> Self {
        error.downcast().unwrap_or_else(|error| Self::Failed { action: "read", address, problem: error.to_string() })
    }

    /// Returns the error of a bucket that another error is or holds.
    #[must_use]
    pub fn within<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let held = held.map(|held| held as &(dyn std::error::Error + 'static));
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            // The source of an error of the operating system is not the error that it holds, but the source of that.
            if let Some(found) = held.and_then(Self::within) {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    /// Whether trying again later may succeed without any other change.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// The stable name of the error in snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.facts().0
    }

    /// Who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.facts().1
    }

    /// What they must do.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.facts().2
    }

    const fn facts(&self) -> (&'static str, Owner, &'static str) {
        use Owner::{Infra, Ml};
        match self {
            Self::NoAddress { .. } => ("no_address", Ml, "correct the address"),
            Self::Settings { .. } => ("bucket_settings", Infra, "set the variables that the service reads"),
            Self::Missing { .. } => ("object_missing", Ml, "check the address; nothing was written there"),
            Self::NoBucket { .. } => ("no_bucket", Infra, "create the bucket, or correct the address"),
            Self::Denied { .. } => {
                ("bucket_denied", Infra, "give these credentials the permission, and check the clock of this machine")
            }
            Self::Failed { .. } => ("bucket_failed", Infra, "check the network and the service, then try again"),
            Self::Replaced { .. } => ("object_replaced", Ml, "wait until no process writes it, then read it again"),
            Self::OtherBytes { .. } => {
                ("object_other_bytes", Infra, "check whether another process writes it, and the service")
            }
            Self::TooLong { .. } => ("object_too_long", Ml, "check the address"),
            Self::IgnoresConditions { .. } => {
                ("bucket_ignores_conditions", Infra, "use a bucket that supports If-None-Match and If-Match")
            }
            Self::NoVersions { .. } => (
                "bucket_has_no_versions",
                Infra,
                "use a service that gives strong ETags, and no proxy that drops or weakens them",
            ),
            Self::File { .. } => ("file", Infra, "check the disk and the permissions"),
        }
    }
}
