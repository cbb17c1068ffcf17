//! Packs a training state into a weight file: the l1 threshold drops what carries nothing, golden requests are chosen from held-out
//! rows, and the file appears under its name only when it is whole and verified.

mod golden_rows;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::contract::Contract;
use crate::log_reader::{LogError, LogReader, ReadOptions};
use crate::score::Model;
use crate::train::provenance_path;
use crate::train::state::{StateError, StateReader};
use crate::weight_file::Calibrator;
use crate::weight_file::table::{EncodedWeights, Entry, popularity_of};
use crate::weight_file::writer::{self, Parts, WriteError};

use golden_rows::GoldenRows;

/// Limits of the published probability unless told otherwise: one in a million on either side.
pub const DEFAULT_CALIBRATOR: Calibrator = Calibrator { least: 1e-6, greatest: 1.0 - 1e-6 };

/// What a training run reports and a weight file does not keep: it differs between two runs over the same input, and the same
/// input shall give the same bytes.
const RUN_DEPENDENT: &[&str] =
    &["arguments", "learn_seconds", "peak_memory_bytes", "rows_per_second", "seconds", "state"];

/// What to pack.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// The training state.
    pub state: PathBuf,
    /// Paths and patterns of logs that golden requests are chosen from; better ones that were not trained on.
    pub held_out: Vec<String>,
    /// How they are read.
    pub read: ReadOptions,
    /// Name of the serving logic.
    pub logic_id: String,
    /// Generation of the training run.
    pub generation: u64,
    /// Limits of the published probability.
    pub calibrator: Calibrator,
}

/// What was packed.
#[derive(Debug)]
pub struct PackReport {
    /// The verified model over the new file.
    pub model: Arc<Model>,
    /// Features in the training state.
    pub feature_count: u64,
    /// Number of weights of each field and cross that has any, in contract order.
    pub field_sizes: Vec<(String, u64)>,
    /// Number of golden requests.
    pub golden_count: usize,
    /// Fields that had no value in any row that was looked at, so that no golden request covers a value of theirs.
    pub uncovered_fields: Vec<String>,
}

/// Why a state could not be packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The training state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The held-out logs cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The weight file cannot be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The state was trained under another contract.
    #[error(
        "the training state was made under the contract {found:016x}, expected {expected:016x}: pack it with the \
         contract that it was trained with, or train again"
    )]
    OtherContract {
        /// Fingerprint of the contract that was passed.
        expected: u64,
        /// Fingerprint of the state's contract.
        found: u64,
    },
    /// The state names a field that the contract does not have.
    #[error("the training state has the feature {key:#018x} in the field `{field}`, which its contract does not have")]
    UnknownField {
        /// Name of the field.
        field: String,
        /// The feature key.
        key: u64,
    },
    /// The provenance beside the state is not readable.
    #[error("cannot read the provenance {path}; it is written beside the training state")]
    Provenance {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The held-out logs have no rows.
    #[error("the held-out logs have no rows to choose golden requests from")]
    NoHeldOutRows,
}

/// Packs the state that `options` names into a new weight file at `out`.
///
/// Memory: 16 bytes for each weight that stays, and about twice the size of the file.
///
/// # Errors
///
/// [`PackError`]; there is no file at `out` then, or the one that was there before.
pub fn pack(contract: &Contract, options: &PackOptions, out: &Path) -> Result<PackReport, PackError> {
    let weights = Weights::read(contract, &options.state)?;
    let provenance = provenance(&options.state)?;
    let mut reader = LogReader::open(contract, &options.held_out, options.read.clone())?;
    let mut golden = GoldenRows::new(contract);
    while !golden.is_enough()
        && let Some(batch) = reader.next_batch()?
    {
        golden.look_at(&batch);
    }
    let uncovered_fields = golden.uncovered_fields();
    let golden = golden.requests();
    if golden.is_empty() {
        return Err(PackError::NoHeldOutRows);
    }
    let parts = Parts {
        contract,
        generation: options.generation,
        logic_id: &options.logic_id,
        provenance,
        bias: weights.bias,
        weights: &weights.encoded,
        calibrator: options.calibrator,
        field_sizes: weights.field_sizes.clone(),
        golden: &golden,
    };
    let model = writer::write(&parts, out)?;
    Ok(PackReport {
        model,
        feature_count: weights.feature_count,
        field_sizes: weights.field_sizes,
        golden_count: golden.len(),
        uncovered_fields,
    })
}

/// The weights of a state that are not 0.
struct Weights {
    bias: f64,
    encoded: EncodedWeights,
    field_sizes: Vec<(String, u64)>,
    feature_count: u64,
}

impl Weights {
    fn read(contract: &Contract, state: &Path) -> Result<Self, PackError> {
        let mut reader = StateReader::open(state)?;
        let metadata = reader.metadata();
        let (expected, found) = (contract.fingerprint(), metadata.contract.fingerprint());
        if expected != found {
            return Err(PackError::OtherContract { expected, found });
        }
        let settings = metadata.settings;
        let names = group_names(contract);
        let groups: HashMap<&str, u16> = names.iter().map(String::as_str).zip(0..).collect();
        let mut sizes = vec![0; names.len()];
        let (mut bias, mut entries) = (0.0, Vec::new());
        while let Some(batch) = reader.next_batch()? {
            for row in batch.rows() {
                if row.is_bias() {
                    bias = settings.bias_weight(row.z, row.d);
                    continue;
                }
                #[expect(clippy::cast_possible_truncation, reason = "weights are served as f32")]
                let weight = settings.feature_weight(row.z, row.d) as f32;
                if weight == 0.0 {
                    continue;
                }
                let Some(&group) = groups.get(row.field) else {
                    return Err(PackError::UnknownField { field: row.field.to_owned(), key: row.key });
                };
                sizes[usize::from(group)] += 1;
                entries.push(Entry { key: row.key, weight, group, popularity: popularity_of(row.impressions) });
            }
        }
        let field_sizes = names.iter().cloned().zip(sizes).filter(|(_, size)| *size > 0).collect();
        Ok(Self { bias, encoded: entries.into(), field_sizes, feature_count: reader.feature_count() })
    }
}

/// The fields of a contract, then its crosses, by name.
fn group_names(contract: &Contract) -> Vec<String> {
    let fields = contract.fields().iter().map(|field| field.name.clone());
    fields.chain(contract.crosses().iter().map(|cross| contract.cross_name(cross))).collect()
}

/// The provenance of the weight file: what the training run left beside the state, as far as it says where the weights come from.
fn provenance(state: &Path) -> Result<Map<String, Value>, PackError> {
    let path = provenance_path(state);
    let unreadable = |source| PackError::Provenance { path: path.clone(), source };
    let text = std::fs::read_to_string(&path).map_err(unreadable)?;
    let training: Value = serde_json::from_str(&text).map_err(|error| unreadable(error.into()))?;
    let Value::Object(mut training) = training else {
        return Err(unreadable(std::io::Error::other("it is not a JSON object")));
    };
    training.retain(|key, _| !RUN_DEPENDENT.contains(&key.as_str()));
    let mut provenance = Map::new();
    provenance.insert("tool_version".to_owned(), Value::from(env!("CARGO_PKG_VERSION")));
    provenance.insert("training".to_owned(), Value::Object(training));
    Ok(provenance)
}
