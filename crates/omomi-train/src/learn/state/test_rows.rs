//! Rows of a state that tests can compare.

use std::path::Path;

use super::{StateReader, StateRow};

/// A row that owns its texts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnedRow {
    /// Field and category, as `field=category`.
    pub(crate) name: String,
    pub(crate) key: u64,
    pub(crate) z: f64,
    pub(crate) d: f64,
    pub(crate) impressions: u64,
    pub(crate) clicks: u64,
    pub(crate) last_seen_us: Option<i64>,
    pub(crate) weight: f64,
}

impl OwnedRow {
    /// Reads all rows of the state `path`.
    pub(crate) fn all(path: &Path) -> Vec<Self> {
        let mut reader = StateReader::open(path).unwrap();
        let mut rows = Vec::new();
        while let Some(batch) = reader.next_batch().unwrap() {
            rows.extend(batch.rows().map(Self::from));
        }
        rows
    }

    pub(crate) fn counts(&self) -> (u64, u64, Option<i64>) {
        (self.impressions, self.clicks, self.last_seen_us)
    }
}

impl From<StateRow<'_>> for OwnedRow {
    fn from(row: StateRow<'_>) -> Self {
        let StateRow { field, category, key, z, d, impressions, clicks, last_seen_us, weight } = row;
        Self { name: format!("{field}={category}"), key, z, d, impressions, clicks, last_seen_us, weight }
    }
}
