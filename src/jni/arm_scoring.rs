//! Scores the requests of an experiment for Java, and keeps how the last one was answered.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::answered::AnsweredBlock;
use super::arguments::invalid;
use crate::error::Error;
use crate::experiment::{Answered, ExperimentScorer};
use crate::score::{Explanation, Model};

/// Scores the requests of a Java scorer with the arm of their unit. Java lets one thread at a time into a call.
pub(super) struct ArmScoring {
    scorer: ExperimentScorer,
    /// The memory of the Java scorer. Valid as long as that is reachable.
    memory: *mut u8,
    /// How the last request was answered, if an arm has answered it.
    answered: Cell<Option<Answered>>,
}

impl ArmScoring {
    /// # Safety
    ///
    /// `memory` must be aligned for an f64, and have the initialized bytes of an [`AnsweredBlock`] for the candidates
    /// of the scorer's layout, as long as the Java scorer is reachable.
    pub(super) const unsafe fn new(scorer: ExperimentScorer, memory: *mut u8) -> Self {
        Self { scorer, memory, answered: Cell::new(None) }
    }

    /// Returns what a log records for.
    pub(super) const fn scorer(&self) -> &ExperimentScorer {
        &self.scorer
    }

    /// # Safety
    ///
    /// The Java scorer must be reachable as long as the result is, and no other thread may be in a call with it.
    unsafe fn memory<'a>(&self) -> AnsweredBlock<'a> {
        // SAFETY: the promises of `new` and of the caller.
        unsafe { AnsweredBlock::at(self.memory, self.scorer.layout().capacity().candidates) }
    }

    /// # Safety
    ///
    /// The promises of [`crate::Scorer::predict_block`] and of [`memory`](Self::memory).
    pub(super) unsafe fn predict_block(
        &self,
        block: *mut u8,
        candidate_count: usize,
        budget: Option<Duration>,
    ) -> Result<(), Error> {
        self.answered.set(None);
        // SAFETY: the caller's promise.
        let mut memory = unsafe { self.memory() };
        let request_id = memory.request_id()?;
        // SAFETY: the caller's promise.
        let answered = unsafe { self.scorer.predict_block(block, candidate_count, request_id, budget) }?;
        memory.put_answered(&answered);
        self.answered.set(Some(answered));
        Ok(())
    }

    /// # Safety
    ///
    /// The promises of [`crate::Scorer::predict_block`].
    pub(super) unsafe fn predict_fallback_block(&self, block: *mut u8, candidate_count: usize) -> Result<(), Error> {
        self.answered.set(None);
        // SAFETY: the caller's promise.
        unsafe { self.scorer.predict_fallback_block(block, candidate_count) }
    }

    /// # Safety
    ///
    /// The promises of [`crate::Scorer::predict_block`].
    pub(super) unsafe fn explain_block(&self, block: *mut u8, candidate: usize) -> Result<Explanation, Error> {
        let arm = self.answered()?.arm;
        // SAFETY: the caller's promise.
        unsafe { self.scorer.explain_block(block, candidate, arm) }
    }

    /// # Safety
    ///
    /// The promise of [`memory`](Self::memory).
    pub(super) unsafe fn choose(&self, utility_count: usize) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let mut memory = unsafe { self.memory() };
        let utilities = memory.utilities(utility_count).ok_or_else(|| {
            let expected = self.scorer.layout().capacity().candidates;
            invalid("utilities", format!("expected at most {expected}, found {utility_count}"))
        })?;
        let choice = self.answered()?.choose(memory.request_id()?, utilities)?;
        memory.put_choice(choice);
        Ok(())
    }

    /// Returns the logic id of a generation of the arm that answered the last request.
    pub(super) fn logic_id(&self, generation: u64) -> Option<Arc<str>> {
        self.scorer.logic_id_of(u32::from(self.answered.get()?.arm), generation)
    }

    /// Returns the model of the fallback file.
    pub(super) fn fallback(&self) -> Option<&Arc<Model>> {
        self.scorer.registry().fallback().map(|(model, _)| model)
    }

    fn answered(&self) -> Result<Answered, Error> {
        let problem = || "expected one whose last request an arm has answered, found none".to_owned();
        self.answered.get().ok_or_else(|| invalid("scorer", problem()))
    }
}
