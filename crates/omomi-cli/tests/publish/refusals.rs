//! Tests that unsuitable files and stores are rejected with an owner, and that nothing is changed or left behind.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use omomi::Owner;
use omomi::weight_file::layout::SectionKind;
use omomi_train::operate::publish::{Step, Verifier, Warning, publish};

use crate::fixture::{Fixture, Wanted, everything_in, leftovers_in, options, published_generation};
use crate::sealing::{put, reseal, u64_at};

#[test]
fn a_generation_that_is_not_newer_than_all_others_is_rejected() {
    let fixture = Fixture::with([5, 7]);
    for generation in [7, 6, 5, 0] {
        let file = Wanted::generation(generation).file_in(fixture.folder());
        let words = format!("generation {generation} is not newer: expected one above 7");
        fixture.assert_refused(&file, ("not_newer", Owner::Ml, &words));
    }
}

#[test]
fn a_generation_stays_taken_after_its_file_is_removed() {
    let fixture = Fixture::with([5, 7]);
    fs::remove_file(fixture.store.generation_path(7)).unwrap();
    let file = Wanted::generation(7).file_in(fixture.folder());
    fixture.assert_refused(&file, ("not_newer", Owner::Ml, "expected one above 7"));
}

#[test]
fn a_number_far_ahead_is_rejected_because_it_would_end_the_store() {
    const LAST: u64 = (1 << 53) - 1;
    let fixture = Fixture::new();
    for generation in [u64::MAX, LAST + 1] {
        let file = Wanted::generation(generation).file_in(fixture.folder());
        fixture.assert_refused(&file, ("too_far_ahead", Owner::Ml, "expected at most 9007199254740991"));
    }
    let fixture = Fixture::with([7]);
    for generation in [1_000_007, 20_261_130, u64::MAX] {
        let file = Wanted::generation(generation).file_in(fixture.folder());
        fixture.assert_refused(&file, ("too_far_ahead", Owner::Ml, "expected at most 1000006, because the newest one"));
    }
    fixture.publish(&Wanted::generation(1_000_006)).unwrap();
    fixture.publish_within("max_generation_step = 100_000_000", &Wanted::generation(20_261_130)).unwrap();
    // A file that a dead publisher left counts like a published one, and can still be completed.
    let fixture = Fixture::with([20_261_130]);
    let left = Wanted { training_age: None, ..Wanted::generation(20_261_131) };
    fs::write(fixture.store.generation_path(20_261_131), left.bytes()).unwrap();
    fs::set_permissions(fixture.store.generation_path(20_261_131), fs::Permissions::from_mode(0o444)).unwrap();
    fixture.publish(&left).unwrap();
    // The first number is free, up to the last one.
    let fixture = Fixture::with([LAST]);
    let file = Wanted::generation(LAST + 1).file_in(fixture.folder());
    fixture.assert_refused(&file, ("too_far_ahead", Owner::Ml, "expected at most 9007199254740991"));
}

