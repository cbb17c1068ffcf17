//! Packs a training state into a weight file: the l1 threshold drops what carries nothing, weights are rounded to an encoding and
//! what that costs is measured, golden requests are chosen from held-out rows, and the file appears under its name only when it
//! is whole and verified.

mod draft;
mod golden_rows;
mod planned;
pub mod signing;
pub mod table;
mod weights;
pub mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::judge::evaluate::{EvaluateError, Metrics, evaluate_each};
use crate::learn::provenance_path;
use crate::learn::state::StateError;
use crate::log::{LogError, LogReader, ReadOptions};
use omomi::contract::Contract;
use omomi::request::RequestRows;
use omomi::score::Model;
use omomi::weight_file::Calibrator;
use omomi::weight_file::table::Encoding;
use table::{EncodeError, EncodedWeights, Rounding};
use writer::{Parts, Place, WriteError};

pub(crate) use golden_rows::GoldenRows;
pub use planned::FilePlan;
use weights::Weights;
pub(crate) use weights::group_names;

/// Limits of the published probability unless told otherwise: one in a million on either side.
pub const DEFAULT_CALIBRATOR: Calibrator = Calibrator { min: 1e-6, max: 1.0 - 1e-6 };

/// What a training run reports and a weight file does not keep: it differs between two runs over the same input, and the same
/// input shall give the same bytes.
const RUN_DEPENDENT: &[&str] =
    &["arguments", "learn_seconds", "peak_memory_bytes", "rows_per_second", "seconds", "state"];

/// What to pack.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// The training state.
    pub state: PathBuf,
    /// Paths and patterns of logs that golden requests are chosen from and that rounding is measured on; better ones that were
    /// not trained on.
    pub held_out: Vec<String>,
    /// How they are read.
    pub read: ReadOptions,
    /// Name of the serving logic.
    pub logic_id: String,
    /// Generation of the training run.
    pub generation: u64,
    /// Limits of the published probability.
    pub calibrator: Calibrator,
    /// How weights stand in the file.
    pub encoding: Encoding,
}

/// What happens while [`pack`] runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Some more features of the training state were read.
    Read {
        /// Features so far.
        feature_count: u64,
        /// Features in the state.
        of: u64,
    },
    /// Another shard of the table was built.
    Built {
        /// How weights stand in this table. To measure what an encoding costs, one of f32 is built before.
        encoding: Encoding,
        /// Shards so far.
        shard_count: usize,
        /// Shards of the table.
        of: usize,
    },
    /// Some more held-out rows were scored, by the weights as they were and as they are rounded.
    Scored(&'a LogReader),
    /// The file is whole in memory and about to be written, read back and verified.
    Writing,
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
    /// What rounding the weights cost; nothing where they are f32.
    pub rounded: Option<Rounded>,
    /// Number of golden requests.
    pub golden_count: usize,
    /// Fields that had no value in any row that was looked at, so that no golden request covers a value of theirs.
    pub uncovered_fields: Vec<String>,
}

/// What rounding the weights cost.
#[derive(Debug, Clone)]
pub struct Rounded {
    /// How far weights were moved.
    pub rounding: Rounding,
    /// Metrics of the held-out rows with the weights as they were, in f32.
    pub before: Metrics,
    /// Metrics of the same rows with the weights that the file has.
    pub after: Metrics,
}

