//! Stores in buckets under races, faults and deaths, with what real services do wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use omomi::error::Owner;
use omomi::store::{Control, Current, Digest, Scoring, Store, Target};

use super::bucket_store::{BucketStore, BucketStoreError, Needs};
use super::fetch::{FetchError, FetchOptions, FetchStep, Fetched, fetch};
use super::publish::gc::GcOptions;
use super::publish::{BlessingPolicy, PublishError, PublishOptions, Published, Verifier, pin, publish, switch};
use crate::bucket::made_up::{Fault, Service};
use crate::bucket::{Bucket, BucketError};
use crate::pack::write_fixture;
use crate::toml::parse_contract;

const CONTRACT: &str = include_str!("contract_of_tests.toml");

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
        fetch(bucket, &self.store(), &FetchOptions::new(verifier()), &mut None, &mut |_| ())
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
        assert_eq!((error.name(), error.owner()), (expected, Owner::Infra), "{error}");
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
    let change: Result<_, Refused> = store.order(false, |store| Ok(switch(store, Scoring::Off, &mut |_| ())?));
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
    let unpublished = Fetched { is_unpublished: true, ..Fetched::default() };
    assert_eq!(server.fetch(&bucket).unwrap(), unpublished);
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
            fetch(&bucket, &store, &FetchOptions::new(verifier()), &mut None, &mut |_: FetchStep| {
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

fn overwrite(service: &Service, name: &str, path: &Path) {
    service.bucket(Fault::None).overwrite(name, Bytes::from(std::fs::read(path).unwrap())).unwrap();
}

/// Two weight files of a generation, with the same length.
fn two_files(machine: &Machine, generation: u64) -> [PathBuf; 2] {
    let files = [machine.file(generation, 1), machine.file(generation, 2)];
    let [one, other] = files.each_ref().map(|path| std::fs::read(path).unwrap());
    assert!(one.len() == other.len() && one != other, "{} and {} bytes", one.len(), other.len());
    files
}

fn order(
    service: &Service,
    machine: &Machine,
    needs: Needs,
    change: impl FnMut(&Store) -> Result<super::publish::ControlChange, PublishError>,
) -> Result<Control, Refused> {
    let store = BucketStore::open(service.bucket(Fault::None), machine.folder.path().join("cache"))?;
    let mut change = change;
    Ok(store.change(needs, |store| Ok::<_, Refused>(change(store)?))?.after)
}

#[test]
fn a_file_of_the_copy_counts_only_as_long_as_the_object_is_the_one_that_it_was_copied_from() {
    let (service, machine) = (Service::default(), Machine::new());
    let [one, other] = two_files(&machine, 2);
    machine.publish(&service, 1);
    machine.try_publish(service.bucket(Fault::None), &one).unwrap();
    // Somebody replaced the object by another of the same length.
    overwrite(&service, "generations/000002.omomi", &other);
    let needs = Needs { file_of: Some(2), ..Needs::default() };
    let pinned = order(&service, &machine, needs, |store| pin(store, 2, &verifier(), &mut |_| ()));
    let error = pinned.unwrap_err().to_string();
    assert!(error.contains("digest"), "current names other bytes: {error}");
    let bucket = service.bucket(Fault::None);
    let of_other = Current { generation: 2, digest: Digest::of_file(&other).unwrap() };
    bucket.overwrite("current", of_other.to_string().into()).unwrap();
    let pinned = order(&service, &machine, needs, |store| pin(store, 2, &verifier(), &mut |_| ())).unwrap();
    assert_eq!(pinned.target, Target::Pin(of_other.into()));

    // Without tags, nothing tells that the file is the same.
    for fault in [Fault::NoTags, Fault::WeakTags] {
        let store = BucketStore::open(service.bucket(fault), machine.folder.path().join("cache")).unwrap();
        for path in [&one, &other] {
            overwrite(&service, "generations/000002.omomi", path);
            store.bring(needs).unwrap();
            let copy = store.store().generation_path(2);
            assert_eq!(Digest::of_file(copy).unwrap(), Digest::of_file(path).unwrap(), "{fault:?}");
        }
    }
}

#[test]
fn a_file_of_the_copy_that_lost_its_name_to_another_is_not_published() {
    let (service, machine) = (Service::default(), Machine::new());
    let [one, other] = two_files(&machine, 2);
    machine.publish(&service, 1);
    let mut tried_count = 0;
    for first_lost in 5..60 {
        let stopped = machine.try_publish(service.bucket(Fault::FailsFrom(first_lost)), &one);
        let bucket = service.bucket(Fault::None);
        if stopped.is_ok() || !bucket.list("generations").unwrap().iter().all(|it| it.name.contains("000001")) {
            break;
        }
        tried_count += 1;
        // Another publisher made its object, and died before it replaced current.
        overwrite(&service, "generations/000002.omomi", &other);
        let refused = machine.try_publish(service.bucket(Fault::None), &one).unwrap_err();
        assert!(matches!(refused, Refused::Store(PublishError::NameTaken { .. })), "{refused}");
        assert_whole(&bucket);
        bucket.remove("generations/000002.omomi").unwrap();
    }
    assert!(tried_count > 3, "{tried_count}");
}

#[test]
fn a_publisher_that_loses_leaves_what_it_created_because_it_may_be_published_after_all() {
    let (service, machine, other) = (Service::default(), Machine::new(), Machine::new());
    machine.publish(&service, 1);
    let store = BucketStore::open(service.bucket(Fault::None), machine.folder.path().join("cache")).unwrap();
    let options =
        PublishOptions::new(machine.file(2, 0), verifier()).with(|it| it.blessing = Some(BlessingPolicy::Off));
    let mut count = 0;
    let published: Result<Published, Refused> = store.change(PUBLISH, |store| {
        let published = publish(store, &options, &mut |_| ());
        if count == 0 {
            other.publish(&service, 3);
        }
        count += 1;
        Ok(published?)
    });
    assert!(matches!(published, Err(Refused::Store(PublishError::NotNewer { .. }))), "{published:?}");
    assert_eq!(service.bucket(Fault::None).list("generations").unwrap().len(), 3);
    assert_whole(&service.bucket(Fault::None));
}

#[test]
fn only_days_that_the_change_made_are_written_and_a_day_of_another_writer_is_not_lost() {
    let (service, machine) = (Service::default(), Machine::new());
    machine.publish(&service, 1);
    let bucket = service.bucket(Fault::None);
    let store = BucketStore::open(bucket.clone(), machine.folder.path().join("cache")).unwrap();
    let history = store.store().dir().join("history");
    std::fs::create_dir_all(&history).unwrap();
    std::fs::write(history.join("left.json"), "left by an earlier change").unwrap();
    let nothing = |_: &Store| Ok::<_, Refused>(());
    store.change(Needs::default(), nothing).unwrap();
    let needs = Needs { history: true, ..Needs::default() };
    store.change(needs, nothing).unwrap();
    assert_eq!(bucket.list("history").unwrap(), []);

    bucket.create("history/a.json", Bytes::from_static(b"1")).unwrap();
    let mut count = 0;
    let change: Result<_, Refused> = store.change(needs, |_| {
        let before = std::fs::read_to_string(history.join("a.json")).unwrap();
        if count == 0 {
            bucket.overwrite("history/a.json", Bytes::from_static(b"12")).unwrap();
        }
        count += 1;
        std::fs::write(history.join("a.json"), before + "3").unwrap();
        Ok(())
    });
    change.unwrap();
    assert_eq!(bucket.read("history/a.json", 64).unwrap().unwrap().0, "123");
}

#[test]
fn a_copy_that_is_removed_during_a_change_is_an_error_and_no_success() {
    let remove: [fn(&Store); 4] = [
        |store| std::fs::remove_dir_all(store.dir()).unwrap(),
        |store| std::fs::remove_file(store.current_path()).unwrap(),
        |store| std::fs::remove_file(store.generation_path(store.generations().unwrap().pop().unwrap())).unwrap(),
        |store| std::fs::remove_file(store.dir().join(".lock")).unwrap(),
    ];
    for is_first in [true, false] {
        for (index, remove) in remove.iter().enumerate() {
            let (service, machine) = (Service::default(), Machine::new());
            if !is_first {
                machine.publish(&service, 1);
            }
            let before = current(&service.bucket(Fault::None));
            let store = BucketStore::open(service.bucket(Fault::None), machine.folder.path().join("cache")).unwrap();
            let options =
                PublishOptions::new(machine.file(2, 0), verifier()).with(|it| it.blessing = Some(BlessingPolicy::Off));
            let outcome: Result<(), Refused> = store.change(PUBLISH, |store| {
                publish(store, &options, &mut |_| ())?;
                remove(store);
                Ok(())
            });
            let error = outcome.expect_err("the copy is gone").to_string();
            assert_eq!(current(&service.bucket(Fault::None)), before, "{index}: {error}");
            drop(store);
            machine.publish(&service, 2);
        }
    }
}

#[test]
fn gc_keeps_a_generation_that_is_ordered_while_it_works() {
    let (service, machine) = (Service::default(), Machine::new());
    for generation in 1..=4 {
        machine.publish(&service, generation);
    }
    // The order is given when the first removal is through.
    let orders = service.bucket(Fault::None);
    let bucket = service.bucket(Fault::OrdersAtRemoval("on pin 000002"));
    let store = BucketStore::open(bucket, machine.folder.path().join("cache")).unwrap();
    let (decision, _) = store.collect(GcOptions::default().with(|it| it.keep_count = 1), false).unwrap();
    let left: Vec<String> = orders.list("generations").unwrap().into_iter().map(|listed| listed.name).collect();
    assert_eq!(left, ["generations/000002.omomi", "generations/000004.omomi"]);
    assert!(!decision.generations[&2].is_removed && decision.generations[&3].is_removed);
}

#[test]
fn an_order_needs_only_to_read_and_write_control_and_does_not_wait_for_a_publication() {
    let (service, machine) = (Service::default(), Machine::new());
    machine.publish(&service, 1);
    for scoring in [Scoring::Off, Scoring::On] {
        let store = BucketStore::open(service.bucket(Fault::OnlyControl), machine.folder.path().join("order")).unwrap();
        let change: Result<_, Refused> = store.order(false, |store| Ok(switch(store, scoring, &mut |_| ())?));
        assert_eq!(change.unwrap().after.scoring, scoring);
    }
    // An order of somebody else meanwhile is not lost.
    let store = BucketStore::open(service.bucket(Fault::None), machine.folder.path().join("order")).unwrap();
    let mut count = 0;
    let change: Result<_, Refused> = store.order(false, |store| {
        let change = switch(store, Scoring::Off, &mut |_| ())?;
        if count == 0 {
            let text = Bytes::from_static(b"on freeze 000001\n");
            service.bucket(Fault::None).overwrite("control", text).unwrap();
        }
        count += 1;
        Ok(change)
    });
    change.unwrap();
    let (text, _) = service.bucket(Fault::None).read("control", 4_096).unwrap().unwrap();
    assert!(text.starts_with(b"off freeze 000001"), "{text:?}");
    drop(store);
    // Neither a bucket that cannot remove probes nor one that lists nothing is in the way of a publication.
    machine.try_publish(service.bucket(Fault::Denies("remove")), &machine.file(2, 0)).unwrap();
    machine.try_publish(service.bucket(Fault::ListsNothing), &machine.file(3, 0)).unwrap();
    assert_whole(&service.bucket(Fault::None));
    let taken = machine.try_publish(service.bucket(Fault::ListsNothing), &machine.file(3, 1)).unwrap_err();
    assert!(matches!(taken, Refused::Store(PublishError::NotNewer { .. })), "{taken}");
}

#[test]
fn keys_in_a_store_in_a_bucket_are_absolute_paths() {
    let (service, machine) = (Service::default(), Machine::new());
    let store = BucketStore::open(service.bucket(Fault::None), machine.folder.path().join("cache")).unwrap();
    for (keys, is_error) in [("[\"keys/2026.pub\"]", true), ("[\"/etc/omomi/2026.pub\"]", false), ("[]", false)] {
        let text = format!("keys = {keys}\n");
        service.bucket(Fault::None).overwrite("limits.toml", text.into()).unwrap();
        store.bring(Needs::default()).unwrap();
        let checked = store.check_keys();
        assert_eq!(checked.is_err(), is_error, "{keys}: {checked:?}");
        if let Err(error) = checked {
            assert!(error.to_string().contains("s3://ads/models/feed-ctr/limits.toml names the key `keys/2026.pub`"));
        }
    }
}

#[test]
fn a_file_that_is_already_there_must_be_the_one_that_is_named() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    let bucket = service.bucket(Fault::None);
    publisher.publish(&service, 1);
    server.fetch(&bucket).unwrap();
    publisher.publish(&service, 2);
    let before = server.store().read_current().unwrap();
    std::fs::write(server.store().generation_path(2), "other bytes").unwrap();
    for _ in 0..2 {
        let error = server.fetch(&bucket).unwrap_err();
        assert_eq!((error.name(), error.owner()), ("digest_mismatch", Owner::Infra), "{error}");
        assert_eq!(server.store().read_current().unwrap(), before);
    }
    std::fs::remove_file(server.store().generation_path(2)).unwrap();
    server.fetch(&bucket).unwrap();

    // A new order names a file that was damaged meanwhile.
    let needs = Needs { file_of: Some(1), ..Needs::default() };
    order(&service, &publisher, needs, |store| pin(store, 1, &verifier(), &mut |_| ())).unwrap();
    let path = server.store().generation_path(1);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "other bytes").unwrap();
    assert_eq!(server.fetch(&bucket).unwrap_err().name(), "digest_mismatch");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(server.fetch(&bucket).unwrap().files.len(), 1);
    assert_eq!(server.fetch(&bucket).unwrap(), Fetched::default());
}

