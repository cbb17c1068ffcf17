//! Requests go on while arms change and generations are published: logs and answers agree on arm and generation for
//! every single request. `OMOMI_EXPERIMENT_REQUESTS` sets the number of requests; a million were run by hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use omomi::experiment::{ArmState, Experiment};
use omomi::serving_log::{LogOptions, Recorded, Served, ServingLog};

use crate::shadows::read;
use crate::store_world::{CANDIDATE_COUNT, expected_answers, options};
use crate::world::{Experiments, Thread, experiment, with_shadow};

const THREADS: usize = 2;
/// Requests go on until so many changes have happened, however fast they are.
const MIN_CHANGES: u64 = 12;

fn request_count() -> usize {
    std::env::var("OMOMI_EXPERIMENT_REQUESTS").map_or(20_000, |count| count.parse().unwrap())
}

/// What a request was answered: arm, generation, bucket, version, whether the control arm stood in, probability.
type Answer = (String, u64, Option<u32>, u64, bool, f32);

#[test]
fn logs_and_answers_agree_for_every_request_while_arms_change_and_generations_are_published() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.store("b").publish(2);
    world.store("c").publish(3);
    let mut now = with_shadow(experiment([5_000, 5_000]), 500);
    world.write(&now);
    let live = world.open();
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), LogOptions::default().with(|it| it.details_per_million = 1_000)).unwrap();
    let count = request_count();
    let next = AtomicU64::new(0);
    let is_done = AtomicBool::new(false);
    let changes = AtomicU64::new(0);
    let answers: Mutex<BTreeMap<String, Answer>> = Mutex::default();
    let mut versions: BTreeMap<u64, Experiment> = BTreeMap::from([(now.version, now.clone())]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (live, log, next, changes, answers) = (&live, &log, &next, &changes, &answers);
                scope.spawn(move || {
                    let mut thread = Thread::new(live);
                    let mut ring = log.experiment_ring(&thread.scorer).unwrap();
                    let mut own = BTreeMap::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count as u64 && changes.load(Ordering::Relaxed) >= MIN_CHANGES {
                            break;
                        }
                        let id = format!("request-{number}");
                        let answered = thread.predict(&id).unwrap();
                        let candidate = usize::try_from(number).unwrap() % CANDIDATE_COUNT;
                        while ring.record(&mut thread.request, candidate, &Served::of(&id)).unwrap() != Recorded::Queued
                        {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        let arm = thread.scorer.arm(&answered).to_owned();
                        let probability = thread.request.answer(candidate).probability;
                        let (generation, bucket) = (answered.generation, answered.bucket);
                        own.insert(id, (arm, generation, bucket, answered.version, answered.fell_back, probability));
                    }
                    answers.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
                })
            })
            .collect();
        scope.spawn(|| {
            let mut generation = 3;
            while !is_done.load(Ordering::Relaxed) {
                now.version += 1;
                match now.version % 4 {
                    0 => now.stop(1).unwrap(),
                    1 => {
                        now.arms[1].state = ArmState::Serve;
                        let share = u32::try_from(1_000 + now.version * 37 % 8_000).unwrap();
                        now.assignment = now.assignment.with_shares(&[10_000 - share, share]).unwrap();
                    }
                    number => {
                        generation += 1;
                        world.store(["a", "b"][usize::try_from(number - 2).unwrap()]).publish(generation);
                    }
                }
                versions.insert(now.version, now.clone());
                world.write(&now);
                live.look_now();
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        is_done.store(true, Ordering::Relaxed);
    });
    drop(log);
    let answers = answers.into_inner().unwrap();
    let served_count = answers.len();
    assert!(served_count >= count, "no request was lost");
    let mut expected = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for (is_shadow, arm, generation, bucket, id, candidate, probability, _) in read(folder.path()) {
        let answer = &answers[&id];
        let expected = expected.entry(generation).or_insert_with(|| expected_answers(generation));
        assert_eq!(probability.to_bits(), expected[candidate as usize].probability.to_bits(), "{id}");
        assert_eq!(bucket, answer.2, "{id}");
        if is_shadow {
            assert_eq!((arm.as_str(), generation), ("c", 3), "{id}");
            continue;
        }
        assert_eq!((&arm, generation, probability.to_bits()), (&answer.0, answer.1, answer.5.to_bits()), "{id}");
        // One version of the file decided.
        let version = &versions[&answer.3];
        let assigned = &version.arms[version.arm_of(bucket.unwrap())].name;
        assert!(if answer.4 { arm == "a" && assigned == "b" } else { arm == *assigned }, "{id}: {answer:?}");
        *seen.entry(id).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), served_count, "each request is in the log");
    assert!(seen.values().all(|count| *count == 1));
    let arms: Vec<_> = ["a", "b"].map(|arm| answers.values().filter(|it| it.0 == arm).count()).into();
    let generations: std::collections::BTreeSet<_> = answers.values().map(|it| it.1).collect();
    let used: std::collections::BTreeSet<_> = answers.values().map(|it| it.3).collect();
    println!("{served_count} requests: {arms:?} by arm, {} generations, {} versions", generations.len(), used.len());
    assert!(arms.iter().all(|count| *count > 0) && generations.len() > 2 && used.len() > 2);
}

#[test]
fn a_stopped_arm_gets_no_request_after_the_next_poll_and_no_request_is_lost() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.store("b").publish(2);
    let mut now = experiment([0, 10_000]);
    world.write(&now);
    let live = world.open_with(options().with(|it| it.poll_interval = Duration::from_millis(200)));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread_index| {
                let (live, is_done) = (&live, &is_done);
                scope.spawn(move || {
                    let mut thread = Thread::new(live);
                    let (mut last, mut of_control) = (None, 0_u64);
                    for number in 0_u64.. {
                        if is_done.load(Ordering::Relaxed) && of_control > 0 {
                            break;
                        }
                        let began = Instant::now();
                        let answered = thread.predict(&format!("{thread_index}-{number}")).unwrap();
                        match thread.scorer.arm(&answered) {
                            "b" => last = Some(began),
                            _ => of_control += 1,
                        }
                        assert!(answered.generation == if answered.is_control { 1 } else { 2 });
                    }
                    last
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        now.version = 2;
        now.stop(1).unwrap();
        world.write(&now);
        let stopped = Instant::now();
        while live.status().version < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The status says the version after every scorer has its plan.
        let in_force = Instant::now();
        std::thread::sleep(Duration::from_millis(100));
        is_done.store(true, Ordering::Relaxed);
        let last = threads.into_iter().filter_map(|thread| thread.join().unwrap()).max().unwrap();
        assert!(last <= in_force, "a request after the version was in force");
        println!(
            "the last request of the stopped arm began {:?} after the file was replaced",
            last.saturating_duration_since(stopped)
        );
    });
}