impl Rounded {
    /// By which part the log loss of the held-out rows grew; below 0 where it fell.
    #[must_use]
    pub fn log_loss_change(&self) -> f64 {
        self.after.log_loss / self.before.log_loss - 1.0
    }
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
    /// The encoding cannot hold the weights.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The held-out rows cannot be scored.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
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

/// Packs the state that `options` names into a new weight file at `out`. `watch` is told how far it is.
///
/// Memory: 16 bytes for each weight that stays, the file, and where it is not of f32 meanwhile the table of one that is.
///
/// # Errors
///
/// [`PackError`]; there is no file at `out` then, or the one that was there before.
pub fn pack(
    contract: &Contract,
    options: &PackOptions,
    out: &Path,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<PackReport, PackError> {
    let place = Place::take(out)?;
    let provenance = provenance(&options.state)?;
    let (golden, uncovered_fields) = golden_requests(contract, options)?;
    let Weights { bias, entries, feature_count } = Weights::read(contract, &options.state, watch)?;
    let packing = Packing { contract, options, golden: &golden, bias };
    let made = packing.make(entries.into(), provenance, watch)?;
    watch(&Event::Writing);
    let model = place.write(made.bytes)?;
    let (field_sizes, golden_count) = (made.field_sizes, golden.len());
    Ok(PackReport { model, feature_count, field_sizes, rounded: made.rounded, golden_count, uncovered_fields })
}

/// The encoding that pruning chose for a state, if its provenance says so: what to pack it with unless told otherwise.
///
/// # Errors
///
/// [`PackError::Provenance`].
pub fn chosen_encoding(state: &Path) -> Result<Option<Encoding>, PackError> {
    let provenance = provenance(state)?;
    let name = provenance["training"]["pruned"]["encoding"].as_str();
    Ok(Encoding::ALL.into_iter().find(|encoding| Some(encoding.name()) == name))
}

/// What every file of one packing has.
struct Packing<'a> {
    contract: &'a Contract,
    options: &'a PackOptions,
    golden: &'a [RequestRows],
    bias: f64,
}

/// A file that was made in memory.
struct Made {
    bytes: Vec<u8>,
    field_sizes: Vec<(String, u64)>,
    rounded: Option<Rounded>,
}

impl Packing<'_> {
    fn make(
        &self,
        weights: EncodedWeights,
        mut provenance: Map<String, Value>,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Made, PackError> {
        let encoding = self.options.encoding;
        if encoding == Encoding::F32 {
            provenance.insert("encoding".to_owned(), json!({ "name": encoding.name() }));
            return self.to_bytes(&weights, provenance, watch);
        }
        let before = self.to_bytes(&weights, Map::new(), watch)?;
        let before = Model::from_bytes(before.bytes).map_err(WriteError::File)?;
        let group_count = self.contract.fields().len() + self.contract.crosses().len();
        let weights = EncodedWeights::encode(weights.into_entries(), encoding, group_count)?;
        let rounding = weights.rounding();
        let Made { bytes, field_sizes, .. } = self.to_bytes(&weights, Map::new(), watch)?;
        drop(weights);
        let after = Model::from_bytes(bytes).map_err(WriteError::File)?;
        let mut reader = self.held_out()?;
        let metrics = evaluate_each([&before, &after], &mut reader, &mut |reader| watch(&Event::Scored(reader)))?;
        let [before, after_metrics] = metrics;
        let rounded = Rounded { rounding, before, after: after_metrics };
        provenance.insert("encoding".to_owned(), rounded_json(encoding, &rounded));
        let Some(bytes) = after.into_bytes() else { unreachable!("the model is held here alone") };
        let bytes = writer::with_provenance(bytes, &self.options.logic_id, &provenance)?;
        Ok(Made { bytes, field_sizes, rounded: Some(rounded) })
    }

    fn to_bytes(
        &self,
        weights: &EncodedWeights,
        provenance: Map<String, Value>,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Made, PackError> {
        let field_sizes = weights::field_sizes(self.contract, weights.entries());
        let parts = Parts {
            contract: self.contract,
            generation: self.options.generation,
            logic_id: &self.options.logic_id,
            provenance,
            bias: self.bias,
            weights,
            calibrator: self.options.calibrator,
            field_sizes: field_sizes.clone(),
            golden: self.golden,
        };
        let encoding = weights.encoding();
        let mut built = |shard_count, of| watch(&Event::Built { encoding, shard_count, of });
        Ok(Made { bytes: writer::to_bytes_watched(&parts, &mut built)?, field_sizes, rounded: None })
    }

    fn held_out(&self) -> Result<LogReader, LogError> {
        LogReader::open(self.contract, &self.options.held_out, self.options.read.clone())
    }
}

/// Golden requests, and the fields of which they have no value.
fn golden_requests(contract: &Contract, options: &PackOptions) -> Result<(Vec<RequestRows>, Vec<String>), PackError> {
    let mut reader = LogReader::open(contract, &options.held_out, options.read.clone())?;
    let mut golden = GoldenRows::new(contract);
    while !golden.is_enough()
        && let Some(batch) = reader.next_batch()?
    {
        golden.look_at(&batch);
    }
    let requests = golden.requests();
    if requests.is_empty() {
        return Err(PackError::NoHeldOutRows);
    }
    Ok((requests, golden.uncovered_fields()))
}

fn rounded_json(encoding: Encoding, rounded: &Rounded) -> Value {
    json!({
        "name": encoding.name(),
        "largest_error": rounded.rounding.largest_error,
        "mean_error": rounded.rounding.mean_error,
        "rounded_to_zero": rounded.rounding.zero_count,
        "held_out_rows": rounded.after.impressions,
        "log_loss": rounded.after.log_loss,
        "log_loss_in_f32": rounded.before.log_loss,
        "log_loss_change": rounded.log_loss_change(),
    })
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
