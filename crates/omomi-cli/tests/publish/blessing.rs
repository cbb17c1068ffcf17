//! Tests that files without the blessing of `omomi gate` are not published unless the options or the limits allow it.

use std::fs;
use std::path::Path;

use omomi::Owner;
use omomi::store::Digest;
use omomi_train::operate::publish::{
    Blessing, BlessingPolicy, PublishOptions, Replaces, WithoutBaseline, blessing_path, pin, publish,
};

use crate::fixture::{Fixture, Wanted, everything_in, options, published_generation, verifier};

/// Writes a blessing of the file with this digest beside `file`, in place of generation 1.
fn bless(fixture: &Fixture, file: &Path, digest: Digest) {
    bless_against(file, digest, Replaces { baseline_digest: Some(digest_of(fixture, 1)), ..Replaces::default() });
}

fn bless_against(file: &Path, digest: Digest, replaces: Replaces) {
    Blessing::new(digest.to_string(), replaces).write_beside(file).unwrap();
}

/// Returns the digest of a published generation.
fn digest_of(fixture: &Fixture, generation: u64) -> String {
    Digest::of_file(fixture.store.generation_path(generation)).unwrap().to_string()
}

fn asking(file: &Path) -> PublishOptions {
    options(file).with(|it| it.blessing = None)
}

/// Asserts that publishing fails with this error and changes nothing.
#[track_caller]
fn assert_refused(fixture: &Fixture, options: &PublishOptions, name: &str, words: &str) {
    let before = everything_in(fixture.folder());
    let error = publish(&fixture.store, options, &mut |_| ()).expect_err("it was published");
    assert_eq!((error.name(), error.owner()), (name, Owner::Ml), "{error}");
    assert!(error.to_string().contains(words), "expected `{words}` in: {error}");
    assert_eq!(everything_in(fixture.folder()), before, "something was changed or left behind");
}

#[test]
fn a_blessing_is_required_by_default() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    let words = "the file has no blessing: expected ";
    assert_refused(&fixture, &asking(&file), "not_blessed", words);
    bless(&fixture, &file, Digest::of(&fs::read(&file).unwrap()));
    publish(&fixture.store, &asking(&file), &mut |_| ()).unwrap();
    assert_eq!(published_generation(&fixture.store), Some(2));
}

#[test]
fn a_blessing_for_other_bytes_is_rejected() {
    let fixture = Fixture::with([1]);
    let (file, other) = (Wanted::generation(2).file_in(fixture.folder()), Wanted::generation(3).bytes());
    bless(&fixture, &file, Digest::of(&other));
    let found = Digest::of(&fs::read(&file).unwrap());
    let words = format!("expected the digest {}, found {found}", Digest::of(&other));
    assert_refused(&fixture, &asking(&file), "blessing_of_other", &words);
}

#[test]
fn a_blessing_is_stale_unless_its_baseline_is_what_the_store_serves_now() {
    let fixture = Fixture::with([1, 2]);
    let file = Wanted::generation(3).file_in(fixture.folder());
    let digest = Digest::of(&fs::read(&file).unwrap());
    let baseline =
        |generation| Replaces { baseline_digest: Some(digest_of(&fixture, generation)), ..Replaces::default() };
    let decision = |served| Replaces {
        without_baseline: Some(WithoutBaseline { reason: "a new contract".to_owned(), served }),
        ..Replaces::default()
    };
    let first = Replaces { first: true, ..Replaces::default() };
    for stale in [baseline(1), first, Replaces::default(), decision(None), decision(Some(digest_of(&fixture, 1)))] {
        bless_against(&file, digest, stale);
        assert_refused(
            &fixture,
            &asking(&file),
            "blessing_is_stale",
            &format!("serves now ({})", digest_of(&fixture, 2)),
        );
    }
    // Generation 1 is served while it is pinned.
    pin(&fixture.store, 1, &verifier(), &mut |_| ()).unwrap();
    bless_against(&file, digest, baseline(2));
    assert_refused(&fixture, &asking(&file), "blessing_is_stale", &format!("serves now ({})", digest_of(&fixture, 1)));
    bless_against(&file, digest, decision(Some(digest_of(&fixture, 1))));
    publish(&fixture.store, &asking(&file), &mut |_| ()).unwrap();
}

#[test]
fn a_first_file_is_only_for_a_store_that_never_had_one() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    bless_against(&file, Digest::of(&fs::read(&file).unwrap()), Replaces { first: true, ..Replaces::default() });
    fs::remove_file(fixture.store.current_path()).unwrap();
    assert_refused(&fixture, &asking(&file), "blessing_is_stale", "the file of a lost `current`");
    fs::remove_file(fixture.store.generation_path(1)).unwrap();
    publish(&fixture.store, &asking(&file), &mut |_| ()).unwrap();
}

#[test]
fn a_malformed_blessing_is_rejected() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    for text in ["", "{", "[]", "{\"digest\":7}", "{\"digest\":\"00\"}"] {
        fs::write(blessing_path(&file), text).unwrap();
        assert_refused(&fixture, &asking(&file), "not_a_blessing", "is not a blessing");
    }
}

#[test]
fn the_limits_of_a_store_set_the_blessing_policy_and_the_option_overrides_them() {
    let fixture = Fixture::with([1]);
    let limits = fixture.store.dir().join("limits.toml");
    fs::write(&limits, "blessing = \"off\"").unwrap();
    let file = Wanted::generation(2).file_in(fixture.folder());
    let mut requiring = options(&file);
    requiring.blessing = Some(BlessingPolicy::Require);
    assert_refused(&fixture, &requiring, "not_blessed", "the file has no blessing");
    publish(&fixture.store, &asking(&file), &mut |_| ()).unwrap();

    fs::write(&limits, "blessing = \"require\"").unwrap();
    let file = Wanted::generation(3).file_in(fixture.folder());
    assert_refused(&fixture, &asking(&file), "not_blessed", "the file has no blessing");
    publish(&fixture.store, &options(&file), &mut |_| ()).unwrap();

    fs::write(&limits, "blessing = \"maybe\"").unwrap();
    let error = publish(&fixture.store, &asking(&file), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("line 1: blessing: expected `off` or `require`, found \"maybe\""), "{error}");
}
