//! What the background thread counts, from the first look on: attempts by outcome, the stages of the last load, categories by field.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::census::{Categories, Census};
use super::report::{Attempt, Outcome, Stage};
use crate::contract::{MAX_FIELDS_PER_SIDE, Side};
use crate::error::Code;
use crate::request::Schema;

/// Most fields of a schema.
pub(super) const MAX_FIELDS: usize = 2 * MAX_FIELDS_PER_SIDE;

/// The fields that a server declares: those of the context, then those of candidates.
#[derive(Debug)]
pub(super) struct FieldNames {
    names: Vec<Arc<str>>,
    indices: HashMap<Arc<str>, usize>,
}

impl FieldNames {
    pub(super) fn of(schema: &Schema) -> Self {
        let sides = [Side::Context, Side::Candidate].into_iter();
        let fields = sides.flat_map(|side| schema.fields(side)).map(|field| Arc::from(field.name.as_str()));
        let names: Vec<Arc<str>> = fields.collect();
        let indices = names.iter().enumerate().map(|(index, name)| (Arc::clone(name), index)).collect();
        Self { names, indices }
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.indices.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

/// A number for each code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeCounts([u64; Code::ALL.len()]);

impl Default for CodeCounts {
    fn default() -> Self {
        Self([0; Code::ALL.len()])
    }
}

impl CodeCounts {
    /// The number of `code`.
    #[must_use]
    pub fn of(&self, code: Code) -> u64 {
        self.0[code.index()]
    }

    /// The codes whose number is not 0, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Code, u64)> {
        Code::ALL.iter().copied().zip(self.0).filter(|(_, count)| *count > 0)
    }

    pub(super) const fn add(&mut self, index: usize) {
        self.0[index] += 1;
    }
}

/// How attempts to serve a generation ended, and what became of served ones. Never goes down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwapCounts {
    /// The generation was served.
    pub served: u64,
    /// People decided otherwise meanwhile.
    pub interrupted: u64,
    /// The generation was refused.
    pub refused: CodeCounts,
    /// A generation that was served already was taken out of service.
    pub withdrawn: CodeCounts,
}

/// How long the last attempt to serve a generation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastLoad {
    /// The generation.
    pub generation: u64,
    /// What each stage took, by its index in [`Stage::ALL`]; nothing for one that was not reached, or not needed.
    pub stages: [Option<Duration>; Stage::ALL.len()],
}

/// Categories of one field in the requests that were sampled: one for each scorer and look at the store, with its first 32 candidates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampledField {
    /// Categories, of all generations. Never goes down.
    pub categories: u64,
    /// Of these, the ones without a weight. Never goes down.
    pub unseen: u64,
    /// Categories since the served generation is served.
    pub served_categories: u64,
    /// Of these, the ones without a weight.
    pub served_unseen: u64,
}

impl SampledField {
    /// Share of the categories without a weight since the served generation is served, 0 to 1; nothing where there was no category.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    pub fn unseen_ratio(&self) -> Option<f64> {
        (self.served_categories > 0).then(|| self.served_unseen as f64 / self.served_categories as f64)
    }
}

/// All that is counted.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) swaps: SwapCounts,
    pub(super) last_load: Option<LastLoad>,
    pub(super) sampled_requests: u64,
    pub(super) fields: [SampledField; MAX_FIELDS],
    sampled_generation: Option<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            swaps: SwapCounts::default(),
            last_load: None,
            sampled_requests: 0,
            fields: [SampledField::default(); MAX_FIELDS],
            sampled_generation: None,
        }
    }
}

impl Ledger {
    /// Counts an attempt to serve a generation.
    pub(super) fn tried(&mut self, attempt: &Attempt) {
        match &attempt.outcome {
            Outcome::Served => self.swaps.served += 1,
            Outcome::Interrupted => self.swaps.interrupted += 1,
            Outcome::Refused(reason) => self.swaps.refused.add(reason.code.index()),
        }
        let took = |stage| attempt.stages.iter().find(|(known, _)| *known == stage).map(|(_, took)| *took);
        self.last_load = Some(LastLoad { generation: attempt.generation, stages: Stage::ALL.map(took) });
    }

    /// Counts a served generation that was taken out of service.
    pub(super) fn withdrawn(&mut self, code: Code) {
        self.swaps.withdrawn.add(code.index());
    }

    /// Adds what was counted in a pass.
    pub(super) fn sampled(&mut self, census: &Census<'_>) {
        if self.sampled_generation != Some(census.generation()) {
            self.sampled_generation = Some(census.generation());
            for field in &mut self.fields {
                (field.served_categories, field.served_unseen) = (0, 0);
            }
        }
        self.sampled_requests += census.request_count;
        for (field, Categories { count, unseen_count }) in self.fields.iter_mut().zip(census.fields) {
            field.categories += count;
            field.unseen += unseen_count;
            field.served_categories += count;
            field.served_unseen += unseen_count;
        }
    }
}
