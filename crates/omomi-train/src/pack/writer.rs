//! Builds and writes weight files: lays out the sections, computes the golden answers, and gives the file its name only
//! after the file is complete and verified, so that no reader ever sees a partial file.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::draft::{Draft, TooLarge, planned_len};
use super::table::{self, BuildOptions, EncodedWeights, Entry, TableFull};
use crate::bucket::NewFile;
use omomi::Instructions;
use omomi::contract::Contract;
use omomi::error::Error;
use omomi::printable::quoted;
use omomi::request::RequestRows;
use omomi::score::Model;
use omomi::weight_file::golden::{self, GoldenRequest};
use omomi::weight_file::layout::{self, SectionKind};
use omomi::weight_file::map::LoadMode;
use omomi::weight_file::table::{Encoding, Geometry};
use omomi::weight_file::{Calibrator, DefaultWeights, is_logic_id};

/// The parts of a weight file.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// Generation of the training run.
    pub generation: u64,
    /// Name of the serving logic. It goes into the provenance.
    pub logic_id: &'a str,
    /// Where the model comes from. If a value here changes from run to run, the bytes of the file change with it.
    pub provenance: Map<String, Value>,
    /// The weight that is always on, on the logit scale.
    pub bias: f64,
    /// The weights, in strictly ascending order of key.
    pub weights: &'a EncodedWeights,
    /// The map from the sigmoid to the published probability.
    pub calibrator: Calibrator,
    /// Number of weights of each field and cross, by name.
    pub field_sizes: Vec<(String, u64)>,
    /// The golden requests. The file stores the answers to them, and every reader must compute the same answers.
    pub golden: &'a [RequestRows],
}

