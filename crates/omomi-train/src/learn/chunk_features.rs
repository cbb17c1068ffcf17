//! Finds the features of the rows of a chunk, group by group.
//!
//! Each category of a `many` field is a feature with the value 1. A category that a row lists twice counts twice. A
//! cross has one feature per row, or one per category of its `many` member. If any member is missing, the cross has no
//! feature.

use std::ops::Range;

use crate::log::{Categories, FieldColumn, RowBatch};
use omomi::contract::MAX_CROSS_MEMBERS;
use omomi::feature;

use super::TrainError;
use super::feature_table::{FeatureGroup, GroupKind, Table, write_key_origin};
use super::key_index::KeyIndex;
use super::learner::{IndexedRows, may_repeat};

/// How many keys ahead the slots of the index are prefetched: they arrive while the keys in between are looked up.
const KEYS_AHEAD: usize = 16;

/// Number of a feature that the table does not have.
pub(super) const UNSEEN: u32 = u32::MAX;

/// The features of some consecutive rows, by group.
#[derive(Debug, Default)]
pub(super) struct ChunkFeatures {
    by_group: Vec<GroupFeatures>,
}

/// Features of one group: row `i` of the chunk has those at `offsets[i]..offsets[i + 1]`.
#[derive(Debug, Default, Clone)]
struct GroupFeatures {
    offsets: Vec<u32>,
    keys: Vec<u64>,
    numbers: Vec<u32>,
    /// Numbers of the texts of the batch, by position; [`UNSEEN`] until a text is looked up.
    text_numbers: Vec<u32>,
}

impl GroupFeatures {
    #[inline]
    fn range(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }
}

impl ChunkFeatures {
    /// Finds the features of `rows` in the table and adds those that it does not have yet.
    pub(super) fn find_or_insert(
        &mut self,
        groups: &[FeatureGroup],
        table: &mut Table,
        batch: &RowBatch,
        rows: &Range<usize>,
    ) -> Result<(), TrainError> {
        self.fill_keys(groups, batch, rows);
        for (index, group) in groups.iter().enumerate() {
            let mut numbers = std::mem::take(&mut self.by_group[index].numbers);
            numbers.clear();
            let inserted = match &group.kind {
                GroupKind::Field(field) => {
                    let mut text_numbers = std::mem::take(&mut self.by_group[index].text_numbers);
                    let column = &batch.columns[*field];
                    let inserted = match &column.categories {
                        Categories::Texts { offsets, places: Some(places), .. } => {
                            if rows.start == 0 {
                                text_numbers.clear();
                                text_numbers.resize(offsets.len(), UNSEEN);
                            }
                            let known = (places.as_slice(), text_numbers.as_mut_slice());
                            self.insert_texts(index, column, rows, table, known, &mut numbers)
                        }
                        _ => self.insert_field(index, column, rows, table, &mut numbers),
                    };
                    self.by_group[index].text_numbers = text_numbers;
                    inserted
                }
                GroupKind::Cross(members) => self.insert_cross(index, members, table, &mut numbers),
                GroupKind::Missing => self.insert_missing(index, groups, table, &mut numbers),
                GroupKind::Unseen => Ok(()),
            };
            self.by_group[index].numbers = numbers;
            inserted?;
        }
        Ok(())
    }

    /// Finds the features of `rows` in `index`. Features that it does not have become [`UNSEEN`].
    pub(super) fn find(&mut self, groups: &[FeatureGroup], index: &KeyIndex, batch: &RowBatch, rows: &Range<usize>) {
        self.fill_keys(groups, batch, rows);
        for features in &mut self.by_group {
            features.numbers.clear();
            features.numbers.extend(features.keys.iter().map(|&key| index.find(key).unwrap_or(UNSEEN)));
        }
    }

    /// Calls `visit` with the group and the number of each feature of row `row` of the chunk: in contract order, then
    /// those of missing values.
    #[inline]
    pub(super) fn visit_row(&self, row: usize, mut visit: impl FnMut(usize, u32)) {
        for (group, features) in self.by_group.iter().enumerate() {
            for &number in &features.numbers[features.range(row)] {
                visit(group, number);
            }
        }
    }

