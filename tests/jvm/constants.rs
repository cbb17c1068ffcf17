//! Checks that Java and Rust agree on the numbers of the request block, the table of codes, the statuses and the
//! default options.

use std::collections::BTreeMap;
use std::path::Path;

use omomi::live::{LiveOptions, ServingState};
use omomi::request::{MAX_VALUES_PER_FIELD, layout};
use omomi::serving_log::{Basis, DropReason, EventKind, LogOptions, Source};
use omomi::weight_file::signature::SignaturePolicy;
use omomi::{CandidateStatus, Code, LoadMode, RowProblem};

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
        ("LAYOUT_VERSION", layout::LAYOUT_VERSION as usize),
        ("LAYOUT_VERSION_OFFSET", layout::LAYOUT_VERSION_OFFSET),
        ("TAIL_USED_OFFSET", layout::TAIL_USED_OFFSET),
        ("FILLED_COUNT_OFFSET", layout::FILLED_COUNT_OFFSET),
        ("GAP_COUNT_OFFSET", layout::GAP_COUNT_OFFSET),
        ("REFERENCE_LEN_BITS", layout::REFERENCE_LEN_BITS as usize),
        ("GENERATION_OFFSET", layout::GENERATION_OFFSET),
        ("SCORED_COUNT_OFFSET", layout::SCORED_COUNT_OFFSET),
        ("REFUSED_COUNT_OFFSET", layout::REFUSED_COUNT_OFFSET),
        ("LATE_COUNT_OFFSET", layout::LATE_COUNT_OFFSET),
        ("OUTCOME_LEN", layout::OUTCOME_LEN),
        ("UNSEEN_COUNT_OFFSET", layout::UNSEEN_COUNT_OFFSET),
        ("MISSING_COUNT_OFFSET", layout::MISSING_COUNT_OFFSET),
        ("INVALID_NUMBER_COUNT_OFFSET", layout::INVALID_NUMBER_COUNT_OFFSET),
        ("ROW_PRESENT_OFFSET", layout::ROW_PRESENT_OFFSET),
        ("ROW_INLINE_TEXT_OFFSET", layout::ROW_INLINE_TEXT_OFFSET),
        ("ROW_SLOTS_OFFSET", layout::ROW_SLOTS_OFFSET),
        ("SLOT_LEN", layout::SLOT_LEN),
        ("ANSWER_LOGIT_OFFSET", layout::ANSWER_LOGIT_OFFSET),
        ("ANSWER_PROBABILITY_OFFSET", layout::ANSWER_PROBABILITY_OFFSET),
        ("ANSWER_STATUS_OFFSET", layout::ANSWER_STATUS_OFFSET),
        ("ANSWER_LEN", layout::ANSWER_LEN),
        ("INDEX_LEN", layout::INDEX_LEN),
        ("MAX_VALUES_PER_FIELD", MAX_VALUES_PER_FIELD),
    ];
    for (name, number) in rust {
        assert_eq!(java.remove(name), Some(number), "{name}");
    }
    // These are internal to Java, or part of the ABI handshake, which every Java test makes.
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

/// Returns the constants of a Java enum without arguments, in the order of their ordinals.
fn enum_constants(class: &str) -> Vec<String> {
    let source = source(class);
    let lines = source.lines().map(str::trim);
    let is_constant = |word: &&str| {
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase() || "0123456789_".contains(letter))
    };
    lines.map(|line| line.trim_end_matches([',', ';'])).filter(is_constant).map(str::to_owned).collect()
}

#[test]
fn states_load_modes_and_policies_have_their_order_in_java() {
    assert_eq!(enum_constants("ServingState.java"), ServingState::ALL.map(|state| state.name().to_uppercase()));
    let policies = SignaturePolicy::ALL.map(|policy| policy.word().to_uppercase());
    assert_eq!(enum_constants("SignaturePolicy.java"), policies);
    let modes = [LoadMode::Map, LoadMode::Copy, LoadMode::Auto].map(|mode| mode.name().to_uppercase());
    assert_eq!(enum_constants("LoadMode.java"), modes);
}

#[test]
fn the_words_of_a_serving_log_have_their_numbers_in_java() {
    fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<String> {
        all.iter().map(|one| word(*one).to_uppercase()).collect()
    }
    let enums = [
        ("Source.java", words(Source::ALL, Source::word), 1),
        ("Basis.java", words(Basis::ALL, Basis::word), 1),
        ("EventKind.java", words(EventKind::ALL, EventKind::word), 1),
        ("DropReason.java", words(DropReason::ALL, DropReason::word), 0),
    ];
    for (class, words, first) in enums {
        assert_eq!(enum_constants(class), words, "{class}");
        let number = if first == 0 { "return ordinal();" } else { "return ordinal() + 1;" };
        assert!(source(class).contains(number), "{class} counts from {first}");
    }
    let source = source("Recorded.java");
    let dropped: Vec<&str> = source.lines().filter_map(|line| line.trim().strip_prefix("DROPPED_")).collect();
    let expected: Vec<String> = words(DropReason::ALL, DropReason::word)
        .iter()
        .enumerate()
        .map(|(index, word)| {
            format!("{word}(DropReason.{word}){}", if index + 1 == DropReason::ALL.len() { ";" } else { "," })
        })
        .collect();
    assert_eq!(dropped, expected);
}

