//! A model: a weight file of which every byte was verified, and which gave its golden answers.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::{Request, Scorer};
use crate::contract::Contract;
use crate::error::Error;
use crate::instructions::Instructions;
use crate::request::{Capacity, RequestLayout, Schema};
use crate::request::{MAX_TAIL_LEN_BYTES, RequestRows, row_tail_len_bytes};
use crate::weight_file::golden::{self, GoldenBatch, GoldenRequest, LookupBudget};
use crate::weight_file::layout::{MAX_GOLDEN_ROW_LEN, SectionKind};
use crate::weight_file::map::{FileBytes, LoadMode};
use crate::weight_file::signature::{SignaturePolicy, SignatureState, TrustedKeys, verify_signature_asking};
use crate::weight_file::table::Table;
use crate::weight_file::{Calibrator, Content, DefaultWeights, Header, WeightFile};

/// Candidates of golden requests that are computed together.
const GOLDEN_BATCH_CANDIDATES: usize = 64;

/// A verified model, ready to score. Immutable and shared: clone the `Arc`.
#[derive(Debug)]
pub struct Model {
    file: WeightFile<FileBytes>,
    content: Content,
    table_ranges: [Range<usize>; 3],
    path: Option<PathBuf>,
}

/// What the golden requests of a file cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoldenReport {
    /// Number of requests.
    pub request_count: usize,
    /// Number of candidates in all requests together.
    pub candidate_count: usize,
}

impl Model {
    /// Brings the weight file at `path` into memory, verifies every byte, and recomputes its golden requests with the
    /// kernel and with its plain twin. Nothing can be scored before all of this has succeeded.
    ///
    /// # Errors
    ///
    /// Each kind of damage has its own variant of [`Error`], with its owner.
    pub fn load(path: impl AsRef<Path>, mode: LoadMode) -> Result<Arc<Self>, Error> {
        let path = path.as_ref();
        Self::verified(FileBytes::load(path, mode)?, Some(path.to_owned()))
    }

    /// Loads a file like [`Model::load`], and checks its signature against `keys` before anything but its header, its
    /// signature and its checksums is read. Returns the model and what was found.
    ///
    /// # Errors
    ///
    /// Fails like [`Model::load`] and [`verify_signature`](crate::weight_file::signature::verify_signature).
    pub fn load_signed(
        path: impl AsRef<Path>,
        mode: LoadMode,
        keys: &TrustedKeys,
        policy: SignaturePolicy,
    ) -> Result<(Arc<Self>, SignatureState), Error> {
        let path = path.as_ref();
        let file = WeightFile::open(FileBytes::load(path, mode)?)?;
        let go_on = &mut || Ok::<(), Error>(());
        let (model, state) = Self::signed(file, Some(path.to_owned()), keys, policy, go_on)?;
        model.check_golden()?;
        Ok((model, state))
    }

    /// Creates a model like [`Model::with_unchecked_answers_of`], and checks the signature first.
    pub(crate) fn signed<E: From<Error>>(
        file: WeightFile<FileBytes>,
        path: Option<PathBuf>,
        keys: &TrustedKeys,
        policy: SignaturePolicy,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(Arc<Self>, SignatureState), E> {
        // Checksums find damage, whose remedy is another copy; only an intact file can blame its signature.
        file.verify_bytes(go_on)?;
        let state = verify_signature_asking(&file, keys, policy, go_on)?;
        let content = file.decode_verified(go_on)?;
        let table_ranges = file.table_ranges();
        Ok((Arc::new(Self { file, content, table_ranges, path }), state))
    }

    /// Loads the file at `sibling`, which is about to be renamed to `path`.
    ///
    /// # Errors
    ///
    /// Fails like [`Model::load`].
    #[doc(hidden)]
    pub fn load_as(path: &Path, sibling: &Path, mode: LoadMode) -> Result<Arc<Self>, Error> {
        Self::verified(FileBytes::load(sibling, mode)?, Some(path.to_owned()))
    }

    /// Creates a model from the bytes of a weight file, verifies every byte, and recomputes the golden requests.
    ///
    /// # Errors
    ///
    /// Each kind of damage has its own variant of [`Error`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Arc<Self>, Error> {
        Self::verified(FileBytes::from(bytes), None)
    }

    /// Creates a model from a draft whose golden answers are not yet computed. The writer computes them with it.
    #[doc(hidden)]
    pub fn with_unchecked_answers(bytes: Vec<u8>) -> Result<Arc<Self>, Error> {
        Self::with_unchecked_answers_of(WeightFile::open(FileBytes::from(bytes))?, None, &mut || Ok(()))
    }

