//! The requests of a run: rows kept by slot, and the rows that each request uses. Before anything is timed, a check
//! says whether the answers are right, and how many features of the requests have a weight.

use std::collections::HashSet;
use std::sync::Arc;

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::rows::{Rows, SlotRow, below, invent_rows, sample_log};
use super::{LatencyError, Setup};
use crate::log::LogReader;
use omomi::contract::{Contract, FieldKind, Side};
use omomi::error::Error;
use omomi::feature::{feature_key, id_value, text_value};
use omomi::request::{Capacity, FieldValue, MAX_CANDIDATES, RequestLayout, Row, Schema};
use omomi::score::{CandidateSet, Model, Request, WeightSource};

/// Maximum number of requests in a rotation.
const MAX_REQUESTS: usize = 1 << 20;
/// Maximum number of candidates over all requests of a rotation, at 4 bytes each.
const MAX_DRAWN: usize = 1 << 28;

/// What to build a rotation from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationSpec {
    /// Number of distinct requests before the first one repeats. Use enough of them that the processor's caches do not
    /// hold all that they touch.
    pub requests: usize,
    /// Candidates of the largest request; smaller requests use the first of them.
    pub candidates: usize,
    /// Seed of the random draws. Equal seeds give equal requests.
    pub seed: u64,
    /// Whether texts are passed as hashes that were computed once, as a server may do with recurring texts, instead of
    /// as UTF-8 bytes. Lists of texts are always passed as bytes.
    pub hashed_texts: bool,
}

/// Where the rows of a rotation come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSource {
    /// The rows are from a log.
    Log,
    /// The rows are invented to resemble the golden requests of the weight file.
    Invented,
}

impl RowSource {
    /// The name of the source: `log` or `invented`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Invented => "invented",
        }
    }
}

/// Requests that are sent in order, over and over. The candidates of one request are distinct rows while there are
/// enough rows, as in an ad server, where each creative competes once.
#[derive(Debug)]
pub struct Rotation {
    spec: RotationSpec,
    source: RowSource,
    schema: Schema,
    contexts: Vec<SlotRow>,
    candidates: Vec<SlotRow>,
    /// The candidates' row indices of all requests; those of request `r` start at `r * spec.candidates`.
    drawn: Vec<u32>,
    feature_count: u64,
}

impl Rotation {
    /// Builds requests from the rows of a log: contexts as often as the log has them, each distinct candidate once.
    /// This is the most realistic load, provided that the model was not trained on the log. At most
    /// [`MAX_LOG_ROWS`](super::MAX_LOG_ROWS) rows are read, and at most
    /// [`MAX_LOG_CANDIDATES`](super::MAX_LOG_CANDIDATES) distinct candidates are kept.
    ///
    /// # Errors
    ///
    /// Returns [`LatencyError::Log`] if the log cannot be read, [`LatencyError::NoRows`] if it has no rows, and
    /// [`LatencyError::InvalidRun`] for a size outside its limits.
    pub fn from_log(model: &Model, reader: &mut LogReader, spec: RotationSpec) -> Result<Self, LatencyError> {
        check_spec(spec)?;
        let mut random = Pcg64Mcg::seed_from_u64(spec.seed);
        let rows = sample_log(model.contract(), reader, spec.requests, &mut random)?;
        Self::new(model.contract(), rows, RowSource::Log, spec, &mut random)
    }

    /// Invents requests that resemble the golden requests of the weight file, field by field. A field is missing as
    /// often as in the golden requests, and its lists are as long. Categories that recur in the golden requests are
    /// drawn from them. If few categories of a field recur, new ones are made up, some more popular than others. These
    /// are **unseen**: they have no weight in the file. [`Rotation::check`] reports their share. Fields are drawn
    /// independently, so crosses are mostly unseen.
    ///
    /// # Errors
    ///
    /// Returns [`LatencyError::Score`] if the golden requests cannot be read, and [`LatencyError::InvalidRun`] for a
    /// size outside its limits.
    pub fn synthetic(model: &Model, spec: RotationSpec) -> Result<Self, LatencyError> {
        check_spec(spec)?;
        let mut random = Pcg64Mcg::seed_from_u64(spec.seed);
        let rows = invent_rows(model.contract(), &model.golden_requests()?, spec.requests, &mut random);
        Self::new(model.contract(), rows, RowSource::Invented, spec, &mut random)
    }

    pub(super) fn new(
        contract: &Contract,
        rows: Rows,
        source: RowSource,
        spec: RotationSpec,
        random: &mut Pcg64Mcg,
    ) -> Result<Self, LatencyError> {
        if rows.contexts.is_empty() || rows.candidates.is_empty() {
            return Err(LatencyError::NoRows);
        }
        let schema = Schema::of_contract(contract);
        let by_slot =
            |rows: Vec<Row>| rows.into_iter().map(|row| SlotRow::new(&schema, row, spec.hashed_texts)).collect();
        let feature_count = distinct_feature_count(contract, rows.contexts.iter().chain(&rows.candidates));
        let drawn = draw_candidates(rows.candidates.len(), spec, random);
        Ok(Self {
            spec,
            source,
            contexts: by_slot(rows.contexts),
            candidates: by_slot(rows.candidates),
            drawn,
            feature_count,
            schema,
        })
    }