/// Why a weight file could not be built or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A file with this name exists, reading or writing failed, or the verification failed.
    #[error(transparent)]
    File(#[from] Error),
    /// The keys do not fit into a table.
    #[error(transparent)]
    Table(#[from] TableFull),
    /// The parts cannot form a valid file.
    #[error("{0}")]
    Parts(String),
}

/// Builds the bytes of a weight file, golden answers included, and verifies them. The same parts give the same bytes.
///
/// Memory: little more than the file, in addition to the weights.
///
/// # Errors
///
/// Returns a [`WriteError`] if the parts cannot form a valid file or the keys do not fit into a table.
pub fn to_bytes(parts: &Parts<'_>) -> Result<Vec<u8>, WriteError> {
    Answered::new(parts, &mut |_, _| ())?.seal()
}

/// A complete weight file in memory, verified but for its golden answers, which are computed but not yet in it.
pub(crate) struct Answered {
    draft: Arc<Model>,
    golden: Vec<GoldenRequest>,
}

impl Answered {
    /// Builds the file. Calls `watch` with the number of shards of the table that are built, and the number of all
    /// shards.
    pub(crate) fn new(parts: &Parts<'_>, watch: &mut dyn FnMut(usize, usize)) -> Result<Self, WriteError> {
        if parts.logic_id.is_empty() {
            return Err(WriteError::Parts("the logic id is empty; name the serving logic".to_owned()));
        }
        if !is_logic_id(parts.logic_id) {
            let max = layout::MAX_LOGIC_ID_LEN;
            let found = quoted(parts.logic_id);
            let problem = format!("expected a logic id of at most {max} bytes of printable text, found `{found}`");
            return Err(WriteError::Parts(problem));
        }
        let max = layout::MAX_WEIGHT;
        let is_beyond = |weight: f64| weight.is_nan() || weight.abs() > f64::from(max);
        let mut entries = parts.weights.entries().iter();
        if let Some(&Entry { key, weight, .. }) = entries.find(|entry| is_beyond(entry.weight.into())) {
            let problem = format!(
                "the weight of key {key:#018x} is {weight}, expected one from -{max} to {max}: no logit can use more"
            );
            return Err(WriteError::Parts(problem));
        }
        let defaults = parts.weights.default_weights();
        let field_count = parts.contract.fields().len();
        if !defaults.is_empty() && defaults.len() != field_count {
            let problem =
                format!("expected default weights for {field_count} fields, found them for {}", defaults.len());
            return Err(WriteError::Parts(problem));
        }
        for (field, &DefaultWeights { unseen, missing }) in parts.contract.fields().iter().zip(defaults) {
            if is_beyond(unseen.into()) || is_beyond(missing.into()) {
                let problem = format!(
                    "the default weights of the field `{}` are {unseen} and {missing}, expected them from -{max} to \
                     {max}: no logit can use more",
                    field.name
                );
                return Err(WriteError::Parts(problem));
            }
        }
        if is_beyond(parts.bias) {
            let problem =
                format!("the bias is {}, expected one from -{max} to {max}: no logit can use more", parts.bias);
            return Err(WriteError::Parts(problem));
        }
        let Calibrator { min, max } = parts.calibrator;
        if !parts.calibrator.is_open() {
            let problem = format!(
                "the limits of the probability are {min:e} and {max}, expected the smaller first, above 0 and below 1 as f32"
            );
            return Err(WriteError::Parts(problem));
        }
        if parts.golden.is_empty() || parts.golden.iter().any(|rows| rows.candidates.is_empty()) {
            return Err(WriteError::Parts("expected at least one golden request, each with a candidate".to_owned()));
        }
        let blank = parts.golden.iter().map(|rows| GoldenRequest {
            rows: rows.clone(),
            logits: vec![0.0; rows.candidates.len()],
            probabilities: vec![0.0; rows.candidates.len()],
        });
        let mut golden: Vec<GoldenRequest> = blank.collect();
        let draft = Model::with_unchecked_answers(assemble(parts, &golden, watch)?.seal())?;
        answer(&draft, &mut golden)?;
        Ok(Self { draft, golden })
    }

    /// Returns the model, which scores as the finished file will.
    pub(crate) const fn model(&self) -> &Arc<Model> {
        &self.draft
    }

    /// Puts the answers into the file and returns its bytes.
    pub(crate) fn seal(self) -> Result<Vec<u8>, WriteError> {
        Ok(self.into_draft()?.seal())
    }

    /// Puts the answers and another provenance into the file and returns its bytes.
    pub(crate) fn seal_with(self, logic_id: &str, provenance: &Map<String, Value>) -> Result<Vec<u8>, WriteError> {
        let mut draft = self.into_draft()?;
        draft.replace(SectionKind::Provenance, provenance_section(logic_id, provenance).as_bytes())?;
        Ok(draft.seal())
    }

    fn into_draft(self) -> Result<Draft, WriteError> {
        let Some(bytes) = self.draft.into_bytes() else { unreachable!("the draft is held here alone") };
        let mut draft = Draft::of_file(bytes)?;
        draft.replace(SectionKind::Golden, golden::to_json(&self.golden).as_bytes())?;
        Ok(draft)
    }
}

/// Returns the size in bytes of a file with this many weights and with other sections of these lengths. The first size
/// is for the smallest table, which nearly always has room for all keys; the second is for the next larger table.
/// Returns `None` if the file would be too large for the format. Does not count exceptions, which are rarer than one in
/// a million.
pub(crate) fn planned_lens(encoding: Encoding, weight_count: u64, others: &[(SectionKind, u64)]) -> Option<[u64; 2]> {
    let mut geometries = table::geometries(encoding, weight_count);
    let mut len = || {
        let weights = geometries.next()?.weights_len_bytes() as u64;
        let mut lens = others.to_vec();
        lens.extend([(SectionKind::Weights, weights), (SectionKind::Exceptions, 0)]);
        lens.sort_by_key(|(kind, _)| *kind);
        planned_len(&lens)
    };
    Some([len()?, len()?])
}

/// Changes the generation of a weight file. Removes a signature, because it would no longer be valid.
pub(crate) fn with_generation(file: Vec<u8>, generation: u64) -> Result<Vec<u8>, WriteError> {
    Ok(Draft::of_file(file)?.with_generation(generation)?.seal())
}

/// Writes a new weight file to `path` and returns the verified model over it.
///
/// The bytes are written to a temporary sibling, synced, read back and verified with the golden requests. Then the file
/// is made read-only and renamed to `path`, and the folder is synced. Other processes see either no file with this name
/// or the complete file.
///
/// # Errors
///
/// Returns [`Error::AlreadyExists`] in [`WriteError::File`] if a file exists at `path`. It is never touched, because
/// servers may have it mapped. Returns another [`WriteError`] if the parts cannot form a valid file, or if writing or
/// verifying fails.
pub fn write(parts: &Parts<'_>, path: impl AsRef<Path>) -> Result<Arc<Model>, WriteError> {
    let path = path.as_ref();
    let pending = PendingFile::create(path)?;
    pending.write(to_bytes(parts)?)
}

/// A weight file that has neither its content nor its name yet. Create it before the work starts, so that a name that
/// is already taken is an early error.
pub(crate) struct PendingFile<'a> {
    file: NewFile,
    path: &'a Path,
}

