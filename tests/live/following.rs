//! Serving while the store changes.

use omomi::Code;
use omomi::live::{Outcome, ServingState};
use omomi::store::Digest;

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
    server.prove();
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
    world.control("on freeze");
    world.publish(2);
    assert_eq!(server.look_and_ask(), Ok(1));
    drop(server);
    let mut server = world.serve();
    assert_eq!(server.ask(), Ok(1), "a new process serves its predecessor's generation");
    world.control("on follow");
    assert_eq!(server.look_and_ask(), Ok(2));
    world.control("on pin 1");
    assert_eq!(server.look_and_ask(), Ok(1));
    world.control("off");
    assert_eq!(server.look_and_ask(), Err("switched_off"));
    drop(server);
    let mut server = world.serve();
    assert_eq!(server.ask(), Err("switched_off"));
    assert_eq!(server.live.status().state, ServingState::Off);
    world.control("on follow");
    assert_eq!(server.look_and_ask(), Ok(2));
}

#[test]
fn a_malformed_control_file_changes_nothing() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    world.control("off");
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
    world.control("on pin 1");
    assert_eq!(server.look_and_ask(), Ok(1));
}

#[test]
fn a_file_refused_by_one_servers_limits_is_served_by_a_server_with_other_limits() {
    let world = World::new();
    world.publish(1);
    let len_bytes = World::bytes(2).len() as u64;
    for (limits, code) in [
        (options().with(|it| it.max_file_len_bytes = len_bytes - 1), "file_too_large"),
        (options().with(|it| it.memory_budget_bytes = len_bytes - 1), "memory_budget"),
        (options().with(|it| it.min_generation = 2), "generation_behind"),
        (options().with(|it| it.contract_fingerprints = vec![1, 2]), "contract_not_expected"),
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
    server.prove();
    std::fs::remove_file(world.store.current_path()).unwrap();
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(1), vec!["file"]));
    drop(server);
    let mut server = world.serve();
    assert_eq!(server.ask(), Ok(1));
    world.publish(2);
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(2), vec![]));
}

#[test]
fn an_order_holds_when_its_file_or_the_store_is_gone_and_after_a_restart() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    world.control("off");
    assert_eq!(server.look_and_ask(), Err("switched_off"));
    std::fs::remove_file(world.store.control_path()).unwrap();
    assert_eq!((server.look_and_ask(), server.reasons()), (Err("switched_off"), vec!["store_malformed"]));
    drop(server);
    let mut server = world.serve();
    assert_eq!(server.ask(), Err("switched_off"), "the journal has it");
    let elsewhere = world.dir().with_extension("gone");
    std::fs::rename(world.dir(), &elsewhere).unwrap();
    assert_eq!((server.look_and_ask(), server.reasons().contains(&"store_missing")), (Err("switched_off"), true));
    std::fs::rename(&elsewhere, world.dir()).unwrap();
    world.control("on");
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(1), vec![]));
}

#[test]
fn a_freeze_or_a_pin_does_not_switch_scoring_on_and_on_does_not_lift_a_pin() {
    let world = World::new();
    world.publish(1);
    world.publish(2);
    let mut server = world.serve();
    world.control("off");
    assert_eq!(server.look_and_ask(), Err("switched_off"));
    for order in ["freeze", "pin 1"] {
        world.control(order);
        assert_eq!(server.look_and_ask(), Err("switched_off"), "{order}");
    }
    world.control("on");
    assert_eq!(server.look_and_ask(), Ok(1));
    world.control("follow");
    assert_eq!(server.look_and_ask(), Ok(2));
}

#[test]
fn a_store_that_begins_again_at_generation_1_is_served_with_a_reason() {
    for generation in [1, 5] {
        let world = World::new();
        world.publish(5);
        world.serve().prove();
        std::fs::remove_file(world.store.generation_path(5)).unwrap();
        std::fs::remove_file(world.store.current_path()).unwrap();
        let mut bytes = World::bytes(generation);
        if generation == 5 {
            bytes = crate::small_model::slow_bytes_of_generation(5, 2);
        }
        world.publish_bytes(generation, &bytes);
        let server = world.serve();
        let served = server.live.status().served.map(|served| served.generation);
        let reason = if generation == 5 { "name_reused" } else { "generation_behind" };
        assert_eq!((served, server.reasons()), (Some(generation), vec![reason]));
    }
}

