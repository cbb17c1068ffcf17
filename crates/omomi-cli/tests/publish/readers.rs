//! Tests that a constant reader sees one state after another, never a mixture, while others publish and roll back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use omomi::Model;
use omomi::store::{Control, Digest, Store};
use omomi_train::operate::publish::{follow, rollback};

use crate::fixture::{Fixture, Wanted, control_of, verifier};

/// Reads until told to stop. Returns the generations and orders that it saw, without repetitions.
fn look(store: &Store, stop: &AtomicBool) -> (Vec<u64>, Vec<Control>) {
    let (mut generations, mut controls) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let current = store.read_current().unwrap().expect("something was published before");
        let bytes = std::fs::read(store.generation_path(current.generation)).unwrap();
        assert_eq!(Digest::of(&bytes), current.digest);
        assert_eq!(Model::from_bytes(bytes).unwrap().generation(), current.generation);
        generations.push(current.generation);
        let control = control_of(store);
        if let Some(pinned) = control.target.named() {
            assert!(store.generations().unwrap().contains(&pinned.generation));
        }
        controls.push(control);
    }
    generations.dedup();
    controls.dedup();
    (generations, controls)
}

#[test]
fn a_reader_sees_only_whole_generations_and_in_order() {
    let fixture = Fixture::with([1]);
    let stop = AtomicBool::new(false);
    let (generations, controls) = thread::scope(|scope| {
        let reader = scope.spawn(|| look(&fixture.store, &stop));
        // Any failure here also ends the reader, and with it the test.
        let outcome = std::panic::catch_unwind(|| {
            for generation in 2..=12 {
                fixture.publish(&Wanted::generation(generation)).unwrap();
                rollback(&fixture.store, None, &verifier(), &mut |_| ()).unwrap();
                follow(&fixture.store, &mut |_| ()).unwrap();
            }
        });
        stop.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap();
        outcome.unwrap();
        seen
    });
    assert!(generations.is_sorted(), "{generations:?}");
    assert!(generations.len() > 5 && controls.len() > 5, "the reader was too slow: {generations:?}, {controls:?}");
}
