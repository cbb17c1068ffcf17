//! What a scorer of an experiment reads from a request, and notes beside its answers.

use super::block::{Block, load};
use super::request::Answer;
use crate::error::Error;
use crate::request::layout::{NO_BUCKET, ROW_SLOTS_OFFSET};
use crate::request::{CandidateStatus, RequestLayout};

const WORD: usize = size_of::<u64>();

/// Which arm gave a result, as it is noted in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Armed {
    /// The number of the arm in its process.
    pub(crate) arm: u16,
    /// The bucket of the request's unit, if it has one.
    pub(crate) bucket: Option<u32>,
}

impl Armed {
    /// Reads what [`ArmedRequest::note`] wrote. Returns nothing if it is no arm.
    pub(super) fn of(block: &Block<'_>, model: usize) -> Option<Self> {
        let (arm, bucket) = block.arm(model);
        let arm = u16::try_from(arm.checked_sub(1)?).ok()?;
        Some(Self { arm, bucket: (bucket != NO_BUCKET).then_some(bucket) })
    }
}

/// A request that an experiment scores, whose block has been checked.
pub(crate) struct ArmedRequest<'a> {
    block: Block<'a>,
    layout: &'a RequestLayout,
}

impl<'a> ArmedRequest<'a> {
    /// Looks at a request. Does not allocate.
    ///
    /// # Errors
    ///
    /// Fails like [`Scorer::predict_block`](super::Scorer::predict_block).
    ///
    /// # Safety
    ///
    /// The promises of [`Scorer::predict_block`](super::Scorer::predict_block).
    pub(crate) unsafe fn new(block: *mut u8, layout: &'a RequestLayout) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        Ok(Self { block: unsafe { Block::new(block, layout) }?, layout })
    }

    /// Returns the value of a field of the context, an id or a text with one value. Returns nothing if the field is not
    /// set, or its text cannot be read.
    pub(crate) fn context_value(&self, slot: usize, is_text: bool) -> Option<u64> {
        let row = self.block.context();
        let (present, inline_text) = row.head();
        if present >> slot & 1 == 0 {
            return None;
        }
        let word = load(row.words().get(ROW_SLOTS_OFFSET / WORD + slot)?);
        if is_text && inline_text >> slot & 1 == 1 {
            return row.tail().text(word).ok()?.value().ok();
        }
        Some(word)
    }

    /// Notes which arm gave a result, or that none did.
    pub(crate) fn note(&self, result: usize, armed: Option<Armed>) {
        let arm = armed.map_or(0, |armed| u32::from(armed.arm) + 1);
        self.block.write_arm(result, arm, armed.and_then(|armed| armed.bucket).unwrap_or(NO_BUCKET));
    }

    /// Returns the generation that gave a result.
    pub(crate) fn generation(&self, result: usize) -> u64 {
        self.block.generation(result)
    }

    /// Returns the number of candidates that have an answer.
    pub(crate) fn answered_count(&self) -> usize {
        self.block.answered_count().min(self.layout.capacity().candidates)
    }

    /// Returns the number of candidates that the request has begun.
    pub(crate) const fn filled_count(&self) -> usize {
        self.block.filled_count()
    }

    /// Runs `body`, which scores the request for another result, and keeps what the block says of the first one.
    pub(crate) fn beside<T>(&self, body: impl FnOnce() -> T) -> T {
        let answered = self.block.answered();
        let outcome = body();
        self.block.set_answered(answered);
        outcome
    }

    /// Makes the answers of a result those of no predict.
    pub(crate) fn forget(&self, result: usize) {
        let none = Answer::without_probability(CandidateStatus::NotComputed);
        for answer in self.block.answers(result, 0, self.answered_count()).as_chunks::<2>().0 {
            none.store(answer);
        }
        self.note(result, None);
    }
}
