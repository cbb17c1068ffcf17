//! The stages of a planned training, chained by hand from the logs of a week to a published file.

use std::collections::BTreeMap;

use crate::tools::Project;

const STAGES: [&str; 8] = ["average", "recalibrate", "prune", "pack", "evaluate", "gate", "preflight", "publish"];

fn plan(project: &Project, run: &str, until: &str, shards: u32, code: i32) -> String {
    let line = format!(
        "plan --run models/runs/{run} --logs logs --store store --models models --until {until}T03:00:00Z --shards \
         {shards} --quiet"
    );
    let (stdout, stderr) = project.exit(&line, code);
    stdout + &stderr
}

/// Runs all stages of a plan.
fn train(project: &Project, run: &str, shards: u32) {
    for shard in 1..=shards {
        project.succeed(&format!("stage train --plan models/runs/{run}/plan.json --shard {shard}"));
    }
    for stage in STAGES {
        project.succeed(&format!("stage {stage} --plan models/runs/{run}/plan.json"));
    }
}

/// The bytes of all files of a run.
fn files(project: &Project, run: &str) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![project.path(&format!("models/runs/{run}"))];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_model_is_trained_continued_the_next_day_and_a_bad_day_is_held_back() {
    let project = Project::with_logs(140_000);
    let said = plan(&project, "a", "2026-01-09", 2, 0);
    assert!(said.contains("rebuild: there is no model to continue from") && said.contains("the first"), "{said}");
    train(&project, "a", 2);
    assert_eq!(project.json("models/latest.json")["learned_until"], "2026-01-07");

    // The same commands again do nothing, and change no byte.
    let before = files(&project, "a");
    plan(&project, "a", "2026-01-09", 2, 0);
    train(&project, "a", 2);
    assert_eq!(before, files(&project, "a"));
    assert_eq!(project.text("store/current").split(' ').next(), Some("000001"));

    let said = plan(&project, "b", "2026-01-10", 2, 0);
    assert!(said.contains("continue: "), "{said}");
    assert_eq!(project.json("models/runs/b/plan.json")["days"], serde_json::json!(["2026-01-08"]));
    train(&project, "b", 2);
    let status = project.succeed("status store");
    assert!(status.contains("published  generation 2"), "{status}");

    // The day after has a third of its rows, twice the clicks of which were lost: the log of another world.
    project.succeed("generate-log --rows 5000 --seed 9 --click-rate 0.3 --out bad.parquet");
    std::fs::copy(project.path("bad.parquet"), project.path("logs/2026-01-10/part-000.parquet")).unwrap();
    let said = plan(&project, "c", "2026-01-11", 2, 3);
    assert!(said.contains("held back: the logs of 2026-01-10 are unlike those of the days before"), "{said}");
    let (_, said) = project.exit("stage train --plan models/runs/c/plan.json --shard 1", 3);
    assert!(said.contains("nothing is trained on these logs"), "{said}");
    let why = project.succeed("stage why --plan models/runs/c/plan.json");
    assert!(why.contains("What is served stays"), "{why}");
    assert_eq!(project.text("store/current").split(' ').next(), Some("000002"));

    // The next day learns the good days, and leaves out the bad one.
    let said = plan(&project, "d", "2026-01-12", 2, 0);
    assert!(said.contains("left out") && said.contains("2026-01-10"), "{said}");
    assert_eq!(project.json("models/runs/d/plan.json")["days"], serde_json::json!(["2026-01-09"]));
}

#[test]
fn a_plan_is_the_same_bytes_and_belongs_to_its_inputs() {
    let project = Project::with_logs(14_000);
    plan(&project, "a", "2026-01-09", 3, 0);
    let first = project.text("models/runs/a/plan.json");
    std::fs::remove_dir_all(project.path("models/runs")).unwrap();
    plan(&project, "a", "2026-01-09", 3, 0);
    assert_eq!(first, project.text("models/runs/a/plan.json"));
    let said = plan(&project, "a", "2026-01-10", 3, 1);
    assert!(said.contains("other inputs (the newest day)"), "{said}");
    project.write("prune.toml", "max_bytes = \"1MB\"\n");
    let said = plan(&project, "a", "2026-01-09", 3, 1);
    assert!(said.contains("other inputs (the settings)"), "{said}");
}

#[test]
fn logs_that_are_missing_or_changed_and_settings_that_fit_no_command_are_named() {
    let project = Project::with_logs(14_000);
    let said = plan(&project, "a", "2026-02-01", 2, 75);
    assert!(said.contains("2026-01-31 has no logs yet") && said.contains("who must act: delivery"), "{said}");
    std::fs::rename(project.path("logs/2026-01-06"), project.path("moved")).unwrap();
    let said = plan(&project, "a", "2026-01-09", 2, 1);
    assert!(said.contains("2026-01-06 has no logs, but days before and after have some"), "{said}");
    std::fs::rename(project.path("moved"), project.path("logs/2026-01-06")).unwrap();
    let good = project.text("prune.toml");
    project.write("prune.toml", "max_byte = \"1MB\"\n");
    let said = plan(&project, "a", "2026-01-09", 2, 1);
    assert!(said.contains("do not fit `omomi prune`") && said.contains("--max-byte"), "{said}");
    project.write("prune.toml", &good);
    plan(&project, "a", "2026-01-09", 2, 0);
    std::fs::copy(project.path("logs/2026-01-09/part-000.parquet"), project.path("logs/2026-01-05/part-000.parquet"))
        .unwrap();
    let (_, said) = project.exit("stage train --plan models/runs/a/plan.json --shard 1", 1);
    assert!(said.contains("has changed since the plan was made"), "{said}");
    let (_, said) = project.exit("stage train --plan models/runs/a/plan.json --shard 3", 1);
    assert!(said.contains("has 2 shards: expected a number from 1 to 2, found 3"), "{said}");
    project.exit("stage train --plan models/runs/a/plan.json", 2);
}

/// The same state comes from the shards one by one, and from the plan in one command.
#[test]
fn a_plan_is_taken_by_train_shards_too_with_the_same_average() {
    let project = Project::with_logs(14_000);
    plan(&project, "a", "2026-01-09", 2, 0);
    for stage in ["train --shard 1", "train --shard 2", "average"] {
        project.succeed(&format!("stage {stage} --plan models/runs/a/plan.json"));
    }
    let held_out = "--held-out-rows=every-20".replace("every-20", "every 20");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_omomi"))
        .args(["train", "--shards", "models/runs/a/plan.json", "--contract", "contract.toml"])
        .args(["--state", "all.parquet", "--time-column=timestamp", &held_out])
        .current_dir(project.path("."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let average = project.json("models/runs/a/plan.json")["folder"].as_str().unwrap().to_owned() + "/average.parquet";
    let (one, other) = (rows_of(&project, "all.parquet"), rows_of(&project, &average));
    assert!(!one.is_empty());
    assert_eq!(one, other);
    // Without logs, a number of shards is misuse.
    project.exit("train --shards 2 --contract contract.toml --state b.parquet", 2);
    project.exit("train --shards models/runs/a/plan.json --shard 1/2 --contract contract.toml --state b.parquet", 2);
    project.exit("train --shard 1 --logs logs --contract contract.toml --state b.parquet", 2);
}

/// The rows of a state, as texts: its provenance names the command that made it.
fn rows_of(project: &Project, name: &str) -> Vec<String> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let file = std::fs::File::open(project.path(name)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
}
