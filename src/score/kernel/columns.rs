//! A chunk of candidates as columns of feature keys. The keys of each field and cross are contiguous, so that loops
//! without branches compute, look up and add them.

use std::ops::Range;
use std::sync::atomic::AtomicU64;

use super::super::block::{RowView, Single, load, read_text_values};
use super::super::plan::{Column, KeyPlan, Plan, PlannedField, Reading};
use super::context::Context;
use super::{Bits, CHUNK, Job, OF_SCORER, Running, Work, each_place, fill_in_unseen, is_set, ones, set};
use crate::error::{Error, RowProblem};
use crate::feature::{cross_step, feature_key};
use crate::memory::{Lanes, array, filled, with_room};
use crate::request::MAX_VALUES_PER_FIELD;
use crate::request::layout::{GAP_INLINE_TEXT, ROW_INLINE_TEXT_OFFSET, ROW_PRESENT_OFFSET, ROW_SLOTS_OFFSET, SLOT_LEN};
use crate::weight_file::table::Table;

/// Largest number of keys in a record that fits into one cache line. A special loop reads such records.
pub(super) const LINE_KEYS: usize = 4;
/// The key in a column for a candidate without a category. It is looked up like any other key, which costs less than a
/// branch, and its weight is then discarded.
pub(super) const ABSENT_KEY: u64 = 0;

/// The values of a chunk of candidates.
#[derive(Debug)]
pub(super) struct Columns {
    /// Number of candidates in the chunk.
    pub(super) count: usize,
    /// The key of candidate `c` in column `k` is at `k * count + c`, and so is its weight in `weights`. After the last
    /// column there is room for keys of prepared candidates that no cross needs.
    pub(super) keys: Vec<u64>,
    weights: Vec<f32>,
    /// For each column: the candidates without a category.
    pub(super) absent: Vec<Bits>,
    /// For each column of a field: the candidates with a number that is out of range or NaN.
    invalid: Vec<Bits>,
    pub(super) many: Vec<ManyColumn>,
    /// Values that could not be read. The list is nearly always empty.
    malformed: Vec<Malformed>,
    /// The candidates that are gaps.
    gaps: Bits,
    /// The first two words of each row.
    present: Lanes<u64, CHUNK>,
    inline_text: Lanes<u64, CHUNK>,
}

/// The keys of a `many` field.
#[derive(Debug)]
pub(super) struct ManyColumn {
    /// The keys of all candidates, one candidate after the other.
    pub(super) keys: Vec<u64>,
    weights: Vec<f32>,
    /// The end of each candidate's keys.
    ends: Lanes<u32, CHUNK>,
    /// The candidates without the field. An empty list counts as a value.
    absent: Bits,
}

/// A field of a row that could not be read.
#[derive(Debug, Clone, Copy)]
struct Malformed {
    field: usize,
    place: usize,
    problem: RowProblem,
}

/// Largest number of keys of a `many` field in a chunk: twice what one candidate may have, so that each chunk has at
/// least one candidate.
pub(super) const MANY_CAPACITY: usize = 2 * MAX_VALUES_PER_FIELD;

impl Columns {
    pub(super) fn new(plan: &KeyPlan) -> Result<Self, Error> {
        Ok(Self {
            count: 0,
            keys: filled(0, (plan.column_count + LINE_KEYS) * CHUNK, OF_SCORER)?,
            weights: filled(0.0, plan.column_count * CHUNK, OF_SCORER)?,
            absent: filled(Bits::default(), plan.column_count, OF_SCORER)?,
            invalid: filled(Bits::default(), plan.column_count, OF_SCORER)?,
            many: (0..plan.many_column_count).map(|_| ManyColumn::new()).collect::<Result<_, _>>()?,
            malformed: with_room(plan.candidate.len() * CHUNK, OF_SCORER)?,
            gaps: Bits::default(),
            present: array(0, OF_SCORER)?,
            inline_text: array(0, OF_SCORER)?,
        })
    }

    /// Number of candidates in the chunk.
    #[inline(always)]
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Begins a chunk of candidates that have no rows.
    #[inline(always)]
    pub(super) const fn begin(&mut self, count: usize) {
        self.count = count;
    }

