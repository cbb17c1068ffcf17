//! In what two training states differ, where they must not: they can then neither be averaged nor continue each other.

use std::fmt;

use super::Metadata;

/// The first thing in which a state differs from what is expected: `alpha is 0.1, expected 0.05`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs: `contract`, `alpha`, `beta`, `l1`, `l2` or `negative_rate`.
    pub name: &'static str,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Difference {
    /// In what `found` differs from `expected`; nothing where both were trained alike. Feature keys follow from names of
    /// fields, so equal contracts have equal keys.
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