    /// Fills `rows` with the features of the chunk, row by row: those of missing values are the last of a row. The
    /// caller adds the importances.
    pub(super) fn fill_rows(&mut self, clicked: &[bool], rows: &mut IndexedRows) {
        rows.clear();
        rows.clicked.extend_from_slice(clicked);
        rows.repeats.resize(clicked.len(), false);
        // The position of the next feature of each row. It starts at the end of the row before and finishes at the end
        // of the row itself.
        rows.ends.resize(clicked.len(), 0);
        for features in &self.by_group {
            for (end, ends) in rows.ends.iter_mut().zip(features.offsets.windows(2)) {
                *end += ends[1] - ends[0];
            }
        }
        let mut start = 0;
        for end in &mut rows.ends {
            start += std::mem::replace(end, start);
        }
        rows.numbers.resize(start as usize, 0);
        let missing = self.by_group.len() - 1;
        for (group, features) in self.by_group.iter().enumerate() {
            for (row, ends) in features.offsets.windows(2).enumerate() {
                let numbers = &features.numbers[ends[0] as usize..ends[1] as usize];
                let next = &mut rows.ends[row];
                for &number in numbers {
                    rows.numbers[*next as usize] = number;
                    *next += 1;
                }
                // A row never misses a field twice.
                rows.repeats[row] |= group != missing && numbers.len() > 1 && may_repeat(numbers);
            }
        }
    }

    /// Calls `visit` with the row and the number of each feature, group by group. Consecutive visits touch independent
    /// memory, so the processor waits for several of them at the same time.
    pub(super) fn visit_all(&self, mut visit: impl FnMut(usize, u32)) {
        for features in &self.by_group {
            for row in 0..features.offsets.len() - 1 {
                for &number in &features.numbers[features.range(row)] {
                    visit(row, number);
                }
            }
        }
    }

    /// The numbers of the features of one group in some rows of the chunk.
    pub(super) fn numbers_of_rows(&self, group: usize, rows: &Range<usize>) -> &[u32] {
        let features = &self.by_group[group];
        &features.numbers[features.offsets[rows.start] as usize..features.offsets[rows.end] as usize]
    }

    fn fill_keys(&mut self, groups: &[FeatureGroup], batch: &RowBatch, rows: &Range<usize>) {
        self.by_group.resize(groups.len(), GroupFeatures::default());
        for (index, group) in groups.iter().enumerate() {
            // A cross comes after all fields, so the keys of its members are already known.
            let mut features = std::mem::take(&mut self.by_group[index]);
            features.offsets.clear();
            features.keys.clear();
            match &group.kind {
                GroupKind::Field(field) => fill_field(group.seed, &batch.columns[*field], rows, &mut features),
                GroupKind::Cross(members) => self.fill_cross(group.seed, members, rows.len(), &mut features),
                GroupKind::Missing => self.fill_missing(groups, rows.len(), &mut features),
                // Whether a category is unseen is known only when the row is learned.
                GroupKind::Unseen => features.offsets.resize(rows.len() + 1, 0),
            }
            self.by_group[index] = features;
        }
    }

    /// Gives each row a feature for each field without a value whose missing values have a weight.
    fn fill_missing(&self, groups: &[FeatureGroup], row_count: usize, features: &mut GroupFeatures) {
        let has_gaps = |index: usize| self.by_group[index].offsets.windows(2).any(|ends| ends[0] == ends[1]);
        let fields = groups.iter().enumerate().filter_map(|(index, group)| Some((index, group.missing_key?)));
        let fields: Vec<(usize, u64)> = fields.filter(|&(index, _)| has_gaps(index)).collect();
        features.offsets.push(0);
        for row in 0..row_count {
            let missing = fields.iter().filter(|&&(index, _)| self.by_group[index].range(row).is_empty());
            features.keys.extend(missing.map(|&(_, key)| key));
            features.offsets.push(narrow(features.keys.len()));
        }
    }

    fn insert_missing(
        &self,
        index: usize,
        groups: &[FeatureGroup],
        table: &mut Table,
        numbers: &mut Vec<u32>,
    ) -> Result<(), TrainError> {
        for &key in &self.by_group[index].keys {
            numbers.push(table.find_or_insert(key, narrow_group(index), |origin| {
                let field = groups.iter().find(|group| group.missing_key == Some(key));
                origin.extend_from_slice(field.map_or(&[], |field| field.name.as_bytes()));
            })?);
        }
        Ok(())
    }

    fn fill_cross(&self, seed: u64, members: &[usize], row_count: usize, features: &mut GroupFeatures) {
        features.offsets.push(0);
        for row in 0..row_count {
            self.each_crossing(members, row, |positions| {
                let keys = members.iter().zip(positions).map(|(&member, &at)| self.by_group[member].keys[at]);
                features.keys.push(keys.fold(seed, feature::cross_step));
            });
            features.offsets.push(narrow(features.keys.len()));
        }
    }

