//! Sections that a careless writer might produce: the checksums are correct, but the content must not be served.

use std::fmt::Write as _;

use omomi::weight_file::layout::{self, SectionKind};
use omomi::weight_file::table::Encoding;
use omomi::{Code, Model};

use crate::sealing::{assemble, put, sections_of, u32_at, with_content};
use crate::{assert_refused, tiny_file};

fn with(kind: SectionKind, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    with_content(&tiny_file::bytes(), kind, change)
}

fn with_text(kind: SectionKind, text: &str) -> Vec<u8> {
    with(kind, |content| *content = text.as_bytes().to_vec())
}

/// Returns the tiny file with `from` replaced by `to` in the text of a section, sealed.
fn with_replaced(kind: SectionKind, from: &str, to: &str) -> Vec<u8> {
    with(kind, |content| {
        let text = String::from_utf8(content.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        *content = text.replacen(from, to, 1).into_bytes();
    })
}

#[test]
fn a_contract_that_is_not_json_is_refused() {
    for text in ["{}x", "not json", "{\"cross\":", "[]", "\u{feff}{}"] {
        assert_refused(&with_text(SectionKind::Contract, text), Code::FileContract, "contract");
    }
    assert_refused(&with(SectionKind::Contract, |content| content[20] = 0xff), Code::FileContract, "not JSON");
}

#[test]
fn a_contract_with_faults_is_refused_with_each_of_them() {
    let bytes = with_replaced(SectionKind::Contract, r#""side":"context""#, r#""side":"both""#);
    assert_refused(&bytes, Code::FileContract, "`side` must be one of context, candidate");
    let bytes = with_replaced(SectionKind::Contract, r#""cross":["#, r#""colour":1,"cross":["#);
    assert_refused(&bytes, Code::FileContract, "unknown key `colour`");
}

#[test]
fn a_very_deeply_nested_contract_is_refused_without_exhausting_the_stack() {
    assert_refused(&with_text(SectionKind::Contract, &"[".repeat(1 << 20)), Code::FileContract, "at most 6 levels");
    let nested = "{\"a\":".repeat(1 << 18);
    assert_refused(&with_text(SectionKind::Provenance, &nested), Code::Malformed, "at most 32 levels");
}

#[test]
fn a_contract_with_very_many_fields_crosses_or_keys_is_refused_quickly() {
    // Comparing each of so many names with all names before it would take too long, and a section has room for them.
    let list = |item: &dyn Fn(usize) -> String| (0..150_000).map(item).collect::<Vec<_>>().join(",");
    let fields = format!("{{\"field\":[{}]}}", list(&|index| format!("{{\"name\":\"f{index}\"}}")));
    assert_refused(&with_text(SectionKind::Contract, &fields), Code::FileContract, "at most 128 fields");
    let crosses = format!("{{\"cross\":[{}]}}", list(&|_| "{\"fields\":[]}".to_owned()));
    assert_refused(&with_text(SectionKind::Contract, &crosses), Code::FileContract, "at most 64 crosses");
    let keys = format!("{{{}}}", list(&|index| format!("\"k{index}\":0")));
    let error = Model::from_bytes(with_text(SectionKind::Contract, &keys)).unwrap_err();
    assert_eq!(error.code(), Code::FileContract);
    assert!(error.full_message().len() < 100_000, "{} bytes of message", error.full_message().len());
}

#[test]
fn a_contract_that_is_not_in_canonical_form_is_malformed() {
    for (from, to) in [("{\"cross\"", "{ \"cross\""), ("}]}", "}]}\n"), (r#","log":"plain","many":false"#, "")] {
        let bytes = with(SectionKind::Contract, |content| {
            let text = String::from_utf8(content.clone()).unwrap();
            let changed = text.replacen(from, to, 1);
            *content = if changed == text { format!("{text}\n") } else { changed }.into_bytes();
        });
        assert_refused(&bytes, Code::Malformed, "canonical");
    }
}

#[test]
fn provenance_that_is_not_an_object_or_has_no_logic_id_is_malformed() {
    assert_refused(&with_text(SectionKind::Provenance, "{]"), Code::Malformed, "provenance section is not JSON");
    assert_refused(&with_text(SectionKind::Provenance, "[]"), Code::Malformed, "not an object");
    for text in ["{}", r#"{"logic_id":""}"#, r#"{"logic_id":7}"#, r#"{"logic_id":null}"#] {
        assert_refused(&with_text(SectionKind::Provenance, text), Code::Malformed, "no logic id");
    }
}

#[test]
fn field_sizes_that_are_not_an_object_are_malformed() {
    assert_refused(&with_text(SectionKind::FieldSizes, "[]"), Code::Malformed, "field sizes");
}

#[test]
fn an_unknown_table_layout_encoding_or_calibrator_is_too_new() {
    for (kind, offset, what) in [
        (SectionKind::Table, layout::TABLE_LAYOUT_OFFSET, "table layout"),
        (SectionKind::Table, layout::TABLE_ENCODING_OFFSET, "weight encoding"),
        (SectionKind::Calibrator, layout::CALIBRATOR_KIND_OFFSET, "calibrator"),
    ] {
        let bytes = with(kind, |content| put(content, offset, &9_u32.to_le_bytes()));
        assert_refused(&bytes, Code::TooNew, &format!("does not know its {what} 9"));
    }
}

#[test]
fn a_bias_that_is_not_finite_is_malformed() {
    for bias in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let bytes = with(SectionKind::Table, |content| put(content, layout::TABLE_BIAS_OFFSET, &bias.to_le_bytes()));
        assert_refused(&bytes, Code::Malformed, "table section");
    }
}

#[test]
fn reserved_bytes_that_are_not_zero_are_malformed() {
    for (kind, offset) in [
        (SectionKind::Table, layout::TABLE_ZEROS_OFFSET),
        (SectionKind::Table, layout::TABLE_LEN - 1),
        (SectionKind::Calibrator, layout::CALIBRATOR_ZEROS_OFFSET),
        (SectionKind::Calibrator, layout::CALIBRATOR_LEN - 1),
        (SectionKind::Exceptions, layout::EXCEPTION_ZEROS_OFFSET),
    ] {
        assert_refused(&with(kind, |content| content[offset] = 1), Code::Malformed, "not valid");
    }
}

#[test]
fn a_geometry_that_does_not_match_the_weights_is_malformed() {
    let (shards, lines) = (layout::TABLE_SHARD_COUNT_OFFSET, layout::TABLE_SHARD_LINES_OFFSET);
    let max = u32::MAX;
    for (offset, value) in [(shards, 0), (shards, 2), (shards, max), (lines, 0), (lines, 1), (lines, 3), (lines, max)] {
        let bytes = with(SectionKind::Table, |content| put(content, offset, &value.to_le_bytes()));
        assert_refused(&bytes, Code::Malformed, "the length of its weights section differs");
    }
    // 2 x 1 lines are as long as 1 x 2, but in a shard of one line no key has a second line.
    let bytes = with(SectionKind::Table, |content| {
        put(content, shards, &2_u32.to_le_bytes());
        put(content, lines, &1_u32.to_le_bytes());
    });
    assert_refused(&bytes, Code::Malformed, "the length of its weights section differs");
    // In 32 bits, the product wraps to the right number.
    let bytes = with(SectionKind::Table, |content| {
        put(content, shards, &((1_u32 << 31) + 1).to_le_bytes());
        put(content, lines, &2_u32.to_le_bytes());
    });
    assert_refused(&bytes, Code::Malformed, "the length of its weights section differs");
    assert_refused(&with(SectionKind::Weights, |content| content.truncate(100)), Code::Malformed, "cannot be 100");
}

#[test]
fn a_number_of_weights_that_the_table_does_not_have_is_malformed() {
    for count in [0_u64, 2, 5, u64::MAX] {
        let bytes =
            with(SectionKind::Table, |content| put(content, layout::TABLE_WEIGHT_COUNT_OFFSET, &count.to_le_bytes()));
        assert_refused(&bytes, Code::Malformed, "its table section says");
    }
}

/// The places of a slot's data in its line: parts of the tag, and the weight, each with offset and length.
struct Slot {
    tag: Vec<(usize, usize)>,
    weight: (usize, usize),
}

/// Returns the slots of line `line` in `encoding`.
fn slots(encoding: Encoding, line: usize) -> impl Iterator<Item = Slot> {
    let (start, count) = (line * 64, encoding.slot_count());
    (0..count).map(move |slot| match encoding {
        Encoding::F32 => Slot { tag: vec![(start + 4 * slot, 4)], weight: (start + 4 * count + 4 * slot, 4) },
        small => {
            let len = if small == Encoding::F16 { 2 } else { 1 };
            let tag = vec![(start + 2 * slot, 2), (start + 2 * count + slot, 1)];
            Slot { tag, weight: (start + 3 * count + len * slot, len) }
        }
    })
}

/// Returns the first slot of the file that is filled, or empty, and another slot of the same line.
fn slot(encoding: Encoding, weights: &[u8], filled: bool) -> (Slot, Slot) {
    let is_filled = |slot: &Slot| {
        let bytes = slot.tag.iter().flat_map(|&(offset, len)| &weights[offset..offset + len]);
        // In f32 lines, the high bits of a tag word belong to the filter.
        bytes.zip([0xff, 0xff, 0xff, 0x3f]).any(|(byte, mask)| byte & mask != 0)
    };
    let mut lines = (0..weights.len() / 64).map(|line| slots(encoding, line).collect::<Vec<_>>());
    let mut line = lines.find(|line| line.iter().any(|slot| is_filled(slot) == filled)).unwrap();
    let at = line.iter().position(|slot| is_filled(slot) == filled).unwrap();
    let found = line.swap_remove(at);
    (found, line.swap_remove(0))
}

/// Returns the tiny file in `encoding` after `change` has changed a slot of the weights. `change` gets the slot and
/// another one of its line.
fn with_slot(encoding: Encoding, filled: bool, change: impl Fn(&mut Vec<u8>, &Slot, &Slot)) -> Vec<u8> {
    with_content(&tiny_file::bytes_in(encoding), SectionKind::Weights, |content| {
        let (found, other) = slot(encoding, content, filled);
        change(content, &found, &other);
    })
}

#[test]
fn a_weight_that_its_encoding_cannot_store_is_malformed() {
    let cases: [(Encoding, Vec<Vec<u8>>); 3] = [
        (
            Encoding::F32,
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|weight| weight.to_le_bytes().to_vec()).into(),
        ),
        (Encoding::F16, [0x7e00_u16, 0x7c00, 0xfc00].map(|bits| bits.to_le_bytes().to_vec()).into()),
        (Encoding::I8, vec![vec![0x80]]),
    ];
    for (encoding, weights) in cases {
        for weight in weights {
            let bytes = with_slot(encoding, true, |content, slot, _| put(content, slot.weight.0, &weight));
            assert_refused(&bytes, Code::Malformed, "a weight that its encoding cannot store");
        }
    }
}

#[test]
fn an_exception_whose_weight_is_not_finite_is_malformed() {
    for weight in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let bytes = with(SectionKind::Exceptions, |content| {
            put(content, layout::EXCEPTION_WEIGHT_OFFSET, &weight.to_le_bytes());
        });
        assert_refused(&bytes, Code::Malformed, "the exception for key");
    }
    // Multiplied by its scale, it might not be finite.
    let bytes = with_content(&tiny_file::bytes_in(Encoding::I8), SectionKind::Exceptions, |content| {
        put(content, layout::EXCEPTION_WEIGHT_OFFSET, &128.0_f32.to_le_bytes());
    });
    assert_refused(&bytes, Code::Malformed, "the exception for key");
}

#[test]
fn a_scale_that_is_not_a_positive_normal_number_is_malformed() {
    for scale in [0.0, -0.0, -1.0, 1e-40, f32::MAX, f32::INFINITY, f32::NAN] {
        let bytes = with_content(&tiny_file::bytes_in(Encoding::I8), SectionKind::Table, |content| {
            put(content, layout::TABLE_SCALES_OFFSET + 4, &scale.to_le_bytes());
        });
        assert_refused(&bytes, Code::Malformed, "scale 1 of its table must be a positive normal number");
    }
}

#[test]
fn a_number_of_scales_other_than_that_of_fields_and_crosses_is_malformed() {
    for (encoding, expected) in [(Encoding::F32, 0), (Encoding::F16, 0), (Encoding::I8, 3)] {
        for count in [0, 1, 3, 4].into_iter().filter(|&count| count != expected) {
            let bytes = with_content(&tiny_file::bytes_in(encoding), SectionKind::Table, |content| {
                content.truncate(layout::TABLE_SCALES_OFFSET);
                (0..count).for_each(|_| content.extend_from_slice(&1.0_f32.to_le_bytes()));
            });
            let words = format!("expected {expected}, found {count} with the encoding {}", encoding.name());
            assert_refused(&bytes, Code::Malformed, &words);
        }
    }
    let half_a_scale = with(SectionKind::Table, |content| content.extend_from_slice(&[0; 2]));
    assert_refused(&half_a_scale, Code::Malformed, "cannot be 66 bytes long");
}

#[test]
fn a_tag_that_occurs_twice_in_a_line_is_malformed() {
    for encoding in Encoding::ALL {
        let bytes = with_slot(encoding, true, |content, slot, other| {
            for (&(from, len), &(to, _)) in slot.tag.iter().zip(&other.tag) {
                content.copy_within(from..from + len, to);
            }
        });
        assert_refused(&bytes, Code::Malformed, "has a tag twice");
    }
}

#[test]
fn an_empty_slot_with_a_weight_is_malformed() {
    for encoding in Encoding::ALL {
        // These are the bits of -0.0 or of -128. A slot is empty only if all bits of its weight are zero.
        let bytes = with_slot(encoding, false, |content, slot, _| content[slot.weight.0 + slot.weight.1 - 1] = 0x80);
        assert_refused(&bytes, Code::Malformed, "a weight in an empty slot");
    }
}

#[test]
fn exceptions_out_of_order_or_twice_are_malformed() {
    let twice = with(SectionKind::Exceptions, |content| content.extend_from_within(..16));
    assert_refused(&twice, Code::Malformed, "exceptions are out of order");
    let falling = with(SectionKind::Exceptions, |content| content.extend_from_slice(&[0; 16]));
    assert_refused(&falling, Code::Malformed, "exceptions are out of order");
    assert_refused(&with(SectionKind::Exceptions, |content| content.truncate(15)), Code::Malformed, "cannot be 15");
}

#[test]
fn default_weights_that_are_not_finite_or_beyond_any_logit_are_malformed() {
    let record = layout::DEFAULT_WEIGHTS_LEN;
    for weight in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 700.1, -1e30] {
        for offset in [0, layout::DEFAULT_MISSING_OFFSET, record, record + layout::DEFAULT_MISSING_OFFSET] {
            let bytes = with(SectionKind::DefaultWeights, |content| put(content, offset, &weight.to_le_bytes()));
            assert_refused(&bytes, Code::Malformed, "expected default weights from -700 to 700, found");
        }
    }
}

