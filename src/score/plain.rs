//! The plain twin of the kernel: one candidate, one feature, one look-up at a time. Short enough to be seen to be right; what the
//! kernel answers must be the same bits. `explain` runs on it too, by looking over its shoulder.

use std::sync::Arc;

use super::block::{Block, RowView, Single};
use super::plan::{Plan, PlannedCross, PlannedField};
use super::request::{Answer, Counts};
use super::{Model, kernel};
use crate::contract::Side;
use crate::error::{Error, RowProblem};
use crate::feature::{cross_step, feature_key};
use crate::math::sigmoid;
use crate::schema::CandidateStatus;

/// The feature keys of each field of one side in a row, in contract order.
pub(super) struct RowKeys {
    fields: Vec<Vec<u64>>,
    missing_count: u64,
    invalid_number_count: u64,
}

/// Looks on as features are scored: name of the field or cross, feature key, weight.
pub(super) type Observer<'a> = &'a mut dyn FnMut(&str, u64, Option<f32>);

/// A sum of weights, and how many features had none.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) logit: f64,
    unseen_count: u64,
}

pub(super) fn predict(model: &Model, plan: &Plan, block: &Block<'_>, candidate_count: usize) -> Result<(), Error> {
    let context = context_keys(plan, block)?;
    let context_sum = context_sum(model, plan, &context, &mut |_, _, _| ());
    let mut tally = kernel::Tally {
        unseen_count: context_sum.unseen_count,
        missing_count: context.missing_count,
        invalid_number_count: context.invalid_number_count,
        ..Default::default()
    };
    for index in 0..candidate_count {
        let keys = match row_keys(block.candidate(index), &plan.candidate) {
            Ok(keys) => keys,
            Err((_, problem)) => {
                block.write_answer(index, Answer::refused(problem));
                tally.refused_count += 1;
                continue;
            }
        };
        let (own, crossed) = candidate_sums(model, plan, &context, &keys, &mut |_, _, _| ());
        let logit = ((model.bias() + context_sum.logit) + own.logit) + crossed.logit;
        let probability = model.calibrator().probability(sigmoid(logit));
        block.write_answer(index, Answer { logit, probability, status: CandidateStatus::Scored });
        tally.scored_count += 1;
        tally.unseen_count += own.unseen_count;
        tally.missing_count += keys.missing_count;
        tally.invalid_number_count += keys.invalid_number_count;
    }
    block.write_counts(model.generation(), Counts::from(tally));
    Ok(())
}

pub(super) fn context_keys(plan: &Plan, block: &Block<'_>) -> Result<RowKeys, Error> {
    row_keys(block.context(), &plan.context)
        .map_err(|(field, problem)| Error::ContextMalformed { field: Arc::clone(field), problem })
}

pub(super) fn row_keys<'p>(
    row: RowView<'_>,
    fields: &'p [PlannedField],
) -> Result<RowKeys, (&'p Arc<str>, RowProblem)> {
    let mut keys = RowKeys { fields: Vec::new(), missing_count: 0, invalid_number_count: 0 };
    for field in fields {
        let at_field = |problem| (&field.name, problem);
        let mut own = Vec::new();
        if field.many {
            let present =
                row.each_of_many(field, |value| own.push(feature_key(field.seed, value))).map_err(at_field)?;
            keys.missing_count += u64::from(!present);
        } else {
            match row.single(field).map_err(at_field)? {
                Single::Value(value) => own.push(feature_key(field.seed, value)),
                Single::Missing => keys.missing_count += 1,
                Single::InvalidNumber => {
                    keys.missing_count += 1;
                    keys.invalid_number_count += 1;
                }
            }
        }
        keys.fields.push(own);
    }
    Ok(keys)
}

pub(super) fn context_sum(model: &Model, plan: &Plan, keys: &RowKeys, observer: Observer<'_>) -> Sum {
    let mut sum = Sum::default();
    add_fields(model, &plan.context, keys, &mut sum, observer);
    add_crosses(model, &plan.context_crosses, keys, keys, &mut sum, observer);
    sum
}

/// The candidate's own sum and the sum of its crosses with the context.
pub(super) fn candidate_sums(
    model: &Model,
    plan: &Plan,
    context: &RowKeys,
    keys: &RowKeys,
    observer: Observer<'_>,
) -> (Sum, Sum) {
    let (mut own, mut crossed) = (Sum::default(), Sum::default());
    add_fields(model, &plan.candidate, keys, &mut own, observer);
    add_crosses(model, &plan.candidate_crosses, context, keys, &mut own, observer);
    add_crosses(model, &plan.mixed_crosses, context, keys, &mut crossed, observer);
    (own, crossed)
}

fn add_fields(model: &Model, fields: &[PlannedField], keys: &RowKeys, sum: &mut Sum, observer: Observer<'_>) {
    for (field, keys) in fields.iter().zip(&keys.fields) {
        for &key in keys {
            let weight = weight(model, field.group, key);
            observer(&field.name, key, weight);
            sum.logit += f64::from(weight.unwrap_or(0.0));
            sum.unseen_count += u64::from(weight.is_none());
        }
    }
}

fn add_crosses(
    model: &Model,
    crosses: &[PlannedCross],
    context: &RowKeys,
    candidate: &RowKeys,
    sum: &mut Sum,
    observer: Observer<'_>,
) {
    for cross in crosses {
        // A member without categories leaves no state behind, and so no feature.
        let mut states = vec![cross.seed];
        for member in &cross.members {
            let keys = match member.side {
                Side::Context => &context.fields[member.index],
                Side::Candidate => &candidate.fields[member.index],
            };
            states = states.iter().flat_map(|&state| keys.iter().map(move |&key| cross_step(state, key))).collect();
        }
        for key in states {
            let weight = weight(model, cross.group, key);
            observer(&cross.name, key, weight);
            sum.logit += f64::from(weight.unwrap_or(0.0));
        }
    }
}

/// The weight of a key of field or cross `group`, on the logit scale.
fn weight(model: &Model, group: usize, key: u64) -> Option<f32> {
    let table = model.table();
    table.get(key).map(|weight| weight * table.scale(group))
}
