//! Reads blessings: whether a weight file has passed the gate, if publishing requires it.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{PublishError, failed};
use omomi::store::Digest;

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
pub fn blessing_path(weight_file: &Path) -> PathBuf {
    weight_file.with_extension("blessing.json")
}

/// Returns the digest in the blessing of `weight_file`.
pub(super) fn blessed_digest(weight_file: &Path) -> Result<Digest, PublishError> {
    let path = blessing_path(weight_file);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(PublishError::NoBlessing { path }),
        text => text.map_err(failed("read", &path))?,
    };
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let digest = value["digest"].as_str().and_then(|digest| digest.parse().ok());
    digest.ok_or(PublishError::NotABlessing { path })
}