#[test]
fn orders_do_not_wait_for_what_is_wrong_with_other_texts() {
    let breaks: [(&str, Fault, &[u8]); 4] = [
        ("pardons", Fault::None, b"nonsense"),
        ("current", Fault::None, b"nonsense"),
        ("pardons", Fault::Denies("/pardons"), b""),
        ("current", Fault::Denies("/current"), b""),
    ];
    for (name, fault, text) in breaks {
        let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
        publisher.publish(&service, 1);
        server.fetch(&service.bucket(Fault::None)).unwrap();
        publisher.publish(&service, 2);
        let bucket = service.bucket(Fault::None);
        bucket.overwrite("control", Bytes::from_static(b"off follow\n")).unwrap();
        if fault == Fault::None {
            bucket.overwrite(name, Bytes::from_static(text)).unwrap();
        }
        let error = server.fetch(&service.bucket(fault)).unwrap_err();
        assert!(["store_malformed", "bucket_denied"].contains(&error.name()), "{error}");
        let store = server.store();
        assert_eq!(store.read_control().unwrap().unwrap().scoring, Some(Scoring::Off), "{name} {fault:?}");
        let expected = if name == "current" { 1 } else { 2 };
        assert_eq!(store.read_current().unwrap().unwrap().generation, expected, "{name} {fault:?}");
    }
}

