//! Loads a generation: from its name to a verified model that can be bound to live scorers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::LiveOptions;
use super::reason::Reason;
use super::status::Stage;
use crate::error::Error;
use crate::request::Schema;
use crate::score::{Model, ModelIdentity, check_bind};
use crate::store::{Current, Digest, Digester, Named, Store};
use crate::weight_file::WeightFile;
use crate::weight_file::load_mode::{ChosenMode, LoadMode, Room};
use crate::weight_file::map::FileBytes;
use crate::weight_file::source::SourceFile;

/// Bytes to process between two calls of [`GoOn`].
const STEP_LEN: usize = 1 << 20;

/// Why a load ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The generation is refused.
    Refused(Error),
    /// This content was refused before.
    Known(Reason),
    /// A new order ended the load, or the process is about to end.
    Interrupted,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// A verified generation in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) model: Arc<Model>,
    pub(super) source: SourceFile,
    pub(super) digest: Digest,
    pub(super) load_mode: ChosenMode,
}

/// Called repeatedly during a load; an error ends the load.
pub(super) type GoOn<'a> = dyn FnMut() -> Result<(), Stop> + 'a;

/// The trace of a load, kept however it ends.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) stages: Vec<(Stage, Duration)>,
    pub(super) digest: Option<Digest>,
}

impl Trace {
    /// Runs a stage and records its duration.
    pub(super) fn stage<T>(&mut self, stage: Stage, body: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        let started = Instant::now();
        let outcome = body();
        self.stages.push((stage, started.elapsed()));
        outcome
    }
}

/// The inputs of a load.
pub(super) struct Loader<'a> {
    pub(super) store: &'a Store,
    pub(super) schema: &'a Schema,
    pub(super) options: &'a LiveOptions,
    /// Total size of the models in memory, in bytes.
    pub(super) held_bytes: u64,
    /// Checks a content before it is verified: refuses one that is in quarantine.
    pub(super) check_content: &'a dyn Fn(Current) -> Result<(), Reason>,
}

impl Loader<'_> {
    /// Opens the file of `wanted` and checks its type, permissions and length.
    pub(super) fn open(&self, wanted: Named, trace: &mut Trace) -> Result<SourceFile, Stop> {
        trace.stage(Stage::Open, || {
            let source = SourceFile::open(self.store.generation_path(wanted.generation))?;
            if !self.options.allow_writable_files {
                source.check_permissions()?;
            }
            let (expected, found) = (self.options.max_file_len_bytes, source.len_bytes());
            if found > expected {
                return Err(Error::FileTooLarge { expected, found }.into());
            }
            let budget = self.options.memory_budget_bytes;
            // A file that is mapped because it does not fit beside the others takes nothing from them.
            let held = if self.options.load_mode == LoadMode::Auto { 0 } else { self.held_bytes };
            let needed = needed_bytes(found);
            if held.saturating_add(needed) > budget {
                return Err(Error::MemoryBudget { expected: budget, held, needed }.into());
            }
            Ok(source)
        })
    }

    /// Reads, verifies and binds the file.
    pub(super) fn load(
        &self,
        wanted: Named,
        source: SourceFile,
        trace: &mut Trace,
        go_on: &mut GoOn<'_>,
    ) -> Result<Loaded, Stop> {
        let load_mode = self.choose_mode(source.len_bytes());
        let bytes = trace.stage(Stage::Read, || FileBytes::of(&source, load_mode.mode, go_on))?;
        let digest = trace.stage(Stage::Digest, || digest_of(bytes.as_ref(), go_on))?;
        trace.digest = Some(digest);
        if let Some(expected) = wanted.digest.filter(|expected| *expected != digest) {
            let path = source.path().to_owned();
            return Err(Error::DigestMismatch { path, expected, found: digest }.into());
        }
        let content = Current { generation: wanted.generation, digest };
        (self.check_content)(content).map_err(Stop::Known)?;
        let model = trace.stage(Stage::Verify, || {
            let file = WeightFile::open(bytes)?;
            let found = file.header().generation;
            if found != wanted.generation {
                return Err(Error::GenerationMismatch { expected: wanted.generation, found }.into());
            }
            // Before the signature is verified, nothing but header, signature and checksums is read.
            let (keys, policy) = (&self.options.trusted_keys, self.options.signature);
            let (model, _) = Model::signed(file, Some(source.path().to_owned()), keys, policy, go_on)?;
            Ok(model)
        })?;
        trace.stage(Stage::Golden, || {
            model.check_golden_asking(go_on)?;
            go_on()
        })?;
        trace.stage(Stage::Bind, || {
            check_contract(&model, &self.options.contract_fingerprints)?;
            Ok(check_bind(&model, self.schema)?)
        })?;
        Ok(Loaded { model, source, digest, load_mode })
    }

    fn choose_mode(&self, len_bytes: u64) -> ChosenMode {
        let LiveOptions { load_mode, memory_budget_bytes: budget, .. } = *self.options;
        // The number that means no limit is another one on the JVM.
        let budget_bytes = (budget < i64::MAX as u64).then_some(budget);
        let room = Room { held_bytes: self.held_bytes, budget_bytes, available_bytes: None }.measured(load_mode);
        load_mode.chosen_within(needed_bytes(len_bytes), &room)
    }
}

