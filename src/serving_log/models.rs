//! The models behind a ring: who answered, with which contract, and how a row of the server's schema is logged.

use std::sync::Arc;

use super::format::{NO_MODEL, Put};
use crate::contract::{Buckets, Contract, FieldKind, LogPolicy, Side};
use crate::experiment::Registry;
use crate::live::Generations;
use crate::request::{RequestLayout, Schema};
use crate::score::{CandidateSet, Model, ModelIdentity, Scorer};

/// Where the answers of a ring's requests come from.
#[derive(Debug)]
pub(super) enum Answering {
    /// The models of a scorer, in its order.
    Fixed(Vec<(Arc<Model>, Arc<ModelIdentity>)>),
    /// A live model, and its fallback file.
    Live(Generations, Option<(Arc<Model>, Arc<ModelIdentity>)>),
    /// The arms of an experiment.
    Experiment(Arc<Registry>),
    /// Nothing: the ring is for events.
    Nothing,
}

/// Which of a ring's models gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnsweredBy {
    /// Its index among the models of the scorer.
    pub(super) model: usize,
    /// The arm of an experiment, by its number.
    pub(super) arm: Option<u16>,
    /// Its generation; nothing if there is no answer.
    pub(super) generation: Option<u64>,
    /// Whether it is the fallback file of a live model, whose generation may be that of a served model, too.
    pub(super) is_fallback: bool,
}

impl Answering {
    /// Returns who gave an answer: the generation of a request's outcome, or without one, who would have answered.
    pub(super) fn identity(&self, by: AnsweredBy) -> Option<Arc<ModelIdentity>> {
        match (self, by.generation) {
            (Self::Fixed(models), _) => models.get(by.model).map(|(_, identity)| Arc::clone(identity)),
            (Self::Live(_, fallback), _) if by.is_fallback => {
                fallback.as_ref().map(|(_, identity)| Arc::clone(identity))
            }
            (Self::Live(generations, _), Some(generation)) => generations.identity(generation),
            (Self::Live(generations, _), None) => generations.latest(),
            (Self::Experiment(registry), _) if by.is_fallback => {
                registry.fallback().map(|(_, identity)| Arc::clone(identity))
            }
            (Self::Experiment(registry), Some(generation)) => registry.get(by.arm?)?.generations.identity(generation),
            (Self::Experiment(registry), None) => registry.control()?.generations.latest(),
            (Self::Nothing, _) => None,
        }
    }

    /// Whether `identity` is known to be the one of `by`.
    pub(super) fn is_of(&self, by: AnsweredBy, identity: &Arc<ModelIdentity>) -> bool {
        let is_it = |known: &(Arc<Model>, Arc<ModelIdentity>)| Arc::ptr_eq(&known.1, identity);
        match self {
            Self::Fixed(models) => models.get(by.model).is_some_and(is_it),
            Self::Live(_, fallback) => {
                let is_fallback = fallback.as_ref().is_some_and(is_it);
                by.is_fallback == is_fallback && by.generation == Some(identity.generation)
            }
            // Two arms may have one generation, so it must be looked up.
            Self::Experiment(_) => false,
            Self::Nothing => false,
        }
    }

    /// Returns the models whose weights are in memory, if the one that answered is among them.
    pub(super) fn models(&self, by: AnsweredBy) -> Option<Vec<Arc<Model>>> {
        match self {
            Self::Fixed(models) => Some(models.iter().map(|(model, _)| Arc::clone(model)).collect()),
            Self::Live(_, fallback) if by.is_fallback => fallback.as_ref().map(|(model, _)| vec![Arc::clone(model)]),
            Self::Live(generations, _) => {
                let served = generations.served()?;
                (Some(served.generation()) == by.generation).then(|| vec![served])
            }
            Self::Experiment(registry) if by.is_fallback => {
                registry.fallback().map(|(model, _)| vec![Arc::clone(model)])
            }
            Self::Experiment(registry) => {
                let served = registry.get(by.arm?)?.generations.served()?;
                (Some(served.generation()) == by.generation).then(|| vec![served])
            }
            Self::Nothing => None,
        }
    }

    /// Returns the layout of the blocks for the models that [`models`](Self::models) returns, and the index of the one
    /// that answered among them. The scorer of an experiment has a layout for its shadows, too, but each result is of
    /// one model.
    pub(super) fn layout_and_model(&self, layout: &RequestLayout, model: usize) -> (RequestLayout, usize) {
        match self {
            Self::Experiment(_) => (layout.of_result(model), 0),
            Self::Fixed(_) | Self::Live(..) | Self::Nothing => (layout.clone(), model),
        }
    }
}

/// A scorer of the writer, which explains and checks what was recorded. It keeps the model in memory, so it is dropped
/// when another generation answers.
#[derive(Debug)]
pub(super) struct Explainer {
    by: AnsweredBy,
    pub(super) scorer: Scorer,
}

impl Explainer {
    pub(super) fn new(
        answering: &Answering,
        by: AnsweredBy,
        layout: &RequestLayout,
        set: Option<&Arc<CandidateSet>>,
    ) -> Option<Self> {
        let (layout, _) = answering.layout_and_model(layout, by.model);
        let scorer = Scorer::bind(answering.models(by)?, &layout, set.map(Arc::clone)).ok()?;
        Some(Self { by, scorer })
    }

    /// Whether it can explain the answers of `by`.
    pub(super) fn is_for(&self, answering: &Answering, by: AnsweredBy) -> bool {
        matches!(answering, Answering::Fixed(_)) || self.by == by
    }

