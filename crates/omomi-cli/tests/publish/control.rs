//! Tests that orders are written whole, report the previous order, and are rejected if servers could not follow them.

use std::fs;

use omomi::store::{Control, Scoring, Target};
use omomi::{Code, Owner};
use omomi_train::operate::publish::{
    ControlChange, PublishError, Warning, follow, freeze, pin, rollback, switch, unquarantine,
};

use crate::fixture::{Fixture, Wanted, everything_in, orders, verifier};

fn go_back(fixture: &Fixture, to: Option<u64>) -> Result<Option<u64>, PublishError> {
    rollback(&fixture.store, to, &verifier(), &mut |_| ())
        .map(|change| change.after.target.named().map(|named| named.generation))
}

fn switch_off(fixture: &Fixture) -> Option<Control> {
    switch(&fixture.store, Scoring::Off, &mut |_| ()).unwrap().before
}

/// Checks a change, and that the store has it in writing.
#[track_caller]
fn assert_changed(fixture: &Fixture, change: Result<ControlChange, PublishError>, [before, after]: [Control; 2]) {
    let change = change.unwrap();
    assert_eq!((change.before, change.after), (Some(before), after));
    assert_eq!(fixture.control(), after);
}

#[test]
fn each_order_reports_the_previous_orders_and_leaves_the_other_order_as_it_was() {
    let fixture = Fixture::with([1]);
    let store = &fixture.store;
    let frozen = orders(store, "on freeze", 1);
    let [off, both] = [Target::Follow, frozen.target].map(|target| Control { scoring: Scoring::Off, target });
    assert_eq!(fixture.control(), Control::default(), "following is an order: the first publication writes it");
    assert_changed(&fixture, freeze(store, None, &mut |_| ()), [Control::default(), frozen]);
    assert_changed(&fixture, switch(store, Scoring::Off, &mut |_| ()), [frozen, both]);
    assert_changed(&fixture, freeze(store, None, &mut |_| ()), [both, both]);
    assert_changed(&fixture, follow(store, &mut |_| ()), [both, off]);
    assert_changed(&fixture, pin(store, 1, &verifier(), &mut |_| ()), [off, orders(store, "off pin", 1)]);
    let pinned = orders(store, "on pin", 1);
    assert_changed(&fixture, switch(store, Scoring::On, &mut |_| ()), [orders(store, "off pin", 1), pinned]);
    assert_changed(&fixture, follow(store, &mut |_| ()), [pinned, Control::default()]);
    assert_eq!(fs::read_to_string(store.control_path()).unwrap(), "on follow\n");
}

#[test]
fn a_malformed_control_is_replaced() {
    let fixture = Fixture::with([1]);
    fs::write(fixture.store.control_path(), "stop!").unwrap();
    assert_eq!(switch_off(&fixture), None);
    assert!(fixture.control().is_off());
}

#[test]
fn a_part_that_a_text_by_hand_does_not_name_is_written_out() {
    let fixture = Fixture::with([1]);
    for (text, expected) in [("OFF", "off follow"), ("\u{feff}Freeze\r\n", "off freeze"), ("pin 1", "off pin 000001")] {
        fs::write(fixture.store.control_path(), text).unwrap();
        switch_off(&fixture);
        assert_eq!(fs::read_to_string(fixture.store.control_path()).unwrap().trim(), expected);
    }
}

#[test]
fn frozen_and_pinned_name_the_content_at_the_time_of_the_order() {
    let fixture = Fixture::with([1, 2]);
    freeze(&fixture.store, Some(1), &mut |_| ()).unwrap();
    assert_eq!(fixture.control(), orders(&fixture.store, "on freeze", 1));
    fixture.publish(&Wanted::generation(3)).unwrap();
    assert_eq!(fixture.control(), orders(&fixture.store, "on freeze", 1), "a publication lifts no order");
}

