//! A training state and its provenance are one file, which is replaced at once. If a run is killed, or another run
//! writes the same file, both still belong to one run, and the same command runs again without a manual step.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use omomi_train::learn::provenance_path;
use omomi_train::learn::state::{Metadata, StateReader};

const OMOMI: &str = env!("CARGO_BIN_EXE_omomi");

struct Folder(tempfile::TempDir);

impl Folder {
    /// Writes two logs, with different numbers of rows.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, rows) in [("one", "20000"), ("other", "21000")] {
            folder.run(&["generate-log", "--rows", rows, "--click-rate", "0.1", "--seed", rows, "--out", name]);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(OMOMI);
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The training on the logs of a folder.
    fn train(&self, logs: &str, flags: &[&str]) -> Command {
        let contract = format!("{logs}/contract.toml");
        let pattern = format!("{logs}/*.parquet");
        let arguments =
            ["train", "--contract", &contract, "--logs", &pattern, "--state", "state.parquet", "--no-search"];
        let mut command = self.command(&[&arguments[..], flags].concat());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Reads the whole state. Its rows, features and provenance must belong to one run.
    fn state(&self) -> Metadata {
        metadata_of(&self.path("state.parquet"))
    }
}

fn metadata_of(state: &Path) -> Metadata {
    let mut reader = StateReader::open(state).unwrap();
    let features = reader.feature_count();
    // The default rows, of unseen categories and missing values, are not counted as features that were seen.
    let (mut row_count, mut default_count) = (0, 0);
    while let Some(batch) = reader.next_batch().unwrap() {
        row_count += batch.row_count() as u64;
        default_count += batch.rows().filter(|row| row.is_default()).count() as u64;
    }
    let metadata = reader.metadata().clone();
    assert_eq!(row_count, features + 1);
    assert_eq!(metadata.provenance["features"], features - default_count);
    assert_eq!(metadata.provenance["rows"], metadata.rows);
    assert_eq!(metadata.lineage.iter().filter_map(|log| log.rows).sum::<u64>(), metadata.rows);
    metadata
}

fn finish(run: Child) -> (bool, String) {
    let Output { status, stderr, .. } = run.wait_with_output().unwrap();
    (status.success(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Killed between the renames of state and provenance, a run left a pair that blocked the same command forever.
#[test]
fn a_run_that_is_killed_leaves_a_whole_state_and_the_same_command_runs_again() {
    let folder = Folder::new();
    folder.run(
        &[&["train", "--contract", "one/contract.toml", "--logs", "one/*.parquet"][..], &["--state", "state.parquet"]]
            .concat(),
    );
    let began = Instant::now();
    assert!(finish(folder.train("other", &["--force"]).spawn().unwrap()).0);
    let whole = began.elapsed();
    let mut seen = [0; 2];
    for step in 0..40 {
        assert!(finish(folder.train("one", &["--force"]).spawn().unwrap()).0);
        // Most points are near the end, where the files are written.
        let delay = whole.mul_f64(if step < 10 { f64::from(step) / 10.0 } else { 0.7 + f64::from(step - 10) * 0.015 });
        let mut run = folder.train("other", &["--force"]).spawn().unwrap();
        std::thread::sleep(delay);
        run.kill().unwrap();
        run.wait().unwrap();
        let found = folder.state();
        seen[usize::from(found.rows > 20_500)] += 1;
        if step % 2 == 0 {
            // A copy for people that is missing or of another run changes nothing.
            fs::write(provenance_path(folder.path("state.parquet")), "{").unwrap();
        }
        let (succeeded, said) = finish(folder.train("other", &["--force"]).spawn().unwrap());
        assert!(succeeded, "after {delay:?}: {said}");
        assert!(folder.state().rows > 20_500);
    }
    assert!(seen[0] > 0, "no run was killed in time: {seen:?}");
}

/// In 7 of 20 trials, the state of one run was beside the provenance of the other.
#[test]
fn of_two_runs_at_once_one_wins_with_both_state_and_provenance() {
    let folder = Folder::new();
    for trial in 0..20 {
        let runs = ["one", "other"].map(|logs| folder.train(logs, &["--force"]).spawn().unwrap());
        for (succeeded, said) in runs.map(finish) {
            assert!(succeeded, "trial {trial}: {said}");
        }
        folder.state();
    }
    for trial in 0..5 {
        fs::remove_file(folder.path("state.parquet")).unwrap();
        let runs = ["one", "other"].map(|logs| folder.train(logs, &[]).spawn().unwrap());
        let outcomes = runs.map(finish);
        let refused: Vec<&String> = outcomes.iter().filter(|(succeeded, _)| !succeeded).map(|(_, said)| said).collect();
        assert_eq!(refused.len(), 1, "trial {trial}: {outcomes:?}");
        let expected = "state.parquet exists already; choose another name, or ask to replace it";
        assert!(refused[0].contains(expected), "{}", refused[0]);
        folder.state();
    }
    let leftovers = fs::read_dir(folder.0.path()).unwrap().filter_map(Result::ok);
    let leftovers: Vec<_> =
        leftovers.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}
