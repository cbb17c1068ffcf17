//! The weights of a training state: reads them, counts them by field, and plans the size of a weight file with them
//! before it is built.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::table::{Entry, popularity_of};
use super::{Event, GoldenRows, PackError, check_contract, provenance};
use crate::learn::state::{StateReader, UNSEEN_FIELD};
use crate::pack::writer::planned_lens;
use omomi::contract::Contract;
use omomi::weight_file::DefaultWeights;
use omomi::weight_file::golden::{GoldenRequest, to_json};
use omomi::weight_file::layout::{CALIBRATOR_LEN, DEFAULT_WEIGHTS_LEN, SectionKind, TABLE_LEN};
use omomi::weight_file::table::Encoding;

/// The weights of a training state that are not 0.
pub(super) struct Weights {
    pub(super) bias: f64,
    /// What fields add without a weight of their own, in contract order; empty if the state does not say.
    pub(super) default_weights: Vec<DefaultWeights>,
    /// The weights in ascending order of key, which is the order in the state.
    pub(super) entries: Vec<Entry>,
    /// Number of features in the state.
    pub(super) feature_count: u64,
}

impl Weights {
    pub(super) fn read(
        contract: &Contract,
        state: &Path,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Self, PackError> {
        let mut reader = StateReader::open(state)?;
        let metadata = reader.metadata();
        check_contract(contract, metadata)?;
        let rule = metadata.weight_rule;
        let names = group_names(contract);
        let groups: HashMap<&str, u16> = names.iter().map(String::as_str).zip(0..).collect();
        let feature_count = reader.feature_count();
        let (mut bias, mut entries, mut read_count) = (0.0, Vec::new(), 0);
        let mut default_weights = Vec::new();
        while let Some(batch) = reader.next_batch()? {
            for row in batch.rows() {
                if row.is_bias() {
                    bias = rule.bias_weight(row.z, row.d);
                    continue;
                }
                read_count += 1;
                if row.is_default() {
                    let fields = contract.fields();
                    default_weights.resize(fields.len(), DefaultWeights::default());
                    // The reader has checked that the contract has the field.
                    let field = fields.iter().position(|field| field.name == row.category);
                    let weights = &mut default_weights[field.expect("a field of the contract")];
                    let place = if row.field == UNSEEN_FIELD { &mut weights.unseen } else { &mut weights.missing };
                    #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
                    let weight = rule.default_weight(row.z, row.d) as f32;
                    *place = weight;
                    continue;
                }
                #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
                let weight = rule.feature_weight(row.z, row.d) as f32;
                if weight == 0.0 {
                    continue;
                }
                let Some(&group) = groups.get(row.field) else {
                    return Err(PackError::UnknownField { field: row.field.to_owned(), key: row.key });
                };
                entries.push(Entry { key: row.key, weight, group, popularity: popularity_of(row.impressions) });
            }
            watch(&Event::Read { feature_count: read_count, of: feature_count });
        }
        Ok(Self { bias, default_weights, entries, feature_count })
    }
}

/// Counts the weights of each field and cross, in contract order. Leaves out fields and crosses without weights.
pub(super) fn field_sizes(contract: &Contract, entries: &[Entry]) -> Vec<(String, u64)> {
    let names = group_names(contract);
    let mut sizes = vec![0; names.len()];
    for entry in entries {
        sizes[usize::from(entry.group)] += 1;
    }
    names.into_iter().zip(sizes).filter(|(_, size)| *size > 0).collect()
}

/// Returns the names of the contract's fields, then of its crosses. The index of a name is the group of its weights.
pub(crate) fn group_names(contract: &Contract) -> Vec<String> {
    let fields = contract.fields().iter().map(|field| field.name.clone());
    fields.chain(contract.crosses().iter().map(|cross| contract.cross_name(cross))).collect()
}

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
    /// Length of the section of default weights, or 0 without it.
    default_weights_len: u64,
}

impl FilePlan {
    /// Plans a file for the training state at `state`, whose provenance will grow by `provenance_growth_bytes`. The
    /// golden requests are those that packing would choose from the rows that `golden` has read. `has_default_weights`
    /// says whether the state has default weights of unseen categories and missing values.
    ///
    /// # Errors
    ///
    /// Returns [`PackError::State`] if the state cannot be read.
    pub(crate) fn new(
        contract: &Contract,
        state: &Path,
        golden: Option<&GoldenRows<'_>>,
        provenance_growth_bytes: u64,
        has_default_weights: bool,
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
            default_weights_len: if has_default_weights {
                (contract.fields().len() * DEFAULT_WEIGHTS_LEN) as u64
            } else {
                0
            },
        })
    }

    /// Returns the size in bytes of a file with this many weights. The first size is for the smallest table, which
    /// nearly always has room for all keys; the second is for the next larger table. Returns `None` if the file would
    /// be too large for the format.
    #[must_use]
    pub fn lens_bytes(&self, encoding: Encoding, weight_count: u64) -> Option<[u64; 2]> {
        let scales_len = if encoding.has_scales() { self.group_count * size_of::<f32>() as u64 } else { 0 };
        let mut others = vec![
            (SectionKind::Contract, self.contract_len),
            (SectionKind::Provenance, self.provenance_len),
            (SectionKind::Table, TABLE_LEN as u64 + scales_len),
            (SectionKind::Calibrator, CALIBRATOR_LEN as u64),
            (SectionKind::Golden, self.golden_len),
            (SectionKind::FieldSizes, self.field_sizes_len),
        ];
        if self.default_weights_len > 0 {
            others.push((SectionKind::DefaultWeights, self.default_weights_len));
        }
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