#[test]
fn a_pardon_names_the_content_and_only_the_last_one_of_a_content_counts() {
    let fixture = Fixture::with([1, 2]);
    for generation in [1, 2, 1] {
        let content = unquarantine(&fixture.store, generation).unwrap();
        assert_eq!(content.generation, generation);
    }
    let pardons = fixture.store.read_pardons().unwrap();
    assert_eq!(pardons.iter().map(|pardon| pardon.generation).collect::<Vec<_>>(), [2, 1]);
    assert!(pardons.is_sorted_by_key(|pardon| pardon.unix_nanoseconds));
    assert_eq!(unquarantine(&fixture.store, 7).unwrap_err().name(), "not_published");
}

#[test]
fn each_rollback_goes_to_the_generation_before_the_served_one() {
    let fixture = Fixture::with([3, 5, 8]);
    assert_eq!(go_back(&fixture, None).unwrap(), Some(5));
    assert_eq!(fixture.control(), orders(&fixture.store, "on pin", 5));
    assert_eq!(go_back(&fixture, None).unwrap(), Some(3));
    assert_eq!(go_back(&fixture, None).unwrap_err().name(), "nothing_before");
    assert_eq!(fixture.control(), orders(&fixture.store, "on pin", 3));
    assert_eq!(go_back(&fixture, Some(8)).unwrap(), Some(8));
}

#[test]
fn a_publication_that_servers_do_not_follow_has_a_warning() {
    let fixture = Fixture::with([1, 2]);
    go_back(&fixture, None).unwrap();
    let published = fixture.publish(&Wanted::generation(3)).unwrap();
    assert_eq!(published.warnings, [Warning::NotFollowed { control: fixture.control() }]);
}

#[test]
fn a_missing_generation_is_not_pinned() {
    let fixture = Fixture::with([1, 2]);
    let before = everything_in(fixture.folder());
    let error = go_back(&fixture, Some(7)).unwrap_err();
    assert_eq!((error.name(), error.owner()), ("not_published", Owner::Delivery));
    assert!(error.to_string().contains("generation 7 does not exist: expected one of 1, 2"), "{error}");
    assert_eq!(everything_in(fixture.folder()), before);
}

#[test]
fn a_generation_with_a_damaged_file_is_not_pinned() {
    let fixture = Fixture::with([1, 2]);
    let path = fixture.store.generation_path(1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let error = go_back(&fixture, None).unwrap_err();
    assert_eq!((error.name(), error.owner()), (Code::Damaged.name(), Owner::Infra), "{error}");
    assert_eq!(fixture.control(), Control::default());
}

#[test]
fn a_current_generation_whose_file_has_other_bytes_is_not_pinned() {
    let fixture = Fixture::with([1, 2]);
    let path = fixture.store.generation_path(2);
    fs::remove_file(&path).unwrap();
    fs::write(&path, Wanted { weight_count: 99, ..Wanted::generation(2) }.bytes()).unwrap();
    let error = pin(&fixture.store, 2, &verifier(), &mut |_| ()).unwrap_err();
    assert_eq!((error.name(), error.owner()), (Code::DigestMismatch.name(), Owner::Infra), "{error}");
}

#[test]
fn there_is_nothing_to_roll_back_before_the_first_publication() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.store.generations_path()).unwrap();
    assert_eq!(go_back(&fixture, None).unwrap_err().name(), "nothing_published");
}

#[test]
fn a_folder_that_is_not_a_store_is_not_switched_off() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.store.dir()).unwrap();
    let error = switch(&fixture.store, Scoring::Off, &mut |_| ()).unwrap_err();
    assert_eq!((error.name(), error.owner()), ("not_a_store", Owner::Infra), "{error}");
    assert!(!fixture.store.control_path().exists());
}

#[test]
fn a_store_is_switched_off_during_a_publication() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    omomi_train::operate::publish::publish(&fixture.store, &crate::fixture::options(&file), &mut |_| {
        assert!(switch_off(&fixture).is_some());
    })
    .unwrap();
    assert!(fixture.control().is_off());
}

#[test]
fn a_store_is_switched_off_even_while_another_process_holds_its_lock() {
    let fixture = Fixture::with([1]);
    let lock = fs::File::open(fixture.store.dir()).unwrap();
    lock.lock().unwrap();
    assert_eq!(switch_off(&fixture), Some(Control::default()));
    assert!(fixture.control().is_off());
}
