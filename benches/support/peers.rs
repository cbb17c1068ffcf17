//! What a server would do without this library: weights on the heap, in one map from feature to weight.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The fastest map on the heap: feature keys are already mixed, so they are their own hashes.
pub struct KeyMap(hashbrown::HashMap<u64, f32, BuildHasherDefault<KeyIsHash>>);

/// The map of the simplest server, from the text "field=category" to the weight.
pub struct TextMap(HashMap<String, f64>);

/// A hasher for keys whose bits are already mixed.
#[derive(Default)]
pub struct KeyIsHash(u64);

impl Hasher for KeyIsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

impl KeyMap {
    pub fn new(weights: &[(u64, f32)]) -> Self {
        let mut map = hashbrown::HashMap::with_capacity_and_hasher(weights.len(), BuildHasherDefault::default());
        map.extend(weights.iter().copied());
        Self(map)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub fn get(&self, key: u64) -> Option<f32> {
        self.0.get(&key).copied()
    }

    /// Looks up `keys`, writes their weights or 0, and returns how many were found, like `Table::gather`.
    #[inline]
    pub fn gather(&self, keys: &[u64], weights: &mut [f32]) -> usize {
        let mut found_count = 0;
        for (&key, weight) in keys.iter().zip(weights) {
            let found = self.get(key);
            *weight = found.unwrap_or(0.0);
            found_count += usize::from(found.is_some());
        }
        found_count
    }
}

impl TextMap {
    /// Makes a map from keys that [`text_key`] made.
    pub fn new(weights: impl IntoIterator<Item = (String, f64)>) -> Self {
        Self(weights.into_iter().collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub fn get(&self, key: &str) -> Option<f64> {
        self.0.get(key).copied()
    }
}

/// Returns the key of a feature in a [`TextMap`].
#[inline]
pub fn text_key(field: &str, category: impl std::fmt::Display) -> String {
    format!("{field}={category}")
}
