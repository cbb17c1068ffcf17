//! What a model makes of a set's candidates before any request: their own sums, and the keys that crosses with the context need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::super::Model;
use super::super::kernel::Tally;
use super::super::plain::{Reader, RowKeys};
use super::super::plan::{KeyPlan, Needed, Plan};
use super::records::{Records, zeroed};
use super::stored_row::StoredRow;
use crate::error::Error;
use crate::request::Schema;

/// A sum's bits are stored combined with these, so that memory which was never written, all zeros, reads as NaN: no candidate.
const NO_CANDIDATE: u64 = f64::NAN.to_bits();

/// In a record: the candidate's own sum.
const SUM_WORD: usize = 0;
/// In a record: what its row lacks.
const COUNTS_WORD: usize = 1;
/// In a record: the fields without a key, a bit each, of those with one key at most.
const ABSENT_WORD: usize = 2;
/// In a record: the first key. Fields with one key at most have a word each; then a `many` field has the number of its keys, and room
/// for them.
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

/// What is kept of each candidate.
#[derive(Debug)]
pub(in crate::score) enum Contents {
    /// Its own sum: all there is without crosses with the context.
    Sums(Sums),
    /// Its own sum and keys.
    Records(Records),
}

/// An own sum and what the row lacks, for each candidate. The sum is one word, and so is never seen half replaced; a request that
/// reads while it is being replaced may count what the other row lacks.
#[derive(Debug)]
pub(in crate::score) struct Sums {
    entries: Box<[[AtomicU64; 2]]>,
}

/// A record as it is being read.
#[derive(Clone, Copy)]
pub(in crate::score) struct Record<'a> {
    words: &'a [AtomicU64],
}

/// The lists of a record, one `many` field after the other.
pub(in crate::score) struct Lists<'a> {
    words: &'a [AtomicU64],
    values_per_field: usize,
}

/// What rows lack, in three lanes of a word, so that the counts of a chunk add up in one addition a candidate: 32 bits of unseen
/// categories, 16 of missing fields, 16 of numbers out of range. A chunk of candidates cannot overflow a lane.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::score) struct RecordCounts(u64);

impl RecordCounts {
    #[inline(always)]
    pub(in crate::score) fn add(&mut self, other: Self) {
        self.0 += other.0;
    }

    pub(in crate::score) fn add_to(self, tally: &mut Tally) {
        tally.unseen_count += self.0 & 0xffff_ffff;
        tally.missing_count += self.0 >> 32 & 0xffff;
        tally.invalid_number_count += self.0 >> 48;
    }
}

impl Sums {
    fn new(capacity: usize) -> Self {
        Self { entries: zeroed(capacity) }
    }

    fn write(&self, index: usize, [sum, counts]: [u64; 2]) {
        self.entries[index][0].store(sum, Ordering::Relaxed);
        self.entries[index][1].store(counts, Ordering::Relaxed);
    }

    /// Writes the own sums of the candidates with these indices, NaN where there is none, and adds up what their rows lack.
    #[inline(always)]
    pub(in crate::score) fn read(&self, indices: &[AtomicU32], own_sums: &mut [f64], counts: &mut RecordCounts) {
        let entries = &*self.entries;
        let mut read_counts = *counts;
        for (own_sum, index) in own_sums.iter_mut().zip(indices) {
            let index = u32::from_le(index.load(Ordering::Relaxed));
            // A branch that is hardly ever taken costs less here than choosing between two addresses.
            if let Some([sum, counts]) = entries.get(index as usize) {
                *own_sum = sum_of(sum);
                read_counts.add(RecordCounts(counts.load(Ordering::Relaxed)));
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

    /// The sum over the candidate's own fields and crosses; NaN if there is no candidate.
    #[inline(always)]
    pub(in crate::score) fn own_sum(self) -> f64 {
        sum_of(&self.words[SUM_WORD])
    }

    #[inline(always)]
    pub(in crate::score) fn counts(self) -> RecordCounts {
        RecordCounts(self.words[COUNTS_WORD].load(Ordering::Relaxed))
    }

    /// The fields without a key, of those with one key at most: a bit each.
    #[inline(always)]
    pub(in crate::score) fn absent(self) -> u64 {
        self.words[ABSENT_WORD].load(Ordering::Relaxed)
    }

    /// The keys of the fields with one key at most, and whatever follows.
    #[inline(always)]
    pub(in crate::score) fn keys(self) -> &'a [AtomicU64] {
        &self.words[KEYS_WORD..]
    }

    /// The lists of the other fields, behind the keys of `single_count`.
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
        // While the record is being replaced the number may be any; what is read then is thrown away.
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
            0 => Contents::Sums(Sums::new(capacity)),
            words => Contents::Records(Records::new(capacity, KEYS_WORD + words)),
        };
        Ok(Self { model: Arc::clone(model), keys, plan, needed, values_per_field, contents })
    }

    /// The model.
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

    /// Prepares the candidate at `index` anew, or leaves none there. The caller holds the set's lock.
    pub(super) fn update(&self, index: usize, row: Option<&StoredRow>) {
        let reader = Reader { model: &self.model, keys: &self.keys, plan: &self.plan };
        // A stored row was read once already, so that nothing in it is malformed; such a row would prepare nothing.
        let keys = row.and_then(|row| reader.candidate_keys(row.view()).ok());
        let [sum, counts] = keys.as_ref().map_or([0; 2], |keys| {
            let sum = reader.own_sum(keys, &mut |_, _, _| ());
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

/// What stands for the sum of an index outside the set. Marked as cold, so that the compiler keeps the branch that leads here.
#[cold]
const fn no_candidate() -> f64 {
    f64::NAN
}
