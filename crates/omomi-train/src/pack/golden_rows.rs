//! Chooses the golden requests of a weight file: a few from a sample of held-out rows, and the fewest that cover what a
//! wrong reader could get wrong. Each field occurs with a value, without one, and with an unseen category. Each cross
//! occurs with all its members, and without each of them, or with an unseen category of it, while the others have
//! values. Requests have one candidate or several, and one has no context. Without held-out rows, the sample is made of
//! the categories of the training state: those of a row need not belong together, but each of them has a weight.
//!
//! One candidate covers many of these at once, because all bits of its answer are compared. So the length of the
//! section depends little on the number of fields beyond that of a row.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::learn::category::FeatureNames;
use crate::learn::state::{StateError, StateReader};
use crate::log::{Categories, RowBatch};
use omomi::contract::{Contract, Field, FieldKind, Side};
use omomi::request::{FieldValue, RequestRows, Row, row_tail_len_bytes};
use omomi::weight_file::golden::LookupBudget;
use omomi::weight_file::layout::{FREE_GOLDEN_LOOKUPS, MAX_GOLDEN_ROW_LEN};

/// Number of requests from the sample.
const SAMPLED_REQUESTS: usize = 6;
/// Number of candidates in each request from the sample, and most candidates of the others.
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

impl SampledRow {
    /// Returns the row with these values, without those that are too long together.
    fn of_values(contract: &Contract, values: &[Option<FieldValue>]) -> Self {
        let mut row = Self::default();
        for (field, value) in contract.fields().iter().zip(values) {
            let Some(value) = value else { continue };
            let side = if field.side == Side::Context { &mut row.context } else { &mut row.candidate };
            side.insert(field.name.clone(), value.clone());
            if row_tail_len_bytes(side) > MAX_GOLDEN_ROW_LEN {
                side.remove(&field.name);
            }
        }
        row
    }
}

impl<'a> GoldenRows<'a> {
    pub(crate) fn new(contract: &'a Contract) -> Self {
        Self { contract, row_count: 0, sample: Vec::new(), covering: vec![None; contract.fields().len()] }
    }

    /// Makes the rows of the categories in a training state of this contract.
    pub(crate) fn of_state(contract: &'a Contract, state: &Path) -> Result<Self, StateError> {
        let names = FeatureNames::new(contract);
        let field_count = contract.fields().len();
        let group_count = field_count + contract.crosses().len();
        // For each field and cross, the first features of the state, which is sorted by a hash of them.
        let mut found: Vec<Vec<Vec<(usize, FieldValue)>>> = vec![Vec::new(); group_count];
        let mut reader = StateReader::open(state)?;
        let row_count = SAMPLED_REQUESTS * CANDIDATES;
        while found.iter().any(|values| values.len() < row_count)
            && let Some(batch) = reader.next_batch()?
        {
            for row in batch.rows().filter(|row| !row.is_bias() && !row.is_default()) {
                let Some(group) = names.group(row.field) else { continue };
                let values = &mut found[usize::from(group)];
                if values.len() < row_count
                    && let Ok(own) = names.values(row.field, row.category)
                {
                    values.push(own);
                }
            }
        }
        let mut golden = Self::new(contract);
        let (of_fields, of_crosses) = found.split_at(field_count);
        for index in 0..row_count {
            let mut values: Vec<Option<FieldValue>> = vec![None; field_count];
            for own in of_fields.iter().filter(|own| !own.is_empty()) {
                for (field, value) in &own[index % own.len()] {
                    values[*field] = Some(value.clone());
                }
            }
            // One cross in each row has a weight for certain. Its other members may have none of their own.
            let crosses: Vec<_> = of_crosses.iter().filter(|own| !own.is_empty()).collect();
            if let Some(own) = crosses.get(index % crosses.len().max(1)) {
                for (field, value) in &own[index / crosses.len() % own.len()] {
                    values[*field] = Some(value.clone());
                }
            }
            let row = SampledRow::of_values(contract, &values);
            for (place, value) in golden.covering.iter_mut().zip(&values) {
                if place.is_none() && value.is_some() {
                    *place = Some(row.clone());
                }
            }
            golden.sample.push((0, row));
        }
        Ok(golden)
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
            // A key is no value that a request may have.
            let covers = |field: usize| {
                let column = &batch.columns[field];
                !matches!(column.categories, Categories::Keys) && !column.range(index).is_empty()
            };
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
        if self.sample.is_empty() {
            return Vec::new();
        }
        // If there are few rows, they are used several times, in different combinations of context and candidates.
        let mut requests: Vec<RequestRows> = (0..SAMPLED_REQUESTS)
            .map(|request| RequestRows {
                context: self.sampled(request * CANDIDATES).context.clone(),
                candidates: (0..CANDIDATES)
                    .map(|candidate| request * CANDIDATES + candidate + request / self.sample.len())
                    .map(|index| self.sampled(index).candidate.clone())
                    .collect(),
            })
            .collect();
        let covering = packed(self.contract, wants(self.contract));
        requests.extend(covering.iter().enumerate().map(|(index, candidates)| RequestRows {
            context: self.row(Side::Context, index, &candidates[0]),
            candidates:
                (index..).zip(candidates).map(|(index, states)| self.row(Side::Candidate, index, states)).collect(),
        }));
        let first = self.sampled(0).candidate.clone();
        requests.push(RequestRows { context: Row::new(), candidates: vec![Row::new(), first] });
        self.within_budget(requests)
    }

