//! Stores in buckets: publications, orders and fetches of the command.

use std::process::Stdio;
use std::time::Duration;

use crate::server::{Kind, STORE, Server, bytes};

#[test]
fn a_store_in_a_bucket_is_published_ordered_and_fetched() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let (one, two) = (server.file(1, "-1.0"), server.file(2, "-2.0"));
    let fetch = ["fetch", STORE, "store", "--once"];
    assert_eq!(server.succeed(&fetch), format!("Nothing is published in {STORE} yet\n"));
    let said = server.succeed(&["publish", &one, "--to", STORE, "--unblessed"]);
    assert!(said.contains("Published generation 1: s3://ads/models/feed-ctr/generations/000001.omomi"), "{said}");
    server.succeed(&["publish", &two, "--to", STORE, "--unblessed"]);
    server.succeed(&fetch);
    assert_eq!(bytes(server.path("store/generations/000002.omomi")), bytes(server.path(&two)));
    assert!(!server.path("store/generations/000001.omomi").exists(), "nothing names it");
    assert_eq!(bytes(server.path("store/current")).len(), 72);

    // A rollback brings the older file; a local store says what it serves.
    server.succeed(&["rollback", STORE]);
    server.succeed(&fetch);
    assert_eq!(bytes(server.path("store/generations/000001.omomi")), bytes(server.path(&one)));
    assert!(server.succeed(&["status", "store"]).contains("on pin 000001"));
    server.succeed(&["follow", STORE]);
    let said = server.succeed(&["gc", STORE, "--keep", "1"]);
    assert!(said.contains("Removed 1 generations"), "{said}");
    assert!(server.fail(&["pin", "1", STORE]).contains("generation 1 does not exist"));

    // The cache is not needed.
    std::fs::remove_dir_all(server.path("cache")).unwrap();
    assert!(server.succeed(&["status", STORE]).contains("generation 2"));
    assert!(server.fail(&["publish", &one, "--to", STORE, "--unblessed"]).contains("not newer"));
}

/// How many times two processes race on each server. `OMOMI_RACES` says another number.
const RACE_COUNT: u64 = 5;

