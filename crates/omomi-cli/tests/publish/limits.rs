//! Tests that each limit of `limits.toml` rejects files beyond it and accepts files within it.

use std::time::Duration;

use omomi::Owner;
use omomi_train::operate::publish::Warning;

use crate::fixture::{Fixture, Wanted, contract};
use crate::sealing::{assemble, sections_of};

const HOUR: Duration = Duration::from_secs(3_600);

/// Asserts that `limits` reject `wanted`, and that `wide` accepts it.
#[track_caller]
fn assert_limited(fixture: &Fixture, wanted: &Wanted, limits: &str, wide: &str, refusal: (&str, Owner, &str)) {
    let file = wanted.file_in(fixture.folder());
    std::fs::create_dir_all(fixture.store.generations_path()).unwrap();
    std::fs::create_dir_all(fixture.store.state_path()).unwrap();
    std::fs::write(fixture.store.dir().join("limits.toml"), limits).unwrap();
    fixture.assert_refused(&file, refusal);
    fixture.publish_within(wide, wanted).unwrap();
}

fn len_of(wanted: &Wanted) -> usize {
    wanted.bytes().len()
}

#[test]
fn a_file_with_fewer_bytes_than_the_minimum_is_rejected() {
    let wanted = Wanted::generation(1);
    let len = len_of(&wanted);
    let [limits, wide] = [len + 1, len].map(|bytes| format!("min_bytes = {bytes}"));
    let words = format!("expected at least {} bytes, found {len}", len + 1);
    assert_limited(&Fixture::new(), &wanted, &limits, &wide, ("too_small", Owner::Ml, &words));
}

#[test]
fn a_file_with_more_bytes_than_the_maximum_is_rejected() {
    let wanted = Wanted::generation(1);
    let len = len_of(&wanted);
    let [limits, wide] = [len - 1, len].map(|bytes| format!("max_bytes = {bytes}"));
    let words = format!("expected at most {} bytes, found {len}", len - 1);
    assert_limited(&Fixture::new(), &wanted, &limits, &wide, ("too_large", Owner::Ml, &words));
}

#[test]
fn a_file_more_than_twice_as_large_as_the_last_files_is_rejected() {
    let fixture = Fixture::with([1, 2, 3]);
    let wanted = Wanted { weight_count: 5_000, ..Wanted::generation(4) };
    let refusal = ("unusual_size", Owner::Ml, "expected 0.5 to 2 times the median");
    assert_limited(&fixture, &wanted, "", "fail_size_ratio = [0.5, 20.0]", refusal);
}

#[test]
fn a_file_less_than_half_as_large_as_the_last_files_is_rejected() {
    let fixture = Fixture::new();
    fixture.publish(&Wanted { weight_count: 5_000, ..Wanted::generation(1) }).unwrap();
    let refusal = ("unusual_size", Owner::Ml, "expected 0.5 to 2 times the median");
    assert_limited(&fixture, &Wanted::generation(2), "", "fail_size_ratio = [0.01, 2.0]", refusal);
}

#[test]
fn a_file_one_and_a_half_times_as_large_as_the_last_files_is_published_with_a_warning() {
    let fixture = Fixture::new();
    fixture.publish(&Wanted { weight_count: 3_000, ..Wanted::generation(1) }).unwrap();
    let published = fixture.publish(&Wanted { weight_count: 5_000, ..Wanted::generation(2) }).unwrap();
    assert!(matches!(published.warnings[..], [Warning::UnusualLen { .. }]), "{:?}", published.warnings);
    let within = fixture.publish(&Wanted { weight_count: 4_000, ..Wanted::generation(3) }).unwrap();
    assert_eq!(within.warnings, []);
}

#[test]
fn only_the_last_five_files_determine_the_usual_size() {
    let fixture = Fixture::new();
    let wide = "fail_size_ratio = [0.0, 1000.0]";
    for generation in 1..=5 {
        fixture.publish_within(wide, &Wanted { weight_count: 20_000, ..Wanted::generation(generation) }).unwrap();
    }
    for generation in 6..=8 {
        fixture.publish_within(wide, &Wanted::generation(generation)).unwrap();
    }
    fixture.publish_within("", &Wanted::generation(9)).unwrap();
}

