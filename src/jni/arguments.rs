//! Checks and decodes arguments from Java: counts, texts, declarations, layouts and options.

use std::path::PathBuf;
use std::time::Duration;

use jni::sys::{jint, jlong};

use crate::contract::Side;
use crate::error::Error;
use crate::live::LiveOptions;
use crate::request::{Capacity, RequestLayout, Schema, SchemaField, SchemaKind};
use crate::serving_log::LogOptions;
use crate::weight_file::map::LoadMode;
use crate::weight_file::signature::{SignaturePolicy, TrustedKeys};

/// Decodes the bytes that `RequestLayout.java` writes. As i32: maximum number of candidates, length of the tail, 1 for
/// prepared candidates or 0 for rows, number of models. Then the schema.
pub(super) fn decode_layout(mut bytes: &[u8]) -> Result<RequestLayout, Error> {
    let mut next = |argument| {
        let number = take(&mut bytes).ok_or_else(|| invalid("layout", "it has too few bytes".to_owned()))?;
        count(jint::from_le_bytes(*number), argument)
    };
    let capacity = Capacity { candidates: next("candidates")?, tail_len_bytes: next("tailLenBytes")? };
    let (is_prepared, model_count) = (next("isPrepared")? != 0, next("modelCount")?);
    let schema = decode_schema(bytes)?;
    let layout =
        if is_prepared { RequestLayout::prepared(&schema, capacity) } else { RequestLayout::new(&schema, capacity) };
    layout?.for_models(model_count)
}

/// Decodes the bytes that `Schema.java` writes. For each field: side, type and many as one byte each, the range as two
/// f64, the lengths of name and unit as two u32, then both texts in UTF-8.
pub(super) fn decode_schema(mut bytes: &[u8]) -> Result<Schema, Error> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let short = || invalid("schema", "it has too few bytes for a field".to_owned());
        let [side, kind, many] = *take(&mut bytes).ok_or_else(short)?;
        let range = [
            f64::from_le_bytes(*take(&mut bytes).ok_or_else(short)?),
            f64::from_le_bytes(*take(&mut bytes).ok_or_else(short)?),
        ];
        let name_len = u32::from_le_bytes(*take(&mut bytes).ok_or_else(short)?);
        let unit_len = u32::from_le_bytes(*take(&mut bytes).ok_or_else(short)?);
        let mut text = |len: u32, what| {
            let (text, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
            bytes = rest;
            Some(utf8(text.to_vec(), what))
        };
        let name = text(name_len, "a field's name").ok_or_else(short)??;
        let unit = text(unit_len, "a field's unit").ok_or_else(short)??;
        let side = if side == 0 { Side::Context } else { Side::Candidate };
        let kind = match kind {
            0 => SchemaKind::Id,
            1 => SchemaKind::Text,
            _ => SchemaKind::Number { unit, range },
        };
        fields.push(SchemaField { name, side, kind, many: many != 0 });
    }
    Schema::new(fields)
}

/// Encodes a schema in the form that [`decode_schema`] reads.
pub(super) fn encode_schema(schema: &Schema) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [Side::Context, Side::Candidate].into_iter().flat_map(|side| schema.fields(side)) {
        let (kind, unit, range) = match &field.kind {
            SchemaKind::Id => (0, "", [0.0; 2]),
            SchemaKind::Text => (1, "", [0.0; 2]),
            SchemaKind::Number { unit, range } => (2, unit.as_str(), *range),
        };
        bytes.extend([u8::from(field.side == Side::Candidate), kind, u8::from(field.many)]);
        bytes.extend(range.iter().flat_map(|bound| bound.to_le_bytes()));
        // Names and units of a contract have at most 128 bytes.
        for text in [field.name.as_str(), unit] {
            bytes.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
        }
        bytes.extend(field.name.bytes().chain(unit.bytes()));
    }
    bytes
}

