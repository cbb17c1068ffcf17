//! Checks a weight file against a store before the file is packed, so that none is packed in vain.

use std::collections::BTreeMap;

use omomi::contract::Contract;
use omomi::store::Store;
use omomi::weight_file::WeightFile;
use omomi::weight_file::layout::SectionKind;
use omomi::weight_file::map::{FileBytes, LoadMode};

use super::limits::{Limits, USUAL_COUNT};
use super::{PublishError, Warning, usual_lens};

/// Checks the size of a planned weight file of `len_bytes`, with this number of weights per field and cross: against
/// the limits of the store, and against the files that were published last.
///
/// # Errors
///
/// Returns the [`PublishError`] that publishing the file would return. Returns [`PublishError::UnusualFieldSize`] if
/// the number of weights of a field differs from the last files by more than the ratios that apply to a file's size.
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
        // A file that lists no fields, or a new field, does not show what is usual.
        let usual: Vec<u64> = before.iter().filter_map(|sizes| sizes.get(field).copied()).collect();
        warnings.extend(limits.check_field_size(field, found, &usual)?);
    }
    for (field, usual) in gone_fields(&sizes, &before) {
        warnings.extend(limits.check_field_size(&field, 0, &usual)?);
    }
    Ok(warnings)
}

/// Returns the fields that published files have weights of and this one does not, with their previous numbers of
/// weights.
fn gone_fields(sizes: &BTreeMap<String, u64>, before: &[BTreeMap<String, u64>]) -> BTreeMap<String, Vec<u64>> {
    let mut gone: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (field, &size) in before.iter().flatten().filter(|(field, _)| !sizes.contains_key(*field)) {
        gone.entry(field.clone()).or_default().push(size);
    }
    gone
}

/// Returns the number of weights per field of a published file; empty if the file does not list them.
fn field_sizes_of(store: &Store, generation: u64) -> Result<BTreeMap<String, u64>, PublishError> {
    let file = WeightFile::open(FileBytes::load(store.generation_path(generation), LoadMode::Map)?)?;
    Ok(serde_json::from_slice(file.section(SectionKind::FieldSizes)).unwrap_or_default())
}
