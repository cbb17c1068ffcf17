//! Stores in buckets, with a server that speaks S3, over HTTP, as people use them.
//!
//! These tests need a `python3` on the path that has moto (`pip install 'moto[server,s3]'`). Without it, they say so
//! and pass. What services do wrong is tested without one, in `omomi-train`.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const CONTRACT: &str = r#"
name = "a"
label = "clicked"

[[field]]
name = "site_id"
side = "context"
type = "id"
meaning = "site"

[[field]]
name = "creative_id"
side = "candidate"
type = "id"
meaning = "creative"
"#;
const STORE: &str = "s3://ads/models/feed-ctr";

/// A server with an empty bucket, until it is dropped.
struct Server {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Returns nothing if there is no moto.
    fn start() -> Option<Self> {
        let has_moto = Command::new("python3").args(["-c", "import moto.server, flask"]).output();
        if !has_moto.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: there is no python3 with moto (pip install 'moto[server,s3]')");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("python3")
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port, folder: tempfile::tempdir().unwrap() };
        let begin = Instant::now();
        while !server.make_bucket() {
            assert!(begin.elapsed() < Duration::from_secs(60), "moto does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        std::fs::write(server.path("contract.toml"), CONTRACT).unwrap();
        Some(server)
    }

    fn make_bucket(&self) -> bool {
        self.try_put("", "").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Writes an object, whatever is there.
    #[track_caller]
    fn put(&self, key: &str, body: &str) {
        let answer = self.try_put(&format!("/{key}"), body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn try_put(&self, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        // moto takes the name of a service from the credentials, and does not check them.
        let of = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=b";
        let request = format!(
            "PUT /ads{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\
             Authorization: {of}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).ok()?;
        Some(answer)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of a machine with a cache of its own.
    fn command(&self, machine: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port));
        command.envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "us-east-1")]);
        command.env("OMOMI_CACHE", self.path(machine));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command("cache", arguments).output().unwrap()
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Makes a weight file of a generation. `bias` tells files of one generation apart.
    fn file(&self, generation: u64, bias: &str) -> String {
        let (weights, name) = (self.path("weights.toml"), format!("{generation}{bias}.omomi"));
        std::fs::write(weights, format!("bias = {bias}\n")).unwrap();
        let number = generation.to_string();
        let made = ["fixture", "--contract", "contract.toml", "--weights", "weights.toml", "--logic-id", "a"];
        self.succeed(&[&made[..], &["--generation", &number, "--out", &name]].concat());
        name
    }
}

fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_store_in_a_bucket_is_published_ordered_and_fetched() {
    let Some(server) = Server::start() else { return };
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

#[test]
fn of_two_processes_that_publish_one_wins() {
    let Some(server) = Server::start() else { return };
    for generation in 1..=12 {
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
        assert_eq!(fetched, bytes(server.path(&files[winner])));
    }
}

#[test]
fn a_fetch_that_is_killed_leaves_a_store_that_the_next_one_completes() {
    let Some(server) = Server::start() else { return };
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
    let Some(server) = Server::start() else { return };
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
    let Some(server) = Server::start() else { return };
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
    let Some(server) = Server::start() else { return };
    let (one, two) = (server.file(1, "-1.0"), server.file(2, "-2.0"));
    server.succeed(&["publish", &one, "--to", STORE, "--unblessed"]);
    server.put("models/feed-ctr/limits.toml", "keys = [\"keys/2026.pub\"]\n");
    let said = server.fail(&["publish", &two, "--to", STORE, "--unblessed"]);
    assert!(said.contains("limits.toml names the key `keys/2026.pub`: expected the absolute path"), "{said}");
    server.put("models/feed-ctr/generations/000001.omomi", "damaged");
    server.put("models/feed-ctr/current", "nonsense");
    for arguments in [&["status", STORE][..], &["status", STORE, "--json"]] {
        let said = server.succeed(arguments);
        assert!(said.contains("s3://ads/models/feed-ctr/current"), "{said}");
        assert!(!said.contains(&server.path("cache").display().to_string()), "{said}");
    }
    let said = server.fail(&["status", "s3://user:secret@ads/a"]);
    assert!(said.contains("of letters, digits"), "{said}");
}

#[test]
fn that_nothing_is_published_is_said_once() {
    let Some(server) = Server::start() else { return };
    let mut command = server.command("cache", &["fetch", STORE, "store", "--every", "1"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    process.kill().unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("Nothing is published in {STORE} yet\n"));
}
