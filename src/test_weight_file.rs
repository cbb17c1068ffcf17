//! Weight files for unit tests, put together without the trainer, which is a crate above this one.

use serde_json::json;

use crate::contract::Contract;
use crate::request::RequestRows;
use crate::weight_file::golden::{self, GoldenRequest};
use crate::weight_file::layout::{self, FLAG_REQUIRED, SectionKind};
use crate::weight_file::table::{Encoding, LINE_LEN};

#[path = "../tests/damage/sealing.rs"]
#[expect(dead_code, reason = "the tests of damage use the rest")]
mod sealing;

/// The fewest lines that a shard may have.
const LINE_COUNT: u32 = 2;

/// The bytes of a weight file without weights, whose one golden request is `rows`: every logit is 0, every probability
/// a half.
pub(crate) fn without_weights(contract: &str, generation: u64, rows: &RequestRows) -> Vec<u8> {
    let contract = Contract::from_json(contract.as_bytes()).unwrap();
    let count = rows.candidates.len();
    let golden = GoldenRequest { rows: rows.clone(), logits: vec![0.0; count], probabilities: vec![0.5; count] };
    let mut table = vec![0; layout::TABLE_LEN];
    sealing::put(&mut table, layout::TABLE_LAYOUT_OFFSET, &layout::LAYOUT_TWO_CHOICE_LINES.to_le_bytes());
    sealing::put(&mut table, layout::TABLE_ENCODING_OFFSET, &Encoding::F32.number().to_le_bytes());
    sealing::put(&mut table, layout::TABLE_SHARD_COUNT_OFFSET, &1_u32.to_le_bytes());
    sealing::put(&mut table, layout::TABLE_SHARD_LINES_OFFSET, &LINE_COUNT.to_le_bytes());
    let mut calibrator = vec![0; layout::CALIBRATOR_LEN];
    sealing::put(&mut calibrator, layout::CALIBRATOR_KIND_OFFSET, &layout::CALIBRATOR_NONE.to_le_bytes());
    sealing::put(&mut calibrator, layout::CALIBRATOR_MIN_OFFSET, &1e-6_f64.to_le_bytes());
    sealing::put(&mut calibrator, layout::CALIBRATOR_MAX_OFFSET, &(1.0 - 1e-6_f64).to_le_bytes());
    let sections = [
        (SectionKind::Contract, contract.canonical_json().into_bytes()),
        (SectionKind::Provenance, json!({ "logic_id": "small" }).to_string().into_bytes()),
        (SectionKind::Table, table),
        (SectionKind::Weights, vec![0; LINE_COUNT as usize * LINE_LEN]),
        (SectionKind::Exceptions, Vec::new()),
        (SectionKind::Calibrator, calibrator),
        (SectionKind::Golden, golden::to_json(&[golden]).into_bytes()),
        (SectionKind::FieldSizes, b"{}".to_vec()),
    ]
    .map(|(kind, content)| {
        let flags = if kind.is_required() { FLAG_REQUIRED } else { 0 };
        sealing::Section { kind: kind.number(), flags, content }
    });
    let mut bytes = sealing::assemble(&sections);
    sealing::put(&mut bytes, layout::GENERATION_OFFSET, &generation.to_le_bytes());
    sealing::reseal(&mut bytes);
    bytes
}
