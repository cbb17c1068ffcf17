//! Ledger: the counters of the background thread since the live model was opened. It counts load attempts by outcome,
//! the stage times of the last load, and categories by field.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::census::{Categories, Census};
use super::status::{Attempt, Outcome, Stage};
use crate::contract::{MAX_FIELDS_PER_SIDE, Side};
use crate::error::Code;
use crate::request::Schema;

/// Maximum number of fields of a schema.
pub(super) const MAX_FIELDS: usize = 2 * MAX_FIELDS_PER_SIDE;

/// The fields that a server declares: context fields first, then candidate fields.
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

/// One count per error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeCounts([u64; Code::ALL.len()]);

impl Default for CodeCounts {
    fn default() -> Self {
        Self([0; Code::ALL.len()])
    }
}

impl CodeCounts {
    /// Returns the count of `code`.
    #[must_use]
    pub fn of(&self, code: Code) -> u64 {
        self.0[code.index()]
    }

    /// Iterates over the codes whose count is not 0, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Code, u64)> {
        Code::ALL.iter().copied().zip(self.0).filter(|(_, count)| *count > 0)
    }

    pub(super) const fn add(&mut self, index: usize) {
        self.0[index] += 1;
    }
}

/// Outcomes of attempts to serve a generation, and withdrawals of served generations. Counts never decrease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwapCounts {
    /// Attempts after which the generation was served.
    pub served: u64,
    /// Attempts that ended because of a new decision in `control`, or because the process was about to end.
    pub interrupted: u64,
    /// Attempts that were refused, by code.
    pub refused: CodeCounts,
    /// Served generations that were taken out of service, by code.
    pub withdrawn: CodeCounts,
}

/// Stage times of the last attempt to serve a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastLoad {
    /// The generation.
    pub generation: u64,
    /// Time of each stage, by its index in [`Stage::ALL`]; `None` for a stage that was not reached or not needed.
    pub stages: [Option<Duration>; Stage::ALL.len()],
}

/// Category counts of one field in sampled requests. At each look at the store, one request of each scorer is sampled,
/// with its first 32 candidates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampledField {
    /// Categories, over all generations. Never decreases.
    pub categories: u64,
    /// Categories without a weight, over all generations. Never decreases.
    pub unseen: u64,
    /// Categories since the served generation was swapped in.
    pub served_categories: u64,
    /// Categories without a weight since the served generation was swapped in.
    pub served_unseen: u64,
}

impl SampledField {
    /// Returns the share of categories without a weight since the served generation was swapped in, from 0 to 1, or
    /// `None` if there was no category.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    pub fn unseen_ratio(&self) -> Option<f64> {
        (self.served_categories > 0).then(|| self.served_unseen as f64 / self.served_categories as f64)
    }
}

/// All counters of the background thread.
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

    /// Adds the counts of one pass.
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
