//! The program `benches/c/score.c`: compiled and linked with the library of this build, and controlled over pipes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::requests::{FIELD_COUNT, Traffic};

/// A running client. It exits when its standard input is closed.
pub struct CClient {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl CClient {
    /// Starts a client that scores the requests of `traffic` with the weight file `model`. Returns `None` if there is
    /// no C compiler. If `indices` has the index of each candidate of each request, the client prepares the candidates.
    pub fn start(folder: &Path, model: &Path, traffic: &Traffic, indices: Option<&[Vec<u32>]>) -> Option<Self> {
        let (program, requests) = (folder.join("score"), folder.join("requests"));
        if !compile(&program) {
            eprintln!("no C compiler: the client in C is left out");
            return None;
        }
        fs::write(&requests, encode(traffic, indices)).expect("room for the requests");
        let mut child = Command::new(program)
            .args([model, &requests])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        Some(Self { child, said })
    }

    /// Reads the first number that the client prints: the folded logits of all requests.
    pub fn check(&mut self) -> u64 {
        self.next_number()
    }

    /// Lets the client score `call_count` requests, and returns the time that took.
    pub fn time(&mut self, call_count: u64) -> Duration {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{call_count}").expect("the client listens");
        Duration::from_nanos(self.next_number())
    }

    fn next_number(&mut self) -> u64 {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("the client speaks");
        line.trim().parse().unwrap_or_else(|_| panic!("the client said `{line}`"))
    }
}

impl Drop for CClient {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // A failure needs no handling here: every answer was checked on arrival.
        let _ = self.child.wait();
    }
}

fn compile(program: &Path) -> bool {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Cargo puts the library next to the bench.
    let library_folder = std::env::current_exe().expect("this program has a path");
    let library_folder = library_folder.parent().expect("a folder");
    let name = format!("{}omomi{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"]).arg(here.join("include"));
    compiler.arg(here.join("benches/c/score.c")).arg("-o").arg(program);
    compiler.arg(format!("-Wl,-rpath,{}", library_folder.display())).arg(library_folder.join(name));
    match compiler.status() {
        Ok(status) => {
            assert!(status.success(), "{compiler:?} ended with {status}");
            true
        }
        Err(_) => false,
    }
}

fn encode(traffic: &Traffic, indices: Option<&[Vec<u32>]>) -> Vec<u8> {
    let count = |count: usize| i64::try_from(count).expect("few");
    let shape = traffic.shape;
    let mut numbers = vec![i64::from(shape.texts), i64::from(indices.is_some())];
    numbers.extend([shape.request_count, shape.candidate_count, FIELD_COUNT].map(count));
    for values in &traffic.requests {
        numbers.extend(values.context.iter().chain(&values.candidates));
    }
    numbers.extend(indices.into_iter().flatten().flatten().copied().map(i64::from));
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
