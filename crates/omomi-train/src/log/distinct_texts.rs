//! The texts of a dictionary that values of a batch have.

/// Which texts of a dictionary are in the batch under construction, and where.
#[derive(Debug, Default)]
pub(super) struct DistinctTexts {
    /// By the text's key in the dictionary.
    known: Vec<DistinctText>,
    /// Of the batch, by the number of batches before it, counted from 1; 0 before the first.
    batch_number: u64,
}

/// A text of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct DistinctText {
    /// Which of the batch's texts it is.
    pub(super) place: u32,
    pub(super) value: u64,
}

/// The place of a text that is not in the batch. No text has it: a batch is full long before.
const NOWHERE: u32 = u32::MAX;

impl DistinctTexts {
    /// Forgets the texts of another batch than the one after `batch_count` others.
    pub(super) fn begin(&mut self, batch_count: u64, dictionary_len: usize) {
        if self.batch_number != batch_count + 1 {
            self.known.clear();
            self.known.resize(dictionary_len, DistinctText { place: NOWHERE, value: 0 });
            self.batch_number = batch_count + 1;
        }
    }

    /// The text with `key`, which `add` puts into the batch if it is not there yet.
    #[inline]
    pub(super) fn text(&mut self, key: usize, add: impl FnOnce() -> DistinctText) -> DistinctText {
        let known = &mut self.known[key];
        if known.place == NOWHERE {
            *known = add();
        }
        *known
    }
}