    /// Creates a model and verifies its bytes, but not its golden answers: [`Model::check_golden`] must follow. Calls
    /// `go_on` once per megabyte and stops with the error that it returns.
    pub(crate) fn with_unchecked_answers_of<E: From<Error>>(
        file: WeightFile<FileBytes>,
        path: Option<PathBuf>,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Arc<Self>, E> {
        let content = file.verify_asking(go_on)?;
        let table_ranges = file.table_ranges();
        Ok(Arc::new(Self { file, content, table_ranges, path }))
    }

    /// Returns the bytes of a model that was created from bytes and that nothing else holds. The writer changes them.
    #[doc(hidden)]
    #[must_use]
    pub fn into_bytes(self: Arc<Self>) -> Option<Vec<u8>> {
        Arc::into_inner(self)?.file.into_inner().into_vec()
    }

    /// Releases the memory a little at a time if nothing else holds the model. Otherwise returns the model.
    pub(crate) fn give_back_slowly(self: Arc<Self>) -> Option<Arc<Self>> {
        match Arc::try_unwrap(self) {
            Ok(model) => {
                model.file.into_inner().give_back_slowly();
                None
            }
            Err(held) => Some(held),
        }
    }

    fn verified(bytes: FileBytes, path: Option<PathBuf>) -> Result<Arc<Self>, Error> {
        let model = Self::with_unchecked_answers_of::<Error>(WeightFile::open(bytes)?, path, &mut || Ok(()))?;
        model.check_golden()?;
        Ok(model)
    }

    /// Scores the golden requests with the kernel and with its plain twin, and compares the answers bit for bit.
    ///
    /// # Errors
    ///
    /// Returns [`Error::GoldenMismatch`] for the first answer that differs, and [`Error::Malformed`] if the requests
    /// cannot be read.
    pub fn check_golden(self: &Arc<Self>) -> Result<GoldenReport, Error> {
        self.check_golden_asking(&mut || Ok(()))
    }

    /// Checks the golden requests like [`Model::check_golden`], a few candidates at a time, so that their memory does
    /// not depend on the file. Calls `go_on` before each step, and stops with the error that it returns.
    pub(crate) fn check_golden_asking<E: From<Error>>(
        self: &Arc<Self>,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<GoldenReport, E> {
        let section = self.file.section(SectionKind::Golden);
        // Each value of a list takes 8 bytes of the tail, and at least 2 of the text. A batch has a context, and
        // rows of candidates up to this length and one more.
        let of_section = section.len().saturating_mul(4).saturating_add(64);
        let tail_len_bytes = of_section.min(3 * MAX_GOLDEN_ROW_LEN).min(MAX_TAIL_LEN_BYTES);
        let capacity = Capacity { candidates: GOLDEN_BATCH_CANDIDATES, tail_len_bytes };
        let (scorer, mut request) = self.scorer_of(capacity, Instructions::detect())?;
        let mut report = GoldenReport { request_count: 0, candidate_count: 0 };
        let mut budget = LookupBudget::of_file(self.file.bytes().len() as u64);
        golden::each_batch(
            self.contract(),
            section,
            &mut budget,
            GOLDEN_BATCH_CANDIDATES,
            &mut |batch: GoldenBatch| {
                go_on()?;
                let rows = &batch.golden.rows;
                // Rows that no request can hold are a fault of the file. Report them as such, because the error itself
                // would name another owner.
                let unfit =
                    |error: Error| Error::Malformed { problem: format!("golden request {}: {error}", batch.request) };
                request.fill(rows).map_err(unfit)?;
                let candidate_count = rows.candidates.len();
                scorer.predict(&mut request, candidate_count)?;
                compare(&batch, &request)?;
                scorer.predict_plain(&mut request, candidate_count)?;
                compare(&batch, &request)?;
                report.request_count = batch.request + 1;
                report.candidate_count += candidate_count;
                Ok::<(), E>(())
            },
        )?;
        Ok(report)
    }

    /// Creates a scorer and a request that is just large enough for `rows`, with the schema of the model's own
    /// contract. For tools: a server declares its fields itself and keeps its scorer.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if a request cannot hold that many rows or that much text.
    pub fn scorer_for(
        self: &Arc<Self>,
        rows: &RequestRows,
        instructions: Instructions,
    ) -> Result<(Scorer, Request), Error> {
        let tail_len_bytes =
            row_tail_len_bytes(&rows.context) + rows.candidates.iter().map(row_tail_len_bytes).sum::<usize>();
        self.scorer_of(Capacity { candidates: rows.candidates.len().max(1), tail_len_bytes }, instructions)
    }

    fn scorer_of(self: &Arc<Self>, capacity: Capacity, instructions: Instructions) -> Result<(Scorer, Request), Error> {
        let layout = RequestLayout::new(&Schema::of_contract(self.contract()), capacity)?;
        let scorer = Scorer::new(Arc::clone(self), &layout)?.using(instructions);
        let request = Request::try_new(scorer.layout())?;
        Ok((scorer, request))
    }

    /// Reads the golden requests of the file.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] if they cannot be read.
    pub fn golden_requests(&self) -> Result<Vec<GoldenRequest>, Error> {
        golden::from_json(self.contract(), self.file.section(SectionKind::Golden))
    }

    /// Returns the table of weights.
    #[inline(always)]
    #[must_use]
    pub fn table(&self) -> Table<'_> {
        let [weights, exceptions, scales] =
            self.table_ranges.each_ref().map(|range| self.file.bytes().get(range.clone()).unwrap_or(&[]));
        // `verify` created the same table from the same bytes.
        Table::with_shape(weights, exceptions, scales, self.content.table_shape).unwrap_or_else(|| unreachable!())
    }

    /// Returns the contract.
    #[must_use]
    pub const fn contract(&self) -> &Contract {
        &self.content.contract
    }

    /// Returns the logic id: the name of the serving logic.
    #[must_use]
    pub fn logic_id(&self) -> &str {
        &self.content.logic_id
    }

    /// Returns the generation in the header of the file.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.file.header().generation
    }

