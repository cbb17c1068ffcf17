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
    let report = tuned(folder, "--budget 14 --held-out logs/part-003.parquet");
    let losses = losses(&report);
    assert_eq!(losses.len(), 14);
    assert!(losses.is_sorted());
    assert_eq!((&report["rows"], &report["loss"]), (&Value::from(9_000), &Value::from("held_out")));
    let (_, provenance) = trained(folder, &report, "--held-out logs/part-003.parquet");
    let best = &report["trials"][0];
    for setting in ["alpha", "beta", "l1", "l2", "passes"] {
        assert_eq!(provenance["settings"][setting], best[setting], "{setting}");
    }
    assert_eq!(provenance["metrics"]["held_out"]["log_loss"], best["log_loss"]);
    assert_eq!(provenance["nonzero"], best["nonzero"]);
    // The start settings were tried too, and a log with so few rows needs other settings.
    let is_start = |trial: &&Value| trial["alpha"] == 0.2 && trial["l1"] == 1.0 && trial["l2"] == 0.0;
    let start = report["trials"].as_array().unwrap().iter().find(is_start).unwrap();
    assert!(losses[0] < start["log_loss"].as_f64().unwrap());
    assert!(best["passes"].as_u64().unwrap() > 1, "{best}");
}

#[test]
fn tune_holds_out_rows_by_any_rule_and_learns_the_others() {
    let folder = logs();
    let folder = folder.path();
    for (rule, held_out) in [("every 5", 1_800..=1_800), ("last 10%", 880..=920), ("20% of user_id", 1_200..=2_700)] {
        let output = Command::new(env!("CARGO_BIN_EXE_omomi"))
            .current_dir(folder)
            .args(["tune", "--quiet", "--budget", "1", "--json", "tuned.json", "--time-column", "timestamp"])
            .args(["--held-out-rows", rule])
            .args(LOGS.split_whitespace())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&fs::read(folder.join("tuned.json")).unwrap()).unwrap();
        let of = |key: &str| report[key].as_u64().unwrap();
        assert!(held_out.contains(&of("held_out_rows")), "{rule}: {}", of("held_out_rows"));
        assert_eq!(of("rows") + of("held_out_rows"), 9_000);
        assert_eq!(report["held_out_rule"], rule);
        assert!(report["trials"][0]["calibration_ratio"].as_f64().unwrap() > 0.5);
    }
}

