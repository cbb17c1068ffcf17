//! Weight files for tests of a server: from a list of weights that a person wrote, without logs and training.
//!
//! ```toml
//! bias = -2.0
//!
//! [[weight]]
//! of = { site_id = 3 }
//! value = 0.5
//!
//! [[weight]]
//! of = { segment = "旅行好き", category = "旅行" } # a cross
//! value = 0.25
//!
//! [unseen] # what each unseen category of a field adds; 0 for fields that are not listed
//! site_id = -0.5
//!
//! [missing] # what a field without a value adds
//! segment = 0.125
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use omomi::Model;
use omomi::contract::{Contract, Fault, Field, FieldKind, Side};
use omomi::feature;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::weight_file::DefaultWeights;
use serde_json::{Map, Value, json};

use super::DEFAULT_CALIBRATOR;
use super::table::EncodedWeights;
use super::writer::{self, Parts, WriteError};
use crate::toml::{Lines, to_json};

/// Most weights that become golden requests.
const MAX_GOLDEN: usize = 64;

/// Why a fixture cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// The list of weights is faulty: all faults, in its order.
    #[error("the list of weights has {} fault{}{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, listed(.0))]
    Weights(Vec<Fault>),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

/// Writes a weight file with the weights that `text`, in TOML, lists: every other category is unseen, and adds 0 unless
/// the list says otherwise. Its golden
/// requests are made of the listed categories. Returns the model of the verified file.
///
/// # Errors
///
/// Returns all faults of the list together, or why the file cannot be written. An existing file is never touched.
pub fn write_fixture(
    contract: &Contract,
    text: &str,
    generation: u64,
    logic_id: &str,
    path: impl AsRef<Path>,
) -> Result<Arc<Model>, FixtureError> {
    let path = path.as_ref();
    let mut list = List::read(contract, text).map_err(FixtureError::Weights)?;
    let default_weights = std::mem::take(&mut list.default_weights);
    let weights: EncodedWeights = list.weights.into_iter().collect();
    let mut provenance = Map::new();
    provenance.insert("fixture".to_owned(), json!("made from a list of weights, for tests"));
    let parts = Parts {
        contract,
        generation,
        logic_id,
        provenance,
        bias: list.bias,
        weights: &weights.with_default_weights(default_weights),
        calibrator: DEFAULT_CALIBRATOR,
        field_sizes: Vec::new(),
        golden: &list.golden,
    };
    Ok(writer::write(&parts, path)?)
}

/// What a list says.
struct List {
    bias: f64,
    weights: BTreeMap<u64, f32>,
    /// One for each field if the list has any, and otherwise none.
    default_weights: Vec<DefaultWeights>,
    golden: Vec<RequestRows>,
}

impl List {
    fn read(contract: &Contract, text: &str) -> Result<Self, Vec<Fault>> {
        let (root, lines) = to_json(text, "weights")?;
        let mut faults = Faults { lines, found: Vec::new() };
        let (weights, default_weights) = (BTreeMap::new(), Vec::new());
        let mut list = Self { bias: 0.0, weights, default_weights, golden: vec![request(&[])] };
        for (key, value) in root.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("bias", value) => match value.as_f64() {
                    Some(bias) => list.bias = bias,
                    None => faults.add(&["bias"], "expected a number".to_owned()),
                },
                ("weight", Value::Array(entries)) => {
                    for (index, entry) in entries.iter().enumerate() {
                        list.entry(contract, index, entry, &mut faults);
                    }
                }
                (source @ ("unseen" | "missing"), Value::Object(fields)) => {
                    for (field, value) in fields {
                        list.default_weight(contract, source, field, value, &mut faults);
                    }
                }
                (key, _) => {
                    faults.add(&[key], "expected `bias` and tables `[[weight]]`, `[unseen]` and `[missing]`".to_owned())
                }
            }
        }
        if faults.found.is_empty() { Ok(list) } else { Err(faults.found) }
    }

    fn default_weight(&mut self, contract: &Contract, source: &str, field: &str, value: &Value, faults: &mut Faults) {
        let Some(index) = contract.fields().iter().position(|other| other.name == field) else {
            return faults.add(&[source, field], format!("the contract has no field `{field}`"));
        };
        let Some(value) = value.as_f64() else {
            return faults.add(&[source, field], format!("expected a number, found {value}"));
        };
        self.default_weights.resize(contract.fields().len(), DefaultWeights::default());
        let weights = &mut self.default_weights[index];
        let place = if source == "unseen" { &mut weights.unseen } else { &mut weights.missing };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "weights are f32; too large ones are refused by the writer"
        )]
        let value = value as f32;
        *place = value;
    }

    fn entry(&mut self, contract: &Contract, index: usize, entry: &Value, faults: &mut Faults) {
        let index = index.to_string();
        let mut fault = |message: String| faults.add(&["weight", &index], message);
        let keys: Vec<&str> = entry.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        if let Some(unknown) = keys.iter().find(|key| !["of", "value"].contains(key)) {
            return fault(format!("`{unknown}` is not known; expected `of` and `value`"));
        }
        let (Some(of), Some(value)) = (entry["of"].as_object(), entry["value"].as_f64()) else {
            return fault("expected `of = { field = category }` and `value = number`".to_owned());
        };
        let mut categories = Vec::new();
        for (name, category) in of {
            match contract.field(name).ok_or_else(|| format!("the contract has no field `{name}`")) {
                Ok(field) => match Category::read(field, category) {
                    Ok(category) => categories.push(category),
                    Err(problem) => return fault(format!("`{name}`: {problem}")),
                },
                Err(problem) => return fault(problem),
            }
        }
        let Some(key) = key_of(contract, &categories) else {
            let names: Vec<&str> = categories.iter().map(|it| it.field.name.as_str()).collect();
            return fault(format!("the contract has no cross of {}", names.join(", ")));
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "weights are f32; too large ones are refused by the writer"
        )]
        if self.weights.insert(key, value as f32).is_some() {
            return fault("it is listed twice".to_owned());
        }
        if self.golden.len() < MAX_GOLDEN {
            self.golden.push(request(&categories));
        }
    }
}

