//! `omomi log check`: planted faults are all found at once.

use std::fs;

use omomi::serving_log::{Event, EventKind, Served, Source};

use crate::world::{World, at, contract_with, id_of};

#[test]
fn a_log_that_keeps_the_contract_has_no_fault() {
    let world = World::new(&[("site", "hashed"), ("title", "never"), ("tag", "hashed")]);
    let mut server = world.serve(|it| it.details_per_million = 1_000_000);
    for number in 0..10 {
        server.serve(number);
        server.event(number, EventKind::Win, 10);
        server.event(number, EventKind::Click, 20);
    }
    server.close();
    let said = world.done("log check served --contract contract.toml");
    for expected in ["predictions", "details", "  click", "  win", "ctr-a, generation 7"] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn every_fault_is_reported_at_once_with_who_must_act() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve(1);
    // A win without a price.
    let event = Event { prediction_id: id_of(1), kind: EventKind::Win, at_unix_ms: Some(at(2)), money: None };
    server.ring.event(&event).unwrap();
    // A fallback without the server's own probability.
    server.request.clear();
    let served = Served::of("fallback").with(|it| it.source = Source::Off);
    server.ring.record(&mut server.request, 0, &served).unwrap();
    // Seconds instead of milliseconds.
    server.predict(2);
    let served = Served::of("seconds").with(|it| it.at_unix_ms = Some(1_790_812));
    server.ring.record(&mut server.request, 0, &served).unwrap();
    // A call that fails.
    server.ring.record(&mut server.request, 0, &Served::of("")).unwrap_err();
    server.close();

    let said = world.failed("log check served --contract contract.toml");
    for (owner, expected) in [
        ("delivery", "expected a price with each win, found none"),
        ("delivery", "expected the probability that the server used instead of the model's (source `off`)"),
        ("delivery", "expected a time from 2000 to now"),
        ("delivery", "1 records were dropped: invalid"),
    ] {
        let line = said.lines().find(|line| line.contains(expected));
        assert!(line.is_some_and(|line| line.starts_with(owner)), "{expected}: {said}");
    }
    assert!(said.contains(&format!("(first: {})", id_of(1))), "{said}");
    assert!(said.contains("the log has 4 faults"), "{said}");

    // Another contract, in which one field must never have been logged, and another one only hashed.
    fs::write(world.path("other.toml"), contract_with(&[("site", "never"), ("creative", "hashed")])).unwrap();
    let said = world.failed("log check served --contract other.toml");
    for expected in [
        "`site` must never be logged, but is",
        "`creative` must be logged hashed, but is plain",
        "in generation 7 of `ctr-a`: `site` is logged plain, not never",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn details_of_a_field_that_must_never_be_logged_are_found_also_in_crosses() {
    let world = World::new(&[]);
    let mut server = world.serve(|it| it.details_per_million = 1_000_000);
    server.serve(1);
    server.close();
    fs::write(world.path("other.toml"), contract_with(&[("creative", "never")])).unwrap();
    let said = world.failed("log check served --contract other.toml");
    // Four candidates, each with the field and with its cross.
    assert!(said.contains("8 records: `creative` must never be logged, but is in details"), "{said}");
}

#[test]
fn a_log_without_predictions_and_a_gap_are_faults() {
    let world = World::new(&[]);
    let mut server = world.serve(|it| it.max_segment_len_bytes = 4_096);
    for number in 0..200 {
        server.serve(number);
        if number % 40 == 39 {
            assert!(server.log.flush(crate::world::PATIENCE));
        }
    }
    server.close();
    fs::remove_file(&world.segments("served")[1]).unwrap();
    let said = world.failed("log check served --contract contract.toml");
    assert!(said.contains("infra: ") && said.contains("records are missing that no server dropped"), "{said}");

    let mut server = world.serve_to("events", |_| {});
    server.event(1, EventKind::Click, 0);
    server.close();
    let said = world.failed("log check events --contract contract.toml");
    assert!(said.contains("delivery: expected predictions, found none"), "{said}");
}