#[test]
fn default_weights_for_another_number_of_fields_are_malformed() {
    let with_len = |len: usize| with(SectionKind::DefaultWeights, |content| content.resize(len, 0));
    for (len, words) in [
        (0, "cannot be 0 bytes long"),
        (8, "expected default weights for the 2 fields of its contract, found them for 1"),
        (12, "cannot be 12 bytes long"),
        (24, "expected default weights for the 2 fields of its contract, found them for 3"),
        (128 * 8, "found them for 128"),
        (129 * 8, "cannot be 1032 bytes long"),
    ] {
        assert_refused(&with_len(len), Code::Malformed, words);
    }
}

/// A reader that skipped the section would give other probabilities than the file says.
#[test]
fn default_weights_are_required_of_a_reader_that_sees_them() {
    let mut sections = sections_of(&tiny_file::bytes());
    let default_weights = sections.last_mut().unwrap();
    assert_eq!((default_weights.kind, default_weights.flags), (10, layout::FLAG_REQUIRED));
    default_weights.flags = 0;
    assert_refused(&assemble(&sections), Code::Malformed, "default weights section has the wrong required flag");
    // Another default weight gives another answer to the golden requests, and so does none.
    let other = with(SectionKind::DefaultWeights, |content| put(content, 12, &0.5_f32.to_le_bytes()));
    assert_refused(&other, Code::GoldenMismatch, "logit");
    sections.pop();
    assert_refused(&assemble(&sections), Code::GoldenMismatch, "logit");
}