#[test]
fn a_store_that_others_cannot_read_is_a_warning_that_its_advice_ends() {
    let fixture = Fixture::with([1, 2]);
    let closing = [
        (fixture.store.dir().to_owned(), 0o750),
        (fixture.store.generations_path(), 0o754),
        (fixture.store.generation_path(1), 0o440),
        (fixture.store.control_path(), 0o600),
    ];
    for (generation, (path, mode)) in (3..).zip(closing) {
        let before = path.metadata().unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = fixture.publish(&Wanted::generation(generation)).unwrap().warnings;
        let [warning @ Warning::NotReadableByOthers { closed, .. }] = &warnings[..] else { panic!("{warnings:?}") };
        assert_eq!(closed, std::slice::from_ref(&path), "{warning}");
        let text = warning.to_string();
        let advice = text.split('`').nth(1).unwrap();
        assert!(std::process::Command::new("sh").args(["-c", advice]).status().unwrap().success(), "{advice}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o007, before.mode() & 0o007, "{advice}");
    }
    assert_eq!(fixture.publish(&Wanted::generation(9)).unwrap().warnings, []);
}

#[test]
fn what_is_advised_about_a_damaged_published_file_can_be_done() {
    let fixture = Fixture::with([1]);
    let path = fixture.store.generation_path(1);
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[5_000] ^= 1;
    let longer = [&whole[..], b"more"].concat();
    for (next, (bytes, name)) in
        (2..).zip([(&flipped[..], "damaged"), (&whole[..100], "truncated"), (&longer, "too_long")])
    {
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let error = omomi::Model::load(&path, omomi::weight_file::map::LoadMode::Copy).unwrap_err();
        assert_eq!(error.code().name(), name);
        assert!(error.code().action().contains("if it is published, publish the next generation"), "{error}");
        // A damaged file stays where it is, and its number stays taken.
        let again = Wanted::generation(1).file_in(fixture.folder());
        assert!(publish(&fixture.store, &options(&again), &mut |_| ()).is_err());
        fixture.publish_within("fail_size_ratio = [0.01, 100]", &Wanted::generation(next)).unwrap();
    }
}

#[test]
fn a_damaged_file_is_rejected_wherever_the_damage_is() {
    let fixture = Fixture::with([1]);
    let whole = Wanted::generation(2).bytes();
    let file = fixture.folder().join("damaged");
    for position in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        fs::write(&file, bytes).unwrap();
        let before = everything_in(fixture.folder());
        let error = publish(&fixture.store, &options(&file), &mut |_| ()).expect_err("a damaged file was published");
        assert_eq!(error.owner(), Owner::Infra, "byte {position}: {error}");
        assert_eq!(everything_in(fixture.folder()), before);
    }
    for len in [0, 5, 127, 128, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..len]).unwrap();
        fixture.assert_refused(&file, ("truncated", Owner::Infra, "truncated"));
    }
}

#[test]
fn a_file_that_does_not_give_its_golden_answers_is_rejected_by_the_verification_process() {
    let fixture = Fixture::with([1]);
    let mut bytes = Wanted::generation(2).bytes();
    let entry = crate::sealing::entry_at(SectionKind::Table.number() as usize - 1);
    let table = usize::try_from(u64_at(&bytes, entry + omomi::weight_file::layout::SECTION_OFFSET_OFFSET)).unwrap();
    put(&mut bytes, table + omomi::weight_file::layout::TABLE_BIAS_OFFSET, &(-3.0_f64).to_le_bytes());
    reseal(&mut bytes);
    let file = fixture.folder().join("other-bias");
    fs::write(&file, bytes).unwrap();
    fixture.assert_refused(&file, ("golden_mismatch", Owner::Ml, "golden request 0, candidate 0"));
}

#[test]
fn a_file_that_is_not_a_weight_file_is_rejected_as_first_publication_and_leaves_no_store() {
    let fixture = Fixture::new();
    let file = fixture.folder().join("notes.txt");
    fs::write(&file, "not a weight file").unwrap();
    fixture.assert_refused(&file, ("not_a_weight_file", Owner::Infra, "not a weight file"));
    fixture.assert_refused(&fixture.folder().join("absent"), ("file", Owner::Infra, "cannot open"));
    fixture.assert_refused(fixture.folder(), ("file", Owner::Infra, "cannot publish"));
    assert!(!fixture.store.dir().exists());
}

#[test]
fn a_fifo_is_rejected_without_waiting_for_its_writer() {
    let fixture = Fixture::with([1]);
    let path = fixture.folder().join("fifo");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the text has a null byte at its end.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let error = publish(&fixture.store, &options(&path), &mut |_| ()).unwrap_err();
    assert_eq!((error.name(), error.owner()), ("file", Owner::Infra), "{error}");
}

#[test]
fn a_store_without_a_parent_folder_is_rejected() {
    let fixture = Fixture::new();
    let store = omomi::store::Store::new(fixture.folder().join("typo/feed-ctr"));
    let file = Wanted::generation(1).file_in(fixture.folder());
    let error = publish(&store, &options(&file), &mut |_| ()).unwrap_err();
    assert_eq!((error.name(), error.owner()), ("file", Owner::Infra), "{error}");
    assert!(!fixture.folder().join("typo").exists());
}

