//! What a training state says about itself in its key-value metadata.

use std::path::Path;

use parquet::file::metadata::KeyValue;

use crate::contract::Contract;
use crate::train::Settings;

use super::{FORMAT_VERSION, StateError};

/// What was trained, on what, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// The contract.
    pub contract: Contract,
    /// Settings of the optimizer.
    pub settings: Settings,
    /// Rows of one pass.
    pub rows: u64,
    /// Those of them that were clicked.
    pub clicks: u64,
    /// Times that the rows were learned from.
    pub passes: u32,
    /// Version of the library that wrote the state.
    pub tool_version: String,
}

const FORMAT_VERSION_KEY: &str = "omomi.state_format_version";
const CONTRACT_KEY: &str = "omomi.contract";
const FINGERPRINT_KEY: &str = "omomi.contract_fingerprint";
const ALPHA_KEY: &str = "omomi.alpha";
const BETA_KEY: &str = "omomi.beta";
const L1_KEY: &str = "omomi.l1";
const L2_KEY: &str = "omomi.l2";
const ROWS_KEY: &str = "omomi.rows";
const CLICKS_KEY: &str = "omomi.clicks";
const PASSES_KEY: &str = "omomi.passes";
const TOOL_VERSION_KEY: &str = "omomi.tool_version";

impl Metadata {
    pub(super) fn to_pairs(&self) -> Vec<KeyValue> {
        let Settings { alpha, beta, l1, l2 } = self.settings;
        [
            (FORMAT_VERSION_KEY, FORMAT_VERSION.to_string()),
            (CONTRACT_KEY, self.contract.canonical_json()),
            (FINGERPRINT_KEY, format!("{:016x}", self.contract.fingerprint())),
            // `{:?}` is the shortest text that reads back to the same double.
            (ALPHA_KEY, format!("{alpha:?}")),
            (BETA_KEY, format!("{beta:?}")),
            (L1_KEY, format!("{l1:?}")),
            (L2_KEY, format!("{l2:?}")),
            (ROWS_KEY, self.rows.to_string()),
            (CLICKS_KEY, self.clicks.to_string()),
            (PASSES_KEY, self.passes.to_string()),
            (TOOL_VERSION_KEY, self.tool_version.clone()),
        ]
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .into()
    }

    pub(super) fn from_pairs(path: &Path, pairs: &[KeyValue]) -> Result<Self, StateError> {
        let pairs = Pairs { path, pairs };
        let version: u32 = pairs.parsed(FORMAT_VERSION_KEY)?;
        if version != FORMAT_VERSION {
            let action = if version > FORMAT_VERSION { "read it with a newer omomi" } else { "train again" };
            let problem = format!("expected format version {FORMAT_VERSION}, found {version}; {action}");
            return Err(StateError::not_a_state(path, problem));
        }
        let contract = Contract::from_json(pairs.text(CONTRACT_KEY)?.as_bytes())
            .map_err(|faults| StateError::not_a_state(path, faults.to_string()))?;
        let expected = format!("{:016x}", contract.fingerprint());
        let found = pairs.text(FINGERPRINT_KEY)?;
        if found != expected {
            let problem = format!("its contract has the fingerprint {expected}, but it says {found}");
            return Err(StateError::not_a_state(path, problem));
        }
        let settings = Settings {
            alpha: pairs.parsed(ALPHA_KEY)?,
            beta: pairs.parsed(BETA_KEY)?,
            l1: pairs.parsed(L1_KEY)?,
            l2: pairs.parsed(L2_KEY)?,
        };
        settings.check().map_err(|error| StateError::not_a_state(path, error.to_string()))?;
        Ok(Self {
            contract,
            settings,
            rows: pairs.parsed(ROWS_KEY)?,
            clicks: pairs.parsed(CLICKS_KEY)?,
            passes: pairs.parsed(PASSES_KEY)?,
            tool_version: pairs.text(TOOL_VERSION_KEY)?.to_owned(),
        })
    }
}

struct Pairs<'a> {
    path: &'a Path,
    pairs: &'a [KeyValue],
}

impl<'a> Pairs<'a> {
    fn text(&self, key: &str) -> Result<&'a str, StateError> {
        let pair = self.pairs.iter().find(|pair| pair.key == key);
        pair.and_then(|pair| pair.value.as_deref()).ok_or_else(|| {
            let problem = format!("the metadata key `{key}` is missing; tools that rewrite Parquet may drop it");
            StateError::not_a_state(self.path, problem)
        })
    }

    fn parsed<T: std::str::FromStr>(&self, key: &str) -> Result<T, StateError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| {
            let problem = format!("expected a number under the metadata key `{key}`, found `{text}`");
            StateError::not_a_state(self.path, problem)
        })
    }
}