    /// Returns the end of the training data, in seconds since 1970, if the provenance names it.
    #[must_use]
    pub fn training_end_unix_seconds(&self) -> Option<i64> {
        Some(self.content.training_end_us?.div_euclid(1_000_000))
    }

    /// Locks the bytes of the file at `path` in memory.
    pub(crate) fn lock_in_memory(&self, path: &Path) -> Result<(), Error> {
        self.file.source().lock(path)
    }

    /// Returns how many bytes of the file are in memory now, or nothing if the system cannot tell.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        self.file.source().resident_bytes()
    }

    /// Returns the number of weights, the bias excluded.
    #[must_use]
    pub const fn weight_count(&self) -> u64 {
        self.content.weight_count
    }

    /// Returns the number of exceptions: weights for which the lines of the table would give a wrong answer.
    #[must_use]
    pub const fn exception_count(&self) -> u64 {
        self.content.exception_count
    }

    /// Returns the bias, on the logit scale.
    #[inline]
    #[must_use]
    pub const fn bias(&self) -> f64 {
        self.content.bias
    }

    /// Returns the map from sigmoid to published probability.
    #[inline]
    #[must_use]
    pub const fn calibrator(&self) -> Calibrator {
        self.content.calibrator
    }

    /// Returns what the fields add without a weight of their own, in contract order; nothing if the file does not say,
    /// and they add 0.
    #[inline]
    #[must_use]
    pub fn default_weights(&self) -> &[DefaultWeights] {
        &self.content.default_weights
    }

    /// Returns how the model was trained and packed: reads the provenance of the file, which the model does not keep.
    #[must_use]
    pub fn provenance(&self) -> Value {
        // The file was verified, so its provenance can be read.
        self.file.provenance().unwrap_or(Value::Null)
    }

    /// Returns the header of the file.
    #[must_use]
    pub const fn header(&self) -> &Header {
        self.file.header()
    }

    /// Returns the weight file of the model.
    #[must_use]
    pub const fn file(&self) -> &WeightFile<FileBytes> {
        &self.file
    }

    /// Returns the path from which the file was loaded, if it was.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

fn compare(batch: &GoldenBatch, request: &Request) -> Result<(), Error> {
    let golden = &batch.golden;
    for (index, (logit, probability)) in golden.logits.iter().zip(&golden.probabilities).enumerate() {
        let answer = request.answer(index);
        let (request, candidate) = (batch.request, batch.first_candidate + index);
        if answer.logit.to_bits() != logit.to_bits() {
            let (expected, found) = (*logit, answer.logit);
            return Err(Error::GoldenMismatch { request, candidate, what: "logit", expected, found });
        }
        if answer.probability.to_bits() != probability.to_bits() {
            let (expected, found) = (f64::from(*probability), f64::from(answer.probability));
            return Err(Error::GoldenMismatch { request, candidate, what: "probability", expected, found });
        }
    }
    Ok(())
}
