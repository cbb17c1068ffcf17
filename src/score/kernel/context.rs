//! The context: read once per request, looked up once per model.

use std::sync::Arc;

use super::super::block::Single;
use super::super::counts::RunningCounts;
use super::super::plan::KeyPlan;
use super::{Job, OF_SCORER, Work, fill_in_unseen};
use crate::contract::Side;
use crate::error::Error;
use crate::feature::{cross_step, feature_key};
use crate::memory::{filled, with_room};
use crate::request::MAX_VALUES_PER_FIELD;
use crate::weight_file::table::Table;

/// The context of a request as feature keys.
#[derive(Debug)]
pub(super) struct Context {
    /// Feature keys of all fields, one field after the other.
    keys: Vec<u64>,
    weights: Vec<f32>,
    /// One entry per field.
    fields: Vec<ContextField>,
    /// One entry per cross with a candidate field: the state after its leading context members, or nothing if a context
    /// member has no category.
    cross_starts: Vec<Option<u64>>,
}

#[derive(Debug, Clone, Copy)]
struct ContextField {
    start: usize,
    end: usize,
    is_missing: bool,
    is_invalid_number: bool,
}

impl Context {
    pub(super) fn new(plan: &KeyPlan) -> Result<Self, Error> {
        let capacity = plan.context.iter().map(|field| if field.many { MAX_VALUES_PER_FIELD } else { 1 }).sum();
        Ok(Self {
            keys: with_room(capacity, OF_SCORER)?,
            weights: filled(0.0, capacity, OF_SCORER)?,
            fields: with_room(plan.context.len(), OF_SCORER)?,
            cross_starts: with_room(plan.crosses.len(), OF_SCORER)?,
        })
    }

    /// Returns the feature keys of a field.
    #[inline]
    pub(super) fn keys_of(&self, field: usize) -> &[u64] {
        let ContextField { start, end, .. } = self.fields[field];
        &self.keys[start..end]
    }

    pub(super) fn read(&mut self, job: &Job<'_>) -> Result<(), Error> {
        let Self { keys, fields, .. } = self;
        keys.clear();
        fields.clear();
        let row = job.block.context();
        for field in &job.keys.context {
            let start = keys.len();
            let at_field = |problem| Error::ContextMalformed { field: Arc::clone(&field.name), problem };
            let (mut is_missing, mut is_invalid_number) = (false, false);
            if field.many {
                let add = |value| keys.push(feature_key(field.seed, value));
                is_missing = !row.each_of_many(field, add).map_err(at_field)?;
            } else if let Some(id) = row.id(field) {
                keys.push(feature_key(field.seed, id));
            } else {
                match row.single(field).map_err(at_field)? {
                    Single::Value(value) => keys.push(feature_key(field.seed, value)),
                    absent => {
                        is_missing = true;
                        is_invalid_number = absent == Single::InvalidNumber;
                    }
                }
            }
            fields.push(ContextField { start, end: keys.len(), is_missing, is_invalid_number });
        }
        Ok(())
    }

    /// Prefetches the lines of `table` that the sum will touch.
    #[inline(always)]
    pub(super) fn prefetch(&self, table: &Table<'_>) {
        table.prefetch(&self.keys);
    }

    /// Returns the sum over the context's fields, in contract order.
    pub(super) fn sum(&mut self, work: &Work<'_>, counts: &mut RunningCounts) -> f64 {
        let plan = &work.part.plan;
        let Self { keys, weights, fields, .. } = self;
        let mut gather =
            |start: usize, end: usize| (end - start) - work.gather_fields(&keys[start..end], &mut weights[start..end]);
        // A model nearly always reads all fields; then all keys are looked up in one call.
        let reads_all = plan.context.len() == fields.len();
        let mut unseen_count = if reads_all { gather(0, keys.len()) } else { 0 };
        for field in &plan.context {
            let ContextField { start, end, is_missing, is_invalid_number } = fields[field.index];
            if !reads_all {
                unseen_count += gather(start, end);
            }
            counts.missing_count += u64::from(is_missing);
            counts.invalid_number_count += u64::from(is_invalid_number);
        }
        counts.unseen_count += unseen_count as u64;
        let mut sum = 0.0;
        for field in &plan.context {
            let mut scale = work.table.scale(field.group);
            let ContextField { start, end, .. } = fields[field.index];
            if !work.defaults.is_empty() {
                let default = work.default_weights(field.group);
                fill_in_unseen(&mut weights[start..end], scale, default.unseen);
                scale = 1.0;
                if start == end {
                    sum += f64::from(default.missing);
                }
            }
            for weight in &weights[start..end] {
                sum += f64::from(weight * scale);
            }
        }
        sum
    }

    /// Computes the crosses with candidate fields as far as the context alone allows.
    pub(super) fn start_crosses(&mut self, plan: &KeyPlan) {
        self.cross_starts.clear();
        for cross in &plan.crosses {
            let lacks = cross
                .members
                .iter()
                .any(|member| member.side == Side::Context && self.keys_of(member.index).is_empty());
            let leading = &cross.members[..cross.leading_count];
            let start = (!lacks).then(|| {
                leading.iter().fold(cross.seed, |state, member| cross_step(state, self.keys_of(member.index)[0]))
            });
            self.cross_starts.push(start);
        }
    }

    /// Returns the state of a cross after its leading context members, if every context member has a category.
    #[inline]
    pub(super) fn start_of(&self, cross: usize) -> Option<u64> {
        self.cross_starts[cross]
    }

    /// Returns whether a cross can have a feature in this request.
    #[inline]
    pub(super) fn has_members_of(&self, cross: usize) -> bool {
        self.cross_starts[cross].is_some()
    }
}
