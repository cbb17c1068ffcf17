//! A column of texts that stand in their rows by their bytes.

use super::super::block::Tail;

/// Turns references to texts into the values of the texts, and says whether all of them could be read. If not, what then stands in
/// `slots` means nothing.
///
/// It is a function of its own because there the numbers that hashing takes stay in registers.
#[inline(never)]
pub(super) fn read_values(tail: Tail<'_>, slots: &mut [u64]) -> bool {
    for slot in slots {
        let Ok(text) = tail.text(*slot) else { return false };
        *slot = match text.value_of_short_ascii() {
            Some(value) => value,
            None => match text.value_of_any() {
                Ok(value) => value,
                Err(_) => return false,
            },
        };
    }
    true
}
