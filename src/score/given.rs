//! Scorers with given answers, for unit tests of a server: no model is behind them. They check requests like any other.

use super::block::Block;
use super::counts::RequestCounts;
use super::request::Answer;
use super::{ALL_FILLED, check_count, forget_answers};
use crate::error::{Error, RowProblem};
use crate::request::layout::GAP_INDEX;
use crate::request::{CandidateStatus, Candidates, RequestLayout};

/// Returns the probability of a candidate, in (0, 1), or NaN for one that is refused, as one that cannot be read is. An
/// error fails the whole call.
pub(crate) type Given = dyn Fn(usize) -> Result<f64, Error> + Send + Sync;

/// The generation that given answers name.
const GENERATION: u64 = 1;

/// A scorer whose answers a test gives.
pub(crate) struct GivenScorer {
    layout: RequestLayout,
    given: Box<Given>,
}

impl GivenScorer {
    pub(crate) fn new(layout: RequestLayout, given: Box<Given>) -> Self {
        Self { layout, given }
    }

    pub(crate) const fn layout(&self) -> &RequestLayout {
        &self.layout
    }

    /// Scores a request, for each model of the layout.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict_block`](super::Scorer::predict_block), and like the function that gives the answers.
    /// Returns [`Error::InvalidArgument`] for a number that is no probability.
    ///
    /// # Safety
    ///
    /// The caller promises what [`Scorer::predict_block`](super::Scorer::predict_block) requires.
    pub(crate) unsafe fn predict_block(&self, address: *mut u8, candidate_count: usize) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { forget_answers(address, self.layout.offsets().len_bytes) };
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(address, &self.layout) }?;
        let count = if candidate_count == ALL_FILLED { block.filled_count() } else { candidate_count };
        check_count(&self.layout, count)?;
        let mut counts = RequestCounts::default();
        for index in 0..count {
            let answer = match self.is_filled(&block, index) {
                Ok(()) => self.answer(index)?,
                Err(problem) => Answer::refused(problem),
            };
            let is_scored = answer.status == CandidateStatus::Scored;
            counts.scored_count += u32::from(is_scored);
            counts.refused_count += u32::from(!is_scored);
            (0..self.layout.model_count()).for_each(|model| block.write_answer(model, index, answer));
        }
        (0..self.layout.model_count()).for_each(|model| block.write_outcome(model, GENERATION, counts));
        block.note_answers(count);
        Ok(())
    }

    fn is_filled(&self, block: &Block<'_>, index: usize) -> Result<(), RowProblem> {
        match self.layout.candidates() {
            Candidates::Inline => block.filled_candidate(index).map(|_| ()),
            Candidates::Prepared if index < block.filled_count() && block.name(index) != GAP_INDEX => Ok(()),
            Candidates::Prepared => Err(RowProblem::NotFilled),
        }
    }

    fn answer(&self, index: usize) -> Result<Answer, Error> {
        let probability = (self.given)(index)?;
        if probability.is_nan() {
            return Ok(Answer::refused(RowProblem::NotUtf8));
        }
        if !(probability > 0.0 && probability < 1.0) {
            let problem = format!("expected a probability in (0, 1) or NaN for candidate {index}, found {probability}");
            return Err(Error::InvalidArgument { argument: "given", problem });
        }
        #[allow(clippy::cast_possible_truncation, reason = "answers are floats")]
        let rounded = probability as f32;
        let logit = (probability / (1.0 - probability)).ln();
        Ok(Answer { logit, probability: rounded, status: CandidateStatus::Scored })
    }
}

impl std::fmt::Debug for GivenScorer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GivenScorer").finish_non_exhaustive()
    }
}
