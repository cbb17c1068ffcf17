//! Predictions of a live model, across swaps.

use omomi::serving_log::{Account, DropReason, RecordBody, Recorded, Served, ServingLog, Source};
use omomi::store::Digest;

use crate::store_world::{CANDIDATE_COUNT, World, options as store_options, replace};
use crate::world::{PATIENCE, options, read, segments_in};

#[test]
fn each_record_names_the_generation_that_answered_across_swaps() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.details_per_million = 1_000_000)).unwrap();
    let mut ring = log.live_ring(&server.scorer).unwrap();
    for generation in 1..6 {
        world.publish(generation);
        assert_eq!(server.look_and_ask(), Ok(generation));
        let id = format!("request-{generation}");
        let recorded = ring.record(&mut server.request, 2, &Served::of(&id)).unwrap();
        assert_eq!(recorded, Recorded::Queued);
        // Details need the weights, which may be gone after the next swap.
        assert!(generation == 3 || log.flush(PATIENCE));
    }
    drop((ring, log));
    let bytes = std::fs::read(&segments_in(folder.path(), false)[0]).unwrap();
    let (mut predictions, mut details) = (Vec::new(), Vec::new());
    Account::new()
        .read(&bytes, &mut |_, block, record| {
            let named = &block.models[record.head.model.unwrap()];
            let digest = Digest::of(&World::bytes(named.generation));
            assert_eq!((&named.digest[..], named.logic_id), (&digest.as_bytes()[..8], "small-v1"));
            match &record.body {
                RecordBody::Prediction(found) => predictions.push((named.generation, found.request_id.to_owned())),
                RecordBody::Detail(found) => details.push((named.generation, found.request_id.to_owned())),
                other => panic!("{other:?}"),
            }
        })
        .unwrap();
    let expected: Vec<_> = (1..6).map(|generation| (generation, format!("request-{generation}"))).collect();
    assert_eq!(predictions, expected);
    let counts = read(folder.path()).ring().counts;
    let gone = usize::try_from(counts.dropped_for(DropReason::ModelGone)).unwrap();
    assert_eq!(details.len() + gone, 5);
    assert!(details.iter().all(|detail| expected.contains(detail)) && gone <= 1);
}

#[test]
fn while_scoring_is_off_the_last_contract_says_what_may_be_logged_and_without_any_nothing_is() {
    let world = World::new();
    let mut server = world.serve();
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut ring = log.live_ring(&server.scorer).unwrap();
    let own = |source| Served::of("1").with(|it| (it.source, it.own_probability) = (source, Some(0.5)));
    assert_eq!(server.ask(), Err("no_model"));
    ring.record(&mut server.request, 0, &own(Source::NoModel)).unwrap();
    assert!(log.flush(PATIENCE));
    world.publish(1);
    assert_eq!(server.look_and_ask(), Ok(1));
    world.control("off");
    assert_eq!(server.look_and_ask(), Err("switched_off"));
    ring.record(&mut server.request, CANDIDATE_COUNT - 1, &own(Source::Off)).unwrap();
    drop((ring, log));
    let read = read(folder.path());
    let found: Vec<_> = read.predictions.iter().map(|it| (it.row_state, it.row.len(), it.probability)).collect();
    assert_eq!(found, [("unknown", 0, 0.5), ("here", 8, 0.5)]);
}

#[test]
fn the_log_does_not_keep_models_in_memory_that_no_longer_answer() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.details_per_million = 1_000_000)).unwrap();
    let mut ring = log.live_ring(&server.scorer).unwrap();
    server.prove();
    ring.record(&mut server.request, 0, &Served::of("1")).unwrap();
    assert!(log.flush(PATIENCE));
    world.publish(2);
    assert_eq!(server.look_and_ask(), Ok(2));
    server.prove();
    for _ in 0..2 {
        assert!(log.flush(PATIENCE));
        server.live.look_now();
    }
    assert_eq!(server.live.metrics().retired_count, 0);
    ring.record(&mut server.request, 0, &Served::of("2")).unwrap();
    drop((ring, log));
    assert_eq!(read(folder.path()).details, ["1", "2"]);
}

/// The fallback's file has a generation of its own, which may be one that the store has, too.
#[test]
fn what_the_fallback_of_a_live_model_answers_is_logged_as_its_own_even_with_the_generation_of_another() {
    let world = World::new();
    world.publish(1);
    let path = world.dir().join("fallback.omomi");
    let other = crate::small_model::slow_bytes_of_generation(1, 2);
    replace(&path, &other);
    let mut server = world.serve_with(store_options().with(|it| it.fallback_file = Some(path)));
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.details_per_million = 1_000_000)).unwrap();
    let mut ring = log.live_ring(&server.scorer).unwrap();
    assert_eq!(server.look_and_ask(), Ok(1));
    ring.record(&mut server.request, 1, &Served::of("model")).unwrap();
    assert!(log.flush(PATIENCE));
    server.scorer.predict_fallback(&mut server.request, CANDIDATE_COUNT).unwrap();
    ring.record(&mut server.request, 1, &Served::of("fallback").with(|it| it.source = Source::Off)).unwrap();
    drop((ring, log));
    assert_eq!(read(folder.path()).details, ["model", "fallback"]);
    let bytes = std::fs::read(&segments_in(folder.path(), false)[0]).unwrap();
    let mut named = Vec::new();
    Account::new()
        .read(&bytes, &mut |_, block, record| named.push(block.models[record.head.model.unwrap()].digest.to_vec()))
        .unwrap();
    let [model, fallback] = [World::bytes(1), other].map(|bytes| Digest::of(&bytes).as_bytes()[..8].to_vec());
    assert_eq!(named, [model.clone(), model, fallback.clone(), fallback]);
}
