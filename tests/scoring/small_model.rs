//! A small model with every kind of field and cross, created in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use omomi::Instructions;
use omomi::contract::Contract;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::score::Model;
use omomi::weight_file::table::Encoding;
use omomi::weight_file::{Calibrator, DefaultWeights};
use omomi_train::pack::table::{EncodedWeights, Entry};
use omomi_train::pack::writer::{self, Parts};

pub const CONTRACT: &str = r#"
name = "small"
label = "clicked"

[[field]]
name = "media_id"
side = "context"
type = "id"
meaning = "the media"

[[field]]
name = "interest"
side = "context"
type = "text"
many = true
meaning = "interests of the user"

[[field]]
name = "floor_price"
side = "context"
type = "number"
unit = "JPY per 1,000 impressions"
range = [0.0, 1000.0]
buckets = [10.0, 50.0, 100.0]
meaning = "lowest bid"

[[field]]
name = "region"
side = "context"
type = "text"
meaning = "where the user is"

[[field]]
name = "creative_id"
side = "candidate"
type = "id"
meaning = "what is shown"

[[field]]
name = "title"
side = "candidate"
type = "text"
meaning = "what it says"

[[field]]
name = "tag"
side = "candidate"
type = "id"
many = true
meaning = "what it is about"

[[field]]
name = "age_seconds"
side = "candidate"
type = "number"
unit = "s"
range = [0.0, 1e9]
buckets = { log2 = true }
meaning = "how long it has been shown"

[[cross]]
fields = ["media_id", "creative_id"]
[[cross]]
fields = ["media_id", "region"]
[[cross]]
fields = ["interest", "title"]
[[cross]]
fields = ["creative_id", "title"]
[[cross]]
fields = ["region", "tag", "media_id"]
[[cross]]
fields = ["interest", "floor_price"]
[[cross]]
fields = ["tag", "age_seconds"]
"#;

pub const CALIBRATOR: Calibrator = Calibrator { min: 1e-6, max: 1.0 - 1e-6 };

pub fn contract() -> Contract {
    omomi_train::toml::parse_contract(CONTRACT).unwrap()
}

/// Returns a request in which every field has a value.
pub fn full_rows(candidate_count: i64) -> RequestRows {
    let texts = |texts: &[&str]| FieldValue::Texts(texts.iter().map(|&text| text.to_owned()).collect());
    let row = |values: Vec<(&str, FieldValue)>| -> Row {
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>()
    };
    RequestRows {
        context: row(vec![
            ("media_id", FieldValue::Id(i64::MIN)),
            ("interest", texts(&["旅行", "", "news"])),
            ("floor_price", FieldValue::Number(50.0)),
            ("region", FieldValue::Text("東京".to_owned())),
        ]),
        candidates: (0..candidate_count)
            .map(|id| {
                row(vec![
                    ("creative_id", FieldValue::Id(id)),
                    ("title", FieldValue::Text(format!("タイトル {}", id % 7))),
                    ("tag", FieldValue::Ids(vec![id % 3, 100 + id % 5])),
                    ("age_seconds", FieldValue::Number(1.5 * f64::from(u32::try_from(id).unwrap()))),
                ])
            })
            .collect(),
    }
}

/// Returns the bytes of a weight file with `weights`, in any order.
pub fn bytes_of(contract: &Contract, weights: &[(u64, f32)], golden: &[RequestRows]) -> Vec<u8> {
    bytes_in(Encoding::F32, contract, weights, golden)
}

/// Returns the bytes of a weight file with `weights` in `encoding`, with a different scale for each field if the
/// encoding has scales.
pub fn bytes_in(encoding: Encoding, contract: &Contract, weights: &[(u64, f32)], golden: &[RequestRows]) -> Vec<u8> {
    bytes_as(7, encoding, contract, weights, Vec::new(), golden)
}

/// Returns the bytes of a weight file like [`bytes_in`], with default weights that differ from field to field.
pub fn bytes_with_defaults(
    encoding: Encoding,
    contract: &Contract,
    weights: &[(u64, f32)],
    golden: &[RequestRows],
) -> Vec<u8> {
    let default = |field: u16| DefaultWeights { unseen: 0.3 - f32::from(field) / 9.0, missing: f32::from(field) / 7.0 };
    let defaults = (0..).map(default).take(contract.fields().len()).collect();
    bytes_as(7, encoding, contract, weights, defaults, golden)
}

