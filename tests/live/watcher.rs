//! A watcher tells a thread of the server what changes, without a thread of its own.

use std::time::{Duration, Instant};

use omomi::Code;
use omomi::live::{LiveChange, LiveWatcher};

use crate::world::World;

const LONG: Duration = Duration::from_secs(60);

/// Returns all changes that need no waiting.
fn changes(watcher: &mut LiveWatcher) -> Vec<LiveChange> {
    std::iter::from_fn(|| watcher.next(Duration::ZERO).unwrap()).collect()
}

/// What a list of changes says, in short.
fn said(changes: &[LiveChange]) -> Vec<String> {
    let said = |change: &LiveChange| match change {
        LiveChange::Swap(served) => format!("swap {}", served.generation),
        LiveChange::State(state) => state.name().to_owned(),
        LiveChange::Reason(reason) => format!("reason {}", reason.code.name()),
        LiveChange::ReasonGone(reason) => format!("gone {}", reason.code.name()),
        other => format!("{other:?}"),
    };
    changes.iter().map(said).collect()
}

#[test]
fn swaps_states_and_problems_are_told_once() {
    let world = World::new();
    let server = world.serve();
    let mut watcher = server.live.watcher();
    assert_eq!(said(&changes(&mut watcher)), ["no_model", "reason no_model"]);
    assert_eq!(changes(&mut watcher), []);
    world.publish(1);
    server.live.look_now();
    assert_eq!(said(&changes(&mut watcher)), ["swap 1", "serving", "gone no_model"]);
    world.control("off");
    server.live.look_now();
    assert_eq!(said(&changes(&mut watcher)), ["off"]);
    world.control("on");
    server.live.look_now();
    assert_eq!(said(&changes(&mut watcher)), ["serving"]);
    let damaged = World::bytes(2).into_iter().rev().collect::<Vec<u8>>();
    world.publish_bytes(2, &damaged);
    server.live.look_now();
    assert_eq!(said(&changes(&mut watcher)), ["reason damaged"]);
    world.publish(3);
    server.live.look_now();
    assert_eq!(said(&changes(&mut watcher)), ["swap 3", "gone damaged"]);
    // A second watcher begins with what is so now.
    assert_eq!(said(&changes(&mut server.live.watcher())), ["swap 3", "serving"]);
}

#[test]
fn a_waiting_thread_is_woken_by_a_change_and_by_the_end() {
    let world = World::new();
    world.publish(1);
    let server = world.serve();
    let mut watcher = server.live.watcher();
    assert_eq!(said(&changes(&mut watcher)), ["swap 1", "serving"]);
    let began = Instant::now();
    assert_eq!(watcher.next(Duration::from_millis(20)).unwrap(), None);
    assert!(began.elapsed() >= Duration::from_millis(20));
    let waiting = std::thread::spawn(move || {
        let change = watcher.next(LONG).unwrap();
        let end = watcher.next(Duration::MAX).unwrap_err();
        (change, end.code(), watcher.next(LONG).unwrap_err().code())
    });
    std::thread::sleep(Duration::from_millis(20));
    world.publish(2);
    server.live.look_now();
    while !waiting.is_finished() && began.elapsed() < Duration::from_millis(100) {
        std::thread::yield_now();
    }
    drop(server);
    let (change, end, again) = waiting.join().unwrap();
    assert_eq!(said(&change.into_iter().collect::<Vec<_>>()), ["swap 2"]);
    assert_eq!((end, again), (Code::Closed, Code::Closed));
    assert!(began.elapsed() < LONG);
}
