//! Crosses with a `many` member. They give any number of features for each candidate, so their keys stream through a
//! batch.

use super::super::plan::{Member, PlannedCross};
use super::columns::Columns;
use super::context::Context;
use super::{CHUNK, OF_SCORER, Work};
use crate::contract::Side;
use crate::error::Error;
use crate::feature::cross_step;
use crate::memory::{filled, with_room};

/// Number of keys that are looked up together.
const BATCH: usize = 1_024;

/// Keys that wait to be looked up, and the candidate to which each belongs.
#[derive(Debug)]
pub(super) struct Stream {
    keys: Vec<u64>,
    owners: Vec<u8>,
    weights: Vec<f32>,
}

const _: () = assert!(CHUNK <= 1 << u8::BITS);

impl Stream {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self {
            keys: with_room(BATCH, OF_SCORER)?,
            owners: with_room(BATCH, OF_SCORER)?,
            weights: filled(0.0, BATCH, OF_SCORER)?,
        })
    }

    /// Returns `sum` plus the crosses among context fields, in contract order.
    pub(super) fn add_context_crosses(&mut self, work: &Work<'_>, context: &Context, sum: f64) -> f64 {
        let crosses = &work.part.plan.context_crosses;
        if crosses.is_empty() {
            return sum;
        }
        let mut sums = [0.0; CHUNK];
        sums[0] = sum;
        for cross in crosses {
            let scale = work.table.scale(cross.group);
            self.add_context_cross(work, &work.job.keys.context_crosses[cross.index], scale, context, &mut sums);
        }
        sums[0]
    }

    /// Adds a cross of context fields to the first sum.
    fn add_context_cross(
        &mut self,
        work: &Work<'_>,
        cross: &PlannedCross,
        scale: f32,
        context: &Context,
        sums: &mut [f64; CHUNK],
    ) {
        if cross.members.iter().any(|member| context.keys_of(member.index).is_empty()) {
            return;
        }
        let many = cross.many.map_or(&[0][..], |many| context.keys_of(cross.members[many].index));
        for &many_key in many {
            let key = key_of(cross, cross.seed, 0, many_key, |member| context.keys_of(member.index)[0]);
            self.push(work, scale, key, 0, sums);
        }
        self.flush(work, scale, sums);
    }

    /// Adds a cross that has a `many` member to the sum of every candidate of the chunk.
    pub(super) fn add_cross(
        &mut self,
        work: &Work<'_>,
        cross: &PlannedCross,
        scale: f32,
        context: &Context,
        columns: &Columns,
        sums: &mut [f64; CHUNK],
    ) {
        let Some(many) = cross.many.map(|position| cross.members[position]) else { return };
        let leading = &cross.members[..cross.leading_count];
        let start =
            leading.iter().fold(cross.seed, |state, member| cross_step(state, context.keys_of(member.index)[0]));
        for place in 0..columns.count() {
            let lacks = cross.members.iter().any(|&member| {
                member.side == Side::Candidate && columns.keys_of(work.job.keys, member.index, place).is_empty()
            });
            if lacks {
                continue;
            }
            let first_key = |member: &Member| match member.side {
                Side::Context => context.keys_of(member.index)[0],
                Side::Candidate => columns.keys_of(work.job.keys, member.index, place)[0],
            };
            let many_keys = match many.side {
                Side::Context => context.keys_of(many.index),
                Side::Candidate => columns.keys_of(work.job.keys, many.index, place),
            };
            for &many_key in many_keys {
                let key = key_of(cross, start, cross.leading_count, many_key, first_key);
                self.push(work, scale, key, place, sums);
            }
        }
        self.flush(work, scale, sums);
    }

    #[inline]
    fn push(&mut self, work: &Work<'_>, scale: f32, key: u64, place: usize, sums: &mut [f64; CHUNK]) {
        if self.keys.len() == BATCH {
            self.flush(work, scale, sums);
        }
        self.keys.push(key);
        #[expect(clippy::cast_possible_truncation, reason = "a place in a chunk")]
        self.owners.push(place as u8);
    }

    /// Looks the keys up, adds each weight to the sum of its candidate, and empties the batch.
    fn flush(&mut self, work: &Work<'_>, scale: f32, sums: &mut [f64; CHUNK]) {
        work.table.gather(work.job.instructions, &self.keys, &mut self.weights);
        for (&owner, weight) in self.owners.iter().zip(&self.weights) {
            sums[owner as usize] += f64::from(weight * scale);
        }
        self.keys.clear();
        self.owners.clear();
    }
}

/// Returns the key of a cross with `many_key` for its `many` member. `start` is the state after the first `done_count`
/// members.
#[inline]
fn key_of(
    cross: &PlannedCross,
    start: u64,
    done_count: usize,
    many_key: u64,
    single_key: impl Fn(&Member) -> u64,
) -> u64 {
    cross.members.iter().enumerate().skip(done_count).fold(start, |state, (position, member)| {
        cross_step(state, if Some(position) == cross.many { many_key } else { single_key(member) })
    })
}
