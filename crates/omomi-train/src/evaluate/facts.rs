//! Reads the facts of a weight file for evaluations.

use std::path::Path;

use serde_json::Value;

use super::evaluation::{FieldWeights, FileFacts};
use crate::lineage::LearnedLog;
use omomi::score::Model;
use omomi::store::Digest;
use omomi::weight_file::layout::SectionKind;

/// Returns the facts of the file of `model`, which was read from `path`.
#[must_use]
pub fn file_facts(model: &Model, path: impl AsRef<Path>) -> FileFacts {
    let path = path.as_ref();
    let provenance = model.provenance();
    let training = &provenance["training"];
    let window = |end: &str| {
        let of = |key: &str| training.pointer(&format!("/{key}/{end}")).and_then(Value::as_i64);
        of("lineage_window").or_else(|| of("training_window"))
    };
    let fields = field_weights(model);
    FileFacts {
        path: path.display().to_string(),
        len_bytes: model.header().total_len_bytes,
        digest: Digest::of(model.file().bytes()).to_string(),
        generation: model.generation(),
        logic_id: model.logic_id().to_owned(),
        contract: model.contract().name().to_owned(),
        contract_fingerprint: format!("{:016x}", model.contract().fingerprint()),
        encoding: model.table().encoding().name().to_owned(),
        bias: model.bias(),
        weight_count: model.weight_count(),
        largest_weight: largest_weight(model, &fields),
        fields,
        training_rows: training.get("lineage_rows").or_else(|| training.get("rows")).and_then(Value::as_u64),
        training_window_us: window("first_us").zip(window("last_us")).map(|(first, last)| [first, last]),
        importance_column: importance_column_of(model),
    }
}

/// Returns the column with which training weighted its rows, as far as the file says it.
#[must_use]
pub fn importance_column_of(model: &Model) -> Option<String> {
    model.provenance().pointer("/training/importance_column").and_then(Value::as_str).map(str::to_owned)
}

/// Returns the logs that the model of a file has learned from, and the steps that used them, as far as the file says
/// it.
#[must_use]
pub fn lineage_of(model: &Model) -> Vec<LearnedLog> {
    let lineage = model.provenance().get("training").and_then(|training| training.get("lineage")).cloned();
    lineage.and_then(|lineage| serde_json::from_value(lineage).ok()).unwrap_or_default()
}

/// Returns the number of weights per field and cross, in contract order, as far as the file has it.
#[must_use]
pub fn field_weights(model: &Model) -> Vec<FieldWeights> {
    let Ok(Some(Value::Object(counts))) = model.file().field_sizes() else {
        return Vec::new();
    };
    let weights_len = model.file().section(SectionKind::Weights).len() as u64;
    let fields = group_names(model).into_iter().filter_map(|field| {
        let weight_count = counts.get(&field)?.as_u64()?;
        // All fields share lines, so a field's share of the bytes is its share of the weights.
        let share = u128::from(weights_len) * u128::from(weight_count) / u128::from(model.weight_count().max(1));
        Some(FieldWeights { field, weight_count, len_bytes: u64::try_from(share).unwrap_or(u64::MAX) })
    });
    fields.collect()
}

/// Returns the names of fields and crosses, in the order of their groups.
fn group_names(model: &Model) -> Vec<String> {
    let contract = model.contract();
    let fields = contract.fields().iter().map(|field| field.name.clone());
    fields.chain(contract.crosses().iter().map(|cross| contract.cross_name(cross))).collect()
}

/// Returns the largest magnitude of a weight, those of unseen categories and missing values included. In a table with
/// scales, a line does not tell which field a weight belongs to. However, each scale is chosen so that the largest
/// weight of its group is 127 times the scale.
fn largest_weight(model: &Model, fields: &[FieldWeights]) -> f64 {
    let table = model.table();
    let defaults = model.default_weights().iter().flat_map(|weights| [weights.unseen, weights.missing]);
    let largest_default = defaults.map(f32::abs).fold(0.0, f32::max);
    if !table.encoding().has_scales() {
        return f64::from(table.largest_magnitude().max(largest_default));
    }
    let names = group_names(model);
    let has_weights = |name: &String| fields.iter().any(|field| field.field == *name && field.weight_count > 0);
    let scales = (0..names.len()).filter(|&group| has_weights(&names[group])).map(|group| table.scale(group));
    (f64::from(scales.fold(0.0, f32::max)) * 127.0).max(f64::from(largest_default))
}
