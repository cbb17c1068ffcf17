//! Compares two training states. States with a difference can neither be averaged nor continue each other.

use std::fmt;

use super::Metadata;

/// The first difference between a state and what is expected. Displayed as `alpha is 0.1, expected 0.05`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs: `contract`, `alpha`, `beta`, `l1`, `l2` or `negative_rate`.
    pub name: &'static str,
    /// The expected value.
    pub expected: String,
    /// The value in the state.
    pub found: String,
}

impl Difference {
    /// Returns the first difference of `found` from `expected`, or `None` if both have the same contract and settings.
    /// Feature keys are computed from the names of fields, so equal contracts give equal keys.
    #[must_use]
    pub fn between(expected: &Metadata, found: &Metadata) -> Option<Self> {
        if expected.contract != found.contract {
            let name = |metadata: &Metadata| {
                let contract = &metadata.contract;
                format!("`{}` with the fingerprint {:016x}", contract.name(), contract.fingerprint())
            };
            return Some(Self { name: "contract", expected: name(expected), found: name(found) });
        }
        let numbers = |metadata: &Metadata| {
            let settings = metadata.settings;
            [settings.alpha, settings.beta, settings.l1, settings.l2, metadata.negative_rate]
        };
        let names = ["alpha", "beta", "l1", "l2", "negative_rate"];
        let pairs = numbers(expected).into_iter().zip(numbers(found));
        let (name, (expected, found)) =
            names.into_iter().zip(pairs).find(|(_, (expected, found))| expected != found)?;
        Some(Self { name, expected: format!("{expected:?}"), found: format!("{found:?}") })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is {}, expected {}", self.name, self.found, self.expected)
    }
}