#[test]
fn calibrator_limits_outside_0_to_1_or_out_of_order_are_malformed() {
    let (min, max) = (layout::CALIBRATOR_MIN_OFFSET, layout::CALIBRATOR_MAX_OFFSET);
    for (offset, value) in [
        (min, 0.0),
        (min, -0.0),
        (min, -1.0),
        (min, f64::NAN),
        (min, 0.9995),
        (min, 0.999),
        (max, 1.0),
        (max, f64::INFINITY),
        (max, f64::NAN),
        (max, 0.0),
    ] {
        let bytes = with(SectionKind::Calibrator, |content| put(content, offset, &value.to_le_bytes()));
        assert_refused(&bytes, Code::Malformed, "calibrator section");
    }
}

#[test]
fn golden_requests_that_cannot_be_read_are_malformed() {
    for text in ["{", "[]", "{}", r#"{"requests":7}"#, r#"{"requests":[]}"#] {
        assert_refused(&with_text(SectionKind::Golden, text), Code::Malformed, "golden requests");
    }
    for (from, to, words) in [
        (r#""user":7"#, r#""reader":7"#, "no field `reader`"),
        (r#""user":7"#, r#""word":["a"]"#, "belongs to the candidate"),
        (r#""user":7"#, r#""user":7.5"#, "needs id"),
        (r#""user":7"#, r#""user":9223372036854775808"#, "needs id"),
        (r#""context":"#, r#""contexts":"#, "a row is not an object"),
        (r#""candidates":["#, r#""candidates":[{},"#, "logits and probabilities differ"),
        (r#""logits":["#, r#""logits":["zzzzzzzzzzzzzzzz","#, "16 hexadecimal digits"),
        (r#""logits":["#, r#""logits":["+000000000000000","#, "16 hexadecimal digits"),
        (r#""probabilities":["#, r#""probabilities":["0","#, "8 hexadecimal digits"),
    ] {
        assert_refused(&with_replaced(SectionKind::Golden, from, to), Code::Malformed, words);
    }
}

#[test]
fn golden_requests_that_no_request_can_hold_are_malformed_and_not_a_fault_of_the_server() {
    let mut many = String::from(r#""a""#);
    (0..1_024).for_each(|index| write!(many, r#","{index}""#).unwrap());
    let bytes = with_replaced(SectionKind::Golden, r#"["旅行"]"#, &format!("[{many}]"));
    assert_refused(&bytes, Code::Malformed, "golden request 0: too many values in field `word`");
}

#[test]
fn an_answer_that_differs_in_its_last_bit_is_a_golden_mismatch() {
    let golden = sections_of(&tiny_file::bytes()).swap_remove(6).content;
    let golden = String::from_utf8(golden).unwrap();
    for (list, what) in [("\"logits\":[\"", "logit"), ("\"probabilities\":[\"", "probability")] {
        let start = golden.find(list).unwrap() + list.len();
        let end = start + golden[start..].find('"').unwrap();
        let bytes = with(SectionKind::Golden, |content| content[end - 1] ^= 1);
        // With only the probability different, the message once showed two equal logits.
        let text = format!("golden request 0, candidate 0: expected the {what} ");
        assert_refused(&bytes, Code::GoldenMismatch, &text);
    }
}

#[test]
fn a_weight_that_differs_in_its_last_bit_is_a_golden_mismatch() {
    let mut mismatch_count = 0;
    for position in (0..128).step_by(4).filter(|position| position & 32 != 0) {
        let weights = sections_of(&tiny_file::bytes()).swap_remove(3).content;
        if u32_at(&weights, position) == 0 {
            continue;
        }
        let bytes = with(SectionKind::Weights, |content| content[position] ^= 1);
        mismatch_count +=
            usize::from(Model::from_bytes(bytes).is_err_and(|error| error.code() == Code::GoldenMismatch));
    }
    // The golden request reads three of the four weights. The fourth, or its twin, is an exception.
    assert!(mismatch_count >= 2, "{mismatch_count}");
}

#[test]
fn a_bias_that_differs_in_its_last_bit_is_a_golden_mismatch() {
    let bytes = with(SectionKind::Table, |content| content[layout::TABLE_BIAS_OFFSET] ^= 1);
    assert_refused(&bytes, Code::GoldenMismatch, "golden request 0, candidate 0");
}
