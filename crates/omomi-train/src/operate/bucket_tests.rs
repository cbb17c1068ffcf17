//! Stores in buckets under races, faults and deaths, with what real services do wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use omomi::store::{Current, Digest, Scoring, Store};

use super::bucket_store::{BucketStore, BucketStoreError, Needs};
use super::fetch::{FetchError, FetchOptions, FetchStep, Fetched, fetch};
use super::publish::gc::GcOptions;
use super::publish::{BlessingPolicy, PublishError, PublishOptions, Published, Verifier, publish, switch};
use crate::bucket::made_up::{Fault, Service};
use crate::bucket::{Bucket, BucketError};
use crate::pack::write_fixture;
use crate::toml::parse_contract;

const CONTRACT: &str = r#"
name = "a"
label = "clicked"

[[field]]
name = "site_id"
side = "context"
type = "id"
meaning = "site"

[[field]]
name = "creative_id"
side = "candidate"
type = "id"
meaning = "creative"
"#;

const PUBLISH: Needs = Needs { served_file: true, last_files: true, file_of: None, history: false };

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Store(#[from] PublishError),
    #[error(transparent)]
    Bucket(#[from] BucketStoreError),
}

/// A machine: a folder with weight files to publish, a cache, and a fetched store.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Writes a weight file of a generation. `seed` tells files of one generation apart.
    fn file(&self, generation: u64, seed: u64) -> PathBuf {
        let path = self.folder.path().join(format!("{generation}-{seed}.omomi"));
        if !path.exists() {
            let weights: String = (0..40)
                .map(|id| format!("[[weight]]\nof = {{ site_id = {id} }}\nvalue = {}.5\n", (id + seed) % 4))
                .collect();
            let text = format!("bias = -{generation}.25\n{weights}");
            write_fixture(&parse_contract(CONTRACT).unwrap(), &text, generation, "a", &path).unwrap();
        }
        path
    }

    fn try_publish(&self, bucket: Bucket, file: &Path) -> Result<Published, Refused> {
        let store = BucketStore::open(bucket, self.folder.path().join("cache"))?;
        let options = PublishOptions::new(file, verifier()).with(|it| it.blessing = Some(BlessingPolicy::Off));
        store.change(PUBLISH, |store| Ok(publish(store, &options, &mut |_| ())?))
    }

    fn publish(&self, service: &Service, generation: u64) -> Published {
        self.try_publish(service.bucket(Fault::None), &self.file(generation, 0)).unwrap()
    }

    fn store(&self) -> Store {
        Store::new(self.folder.path().join("store"))
    }

    fn fetch(&self, bucket: &Bucket) -> Result<Fetched, FetchError> {
        fetch(bucket, &self.store(), &FetchOptions::new(verifier()), &mut |_| ())
    }
}

/// Finds every file good. What a verifier does is tested elsewhere.
fn verifier() -> Verifier {
    Verifier { program: "/bin/true".into(), arguments: Vec::new(), time_limit: Duration::from_secs(60) }
}

fn current(bucket: &Bucket) -> Option<Current> {
    let (bytes, _) = bucket.read("current", 4_096).unwrap()?;
    Some(str::from_utf8(&bytes).unwrap().parse().unwrap())
}

/// The weight file that `current` names is there, and has the digest.
#[track_caller]
fn assert_whole(bucket: &Bucket) {
    if let Some(current) = current(bucket) {
        let name = format!("generations/{:06}.omomi", current.generation);
        let (bytes, _) = bucket.read(&name, u64::MAX).unwrap().expect("the file that current names");
        assert_eq!(Digest::of(&bytes), current.digest);
    }
}

#[test]
fn of_two_publishers_one_wins_and_the_other_is_told() {
    let (one, other) = (&Machine::new(), &Machine::new());
    let service = &Service::default();
    let mut winners = [0, 0];
    for generation in 1..=200 {
        let outcomes = std::thread::scope(|scope| {
            let publish = move |machine: &Machine, seed| {
                let file = machine.file(generation, seed);
                machine.try_publish(service.bucket(Fault::None), &file).map(|published| published.current)
            };
            let first = scope.spawn(move || publish(one, 1));
            let second = scope.spawn(move || publish(other, 2));
            [first.join().unwrap(), second.join().unwrap()]
        });
        let bucket = service.bucket(Fault::None);
        assert_whole(&bucket);
        let won: Vec<usize> = (0..2).filter(|&at| outcomes[at].is_ok()).collect();
        let [winner] = won[..] else { panic!("generation {generation}: {outcomes:?}") };
        assert_eq!(current(&bucket).as_ref(), outcomes[winner].as_ref().ok());
        let lost = outcomes[1 - winner].as_ref().unwrap_err();
        let is_told = matches!(lost, Refused::Store(PublishError::NotNewer { .. } | PublishError::NameTaken { .. }));
        assert!(is_told, "{lost}");
        winners[winner] += 1;
    }
    assert!(winners.iter().all(|&count| count > 0), "{winners:?}");
}