#[test]
fn training_searches_unless_settings_are_given_and_later_days_keep_what_was_found() {
    let folder = logs();
    let folder = folder.path();
    let provenance = |arguments: &str| -> Value {
        let output = omomi(folder, &format!("train {LOGS} --state out.parquet --force {arguments}"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        let text = fs::read(folder.join("out.provenance.json")).unwrap();
        let mut provenance: Value = serde_json::from_slice(&text).unwrap();
        provenance["stderr"] = Value::from(error);
        provenance
    };
    let found = provenance("");
    let said = found["stderr"].as_str().unwrap();
    assert!(said.contains("search: trying") && said.contains("--no-search leaves it out"), "{said}");
    let trials = found["search"]["trials"].as_array().unwrap();
    assert!(trials.len() >= 4 && found["search"]["held_out"] == "last 20%", "{}", found["search"]);
    // The best trial, or one that is as good in fewer passes.
    let chosen = |trial: &&Value| {
        let settings = &found["settings"];
        trial["alpha"] == settings["alpha"] && trial["passes"] == settings["passes"]
    };
    let loss = |trial: &Value| trial["log_loss"].as_f64().unwrap();
    let chosen = trials.iter().find(chosen).expect("a trial with the settings of the state");
    assert!(loss(chosen) <= loss(&trials[0]) * 1.0005);
    let bytes = fs::read(folder.join("out.parquet")).unwrap();
    provenance("--quiet");
    assert!(bytes == fs::read(folder.join("out.parquet")).unwrap(), "another run gave other bytes");

    for (given, alpha, passes) in [
        ("--no-search", 0.2, 1),
        ("--alpha 0.3", 0.3, 1),
        ("--passes 2", 0.2, 2),
        ("--shard 1/2 --split random", 0.2, 1),
    ] {
        let found = provenance(given);
        assert_eq!((&found["settings"]["alpha"], &found["settings"]["passes"]), (&alpha.into(), &passes.into()));
        assert!(found["search"].is_null() && !found["stderr"].as_str().unwrap().contains("search:"), "{given}");
    }

    fs::copy(folder.join("out.parquet"), folder.join("shard.parquet")).unwrap();
    let first = provenance("--alpha 0.25 --l1 0.5 --passes 3");
    fs::copy(folder.join("out.parquet"), folder.join("day.parquet")).unwrap();
    let next =
        "train --contract logs/contract.toml --logs logs/part-003.parquet --start day.parquet --state next.parquet";
    succeed(folder, &format!("{next} --quiet"));
    let text = fs::read(folder.join("next.provenance.json")).unwrap();
    let next: Value = serde_json::from_slice(&text).unwrap();
    for setting in ["alpha", "beta", "l1", "l2"] {
        assert_eq!(next["settings"][setting], first["settings"][setting]);
    }
    assert_eq!(next["settings"]["passes"], 1);
}

#[test]
fn small_logs_are_learned_in_one_process_unless_shards_are_insisted_on() {
    let folder = logs();
    let folder = folder.path();
    let flags = "--no-search --state out.parquet --force";
    let output = omomi(folder, &format!("train {LOGS} --shards 3 --recalibrate-on logs/part-003.parquet {flags}"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && error.contains("training in one process (--always-shard insists)"), "{error}");
    let text = fs::read(folder.join("out.provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(provenance["recalibrations"].as_array().map(Vec::len), Some(1), "{provenance}");
    assert!(provenance["shards"].is_null());
    assert!(!folder.join("out.before-recalibration.parquet").exists());
    succeed(folder, &format!("train {LOGS} --shards 3 --always-shard {flags} --quiet"));
    let text = fs::read(folder.join("out.provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(provenance["shards"].as_array().map(Vec::len), Some(3));
    // The average says how its settings were found, as a run in one process does.
    succeed(folder, &format!("train {LOGS} --shards 3 --always-shard --state out.parquet --force --quiet"));
    let text = fs::read(folder.join("out.provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&text).unwrap();
    assert!(provenance["search"]["trials"].as_array().is_some_and(|trials| trials.len() >= 4), "{provenance}");
    assert_eq!(provenance["settings"]["iterates"], "averaged");
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
    let (code, error) = fail("--held-out-rows fifth");
    assert!(code == Some(2) && error.contains("expected 'every 5', 'last 10%' or"), "{error}");
    let (code, error) = fail("--held-out-rows=last%0.001");
    assert!(code == Some(2), "{error}");
    let (code, error) = fail("--search gamma");
    assert!(code == Some(2) && error.contains("expected alpha, l1, l2, beta or passes, found `gamma`"), "{error}");
    let (code, error) = fail("--minutes=-1");
    assert!(code == Some(1) && error.contains("expected a number of minutes, found -1"), "{error}");
}

/// A log that is sorted by its label had one outcome in its last fifth: each trial then seemed perfect, or none was.
#[test]
fn a_log_that_is_sorted_by_its_label_is_judged_on_every_fifth_row() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let contract = "name = \"sorted\"\nlabel = \"clicked\"\n\n[[field]]\nname = \"site\"\nside = \"context\"\n\
                    type = \"id\"\nmeaning = \"the site\"\n";
    fs::write(folder.join("contract.toml"), contract).unwrap();
    let write = |name: &str, clicked: &dyn Fn(usize) -> bool| {
        let rows = (0..2_000).map(|row| format!("{},{}\n", u8::from(clicked(row)), row * 7 % 10));
        fs::write(folder.join(name), format!("clicked,site\n{}", rows.collect::<String>())).unwrap();
    };
    write("clicks_first.csv", &|row| row < 600);
    write("clicks_last.csv", &|row| row >= 1_400);
    write("in_order.csv", &|row| row % 3 == 0);
    write("no_click.csv", &|_| false);
    let tune = |words: &str| {
        omomi(folder, &format!("tune --contract contract.toml --quiet --budget 2 --json out.json {words}"))
    };
    let said = |output: &Output| String::from_utf8(output.stderr.clone()).unwrap();
    for (logs, rule) in [("clicks_first", "every 5"), ("clicks_last", "every 5"), ("in_order", "last 20%")] {
        let output = tune(&format!("--logs {logs}.csv"));
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(said(&output).contains("every 5th row is held out instead"), rule == "every 5", "{}", said(&output));
        let report: Value = serde_json::from_slice(&fs::read(folder.join("out.json")).unwrap()).unwrap();
        assert_eq!((&report["held_out_rule"], &report["held_out_rows"]), (&rule.into(), &400.into()));
        assert!(report["trials"][0]["calibration_ratio"].as_f64().unwrap() > 0.2, "{report}");
    }
    for (words, expected) in [
        ("--logs no_click.csv", "expected learned rows with and without a click, found 0 clicks in 1600 rows"),
        (
            "--logs in_order.csv --held-out no_click.csv",
            "expected held-out rows with and without a click, found 0 clicks",
        ),
    ] {
        let output = tune(words);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(said(&output).contains(expected) && said(&output).contains("sort them by time"), "{}", said(&output));
    }
}