#[test]
fn the_default_options_of_a_serving_log_are_the_same_in_java() {
    let source = source("LogOptions.java");
    let defaults = defaults(&source);
    let rust = LogOptions::default();
    let shift = |bytes: u64, unit: u32| format!("{}L << {unit}", bytes >> unit);
    let expected = [
        ("name", format!("{:?}", rust.name)),
        ("predictionsPerMillion", "1_000_000".to_owned()),
        ("detailsPerMillion", "1_000".to_owned()),
        ("salt", rust.salt.to_string()),
        ("ringLenBytes", shift(rust.ring_len_bytes as u64, 20)),
        ("fallbacksPerSecond", rust.fallbacks_per_second.to_string()),
        ("maxSegmentLenBytes", shift(rust.max_segment_len_bytes, 20)),
        ("maxTotalLenBytes", shift(rust.max_total_len_bytes, 30)),
        ("maxSegmentAge", duration(rust.max_segment_age)),
        ("flushInterval", duration(rust.flush_interval)),
        ("sync", rust.sync.to_string()),
    ];
    assert_eq!((rust.predictions_per_million, rust.details_per_million), (1_000_000, 1_000));
    for (option, value) in expected {
        assert_eq!(defaults.get(option), Some(&value.as_str()), "{option}");
    }
}

/// Returns the options of a Java builder with their defaults.
fn defaults(source: &str) -> BTreeMap<&str, &str> {
    let lines =
        source.lines().filter_map(|line| line.trim().strip_prefix("private ")?.strip_suffix(';')?.split_once(" = "));
    lines.filter_map(|(declared, value)| Some((declared.split_once(' ')?.1, value))).collect()
}

/// Returns how Java writes a duration.
fn duration(duration: std::time::Duration) -> String {
    let digits = duration.as_millis().to_string();
    let grouped = match digits.len() {
        4.. => format!("{}_{}", &digits[..digits.len() - 3], &digits[digits.len() - 3..]),
        _ => digits,
    };
    format!("Duration.ofMillis({grouped})")
}

#[test]
fn the_default_options_of_live_serving_are_the_same_in_java() {
    let source = source("LiveOptions.java");
    let defaults = defaults(&source);
    let rust = LiveOptions::default();
    // A Java long has one bit less, but no machine has that much memory.
    let bytes = |bytes: u64| if bytes == u64::MAX { "Long.MAX_VALUE".to_owned() } else { bytes.to_string() };
    let expected = [
        ("name", format!("{:?}", rust.name)),
        ("loadMode", format!("LoadMode.{}", rust.load_mode.name().to_uppercase())),
        ("pollInterval", duration(rust.poll_interval)),
        ("trial", duration(rust.trial)),
        ("maxDeaths", rust.max_deaths.to_string()),
        ("retryAfterDeath", duration(rust.retry_after_death)),
        ("maxFileLenBytes", bytes(rust.max_file_len_bytes)),
        ("memoryBudgetBytes", bytes(rust.memory_budget_bytes)),
        ("minGeneration", rust.min_generation.to_string()),
        ("signature", format!("SignaturePolicy.{}", rust.signature.word().to_uppercase())),
        ("trustedKeys", format!("new Path[{}]", rust.trusted_keys.keys().len())),
        ("allowWritableFiles", rust.allow_writable_files.to_string()),
        ("lockMemory", rust.lock_memory.to_string()),
        ("hasFallback", rust.has_fallback.to_string()),
        ("contractFingerprints", format!("new long[{}]", rust.contract_fingerprints.len())),
    ];
    assert!(rust.max_training_age.is_none() && source.contains("private @Nullable Duration maxTrainingAge;"));
    assert!(rust.fallback_file.is_none() && source.contains("private @Nullable Path fallbackFile;"));
    for (option, value) in expected {
        assert_eq!(defaults.get(option), Some(&value.as_str()), "{option}");
    }
}

#[test]
fn each_status_of_a_candidate_has_its_number_in_java() {
    let java = enum_constants("CandidateStatus.java");
    let mut rust = vec!["NOT_COMPUTED".to_owned(), "SCORED".to_owned()];
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