    /// The specification that the rotation was built from.
    #[must_use]
    pub const fn spec(&self) -> RotationSpec {
        self.spec
    }

    /// Where the rows come from.
    #[must_use]
    pub const fn source(&self) -> RowSource {
        self.source
    }

    /// Number of context rows.
    #[must_use]
    pub const fn context_count(&self) -> usize {
        self.contexts.len()
    }

    /// Number of distinct candidate rows. If a request has more candidates than this, rows recur within it.
    #[must_use]
    pub const fn candidate_count(&self) -> usize {
        self.candidates.len()
    }

    /// Number of distinct features in all rows, crosses excluded. A lookup touches at least 64 bytes of the table, so
    /// the caches need at least 64 times this number of bytes to hold all that a run looks up.
    #[must_use]
    pub const fn feature_count(&self) -> u64 {
        self.feature_count
    }

    /// Returns a layout for requests of `candidates` candidates, with enough room for the longest of them.
    pub(super) fn layout(&self, candidates: usize) -> Result<RequestLayout, Error> {
        let tail_len = |index| {
            let rows = self.rows_of(index, candidates).iter().map(|&row| &self.candidates[row as usize]);
            rows.chain([self.context_of(index)]).map(|row| row.tail_len_bytes).sum()
        };
        let tail_len_bytes = (0..self.spec.requests).map(tail_len).max().unwrap_or(0);
        RequestLayout::new(&self.schema, Capacity { candidates, tail_len_bytes })
    }

    /// Returns a layout for requests that name prepared candidates: only their contexts need room in the tail.
    pub(super) fn prepared_layout(&self, candidates: usize) -> Result<RequestLayout, Error> {
        let tail_len_bytes = longest_tail(&self.contexts);
        RequestLayout::prepared(&self.schema, Capacity { candidates, tail_len_bytes })
    }

    /// Returns a set of all candidates, each at the index of its row.
    pub(super) fn candidate_set(&self) -> Result<CandidateSet, Error> {
        let capacity = Capacity { candidates: 1, tail_len_bytes: longest_tail(&self.candidates) };
        let layout = RequestLayout::new(&self.schema, capacity)?;
        let max_values = self.candidates.iter().map(SlotRow::max_values).max().unwrap_or(0);
        let set = CandidateSet::new(&layout, self.candidates.len(), max_values)?;
        let mut request = Request::new(&layout);
        for (index, row) in (0..).zip(&self.candidates) {
            request.clear();
            row.write(&mut request.candidate(0)?)?;
            set.put(index, &mut request, 0)?;
        }
        Ok(set)
    }

    /// Fills `request` as a server does: with values at hand, by slot.
    pub(super) fn fill(&self, index: usize, candidates: usize, request: &mut Request) -> Result<(), Error> {
        request.clear();
        self.context_of(index).write(&mut request.context())?;
        for (place, &row) in self.rows_of(index, candidates).iter().enumerate() {
            self.candidates[row as usize].write(&mut request.candidate(place)?)?;
        }
        Ok(())
    }

    /// Fills a `request` that names candidates of [`Rotation::candidate_set`].
    pub(super) fn fill_prepared(&self, index: usize, candidates: usize, request: &mut Request) -> Result<(), Error> {
        request.clear();
        self.context_of(index).write(&mut request.context())?;
        for (place, &row) in self.rows_of(index, candidates).iter().enumerate() {
            request.set_candidate(place, row)?;
        }
        Ok(())
    }

    fn context_of(&self, index: usize) -> &SlotRow {
        &self.contexts[index % self.spec.requests % self.contexts.len()]
    }

    pub(super) fn rows_of(&self, index: usize, candidates: usize) -> &[u32] {
        let first = index % self.spec.requests * self.spec.candidates;
        &self.drawn[first..first + candidates]
    }

    pub(super) fn category_count(&self, index: usize, candidates: usize) -> u64 {
        let rows = self.rows_of(index, candidates).iter().map(|&row| &self.candidates[row as usize]);
        rows.chain([self.context_of(index)]).map(|row| row.category_count).sum()
    }
}

fn longest_tail(rows: &[SlotRow]) -> usize {
    rows.iter().map(|row| row.tail_len_bytes).max().unwrap_or(0)
}