/// Decodes the bytes that `LiveOptions.java` writes. As i32: load mode, signature policy, maximum number of deaths. As
/// i64: poll interval, trial, retry and maximum training age (0 for no limit) in nanoseconds; maximum length of a file,
/// memory budget and minimum generation. Then three flags of one byte each; the number of fingerprints as an i32 and
/// the fingerprints as i64; the number of key paths as an i32 and each path after its length as an i32 (see
/// [`path_of`]); the path of the fallback file after its length, which is 0 for none; and the name in UTF-8.
pub(super) fn decode_live_options(bytes: &[u8]) -> Result<LiveOptions, Error> {
    let mut bytes = Numbers(bytes);
    let (load_mode, policy) = (load_mode(bytes.int()?)?, bytes.int()?);
    let max_deaths = bytes.count("maxDeaths")?;
    let poll_interval = bytes.duration("pollInterval")?;
    let trial = bytes.duration("trial")?;
    let retry_after_death = bytes.duration("retryAfterDeath")?;
    let max_training_age = Some(bytes.duration("maxTrainingAge")?).filter(|age| !age.is_zero());
    let max_file_len_bytes = bytes.number("maxFileLenBytes")?;
    let memory_budget_bytes = bytes.number("memoryBudgetBytes")?;
    let min_generation = bytes.number("minGeneration")?;
    let flags: [u8; 3] = *bytes.take()?;
    let fingerprint_count = bytes.count("contractFingerprints")?;
    let fingerprints = (0..fingerprint_count).map(|_| bytes.take().map(|bits| u64::from_le_bytes(*bits)));
    let contract_fingerprints = fingerprints.collect::<Result<_, Error>>()?;
    let key_count = bytes.count("trustedKeys")?;
    let key_paths = (0..key_count).map(|_| bytes.path()).collect::<Result<Vec<_>, Error>>()?;
    let fallback_file = Some(bytes.path()?).filter(|path| !path.as_os_str().is_empty());
    let expected_policy = || invalid("signature", format!("expected 0, 1 or 2, found {policy}"));
    Ok(LiveOptions {
        name: utf8(bytes.0.to_vec(), "the name")?,
        load_mode,
        poll_interval,
        trial,
        max_deaths: u32::try_from(max_deaths).unwrap_or(u32::MAX),
        retry_after_death,
        max_file_len_bytes,
        memory_budget_bytes,
        min_generation,
        contract_fingerprints,
        signature: usize::try_from(policy)
            .ok()
            .and_then(|policy| SignaturePolicy::ALL.get(policy).copied())
            .ok_or_else(expected_policy)?,
        trusted_keys: TrustedKeys::read(key_paths)?,
        allow_writable_files: flags[0] != 0,
        max_training_age,
        lock_memory: flags[1] != 0,
        has_fallback: flags[2] != 0,
        fallback_file,
    })
}

/// Decodes the bytes that `LogOptions.java` writes. As i32: predictions and details in a million, and fallbacks per
/// second. As i64: salt, and lengths of a ring, a segment and all segments in bytes; the age of a segment and the flush
/// interval in nanoseconds. Then one byte for `sync`, and the name in UTF-8.
pub(super) fn decode_log_options(bytes: &[u8]) -> Result<LogOptions, Error> {
    let mut bytes = Numbers(bytes);
    let mut rate = |argument| bytes.count(argument).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let (predictions, details, fallbacks) =
        (rate("predictionsPerMillion")?, rate("detailsPerMillion")?, rate("fallbacksPerSecond")?);
    let salt = u64::from_le_bytes(*bytes.take()?);
    let ring_len_bytes = bytes.number("ringLenBytes")?;
    let max_segment_len_bytes = bytes.number("maxSegmentLenBytes")?;
    let max_total_len_bytes = bytes.number("maxTotalLenBytes")?;
    let max_segment_age = bytes.duration("maxSegmentAge")?;
    let flush_interval = bytes.duration("flushInterval")?;
    let [sync] = *bytes.take()?;
    let name = utf8(bytes.0.to_vec(), "the name")?;
    Ok(LogOptions::default().with(|it| {
        it.name = name;
        it.predictions_per_million = predictions;
        it.details_per_million = details;
        it.salt = salt;
        // More than memory has is refused, like any ring above 1 GiB.
        it.ring_len_bytes = usize::try_from(ring_len_bytes).unwrap_or(usize::MAX);
        it.fallbacks_per_second = fallbacks;
        it.max_segment_len_bytes = max_segment_len_bytes;
        it.max_segment_age = max_segment_age;
        it.max_total_len_bytes = max_total_len_bytes;
        it.flush_interval = flush_interval;
        it.sync = sync != 0;
    }))
}

/// The bytes of the options that have not been read yet.
struct Numbers<'a>(&'a [u8]);