#[test]
fn a_second_publication_at_the_same_time_is_rejected_and_the_first_one_completes() {
    let fixture = Fixture::with([1]);
    let files = [2, 3].map(|generation| Wanted::generation(generation).file_in(fixture.folder()));
    let mut refused_count = 0;
    publish(&fixture.store, &options(&files[0]), &mut |step| {
        if step == Step::Lock {
            return;
        }
        let error = publish(&fixture.store, &options(&files[1]), &mut |_| ()).unwrap_err();
        assert_eq!((error.name(), error.owner()), ("busy", Owner::Ml), "{error}");
        refused_count += 1;
    })
    .unwrap();
    assert!(refused_count >= Step::ALL.len() - 1, "{refused_count}");
    assert_eq!(published_generation(&fixture.store), Some(2));
    publish(&fixture.store, &options(&files[1]), &mut |_| ()).unwrap();
}

#[test]
fn a_file_that_changes_its_generation_during_the_copy_is_rejected() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    let other = Wanted::generation(3).bytes();
    let mut is_changed = false;
    let error = publish(&fixture.store, &options(&file), &mut |step| {
        if step == Step::Copy && !is_changed {
            fs::write(&file, &other).unwrap();
            is_changed = true;
        }
    })
    .unwrap_err();
    assert_eq!((error.name(), error.owner()), ("changed", Owner::Ml), "{error}");
    assert_eq!(published_generation(&fixture.store), Some(1));
    assert!(leftovers_in(fixture.store.dir()).is_empty());
}

#[test]
fn a_copy_that_reads_back_differently_is_rejected() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    let error = publish(&fixture.store, &options(&file), &mut |step| {
        if step == Step::ReadBack {
            let sibling = leftovers_in(&fixture.store.generations_path()).pop().unwrap();
            let mut bytes = fs::read(&sibling).unwrap();
            bytes[1_000] ^= 1;
            // Root may write even to read-only files.
            let permissions = PermissionsExt::from_mode(0o644);
            fs::set_permissions(&sibling, permissions).unwrap();
            fs::write(&sibling, bytes).unwrap();
        }
    })
    .unwrap_err();
    assert_eq!((error.name(), error.owner()), ("read_back_differs", Owner::Infra), "{error}");
    assert_eq!(published_generation(&fixture.store), Some(1));
    assert!(leftovers_in(fixture.store.dir()).is_empty());
}

#[test]
fn a_verifier_without_a_verdict_approves_nothing() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    for (script, name) in
        [("kill -9 $$", "verifier_failed"), ("exit 2", "verifier_failed"), ("exec sleep 60", "verifier_too_slow")]
    {
        let verifier = Verifier {
            program: "/bin/sh".into(),
            arguments: ["-c", script].map(OsString::from).to_vec(),
            time_limit: Duration::from_millis(500),
        };
        let before = everything_in(fixture.folder());
        let mut options = options(&file);
        options.verifier = verifier;
        let error = publish(&fixture.store, &options, &mut |_| ()).unwrap_err();
        assert_eq!((error.name(), error.owner()), (name, Owner::Infra), "{error}");
        assert_eq!(everything_in(fixture.folder()), before);
    }
}

#[test]
fn a_malformed_current_is_replaced_by_publishing() {
    let fixture = Fixture::with([1, 2]);
    fs::write(fixture.store.current_path(), "000002\n").unwrap();
    let file = Wanted::generation(1).file_in(fixture.folder());
    fixture.assert_refused(&file, ("not_newer", Owner::Ml, "expected one above 2"));
    // Publish the same bytes again, or the next generation.
    let bytes = fs::read(fixture.store.generation_path(2)).unwrap();
    let file = fixture.folder().join("same");
    fs::write(&file, bytes).unwrap();
    let published = publish(&fixture.store, &options(&file), &mut |_| ()).unwrap();
    assert!(matches!(published.warnings[..], [Warning::CurrentMalformed { .. }]), "{:?}", published.warnings);
    assert_eq!(published_generation(&fixture.store), Some(2));
    fixture.publish(&Wanted::generation(3)).unwrap();
}
