//! Draws, buckets and choices agree with the vectors that the program in Python wrote.

use omomi::experiment::{Exploration, Method, Purpose, bucket_of, choose, draw};
use omomi::feature::{id_value, text_value};

const VECTORS: &str = include_str!("../experiment.tsv");

fn text(hex: &str) -> String {
    let hex = if hex == "-" { "" } else { hex };
    let bytes = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

#[test]
fn every_vector_has_the_bucket_and_the_choice_of_the_specification() {
    let mut counts = [0, 0, 0];
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns[..] {
            ["text", salt, unit, bucket, place] => {
                let (salt, value) = (salt.parse().unwrap(), text_value(text(unit).as_bytes()));
                let found = [Purpose::Bucket, Purpose::Shadow].map(|purpose| bucket_of(draw(salt, purpose, value)));
                assert_eq!(found.map(|bucket| bucket.to_string()), [bucket, place], "{line}");
                counts[0] += 1;
            }
            ["id", salt, id, bucket] => {
                let value = id_value(id.parse().unwrap());
                let found = bucket_of(draw(salt.parse().unwrap(), Purpose::Bucket, value));
                assert_eq!(found.to_string(), bucket, "{line}");
                counts[1] += 1;
            }
            ["choice", salt, share, method, parameter, id, utilities, candidate, propensity, is_exploring] => {
                let parameter = parameter.parse().unwrap();
                let method = match method {
                    "epsilon" => Method::EpsilonUniform { epsilon: parameter },
                    _ => Method::Softmax { temperature: parameter },
                };
                let policy = Exploration { share: share.parse().unwrap(), method };
                let utilities: Vec<f64> = utilities.split(',').map(|it| it.parse().unwrap_or(f64::NAN)).collect();
                let found = choose(Some(&policy), salt.parse().unwrap(), &text(id), &utilities).unwrap().unwrap();
                assert_eq!(found.candidate.to_string(), candidate, "{line}");
                assert_eq!(u8::from(found.is_exploring).to_string(), is_exploring, "{line}");
                let expected: f64 = propensity.parse().unwrap();
                assert!((found.propensity.unwrap() - expected).abs() < 1e-11, "{line}: {found:?}");
                counts[2] += 1;
            }
            _ => panic!("{line}"),
        }
    }
    assert!(counts[0] >= 100 && counts[1] >= 20 && counts[2] >= 200, "{counts:?}");
}
