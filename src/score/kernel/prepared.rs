//! Reads a chunk of prepared candidates: their own sums, and columns of the feature keys that crosses with the context
//! need.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::super::candidate_set::{Lists, Prepared, Record, RecordCounts, Records};
use super::super::plan::Needed;
use super::columns::{Columns, ManyColumn};
use super::{Bits, CHUNK, each_place, ones, set};
use crate::prefetch::prefetch_far;

/// Largest number of keys in a record that fits into one cache line. A special loop reads such records.
pub(super) const LINE_KEYS: usize = 4;

/// Number of records by which prefetching runs ahead.
const RECORDS_AHEAD: usize = 48;

/// Prefetches the records of the first of these candidates.
#[inline(always)]
pub(super) fn prefetch(records: &Records, indices: &[AtomicU32]) {
    indices.iter().take(RECORDS_AHEAD).for_each(|index| records.prefetch(load_index(index)));
}

impl Columns {
    /// Reads the prepared data of the chunk's candidates, the first of `indices`: their own sums (NaN if there is no
    /// candidate) and the keys that crosses need. The remaining indices are those of the next chunks, which are
    /// prefetched.
    #[inline(always)]
    pub(super) fn read_records(
        &mut self,
        needed: &Needed,
        prepared: &Prepared,
        records: &Records,
        indices: &[AtomicU32],
        own_sums: &mut [f64; CHUNK],
        counts: &mut RecordCounts,
    ) {
        for column in &needed.single_columns {
            self.absent[*column] = Bits::default();
        }
        self.many.iter_mut().for_each(ManyColumn::clear);
        let fits_line = needed.many_columns.is_empty() && needed.single_columns.len() <= LINE_KEYS;
        if !fits_line || !self.read_lines(needed, prepared, records, indices, own_sums, counts) {
            for place in 0..self.count {
                if let Some(later) = indices.get(place + RECORDS_AHEAD) {
                    records.prefetch(load_index(later));
                }
                self.read_record(needed, prepared, records, load_index(&indices[place]), place, own_sums, counts);
            }
        }
    }

    /// Reads records that are one cache line each, in a loop without calls or inner loops. Returns false, and reads
    /// nothing, if the records are not like that.
    #[inline(always)]
    fn read_lines(
        &mut self,
        needed: &Needed,
        prepared: &Prepared,
        records: &Records,
        indices: &[AtomicU32],
        own_sums: &mut [f64; CHUNK],
        counts: &mut RecordCounts,
    ) -> bool {
        let count = self.count;
        let Some(lines) = records.lines() else { return false };
        let spare = self.absent.len();
        // Keys for which a line has room but the record has none go after the last column.
        let range_of = |position: usize| {
            let column = needed.single_columns.get(position).copied().unwrap_or(spare + position);
            column * count..(column + 1) * count
        };
        let ranges: [_; LINE_KEYS] = std::array::from_fn(range_of);
        let (Ok(columns), Some(chunk)) = (self.keys.get_disjoint_mut(ranges), indices.get(..count)) else {
            return false;
        };
        let [keys_0, keys_1, keys_2, keys_3] = columns.map(|column| column.iter_mut());
        // Candidates whose record is being replaced, lacks a key, or does not exist.
        let mut unusual = Bits::default();
        let mut line_counts = RecordCounts::default();
        let words = keys_0.zip(keys_1).zip(keys_2.zip(keys_3)).zip(own_sums.iter_mut());
        for (place, (index, (((key_0, key_1), (key_2, key_3)), own_sum))) in chunk.iter().zip(words).enumerate() {
            if let Some(later) = indices.get(place + RECORDS_AHEAD) {
                prefetch_far(lines.as_ptr().wrapping_add(load_index(later)));
            }
            let Some([version_word, words @ ..]) = lines.get(load_index(index)) else {
                set(&mut unusual, place);
                continue;
            };
            let version = version_word.load(Ordering::Acquire);
            let record = Record::new(words);
            let key_of = |position: usize| record.keys()[position].load(Ordering::Relaxed);
            (*key_0, *key_1, *key_2, *key_3) = (key_of(0), key_of(1), key_of(2), key_of(3));
            *own_sum = record.own_sum();
            let (record_counts, absent) = (record.counts(), record.absent());
            fence(Ordering::Acquire);
            if version & 1 | version ^ version_word.load(Ordering::Relaxed) | absent != 0 {
                set(&mut unusual, place);
            } else {
                line_counts.add(record_counts);
            }
        }
        counts.add(line_counts);
        if ones(&unusual) > 0 {
            each_place(&unusual, |place| {
                self.read_record(needed, prepared, records, load_index(&indices[place]), place, own_sums, counts);
            });
        }
        true
    }

    /// Reads one record of any kind.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "what the loops around it hold")]
    fn read_record(
        &mut self,
        needed: &Needed,
        prepared: &Prepared,
        records: &Records,
        index: usize,
        place: usize,
        own_sums: &mut [f64; CHUNK],
        counts: &mut RecordCounts,
    ) {
        let (count, keys, many) = (self.count, &mut self.keys, &mut self.many);
        // A record may be read again if it was replaced in the meantime, so nothing here adds to what an earlier
        // reading left.
        let found = records.read(index, |words| {
            let record = Record::new(words);
            for (&column, key) in needed.single_columns.iter().zip(record.keys()) {
                keys[column * count + place] = key.load(Ordering::Relaxed);
            }
            let mut lists = record.lists(needed.single_columns.len(), prepared.values_per_field());
            read_lists(&needed.many_columns, &mut lists, many, place);
            (record.own_sum(), record.counts(), record.absent())
        });
        let (sum, own_counts, absent) = found.unwrap_or((f64::NAN, RecordCounts::default(), u64::MAX));
        own_sums[place] = sum;
        counts.add(own_counts);
        for (position, &column) in needed.single_columns.iter().enumerate() {
            if absent >> position & 1 == 1 {
                set(&mut self.absent[column], place);
            }
        }
        if found.is_none() {
            needed.many_columns.iter().for_each(|&column| self.many[column].end(place));
        }
    }
}

/// Reads the keys of a prepared candidate's `many` fields that crosses need.
fn read_lists(columns: &[usize], lists: &mut Lists<'_>, many: &mut [ManyColumn], place: usize) {
    for &column in columns {
        let many = &mut many[column];
        many.keys.truncate(many.range_start(place));
        lists.next(|key| many.keys.push(key));
        many.end(place);
    }
}

/// Returns the index of a candidate in its set.
#[inline(always)]
fn load_index(index: &AtomicU32) -> usize {
    u32::from_le(index.load(Ordering::Relaxed)) as usize
}