    /// Reads the rows of up to `wanted` candidates from `first` on. Reads each word once.
    #[inline(always)]
    pub(super) fn read_rows(&mut self, job: &Job<'_>, first: usize, wanted: usize) {
        self.malformed.clear();
        self.count = if self.many.is_empty() { wanted } else { self.read_many_fields(job, first, wanted) };
        let (words, stride) = job.block.candidate_words(first, self.count);
        let (mut all_present, mut all_inline, mut any_inline) = (u64::MAX, u64::MAX, 0);
        let heads = self.present.iter_mut().zip(self.inline_text.iter_mut()).take(self.count);
        let mut at = 0;
        for (present, inline_text) in heads {
            *present = load(&words[at + ROW_PRESENT_OFFSET / SLOT_LEN]);
            *inline_text = load(&words[at + ROW_INLINE_TEXT_OFFSET / SLOT_LEN]);
            all_present &= *present;
            all_inline &= *inline_text;
            any_inline |= *inline_text;
            at += stride;
        }
        self.gaps = Bits::default();
        if job.block.has_gaps() {
            self.note_gaps();
        }
        for (index, field) in job.keys.candidate.iter().enumerate() {
            let Column::Single(column) = job.keys.field_columns[index] else { continue };
            let holds_value = match field.reading {
                Reading::Id => true,
                Reading::Text => any_inline >> field.slot & 1 == 0,
                Reading::Number { .. } => false,
            };
            let holds_text = matches!(field.reading, Reading::Text) && all_inline >> field.slot & 1 == 1;
            if (holds_value || holds_text) && all_present >> field.slot & 1 == 1 {
                self.absent[column] = Bits::default();
                self.invalid[column] = Bits::default();
                let keys = &mut self.keys[column * self.count..][..self.count];
                // Indexing instead of `chunks_exact`, which would need a division for each field to count the chunks.
                let mut at = ROW_SLOTS_OFFSET / SLOT_LEN + field.slot;
                for key in keys.iter_mut() {
                    *key = load(&words[at]);
                    at += stride;
                }
                if holds_value || read_text_values(job.block.tail(), keys) {
                    // A separate loop over contiguous values, so that it becomes vector code.
                    for key in keys {
                        *key = feature_key(field.seed, *key);
                    }
                    continue;
                }
            }
            self.read_field(job, index, field, column, words, stride);
        }
    }

    /// Notes which rows are gaps. Their fields are all absent, so nothing of them is read.
    #[cold]
    fn note_gaps(&mut self) {
        let heads = self.present.iter().zip(self.inline_text.iter()).take(self.count);
        for (place, (&present, &inline_text)) in heads.enumerate() {
            if present == 0 && inline_text == GAP_INLINE_TEXT {
                set(&mut self.gaps, place);
            }
        }
    }

    /// Reads a field that some rows lack, whose slots need conversion, or of which some text cannot be read.
    fn read_field(
        &mut self,
        job: &Job<'_>,
        index: usize,
        field: &PlannedField,
        column: usize,
        words: &[AtomicU64],
        stride: usize,
    ) {
        let (mut absent, mut invalid) = (Bits::default(), Bits::default());
        let keys = &mut self.keys[column * self.count..][..self.count];
        for (place, (key, row)) in keys.iter_mut().zip(words.chunks_exact(stride)).enumerate() {
            let row = RowView::with_head(row, job.block.tail(), self.present[place], self.inline_text[place]);
            *key = match row.single(field) {
                Ok(Single::Value(value)) => feature_key(field.seed, value),
                other => {
                    set(&mut absent, place);
                    match other {
                        Ok(Single::InvalidNumber) => set(&mut invalid, place),
                        Ok(_) => {}
                        Err(problem) => self.malformed.push(Malformed { field: index, place, problem }),
                    }
                    ABSENT_KEY
                }
            };
        }
        self.absent[column] = absent;
        self.invalid[column] = invalid;
    }

    /// Reads the `many` fields of as many candidates as there is room for, and returns their number.
    fn read_many_fields(&mut self, job: &Job<'_>, first: usize, wanted: usize) -> usize {
        self.many.iter_mut().for_each(ManyColumn::clear);
        for place in 0..wanted {
            if self.many.iter().any(|many| many.keys.len() + MAX_VALUES_PER_FIELD > MANY_CAPACITY) {
                return place;
            }
            let row = job.block.candidate(first + place);
            for (index, field) in job.keys.candidate.iter().enumerate() {
                let Column::Many(column) = job.keys.field_columns[index] else { continue };
                let many = &mut self.many[column];
                let start = many.keys.len();
                match row.each_of_many(field, |value| many.keys.push(feature_key(field.seed, value))) {
                    Ok(true) => {}
                    Ok(false) => set(&mut many.absent, place),
                    Err(problem) => {
                        many.keys.truncate(start);
                        set(&mut many.absent, place);
                        self.malformed.push(Malformed { field: index, place, problem });
                    }
                }
                many.end(place);
            }
        }
        wanted
    }

