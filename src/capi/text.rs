//! Texts that cross from C, and back to its callbacks.

use std::ffi::c_char;

/// A text, in UTF-8. `omomi_text("...")` makes one of a literal, `omomi_c_text` of a text that ends with a null byte,
/// and `omomi_text_of` of any bytes. The text itself stays the caller's, and needs no null byte.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OmomiText {
    /// Its first byte. May be null if the text is empty.
    pub text: *const c_char,
    /// Its length.
    pub len_bytes: usize,
}

impl OmomiText {
    /// The empty text.
    pub(super) const EMPTY: Self = Self { text: std::ptr::null(), len_bytes: 0 };
}
