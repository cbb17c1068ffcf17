//! Weight files for unit tests. The writer is a crate above this one, built on the `omomi` that others link, so contracts
//! and rows reach it as JSON.

use omomi::contract::{Contract, Side};
use omomi::request::{RequestRows, row_from_json};
use omomi::weight_file::Calibrator;
use omomi_train::pack::writer::{Parts, to_bytes};
use serde_json::{Map, Value};

/// The bytes of a weight file without weights, whose one golden request is `rows`.
pub(crate) fn without_weights(contract: &str, generation: u64, rows: &crate::request::RequestRows) -> Vec<u8> {
    let contract = Contract::from_json(contract.as_bytes()).unwrap();
    let row = |side, row: &crate::request::Row| {
        let Value::Object(object) = crate::request::row_to_json(row) else { unreachable!("rows are objects") };
        row_from_json(&contract, side, &object).unwrap()
    };
    let golden = RequestRows {
        context: row(Side::Context, &rows.context),
        candidates: rows.candidates.iter().map(|candidate| row(Side::Candidate, candidate)).collect(),
    };
    let parts = Parts {
        contract: &contract,
        generation,
        logic_id: "small",
        provenance: Map::new(),
        bias: 0.0,
        weights: &Vec::new().into(),
        calibrator: Calibrator { min: 1e-6, max: 1.0 - 1e-6 },
        field_sizes: Vec::new(),
        golden: &[golden],
    };
    to_bytes(&parts).unwrap()
}
