//! Errors of changes to a store: the cause, who must act, and how.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::settings::{NoSettings, SettingsFaults};
use omomi::error::{Error, Owner};
use omomi::store::Digest;

use super::warning::ratio;

/// Why a store was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A file cannot be read or written, is not a weight file, or is damaged.
    #[error(transparent)]
    Serving(#[from] Error),
    /// Another process is publishing to the store.
    #[error("{dir} is locked: another publication is in progress")]
    Busy {
        /// The store.
        dir: PathBuf,
    },
    /// The folder is not a store.
    #[error("{dir} is not a store: expected a folder `generations` in it, found none")]
    NotAStore {
        /// The folder.
        dir: PathBuf,
    },
    /// `limits.toml` is not valid.
    #[error(transparent)]
    Limits(#[from] SettingsFaults),

    /// The generation is not newer than the published ones.
    #[error("generation {found} is not newer: expected one above {newest}, the newest published one")]
    NotNewer {
        /// The newest generation.
        newest: u64,
        /// The generation of the file.
        found: u64,
    },
    /// The generation's number is so far above the others that it may be a typing error.
    #[error("generation {found} is too far ahead: expected at most {expected}, {}", newest_text(*newest))]
    TooFarAhead {
        /// The newest generation, if there is one.
        newest: Option<u64>,
        /// Largest number that is accepted.
        expected: u64,
        /// The generation of the file.
        found: u64,
    },
    /// A file of this generation with other bytes exists, which was never published.
    #[error("{path} already exists with other bytes: expected the digest {expected}, found {found}")]
    NameTaken {
        /// The existing file.
        path: PathBuf,
        /// Its digest.
        expected: Digest,
        /// The digest of the file to publish.
        found: Digest,
    },
    /// The file was changed while it was being read.
    #[error("the file changed while it was being copied: expected generation {expected}, found {found}")]
    Changed {
        /// The generation in its header at the start.
        expected: u64,
        /// The generation in the header of the copy.
        found: u64,
    },
    /// The bytes on the disk differ from the bytes that were written.
    #[error("{path} does not read back as it was written: expected the digest {expected}, found {found}")]
    ReadBackDiffers {
        /// The file.
        path: PathBuf,
        /// The digest of the written bytes.
        expected: Digest,
        /// The digest of the bytes that were read back.
        found: Digest,
    },

    /// The file has no blessing.
    #[error("the file has no blessing: expected {}, which omomi gate writes for a file that passes", path.display())]
    NoBlessing {
        /// The expected path of the blessing.
        path: PathBuf,
    },
    /// The blessing cannot be parsed.
    #[error("{} is not a blessing: expected JSON with the digest of the file", path.display())]
    NotABlessing {
        /// The file.
        path: PathBuf,
    },
    /// The blessing is for other bytes.
    #[error("the blessing is for another file: expected the digest {expected}, found {found}")]
    BlessingOfOther {
        /// The digest in the blessing.
        expected: Digest,
        /// The digest of the file.
        found: Digest,
    },
    /// The blessing compares the file with something else than what the store serves.
    #[error("the blessing is stale: expected a comparison with what the store serves now ({expected}), found {found}")]
    BlessingIsStale {
        /// Digest of what the store serves.
        expected: String,
        /// Digest of the baseline in the blessing.
        found: String,
    },

    /// The file was made of another one than the store serves, by changing single weights.
    #[error(
        "the file is an amendment of another file: expected one of what the store serves now ({expected}), found one of \
         {found}"
    )]
    AmendsOther {
        /// Digest of what the store serves.
        expected: String,
        /// Digest of the file that was amended.
        found: String,
    },

    /// The verification process could not be started.
    #[error("cannot start {program} to verify the file")]
    NoVerifier {
        /// The program.
        program: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The verification process took too long.
    #[error("verification took longer than {} seconds and was stopped", time_limit.as_secs_f64())]
    VerifierTooSlow {
        /// The time limit.
        time_limit: Duration,
    },
    /// The verification process crashed or returned an unknown exit code.
    #[error("the verification process failed: expected exit code 0 or 1, found {status}{}", said(message))]
    VerifierFailed {
        /// How it ended.
        status: ExitStatus,
        /// Its last output.
        message: String,
    },
    /// The file was verified and is bad.
    #[error("{message}")]
    NotVerified {
        /// The stable name of the code.
        code: String,
        /// Who must act.
        owner: Owner,
        /// What is wrong.
        message: String,
        /// What they must do.
        action: String,
    },

    /// The file is smaller than the limits allow.
    #[error("the file is too small: expected at least {expected} bytes, found {found}")]
    TooSmall {
        /// Minimum number of bytes.
        expected: u64,
        /// Number of bytes of the file.
        found: u64,
    },
    /// The file is larger than the limits allow.
    #[error("the file is too large: expected at most {expected} bytes, found {found}")]
    TooLarge {
        /// Maximum number of bytes.
        expected: u64,
        /// Number of bytes of the file.
        found: u64,
    },
    /// The file's length differs too much from the last files.
    #[error(
        "the file's size is unusual: expected {} to {} times the median of the last files ({median} bytes), \
         found {:.2} times ({found} bytes)",
        expected[0], expected[1], ratio(*found, *median)
    )]
    UnusualLen {
        /// Minimum and maximum ratio.
        expected: [f64; 2],
        /// Median length of the last files, in bytes.
        median: u64,
        /// Number of bytes of the file.
        found: u64,
    },
    /// The number of weights of a field differs too much from the last files.
    #[error(
        "the number of weights of `{field}` is unusual: expected {} to {} times the median of the last files \
         ({median}), found {:.2} times ({found})",
        expected[0], expected[1], ratio(*found, *median)
    )]
    UnusualFieldSize {
        /// The field or cross.
        field: String,
        /// Minimum and maximum ratio.
        expected: [f64; 2],
        /// Median number of weights in the last files.
        median: u64,
        /// Number of its weights in the file.
        found: u64,
    },
    /// A field has more features than the limits allow.
    #[error("field `{field}` has too many features: expected at most {expected}, found {found}")]
    TooManyFeatures {
        /// The field or cross.
        field: String,
        /// Maximum number of features.
        expected: u64,
        /// Number of its features in the file.
        found: u64,
    },
    /// The number of features per field is limited, but the file does not list it.
    #[error(
        "features per field are limited, but the file does not list them: expected the section `field sizes`, found none"
    )]
    NoFieldSizes,
    /// The training data of the file is too old.
    #[error(
        "the training data is too old: expected its end at most {} ago, found it {} ago",
        days(*expected),
        days(*found)
    )]
    TrainingTooOld {
        /// Maximum age of the last row.
        expected: Duration,
        /// Age of the last row.
        found: Duration,
    },
    /// The training data ends in the future, so its age would be hidden.
    #[error("the training data ends in the future, at {end}: expected at most a day from now")]
    TrainingEndInFuture {
        /// The time of the last row.
        end: String,
    },
    /// The age of the training data is limited, but the file does not say when its data ends.
    #[error(
        "the age of the training data is limited, but the file does not say when its data ends: expected \
         `training_window` in its provenance, found none"
    )]
    NoTrainingEnd,
    /// Servers do not accept the contract.
    #[error(
        "the contract is not accepted: expected one of the fingerprints {}, found {found:016x}",
        fingerprints(expected)
    )]
    ContractNotAccepted {
        /// Fingerprints that are accepted.
        expected: Vec<u64>,
        /// Fingerprint of the file's contract.
        found: u64,
    },

    /// The generation was never published, or its file is gone.
    #[error("generation {generation} does not exist: expected one of {}, found no file {path}", generations(published))]
    NotPublished {
        /// The generation.
        generation: u64,
        /// The expected path of its file.
        path: PathBuf,
        /// The generations that exist.
        published: Vec<u64>,
    },
    /// Nothing has been published yet.
    #[error("nothing has been published to {dir} yet, so there is nothing to stay at or to roll back from")]
    NothingPublished {
        /// The store.
        dir: PathBuf,
    },
    /// Servers serve different generations, so it is not clear what is meant.
    #[error("servers serve different generations: {}", served_by(served))]
    ServersDiffer {
        /// Each server, and the generation that it serves.
        served: Vec<(String, u64)>,
    },
    /// There is no generation before the one that is served.
    #[error("there is no generation before {served} to roll back to")]
    NothingBefore {
        /// The generation that is served.
        served: u64,
    },
}

