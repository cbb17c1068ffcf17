//! The requests of a run: rows kept by slot, and which of them make up which request.

use std::collections::HashSet;
use std::sync::Arc;

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::draw::below;
use super::error::LatencyError;
use super::{invented, log_rows};
use crate::contract::{Contract, FieldKind, Side};
use crate::error::Error;
use crate::feature::{feature_key, id_value, text_value};
use crate::instructions::Instructions;
use crate::log_reader::LogReader;
use crate::schema::{Capacity, FieldSlot, MAX_CANDIDATES, RequestLayout, Schema};
use crate::score::{Model, Request, RowMut, Scorer, tail_len_bytes};
use crate::value::{FieldValue, Row};

/// Most requests of a rotation.
const MAX_REQUESTS: usize = 1 << 20;
/// Requests whose answers are compared with those of the plain twin.
const COMPARED_REQUESTS: usize = 16;
/// Candidates after which no further requests are scored to count what is unseen.
const COUNTED_CANDIDATES: usize = 1 << 20;

/// How many requests a rotation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationSize {
    /// Distinct requests, after which the first comes again. Enough of them keep the processor's caches from knowing all
    /// answers.
    pub requests: usize,
    /// Candidates of the largest request; smaller ones leave some out.
    pub candidates: usize,
    /// The same seed gives the same requests.
    pub seed: u64,
}

/// Where the rows of a rotation come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Rows of a log.
    Log,
    /// Invented after the golden requests of the weight file.
    Invented,
}

impl Source {
    /// `log` or `invented`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Invented => "invented",
        }
    }
}

/// Requests that are sent one after the other, over and over. The candidates of one request are distinct rows while there are
/// enough of them, as those of an ad server are: each creative competes once.
#[derive(Debug)]
pub struct Rotation {
    size: RotationSize,
    source: Source,
    schema: Schema,
    contexts: Vec<SlotRow>,
    candidates: Vec<SlotRow>,
    /// Of request `r`: the indices of its candidates' rows, from `r * size.candidates` on.
    drawn: Vec<u32>,
    feature_count: u64,
}

/// What the rows of a rotation meet in a weight file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Requests that were scored to count: all, or as many as have a million candidates.
    pub request_count: u64,
    /// Categories in them: of the context once, of each candidate.
    pub category_count: u64,
    /// Those without a weight.
    pub unseen_count: u64,
    /// Fields without a value: of the context once, of each candidate.
    pub missing_count: u64,
    /// Requests whose answers were compared with the plain twin's. Crosses are counted in these only.
    pub compared_count: u64,
    /// Crossed categories of candidates with the context or with each other.
    pub cross_count: u64,
    /// Those without a weight.
    pub unseen_cross_count: u64,
}

#[expect(clippy::cast_precision_loss, reason = "shares to read")]
impl Coverage {
    /// The share of categories without a weight, 0 to 1; nothing where there are no categories.
    #[must_use]
    pub fn unseen_share(&self) -> Option<f64> {
        (self.category_count > 0).then(|| self.unseen_count as f64 / self.category_count as f64)
    }

    /// The share of crossed categories without a weight, 0 to 1; nothing where there are none.
    #[must_use]
    pub fn unseen_cross_share(&self) -> Option<f64> {
        (self.cross_count > 0).then(|| self.unseen_cross_count as f64 / self.cross_count as f64)
    }
}

impl Rotation {
    /// Requests whose contexts and candidates are rows of a log: contexts as often as the log has them, candidates each once. The best load
    /// there is, if the log is one that the model was not trained on. At most [`MOST_LOG_ROWS`](super::MOST_LOG_ROWS) rows are read, and at most
    /// [`MOST_LOG_CANDIDATES`](super::MOST_LOG_CANDIDATES) distinct candidates kept.
    ///
    /// # Errors
    ///
    /// [`LatencyError::Log`] and [`LatencyError::NoRows`]; [`LatencyError::InvalidRun`] for a size outside its limits.
    pub fn from_log(model: &Model, reader: &mut LogReader, size: RotationSize) -> Result<Self, LatencyError> {
        check_size(size)?;
        let mut random = Pcg64Mcg::seed_from_u64(size.seed);
        let rows = log_rows::sample(model.contract(), reader, size.requests, &mut random)?;
        Self::new(model.contract(), rows, Source::Log, size, &mut random)
    }

