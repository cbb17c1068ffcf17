//! Asks the reader under `tests/reference`, which was written from `FORMAT.md` alone, whether it accepts files.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const PROGRAM: &str = "
import sys, read_weight_file, weight_file
for line in sys.stdin:
    with open(line.rstrip('\\n'), 'rb') as file:
        data = file.read()
    try:
        read_weight_file.read(data)
        print('accepted', flush=True)
    except weight_file.WeightFileError as error:
        print('refused:', ascii(str(error))[:300], flush=True)
";

/// A running reader.
pub struct Reference {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Reference {
    /// Starts the reader. Without Python, prints a message and returns nothing.
    pub fn start() -> Option<Self> {
        let child = Command::new("python3")
            .args(["-c", PROGRAM])
            .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("SKIPPED: there is no python3 on the path to run the reference reader with");
            return None;
        };
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, input, output })
    }

    /// Returns nothing if the reader accepts the file, and otherwise why it does not.
    pub fn refusal(&mut self, path: &Path) -> Option<String> {
        writeln!(self.input, "{}", path.display()).unwrap();
        self.input.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the reference reader ended");
        if line.trim_end() == "accepted" { None } else { Some(line.trim_end().to_owned()) }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
