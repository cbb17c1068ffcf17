//! Computes the size of a weight file before it is built.

use std::path::Path;

use serde_json::Value;

use super::weights::group_names;
use super::{GoldenRows, PackError, provenance};
use crate::pack::writer::planned_lens;
use omomi::contract::Contract;
use omomi::weight_file::golden::{GoldenRequest, to_json};
use omomi::weight_file::layout::{CALIBRATOR_LEN, SectionKind, TABLE_LEN};
use omomi::weight_file::table::Encoding;

/// Most digits in the number of weights of a field.
const COUNT_DIGITS: u64 = 10;
/// Bytes reserved for what packing adds to the provenance: the logic id, and the cost of rounding.
const PROVENANCE_ROOM: u64 = 384;

/// The planned lengths of all sections of a weight file except those that depend on the number of weights.
#[derive(Debug, Clone)]
pub struct FilePlan {
    contract_len: u64,
    provenance_len: u64,
    golden_len: u64,
    field_sizes_len: u64,
    group_count: u64,
}

impl FilePlan {
    /// Plans a file for the training state at `state`, whose provenance will grow by `provenance_growth_bytes`. The
    /// golden requests are those that packing would choose from the rows that `golden` has read.
    ///
    /// # Errors
    ///
    /// Returns [`PackError::Provenance`] if the provenance beside the state cannot be read.
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
            // Answers have a fixed number of digits, so blank answers have the final length.
            golden_len: to_json(&golden).len() as u64,
            // Each name has quotes, a colon, a number and a comma.
            field_sizes_len: names.iter().map(|name| name.len() as u64 + COUNT_DIGITS + 4).sum::<u64>() + 2,
            group_count: names.len() as u64,
        })
    }

    /// Returns the size in bytes of a file with this many weights. The first size is for the smallest table, which
    /// nearly always has room for all keys; the second is for the next larger table. Returns `None` if the file would
    /// be too large for the format.
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

    /// Returns the largest number of weights with which the file has at most `max_bytes`, even with the larger table of
    /// [`lens_bytes`](Self::lens_bytes). Returns `None` if the file is larger even without weights.
    #[must_use]
    pub fn max_weights(&self, encoding: Encoding, max_bytes: u64) -> Option<u64> {
        let fits = |count: u64| self.lens_bytes(encoding, count).is_some_and(|[_, max]| max <= max_bytes);
        if !fits(0) {
            return None;
        }
        // Each weight takes more than one byte.
        let (mut min, mut beyond) = (0, max_bytes);
        while beyond - min > 1 {
            let middle = min.midpoint(beyond);
            if fits(middle) { min = middle } else { beyond = middle }
        }
        Some(min)
    }
}
