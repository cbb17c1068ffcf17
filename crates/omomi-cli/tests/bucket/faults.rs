//! What networks and services do wrong: each has its error and its owner, and leaves nothing half done.

use crate::proxy::{Fault, Proxy};
use crate::server::{Kind, STORE, Server, bytes};

/// Runs a command through a proxy, and returns its exit code and what it said.
fn through(server: &Server, fault: Fault, line: &str) -> (Option<i32>, String) {
    let proxy = Proxy::start(server.port, fault);
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = server.command_at(proxy.port, "cache-of-proxy", &arguments).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), said.concat())
}

fn publish(file: &str) -> String {
    format!("publish {file} --to {STORE} --unblessed")
}

#[test]
fn connections_that_are_cut_or_slow_cost_time_and_nothing_else() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let file = server.file(1, "-1.0");
    for fault in [Fault::Cuts { count: 3, after: 100 }, Fault::Slow, Fault::None] {
        server.put("in/1.omomi", &bytes(server.path(&file)));
        let (code, said) = through(&server, fault, "inspect s3://ads/in/1.omomi");
        assert_eq!(code, Some(0), "{fault:?}: {said}");
    }
    // An answer to a write that is cut says nothing: the command ends as temporary, and can be given again.
    let (code, said) = through(&server, Fault::CutsWrites { count: 3, after: 10 }, &publish(&file));
    assert_eq!(code, Some(75), "{said}");
    assert!(!server.keys("models").contains(&"models/feed-ctr/current".to_owned()), "{said}");
    let (code, said) = through(&server, Fault::Cuts { count: 3, after: 10 }, &publish(&file));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = through(&server, Fault::Cuts { count: 3, after: 50 }, &format!("fetch {STORE} store --once"));
    assert_eq!(code, Some(0), "{said}");
    assert!(bytes(server.path("store/generations/000001.omomi")) == bytes(server.path(&file)));
}

#[test]
fn a_service_that_drops_conditions_is_refused_and_nothing_is_written() {
    for server in Server::programs() {
        let file = server.file(1, "-1.0");
        let (code, said) = through(&server, Fault::DropsConditions, &publish(&file));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("ignores conditions") && said.contains("who must act: infra"), "{said}");
        assert_eq!(server.keys("models"), [""; 0]);
        let line = "fixture --contract contract.toml --weights weights.toml --logic-id a --out s3://ads/out/1.omomi";
        let (code, said) = through(&server, Fault::DropsConditions, line);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("ignores conditions"), "{said}");
        assert_eq!(server.keys("out"), [""; 0]);
    }
}

#[test]
fn a_wrong_clock_and_missing_permissions_are_told_from_failures_and_leave_nothing() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let file = server.file(1, "-1.0");
    server.succeed(&["publish", &file, "--to", STORE, "--unblessed"]);
    let before = server.keys("models");
    let (next, bad_clock) = (server.file(2, "-1.0"), Fault::Refuses("RequestTimeTooSkewed"));
    let cases = [
        (bad_clock, publish(&next), "RequestTimeTooSkewed"),
        (bad_clock, format!("fetch {STORE} store --once"), "check the clock"),
        (bad_clock, "contract check s3://ads/contract.toml".to_owned(), "check the clock"),
        (Fault::Refuses("AccessDenied"), format!("status {STORE}"), "no permission to"),
        (Fault::RefusesWrites, publish(&next), "no permission to write"),
        (Fault::RefusesWrites, format!("off {STORE}"), "no permission to write"),
        (
            Fault::RefusesWrites,
            "fixture --contract contract.toml --weights weights.toml --logic-id a --out s3://ads/out/1.omomi"
                .to_owned(),
            "no permission to write",
        ),
    ];
    for (fault, line, words) in cases {
        let (code, said) = through(&server, fault, &line);
        assert_eq!(code, Some(1), "{line}: {said}");
        assert!(said.contains(words) && said.contains("who must act: infra"), "{line}: {said}");
    }
    assert_eq!(server.keys("models"), before);
    assert_eq!(server.keys("out"), [""; 0]);
    assert!(!server.path("store/current").exists());
}

#[test]
fn a_wrong_secret_is_no_permission() {
    let server = Server::start(Kind::S3sFs).unwrap();
    let file = server.file(1, "-1.0");
    for line in [publish(&file), format!("status {STORE}"), "contract check s3://ads/contract.toml".to_owned()] {
        let mut command = server.command("cache", &line.split_whitespace().collect::<Vec<_>>());
        let output = command.env("AWS_SECRET_ACCESS_KEY", "c").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains("no permission to") && said.contains("who must act: infra"), "{line}: {said}");
    }
}

#[test]
fn bytes_that_are_changed_on_their_way_are_not_served() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let file = server.file(1, "-1.0");
    server.succeed(&["publish", &file, "--to", STORE, "--unblessed"]);
    let (code, said) = through(&server, Fault::ChangesWeights, &format!("fetch {STORE} store --once"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("other bytes than were published"), "{said}");
    assert!(!server.path("store/current").exists());
    let (code, said) = through(&server, Fault::ChangesWeights, &format!("verify {STORE}/generations/000001.omomi"));
    assert_eq!(code, Some(1), "{said}");
    // An upload is read back.
    let line = "fixture --contract contract.toml --weights weights.toml --logic-id a --out s3://ads/out/1.omomi";
    let (code, said) = through(&server, Fault::ChangesWeights, line);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("other bytes than were written"), "{said}");
}

#[test]
fn a_service_that_is_away_is_temporary() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let port = crate::server::free_port();
    let arguments = ["contract", "check", "s3://ads/contract.toml"];
    let output = server.command_at(port, "cache", &arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("who must act: infra"), "{said}");
}

#[test]
fn a_fetch_copies_each_file_once() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let file = server.file(1, "-1.0");
    server.succeed(&["publish", &file, "--to", STORE, "--unblessed"]);
    let len = bytes(server.path(&file)).len() as u64;
    let proxy = Proxy::start(server.port, Fault::None);
    let fetch = ["fetch", STORE, "store", "--once"];
    assert!(server.command_at(proxy.port, "cache", &fetch).status().unwrap().success());
    let first = proxy.answered_bytes();
    assert!((len..2 * len).contains(&first), "{first} bytes for a file of {len}");
    assert!(server.command_at(proxy.port, "cache", &fetch).status().unwrap().success());
    assert!(proxy.answered_bytes() - first < len, "{} bytes for nothing new", proxy.answered_bytes() - first);
}
