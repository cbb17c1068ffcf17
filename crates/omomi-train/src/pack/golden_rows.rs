//! Chooses the golden requests of a weight file: requests from a sample of held-out rows, and for each field a request
//! with a value, one without, and one with an unseen category.

use xxhash_rust::xxh3::xxh3_64;

use crate::log::RowBatch;
use omomi::contract::{Contract, Field, FieldKind, Side};
use omomi::request::{FieldValue, RequestRows, Row, row_tail_len_bytes};
use omomi::weight_file::golden::LookupBudget;
use omomi::weight_file::layout::{FREE_GOLDEN_LOOKUPS, MAX_GOLDEN_ROW_LEN};

/// Number of requests from the sample.
const SAMPLED_REQUESTS: usize = 32;
/// Number of candidates in each request from the sample.
const CANDIDATES: usize = 4;
/// Most rows that are read. A field without a value in all these rows is not worth reading more.
const MAX_ROWS: u64 = 200_000;

/// The rows that were chosen so far.
pub(crate) struct GoldenRows<'a> {
    contract: &'a Contract,
    row_count: u64,
    /// The rows whose numbers have the lowest hashes, with their hashes, in ascending order. The sample depends only on
    /// the row numbers.
    sample: Vec<(u64, SampledRow)>,
    /// For each field, the first row in which it has a value.
    covering: Vec<Option<SampledRow>>,
}

#[derive(Debug, Clone, Default)]
struct SampledRow {
    context: Row,
    candidate: Row,
}

impl<'a> GoldenRows<'a> {
    pub(crate) fn new(contract: &'a Contract) -> Self {
        Self { contract, row_count: 0, sample: Vec::new(), covering: vec![None; contract.fields().len()] }
    }

    /// Whether enough rows were read.
    pub(crate) fn is_enough(&self) -> bool {
        self.row_count >= MAX_ROWS
    }

    pub(crate) fn look_at(&mut self, batch: &RowBatch) {
        for index in 0..batch.row_count() {
            let hash = xxh3_64(&self.row_count.to_le_bytes());
            self.row_count += 1;
            let full = self.sample.len() == SAMPLED_REQUESTS * CANDIDATES;
            let is_sampled = !full || self.sample.last().is_some_and(|(max, _)| hash < *max);
            let covers = |field: usize| !batch.columns[field].range(index).is_empty();
            let is_first = (0..self.covering.len()).any(|field| self.covering[field].is_none() && covers(field));
            if !is_sampled && !is_first {
                continue;
            }
            let row = SampledRow {
                context: batch.row(self.contract, Side::Context, index),
                candidate: batch.row(self.contract, Side::Candidate, index),
            };
            if [&row.context, &row.candidate].into_iter().any(|row| row_tail_len_bytes(row) > MAX_GOLDEN_ROW_LEN) {
                continue;
            }
            for field in 0..self.covering.len() {
                if self.covering[field].is_none() && covers(field) {
                    self.covering[field] = Some(row.clone());
                }
            }
            if is_sampled {
                let at = self.sample.partition_point(|(other, _)| *other < hash);
                self.sample.insert(at, (hash, row));
                self.sample.truncate(SAMPLED_REQUESTS * CANDIDATES);
            }
        }
    }

    pub(crate) fn uncovered_fields(&self) -> Vec<String> {
        let fields = self.contract.fields().iter().zip(&self.covering);
        fields.filter(|(_, row)| row.is_none()).map(|(field, _)| field.name.clone()).collect()
    }

    /// Returns the requests, or an empty list if there were no rows.
    pub(crate) fn requests(&self) -> Vec<RequestRows> {
        let Some((_, first)) = self.sample.first() else { return Vec::new() };
        // If there are few rows, they are used several times, in different combinations of context and candidates.
        let sampled = |index: usize| &self.sample[index % self.sample.len()].1;
        let mut requests: Vec<RequestRows> = (0..SAMPLED_REQUESTS)
            .map(|request| RequestRows {
                context: sampled(request * CANDIDATES).context.clone(),
                candidates: (0..CANDIDATES)
                    .map(|candidate| {
                        sampled(request * CANDIDATES + candidate + request / self.sample.len()).candidate.clone()
                    })
                    .collect(),
            })
            .collect();
        for (field, covering) in self.contract.fields().iter().zip(&self.covering) {
            let row = covering.as_ref().unwrap_or(first);
            requests.extend(requests_around(field, row));
        }
        requests.push(RequestRows { context: Row::new(), candidates: vec![Row::new(), first.candidate.clone()] });
        self.within_budget(requests)
    }

    /// Leaves out the requests that need too many look-ups, beginning with those from the sample.
    fn within_budget(&self, mut requests: Vec<RequestRows>) -> Vec<RequestRows> {
        let mut used = 0;
        requests.reverse();
        requests.retain(|rows| {
            let of = |candidate: &Row| LookupBudget::lookups(self.contract, &rows.context, candidate);
            let needed: u64 = rows.candidates.iter().map(of).sum();
            let fits = used + needed <= FREE_GOLDEN_LOOKUPS;
            used += if fits { needed } else { 0 };
            fits
        });
        requests.reverse();
        requests
    }
}

/// Returns requests in which `field` has its value, is missing, and has an unseen category. For a candidate field,
/// these are three candidates of one request. For a context field they are three requests, because all candidates of a
/// request share the context.
fn requests_around(field: &Field, row: &SampledRow) -> Vec<RequestRows> {
    let (mut missing, mut unseen) = (row.clone(), row.clone());
    match field.side {
        Side::Context => {
            missing.context.remove(&field.name);
            unseen.context.insert(field.name.clone(), unseen_value(field));
            let request = |row: SampledRow| RequestRows { context: row.context, candidates: vec![row.candidate] };
            vec![request(row.clone()), request(missing), request(unseen)]
        }
        Side::Candidate => {
            missing.candidate.remove(&field.name);
            unseen.candidate.insert(field.name.clone(), unseen_value(field));
            let candidates = vec![row.candidate.clone(), missing.candidate, unseen.candidate];
            vec![RequestRows { context: row.context.clone(), candidates }]
        }
    }
}

/// Returns a category that no log has, or for a number field a number that is out of range.
fn unseen_value(field: &Field) -> FieldValue {
    const UNSEEN_ID: i64 = i64::MIN + 7;
    const UNSEEN_TEXT: &str = "\u{1}unseen 未知";
    match (&field.kind, field.many) {
        (FieldKind::Id, false) => FieldValue::Id(UNSEEN_ID),
        (FieldKind::Id, true) => FieldValue::Ids(vec![UNSEEN_ID, UNSEEN_ID + 1]),
        (FieldKind::Text, false) => FieldValue::Text(UNSEEN_TEXT.to_owned()),
        (FieldKind::Text, true) => FieldValue::Texts(vec![UNSEEN_TEXT.to_owned(), String::new()]),
        (FieldKind::Number { range, .. }, _) => FieldValue::Number(range[1] * 2.0 + 1.0),
    }
}
