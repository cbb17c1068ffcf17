//! A shadow scores after the arm that answers. Its answers are in the log, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use omomi::experiment::{Arm, ArmState, Exploration, Method};
use omomi::serving_log::{Account, LogOptions, RecordBody, Served, ServingLog};
use omomi::{CandidateSet, CandidateStatus, Capacity, RequestLayout};

use crate::small_model;
use crate::store_world::{CANDIDATE_COUNT, World, expected_answers, same_bits, schema};
use crate::world::{Experiments, Thread, experiment, with_shadow};

pub fn log_options() -> LogOptions {
    LogOptions::default().with(|it| it.details_per_million = 1_000_000)
}

/// The records of a folder: whether it is a shadow, arm, generation, bucket, id, candidate, probability, propensity.
type Line = (bool, String, u64, Option<u32>, String, u32, f32, Option<f64>);

pub fn read(folder: &std::path::Path) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut account = Account::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let read = account.read(&bytes, &mut |_, block, record| {
            let (RecordBody::Prediction(it) | RecordBody::Shadow(it)) = &record.body else { return };
            let is_shadow = matches!(record.body, RecordBody::Shadow(_));
            assert_eq!(usize::from(record.head.answer), usize::from(is_shadow));
            assert_eq!(it.experiment.is_empty(), it.arm.is_empty());
            let generation = record.head.model.map_or(0, |model| block.models[model].generation);
            let (arm, id) = (it.arm.to_owned(), it.request_id.to_owned());
            lines.push((is_shadow, arm, generation, it.bucket, id, it.candidate, it.probability, it.propensity));
        });
        read.unwrap();
    }
    lines
}

#[test]
fn what_shadows_say_is_logged_beside_the_prediction_and_never_returned() {
    let world = Experiments::new();
    for (name, generation) in [("a", 1), ("b", 2), ("c", 3)] {
        world.store(name).publish(generation);
    }
    let mut now = with_shadow(experiment([5_000, 5_000]), 2_500);
    now.exploration = Some(Exploration { share: 10_000, method: Method::EpsilonUniform { epsilon: 0.5 } });
    world.write(&now);
    let live = world.open();
    let mut thread = Thread::new(&live);
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), log_options()).unwrap();
    let mut ring = log.experiment_ring(&thread.scorer).unwrap();
    let shadow_answers = expected_answers(3);
    let mut expected: Vec<Line> = Vec::new();
    for id in (0..200).map(|index| format!("request-{index}")) {
        let answered = thread.predict(&id).unwrap();
        assert!(same_bits(thread.request.answers(CANDIDATE_COUNT), expected_answers(answered.generation).into_iter()));
        let shadow = thread.request.answers_of(1, CANDIDATE_COUNT);
        if answered.shadow_count == 1 {
            assert!(same_bits(shadow, shadow_answers.iter().copied()));
        } else {
            // Nothing is left of an earlier request.
            let mut shadow = shadow;
            assert!(shadow.all(|it| it.status == CandidateStatus::NotComputed && it.probability.is_nan()));
        }
        let utilities: Vec<f64> = thread.request.answers(CANDIDATE_COUNT).map(|it| it.probability.into()).collect();
        let choice = answered.choose(&id, &utilities).unwrap().unwrap();
        let served = Served::of(&id).with(|it| it.propensity = choice.propensity);
        ring.record(&mut thread.request, choice.candidate, &served).unwrap();
        let (arm, candidate) = (thread.scorer.arm(&answered).to_owned(), u32::try_from(choice.candidate).unwrap());
        let probability = thread.request.answer(choice.candidate).probability;
        let bucket = answered.bucket;
        let generation = answered.generation;
        expected.push((false, arm, generation, bucket, id.clone(), candidate, probability, choice.propensity));
        if answered.shadow_count == 1 {
            let probability = shadow_answers[choice.candidate].probability;
            expected.push((true, "c".to_owned(), 3, bucket, id, candidate, probability, None));
        }
    }
    // Only the ring says which model is which.
    assert!(ring.record(&mut thread.request, 0, &Served::of("1").with(|it| it.model = 1)).is_err());
    let status = live.status();
    let shadows = expected.iter().filter(|line| line.0).count();
    assert!((25..=75).contains(&shadows), "{shadows} of 200");
    assert_eq!(status.arms[2].shadow_count, shadows as u64);
    assert_eq!((status.arms[2].answered_count, status.arms[2].shadow_skipped_count), (0, 0));
    drop((ring, log));
    assert_eq!(read(folder.path()), expected);
}

