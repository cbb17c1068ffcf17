//! The kernel: a chunk of candidates at a time, field by field, so that look-ups come in batches long enough to hide memory's latency
//! behind prefetches.
//!
//! For each chunk it first reads all rows (every word once, refusing malformed candidates), keeping one feature key for each
//! candidate and field; then it walks fields and crosses in contract order, gathers their weights in batches, and adds each weight to
//! its candidate's sum. The order of additions is the one that `FORMAT.md` (5) defines, so the bits are those of the plain twin.

use std::sync::Arc;

use super::Model;
use super::block::{Block, RowView, Single};
use super::plan::{Member, Plan, PlannedCross, PlannedField};
use super::request::{Answer, Counts};
use crate::contract::Side;
use crate::error::{Error, RowProblem};
use crate::feature::{cross_step, feature_key};
use crate::instructions::Instructions;
use crate::math::sigmoid;
use crate::schema::{CandidateStatus, MAX_VALUES_PER_FIELD};
use crate::weight_file::table::Table;

/// Candidates read at once: their keys (8 bytes each a field) stay in the first-level cache.
const CHUNK: usize = 128;
/// Keys looked up at once.
const BATCH: usize = 1_024;

/// Counts of one request, before they are cut to what the header holds.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) scored_count: u64,
    pub(super) refused_count: u64,
    pub(super) unseen_count: u64,
    pub(super) missing_count: u64,
    pub(super) invalid_number_count: u64,
}

impl From<Tally> for Counts {
    fn from(tally: Tally) -> Self {
        let cut = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            scored_count: cut(tally.scored_count),
            refused_count: cut(tally.refused_count),
            unseen_count: cut(tally.unseen_count),
            missing_count: cut(tally.missing_count),
            invalid_number_count: cut(tally.invalid_number_count),
        }
    }
}

/// The memory that scoring works in, made once with a scorer.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Feature keys of the context; field `f` has those at `context_ranges[f]`.
    context_keys: Vec<u64>,
    context_ranges: Vec<(usize, usize)>,
    chunk: Chunk,
    batch: Batch,
    many_keys: Vec<u64>,
}

/// What was read of a chunk of candidates.
#[derive(Debug)]
struct Chunk {
    /// Feature key of candidate `c` in field `f` at `f * CHUNK + c`, where it has exactly one.
    keys: Vec<u64>,
    /// Bit `f` is set where candidate `c` has a value of field `f`.
    present: [u64; CHUNK],
    problems: [Option<RowProblem>; CHUNK],
    /// The candidates that can be read.
    live: Vec<usize>,
    own_sums: [f64; CHUNK],
    crossed_sums: [f64; CHUNK],
}

/// Keys waiting to be looked up, and whose they are.
#[derive(Debug)]
struct Batch {
    keys: Vec<u64>,
    owners: Vec<u16>,
    weights: Vec<f32>,
    /// What the weights of these keys are multiplied by: they are all of one field or cross.
    scale: f32,
}

impl Scratch {
    pub(super) fn new(plan: &Plan) -> Self {
        let context_key_count: usize =
            plan.context.iter().map(|field| if field.many { MAX_VALUES_PER_FIELD } else { 1 }).sum();
        Self {
            context_keys: Vec::with_capacity(context_key_count),
            context_ranges: Vec::with_capacity(plan.context.len()),
            chunk: Chunk {
                keys: vec![0; plan.candidate.len() * CHUNK],
                present: [0; CHUNK],
                problems: [None; CHUNK],
                live: Vec::with_capacity(CHUNK),
                own_sums: [0.0; CHUNK],
                crossed_sums: [0.0; CHUNK],
            },
            batch: Batch {
                keys: Vec::with_capacity(BATCH),
                owners: Vec::with_capacity(BATCH),
                weights: vec![0.0; BATCH],
                scale: 1.0,
            },
            many_keys: Vec::with_capacity(MAX_VALUES_PER_FIELD),
        }
    }
}

