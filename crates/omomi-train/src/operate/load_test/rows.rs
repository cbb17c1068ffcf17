//! The rows of a rotation: sampled from a log or invented, then kept by slot as a server keeps them.
//!
//! Invented rows are for users without a log. They resemble the golden requests of a weight file, which are real rows,
//! but few. How many more categories a field has is estimated from the share of its categories that occur only once (I.
//! J. Good, *The population frequencies of species and the estimation of population parameters*, 1953). That share of
//! the draws goes to made-up categories.

use std::collections::{BTreeMap, HashSet};

use rand::Rng;
use rand_pcg::Pcg64Mcg;
use xxhash_rust::xxh3::xxh3_64;

use super::LatencyError;
use crate::log::{LogError, LogReader};
use crate::pack::has_made_up_category;
use omomi::contract::{Contract, Field, FieldKind, Side};
use omomi::error::Error;
use omomi::feature::text_value;
use omomi::request::{FieldSlot, FieldValue, Row, Schema, row_to_json};
use omomi::score::RowMut;
use omomi::weight_file::golden::GoldenRequest;

/// Maximum number of rows read from a log.
pub const MAX_LOG_ROWS: usize = 500_000;
/// Maximum number of distinct candidate rows kept from a log; the first ones are kept.
pub const MAX_LOG_CANDIDATES: usize = 50_000;
/// Number of candidate rows to invent.
const CANDIDATE_ROWS: usize = 20_000;
/// Number of categories to make up for a field.
const INVENTED_CATEGORIES: u32 = 100_000;
/// The first made-up id. Real ids are not expected to be this large, so it is unseen.
const FIRST_INVENTED_ID: i64 = 7 << 56;

/// Rows to build requests from, by field name.
pub(super) struct Rows {
    pub(super) contexts: Vec<Row>,
    pub(super) candidates: Vec<Row>,
}

/// Samples `context_count` contexts, each row of the log with equal probability, and collects the distinct candidates.
pub(super) fn sample_log(
    contract: &Contract,
    reader: &mut LogReader,
    context_count: usize,
    random: &mut Pcg64Mcg,
) -> Result<Rows, LatencyError> {
    let mut rows = Rows { contexts: Vec::new(), candidates: Vec::new() };
    let mut seen = HashSet::new();
    let mut row_count = 0;
    while row_count < MAX_LOG_ROWS
        && let Some(batch) = reader.next_batch()?
    {
        if let Some(field) = batch.key_field(contract) {
            return Err(LogError::KeysOnly { field: field.to_owned(), step: "a load test" }.into());
        }
        for index in 0..batch.row_count().min(MAX_LOG_ROWS - row_count) {
            row_count += 1;
            // Reservoir sampling: row `n` is kept with probability context_count / n, and replaces a random one.
            let place = if row_count <= context_count { row_count - 1 } else { below(random, row_count) };
            if place < context_count {
                let row = batch.row(contract, Side::Context, index);
                match rows.contexts.get_mut(place) {
                    Some(other) => *other = row,
                    None => rows.contexts.push(row),
                }
            }
            if rows.candidates.len() < MAX_LOG_CANDIDATES {
                let row = batch.row(contract, Side::Candidate, index);
                if seen.insert(xxh3_64(row_to_json(&row).to_string().as_bytes())) {
                    rows.candidates.push(row);
                }
            }
        }
    }
    Ok(rows)
}

pub(super) fn invent_rows(
    contract: &Contract,
    golden: &[GoldenRequest],
    context_count: usize,
    random: &mut Pcg64Mcg,
) -> Rows {
    // Golden requests also have rows with categories that were made up to test readers. They resemble no real row.
    let is_real = |row: &&Row| !has_made_up_category(row);
    let contexts: Vec<&Row> = golden.iter().map(|golden| &golden.rows.context).filter(is_real).collect();
    let candidates: Vec<&Row> = golden.iter().flat_map(|golden| &golden.rows.candidates).filter(is_real).collect();
    Rows {
        contexts: side_rows(contract, Side::Context, &contexts, context_count, random),
        candidates: side_rows(contract, Side::Candidate, &candidates, CANDIDATE_ROWS, random),
    }
}

fn side_rows(contract: &Contract, side: Side, golden: &[&Row], count: usize, random: &mut Pcg64Mcg) -> Vec<Row> {
    let fields = contract.fields().iter().filter(|field| field.side == side);
    let populations: Vec<Population<'_>> = fields.map(|field| Population::new(field, golden)).collect();
    let mut row = || {
        let values = populations.iter();
        values.filter_map(|population| Some((population.field.name.clone(), population.value(random)?))).collect()
    };
    (0..count).map(|_| row()).collect()
}