#[test]
fn an_order_to_switch_off_does_not_wait_for_the_end_of_a_copy() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    publisher.publish(&service, 1);
    let (bucket, store) = (service.bucket(Fault::None), server.store());
    let options = FetchOptions::new(verifier()).with(|it| it.orders_every = Duration::from_millis(10));
    let is_off = || store.read_control().unwrap().is_some_and(|text| text.scoring == Some(Scoring::Off));
    let mut is_first = true;
    let fetched = fetch(&bucket, &store, &options, &mut None, &mut |step| {
        if step == FetchStep::Copy && is_first {
            is_first = false;
            assert!(!is_off());
            bucket.overwrite("control", Bytes::from_static(b"off follow\n")).unwrap();
            let begin = std::time::Instant::now();
            while !is_off() {
                assert!(begin.elapsed() < Duration::from_secs(30), "the order waits for the copy");
                std::thread::sleep(Duration::from_millis(5));
            }
            let second = fetch(&bucket, &store, &options, &mut None, &mut |_| ()).unwrap_err();
            assert_eq!((second.name(), second.owner()), ("busy", Owner::Infra), "{second}");
        }
    });
    let fetched = fetched.unwrap();
    assert_eq!((fetched.control.as_deref(), fetched.files.len()), (Some("off follow"), 1));
    assert_eq!(server.fetch(&bucket).unwrap(), Fetched::default());
}

