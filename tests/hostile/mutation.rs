//! Changes a weight file where a person or a fuzzer with knowledge of the format would: in one of its sections, with
//! values that are at the edge of something. The checksums are computed again afterward, so that every change reaches
//! the reader of the section.

use omomi::weight_file::layout::{self, SectionKind};
use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt as _};
use serde_json::{Map, Value};

use crate::sealing::{Section, assemble, entry_at, put, reseal, sections_of};

const FLOATS: [f64; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-300,
    5e-324,
    1e-46,
    1.4e-45,
    1e-38,
    1e15,
    1e16,
    1e17,
    1e300,
    f64::MAX,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    700.0,
    701.0,
    -700.0,
    0.999_999_99,
    0.999_999_999_999,
    1.0 - f64::EPSILON / 2.0,
];
const INTEGERS: [u64; 12] = [0, 1, 2, 3, 64, 127, 65_536, 65_537, u32::MAX as u64, i64::MAX as u64, 1 << 63, u64::MAX];
const SCALARS: [&str; 34] = [
    "0",
    "-0",
    "-1",
    "1",
    "1.0",
    "0.5",
    "1e16",
    "1e+16",
    "1E16",
    "1e15",
    "1e-7",
    "1e400",
    "1e308",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "9301860000000000000",
    "7258118399999999",
    "7258118400000000",
    "null",
    "true",
    "false",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"\\u001b[31m\"",
    "\"\u{9b}\"",
    "\"\u{202e}\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "[]",
    "{}",
];

/// Returns a mutant of `file` and what was changed.
pub fn mutant(file: &[u8], random: &mut impl Rng) -> (Vec<u8>, String) {
    if random.random_range(0..12) == 0 {
        return header_mutant(file, random);
    }
    let mut sections = sections_of(file);
    let mut words = Vec::new();
    for _ in 0..*[1, 1, 1, 2, 3].choose(random).unwrap_or(&1) {
        words.push(change(&mut sections, random));
    }
    (assemble(&sections), words.join("; "))
}

/// Changes bytes of the header and of the section table.
fn header_mutant(file: &[u8], random: &mut impl Rng) -> (Vec<u8>, String) {
    let mut bytes = file.to_vec();
    let end = entry_at(sections_of(file).len());
    let at = random.random_range(8..end) & !3;
    let value = *INTEGERS.choose(random).unwrap_or(&0);
    let len = if random.random() { 4 } else { 8 };
    bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    if random.random_range(0..8) == 0 {
        bytes.truncate(random.random_range(0..=bytes.len()));
    }
    reseal(&mut bytes);
    (bytes, format!("{len} bytes at {at} of the header are {value:#x}"))
}

fn change(sections: &mut Vec<Section>, random: &mut impl Rng) -> String {
    if random.random_range(0..10) == 0 {
        return change_sections(sections, random);
    }
    let index = random.random_range(0..sections.len());
    let section = &mut sections[index];
    let kind = SectionKind::from_number(section.kind);
    let how = match kind {
        Some(SectionKind::Contract | SectionKind::Provenance | SectionKind::Golden | SectionKind::FieldSizes) => {
            change_json(&mut section.content, random)
        }
        Some(SectionKind::Table) => change_table(&mut section.content, random),
        Some(SectionKind::Calibrator) => {
            let at = *[layout::CALIBRATOR_MIN_OFFSET, layout::CALIBRATOR_MAX_OFFSET].choose(random).unwrap_or(&0);
            put_float(&mut section.content, at, random)
        }
        _ => change_bytes(&mut section.content, random),
    };
    format!("section {}: {how}", section.kind)
}