/// What the values of a field are drawn from.
struct Population<'a> {
    field: &'a Field,
    /// For each golden row, the number of categories that the field has in it; `None` where it is missing. Empty if no
    /// row has the field.
    counts: Vec<Option<usize>>,
    categories: Categories<'a>,
    /// The share of draws that goes to made-up categories.
    invented_share: f64,
}

/// The categories in all golden rows, repeated as often as they occur.
enum Categories<'a> {
    Ids(Vec<i64>),
    Texts(Vec<&'a str>),
    Numbers(Vec<f64>),
}

impl<'a> Population<'a> {
    fn new(field: &'a Field, golden: &[&'a Row]) -> Self {
        let mut categories = match &field.kind {
            FieldKind::Id => Categories::Ids(Vec::new()),
            FieldKind::Text => Categories::Texts(Vec::new()),
            FieldKind::Number { .. } => Categories::Numbers(Vec::new()),
        };
        let mut counts = Vec::new();
        for row in golden {
            let value = row.get(&field.name);
            counts.push(value.map(|value| categories.add(value, &field.kind)));
        }
        if counts.iter().all(Option::is_none) {
            counts.clear();
        }
        let invented_share = categories.singleton_share();
        Self { field, counts, categories, invented_share }
    }

    /// Draws a value; `None` means that the field is missing.
    fn value(&self, random: &mut Pcg64Mcg) -> Option<FieldValue> {
        let count = if self.counts.is_empty() { 1 } else { self.counts[below(random, self.counts.len())]? };
        Some(match (&self.categories, self.field.many) {
            (Categories::Ids(known), false) => FieldValue::Id(self.id(known, random)),
            (Categories::Ids(known), true) => FieldValue::Ids((0..count).map(|_| self.id(known, random)).collect()),
            (Categories::Texts(known), false) => FieldValue::Text(self.text(known, random)),
            (Categories::Texts(known), true) => {
                FieldValue::Texts((0..count).map(|_| self.text(known, random)).collect())
            }
            (Categories::Numbers(known), _) => FieldValue::Number(self.number(known, random)),
        })
    }

    fn id(&self, known: &[i64], random: &mut Pcg64Mcg) -> i64 {
        if unit(random) < self.invented_share {
            return FIRST_INVENTED_ID + i64::from(popular(random, INVENTED_CATEGORIES));
        }
        known[below(random, known.len())]
    }

    /// A made-up text is a known text followed by a number, so that it is about as long as a real one.
    fn text(&self, known: &[&str], random: &mut Pcg64Mcg) -> String {
        let text = if known.is_empty() { "" } else { known[below(random, known.len())] };
        if unit(random) < self.invented_share {
            return format!("{text} {}", popular(random, INVENTED_CATEGORIES));
        }
        text.to_owned()
    }

    fn number(&self, known: &[f64], random: &mut Pcg64Mcg) -> f64 {
        match &self.field.kind {
            FieldKind::Number { range, .. } if known.is_empty() => range[0] + unit(random) * (range[1] - range[0]),
            _ => known[below(random, known.len())],
        }
    }
}

impl<'a> Categories<'a> {
    /// Adds the categories of `value` and returns how many there are. Numbers out of range, which golden requests
    /// contain on purpose, are counted but not added.
    fn add(&mut self, value: &'a FieldValue, kind: &FieldKind) -> usize {
        match (self, value) {
            (Self::Ids(known), FieldValue::Id(id)) => known.push(*id),
            (Self::Ids(known), FieldValue::Ids(ids)) => {
                known.extend(ids);
                return ids.len();
            }
            (Self::Texts(known), FieldValue::Text(text)) => known.push(text),
            (Self::Texts(known), FieldValue::Texts(texts)) => {
                known.extend(texts.iter().map(String::as_str));
                return texts.len();
            }
            (Self::Numbers(known), FieldValue::Number(number)) => {
                if let FieldKind::Number { range, .. } = kind
                    && (range[0]..=range[1]).contains(number)
                {
                    known.push(*number);
                }
            }
            // Golden requests were checked against the contract.
            _ => {}
        }
        1
    }

