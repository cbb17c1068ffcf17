//! Rows made up after the golden requests of a weight file, for those who have no log at hand.
//!
//! Golden requests are real rows, but few. How many categories a field has beyond those is told by how many stand in them only
//! once (I. J. Good, *The population frequencies of species and the estimation of population parameters*, 1953): that share
//! of draws is given to categories that are made up.

use std::collections::BTreeMap;

use rand_pcg::Pcg64Mcg;

use super::draw::{below, popular, unit};
use super::rotation::Rows;
use omomi::contract::{Contract, Field, FieldKind, Side};
use omomi::request::{FieldValue, Row};
use omomi::weight_file::golden::GoldenRequest;

/// Candidate rows that are made up.
const CANDIDATE_ROWS: usize = 20_000;
/// Categories that are made up for a field.
const INVENTED_CATEGORIES: u32 = 100_000;
/// The first made-up id. No log counts that far, so it is unseen.
const FIRST_INVENTED_ID: i64 = 7 << 56;

pub(super) fn rows(contract: &Contract, golden: &[GoldenRequest], context_count: usize, random: &mut Pcg64Mcg) -> Rows {
    let contexts: Vec<&Row> = golden.iter().map(|golden| &golden.rows.context).collect();
    let candidates: Vec<&Row> = golden.iter().flat_map(|golden| &golden.rows.candidates).collect();
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

/// What a field's values are drawn from.
struct Population<'a> {
    field: &'a Field,
    /// Number of categories in each golden row that has the field; nothing for each that lacks it. Empty where none has it.
    counts: Vec<Option<usize>>,
    categories: Categories<'a>,
    /// The share of draws that goes to categories that no golden row has.
    invented_share: f64,
}

/// The categories of all golden rows, as often as they stand there.
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

    /// A value; nothing where the field is missing.
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

    /// A made-up text is a known one with a number behind it, so that texts are about as long as real ones.
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
    /// Takes in the categories of `value` and says how many they are. Numbers out of range, of which golden requests have some
    /// on purpose, are left out.
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

    /// The share of categories that stand here only once; 1 where there are none. Numbers fall into buckets and are never made up.
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