#[test]
fn a_publication_that_stops_at_any_request_leaves_the_old_state_or_the_new_one_and_can_be_repeated() {
    let service = Service::default();
    let machine = Machine::new();
    machine.publish(&service, 1);
    let before = current(&service.bucket(Fault::None));
    let mut stopped_count = 0;
    for first_lost in 0.. {
        let outcome = machine.try_publish(service.bucket(Fault::FailsFrom(first_lost)), &machine.file(2, 0));
        let bucket = service.bucket(Fault::None);
        assert_whole(&bucket);
        match outcome {
            Ok(_) => break,
            Err(Refused::Bucket(BucketStoreError::Bucket(BucketError::Failed { .. }))) => stopped_count += 1,
            Err(Refused::Bucket(BucketStoreError::File { source, .. })) if source.to_string().contains("closed") => {
                stopped_count += 1;
            }
            Err(other) => panic!("at request {first_lost}: {other}"),
        }
        assert_eq!(current(&bucket), before, "at request {first_lost}");
    }
    assert!(stopped_count > 10, "{stopped_count}");
    assert_eq!(current(&service.bucket(Fault::None)).unwrap().generation, 2);
}

#[test]
fn a_lost_answer_is_neither_a_lost_publication_nor_a_second_one() {
    for request in 0..40 {
        let service = Service::default();
        let machine = Machine::new();
        machine.publish(&service, 1);
        let published = machine.try_publish(service.bucket(Fault::LosesAnswer(request)), &machine.file(2, 0));
        let found = current(&service.bucket(Fault::None)).unwrap().generation;
        match published {
            Ok(published) => assert_eq!(published.current.generation, found),
            Err(error) => assert_eq!(found, 1, "{error}"),
        }
        assert_whole(&service.bucket(Fault::None));
    }
}

#[test]
fn a_bucket_that_ignores_conditions_or_lets_nobody_write_is_refused_before_anything_is_written() {
    for (fault, expected) in
        [(Fault::IgnoresConditions, "bucket_ignores_conditions"), (Fault::ReadOnly, "bucket_denied")]
    {
        let (service, machine) = (Service::default(), Machine::new());
        let refused = machine.try_publish(service.bucket(fault), &machine.file(1, 0)).unwrap_err();
        let Refused::Bucket(error) = &refused else { panic!("{refused}") };
        assert_eq!((error.name(), error.owner()), (expected, omomi::error::Owner::Infra), "{error}");
        assert_eq!(service.bucket(Fault::None).list("").unwrap(), [], "{expected}");
    }
}

#[test]
fn an_order_changes_control_alone_and_gc_keeps_what_is_named() {
    let (service, machine) = (Service::default(), Machine::new());
    for generation in 1..=4 {
        machine.publish(&service, generation);
    }
    let store = BucketStore::open(service.bucket(Fault::None), machine.folder.path().join("cache")).unwrap();
    let change: Result<_, Refused> =
        store.change(Needs::default(), |store| Ok(switch(store, Scoring::Off, &mut |_| ())?));
    assert!(change.unwrap().after.is_off());
    let (text, _) = service.bucket(Fault::None).read("control", 4_096).unwrap().unwrap();
    assert!(text.starts_with(b"off follow"), "{text:?}");
    let options = GcOptions::default().with(|it| it.keep_count = 2);
    let (decision, _) = store.collect(options, true).unwrap();
    let removed = |decision: &super::publish::gc::decide::Decision| {
        decision
            .generations
            .iter()
            .filter(|(_, it)| it.is_removed)
            .map(|(generation, _)| *generation)
            .collect::<Vec<_>>()
    };
    assert_eq!(removed(&decision), [1, 2]);
    assert_eq!(service.bucket(Fault::None).list("generations").unwrap().len(), 4, "a dry run removes nothing");
    store.collect(options, false).unwrap();
    let left: Vec<String> =
        service.bucket(Fault::None).list("generations").unwrap().into_iter().map(|listed| listed.name).collect();
    assert_eq!(left, ["generations/000003.omomi", "generations/000004.omomi"]);
}

#[test]
fn a_fetched_store_has_the_same_bytes_and_follows_the_orders_of_both_sides() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    let bucket = service.bucket(Fault::None);
    assert_eq!(server.fetch(&bucket).unwrap(), Fetched::default(), "nothing is published yet");
    let published = publisher.publish(&service, 7);
    let fetched = server.fetch(&bucket).unwrap();
    assert_eq!(fetched.current, Some(published.current));
    let local = server.store();
    let bytes = |path: PathBuf| std::fs::read(path).unwrap();
    assert_eq!(bytes(local.generation_path(7)), bytes(publisher.file(7, 0)));
    assert!(local.generation_path(7).metadata().unwrap().permissions().readonly());
    assert_eq!(local.read_current().unwrap(), Some(published.current));
    assert_eq!(server.fetch(&bucket).unwrap(), Fetched::default(), "a second pass brings nothing");

    // People at the server switch off. Publications do not switch on again; new orders in the bucket do.
    switch(&local, Scoring::Off, &mut |_| ()).unwrap();
    publisher.publish(&service, 8);
    let fetched = server.fetch(&bucket).unwrap();
    assert_eq!((fetched.current.unwrap().generation, fetched.control), (8, None));
    let is_off = || local.read_control().unwrap().unwrap().scoring == Some(Scoring::Off);
    assert!(is_off());
    let store = BucketStore::open(service.bucket(Fault::None), publisher.folder.path().join("cache")).unwrap();
    let _: Result<_, Refused> = store.change(Needs::default(), |store| Ok(switch(store, Scoring::Off, &mut |_| ())?));
    let _: Result<_, Refused> = store.change(Needs::default(), |store| Ok(switch(store, Scoring::On, &mut |_| ())?));
    server.fetch(&bucket).unwrap();
    assert!(is_off(), "the bucket says what it said before");
}