/// A request of many candidates, some of which cannot be scored: they are in several chunks, also of a `many` field.
#[test]
fn arms_and_shadows_of_one_contract_and_of_several_answer_like_scorers_of_their_own() {
    let world = Experiments::new();
    let contract = small_model::contract();
    let other = small_model::CONTRACT.replace("[[cross]]\nfields = [\"interest\", \"title\"]\n", "");
    let other = omomi_train::toml::parse_contract(&other).unwrap();
    assert_ne!(other, contract);
    let rows = small_model::full_rows(30);
    let other_bytes = small_model::bytes_of(&other, &[(7, 0.5)], std::slice::from_ref(&rows));
    let files = [("a", World::bytes(1)), ("b", World::bytes(2)), ("c", World::bytes(7)), ("d", other_bytes)];
    for (name, bytes) in &files {
        world.store(name).publish_bytes(omomi::Model::from_bytes(bytes.clone()).unwrap().generation(), bytes);
    }
    let mut now = with_shadow(experiment([5_000, 5_000]), 10_000);
    now.arms.push(Arm { name: "d".to_owned(), store: "d".into(), state: ArmState::Shadow { share: 10_000 } });
    world.write(&now);
    let live = world.open();
    let capacity = Capacity { candidates: 1_600, tail_len_bytes: 1 << 20 };
    let layout = RequestLayout::new(&schema(), capacity).unwrap();
    let inline = live.scorer(&layout.for_models(3).unwrap()).unwrap();
    // A set of candidates, some of whose indices have none.
    let set = Arc::new(CandidateSet::new(&layout, 1_600, 8).unwrap());
    let mut maker = omomi::Request::new(&layout);
    maker.fill(&small_model::full_rows(1_500)).unwrap();
    (0..1_500).filter(|index| index % 11 != 3).for_each(|index| assert!(set.add(&mut maker, index).is_ok()));
    let prepared = RequestLayout::prepared(&schema(), capacity).unwrap();
    let prepared_scorer = live.scorer_with_candidates(&prepared.for_models(3).unwrap(), &set).unwrap();
    let mut seen = [false; 2];
    for (count, id) in [0_u32, 1, 8, 255, 256, 257, 1_000, 1_024, 1_025, 1_500].into_iter().zip(1..) {
        for is_prepared in [false, true] {
            let fill = |request: &mut omomi::Request| {
                let rows = small_model::full_rows(count.into());
                if is_prepared {
                    request.context().set_all(&rows.context).unwrap();
                    (0..count).for_each(|index| request.set_candidate(index as usize, index).unwrap());
                } else {
                    request.fill(&rows).unwrap();
                }
            };
            let scorer = if is_prepared { &prepared_scorer } else { &inline };
            let mut request = scorer.new_request();
            fill(&mut request);
            // More are asked for than are filled.
            let count = count as usize + 3;
            let answered = scorer.predict(&mut request, count, &format!("request-{id}")).unwrap();
            assert_eq!(answered.shadow_count, 2);
            let arm = if answered.is_control { 0 } else { 1 };
            seen[arm] = true;
            for (result, file) in [(0, arm), (1, 2), (2, 3)] {
                let model = omomi::Model::from_bytes(files[file].1.clone()).unwrap();
                let alone = if is_prepared {
                    omomi::Scorer::with_candidates(vec![model], &prepared, &set).unwrap()
                } else {
                    omomi::Scorer::new(model, &layout).unwrap()
                };
                let mut expected = alone.new_request();
                fill(&mut expected);
                alone.predict(&mut expected, count).unwrap();
                let found = request.answers_of(result, count);
                assert!(same_bits(found, expected.answers(count)), "{count} candidates, result {result}");
            }
        }
    }
    assert_eq!(seen, [true; 2]);
    let status = live.status();
    let counts = |index: usize| [status.arms[index].shadow_count, status.arms[index].shadow_failed_count];
    assert_eq!((counts(2), counts(3)), ([20, 0], [20, 0]));
}

#[test]
fn a_shadow_without_time_is_skipped_and_counted_and_the_request_is_answered() {
    let world = Experiments::new();
    for (name, generation) in [("a", 1), ("c", 3)] {
        world.store(name).publish(generation);
    }
    world.write(&with_shadow(experiment([10_000, 0]), 10_000));
    let live = world.open();
    let mut thread = Thread::new(&live);
    let mut predict =
        |budget| thread.scorer.predict_within(&mut thread.request, CANDIDATE_COUNT, "1", Some(budget)).unwrap();
    assert_eq!(predict(Duration::from_secs(3_600)).shadow_count, 1);
    // The first chunk is scored whatever the budget is.
    let answered = predict(Duration::from_nanos(1));
    assert_eq!((answered.shadow_count, answered.generation), (0, 1));
    let shadow = &live.status().arms[2];
    assert_eq!((shadow.shadow_count, shadow.shadow_skipped_count), (1, 1));
}

#[test]
fn a_shadow_without_a_model_costs_nothing_but_a_count() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.write(&with_shadow(experiment([10_000, 0]), 10_000));
    let live = world.open();
    let mut thread = Thread::new(&live);
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), log_options()).unwrap();
    let mut ring = log.experiment_ring(&thread.scorer).unwrap();
    let answered = thread.predict("1").unwrap();
    assert_eq!((answered.shadow_count, thread.request.answered_count()), (0, CANDIDATE_COUNT));
    ring.record(&mut thread.request, 0, &Served::of("1")).unwrap();
    assert_eq!(live.status().arms[2].shadow_failed_count, 1);
    drop((ring, log));
    let lines = read(folder.path());
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].0, lines[0].1.as_str(), lines[0].7), (false, "a", None));
}