    fn sampled(&self, index: usize) -> &SampledRow {
        &self.sample[index % self.sample.len()].1
    }

    /// Returns a row whose fields have these states. The values are those of a sampled row or, where it has none, those
    /// of the first row that has one.
    fn row(&self, side: Side, index: usize, states: &[State]) -> Row {
        let of_side = |row: &SampledRow, name: &str| match side {
            Side::Context => row.context.get(name).cloned(),
            Side::Candidate => row.candidate.get(name).cloned(),
        };
        let mut row = Row::new();
        for (position, field) in self.contract.fields().iter().enumerate().filter(|(_, field)| field.side == side) {
            let covering = || of_side(self.covering[position].as_ref()?, &field.name);
            let value = match states[position] {
                State::Known => of_side(self.sampled(index), &field.name).or_else(covering),
                State::Missing => None,
                State::Unseen => Some(unseen_value(field)),
            };
            row.extend(value.map(|value| (field.name.clone(), value)));
        }
        // Values of several rows may be too long together.
        while row_tail_len_bytes(&row) > MAX_GOLDEN_ROW_LEN {
            let longest = row.iter().max_by_key(|(_, value)| value.tail_len_bytes()).map(|(name, _)| name.clone());
            longest.map(|name| row.remove(&name));
        }
        row
    }

    /// Leaves out the candidates that need too many look-ups, beginning with those from the sample, and the requests
    /// that have no others.
    fn within_budget(&self, mut requests: Vec<RequestRows>) -> Vec<RequestRows> {
        let mut used = 0;
        for RequestRows { context, candidates } in requests.iter_mut().rev() {
            candidates.retain(|candidate| {
                let needed = LookupBudget::lookups(self.contract, context, candidate);
                let fits = used + needed <= FREE_GOLDEN_LOOKUPS;
                used += if fits { needed } else { 0 };
                fits
            });
        }
        requests.retain(|rows| !rows.candidates.is_empty());
        requests
    }
}

/// What a field has in a candidate or its context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value of the log.
    Known,
    /// No value.
    Missing,
    /// A category that no log has, or a number out of range.
    Unseen,
}

const STATES: [State; 3] = [State::Known, State::Missing, State::Unseen];

/// States that some fields must have in one candidate and its context.
type Want = Vec<(usize, State)>;

/// Returns what the golden requests of a contract must contain. What concerns most fields comes first, because it is
/// hardest to combine with the rest.
fn wants(contract: &Contract) -> Vec<Want> {
    let mut wants = Vec::new();
    for cross in contract.crosses() {
        let known = || cross.members.iter().map(|&member| (member, State::Known));
        wants.push(known().collect());
        for &odd in &cross.members {
            for state in [State::Missing, State::Unseen] {
                wants
                    .push(known().map(|(member, known)| (member, if member == odd { state } else { known })).collect());
            }
        }
    }
    let field_count = contract.fields().len();
    wants.extend(STATES.iter().flat_map(|&state| (0..field_count).map(move |field| vec![(field, state)])));
    wants
}

/// Combines the wants to few requests: returns the states of all fields for each candidate of each request. The
/// candidates of a request agree in the fields of the context. A field that is free has a value.
fn packed(contract: &Contract, mut wants: Vec<Want>) -> Vec<Vec<Vec<State>>> {
    let sides: Vec<Side> = contract.fields().iter().map(|field| field.side).collect();
    let mut requests = Vec::new();
    while !wants.is_empty() {
        let mut states: Vec<Option<State>> = vec![None; sides.len()];
        let mut candidates: Vec<Vec<State>> = Vec::new();
        while candidates.len() < CANDIDATES {
            let before = wants.len();
            wants.retain(|want| {
                let fits = want.iter().all(|&(field, state)| states[field].is_none_or(|other| other == state));
                if fits {
                    want.iter().for_each(|&(field, state)| states[field] = Some(state));
                }
                !fits
            });
            if wants.len() == before {
                break;
            }
            candidates.push(states.iter().map(|state| state.unwrap_or(State::Known)).collect());
            // The next candidate has the same context.
            for (state, side) in states.iter_mut().zip(&sides) {
                *state = if *side == Side::Context { state.or(Some(State::Known)) } else { None };
            }
        }
        requests.push(candidates);
    }
    requests
}

