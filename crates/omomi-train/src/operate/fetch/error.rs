//! Why a pass of fetch stopped.

use std::io;
use std::path::{Path, PathBuf};

use omomi::error::{Error, Owner};
use omomi::store::Digest;

use super::super::publish::PublishError;
use crate::bucket::BucketError;

/// Why a pass stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The bucket did not do what it was asked.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The store on the disk cannot be changed, or a weight file is bad.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A text of the bucket is malformed.
    #[error("{address} is malformed: expected {expected}, found {found}")]
    Malformed {
        /// The object.
        address: String,
        /// What was expected.
        expected: String,
        /// Its text.
        found: String,
    },
    /// The bytes of a weight file are not those that were published.
    #[error("{address} has other bytes than were published: expected the digest {expected}, found {found}")]
    OtherBytes {
        /// The object.
        address: String,
        /// The digest in `current` or `control`.
        expected: Digest,
        /// The digest of what was copied.
        found: Digest,
    },
    /// The bucket names an older generation than the store, or other bytes under the same number.
    #[error(
        "{address} names generation {found}, but the store already has generation {present}: expected the same or a \
         newer one"
    )]
    GoesBack {
        /// The object `current`.
        address: String,
        /// The generation of the bucket.
        found: u64,
        /// The generation of the store.
        present: u64,
    },
    /// A weight file of the store has other bytes than were published.
    #[error("{path} has other bytes than were published: expected the digest {expected}, found {found}")]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// The digest in `current` or `control` of the bucket.
        expected: Digest,
        /// Its digest.
        found: Digest,
    },
    /// The present version of an object was refused by an earlier pass.
    #[error(
        "{problem}; the bucket still has this object, which is copied again after {wait_seconds} s at the earliest"
    )]
    RefusedBefore {
        /// The stable name of the error of that pass.
        code: String,
        /// Who must act.
        owner: Owner,
        /// What was wrong.
        problem: String,
        /// Seconds until it is copied again.
        wait_seconds: u64,
    },
    /// The bucket does not say what is published, although the store was fetched from it.
    #[error("{address} does not exist: expected it to name generation {present}, which the store has, or a newer one")]
    CurrentMissing {
        /// The object `current`.
        address: String,
        /// The generation of the store.
        present: u64,
    },
    /// What the last pass wrote down cannot be read.
    #[error("{path} is malformed: expected what the last omomi fetch wrote, found {problem}")]
    Memory {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another process writes to the store.
    #[error("{dir} is in use: another omomi fetch, or an omomi publish, works on it")]
    Busy {
        /// The store.
        dir: PathBuf,
    },
    /// The store was fetched from another bucket.
    #[error("{dir} was fetched from {expected}: expected that address, found {found}")]
    OtherBucket {
        /// The store.
        dir: PathBuf,
        /// Where it came from.
        expected: String,
        /// The address now.
        found: String,
    },
}

impl FetchError {
    /// The stable name of the error in snake case.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Bucket(error) => error.name(),
            Self::Publish(error) => error.name(),
            Self::Malformed { .. } => "store_malformed",
            Self::OtherBytes { .. } => "digest_mismatch",
            Self::GoesBack { .. } => "goes_back",
            Self::OtherBucket { .. } => "other_bucket",
            Self::OtherFile { .. } => "digest_mismatch",
            Self::RefusedBefore { code, .. } => code,
            Self::CurrentMissing { .. } => "current_missing",
            Self::Memory { .. } => "memory_malformed",
            Self::Busy { .. } => "busy",
        }
    }

    /// Who must act.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Self::Bucket(error) => error.owner(),
            Self::Publish(error) => error.owner(),
            Self::RefusedBefore { owner, .. } => *owner,
            Self::Malformed { .. } | Self::OtherBytes { .. } | Self::GoesBack { .. } | Self::CurrentMissing { .. } => {
                Owner::Ml
            }
            Self::OtherBucket { .. } | Self::OtherFile { .. } | Self::Memory { .. } | Self::Busy { .. } => Owner::Infra,
        }
    }

    /// What they must do.
    #[must_use]
    pub fn action(&self) -> &str {
        match self {
            Self::Bucket(error) => error.action(),
            Self::Publish(error) => error.action(),
            Self::Malformed { .. } => "publish again, or give the order again",
            Self::OtherBytes { .. } | Self::RefusedBefore { .. } => {
                "publish a new generation; never write to the bucket by hand"
            }
            Self::GoesBack { .. } => "if the bucket was made again, fetch it into a new directory",
            Self::OtherBucket { .. } => "fetch into another directory",
            Self::OtherFile { .. } => "move the file away; the next pass brings it again",
            Self::CurrentMissing { .. } => "find out who removed it, and publish again; servers go on meanwhile",
            Self::Memory { .. } => "delete it",
            Self::Busy { .. } => "run one omomi fetch for each directory",
        }
    }
}

/// Returns what makes the error of a system call that did `action` to `path`.
pub(super) fn file_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| PublishError::from(Error::File { action, path: path.clone(), source }).into()
}