    /// Requests invented after the golden requests of the weight file, field by field: a field is as often missing, and its lists
    /// are as long, as there. Where categories recur in the golden requests, they are drawn from there; where they hardly do,
    /// new ones are made up, some more popular than others, and those are **unseen**: no weight is found for them. How large
    /// that share is, [`Rotation::check`] says. Fields are drawn independently, so crosses are mostly unseen.
    ///
    /// # Errors
    ///
    /// [`LatencyError::Score`] if the golden requests cannot be read; [`LatencyError::InvalidRun`] for a size outside its limits.
    pub fn synthetic(model: &Model, size: RotationSize) -> Result<Self, LatencyError> {
        check_size(size)?;
        let mut random = Pcg64Mcg::seed_from_u64(size.seed);
        let rows = invented::rows(model.contract(), &model.golden_requests()?, size.requests, &mut random);
        Self::new(model.contract(), rows, Source::Invented, size, &mut random)
    }

    pub(super) fn new(
        contract: &Contract,
        rows: Rows,
        source: Source,
        size: RotationSize,
        random: &mut Pcg64Mcg,
    ) -> Result<Self, LatencyError> {
        if rows.contexts.is_empty() || rows.candidates.is_empty() {
            return Err(LatencyError::NoRows);
        }
        let schema = Schema::of_contract(contract);
        let by_slot = |rows: Vec<Row>| rows.into_iter().map(|row| SlotRow::new(&schema, row)).collect();
        let feature_count = distinct_feature_count(contract, rows.contexts.iter().chain(&rows.candidates));
        let drawn = draw_candidates(rows.candidates.len(), size, random);
        Ok(Self {
            size,
            source,
            contexts: by_slot(rows.contexts),
            candidates: by_slot(rows.candidates),
            drawn,
            feature_count,
            schema,
        })
    }

    /// How many requests there are.
    #[must_use]
    pub const fn size(&self) -> RotationSize {
        self.size
    }

    /// Where the rows come from.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Number of context rows.
    #[must_use]
    pub const fn context_count(&self) -> usize {
        self.contexts.len()
    }

    /// Number of distinct candidate rows. Where it is less than the candidates of a request, rows recur within a request.
    #[must_use]
    pub const fn candidate_count(&self) -> usize {
        self.candidates.len()
    }

    /// Number of distinct features in all rows, crosses excluded. A look-up touches 64 bytes of the table or more, so 64 times this number
    /// is what a run needs in the caches to find them all there.
    #[must_use]
    pub const fn feature_count(&self) -> u64 {
        self.feature_count
    }