impl<'a> Numbers<'a> {
    fn take<const LEN: usize>(&mut self) -> Result<&'a [u8; LEN], Error> {
        take(&mut self.0).ok_or_else(too_few)
    }

    fn int(&mut self) -> Result<jint, Error> {
        self.take().map(|number| jint::from_le_bytes(*number))
    }

    fn count(&mut self, argument: &'static str) -> Result<usize, Error> {
        count(self.int()?, argument)
    }

    fn number(&mut self, argument: &'static str) -> Result<u64, Error> {
        let number = jlong::from_le_bytes(*self.take()?);
        u64::try_from(number).map_err(|_| invalid(argument, format!("expected 0 or more, found {number}")))
    }

    fn duration(&mut self, argument: &'static str) -> Result<Duration, Error> {
        self.number(argument).map(Duration::from_nanos)
    }

    fn path(&mut self) -> Result<PathBuf, Error> {
        let len = self.count("a path")?;
        let (path, rest) = self.0.split_at_checked(len).ok_or_else(too_few)?;
        self.0 = rest;
        path_of(path.to_vec())
    }
}

fn too_few() -> Error {
    invalid("options", "they have too few bytes".to_owned())
}

/// Translates an ordinal of `LoadMode.java`.
pub(super) fn load_mode(ordinal: jint) -> Result<LoadMode, Error> {
    match ordinal {
        0 => Ok(LoadMode::Map),
        1 => Ok(LoadMode::Copy),
        2 => Ok(LoadMode::Auto),
        _ => Err(invalid("mode", format!("expected 0 to 2, found {ordinal}"))),
    }
}

fn take<'a, const LEN: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; LEN]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

pub(super) fn count(number: jint, argument: &'static str) -> Result<usize, Error> {
    usize::try_from(number).map_err(|_| invalid(argument, format!("expected 0 or more, found {number}")))
}

/// Decodes a path: on Unix, the bytes that the operating system knows it by, in whatever encoding; elsewhere UTF-8.
pub(super) fn path_of(bytes: Vec<u8>) -> Result<PathBuf, Error> {
    #[cfg(unix)]
    return Ok(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes).into());
    #[cfg(not(unix))]
    utf8(bytes, "the path").map(PathBuf::from)
}

pub(super) fn utf8(bytes: Vec<u8>, what: &'static str) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| Error::NotUtf8 { what, position: error.utf8_error().valid_up_to() })
}

