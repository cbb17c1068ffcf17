//! The search of settings by command: its best trial agrees with training by the command that it prints.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn omomi(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_omomi"))
        .current_dir(folder)
        .env("TMPDIR", folder)
        .args(arguments.split_whitespace())
        .output()
        .expect("the binary was built with this test")
}

#[track_caller]
fn succeed(folder: &Path, arguments: &str) -> String {
    let output = omomi(folder, arguments);
    assert!(output.status.success(), "omomi {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn logs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), "generate-log --rows 12000 --seed 9 --click-rate 0.1 --out logs --files 4");
    folder
}

const LOGS: &str =
    "--contract logs/contract.toml --logs logs/part-000.parquet logs/part-001.parquet logs/part-002.parquet";

/// Runs `omomi tune` and returns its JSON, without times.
fn tuned(folder: &Path, arguments: &str) -> Value {
    succeed(folder, &format!("tune {LOGS} --quiet --json tuned.json {arguments}"));
    let mut report: Value = serde_json::from_slice(&fs::read(folder.join("tuned.json")).unwrap()).unwrap();
    report.as_object_mut().unwrap().remove("seconds");
    for trial in report["trials"].as_array_mut().unwrap() {
        trial.as_object_mut().unwrap().remove("seconds");
    }
    report
}

fn losses(report: &Value) -> Vec<f64> {
    report["trials"].as_array().unwrap().iter().map(|trial| trial["log_loss"].as_f64().unwrap()).collect()
}

/// Runs the training command that a search suggests. Returns its output and the provenance of its state.
fn trained(folder: &Path, report: &Value, more: &str) -> (String, Value) {
    let command = report["command"].as_str().unwrap();
    let text = succeed(folder, &format!("{} {more} --quiet", command.strip_prefix("omomi ").unwrap()));
    let provenance = fs::read(folder.join("state.provenance.json")).unwrap();
    (text, serde_json::from_slice(&provenance).unwrap())
}

#[test]
fn the_first_trial_is_the_best_and_training_with_its_settings_gives_its_loss() {
    let folder = logs();
    let folder = folder.path();
    let report = tuned(folder, "--budget 14");
    let losses = losses(&report);
    assert_eq!(losses.len(), 14);
    assert!(losses.is_sorted());
    assert_eq!((&report["rows"], &report["loss"]), (&Value::from(9_000), &Value::from("progressive")));
    let (_, provenance) = trained(folder, &report, "");
    let best = &report["trials"][0];
    for setting in ["alpha", "beta", "l1", "l2"] {
        assert_eq!(provenance["settings"][setting], best[setting], "{setting}");
    }
    assert_eq!(provenance["metrics"]["progressive"]["log_loss"], best["log_loss"]);
    assert_eq!(provenance["nonzero"], best["nonzero"]);
    // The start settings were tried too, and a log with so few rows needs other settings.
    let is_start = |trial: &&Value| trial["alpha"] == 0.05 && trial["l1"] == 1.0 && trial["l2"] == 0.0;
    let start = report["trials"].as_array().unwrap().iter().find(is_start).unwrap();
    assert!(losses[0] < start["log_loss"].as_f64().unwrap());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = logs();
    let folder = folder.path();
    let of = |threads: &str| tuned(folder, &format!("--budget 11 --rows 4000 --threads {threads}"));
    assert_eq!(of("1"), of("3"));
}

#[test]
fn an_average_of_shards_has_the_loss_that_training_in_shards_gives() {
    let folder = logs();
    let folder = folder.path();
    let report = tuned(folder, "--budget 4 --search alpha --shards 3 --split random --held-out logs/part-003.parquet");
    assert_eq!((report["trials"].as_array().unwrap().len(), &report["loss"]), (4, &Value::from("held_out")));
    let (text, provenance) = trained(folder, &report, "--held-out logs/part-003.parquet");
    assert_eq!(provenance["settings"]["alpha"], report["trials"][0]["alpha"]);
    let loss = format!("{:.6}", report["trials"][0]["log_loss"].as_f64().unwrap());
    assert!(text.contains(&loss), "expected {loss} in:\n{text}");
    let leftovers = fs::read_dir(folder).unwrap().flatten();
    let mut leftovers = leftovers.filter(|entry| entry.file_name().to_string_lossy().starts_with("omomi-tune-"));
    assert!(leftovers.next().is_none(), "states of shards are left");
}

#[test]
fn invalid_searches_are_rejected() {
    let folder = logs();
    let folder = folder.path();
    let fail = |arguments: &str| {
        let output = omomi(folder, &format!("tune {LOGS} {arguments}"));
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = fail("--shards 3");
    assert!(code == Some(1) && error.contains("expected --held-out logs, found none"), "{error}");
    let (code, error) = fail("--search gamma");
    assert!(code == Some(2) && error.contains("expected alpha, l1, l2 or beta, found `gamma`"), "{error}");
    let (code, error) = fail("--minutes=-1");
    assert!(code == Some(1) && error.contains("expected a number of minutes, found -1"), "{error}");
}
