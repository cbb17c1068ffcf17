//! Accidental damage: every truncation and every flipped bit of a small file.

use omomi::{Code, Model};

use crate::tiny_file;

#[test]
fn every_shorter_prefix_of_a_file_is_truncated() {
    let bytes = tiny_file::bytes();
    for len in 0..bytes.len() {
        let error = Model::from_bytes(bytes[..len].to_vec()).expect_err("a truncated file was accepted");
        assert_eq!(error.code(), Code::Truncated, "{len} bytes: {error}");
    }
}

#[test]
fn every_flipped_bit_is_found_and_reported_to_infra() {
    let bytes = tiny_file::bytes();
    let mut count_by_code = std::collections::BTreeMap::new();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << bit;
            let error = Model::from_bytes(damaged).expect_err("a flipped bit was accepted");
            let padding = error.code() == Code::Malformed && error.to_string().contains("the bytes between its parts");
            let expected = [Code::NotAWeightFile, Code::Damaged];
            assert!(padding || expected.contains(&error.code()), "byte {position}, bit {bit}: {error}");
            *count_by_code.entry(error.code().name()).or_insert(0) += 1;
        }
    }
    println!("{} bytes: {count_by_code:?}", bytes.len());
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut bytes = tiny_file::bytes();
    for _ in 0..70 {
        bytes.push(0);
        let error = Model::from_bytes(bytes.clone()).expect_err("trailing bytes were accepted");
        assert_eq!(error.code(), Code::TooLong, "{error}");
    }
}
