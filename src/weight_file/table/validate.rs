//! What bytes must satisfy to be a table, beyond matching their checksums.

use super::{LINE_LEN, SLOT_COUNT, TAG_MASK, Table, tag_word, weight_at};
use crate::error::Error;
use crate::weight_file::header::Record;
use crate::weight_file::layout;

impl Table<'_> {
    /// Checks every slot and every exception: finite weights, empty slots without a weight, no tag twice in a line,
    /// exceptions in order. Returns the number of occupied slots.
    pub(in crate::weight_file) fn validate(&self) -> Result<u64, Error> {
        let mut occupied_count = 0;
        for (index, line) in self.lines.iter().enumerate() {
            let count = validate_line(line).ok_or_else(|| Error::Malformed {
                problem: format!(
                    "line {index} of the weights has a tag twice, a weight that is not finite, or one in an empty slot"
                ),
            })?;
            occupied_count += u64::from(count);
        }
        let mut last_key = None;
        for exception in self.exceptions {
            let record = Record(exception);
            let key = record.u64(layout::EXCEPTION_KEY_OFFSET);
            if last_key >= Some(key) {
                return Err(Error::Malformed { problem: "the exceptions are out of order".to_owned() });
            }
            if !record.f32(layout::EXCEPTION_WEIGHT_OFFSET).is_finite()
                || record.u32(layout::EXCEPTION_ZEROS_OFFSET) != 0
            {
                return Err(Error::Malformed { problem: format!("the exception for key {key:#018x} is not valid") });
            }
            last_key = Some(key);
        }
        Ok(occupied_count)
    }

    /// Number of exceptions.
    pub(in crate::weight_file) fn exception_count(&self) -> u64 {
        (self.exceptions.len()) as u64
    }
}

/// The number of occupied slots, or nothing if the line is not valid.
fn validate_line(line: &[u8; LINE_LEN]) -> Option<u32> {
    let tags: [u32; SLOT_COUNT] = std::array::from_fn(|slot| tag_word(line, slot) & TAG_MASK);
    let mut count = 0;
    for slot in 0..SLOT_COUNT {
        let weight = weight_at(line, slot);
        if tags[slot] == 0 {
            if weight.to_bits() != 0 {
                return None;
            }
            continue;
        }
        if !weight.is_finite() || tags[..slot].contains(&tags[slot]) {
            return None;
        }
        count += 1;
    }
    Some(count)
}
