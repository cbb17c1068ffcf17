//! How a request of an experiment was answered, as `ExperimentScorer.java` keeps it outside the heap: what goes into a
//! call that is no number, and what comes out.

use crate::error::Error;
use crate::experiment::{Answered, Choice};
use crate::serving_log::MAX_REQUEST_ID_LEN_BYTES;

// Each offset is the previous one plus the size of what is stored there. `AnsweredBlock.java` has the same numbers.
/// Version of the experiment file: u64.
const VERSION_OFFSET: usize = 0;
/// Probability with which the candidate was chosen, or NaN if the policy never explores: f64.
const PROPENSITY_OFFSET: usize = VERSION_OFFSET + size_of::<u64>();
/// Number of the arm: i32.
const ARM_OFFSET: usize = PROPENSITY_OFFSET + size_of::<f64>();
/// Bucket, or -1 if the unit has no value: i32.
const BUCKET_OFFSET: usize = ARM_OFFSET + size_of::<i32>();
/// 1 if the control arm answered: i32.
const IS_CONTROL_OFFSET: usize = BUCKET_OFFSET + size_of::<i32>();
/// 1 if it answered because the arm of the unit could not: i32.
const FELL_BACK_OFFSET: usize = IS_CONTROL_OFFSET + size_of::<i32>();
/// Number of shadows that scored the request: i32.
const SHADOW_COUNT_OFFSET: usize = FELL_BACK_OFFSET + size_of::<i32>();
/// The chosen candidate, or -1 if none is eligible: i32.
const CANDIDATE_OFFSET: usize = SHADOW_COUNT_OFFSET + size_of::<i32>();
/// 1 if the request is one of those that explore: i32.
const IS_EXPLORING_OFFSET: usize = CANDIDATE_OFFSET + size_of::<i32>();
/// Length of the request id in bytes, or -1 for one that is too long: i32.
const REQUEST_ID_LEN_OFFSET: usize = IS_EXPLORING_OFFSET + size_of::<i32>();
/// The text of the request id, in UTF-8.
const REQUEST_ID_OFFSET: usize = REQUEST_ID_LEN_OFFSET + size_of::<i32>();
/// The utilities of the candidates: an f64 for each candidate of the layout.
const UTILITIES_OFFSET: usize = REQUEST_ID_OFFSET + MAX_REQUEST_ID_LEN_BYTES;
const _: () = assert!(UTILITIES_OFFSET.is_multiple_of(align_of::<f64>()));

/// The block of an `ExperimentScorer.java`.
pub(super) struct AnsweredBlock<'a> {
    head: &'a mut [u8; UTILITIES_OFFSET],
    utilities: &'a [f64],
}

impl<'a> AnsweredBlock<'a> {
    /// Returns the length of a block for up to `candidates` candidates.
    pub(super) const fn len_bytes(candidates: usize) -> usize {
        UTILITIES_OFFSET + candidates * size_of::<f64>()
    }

    /// Borrows the block at an address, with room for the utilities of `candidates` candidates.
    ///
    /// # Safety
    ///
    /// The address must be aligned for an f64. [`len_bytes`](Self::len_bytes) bytes from there on must be initialized,
    /// stay valid, and be used by no other thread, as long as the result is.
    pub(super) unsafe fn at(address: *mut u8, candidates: usize) -> Self {
        // SAFETY: the caller's promise; bytes need no alignment.
        let head = unsafe { &mut *address.cast() };
        // SAFETY: the caller's promise; the offset is a multiple of the alignment, and the two parts do not overlap.
        let utilities = unsafe { std::slice::from_raw_parts(address.add(UTILITIES_OFFSET).cast(), candidates) };
        Self { head, utilities }
    }

    /// Returns the request id.
    pub(super) fn request_id(&self) -> Result<&str, Error> {
        let len = usize::try_from(i32::from_le_bytes(self.bytes(REQUEST_ID_LEN_OFFSET))).ok();
        let bytes = len.and_then(|len| self.head[REQUEST_ID_OFFSET..].get(..len));
        let bytes = bytes.ok_or(Error::RecordInvalid { what: "a request id of 1 to 128 bytes" })?;
        let not_utf8 = |error: std::str::Utf8Error| Error::NotUtf8 { what: "requestId", position: error.valid_up_to() };
        str::from_utf8(bytes).map_err(not_utf8)
    }

