//! Stores the rows of a set's candidates, and prepares them for a model before any request: computes their own sums,
//! and the keys that crosses with the context need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::super::Model;
use super::super::block::{RowView, Single, Tail};
use super::super::counts::PackedCounts;
use super::super::plan::{KeyPlan, Needed, Plan, PlannedField, Reading};
use super::super::row_scorer::{Reader, RowKeys};
use super::records::{Records, zeroed};
use crate::error::{Error, RowProblem};
use crate::request::layout::{ROW_SLOTS_OFFSET, SLOT_LEN};
use crate::request::{Schema, SchemaField, SchemaKind};
use crate::rounding::in_standard_mode;

/// The bits of a sum are stored combined with these (exclusive or), so that memory that was never written, all zeros,
/// reads as NaN: no candidate.
const NO_CANDIDATE: u64 = f64::NAN.to_bits();

/// In a record: the candidate's own sum.
const SUM_WORD: usize = 0;
/// In a record: the counts of unseen categories, missing fields and invalid numbers.
const COUNTS_WORD: usize = 1;
/// In a record: one bit for each field that has at most one key, set if the field has no key.
const ABSENT_WORD: usize = 2;
/// In a record: the first key. Fields with at most one key have a word each. Then each `many` field has a word for the
/// number of its keys, and room for the keys.
const KEYS_WORD: usize = 3;

/// The candidates of a set, prepared for one model.
#[derive(Debug)]
pub struct Prepared {
    model: Arc<Model>,
    keys: KeyPlan,
    plan: Plan,
    needed: Needed,
    values_per_field: usize,
    contents: Contents,
}

/// The data that is kept for each candidate.
#[derive(Debug)]
pub(in crate::score) enum Contents {
    /// Its own sum. Without crosses with the context, this is everything.
    Sums(Sums),
    /// Its own sum and keys.
    Records(Records),
}

/// The own sum and the counts of each candidate. The sum is one word, so it is never seen half replaced. A request that
/// reads while it is being replaced may get the counts of the other row.
#[derive(Debug)]
pub(in crate::score) struct Sums {
    entries: Box<[[AtomicU64; 2]]>,
}

/// A record that is being read.
#[derive(Clone, Copy)]
pub(in crate::score) struct Record<'a> {
    words: &'a [AtomicU64],
}

/// The lists of a record, one `many` field after the other.
pub(in crate::score) struct Lists<'a> {
    words: &'a [AtomicU64],
    values_per_field: usize,
}

impl Sums {
    fn new(capacity: usize) -> Result<Self, Error> {
        Ok(Self { entries: zeroed(capacity)? })
    }

    fn write(&self, index: usize, [sum, counts]: [u64; 2]) {
        self.entries[index][0].store(sum, Ordering::Relaxed);
        self.entries[index][1].store(counts, Ordering::Relaxed);
    }

    /// Writes the own sums of the candidates with these indices, NaN if there is no candidate, and adds up their
    /// counts.
    #[inline(always)]
    pub(in crate::score) fn read(&self, indices: &[AtomicU32], own_sums: &mut [f64], counts: &mut PackedCounts) {
        let entries = &*self.entries;
        let mut read_counts = *counts;
        for (own_sum, index) in own_sums.iter_mut().zip(indices) {
            let index = u32::from_le(index.load(Ordering::Relaxed));
            // A branch that is hardly ever taken costs less here than a choice between two addresses.
            if let Some([sum, counts]) = entries.get(index as usize) {
                *own_sum = sum_of(sum);
                read_counts.add(PackedCounts(counts.load(Ordering::Relaxed)));
            } else {
                *own_sum = no_candidate();
            }
        }
        *counts = read_counts;
    }
}

#[inline(always)]
fn sum_of(word: &AtomicU64) -> f64 {
    f64::from_bits(word.load(Ordering::Relaxed) ^ NO_CANDIDATE)
}

impl<'a> Record<'a> {
    #[inline(always)]
    pub(in crate::score) const fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Returns the sum over the candidate's own fields and crosses, or NaN if there is no candidate.
    #[inline(always)]
    pub(in crate::score) fn own_sum(self) -> f64 {
        sum_of(&self.words[SUM_WORD])
    }

    #[inline(always)]
    pub(in crate::score) fn counts(self) -> PackedCounts {
        PackedCounts(self.words[COUNTS_WORD].load(Ordering::Relaxed))
    }

    /// Returns one bit for each field that has at most one key, set if the field has no key.
    #[inline(always)]
    pub(in crate::score) fn absent(self) -> u64 {
        self.words[ABSENT_WORD].load(Ordering::Relaxed)
    }

    /// Returns the keys of the fields that have at most one key, and everything after them.
    #[inline(always)]
    pub(in crate::score) fn keys(self) -> &'a [AtomicU64] {
        &self.words[KEYS_WORD..]
    }

    /// Returns the lists of the `many` fields, which come after the keys of `single_count` fields.
    #[inline(always)]
    pub(in crate::score) fn lists(self, single_count: usize, values_per_field: usize) -> Lists<'a> {
        Lists { words: &self.keys()[single_count..], values_per_field }
    }
}

impl Lists<'_> {
    /// Calls `each` with the keys of the next `many` field.
    #[inline]
    pub(in crate::score) fn next(&mut self, each: impl FnMut(u64)) {
        let (list, rest) = self.words[1..].split_at(self.values_per_field);
        // While the record is being replaced, the number may have any value; the keys that are then read are discarded.
        let count = usize::try_from(self.words[0].load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        list.iter().take(count).map(|word| word.load(Ordering::Relaxed)).for_each(each);
        self.words = rest;
    }
}