#[test]
fn a_store_that_is_off_stays_off_when_it_is_fetched_first() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    publisher.publish(&service, 1);
    let store = server.store();
    std::fs::create_dir_all(store.generations_path()).unwrap();
    switch(&store, Scoring::Off, &mut |_| ()).unwrap();
    let bucket = service.bucket(Fault::None);
    for _ in 0..2 {
        server.fetch(&bucket).unwrap();
        assert_eq!(store.read_control().unwrap().unwrap().scoring, Some(Scoring::Off));
    }
    // An order that changes is in force.
    bucket.overwrite("control", Bytes::from_static(b"off follow\n")).unwrap();
    server.fetch(&bucket).unwrap();
    bucket.overwrite("control", Bytes::from_static(b"on follow\n")).unwrap();
    server.fetch(&bucket).unwrap();
    assert_eq!(store.read_control().unwrap().unwrap().scoring, Some(Scoring::On));

    // Notes that cannot be read say what to do, and are not in the way of an order to switch off.
    std::fs::write(store.dir().join("fetched.json"), "{").unwrap();
    bucket.overwrite("control", Bytes::from_static(b"off follow\n")).unwrap();
    let error = server.fetch(&bucket).unwrap_err();
    assert_eq!((error.name(), error.action()), ("memory_malformed", "delete it"), "{error}");
    assert_eq!(store.read_control().unwrap().unwrap().scoring, Some(Scoring::Off));
    std::fs::remove_file(store.dir().join("fetched.json")).unwrap();
    server.fetch(&bucket).unwrap();
}