/// What stays the same throughout a request.
struct Job<'a> {
    plan: &'a Plan,
    table: Table<'a>,
    instructions: Instructions,
    block: &'a Block<'a>,
}

pub(super) fn predict(
    model: &Model,
    plan: &Plan,
    instructions: Instructions,
    block: &Block<'_>,
    candidate_count: usize,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let job = Job { plan, table: model.table(), instructions, block };
    let mut tally = Tally::default();
    let Scratch { context_keys, context_ranges, chunk, batch, many_keys } = scratch;
    read_context(&job, context_keys, context_ranges, &mut tally)?;
    let context = ContextKeys { keys: context_keys, ranges: context_ranges };
    let start = model.bias() + job.context_sum(&context, batch, &mut tally);
    let calibrator = model.calibrator();
    for first in (0..candidate_count).step_by(CHUNK) {
        let count = CHUNK.min(candidate_count - first);
        chunk.read(&job, first, count, &mut tally);
        chunk.own_sums[..count].fill(0.0);
        chunk.crossed_sums[..count].fill(0.0);
        job.add_candidate_fields(first, chunk, batch, &mut tally);
        job.add_crosses(&plan.candidate_crosses, first, &context, chunk, batch, many_keys, Sums::Own);
        job.add_crosses(&plan.mixed_crosses, first, &context, chunk, batch, many_keys, Sums::Crossed);
        for place in 0..count {
            let answer = match chunk.problems[place] {
                Some(problem) => Answer::refused(problem),
                None => {
                    let logit = (start + chunk.own_sums[place]) + chunk.crossed_sums[place];
                    let probability = calibrator.probability(sigmoid(logit));
                    Answer { logit, probability, status: CandidateStatus::Scored }
                }
            };
            block.write_answer(first + place, answer);
        }
        tally.scored_count += chunk.live.len() as u64;
        tally.refused_count += (count - chunk.live.len()) as u64;
    }
    block.write_counts(model.generation(), Counts::from(tally));
    Ok(())
}

/// The feature keys of the context.
struct ContextKeys<'a> {
    keys: &'a [u64],
    ranges: &'a [(usize, usize)],
}

impl ContextKeys<'_> {
    fn of(&self, field_index: usize) -> &[u64] {
        let (start, end) = self.ranges[field_index];
        &self.keys[start..end]
    }
}

fn read_context(
    job: &Job<'_>,
    keys: &mut Vec<u64>,
    ranges: &mut Vec<(usize, usize)>,
    tally: &mut Tally,
) -> Result<(), Error> {
    keys.clear();
    ranges.clear();
    let row = job.block.context();
    for field in &job.plan.context {
        let start = keys.len();
        let seed = field.seed;
        let at_field = |problem| Error::ContextMalformed { field: Arc::clone(&field.name), problem };
        if field.many {
            let present = row.each_of_many(field, |value| keys.push(feature_key(seed, value))).map_err(at_field)?;
            tally.missing_count += u64::from(!present);
        } else {
            match row.single(field).map_err(at_field)? {
                Single::Value(value) => keys.push(feature_key(seed, value)),
                absent => tally.note_absent(absent),
            }
        }
        ranges.push((start, keys.len()));
    }
    Ok(())
}

impl Tally {
    fn note_absent(&mut self, absent: Single) {
        self.missing_count += 1;
        self.invalid_number_count += u64::from(absent == Single::InvalidNumber);
    }
}

impl Chunk {
    /// Reads the rows of the candidates from `first` on. Counts only what candidates that can be read lack.
    fn read(&mut self, job: &Job<'_>, first: usize, count: usize, tally: &mut Tally) {
        self.live.clear();
        for place in 0..count {
            let mut own = Tally::default();
            self.present[place] = 0;
            self.problems[place] = self.read_row(job, job.block.candidate(first + place), place, &mut own).err();
            if self.problems[place].is_none() {
                self.live.push(place);
                tally.missing_count += own.missing_count;
                tally.invalid_number_count += own.invalid_number_count;
            }
        }
    }

