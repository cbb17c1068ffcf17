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
use crate::request::{FieldValue, RequestRows, Row};
use crate::weight_file::golden::{self, GoldenRequest};
use crate::weight_file::layout::SectionKind;
use crate::weight_file::map::{FileBytes, LoadMode};
use crate::weight_file::table::Table;
use crate::weight_file::{Calibrator, Content, Header, WeightFile};

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
    pub fn load(path: &Path, mode: LoadMode) -> Result<Arc<Self>, Error> {
        Self::verified(FileBytes::load(path, mode)?, Some(path.to_owned()))
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
        let requests = self.golden_requests()?;
        let mut report = GoldenReport { request_count: requests.len(), candidate_count: 0 };
        for (index, golden) in requests.iter().enumerate() {
            report.candidate_count += self.check_one_golden(index, golden)?;
        }
        Ok(report)
    }

    /// Like [`Model::check_golden`], and calls `go_on` before each request.
    pub(crate) fn check_golden_asking<E: From<Error>>(
        self: &Arc<Self>,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        for (index, golden) in self.golden_requests()?.iter().enumerate() {
            go_on()?;
            self.check_one_golden(index, golden)?;
        }
        go_on()
    }

    fn check_one_golden(self: &Arc<Self>, index: usize, golden: &GoldenRequest) -> Result<usize, Error> {
        // Rows that no request can hold are a fault of the file. Report them as such, because the error itself
        // would name another owner.
        let unfit = |error: Error| Error::Malformed { problem: format!("golden request {index}: {error}") };
        let (scorer, mut request) = self.scorer_for(&golden.rows, Instructions::detect()).map_err(unfit)?;
        request.fill(&golden.rows).map_err(unfit)?;
        let candidate_count = golden.rows.candidates.len();
        scorer.predict(&mut request, candidate_count)?;
        compare(index, golden, &request)?;
        scorer.predict_plain(&mut request, candidate_count)?;
        compare(index, golden, &request)?;
        Ok(candidate_count)
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
        let tail_len = |row: &Row| row.values().map(tail_len_bytes).sum::<usize>();
        let tail_len_bytes = tail_len(&rows.context) + rows.candidates.iter().map(tail_len).sum::<usize>();
        let capacity = Capacity { candidates: rows.candidates.len().max(1), tail_len_bytes };
        let layout = RequestLayout::new(&Schema::of_contract(self.contract()), capacity)?;
        let scorer = Scorer::new(Arc::clone(self), &layout)?.using(instructions);
        let request = scorer.new_request();
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
        let last_us = self.content.provenance.pointer("/training/training_window/last_us")?.as_i64()?;
        Some(last_us.div_euclid(1_000_000))
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

    /// Returns how the model was trained and packed.
    #[must_use]
    pub const fn provenance(&self) -> &Value {
        &self.content.provenance
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

/// Returns the bytes that a value takes in a request's tail, at most.
pub fn tail_len_bytes(value: &FieldValue) -> usize {
    match value {
        FieldValue::Id(_) | FieldValue::Number(_) => 0,
        FieldValue::Text(text) => text.len(),
        FieldValue::Ids(ids) => ids.len() * 8 + 8,
        FieldValue::Texts(texts) => texts.iter().map(|text| text.len() + 8).sum::<usize>() + 8,
    }
}

fn compare(request_index: usize, golden: &GoldenRequest, request: &Request) -> Result<(), Error> {
    for (index, (logit, probability)) in golden.logits.iter().zip(&golden.probabilities).enumerate() {
        let answer = request.answer(index);
        if answer.logit.to_bits() != logit.to_bits() || answer.probability.to_bits() != probability.to_bits() {
            return Err(Error::GoldenMismatch {
                request: request_index,
                candidate: index,
                expected: *logit,
                found: answer.logit,
            });
        }
    }
    Ok(())
}