/// Returns the bytes of a weight file of `generation`, with weights that no other generation has.
pub fn bytes_of_generation(generation: u64) -> Vec<u8> {
    slow_bytes_of_generation(generation, 1)
}

/// Returns the bytes of a weight file of `generation` with `golden_count` golden requests. Such a file takes a while to
/// load.
pub fn slow_bytes_of_generation(generation: u64, golden_count: usize) -> Vec<u8> {
    let (contract, rows) = (contract(), full_rows(20));
    let shift = f32::from(u16::try_from(generation % 1_000).unwrap()) / 1_000.0;
    let weights: Vec<(u64, f32)> = keys_of(&contract, &rows)
        .into_iter()
        .map(|key| (key, f32::from(u16::try_from(key >> 20 & 0xfff).unwrap()) / 3_000.0 - shift))
        .collect();
    bytes_as(generation, Encoding::F32, &contract, &weights, Vec::new(), &vec![rows; golden_count])
}

fn bytes_as(
    generation: u64,
    encoding: Encoding,
    contract: &Contract,
    weights: &[(u64, f32)],
    default_weights: Vec<DefaultWeights>,
    golden: &[RequestRows],
) -> Vec<u8> {
    let group_count = contract.fields().len() + contract.crosses().len();
    let mut entries: Vec<_> = weights.iter().map(|&pair| Entry::from(pair)).collect();
    entries.sort_by_key(|entry| entry.key);
    entries.dedup_by_key(|entry| entry.key);
    for entry in &mut entries {
        // A key does not show its field. Any field will do, as long as the scales differ.
        entry.group = u16::try_from(entry.key % group_count as u64).unwrap();
        entry.weight *= 1.0 + f32::from(entry.group) / 8.0;
    }
    let weights = EncodedWeights::encode_with(default_weights, entries, encoding, group_count).unwrap();
    let parts = Parts {
        contract,
        generation,
        logic_id: "small-v1",
        provenance: serde_json::Map::new(),
        bias: -2.25,
        weights: &weights,
        calibrator: CALIBRATOR,
        field_sizes: vec![("media_id".to_owned(), 1)],
        golden,
    };
    writer::to_bytes(&parts).unwrap()
}

/// Creates a model with weights for about half of the features of `rows`. The weights are derived from the keys.
pub fn model_for(rows: &RequestRows) -> Arc<Model> {
    model_in(Encoding::F32, &contract(), rows)
}

/// Creates a model like [`model_for`], with any contract and encoding.
pub fn model_in(encoding: Encoding, contract: &Contract, rows: &RequestRows) -> Arc<Model> {
    let weights = weights_for(contract, rows);
    Model::from_bytes(bytes_in(encoding, contract, &weights, std::slice::from_ref(rows))).unwrap()
}

/// Creates a model like [`model_in`], with default weights.
pub fn model_with_defaults(encoding: Encoding, contract: &Contract, rows: &RequestRows) -> Arc<Model> {
    let weights = weights_for(contract, rows);
    Model::from_bytes(bytes_with_defaults(encoding, contract, &weights, std::slice::from_ref(rows))).unwrap()
}

/// Returns weights for about half of the features of `rows`.
fn weights_for(contract: &Contract, rows: &RequestRows) -> Vec<(u64, f32)> {
    let size = |key: u64| f32::from(u16::try_from(key >> 20 & 0xfff).unwrap()) - 2_048.0;
    keys_of(contract, rows).into_iter().map(|key| (key, size(key) / 3_000.0)).collect()
}

/// Returns about half of the feature keys of `rows`.
fn keys_of(contract: &Contract, rows: &RequestRows) -> Vec<u64> {
    let empty = Model::from_bytes(bytes_of(contract, &[], std::slice::from_ref(rows))).unwrap();
    let (scorer, mut request) = empty.scorer_for(rows, Instructions::PLAIN).unwrap();
    request.fill(rows).unwrap();
    let explained =
        (0..rows.candidates.len()).flat_map(|index| scorer.explain(&mut request, index).unwrap().contributions);
    explained.map(|contribution| contribution.key).filter(|key| key & 1 == 0).collect()
}
