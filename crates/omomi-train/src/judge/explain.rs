//! Explains a probability: lists the weights of one candidate with their categories as text, largest first.
//!
//! [`Scorer::explain`](omomi::Scorer::explain) identifies features by their keys, as a server does. This module has the
//! request, so it also names the category of each key. With the training state, it also reports how often each feature
//! was seen in training.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::learn::feature_table::write_bucket;
use crate::learn::state::{Difference, StateError, StateReader, StateRow, UNSEEN_FIELD, join_category};
use crate::log::{LogError, LogReader};
use omomi::Instructions;
use omomi::contract::{Contract, Field, FieldKind, Side};
use omomi::error::Error;
use omomi::feature::{cross_step, feature_key, field_seed, id_value, text_value};
use omomi::math::sigmoid;
use omomi::request::{FieldValue, RequestRows, Row, row_from_json};
use omomi::score::{Model, WeightSource};

/// The explanation of a candidate's probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// Name of the serving logic.
    pub logic_id: String,
    /// Generation of the model.
    pub generation: u64,
    /// The bias, the weight that is always on.
    pub bias: f64,
    /// All features of the candidate and its context. Those with a weight come first, by falling magnitude; the others
    /// follow in contract order.
    pub features: Vec<Feature>,
    /// The default weights that the unseen categories and missing values of this row add, and on how many training rows
    /// each was learned. Empty without a state.
    pub defaults: Vec<DefaultEvidence>,
    /// Fields of the contract that have no value.
    pub missing: Vec<String>,
    /// Number fields whose value is out of range or NaN, which is treated as missing.
    pub invalid_numbers: Vec<String>,
    /// Sum of the bias and the weights, in the order in which the server adds them.
    pub logit: f64,
    /// Sigmoid of the logit.
    pub sigmoid: f64,
    /// The published probability: the sigmoid, clamped to the limits of the file.
    pub probability: f32,
}

/// One feature of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feature {
    /// Name of the field or of the cross (`media_id*creative_id`).
    pub field: String,
    /// The category, written as in training states; empty for a field without a value.
    pub category: String,
    /// The fields and categories of a cross; empty for a field.
    pub members: Vec<Member>,
    /// The feature key, as 16 hexadecimal digits.
    pub key: String,
    /// What it adds, on the logit scale.
    pub weight: f32,
    /// Where the weight is from: `found` in the file for the category, `unseen` (the weight of its field for unseen
    /// categories, or 0), or `missing` (the weight of a field without a value).
    pub source: &'static str,
    /// Number of training rows with the feature; `None` without a state, or if the state does not have the feature. A
    /// feature whose source is `unseen` and that has impressions was seen, but its weight is 0 or was dropped.
    pub impressions: Option<u64>,
    /// Number of these rows that were clicked.
    pub clicks: Option<u64>,
}

/// On how many training rows the weight for unseen categories, or for missing values, of a field was learned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DefaultEvidence {
    /// Name of the field.
    pub field: String,
    /// Which default weight this is: `unseen` or `missing`.
    pub source: &'static str,
    /// Number of times that a training row had such a value.
    pub impressions: u64,
    /// Number of these times with a click.
    pub clicks: u64,
}

/// One member of a cross.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Name of the field.
    pub field: String,
    /// Category of the field.
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
    /// The log has fewer rows.
    #[error("expected at least {expected} rows in the log, found {found}")]
    NoRow {
        /// The requested row, counted from 1.
        expected: u64,
        /// Number of rows in the log.
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
        /// Number of candidates in the request.
        candidate_count: usize,
        /// The requested candidate.
        found: usize,
    },
    /// The state was trained under another contract.
    #[error("{}: expected a state of the weight file's contract, found another: its {difference}", path.display())]
    OtherContract {
        /// Path of the state.
        path: PathBuf,
        /// The first difference of the state's contract from that of the weight file.
        difference: Difference,
    },
}