#[test]
fn of_two_processes_that_publish_one_wins() {
    let count = std::env::var("OMOMI_RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(RACE_COUNT);
    for server in Server::programs() {
        for generation in 1..=count {
            race(&server, generation);
        }
    }
}

fn race(server: &Server, generation: u64) {
    let files = ["-1.0", "-2.0"].map(|bias| server.file(generation, bias));
    let publish = |at: usize| {
        let arguments = ["publish", &files[at], "--to", STORE, "--unblessed"];
        let mut command = server.command(&format!("cache-{at}"), &arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let outcomes = [publish(0), publish(1)].map(|process| process.wait_with_output().unwrap());
    let won: Vec<usize> = (0..2).filter(|&at| outcomes[at].status.success()).collect();
    let [winner] = won[..] else { panic!("{outcomes:?}") };
    let lost = String::from_utf8_lossy(&outcomes[1 - winner].stderr);
    assert!(lost.contains("not newer") || lost.contains("already exists with other bytes"), "{lost}");
    server.succeed(&["fetch", STORE, "store", "--once"]);
    let fetched = bytes(server.path(&format!("store/generations/{generation:06}.omomi")));
    assert!(fetched == bytes(server.path(&files[winner])), "generation {generation} is not that of the winner");
}

#[test]
fn a_fetch_that_is_killed_leaves_a_store_that_the_next_one_completes() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let file = server.file(1, "-1.0");
    server.succeed(&["publish", &file, "--to", STORE, "--unblessed"]);
    for wait_ms in [0, 5, 10, 15, 20, 25, 30, 40, 50, 70] {
        let store = format!("store-{wait_ms}");
        let mut process = server
            .command("cache", &["fetch", STORE, &store])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        process.kill().unwrap();
        process.wait().unwrap();
        if server.path(&store).join("current").exists() {
            assert_eq!(bytes(server.path(&store).join("generations/000001.omomi")), bytes(server.path(&file)));
        }
        server.succeed(&["fetch", STORE, &store, "--once"]);
        assert_eq!(bytes(server.path(&store).join("generations/000001.omomi")), bytes(server.path(&file)));
        assert!(server.succeed(&["status", &store]).contains("generation 1"));
    }
}

#[test]
fn what_cannot_be_reached_says_so_and_who_must_act() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let file = server.file(1, "-1.0");
    let said = server.fail(&["publish", &file, "--to", "s3://no-such-bucket/a", "--unblessed"]);
    assert!(said.contains("there is no such bucket") && said.contains("who must act: infra"), "{said}");
    let said = server.fail(&["fetch", "store", "other", "--once"]);
    assert!(said.contains("expected the address of a bucket"), "{said}");
    let said = server.fail(&["status", "ftp://ads/a"]);
    assert!(said.contains("expected a path, or s3://"), "{said}");
    let said = server.fail(&["publish", "absent.omomi", "--to", STORE, "--unblessed"]);
    assert!(said.contains("absent.omomi"), "{said}");
}

#[test]
fn an_order_does_not_wait_for_a_command_that_works_on_the_copy() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let file = server.file(1, "-1.0");
    server.succeed(&["publish", &file, "--to", STORE, "--unblessed"]);
    let folder = server.path("cache/stores").read_dir().unwrap().next().unwrap().unwrap().path();
    let lock = std::fs::File::open(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    assert!(server.fail(&["status", STORE]).contains("another command of this machine works on"));
    assert!(server.succeed(&["off", STORE]).contains("says `off follow`"));
    assert!(server.succeed(&["freeze", STORE]).contains("in force: freeze 1"));
    assert!(server.succeed(&["follow", STORE]).contains("says `off follow`"));
    server.succeed(&["on", STORE]);
    assert_eq!(server.path("cache/orders").read_dir().unwrap().count(), 0, "orders leave nothing");
    // Nor is a cache that cannot be written in the way.
    std::fs::remove_dir(server.path("cache/orders")).unwrap();
    std::fs::write(server.path("cache/orders"), "a file").unwrap();
    server.succeed(&["off", STORE]);
}

#[test]
fn what_is_wrong_in_a_bucket_is_named_by_its_address() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let (one, two) = (server.file(1, "-1.0"), server.file(2, "-2.0"));
    server.succeed(&["publish", &one, "--to", STORE, "--unblessed"]);
    server.put("models/feed-ctr/limits.toml", b"keys = [\"keys/2026.pub\"]\n");
    let said = server.fail(&["publish", &two, "--to", STORE, "--unblessed"]);
    assert!(said.contains("limits.toml names the key `keys/2026.pub`: expected the absolute path"), "{said}");
    server.put("models/feed-ctr/generations/000001.omomi", b"damaged");
    server.put("models/feed-ctr/current", b"nonsense");
    for arguments in [&["status", STORE][..], &["status", STORE, "--json"]] {
        let said = server.succeed(arguments);
        assert!(said.contains("s3://ads/models/feed-ctr/current"), "{said}");
        assert!(!said.contains(&server.path("cache").display().to_string()), "{said}");
    }
    let said = server.fail(&["status", "s3://user:secret@ads/a"]);
    assert!(said.contains("of letters, digits"), "{said}");
}

#[test]
fn an_order_at_a_mistyped_address_is_refused_and_one_that_a_failed_fetch_wrote_is_said() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let file = server.file(1, "-1.0");
    server.succeed(&["publish", &file, "--to", STORE, "--unblessed"]);
    let said = server.fail(&["off", "s3://ads/models/feed-ctx"]);
    assert!(said.contains("is no store") && said.contains("publish to it first"), "{said}");
    assert_eq!(server.keys("models/feed-ctx"), [""; 0]);
    server.succeed(&["off", STORE]);
    server.put("models/feed-ctr/current", b"nonsense");
    let output = server.run(&["fetch", STORE, "store", "--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Control of store says `off follow`"), "{output:?}");
    assert_eq!(bytes(server.path("store/control")), b"off follow\n");
}

#[test]
fn that_nothing_is_published_is_said_once() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let mut command = server.command("cache", &["fetch", STORE, "store", "--every", "1"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    process.kill().unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("Nothing is published in {STORE} yet\n"));
}
