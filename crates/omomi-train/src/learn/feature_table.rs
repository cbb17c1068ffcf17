//! The table of all features that training has seen: their coordinates, counts and categories. Features belong to
//! groups: the fields of the contract, then its crosses, in contract order.

use omomi::contract::{Buckets, Contract, FieldKind, UnseenWeight};
use omomi::feature;

use super::TrainError;
use super::iterates::IterateAverage;
use super::key_index::{KeyIndex, MAX_KEYS};
use super::optimizer::Coordinate;
use super::state::{MISSING_FIELD, UNSEEN_FIELD, default_key, join_category};
use crate::log::write_key_name;

/// How often a feature was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct FeatureCounts {
    /// Total importance of the rows with the feature. A whole number, exact up to 2^53, if all rows count 1.
    pub(super) impressions: f64,
    /// Total importance of the clicked rows with the feature.
    pub(super) clicks: f64,
    /// Time of the last row with the feature, or [`NEVER_US`] if no row had a time.
    pub(super) last_seen_us: i64,
}

/// The time that means "no time".
pub(super) const NEVER_US: i64 = i64::MIN;

impl FeatureCounts {
    pub(super) const NONE: Self = Self { impressions: 0.0, clicks: 0.0, last_seen_us: NEVER_US };

    pub(super) fn add(&mut self, other: Self) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.last_seen_us = self.last_seen_us.max(other.last_seen_us);
    }

    #[inline]
    pub(super) fn count(&mut self, clicked: bool, importance: f64, time_us: i64) {
        self.impressions += importance;
        self.clicks += if clicked { importance } else { 0.0 };
        self.last_seen_us = self.last_seen_us.max(time_us);
    }
}

/// The features by number, in the order in which they were first seen. Frequent features are therefore near the front.
///
/// Memory per feature: every row touches `coordinates` and `averages` (16 bytes each), `counts` (24) and the index (19
/// to 29). Only writing the state reads the group (2) and the origin (8, plus 8 for an id or a number, the length of a
/// text, 22 for a key, or 4 per member of a cross). That is about 100 bytes per feature, and up to twice as much while
/// an array grows.
///
/// Two features whose 64-bit keys are equal share one coordinate and the name of the first, just as they share one
/// weight when serving. A row that has both moves the coordinate once. Among 10 million features, the probability of
/// any such pair is 3 in a million.
#[derive(Debug)]
pub(super) struct Table {
    index: KeyIndex,
    pub(super) coordinates: Vec<Coordinate>,
    /// Averages of the weights that the coordinates went through in this run.
    pub(super) averages: Vec<IterateAverage>,
    pub(super) counts: Vec<FeatureCounts>,
    pub(super) groups: Vec<u16>,
    origins: Vec<u8>,
    origin_ends: Vec<usize>,
    /// Number of default features: those of unseen categories and missing values.
    pub(super) default_count: usize,
    /// The first group of such features.
    first_default_group: u16,
    /// Number of features that came from a row cache or from the start state. They have the first numbers, and their
    /// origins are their categories, written as in a state.
    known_count: usize,
}