#[test]
fn a_bucket_that_lost_current_is_an_error() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    publisher.publish(&service, 1);
    let bucket = service.bucket(Fault::None);
    server.fetch(&bucket).unwrap();
    bucket.remove("current").unwrap();
    let error = server.fetch(&bucket).unwrap_err();
    assert_eq!((error.name(), error.owner()), ("current_missing", Owner::Ml), "{error}");
    assert_eq!(server.store().read_current().unwrap().unwrap().generation, 1);
}

#[test]
fn parts_of_other_generations_go_before_anything_is_copied() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    publisher.publish(&service, 2);
    let incoming = server.store().dir().join("incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    let part = incoming.join("000001-0123456789abcdef.part");
    std::fs::write(&part, [0; 1_000]).unwrap();
    let (bucket, store) = (service.bucket(Fault::None), server.store());
    fetch(&bucket, &store, &FetchOptions::new(verifier()), &mut None, &mut |step| {
        assert!(step != FetchStep::Copy || !part.exists());
    })
    .unwrap();
}

#[test]
fn an_object_that_was_refused_is_not_copied_in_each_pass() {
    let (service, publisher, server) = (Service::default(), Machine::new(), Machine::new());
    let [one, other] = two_files(&publisher, 1);
    publisher.try_publish(service.bucket(Fault::None), &one).unwrap();
    let bucket = service.bucket(Fault::None);
    overwrite(&service, "generations/000001.omomi", &other);
    let copies = |store: &Store| {
        let mut is_copied = false;
        let options = FetchOptions::new(verifier());
        let outcome = fetch(&bucket, store, &options, &mut None, &mut |step| is_copied |= step == FetchStep::Copy);
        (outcome.map_err(|error| error.name().to_owned()).map(|_| ()), is_copied)
    };
    let mismatch = || Err("digest_mismatch".to_owned());
    assert_eq!(copies(&server.store()), (mismatch(), true));
    assert_eq!(copies(&server.store()), (mismatch(), false));
    // Another version of the object is copied at once.
    overwrite(&service, "generations/000001.omomi", &one);
    assert_eq!(copies(&server.store()), (Ok(()), true));
    // So is one that a fresh process finds bad, whatever the reason.
    let other_server = Machine::new();
    let refusing = Verifier { program: "/bin/false".into(), ..verifier() };
    let mut copy_count = 0;
    for _ in 0..3 {
        let options = FetchOptions::new(refusing.clone());
        let error = fetch(&bucket, &other_server.store(), &options, &mut None, &mut |step| {
            copy_count += usize::from(step == FetchStep::Verify);
        })
        .unwrap_err();
        assert!(error.name() != "digest_mismatch", "{error}");
    }
    assert_eq!(copy_count, 1);
}

#[test]
fn an_order_at_an_address_without_a_store_is_refused_and_writes_nothing() {
    let (service, machine) = (Service::default(), Machine::new());
    let store = || BucketStore::open(service.bucket(Fault::None), machine.folder.path().join("order")).unwrap();
    let off = || -> Result<_, Refused> { store().order(false, |store| Ok(switch(store, Scoring::Off, &mut |_| ())?)) };
    let error = off().unwrap_err();
    assert!(matches!(&error, Refused::Bucket(error) if error.name() == "no_store"), "{error}");
    assert_eq!(service.bucket(Fault::None).list("").unwrap(), []);
    // One of the three is enough: what is published, orders, or a weight file.
    for name in ["current", "control", "generations/000001.omomi"] {
        let bucket = service.bucket(Fault::None);
        let text = if name == "control" { "on follow\n" } else { "a" };
        bucket.create(name, Bytes::from_static(text.as_bytes())).unwrap();
        off().unwrap();
        bucket.remove(name).unwrap();
        bucket.remove("control").unwrap();
    }
}

#[test]
fn an_order_that_a_failed_pass_wrote_is_told() {
    let (service, machine, server) = (Service::default(), Machine::new(), Machine::new());
    machine.publish(&service, 1);
    let bucket = service.bucket(Fault::None);
    bucket.overwrite("control", Bytes::from_static(b"off follow\n")).unwrap();
    bucket.overwrite("current", Bytes::from_static(b"nonsense")).unwrap();
    let mut ordered = None;
    let outcome = fetch(&bucket, &server.store(), &FetchOptions::new(verifier()), &mut ordered, &mut |_| ());
    assert_eq!(outcome.unwrap_err().name(), "store_malformed");
    assert_eq!(ordered.as_deref(), Some("off follow"));
}
