//! A damaged or hostile weight file is refused with an error that names the owner. None is accepted, and none causes a
//! panic.

mod content;
mod every_bit;
mod frame;
mod load;
mod sealing;
#[path = "../scoring/small_model.rs"]
#[allow(dead_code, reason = "shared with the scoring tests, which use more of it")]
mod small_model;
mod tiny_file;

use omomi::{Code, Model, Owner};

/// Asserts that `bytes` are refused with `code`, and with a message that contains `words`.
#[track_caller]
fn assert_refused(bytes: &[u8], code: Code, words: &str) {
    let error = Model::from_bytes(bytes.to_vec()).expect_err("a damaged file was accepted");
    let message = error.full_message();
    assert_eq!(error.code(), code, "{message}");
    assert!(message.contains(words), "expected `{words}` in: {message}");
}

#[test]
fn each_kind_of_damage_has_an_owner() {
    // Infra owns copies and disks, ml owns what was packed, and delivery owns an old server.
    let owners = [
        (Code::NotAWeightFile, Owner::Infra),
        (Code::WrongByteOrder, Owner::Infra),
        (Code::Truncated, Owner::Infra),
        (Code::TooLong, Owner::Infra),
        (Code::Damaged, Owner::Infra),
        (Code::File, Owner::Infra),
        (Code::TooOld, Owner::Ml),
        (Code::Malformed, Owner::Ml),
        (Code::FileContract, Owner::Ml),
        (Code::GoldenMismatch, Owner::Ml),
        (Code::TooNew, Owner::Delivery),
    ];
    for (code, owner) in owners {
        assert_eq!(code.owner(), owner, "{code:?}");
    }
}

#[test]
#[ignore = "writes the files that the fuzzer starts from; tests/fuzz/README.md says when"]
fn seeds_of_the_fuzzer() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/load");
    std::fs::create_dir_all(&folder).unwrap();
    let rows = small_model::full_rows(2);
    std::fs::write(folder.join("tiny"), tiny_file::bytes()).unwrap();
    std::fs::write(folder.join("small"), small_model::model_for(&rows).file().bytes()).unwrap();
}