#[test]
fn an_order_to_switch_off_does_not_wait_for_a_file() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    publisher.publish(&service, 1);
    let bucket = service.bucket(Fault::None);
    bucket.remove("generations/000001.omomi").unwrap();
    bucket.overwrite("control", Bytes::from_static(b"off follow\n")).unwrap();
    let error = server.fetch(&bucket).unwrap_err();
    assert_eq!(error.name(), "object_missing", "{error}");
    assert_eq!(server.store().read_control().unwrap().unwrap().scoring, Some(Scoring::Off));
    assert_eq!(server.store().read_current().unwrap(), None, "current never names a file that is not there");
}

#[test]
fn a_pass_that_dies_at_any_step_is_completed_by_the_next_one() {
    let (service, publisher) = (Service::default(), Machine::new());
    publisher.publish(&service, 1);
    let published = publisher.publish(&service, 2);
    let bucket = service.bucket(Fault::None);
    let mut step_count = 0;
    for dies_at in 0.. {
        let server = Machine::new();
        let store = server.store();
        let mut seen = 0;
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            fetch(&bucket, &store, &FetchOptions::new(verifier()), &mut |_: FetchStep| {
                assert!(seen != dies_at, "the process dies here");
                seen += 1;
            })
        }));
        let is_died = died.is_err();
        if let Some(current) = store.read_current().unwrap() {
            assert_eq!(Digest::of_file(store.generation_path(current.generation)).unwrap(), current.digest);
        }
        let fetched = server.fetch(&bucket).unwrap();
        assert_eq!(store.read_current().unwrap(), Some(published.current), "after step {dies_at}");
        assert_eq!(fetched == Fetched::default(), !is_died || store.read_current().unwrap().is_none());
        assert!(!store.dir().join("incoming").exists());
        if !is_died {
            break;
        }
        step_count += 1;
    }
    assert!(step_count >= 7, "{step_count}");
}

#[test]
fn an_interrupted_copy_goes_on_where_it_stopped() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    let published = publisher.publish(&service, 1);
    let whole = std::fs::read(publisher.file(1, 0)).unwrap();
    let incoming = server.store().dir().join("incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    let part = incoming.join(format!("000001-{}.part", &published.current.digest.to_string()[..16]));
    std::fs::write(&part, &whole[..1_000]).unwrap();
    let fetched = server.fetch(&service.bucket(Fault::None)).unwrap();
    assert_eq!(fetched.copied_bytes, whole.len() as u64 - 1_000);
    assert_eq!(std::fs::read(server.store().generation_path(1)).unwrap(), whole);

    // Bytes of an interrupted copy that are wrong are found, and the next pass begins again.
    let other = Machine::new();
    let incoming = other.store().dir().join("incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    std::fs::write(incoming.join(part.file_name().unwrap()), [0; 1_000]).unwrap();
    let error = other.fetch(&service.bucket(Fault::None)).unwrap_err();
    assert_eq!(error.name(), "digest_mismatch", "{error}");
    assert_eq!(other.fetch(&service.bucket(Fault::None)).unwrap().copied_bytes, whole.len() as u64);
}

#[test]
fn what_a_bucket_must_not_do_is_refused_and_the_store_stays_as_it_was() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    publisher.publish(&service, 5);
    let bucket = service.bucket(Fault::None);
    server.fetch(&bucket).unwrap();
    let before = server.store().read_current().unwrap().unwrap();
    let of = |generation, bytes: &[u8]| Current { generation, digest: Digest::of(bytes) }.to_string();
    let file = Bytes::from(std::fs::read(publisher.file(6, 0)).unwrap());
    bucket.overwrite("generations/000006.omomi", file).unwrap();
    for (text, expected) in [
        (of(4, b"4"), "goes_back"),
        (of(5, b"other"), "digest_mismatch"),
        (of(6, b"other"), "digest_mismatch"),
        (of(9, b"9"), "object_missing"),
        ("{\"generation\": 6}".to_owned(), "store_malformed"),
    ] {
        bucket.overwrite("current", text.clone().into()).unwrap();
        let error = server.fetch(&bucket).expect_err(&text);
        assert_eq!(error.name(), expected, "{error}");
        assert_eq!(server.store().read_current().unwrap(), Some(before));
        assert!(!server.store().generation_path(6).exists());
    }
    let elsewhere = Service::default();
    let mut other = elsewhere.bucket(Fault::None);
    other.move_to("s3://ads/models/other");
    assert_eq!(server.fetch(&other).unwrap_err().name(), "other_bucket");
}
