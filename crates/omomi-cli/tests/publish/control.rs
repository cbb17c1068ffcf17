//! Tests that orders are written whole, report the previous order, and are rejected if servers could not follow them.

use std::fs;

use omomi::store::Control;
use omomi::{Code, Owner};
use omomi_train::operate::publish::{PublishError, Warning, pin, rollback, set_control};

use crate::fixture::{Fixture, Wanted, everything_in, verifier};

fn go_back(fixture: &Fixture, to: Option<u64>) -> Result<Option<u64>, PublishError> {
    rollback(&fixture.store, to, &verifier(), &mut |_| ()).map(|change| change.served())
}

fn set(fixture: &Fixture, control: Control) -> Option<Control> {
    set_control(&fixture.store, control, &mut |_| ()).unwrap().before
}

#[test]
fn each_order_reports_the_previous_order() {
    let fixture = Fixture::with([1]);
    assert_eq!(set(&fixture, Control::Freeze), Some(Control::Follow));
    assert_eq!(set(&fixture, Control::Off), Some(Control::Freeze));
    assert_eq!(fs::read_to_string(fixture.store.control_path()).unwrap(), "off\n");
    assert_eq!(set(&fixture, Control::Follow), Some(Control::Off));
    assert!(!fixture.store.control_path().exists());
    assert_eq!(set(&fixture, Control::Follow), Some(Control::Follow));
}

#[test]
fn a_malformed_control_is_replaced() {
    let fixture = Fixture::with([1]);
    fs::write(fixture.store.control_path(), "stop!").unwrap();
    assert_eq!(set(&fixture, Control::Off), None);
    assert_eq!(fixture.store.read_control().unwrap(), Control::Off);
}

#[test]
fn each_rollback_goes_to_the_generation_before_the_served_one() {
    let fixture = Fixture::with([3, 5, 8]);
    assert_eq!(go_back(&fixture, None).unwrap(), Some(5));
    assert_eq!(fixture.store.read_control().unwrap(), Control::Pin(5));
    assert_eq!(go_back(&fixture, None).unwrap(), Some(3));
    assert_eq!(go_back(&fixture, None).unwrap_err().name(), "nothing_before");
    assert_eq!(fixture.store.read_control().unwrap(), Control::Pin(3));
    assert_eq!(go_back(&fixture, Some(8)).unwrap(), Some(8));
}

#[test]
fn a_publication_that_servers_do_not_follow_has_a_warning() {
    let fixture = Fixture::with([1, 2]);
    go_back(&fixture, None).unwrap();
    let published = fixture.publish(&Wanted::generation(3)).unwrap();
    assert_eq!(published.warnings, [Warning::NotFollowed { control: Control::Pin(1) }]);
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
    assert_eq!(fixture.store.read_control().unwrap(), Control::Follow);
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
    let error = set_control(&fixture.store, Control::Off, &mut |_| ()).unwrap_err();
    assert_eq!((error.name(), error.owner()), ("not_a_store", Owner::Infra), "{error}");
    assert!(!fixture.store.control_path().exists());
}

#[test]
fn a_store_is_switched_off_during_a_publication() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    omomi_train::operate::publish::publish(&fixture.store, &crate::fixture::options(&file), &mut |_| {
        assert!(set(&fixture, Control::Off).is_some());
    })
    .unwrap();
    assert_eq!(fixture.store.read_control().unwrap(), Control::Off);
}

#[test]
fn a_store_is_switched_off_even_while_another_process_holds_its_lock() {
    let fixture = Fixture::with([1]);
    let lock = fs::File::open(fixture.store.dir()).unwrap();
    lock.lock().unwrap();
    assert_eq!(set(&fixture, Control::Off), Some(Control::Follow));
    assert_eq!(fixture.store.read_control().unwrap(), Control::Off);
}
