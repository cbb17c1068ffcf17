//! Encodes status and metrics of a live model for `LiveStatus.java` and `LiveMetrics.java`. Integers are little-endian,
//! with 8 bytes unless stated otherwise. A UTF-8 text follows its length as a u32. A list follows its number of
//! elements. An optional value follows a byte that says whether it is present.

use jni::sys::jint;

use crate::live::{CodeCounts, Latency, LiveMetrics, LiveStatus, Reason, Served, ServingState};
use crate::weight_file::map::LoadMode;

pub(super) const fn ordinal(state: ServingState) -> jint {
    match state {
        ServingState::Serving => 0,
        ServingState::NoModel => 1,
        ServingState::Off => 2,
    }
}

/// Encodes the status: state as a byte and control as a text; the served generation, if there is one; four counts and
/// sizes, the last of them optional; the reasons; the number of quarantined contents; the time; and the whole status as
/// JSON.
pub(super) fn encode_status(status: &LiveStatus) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.push(state(status.state));
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

/// Encodes the metrics: outcomes of requests; bounds and counts of the latency, and its sum; outcomes of swaps; whether
/// it is live and ready as one byte each, and its state; the served generation; reasons by code, sizes and counts; the
/// fields with their counts in samples; and requests that the fallback file answered, if there is one.
pub(super) fn encode_metrics(metrics: &LiveMetrics) -> Vec<u8> {
    let mut bytes = Vec::new();
    metrics.requests.in_order().for_each(|count| number(&mut bytes, count));
    numbers(&mut bytes, &Latency::BOUNDS_NS);
    numbers(&mut bytes, &metrics.latency.counts);
    number(&mut bytes, metrics.latency.sum_ns);
    number(&mut bytes, metrics.swaps.served);
    number(&mut bytes, metrics.swaps.interrupted);
    code_counts(&mut bytes, &metrics.swaps.refused);
    code_counts(&mut bytes, &metrics.swaps.withdrawn);
    bytes.extend([u8::from(metrics.is_live), u8::from(metrics.is_ready), state(metrics.state)]);
    optional(&mut bytes, metrics.served.map(|served| served.generation));
    optional(&mut bytes, metrics.training_age_seconds());
    code_counts(&mut bytes, &metrics.reasons);
    for count in [metrics.quarantined_count, metrics.retired_count, metrics.mapped_bytes] {
        number(&mut bytes, count);
    }
    optional(&mut bytes, metrics.resident_bytes);
    number(&mut bytes, metrics.sampled_requests);
    number(&mut bytes, metrics.fields().count() as u64);
    for (name, field) in metrics.fields() {
        text(&mut bytes, name);
        for count in [field.categories, field.unseen, field.served_categories, field.served_unseen] {
            number(&mut bytes, count);
        }
    }
    optional(&mut bytes, metrics.fallbacks);
    bytes
}

fn state(state: ServingState) -> u8 {
    // An ordinal always fits.
    u8::try_from(ordinal(state)).unwrap_or(u8::MAX)
}

fn code_counts(bytes: &mut Vec<u8>, counts: &CodeCounts) {
    number(bytes, counts.iter().count() as u64);
    for (code, count) in counts.iter() {
        bytes.extend((code as i32).to_le_bytes());
        number(bytes, count);
    }
}

pub(super) fn numbers(bytes: &mut Vec<u8>, all: &[u64]) {
    number(bytes, all.len() as u64);
    all.iter().for_each(|&one| number(bytes, one));
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
        LoadMode::Copy | LoadMode::Auto => 1,
    });
    bytes.push(u8::from(served.is_on_trial));
    number(bytes, served.since_unix_seconds);
    optional(bytes, served.training_end_unix_seconds.map(i64::cast_unsigned));
}

pub(super) fn encode_reason(bytes: &mut Vec<u8>, reason: &Reason) {
    bytes.extend((reason.code as i32).to_le_bytes());
    text(bytes, &reason.text);
}

pub(super) fn number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend(number.to_le_bytes());
}

pub(super) fn optional(bytes: &mut Vec<u8>, value: Option<u64>) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        number(bytes, value);
    }
}

pub(super) fn text(bytes: &mut Vec<u8>, text: &str) {
    // Reports have a few thousand bytes.
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(text.as_bytes());
}