impl From<NoSettings> for PublishError {
    fn from(error: NoSettings) -> Self {
        match error {
            NoSettings::Unreadable(error) => error.into(),
            NoSettings::Faults(faults) => faults.into(),
        }
    }
}

impl PublishError {
    /// The stable name of the error in snake case. It equals the name of the [`omomi::Code`] if servers have this error
    /// too.
    #[must_use]
    pub fn name(&self) -> &str {
        self.facts().0
    }

    /// Who must act.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.facts().1
    }

    /// What they must do.
    #[must_use]
    pub fn action(&self) -> &str {
        self.facts().2
    }

    fn facts(&self) -> (&str, Owner, &str) {
        use Owner::{Delivery, Infra, Ml};
        match self {
            Self::Serving(error) => (error.code().name(), error.code().owner(), error.code().action()),
            Self::Busy { .. } => ("busy", Ml, "wait for the other publication to end"),
            Self::NotAStore { .. } => ("not_a_store", Infra, "pass the store's directory"),
            Self::Limits(_) => ("limits_invalid", Delivery, "correct limits.toml"),
            Self::NotNewer { .. } => {
                ("not_newer", Ml, "pack it as the next generation; to roll back, use omomi rollback")
            }
            Self::TooFarAhead { .. } => (
                "too_far_ahead",
                Ml,
                "pack it as the next generation; if the step is intended, raise max_generation_step in limits.toml",
            ),
            Self::NameTaken { .. } => ("name_taken", Ml, "pack it as the next generation: a name is never used twice"),
            Self::Changed { .. } => ("changed", Ml, "publish a file that no process is writing"),
            Self::ReadBackDiffers { .. } => ("read_back_differs", Infra, "check the disk, then publish it again"),
            Self::NoBlessing { .. } => {
                ("not_blessed", Ml, "run omomi gate on the file; to publish it anyway, use --unblessed")
            }
            Self::NotABlessing { .. } => ("not_a_blessing", Ml, "run omomi gate on the file again"),
            Self::BlessingOfOther { .. } => {
                ("blessing_of_other", Ml, "run omomi gate on the file as it is now; sign before the gate, not after")
            }
            Self::BlessingIsStale { .. } => (
                "blessing_is_stale",
                Ml,
                "run omomi gate with --store again, so that it compares with what is served now",
            ),
            Self::AmendsOther { .. } => {
                ("amends_other", Ml, "run omomi amend on the file that the store serves now; omomi status names it")
            }
            Self::NoVerifier { .. } => ("no_verifier", Infra, "reinstall omomi"),
            Self::VerifierTooSlow { .. } => {
                ("verifier_too_slow", Infra, "check the load of the machine, or allow more time")
            }
            Self::VerifierFailed { .. } => {
                ("verifier_failed", Infra, "check the memory of the machine, then report the defect")
            }
            Self::NotVerified { code, owner, action, .. } => (code, *owner, action),
            Self::TooSmall { .. } => ("too_small", Ml, "check the training data, or correct min_bytes in limits.toml"),
            Self::TooLarge { .. } => ("too_large", Ml, "prune the model, or get max_bytes in limits.toml raised"),
            Self::UnusualLen { .. } => {
                ("unusual_size", Ml, "check the training data; if it is right, widen fail_size_ratio in limits.toml")
            }
            Self::UnusualFieldSize { .. } => (
                "unusual_field_size",
                Ml,
                "check the training data of the field; if it is right, widen fail_size_ratio in limits.toml",
            ),
            Self::TooManyFeatures { .. } => {
                ("too_many_features", Ml, "prune the field, or get its limit in limits.toml raised")
            }
            Self::NoFieldSizes => ("no_field_sizes", Ml, "pack it with omomi pack"),
            Self::TrainingTooOld { .. } => ("training_too_old", Ml, "train on newer data"),
            Self::TrainingEndInFuture { .. } => (
                "training_end_in_future",
                Ml,
                "correct the times of the logs and train again, or have the clock of this machine corrected",
            ),
            Self::NoTrainingEnd => ("no_training_end", Ml, "train with --time-column"),
            Self::ContractNotAccepted { .. } => {
                ("contract_not_accepted", Ml, "agree on the contract with delivery, who then adds it to limits.toml")
            }
            Self::NotPublished { .. } => ("not_published", Delivery, "choose an existing generation"),
            Self::NothingPublished { .. } => ("nothing_published", Ml, "publish a weight file"),
            Self::ServersDiffer { .. } => {
                ("servers_differ", Delivery, "name the generation: omomi freeze --at, or omomi rollback --to")
            }
            Self::NothingBefore { .. } => ("nothing_before", Delivery, "switch off, or publish a newer generation"),
        }
    }
}

fn served_by(served: &[(String, u64)]) -> String {
    served.iter().map(|(name, generation)| format!("{name} {generation}")).collect::<Vec<_>>().join(", ")
}

fn newest_text(newest: Option<u64>) -> String {
    newest.map_or_else(
        || "because numbers only grow".to_owned(),
        |newest| format!("because the newest one is {newest} and numbers only grow"),
    )
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!("; its output: {message}") }
}

fn days(duration: Duration) -> String {
    format!("{:.1} days", duration.as_secs_f64() / 86_400.0)
}

fn fingerprints(expected: &[u64]) -> String {
    expected.iter().map(|fingerprint| format!("{fingerprint:016x}")).collect::<Vec<_>>().join(", ")
}

/// Lists the generations; of many, only the last ones.
fn generations(published: &[u64]) -> String {
    const SHOWN: usize = 8;
    let shown = published[published.len().saturating_sub(SHOWN)..].iter().map(u64::to_string);
    let more = (published.len() > SHOWN).then(|| "...".to_owned());
    more.into_iter().chain(shown).collect::<Vec<_>>().join(", ")
}
