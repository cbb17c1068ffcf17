//! What one experiment scorer shares with the background thread: the plan, by which requests are answered, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::file::{Experiment, Unit};
use crate::contract::Side;
use crate::error::Error;
use crate::live::LiveScorer;
use crate::live::slot::Slot;
use crate::request::{RequestLayout, Schema, SchemaKind};
use crate::score::CandidateSet;

/// The state of one experiment scorer.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) layout: RequestLayout,
    pub(super) candidates: Option<Arc<CandidateSet>>,
    pub(super) plan: Slot<Plan>,
    pub(super) without_unit_count: AtomicU64,
    /// Requests of arms whose store is not open, which the control arm answered.
    pub(super) unready_count: AtomicU64,
}

/// How the requests of a seat are answered: one version of the file, with the arms that can answer.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Nothing if no good file was ever read.
    pub(super) experiment: Option<Arc<Experiment>>,
    pub(super) unit: UnitPlace,
    /// For each arm of the file; nothing for a shadow, and for one that cannot answer.
    pub(super) arms: Vec<Option<Arc<SeatedArm>>>,
    /// The shadows that have room in the layout, with their shares. The first has result 1.
    pub(super) shadows: Vec<(u32, Arc<SeatedArm>)>,
}

/// Where the value of a request's unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum UnitPlace {
    #[default]
    RequestId,
    /// In a field of the context.
    Field { slot: usize, is_text: bool },
}

impl UnitPlace {
    /// Finds the unit among the fields that a server declares.
    pub(super) fn of(unit: &Unit, schema: &Schema) -> Result<Self, Error> {
        let Unit::Field(name) = unit else { return Ok(Self::RequestId) };
        let mut fields = schema.fields(Side::Context).iter().enumerate();
        let found = fields.find(|(_, field)| field.name == *name);
        let is_text = |kind: &SchemaKind| match kind {
            SchemaKind::Id => Some(false),
            SchemaKind::Text => Some(true),
            SchemaKind::Number { .. } => None,
        };
        let place = found.filter(|(_, field)| !field.many).and_then(|(slot, field)| {
            let is_text = is_text(&field.kind)?;
            Some(Self::Field { slot, is_text })
        });
        place.ok_or_else(|| Error::InvalidArgument {
            argument: "experiment file",
            problem: format!(
                "expected as the unit a field of the context that the server declares, an id or a text with one value, \
                 found `{name}`"
            ),
        })
    }
}

/// An arm in a seat.
#[derive(Debug)]
pub(super) struct SeatedArm {
    /// Its number in the registry.
    pub(super) number: u16,
    pub(super) scorer: LiveScorer,
    pub(super) counts: Arc<ArmCounts>,
    /// Time for a candidate in requests that a shadow scored, too, in picoseconds, averaged over recent ones.
    pub(super) per_candidate_ps: AtomicU64,
}

/// Counts of an arm in a seat. Only the thread that has claimed the plan writes them.
#[derive(Debug, Default)]
pub(super) struct ArmCounts {
    pub(super) answered: AtomicU64,
    pub(super) fell_back: AtomicU64,
    pub(super) shadow: AtomicU64,
    pub(super) shadow_skipped: AtomicU64,
    pub(super) shadow_failed: AtomicU64,
    /// Requests that it should have answered, and could not because of an error.
    pub(super) failed: AtomicU64,
}

/// Number of counts of an arm.
pub(super) const COUNT_COUNT: usize = 6;

impl ArmCounts {
    /// Returns the counts in the order of their declaration.
    pub(super) fn all(&self) -> [u64; COUNT_COUNT] {
        [&self.answered, &self.fell_back, &self.shadow, &self.shadow_skipped, &self.shadow_failed, &self.failed]
            .map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Adds one without an atomic read-modify-write: there is only one writer.
#[inline]
pub(super) fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

impl SeatedArm {
    pub(super) fn new(number: u16, scorer: LiveScorer) -> Self {
        Self { number, scorer, counts: Arc::default(), per_candidate_ps: AtomicU64::new(0) }
    }
}

impl Seat {
    pub(super) fn new(layout: &RequestLayout, candidates: Option<Arc<CandidateSet>>) -> Self {
        Self {
            layout: layout.clone(),
            candidates,
            plan: Slot::new(Box::default()),
            without_unit_count: AtomicU64::new(0),
            unready_count: AtomicU64::new(0),
        }
    }
}