fn change_sections(sections: &mut Vec<Section>, random: &mut impl Rng) -> String {
    let index = random.random_range(0..sections.len());
    match random.random_range(0..6) {
        0 => {
            let gone = sections.remove(index);
            if sections.is_empty() {
                sections.push(gone);
            }
            format!("section {index} is missing")
        }
        1 => {
            let copy = sections[index].clone();
            sections.insert(index, copy);
            format!("section {index} occurs twice")
        }
        2 => {
            let flags = *[0, 1, 2, u32::MAX].choose(random).unwrap_or(&0);
            sections[index].flags = flags;
            format!("section {index} has the flags {flags}")
        }
        3 => {
            let flags = random.random_range(0..2);
            sections.push(Section { kind: 77, flags, content: vec![7; random.random_range(0..100)] });
            format!("an unknown section with the flags {flags}")
        }
        4 => {
            sections[index].content.clear();
            format!("section {index} is empty")
        }
        _ => {
            let other = random.random_range(0..sections.len());
            let content = sections[other].content.clone();
            sections[index].content = content;
            format!("section {index} has the content of {other}")
        }
    }
}

fn change_table(content: &mut Vec<u8>, random: &mut impl Rng) -> String {
    match random.random_range(0..4) {
        0 => put_float(content, layout::TABLE_BIAS_OFFSET, random),
        1 => {
            let at = random.random_range(0..content.len() / 4) * 4;
            let value = *INTEGERS.choose(random).unwrap_or(&0);
            put(content, at, &value.to_le_bytes()[..4]);
            format!("u32 {value:#x} at {at}")
        }
        2 if content.len() > layout::TABLE_SCALES_OFFSET => {
            let value = f32_of(random);
            put(content, layout::TABLE_SCALES_OFFSET, &value.to_le_bytes());
            format!("the first scale is {value:e}")
        }
        _ => change_bytes(content, random),
    }
}

fn f32_of(random: &mut impl Rng) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "infinities and zeros are good values, too")]
    let value = *FLOATS.choose(random).unwrap_or(&0.0) as f32;
    value
}

fn put_float(content: &mut [u8], at: usize, random: &mut impl Rng) -> String {
    let value = *FLOATS.choose(random).unwrap_or(&0.0);
    if let Some(place) = content.get_mut(at..at + 8) {
        place.copy_from_slice(&value.to_le_bytes());
    }
    format!("f64 {value:e} at {at}")
}

fn change_bytes(content: &mut Vec<u8>, random: &mut impl Rng) -> String {
    if content.is_empty() || random.random_range(0..10) == 0 {
        let more = random.random_range(1..80);
        content.extend(std::iter::repeat_n(random.random::<u8>(), more));
        return format!("{more} more bytes");
    }
    let at = random.random_range(0..content.len());
    match random.random_range(0..4) {
        0 => {
            content.truncate(at);
            format!("cut at {at}")
        }
        1 => {
            let value = f32_of(random);
            let at = at & !3;
            if let Some(place) = content.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_le_bytes());
            }
            format!("f32 {value:e} at {at}")
        }
        2 => {
            content[at] = random.random();
            format!("byte {at}")
        }
        _ => {
            content[at] ^= 1 << random.random_range(0..8);
            format!("bit of byte {at}")
        }
    }
}

