//! Whether a weight file has passed the gate, as far as publishing asks for it.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{PublishError, failed};
use omomi::store::Digest;

/// Whether publishing asks for a blessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlessingPolicy {
    /// It does not.
    Off,
    /// It refuses a file without one.
    #[default]
    Require,
}

impl BlessingPolicy {
    /// The policy with that word: `off` or `require`.
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

/// Where the blessing of a weight file is: `000042.blessing.json` beside `000042.omomi`.
#[must_use]
pub fn blessing_path(weight_file: &Path) -> PathBuf {
    weight_file.with_extension("blessing.json")
}

/// The digest that the blessing of `weight_file` names.
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