const UNSEEN_ID: i64 = i64::MIN + 7;
const UNSEEN_TEXT: &str = "\u{1}unseen 未知";

/// Whether a row of a golden request has a category that was made up for it.
pub(crate) fn has_made_up_category(row: &Row) -> bool {
    row.values().any(|value| match value {
        FieldValue::Id(id) => *id == UNSEEN_ID,
        FieldValue::Text(text) => text == UNSEEN_TEXT,
        FieldValue::Ids(ids) => ids.first() == Some(&UNSEEN_ID),
        FieldValue::Texts(texts) => texts.first().is_some_and(|text| text == UNSEEN_TEXT),
        FieldValue::Number(_) => false,
    })
}

/// Returns a category that no log has, or for a number field a number that is out of range.
fn unseen_value(field: &Field) -> FieldValue {
    match (&field.kind, field.many) {
        (FieldKind::Id, false) => FieldValue::Id(UNSEEN_ID),
        (FieldKind::Id, true) => FieldValue::Ids(vec![UNSEEN_ID, UNSEEN_ID + 1]),
        (FieldKind::Text, false) => FieldValue::Text(UNSEEN_TEXT.to_owned()),
        (FieldKind::Text, true) => FieldValue::Texts(vec![UNSEEN_TEXT.to_owned(), String::new()]),
        (FieldKind::Number { range, .. }, _) => FieldValue::Number(range[1] * 2.0 + 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::generate::{CONTRACT, LogSpec, write_parquet};
    use crate::log::{LogReader, ReadOptions};
    use omomi::weight_file::golden::{GoldenRequest, to_json};

    /// Bytes of the section for the 20 generated fields. It had 59,000 when each field had requests of its own.
    const MAX_LEN: usize = 10_000;

    fn requests_of(contract: &Contract, log: &Path) -> Vec<RequestRows> {
        let mut reader = LogReader::open(contract, &[log.to_str().unwrap()], ReadOptions::default()).unwrap();
        let mut golden = GoldenRows::new(contract);
        while let Some(batch) = reader.next_batch().unwrap() {
            golden.look_at(&batch);
        }
        golden.requests()
    }

    /// The state of a field in a candidate and its context.
    fn state(contract: &Contract, rows: &RequestRows, candidate: usize, field: usize) -> State {
        let field = &contract.fields()[field];
        let row = if field.side == Side::Context { &rows.context } else { &rows.candidates[candidate] };
        match row.get(&field.name) {
            None => State::Missing,
            Some(value) if *value == unseen_value(field) => State::Unseen,
            Some(_) => State::Known,
        }
    }

    /// Asserts that each field and each cross occurs in each of its states.
    fn assert_covers(contract: &Contract, requests: &[RequestRows]) {
        let candidates = || requests.iter().flat_map(|rows| (0..rows.candidates.len()).map(move |index| (rows, index)));
        let occurs = |want: &[(usize, State)]| {
            candidates().any(|(rows, index)| want.iter().all(|&(field, is)| state(contract, rows, index, field) == is))
        };
        for (index, field) in contract.fields().iter().enumerate() {
            for is in STATES {
                assert!(occurs(&[(index, is)]), "{} is never {is:?}", field.name);
            }
        }
        for cross in contract.crosses() {
            let name = contract.cross_name(cross);
            let known: Vec<_> = cross.members.iter().map(|&member| (member, State::Known)).collect();
            assert!(occurs(&known), "{name} never has all members");
            for odd in 0..known.len() {
                for is in [State::Missing, State::Unseen] {
                    let mut states = known.clone();
                    states[odd].1 = is;
                    assert!(occurs(&states), "{name}: member {odd} is never {is:?} while the others have values");
                }
            }
        }
        assert!(requests.iter().any(|rows| rows.candidates.len() == CANDIDATES));
        assert!(requests.iter().any(|rows| rows.context.is_empty() && rows.candidates[0].is_empty()));
    }

    fn len(requests: Vec<RequestRows>) -> usize {
        let blank = |rows: RequestRows| {
            let count = rows.candidates.len();
            GoldenRequest { rows, logits: vec![0.0; count], probabilities: vec![0.0; count] }
        };
        to_json(&requests.into_iter().map(blank).collect::<Vec<_>>()).len()
    }

    #[test]
    fn few_requests_cover_every_state_of_every_field_and_cross() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.parquet");
        write_parquet(&LogSpec { rows: 5_000, seed: 3, click_rate: 0.1 }, &log).unwrap();
        let contract = crate::toml::parse_contract(CONTRACT).unwrap();
        let requests = requests_of(&contract, &log);
        assert_covers(&contract, &requests);
        // The sample is of real rows, whose values belong together.
        let made_up = |rows: &&RequestRows| rows.candidates.iter().chain([&rows.context]).any(has_made_up_category);
        assert!(requests.iter().filter(|rows| !made_up(rows)).count() >= SAMPLED_REQUESTS);
        let len = len(requests);
        assert!(len <= MAX_LEN, "{len} bytes");
    }

    #[test]
    fn one_short_row_is_enough_and_a_field_without_values_is_never_known() {
        let contract = Contract::from_json(
            br#"{"name":"n","label":"clicked","field":[
            {"name":"a","side":"context","type":"id","meaning":"m"},
            {"name":"b","side":"context","type":"text","many":true,"meaning":"m"},
            {"name":"c","side":"candidate","type":"text","meaning":"m"},
            {"name":"d","side":"candidate","type":"number","unit":"JPY","range":[0.0,9.0],"buckets":[1.0],
             "meaning":"m"},
            {"name":"e","side":"candidate","type":"id","meaning":"m"}],
            "cross":[{"fields":["a","b","c"]},{"fields":["a","d"]},{"fields":["c","d"]}]}"#,
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        let row = r#"{"clicked":0,"a":1,"b":["x","y"],"c":"z","d":2.5,"e":3}"#;
        std::fs::write(&log, row).unwrap();
        assert_covers(&contract, &requests_of(&contract, &log));

        std::fs::write(&log, r#"{"clicked":0,"a":null,"b":[],"c":"z","d":null,"e":null}"#).unwrap();
        let requests = requests_of(&contract, &log);
        for rows in &requests {
            for candidate in 0..rows.candidates.len() {
                assert_ne!(state(&contract, rows, candidate, 0), State::Known);
            }
        }
        assert!(requests.len() > SAMPLED_REQUESTS);
    }

    /// Two texts that are short enough alone, of two rows, and one field that no row has with the other.
    #[test]
    fn rows_that_are_put_together_are_not_too_long() {
        let contract = Contract::from_json(
            br#"{"name":"n","label":"clicked","field":[
            {"name":"a","side":"candidate","type":"text","meaning":"m"},
            {"name":"b","side":"candidate","type":"text","meaning":"m"}]}"#,
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        let text = "x".repeat(MAX_GOLDEN_ROW_LEN - 10);
        let rows = format!("{{\"clicked\":0,\"a\":\"{text}\"}}\n{{\"clicked\":0,\"b\":\"{text}\"}}\n");
        std::fs::write(&log, rows).unwrap();
        let requests = requests_of(&contract, &log);
        assert!(requests.len() > SAMPLED_REQUESTS);
        for row in requests.iter().flat_map(|rows| &rows.candidates) {
            assert!(row_tail_len_bytes(row) <= MAX_GOLDEN_ROW_LEN);
        }
    }

    /// Candidates with many categories in a cross are left out one by one, until the others fit.
    #[test]
    fn look_ups_stay_within_the_budget() {
        let contract = Contract::from_json(
            br#"{"name":"n","label":"clicked","field":[
            {"name":"a","side":"context","type":"id","many":true,"meaning":"m"},
            {"name":"b","side":"candidate","type":"id","meaning":"m"}],"cross":[{"fields":["a","b"]}]}"#,
        )
        .unwrap();
        let mut golden = GoldenRows::new(&contract);
        let context = Row::from([("a".to_owned(), FieldValue::Ids((0..60_000).collect()))]);
        let candidate = Row::from([("b".to_owned(), FieldValue::Id(1))]);
        golden.sample.push((0, SampledRow { context, candidate }));
        let requests = golden.requests();
        let of = |rows: &RequestRows| -> u64 {
            rows.candidates.iter().map(|row| LookupBudget::lookups(&contract, &rows.context, row)).sum()
        };
        let used: u64 = requests.iter().map(of).sum();
        assert!((FREE_GOLDEN_LOOKUPS - 130_000..=FREE_GOLDEN_LOOKUPS).contains(&used), "{used}");
        assert!(requests.iter().all(|rows| !rows.candidates.is_empty()));
    }
}