    /// Calls `visit` for each feature that a cross of `members` has in `row`, with the positions of the members'
    /// features. The contract guarantees that at most one member is a `many` field.
    #[inline]
    fn each_crossing(&self, members: &[usize], row: usize, mut visit: impl FnMut(&[usize])) {
        let mut places = [0_usize; MAX_CROSS_MEMBERS];
        let mut many = 0;
        let mut count = 1;
        for (position, &member) in members.iter().enumerate() {
            let range = self.by_group[member].range(row);
            places[position] = range.start;
            if range.len() != 1 {
                many = position;
                count *= range.len();
            }
        }
        for _ in 0..count {
            visit(&places[..members.len()]);
            places[many] += 1;
        }
    }

    /// Adds the features of a text field whose column lists each distinct text of the batch once, with the position of
    /// its text for each value. Each text is looked up once per batch.
    fn insert_texts(
        &self,
        index: usize,
        column: &FieldColumn,
        rows: &Range<usize>,
        table: &mut Table,
        (places, text_numbers): (&[u32], &mut [u32]),
        numbers: &mut Vec<u32>,
    ) -> Result<(), TrainError> {
        let first = column.offsets[rows.start] as usize;
        let keys = &self.by_group[index].keys;
        for (at, (&key, &place)) in keys.iter().zip(&places[first..first + keys.len()]).enumerate() {
            let known = &mut text_numbers[place as usize];
            if *known == UNSEEN {
                *known = table.find_or_insert(key, narrow_group(index), |origin| {
                    let text = column.text(first + at).expect("a column has a text for each value");
                    origin.extend_from_slice(text.as_bytes());
                })?;
            }
            numbers.push(*known);
        }
        Ok(())
    }

    fn insert_field(
        &self,
        index: usize,
        column: &FieldColumn,
        rows: &Range<usize>,
        table: &mut Table,
        numbers: &mut Vec<u32>,
    ) -> Result<(), TrainError> {
        let first = column.offsets[rows.start] as usize;
        let keys = &self.by_group[index].keys;
        for (place, &key) in keys.iter().enumerate() {
            if let Some(&later) = keys.get(place + KEYS_AHEAD) {
                table.index().fetch(later);
            }
            let number = table.find_or_insert(key, narrow_group(index), |origin| match &column.categories {
                Categories::Texts { .. } => {
                    let text = column.text(first + place).expect("a column has a text for each value");
                    origin.extend_from_slice(text.as_bytes());
                }
                Categories::Keys => write_key_origin(key, origin),
                Categories::Ids | Categories::Numbers(_) => {
                    origin.extend_from_slice(&column.values[first + place].to_le_bytes());
                }
            })?;
            numbers.push(number);
        }
        Ok(())
    }

    fn insert_cross(
        &self,
        index: usize,
        members: &[usize],
        table: &mut Table,
        numbers: &mut Vec<u32>,
    ) -> Result<(), TrainError> {
        let features = &self.by_group[index];
        let mut outcome = Ok(());
        for row in 0..features.offsets.len() - 1 {
            let mut place = features.offsets[row] as usize;
            if let Some(&later) = features.keys.get(place + KEYS_AHEAD) {
                table.index().fetch(later);
            }
            self.each_crossing(members, row, |positions| {
                let inserted = table.find_or_insert(features.keys[place], narrow_group(index), |origin| {
                    for (&member, &at) in members.iter().zip(positions) {
                        origin.extend_from_slice(&self.by_group[member].numbers[at].to_le_bytes());
                    }
                });
                place += 1;
                match inserted {
                    Ok(number) => numbers.push(number),
                    Err(error) => outcome = Err(error),
                }
            });
        }
        outcome
    }
}

fn fill_field(seed: u64, column: &FieldColumn, rows: &Range<usize>, features: &mut GroupFeatures) {
    let first = column.offsets[rows.start];
    let last = column.offsets[rows.end];
    features.offsets.extend(column.offsets[rows.start..=rows.end].iter().map(|&offset| offset - first));
    let values = &column.values[first as usize..last as usize];
    features.keys.extend(values.iter().map(|&value| feature::feature_key(seed, value)));
}

fn narrow(count: usize) -> u32 {
    // The values of a batch are counted in 32 bits. A cross has at most as many features as its `many` member has
    // values.
    u32::try_from(count).expect("a chunk has few features")
}

fn narrow_group(index: usize) -> u16 {
    u16::try_from(index).expect("a contract has at most 128 fields and 64 crosses")
}
