//! Serving while the store changes.

use omomi::Code;
use omomi::live::{LiveOptions, Outcome, ServingState};
use omomi::store::{Control, Digest};

use crate::world::{World, options};

#[test]
fn a_missing_store_means_no_model_yet_and_the_first_publication_is_served() {
    let world = World::new();
    let mut server = world.serve();
    assert_eq!(server.ask(), Err("no_model"));
    assert_eq!((server.live.status().state, server.reasons()), (ServingState::NoModel, vec!["no_model"]));
    world.publish(1);
    assert_eq!(server.look_and_ask(), Ok(1));
    assert_eq!((server.live.status().state, server.reasons()), (ServingState::Serving, vec![]));
}

#[test]
fn the_next_request_after_a_publication_is_answered_by_the_new_generation() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    assert_eq!(server.ask(), Ok(1));
    for generation in 2..6 {
        world.publish(generation);
        assert_eq!(server.look_and_ask(), Ok(generation));
    }
    let status = server.live.status();
    assert_eq!(status.attempts.len(), 5);
    assert!(status.attempts.iter().all(|attempt| attempt.outcome == Outcome::Served));
}

#[test]
fn a_bad_file_is_quarantined_with_its_owner_and_the_last_good_one_continues() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    let mut damaged = World::bytes(2);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    world.publish_bytes(2, &damaged);
    assert_eq!(server.look_and_ask(), Ok(1));
    let status = server.live.status();
    assert_eq!((status.reasons[0].code, status.reasons[0].owner().word()), (Code::Damaged, "infra"));
    assert_eq!(status.quarantined[0].digest, Digest::of(&damaged));
    let attempt_count = status.attempts.len();
    // The same content is not tried again, even under another name.
    assert_eq!(server.look_and_ask(), Ok(1));
    assert_eq!(server.live.status().attempts.len(), attempt_count);
    world.publish(3);
    assert_eq!(server.look_and_ask(), Ok(3));
    assert_eq!(server.reasons(), [""; 0]);
}

#[test]
fn a_server_starts_with_the_last_good_generation_while_the_newest_is_bad() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    server.live.look_now();
    drop(server);
    world.publish_bytes(2, b"\x89OMOMI\r\n and then nothing");
    server = world.serve();
    assert_eq!(server.ask(), Ok(1));
    assert_eq!(server.reasons(), ["truncated"]);
}

#[test]
fn freeze_off_and_pin_are_obeyed_even_at_start() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    world.control(Control::Freeze);
    world.publish(2);
    assert_eq!(server.look_and_ask(), Ok(1));
    server.live.look_now();
    drop(server);
    let mut server = world.serve();
    assert_eq!(server.ask(), Ok(1), "a new process serves its predecessor's generation");
    world.control(Control::Follow);
    assert_eq!(server.look_and_ask(), Ok(2));
    world.control(Control::Pin(1));
    assert_eq!(server.look_and_ask(), Ok(1));
    world.control(Control::Off);
    assert_eq!(server.look_and_ask(), Err("switched_off"));
    drop(server);
    let mut server = world.serve();
    assert_eq!(server.ask(), Err("switched_off"));
    assert_eq!(server.live.status().state, ServingState::Off);
    world.control(Control::Follow);
    assert_eq!(server.look_and_ask(), Ok(2));
}

#[test]
fn a_malformed_control_file_changes_nothing() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    world.control(Control::Off);
    assert_eq!(server.look_and_ask(), Err("switched_off"));
    crate::world::replace(&world.store.control_path(), b"onn\n");
    assert_eq!(server.look_and_ask(), Err("switched_off"));
    assert_eq!(server.reasons(), ["store_malformed"]);
}

#[test]
fn only_a_pin_brings_back_an_older_generation() {
    let world = World::new();
    world.publish(1);
    world.publish(2);
    let mut server = world.serve();
    assert_eq!(server.ask(), Ok(2));
    world.point_to(1);
    assert_eq!(server.look_and_ask(), Ok(2));
    assert_eq!(server.reasons(), ["generation_behind"]);
    world.control(Control::Pin(1));
    assert_eq!(server.look_and_ask(), Ok(1));
}

#[test]
fn a_file_refused_by_one_servers_limits_is_served_by_a_server_with_other_limits() {
    let world = World::new();
    world.publish(1);
    let len_bytes = World::bytes(2).len() as u64;
    for (limits, code) in [
        (LiveOptions { max_file_len_bytes: len_bytes - 1, ..options() }, "file_too_large"),
        (LiveOptions { memory_budget_bytes: len_bytes - 1, ..options() }, "memory_budget"),
        (LiveOptions { min_generation: 2, ..options() }, "generation_behind"),
        (LiveOptions { contract_fingerprints: vec![1, 2], ..options() }, "contract_not_expected"),
    ] {
        let mut server = world.serve_with(limits);
        assert_eq!((server.ask(), server.reasons()), (Err("no_model"), vec![code]));
        server.live.look_now();
        assert_eq!(server.reasons(), [code]);
        assert!(server.live.status().attempts.len() <= 1, "{code}");
    }
    assert_eq!(world.serve().ask(), Ok(1));
}

#[test]
fn without_a_current_the_served_generation_continues_even_after_a_restart_and_a_reason_says_so() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    server.live.look_now();
    std::fs::remove_file(world.store.current_path()).unwrap();
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(1), vec!["file"]));
    drop(server);
    let mut server = world.serve();
    assert_eq!(server.ask(), Ok(1));
    world.publish(2);
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(2), vec![]));
}
