//! Packs a training state into a weight file.
//!
//! [`pack`] drops weights that are 0 after the l1 threshold (a server treats them like unseen categories), rounds the
//! others to an encoding, measures on held-out rows what the rounding costs, and chooses golden requests from those
//! rows. The file gets its name only after it is complete and verified. If packing fails, there is no new file, and a
//! file that already has the name is not touched.

pub(crate) mod amend;
mod draft;
mod fixture;
mod golden_rows;
pub mod signing;
pub mod table;
mod weights;
pub mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::evaluate::{EvaluateError, Metrics, evaluate_each};
use crate::learn::state::{Difference, Metadata, StateError, StateReader, other_reading};
use crate::learn::{read_provenance, utc};
use crate::lineage::{LearnedLog, LearningStep, extend_lineage, learned_logs};
use crate::log::{HoldOut, LogError, LogReader, ReadOptions, is_in_the_future};
use omomi::contract::Contract;
use omomi::request::RequestRows;
use omomi::score::Model;
use omomi::weight_file::Calibrator;
use omomi::weight_file::table::Encoding;
use table::{EncodeError, EncodedWeights, Rounding};
use writer::{Answered, Parts, PendingFile, WriteError};

pub use fixture::{FixtureError, write_fixture};
pub(crate) use golden_rows::{GoldenRows, has_made_up_category};
pub use weights::FilePlan;
use weights::Weights;
pub(crate) use weights::group_names;

/// Default limits of the published probability: one in a million from 0 and from 1.
pub const DEFAULT_CALIBRATOR: Calibrator = Calibrator { min: 1e-6, max: 1.0 - 1e-6 };

/// What to pack, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PackOptions {
    /// Path of the training state.
    pub state: PathBuf,
    /// Paths and patterns of logs. Golden requests are chosen from them, and the cost of rounding is measured on them.
    /// Logs that were not used in training are best. If there are none, golden requests are made of the categories of
    /// the state, and the encoding must be f32.
    pub held_out: Vec<String>,
    /// How the held-out logs are read.
    pub read: ReadOptions,
    /// Name of the serving logic.
    pub logic_id: String,
    /// Generation of the training run.
    pub generation: u64,
    /// Limits of the published probability.
    pub calibrator: Calibrator,
    /// Encoding of the weights in the file.
    pub encoding: Encoding,
}

impl PackOptions {
    /// Returns options with the [default limits](DEFAULT_CALIBRATOR) of the probability and the default encoding. See
    /// [`chosen_encoding`] for the one that pruning chose.
    #[must_use]
    pub fn new(
        state: impl Into<PathBuf>,
        held_out: impl IntoIterator<Item = impl Into<String>>,
        logic_id: impl Into<String>,
        generation: u64,
    ) -> Self {
        Self {
            state: state.into(),
            held_out: held_out.into_iter().map(Into::into).collect(),
            read: ReadOptions::default(),
            logic_id: logic_id.into(),
            generation,
            calibrator: DEFAULT_CALIBRATOR,
            encoding: Encoding::default(),
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// What happens while [`pack`] runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// More features of the training state were read.
    Read {
        /// How many features were read so far.
        feature_count: u64,
        /// How many features the state has.
        of: u64,
    },
    /// A shard of the table was built.
    Built {
        /// Encoding of the weights in this table. For an encoding other than f32, a table in f32 is built first, to
        /// measure what rounding costs.
        encoding: Encoding,
        /// How many shards were built so far.
        shard_count: usize,
        /// How many shards the table has.
        of: usize,
    },
    /// The golden requests were chosen from the held-out rows, of which often not all were read.
    Chosen(&'a LogReader),
    /// More held-out rows were scored, with the original weights and with the rounded ones.
    Scored(&'a LogReader),
    /// The file is complete in memory. It is about to be written, read back and verified.
    Writing,
}

/// The result of [`pack`].
#[derive(Debug)]
pub struct PackReport {
    /// The verified model over the new file.
    pub model: Arc<Model>,
    /// Number of features in the training state.
    pub feature_count: u64,
    /// Number of weights of each field and cross, in contract order. Fields and crosses without weights are left out.
    pub field_sizes: Vec<(String, u64)>,
    /// What rounding the weights cost. `None` if they are f32 and were not rounded.
    pub rounded: Option<Rounded>,
    /// Number of golden requests.
    pub golden_count: usize,
    /// Fields that have a value in no golden request, because they had no value in any row that was read.
    pub uncovered_fields: Vec<String>,
    /// What is odd: the contract says how logs are read otherwise than in the training.
    pub warnings: Vec<String>,
}

/// What rounding the weights cost.
#[derive(Debug, Clone)]
pub struct Rounded {
    /// How much rounding changed the weights.
    pub rounding: Rounding,
    /// Metrics of the held-out rows with the original weights, in f32.
    pub before: Metrics,
    /// Metrics of the held-out rows with the rounded weights of the file.
    pub after: Metrics,
}

impl Rounded {
    /// Returns the relative growth of the log loss of the held-out rows: 0.01 if it grew by 1 %, below 0 if it fell.
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
    /// The weight file cannot be built or written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The encoding cannot represent the weights.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The held-out rows cannot be scored.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The state was trained with another contract.
    #[error(
        "the training state was made with another contract: its {difference}; pack the state with the contract that it \
         was trained with, or train again"
    )]
    OtherContract {
        /// The first difference of the state's contract from the one that was passed.
        difference: Difference,
    },
    /// The state names a field that the contract does not have.
    #[error("the training state has the feature {key:#018x} of the field `{field}`, which its contract does not have")]
    UnknownField {
        /// Name of the field.
        field: String,
        /// The feature key.
        key: u64,
    },
    /// The training data ends in the future, so its age would be hidden.
    #[error(
        "the training data ends in the future, at {end}: expected at most a day from now; correct the times of the \
         logs and train again (ml), or correct the clock of this machine (infra)"
    )]
    TrainingEndInFuture {
        /// The time of the last row.
        end: String,
    },
    /// Without held-out logs, it is not known what rounding costs.
    #[error(
        "packing with the encoding {} measures what rounding costs on held-out rows, and found none: name logs to hold \
         out, or pack with the encoding f32",
        encoding.name()
    )]
    RoundingUnmeasured {
        /// The encoding.
        encoding: Encoding,
    },
    /// The held-out logs have no rows.
    #[error("the held-out logs have no rows to choose golden requests from")]
    NoHeldOutRows,
}