    #[inline]
    fn read_row(&mut self, job: &Job<'_>, row: RowView<'_>, place: usize, tally: &mut Tally) -> Result<(), RowProblem> {
        for (index, field) in job.plan.candidate.iter().enumerate() {
            let present = if field.many {
                // Only checked here: its keys are made when they are needed.
                let present = row.check_many(field)?;
                tally.missing_count += u64::from(!present);
                present
            } else {
                match row.single(field)? {
                    Single::Value(value) => {
                        self.keys[index * CHUNK + place] = feature_key(field.seed, value);
                        true
                    }
                    absent => {
                        tally.note_absent(absent);
                        false
                    }
                }
            };
            self.present[place] |= u64::from(present) << index;
        }
        Ok(())
    }
}

/// Which sum of a candidate a weight goes to.
#[derive(Clone, Copy)]
enum Sums {
    Own,
    Crossed,
}

impl Job<'_> {
    fn context_sum(&self, context: &ContextKeys<'_>, batch: &mut Batch, tally: &mut Tally) -> f64 {
        let mut sum = [0.0];
        for (index, field) in self.plan.context.iter().enumerate() {
            batch.start(self.table.scale(field.group));
            for keys in context.of(index).chunks(BATCH) {
                keys.iter().for_each(|&key| batch.push(key, 0));
                let found_count = batch.flush(self, &mut sum);
                tally.unseen_count += (keys.len() - found_count) as u64;
            }
        }
        for cross in &self.plan.context_crosses {
            batch.start(self.table.scale(cross.group));
            if cross.members.iter().any(|member| context.of(member.index).is_empty()) {
                continue;
            }
            let many = cross.members.iter().position(|&member| self.plan.field(member).many);
            let count = many.map_or(1, |many| context.of(cross.members[many].index).len());
            for index in 0..count {
                let step = |state, (position, member): (usize, &Member)| {
                    let keys = context.of(member.index);
                    cross_step(state, keys[if Some(position) == many { index } else { 0 }])
                };
                batch.push_or_flush(self, cross.members.iter().enumerate().fold(cross.seed, step), 0, &mut sum);
            }
            batch.flush(self, &mut sum);
        }
        sum[0]
    }

    fn add_candidate_fields(&self, first: usize, chunk: &mut Chunk, batch: &mut Batch, tally: &mut Tally) {
        for (index, field) in self.plan.candidate.iter().enumerate() {
            batch.start(self.table.scale(field.group));
            let mut key_count = 0;
            let mut found_count = 0;
            for &place in &chunk.live {
                if chunk.present[place] >> index & 1 == 0 {
                    continue;
                }
                if field.many {
                    self.each_key_of_many(first + place, field, |key| {
                        found_count += batch.push_or_flush(self, key, place, &mut chunk.own_sums);
                        key_count += 1;
                    });
                } else {
                    found_count +=
                        batch.push_or_flush(self, chunk.keys[index * CHUNK + place], place, &mut chunk.own_sums);
                    key_count += 1;
                }
            }
            found_count += batch.flush(self, &mut chunk.own_sums);
            tally.unseen_count += (key_count - found_count) as u64;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of the scratch memory, borrowed one by one")]
    fn add_crosses(
        &self,
        crosses: &[PlannedCross],
        first: usize,
        context: &ContextKeys<'_>,
        chunk: &mut Chunk,
        batch: &mut Batch,
        many_keys: &mut Vec<u64>,
        sums: Sums,
    ) {
        let Chunk { keys, present, live, own_sums, crossed_sums, .. } = chunk;
        let sums = match sums {
            Sums::Own => own_sums,
            Sums::Crossed => crossed_sums,
        };
        for cross in crosses {
            // A context member without a category leaves no feature for any candidate.
            let lacks = |member: &Member| member.side == Side::Context && context.of(member.index).is_empty();
            if cross.members.iter().any(lacks) {
                continue;
            }
            let many = cross.members.iter().position(|&member| self.plan.field(member).many);
            // Steps over leading context members are the same for all candidates.
            let fixed = |(position, member): &(usize, &Member)| member.side == Side::Context && Some(*position) != many;
            let leading = cross.members.iter().enumerate().take_while(fixed);
            let leading_count = leading.clone().count();
            let start = leading.fold(cross.seed, |state, (_, member)| cross_step(state, context.of(member.index)[0]));
            let needed = cross.members.iter().filter(|member| member.side == Side::Candidate);
            let needed = needed.fold(0_u64, |bits, member| bits | 1 << member.index);
            batch.start(self.table.scale(cross.group));
            for &place in live.iter() {
                if present[place] & needed != needed {
                    continue;
                }
                let single_key = |member: &Member| match member.side {
                    Side::Context => context.of(member.index)[0],
                    Side::Candidate => keys[member.index * CHUNK + place],
                };
                let rest = &cross.members[leading_count..];
                let Some(many) = many else {
                    let key = rest.iter().fold(start, |state, member| cross_step(state, single_key(member)));
                    batch.push_or_flush(self, key, place, sums);
                    continue;
                };
                let member = cross.members[many];
                let many_member_keys = match member.side {
                    Side::Context => context.of(member.index),
                    Side::Candidate => {
                        many_keys.clear();
                        self.each_key_of_many(first + place, self.plan.field(member), |key| many_keys.push(key));
                        &many_keys[..]
                    }
                };
                for &many_key in many_member_keys {
                    let step = |state, (offset, member): (usize, &Member)| {
                        cross_step(state, if leading_count + offset == many { many_key } else { single_key(member) })
                    };
                    let key = rest.iter().enumerate().fold(start, step);
                    batch.push_or_flush(self, key, place, sums);
                }
            }
            batch.flush(self, sums);
        }
    }

    /// Calls `each` with every key of a `many` field of a candidate that was read before. Should its row have been changed
    /// meanwhile into one that cannot be read, the rest of its keys are left out; at most a row's values are passed.
    fn each_key_of_many(&self, candidate: usize, field: &PlannedField, mut each: impl FnMut(u64)) {
        let row = self.block.candidate(candidate);
        let _ = row.each_of_many(field, |value| each(feature_key(field.seed, value)));
    }
}

impl Batch {
    /// Begins with the keys of another field or cross.
    #[inline]
    fn start(&mut self, scale: f32) {
        self.clear();
        self.scale = scale;
    }

    #[inline]
    fn clear(&mut self) {
        self.keys.clear();
        self.owners.clear();
    }

    #[inline]
    fn push(&mut self, key: u64, place: usize) {
        self.keys.push(key);
        #[expect(clippy::cast_possible_truncation, reason = "a place in a chunk")]
        self.owners.push(place as u16);
    }

    /// Adds a key, looking the others up first where the batch is full; returns how many of those have a weight.
    #[inline]
    fn push_or_flush(&mut self, job: &Job<'_>, key: u64, place: usize, sums: &mut [f64]) -> usize {
        let found_count = if self.keys.len() == BATCH { self.flush(job, sums) } else { 0 };
        self.push(key, place);
        found_count
    }

    /// Looks the keys up, adds each weight to its owner's sum, empties the batch, and returns how many keys have a weight.
    #[inline]
    fn flush(&mut self, job: &Job<'_>, sums: &mut [f64]) -> usize {
        let found_count = job.table.gather(job.instructions, &self.keys, &mut self.weights);
        for (&owner, &weight) in self.owners.iter().zip(&self.weights) {
            sums[owner as usize] += f64::from(weight * self.scale);
        }
        self.clear();
        found_count
    }
}
