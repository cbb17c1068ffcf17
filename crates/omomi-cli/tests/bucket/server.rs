//! Servers that speak S3: s3s-fs in this process, and moto and MiniStack as processes, which are programs in Python.
//!
//! The first test that needs the programs installs them into a folder of the build, with the `python3` on the path and
//! pip. Where that is not possible, the tests say so and pass. Only s3s-fs checks signatures. It looks for an object
//! before it writes one, in two steps, so of two writers both may win there. What services do wrong is tested without
//! any of them, in `omomi-train`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use crate::python::installed;

/// What is installed. Another version needs another folder.
const PACKAGES: [&str; 2] = ["moto[server,s3]==5.2.5", "ministack==1.5.33"];
const FOLDER: &str = "moto-5.2.5-ministack-1.5.33";

/// The contract of the weight files that [`Server::file`] makes.
pub(crate) const CONTRACT: &str = include_str!("../../../omomi-train/src/operate/contract_of_tests.toml");
const KEY_ID: &str = "a";
const SECRET_KEY: &str = "b";
pub(crate) const STORE: &str = "s3://ads/models/feed-ctr";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    S3sFs,
    Moto,
    MiniStack,
}

/// A server with an empty bucket, until it is dropped.
pub(crate) struct Server {
    runs: Runs,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
}

/// Where a server runs.
enum Runs {
    /// In a process.
    There(Child),
    /// In this process, which reads and writes the objects as the files that they are.
    Here { objects: PathBuf, _runtime: tokio::runtime::Runtime },
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Runs::There(process) = &mut self.runs {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The Python that has the servers; nothing where they cannot be installed.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| match installed(FOLDER, &PACKAGES) {
        Ok(python) => Some(python),
        Err(problem) => {
            eprintln!(
                "skipped: moto and MiniStack cannot be installed, which needs python3 with venv, and pip: {problem}"
            );
            None
        }
    });
    python.as_deref()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Serves the folder `objects` with s3s-fs. Returns what runs it, and its port.
fn serve_here(objects: &Path) -> (tokio::runtime::Runtime, u16) {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(objects).unwrap());
    service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET_KEY));
    let service = service.build();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let http = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            let (socket, service) = (hyper_util::rt::TokioIo::new(socket), service.clone());
            tokio::spawn(async move {
                // A connection ends as its client likes.
                let _ = http.serve_connection(socket, service).await;
            });
        }
    });
    (runtime, port)
}

impl Server {
    /// Returns nothing where the server cannot be installed.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("contract.toml"), CONTRACT).unwrap();
        if kind == Kind::S3sFs {
            let root = folder.path().join("objects");
            let objects = root.join("ads");
            std::fs::create_dir_all(&objects).unwrap();
            let (runtime, port) = serve_here(&root);
            return Some(Self { runs: Runs::Here { objects, _runtime: runtime }, port, folder });
        }
        let (python, port) = (python()?, free_port());
        let mut command = Command::new(python);
        if kind == Kind::Moto {
            command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        } else {
            command.args(["-m", "ministack"]).env("GATEWAY_PORT", port.to_string());
        }
        command.env("SERVICES", "s3").stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { runs: Runs::There(command.spawn().unwrap()), port, folder };
        let begin = Instant::now();
        while !server.try_put("", b"").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{kind:?} does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(server)
    }

    pub(crate) fn of_each_kind() -> Vec<Self> {
        [Kind::S3sFs, Kind::Moto, Kind::MiniStack].into_iter().filter_map(Self::start).collect()
    }

    /// Those that write under a condition in one step, and check no signature.
    pub(crate) fn programs() -> Vec<Self> {
        [Kind::Moto, Kind::MiniStack].into_iter().filter_map(Self::start).collect()
    }

    /// Writes an object, whatever is there.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, body: &[u8]) {
        if let Runs::Here { objects, .. } = &self.runs {
            let path = objects.join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            return std::fs::write(path, body).unwrap();
        }
        let answer = self.try_put(&format!("/{key}"), body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn try_put(&self, path: &str, body: &[u8]) -> Option<String> {
        Some(String::from_utf8_lossy(&self.ask("PUT", path, body)?).into_owned())
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        // They take the name of a service from the credentials, and do not check them.
        let of = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=b";
        let head = format!(
            "{method} /ads{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\
             Authorization: {of}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(answer)
    }

    /// The bytes of an object.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        if let Runs::Here { objects, .. } = &self.runs {
            return bytes(objects.join(key));
        }
        let answer = self.ask("GET", &format!("/{key}"), b"").unwrap();
        let head_len = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{key}: {}", String::from_utf8_lossy(&answer[..head_len]));
        answer[head_len..].to_vec()
    }

    /// The keys below a folder, without those of probes, which may still be on their way out.
    pub(crate) fn keys(&self, folder: &str) -> Vec<String> {
        let answer = self.ask("GET", &format!("?list-type=2&prefix={folder}/"), b"").unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let keys = answer.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap_or_default().to_owned());
        keys.filter(|key| !key.contains(".omomi-probe/")).collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of a machine with a cache of its own.
    pub(crate) fn command(&self, machine: &str, arguments: &[&str]) -> Command {
        self.command_at(self.port, machine, arguments)
    }

    /// A command that reaches the server at another port, such as that of a proxy.
    pub(crate) fn command_at(&self, port: u16, machine: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
        command.envs([("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)]);
        command.env("AWS_REGION", "us-east-1");
        command.env("OMOMI_CACHE", self.path(machine));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command("cache", arguments).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Like [`Server::succeed`], for a line of arguments without spaces in them.
    #[track_caller]
    pub(crate) fn line(&self, line: &str) -> String {
        self.succeed(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        said
    }

    /// Makes a weight file of a generation. `bias` tells files of one generation apart.
    pub(crate) fn file(&self, generation: u64, bias: &str) -> String {
        let (weights, name) = (self.path("weights.toml"), format!("{generation}{bias}.omomi"));
        std::fs::write(weights, format!("bias = {bias}\n")).unwrap();
        let number = generation.to_string();
        let made = ["fixture", "--contract", "contract.toml", "--weights", "weights.toml", "--logic-id", "a"];
        self.succeed(&[&made[..], &["--generation", &number, "--out", &name]].concat());
        name
    }
}

pub(crate) fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