    /// Computes the keys of a cross without a `many` member.
    #[inline(always)]
    pub(super) fn make_cross_keys(&mut self, plan: &KeyPlan, cross_index: usize, context: &Context) {
        let Some(column) = plan.cross_columns[cross_index] else { return };
        let Some(start) = context.start_of(cross_index) else {
            // The column is looked up with its neighbors, but adds nothing in this request.
            self.keys[column * self.count..][..self.count].fill(ABSENT_KEY);
            self.absent[column] = Bits::default();
            return;
        };
        let cross = &plan.crosses[cross_index];
        let count = self.count;
        // Columns of crosses come after those of fields.
        let (field_keys, keys) = self.keys.split_at_mut(column * count);
        let keys = &mut keys[..count];
        let mut absent = Bits::default();
        for (position, &member) in cross.members[cross.leading_count..].iter().enumerate() {
            match plan.column_of(member) {
                Some(member_column) => {
                    let member_keys = &field_keys[member_column * count..][..count];
                    if position == 0 {
                        for (key, &member_key) in keys.iter_mut().zip(member_keys) {
                            *key = cross_step(start, member_key);
                        }
                    } else {
                        for (key, &member_key) in keys.iter_mut().zip(member_keys) {
                            *key = cross_step(*key, member_key);
                        }
                    }
                    for (absent, member_absent) in absent.iter_mut().zip(&self.absent[member_column]) {
                        *absent |= member_absent;
                    }
                }
                // This is not the first step: leading context members are already in `start`.
                None => {
                    let member_key = context.keys_of(member.index)[0];
                    for key in keys.iter_mut() {
                        *key = cross_step(*key, member_key);
                    }
                }
            }
        }
        self.absent[column] = absent;
    }

    /// Prefetches the lines of `table` for the chunk's keys, except those of `many` fields.
    #[inline(always)]
    pub(super) fn prefetch(&self, table: &Table<'_>) {
        table.prefetch(&self.keys[..self.absent.len() * self.count]);
    }

    /// Returns the keys of a candidate's field.
    #[inline]
    pub(super) fn keys_of(&self, plan: &KeyPlan, field: usize, place: usize) -> &[u64] {
        match plan.field_columns[field] {
            Column::Single(column) if is_set(&self.absent[column], place) => &[],
            Column::Single(column) => std::slice::from_ref(&self.keys[column * self.count + place]),
            Column::Many(column) => self.many[column].keys_of(place),
        }
    }

    /// Returns the candidates that a model with this plan cannot read.
    #[inline(always)]
    pub(super) fn refused(&self, plan: &Plan) -> Bits {
        let mut refused = self.gaps;
        for malformed in &self.malformed {
            if plan.candidate.iter().any(|field| field.index == malformed.field) {
                set(&mut refused, malformed.place);
            }
        }
        refused
    }

    /// Returns why a candidate cannot be read: the problem of its first malformed field, in contract order.
    pub(super) fn problem(&self, plan: &Plan, place: usize) -> Option<RowProblem> {
        if is_set(&self.gaps, place) {
            return Some(RowProblem::NotFilled);
        }
        plan.candidate
            .iter()
            .find_map(|field| {
                let mut malformed = self.malformed.iter();
                malformed.find(|malformed| malformed.place == place && malformed.field == field.index)
            })
            .map(|malformed| malformed.problem)
    }

    /// Looks up the fields that a model reads, and counts unseen categories, missing values and invalid numbers.
    #[inline(always)]
    pub(super) fn look_up_fields(&mut self, work: &Work<'_>, refused: &Bits, running: &mut Running) {
        let plan = &work.part.plan;
        let counts = &mut running.counts;
        let mut unseen_count = 0;
        for run in &plan.field_runs {
            let range = run.start * self.count..run.end * self.count;
            let key_count = range.len();
            let found_count = work.gather_fields(&self.keys[range.clone()], &mut self.weights[range]);
            unseen_count += (key_count - found_count) as u64;
            for column in run.clone() {
                let absent_count = ones(&self.absent[column]);
                if absent_count > 0 {
                    self.leave_out_absent(column);
                    if !work.part.finds_absent {
                        unseen_count -= absent_count;
                    }
                    let live_absent = without(&self.absent[column], refused);
                    counts.missing_count += ones(&live_absent);
                    counts.invalid_number_count += ones(&without(&self.invalid[column], refused));
                }
            }
        }
        for field in &plan.candidate {
            let Column::Many(column) = work.job.keys.field_columns[field.index] else { continue };
            let many = &mut self.many[column];
            let found_count = work.gather_fields(&many.keys, &mut many.weights);
            unseen_count += (many.keys.len() - found_count) as u64;
            counts.missing_count += ones(&without(&many.absent, refused));
        }
        if !work.defaults.is_empty() {
            self.fill_in(work);
        }
        if ones(refused) > 0 {
            // The other fields of refused candidates were looked up too, but their unseen categories must not count.
            each_place(refused, |place| {
                for field in &plan.candidate {
                    let keys = self.keys_of(work.job.keys, field.index, place);
                    unseen_count -= keys.iter().filter(|&&key| work.table.get(key).is_none()).count() as u64;
                }
            });
        }
        counts.unseen_count += unseen_count;
    }