pub(super) fn invalid(argument: &'static str, problem: String) -> Error {
    Error::InvalidArgument { argument, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::request::Candidates;

    fn encoded(side: u8, kind: u8, name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![side, kind, 0];
        bytes.extend(0.0_f64.to_le_bytes());
        bytes.extend(1.0_f64.to_le_bytes());
        bytes.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(name);
        bytes
    }

    #[test]
    fn a_schema_is_decoded_as_java_wrote_it() {
        let mut bytes = encoded(0, 0, "媒体".as_bytes());
        bytes.extend(encoded(1, 2, b"age"));
        let schema = decode_schema(&bytes).unwrap();
        assert_eq!(schema.fields(Side::Context), [SchemaField::id("媒体", Side::Context)]);
        assert_eq!(schema.fields(Side::Candidate), [SchemaField::number("age", Side::Candidate, "", [0.0, 1.0])]);
    }

    #[test]
    fn a_schema_cut_at_any_byte_is_refused() {
        let bytes = encoded(0, 1, "地域".as_bytes());
        for len in 1..bytes.len() {
            assert!(decode_schema(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_layout_is_decoded_as_java_wrote_it_or_refused() {
        let encoded = |numbers: [jint; 4]| -> Vec<u8> {
            numbers.into_iter().flat_map(jint::to_le_bytes).chain(encoded(1, 0, b"creative_id")).collect()
        };
        let layout = decode_layout(&encoded([5, 9, 1, 2])).unwrap();
        assert_eq!(layout.capacity(), Capacity { candidates: 5, tail_len_bytes: 16 });
        assert_eq!((layout.candidates(), layout.model_count()), (Candidates::Prepared, 2));
        assert_eq!(decode_layout(&encoded([5, 0, 0, 1])).unwrap().candidates(), Candidates::Inline);
        assert!(decode_layout(&encoded([-5, 0, 0, 1])).is_err());
        assert!(decode_layout(&encoded([5, 0, 0, 0])).is_err());
        assert!(decode_layout(&[0; 15]).is_err());
    }

    /// Encodes options like `LiveOptions.java`, with two fingerprints and no key.
    fn encoded_options(policy: jint, numbers: [jlong; 7]) -> Vec<u8> {
        let mut bytes: Vec<u8> = [1, policy, 5].into_iter().flat_map(jint::to_le_bytes).collect();
        bytes.extend(numbers.into_iter().flat_map(jlong::to_le_bytes));
        bytes.extend([1, 0, 1]);
        bytes.extend(2_i32.to_le_bytes());
        bytes.extend([7, -1].into_iter().flat_map(jlong::to_le_bytes));
        bytes.extend(0_i32.to_le_bytes());
        bytes.extend(5_i32.to_le_bytes());
        bytes.extend("/a/\u{e9}ad-1".as_bytes());
        bytes
    }

    #[test]
    fn options_are_decoded_as_java_wrote_them_and_refused_if_cut_at_any_byte() {
        let bytes = encoded_options(1, [1, 2, 3, 0, 4, 5, 6]);
        let options = decode_live_options(&bytes).unwrap();
        assert_eq!((options.name.as_str(), options.load_mode, options.max_deaths), ("ad-1", LoadMode::Copy, 5));
        let nanoseconds = [options.poll_interval, options.trial, options.retry_after_death].map(|time| time.as_nanos());
        assert_eq!(nanoseconds, [1, 2, 3]);
        let limits = [options.max_file_len_bytes, options.memory_budget_bytes, options.min_generation];
        assert_eq!(limits, [4, 5, 6]);
        assert_eq!((options.max_training_age, options.signature), (None, SignaturePolicy::Accept));
        assert_eq!(options.contract_fingerprints, [7, u64::MAX]);
        assert_eq!(options.fallback_file.as_deref(), Some(std::path::Path::new("/a/\u{e9}")));
        assert_eq!((options.allow_writable_files, options.lock_memory, options.has_fallback), (true, false, true));
        for len in 0..bytes.len() - "ad-1".len() {
            assert!(decode_live_options(&bytes[..len]).is_err(), "{len} bytes");
        }
        let negative = decode_live_options(&encoded_options(0, [1, 2, 3, 4, 5, -6, 7])).unwrap_err();
        assert!(negative.to_string().contains("memoryBudgetBytes: expected 0 or more, found -6"), "{negative}");
        for policy in [-1, 3] {
            assert!(decode_live_options(&encoded_options(policy, [1; 7])).is_err(), "{policy}");
        }
    }

    #[test]
    fn options_of_a_log_are_decoded_as_java_wrote_them_and_refused_if_cut_at_any_byte() {
        let encoded = |rates: [jint; 3], numbers: [jlong; 6]| -> Vec<u8> {
            let mut bytes: Vec<u8> = rates.into_iter().flat_map(jint::to_le_bytes).collect();
            bytes.extend(numbers.into_iter().flat_map(jlong::to_le_bytes));
            bytes.push(1);
            bytes.extend("ad-1".as_bytes());
            bytes
        };
        let bytes = encoded([1, 2, 3], [-1, 4, 5, 6, 7, 8]);
        let options = decode_log_options(&bytes).unwrap();
        let rates = (options.predictions_per_million, options.details_per_million, options.fallbacks_per_second);
        assert_eq!((options.name.as_str(), rates, options.salt), ("ad-1", (1, 2, 3), u64::MAX));
        assert_eq!((options.ring_len_bytes, options.sync), (4, true));
        assert_eq!((options.max_segment_len_bytes, options.max_total_len_bytes), (5, 6));
        assert_eq!([options.max_segment_age, options.flush_interval].map(|time| time.as_nanos()), [7, 8]);
        for len in 0..bytes.len() - "ad-1".len() {
            assert!(decode_log_options(&bytes[..len]).is_err(), "{len} bytes");
        }
        for negative in [encoded([-1, 2, 3], [0; 6]), encoded([1; 3], [0, -4, 0, 0, 0, 0])] {
            assert!(decode_log_options(&negative).is_err());
        }
    }

    #[test]
    fn a_schema_with_a_name_that_is_not_utf8_is_refused() {
        assert_eq!(decode_schema(&encoded(0, 0, b"\xff")).unwrap_err().code(), Code::NotUtf8);
    }
}
