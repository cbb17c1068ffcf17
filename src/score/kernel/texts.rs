//! Reads a column of texts whose bytes are in the request.

use super::super::block::Tail;

/// Replaces references to texts by the values of the texts. Returns whether all of them could be read. If not, the
/// contents of `slots` are meaningless.
///
/// It is a separate function, so that the values for hashing stay in registers.
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
