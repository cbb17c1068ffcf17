//! Prediction ids and samples agree with the vectors that the reader in Python wrote.

use omomi::serving_log::{PredictionId, sample_place};

const VECTORS: &str = include_str!("../serving_log.tsv");

fn text(hex: &str) -> String {
    let hex = if hex == "-" { "" } else { hex };
    let bytes = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

#[test]
fn every_vector_has_the_id_and_the_place_of_the_specification() {
    let mut counts = [0, 0];
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns[..] {
            ["id", request_id, impression, candidate, id] => {
                let found = PredictionId::of(&text(request_id), &text(impression), candidate.parse().unwrap()).unwrap();
                assert_eq!(found.to_string(), id, "{line}");
                assert_eq!(id.parse(), Ok(found));
                counts[0] += 1;
            }
            ["sample", request_id, salt, place] => {
                let found = sample_place(salt.parse().unwrap(), &text(request_id));
                assert_eq!(found.to_string(), place, "{line}");
                counts[1] += 1;
            }
            _ => panic!("{line}"),
        }
    }
    assert!(counts[0] >= 200 && counts[1] >= 600, "{counts:?}");
}

#[test]
fn texts_of_other_lengths_have_no_id() {
    assert!(PredictionId::of("", "", 0).is_err());
    assert!(PredictionId::of(&"x".repeat(129), "", 0).is_err());
    assert!(PredictionId::of("x", &"y".repeat(65), 0).is_err());
}
