//! Why a candidate gets its probability.

use super::block::{Block, RowView};
use super::plain::Reader;
use crate::error::{Error, RowProblem};
use crate::math::sigmoid;

/// The account of one candidate's probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The weight that is always on.
    pub bias: f64,
    /// Every feature in the order in which it adds: those of the context, of the candidate, of their crosses.
    pub contributions: Vec<Contribution>,
    /// The logit, the same bits as `predict` gives.
    pub logit: f64,
    /// The probability, the same bits as `predict` gives.
    pub probability: f32,
}

/// What one feature adds to the logit.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Name of the field, or of the cross (`media_id*creative_id`).
    pub field: String,
    /// Its feature key.
    pub key: u64,
    /// Its weight on the logit scale; nothing for an unseen category, which adds 0.
    pub weight: Option<f32>,
}

/// Explains the candidate with that row.
pub(super) fn explain(
    reader: Reader<'_>,
    block: &Block<'_>,
    candidate: usize,
    row: Result<RowView<'_>, RowProblem>,
) -> Result<Explanation, Error> {
    let mut contributions = Vec::new();
    let mut note = |field: &str, key: u64, weight: Option<f32>| {
        contributions.push(Contribution { field: field.to_owned(), key, weight });
    };
    let malformed = |problem: String| Error::InvalidArgument {
        argument: "request",
        problem: format!("candidate {candidate} {problem}"),
    };
    let row = row.map_err(|problem| malformed(format!("cannot be explained: {problem}")))?;
    let context = reader.context_keys(block)?;
    let keys = reader
        .candidate_keys(row)
        .map_err(|(field, problem)| malformed(format!("is malformed in field `{field}`: {problem}")))?;
    let context_sum = reader.context_sum(&context, &mut note);
    let own = reader.own_sum(&keys, &mut note);
    let crossed = reader.crossed_sum(&context, &keys, &mut note);
    let model = reader.model;
    let logit = ((model.bias() + context_sum.logit) + own.logit) + crossed.logit;
    let probability = model.calibrator().probability(sigmoid(logit));
    Ok(Explanation { bias: model.bias(), contributions, logit, probability })
}
