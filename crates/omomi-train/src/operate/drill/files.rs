//! Makes weight files for the drill: good ones with another generation, and bad ones.

use serde_json::Map;

use crate::pack::signing::{PrivateKey, sign};
use crate::pack::writer::{self, Parts, WriteError};
use omomi::contract::Contract;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::weight_file::Calibrator;

/// Returns the weight file in `bytes` with another generation number.
pub(super) fn of_generation(bytes: Vec<u8>, generation: u64) -> Result<Vec<u8>, WriteError> {
    writer::with_generation(bytes, generation)
}

/// Flips one bit in the middle of the file.
pub(super) fn with_a_flipped_bit(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// Truncates the file, like an interrupted copy.
pub(super) fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// Returns another file with the same answers: it is good, and its bytes differ.
pub(super) fn with_other_content(bytes: Vec<u8>) -> Result<Vec<u8>, WriteError> {
    sign(bytes, &PrivateKey::generate())
}

/// Returns a file that is not a weight file.
pub(super) fn foreign() -> Vec<u8> {
    b"PK\x03\x04 this is an archive of something else\n".repeat(100)
}

/// Returns a valid weight file whose contract has a field that the server does not supply.
pub(super) fn of_another_contract(generation: u64) -> Result<Vec<u8>, WriteError> {
    const CONTRACT: &str = r#"{"name":"drill","label":"clicked","field":[{"name":"a_field_that_no_server_has_heard_of",
        "side":"candidate","type":"id","meaning":"something that was agreed on with another team"}]}"#;
    let contract = Contract::from_json(CONTRACT.as_bytes()).map_err(|error| WriteError::Parts(error.to_string()))?;
    let row: Row = contract.fields().iter().map(|field| (field.name.clone(), FieldValue::Id(1))).collect();
    let parts = Parts {
        contract: &contract,
        generation,
        logic_id: "drill",
        provenance: Map::new(),
        bias: 0.0,
        weights: &Vec::new().into(),
        calibrator: Calibrator { min: 1e-6, max: 1.0 - 1e-6 },
        field_sizes: Vec::new(),
        golden: &[RequestRows { context: Row::new(), candidates: vec![row] }],
    };
    writer::to_bytes(&parts)
}
