//! Checks that bytes form a valid table, beyond matching their checksums.

use super::line::{F16Line, F32Line, I8Line, Line, LineFormat};
use super::{Encoding, Table};
use crate::error::Error;
use crate::weight_file::header::Record;
use crate::weight_file::layout;

fn malformed(problem: impl Into<String>) -> Error {
    Error::Malformed { problem: problem.into() }
}

impl Table<'_> {
    /// Checks every slot, every exception and every scale: weights are finite, empty slots have no weight, no line has
    /// a tag twice, exceptions are in order, and scales are normal numbers. Returns the number of occupied slots.
    /// `group_count` is the number of fields and crosses of the contract.
    #[doc(hidden)]
    pub fn validate(&self, group_count: usize) -> Result<u64, Error> {
        self.validate_scales(group_count)?;
        self.validate_exceptions()?;
        match self.geometry.encoding {
            Encoding::F32 => self.validate_lines::<F32Line>(),
            Encoding::F16 => self.validate_lines::<F16Line>(),
            Encoding::I8 => self.validate_lines::<I8Line>(),
        }
    }

    fn validate_scales(&self, group_count: usize) -> Result<(), Error> {
        let expected = if self.geometry.encoding.has_scales() { group_count } else { 0 };
        if self.scales.len() != expected {
            let found = self.scales.len();
            return Err(malformed(format!(
                "its table has the wrong number of scales: expected {expected}, found {found} with the encoding {}",
                self.geometry.encoding.name()
            )));
        }
        for group in 0..expected {
            let scale = self.scale(group);
            // The largest i8 weight is 127 times the scale.
            if !scale.is_normal() || scale < 0.0 || !(scale * 127.0).is_finite() {
                return Err(malformed(format!(
                    "scale {group} of its table must be a positive normal number, and finite times 127, found {scale:e}"
                )));
            }
        }
        Ok(())
    }

    fn validate_exceptions(&self) -> Result<(), Error> {
        // Multiplied by its scale, an exception must be finite, like the weights in the lines.
        let max = if self.geometry.encoding.has_scales() { 127.0 } else { f32::MAX };
        let mut last_key = None;
        for exception in self.exceptions {
            let record = Record(exception);
            let key = record.u64(layout::EXCEPTION_KEY_OFFSET);
            if last_key >= Some(key) {
                return Err(malformed("the exceptions are out of order"));
            }
            let weight = record.f32(layout::EXCEPTION_WEIGHT_OFFSET);
            if weight.is_nan() || weight.abs() > max || record.u32(layout::EXCEPTION_ZEROS_OFFSET) != 0 {
                return Err(malformed(format!("the exception for key {key:#018x} is not valid")));
            }
            last_key = Some(key);
        }
        Ok(())
    }

    fn validate_lines<F: LineFormat>(&self) -> Result<u64, Error> {
        let mut occupied_count = 0;
        for (index, line) in self.lines.iter().enumerate() {
            let count = validate_line::<F>(line).ok_or_else(|| {
                malformed(format!(
                    "line {index} of the weights has a tag twice, a weight that its encoding cannot store, or a weight in an empty slot"
                ))
            })?;
            occupied_count += u64::from(count);
        }
        Ok(occupied_count)
    }

    /// Returns the number of exceptions.
    #[doc(hidden)]
    #[must_use]
    pub fn exception_count(&self) -> u64 {
        (self.exceptions.len()) as u64
    }
}

/// Returns the number of occupied slots, or nothing if the line is not valid.
fn validate_line<F: LineFormat>(line: &Line) -> Option<u32> {
    let mut count = 0;
    for slot in 0..F::SLOT_COUNT {
        if !F::is_valid(line, slot) {
            return None;
        }
        let tag = F::tag(line, slot);
        if tag != 0 {
            count += 1;
            // The first slot with the tag is this one, unless the line has the tag twice.
            if F::find_tag(line, tag) != Some(slot) {
                return None;
            }
        }
    }
    Some(count)
}
