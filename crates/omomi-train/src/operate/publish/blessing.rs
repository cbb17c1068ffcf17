//! Blessings: files beside weight files, which state that they passed the gate. The gate writes them, and publishing
//! requires them.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::bucket::{self, NewFile};
use omomi::store::Digest;
use serde::{Deserialize, Serialize};

use super::{PublishError, failed};

/// Whether publishing requires a blessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlessingPolicy {
    /// No blessing is required.
    Off,
    /// A file without a blessing is rejected.
    #[default]
    Require,
}

impl BlessingPolicy {
    /// Returns the policy with this name, `off` or `require`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Off, Self::Require].into_iter().find(|policy| policy.to_string() == word)
    }
}

impl fmt::Display for BlessingPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Off => "off",
            Self::Require => "require",
        })
    }
}

/// Returns the path of a weight file's blessing: `000042.blessing.json` beside `000042.omomi`.
#[must_use]
pub fn blessing_path(weight_file: impl AsRef<Path>) -> PathBuf {
    let weight_file = weight_file.as_ref();
    weight_file.with_extension("blessing.json")
}

/// What a blessed file replaces. Publishing compares this with what the store serves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Replaces {
    /// Whether the file was declared the first of its store.
    #[serde(default)]
    pub first: bool,
    /// SHA-256 of the baseline; `None` if there was none.
    #[serde(default)]
    pub baseline_digest: Option<String>,
    /// Why there is no baseline, although the store serves or served a file.
    #[serde(default)]
    pub without_baseline: Option<WithoutBaseline>,
    /// The file is the baseline with some weights changed by people, and no gate judged it. The store must serve the
    /// baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amends: Option<Amends>,
}

/// A named decision of people: single weights of the served file were changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amends {
    /// The reason that they gave.
    pub reason: String,
    /// Who changed them.
    pub by: String,
    /// What was changed, in words.
    pub changes: Vec<String>,
}

/// A named decision of people: a file passed the gate without a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithoutBaseline {
    /// The reason that they gave.
    pub reason: String,
    /// SHA-256 of what the store served at that time; `None` if it served nothing, or no store was given.
    pub served: Option<String>,
}

impl Replaces {
    /// Returns the digest of what the store must serve for the file to be published; `None` for nothing.
    fn expected(&self) -> Option<&String> {
        match &self.without_baseline {
            Some(decision) => decision.served.as_ref(),
            None => self.baseline_digest.as_ref(),
        }
    }

    /// Checks that the store serves what the file was compared with.
    pub(super) fn check(&self, served: Option<Digest>, has_generations: bool) -> Result<(), PublishError> {
        let (expected, found) = (self.expected().cloned(), served.map(|digest| digest.to_string()));
        if expected != found && self.amends.is_some() {
            return Err(PublishError::AmendsOther { expected: or_nothing(found), found: or_nothing(expected) });
        }
        if expected != found {
            return Err(PublishError::BlessingIsStale { expected: or_nothing(found), found: or_nothing(expected) });
        }
        if self.without_baseline.is_none() && found.is_none() && has_generations {
            return Err(PublishError::BlessingIsStale {
                expected: "the file of a lost `current`".to_owned(),
                found: or_nothing(None),
            });
        }
        Ok(())
    }
}

fn or_nothing(digest: Option<String>) -> String {
    digest.unwrap_or_else(|| "nothing".to_owned())
}

/// The content of a blessing file. `Judgment` holds the reasons and [`Replaces`]; publishing reads only which file they
/// are about, and what it replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blessing<Judgment> {
    /// Version of this format: [`Blessing::FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of omomi that judged the file.
    pub tool_version: String,
    /// SHA-256 of the weight file.
    pub digest: String,
    /// Why the file passed.
    #[serde(flatten)]
    pub judgment: Judgment,
}

impl Blessing<()> {
    /// The format version that this library writes and reads.
    pub const FORMAT_VERSION: u32 = 2;
}

impl<Judgment: Serialize> Blessing<Judgment> {
    /// Creates the blessing of the weight file with this digest.
    #[must_use]
    pub fn new(digest: String, judgment: Judgment) -> Self {
        let tool_version = env!("CARGO_PKG_VERSION").to_owned();
        Self { format_version: Blessing::FORMAT_VERSION, tool_version, digest, judgment }
    }

    /// Writes the blessing beside its weight file, and replaces an earlier one.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn write_beside(&self, weight_file: impl AsRef<Path>) -> io::Result<()> {
        let weight_file = weight_file.as_ref();
        let json = serde_json::to_string_pretty(self)?;
        let new_file = NewFile::create(&blessing_path(weight_file), true)?;
        new_file.file().write_all(format!("{json}\n").as_bytes())?;
        new_file.commit()
    }
}

/// Returns the digest in the blessing of `weight_file`, and what the file replaces.
pub(super) fn read_blessing(weight_file: &Path) -> Result<(Digest, Replaces), PublishError> {
    let path = blessing_path(weight_file);
    let text = match bucket::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(PublishError::NoBlessing { path }),
        text => text.map_err(failed("read", &path))?,
    };
    let blessing: Option<Blessing<Replaces>> = serde_json::from_str(&text).ok();
    let blessing = blessing.filter(|blessing| blessing.format_version == Blessing::FORMAT_VERSION);
    let found = blessing.and_then(|blessing| Some((blessing.digest.parse().ok()?, blessing.judgment)));
    found.ok_or(PublishError::NotABlessing { path })
}
