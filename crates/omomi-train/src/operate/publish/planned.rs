//! Holds a weight file that is still to be made against a store, so that none is made in vain.

use std::collections::BTreeMap;

use omomi::contract::Contract;
use omomi::store::Store;
use omomi::weight_file::WeightFile;
use omomi::weight_file::layout::SectionKind;
use omomi::weight_file::map::{FileBytes, LoadMode};

use super::limits::{Limits, USUAL_COUNT};
use super::{PublishError, Warning, usual_lens};

/// Says what publishing a weight file of `len_bytes` with so many weights of each field and cross would say of its size: its limits,
/// and what the files that were published last had.
///
/// # Errors
///
/// The [`PublishError`] with which publishing would refuse it, or [`PublishError::UnusualFieldSize`] for a field whose number of
/// weights is as unlike those before as a file's size may not be.
pub fn check_planned(
    store: &Store,
    contract: &Contract,
    len_bytes: u64,
    field_sizes: &[(String, u64)],
) -> Result<Vec<Warning>, PublishError> {
    let limits = Limits::of_store(store)?;
    let generations = store.generations()?;
    let sizes: BTreeMap<String, u64> = field_sizes.iter().cloned().collect();
    limits.check_field_sizes(&sizes)?;
    let mut warnings = limits.unknown_fields(contract);
    warnings.extend(limits.check_len(len_bytes, &usual_lens(store, &generations)?)?);
    let mut before = Vec::new();
    for &generation in generations.iter().rev().take(USUAL_COUNT) {
        before.push(field_sizes_of(store, generation)?);
    }
    for (field, &found) in &sizes {
        // A file that lists no fields, or a field that is new, says nothing of what is usual.
        let usual: Vec<u64> = before.iter().filter_map(|sizes| sizes.get(field).copied()).collect();
        warnings.extend(limits.check_field_size(field, found, &usual)?);
    }
    for (field, usual) in gone_fields(&sizes, &before) {
        warnings.extend(limits.check_field_size(&field, 0, &usual)?);
    }
    Ok(warnings)
}

/// Fields that published files have weights of and this one has none of, with how many they had.
fn gone_fields(sizes: &BTreeMap<String, u64>, before: &[BTreeMap<String, u64>]) -> BTreeMap<String, Vec<u64>> {
    let mut gone: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (field, &size) in before.iter().flatten().filter(|(field, _)| !sizes.contains_key(*field)) {
        gone.entry(field.clone()).or_default().push(size);
    }
    gone
}

/// What a published file says of its fields; nothing where it does not.
fn field_sizes_of(store: &Store, generation: u64) -> Result<BTreeMap<String, u64>, PublishError> {
    let file = WeightFile::open(FileBytes::load(&store.generation_path(generation), LoadMode::Map)?)?;
    Ok(serde_json::from_slice(file.section(SectionKind::FieldSizes)).unwrap_or_default())
}
