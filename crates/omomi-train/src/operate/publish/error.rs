//! Why a store was not changed, who must act, and how.

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
    /// A file cannot be read or written, is no weight file, or is damaged.
    #[error(transparent)]
    Serving(#[from] Error),
    /// Somebody else publishes to the store.
    #[error("{dir} is locked: another publication is running")]
    Busy {
        /// The store.
        dir: PathBuf,
    },
    /// There is no store.
    #[error("{dir} is not a store: expected a folder `generations` in it, found none")]
    NotAStore {
        /// The folder.
        dir: PathBuf,
    },
    /// `limits.toml` is not valid.
    #[error(transparent)]
    Limits(#[from] SettingsFaults),

    /// The generation is not newer than what is published.
    #[error("generation {found} is not newer: expected one above {newest}, the newest that is published")]
    NotNewer {
        /// The newest generation.
        newest: u64,
        /// The generation of the file.
        found: u64,
    },
    /// The generation's name stands for other bytes, which nobody serves yet.
    #[error("{path} is there with other bytes: expected the digest {expected}, found {found}")]
    NameTaken {
        /// The file that is there.
        path: PathBuf,
        /// Its digest.
        expected: Digest,
        /// The digest of the file that was to be published.
        found: Digest,
    },
    /// The file was written while it was being read.
    #[error("the file changed while it was copied: expected generation {expected}, found {found}")]
    Changed {
        /// The generation in its header at first.
        expected: u64,
        /// The generation in the header of the copy.
        found: u64,
    },
    /// What was written is not what is on the disk.
    #[error("{path} does not read back as it was written: expected the digest {expected}, found {found}")]
    ReadBackDiffers {
        /// The file.
        path: PathBuf,
        /// The digest of what was written.
        expected: Digest,
        /// The digest of what was read.
        found: Digest,
    },

    /// The file has no blessing.
    #[error("the file has no blessing: expected {}, which omomi gate writes for a file that passes", path.display())]
    NoBlessing {
        /// Where it would be.
        path: PathBuf,
    },
    /// What should be the blessing is something else.
    #[error("{} is not a blessing: expected JSON with the digest of the file", path.display())]
    NotABlessing {
        /// The file.
        path: PathBuf,
    },
    /// The blessing is that of other bytes.
    #[error("the blessing is that of another file: expected the digest {expected}, found {found}")]
    BlessingOfOther {
        /// The digest that the blessing names.
        expected: Digest,
        /// The digest of the file.
        found: Digest,
    },

    /// The process that verifies could not be started.
    #[error("cannot start {program}, which verifies the file")]
    NoVerifier {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The process that verifies took too long.
    #[error("verifying took longer than {} seconds, and was ended", time_limit.as_secs_f64())]
    VerifierTooSlow {
        /// The time limit.
        time_limit: Duration,
    },
    /// The process that verifies came to a bad end.
    #[error(
        "the process that verified the file came to a bad end: expected exit code 0 or 1, found {status}{}",
        said(message)
    )]
    VerifierFailed {
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        message: String,
    },
    /// The file was verified and is not good.
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

    /// The file is shorter than any good one.
    #[error("the file is too small: expected at least {expected} bytes, found {found}")]
    TooSmall {
        /// Least bytes.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The file is longer than servers take.
    #[error("the file is too large: expected at most {expected} bytes, found {found}")]
    TooLarge {
        /// Most bytes.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The length is unlike that of the files before.
    #[error(
        "the file's size is unlike those before: expected {} to {} times the median of {median} bytes, found {:.2} times ({found} bytes)",
        expected[0], expected[1], ratio(*found, *median)
    )]
    UnusualLen {
        /// Least and greatest ratio.
        expected: [f64; 2],
        /// Median of the files before, in bytes.
        median: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The number of weights of a field is unlike that of the files before.
    #[error(
        "the number of weights of `{field}` is unlike those before: expected {} to {} times the median of {median}, found {:.2} times ({found})",
        expected[0], expected[1], ratio(*found, *median)
    )]
    UnusualFieldSize {
        /// The field or cross.
        field: String,
        /// Least and greatest ratio.
        expected: [f64; 2],
        /// Median of the files before.
        median: u64,
        /// Its weights in the file.
        found: u64,
    },
    /// A field has more weights than was agreed.
    #[error("field `{field}` has too many features: expected at most {expected}, found {found}")]
    TooManyFeatures {
        /// The field or cross.
        field: String,
        /// Most features.
        expected: u64,
        /// Its features in the file.
        found: u64,
    },
    /// Features are limited, and the file does not say how many it has.
    #[error(
        "features per field are limited, and the file does not say how many it has: expected the section `field sizes`, found none"
    )]
    NoFieldSizes,
    /// The data that the file was trained on is too old.
    #[error("the training data is too old: expected it to end at most {} ago, found its end {} ago", days(*expected), days(*found))]
    TrainingTooOld {
        /// Greatest age.
        expected: Duration,
        /// Age of the last row.
        found: Duration,
    },
    /// The age of training data is limited, and the file does not say when its data ends.
    #[error(
        "the age of training data is limited, and the file does not say when its data ends: expected `training_window` in its provenance, found none"
    )]
    NoTrainingEnd,
    /// Servers do not accept the contract.
    #[error(
        "the contract is not accepted: expected a fingerprint out of {}, found {found:016x}",
        fingerprints(expected)
    )]
    ContractNotAccepted {
        /// Fingerprints that are accepted.
        expected: Vec<u64>,
        /// Fingerprint of the file's contract.
        found: u64,
    },

    /// A generation that was never published, or whose file is gone.
    #[error("generation {generation} is not there: expected one of {}, found no file {path}", generations(published))]
    NotPublished {
        /// The generation.
        generation: u64,
        /// Where its file would be.
        path: PathBuf,
        /// The generations that are there.
        published: Vec<u64>,
    },
    /// Nothing was published yet.
    #[error("nothing was published to {dir} yet, so there is nothing to go back from")]
    NothingPublished {
        /// The store.
        dir: PathBuf,
    },
    /// There is no generation before the one that is served.
    #[error("there is no generation before {served} to go back to")]
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
    /// The stable name in snake case: that of [`omomi::Code`] where servers have the same error.
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
            Self::NotAStore { .. } => ("not_a_store", Infra, "name the store's directory"),
            Self::Limits(_) => ("limits_invalid", Delivery, "correct limits.toml"),
            Self::NotNewer { .. } => {
                ("not_newer", Ml, "pack it as the next generation; to go back, use omomi rollback")
            }
            Self::NameTaken { .. } => ("name_taken", Ml, "pack it as the next generation: a name is never used twice"),
            Self::Changed { .. } => ("changed", Ml, "publish a file that nobody is writing"),
            Self::ReadBackDiffers { .. } => ("read_back_differs", Infra, "check the disk, then publish it again"),
            Self::NoBlessing { .. } => {
                ("not_blessed", Ml, "let omomi gate judge the file; to publish it all the same, use --unblessed")
            }
            Self::NotABlessing { .. } => ("not_a_blessing", Ml, "let omomi gate judge the file again"),
            Self::BlessingOfOther { .. } => {
                ("blessing_of_other", Ml, "let omomi gate judge the file as it is now; sign a file before, not after")
            }
            Self::NoVerifier { .. } => ("no_verifier", Infra, "install omomi whole"),
            Self::VerifierTooSlow { .. } => {
                ("verifier_too_slow", Infra, "check the load of the machine, or allow more time")
            }
            Self::VerifierFailed { .. } => {
                ("verifier_failed", Infra, "check the memory of the machine, then report the defect")
            }
            Self::NotVerified { code, owner, action, .. } => (code, *owner, action),
            Self::TooSmall { .. } => ("too_small", Ml, "check the training data, or correct min_bytes in limits.toml"),
            Self::TooLarge { .. } => ("too_large", Ml, "prune the model, or have max_bytes in limits.toml raised"),
            Self::UnusualLen { .. } => {
                ("unusual_size", Ml, "check the training data; if it is right, widen fail_size_ratio in limits.toml")
            }
            Self::UnusualFieldSize { .. } => (
                "unusual_field_size",
                Ml,
                "check the training data of the field; if it is right, widen fail_size_ratio in limits.toml",
            ),
            Self::TooManyFeatures { .. } => {
                ("too_many_features", Ml, "prune the field, or have its limit in limits.toml raised")
            }
            Self::NoFieldSizes => ("no_field_sizes", Ml, "pack it with omomi pack"),
            Self::TrainingTooOld { .. } => ("training_too_old", Ml, "train on newer data"),
            Self::NoTrainingEnd => ("no_training_end", Ml, "train with --time-column"),
            Self::ContractNotAccepted { .. } => {
                ("contract_not_accepted", Ml, "agree on the contract with delivery, who then adds it to limits.toml")
            }
            Self::NotPublished { .. } => ("not_published", Delivery, "name a generation that is there"),
            Self::NothingPublished { .. } => ("nothing_published", Ml, "publish a weight file"),
            Self::NothingBefore { .. } => ("nothing_before", Delivery, "switch off, or publish a newer generation"),
        }
    }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!("; it said: {message}") }
}

fn days(duration: Duration) -> String {
    format!("{:.1} days", duration.as_secs_f64() / 86_400.0)
}

fn fingerprints(expected: &[u64]) -> String {
    expected.iter().map(|fingerprint| format!("{fingerprint:016x}")).collect::<Vec<_>>().join(", ")
}

/// The generations, the last of many.
fn generations(published: &[u64]) -> String {
    const SHOWN: usize = 8;
    let shown = published[published.len().saturating_sub(SHOWN)..].iter().map(u64::to_string);
    let more = (published.len() > SHOWN).then(|| "...".to_owned());
    more.into_iter().chain(shown).collect::<Vec<_>>().join(", ")
}