/// Changes JSON as a tree, or as a text.
fn change_json(content: &mut Vec<u8>, random: &mut impl Rng) -> String {
    let Ok(mut root) = serde_json::from_slice::<Value>(content) else { return change_bytes(content, random) };
    match random.random_range(0..10) {
        0 => change_bytes(content, random),
        1 => {
            let text = String::from_utf8_lossy(content).into_owned();
            let at = text.find(',').unwrap_or(0);
            let space = *[" ", "\n", "\u{feff}", ",", "{", "]"].choose(random).unwrap_or(&" ");
            *content = format!("{}{space}{}", &text[..at], &text[at..]).into_bytes();
            format!("{space:?} at {at}")
        }
        2 => {
            // A key that occurs twice.
            let text = String::from_utf8_lossy(content).into_owned();
            let scalar = *SCALARS.choose(random).unwrap_or(&"0");
            let key = *["\"logic_id\"", "\"name\"", "\"requests\"", "\"label\"", "\"\\u0066ield\"", "\"training\""]
                .choose(random)
                .unwrap_or(&"\"name\"");
            *content = format!("{{{key}:{scalar},{}", &text[1..]).into_bytes();
            format!("{key}:{scalar} comes first")
        }
        3 => {
            let depth = *[1, 2, 5, 6, 7, 28, 29, 30, 31, 32, 33, 40, 127, 128, 1_000].choose(random).unwrap_or(&1);
            let nested = format!("{}0{}", "[".repeat(depth), "]".repeat(depth));
            *content = with_member(content, "nested", &nested);
            format!("{depth} levels more")
        }
        4 => {
            let count = *[10, 1_000, 1_025, 65_536, 100_000].choose(random).unwrap_or(&10);
            *content = with_member(content, "many", &format!("[{}0]", "0,".repeat(count - 1)));
            format!("{count} items more")
        }
        5 => {
            let end = *SCALARS.choose(random).unwrap_or(&"0");
            let training = format!("{{\"training_window\":{{\"last_us\":{end}}}}}");
            *content = with_member(content, "training", &training);
            format!("the training ends at {end}")
        }
        _ => {
            let scalar = *SCALARS.choose(random).unwrap_or(&"0");
            let how = change_node(&mut root, random, scalar);
            *content = root.to_string().replace("\"@\"", scalar).into_bytes();
            how
        }
    }
}

fn with_member(object: &[u8], key: &str, value: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(object).into_owned();
    format!("{{\"{key}\":{value},{}", text.strip_prefix('{').unwrap_or(&text)).into_bytes()
}

/// Changes a node of a tree. Replaces the text `@` with `scalar`.
fn change_node(node: &mut Value, random: &mut impl Rng, scalar: &str) -> String {
    match node {
        Value::Object(object) if !object.is_empty() && random.random_range(0..4) != 0 => {
            let keys: Vec<String> = object.keys().cloned().collect();
            let key = keys.choose(random).cloned().unwrap_or_default();
            format!("{key}.{}", change_node(object.get_mut(&key).unwrap_or(&mut Value::Null), random, scalar))
        }
        Value::Array(list) if !list.is_empty() && random.random_range(0..4) != 0 => {
            let index = random.random_range(0..list.len());
            format!("{index}.{}", change_node(&mut list[index], random, scalar))
        }
        Value::Object(object) => change_object(object, random, scalar),
        Value::Array(list) => match random.random_range(0..4) {
            0 => {
                list.pop();
                "one item less".to_owned()
            }
            1 if !list.is_empty() => {
                let count = *[1, 2, 63, 64, 200, 1_024].choose(random).unwrap_or(&1);
                let item = list[0].clone();
                list.extend(std::iter::repeat_n(item, count));
                format!("the first item {count} times more")
            }
            2 => {
                list.push(Value::from("@"));
                format!("with the item {scalar}")
            }
            _ => {
                list.reverse();
                "backward".to_owned()
            }
        },
        Value::String(text) if random.random_range(0..3) == 0 => {
            let len = *[63, 64, 65, 128, 129, 1_024, 1_025, 100_000].choose(random).unwrap_or(&64);
            *text = "x".repeat(len);
            format!("a text of {len} bytes")
        }
        _ => {
            *node = Value::from("@");
            format!("is {scalar}")
        }
    }
}

fn change_object(object: &mut Map<String, Value>, random: &mut impl Rng, scalar: &str) -> String {
    let keys: Vec<String> = object.keys().cloned().collect();
    match random.random_range(0..3) {
        0 => {
            let key = keys.choose(random).cloned().unwrap_or_default();
            object.remove(&key);
            format!("without {key}")
        }
        1 => {
            object.insert("unknown\u{1b}[2J".to_owned(), Value::from("@"));
            format!("with an unknown key that is {scalar}")
        }
        _ => {
            let (from, to) = (keys.first().cloned().unwrap_or_default(), keys.last().cloned().unwrap_or_default());
            let value = object.get(&from).cloned().unwrap_or(Value::Null);
            object.insert(to.clone(), value);
            format!("{to} is {from}")
        }
    }
}