impl Prepared {
    pub(super) fn new(
        model: &Arc<Model>,
        schema: &Schema,
        capacity: usize,
        values_per_field: usize,
    ) -> Result<Self, Error> {
        let (keys, mut plans) = KeyPlan::bind(std::iter::once(model.contract()), schema)?;
        let plan = plans.pop().unwrap_or_default();
        let needed = keys.needed(&plan);
        let key_words = needed.single_fields.len() + needed.many_fields.len() * (1 + values_per_field);
        let contents = match key_words {
            0 => Contents::Sums(Sums::new(capacity)?),
            words => Contents::Records(Records::new(capacity, KEYS_WORD + words)?),
        };
        Ok(Self { model: Arc::clone(model), keys, plan, needed, values_per_field, contents })
    }

    /// Returns the model.
    pub(super) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    #[inline(always)]
    pub(in crate::score) const fn contents(&self) -> &Contents {
        &self.contents
    }

    #[inline(always)]
    pub(in crate::score) const fn values_per_field(&self) -> usize {
        self.values_per_field
    }

    /// Prepares the candidate at `index` again, or removes it if there is no row. The caller holds the set's lock.
    pub(super) fn update(&self, index: usize, row: Option<&StoredRow>) {
        let reader = Reader { model: &self.model, keys: &self.keys, plan: &self.plan };
        // A stored row was already read once, so nothing in it is malformed. A malformed row would leave no candidate.
        let keys = row.and_then(|row| in_standard_mode(|| reader.candidate_keys(row.view()).ok()));
        let [sum, counts] = keys.as_ref().map_or([0; 2], |keys| {
            let sum = in_standard_mode(|| reader.own_sum(keys, &mut |_| ()));
            let counts = sum.unseen_count | keys.missing_count << 32 | keys.invalid_number_count << 48;
            [sum.logit.to_bits() ^ NO_CANDIDATE, counts]
        });
        match &self.contents {
            Contents::Sums(sums) => sums.write(index, [sum, counts]),
            Contents::Records(records) => records.write(index, &self.record(sum, counts, keys.as_ref())),
        }
    }

    fn record(&self, sum: u64, counts: u64, keys: Option<&RowKeys>) -> Vec<u64> {
        let mut words = vec![sum, counts, 0];
        let keys_of = |field: usize| keys.map_or(&[][..], |keys| keys.of(field));
        for (position, &field) in self.needed.single_fields.iter().enumerate() {
            let key = keys_of(field).first();
            words[ABSENT_WORD] |= u64::from(key.is_none()) << position;
            words.push(key.copied().unwrap_or(0));
        }
        for &field in &self.needed.many_fields {
            let list = keys_of(field);
            words.push(list.len() as u64);
            words.extend(list);
            words.resize(words.len() + self.values_per_field - list.len(), 0);
        }
        words
    }
}

/// Returns the sum for an index outside the set. Marked as cold, so that the compiler keeps the branch that leads here.
#[cold]
const fn no_candidate() -> f64 {
    f64::NAN
}

/// A row outside a request. Texts are replaced by their values, so that nothing is hashed twice.
#[derive(Debug)]
pub(super) struct StoredRow {
    words: Box<[AtomicU64]>,
    /// The values of `many` fields.
    lists: Box<[AtomicU64]>,
}

/// Returns a plan that reads a declared field unconverted: the value of a text, or the bits of an id or a number.
pub(super) fn declared(slot: usize, field: &SchemaField) -> PlannedField {
    let reading = match field.kind {
        SchemaKind::Text => Reading::Text,
        SchemaKind::Id | SchemaKind::Number { .. } => Reading::Id,
    };
    PlannedField { name: field.name.as_str().into(), seed: 0, slot, reading, many: field.many }
}

impl StoredRow {
    /// Copies a row. `fields` are all fields of its side, each from [`declared`].
    ///
    /// # Errors
    ///
    /// Returns the field that cannot be read, and why.
    pub(super) fn copy<'f>(
        row: RowView<'_>,
        fields: &'f [PlannedField],
        values_per_field: usize,
    ) -> Result<Self, (&'f PlannedField, RowProblem)> {
        let mut words = vec![0; ROW_SLOTS_OFFSET / SLOT_LEN + fields.len()];
        let mut lists = Vec::new();
        let mut present = 0_u64;
        for field in fields {
            let at_field = |problem| (field, problem);
            let word = if field.many {
                let start = lists.len();
                if !row.each_of_many(field, |value| lists.push(value)).map_err(at_field)? {
                    continue;
                }
                let count = lists.len() - start;
                if count > values_per_field {
                    return Err((field, RowProblem::TooManyValues));
                }
                (start * SLOT_LEN) as u64 | (count as u64) << 32
            } else {
                match row.single(field).map_err(at_field)? {
                    Single::Value(value) => value,
                    Single::Missing | Single::InvalidNumber => continue,
                }
            };
            present |= 1 << field.slot;
            words[ROW_SLOTS_OFFSET / SLOT_LEN + field.slot] = word;
        }
        words[0] = present;
        let shared = |words: Vec<u64>| words.into_iter().map(|word| AtomicU64::new(word.to_le())).collect();
        Ok(Self { words: shared(words), lists: shared(lists) })
    }

    pub(super) fn view(&self) -> RowView<'_> {
        let used_bytes = size_of_val(&*self.lists);
        // All of the memory of the lists is in use, so this never fails.
        let tail = Tail::new(&self.lists, used_bytes).unwrap_or_else(|_| unreachable!());
        RowView::new(&self.words, tail)
    }
}
