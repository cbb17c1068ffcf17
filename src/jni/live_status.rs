//! The status of a live model as bytes that `LiveStatus.java` reads. Integers are little-endian, texts are UTF-8 behind their length as
//! a u32, what may be absent has a byte in front of it that says whether it is there.

use super::live::ordinal;
use crate::live::{LiveStatus, Reason, Served};
use crate::weight_file::map::LoadMode;

/// State as a byte and control as a text; the served generation, where there is one; four counts and sizes, of which the last may be
/// absent; the reasons behind their number; the number of contents in quarantine; the time; and all of it as JSON.
pub(super) fn encode(status: &LiveStatus) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An ordinal is small.
    bytes.push(u8::try_from(ordinal(status.state)).unwrap_or(u8::MAX));
    text(&mut bytes, &status.control.to_string());
    bytes.push(u8::from(status.served.is_some()));
    if let Some(served) = &status.served {
        encode_served(&mut bytes, served);
    }
    number(&mut bytes, status.retired_count as u64);
    number(&mut bytes, status.mapped_bytes);
    optional(&mut bytes, status.resident_bytes);
    number(&mut bytes, status.reasons.len() as u64);
    for reason in &status.reasons {
        encode_reason(&mut bytes, reason);
    }
    number(&mut bytes, status.quarantined.len() as u64);
    number(&mut bytes, status.heartbeat_unix_seconds);
    text(&mut bytes, &status.to_json().to_string());
    bytes
}

fn encode_served(bytes: &mut Vec<u8>, served: &Served) {
    number(bytes, served.generation);
    text(bytes, &served.digest.to_string());
    text(bytes, &served.logic_id);
    number(bytes, served.contract_fingerprint);
    number(bytes, served.weight_count);
    number(bytes, served.file_len_bytes);
    bytes.push(match served.load_mode {
        LoadMode::Map => 0,
        LoadMode::Copy => 1,
    });
    bytes.push(u8::from(served.is_on_trial));
    number(bytes, served.since_unix_seconds);
    optional(bytes, served.training_end_unix_seconds.map(i64::cast_unsigned));
}

fn encode_reason(bytes: &mut Vec<u8>, reason: &Reason) {
    bytes.extend((reason.code as i32).to_le_bytes());
    text(bytes, &reason.text);
}

fn number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend(number.to_le_bytes());
}

fn optional(bytes: &mut Vec<u8>, value: Option<u64>) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        number(bytes, value);
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    // Reports are a few thousand bytes.
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(text.as_bytes());
}
