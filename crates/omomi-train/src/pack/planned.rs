//! How long a weight file will be, before it is made.

use std::path::Path;

use serde_json::Value;

use super::weights::group_names;
use super::{GoldenRows, PackError, provenance};
use crate::pack::writer::planned_lens;
use omomi::contract::Contract;
use omomi::weight_file::golden::{GoldenRequest, to_json};
use omomi::weight_file::layout::{CALIBRATOR_LEN, SectionKind, TABLE_LEN};
use omomi::weight_file::table::Encoding;

/// Digits of the largest number of weights of a field.
const COUNT_DIGITS: u64 = 10;
/// Room for what packing adds to the provenance: the logic id, and what rounding cost.
const PROVENANCE_ROOM: u64 = 384;

/// The lengths of everything in a weight file but its table.
#[derive(Debug, Clone)]
pub struct FilePlan {
    contract_len: u64,
    provenance_len: u64,
    golden_len: u64,
    field_sizes_len: u64,
    group_count: u64,
}

impl FilePlan {
    /// The plan of a file of the training state `state`, whose provenance will grow by `provenance_growth_bytes`, with the
    /// golden requests that packing would choose from rows that `golden` has seen.
    ///
    /// # Errors
    ///
    /// [`PackError::Provenance`].
    pub(crate) fn new(
        contract: &Contract,
        state: &Path,
        golden: Option<&GoldenRows<'_>>,
        provenance_growth_bytes: u64,
    ) -> Result<Self, PackError> {
        let provenance_len = Value::Object(provenance(state)?).to_string().len() as u64;
        let names = group_names(contract);
        let golden: Vec<GoldenRequest> = golden.map_or_else(Vec::new, |golden| {
            let blank = |rows: omomi::request::RequestRows| {
                let count = rows.candidates.len();
                GoldenRequest { rows, logits: vec![0.0; count], probabilities: vec![0.0; count] }
            };
            golden.requests().into_iter().map(blank).collect()
        });
        Ok(Self {
            contract_len: contract.canonical_json().len() as u64,
            provenance_len: provenance_len + provenance_growth_bytes + PROVENANCE_ROOM,
            // Answers are written in a fixed number of digits, so blank ones are as long as any.
            golden_len: to_json(&golden).len() as u64,
            // Each name in quotes, with a colon, a number and a comma.
            field_sizes_len: names.iter().map(|name| name.len() as u64 + COUNT_DIGITS + 4).sum::<u64>() + 2,
            group_count: names.len() as u64,
        })
    }

    /// Bytes of the file with so many weights: how many it will have, and how many where its table finds no room in the lines
    /// that nearly always do. Nothing for what is beyond any file.
    #[must_use]
    pub fn lens_bytes(&self, encoding: Encoding, weight_count: u64) -> Option<[u64; 2]> {
        let scales_len = if encoding.has_scales() { self.group_count * size_of::<f32>() as u64 } else { 0 };
        let others = [
            (SectionKind::Contract, self.contract_len),
            (SectionKind::Provenance, self.provenance_len),
            (SectionKind::Table, TABLE_LEN as u64 + scales_len),
            (SectionKind::Calibrator, CALIBRATOR_LEN as u64),
            (SectionKind::Golden, self.golden_len),
            (SectionKind::FieldSizes, self.field_sizes_len),
        ];
        planned_lens(encoding, weight_count, &others)
    }

    /// The most weights with which the file has at most `max_bytes`, whatever lines its table needs; nothing if it has more
    /// without any.
    #[must_use]
    pub fn max_weights(&self, encoding: Encoding, max_bytes: u64) -> Option<u64> {
        let fits = |count: u64| self.lens_bytes(encoding, count).is_some_and(|[_, max]| max <= max_bytes);
        if !fits(0) {
            return None;
        }
        // A weight takes more than a byte.
        let (mut min, mut beyond) = (0, max_bytes);
        while beyond - min > 1 {
            let middle = min.midpoint(beyond);
            if fits(middle) { min = middle } else { beyond = middle }
        }
        Some(min)
    }
}