#[test]
fn many_newer_generations_that_do_not_verify_are_passed_over() {
    let world = World::new();
    world.publish(1);
    for generation in 2..10 {
        world.publish_bytes(generation, b"\x89OMOMI\r\n and then nothing");
    }
    assert_eq!(world.serve().ask(), Ok(1));
}

#[test]
fn a_pin_names_a_content_and_another_one_under_its_name_is_not_served() {
    let world = World::new();
    world.publish(1);
    world.publish(2);
    let digest = Digest::of(&World::bytes(1));
    world.control(&format!("on pin 1 {digest}"));
    world.put(1, &crate::small_model::slow_bytes_of_generation(1, 2));
    let mut server = world.serve();
    assert_eq!((server.ask(), server.reasons()), (Ok(2), vec!["digest_mismatch"]));
    world.put(1, &World::bytes(1));
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(1), vec![]));
}

#[test]
fn nothing_is_created_where_there_is_no_store_and_a_store_that_appears_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("adds/feed-crt");
    let live = omomi::live::LiveModel::open(&dir, &crate::world::schema(), options()).unwrap();
    let reasons = live.status().reasons;
    assert_eq!((reasons.len(), reasons[0].code, reasons[0].owner().word()), (1, Code::StoreMissing, "delivery"));
    assert!(reasons[0].text.contains(dir.to_str().unwrap()), "{reasons:?}");
    assert!(!folder.path().join("adds").exists());
    let world = World::new();
    world.publish(1);
    std::fs::create_dir(folder.path().join("adds")).unwrap();
    std::fs::rename(world.dir(), &dir).unwrap();
    live.look_now();
    let mut server = crate::world::Server::new(live);
    assert_eq!(server.ask(), Ok(1));
    // The writer takes the folder at its next look.
    for _ in 0..300 {
        if dir.join("state/server/journal.json").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(1), vec![]));
}

#[test]
fn a_store_that_appears_at_any_time_is_not_served_before_its_orders_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, away) = (folder.path().join("store"), folder.path().join("away"));
    let world = World::new();
    world.publish(1);
    world.control("off follow");
    std::fs::rename(world.dir(), &away).unwrap();
    for round in 0..100_u64 {
        let options = options().with(|it| it.poll_interval = std::time::Duration::from_millis(1));
        let live = omomi::live::LiveModel::open(&dir, &crate::world::schema(), options).unwrap();
        let mut server = crate::world::Server::new(live);
        assert_eq!(server.ask(), Err("no_model"));
        std::thread::sleep(std::time::Duration::from_micros(round * 37 % 4_000));
        std::fs::rename(&away, &dir).unwrap();
        let began = std::time::Instant::now();
        loop {
            match server.ask() {
                Err("switched_off") => break,
                Err("no_model") => assert!(began.elapsed().as_secs() < 60, "the order was not heard"),
                other => panic!("round {round}: {other:?} while scoring is off"),
            }
        }
        // It may be about to serve what it found.
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(server.ask(), Err("switched_off"), "round {round}");
        std::fs::rename(&dir, &away).unwrap();
    }
}

#[test]
fn a_live_model_is_closed_within_two_seconds_and_its_orderly_end_is_recorded() {
    let world = World::new();
    world.publish(1);
    let server = world.serve();
    let began = std::time::Instant::now();
    drop(server);
    assert!(began.elapsed() < std::time::Duration::from_secs(2));
    let journal = std::fs::read_to_string(world.store.state_path().join("server/journal.json")).unwrap();
    assert!(journal.contains(r#""ended": "close""#), "{journal}");
}

#[test]
fn two_live_models_of_one_name_in_one_process_are_called_that() {
    // The second was once said to be in another process.
    let world = World::new();
    world.publish(1);
    let _first = world.serve();
    let second = world.serve();
    let status = second.live.status();
    let reason = status.reasons.iter().find(|reason| reason.code == Code::StateUnusable).unwrap();
    assert!(reason.text.contains("another live model of this process has the same name"), "{}", reason.text);
}
