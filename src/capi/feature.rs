//! Computes text values and feature keys for C.

use super::boundary::{output, slice, status, text};
use super::text::OmomiText;
use super::{OmomiError, OmomiStatus};
use crate::feature::{cross_step, feature_key, field_seed};

/// Computes the value of a text, for `omomi_set_text_value`. Compute it once for a text that recurs; then requests need
/// not pass the text.
///
/// # Safety
///
/// `text` is as long as it says; `out_value` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_text_value(text: OmomiText, out_value: *mut u64, error: *mut OmomiError) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let text = unsafe { self::text(text, "text") }?;
        let out_value = output(out_value, "out_value")?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_value.write(crate::feature::text_value(text.as_bytes())) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Computes the feature key of `value` in the field called `name`. The value is an id, the value of a text, or the
/// bucket index of a number. For tools and tests; callers need no keys for scoring.
///
/// # Safety
///
/// `name` is as long as it says; `out_key` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_feature_key(
    name: OmomiText,
    value: u64,
    out_key: *mut u64,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name") }?;
        let out_key = output(out_key, "out_key")?;
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_key.write(feature_key(field_seed(name), value)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}

/// Computes the feature key of crossed features. `name` is the names of the members, in contract order, joined by "*";
/// `member_keys` are their feature keys in the same order. For tools and tests.
///
/// # Safety
///
/// `name` is as long as it says, `member_keys` is null or points to `member_count` keys;
/// `out_key` and `error` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn omomi_cross_key(
    name: OmomiText,
    member_keys: *const u64,
    member_count: usize,
    out_key: *mut u64,
    error: *mut OmomiError,
) -> OmomiStatus {
    let body = || {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: the caller's promise.
        let member_keys = unsafe { slice(member_keys, member_count, "member_keys") }?;
        let out_key = output(out_key, "out_key")?;
        let key = member_keys.iter().fold(field_seed(name), |state, &key| cross_step(state, key));
        // SAFETY: not null, and the caller promises that it can be written.
        unsafe { out_key.write(key) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { status(error, body) }
}