#[test]
fn a_field_with_too_many_features_is_rejected() {
    let refusal =
        ("too_many_features", Owner::Ml, "field `user` has too many features: expected at most 99, found 100");
    let (limits, wide) = ("[max_features]\nuser = 99\nword = 0", "[max_features]\nuser = 100");
    assert_limited(&Fixture::new(), &Wanted::generation(1), limits, wide, refusal);
}

#[test]
fn a_limit_for_an_unknown_field_is_a_warning() {
    let published = Fixture::new().publish_within("[max_features]\nuesr = 9", &Wanted::generation(1)).unwrap();
    assert_eq!(published.warnings, [Warning::UnknownField { field: "uesr".to_owned() }]);
}

#[test]
fn a_file_without_feature_counts_is_rejected_if_they_are_limited() {
    let fixture = Fixture::with([1]);
    let sections = sections_of(&Wanted::generation(2).bytes());
    let without: Vec<_> = sections.into_iter().filter(|section| section.kind != 8).collect();
    let file = fixture.folder().join("without");
    std::fs::write(&file, assemble(&without)).unwrap();
    std::fs::write(fixture.store.dir().join("limits.toml"), "[max_features]\nuser = 1000").unwrap();
    // The file id and generation of the assembled file are arbitrary; the generation must be newer.
    let mut bytes = std::fs::read(&file).unwrap();
    crate::sealing::put(&mut bytes, omomi::weight_file::layout::GENERATION_OFFSET, &2_u64.to_le_bytes());
    crate::sealing::reseal(&mut bytes);
    std::fs::write(&file, bytes).unwrap();
    fixture.assert_refused(&file, ("no_field_sizes", Owner::Ml, "expected the section `field sizes`, found none"));
}

#[test]
fn a_file_trained_on_old_data_is_rejected() {
    let wanted = Wanted { training_age: Some(49 * HOUR), ..Wanted::generation(1) };
    let refusal = ("training_too_old", Owner::Ml, "expected its end at most 2.0 days ago, found it 2.0 days ago");
    let [limits, wide] = ["2 days", "50 hours"].map(|age| format!("oldest_training_end = \"{age}\""));
    assert_limited(&Fixture::new(), &wanted, &limits, &wide, refusal);
}

#[test]
fn a_file_whose_data_ends_in_the_future_is_rejected_even_without_limits() {
    let ahead = |training_lead| Wanted { training_age: Some(Duration::ZERO), training_lead, ..Wanted::generation(1) };
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.store.generations_path()).unwrap();
    std::fs::create_dir_all(fixture.store.state_path()).unwrap();
    let file = ahead(49 * HOUR).file_in(fixture.folder());
    fixture.assert_refused(&file, ("training_end_in_future", Owner::Ml, "expected at most a day from now"));
    // Clocks differ a little.
    fixture.publish(&ahead(HOUR)).unwrap();
}

#[test]
fn a_file_without_the_end_of_its_data_is_rejected_if_the_age_is_limited() {
    let wanted = Wanted { training_age: None, ..Wanted::generation(1) };
    let refusal = ("no_training_end", Owner::Ml, "expected `training_window` in its provenance, found none");
    assert_limited(&Fixture::new(), &wanted, "oldest_training_end = \"14 days\"", "", refusal);
}

#[test]
fn a_contract_that_servers_do_not_accept_is_rejected() {
    let found = contract().fingerprint();
    let limits = format!("accepted_contracts = [\"{:016x}\"]", found ^ 1);
    let wide = format!("accepted_contracts = [\"{:016x}\", \"{found:016x}\"]", found ^ 1);
    let words = format!("expected one of the fingerprints {:016x}, found {found:016x}", found ^ 1);
    let refusal = ("contract_not_accepted", Owner::Ml, &*words);
    assert_limited(&Fixture::new(), &Wanted::generation(1), &limits, &wide, refusal);
}

#[test]
fn limits_with_a_typing_error_reject_every_file() {
    let refusal = ("limits_invalid", Owner::Delivery, "line 1: max_byte: not known");
    assert_limited(&Fixture::new(), &Wanted::generation(1), "max_byte = 5", "", refusal);
}