    /// Multiplies the weights of fields by their scales, and replaces those that the table does not have by the default
    /// weights.
    #[inline(always)]
    fn fill_in(&mut self, work: &Work<'_>) {
        for field in &work.part.plan.candidate {
            let (scale, default) = (work.table.scale(field.group), work.default_weights(field.group));
            match work.job.keys.field_columns[field.index] {
                Column::Single(column) => {
                    let weights = &mut self.weights[column * self.count..][..self.count];
                    fill_in_unseen(weights, scale, default.unseen);
                    each_place(&self.absent[column], |place| weights[place] = default.missing);
                }
                Column::Many(column) => {
                    let many = &mut self.many[column];
                    fill_in_unseen(&mut many.weights[..many.keys.len()], scale, default.unseen);
                }
            }
        }
    }

    /// Looks up the columns of crosses.
    #[inline(always)]
    pub(super) fn look_up_crosses(&mut self, work: &Work<'_>, runs: &[Range<usize>]) {
        for run in runs {
            let range = run.start * self.count..run.end * self.count;
            work.table.gather(work.job.instructions, &self.keys[range.clone()], &mut self.weights[range]);
            for column in run.clone() {
                self.leave_out_absent(column);
            }
        }
    }

    #[inline(always)]
    fn leave_out_absent(&mut self, column: usize) {
        let weights = &mut self.weights[column * self.count..][..self.count];
        each_place(&self.absent[column], |place| weights[place] = 0.0);
    }

    /// Adds the weights of a column to the sums.
    #[inline(always)]
    pub(super) fn add(&self, column: usize, scale: f32, sums: &mut [f64; CHUNK]) {
        for (sum, weight) in sums.iter_mut().zip(&self.weights[column * self.count..][..self.count]) {
            *sum += f64::from(weight * scale);
        }
    }

    /// Adds the weights of a `many` field to the sums, and `missing` for a candidate that has none.
    pub(super) fn add_many_or(&self, column: usize, missing: f32, sums: &mut [f64; CHUNK]) {
        let many = &self.many[column];
        for (place, sum) in sums.iter_mut().enumerate().take(self.count) {
            let weights = &many.weights[many.range(place)];
            if weights.is_empty() {
                *sum += f64::from(missing);
            }
            for weight in weights {
                *sum += f64::from(*weight);
            }
        }
    }

    /// Adds the weights of a `many` field to the sums.
    pub(super) fn add_many(&self, column: usize, scale: f32, sums: &mut [f64; CHUNK]) {
        let many = &self.many[column];
        for (place, sum) in sums.iter_mut().enumerate().take(self.count) {
            for weight in &many.weights[many.range(place)] {
                *sum += f64::from(weight * scale);
            }
        }
    }
}

impl ManyColumn {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            keys: with_room(MANY_CAPACITY, OF_SCORER)?,
            weights: filled(0.0, MANY_CAPACITY, OF_SCORER)?,
            ends: array(0, OF_SCORER)?,
            absent: Bits::default(),
        })
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.absent = Bits::default();
    }

    /// Ends the keys of the candidate at `place`. Those of the next candidate begin here.
    pub(super) fn end(&mut self, place: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "at most the capacity")]
        let end = self.keys.len() as u32;
        self.ends[place] = end;
    }

    pub(super) fn range_start(&self, place: usize) -> usize {
        if place == 0 { 0 } else { self.ends[place - 1] as usize }
    }

    fn range(&self, place: usize) -> Range<usize> {
        self.range_start(place)..self.ends[place] as usize
    }

    fn keys_of(&self, place: usize) -> &[u64] {
        &self.keys[self.range(place)]
    }
}

fn without(bits: &Bits, others: &Bits) -> Bits {
    std::array::from_fn(|index| bits[index] & !others[index])
}
