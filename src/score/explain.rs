//! Why a candidate gets its probability.

use super::block::Block;
use super::plain;
use super::{Model, plan::Plan};
use crate::error::Error;
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

pub(super) fn explain(model: &Model, plan: &Plan, block: &Block<'_>, candidate: usize) -> Result<Explanation, Error> {
    let mut contributions = Vec::new();
    let mut note = |field: &str, key: u64, weight: Option<f32>| {
        contributions.push(Contribution { field: field.to_owned(), key, weight });
    };
    let context = plain::context_keys(plan, block)?;
    let keys = plain::row_keys(block.candidate(candidate), &plan.candidate).map_err(|(field, problem)| {
        let problem = format!("candidate {candidate} is malformed in field `{field}`: {problem}");
        Error::InvalidArgument { argument: "request", problem }
    })?;
    let context_sum = plain::context_sum(model, plan, &context, &mut note);
    let (own, crossed) = plain::candidate_sums(model, plan, &context, &keys, &mut note);
    let logit = ((model.bias() + context_sum.logit) + own.logit) + crossed.logit;
    let probability = model.calibrator().probability(sigmoid(logit));
    Ok(Explanation { bias: model.bias(), contributions, logit, probability })
}