impl<'a> PendingFile<'a> {
    /// Creates a temporary sibling of `path`. Fails if a file with the name `path` exists.
    pub(crate) fn create(path: &'a Path) -> Result<Self, WriteError> {
        let file = NewFile::create(path, false).map_err(failed(path))?;
        Ok(Self { file, path })
    }

    /// Writes `bytes`, reads them back, verifies them and gives the file its name.
    pub(crate) fn write(self, bytes: Vec<u8>) -> Result<Arc<Model>, WriteError> {
        let (file, path) = (self.file, self.path);
        file.file().write_all(&bytes).map_err(failed(path))?;
        // Otherwise the bytes would stay in memory beside the mapping.
        drop(bytes);
        file.sync().map_err(failed(path))?;
        let model = Model::load_as(path, file.sibling(), LoadMode::Map)?;
        file.make_read_only().map_err(failed(path))?;
        file.commit().map_err(failed(path))?;
        Ok(model)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    |error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.to_owned() },
        _ => Error::File { action: "write", path: path.to_owned(), source: error },
    }
}

pub(super) fn answer(model: &Arc<Model>, golden: &mut [GoldenRequest]) -> Result<(), WriteError> {
    for request in golden {
        let (scorer, mut block) = model.scorer_for(&request.rows, Instructions::PLAIN)?;
        block.fill(&request.rows)?;
        let count = request.rows.candidates.len();
        scorer.predict_plain(&mut block, count)?;
        request.logits = block.answers(count).map(|answer| answer.logit).collect();
        request.probabilities = block.answers(count).map(|answer| answer.probability).collect();
        if request.logits.iter().any(|logit| logit.is_nan()) {
            return Err(WriteError::Parts("a golden request has a malformed candidate".to_owned()));
        }
    }
    Ok(())
}

