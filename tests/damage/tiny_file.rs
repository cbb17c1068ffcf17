//! The smallest file with content in every section: two fields, a cross, a few weights, one exception.

use std::sync::OnceLock;

use omomi::contract::Contract;
use omomi::feature::{cross_step, feature_key, field_seed, id_value, text_value};
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::weight_file::table::Encoding;
use omomi::weight_file::{Calibrator, DefaultWeights};
use omomi_train::pack::table::{EncodedWeights, Entry};
use omomi_train::pack::writer::{self, Parts};

pub const CONTRACT: &str = r#"{"name":"tiny","label":"clicked","field":[
    {"name":"user","side":"context","type":"id","meaning":"who"},
    {"name":"word","side":"candidate","type":"text","many":true,"meaning":"what"}],
    "cross":[{"fields":["user","word"]}]}"#;

/// Returns the bytes of the file.
pub fn bytes() -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| with_generation(1)).clone()
}

/// Returns the bytes of the file with weights in another encoding.
pub fn bytes_in(encoding: Encoding) -> Vec<u8> {
    made(1, encoding)
}

/// Returns the file with another generation, and therefore with another file id.
pub fn with_generation(generation: u64) -> Vec<u8> {
    made(generation, Encoding::F32)
}

fn made(generation: u64, encoding: Encoding) -> Vec<u8> {
    let contract = Contract::from_json(CONTRACT.as_bytes()).unwrap();
    let user = feature_key(field_seed("user"), id_value(7));
    let word = feature_key(field_seed("word"), text_value("旅行".as_bytes()));
    let both = [user, word].into_iter().fold(field_seed("user*word"), cross_step);
    // The twin of `user` has the same lines and the same tag, so one of the two must be an exception.
    let weights = [(user, 0.5, 0), (user ^ 1 << 32, -1.0, 0), (word, -0.25, 1), (both, 1.5, 2)];
    let mut entries = weights.map(|(key, weight, group)| Entry { key, weight, group, popularity: 0 });
    entries.sort_by_key(|entry| entry.key);
    let defaults = [(-0.125, 0.0), (0.75, -0.5)].map(|(unseen, missing)| DefaultWeights { unseen, missing });
    let weights = EncodedWeights::encode_with(defaults.to_vec(), entries.to_vec(), encoding, 3).unwrap();
    let parts = Parts {
        contract: &contract,
        generation,
        logic_id: "tiny-v1",
        provenance: serde_json::Map::new(),
        bias: -2.0,
        weights: &weights,
        calibrator: Calibrator { min: 1e-6, max: 0.999 },
        field_sizes: vec![("user".to_owned(), 2), ("word".to_owned(), 1)],
        golden: &[RequestRows {
            context: Row::from([("user".to_owned(), FieldValue::Id(7))]),
            candidates: vec![Row::from([("word".to_owned(), FieldValue::Texts(vec!["旅行".to_owned()]))]), Row::new()],
        }],
    };
    writer::to_bytes(&parts).unwrap()
}