    /// Fills and scores the requests with `candidates` candidates each, once: compares the answers of the first ones with those of
    /// the plain twin, bit for bit, and counts what is unseen.
    ///
    /// # Errors
    ///
    /// [`LatencyError::AnswersDiffer`]; [`LatencyError::Score`] if a request cannot be filled or scored.
    pub fn check(&self, model: &Arc<Model>, candidates: usize) -> Result<Coverage, LatencyError> {
        let layout = self.layout(candidates)?;
        let scorer = Scorer::with_instructions(Arc::clone(model), &layout, Instructions::detect())?;
        let (mut request, mut twin) = (scorer.new_request(), scorer.new_request());
        let mut coverage = Coverage::default();
        let crosses = candidate_crosses(model.contract());
        let request_count = self.size.requests.min(COUNTED_CANDIDATES.div_ceil(candidates));
        for index in 0..request_count {
            self.fill(index, candidates, &mut request)?;
            scorer.predict(&mut request, candidates)?;
            let counts = request.counts();
            coverage.request_count += 1;
            coverage.category_count += self.category_count(index, candidates) - u64::from(counts.invalid_number_count);
            coverage.unseen_count += u64::from(counts.unseen_count);
            coverage.missing_count += u64::from(counts.missing_count);
            if index >= COMPARED_REQUESTS {
                continue;
            }
            self.fill(index, candidates, &mut twin)?;
            scorer.predict_plain(&mut twin, candidates)?;
            compare(index, candidates, &request, &twin)?;
            coverage.compared_count += 1;
            for candidate in 0..candidates {
                let explanation = scorer.explain(&mut twin, candidate)?;
                for contribution in explanation.contributions.iter().filter(|one| crosses.contains(&one.field)) {
                    coverage.cross_count += 1;
                    coverage.unseen_cross_count += u64::from(contribution.weight.is_none());
                }
            }
        }
        Ok(coverage)
    }

    /// A layout for requests of `candidates` candidates, with room for the longest of them.
    pub(super) fn layout(&self, candidates: usize) -> Result<RequestLayout, LatencyError> {
        let tail_len = |index| {
            let rows = self.rows_of(index, candidates).iter().map(|&row| &self.candidates[row as usize]);
            rows.chain([self.context_of(index)]).map(|row| row.tail_len_bytes).sum()
        };
        let tail_len_bytes = (0..self.size.requests).map(tail_len).max().unwrap_or(0);
        Ok(RequestLayout::new(&self.schema, Capacity { candidates, tail_len_bytes })?)
    }

    /// Fills `request` as a server does: values that it has at hand, by slot.
    pub(super) fn fill(&self, index: usize, candidates: usize, request: &mut Request) -> Result<(), Error> {
        request.clear();
        self.context_of(index).write(&mut request.context())?;
        for (place, &row) in self.rows_of(index, candidates).iter().enumerate() {
            self.candidates[row as usize].write(&mut request.candidate(place)?)?;
        }
        Ok(())
    }

    fn context_of(&self, index: usize) -> &SlotRow {
        &self.contexts[index % self.size.requests % self.contexts.len()]
    }

    pub(super) fn rows_of(&self, index: usize, candidates: usize) -> &[u32] {
        let first = index % self.size.requests * self.size.candidates;
        &self.drawn[first..first + candidates]
    }

    fn category_count(&self, index: usize, candidates: usize) -> u64 {
        let rows = self.rows_of(index, candidates).iter().map(|&row| &self.candidates[row as usize]);
        rows.chain([self.context_of(index)]).map(|row| row.category_count).sum()
    }
}

/// Rows to make requests of, by name of field.
pub(super) struct Rows {
    pub(super) contexts: Vec<Row>,
    pub(super) candidates: Vec<Row>,
}

/// A row as a server has it: values, and where they go.
#[derive(Debug)]
struct SlotRow {
    values: Vec<(FieldSlot, FieldValue)>,
    tail_len_bytes: usize,
    category_count: u64,
}

impl SlotRow {
    fn new(schema: &Schema, row: Row) -> Self {
        Self {
            tail_len_bytes: row.values().map(tail_len_bytes).sum(),
            category_count: row.values().map(category_count).sum(),
            values: row.into_iter().filter_map(|(name, value)| Some((schema.slot(&name)?, value))).collect(),
        }
    }

    fn write(&self, row: &mut RowMut<'_>) -> Result<(), Error> {
        for (slot, value) in &self.values {
            match value {
                FieldValue::Id(id) => row.set_id(*slot, *id)?,
                FieldValue::Text(text) => row.set_text(*slot, text)?,
                FieldValue::Number(number) => row.set_number(*slot, *number)?,
                FieldValue::Ids(ids) => row.set_ids(*slot, ids)?,
                FieldValue::Texts(texts) => row.set_texts(*slot, texts)?,
            }
        }
        Ok(())
    }
}

