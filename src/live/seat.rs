//! Seat: the state that one live scorer shares with the background thread. The slot holds the scorer of the served
//! generation. The counters and the sampled request carry data from the request thread to the background thread.

use std::sync::Arc;

use super::counters::Counters;
use super::sample::Sample;
use super::slot::Slot;
use crate::error::Error;
use crate::request::RequestLayout;
use crate::score::{CandidateSet, Model, Scorer};

/// Answers the requests of one live scorer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is in the box of its slot, and is rarely `Nothing`")]
pub(super) enum Serving {
    /// No generation has been served yet.
    Nothing,
    /// The scorer of a generation, created by the background thread.
    Model(Scorer),
}

/// The state of one live scorer.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) layout: RequestLayout,
    pub(super) candidates: Option<Arc<CandidateSet>>,
    pub(super) slot: Slot<Serving>,
    /// The scorer of the fallback file, which never changes.
    pub(super) fallback: Option<Scorer>,
    pub(super) counters: Counters,
    pub(super) sample: Sample,
}

impl Seat {
    pub(super) fn new(
        layout: &RequestLayout,
        candidates: Option<Arc<CandidateSet>>,
        model: Option<&Arc<Model>>,
        fallback: Option<&Arc<Model>>,
    ) -> Result<Self, Error> {
        let serving = match model {
            Some(model) => Serving::Model(bind(model, layout, candidates.as_ref())?),
            None => Serving::Nothing,
        };
        let fallback = fallback.map(|model| bind(model, layout, candidates.as_ref())).transpose()?;
        Ok(Self {
            slot: Slot::new(Box::new(serving)),
            fallback,
            counters: Counters::new(),
            sample: Sample::new(layout)?,
            layout: layout.clone(),
            candidates,
        })
    }

    /// Creates what answers requests of this seat with `model`. Allocates, so only the background thread calls it.
    pub(super) fn serving(&self, model: &Arc<Model>) -> Result<Serving, Error> {
        bind(model, &self.layout, self.candidates.as_ref()).map(Serving::Model)
    }
}

fn bind(model: &Arc<Model>, layout: &RequestLayout, candidates: Option<&Arc<CandidateSet>>) -> Result<Scorer, Error> {
    let models = vec![Arc::clone(model)];
    match candidates {
        Some(set) => Scorer::with_candidates(models, layout, set),
        None => Scorer::for_models(models, layout),
    }
}
