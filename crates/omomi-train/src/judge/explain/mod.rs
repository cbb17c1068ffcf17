//! Why a probability: the weights of one request's candidate with their categories in words, largest first.
//!
//! [`Scorer::explain`](omomi::Scorer::explain) knows features by their keys, as a server does. Here the request is at hand, so each key
//! has the category that it was made of, and where the training state is at hand too, how often training has seen it.

mod names;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::learn::state::{StateError, StateReader};
use crate::log::{LogError, LogReader};
use omomi::Instructions;
use omomi::contract::Side;
use omomi::error::Error;
use omomi::math::sigmoid;
use omomi::request::{RequestRows, row_from_json};
use omomi::score::Model;

use names::{Categories, Named};

/// Why a candidate gets its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// Name of the serving logic.
    pub logic_id: String,
    /// Generation of the model.
    pub generation: u64,
    /// The weight that is always on.
    pub bias: f64,
    /// Every feature of the candidate and its context; those with a weight first, by falling magnitude, then the others in
    /// contract order.
    pub features: Vec<Feature>,
    /// Fields of the contract without a value.
    pub missing: Vec<String>,
    /// Number fields whose value is out of range or NaN, which counts as missing.
    pub invalid_numbers: Vec<String>,
    /// Bias and weights added up, as the server adds them.
    pub logit: f64,
    /// The sigmoid of the logit.
    pub sigmoid: f64,
    /// What is published: the sigmoid within the limits of the file.
    pub probability: f32,
}

/// One feature of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feature {
    /// Name of the field, or of the cross (`media_id*creative_id`).
    pub field: String,
    /// Its category, in the form that training states have it.
    pub category: String,
    /// The fields and categories that a cross is made of; empty for a field.
    pub members: Vec<Member>,
    /// The feature key, 16 hexadecimal digits.
    pub key: String,
    /// Its weight on the logit scale; nothing for an unseen category, which adds 0.
    pub weight: Option<f32>,
    /// Rows of the training that had it; nothing without a state, and where the state does not have it.
    pub impressions: Option<u64>,
    /// Those of them that were clicked.
    pub clicks: Option<u64>,
}

/// One member of a cross.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Name of the field.
    pub field: String,
    /// Its category.
    pub category: String,
}

/// Why a probability could not be explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The request cannot be scored.
    #[error(transparent)]
    Serving(#[from] Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The training state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The log has no such row.
    #[error("expected at least {expected} rows in the log, found {found}")]
    NoRow {
        /// The row that was asked for, counted from 1.
        expected: u64,
        /// Rows of the log.
        found: u64,
    },
    /// The text is not a request.
    #[error("expected a request such as {{\"context\": {{..}}, \"candidates\": [{{..}}]}}: {problem}")]
    NotARequest {
        /// What is wrong with it.
        problem: String,
    },
    /// The request has no such candidate.
    #[error("expected a candidate from 0 to {}, found {found}", candidate_count.saturating_sub(1))]
    NoCandidate {
        /// Candidates of the request.
        candidate_count: usize,
        /// The candidate that was asked for.
        found: usize,
    },
    /// The state was trained under another contract.
    #[error("{}: expected a state of the contract {expected:016x}, as the weight file has it, found {found:016x}", path.display())]
    OtherContract {
        /// The state.
        path: PathBuf,
        /// Fingerprint of the weight file's contract.
        expected: u64,
        /// Fingerprint of the state's.
        found: u64,
    },
}

