//! Damage to files on disk, in both load modes.

use std::fs;

use omomi::weight_file::layout::{SectionKind, TABLE_BIAS_OFFSET};
use omomi::{Code, LoadMode, Model, Owner};

use crate::sealing::with_content;
use crate::tiny_file;

const MODES: [LoadMode; 2] = [LoadMode::Map, LoadMode::Copy];

#[test]
fn a_damaged_file_is_refused_in_both_load_modes_with_the_same_error() {
    let whole = tiny_file::bytes();
    let flipped = |position: usize| {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x40;
        bytes
    };
    let other_bias = with_content(&whole, SectionKind::Table, |content| content[TABLE_BIAS_OFFSET] ^= 1);
    let cases = [
        ("whole", whole.clone(), None),
        ("empty", Vec::new(), Some(Code::Truncated)),
        ("one byte short", whole[..whole.len() - 1].to_vec(), Some(Code::Truncated)),
        ("one byte long", [&whole[..], &[0]].concat(), Some(Code::TooLong)),
        ("zeros", vec![0; whole.len()], Some(Code::NotAWeightFile)),
        ("header", flipped(35), Some(Code::Damaged)),
        ("section table", flipped(150), Some(Code::Damaged)),
        ("contract", flipped(400), Some(Code::Damaged)),
        ("end", flipped(whole.len() - 1), Some(Code::Damaged)),
        ("golden requests", other_bias, Some(Code::GoldenMismatch)),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, expected) in cases {
        let path = folder.path().join("000001.omomi");
        fs::write(&path, &bytes).unwrap();
        for mode in MODES {
            let code = Model::load(&path, mode).map(|_| ()).map_err(|error| error.code()).err();
            assert_eq!(code, expected, "{name}, {mode:?}");
        }
        // Bytes in memory give the same error.
        let code = Model::from_bytes(bytes).map(|_| ()).map_err(|error| error.code()).err();
        assert_eq!(code, expected, "{name}, in memory");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_the_path() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("000002.omomi"), folder.path().to_owned()] {
        for mode in MODES {
            let error = Model::load(&path, mode).unwrap_err();
            assert_eq!((error.code(), error.owner()), (Code::File, Owner::Infra), "{error}");
            assert!(error.full_message().contains(path.to_str().unwrap()), "{}", error.full_message());
        }
    }
}
