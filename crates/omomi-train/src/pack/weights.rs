//! Reads the weights of a training state.

use std::collections::HashMap;
use std::path::Path;

use super::table::{Entry, popularity_of};
use super::{Event, PackError};
use crate::learn::state::StateReader;
use omomi::contract::Contract;

/// The weights of a training state that are not 0.
pub(super) struct Weights {
    pub(super) bias: f64,
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
        let (expected, found) = (contract.fingerprint(), metadata.contract.fingerprint());
        if expected != found {
            return Err(PackError::OtherContract { expected, found });
        }
        let rule = metadata.weight_rule;
        let names = group_names(contract);
        let groups: HashMap<&str, u16> = names.iter().map(String::as_str).zip(0..).collect();
        let feature_count = reader.feature_count();
        let (mut bias, mut entries, mut read_count) = (0.0, Vec::new(), 0);
        while let Some(batch) = reader.next_batch()? {
            for row in batch.rows() {
                if row.is_bias() {
                    bias = rule.bias_weight(row.z, row.d);
                    continue;
                }
                read_count += 1;
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
        Ok(Self { bias, entries, feature_count })
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