impl Table {
    pub(super) fn new(groups: &[FeatureGroup]) -> Self {
        let first_default = groups.iter().position(FeatureGroup::is_default).unwrap_or(groups.len());
        Self {
            index: KeyIndex::new(),
            coordinates: Vec::new(),
            averages: Vec::new(),
            counts: Vec::new(),
            groups: Vec::new(),
            origins: Vec::new(),
            origin_ends: Vec::new(),
            default_count: 0,
            first_default_group: u16::try_from(first_default).unwrap_or(u16::MAX),
            known_count: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.coordinates.len()
    }

    pub(super) fn keys(&self) -> &[u64] {
        self.index.keys()
    }

    /// Returns the index of the group of feature `number`.
    pub(super) fn group(&self, number: u32) -> usize {
        usize::from(self.groups[number as usize])
    }

    /// Returns the index from feature keys to numbers.
    pub(super) fn index(&self) -> &KeyIndex {
        &self.index
    }

    /// Returns the number of the feature with `key`. A new feature is added, and `origin` then writes its category: the
    /// value of an id or the bucket of a number (8 bytes, little-endian), a text, the numbers of a cross's members (4
    /// bytes each, little-endian), or for a category without a name the [name of its key](write_key_origin).
    #[inline]
    pub(super) fn find_or_insert(
        &mut self,
        key: u64,
        group: u16,
        origin: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u32, TrainError> {
        if let Some(number) = self.index.find(key) {
            return Ok(number);
        }
        if self.len() == MAX_KEYS {
            return Err(TrainError::TooManyFeatures { limit: MAX_KEYS });
        }
        let number = self.index.insert(key);
        self.coordinates.push(Coordinate::default());
        self.averages.push(IterateAverage::default());
        self.counts.push(FeatureCounts::NONE);
        self.groups.push(group);
        self.default_count += usize::from(group >= self.first_default_group);
        origin(&mut self.origins);
        self.origin_ends.push(self.origins.len());
        Ok(number)
    }

    /// Adds `counts` to the feature with `key` and returns its number. A new feature is added with the text `category`.
    /// Must be called before any feature from a log is added.
    pub(super) fn add_counts(
        &mut self,
        key: u64,
        group: u16,
        category: &str,
        counts: FeatureCounts,
    ) -> Result<u32, TrainError> {
        let number = match self.index.find(key) {
            Some(number) => number,
            None => {
                self.insert_known(key, group, category, Coordinate::default(), FeatureCounts::NONE)?;
                narrow_number(self.len() - 1)
            }
        };
        self.counts[number as usize].add(counts);
        Ok(number)
    }

    /// Adds a feature of the start state. Its category stays the text that it is in the state. Must be called before
    /// any feature from a log is added.
    pub(super) fn insert_known(
        &mut self,
        key: u64,
        group: u16,
        category: &str,
        coordinate: Coordinate,
        counts: FeatureCounts,
    ) -> Result<(), TrainError> {
        debug_assert_eq!(self.known_count, self.len());
        let number = self.find_or_insert(key, group, |origin| origin.extend_from_slice(category.as_bytes()))?;
        self.known_count = self.len();
        self.coordinates[number as usize] = coordinate;
        self.counts[number as usize] = counts;
        Ok(())
    }

    /// Appends the category of feature `number` to `text`, written as in a training state.
    pub(super) fn write_category(&self, contract: &Contract, groups: &[FeatureGroup], number: u32, text: &mut String) {
        let origin = self.origin(number);
        if (number as usize) < self.known_count {
            text.push_str(&String::from_utf8_lossy(origin));
            return;
        }
        match &groups[self.group(number)].kind {
            GroupKind::Field(field) => match &contract.fields()[*field].kind {
                FieldKind::Id | FieldKind::Number { .. } if origin.len() != size_of::<u64>() => {
                    text.push_str(&String::from_utf8_lossy(origin));
                }
                FieldKind::Id => text.push_str(&origin_value(origin).cast_signed().to_string()),
                FieldKind::Text => text.push_str(&String::from_utf8_lossy(origin)),
                FieldKind::Number { range, buckets, .. } => {
                    write_bucket(buckets, *range, origin_value(origin), text);
                }
            },
            GroupKind::Unseen | GroupKind::Missing => text.push_str(&String::from_utf8_lossy(origin)),
            GroupKind::Cross(_) => {
                let mut member_category = String::new();
                for (position, member) in origin.chunks_exact(size_of::<u32>()).enumerate() {
                    let member = u32::from_le_bytes(member.try_into().expect("chunks are of this size"));
                    member_category.clear();
                    self.write_category(contract, groups, member, &mut member_category);
                    join_category(position == 0, &member_category, text);
                }
            }
        }
    }

    fn origin(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.origin_ends[number - 1] };
        &self.origins[start..self.origin_ends[number]]
    }
}

fn narrow_number(number: usize) -> u32 {
    u32::try_from(number).expect("the index keeps the count of keys below the limit")
}

/// Writes the origin of a feature of a field of which only the key is known: the name that a state gives it.
pub(super) fn write_key_origin(key: u64, origin: &mut Vec<u8>) {
    let mut name = String::new();
    write_key_name(key, &mut name);
    origin.extend_from_slice(name.as_bytes());
}

fn origin_value(origin: &[u8]) -> u64 {
    u64::from_le_bytes(origin.try_into().expect("ids and numbers are written as 8 bytes"))
}

/// Appends a bucket to `text` as an interval of numbers, such as `[10.0, 50.0)`.
pub(crate) fn write_bucket(buckets: &Buckets, range: [f64; 2], bucket: u64, text: &mut String) {
    let (start, end) = match buckets {
        Buckets::Edges(edges) => {
            let bucket = usize::try_from(bucket).expect("there are few edges");
            let start = if bucket == 0 { range[0] } else { edges[bucket - 1] };
            (start, edges.get(bucket).copied())
        }
        // The bucket is the exponent field of its doubles; bucket 0 holds zero and the subnormal numbers. The range
        // does not clip the interval, so that a bucket has the same name under every range.
        Buckets::Log2 => (f64::from_bits(bucket << 52), Some(f64::from_bits((bucket + 1) << 52))),
    };
    let interval = match end {
        Some(end) => format!("[{start:?}, {end:?})"),
        None => format!("[{start:?}, {:?}]", range[1]),
    };
    text.push_str(&interval);
}

/// A feature group: a field, a cross, or the default features of unseen categories or of missing values.
#[derive(Debug)]
pub(super) struct FeatureGroup {
    /// Name of the field or the cross. The name of a cross is its members' names, joined by `*`.
    pub(super) name: String,
    pub(super) kind: GroupKind,
    pub(super) seed: u64,
    /// For a field whose missing values have a weight: the key of its feature.
    pub(super) missing_key: Option<u64>,
}

#[derive(Debug)]
pub(super) enum GroupKind {
    /// Index into the contract's fields.
    Field(usize),
    /// Indices of the members among the contract's fields. Fields come first, so these are also indices of groups.
    Cross(Vec<usize>),
    /// One feature for each field, with the weight of its unseen categories.
    Unseen,
    /// One feature for each field, with the weight of its missing values.
    Missing,
}

impl FeatureGroup {
    pub(super) fn list(contract: &Contract) -> Vec<Self> {
        let fields = contract.fields().iter().enumerate().map(|(index, field)| Self {
            name: field.name.clone(),
            kind: GroupKind::Field(index),
            seed: field.seed(),
            missing_key: (field.unseen == UnseenWeight::Learned).then(|| default_key(MISSING_FIELD, &field.name)),
        });
        let crosses = contract.crosses().iter().map(|cross| {
            let name = contract.cross_name(cross);
            let kind = GroupKind::Cross(cross.members.clone());
            Self { seed: feature::field_seed(&name), name, kind, missing_key: None }
        });
        let defaults = [(UNSEEN_FIELD, GroupKind::Unseen), (MISSING_FIELD, GroupKind::Missing)];
        let defaults = defaults.map(|(name, kind)| {
            let seed = feature::field_seed(name);
            Self { name: name.to_owned(), kind, seed, missing_key: None }
        });
        fields.chain(crosses).chain(defaults).collect()
    }

    /// Returns whether its features are defaults of unseen categories or missing values.
    pub(super) fn is_default(&self) -> bool {
        matches!(self.kind, GroupKind::Unseen | GroupKind::Missing)
    }

    /// Returns whether training learns a weight for unseen categories of this group.
    pub(super) fn learns_unseen(&self) -> bool {
        self.missing_key.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket_text(buckets: &Buckets, bucket: u64) -> String {
        let mut text = String::new();
        write_bucket(buckets, [0.0, 1e6], bucket, &mut text);
        text
    }

    #[test]
    fn buckets_are_written_as_intervals() {
        let edges = Buckets::Edges(vec![10.0, 50.5]);
        let texts = [0, 1, 2].map(|bucket| bucket_text(&edges, bucket));
        assert_eq!(texts, ["[0.0, 10.0)", "[10.0, 50.5)", "[50.5, 1000000.0]"]);
        let texts = [1022, 1023, 1033].map(|bucket| bucket_text(&Buckets::Log2, bucket));
        assert_eq!(texts, ["[0.5, 1.0)", "[1.0, 2.0)", "[1024.0, 2048.0)"]);
        assert_eq!(bucket_text(&Buckets::Log2, 0), "[0.0, 2.2250738585072014e-308)");
    }
}