/// Lays out the sections and builds the table directly in its section.
fn assemble(
    parts: &Parts<'_>,
    golden: &[GoldenRequest],
    watch: &mut dyn FnMut(usize, usize),
) -> Result<Draft, WriteError> {
    let field_sizes: Map<String, Value> =
        parts.field_sizes.iter().map(|(name, count)| (name.clone(), Value::from(*count))).collect();
    let mut small = vec![
        (SectionKind::Contract, parts.contract.canonical_json().into_bytes()),
        (SectionKind::Provenance, provenance_section(parts.logic_id, &parts.provenance).into_bytes()),
        (SectionKind::Calibrator, calibrator_section(parts.calibrator)),
        (SectionKind::Golden, golden::to_json(golden).into_bytes()),
        (SectionKind::FieldSizes, Value::Object(field_sizes).to_string().into_bytes()),
    ];
    if !parts.weights.default_weights().is_empty() {
        small.push((SectionKind::DefaultWeights, default_weights_section(parts.weights.default_weights())));
    }
    let (encoding, weight_count) = (parts.weights.encoding(), parts.weights.entries().len() as u64);
    for geometry in table::geometries(encoding, weight_count) {
        let table = table_section(parts, geometry);
        let mut lens: Vec<_> = small.iter().map(|(kind, content)| (*kind, content.len())).collect();
        lens.push((SectionKind::Table, table.len()));
        lens.push((SectionKind::Weights, geometry.weights_len_bytes()));
        lens.push((SectionKind::Exceptions, 0));
        lens.sort_by_key(|(kind, _)| *kind);
        let mut draft = Draft::new(parts.generation, &lens)?;
        let lines = draft.section_mut(SectionKind::Weights);
        if let Some(exceptions) = table::fill(parts.weights, geometry, lines, &mut BuildOptions::new(watch)) {
            small.iter().try_for_each(|(kind, content)| draft.replace(*kind, content))?;
            draft.replace(SectionKind::Table, &table)?;
            draft.replace(SectionKind::Exceptions, &exceptions)?;
            return Ok(draft);
        }
    }
    Err(TableFull { key_count: parts.weights.entries().len() }.into())
}

pub(super) fn provenance_section(logic_id: &str, provenance: &Map<String, Value>) -> String {
    let mut provenance = provenance.clone();
    provenance.insert("logic_id".to_owned(), Value::from(logic_id));
    Value::Object(provenance).to_string()
}

fn table_section(parts: &Parts<'_>, geometry: Geometry) -> Vec<u8> {
    let mut bytes = vec![0; layout::TABLE_LEN];
    let weight_count = parts.weights.entries().len() as u64;
    put(&mut bytes, layout::TABLE_LAYOUT_OFFSET, &layout::LAYOUT_TWO_CHOICE_LINES.to_le_bytes());
    put(&mut bytes, layout::TABLE_ENCODING_OFFSET, &geometry.encoding.number().to_le_bytes());
    put(&mut bytes, layout::TABLE_WEIGHT_COUNT_OFFSET, &weight_count.to_le_bytes());
    put(&mut bytes, layout::TABLE_SHARD_COUNT_OFFSET, &geometry.shard_count.to_le_bytes());
    put(&mut bytes, layout::TABLE_SHARD_LINES_OFFSET, &geometry.shard_lines.to_le_bytes());
    put(&mut bytes, layout::TABLE_BIAS_OFFSET, &parts.bias.to_le_bytes());
    bytes.extend(table::scales_section(parts.weights));
    bytes
}

pub(super) fn default_weights_section(weights: &[DefaultWeights]) -> Vec<u8> {
    let mut bytes = vec![0; weights.len() * layout::DEFAULT_WEIGHTS_LEN];
    for (record, weights) in bytes.chunks_exact_mut(layout::DEFAULT_WEIGHTS_LEN).zip(weights) {
        put(record, layout::DEFAULT_UNSEEN_OFFSET, &weights.unseen.to_le_bytes());
        put(record, layout::DEFAULT_MISSING_OFFSET, &weights.missing.to_le_bytes());
    }
    bytes
}

fn calibrator_section(calibrator: Calibrator) -> Vec<u8> {
    let mut bytes = vec![0; layout::CALIBRATOR_LEN];
    put(&mut bytes, layout::CALIBRATOR_KIND_OFFSET, &layout::CALIBRATOR_NONE.to_le_bytes());
    put(&mut bytes, layout::CALIBRATOR_MIN_OFFSET, &calibrator.min.to_le_bytes());
    put(&mut bytes, layout::CALIBRATOR_MAX_OFFSET, &calibrator.max.to_le_bytes());
    bytes
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

impl From<TooLarge> for WriteError {
    fn from(_: TooLarge) -> Self {
        Self::Parts("the parts are too large for a weight file".to_owned())
    }
}
