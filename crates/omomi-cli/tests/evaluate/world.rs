//! A generated log, and weight files trained on parts of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use omomi_train::learn::state::{Metadata, StateReader, StateRow, StateWriter};
use serde_json::Value;

pub struct World(tempfile::TempDir);

impl World {
    /// Generation 1 is trained on the first part of the log, generation 2 on the first two; the third is held out.
    pub fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.succeed("generate-log --rows 60000 --seed 5 --click-rate 0.2 --out logs --files 3");
        world.train("logs/contract.toml", "logs/part-000.parquet", "before.parquet");
        world.train("logs/contract.toml", "logs/part-000.parquet logs/part-001.parquet", "state.parquet");
        world.pack("logs/contract.toml", "before.parquet", 1, "before.omomi");
        world.pack("logs/contract.toml", "state.parquet", 2, "000002.omomi");
        world
    }

    /// An empty folder, for errors that occur before any file is read.
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn train(&self, contract: &str, logs: &str, state: &str) {
        self.succeed(&format!(
            "train --no-search --contract {contract} --logs {logs} --time-column timestamp --state {state} --quiet"
        ));
    }

    pub fn pack(&self, contract: &str, state: &str, generation: u64, out: &str) {
        self.succeed(&format!(
            "pack --contract {contract} --state {state} --held-out logs/part-002.parquet --logic-id feed-v1 \
             --generation {generation} --out {out} --quiet"
        ));
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn omomi(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_omomi"))
            .current_dir(self.folder())
            .args(arguments.split_whitespace())
            .output()
            .expect("the binary was built with this test")
    }

    /// Returns the standard output of a command that succeeds.
    #[track_caller]
    pub fn succeed(&self, arguments: &str) -> String {
        let output = self.omomi(arguments);
        assert!(output.status.success(), "omomi {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the standard output of a command that succeeds, of which some arguments have spaces.
    #[track_caller]
    pub fn succeed_with(&self, arguments: &str, more: &[&str]) -> String {
        let output = self.omomi_with(arguments, more);
        assert!(output.status.success(), "omomi {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn omomi_with(&self, arguments: &str, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_omomi"))
            .current_dir(self.folder())
            .args(arguments.split_whitespace())
            .args(more)
            .output()
            .expect("the binary was built with this test")
    }

    /// Returns the standard error of a command that ends with this exit code, of which some arguments have spaces.
    #[track_caller]
    pub fn fail_with(&self, code: i32, arguments: &str, more: &[&str]) -> String {
        let output = self.omomi_with(arguments, more);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "omomi {arguments} {more:?}\n{error}");
        error
    }

    #[track_caller]
    pub fn succeed_json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.succeed(arguments)).unwrap()
    }

    /// Returns the standard error of a command that ends with this exit code.
    #[track_caller]
    pub fn fail(&self, code: i32, arguments: &str) -> String {
        let output = self.omomi(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "omomi {arguments}\n{error}");
        error
    }

    /// Packs the state again, with metadata changed by `change`, and only the rows that `keep` accepts.
    pub fn pack_changed(
        &self,
        name: &str,
        change: impl FnOnce(&mut Metadata),
        keep: impl Fn(&StateRow<'_>) -> bool,
    ) -> PathBuf {
        let mut reader = StateReader::open(self.path("state.parquet")).unwrap();
        let mut metadata = reader.metadata().clone();
        // It would say what was before the change.
        metadata.provenance.clear();
        change(&mut metadata);
        let state = self.path(&format!("{name}.parquet"));
        let mut writer = StateWriter::create(&state, &metadata, false).unwrap();
        while let Some(batch) = reader.next_batch().unwrap() {
            for row in batch.rows().filter(|row| row.is_bias() || keep(row)) {
                writer.push(&row).unwrap();
            }
        }
        writer.finish().unwrap();
        self.pack("logs/contract.toml", &format!("{name}.parquet"), 3, &format!("{name}.omomi"));
        self.path(&format!("{name}.omomi"))
    }
}