/// Explains candidate `candidate` of a request. With a training state it also says how often each feature was seen.
///
/// # Errors
///
/// [`ExplainError`] for a request that cannot be scored, or a state that cannot be read.
pub fn explain(
    model: &Arc<Model>,
    rows: &RequestRows,
    candidate: usize,
    state: Option<&Path>,
) -> Result<Account, ExplainError> {
    let Some(row) = rows.candidates.get(candidate) else {
        return Err(ExplainError::NoCandidate { candidate_count: rows.candidates.len(), found: candidate });
    };
    let (scorer, mut request) = model.scorer_for(rows, Instructions::detect())?;
    request.fill(rows)?;
    let explanation = scorer.explain(&mut request, candidate)?;
    let categories = Categories::of(model.contract(), &rows.context, row);
    let mut features: Vec<Feature> = Vec::with_capacity(explanation.contributions.len());
    let mut keys = Vec::with_capacity(features.capacity());
    for contribution in explanation.contributions {
        let named = categories.named(&contribution.field, contribution.key);
        let Named { category, members } = named.cloned().unwrap_or_default();
        keys.push(contribution.key);
        features.push(Feature {
            field: contribution.field,
            category,
            members,
            key: format!("{:016x}", contribution.key),
            weight: contribution.weight,
            impressions: None,
            clicks: None,
        });
    }
    if let Some(state) = state {
        count(model, state, &keys, &mut features)?;
    }
    // A stable sort: features of equal weight, and those without one, stay in contract order.
    features.sort_by(|one, other| {
        let magnitude = |feature: &Feature| feature.weight.map_or(-1.0, f32::abs);
        magnitude(other).total_cmp(&magnitude(one))
    });
    Ok(Account {
        logic_id: model.logic_id().to_owned(),
        generation: model.generation(),
        bias: explanation.bias,
        features,
        missing: categories.missing,
        invalid_numbers: categories.invalid_numbers,
        logit: explanation.logit,
        sigmoid: sigmoid(explanation.logit),
        probability: explanation.probability,
    })
}

/// Looks up in a training state how often features were seen.
fn count(model: &Model, path: &Path, keys: &[u64], features: &mut [Feature]) -> Result<(), ExplainError> {
    let mut reader = StateReader::open(path)?;
    let (expected, found) = (model.contract().fingerprint(), reader.metadata().contract.fingerprint());
    if expected != found {
        return Err(ExplainError::OtherContract { path: path.to_owned(), expected, found });
    }
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for (place, &key) in keys.iter().enumerate() {
        places.entry(key).or_default().push(place);
    }
    while let Some(batch) = reader.next_batch()? {
        for row in batch.rows().filter(|row| !row.is_bias()) {
            for &place in places.get(&row.key).into_iter().flatten() {
                features[place].impressions = Some(row.impressions);
                features[place].clicks = Some(row.clicks);
            }
        }
    }
    Ok(())
}

/// Row `row` of a log, counted from 1 over all its files, as a request of one candidate; and whether it was clicked.
///
/// # Errors
///
/// [`ExplainError::Log`], or [`ExplainError::NoRow`] where the log has fewer.
pub fn request_of_row(model: &Model, reader: &mut LogReader, row: u64) -> Result<(RequestRows, bool), ExplainError> {
    let mut rows_before = 0;
    while let Some(batch) = reader.next_batch()? {
        let index = row.checked_sub(rows_before + 1).and_then(|index| usize::try_from(index).ok());
        if let Some(index) = index.filter(|&index| index < batch.row_count()) {
            let side = |side| batch.row(model.contract(), side, index);
            let rows = RequestRows { context: side(Side::Context), candidates: vec![side(Side::Candidate)] };
            return Ok((rows, batch.clicked[index]));
        }
        rows_before += batch.row_count() as u64;
    }
    Err(ExplainError::NoRow { expected: row, found: rows_before })
}

/// Reads a request as golden requests stand in weight files: `{"context": {..}, "candidates": [{..}, ..]}`. Other keys are
/// passed over.
///
/// # Errors
///
/// [`ExplainError::NotARequest`], naming the field that does not fit the contract.
pub fn request_of_json(model: &Model, text: &str) -> Result<RequestRows, ExplainError> {
    let not_one = |problem: String| ExplainError::NotARequest { problem };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| not_one(error.to_string()))?;
    let row = |side, value: &serde_json::Value| {
        let object = value.as_object().ok_or_else(|| "a row is not an object".to_owned())?;
        row_from_json(model.contract(), side, object)
    };
    let context = row(Side::Context, value.get("context").unwrap_or(&serde_json::Value::Null)).map_err(not_one)?;
    let candidates = value.get("candidates").and_then(serde_json::Value::as_array);
    let candidates = candidates.ok_or_else(|| not_one("`candidates` is missing or no list".to_owned()))?;
    let candidates: Result<_, _> = candidates.iter().map(|value| row(Side::Candidate, value)).collect();
    Ok(RequestRows { context, candidates: candidates.map_err(not_one)? })
}
