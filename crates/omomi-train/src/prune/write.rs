//! Writes the files of a pruned state: its bill, the state, and the copy of its provenance.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::stage::Stage;
use super::{Bill, Measures, PruneError, PruneOptions};
use crate::bucket::NewFile;
use crate::learn::state::{FinishedState, Metadata, StateError, StateReader, StateRow, StateWriter};
use crate::learn::{WeightRule, whole_provenance, write_provenance};
use crate::lineage::{LearnedLog, extend_lineage};
use omomi::store::Digest;

/// Bytes reserved for the summary of a pruning in the provenance, without its measures.
const SUMMARY_ROOM: u64 = 416;
/// Bytes reserved for each measure in the provenance.
const MEASURE_ROOM: u64 = 256;

/// Returns how many bytes the provenance of the state grows at most, unless names are very long.
pub(super) fn provenance_growth_bytes(measures: &Measures) -> u64 {
    SUMMARY_ROOM + measures.count() as u64 * MEASURE_ROOM
}

/// Writes all three files and returns the size of the state in bytes.
pub(super) fn write(
    options: &PruneOptions,
    stage: &Stage,
    rule: &WeightRule,
    bill: &Bill,
    bill_path: &Path,
    learned: Vec<LearnedLog>,
) -> Result<u64, PruneError> {
    // The state is last, because a run whose state exists is a run that succeeded.
    let json = serde_json::to_value(bill).map_err(|error| StateError::io("write", bill_path, error.into()))?;
    let text = format!("{json:#}\n");
    write_text(bill_path, &text)?;
    let digest = Digest::of(text.as_bytes()).to_string();
    let (finished, metadata) = write_state(options, stage, rule, (bill, &digest), learned)?;
    write_provenance(&options.out, &finished, Value::Object(whole_provenance(&metadata)))?;
    Ok(finished.len_bytes)
}

fn write_state(
    options: &PruneOptions,
    stage: &Stage,
    rule: &WeightRule,
    (bill, digest): (&Bill, &str),
    learned: Vec<LearnedLog>,
) -> Result<(FinishedState, Metadata), StateError> {
    let mut reader = StateReader::open(&options.state)?;
    let mut metadata = Metadata { weight_rule: *rule, pruned: true, ..reader.metadata().clone() };
    extend_lineage(&mut metadata.lineage, learned);
    add_pruning(&mut metadata.provenance, bill, digest);
    let mut writer = StateWriter::create(&options.out, &metadata, options.replace)?;
    let mut number = 0;
    while let Some(batch) = reader.next_batch()? {
        for row in batch.rows() {
            let weight = row.weight_by(rule);
            if row.is_bias() || row.is_default() {
                writer.push(&StateRow { weight, ..row })?;
                continue;
            }
            // The number of a feature is its index among the other rows.
            if stage.kept[number] {
                writer.push(&StateRow { weight, ..row })?;
            }
            number += 1;
        }
    }
    Ok((writer.finish_with(&metadata.provenance)?, metadata))
}

/// Adds a `pruned` key to the provenance: the bill without its fields and its curve. It is short, because it goes into
/// the weight file. It names the bill by its digest: two runs at once can leave the bill of one beside the state of the
/// other.
fn add_pruning(provenance: &mut Map<String, Value>, bill: &Bill, digest: &str) {
    let mut pruned = summary(bill);
    pruned.insert("bill_digest".to_owned(), Value::from(digest));
    if let Some(earlier) = provenance.remove("pruned") {
        pruned.insert("earlier".to_owned(), earlier);
    }
    provenance.insert("pruned".to_owned(), Value::Object(pruned));
}

fn summary(bill: &Bill) -> Map<String, Value> {
    let measures = bill.measures.iter().map(|bill| {
        let change = &bill.change;
        json!({
            "measure": bill.measure,
            "setting": bill.setting,
            "categories": [change.before.categories, change.after.categories],
            "weights": [change.before.weights, change.after.weights],
            "log_loss": change.held_out.map(|held_out| [held_out.before.log_loss, held_out.after.log_loss]),
        })
    });
    let summary = json!({
        "tool_version": bill.tool_version,
        "encoding": bill.encoding,
        "max_bytes": bill.budget.as_ref().map(|budget| budget.max_bytes),
        "held_out_rows": bill.held_out_rows,
        "weight_rule": bill.rule_after,
        "measures": measures.collect::<Vec<_>>(),
    });
    let Value::Object(summary) = summary else { unreachable!("it is written as an object") };
    summary
}

fn write_text(path: &Path, text: &str) -> Result<(), StateError> {
    let written = NewFile::create(path, true).and_then(|new_file| {
        new_file.file().write_all(text.as_bytes())?;
        new_file.commit()
    });
    written.map_err(|error| StateError::io("write", path, error))
}
