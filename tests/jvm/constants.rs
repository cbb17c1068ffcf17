//! What is said in Rust and in Java is the same: the numbers of the request block, the table of codes, the statuses.

use std::collections::BTreeMap;
use std::path::Path;

use omomi::schema::{MAX_VALUES_PER_FIELD, block};
use omomi::{CandidateStatus, Code, RowProblem};

fn source(class: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jvm-bindings/core/src/main/java/io/omomi");
    std::fs::read_to_string(folder.join(class)).unwrap()
}

#[test]
fn each_number_of_the_request_block_is_the_same_in_java() {
    let source = source("Block.java");
    let constants =
        source.lines().filter_map(|line| line.trim().strip_prefix("int ")?.strip_suffix(';')?.split_once(" = "));
    let mut java: BTreeMap<&str, usize> = constants.map(|(name, number)| (name, number.parse().unwrap())).collect();
    let rust = [
        ("LAYOUT_VERSION", block::LAYOUT_VERSION as usize),
        ("LAYOUT_VERSION_OFFSET", block::LAYOUT_VERSION_OFFSET),
        ("TAIL_USED_OFFSET", block::TAIL_USED_OFFSET),
        ("GENERATION_OFFSET", block::GENERATION_OFFSET),
        ("SCORED_COUNT_OFFSET", block::SCORED_COUNT_OFFSET),
        ("REFUSED_COUNT_OFFSET", block::REFUSED_COUNT_OFFSET),
        ("LATE_COUNT_OFFSET", block::LATE_COUNT_OFFSET),
        ("OUTCOME_LEN", block::OUTCOME_LEN),
        ("UNSEEN_COUNT_OFFSET", block::UNSEEN_COUNT_OFFSET),
        ("MISSING_COUNT_OFFSET", block::MISSING_COUNT_OFFSET),
        ("INVALID_NUMBER_COUNT_OFFSET", block::INVALID_NUMBER_COUNT_OFFSET),
        ("ROW_PRESENT_OFFSET", block::ROW_PRESENT_OFFSET),
        ("ROW_INLINE_TEXT_OFFSET", block::ROW_INLINE_TEXT_OFFSET),
        ("ROW_SLOTS_OFFSET", block::ROW_SLOTS_OFFSET),
        ("SLOT_LEN", block::SLOT_LEN),
        ("ANSWER_LOGIT_OFFSET", block::ANSWER_LOGIT_OFFSET),
        ("ANSWER_PROBABILITY_OFFSET", block::ANSWER_PROBABILITY_OFFSET),
        ("ANSWER_STATUS_OFFSET", block::ANSWER_STATUS_OFFSET),
        ("ANSWER_LEN", block::ANSWER_LEN),
        ("INDEX_LEN", block::INDEX_LEN),
        ("MAX_VALUES_PER_FIELD", MAX_VALUES_PER_FIELD),
    ];
    for (name, number) in rust {
        assert_eq!(java.remove(name), Some(number), "{name}");
    }
    // These are Java's own, and the two sides' handshake, which every Java test makes.
    java.retain(|name, _| !name.ends_with("_INDEX") && !["ABI_VERSION", "ALIGNMENT"].contains(name));
    assert!(java.is_empty(), "Block.java has numbers that are checked against nothing: {java:?}");
}

#[test]
fn each_code_has_its_number_owner_and_action_in_java() {
    let source = source("Code.java");
    let java: Vec<&str> = source
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("(") && line.contains("Owner.") && line.ends_with([',', ';']))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| &line[..line.len() - 1])
        .collect();
    let rust: Vec<String> = Code::ALL
        .iter()
        .map(|code| {
            let (name, owner) = (code.name().to_uppercase(), code.owner().word().to_uppercase());
            format!("{name}({}, Owner.{owner}, \"{}\")", *code as i32, code.action())
        })
        .collect();
    assert_eq!(java, rust);
}

#[test]
fn each_status_of_a_candidate_has_its_number_in_java() {
    let source = source("CandidateStatus.java");
    let java: Vec<&str> = source
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_suffix([',', ';']))
        .filter(|word| {
            word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
        })
        .collect();
    let mut rust = vec!["SCORED".to_owned()];
    for problem in RowProblem::ALL {
        assert_eq!(problem as usize, rust.len());
        let name = format!("{problem:?}").chars().fold(String::new(), |mut name, letter| {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
            name
        });
        rust.push(name);
    }
    assert_eq!(CandidateStatus::Late.number() as usize, rust.len());
    rust.push("LATE".to_owned());
    assert_eq!(java, rust);
}