/// Explains one candidate of a request. With a training state, also reports how often each feature was seen.
///
/// # Errors
///
/// Returns [`ExplainError`] if the request cannot be scored or the state cannot be read.
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
            source: contribution.source.word(),
            impressions: None,
            clicks: None,
        });
    }
    let mut defaults = Vec::new();
    if let Some(state) = state {
        defaults = count(model, state, &keys, &mut features)?;
    }
    // The sort is stable: features with equal weights, and those that add nothing, stay in contract order.
    features.sort_by(|one, other| {
        let adds_nothing = |feature: &Feature| feature.source == WeightSource::Unseen.word() && feature.weight == 0.0;
        let magnitude = |feature: &Feature| if adds_nothing(feature) { -1.0 } else { feature.weight.abs() };
        magnitude(other).total_cmp(&magnitude(one))
    });
    Ok(Account {
        logic_id: model.logic_id().to_owned(),
        generation: model.generation(),
        bias: explanation.bias,
        features,
        defaults,
        missing: categories.missing,
        invalid_numbers: categories.invalid_numbers,
        logit: explanation.logit,
        sigmoid: sigmoid(explanation.logit),
        probability: explanation.probability,
    })
}

/// Looks up in a training state how often features were seen. Returns the default
/// weights of those that were not.
fn count(
    model: &Model,
    path: &Path,
    keys: &[u64],
    features: &mut [Feature],
) -> Result<Vec<DefaultEvidence>, ExplainError> {
    let mut reader = StateReader::open(path)?;
    let (expected, found) = (model.contract(), &reader.metadata().contract);
    if expected.fingerprint() != found.fingerprint() {
        let difference = Difference::of_contracts(expected, found);
        return Err(ExplainError::OtherContract { path: path.to_owned(), difference });
    }
    let mut defaults = Vec::new();
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for (place, &key) in keys.iter().enumerate() {
        places.entry(key).or_default().push(place);
    }
    while let Some(batch) = reader.next_batch()? {
        for row in batch.rows().filter(|row| !row.is_bias()) {
            if row.is_default() {
                let source = if row.field == UNSEEN_FIELD { WeightSource::Unseen } else { WeightSource::Missing };
                let (field, source) = (row.category.to_owned(), source.word());
                if features.iter().any(|feature| feature.field == field && feature.source == source) {
                    let StateRow { impressions, clicks, .. } = row;
                    defaults.push(DefaultEvidence { field, source, impressions, clicks });
                }
                continue;
            }
            for &place in places.get(&row.key).into_iter().flatten() {
                features[place].impressions = Some(row.impressions);
                features[place].clicks = Some(row.clicks);
            }
        }
    }
    Ok(defaults)
}

/// Returns row `row` of a log as a request with one candidate, and whether it was clicked. Rows are counted from 1 over
/// all files.
///
/// # Errors
///
/// Returns [`ExplainError::Log`] if the log cannot be read, and [`ExplainError::NoRow`] if it has fewer rows.
pub fn request_of_row(model: &Model, reader: &mut LogReader, row: u64) -> Result<(RequestRows, bool), ExplainError> {
    let mut rows_before = 0;
    while let Some(batch) = reader.next_batch()? {
        let index = row.checked_sub(rows_before + 1).and_then(|index| usize::try_from(index).ok());
        if let Some(index) = index.filter(|&index| index < batch.row_count()) {
            if let Some(field) = batch.key_field(model.contract()) {
                return Err(LogError::KeysOnly { field: field.to_owned(), step: "an explanation of its rows" }.into());
            }
            let side = |side| batch.row(model.contract(), side, index);
            let rows = RequestRows { context: side(Side::Context), candidates: vec![side(Side::Candidate)] };
            return Ok((rows, batch.clicked[index]));
        }
        rows_before += batch.row_count() as u64;
    }
    Err(ExplainError::NoRow { expected: row, found: rows_before })
}