/// A fallback file, and what a log says about it.
pub(super) type Fallback = (Arc<Model>, Arc<ModelIdentity>);

/// Loads and verifies the fallback file of the options, by the same rules as the files of the store.
pub(super) fn fallback(options: &LiveOptions, schema: &Schema) -> Result<Option<Fallback>, Error> {
    let Some(path) = &options.fallback_file else { return Ok(None) };
    let source = SourceFile::open(path.clone())?;
    if !options.allow_writable_files {
        source.check_permissions()?;
    }
    let (expected, found) = (options.max_file_len_bytes, source.len_bytes());
    if found > expected {
        return Err(Error::FileTooLarge { expected, found });
    }
    let (budget, needed) = (options.memory_budget_bytes, needed_bytes(found));
    if needed > budget {
        return Err(Error::MemoryBudget { expected: budget, held: 0, needed });
    }
    drop(source);
    let (model, _) = Model::load_signed(path, options.load_mode, &options.trusted_keys, options.signature)?;
    check_bind(&model, schema)?;
    let digest = Digest::of(model.file().bytes());
    let identity = Arc::new(ModelIdentity::new(&model, digest.as_bytes()));
    Ok(Some((model, identity)))
}

/// Returns the memory that a file needs as a private copy. Checking it takes memory too, which ends with the check.
fn needed_bytes(file_len_bytes: u64) -> u64 {
    file_len_bytes.saturating_add(max_opening_len_bytes(file_len_bytes))
}

/// Returns the most memory that opening a file takes besides its bytes, in bytes: `tests/hostile` checks it.
fn max_opening_len_bytes(file_len_bytes: u64) -> u64 {
    const MAX: u64 = 16 << 20;
    const FREE: u64 = 1 << 20;
    file_len_bytes.saturating_mul(4).saturating_add(FREE).min(MAX)
}

/// Whether `source` still has the content of `digest`. Needs no memory for a copy.
pub(super) fn is_still(source: &SourceFile, digest: Digest, go_on: &mut GoOn<'_>) -> Result<bool, Stop> {
    Ok(digest_of_file(source, go_on)? == digest)
}

/// Returns the digest of the bytes that `source` has now. Needs no memory for a copy.
pub(super) fn digest_of_file(source: &SourceFile, go_on: &mut GoOn<'_>) -> Result<Digest, Stop> {
    let mut digester = Digester::new();
    source.read_in_steps(STEP_LEN, &mut |step| {
        digester.update(step);
        go_on()
    })?;
    Ok(digester.finish())
}

/// Copies the bytes of `source` into private memory, if they still have the digest `digest`.
pub(super) fn private_copy(source: &SourceFile, digest: Digest, go_on: &mut GoOn<'_>) -> Result<Arc<Model>, Stop> {
    let bytes = FileBytes::of(source, LoadMode::Copy, go_on)?;
    let found = digest_of(bytes.as_ref(), go_on)?;
    if found != digest {
        return Err(Error::DigestMismatch { path: source.path().to_owned(), expected: digest, found }.into());
    }
    // These bytes passed their golden requests before, so the requests are not recomputed.
    Model::with_unchecked_answers_of(WeightFile::open(bytes)?, Some(source.path().to_owned()), go_on)
}

fn digest_of(bytes: &[u8], go_on: &mut GoOn<'_>) -> Result<Digest, Stop> {
    let mut digester = Digester::new();
    for step in bytes.chunks(STEP_LEN) {
        go_on()?;
        digester.update(step);
    }
    Ok(digester.finish())
}

fn check_contract(model: &Model, expected: &[u64]) -> Result<(), Error> {
    let found = model.contract().fingerprint();
    if expected.is_empty() || expected.contains(&found) {
        return Ok(());
    }
    let expected = expected.iter().map(|fingerprint| format!("{fingerprint:016x}")).collect::<Vec<_>>().join(" or ");
    Err(Error::ContractNotExpected { expected, found })
}