/// Packs the training state that `options` names into a new weight file at `out`. Calls `watch` with each event.
///
/// Memory: 16 bytes for each weight that is not 0, plus the file. For an encoding other than f32, a second table in f32
/// is also in memory for a while.
///
/// # Errors
///
/// Returns a [`PackError`] if an input cannot be read or does not fit the contract, or if the file cannot be built,
/// verified or written. No file is created, and an existing file at `out` is not touched.
pub fn pack(
    contract: &Contract,
    options: &PackOptions,
    out: impl AsRef<Path>,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<PackReport, PackError> {
    let out = out.as_ref();
    let pending = PendingFile::create(out)?;
    let mut provenance = provenance(&options.state)?;
    let training = &mut provenance["training"];
    // The state itself is right, even if its provenance comes from another engine.
    let metadata = StateReader::open(&options.state)?.metadata().clone();
    let has_held_out = !options.held_out.is_empty();
    if has_held_out {
        options.read.check_importance(metadata.importance_column.as_deref())?;
    } else if options.encoding != Encoding::F32 {
        return Err(PackError::RoundingUnmeasured { encoding: options.encoding });
    }
    training["importance_column"] = json!(metadata.importance_column);
    training["log_dialect"] = json!(metadata.log_dialect);
    let options = &PackOptions { read: options.read.with_trained(metadata.log_dialect), ..options.clone() };
    let warnings = other_reading(&metadata.contract, contract).into_iter().collect();
    if let Some(end_us) = training["training_window"]["last_us"].as_i64()
        && is_in_the_future(end_us)
    {
        return Err(PackError::TrainingEndInFuture { end: utc(end_us).unwrap_or_else(|| end_us.to_string()) });
    }
    if let Some(reading) = contract.reading_json()
        && let Ok(reading) = serde_json::from_str(&reading)
    {
        training["reading"] = reading;
    }
    let (golden, uncovered_fields) =
        if has_held_out { golden_requests(contract, options, watch)? } else { golden_of_state(contract, options)? };
    let mut lineage: Vec<LearnedLog> = serde_json::from_value(training["lineage"].take()).unwrap_or_default();
    if has_held_out {
        let held_out = LogReader::open(contract, &options.held_out, options.read.clone())?;
        let rule = held_out.hold_out().map(HoldOut::used_rows);
        extend_lineage(&mut lineage, learned_logs(LearningStep::Pack, held_out.files(), None, rule.as_deref()));
    }
    training["lineage"] = json!(lineage);
    let Weights { bias, default_weights, entries, feature_count } = Weights::read(contract, &options.state, watch)?;
    let packing = Packing { contract, options, golden: &golden, bias };
    let weights = EncodedWeights::from(entries).with_default_weights(default_weights);
    let made = packing.make(weights, provenance, watch)?;
    watch(&Event::Writing);
    let model = pending.write(made.bytes)?;
    let (field_sizes, golden_count) = (made.field_sizes, golden.len());
    Ok(PackReport {
        model,
        feature_count,
        field_sizes,
        rounded: made.rounded,
        golden_count,
        uncovered_fields,
        warnings,
    })
}

/// Returns the encoding that pruning chose for a state, which is the default for packing it. Returns `None` if the
/// state was not pruned.
///
/// # Errors
///
/// Returns [`PackError::State`] if the state cannot be read.
pub fn chosen_encoding(state: impl AsRef<Path>) -> Result<Option<Encoding>, PackError> {
    let state = state.as_ref();
    let provenance = provenance(state)?;
    let name = provenance["training"]["pruned"]["encoding"].as_str();
    Ok(Encoding::ALL.into_iter().find(|encoding| Some(encoding.name()) == name))
}

/// The parts that all files have that one call of [`pack`] builds.
struct Packing<'a> {
    contract: &'a Contract,
    options: &'a PackOptions,
    golden: &'a [RequestRows],
    bias: f64,
}