fn category_count(value: &FieldValue) -> u64 {
    match value {
        FieldValue::Id(_) | FieldValue::Text(_) | FieldValue::Number(_) => 1,
        FieldValue::Ids(ids) => ids.len() as u64,
        FieldValue::Texts(texts) => texts.len() as u64,
    }
}

fn check_size(size: RotationSize) -> Result<(), LatencyError> {
    let invalid = |problem: String| Err(LatencyError::InvalidRun { problem });
    if size.requests == 0 || size.requests > MAX_REQUESTS {
        return invalid(format!("expected 1 to {MAX_REQUESTS} requests in rotation, found {}", size.requests));
    }
    if size.candidates == 0 || size.candidates > MAX_CANDIDATES {
        return invalid(format!("expected 1 to {MAX_CANDIDATES} candidates a request, found {}", size.candidates));
    }
    Ok(())
}

/// For each request, rows out of `row_count`, none of them twice while there are enough.
fn draw_candidates(row_count: usize, size: RotationSize, random: &mut Pcg64Mcg) -> Vec<u32> {
    let row_count = u32::try_from(row_count).unwrap_or(u32::MAX);
    let mut rows: Vec<u32> = (0..row_count).collect();
    let mut drawn = Vec::with_capacity(size.requests * size.candidates);
    for _ in 0..size.requests {
        for place in 0..size.candidates.min(rows.len()) {
            let other = place + below(random, rows.len() - place);
            rows.swap(place, other);
        }
        drawn.extend(rows.iter().cycle().take(size.candidates));
    }
    drawn
}

/// Names of the crosses that differ between the candidates of a request.
fn candidate_crosses(contract: &Contract) -> HashSet<String> {
    let crosses = contract.crosses().iter();
    let crosses = crosses.filter(|cross| contract.cross_side(cross) != Some(Side::Context));
    crosses.map(|cross| contract.cross_name(cross)).collect()
}

fn distinct_feature_count<'a>(contract: &Contract, rows: impl Iterator<Item = &'a Row>) -> u64 {
    let mut keys = HashSet::new();
    for row in rows {
        for field in contract.fields() {
            let seed = field.seed();
            let mut add = |value| {
                keys.insert(feature_key(seed, value));
            };
            match (row.get(&field.name), &field.kind) {
                (None, _) => {}
                (Some(FieldValue::Id(id)), _) => add(id_value(*id)),
                (Some(FieldValue::Ids(ids)), _) => ids.iter().copied().map(id_value).for_each(add),
                (Some(FieldValue::Text(text)), _) => add(text_value(text.as_bytes())),
                (Some(FieldValue::Texts(texts)), _) => {
                    texts.iter().map(|text| text_value(text.as_bytes())).for_each(add);
                }
                (Some(FieldValue::Number(number)), FieldKind::Number { range, buckets, .. }) => {
                    buckets.index(*range, *number).into_iter().for_each(add);
                }
                (Some(FieldValue::Number(_)), FieldKind::Id | FieldKind::Text) => {}
            }
        }
    }
    keys.len() as u64
}

pub(super) fn compare(index: usize, candidates: usize, kernel: &Request, plain: &Request) -> Result<(), LatencyError> {
    for (candidate, (kernel, plain)) in kernel.answers(candidates).zip(plain.answers(candidates)).enumerate() {
        let same = kernel.logit.to_bits() == plain.logit.to_bits()
            && kernel.probability.to_bits() == plain.probability.to_bits()
            && kernel.status == plain.status;
        if !same {
            let (kernel, plain) = (kernel.logit, plain.logit);
            return Err(LatencyError::AnswersDiffer { request: index, candidate, kernel, plain });
        }
    }
    Ok(())
}
