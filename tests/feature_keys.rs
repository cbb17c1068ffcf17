//! The Python reader under `tests/reference` wrote `tests/feature_keys.tsv` from the specification alone. The crate,
//! the C client and the JVM bindings must all agree with it.

use omomi::contract::Buckets;
use omomi::feature::{cross_step, feature_key, field_seed, id_value, text_value};

const VECTORS: &str = include_str!("feature_keys.tsv");

/// The columns of one test vector; the header of the file describes them.
struct Vector<'a> {
    line: &'a str,
    kind: &'a str,
    field: &'a str,
    seed: u64,
    input: &'a str,
    buckets: &'a str,
    value: Option<u64>,
    key: Option<u64>,
}

fn vectors() -> impl Iterator<Item = Vector<'static>> {
    VECTORS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [kind, field, seed, input, buckets, value, key] = columns[..] else { panic!("seven columns: {line}") };
        let optional = |column: &str| (column != "-").then(|| bits(column));
        Vector { line, kind, field, seed: bits(seed), input, buckets, value: optional(value), key: optional(key) }
    })
}

fn bits(hex: &str) -> u64 {
    assert_eq!(hex.len(), 16, "{hex}");
    u64::from_str_radix(hex, 16).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let hex = if hex == "-" { "" } else { hex };
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Returns the bucket of a number, from the range and edges of its vector.
fn bucket(vector: &Vector<'_>) -> Option<u64> {
    let numbers: Vec<&str> = vector.buckets.split(',').collect();
    let range = [f64::from_bits(bits(numbers[0])), f64::from_bits(bits(numbers[1]))];
    let buckets = match numbers[2..] {
        ["log2"] => Buckets::Log2,
        ref edges => Buckets::Edges(edges.iter().map(|edge| f64::from_bits(bits(edge))).collect()),
    };
    buckets.index(range, f64::from_bits(bits(vector.input)))
}

#[test]
fn every_vector_has_the_seed_the_value_and_the_key_of_the_specification() {
    let mut vector_count_by_kind = [("id", 0), ("text", 0), ("number", 0), ("cross", 0)];
    for vector in vectors() {
        let line = vector.line;
        assert_eq!(field_seed(vector.field), vector.seed, "seed: {line}");
        let (value, key) = match vector.kind {
            "cross" => {
                let members = vector.input.split(',').map(bits);
                (None, Some(members.fold(vector.seed, cross_step)))
            }
            kind => {
                let value = match kind {
                    "id" => Some(id_value(vector.input.parse().unwrap())),
                    "text" => Some(text_value(&bytes(vector.input))),
                    "number" => bucket(&vector),
                    _ => panic!("unknown kind: {line}"),
                };
                (value, value.map(|value| feature_key(vector.seed, value)))
            }
        };
        assert_eq!(value, vector.value, "value: {line}");
        assert_eq!(key, vector.key, "key: {line}");
        vector_count_by_kind.iter_mut().find(|(kind, _)| *kind == vector.kind).unwrap().1 += 1;
    }
    // A file that lost some vectors must not pass.
    for (kind, count) in vector_count_by_kind {
        assert!(count >= 8, "only {count} vectors of kind {kind}");
    }
}