    /// The share of categories that occur only once; 1 if there are none. Always 0 for numbers: they fall into buckets
    /// and are never made up.
    fn singleton_share(&self) -> f64 {
        fn share<T: Ord>(all: &[T]) -> f64 {
            let mut counts = BTreeMap::new();
            all.iter().for_each(|one| *counts.entry(one).or_insert(0_u32) += 1);
            let singleton_count = counts.values().filter(|&&count| count == 1).count();
            #[expect(clippy::cast_precision_loss, reason = "a share of a few hundred")]
            let share = if all.is_empty() { 1.0 } else { singleton_count as f64 / all.len() as f64 };
            share
        }
        match self {
            Self::Ids(ids) => share(ids),
            Self::Texts(texts) => share(texts),
            Self::Numbers(_) => 0.0,
        }
    }
}

/// A row as a server has it: values and their slots.
#[derive(Debug)]
pub(super) struct SlotRow {
    values: Vec<(FieldSlot, SlotValue)>,
    /// The most bytes that the row takes in a request's tail.
    pub(super) tail_len_bytes: usize,
    pub(super) category_count: u64,
}

#[derive(Debug)]
enum SlotValue {
    Plain(FieldValue),
    TextHash(u64),
}

impl SlotRow {
    pub(super) fn new(schema: &Schema, row: Row, hashed_texts: bool) -> Self {
        let tail_len_bytes = row.values().map(FieldValue::tail_len_bytes).sum();
        let category_count = row.values().map(category_count).sum();
        let slot_value = |value| match value {
            FieldValue::Text(text) if hashed_texts => SlotValue::TextHash(text_value(text.as_bytes())),
            value => SlotValue::Plain(value),
        };
        let values = row.into_iter().filter_map(|(name, value)| Some((schema.slot(&name)?, slot_value(value))));
        Self { values: values.collect(), tail_len_bytes, category_count }
    }

    pub(super) fn write(&self, row: &mut RowMut<'_>) -> Result<(), Error> {
        for (slot, value) in &self.values {
            match value {
                SlotValue::Plain(FieldValue::Id(id)) => row.set_id(*slot, *id)?,
                SlotValue::Plain(FieldValue::Text(text)) => row.set_text(*slot, text)?,
                SlotValue::Plain(FieldValue::Number(number)) => row.set_number(*slot, *number)?,
                SlotValue::Plain(FieldValue::Ids(ids)) => row.set_ids(*slot, ids)?,
                SlotValue::Plain(FieldValue::Texts(texts)) => row.set_texts(*slot, texts)?,
                SlotValue::TextHash(hash) => row.set_text_value(*slot, *hash)?,
            }
        }
        Ok(())
    }

    /// Number of values in the longest list of the row.
    pub(super) fn max_values(&self) -> usize {
        let list_len = |(_, value): &(FieldSlot, SlotValue)| match value {
            SlotValue::Plain(FieldValue::Ids(ids)) => ids.len(),
            SlotValue::Plain(FieldValue::Texts(texts)) => texts.len(),
            SlotValue::Plain(_) | SlotValue::TextHash(_) => 0,
        };
        self.values.iter().map(list_len).max().unwrap_or(0)
    }
}

fn category_count(value: &FieldValue) -> u64 {
    match value {
        FieldValue::Id(_) | FieldValue::Text(_) | FieldValue::Number(_) => 1,
        FieldValue::Ids(ids) => ids.len() as u64,
        FieldValue::Texts(texts) => texts.len() as u64,
    }
}

/// Draws uniformly from [0, 1), with 53 bits.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
fn unit(random: &mut Pcg64Mcg) -> f64 {
    (random.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Draws uniformly from `0..count`, as the upper half of a product; the bias is below `count / 2^64`.
pub(super) fn below(random: &mut Pcg64Mcg, count: usize) -> usize {
    let product = u128::from(random.next_u64()) * count as u128;
    usize::try_from(product >> 64).unwrap_or(0)
}

/// Draws a rank below `count`; rank `r` is drawn about as often as `1 / (r + 1)` (Zipf's law, exponent 1).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a power from 1 to `count`")]
fn popular(random: &mut Pcg64Mcg, count: u32) -> u32 {
    let rank = f64::from(count).powf(unit(random)) as u32 - 1;
    rank.min(count - 1)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn half_of_what_is_popular_is_below_the_square_root() {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let ranks: Vec<u32> = (0..10_000).map(|_| popular(&mut random, 10_000)).collect();
        assert!(ranks.iter().all(|&rank| rank < 10_000));
        let count = ranks.iter().filter(|&&rank| rank < 99).count();
        assert!((4_800..5_200).contains(&count), "{count}");
    }

    #[test]
    fn every_number_below_a_bound_is_drawn_and_none_above() {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let mut counts = [0; 7];
        (0..7_000).for_each(|_| counts[below(&mut random, 7)] += 1);
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