/// A weight file that was built in memory.
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
            let (answered, field_sizes) = self.answered(&weights, provenance, watch)?;
            return Ok(Made { bytes: answered.seal()?, field_sizes, rounded: None });
        }
        let (before, _) = self.answered(&weights, Map::new(), watch)?;
        let group_count = self.contract.fields().len() + self.contract.crosses().len();
        let default_weights = weights.default_weights().to_vec();
        let weights = EncodedWeights::encode_with(default_weights, weights.into_entries(), encoding, group_count)?;
        let rounding = weights.rounding();
        let (after, field_sizes) = self.answered(&weights, Map::new(), watch)?;
        drop(weights);
        let mut reader = self.held_out()?;
        let models = [before.model(), after.model()];
        let [metrics_before, metrics_after] =
            evaluate_each(models, &mut reader, &mut |reader| watch(&Event::Scored(reader)))?;
        drop(before);
        let rounded = Rounded { rounding, before: metrics_before, after: metrics_after };
        provenance.insert("encoding".to_owned(), rounded_json(encoding, &rounded));
        let bytes = after.seal_with(&self.options.logic_id, &provenance)?;
        Ok(Made { bytes, field_sizes, rounded: Some(rounded) })
    }

    /// Builds a file in memory, and counts its weights by field and cross.
    fn answered(
        &self,
        weights: &EncodedWeights,
        provenance: Map<String, Value>,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> Result<(Answered, Vec<(String, u64)>), PackError> {
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
        Ok((Answered::new(&parts, &mut built)?, field_sizes))
    }

    fn held_out(&self) -> Result<LogReader, LogError> {
        LogReader::open(self.contract, &self.options.held_out, self.options.read.clone())
    }
}

/// Chooses golden requests. Also returns the fields that have a value in none of them.
fn golden_requests(
    contract: &Contract,
    options: &PackOptions,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<(Vec<RequestRows>, Vec<String>), PackError> {
    let mut reader = LogReader::open(contract, &options.held_out, options.read.clone())?;
    reader.check_repeatable()?;
    let mut golden = GoldenRows::new(contract);
    while !golden.is_enough()
        && let Some(batch) = reader.next_batch()?
    {
        golden.look_at(&batch);
    }
    watch(&Event::Chosen(&reader));
    let requests = golden.requests();
    if requests.is_empty() {
        return Err(PackError::NoHeldOutRows);
    }
    Ok((requests, golden.uncovered_fields()))
}

/// Makes golden requests of categories of the state. Also returns the fields that have none.
fn golden_of_state(contract: &Contract, options: &PackOptions) -> Result<(Vec<RequestRows>, Vec<String>), PackError> {
    check_contract(contract, StateReader::open(&options.state)?.metadata())?;
    let golden = GoldenRows::of_state(contract, &options.state)?;
    Ok((golden.requests(), golden.uncovered_fields()))
}

/// Checks that a state has the contract.
fn check_contract(contract: &Contract, metadata: &Metadata) -> Result<(), PackError> {
    if contract.fingerprint() == metadata.contract.fingerprint() {
        return Ok(());
    }
    Err(PackError::OtherContract { difference: Difference::of_contracts(contract, &metadata.contract) })
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

/// Returns the provenance for the weight file: that of the training state. It is the same whenever the same rows are
/// learned, and the same input must give the same bytes.
fn provenance(state: &Path) -> Result<Map<String, Value>, PackError> {
    let training = read_provenance(state)?;
    let mut provenance = Map::new();
    provenance.insert("tool_version".to_owned(), Value::from(env!("CARGO_PKG_VERSION")));
    provenance.insert("training".to_owned(), Value::Object(training));
    Ok(provenance)
}