    /// Whether its model is no longer the one that answers, and may be waiting to be freed.
    pub(super) fn is_outdated(&self, answering: &Answering) -> bool {
        match answering {
            Answering::Live(..) if self.by.is_fallback => false,
            Answering::Live(generations, _) => {
                let served = generations.served();
                served.is_none_or(|served| !Arc::ptr_eq(&served, self.scorer.model()))
            }
            Answering::Experiment(_) if self.by.is_fallback => false,
            Answering::Experiment(registry) => {
                let arm = self.by.arm.and_then(|arm| registry.get(arm));
                let served = arm.and_then(|arm| arm.generations.served());
                served.is_none_or(|served| !Arc::ptr_eq(&served, self.scorer.model()))
            }
            Answering::Fixed(_) | Answering::Nothing => false,
        }
    }
}

/// How the rows of a schema are logged for one model.
#[derive(Debug)]
pub(super) struct RowPlan {
    pub(super) identity: Arc<ModelIdentity>,
    /// In contract order.
    pub(super) fields: Vec<FieldPlan>,
    /// Whether features of a field or cross may be in a detail record, by its index: fields first, then crosses.
    pub(super) may_be_logged: Vec<bool>,
    /// Whether features of a field or cross belong to the context.
    pub(super) is_of_context: Vec<bool>,
    /// The names of fields and crosses, by the same index.
    pub(super) names: Vec<String>,
}

/// How a field is logged.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub(super) side: Side,
    /// The index of its slot, if the schema has the field.
    pub(super) slot: Option<usize>,
    pub(super) kind: ValueKind,
    pub(super) many: bool,
    pub(super) policy: LogPolicy,
    pub(super) seed: u64,
}

#[derive(Debug)]
pub(super) enum ValueKind {
    Id,
    Text,
    Number([f64; 2], Buckets),
}

impl RowPlan {
    pub(super) fn new(identity: Arc<ModelIdentity>, schema: &Schema) -> Self {
        let contract = &identity.contract;
        let fields = contract.fields().iter().map(|field| FieldPlan {
            side: field.side,
            slot: schema.slot(&field.name).filter(|slot| slot.side() == field.side).map(|slot| slot.index()),
            kind: match &field.kind {
                FieldKind::Id => ValueKind::Id,
                FieldKind::Text => ValueKind::Text,
                FieldKind::Number { range, buckets, .. } => ValueKind::Number(*range, buckets.clone()),
            },
            many: field.many,
            policy: field.log,
            seed: field.seed(),
        });
        let fields: Vec<_> = fields.collect();
        let mut may_be_logged: Vec<bool> = fields.iter().map(|field| field.policy != LogPolicy::Never).collect();
        let mut is_of_context: Vec<bool> = fields.iter().map(|field| field.side == Side::Context).collect();
        let mut names: Vec<String> = contract.fields().iter().map(|field| field.name.clone()).collect();
        for cross in contract.crosses() {
            may_be_logged.push(cross.members.iter().all(|member| may_be_logged[*member]));
            is_of_context.push(contract.cross_side(cross) == Some(Side::Context));
            names.push(contract.cross_name(cross));
        }
        Self { identity, fields, may_be_logged, is_of_context, names }
    }

    /// Returns the index of a field or cross by its name, beginning the search at `from`: names come in about this
    /// order.
    pub(super) fn group_of(&self, name: &str, from: usize) -> Option<usize> {
        let count = self.names.len();
        (0..count).map(|step| (from + step) % count).find(|index| self.names[*index] == name)
    }
}

/// Models that a block names, each once.
#[derive(Debug, Default)]
pub(super) struct NamedModels(Vec<Arc<ModelIdentity>>);

impl NamedModels {
    /// Returns the index of a model, which is added if it is new. A block has room for all models of a process.
    pub(super) fn index(&mut self, identity: Option<&Arc<ModelIdentity>>) -> u16 {
        let Some(identity) = identity else { return NO_MODEL };
        let known = self.0.iter().rposition(|known| Arc::ptr_eq(known, identity));
        let index = known.unwrap_or_else(|| {
            self.0.push(Arc::clone(identity));
            self.0.len() - 1
        });
        u16::try_from(index).unwrap_or(NO_MODEL)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn put(&self, to: &mut Vec<u8>) {
        self.0.iter().for_each(|identity| put_model(identity, to));
    }
}

fn put_model(identity: &ModelIdentity, to: &mut Vec<u8>) {
    let start = to.len();
    let contract: &Contract = &identity.contract;
    to.put(0_u32);
    to.put(short(contract.fields().len()));
    to.put(short(contract.crosses().len()));
    to.put(identity.generation);
    to.put_bytes(&identity.digest);
    to.put(identity.contract_fingerprint);
    put_text(to, &identity.logic_id);
    for field in contract.fields() {
        let kind = match field.kind {
            FieldKind::Id => 0_u8,
            FieldKind::Text => 1,
            FieldKind::Number { .. } => 2,
        };
        let policy = match field.log {
            LogPolicy::Plain => 0_u8,
            LogPolicy::Hashed => 1,
            LogPolicy::Never => 2,
        };
        to.put(u8::from(field.side == Side::Candidate));
        to.put(kind);
        to.put(u8::from(field.many));
        to.put(policy);
        put_text(to, &field.name);
    }
    for cross in contract.crosses() {
        to.put(u8::try_from(cross.members.len()).unwrap_or(0));
        cross.members.iter().for_each(|member| to.put(short(*member)));
    }
    let len = u32::try_from(to.len() - start).unwrap_or(0);
    to[start..start + size_of::<u32>()].copy_from_slice(&len.to_le_bytes());
}

/// Logic ids and names of fields are short, by the limits of weight files and contracts.
fn put_text(to: &mut Vec<u8>, text: &str) {
    to.put(short(text.len()));
    to.put_bytes(text.as_bytes());
}

fn short(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