    /// Returns the utilities of the first `count` candidates, or nothing if there are not so many.
    pub(super) fn utilities(&self, count: usize) -> Option<&[f64]> {
        self.utilities.get(..count)
    }

    pub(super) fn put_answered(&mut self, answered: &Answered) {
        self.put(VERSION_OFFSET, answered.version.to_le_bytes());
        self.put(ARM_OFFSET, i32::from(answered.arm).to_le_bytes());
        self.put(BUCKET_OFFSET, answered.bucket.map_or(-1, u32::cast_signed).to_le_bytes());
        self.put(IS_CONTROL_OFFSET, i32::from(answered.is_control).to_le_bytes());
        self.put(FELL_BACK_OFFSET, i32::from(answered.fell_back).to_le_bytes());
        self.put(SHADOW_COUNT_OFFSET, answered.shadow_count.cast_signed().to_le_bytes());
    }

    pub(super) fn put_choice(&mut self, choice: Option<Choice>) {
        // An index of an array of Java always fits.
        let candidate = choice.and_then(|choice| i32::try_from(choice.candidate).ok());
        let propensity = choice.and_then(|choice| choice.propensity);
        self.put(CANDIDATE_OFFSET, candidate.unwrap_or(-1).to_le_bytes());
        self.put(PROPENSITY_OFFSET, propensity.unwrap_or(f64::NAN).to_le_bytes());
        self.put(IS_EXPLORING_OFFSET, i32::from(choice.is_some_and(|choice| choice.is_exploring)).to_le_bytes());
    }

    fn bytes<const COUNT: usize>(&self, offset: usize) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        bytes.copy_from_slice(&self.head[offset..offset + COUNT]);
        bytes
    }

    fn put<const COUNT: usize>(&mut self, offset: usize, bytes: [u8; COUNT]) {
        self.head[offset..offset + COUNT].copy_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::java_constants::java_constants;
    use super::*;

    #[test]
    fn each_number_of_the_block_is_the_same_in_java() {
        let rust = [
            ("VERSION_OFFSET", VERSION_OFFSET),
            ("PROPENSITY_OFFSET", PROPENSITY_OFFSET),
            ("ARM_OFFSET", ARM_OFFSET),
            ("BUCKET_OFFSET", BUCKET_OFFSET),
            ("IS_CONTROL_OFFSET", IS_CONTROL_OFFSET),
            ("FELL_BACK_OFFSET", FELL_BACK_OFFSET),
            ("SHADOW_COUNT_OFFSET", SHADOW_COUNT_OFFSET),
            ("CANDIDATE_OFFSET", CANDIDATE_OFFSET),
            ("IS_EXPLORING_OFFSET", IS_EXPLORING_OFFSET),
            ("REQUEST_ID_LEN_OFFSET", REQUEST_ID_LEN_OFFSET),
            ("REQUEST_ID_OFFSET", REQUEST_ID_OFFSET),
            ("UTILITIES_OFFSET", UTILITIES_OFFSET),
        ];
        assert_eq!(java_constants("AnsweredBlock.java"), rust.map(|(name, number)| (name.to_owned(), number)).into());
    }

    #[test]
    fn a_request_id_that_does_not_fit_or_is_not_utf8_is_refused() {
        let mut memory = vec![0_u64; AnsweredBlock::len_bytes(1).div_ceil(size_of::<u64>())];
        // SAFETY: the memory is initialized, aligned, long enough and used by this alone.
        let mut block = unsafe { AnsweredBlock::at(memory.as_mut_ptr().cast(), 1) };
        assert_eq!(block.request_id().unwrap(), "");
        for len in [-1, 129, i32::MAX] {
            block.put(REQUEST_ID_LEN_OFFSET, len.to_le_bytes());
            assert!(matches!(block.request_id(), Err(Error::RecordInvalid { .. })), "{len}");
        }
        block.put(REQUEST_ID_LEN_OFFSET, 1_i32.to_le_bytes());
        block.put(REQUEST_ID_OFFSET, [0xff]);
        assert!(matches!(block.request_id(), Err(Error::NotUtf8 { position: 0, .. })));
        assert!(block.utilities(1).is_some());
        assert!(block.utilities(2).is_none());
    }
}
