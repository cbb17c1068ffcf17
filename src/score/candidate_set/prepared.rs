//! What a model makes of a set's candidates before any request: their own sums, and the keys that crosses with the context need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::Model;
use super::super::kernel::Tally;
use super::super::plain::Reader;
use super::super::plan::{KeyPlan, Plan};
use super::records::Records;
use super::stored_row::StoredRow;
use crate::error::Error;
use crate::schema::Schema;

/// A sum's bits are stored combined with these, so that a record that was never written, all zeros, reads as NaN: no candidate.
const NO_CANDIDATE: u64 = f64::NAN.to_bits();

/// In a content: the candidate's own sum.
const SUM_WORD: usize = 0;
/// In a content: what its row lacks.
const COUNTS_WORD: usize = 1;
/// In a content with keys: the fields without one, a bit each.
const ABSENT_WORD: usize = 2;
/// In a content with keys: the first of them. A field has one word; a `many` field has the number of its keys, then room for them.
const KEYS_WORD: usize = 3;

/// The candidates of a set, prepared for one model.
#[derive(Debug)]
pub struct Prepared {
    model: Arc<Model>,
    keys: KeyPlan,
    plan: Plan,
    /// Candidate fields in mixed crosses.
    needed: Vec<usize>,
    values_per_field: usize,
    records: Records,
}

/// The content of a record, as it is being read.
#[derive(Clone, Copy)]
pub(in crate::score) struct Record<'a> {
    words: &'a [AtomicU64],
    values_per_field: usize,
}

/// The keys of a record, one field after the other.
pub(in crate::score) struct RecordKeys<'a> {
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

impl Record<'_> {
    /// The sum over the candidate's own fields and crosses; NaN if there is no candidate.
    #[inline(always)]
    pub(in crate::score) fn own_sum(&self) -> f64 {
        f64::from_bits(self.words[SUM_WORD].load(Ordering::Relaxed) ^ NO_CANDIDATE)
    }

    #[inline(always)]
    pub(in crate::score) fn counts(&self) -> RecordCounts {
        RecordCounts(self.words[COUNTS_WORD].load(Ordering::Relaxed))
    }

    /// Whether the field `position` of those with keys has none.
    #[inline]
    pub(in crate::score) fn is_absent(&self, position: usize) -> bool {
        self.words[ABSENT_WORD].load(Ordering::Relaxed) >> position & 1 == 1
    }

    #[inline]
    pub(in crate::score) fn keys(&self) -> RecordKeys<'_> {
        RecordKeys { words: &self.words[KEYS_WORD..], values_per_field: self.values_per_field }
    }
}

impl RecordKeys<'_> {
    /// The key of the next field, which has at most one.
    #[inline]
    pub(in crate::score) fn one(&mut self) -> u64 {
        let (key, rest) = (self.words[0].load(Ordering::Relaxed), &self.words[1..]);
        self.words = rest;
        key
    }

    /// Calls `each` with the keys of the next field, which is `many`.
    #[inline]
    pub(in crate::score) fn list(&mut self, each: impl FnMut(u64)) {
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
        let needed = keys.fields_in_mixed_crosses(&plan);
        let key_words = |&field: &usize| if keys.candidate[field].many { 1 + values_per_field } else { 1 };
        let content_len = match needed.iter().map(key_words).sum::<usize>() {
            0 => COUNTS_WORD + 1,
            len => KEYS_WORD + len,
        };
        let records = Records::new(capacity, content_len);
        Ok(Self { model: Arc::clone(model), keys, plan, needed, values_per_field, records })
    }

    /// The model.
    pub(super) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What `take` makes of the record at `index`; nothing if it lies outside the set.
    #[inline(always)]
    pub(in crate::score) fn read<T>(&self, index: u32, mut take: impl FnMut(Record<'_>) -> T) -> Option<T> {
        let values_per_field = self.values_per_field;
        self.records.read(index as usize, |words| take(Record { words, values_per_field }))
    }

    /// Prepares the candidate at `index` anew, or leaves none there. The caller holds the set's lock.
    pub(super) fn update(&self, index: usize, row: Option<&StoredRow>) {
        let content = row.map_or_else(|| vec![0; COUNTS_WORD + 1], |row| self.content(row));
        self.records.write(index, &content);
    }

    fn content(&self, row: &StoredRow) -> Vec<u64> {
        let reader = Reader { model: &self.model, keys: &self.keys, plan: &self.plan };
        // A stored row was read once already, so that nothing in it is malformed; such a row would prepare nothing.
        let Ok(keys) = reader.candidate_keys(row.view()) else {
            return vec![0; COUNTS_WORD + 1];
        };
        let sum = reader.own_sum(&keys, &mut |_, _, _| ());
        let counts = sum.unseen_count | keys.missing_count << 32 | keys.invalid_number_count << 48;
        let mut content = vec![sum.logit.to_bits() ^ NO_CANDIDATE, counts];
        if self.needed.is_empty() {
            return content;
        }
        let is_absent = |&field: &usize| keys.of(field).is_empty();
        let absent = self.needed.iter().enumerate().filter(|(_, field)| is_absent(field));
        content.push(absent.fold(0, |bits, (position, _)| bits | 1 << position));
        for &field in &self.needed {
            let own = keys.of(field);
            if self.keys.candidate[field].many {
                content.push(own.len() as u64);
                content.extend(own);
                content.resize(content.len() + self.values_per_field - own.len(), 0);
            } else {
                content.push(own.first().copied().unwrap_or(0));
            }
        }
        content
    }
}
