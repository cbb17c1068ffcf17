//! What the scorers of a run share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rotation::Rotation;
use omomi::error::Error;
use omomi::request::RequestLayout;
use omomi::score::{CandidateSet, Model, Request, Scorer};

/// A layout for the requests of a rotation, and the set that their candidates lie in where they are prepared.
pub(super) struct Setup<'a> {
    rotation: &'a Rotation,
    candidate_count: usize,
    layout: RequestLayout,
    set: Option<Arc<CandidateSet>>,
}

impl<'a> Setup<'a> {
    pub(super) fn new(rotation: &'a Rotation, candidate_count: usize, prepared: bool) -> Result<Self, Error> {
        let (layout, set) = if prepared {
            (rotation.prepared_layout(candidate_count)?, Some(Arc::new(rotation.candidate_set()?)))
        } else {
            (rotation.layout(candidate_count)?, None)
        };
        Ok(Self { rotation, candidate_count, layout, set })
    }

    /// Scorers for `count` threads, and how long it took to prepare the candidates for the model, which the first of them does.
    pub(super) fn scorers(&self, model: &Arc<Model>, count: usize) -> Result<(Vec<Scorer>, Option<Duration>), Error> {
        let start = Instant::now();
        let first = self.scorer(model)?;
        let preparation = self.set.is_some().then(|| start.elapsed());
        let others = (1..count).map(|_| self.scorer(model));
        Ok((std::iter::once(Ok(first)).chain(others).collect::<Result<_, Error>>()?, preparation))
    }

    pub(super) fn scorer(&self, model: &Arc<Model>) -> Result<Scorer, Error> {
        match &self.set {
            Some(set) => Scorer::with_candidates(vec![Arc::clone(model)], &self.layout, set),
            None => Scorer::new(Arc::clone(model), &self.layout),
        }
    }

    /// Fills `request` with request `index` of the rotation.
    #[inline]
    pub(super) fn fill(&self, index: usize, request: &mut Request) -> Result<(), Error> {
        match &self.set {
            Some(_) => self.rotation.fill_prepared(index, self.candidate_count, request),
            None => self.rotation.fill(index, self.candidate_count, request),
        }
    }
}
