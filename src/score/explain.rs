//! Explains why a candidate gets its probability.

use super::block::{Block, RowView};
use super::row_scorer::{Reader, Term, WeightSource};
use crate::error::{Error, RowProblem};
use crate::math::sigmoid;

/// The explanation of one candidate's probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The bias: the weight that is always added.
    pub bias: f64,
    /// Every feature, in the order in which it is added: those of the context, of the candidate, of their crosses. If
    /// the file has default weights, fields without a value are among them.
    pub contributions: Vec<Contribution>,
    /// The logit, bit for bit as `predict` gives it.
    pub logit: f64,
    /// The probability, bit for bit as `predict` gives it.
    pub probability: f32,
}

/// What one feature adds to the logit.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Name of the field, or of the cross (`media_id*creative_id`).
    pub field: String,
    /// Its feature key; 0 for a field without a value.
    pub key: u64,
    /// What it adds, on the logit scale: 0 for an unseen category, unless the file has default weights.
    pub weight: f32,
    /// Where the weight is from.
    pub source: WeightSource,
}

/// Explains the candidate whose row is `row`.
pub(super) fn explain(
    reader: Reader<'_>,
    block: &Block<'_>,
    candidate: usize,
    row: Result<RowView<'_>, RowProblem>,
) -> Result<Explanation, Error> {
    let mut contributions = Vec::new();
    let mut note = |term: &Term<'_>| {
        let Term { name, key, weight, source } = *term;
        contributions.push(Contribution { field: name.to_owned(), key, weight, source });
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