/// Parses a request in the form of golden requests: `{"context": {..}, "candidates": [{..}, ..]}`. Other keys are
/// ignored.
///
/// # Errors
///
/// Returns [`ExplainError::NotARequest`], which names the field that does not match the contract.
pub fn request_of_json(model: &Model, text: &str) -> Result<RequestRows, ExplainError> {
    let not_one = |problem: String| ExplainError::NotARequest { problem };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| not_one(error.to_string()))?;
    let row = |side, value: &serde_json::Value| {
        let object = value.as_object().ok_or_else(|| "a row is not an object".to_owned())?;
        row_from_json(model.contract(), side, object)
    };
    let context = row(Side::Context, value.get("context").unwrap_or(&serde_json::Value::Null)).map_err(not_one)?;
    let candidates = value.get("candidates").and_then(serde_json::Value::as_array);
    let candidates = candidates.ok_or_else(|| not_one("`candidates` is missing or not a list".to_owned()))?;
    let candidates: Result<_, _> = candidates.iter().map(|value| row(Side::Candidate, value)).collect();
    Ok(RequestRows { context, candidates: candidates.map_err(not_one)? })
}

/// A category as text.
#[derive(Debug, Clone, Default)]
struct Named {
    category: String,
    members: Vec<Member>,
}

/// Returns all categories of one candidate and its context.
#[derive(Debug, Default)]
struct Categories {
    by_feature: HashMap<(String, u64), Named>,
    missing: Vec<String>,
    invalid_numbers: Vec<String>,
}

impl Categories {
    fn of(contract: &Contract, context: &Row, candidate: &Row) -> Self {
        let mut categories = Self::default();
        let mut by_field: Vec<Vec<(u64, String)>> = Vec::new();
        for field in contract.fields() {
            let row = if field.side == Side::Context { context } else { candidate };
            let own = row.get(&field.name).map(|value| keys_of(field, value));
            match own {
                None => categories.missing.push(field.name.clone()),
                Some(None) => {
                    categories.missing.push(field.name.clone());
                    categories.invalid_numbers.push(field.name.clone());
                }
                Some(Some(_)) => {}
            }
            by_field.push(own.flatten().unwrap_or_default());
        }
        for (field, own) in contract.fields().iter().zip(&by_field) {
            for (key, category) in own {
                let named = Named { category: category.clone(), members: Vec::new() };
                categories.by_feature.insert((field.name.clone(), *key), named);
            }
        }
        for cross in contract.crosses() {
            let name = contract.cross_name(cross);
            let mut crossed = vec![(field_seed(&name), Named::default())];
            for &member in &cross.members {
                let field = &contract.fields()[member].name;
                crossed = crossed
                    .iter()
                    .flat_map(|(state, named)| {
                        by_field[member].iter().map(|(key, category)| {
                            (cross_step(*state, *key), with_member(named.clone(), field, category))
                        })
                    })
                    .collect();
            }
            categories.by_feature.extend(crossed.into_iter().map(|(key, named)| ((name.clone(), key), named)));
        }
        categories
    }

    fn named(&self, field: &str, key: u64) -> Option<&Named> {
        self.by_feature.get(&(field.to_owned(), key))
    }
}

fn with_member(mut named: Named, field: &str, category: &str) -> Named {
    join_category(named.members.is_empty(), category, &mut named.category);
    named.members.push(Member { field: field.to_owned(), category: category.to_owned() });
    named
}

/// Returns the feature keys of a value with their categories; none for a number that is treated as missing.
fn keys_of(field: &Field, value: &FieldValue) -> Option<Vec<(u64, String)>> {
    let seed = field.seed();
    let id = |&id: &i64| (feature_key(seed, id_value(id)), id.to_string());
    let text = |text: &String| (feature_key(seed, text_value(text.as_bytes())), text.clone());
    Some(match (value, &field.kind) {
        (FieldValue::Id(value), _) => vec![id(value)],
        (FieldValue::Ids(values), _) => values.iter().map(id).collect(),
        (FieldValue::Text(value), _) => vec![text(value)],
        (FieldValue::Texts(values), _) => values.iter().map(text).collect(),
        (FieldValue::Number(number), FieldKind::Number { range, buckets, .. }) => {
            let bucket = buckets.index(*range, *number)?;
            let mut category = String::new();
            write_bucket(buckets, *range, bucket, &mut category);
            vec![(feature_key(seed, bucket), category)]
        }
        (FieldValue::Number(_), _) => return None,
    })
}