fn check_spec(spec: RotationSpec) -> Result<(), LatencyError> {
    let invalid = |problem: String| Err(LatencyError::InvalidRun { problem });
    if spec.requests == 0 || spec.requests > MAX_REQUESTS {
        return invalid(format!("expected 1 to {MAX_REQUESTS} requests in a rotation, found {}", spec.requests));
    }
    if spec.candidates == 0 || spec.candidates > MAX_CANDIDATES {
        return invalid(format!("expected 1 to {MAX_CANDIDATES} candidates per request, found {}", spec.candidates));
    }
    if spec.requests * spec.candidates > MAX_DRAWN {
        let (requests, candidates) = (spec.requests, spec.candidates);
        return invalid(format!(
            "{requests} requests of {candidates} candidates are too many: at most {MAX_DRAWN} candidates are allowed"
        ));
    }
    Ok(())
}

/// Draws rows below `row_count` for each request, none of them twice while there are enough.
fn draw_candidates(row_count: usize, spec: RotationSpec, random: &mut Pcg64Mcg) -> Vec<u32> {
    let row_count = u32::try_from(row_count).unwrap_or(u32::MAX);
    let mut rows: Vec<u32> = (0..row_count).collect();
    let mut drawn = Vec::with_capacity(spec.requests * spec.candidates);
    for _ in 0..spec.requests {
        for place in 0..spec.candidates.min(rows.len()) {
            let other = place + below(random, rows.len() - place);
            rows.swap(place, other);
        }
        drawn.extend(rows.iter().cycle().take(spec.candidates));
    }
    drawn
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

/// Number of requests whose answers are compared with those of the plain twin.
const COMPARED_REQUESTS: usize = 16;
/// Number of candidates after which no more requests are scored to count unseen categories.
const COUNTED_CANDIDATES: usize = 1 << 20;

/// How many features of a rotation the weight file covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Requests that were scored to count: all of them, or as many as reach a million candidates.
    pub request_count: u64,
    /// Categories in these requests: those of each context once, and those of each candidate.
    pub category_count: u64,
    /// Categories without a weight.
    pub unseen_count: u64,
    /// Fields without a value: those of each context once, and those of each candidate.
    pub missing_count: u64,
    /// Requests whose answers were compared with the plain twin's. Crosses are counted only in these.
    pub compared_count: u64,
    /// Crossed categories of candidates with the context or with each other.
    pub cross_count: u64,
    /// Crossed categories without a weight.
    pub unseen_cross_count: u64,
}

#[expect(clippy::cast_precision_loss, reason = "shares for people")]
impl Coverage {
    /// The share of categories without a weight, 0 to 1; `None` if there are no categories.
    #[must_use]
    pub fn unseen_share(&self) -> Option<f64> {
        (self.category_count > 0).then(|| self.unseen_count as f64 / self.category_count as f64)
    }

    /// The share of crossed categories without a weight, 0 to 1; `None` if there are none.
    #[must_use]
    pub fn unseen_cross_share(&self) -> Option<f64> {
        (self.cross_count > 0).then(|| self.unseen_cross_count as f64 / self.cross_count as f64)
    }
}

impl Rotation {
    /// Fills and scores each request once, with `candidates` candidates, as rows or prepared. Compares the answers of
    /// the first requests with those of the plain twin for the same rows, bit for bit, and counts unseen categories.
    ///
    /// # Errors
    ///
    /// Returns [`LatencyError::AnswersDiffer`] if an answer differs from the plain twin's, and [`LatencyError::Score`]
    /// if a request cannot be filled or scored.
    pub fn check(&self, model: &Arc<Model>, candidates: usize, prepared: bool) -> Result<Coverage, LatencyError> {
        let setup = Setup::new(self, candidates, prepared)?;
        let scorer = setup.scorer(model)?;
        let plain = Setup::new(self, candidates, false)?.scorer(model)?;
        let (mut request, mut twin) = (scorer.new_request(), plain.new_request());
        let mut coverage = Coverage::default();
        let crosses = candidate_crosses(model.contract());
        let request_count = self.spec().requests.min(COUNTED_CANDIDATES.div_ceil(candidates));
        for index in 0..request_count {
            setup.fill(index, &mut request)?;
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
            plain.predict_plain(&mut twin, candidates)?;
            compare(index, candidates, &request, &twin)?;
            coverage.compared_count += 1;
            for candidate in 0..candidates {
                let explanation = plain.explain(&mut twin, candidate)?;
                for contribution in explanation.contributions.iter().filter(|one| crosses.contains(&one.field)) {
                    coverage.cross_count += 1;
                    coverage.unseen_cross_count += u64::from(contribution.source == WeightSource::Unseen);
                }
            }
        }
        Ok(coverage)
    }
}

/// Names of the crosses that differ between the candidates of a request.
fn candidate_crosses(contract: &Contract) -> HashSet<String> {
    let crosses = contract.crosses().iter();
    let crosses = crosses.filter(|cross| contract.cross_side(cross) != Some(Side::Context));
    crosses.map(|cross| contract.cross_name(cross)).collect()
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
