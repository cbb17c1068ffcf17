//! The plain twin of the kernel: one candidate, one feature, one look-up at a time. The kernel must give the same bits.

use super::block::{Block, RowView};
use super::counts::{RequestCounts, RunningCounts};
use super::kernel::Part;
use super::plan::KeyPlan;
use super::request::Answer;
use super::row_scorer::Reader;
use crate::error::{Error, RowProblem};
use crate::math::sigmoid;
use crate::request::CandidateStatus;

/// Scores every candidate for the model with index `model_index`. `row_of` returns the row of a candidate.
pub(super) fn predict<'b>(
    keys: &KeyPlan,
    (model_index, part): (usize, &Part),
    block: &Block<'_>,
    candidate_count: usize,
    row_of: impl Fn(usize) -> Result<RowView<'b>, RowProblem>,
) -> Result<(), Error> {
    let reader = Reader { model: &part.model, keys, plan: &part.plan };
    let context = reader.context_keys(block)?;
    let context_sum = reader.context_sum(&context, &mut |_| ());
    let mut counts = RunningCounts {
        unseen_count: context_sum.unseen_count,
        missing_count: context.missing_count,
        invalid_number_count: context.invalid_number_count,
        ..Default::default()
    };
    for index in 0..candidate_count {
        let keys = match row_of(index).and_then(|row| reader.candidate_keys(row).map_err(|(_, problem)| problem)) {
            Ok(keys) => keys,
            Err(problem) => {
                block.write_answer(model_index, index, Answer::refused(problem));
                counts.refused_count += 1;
                continue;
            }
        };
        let own = reader.own_sum(&keys, &mut |_| ());
        let crossed = reader.crossed_sum(&context, &keys, &mut |_| ());
        let logit = ((part.model.bias() + context_sum.logit) + own.logit) + crossed.logit;
        let probability = part.model.calibrator().probability(sigmoid(logit));
        block.write_answer(model_index, index, Answer { logit, probability, status: CandidateStatus::Scored });
        counts.scored_count += 1;
        counts.unseen_count += own.unseen_count;
        counts.missing_count += keys.missing_count;
        counts.invalid_number_count += keys.invalid_number_count;
    }
    block.note_answers(candidate_count);
    block.write_outcome(model_index, part.model.generation(), RequestCounts::from(counts));
    Ok(())
}