struct Faults {
    lines: Lines,
    found: Vec<Fault>,
}

impl Faults {
    fn add(&mut self, path: &[&str], message: String) {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        let line = self.lines.get(&path).copied();
        self.found.push(Fault { line, place: path.join("."), message });
    }
}

/// A category of a field.
struct Category<'a> {
    field: &'a Field,
    value: FieldValue,
    key: u64,
}

impl<'a> Category<'a> {
    fn read(field: &'a Field, category: &Value) -> Result<Self, String> {
        let found = |expected: &str| format!("expected {expected}, found {category}");
        let (value, bits) = match &field.kind {
            FieldKind::Id => {
                let id = category.as_i64().ok_or_else(|| found("a whole number"))?;
                (if field.many { FieldValue::Ids(vec![id]) } else { FieldValue::Id(id) }, feature::id_value(id))
            }
            FieldKind::Text => {
                let text = category.as_str().ok_or_else(|| found("a text"))?.to_owned();
                let bits = feature::text_value(text.as_bytes());
                (if field.many { FieldValue::Texts(vec![text]) } else { FieldValue::Text(text) }, bits)
            }
            FieldKind::Number { range, buckets, .. } => {
                let number = category.as_f64().ok_or_else(|| found("a number"))?;
                let bucket = buckets.index(*range, number);
                (FieldValue::Number(number), bucket.ok_or_else(|| found(&format!("{} to {}", range[0], range[1])))?)
            }
        };
        Ok(Self { field, value, key: feature::feature_key(field.seed(), bits) })
    }
}

/// The key of a category, or of the cross of several. `None` if the contract has no such cross.
fn key_of(contract: &Contract, categories: &[Category<'_>]) -> Option<u64> {
    if let [category] = categories {
        return Some(category.key);
    }
    let cross = contract.crosses().iter().find(|cross| {
        cross.members.len() == categories.len()
            && cross
                .members
                .iter()
                .all(|&member| categories.iter().any(|category| category.field.name == contract.fields()[member].name))
    })?;
    let keys = cross
        .members
        .iter()
        .filter_map(|&member| categories.iter().find(|category| category.field.name == contract.fields()[member].name));
    let seed = feature::field_seed(&contract.cross_name(cross));
    Some(keys.fold(seed, |state, category| feature::cross_step(state, category.key)))
}

/// A request of one candidate with these categories.
fn request(categories: &[Category<'_>]) -> RequestRows {
    let row = |side: Side| -> Row {
        let of_side = categories.iter().filter(|category| category.field.side == side);
        of_side.map(|category| (category.field.name.clone(), category.value.clone())).collect()
    };
    RequestRows { context: row(Side::Context), candidates: vec![row(Side::Candidate)] }
}
